/* Reductions over axes that an input or an attribute names. */
#include "frontend/infer/infer.h"

/* Which axes are known only at run time */
static bool reduce_data_axes(Ctx *ctx, Node *n, int n_axes) {
    const Type *x = type_of(n, 0);
    bool keep = node_int(n, "keepdims") != 0;
    int rank = keep ? x->rank : n_axes < 0 ? declared_rank(ctx, n) : x->rank - n_axes;
    Dim all = dim_const(ctx, x->rank);
    if (n_axes < 0 && !need_at_most(ctx, n, type_of(n, 1)->dims[0], all, "the number of axes to reduce")) return false;
    if (rank < 0 || (n_axes < 0 && !keep && !need_length(ctx, n, 1, x->rank - rank))) return false;
    Dim dims[MCC_MAX_RANK];
    for (int i = 0; i < rank; i++) {
        Dim most = keep ? largest_dim(ctx, x->dims, i, i) : largest_dim(ctx, x->dims, i, i + x->rank - rank);
        int64_t least = keep && x->dims[i]->lo > 0; /* the axis stays as it is, or becomes 1 */
        if (!(dims[i] = data_dim(ctx, n, 0, rank, i, least, most))) return false;
    }
    return set_output(ctx, n, 0, x->dtype, rank, dims);
}

bool infer_reduce(Ctx *ctx, Node *n) {
    IntList list;
    int64_t values[MCC_MAX_RANK];
    int axes[MCC_MAX_RANK], rank = 0;
    if (!infer_begin(ctx, n) || !read_list(ctx, n, 1, MCC_MAX_RANK, &list)) return false;
    const Type *x = type_of(n, 0);
    if (list.n > x->rank) return fail(ctx, n, "%d axes are listed, there are %d", list.n, x->rank);
    if (list.present && !list_is_const(&list, values)) return reduce_data_axes(ctx, n, list.n);
    if (!read_axes(ctx, n, values, list.n, x->rank, axes)) return false;
    unsigned reduced = 0;
    for (int i = 0; i < list.n; i++) reduced |= 1u << axes[i];
    if (list.n == 0 && !node_int(n, "noop_with_empty_axes")) reduced = ~0u;
    Dim dims[MCC_MAX_RANK];
    bool keep = node_int(n, "keepdims") != 0;
    for (int i = 0; i < x->rank; i++)
        if (!(reduced >> i & 1)) dims[rank++] = x->dims[i];
        else if (keep) dims[rank++] = dim_const(ctx, 1);
    if (!set_output(ctx, n, 0, x->dtype, rank, dims)) return false;
    if (reduced) content_reduce(ctx, n);
    return true;
}

bool infer_arg_reduce(Ctx *ctx, Node *n) {
    int axis, rank = 0;
    if (!infer_begin(ctx, n) || !read_axis(ctx, n, node_int(n, "axis"), type_of(n, 0)->rank, &axis)) return false;
    const Type *x = type_of(n, 0);
    Dim dims[MCC_MAX_RANK];
    if (!need_at_most(ctx, n, dim_const(ctx, 1), x->dims[axis], "the least size of the axis and its size"))
        return false;
    for (int i = 0; i < x->rank; i++)
        if (i != axis) dims[rank++] = x->dims[i];
        else if (node_int(n, "keepdims")) dims[rank++] = dim_const(ctx, 1);
    return set_output(ctx, n, 0, DT_I64, rank, dims);
}
