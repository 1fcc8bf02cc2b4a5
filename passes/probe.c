/* One layer as a graph of its own, lowered as the pass lowers it in a network: blocked inputs and outputs are those of
 * the graph, so that no reorder is timed with it. */
#include <math.h>
#include "passes/internal.h"
#include "passes/lower.h"

/* what multiplications see does not matter, but that no number is denormal or grows does */
static Value *random_weights(Graph *g, int rank, const int64_t *dims) {
    uint32_t state = 1;
    int64_t n = 1;
    Tensor *t = tensor_packed(g, DT_F32, rank, dims);
    float *to = (float *)t->data, scale = sqrtf((float)dims[0] / ((float)t->bytes / 4 + 1));
    product_i64(dims, rank, &n);
    for (int64_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        to[i] = ((float)(state >> 8) * 0x1p-23f - 1) * scale;
    }
    return value_of_tensor(g, t);
}

static Value *new_value(Graph *g, const char *name, int rank, const int64_t *dims) {
    Dim d[MCC_MAX_RANK];
    Value *v = value_new(g, str_of(name));
    for (int i = 0; i < rank; i++) d[i] = dim_const(g->ctx, dims[i]);
    value_set_dims(v, DT_F32, rank, d);
    return v;
}

static void set_ends(Graph *g, Value *in, Value *out) {
    g->inputs = ARENA_ARRAY(g->arena, 1, Value *);
    g->outputs = ARENA_ARRAY(g->arena, 1, Value *);
    g->inputs[0] = in;
    g->outputs[0] = out;
    g->n_inputs = g->n_outputs = 1;
    out->name = str_of("y");
    graph_count_uses(g);
}

static const Node *probe_product(Graph *g, PassCtx *p, const Layer *l) {
    int64_t x[2] = {l->batch, l->channels}, w[2] = {l->channels, l->cols};
    Value *in[2] = {new_value(g, "x", 2, x), random_weights(g, 2, w)};
    Node *n = node_new(g, OP_MatMul, NULL, in, 2, 1);
    if (!node_infer(g->ctx, n)) return NULL;
    set_ends(g, in[0], n->out[0]);
    pass_lower_products(g, p);
    return g->first;
}

static Node *convolution(Graph *g, const Layer *l, Value *x) {
    int64_t dims[MCC_MAX_RANK], cols = l->cols * l->group, pads[6];
    bool transposed = l->kind == LAYER_TRANSPOSED;
    dims[0] = transposed ? l->channels * l->group : cols;
    dims[1] = transposed ? l->cols : l->channels;
    for (int i = 0; i < l->spatial; i++) {
        dims[2 + i] = l->kernel[i];
        pads[i] = l->begin[i];
        pads[l->spatial + i] = l->end[i];
    }
    Value *in[3] = {x, random_weights(g, 2 + l->spatial, dims), random_weights(g, 1, &cols)};
    Node *n = node_new(g, transposed ? OP_ConvTranspose : OP_Conv, NULL, in, 3, 1);
    node_set_int(n, "group", l->group);
    node_set_ints(n, "kernel_shape", l->kernel, l->spatial);
    node_set_ints(n, "strides", l->stride, l->spatial);
    node_set_ints(n, "dilations", l->dilation, l->spatial);
    node_set_ints(n, "pads", pads, 2 * l->spatial);
    return node_infer(g->ctx, n) ? n : NULL;
}

static const Node *probe_convolution(Graph *g, PassCtx *p, const Layer *l) {
    int64_t channels = l->channels * l->group, dims[MCC_MAX_RANK] = {l->batch, channels}, rank = 2 + l->spatial;
    for (int i = 0; i < l->spatial; i++) dims[2 + i] = l->space[i];
    Value *x = new_value(g, "x", (int)rank, dims), *blocked = NULL;
    dims[1] = (channels + l->in_block - 1) / l->in_block;
    dims[rank] = l->in_block;
    if (l->in_block > 1) blocked = new_value(g, "x", (int)rank + 1, dims);
    Node *n = convolution(g, l, x);
    if (!n) return NULL;
    Layout layout = {.g = g, .ctx = g->ctx, .target = p->target, .pass = p, .n_ids = g->ctx->next_id};
    layout.twin = ARENA_ARRAY(g->arena, layout.n_ids, Value *);
    layout.twin[x->id] = blocked;
    const Value *y = n->out[0];
    if (!lower_conv(&layout, n)) return NULL;
    Value *out = twin_of(&layout, y);
    set_ends(g, blocked ? blocked : x, out);
    return out->def;
}

static bool is_taken(const Node *made, const LayerChoice *c) {
    LayerChoice got = node_choice(made);
    return got.form == c->form && (!c->rows || got.rows == c->rows) && (!c->vecs || got.vecs == c->vecs) &&
           (!c->unroll || got.unroll == c->unroll) && (!c->run || got.run == c->run);
}

Graph *probe_graph(Ctx *ctx, const Target *t, Winograd allowed, const Layer *l, const LayerChoice *c) {
    Graph *g = graph_new(ctx, NULL);
    TuningEntry entry = {.layer = str_of(layer_text(ctx->arena, l)), .choice = *c};
    Tuning tuning = {.path = "the choice", .entries = &entry, .n = 1};
    PassCtx p = {.ctx = ctx, .target = t, .opt_level = 2, .winograd = allowed, .tuning = &tuning, .stop_after = -1};
    const Node *made = l->kind == LAYER_PRODUCT ? probe_product(g, &p, l) : probe_convolution(g, &p, l);
    return made && is_taken(made, c) ? g : NULL;
}
