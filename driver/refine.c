/* From one setting for all layers to one that gives some of them finer numbers, or their zeros back. Each layer is
 * measured alone, those with the most weights first, as long as half the time lasts; the order is that of the drop
 * saved for what it takes, and a binary search finds how many of the first it should be. */
#include "driver/trial.h"
#include <stdlib.h>
#include <string.h>

typedef struct Layer {
    const char *name, *prune_name; /* as quantization and pruning call it; NULL: it is not theirs */
    double weights;
    bool measured;
    double worth; /* drop saved for what it takes */
} Layer;

typedef struct Refinement {
    Hunt *hunt;
    const Setting *base;
    Layer *layers;
    int n;
    Pipeline p; /* to list the layers from */
} Refinement;

static QuantMode finer(QuantMode m) {
    if (m == QUANT_W4) return QUANT_W8;
    return m == QUANT_F16 || m == QUANT_NONE ? QUANT_NONE : QUANT_F16;
}

static const char *kept(const Hunt *h, const char *name) { return arena_printf(hunt_arena(h), "%s", name); }

/* The products of a plan in order; quant and prune plans have the same. */
static int list_names(Refinement *r, QuantMode mode, bool prunes) {
    const Command *c = r->hunt->command;
    QuantOptions o = {.mode = mode, .skip = c->quant.skip, .n_skip = mode == QUANT_NONE ? 0 : c->quant.n_skip};
    QuantPlan *plan = quant_choose(r->p.graph, &o, NULL, 0);
    if (!plan) return BAD_MODEL;
    int n = 0;
    if (!r->layers) r->layers = ARENA_ARRAY(hunt_arena(r->hunt), plan->n_nodes + 1, Layer);
    for (int i = 0; i < plan->n_nodes; i++) {
        const QuantNode *q = &plan->nodes[i];
        Contraction k;
        if (!contraction_read(q->node, &k)) continue;
        Layer *l = &r->layers[n++];
        l->weights = (double)k.weights->bytes;
        if (prunes) l->prune_name = kept(r->hunt, q->name);
        else if (q->chosen) l->name = kept(r->hunt, q->name);
    }
    r->n = n;
    return DONE;
}

static int list_layers(void *arg) {
    Refinement *r = arg;
    int result = pipeline_read(&r->p);
    if (result == DONE) result = pipeline_canonicalise(&r->p);
    if (result == DONE && r->base->share > 0) result = list_names(r, QUANT_NONE, true);
    if (result == DONE && r->base->mode != QUANT_NONE) result = list_names(r, r->base->mode, false);
    return result;
}

static int read_layers(Refinement *r) {
    Command c = setting_command(r->hunt, r->base);
    r->p = (Pipeline){.command = &c, .target = r->hunt->target, .is_float = true};
    if (!(r->p.ctx = pipeline_ctx(&c, c.files[0]))) return BAD_MODEL;
    diag_to(r->p.ctx, NULL);
    int result = with_memory(r->p.ctx, list_layers, r);
    pipeline_free(&r->p);
    ctx_free(r->p.ctx);
    return result;
}

static int by_weights(const void *a, const void *b) {
    const Layer *x = a, *y = b;
    return (x->weights < y->weights) - (x->weights > y->weights);
}

static int by_worth(const void *a, const void *b) {
    const Layer *x = a, *y = b;
    if (x->measured != y->measured) return x->measured ? -1 : 1;
    return (x->worth < y->worth) - (x->worth > y->worth);
}

/* The base with layers from … from + n - 1 finer */
static const Setting *try_layers(Refinement *r, int from, int n, int *result) {
    Arena *a = hunt_arena(r->hunt);
    Setting s = *r->base;
    NodeMode *modes = ARENA_ARRAY(a, s.n_modes + n + 1, NodeMode);
    const char **dense = ARENA_ARRAY(a, s.n_dense + n + 1, const char *);
    if (s.n_modes) memcpy(modes, s.modes, sizeof *modes * (size_t)s.n_modes);
    if (s.n_dense) memcpy(dense, s.dense, sizeof *dense * (size_t)s.n_dense);
    for (int i = from; i < from + n; i++) {
        const Layer *l = &r->layers[i];
        if (l->name) modes[s.n_modes++] = (NodeMode){l->name, finer(s.mode)};
        if (l->prune_name) dense[s.n_dense++] = l->prune_name;
    }
    s.modes = modes;
    s.dense = dense;
    const char *kind = s.mode == QUANT_NONE ? "dense" : quant_mode_name(finer(s.mode));
    s.name = n == 1 ? arena_printf(a, "%s; %s %s", r->base->name,
                                   r->layers[from].name ? r->layers[from].name : r->layers[from].prune_name, kind)
                    : arena_printf(a, "%s; %d layers %s", r->base->name, n, kind);
    return try_setting(r->hunt, &s, result);
}

static void measure_layers(Refinement *r, int *result) {
    Hunt *h = r->hunt;
    double start = seconds_now(), most = (h->deadline - start) / 2;
    for (int i = 0; i < r->n && *result == DONE && seconds_now() - start < most; i++) {
        const Setting *s = try_layers(r, i, 1, result);
        if (!s) continue;
        double gain = r->base->drop - s->drop, price = setting_cost(h, s) - setting_cost(h, r->base);
        r->layers[i].measured = true;
        h->measured++;
        r->layers[i].worth = gain > 0 && price <= 0 ? 1e300 : gain / (price > 1e-9 ? price : 1e-9);
        if (gain <= h->worst_gain) continue;
        h->worst_gain = gain;
        h->worst_name = r->layers[i].name ? r->layers[i].name : r->layers[i].prune_name;
    }
}

/* With --max-drop as few as it needs, else as many as there is room for */
static void measure_counts(Refinement *r, int *result) {
    const Hunt *h = r->hunt;
    bool fewest = h->command->max_drop != NULL;
    int low = 0, high = r->n + 1; /* low is too few, or there is room for it */
    while (high - low > 1 && *result == DONE) {
        int middle = low + (high - low) / 2;
        const Setting *s = try_layers(r, 0, middle, result);
        if (!s) return;
        bool more = fewest ? !within_drop(h, s) : within_budgets(h, s);
        if (more) low = middle;
        else high = middle;
    }
}

int refine_setting(Hunt *h, const Setting *base) {
    Refinement r = {.hunt = h, .base = base};
    if (base->mode == QUANT_NONE && base->share == 0) return DONE;
    int result = read_layers(&r);
    if (result != DONE || r.n < 2) return result;
    qsort(r.layers, (size_t)r.n, sizeof *r.layers, by_weights);
    measure_layers(&r, &result);
    qsort(r.layers, (size_t)r.n, sizeof *r.layers, by_worth);
    measure_counts(&r, &result);
    return result;
}
