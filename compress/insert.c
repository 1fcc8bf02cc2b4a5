/* The plan as nodes of the graph: QuantizeLinear and DequantizeLinear behind each tensor that is held as integers,
 * DequantizeLinear of integers before contractions for weights and biases. */
#include "compress/quantize.h"
#include "passes/quant.h"
#include <assert.h>
#include <math.h>
#include <string.h>

typedef struct Insert {
    QuantPlan *plan;
    Graph *g;
    Ctx *ctx;
    Value **dequantized; /* by value id */
} Insert;

static Value *new_constant(Graph *g, Dtype t, int rank, const int64_t *dims, void **data) {
    Tensor *made = tensor_new(g, t, rank, dims);
    if (!made) return NULL;
    *data = (void *)(uintptr_t)made->data;
    return value_of_tensor(g, made);
}

static Value *scale_constant(Graph *g, float scale) {
    void *data;
    Value *v = new_constant(g, DT_F32, 0, NULL, &data);
    if (v) memcpy(data, &scale, sizeof scale);
    return v;
}

static Value *zero_constant(Graph *g, Dtype t, int zero) {
    void *data;
    Value *v = new_constant(g, t, 0, NULL, &data);
    if (v) *(unsigned char *)data = (unsigned char)zero;
    return v;
}

static Node *infer_new(Insert *s, Node *n, const Node *like) {
    if (like) n->name = like->name, n->index = like->index;
    return node_infer(s->ctx, n) ? n : NULL;
}

/* The value behind Q and DQ, right where v is made. NULL after diag_error */
static Value *dequantized(Insert *s, const QuantTensor *t) {
    Value *v = t->value, *known = s->dequantized[v->id];
    const QuantTensor *root = quant_root((QuantTensor *)(uintptr_t)t);
    if (known) return known;
    Node *before = v->def ? v->def->next : s->g->first;
    const QuantOptions *o = &s->plan->options;
    Dtype type = quant_activations_signed(o) ? DT_I8 : DT_U8;
    int moved = type == DT_I8 && !o->symmetric ? 128 : 0;
    Value *scale = scale_constant(s->g, root->scale), *zero = zero_constant(s->g, type, root->zero - moved);
    if (!scale || !zero) return NULL;
    assert(root->known);
    Node *q = infer_new(s, node_new(s->g, OP_QuantizeLinear, before, (Value *[]){v, scale, zero}, 3, 1), v->def);
    if (!q) return NULL;
    Value *in[] = {q->out[0], scale, zero};
    Node *dq = infer_new(s, node_new(s->g, OP_DequantizeLinear, before, in, 3, 1), v->def);
    return dq ? s->dequantized[v->id] = dq->out[0] : NULL;
}

/* q · scales along the axis, before n */
static Value *dequantize_constant(Insert *s, Node *n, Value *q, const float *scales, int64_t channels, int axis) {
    void *data;
    Value *scale = new_constant(s->g, DT_F32, 1, &channels, &data);
    if (!scale) return NULL;
    memcpy(data, scales, sizeof *scales * (size_t)channels);
    Node *dq = node_new(s->g, OP_DequantizeLinear, n, (Value *[]){q, scale}, 2, 1);
    node_set_int(dq, "axis", axis);
    return infer_new(s, dq, n) ? dq->out[0] : NULL;
}

static void take_rounded(const RoundedWeights *from, const Contraction *c, float *scales, int8_t *codes, float *bias) {
    int64_t channels = c->shape.channels;
    memcpy(codes, from->form.codes, (size_t)(channels * c->depth));
    for (int64_t i = 0; i < channels; i++) scales[i] = from->form.scales[i].scale;
    if (bias) memcpy(bias, from->bias, sizeof *bias * (size_t)channels);
}

/* Codes that lose less of what the sums are, and the scales and the bias that go with them */
static void round_by_inputs(const Insert *s, const Node *n, const Contraction *c, float *scales, int8_t *codes,
                            float *bias) {
    const QuantNode *planned = n->id < s->plan->n_ids ? s->plan->of_node[n->id] : NULL; /* a twin is not */
    if (planned && planned->rounded && planned->mode == QUANT_INT8) {
        take_rounded(planned->rounded, c, scales, codes, bias);
        return;
    }
    Hessian *h = planned ? planned->hessian : NULL;
    bool rows = c->shape.outer == 1;
    RoundWeights r = {.w = c->weights->data, .channels = c->shape.channels, .range = {-127, 127, false}};
    r.by_channel = rows ? c->depth : 1;
    r.by_depth = rows ? 1 : c->shape.channels;
    r.block = c->depth;
    r.codes = codes;
    if (!h) return;
    Arena *a = arena_new(s->ctx);
    r.scales = ARENA_ARRAY(a, r.channels, CodeScale);
    for (int64_t i = 0; i < r.channels; i++) r.scales[i].scale = scales[i];
    r.shifts = h->about_means ? ARENA_ARRAY(a, r.channels, double) : NULL;
    round_weights(s->plan->options.rounding, h, &r, s->ctx);
    for (int64_t i = 0; i < r.channels && r.shifts; i++) bias[i] = (float)((double)bias[i] + r.shifts[i]);
    arena_free(a);
}

/* NULL: v is float, or was made here */
static const QuantTensor *tensor_of(const Insert *s, const Value *v) {
    return v && v->id < s->plan->n_ids ? s->plan->of_value[v->id] : NULL;
}

/* what n's result is rounded to, perhaps behind a Relu or Clip; NULL: nothing */
static const QuantTensor *result_of(const Insert *s, const Node *n) {
    for (const Node *at = n->next; at && !tensor_of(s, n->out[0]) && n->out[0]->n_uses == 1; at = at->next)
        if (at->in[0] == n->out[0] && (at->op == OP_Relu || at->op == OP_Clip)) n = at;
    const QuantTensor *t = tensor_of(s, n->out[0]);
    return t ? quant_root((QuantTensor *)(uintptr_t)t) : NULL;
}

/* Scales by some units in the last place larger, with which the target rounds sums in fixed point as in floats. */
static void fit_scales(const Insert *s, const Node *n, float x, float *scales, int64_t channels) {
    enum { MOST_TRIES = 64 };
    const QuantOptions *o = &s->plan->options;
    const QuantTensor *y = result_of(s, n);
    float most = 0;
    int32_t factor;
    if (!y || !target_has_fixed_point(o->runs_on)) return;
    int64_t lowest = quant_activations_signed(o) && o->symmetric ? -128 : 0;
    for (int64_t i = 0; i < channels; i++) most = fmaxf(most, x * scales[i] / y->scale);
    for (int64_t i = 0; i < channels; i++) {
        float scale = scales[i];
        for (int k = 0; k < MOST_TRIES; k++, scale = nextafterf(scale, INFINITY))
            if (fixed_factor(x * scale / y->scale, fixed_shift(most), lowest - y->zero, lowest + 255 - y->zero, &factor)) {
                scales[i] = scale;
                break;
            }
    }
}

/* Weights and bias of one contraction. Where they cannot be integers, they stay as they are, with a warning. */
static bool insert_weights(Insert *s, Node *n, float sums) {
    Contraction c;
    Value *w = NULL, *b = NULL;
    void *data, *bias = NULL;
    bool is_one = contraction_read(n, &c);
    assert(is_one);
    (void)is_one;
    Arena *a = arena_new(s->ctx);
    const float *from = c.weights->data;
    float *from_bias = c.bias ? ARENA_ARRAY(a, c.shape.channels, float) : NULL;
    if (c.bias) memcpy(from_bias, c.bias->data, c.bias->bytes);
    float *scales = ARENA_ARRAY(a, c.shape.channels, float), *bias_scales = ARENA_ARRAY(a, c.shape.channels, float);
    bool room = (w = new_constant(s->g, DT_I8, c.weights->rank, c.weights->dims, &data)) &&
                (!c.bias || (b = new_constant(s->g, DT_I32, c.bias->rank, c.bias->dims, &bias)));
    bool good = room && quant_weights(from, c.shape, from_bias, sums, data, scales);
    if (good) round_by_inputs(s, n, &c, scales, data, from_bias);
    if (good) fit_scales(s, n, sums, scales, c.shape.channels);
    if (room && (!good || (b && !quant_bias(from_bias, c.shape.channels, sums, scales, bias, bias_scales)))) {
        diag_warn(s->ctx, "calibration", n, "its weights are not finite, or too large or small: they stay in float");
        arena_free(a);
        return true;
    }
    Value *real = room ? dequantize_constant(s, n, w, scales, c.shape.channels, c.channel_axis) : NULL;
    Value *real_bias = real && b ? dequantize_constant(s, n, b, bias_scales, c.shape.channels, c.bias->rank - 1) : NULL;
    arena_free(a);
    if (!real || (b && !real_bias)) return false;
    n->in[1] = real;
    if (b) n->in[2] = real_bias;
    return true;
}

/* The node's inputs that are held as integers, as the plan says who reads which. */
static bool insert_before(Insert *s, Node *n) {
    const QuantNode *q = s->plan->of_node[n->id];
    bool active = q && q->active;
    for (int i = 0; i < n->n_in; i++) {
        const QuantTensor *t = tensor_of(s, n->in[i]);
        if (!t || (!t->by_integers && !active)) continue;
        if (!(n->in[i] = dequantized(s, t))) return false;
    }
    return true;
}

static bool insert_outputs(Insert *s) {
    for (int i = 0; i < s->g->n_outputs; i++) {
        Value *v = s->g->outputs[i];
        const QuantTensor *t = tensor_of(s, v);
        if (!t || !t->by_integers) continue;
        Value *to = dequantized(s, t);
        if (!to) return false;
        if (!to->name.n) to->name = v->name, v->name = (Str){0};
        s->g->outputs[i] = to;
    }
    return true;
}

bool quant_insert(QuantPlan *p) {
    Insert s = {.plan = p, .g = p->graph, .ctx = p->graph->ctx};
    s.dequantized = ARENA_ARRAY(p->graph->arena, p->n_ids, Value *);
    for (int i = 0; i < p->n_nodes; i++) { /* before nodes are added: each once */
        Node *n = p->nodes[i].node;
        Contraction c;
        if (!p->nodes[i].active || !contraction_read(n, &c)) continue;
        const QuantTensor *x = p->of_value[n->in[0]->id];
        if (!insert_weights(&s, n, quant_root((QuantTensor *)(uintptr_t)x)->scale)) return false;
    }
    for (Node *n = p->graph->first; n; n = n->next)
        if (n->id < p->n_ids && !insert_before(&s, n)) return false;
    return insert_outputs(&s) && quant_products(p);
}

/* n once more, which reads integers: of x, and for its weights. NULL after diag_error */
static Node *add_twin(Insert *s, const Node *n, const QuantTensor *x) {
    Node *twin = node_new(s->g, n->op, n->next, n->in, n->n_in, n->n_out);
    twin->attrs = ARENA_ARRAY(s->g->arena, n->n_attrs + 1, Attr);
    memcpy(twin->attrs, n->attrs, sizeof *n->attrs * (size_t)n->n_attrs);
    twin->n_attrs = n->n_attrs;
    if (!insert_weights(s, twin, quant_root((QuantTensor *)(uintptr_t)x)->scale)) return NULL;
    return (twin->in[0] = dequantized(s, x)) && infer_new(s, twin, n) ? twin : NULL;
}

bool quant_twins(QuantPlan *p, Node **twins) {
    Insert s = {.plan = p, .g = p->graph, .ctx = p->graph->ctx};
    s.dequantized = ARENA_ARRAY(p->graph->arena, p->n_ids, Value *);
    for (int i = 0; i < p->n_nodes; i++) {
        const Node *n = p->nodes[i].node;
        Contraction c;
        twins[i] = NULL;
        if (!p->nodes[i].active || !contraction_read(n, &c)) continue;
        if (!(twins[i] = add_twin(&s, n, p->of_value[n->in[0]->id]))) return false;
    }
    graph_count_uses(p->graph);
    return true;
}
