/* --prune: canonical float graph, plan; a round or several of calibration, where importance is measured, and of zeros.
 * Each round sees the inputs that the zeros before it leave. */
#include "compress/report.h"
#include "driver/prune.h"
#include "driver/quantize.h"

/* Zeros come fast at first, and slowly where they hurt (M. Zhu, S. Gupta, "To prune, or not to prune", 2017). */
static double portion(int64_t round, int64_t rounds) {
    double rest = 1 - (double)round / (double)rounds;
    return 1 - rest * rest * rest;
}

static int prune_once(Pipeline *p, PrunePlan *plan, double share) {
    int result = DONE;
    Arena *hessians = arena_new(p->ctx);
    if (prune_needs_samples(&plan->options)) {
        for (int i = 0; i < plan->nodes->n_nodes; i++) plan->nodes->nodes[i].hessian = NULL;
        quant_want_hessians(plan->nodes, hessians);
        result = calibrate_plan(p, plan->nodes);
    }
    if (result == DONE) {
        progress_stage("pruning");
        prune_round(plan, share);
    }
    arena_free(hessians);
    return result;
}

static void say_layers(const PrunePlan *p) {
    double weights = 0, zeros = 0;
    for (int i = 0; i < p->n; i++) {
        const PruneLayer *l = &p->layers[i];
        double n = (double)l->c.depth * (double)l->c.shape.channels;
        weights += n;
        zeros += n * prune_zeros(l);
        fprintf(stderr, "mcc: pruned: %s: %.1f %% zeros%s%s\n", l->q->name, 100 * prune_zeros(l),
                l->spared ? ", spared: " : "", l->spared ? l->spared : "");
    }
    fprintf(stderr, "mcc: pruned: %.1f %% of %.0f weights\n", weights > 0 ? 100 * zeros / weights : 0, weights);
}

int pipeline_prune(Pipeline *p) {
    const Command *c = p->command;
    PruneOptions o = c->prune;
    int result = pipeline_canonicalise(p);
    if (result != DONE) return result;
    if (prune_needs_samples(&o) && !c->n_calibrate) {
        diag_error(p->ctx, NULL, "--prune-by=inputs and --prune-by=update need samples of the model's inputs");
        diag_note(p->ctx, "give them with --calibrate=FOLDER");
        return BAD_MODEL;
    }
    PrunePlan *plan = prune_choose(p->graph, &o);
    if (!plan) return BAD_MODEL;
    for (int64_t round = 1; round <= o.rounds && result == DONE; round++) {
        result = prune_once(p, plan, portion(round, o.rounds));
        p->pruned = plan;
    }
    if (result == DONE && c->n_calibrate) result = prune_correct(p, plan);
    if (result != DONE) return result;
    if (c->verbose) say_layers(plan);
    plan->done = true;
    if (!prune_apply(plan, p->graph)) return BAD_MODEL;
    if (!p->ranges) return DONE;
    report_zeros(p->ranges, p->graph, p->ctx->arena);
    return c->quant.mode == QUANT_NONE ? measure_layer_noise(p, plan->nodes) : DONE;
}
