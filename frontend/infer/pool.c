/* Pools: windows over the spatial axes, or all of them at once. */
#include "frontend/infer/infer.h"

bool infer_pool(Ctx *ctx, Node *n) {
    Window w;
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 3, MCC_MAX_RANK)) return false;
    const Type *x = type_of(n, 0);
    if (!window_read(ctx, n, x->rank - 2, NULL, &w)) return false;
    if (n->op == OP_LpPool && node_int(n, "p") < 1)
        return fail(ctx, n, "p is %lld, must be at least 1", (long long)node_int(n, "p"));
    Dim dims[MCC_MAX_RANK] = {x->dims[0], x->dims[1]};
    for (int i = 0; i < w.n; i++)
        dims[2 + i] = window_output(ctx, &w, i, x->dims[2 + i], node_int(n, "ceil_mode") != 0);
    return set_output(ctx, n, 0, x->dtype, x->rank, dims) && set_output(ctx, n, 1, DT_I64, x->rank, dims);
}

bool infer_global_pool(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 2, MCC_MAX_RANK)) return false;
    const Type *x = type_of(n, 0);
    if (n->op == OP_GlobalLpPool && node_int(n, "p") < 1)
        return fail(ctx, n, "p is %lld, must be at least 1", (long long)node_int(n, "p"));
    Dim dims[MCC_MAX_RANK] = {x->dims[0], x->dims[1]};
    for (int i = 2; i < x->rank; i++) dims[i] = dim_const(ctx, 1);
    return set_output(ctx, n, 0, x->dtype, x->rank, dims);
}
