/* Normalisations whose outputs are not just like their input, or whose attributes need checks; Dropout. */
#include "frontend/infer/infer.h"

bool infer_batch_norm(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 1, MCC_MAX_RANK)) return false;
    const Type *x = type_of(n, 0);
    Dim channels = x->rank > 1 ? x->dims[1] : dim_const(ctx, 1);
    for (int i = 1; i < 5; i++)
        if (!need_dtype(ctx, n, i, F) || !need_rank(ctx, n, i, 1, 1) ||
            !equal_dims(ctx, n, type_of(n, i)->dims[0], channels, "the lengths of the statistics and of the channels"))
            return false;
    if (n->n_out > 1 && !node_int(n, "training_mode"))
        return fail(ctx, n, "has running statistics as outputs, but training_mode is 0");
    return set_output_like(ctx, n, 0, 0) && set_output_like(ctx, n, 1, 3) && set_output_like(ctx, n, 2, 4);
}

/* Outputs 1 and 2, mean and inverse deviation, have 1 in place of the normalised axes */
bool infer_layer_norm(Ctx *ctx, Node *n) {
    int axis;
    if (!infer_begin(ctx, n) || !read_axis(ctx, n, node_int(n, "axis"), type_of(n, 0)->rank, &axis)) return false;
    const Type *x = type_of(n, 0);
    bool scaled = n->op == OP_RMSNormalization; /* the result is of the scale's type */
    for (int i = 1; i < n->n_in; i++)
        if (n->in[i] &&
            ((scaled ? !need_dtype(ctx, n, i, F) : !need_same_dtype(ctx, n, i, 0)) || !need_broadcast_to(ctx, n, i, x)))
            return false;
    int64_t stash = node_int(n, "stash_type");
    if (stash != DT_F32 && stash != DT_BF16 && stash != DT_F16 && stash != DT_F64)
        return fail(ctx, n, "stash_type is %lld, must be a float type", (long long)stash);
    Dim dims[MCC_MAX_RANK];
    for (int i = 0; i < x->rank; i++) dims[i] = i < axis ? x->dims[i] : dim_const(ctx, 1);
    return set_output(ctx, n, 0, type_of(n, scaled ? 1 : 0)->dtype, x->rank, x->dims) &&
           set_output(ctx, n, 1, (Dtype)stash, x->rank, dims) && set_output(ctx, n, 2, (Dtype)stash, x->rank, dims);
}

bool infer_dropout(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n)) return false;
    if (node_in(n, 1) && (!need_dtype(ctx, n, 1, F) || !need_scalar(ctx, n, 1))) return false;
    if (node_in(n, 2) && (!need_dtype_is(ctx, n, 2, DT_BOOL) || !need_scalar(ctx, n, 2))) return false;
    return set_output_like(ctx, n, 0, 0) && set_output(ctx, n, 1, DT_BOOL, type_of(n, 0)->rank, type_of(n, 0)->dims);
}

/* Scale and bias: one a channel, or before opset 21 one a group; a function may be of another opset than the model, so
 * that their length says which */
bool infer_group_norm(Ctx *ctx, Node *n) {
    int64_t groups = node_int(n, "num_groups"), stash = node_int(n, "stash_type");
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 2, MCC_MAX_RANK)) return false;
    const Type *x = type_of(n, 0);
    if (groups < 1) return fail(ctx, n, "num_groups is %lld, must be at least 1", (long long)groups);
    if (stash != DT_F32 && stash != DT_F16 && stash != DT_BF16 && stash != DT_F64)
        return fail(ctx, n, "stash_type is %lld, must be a float type", (long long)stash);
    if (!need_divisible(ctx, n, x->dims[1], groups, "the number of channels")) return false;
    Dim each = x->dims[1];
    if (node_in(n, 1) && type_of(n, 1)->rank == 1 && dim_is(type_of(n, 1)->dims[0], groups))
        each = dim_const(ctx, groups);
    for (int i = 1; i < 3; i++)
        if (!need_same_dtype(ctx, n, i, 0) || !need_rank(ctx, n, i, 1, 1) ||
            !equal_dims(ctx, n, type_of(n, i)->dims[0], each, "the lengths of scale or bias and what they are for"))
            return false;
    return set_output_like(ctx, n, 0, 0);
}

bool infer_mean_variance_norm(Ctx *ctx, Node *n) {
    static const int64_t usual[] = {0, 2, 3};
    const int64_t *axes;
    int at[MCC_MAX_RANK], count = node_ints(n, "axes", &axes);
    if (!node_attr(n, "axes")) axes = usual, count = 3;
    return infer_begin(ctx, n) && read_axes(ctx, n, axes, count, type_of(n, 0)->rank, at) &&
           set_output_like(ctx, n, 0, 0);
}

bool infer_lp_norm(Ctx *ctx, Node *n) {
    int axis;
    int64_t p = node_int(n, "p");
    if (!infer_begin(ctx, n) || !read_axis(ctx, n, node_int(n, "axis"), type_of(n, 0)->rank, &axis)) return false;
    if (p != 1 && p != 2) return fail(ctx, n, "p is %lld, must be 1 or 2", (long long)p);
    return set_output_like(ctx, n, 0, 0);
}

bool infer_hardmax(Ctx *ctx, Node *n) {
    int axis;
    return infer_begin(ctx, n) && read_axis(ctx, n, node_int(n, "axis"), type_of(n, 0)->rank, &axis) &&
           set_output_like(ctx, n, 0, 0);
}
