/* Views: the same elements in the same order under other dims. */
#include "frontend/infer/infer.h"

static bool set_view(Ctx *ctx, Node *n, int rank, const Dim *dims) {
    if (!set_output(ctx, n, 0, type_of(n, 0)->dtype, rank, dims)) return false;
    content_copy(ctx, n, 0, 0);
    return true;
}

/* ---- AlignAxes ---- */

bool infer_align_axes(Ctx *ctx, Node *n) {
    Dim dims[2 * MCC_MAX_RANK];
    int64_t axis = node_int(n, "axis");
    if (!infer_begin(ctx, n)) return false;
    int rank = type_of(n, 0)->rank, wide = type_of(n, 1)->rank;
    if (axis < 0) axis += wide;
    if (axis < 0 || axis > wide) return fail(ctx, n, "axis %lld is outside of input 0", (long long)node_int(n, "axis"));
    int behind = wide - (int)axis - rank > 0 ? wide - (int)axis - rank : 0;
    for (int i = 0; i < rank + behind; i++) dims[i] = i < rank ? type_of(n, 0)->dims[i] : dim_const(ctx, 1);
    return set_view(ctx, n, rank + behind, dims);
}

/* ---- Reshape ---- */

/* What the shape input says. -1 and elements that only the run tells are NULL; `open` is the last of them. */
typedef struct Target {
    int rank, n_minus, n_data, open;
    Dim dims[MCC_MAX_RANK];
} Target;

/* A 0 copies the input's size; an open dim that may be 0 must then be that size, or not 0. */
static bool read_zero(Ctx *ctx, const Node *n, int i, Dim *d) {
    const Type *x = type_of(n, 0);
    if (node_int(n, "allowzero") || !*d || (*d)->lo > 0 || (*d)->hi < 0 || (i < x->rank && *d == x->dims[i]))
        return true;
    if (!dim_is(*d, 0))
        return dim_has_data(*d) ||
               need_at_most(ctx, n, dim_const(ctx, 1), *d, "the least size of an axis of the new shape");
    if (i >= x->rank)
        return fail(ctx, n, "shape[%d] is 0, which copies axis %d, but input 0 has %d axes", i, i, x->rank);
    *d = x->dims[i];
    return true;
}

static bool read_target(Ctx *ctx, const Node *n, const IntList *shape, Target *t) {
    bool zero = false;
    *t = (Target){.rank = shape->n, .open = -1};
    for (int i = 0; i < shape->n; i++) {
        Dim d = shape->v[i];
        zero = zero || dim_is(d, 0);
        if (d && d->hi < -1) return fail(ctx, n, "shape[%d] is %s", i, dim_text(ctx, d));
        if (dim_is(d, -1)) t->n_minus++;
        if (!d) t->n_data++;
        if (dim_is(d, -1)) d = NULL;
        if (!d) t->open = i;
        if (!read_zero(ctx, n, i, &d)) return false;
        t->dims[i] = d;
    }
    if (t->n_minus > 1) return fail(ctx, n, "shape has more than one -1");
    if (t->n_minus && zero && node_int(n, "allowzero"))
        return fail(ctx, n, "shape has both 0 and -1, which allowzero forbids");
    return true;
}

/* The numbers of elements before and after, without the dim that is not told; beside one, sizes of 0 that stay where
 * they are cancel out, as open dims do */
static void count_elements(Ctx *ctx, const Node *n, const Target *t, Dim *total, Dim *known) {
    const Type *x = type_of(n, 0);
    *total = *known = dim_const(ctx, 1);
    for (int i = 0; i < x->rank || i < t->rank; i++) {
        bool stays = t->open >= 0 && i < x->rank && i < t->rank && dim_is(x->dims[i], 0) && dim_is(t->dims[i], 0);
        if (i < x->rank && !stays) *total = dim_mul(ctx, *total, x->dims[i]);
        if (i < t->rank && !stays && i != t->open) *known = dim_mul(ctx, *known, t->dims[i]);
    }
}

/* The one dim that is not told follows from the number of elements */
static bool complete_target(Ctx *ctx, const Node *n, Target *t) {
    Dim total, known;
    count_elements(ctx, n, t, &total, &known);
    if (!total || !known) return fail(ctx, n, "the number of elements overflows");
    if (t->open < 0) return equal_dims(ctx, n, total, known, "the numbers of elements before and after") != NULL;
    if (dim_is(known, 0) && t->n_data)
        return (t->dims[t->open] = data_dim(ctx, n, 0, t->rank, t->open, 0, NULL)) != NULL;
    if (dim_is(known, 0))
        return fail(ctx, n, "the size of axis %d of the new shape is not told, beside a size of 0", t->open);
    Dim divisor = dim_max(ctx, known, dim_const(ctx, 1)), rest = dim_floordiv(ctx, total, divisor);
    Dim exact =
        dim_floordiv(ctx, total, known); /* N·W / W = N needs no test for W = 0: there is nothing to show then */
    if (exact && dim_mul(ctx, exact, known) == total) rest = exact;
    else if (!rest ||
             !equal_dims(ctx, n, dim_mul(ctx, rest, divisor), total, "the numbers of elements before and after"))
        return false;
    t->dims[t->open] = rest;
    return true;
}

static bool reshape_data(Ctx *ctx, Node *n, Target *t) {
    Dim total = value_elements(ctx, n->in[0]);
    if (dim_is(total, 0)) total = NULL; /* beside a 0 any size will do */
    for (int i = 0; i < t->rank; i++)
        if (!t->dims[i] && !(t->dims[i] = data_dim(ctx, n, 0, t->rank, i, 0, total))) return false;
    return set_view(ctx, n, t->rank, t->dims);
}

bool infer_reshape(Ctx *ctx, Node *n) {
    IntList shape;
    Target t;
    if (!infer_begin(ctx, n) || !read_list(ctx, n, 1, MCC_MAX_RANK, &shape)) return false;
    if (shape.n < 0) {
        t = (Target){.rank = declared_rank(ctx, n), .n_data = MCC_MAX_RANK};
        if (t.rank < 0 || !need_length(ctx, n, 1, t.rank)) return false;
    } else if (!read_target(ctx, n, &shape, &t)) {
        return false;
    }
    bool by_values = t.n_data && dim_has_data(value_elements(ctx, n->in[0]));
    if (t.n_data + t.n_minus > 1 || by_values) return reshape_data(ctx, n, &t);
    return complete_target(ctx, n, &t) && set_view(ctx, n, t.rank, t.dims);
}

/* ---- Flatten, Squeeze, Unsqueeze ---- */

bool infer_flatten(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n)) return false;
    const Type *x = type_of(n, 0);
    int64_t axis = node_int(n, "axis");
    if (axis < -x->rank || axis > x->rank)
        return fail(ctx, n, "axis %lld is outside of [%d, %d]", (long long)axis, -x->rank, x->rank);
    int split = (int)(axis < 0 ? axis + x->rank : axis);
    return set_view(ctx, n, 2,
                    (Dim[]){dim_product(ctx, x->dims, split), dim_product(ctx, x->dims + split, x->rank - split)});
}

/* Axes known only at run time: output axis i is one of the input's axes i - after … i + before, or 1 */
static bool view_data_axes(Ctx *ctx, Node *n, int rank) {
    const Type *x = type_of(n, 0);
    Dim dims[MCC_MAX_RANK];
    if (rank > MCC_MAX_RANK)
        return fail(ctx, n, "output 0 would have %d axes, mcc takes at most %d", rank, MCC_MAX_RANK);
    for (int i = 0; i < rank; i++) {
        int lo = i + x->rank - rank, hi = i;
        if (lo > hi) lo = i, hi = i + x->rank - rank;
        if (lo < 0) lo = 0;
        if (hi >= x->rank) hi = x->rank - 1;
        if (!(dims[i] = data_dim(ctx, n, 0, rank, i, 0, largest_dim(ctx, x->dims, lo, hi)))) return false;
    }
    return set_view(ctx, n, rank, dims);
}

bool infer_squeeze(Ctx *ctx, Node *n) {
    IntList list;
    int64_t values[MCC_MAX_RANK];
    int axes[MCC_MAX_RANK], rank = 0;
    if (!infer_begin(ctx, n) || !read_axis_list(ctx, n, 1, &list)) return false;
    const Type *x = type_of(n, 0);
    if (list.n > x->rank) return fail(ctx, n, "%d axes are listed, there are %d", list.n, x->rank);
    if (list.present && !list_is_const(&list, values)) {
        rank = list.n >= 0 ? x->rank - list.n : declared_rank(ctx, n);
        if (rank < 0 || (list.n < 0 && !need_length(ctx, n, 1, x->rank - rank))) return false;
        return view_data_axes(ctx, n, rank);
    }
    if (!read_axes(ctx, n, values, list.n, x->rank, axes)) return false;
    unsigned gone = 0;
    for (int i = 0; i < list.n; i++) {
        if (!equal_dims(ctx, n, x->dims[axes[i]], dim_const(ctx, 1), "the size of a squeezed axis and 1")) return false;
        gone |= 1u << axes[i];
    }
    Dim dims[MCC_MAX_RANK];
    for (int i = 0; i < x->rank; i++) /* without axes an open dim stays, for ranks are fixed */
        if (list.present ? !(gone >> i & 1) : !dim_is(x->dims[i], 1)) dims[rank++] = x->dims[i];
    return set_view(ctx, n, rank, dims);
}

bool infer_unsqueeze(Ctx *ctx, Node *n) {
    IntList list;
    int64_t values[MCC_MAX_RANK];
    int axes[MCC_MAX_RANK];
    if (!infer_begin(ctx, n) || !read_axis_list(ctx, n, 1, &list)) return false;
    const Type *x = type_of(n, 0);
    int rank = list.n >= 0 ? x->rank + list.n : declared_rank(ctx, n);
    if (rank < 0 || (list.n < 0 && !need_length(ctx, n, 1, rank - x->rank))) return false;
    if (rank > MCC_MAX_RANK)
        return fail(ctx, n, "output 0 would have %d axes, mcc takes at most %d", rank, MCC_MAX_RANK);
    if (!list_is_const(&list, values)) return view_data_axes(ctx, n, rank);
    if (!read_axes(ctx, n, values, list.n, rank, axes)) return false;
    unsigned added = 0;
    for (int i = 0; i < list.n; i++) added |= 1u << axes[i];
    Dim dims[MCC_MAX_RANK];
    for (int i = 0, from = 0; i < rank; i++) dims[i] = added >> i & 1 ? dim_const(ctx, 1) : x->dims[from++];
    return set_view(ctx, n, rank, dims);
}
