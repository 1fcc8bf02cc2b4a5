/* Weights alone as codes, w8 and w4, of Conv, MatMul and Gemm: the operator reads DequantizeLinear(codes), with a scale
 * a channel, or of 4 bits one for each block of weights that a channel sums up. */
#include <math.h>
#include <string.h>
#include "compress/quantize.h"

typedef struct Narrow { /* what the weights of a contraction become */
    Graph *g;
    Node *n;
    Contraction c;
    Dtype dtype;
    int64_t blocks;    /* of a channel */
    RoundWeights form; /* and the codes, int8 here whatever the dtype, in the order of the weights */
} Narrow;

/* ---- nodes ---- */

static Value *new_constant(Graph *g, Dtype t, int rank, const int64_t *dims, void **data) {
    Tensor *made = tensor_new(g, t, rank, dims);
    if (!made) return NULL;
    *data = (void *)(uintptr_t)made->data;
    return value_of_tensor(g, made);
}

static void store_code(Dtype t, void *to, int64_t i, int code) {
    uint8_t *bytes = to;
    if (t == DT_I8) bytes[i] = (uint8_t)code;
    else bytes[i / 2] = (uint8_t)(bytes[i / 2] | (code & 15) << (i % 2 * 4));
}

static bool is_blocked(const Narrow *t) { return t->blocks > 1; }
static bool is_flat(const Narrow *t) { return is_blocked(t) && t->n->op == OP_Conv; }

/* The codes, as the weights lie; of a Conv in blocks as [channels, depth], which ONNX can tell a block of. */
static Value *codes_value(const Narrow *t) {
    const Tensor *w = t->c.weights;
    int64_t flat[2] = {t->c.shape.channels, t->c.depth};
    void *to;
    Value *v = new_constant(t->g, t->dtype, is_flat(t) ? 2 : w->rank, is_flat(t) ? flat : w->dims, &to);
    for (int64_t i = 0; v && i < flat[0] * flat[1]; i++) store_code(t->dtype, to, i, t->form.codes[i]);
    return v;
}

/* Scales and zero points lie as blocks do in the weights. */
static bool number_values(const Narrow *t, Value *in[3]) {
    int64_t channels = t->c.shape.channels;
    bool rows = t->c.channel_axis == 0;
    int64_t dims[2] = {rows ? channels : t->blocks, rows ? t->blocks : channels};
    int rank = is_blocked(t) ? 2 : 1;
    void *scales, *zeros = NULL;
    in[1] = new_constant(t->g, DT_F32, rank, is_blocked(t) ? dims : &channels, &scales);
    in[2] = in[1] && t->form.range.asymmetric
                ? new_constant(t->g, t->dtype, rank, is_blocked(t) ? dims : &channels, &zeros)
                : NULL;
    for (int64_t c = 0; in[1] && c < channels; c++)
        for (int64_t b = 0; b < t->blocks; b++) {
            CodeScale s = t->form.scales[c * t->blocks + b];
            int64_t at = rows ? c * t->blocks + b : b * channels + c;
            ((float *)scales)[at] = s.scale;
            if (zeros) store_code(t->dtype, zeros, at, s.zero);
        }
    return in[1] && (zeros || !t->form.range.asymmetric);
}

static Value *add_node(const Narrow *t, Node *n) {
    n->name = t->n->name;
    n->index = t->n->index;
    return node_infer(t->g->ctx, n) ? n->out[0] : NULL;
}

static Value *as_weights(const Narrow *t, Value *flat) {
    int64_t rank = t->c.weights->rank;
    Tensor *dims = tensor_new(t->g, DT_I64, 1, &rank);
    if (!dims) return NULL;
    memcpy((void *)(uintptr_t)dims->data, t->c.weights->dims, sizeof(int64_t) * (size_t)rank);
    Value *shape = value_of_tensor(t->g, dims);
    return add_node(t, node_new(t->g, OP_Reshape, t->n, (Value *[]){flat, shape}, 2, 1));
}

/* DequantizeLinear of the codes in place of the weights. false after diag_error */
static bool insert_weights(const Narrow *t) {
    Value *in[3] = {codes_value(t)};
    if (!in[0] || !number_values(t, in)) return false;
    Node *dq = node_new(t->g, OP_DequantizeLinear, t->n, in, in[2] ? 3 : 2, 1);
    bool rows = t->c.channel_axis == 0;
    node_set_int(dq, "axis", is_blocked(t) ? rows : t->c.channel_axis);
    if (is_blocked(t)) node_set_int(dq, "block_size", t->form.block);
    Value *w = add_node(t, dq);
    if (w && is_flat(t)) w = as_weights(t, w);
    if (w) t->n->in[1] = w;
    return w != NULL;
}

/* bias: [channels] */
static bool set_bias(const Narrow *t, const float *bias) {
    void *to;
    Value *v = new_constant(t->g, DT_F32, t->c.bias->rank, t->c.bias->dims, &to);
    if (v) memcpy(to, bias, t->c.bias->bytes);
    if (v) t->n->in[2] = v;
    return v != NULL;
}

/* The bias makes up for what rounding does to the mean of each sum. */
static const float *shifted_bias(const Narrow *t, Arena *a) {
    float *to = ARENA_ARRAY(a, t->c.shape.channels, float);
    for (int64_t c = 0; c < t->c.shape.channels; c++)
        to[c] = (float)((double)((const float *)t->c.bias->data)[c] + t->form.shifts[c]);
    return to;
}

static bool narrow(const QuantPlan *plan, Node *n, const Contraction *c) {
    Narrow t = {.g = plan->graph, .n = n, .c = *c};
    Arena *a = arena_new(t.g->ctx);
    const QuantNode *q = plan->of_node[n->id];
    const float *bias = NULL;
    if (q->rounded) {
        t.form = q->rounded->form;
        bias = q->rounded->bias;
    } else {
        round_form(n, c, &plan->options, q->mode == QUANT_W4, &t.form, a);
        if (q->hessian && q->hessian->about_means) t.form.shifts = ARENA_ARRAY(a, c->shape.channels, double);
        if (q->hessian) round_weights(plan->options.rounding, q->hessian, &t.form, t.g->ctx);
        else round_nearest(&t.form, t.c.depth, t.g->ctx);
        if (t.form.shifts) bias = shifted_bias(&t, a);
    }
    t.dtype = t.form.range.high < 127 ? DT_I4 : DT_I8;
    t.blocks = round_blocks(&t.form, c->depth);
    bool good = insert_weights(&t) && (!bias || set_bias(&t, bias));
    arena_free(a);
    return good;
}

bool quant_products(QuantPlan *plan) {
    Graph *g = plan->graph;
    DynamicInputs *inputs = dynamic_inputs(plan);
    int done = 0;
    for (int i = 0; i < plan->n_nodes; i++) {
        Node *n = plan->nodes[i].node;
        Contraction c;
        QuantMode mode = plan->nodes[i].chosen ? plan->nodes[i].mode : QUANT_NONE;
        bool dynamic = mode == QUANT_DYNAMIC, table = table_read(n);
        if (mode < QUANT_DYNAMIC || mode > QUANT_W4 || (!table && !contraction_read(n, &c))) continue;
        if (table) {
            if (!quant_table(plan, n)) return false;
            done++;
            continue;
        }
        if (dynamic && n->op == OP_Conv) continue;
        if (!weights_finite(c.weights)) {
            diag_warn(g->ctx, "calibration", n, "its weights are not finite: they stay in float");
            continue;
        }
        if (!(dynamic ? quant_dynamic(inputs, n, &c) : narrow(plan, n, &c))) return false;
        done++;
    }
    QuantMode all = plan->options.mode;
    if (!done && all >= QUANT_DYNAMIC && all <= QUANT_W4)
        diag_warn(g->ctx, "calibration", NULL, "it has no product with constant weights: nothing is quantized");
    return quant_halves(plan);
}
