/* ScatterElements, ScatterND: the data with updates at places that indices name. The kernels check the indices. */
#include "frontend/infer/infer.h"

/* A reduction computes: it takes no packed integers or small floats. */
static bool check_reduction(Ctx *ctx, const Node *n) {
    return node_enum(n, "reduction") == 0 || need_dtype(ctx, n, 0, ALL);
}

bool infer_scatter_elements(Ctx *ctx, Node *n) {
    int axis;
    if (!infer_begin(ctx, n) || !need_index_dtype(ctx, n, 1) || !need_same_dtype(ctx, n, 2, 0) ||
        !check_reduction(ctx, n) || !need_rank(ctx, n, 0, 1, MCC_MAX_RANK) ||
        !read_axis(ctx, n, node_int(n, "axis"), type_of(n, 0)->rank, &axis))
        return false;
    const Type *x = type_of(n, 0), *indices = type_of(n, 1), *updates = type_of(n, 2);
    if (!need_rank(ctx, n, 1, x->rank, x->rank) || !need_rank(ctx, n, 2, x->rank, x->rank)) return false;
    for (int i = 0; i < x->rank; i++) {
        if (!equal_dims(ctx, n, indices->dims[i], updates->dims[i], "the sizes of indices and updates")) return false;
        bool late = dim_has_data(indices->dims[i]) || dim_has_data(x->dims[i]); /* the kernel's business */
        if (i != axis && !late && !need_at_most(ctx, n, indices->dims[i], x->dims[i], "sizes of indices and data"))
            return false;
    }
    return set_output_like(ctx, n, 0, 0);
}

/* indices[…, k] name the first k axes; updates: a slice of the data for each tuple */
bool infer_scatter_nd(Ctx *ctx, Node *n) {
    int64_t k;
    if (!infer_begin(ctx, n) || !need_index_dtype(ctx, n, 1) || !need_same_dtype(ctx, n, 2, 0) ||
        !check_reduction(ctx, n) || !need_rank(ctx, n, 0, 1, MCC_MAX_RANK) || !need_rank(ctx, n, 1, 1, MCC_MAX_RANK))
        return false;
    const Type *x = type_of(n, 0), *indices = type_of(n, 1), *updates = type_of(n, 2);
    int q = indices->rank;
    if (!dim_is_const(indices->dims[q - 1], &k))
        return fail(ctx, n, "the last size of the indices is %s: it decides the rank and must be pinned (--dim)",
                    dim_text(ctx, indices->dims[q - 1]));
    if (k < 1 || k > x->rank)
        return fail(ctx, n, "the last size of the indices is %lld, must be 1 to %d", (long long)k, x->rank);
    int rank = q - 1 + x->rank - (int)k;
    if (updates->rank != rank)
        return fail(ctx, n, "the updates have shape %s, must have %d axes", shape_text(ctx, n->in[2]), rank);
    for (int i = 0; i < rank; i++) {
        Dim want = i < q - 1 ? indices->dims[i] : x->dims[i - (q - 1) + k];
        if (!equal_dims(ctx, n, updates->dims[i], want, "the sizes of updates and of what they replace")) return false;
    }
    return set_output_like(ctx, n, 0, 0);
}
