/* Conv, Gemm and MatMul with constant float weights: where their output channels lie, and their bias; and
 * what the quantizers do with such nodes. */
#include "compress/quantize.h"
#include <math.h>
#include <string.h>

static const Tensor *f32_constant(const Value *v) {
    return v && v->constant && v->constant->dtype == DT_F32 ? v->constant : NULL;
}

/* The bias as one number a channel; of a Gemm it may have leading axes of 1 */
static bool read_bias(const Node *n, Contraction *c) {
    const Value *v = node_in(n, 2);
    int64_t count;
    if (!v) return true;
    c->bias = f32_constant(v);
    if (!c->bias || c->bias->rank < 1 || !product_i64(c->bias->dims, c->bias->rank, &count)) return false;
    return count == c->shape.channels && c->bias->dims[c->bias->rank - 1] == count;
}

bool contraction_read(const Node *n, Contraction *c) {
    *c = (Contraction){0};
    if (n->op != OP_Conv && n->op != OP_Gemm && n->op != OP_MatMul) return false;
    const Tensor *w = c->weights = f32_constant(n->in[1]);
    int64_t count;
    if (!w || n->in[0]->constant || n->in[0]->type.dtype != DT_F32 || !product_i64(w->dims, w->rank, &count))
        return false;
    if (n->op == OP_MatMul && (w->rank != 2 || n->in[0]->type.rank < 2)) return false;
    if (n->op == OP_Gemm && (node_int(n, "transA") || node_float(n, "alpha") != 1 || node_float(n, "beta") != 1))
        return false;
    bool rows = n->op == OP_Conv || (n->op == OP_Gemm && node_int(n, "transB"));
    c->channel_axis = rows ? 0 : 1;
    if (count == 0) return false;
    int64_t channels = w->dims[c->channel_axis];
    c->depth = count / channels;
    c->shape = rows ? (WeightShape){1, channels, c->depth} : (WeightShape){c->depth, channels, 1};
    return read_bias(n, c);
}

bool weights_finite(const Tensor *w) {
    const float *x = w->data;
    for (size_t i = 0; i < w->bytes / 4; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

void quant_stand_in(Node *n, Value *y) {
    Value *out = n->out[0];
    y->def->out[0] = out; /* the same value, made otherwise */
    out->def = y->def;
    out->def_index = 0;
    node_remove(n);
}
