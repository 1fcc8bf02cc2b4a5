/* Which contractions are pruned, and the rounds. Spared are the first and the last, unless asked for, those that the
 * user keeps, and sums so short that nothing in them is redundant (depthwise convolutions). */
#include "compress/prune.h"
#include <math.h>
#include <string.h>
#include "compress/triangle.h"

enum { SHORT_SUM = 16 };

/* ---- the plan ---- */

/* v is all that varies in what n reads. */
static bool reads_only(const Node *n, const Value *v) {
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && n->in[i] != v && !n->in[i]->constant) return false;
    return true;
}

/* A channel of v that is a constant can leave the graph: it meets none of another layer before it enters sums. */
static bool channels_can_go(const Graph *g, const Value *v) {
    if (graph_is_output(g, v)) return false;
    for (const Node *n = g->first; n; n = n->next) {
        bool used = false;
        for (int i = 0; i < n->n_in; i++) used |= n->in[i] == v;
        if (!used) continue;
        Contraction c;
        bool sums = contraction_read(n, &c);
        if (sums && !(n->op == OP_Conv && node_int(n, "group") > 1)) continue;
        if (!reads_only(n, v) || n->n_out != 1) return false;
        bool passes = sums || op_has(n->op, OP_ELEMENTWISE) || op_has(n->op, OP_POOL) || op_has(n->op, OP_VIEW);
        if (!passes || !channels_can_go(g, n->out[0])) return false;
    }
    return true;
}

static const char *why_spared(const Graph *g, const PruneLayer *l, bool others) {
    Ctx *ctx = g->ctx;
    if (l->planned ? l->share <= 0 : !l->q->chosen || !others) return l->planned ? "as planned" : "as asked for";
    if (l->form.pattern == PRUNE_CHANNELS && !channels_can_go(g, l->q->node->out[0])) return "its channels meet others";
    if (l->c.depth < SHORT_SUM && !l->planned) return "its sums are short";
    if (weights_finite(l->c.weights)) return NULL;
    diag_warn(ctx, "calibration", l->q->node, "its weights are not finite: they are not pruned");
    return "its weights are not finite";
}

static void spare_ends(PrunePlan *p) {
    PruneLayer *ends[] = {&p->layers[0], &p->layers[p->n - 1]};
    for (int i = 0; i < 2; i++)
        if (p->n && !ends[i]->spared && !ends[i]->planned) ends[i]->spared = i ? "the last layer" : "the first layer";
}

PrunePlan *prune_choose(Graph *g, const PruneOptions *o, const PlanFile *file) {
    PrunePlan *p = ARENA_NEW(g->arena, PrunePlan);
    QuantOptions names = {
        .mode = QUANT_NONE, .skip = o->skip, .only = o->only, .n_skip = o->n_skip, .n_only = o->n_only};
    *p = (PrunePlan){.options = *o, .nodes = quant_choose(g, &names, NULL, 0)};
    if (!p->nodes) return NULL;
    p->layers = ARENA_ARRAY(g->arena, p->nodes->n_nodes + 1, PruneLayer);
    for (int i = 0; i < p->nodes->n_nodes; i++) {
        PruneLayer l = {.q = &p->nodes->nodes[i]};
        if (!contraction_read(l.q->node, &l.c)) continue;
        l.form = prune_form(o, l.q->node);
        p->layers[p->n++] = l;
    }
    if (file && !plan_prune_apply(file, p)) return NULL;
    for (int i = 0; i < p->n; i++) {
        PruneLayer *l = &p->layers[i];
        l->spared = why_spared(g, l, o->share > 0);
        if (!l->spared && l->form.by > p->options.by) p->options.by = l->form.by;
    }
    if (!o->ends && p->n > 2) spare_ends(p);
    for (int i = 0; i < p->n; i++) p->layers[i].q->chosen = !p->layers[i].spared;
    return p;
}

/* Whole channels are too long for its blocks of columns. */
static bool is_updated(const PruneOptions *o) { return o->by == PRUNE_BY_UPDATE && o->pattern != PRUNE_CHANNELS; }

bool prune_needs_samples(const PruneOptions *o) { return o->by != PRUNE_BY_MAGNITUDE; }

/* ---- a round ---- */

PruneWeights prune_weights_of(const PruneLayer *l) {
    bool rows = l->c.shape.outer == 1;
    int64_t channels = l->c.shape.channels;
    float *w = l->weights ? l->weights : (float *)(uintptr_t)l->c.weights->data;
    int64_t taps = 1;
    for (int i = 2; rows && i < l->c.weights->rank; i++) taps *= l->c.weights->dims[i];
    return (PruneWeights){w, channels, rows ? l->c.depth : 1, rows ? 1 : channels, taps};
}

/* Σ x² of the input that channel c's weight k meets; 1 where nothing is known */
static double input_power(const PruneLayer *l, int64_t c, int64_t k) {
    const Hessian *h = l->form.by == PRUNE_BY_MAGNITUDE ? NULL : l->q->hessian;
    if (!h) return 1;
    int64_t group = c / (l->c.shape.channels / h->groups), part = k / h->part, i = k % h->part;
    return h->sums[group * h->parts + part][triangle_row(i) + i];
}

static float *score_layer(const PruneLayer *l, Arena *scratch) {
    PruneWeights w = prune_weights_of(l);
    float *score = ARENA_ARRAY(scratch, l->c.depth * w.channels + 1, float);
    for (int64_t k = 0; k < l->c.depth; k++)
        for (int64_t c = 0; c < w.channels; c++) {
            double v = (double)w.w[c * w.by_channel + k * w.by_depth];
            score[k * w.channels + c] = (float)fmin(v * v * input_power(l, c, k), 1e30);
        }
    return score;
}

static void prune_layer(const PrunePlan *p, const PruneLayer *l) {
    Ctx *ctx = p->nodes->graph->ctx;
    PruneWeights w = prune_weights_of(l);
    if (is_updated(&l->form) && l->q->hessian) {
        prune_update(&l->form, l->q->hessian, &w, l->share, ctx);
        return;
    }
    Arena *scratch = arena_new(ctx);
    uint8_t *zero = ARENA_ARRAY(scratch, l->c.depth * w.channels, uint8_t);
    PruneMatrix m = {score_layer(l, scratch), l->c.depth, w.channels, w.taps};
    prune_select(&l->form, m, l->share, zero, scratch);
    for (int64_t k = 0; k < l->c.depth; k++)
        for (int64_t c = 0; c < w.channels; c++)
            if (zero[k * w.channels + c]) w.w[c * w.by_channel + k * w.by_depth] = 0;
    arena_free(scratch);
}

static void copy_weights(const PrunePlan *p, PruneLayer *l) {
    const Tensor *from = l->c.weights;
    l->weights = ARENA_ARRAY(p->nodes->graph->arena, from->bytes / 4, float);
    memcpy(l->weights, from->data, from->bytes);
    if (!l->c.bias) return;
    l->bias = ARENA_ARRAY(p->nodes->graph->arena, l->c.shape.channels, float);
    memcpy(l->bias, l->c.bias->data, l->c.bias->bytes);
}

/* Its loss at some shares, of the power of its sums, which is what remains to lose where all weights are 0 */
static void measure(const PrunePlan *p, PruneLayer *l) {
    PruneWeights w = prune_weights_of(l);
    prune_losses(&l->form, l->q->hessian, &w, prune_points, PRUNE_POINTS, l->loss, p->nodes->graph->ctx);
    double power = l->loss[PRUNE_POINTS - 1];
    for (int i = 0; i < PRUNE_POINTS; i++) l->loss[i] = power > 0 ? l->loss[i] / power : 0;
}

static bool has_loss(const PruneLayer *l) { return l->loss[PRUNE_POINTS - 1] > 0; }

static void measure_losses(const PrunePlan *p) {
    for (int i = 0; i < p->n; i++) {
        PruneLayer *l = &p->layers[i];
        bool shares = !l->spared && !l->planned && is_updated(&l->form);
        if (shares && l->q->hessian && !l->weights && !has_loss(l)) measure(p, l);
    }
}

void prune_try(PrunePlan *p) {
    measure_losses(p);
    for (int i = 0; i < p->n; i++) {
        PruneLayer *l = &p->layers[i];
        if (l->spared || !has_loss(l)) continue;
        copy_weights(p, l);
        l->share = p->options.share;
        prune_layer(p, l);
    }
}

void prune_untry(PrunePlan *p) {
    for (int i = 0; i < p->n; i++) p->layers[i].weights = p->layers[i].bias = NULL;
}

static void prune_layer_partly(const PrunePlan *p, const PruneLayer *l, double portion) {
    PruneLayer part = *l;
    if (l->planned) part.share *= portion;
    prune_layer(p, &part);
}

void prune_round(PrunePlan *p, double portion) {
    Arena *scratch = arena_new(p->nodes->graph->ctx);
    float **importances = ARENA_ARRAY(scratch, p->n + 1, float *);
    bool together = !p->options.by_layer && p->options.pattern != PRUNE_N_OF_M, by_losses = false;
    for (int i = 0; i < p->n; i++) {
        const PruneLayer *l = &p->layers[i];
        by_losses |= !l->spared && !l->planned && is_updated(&l->form);
    }
    if (together && by_losses) measure_losses(p);
    for (int i = 0; i < p->n; i++) {
        PruneLayer *l = &p->layers[i];
        if (l->spared) continue;
        if (together && !by_losses && !l->planned) importances[i] = score_layer(l, scratch);
        if (!l->weights) copy_weights(p, l);
    }
    prune_shares(p, by_losses ? NULL : importances, p->options.share * portion, scratch);
    arena_free(scratch);
    for (int i = 0; i < p->n; i++)
        if (!p->layers[i].spared) prune_layer_partly(p, &p->layers[i], portion);
}

/* ---- its result ---- */

double prune_zeros(const PruneLayer *l) {
    const float *w = l->weights ? l->weights : l->c.weights->data;
    int64_t n = l->c.depth * l->c.shape.channels, zeros = 0;
    for (int64_t i = 0; i < n; i++) zeros += w[i] == 0;
    return (double)zeros / (double)n;
}

static Value *new_constant(Graph *g, const Tensor *like, const float *data) {
    Tensor *t = tensor_new(g, DT_F32, like->rank, like->dims);
    if (!t) return NULL;
    memcpy((void *)(uintptr_t)t->data, data, t->bytes);
    return value_of_tensor(g, t);
}

bool prune_layer_apply(const PruneLayer *l, Node *n) {
    if (!(n->in[1] = new_constant(n->graph, l->c.weights, l->weights))) return false;
    return !l->bias || (n->in[2] = new_constant(n->graph, l->c.bias, l->bias));
}

bool prune_apply(const PrunePlan *p, Graph *g) {
    QuantOptions names = p->nodes->options;
    const QuantPlan *own = g == p->nodes->graph ? p->nodes : quant_choose(g, &names, NULL, 0);
    if (!own) return false;
    for (int i = 0; i < p->n; i++) {
        const PruneLayer *l = &p->layers[i];
        if (l->weights && !prune_layer_apply(l, own->nodes[l->q - p->nodes->nodes].node)) return false;
    }
    graph_count_uses(g);
    return true;
}
