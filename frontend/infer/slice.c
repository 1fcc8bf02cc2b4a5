/* Slice: numpy's x[start:end:step]; starts and ends beyond the tensor are clamped. */
#include "frontend/infer/infer.h"

/* A start or end as a place on the axis, counted from the end where it is negative, clamped to [0, size] going up and
 * to [floor, size - 1] going down. NULL: not known before the run. */
static Dim place(Ctx *ctx, Dim v, Dim size, bool down, int64_t floor) {
    if (!v) return NULL;
    Dim least = dim_const(ctx, floor), most = down ? dim_sub(ctx, size, dim_const(ctx, 1)) : size;
    if (v->lo >= 0) return dim_min(ctx, v, most);
    if (v->hi >= 0) return NULL;
    if (size->hi <= -(v->hi + 1)) return least;
    Dim at = dim_add(ctx, size, v);
    return down && dim_is(v, -1) ? at : dim_max(ctx, at, least);
}

/* How many elements are taken */
static Dim slice_size(Ctx *ctx, Dim size, Dim start, Dim end, int64_t step) {
    bool down = step < 0;
    Dim from = place(ctx, start, size, down, 0), to = place(ctx, end, size, down, down ? -1 : 0);
    Dim span = down ? dim_sub(ctx, from, to) : dim_sub(ctx, to, from);
    int64_t stride = !down ? step : step == INT64_MIN ? INT64_MAX : -step;
    if (stride > size->hi) stride = size->hi < 1 ? 1 : size->hi; /* takes one element too, and cannot overflow */
    Dim count = dim_ceildiv(ctx, span, dim_const(ctx, stride));
    return dim_min(ctx, clamp_size(ctx, count), size);
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
        if (!list[i].present || list[i].n < 0) continue;
        if (s->n >= 0 && list[i].n != s->n)
            return fail(ctx, n, "input %d lists %d numbers, another input %d", i + 1, list[i].n, s->n);
        s->n = list[i].n;
    }
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
    Dim out[VALUE_CONTENT_MAX];
    int64_t start = 0, step = 1, count;
    int have = value_content(n->in[0]);
    if (have < 0 || !dim_is_const(n->out[0]->type.dims[0], &count) || count > have) return;
    if (s->n == 1) {
        if (!dim_is_const(s->step[0], &step)) return;
        Dim from = place(ctx, s->start[0], dim_const(ctx, have), step < 0, 0);
        if (!dim_is_const(from, &start)) return;
    }
    for (int64_t i = 0; i < count; i++) out[i] = n->in[0]->content[start + i * step];
    content_set(ctx, n, 0, out, (int)count);
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
    if (s.known && y.rank == 1 && n->out[0]) slice_content(ctx, n, &s);
    return true;
}
