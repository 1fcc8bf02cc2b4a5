/* Reductions over axes that an input or an attribute names. */
#include "frontend/infer/infer.h"

/* The largest that one of dims[lo…hi] can be: a bound where it is not known which of them an output keeps */
static Dim largest(Ctx *ctx, const Dim *dims, int lo, int hi) {
    Dim most = dim_const(ctx, 1);
    for (int i = lo; i <= hi; i++) most = dim_const(ctx, dims[i]->hi > most->hi ? dims[i]->hi : most->hi);
    return most;
}

/* Which axes are known only at run time */
static bool reduce_data_axes(Ctx *ctx, Node *n, int n_axes) {
    const Type *x = type_of(n, 0);
    bool keep = node_int(n, "keepdims") != 0;
    int rank = keep ? x->rank : n_axes < 0 ? declared_rank(ctx, n) : x->rank - n_axes;
    if (rank < 0) return false;
    if (rank > x->rank) return fail(ctx, n, "output 0 is declared with %d axes, input 0 has %d", rank, x->rank);
    Dim dims[MCC_MAX_RANK];
    for (int i = 0; i < rank; i++) {
        Dim most = keep ? largest(ctx, x->dims, i, i) : largest(ctx, x->dims, i, i + x->rank - rank);
        if (!(dims[i] = data_dim(ctx, n, 0, rank, i, 0, most))) return false;
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
    if (dim_is(x->dims[axis], 0))
        return fail(ctx, n, "axis %d is empty: there is no largest or smallest element", axis);
    for (int i = 0; i < x->rank; i++)
        if (i != axis) dims[rank++] = x->dims[i];
        else if (node_int(n, "keepdims")) dims[rank++] = dim_const(ctx, 1);
    return set_output(ctx, n, 0, DT_I64, rank, dims);
}
