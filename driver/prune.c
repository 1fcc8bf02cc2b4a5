/* --prune: canonical float graph, plan; a round or several of calibration, where importance is measured, and of zeros.
 * Each round sees the inputs that the zeros before it leave. */
#include "compress/report.h"
#include "driver/kept.h"
#include "driver/prune.h"
#include "driver/quantize.h"

/* Zeros come fast at first, and slowly where they hurt (M. Zhu, S. Gupta, "To prune, or not to prune", 2017). */
static double portion(int64_t round, int64_t rounds) {
    double rest = 1 - (double)round / (double)rounds;
    return 1 - rest * rest * rest;
}

/* Of the nodes that are pruned, in `a` */
static int find_hessians(const Pipeline *p, PrunePlan *plan, Arena *a) {
    for (int i = 0; i < plan->nodes->n_nodes; i++) plan->nodes->nodes[i].hessian = NULL;
    quant_want_hessians(plan->nodes, a);
    return calibrate_plan(p, plan->nodes);
}

/* Of the dense network, those that nobody has gathered yet */
static int share_hessians(const Pipeline *p, PrunePlan *plan) {
    QuantPlan *nodes = plan->nodes;
    Arena *scratch = arena_new(p->ctx);
    bool *chosen = ARENA_ARRAY(scratch, nodes->n_nodes + 1, bool), missing = false;
    for (int i = 0; i < nodes->n_nodes; i++) {
        chosen[i] = nodes->nodes[i].chosen;
        if (kept_hessian(p->kept, i)) nodes->nodes[i].chosen = false;
        missing |= nodes->nodes[i].chosen;
    }
    int result = missing ? find_hessians(p, plan, kept_arena(p->kept)) : DONE;
    for (int i = 0; i < nodes->n_nodes && result == DONE; i++) {
        QuantNode *q = &nodes->nodes[i];
        if (q->chosen && q->hessian) leave_hessian(p->kept, i, q->hessian);
        q->chosen = chosen[i];
        q->hessian = q->chosen ? kept_hessian(p->kept, i) : NULL;
    }
    arena_free(scratch);
    return result;
}

static int prune_once(Pipeline *p, PrunePlan *plan, int64_t round) {
    Arena *hessians = arena_new(p->ctx);
    int result = DONE;
    if (prune_needs_samples(&plan->options))
        result = p->kept && round == 1 ? share_hessians(p, plan) : find_hessians(p, plan, hessians);
    if (result == DONE && round == 1 && plan->options.by_network) {
        prune_try(plan);
        result = prune_sense(p, plan);
        prune_untry(plan);
    }
    if (result == DONE) {
        progress_stage("pruning");
        prune_round(plan, portion(round, plan->options.rounds));
    }
    arena_free(hessians);
    return result;
}

static int find_zeros(Pipeline *p, PrunePlan *plan) {
    int result = DONE;
    for (int64_t round = 1; round <= plan->options.rounds && result == DONE; round++) {
        result = prune_once(p, plan, round);
        p->pruned = plan;
    }
    return result == DONE && p->command->n_calibrate ? prune_recover(p, plan) : result;
}

static void say_layers(const PrunePlan *p) {
    double weights = 0, zeros = 0;
    for (int i = 0; i < p->n; i++) {
        const PruneLayer *l = &p->layers[i];
        double n = (double)l->c.depth * (double)l->c.shape.channels;
        weights += n;
        zeros += n * prune_zeros(l);
        fprintf(stderr, "mcc: pruned: %s: %.1f %% zeros, %s%s\n", l->q->name, 100 * prune_zeros(l),
                l->spared ? "spared: " : prune_form_text(p->nodes->graph->ctx, &l->form), l->spared ? l->spared : "");
    }
    fprintf(stderr, "mcc: pruned: %.1f %% of %.0f weights\n", weights > 0 ? 100 * zeros / weights : 0, weights);
}

static int save_zeros(const Pipeline *p) {
    OutputSet set = {0};
    FILE *out = output_open(&set, p->command->save_plan);
    if (out) fputs("# mcc plan 1\n", out), plan_prune_write(p->pruned, out);
    bool good = out && output_commit(&set);
    output_abandon(&set);
    return good ? DONE : BAD_MODEL;
}

/* Its file, if that says something of zeros; else NULL. DONE, or an exit code after a message */
static int read_plan(const Pipeline *p, const PlanFile **file) {
    const Command *c = p->command;
    *file = NULL;
    if (!c->plan) return DONE;
    if (!(*file = plan_read(p->ctx, c->plan, c->quant.mode))) return BAD_MODEL;
    if (plan_prunes(*file)) return DONE;
    *file = NULL;
    if (c->prune.share > 0 || c->quant.mode != QUANT_NONE) return DONE;
    diag_error(p->ctx, NULL, "%s says nothing of zeros: add --quantize or --prune", c->plan);
    return BAD_MODEL;
}

int pipeline_prune(Pipeline *p) {
    const Command *c = p->command;
    PruneOptions o = c->prune;
    const PlanFile *file;
    int result = read_plan(p, &file);
    if (result != DONE || (o.share <= 0 && !file)) return result;
    o.integers = c->quant.mode == QUANT_INT8;
    o.small = c->optimize_size;
    if (!o.target) o.target = p->target;
    if ((result = pipeline_canonicalise(p)) != DONE) return result;
    PrunePlan *plan = prune_choose(p->graph, &o, file);
    if (!plan) return BAD_MODEL;
    if (prune_needs_samples(&plan->options) && !c->n_calibrate) {
        diag_error(p->ctx, NULL, "--prune-by=inputs and --prune-by=update need samples of the model's inputs");
        diag_note(p->ctx, "give them with --calibrate=FOLDER");
        return BAD_MODEL;
    }
    if (!kept_zeros(p->kept, plan)) {
        if ((result = find_zeros(p, plan)) != DONE) return result;
        leave_zeros(p->kept, plan);
    }
    p->pruned = plan;
    if (c->verbose) say_layers(plan);
    plan->done = true;
    if (!prune_apply(plan, p->graph)) return BAD_MODEL;
    if (c->save_plan && c->quant.mode == QUANT_NONE && (result = save_zeros(p)) != DONE) return result;
    if (!p->ranges) return DONE;
    report_zeros(p->ranges, p->graph, p->ctx->arena);
    return c->quant.mode == QUANT_NONE ? measure_layer_noise(p, plan->nodes) : DONE;
}
