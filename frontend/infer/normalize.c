/* BatchNormalization, LayerNormalization and RMSNormalization, Dropout: normalisations with more than one output. */
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
    for (int i = 1; i < n->n_in; i++)
        if (n->in[i] && (!need_same_dtype(ctx, n, i, 0) || !need_broadcast_to(ctx, n, i, x))) return false;
    int64_t stash = node_int(n, "stash_type");
    if (stash != DT_F32 && stash != DT_BF16 && stash != DT_F16 && stash != DT_F64)
        return fail(ctx, n, "stash_type is %lld, must be a float type", (long long)stash);
    Dim dims[MCC_MAX_RANK];
    for (int i = 0; i < x->rank; i++) dims[i] = i < axis ? x->dims[i] : dim_const(ctx, 1);
    return set_output_like(ctx, n, 0, 0) && set_output(ctx, n, 1, (Dtype)stash, x->rank, dims) &&
           set_output(ctx, n, 2, (Dtype)stash, x->rank, dims);
}

bool infer_dropout(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n)) return false;
    if (node_in(n, 1) && (!need_dtype(ctx, n, 1, F) || !need_scalar(ctx, n, 1))) return false;
    if (node_in(n, 2) && (!need_dtype_is(ctx, n, 2, DT_BOOL) || !need_scalar(ctx, n, 2))) return false;
    return set_output_like(ctx, n, 0, 0) && set_output(ctx, n, 1, DT_BOOL, type_of(n, 0)->rank, type_of(n, 0)->dims);
}
