/* --quantize: canonical float graph, plan; for int8 ranges (from a plan file, or by calibration), Q and DQ. */
#include "driver/quantize.h"
#include "compress/report.h"
#include <string.h>

static int save_plan(const Pipeline *p, const QuantPlan *plan) {
    OutputSet set = {0};
    FILE *out = output_open(&set, p->command->save_plan);
    if (out) plan_write(plan, out);
    if (out && p->pruned) plan_prune_write(p->pruned, out);
    bool good = out && output_commit(&set);
    output_abandon(&set);
    return good ? DONE : BAD_MODEL;
}

static bool all_known(QuantPlan *plan, const char **missing) {
    for (int i = 0; i < plan->n_tensors; i++) {
        if (quant_root(&plan->tensors[i])->known) continue;
        *missing = quant_root(&plan->tensors[i])->name;
        return false;
    }
    return true;
}

/* The command's, and whose costs decide: nobody's where a plan says what is quantized, or where all that is known of
 * the processor is the oldest one that will do. */
static QuantOptions options_of(const Pipeline *p) {
    const Command *c = p->command;
    QuantOptions o = c->quant;
    bool known = c->triple || c->cpu || c->features || c->optimize_size || c->verb != VERB_COMPILE;
    o.target = c->plan || !known ? NULL : p->target;
    o.runs_on = known ? p->target : NULL;
    o.winograd = pipeline_winograd(c, p->target);
    o.small = c->optimize_size;
    return o;
}

/* What stays in float because that is cheaper. */
static void tell_choice(const Pipeline *p, const QuantPlan *plan) {
    int kept = 0, dear = 0;
    for (int i = 0; i < plan->n_nodes; i++) {
        const QuantNode *q = &plan->nodes[i];
        Contraction c;
        dear += q->dear;
        bool done = q->mode == QUANT_INT8 ? q->active : q->mode != QUANT_NONE;
        kept += done && q->chosen && contraction_read(q->node, &c);
        if (q->dear && p->command->verbose) fprintf(stderr, "mcc: %s stays in float: %s\n", q->name, q->why);
    }
    if (dear && !kept)
        diag_warn(p->ctx, "calibration", NULL,
                  "all of it takes less time in float on this target: see -mcpu, --quantize-only and -Os");
    else if (!kept && plan->options.mode == QUANT_INT8)
        diag_warn(p->ctx, "calibration", NULL, "nothing in this model can be quantized");
}

static int read_ranges(Pipeline *p, const PlanFile *file, QuantPlan *plan, const Expectations *e) {
    const Command *c = p->command;
    const char *missing;
    if (file && !plan_apply(file, plan)) return BAD_MODEL;
    if (quant_wants_inputs(&plan->options) && !plan->in_order) return calibrate_plan(p, plan);
    if (all_known(plan, &missing)) return DONE;
    if (c->n_calibrate) return calibrate_plan(p, plan);
    if (e) return expected_ranges(p, e, plan);
    if (file) diag_error(p->ctx, NULL, "%s says nothing of tensor '%s'", c->plan, diag_name(p->ctx, str_of(missing)));
    else
        diag_error(p->ctx, NULL,
                   "--quantize=int8 needs samples of the model's inputs: it has no normalisation to take ranges from");
    diag_note(p->ctx, "give them with --calibrate=FOLDER");
    return BAD_MODEL;
}

static int find_ranges(Pipeline *p, const PlanFile *file, QuantPlan *plan, const Expectations *e) {
    int result = read_ranges(p, file, plan, e);
    if (result == DONE && !plan->options.follows) quant_scale_gates(plan);
    return result;
}

/* ---- equalization ---- */

static int tell_equalized(const Pipeline *p, const Equalization *e) {
    if (p->command->verbose)
        fprintf(stderr, "mcc: equalized: %d groups of channels scaled, by up to %g within a tensor\n", e->scaled,
                e->most);
    return DONE;
}

int pipeline_prepare(Pipeline *p, const QuantPlan *like) {
    int result = pipeline_canonicalise(p);
    if (result != DONE || (!like->seams && !like->equalization)) return result;
    Arena *a = arena_new(p->ctx);
    bool good = seams_open(p->graph, &like->options);
    if (good && like->equalization) good = equalize_apply(channels_find(p->graph, a), like->equalization);
    if (good && !like->seams) good = seams_close(p->graph);
    arena_free(a);
    return good ? DONE : BAD_MODEL;
}

/* By what channels hold, in samples or as expected. DONE, or an exit code after a message */
static int equalize_by_channels(const Pipeline *p, QuantPlan *plan, ChannelMap *m, const Expectations *x,
                                const Equalization **e) {
    Arena *a = arena_new(p->ctx);
    int result = DONE;
    ChannelSeen *seen = ARENA_ARRAY(a, m->n + 1, ChannelSeen);
    if (x) expected_channels(x, plan, a);
    else {
        quant_want_seen(plan, a);
        result = calibrate_channels(p, plan);
    }
    quant_channels_seen(plan, m, seen);
    for (int i = 0; i < plan->n_nodes; i++) plan->nodes[i].seen = NULL;
    if (result == DONE) *e = equalize_seen(m, seen, plan->options.alpha, plan->graph->arena);
    arena_free(a);
    return result;
}

/* As the plan file says, where it has scales; else as the command line does. DONE, or an exit code after a message */
static int find_factors(const Pipeline *p, const PlanFile *file, QuantPlan *plan, ChannelMap *m, Expectations *x,
                        const Equalization **e) {
    EqualizeKind kind = plan->options.equalize;
    if (kind == EQUALIZE_DEFAULT && (x || p->command->n_calibrate)) kind = EQUALIZE_SAMPLES;
    if (file && plan_has_tensors(file)) return (*e = plan_equalization(file, plan, m)) ? DONE : BAD_MODEL;
    if (kind == EQUALIZE_WEIGHTS) *e = equalize_weights(m, plan->graph->arena);
    return kind == EQUALIZE_SAMPLES ? equalize_by_channels(p, plan, m, x, e) : DONE;
}

/* Before the plan is made, by one of its own for the graph with open seams. *e: what has been done, NULL for nothing */
static int equalize(const Pipeline *p, const PlanFile *file, const QuantOptions *options, Expectations *x,
                    const Equalization **e) {
    QuantOptions o = *options;
    o.target = NULL; /* whatever may become integers */
    *e = NULL;
    if (!seams_open(p->graph, &o)) return BAD_MODEL;
    if (x) expect_values(x, p->graph);
    QuantPlan *plan = quant_choose(p->graph, &o, NULL, 0);
    if (!plan) return BAD_MODEL;
    plan->seams = true;
    Arena *a = arena_new(p->ctx);
    ChannelMap *m = channels_find(plan->graph, a);
    int result = find_factors(p, file, plan, m, x, e);
    if (result == DONE && *e && (*e)->scaled) {
        Equalization *done = (Equalization *)(uintptr_t)*e;
        done->lines = plan_channels_text(plan, m, done);
        if (x) expectations_scale(x, m, done);
        result = equalize_apply(m, done) ? tell_equalized(p, done) : BAD_MODEL;
    } else {
        *e = NULL;
    }
    arena_free(a);
    return result == DONE && !seams_close(p->graph) ? BAD_MODEL : result;
}

/* ---- the report ---- */

/* What became of the plan's nodes, in the memory of the model that is compiled. */
static void keep_nodes(const Pipeline *p, const QuantPlan *plan) {
    static const char *const schemes[] = {"f32", "int8", "dynamic", "w8", "w4", "f16", "bf16"};
    ReportRanges *r = p->ranges;
    r->nodes = ARENA_ARRAY(p->ctx->arena, plan->n_nodes + 1, ReportNode);
    for (int i = 0; i < plan->n_nodes; i++) {
        const QuantNode *q = &plan->nodes[i];
        Contraction c;
        bool contracts = contraction_read(q->node, &c);
        bool done = q->chosen && (q->mode == QUANT_INT8 ? q->active : contracts);
        if (plan->options.mode != QUANT_INT8 && !contracts) continue;
        r->nodes[r->n_nodes++] = (ReportNode){.index = q->node->index,
                                              .contracts = contracts,
                                              .scheme = done ? schemes[q->mode] : "f32",
                                              .why = q->why ? q->why
                                                     : done ? "--quantize asks for it"
                                                            : ""};
    }
}

/* Before the plan's nodes are inserted */
static int keep_report(const Pipeline *p, const QuantPlan *plan) {
    if (!p->ranges) return DONE;
    keep_nodes(p, plan);
    return measure_layer_noise(p, plan);
}

/* ---- the kinds ---- */

bool plan_insert(QuantPlan *plan) {
    return plan->options.mode == QUANT_INT8 ? quant_insert(plan) : quant_products(plan);
}

/* Of nodes that are not what the command says of all: as the plan file has it, or the search */
static const NodeMode *modes_of(const Pipeline *p, const PlanFile *file, int *n) {
    if (file) return plan_modes(file, n);
    *n = p->command->n_modes;
    return p->command->modes;
}

static int quantize_static(Pipeline *p) {
    const Command *c = p->command;
    const PlanFile *file = NULL;
    Expectations *e = expectations_begin(p);
    int n_modes = 0, result = pipeline_canonicalise(p);
    if (result != DONE) return result;
    if (e && !expectations_end(p, e)) e = NULL;
    progress_stage("planning the quantization");
    if (c->plan && !(file = plan_read(p->ctx, c->plan, c->quant.mode))) return BAD_MODEL;
    const NodeMode *modes = modes_of(p, file, &n_modes);
    QuantOptions o = options_of(p);
    if (file && plan_has_tensors(file)) o.follows = file;
    const Equalization *equalization;
    if ((result = equalize(p, file, &o, e, &equalization)) != DONE) return result;
    QuantPlan *plan = e ? expected_plan(p, e, &o) : quant_choose(p->graph, &o, modes, n_modes);
    if (!plan) return BAD_MODEL;
    plan->equalization = equalization;
    tell_choice(p, plan);
    Arena *hessians = arena_new(p->ctx);
    plan->in_order = round_layers_possible(plan);
    if (quant_wants_inputs(&plan->options) && !plan->in_order) quant_want_hessians(plan, hessians);
    result = find_ranges(p, file, plan, e);
    if (result == DONE && plan->in_order) result = round_layers(p, plan, hessians);
    if (result == DONE && c->max_drop) result = search_plan(p, &plan);
    if (result == DONE && c->save_plan) result = save_plan(p, plan);
    if (result == DONE) progress_stage("rounding the weights");
    if (result == DONE) result = keep_report(p, plan);
    if (result == DONE && !plan_insert(plan)) result = BAD_MODEL;
    arena_free(hessians);
    return result;
}

/* What needs no samples but for rounding by them: dynamic, and weights alone */
static int quantize_products(Pipeline *p) {
    const Command *c = p->command;
    const PlanFile *file = NULL;
    int n_modes = 0, result = pipeline_canonicalise(p);
    if (result != DONE) return result;
    if (c->plan && !(file = plan_read(p->ctx, c->plan, c->quant.mode))) return BAD_MODEL;
    const NodeMode *modes = modes_of(p, file, &n_modes);
    QuantOptions o = options_of(p);
    const Equalization *equalization = NULL;
    if (o.mode == QUANT_DYNAMIC && (result = equalize(p, file, &o, NULL, &equalization)) != DONE) return result;
    QuantPlan *plan = quant_choose(p->graph, &o, modes, n_modes);
    if (!plan || (file && !plan_apply(file, plan))) return BAD_MODEL;
    plan->equalization = equalization;
    tell_choice(p, plan);
    if (c->save_plan && (result = save_plan(p, plan)) != DONE) return result;
    Arena *hessians = arena_new(p->ctx);
    plan->in_order = round_layers_possible(plan);
    if (plan->in_order) {
        result = round_layers(p, plan, hessians);
    } else if (quant_wants_inputs(&plan->options)) {
        quant_want_hessians(plan, hessians);
        result = calibrate_plan(p, plan);
        progress_stage("rounding the weights");
    }
    if (result == DONE) result = keep_report(p, plan);
    if (result == DONE && !plan_insert(plan)) result = BAD_MODEL;
    arena_free(hessians);
    return result;
}

int pipeline_quantize(Pipeline *p) {
    return p->command->quant.mode == QUANT_INT8 ? quantize_static(p) : quantize_products(p);
}
