/* NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss: -log p of each label, weighed, and reduced. Labels outside of
 * the classes, negative ones too, end the call with MCC_E_INDEX; ignored ones may be anything. */
#include "passes/decompose.h"

/* the labels as indices: ignored ones are 0, negative ones too large */
static Value *label_indices(Build *b, Value *labels, Value *ignored) {
    Dtype t = labels->type.dtype;
    Value *zero = build_scalar(b, t, 0), *beyond = build_scalar(b, t, INT32_MAX);
    if (ignored) labels = build_where(b, ignored, zero, labels);
    return build_where(b, build_op(b, OP_Less, labels, zero), beyond, labels);
}

static Value *ignored_labels(Build *b, Value *labels) {
    int64_t label = node_int(b->at, "ignore_index");
    Dtype t = labels->type.dtype;
    if (!node_attr(b->at, "ignore_index") || (t == DT_I32 && label != (int32_t)label)) return NULL;
    Tensor *one = ARENA_NEW(b->r->g->arena, Tensor);
    int64_t *data = ARENA_NEW(b->r->g->arena, int64_t);
    *data = label;
    *one = (Tensor){.dtype = t, .bytes = t == DT_I32 ? 4 : 8, .data = data};
    return build_op(b, OP_Equal, labels, value_of_tensor(b->r->g, one));
}

static Value *reduce_all(Build *b, Op op, Value *x) {
    int64_t axes[MCC_MAX_RANK];
    for (int i = 0; i < MCC_MAX_RANK; i++) axes[i] = i;
    return b->failed ? NULL : build_reduce(b, op, x, axes, x->type.rank, false);
}

static void build_loss(Build *b, Value *log_p) {
    Value *labels = b->at->in[1], *weights = node_in(b->at, 2), *ignored = ignored_labels(b, labels);
    Dtype t = b->at->in[0]->type.dtype;
    Value *at = label_indices(b, labels, ignored), *zero = build_scalar(b, t, 0), *weight = NULL;
    Value *loss = build_gather(b, OP_GatherElements, log_p, build_unsqueeze(b, at, 1), 1);
    loss = build_op(b, OP_Neg, build_view(b, loss, labels->type.rank, labels->type.dims), NULL);
    if (weights) weight = build_gather(b, OP_Gather, weights, at, 0);
    if (weight) loss = build_op(b, OP_Mul, loss, weight);
    if (ignored) weight = build_where(b, ignored, zero, weight ? weight : build_scalar(b, t, 1));
    if (ignored) loss = build_where(b, ignored, zero, loss);
    switch (node_enum(b->at, "reduction")) {
    case 0:
        if (weight) loss = build_op(b, OP_Div, reduce_all(b, OP_ReduceSum, loss), reduce_all(b, OP_ReduceSum, weight));
        else loss = reduce_all(b, OP_ReduceMean, loss);
        break;
    case 2: loss = reduce_all(b, OP_ReduceSum, loss); break;
    default: break;
    }
    build_output(b, 0, loss);
    build_end(b);
}

void decompose_nll(Build *b) { build_loss(b, b->at->in[0]); }

void decompose_cross_entropy(Build *b) {
    Value *log_p = build_along(b, OP_LogSoftmax, b->at->in[0], 1);
    build_output(b, 1, log_p);
    build_loss(b, log_p);
}
