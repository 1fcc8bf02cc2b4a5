/* --rounding=gptq: weights are rounded layer after layer, in the graph's order, each by what its inputs are behind the
 * layers that are rounded already (driver/pair.c), and towards what the float network makes in its place
 * (compress/round_fit.c). */
#include <string.h>
#include "compress/round_fit.h"
#include "driver/pair.h"
#include "driver/quantize.h"

static const size_t most_hessian = (size_t)4 << 30;

typedef struct Layers {
    QuantPlan *plan;
    const QuantPlan *own; /* of the pair's graph: node by node the same */
    Pair pair;
    Arena *kept;                    /* for what is rounded */
    const RoundedWeights **weights; /* by node id */
} Layers;

static bool is_open(const Value *v) {
    for (int i = 0; i < v->type.rank; i++)
        if (!v->type.dims[i] || dim_has_data(v->type.dims[i])) return true;
    return v->type.kind != TYPE_TENSOR || v->type.rank < 0 || v->type.dtype == DT_STRING;
}

bool round_layers_possible(const QuantPlan *plan) {
    const Graph *g = plan->graph;
    if (plan->options.rounding != ROUND_GPTQ) return false;
    for (const Node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->n_out; i++)
            if (n->out[i] && is_open(n->out[i])) return false;
    return true;
}

static Value *new_constant(Graph *g, const Tensor *like, float **data) {
    Tensor *t = ARENA_NEW(g->arena, Tensor);
    *t = *like;
    t->data = *data = arena_alloc(g->arena, like->bytes + 1);
    return value_of_tensor(g, t);
}

static void take_weights(Node *n, const RoundedWeights *w) {
    const Tensor *like = n->in[1]->constant, *bias = w->bias ? n->in[2]->constant : NULL;
    const RoundWeights *r = &w->form;
    int64_t depth = (int64_t)(like->bytes / 4) / r->channels, blocks = round_blocks(r, depth);
    float *to;
    n->in[1] = new_constant(n->graph, like, &to);
    for (int64_t c = 0; c < r->channels; c++)
        for (int64_t k = 0; k < depth; k++) {
            int64_t at = c * r->by_channel + k * r->by_depth;
            to[at] = (float)code_value(r->scales[c * blocks + k / r->block], r->codes[at]);
        }
    if (!bias) return;
    n->in[2] = new_constant(n->graph, bias, &to);
    memcpy(to, w->bias, bias->bytes);
}

static bool has_rounded(void *arg, const Node *n, Node *copy) {
    const Layers *s = arg;
    const RoundedWeights *w = s->weights[n->id];
    if (w && copy) take_weights(copy, w);
    return w != NULL;
}

static bool observe(void *arg, int sample, const Tensor *x, const Tensor *exact) {
    return round_fit_observe(arg, sample, x, exact);
}

static int round_layer(Layers *s, int at, const Contraction *c) {
    const QuantNode *q = &s->plan->nodes[at];
    const Node *n = s->own->nodes[at].node;
    Ctx *ctx = s->pair.p.ctx;
    Arena *a = arena_new(ctx);
    RoundFit *f = round_fit_new(a, n, c, s->pair.n_samples);
    int result = pair_observe(&s->pair, n, q->name, observe, f);
    if (result == DONE) {
        round_fit_solve(f, ctx);
        s->plan->nodes[at].rounded = s->weights[n->id] =
            round_ahead(s->plan, q, c, f->target, f->moves, f->set[FITTED], s->kept);
    }
    arena_free(a);
    return result;
}

/* Places of the nodes whose weights are rounded here, in `at` */
static int list_layers(const Layers *s, int *at) {
    int n = 0;
    Contraction c;
    for (int i = 0; i < s->plan->n_nodes; i++) {
        const QuantNode *q = &s->plan->nodes[i];
        if (!is_rounded(s->plan, q, &c) || !weights_finite(c.weights)) continue;
        int64_t groups = q->node->op == OP_Conv ? node_int(q->node, "group") : 1;
        if (hessian_bytes(c.depth, groups, HESSIAN_PART) <= most_hessian / 2) at[n++] = i;
        else
            diag_warn(s->plan->graph->ctx, "calibration", q->node,
                      "its inputs are too many for --rounding: its weights go to the nearest code");
    }
    return n;
}

static int round_all(void *arg) {
    Layers *s = arg;
    Pipeline *p = &s->pair.p;
    int result = pipeline_read(p);
    if (result == DONE) result = pipeline_prepare(p, s->plan);
    if (result != DONE) return result;
    QuantOptions o = s->plan->options;
    s->own = quant_choose(p->graph, &o, s->plan->modes, s->plan->n_modes);
    if (!s->own || s->own->n_nodes != s->plan->n_nodes) return BAD_MODEL;
    Arena *a = p->ctx->arena;
    s->weights = (const RoundedWeights **)ARENA_ARRAY(a, p->ctx->next_id, RoundedWeights *);
    int *at = ARENA_ARRAY(a, s->plan->n_nodes + 1, int), n = list_layers(s, at);
    const Node **layers = (const Node **)ARENA_ARRAY(a, n + 1, Node *);
    for (int i = 0; i < n; i++) layers[i] = s->own->nodes[at[i]].node;
    progress_stage("rounding the weights");
    progress_hold(true);
    result = pair_open(&s->pair, layers, n);
    for (int i = 0; i < n && result == DONE; i++) {
        Contraction c;
        is_rounded(s->plan, &s->plan->nodes[at[i]], &c);
        result = round_layer(s, at[i], &c);
        progress_part(i + 1, n);
    }
    progress_hold(false);
    return result;
}

int round_layers(const Pipeline *p, QuantPlan *plan, Arena *a) {
    Layers s = {.plan = plan, .kept = a, .pair = {.option = "--rounding", .change = has_rounded}};
    s.pair.p = (Pipeline){.is_float = true, .pruned = p->pruned};
    s.pair.arg = &s;
    double start = seconds_now();
    int result = side_network(p, &s.pair.p, "--rounding", round_all, &s);
    if (result == DONE && p->command->verbose)
        fprintf(stderr, "mcc: rounded the weights by %d samples in %.2f s\n", s.pair.n_samples, seconds_now() - start);
    pair_close(&s.pair);
    return result;
}
