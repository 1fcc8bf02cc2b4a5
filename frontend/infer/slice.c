/* Slice: numpy's x[start:end:step]; starts and ends beyond the tensor are clamped. */
#include "frontend/infer/infer.h"

/* A constant far beyond the axis says no more than one just beyond it, and cannot overflow. */
static Dim pull_in(Ctx *ctx, Dim v, Dim size) {
    int64_t c, far = size->hi < INT64_MAX - 1 ? size->hi + 1 : INT64_MAX;
    if (!dim_is_const(v, &c)) return v;
    return dim_const(ctx, c > far ? far : c < -far ? -far : c);
}

/* Counted from the end where it is negative. NULL: not known before the run, or of either sign. */
static Dim from_end(Ctx *ctx, Dim v, Dim size) {
    if (!v) return NULL;
    if (v->lo >= 0) return v;
    return v->hi < 0 ? dim_add(ctx, size, v) : NULL;
}

/* Where the first element stands, for a slice that takes any */
static Dim slice_start(Ctx *ctx, Dim start, Dim size, bool down) {
    Dim at = from_end(ctx, start, size);
    if (down) at = dim_min(ctx, at, dim_sub(ctx, size, dim_const(ctx, 1)));
    return down && dim_is(start, -1) ? at : clamp_size(ctx, at);
}

/* How many elements are taken: ceil((end - start) / step) with both clamped to the axis, where that is not negative */
static Dim slice_size(Ctx *ctx, Dim size, Dim start, Dim end, int64_t step) {
    bool down = step < 0;
    Dim from = slice_start(ctx, pull_in(ctx, start, size), size, down),
        to = from_end(ctx, pull_in(ctx, end, size), size);
    to = down ? dim_max(ctx, to, dim_const(ctx, -1)) : dim_min(ctx, to, size);
    Dim span = down ? dim_sub(ctx, from, to) : dim_sub(ctx, to, from);
    int64_t stride = !down ? step : step == INT64_MIN ? INT64_MAX : -step;
    if (stride > size->hi) stride = size->hi < 1 ? 1 : size->hi; /* takes one element too, and cannot overflow */
    Dim count = clamp_size(ctx, dim_ceildiv(ctx, span, dim_const(ctx, stride)));
    return down ? dim_min(ctx, count, size) : count; /* an empty axis has no element 0 to begin at */
}

typedef struct Slices {
    bool known; /* which axes */
    int n, axis[MCC_MAX_RANK];
    Dim start[MCC_MAX_RANK], end[MCC_MAX_RANK], step[MCC_MAX_RANK];
} Slices;

static bool read_slices(Ctx *ctx, const Node *n, Slices *s) {
    IntList list[4]; /* starts, ends, axes, steps */
    int64_t axes[MCC_MAX_RANK];
    int rank = type_of(n, 0)->rank;
    s->n = -1;
    for (int i = 0; i < 4; i++) {
        if (!read_list(ctx, n, i + 1, MCC_MAX_RANK, &list[i])) return false;
        if (!list[i].present) continue;
        Dim length = type_of(n, i + 1)->dims[0], first = type_of(n, 1)->dims[0];
        if (!equal_dims(ctx, n, length, first, "the lengths of starts, ends, axes and steps")) return false;
        if (list[i].n >= 0) s->n = list[i].n;
    }
    if (s->n < 0 && !need_at_most(ctx, n, type_of(n, 1)->dims[0], dim_const(ctx, rank), "the number of sliced axes"))
        return false;
    if (s->n > rank) return fail(ctx, n, "%d axes are sliced, there are %d", s->n, rank);
    for (int i = 0; i < s->n && !list[2].present; i++) axes[i] = i;
    s->known = s->n >= 0 && (!list[2].present || list_is_const(&list[2], axes));
    if (!s->known) return true;
    if (!read_axes(ctx, n, axes, s->n, rank, s->axis)) return false;
    for (int i = 0; i < s->n; i++) {
        s->start[i] = list[0].n < 0 ? NULL : list[0].v[i];
        s->end[i] = list[1].n < 0 ? NULL : list[1].v[i];
        s->step[i] = !list[3].present ? dim_const(ctx, 1) : list[3].n < 0 ? NULL : list[3].v[i];
        if (dim_is(s->step[i], 0)) return fail(ctx, n, "the step of axis %d is 0", s->axis[i]);
    }
    return true;
}

static void slice_content(Ctx *ctx, Node *n, const Slices *s) {
    int64_t pitch[MCC_MAX_RANK], first = 0, start, step;
    if (!content_pitches(n->in[0], pitch)) return;
    for (int i = 0; i < s->n; i++) {
        Dim size = type_of(n, 0)->dims[s->axis[i]];
        if (!dim_is_const(s->step[i], &step) || !s->start[i]) return;
        if (!dim_is_const(slice_start(ctx, pull_in(ctx, s->start[i], size), size, step < 0), &start)) return;
        int64_t *p = &pitch[s->axis[i]];
        first += start * *p;
        if (!mul_i64(*p, step, p)) *p = 0; /* there is no second element */
    }
    content_move(ctx, n, 0, first, pitch);
}

bool infer_slice(Ctx *ctx, Node *n) {
    Slices s;
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 1, MCC_MAX_RANK) || !read_slices(ctx, n, &s)) return false;
    Type y = *type_of(n, 0);
    for (int i = 0; s.known && i < s.n; i++) {
        int axis = s.axis[i];
        int64_t step;
        Dim size = y.dims[axis],
            taken = dim_is_const(s.step[i], &step) ? slice_size(ctx, size, s.start[i], s.end[i], step) : NULL;
        y.dims[axis] = taken ? taken : data_dim(ctx, n, 0, y.rank, axis, 0, size);
        if (!y.dims[axis]) return false;
    }
    for (int i = 0; !s.known && i < y.rank; i++)
        if (!(y.dims[i] = data_dim(ctx, n, 0, y.rank, i, 0, y.dims[i]))) return false;
    if (!set_output(ctx, n, 0, y.dtype, y.rank, y.dims)) return false;
    if (s.known && n->out[0]) slice_content(ctx, n, &s);
    return true;
}
