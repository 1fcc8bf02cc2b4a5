/* Lists, as there are few of each. Nodes and layers are known by their places in plans, tensors by their names: a model
 * that is read and made canonical again has the same. What is kept of one network does not hold for another with other
 * zeros, so that there is a set for each. */
#include "driver/kept.h"
#include <string.h>

typedef struct KeptHessian {
    int node;
    Hessian *h;
    struct KeptHessian *next;
} KeptHessian;
typedef struct KeptLoss {
    int layer;
    PruneOptions form; /* its pattern */
    double loss[PRUNE_POINTS];
    struct KeptLoss *next;
} KeptLoss;
typedef struct KeptMoments {
    int layer, runs;
    Moments sums;
    struct KeptMoments *next;
} KeptMoments;
typedef struct KeptRange {
    const char *name;
    float scale;
    int zero;
    struct KeptRange *next;
} KeptRange;
typedef struct KeptChannels {
    int node;
    Seen seen;
    struct KeptChannels *next;
} KeptChannels;
typedef struct Network {       /* the model, with some zeros */
    PruneOptions options;      /* share 0: with none */
    float **weights, **biases; /* by layer; NULL: as they are */
    KeptRange *ranges;
    KeptChannels *channels;
    struct Network *next;
} Network;
struct Kept {
    Arena *arena;
    KeptHessian *hessians;
    KeptLoss *losses;
    KeptMoments *moments;
    Network *networks;
};

Kept *kept_new(Arena *a) {
    Kept *k = ARENA_NEW(a, Kept);
    *k = (Kept){.arena = a};
    return k;
}

Arena *kept_arena(const Kept *k) { return k->arena; }

static void *copy(const Kept *k, const void *from, size_t bytes) {
    void *to = arena_alloc(k->arena, bytes + 1);
    if (bytes) memcpy(to, from, bytes);
    return to;
}

/* ---- of the dense network ---- */

Hessian *kept_hessian(const Kept *k, int node) {
    for (const KeptHessian *h = k ? k->hessians : NULL; h; h = h->next)
        if (h->node == node) return h->h;
    return NULL;
}

void leave_hessian(Kept *k, int node, Hessian *h) {
    KeptHessian *item = ARENA_NEW(k->arena, KeptHessian);
    *item = (KeptHessian){node, h, k->hessians};
    k->hessians = item;
}

const Moments *kept_moments(const Kept *k, int layer, int runs) {
    for (const KeptMoments *m = k ? k->moments : NULL; m; m = m->next)
        if (m->layer == layer && m->runs == runs) return &m->sums;
    return NULL;
}

void leave_moments(Kept *k, int layer, int runs, int64_t channels, const Moments *sums) {
    if (!k) return;
    size_t bytes = (size_t)channels * sizeof(double);
    KeptMoments *item = ARENA_NEW(k->arena, KeptMoments);
    *item = (KeptMoments){layer, runs, {copy(k, sums->sum, bytes), copy(k, sums->squares, bytes), sums->n}, k->moments};
    k->moments = item;
}

/* ---- zeros ---- */

static bool same_words(const char **a, int n, const char **b, int m) {
    if (n != m) return false;
    for (int i = 0; i < n; i++)
        if (strcmp(a[i], b[i]) != 0) return false;
    return true;
}

static bool same_form(const PruneOptions *a, const PruneOptions *b) {
    return a->pattern == b->pattern && a->n == b->n && a->of == b->of && a->rows == b->rows && a->cols == b->cols &&
           a->by == b->by &&
           (a->pattern != PRUNE_AUTO || (a->target == b->target && a->integers == b->integers && a->small == b->small));
}

static bool same_options(const PruneOptions *a, const PruneOptions *b) {
    if (!(a->share > 0) && !(b->share > 0)) return true;
    return same_form(a, b) && a->share == b->share && a->by_layer == b->by_layer && a->by_network == b->by_network && a->rounds == b->rounds &&
           a->ends == b->ends && same_words(a->skip, a->n_skip, b->skip, b->n_skip) &&
           same_words(a->only, a->n_only, b->only, b->n_only);
}

static Network *network_of(const Kept *k, const PruneOptions *o) {
    for (Network *n = k->networks; n; n = n->next)
        if (same_options(&n->options, o)) return n;
    return NULL;
}

static Network *new_network(Kept *k, const PruneOptions *o) {
    Network *n = ARENA_NEW(k->arena, Network);
    *n = (Network){.options = *o, .next = k->networks};
    return k->networks = n;
}

static void take_losses(const Kept *k, PrunePlan *plan) {
    for (const KeptLoss *l = k->losses; l; l = l->next) {
        PruneLayer *to = &plan->layers[l->layer];
        if (!to->spared && same_form(&l->form, &to->form)) memcpy(to->loss, l->loss, sizeof to->loss);
    }
}

bool kept_zeros(const Kept *k, PrunePlan *plan) {
    const Network *n = k ? network_of(k, &plan->options) : NULL;
    if (k && !(n && n->weights)) take_losses(k, plan);
    if (!n || !n->weights) return false;
    for (int i = 0; i < plan->n; i++) {
        plan->layers[i].weights = n->weights[i];
        plan->layers[i].bias = n->biases[i];
    }
    return true;
}

static bool has_loss(const Kept *k, int layer, const PruneLayer *of) {
    for (const KeptLoss *l = k->losses; l; l = l->next)
        if (l->layer == layer && same_form(&l->form, &of->form)) return true;
    return false;
}

void leave_zeros(Kept *k, const PrunePlan *plan) {
    if (!k) return;
    Network *n = network_of(k, &plan->options);
    if (!n) n = new_network(k, &plan->options);
    n->weights = ARENA_ARRAY(k->arena, plan->n + 1, float *);
    n->biases = ARENA_ARRAY(k->arena, plan->n + 1, float *);
    for (int i = 0; i < plan->n; i++) {
        const PruneLayer *l = &plan->layers[i];
        if (l->weights) n->weights[i] = copy(k, l->weights, l->c.weights->bytes);
        if (l->bias) n->biases[i] = copy(k, l->bias, l->c.bias->bytes);
        if (l->spared || !(l->loss[PRUNE_POINTS - 1] > 0) || has_loss(k, i, l)) continue;
        KeptLoss *item = ARENA_NEW(k->arena, KeptLoss);
        *item = (KeptLoss){.layer = i, .form = l->form, .next = k->losses};
        memcpy(item->loss, l->loss, sizeof item->loss);
        k->losses = item;
    }
}

/* ---- of a network with its zeros ---- */

static Network *network_at(const Pipeline *p, bool make) {
    static const PruneOptions none;
    const PruneOptions *o = p->pruned ? &p->pruned->options : &none;
    Network *n = p->kept ? network_of(p->kept, o) : NULL;
    return n || !p->kept || !make ? n : new_network(p->kept, o);
}

static const KeptRange *find_range(const Network *n, const char *name) {
    for (const KeptRange *r = n->ranges; r; r = r->next)
        if (!strcmp(r->name, name)) return r;
    return NULL;
}

static bool wants_range(const QuantTensor *t) { return !t->shares && !t->known; }

bool kept_ranges(const Pipeline *p, QuantPlan *plan) {
    const Network *n = network_at(p, false);
    if (!n || plan->options.mode != QUANT_INT8) return false;
    for (int i = 0; i < plan->n_nodes; i++)
        if (plan->nodes[i].hessian || plan->nodes[i].seen) return false;
    for (int i = 0; i < plan->n_tensors; i++)
        if (wants_range(&plan->tensors[i]) && !find_range(n, plan->tensors[i].name)) return false;
    for (int i = 0; i < plan->n_tensors; i++) {
        QuantTensor *t = &plan->tensors[i];
        if (!wants_range(t)) continue;
        const KeptRange *r = find_range(n, t->name);
        t->scale = r->scale;
        t->zero = r->zero;
        t->known = true;
    }
    return true;
}

void leave_ranges(const Pipeline *p, const QuantPlan *plan) {
    Network *n = plan->options.mode == QUANT_INT8 ? network_at(p, true) : NULL;
    for (int i = 0; n && i < plan->n_tensors; i++) {
        const QuantTensor *t = &plan->tensors[i];
        if (t->shares || !t->known || find_range(n, t->name)) continue;
        KeptRange *r = ARENA_NEW(p->kept->arena, KeptRange);
        *r = (KeptRange){copy(p->kept, t->name, strlen(t->name) + 1), t->scale, t->zero, n->ranges};
        n->ranges = r;
    }
}

static const Seen *find_channels(const Network *n, int node) {
    for (const KeptChannels *c = n->channels; c; c = c->next)
        if (c->node == node) return &c->seen;
    return NULL;
}

/* All but the arrays themselves */
static void copy_seen(Seen *to, const Seen *from) {
    size_t n = (size_t)from->channels;
    to->count = from->count;
    memcpy(to->low, from->low, n * sizeof *to->low);
    memcpy(to->high, from->high, n * sizeof *to->high);
    memcpy(to->sums, from->sums, n * sizeof *to->sums);
    memcpy(to->squares, from->squares, n * sizeof *to->squares);
}

bool kept_channels(const Pipeline *p, QuantPlan *plan) {
    const Network *n = network_at(p, false);
    for (int i = 0; n && i < plan->n_nodes; i++)
        if (plan->nodes[i].seen && !find_channels(n, i)) return false;
    for (int i = 0; n && i < plan->n_nodes; i++)
        if (plan->nodes[i].seen) copy_seen(plan->nodes[i].seen, find_channels(n, i));
    return n != NULL;
}

void leave_channels(const Pipeline *p, const QuantPlan *plan) {
    Network *n = network_at(p, true);
    for (int i = 0; n && i < plan->n_nodes; i++) {
        if (!plan->nodes[i].seen || find_channels(n, i)) continue;
        KeptChannels *c = ARENA_NEW(p->kept->arena, KeptChannels);
        *c = (KeptChannels){.node = i, .seen = *plan->nodes[i].seen, .next = n->channels};
        size_t many = (size_t)c->seen.channels;
        c->seen.low = copy(p->kept, c->seen.low, many * sizeof(float));
        c->seen.high = copy(p->kept, c->seen.high, many * sizeof(float));
        c->seen.sums = copy(p->kept, c->seen.sums, many * sizeof(double));
        c->seen.squares = copy(p->kept, c->seen.squares, many * sizeof(double));
        n->channels = c;
    }
}
