/* After the rounds of pruning: what is to be had back without another zero less. By update, weights are fitted to the
 * dense network (prune_refit.c), means and deviations are corrected in any case (prune_moments.c). A fit layer by layer
 * is no promise for the whole: the network's outputs on the first samples say whether it stays. */
#include "driver/kept.h"
#include "driver/prune.h"
#include "driver/side.h"
#include <string.h>

enum { MOST_SAMPLES = 32 };

/* ---- how far the pruned network is from the dense one ---- */

typedef struct Compare {
    const Pipeline *compile;
    Pipeline dense, pruned;
    SampledCall dense_call, pruned_call;
    Samples *samples;
    double noise;
} Compare;

static int open_network(Pipeline *p, SampledCall *call) {
    int result = pipeline_read(p);
    if (result == DONE) result = pipeline_canonicalise(p);
    if (result == DONE) result = side_compile(p);
    return result == DONE && !sampled_prepare(call, loaded_model(p->loaded), p->ctx->arena) ? BAD_MODEL : result;
}

static int run_both(void *arg) {
    Compare *c = arg;
    int result = open_network(&c->pruned, &c->pruned_call);
    if (result != DONE) return result;
    const mcc_model *m = c->pruned_call.model;
    const Tensor **in = ARENA_ARRAY(c->pruned.ctx->arena, m->n_inputs + 1, const Tensor *);
    Loss *loss = ARENA_ARRAY(c->pruned.ctx->arena, m->n_outputs + 1, Loss);
    for (int i = 0; i < MOST_SAMPLES && samples_next(c->samples, in) == SAMPLE_GIVEN; i++) {
        if (sampled_run(&c->dense_call, in) != MCC_OK || sampled_run(&c->pruned_call, in) != MCC_OK) return BAD_MODEL;
        for (int k = 0; k < m->n_outputs; k++) {
            Tensor got = sampled_tensor(&c->pruned_call.out[k], NULL),
                   want = sampled_tensor(&c->dense_call.out[k], NULL);
            loss_add(&loss[k], METRIC_SQNR, &got, &want);
        }
    }
    for (int k = 0; k < m->n_outputs; k++) c->noise += loss_value(&loss[k], METRIC_SQNR);
    return DONE;
}

static int compare(void *arg) {
    Compare *c = arg;
    int result = open_network(&c->dense, &c->dense_call);
    if (result != DONE) return result;
    if (!(c->samples = side_samples(&c->dense, c->dense_call.model->n_inputs))) return BAD_MODEL;
    result = side_network(c->compile, &c->pruned, "pruning", run_both, c);
    side_close(&c->pruned, NULL);
    return result;
}

static int find_noise(const Pipeline *p, double *noise) {
    Compare c = {.compile = p, .dense = {.is_float = true}, .pruned = {.is_float = true, .pruned = p->pruned}};
    int result = side_network(p, &c.dense, "pruning", compare, &c);
    side_close(&c.dense, c.samples);
    *noise = c.noise;
    return result;
}

/* ---- with a fit, or without ---- */

typedef struct Weights { /* of a layer */
    float *weights, *bias;
} Weights;

static void *copied(Arena *a, const float *from, size_t bytes) {
    return from ? memcpy(arena_alloc(a, bytes + 1), from, bytes) : NULL;
}

static Weights *save(const PrunePlan *plan, Arena *a) {
    Weights *w = ARENA_ARRAY(a, plan->n + 1, Weights);
    for (int i = 0; i < plan->n; i++) {
        const PruneLayer *l = &plan->layers[i];
        w[i].weights = copied(a, l->weights, l->c.weights->bytes);
        w[i].bias = copied(a, l->bias, l->bias ? l->c.bias->bytes : 0);
    }
    return w;
}

static void restore(PrunePlan *plan, const Weights *w) {
    for (int i = 0; i < plan->n; i++) {
        PruneLayer *l = &plan->layers[i];
        if (l->weights) memcpy(l->weights, w[i].weights, l->c.weights->bytes);
        if (l->bias) memcpy(l->bias, w[i].bias, l->c.bias->bytes);
    }
}

int prune_recover(const Pipeline *p, PrunePlan *plan) {
    double plain = 0, fitted = 0;
    Arena *a = arena_new(p->ctx);
    const Weights *before = save(plan, a), *without = NULL;
    Pipeline twice = *p; /* the dense network's moments are found once */
    if (!twice.kept) twice.kept = kept_new(a);
    int result = prune_correct(&twice, plan);
    if (result == DONE && plan->options.by == PRUNE_BY_UPDATE) {
        result = find_noise(p, &plain);
        without = save(plan, a);
        restore(plan, before);
        if (result == DONE) result = prune_fit(p, plan);
        if (result == DONE) result = prune_correct(&twice, plan);
        if (result == DONE) result = find_noise(p, &fitted);
        if (result == DONE && !(fitted < plain)) restore(plan, without);
    }
    arena_free(a);
    return result;
}
