/* After pruning by update: the dense and the pruned network side by side on the samples (driver/pair.c), and in each
 * pruned layer the weights that stay fitted to what the dense one makes (compress/prune_refit.c). What a layer can make
 * up for depends on those before it, so that they are fitted one after the other (two at once would both make up for
 * the same). Of very many layers some are fitted, evenly spread. */
#include "driver/pair.h"
#include "driver/prune.h"

enum { MOST_LAYERS = 64 };

typedef struct Refit {
    PrunePlan *plan;
    Pair pair;
    PruneLayer **fitted;
    int n;
    const PruneLayer **of_node; /* of the pair's, by id */
} Refit;

static bool is_pruned(void *arg, const Node *n, Node *copy) {
    const PruneLayer *l = ((const Refit *)arg)->of_node[n->id];
    if (l && copy) prune_layer_apply(l, copy);
    return l != NULL;
}

typedef struct Sums { /* over what a layer reads */
    const Node *n;
    Hessian *h;
} Sums;

static bool observe(void *arg, int sample, const Tensor *x, const Tensor *exact) {
    const Sums *s = arg;
    (void)sample;
    return hessian_observe_exact(s->h, s->n, x, exact);
}

static int fit_layer(Refit *r, const PruneLayer *l, const Node *n) {
    Ctx *ctx = r->pair.p.ctx;
    Arena *a = arena_new(ctx);
    Sums s = {n, hessian_new(a, l->c.depth, n->op == OP_Conv ? node_int(n, "group") : 1, HESSIAN_PART)};
    s.h->about_means = l->c.bias != NULL;
    s.h->call_rows = s.h->most_rows / (r->pair.n_samples + 1) + 1;
    hessian_want_exact(s.h, a, &l->c);
    int result = pair_observe(&r->pair, n, l->q->name, observe, &s);
    if (result == DONE) prune_refit(l, s.h, ctx);
    arena_free(a);
    return result;
}

static int fit_all(void *arg) {
    Refit *r = arg;
    Pipeline *p = &r->pair.p;
    const QuantPlan *plan = r->plan->nodes;
    int result = pipeline_read(p);
    if (result == DONE) result = pipeline_canonicalise(p);
    if (result != DONE) return result;
    const QuantPlan *own = quant_choose(p->graph, &plan->options, NULL, 0);
    if (!own || own->n_nodes != plan->n_nodes) return BAD_MODEL;
    const Node **nodes = (const Node **)ARENA_ARRAY(p->ctx->arena, r->n + 1, Node *);
    r->of_node = (const PruneLayer **)ARENA_ARRAY(p->ctx->arena, p->ctx->next_id, PruneLayer *);
    for (int i = 0; i < r->n; i++) nodes[i] = own->nodes[r->fitted[i]->q - plan->nodes].node;
    for (int i = 0; i < r->plan->n; i++) {
        const PruneLayer *l = &r->plan->layers[i];
        if (l->weights) r->of_node[own->nodes[l->q - plan->nodes].node->id] = l;
    }
    result = pair_open(&r->pair, nodes, r->n);
    progress_hold(true);
    for (int i = 0; i < r->n && result == DONE; i++) {
        result = fit_layer(r, r->fitted[i], nodes[i]);
        progress_part(i + 1, r->n);
    }
    progress_hold(false);
    return result;
}

static bool is_fitted(const PruneLayer *l) { return l->weights && l->c.depth <= HESSIAN_PART; }

int prune_fit(const Pipeline *p, PrunePlan *plan) {
    Arena *a = arena_new(p->ctx);
    Refit r = {.plan = plan, .fitted = ARENA_ARRAY(a, plan->n + 1, PruneLayer *)};
    r.pair = (Pair){.option = "pruning", .p = {.is_float = true}, .change = is_pruned, .arg = &r};
    int all = 0;
    for (int i = 0; i < plan->n; i++) all += is_fitted(&plan->layers[i]);
    for (int i = 0, k = 0, step = all / MOST_LAYERS + 1; i < plan->n; i++)
        if (is_fitted(&plan->layers[i]) && k++ % step == 0) r.fitted[r.n++] = &plan->layers[i];
    progress_stage("fitting the weights that stay");
    int result = r.n ? side_network(p, &r.pair.p, "pruning", fit_all, &r) : DONE;
    pair_close(&r.pair);
    arena_free(a);
    return result;
}
