/* MatMul and Gemm on integers without samples: the input by its own range at each call,
 *   MatMulInteger(DynamicQuantizeLinear(x), codes) · (scale of x · scales) + bias */
#include <string.h>
#include "compress/quantize.h"

struct DynamicInputs {
    Graph *g;
    Node **quantized; /* by value id: the DynamicQuantizeLinear of a value */
};

DynamicInputs *dynamic_inputs(const QuantPlan *plan) {
    DynamicInputs *d = ARENA_NEW(plan->graph->arena, DynamicInputs);
    *d = (DynamicInputs){.g = plan->graph,
                         .quantized = ARENA_ARRAY(plan->graph->arena, plan->graph->ctx->next_id, Node *)};
    return d;
}

static Value *add_node(const DynamicInputs *d, const Node *like, Op op, Value **in, int n_in, int64_t to) {
    Node *n = node_new(d->g, op, (Node *)(uintptr_t)like, in, n_in, 1);
    n->name = like->name;
    n->index = like->index;
    if (to) node_set_int(n, "to", to);
    return node_infer(d->g->ctx, n) ? n->out[0] : NULL;
}

static Node *quantize_input(DynamicInputs *d, Value *x) {
    if (d->quantized[x->id]) return d->quantized[x->id];
    Node *before = x->def ? x->def->next : d->g->first;
    Node *n = node_new(d->g, OP_DynamicQuantizeLinear, before, &x, 1, 3);
    return node_infer(d->g->ctx, n) ? d->quantized[x->id] = n : NULL;
}

/* Codes as [depth, channels], which is what MatMulInteger takes */
static bool integer_weights(const DynamicInputs *d, const Contraction *c, Value **codes, Value **scales) {
    const CodeRange range = {-128, 127, false};
    int64_t channels = c->shape.channels, dims[2] = {c->depth, channels};
    bool rows = c->channel_axis == 0;
    Tensor *q = tensor_new(d->g, DT_I8, 2, dims), *s = q ? tensor_new(d->g, DT_F32, 1, &channels) : NULL;
    if (!s) return false;
    Arena *a = arena_new(d->g->ctx);
    float *column = ARENA_ARRAY(a, c->depth, float);
    for (int64_t m = 0; m < channels; m++) {
        const float *w = (const float *)c->weights->data + (rows ? m * c->depth : m);
        for (int64_t k = 0; k < c->depth; k++) column[k] = w[rows ? k : k * channels];
        CodeScale scale = code_scale(range, column, NULL, c->depth);
        ((float *)(uintptr_t)s->data)[m] = scale.scale;
        for (int64_t k = 0; k < c->depth; k++)
            ((int8_t *)(uintptr_t)q->data)[k * channels + m] = (int8_t)code_near(range, scale, (double)column[k]);
    }
    arena_free(a);
    *codes = value_of_tensor(d->g, q);
    *scales = value_of_tensor(d->g, s);
    return true;
}

bool quant_dynamic(DynamicInputs *d, Node *n, const Contraction *c) {
    Node *q = quantize_input(d, n->in[0]);
    Value *codes, *scales, *bias = node_in(n, 2);
    if (!q || !integer_weights(d, c, &codes, &scales)) return false;
    Value *sums = add_node(d, n, OP_MatMulInteger, (Value *[]){q->out[0], codes, q->out[2]}, 3, 0);
    Value *floats = sums ? add_node(d, n, OP_Cast, &sums, 1, DT_F32) : NULL;
    Value *scale = floats ? add_node(d, n, OP_Mul, (Value *[]){q->out[1], scales}, 2, 0) : NULL;
    Value *y = scale ? add_node(d, n, OP_Mul, (Value *[]){floats, scale}, 2, 0) : NULL;
    if (y && bias) y = add_node(d, n, OP_Add, (Value *[]){y, bias}, 2, 0);
    if (!y) return false;
    quant_stand_in(n, y);
    return true;
}
