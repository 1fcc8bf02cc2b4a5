/* NegativeLogLikelihoodLoss, SoftmaxCrossEntropyLoss: scores [N, C, d…], labels [N, d…], weights of the classes [C]. */
#include "frontend/infer/infer.h"

static bool labels_fit(Ctx *ctx, const Node *n) {
    const Type *x = type_of(n, 0), *labels = type_of(n, 1);
    if (!need_rank(ctx, n, 0, 2, MCC_MAX_RANK) || !need_index_dtype(ctx, n, 1) ||
        !need_rank(ctx, n, 1, x->rank - 1, x->rank - 1))
        return false;
    for (int i = 0; i < labels->rank; i++)
        if (!equal_dims(ctx, n, labels->dims[i], x->dims[i ? i + 1 : 0], "sizes of labels and scores")) return false;
    return true;
}

bool infer_nll_loss(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n) || !labels_fit(ctx, n)) return false;
    const Type *x = type_of(n, 0), *labels = type_of(n, 1);
    if (node_in(n, 2) &&
        (!need_same_dtype(ctx, n, 2, 0) || !need_rank(ctx, n, 2, 1, 1) ||
         !equal_dims(ctx, n, type_of(n, 2)->dims[0], x->dims[1], "the numbers of weights and classes")))
        return false;
    static const char *const words[] = {"mean", "none", "sum"};
    bool each = words[node_enum(n, "reduction")][0] == 'n';
    return set_output(ctx, n, 0, x->dtype, each ? labels->rank : 0, labels->dims) && set_output_like(ctx, n, 1, 0);
}
