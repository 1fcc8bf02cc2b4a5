/* GroupNormalization, MeanVarianceNormalization, LpNormalization and Hardmax from others. */
#include "passes/decompose.h"

/* n numbers, all v */
static Value *splat(Build *b, Dtype t, int64_t n, double v) {
    Tensor *made = b->failed ? NULL : tensor_new(b->r->g, t, 1, &n);
    b->failed = !made;
    for (int64_t i = 0; made && i < n; i++) tensor_set_float(made, i, v);
    return made ? value_of_tensor(b->r->g, made) : NULL;
}

/* one number a channel, to be broadcast along axis 1 of x */
static Value *by_channel(Build *b, Value *c, const Value *x) {
    Dim dims[MCC_MAX_RANK];
    for (int i = 0; i < x->type.rank - 1; i++) dims[i] = dim_const(b->r->ctx, 1);
    dims[0] = x->type.dims[1];
    return build_view(b, c, x->type.rank - 1, dims);
}

/* InstanceNormalization of groups; where the scale is one a channel, behind it */
void decompose_group_norm(Build *b) {
    Value *x = b->at->in[0], *scale = b->at->in[1], *bias = b->at->in[2];
    const Type *t = &x->type;
    Ctx *ctx = b->r->ctx;
    int64_t groups = node_int(b->at, "num_groups");
    bool by_group = dim_is(scale->type.dims[0], groups) && !dim_is(t->dims[1], groups);
    Dim wide =
        dim_mul(ctx, dim_floordiv(ctx, t->dims[1], dim_const(ctx, groups)), dim_product(ctx, t->dims + 2, t->rank - 2));
    Value *in[] = {build_view(b, x, 3, (Dim[]){t->dims[0], dim_const(ctx, groups), wide}),
                   by_group ? scale : splat(b, t->dtype, groups, 1), by_group ? bias : splat(b, t->dtype, groups, 0)};
    Node *norm = build_node(b, OP_InstanceNormalization, in, 3);
    if (norm) node_set_float(norm, "epsilon", node_float(b->at, "epsilon"));
    Value *y = build_value(b, norm);
    y = build_view(b, y, t->rank, t->dims);
    if (!by_group) {
        y = build_op(b, OP_Mul, y, by_channel(b, scale, x));
        y = build_op(b, OP_Add, y, by_channel(b, bias, x));
    }
    build_output(b, 0, y);
    build_end(b);
}

/* (x - mean) / (deviation + 1e-9) */
void decompose_mean_variance(Build *b) {
    static const int64_t usual[] = {0, 2, 3};
    const int64_t *axes;
    int count = node_ints(b->at, "axes", &axes);
    if (!node_attr(b->at, "axes")) axes = usual, count = 3;
    Value *x = b->at->in[0], *mean = build_reduce(b, OP_ReduceMean, x, axes, count, true);
    Value *off = build_op(b, OP_Sub, x, mean), *square = build_op(b, OP_Mul, off, off);
    Value *deviation = build_op(b, OP_Sqrt, build_reduce(b, OP_ReduceMean, square, axes, count, true), NULL);
    deviation = build_op(b, OP_Add, deviation, build_scalar(b, x->type.dtype, 1e-9));
    build_output(b, 0, build_op(b, OP_Div, off, deviation));
    build_end(b);
}

/* x / norm; 0 where the norm is 0 */
void decompose_lp_norm(Build *b) {
    Value *x = b->at->in[0], *zero = build_scalar(b, x->type.dtype, 0);
    int64_t axis = node_int(b->at, "axis");
    Value *norm = build_reduce(b, node_int(b->at, "p") == 1 ? OP_ReduceL1 : OP_ReduceL2, x, &axis, 1, true);
    Value *none = build_op(b, OP_Equal, norm, zero);
    build_output(b, 0, build_where(b, none, zero, build_op(b, OP_Div, x, norm)));
    build_end(b);
}

/* 1 at the first of the largest, else 0 */
void decompose_hardmax(Build *b) {
    Value *x = b->at->in[0];
    int rank = x->type.rank, axis = (int)axis_of(node_int(b->at, "axis"), rank);
    Value *first = build_along(b, OP_ArgMax, x, axis);
    Value *is_first = build_op(b, OP_Equal, build_indices(b, x, axis, rank, axis), first);
    build_output(b, 0, build_cast(b, is_first, x->type.dtype));
    build_end(b);
}
