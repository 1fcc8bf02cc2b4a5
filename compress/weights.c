/* Quantization that needs no samples, of MatMul and Gemm with constant weights:
 *   w8, w4     weights alone: MatMul(x, DequantizeLinear(codes)), a scale a column, or for 4 bits a scale a block of
 * rows dynamic    x by its own range at run time: MatMulInteger(DynamicQuantizeLinear(x), codes) · (scale of x ·
 * scales) */
#include "compress/quantize.h"
#include <math.h>
#include <string.h>

typedef struct Product { /* y = x · w + bias; w is [inner, cols], or transposed */
    Node *n;
    Contraction c;
    bool transposed;
    int64_t inner, cols;
} Product;

static bool read_product(Node *n, Product *p) {
    p->n = n;
    if (n->op == OP_Conv || !contraction_read(n, &p->c)) return false;
    p->transposed = p->c.channel_axis == 0;
    p->inner = p->c.depth;
    p->cols = p->c.shape.channels;
    return true;
}

static float weight_at(const Product *p, int64_t k, int64_t col) {
    const float *w = p->c.weights->data;
    return p->transposed ? w[col * p->inner + k] : w[k * p->cols + col];
}

static int64_t code_place(const Product *p, int64_t k, int64_t col) {
    return p->transposed ? col * p->inner + k : k * p->cols + col;
}

static Value *new_constant(Graph *g, Dtype t, int rank, const int64_t *dims, void *data) {
    Tensor *made = tensor_new(g, t, rank, dims);
    if (!made) return NULL;
    *(void **)data = (void *)(uintptr_t)made->data;
    return value_of_tensor(g, made);
}

static bool all_finite(const Product *p) {
    const float *w = p->c.weights->data;
    for (int64_t i = 0; i < p->inner * p->cols; i++)
        if (!isfinite(w[i])) return false;
    return true;
}

/* ---- blocks of a column ---- */

typedef struct Block { /* n weights of a column, `step` apart */
    const float *w;
    int64_t n, step;
    int most; /* the largest code; the smallest is one less than its negative */
} Block;

static int code_of(float w, float scale, int most) {
    return (int)fminf(fmaxf(rintf(w / scale), (float)-most - 1), (float)most);
}

static double block_error(const Block *b, float scale) {
    double sum = 0;
    for (int64_t i = 0; i < b->n; i++) {
        float w = b->w[i * b->step];
        double e = (double)w - (double)((float)code_of(w, scale, b->most) * scale);
        sum += e * e;
    }
    return sum;
}

/* The scale that loses least: a little clipping pays where codes are few. */
static float block_scale(const Block *b) {
    enum { TRIED = 16 };
    float largest = 0;
    for (int64_t i = 0; i < b->n; i++) largest = fmaxf(largest, fabsf(b->w[i * b->step]));
    float best = fmaxf(largest / (float)b->most, 0x1p-50f);
    double least = b->most < 127 ? block_error(b, best) : 0;
    for (int i = 1; i < TRIED && b->most < 127; i++) {
        float scale = fmaxf(largest / (float)b->most * (1 - 0.02f * (float)i), 0x1p-50f);
        double e = block_error(b, scale);
        if (e < least) least = e, best = scale;
    }
    return best;
}

static void store_code(Dtype t, void *to, int64_t i, int code) {
    uint8_t *bytes = to;
    if (t == DT_I8) bytes[i] = (uint8_t)code;
    else bytes[i / 2] = (uint8_t)(bytes[i / 2] | (code & 15) << (i % 2 * 4));
}

static Block block_of(const Product *p, int64_t first, int64_t n, int64_t col, int most) {
    const float *w = p->c.weights->data;
    return (Block){w + code_place(p, first, col), n, p->transposed ? 1 : p->cols, most};
}

typedef struct Narrow { /* what the weights of a product become */
    Dtype dtype;
    int most;
    int64_t each, groups; /* weights of a column that share a scale; such blocks of a column */
    void *codes;
    float *scales;
} Narrow;

static float *scale_at(const Product *p, const Narrow *to, int64_t group, int64_t col) {
    return &to->scales[p->transposed ? col * to->groups + group : group * p->cols + col];
}

static void round_nearest(const Product *p, const Narrow *to) {
    for (int64_t col = 0; col < p->cols; col++)
        for (int64_t group = 0; group < to->groups; group++) {
            int64_t first = group * to->each;
            Block b = block_of(p, first, to->each, col, to->most);
            float scale = *scale_at(p, to, group, col) = block_scale(&b);
            for (int64_t k = first; k < first + to->each; k++)
                store_code(to->dtype, to->codes, code_place(p, k, col), code_of(weight_at(p, k, col), scale, b.most));
        }
}

static float find_scale(const float *w, int64_t n, int most) { return block_scale(&(Block){w, n, 1, most}); }

static void round_by_inputs(Ctx *ctx, const Product *p, const Narrow *to, Hessian *h, Rounding how) {
    Arena *a = arena_new(ctx);
    RoundWeights r = {.w = p->c.weights->data, .channels = p->cols, .low = -to->most - 1, .high = to->most};
    r.by_channel = p->transposed ? p->inner : 1;
    r.by_depth = p->transposed ? 1 : p->cols;
    r.block = to->each;
    r.find_scale = find_scale;
    r.scales = ARENA_ARRAY(a, p->cols * to->groups, float);
    r.codes = ARENA_ARRAY(a, p->cols * p->inner, int8_t);
    round_weights(how, h, &r, ctx);
    for (int64_t i = 0; i < p->cols * p->inner; i++) store_code(to->dtype, to->codes, i, r.codes[i]);
    for (int64_t col = 0; col < p->cols; col++)
        for (int64_t group = 0; group < to->groups; group++)
            *scale_at(p, to, group, col) = r.scales[col * to->groups + group];
    arena_free(a);
}

/* DequantizeLinear of codes for the weights of p; block 0: a scale a column. NULL after diag_error */
static Value *narrow_weights(Graph *g, const Product *p, Dtype t, int64_t block, Hessian *h, Rounding how) {
    Narrow to = {.dtype = t, .most = t == DT_I8 ? 127 : 7, .each = block ? block : p->inner};
    to.groups = p->inner / to.each;
    int64_t by_block[2] = {p->transposed ? p->cols : to.groups, p->transposed ? to.groups : p->cols};
    Value *q = new_constant(g, t, 2, p->c.weights->dims, &to.codes);
    Value *s = q ? new_constant(g, DT_F32, block ? 2 : 1, block ? by_block : &p->cols, &to.scales) : NULL;
    if (!s) return NULL;
    if (h) round_by_inputs(g->ctx, p, &to, h, how);
    else round_nearest(p, &to);
    Node *dq = node_new(g, OP_DequantizeLinear, p->n, (Value *[]){q, s}, 2, 1);
    node_set_int(dq, "axis", block ? p->transposed : p->c.channel_axis);
    if (block) node_set_int(dq, "block_size", block);
    dq->name = p->n->name;
    dq->index = p->n->index;
    return node_infer(g->ctx, dq) ? dq->out[0] : NULL;
}

/* The largest block of at most the wanted one that divides the rows; 0: none from 16 on */
static int64_t block_for(const Product *p, int64_t wanted) {
    for (int64_t block = wanted; block >= 16; block /= 2)
        if (p->inner % block == 0) return block;
    return 0;
}

static bool narrow(const QuantPlan *plan, const Product *p) {
    const QuantOptions *o = &plan->options;
    int64_t block = o->mode == QUANT_W4 ? block_for(p, o->block) : 0;
    Hessian *h = plan->of_node[p->n->id]->hessian;
    Value *w = narrow_weights(plan->graph, p, block ? DT_I4 : DT_I8, block, h, o->rounding);
    if (w) p->n->in[1] = w;
    return w != NULL;
}

/* ---- dynamic ---- */

typedef struct Dynamic {
    Graph *g;
    Node **quantized; /* by value id: the DynamicQuantizeLinear of a value */
    int n_ids;
} Dynamic;

static Value *add_node(const Dynamic *d, const Node *like, Op op, Value **in, int n_in, int64_t to) {
    Node *n = node_new(d->g, op, (Node *)(uintptr_t)like, in, n_in, 1);
    n->name = like->name;
    n->index = like->index;
    if (to) node_set_int(n, "to", to);
    return node_infer(d->g->ctx, n) ? n->out[0] : NULL;
}

static Node *quantize_input(Dynamic *d, Value *x) {
    if (d->quantized[x->id]) return d->quantized[x->id];
    Node *before = x->def ? x->def->next : d->g->first;
    Node *n = node_new(d->g, OP_DynamicQuantizeLinear, before, &x, 1, 3);
    return node_infer(d->g->ctx, n) ? d->quantized[x->id] = n : NULL;
}

/* Codes as [inner, cols], which is what MatMulInteger takes */
static bool integer_weights(const Dynamic *d, const Product *p, Value **codes, Value **scales) {
    int8_t *q;
    float *s;
    int64_t dims[2] = {p->inner, p->cols};
    *codes = new_constant(d->g, DT_I8, 2, dims, &q);
    *scales = *codes ? new_constant(d->g, DT_F32, 1, &p->cols, &s) : NULL;
    if (!*scales) return false;
    for (int64_t col = 0; col < p->cols; col++) {
        Block b = block_of(p, 0, p->inner, col, 127);
        s[col] = block_scale(&b);
        for (int64_t k = 0; k < p->inner; k++)
            q[k * p->cols + col] = (int8_t)code_of(weight_at(p, k, col), s[col], 127);
    }
    return true;
}

static bool make_dynamic(Dynamic *d, const Product *p) {
    Node *n = p->n, *q = quantize_input(d, n->in[0]);
    Value *codes, *scales, *bias = node_in(n, 2), *out = n->out[0];
    if (!q || !integer_weights(d, p, &codes, &scales)) return false;
    Value *sums = add_node(d, n, OP_MatMulInteger, (Value *[]){q->out[0], codes, q->out[2]}, 3, 0);
    Value *floats = sums ? add_node(d, n, OP_Cast, &sums, 1, DT_F32) : NULL;
    Value *scale = floats ? add_node(d, n, OP_Mul, (Value *[]){q->out[1], scales}, 2, 0) : NULL;
    Value *y = scale ? add_node(d, n, OP_Mul, (Value *[]){floats, scale}, 2, 0) : NULL;
    if (y && bias) y = add_node(d, n, OP_Add, (Value *[]){y, bias}, 2, 0);
    if (!y) return false;
    y->def->out[0] = out; /* the same value, made otherwise */
    out->def = y->def;
    out->def_index = 0;
    node_remove(n);
    return true;
}

bool quant_products(QuantPlan *plan) {
    Graph *g = plan->graph;
    Dynamic d = {.g = g, .n_ids = plan->n_ids};
    d.quantized = ARENA_ARRAY(g->arena, plan->n_ids, Node *);
    int done = 0;
    for (int i = 0; i < plan->n_nodes; i++) {
        Product p;
        if (!plan->nodes[i].chosen || !read_product(plan->nodes[i].node, &p)) continue;
        if (!all_finite(&p)) {
            diag_warn(g->ctx, "calibration", p.n, "its weights are not finite: they stay in float");
            continue;
        }
        if (!(plan->options.mode == QUANT_DYNAMIC ? make_dynamic(&d, &p) : narrow(plan, &p))) return false;
        done++;
    }
    if (!done) diag_warn(g->ctx, "calibration", NULL, "it has no product with constant weights: nothing is quantized");
    graph_count_uses(g);
    return true;
}
