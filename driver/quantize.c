/* --quantize: canonical float graph, plan; for int8 ranges (from a plan file, or by calibration), Q and DQ. */
#include "driver/quantize.h"
#include <string.h>

static int save_plan(const Pipeline *p, const QuantPlan *plan) {
    OutputSet set = {0};
    FILE *out = output_open(&set, p->command->save_plan);
    if (out) plan_write(plan, out);
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

static bool any_active(const QuantPlan *plan) {
    for (int i = 0; i < plan->n_nodes; i++)
        if (plan->nodes[i].active) return true;
    return false;
}

static int find_ranges(Pipeline *p, const PlanFile *file, QuantPlan *plan) {
    const Command *c = p->command;
    const char *missing;
    if (file && !plan_apply(file, plan)) return BAD_MODEL;
    if (plan->options.rounding != ROUND_NEAREST) return calibrate_plan(p, plan);
    if (all_known(plan, &missing)) return DONE;
    if (c->n_calibrate) return calibrate_plan(p, plan);
    if (file) diag_error(p->ctx, NULL, "%s says nothing of tensor '%s'", c->plan, diag_name(p->ctx, str_of(missing)));
    else diag_error(p->ctx, NULL, "--quantize=int8 needs samples of the model's inputs");
    diag_note(p->ctx, "give them with --calibrate=FOLDER");
    return BAD_MODEL;
}

static int quantize_static(Pipeline *p) {
    const Command *c = p->command;
    const PlanFile *file = NULL;
    int n_f32 = 0, result = pipeline_canonicalise(p);
    if (result != DONE) return result;
    progress_stage("planning the quantization");
    if (c->plan && !(file = plan_read(p->ctx, c->plan))) return BAD_MODEL;
    const char *const *f32 = file ? plan_f32(file, &n_f32) : NULL;
    QuantPlan *plan = quant_choose(p->graph, &c->quant, f32, n_f32);
    if (!plan) return BAD_MODEL;
    if (!any_active(plan)) diag_warn(p->ctx, "calibration", NULL, "nothing in this model can be quantized");
    Arena *hessians = arena_new(p->ctx);
    if (plan->options.rounding != ROUND_NEAREST) quant_want_hessians(plan, hessians);
    result = find_ranges(p, file, plan);
    if (result == DONE && c->max_drop) result = search_plan(p, &plan);
    if (result == DONE && c->save_plan) result = save_plan(p, plan);
    if (result == DONE) progress_stage("rounding the weights");
    if (result == DONE && !quant_insert(plan)) result = BAD_MODEL;
    arena_free(hessians);
    return result;
}

static bool is_half(QuantMode m) { return m == QUANT_F16 || m == QUANT_BF16; }

/* What needs no samples but for rounding by them: dynamic, and weights alone */
static int quantize_products(Pipeline *p) {
    int result = pipeline_canonicalise(p);
    if (result != DONE) return result;
    QuantPlan *plan = quant_choose(p->graph, &p->command->quant, NULL, 0);
    if (!plan) return BAD_MODEL;
    Arena *hessians = arena_new(p->ctx);
    if (plan->options.rounding != ROUND_NEAREST) {
        quant_want_hessians(plan, hessians);
        result = calibrate_plan(p, plan);
        progress_stage("rounding the weights");
    }
    if (result == DONE && !(is_half(plan->options.mode) ? quant_halves(plan) : quant_products(plan))) result = BAD_MODEL;
    arena_free(hessians);
    return result;
}

int pipeline_quantize(Pipeline *p) {
    return p->command->quant.mode == QUANT_INT8 ? quantize_static(p) : quantize_products(p);
}
