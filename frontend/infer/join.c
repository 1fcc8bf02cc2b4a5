/* Concat and Split. */
#include "frontend/infer/infer.h"
#include <string.h>

/* Parts lie behind one another in each of the places in front of the axis. */
static void concat_content(Ctx *ctx, Node *n, int axis) {
    Dim all[VALUE_CONTENT_MAX];
    int64_t outer = 1, part[MCC_MAX_RANK], each;
    int count = 0;
    for (int i = 0; i < n->n_in; i++)
        if (!value_static_dims(n->in[i], part) || !product_i64(part, type_of(n, i)->rank, &each) ||
            each > VALUE_CONTENT_MAX)
            return;
    for (int k = 0; k < axis; k++) outer *= part[k];
    for (int64_t o = 0; o < outer; o++)
        for (int i = 0; i < n->n_in; i++) {
            int have = value_content(n->in[i]);
            value_static_dims(n->in[i], part);
            product_i64(part + axis, type_of(n, i)->rank - axis, &each);
            if (each > VALUE_CONTENT_MAX - count) return;
            for (int64_t e = 0; e < each; e++) all[count++] = have >= 0 ? n->in[i]->content[o * each + e] : NULL;
        }
    content_set(ctx, n, 0, all, count);
}

bool infer_concat(Ctx *ctx, Node *n) {
    int axis;
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 1, MCC_MAX_RANK) ||
        !read_axis(ctx, n, node_int(n, "axis"), type_of(n, 0)->rank, &axis))
        return false;
    Type y = *type_of(n, 0);
    for (int i = 1; i < n->n_in; i++) {
        if (!need_same_dtype(ctx, n, i, 0) || !need_rank(ctx, n, i, y.rank, y.rank)) return false;
        const Dim *dims = type_of(n, i)->dims;
        for (int k = 0; k < y.rank; k++)
            y.dims[k] = k == axis ? dim_add(ctx, y.dims[k], dims[k])
                                  : equal_dims(ctx, n, y.dims[k], dims[k], "sizes beside the axis");
        for (int k = 0; k < y.rank; k++)
            if (!y.dims[k]) return k == axis ? fail(ctx, n, "the size of axis %d overflows", k) : false;
    }
    if (!set_output(ctx, n, 0, y.dtype, y.rank, y.dims)) return false;
    concat_content(ctx, n, axis);
    return true;
}

/* Parts of ceil(size / parts), the last one what is left */
static bool equal_parts(Ctx *ctx, const Node *n, Dim size, Dim *parts) {
    int64_t count = node_int(n, "num_outputs");
    if (node_attr(n, "num_outputs") && count != n->n_out)
        return fail(ctx, n, "num_outputs is %lld, but there are %d outputs", (long long)count, n->n_out);
    Dim part = dim_ceildiv(ctx, size, dim_const(ctx, n->n_out));
    for (int i = 0; i + 1 < n->n_out; i++) parts[i] = part;
    parts[n->n_out - 1] = dim_sub(ctx, size, dim_mul(ctx, part, dim_const(ctx, n->n_out - 1)));
    if (!parts[n->n_out - 1] || parts[n->n_out - 1]->hi < 0)
        return fail(ctx, n, "%s cannot be split into %d parts", dim_text(ctx, size), n->n_out);
    return true;
}

static bool given_parts(Ctx *ctx, const Node *n, const IntList *list, Dim size, Dim *parts) {
    Dim sum = dim_const(ctx, 0);
    if (node_attr(n, "num_outputs")) return fail(ctx, n, "both num_outputs and the sizes of the parts are given");
    if (list->n >= 0 && list->n != n->n_out)
        return fail(ctx, n, "%d sizes are listed, there are %d outputs", list->n, n->n_out);
    if (list->n < 0 && !need_length(ctx, n, 1, n->n_out)) return false;
    for (int i = 0; i < n->n_out; i++) {
        parts[i] = list->n < 0 ? NULL : list->v[i];
        sum = dim_add(ctx, sum, parts[i]);
        if (parts[i] && parts[i]->lo < 0) return fail(ctx, n, "the size of part %d is %s", i, dim_text(ctx, parts[i]));
    }
    return !sum || equal_dims(ctx, n, sum, size, "the sum of the parts and the size of the axis");
}

static void split_content(Ctx *ctx, Node *n, int axis, const Dim *parts) {
    int64_t pitch[MCC_MAX_RANK], at = 0, count;
    if (!content_pitches(n->in[0], pitch)) return;
    for (int i = 0; i < n->n_out && dim_is_const(parts[i], &count); i++, at += count)
        content_move(ctx, n, i, at * pitch[axis], pitch);
}

bool infer_split(Ctx *ctx, Node *n) {
    int axis;
    IntList list;
    if (!infer_begin(ctx, n) || !read_axis(ctx, n, node_int(n, "axis"), type_of(n, 0)->rank, &axis) ||
        !read_list(ctx, n, 1, n->n_out, &list))
        return false;
    Type y = *type_of(n, 0);
    Dim size = y.dims[axis], *parts = ARENA_ARRAY(ctx->arena, n->n_out, Dim);
    if (!(list.present ? given_parts(ctx, n, &list, size, parts) : equal_parts(ctx, n, size, parts))) return false;
    for (int i = 0; i < n->n_out; i++) {
        if (!parts[i] && !(parts[i] = data_dim(ctx, n, i, y.rank, axis, 0, size))) return false;
        y.dims[axis] = parts[i];
        if (!set_output(ctx, n, i, y.dtype, y.rank, y.dims)) return false;
    }
    split_content(ctx, n, axis, parts);
    return true;
}
