/* Transpose, Expand, Tile, Pad, DepthToSpace, SpaceToDepth. */
#include "frontend/infer/infer.h"

bool infer_transpose(Ctx *ctx, Node *n) {
    const int64_t *perm;
    int axes[MCC_MAX_RANK];
    if (!infer_begin(ctx, n)) return false;
    const Type *x = type_of(n, 0);
    int count = node_ints(n, "perm", &perm);
    if (count && count != x->rank) return fail(ctx, n, "perm has %d entries, there are %d axes", count, x->rank);
    if (!read_axes(ctx, n, perm, count, x->rank, axes)) return false;
    Dim dims[MCC_MAX_RANK];
    for (int i = 0; i < x->rank; i++) dims[i] = x->dims[count ? axes[i] : x->rank - 1 - i];
    if (!set_output(ctx, n, 0, x->dtype, x->rank, dims)) return false;
    int64_t pitch[MCC_MAX_RANK], moved[MCC_MAX_RANK];
    if (!content_pitches(n->in[0], pitch)) return true;
    for (int i = 0; i < x->rank; i++) moved[i] = pitch[count ? axes[i] : x->rank - 1 - i];
    content_move(ctx, n, 0, 0, moved);
    return true;
}

bool infer_move_axis(Ctx *ctx, Node *n) {
    int from, to;
    if (!infer_begin(ctx, n)) return false;
    const Type *x = type_of(n, 0);
    if (!read_axis(ctx, n, node_int(n, "from"), x->rank, &from) || !read_axis(ctx, n, node_int(n, "to"), x->rank, &to))
        return false;
    Dim dims[MCC_MAX_RANK];
    int64_t order[MCC_MAX_RANK];
    node_axis_order(n, order);
    for (int i = 0; i < x->rank; i++) dims[i] = x->dims[order[i]];
    return set_output(ctx, n, 0, x->dtype, x->rank, dims);
}

/* ---- Expand ---- */

/* have: the input's size; want: what the shape asks for, NULL where only the run tells. 1 gives way to the other. */
static Dim expand_dim(Ctx *ctx, const Node *n, Dim have, Dim want, int rank, int axis) {
    if (!want && (have->lo > 1 || have->hi == 0)) return have;
    if (!want) return data_dim(ctx, n, 0, rank, axis, 0, NULL);
    if (want->hi < 0) return fail_dim(ctx, n, "shape asks for %s elements on axis %d", dim_text(ctx, want), axis);
    if (dim_is(have, 1) || dim_is(want, 1)) return dim_is(want, 1) ? have : want;
    if (have->kind == DIM_CONST && want->kind != DIM_CONST) return have; /* the shape may only say the same, or 1 */
    return equal_dims(ctx, n, have, want, "the sizes of input and shape");
}

bool infer_expand(Ctx *ctx, Node *n) {
    IntList shape;
    if (!infer_begin(ctx, n) || !read_list(ctx, n, 1, MCC_MAX_RANK, &shape)) return false;
    const Type *x = type_of(n, 0);
    int rank = shape.n < 0 ? declared_rank(ctx, n) : shape.n > x->rank ? shape.n : x->rank;
    if (rank < 0) return false;
    if (rank < x->rank) return fail(ctx, n, "output 0 is declared with %d axes, input 0 has %d", rank, x->rank);
    if (shape.n < 0 && rank > x->rank && !need_length(ctx, n, 1, rank)) return false;
    if (shape.n < 0 && !need_at_most(ctx, n, type_of(n, 1)->dims[0], dim_const(ctx, rank), "the length of the shape"))
        return false;
    Dim dims[MCC_MAX_RANK], one = dim_const(ctx, 1);
    for (int i = 1; i <= rank && rank <= MCC_MAX_RANK; i++) {
        Dim have = i <= x->rank ? x->dims[x->rank - i] : one;
        Dim want = shape.n < 0 ? NULL : i <= shape.n ? shape.v[shape.n - i] : one;
        if (!(dims[rank - i] = expand_dim(ctx, n, have, want, rank, rank - i))) return false;
    }
    if (!set_output(ctx, n, 0, x->dtype, rank, dims)) return false;
    int64_t pitch[MCC_MAX_RANK], wide[MCC_MAX_RANK] = {0};
    if (!content_pitches(n->in[0], pitch)) return true;
    for (int i = 1; i <= x->rank; i++) wide[rank - i] = dim_is(x->dims[x->rank - i], 1) ? 0 : pitch[x->rank - i];
    content_move(ctx, n, 0, 0, wide);
    return true;
}

/* ---- Tile, Pad ---- */

bool infer_tile(Ctx *ctx, Node *n) {
    IntList repeats;
    if (!infer_begin(ctx, n) || !read_list(ctx, n, 1, MCC_MAX_RANK, &repeats)) return false;
    Type y = *type_of(n, 0);
    if (repeats.n >= 0 && repeats.n != y.rank)
        return fail(ctx, n, "%d repeats are listed, there are %d axes", repeats.n, y.rank);
    if (repeats.n < 0 && !need_length(ctx, n, 1, y.rank)) return false;
    for (int i = 0; i < y.rank; i++) {
        Dim times = repeats.n < 0 ? NULL : repeats.v[i];
        if (times && times->hi < 0) return fail(ctx, n, "repeats[%d] is %s", i, dim_text(ctx, times));
        if (dim_is(y.dims[i], 0)) continue;
        y.dims[i] = times ? dim_mul(ctx, y.dims[i], times) : data_dim(ctx, n, 0, y.rank, i, 0, NULL);
        if (!times && !y.dims[i]) return false;
    }
    return set_output(ctx, n, 0, y.dtype, y.rank, y.dims);
}

enum { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP };

/* The size of an axis with `before` and `after` more elements, which may be negative; NULL where only the run tells */
static Dim padded(Ctx *ctx, const Node *n, Dim size, Dim before, Dim after, int axis, int rank) {
    if (!before || !after) return data_dim(ctx, n, 0, rank, axis, 0, NULL);
    Dim d = dim_add(ctx, size, dim_add(ctx, before, after));
    if (!d) return fail_dim(ctx, n, "the size of axis %d overflows", axis);
    bool moves = !dim_is(before, 0) || !dim_is(after, 0);
    bool copies = node_enum(n, "mode") != PAD_CONSTANT && moves && d->hi > 0 && !dim_has_data(size);
    Dim none = dim_const(ctx, 0),
        left = dim_add(ctx, size, dim_add(ctx, dim_min(ctx, before, none), dim_min(ctx, after, none)));
    if (copies &&
        !need_at_most(ctx, n, dim_const(ctx, 1), left, "the least size of an axis padded with its own elements"))
        return NULL;
    return d;
}

static bool check_pad(Ctx *ctx, const Node *n) {
    Dim pads = type_of(n, 1)->dims[0],
        axes = node_in(n, 3) ? type_of(n, 3)->dims[0] : dim_const(ctx, type_of(n, 0)->rank);
    if (!equal_dims(ctx, n, pads, dim_mul(ctx, axes, dim_const(ctx, 2)),
                    "the length of pads and twice the number of axes"))
        return false;
    if (!need_at_most(ctx, n, axes, dim_const(ctx, type_of(n, 0)->rank), "the number of axes to pad")) return false;
    return !node_in(n, 2) || (need_same_dtype(ctx, n, 2, 0) && need_scalar(ctx, n, 2));
}

bool infer_pad(Ctx *ctx, Node *n) {
    IntList pads, list;
    int64_t values[MCC_MAX_RANK];
    int axes[MCC_MAX_RANK];
    if (!infer_begin(ctx, n) || !read_list(ctx, n, 1, 2 * MCC_MAX_RANK, &pads) ||
        !read_list(ctx, n, 3, MCC_MAX_RANK, &list) || !check_pad(ctx, n))
        return false;
    Type y = *type_of(n, 0);
    int count = list.present ? list.n : y.rank;
    for (int i = 0; i < y.rank; i++) {
        if (!list.present) values[i] = i;
        else if (!list_is_const(&list, values) && !(y.dims[i] = data_dim(ctx, n, 0, y.rank, i, 0, NULL))) return false;
    }
    if (list.present && !list_is_const(&list, values)) return set_output(ctx, n, 0, y.dtype, y.rank, y.dims);
    if (!read_axes(ctx, n, values, count, y.rank, axes)) return false;
    for (int i = 0; i < count; i++) {
        Dim before = pads.n < 0 ? NULL : pads.v[i], after = pads.n < 0 ? NULL : pads.v[count + i];
        if (!(y.dims[axes[i]] = padded(ctx, n, y.dims[axes[i]], before, after, axes[i], y.rank))) return false;
    }
    return set_output(ctx, n, 0, y.dtype, y.rank, y.dims);
}

/* ---- DepthToSpace, SpaceToDepth ---- */

static bool read_blocksize(Ctx *ctx, const Node *n, int64_t *b, int64_t *area) {
    *b = node_int(n, "blocksize");
    if (*b >= 1 && mul_i64(*b, *b, area)) return true;
    return fail(ctx, n, "blocksize is %lld, must be a small positive number", (long long)*b);
}

bool infer_depth_to_space(Ctx *ctx, Node *n) {
    int64_t b, area;
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 4, 4) || !read_blocksize(ctx, n, &b, &area)) return false;
    const Type *x = type_of(n, 0);
    if (!need_divisible(ctx, n, x->dims[1], area, "the number of channels")) return false;
    Dim by = dim_const(ctx, b);
    Dim dims[] = {x->dims[0], dim_floordiv(ctx, x->dims[1], dim_const(ctx, area)), dim_mul(ctx, x->dims[2], by),
                  dim_mul(ctx, x->dims[3], by)};
    return set_output(ctx, n, 0, x->dtype, 4, dims);
}

bool infer_space_to_depth(Ctx *ctx, Node *n) {
    int64_t b, area;
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 4, 4) || !read_blocksize(ctx, n, &b, &area)) return false;
    const Type *x = type_of(n, 0);
    if (!need_divisible(ctx, n, x->dims[2], b, "the height") || !need_divisible(ctx, n, x->dims[3], b, "the width"))
        return false;
    Dim by = dim_const(ctx, b);
    Dim dims[] = {x->dims[0], dim_mul(ctx, x->dims[1], dim_const(ctx, area)), dim_floordiv(ctx, x->dims[2], by),
                  dim_floordiv(ctx, x->dims[3], by)};
    return set_output(ctx, n, 0, x->dtype, 4, dims);
}
