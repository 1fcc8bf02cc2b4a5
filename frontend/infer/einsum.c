/* Einsum: the sizes of labels, which broadcast. */
#include "frontend/infer/infer.h"

bool infer_einsum(Ctx *ctx, Node *n) {
    EinsumTerm *in = ARENA_ARRAY(ctx->arena, n->n_in, EinsumTerm), out;
    Dim size[EINSUM_LABELS], dims[MCC_MAX_RANK];
    if (!infer_begin(ctx, n)) return false;
    for (int i = 1; i < n->n_in; i++)
        if (!need_same_dtype(ctx, n, i, 0)) return false;
    if (!einsum_read(ctx, n, in, &out)) return false;
    for (int i = 0; i < EINSUM_LABELS; i++) size[i] = dim_const(ctx, 1);
    for (int i = 0; i < n->n_in; i++) {
        Dim own[EINSUM_LABELS] = {0};
        for (int k = 0; k < in[i].rank; k++) {
            int label = in[i].labels[k];
            Dim d = type_of(n, i)->dims[k];
            if (own[label] && !equal_dims(ctx, n, own[label], d, "the sizes of an index that one operand has twice"))
                return false;
            own[label] = d;
            if (!(size[label] = broadcast_dim(ctx, n, size[label], d))) return false;
        }
    }
    for (int i = 0; i < out.rank; i++) dims[i] = size[out.labels[i]];
    return set_output(ctx, n, 0, type_of(n, 0)->dtype, out.rank, dims);
}
