/* Runs the float model over the samples, in a compilation of its own whose outputs are the tensors to observe, and
 * leaves their ranges in the plan. What is held is one sample, one call's buffers and an observer a tensor. */
#include "driver/calibrate.h"
#include "compress/report.h"
#include "driver/kept.h"
#include <math.h>
#include <string.h>

enum { CHANNEL_SAMPLES = 64 };

static void watch_all(Calibration *c, Arena *a) {
    QuantPlan *p = c->plan;
    c->watches = ARENA_ARRAY(a, p->n_tensors + 1, Watch);
    for (int i = 0; i < p->n_tensors && p->options.mode == QUANT_INT8 && !c->channels_only; i++) {
        if (p->tensors[i].known || p->tensors[i].shares) continue;
        Watch *w = &c->watches[c->n_watches++];
        *w = (Watch){.tensor = &p->tensors[i]};
        bool bins = c->p.ranges || range_needs_histogram(p->options.method);
        observer_init(&w->observer, a, bins);
    }
}

/* The watched values become outputs of the float graph. Both graphs were made alike: the same plan names the same. */
static bool expose(Calibration *c, const QuantPlan *own) {
    Graph *g = c->p.graph;
    const QuantPlan *p = c->plan;
    expose_room(g, c->n_watches + c->n_gathers);
    for (int i = 0; i < c->n_watches; i++) {
        Watch *w = &c->watches[i];
        int at = (int)(w->tensor - p->tensors);
        if (own->n_tensors != p->n_tensors || strcmp(own->tensors[at].name, w->tensor->name) != 0) {
            diag_error(p->graph->ctx, NULL, "internal error: the model was read differently the second time");
            return false;
        }
        w->at = expose_value(g, own->tensors[at].value);
    }
    for (int i = 0; i < c->n_gathers; i++) c->gathers[i].at = expose_value(g, c->gathers[i].node->in[0]);
    return true;
}

static int64_t elements(const mcc_tensor *t) {
    int64_t n;
    return product_i64(t->dims, t->rank, &n) ? n : 0;
}

static bool observe(Calibration *c) {
    for (int i = 0; i < c->n_watches; i++) {
        Watch *w = &c->watches[i];
        const mcc_tensor *t = exposed_tensor(&c->call, w->at);
        observer_add(&w->observer, t->data, elements(t));
        if (!w->observer.odd) continue;
        diag_error(c->plan->graph->ctx, NULL,
                   "%s: tensor '%s' has %s values that are NaN or infinite: the float model itself gives them",
                   samples_name(c->samples), w->tensor->name, w->observer.values ? "some" : "only");
        return false;
    }
    return true;
}

static SampleStatus next_sample(const Calibration *c, const Tensor **in) {
    return c->channels_only && c->n_samples == CHANNEL_SAMPLES ? SAMPLE_END : samples_next(c->samples, in);
}

/* One sample after the other. DONE, or an exit code after a message */
static int run_samples(Calibration *c, Arena *a) {
    const mcc_model *m = loaded_model(c->p.loaded);
    const Tensor **in = ARENA_ARRAY(a, m->n_inputs + 1, const Tensor *);
    SampleStatus status;
    while ((status = next_sample(c, in)) == SAMPLE_GIVEN) {
        int returned = sampled_run(&c->call, in);
        if (returned != MCC_OK) {
            diag_error(c->plan->graph->ctx, NULL, "%s: the float model returned code %d", samples_name(c->samples),
                       returned);
            return BAD_MODEL;
        }
        if (!observe(c) || !gather_sample(c)) return BAD_MODEL;
        c->n_samples++;
        progress_part(samples_groups_begun(c->samples), samples_groups(c->samples));
    }
    return status == SAMPLE_END ? DONE : BAD_MODEL;
}

static void set_ranges(Calibration *c, Arena *a) {
    const QuantOptions *o = &c->plan->options;
    for (int i = 0; i < c->n_watches; i++) {
        Watch *w = &c->watches[i];
        Range r = observer_range(&w->observer, o->method, o->percentile, o->symmetric, a);
        quant_set_range(c->plan->graph->ctx, w->tensor, r, o->symmetric);
    }
}

/* For the report, in the memory of the model that is compiled. */
static void keep_ranges(const Calibration *c) {
    Ctx *ctx = c->plan->graph->ctx;
    ReportRanges *kept = c->p.ranges;
    kept->item = ARENA_ARRAY(ctx->arena, c->n_watches, ReportRange);
    for (int i = 0; i < c->n_watches; i++) {
        const Watch *w = &c->watches[i];
        ReportRange *r = &kept->item[kept->n++];
        *r = (ReportRange){.tensor = arena_printf(ctx->arena, "%s", diag_name(ctx, str_of(w->tensor->name))),
                           .scale = (double)w->tensor->scale,
                           .zero = w->tensor->zero,
                           .sqnr = (double)NAN};
        report_observed(r, &w->observer);
    }
}

static int calibrate(void *arg) {
    Calibration *c = arg;
    Ctx *ctx = c->p.ctx;
    const Command *k = c->p.command;
    int result = pipeline_read(&c->p);
    if (result == DONE) result = pipeline_prepare(&c->p, c->plan);
    if (result != DONE) return result;
    Arena *a = arena_new(ctx);
    QuantOptions o = c->plan->options;
    const QuantPlan *own = quant_choose(c->p.graph, &o, c->plan->modes, c->plan->n_modes);
    watch_all(c, a);
    if (!own) return BAD_MODEL;
    gather_list(c, own, a);
    if (!expose(c, own)) return BAD_MODEL;
    if ((result = side_compile(&c->p)) != DONE) return result;
    const mcc_model *m = loaded_model(c->p.loaded);
    if (!(c->samples = side_samples(&c->p, m->n_inputs)) || !sampled_prepare(&c->call, m, a)) return BAD_MODEL;
    progress_stage("calibrating");
    double start = seconds_now();
    result = run_samples(c, a);
    if (result == DONE) set_ranges(c, a);
    if (result == DONE && c->p.ranges) keep_ranges(c);
    if (result == DONE && k->verbose && !c->channels_only)
        fprintf(stderr, "mcc: calibrated %d tensors with %d samples in %.2f s\n", c->n_watches, c->n_samples,
                seconds_now() - start);
    return result;
}

static int run_calibration(const Pipeline *p, QuantPlan *plan, bool channels_only) {
    Calibration c = {.plan = plan, .p = {.is_float = true, .pruned = p->pruned}, .channels_only = channels_only};
    if (!channels_only) c.p.ranges = p->ranges;
    int result = side_network(p, &c.p, "calibration", calibrate, &c);
    side_close(&c.p, c.samples);
    return result;
}

int calibrate_plan(const Pipeline *p, QuantPlan *plan) {
    if (kept_ranges(p, plan)) return DONE;
    int result = run_calibration(p, plan, false);
    if (result == DONE) leave_ranges(p, plan);
    return result;
}

int calibrate_channels(const Pipeline *p, QuantPlan *plan) {
    if (kept_channels(p, plan)) return DONE;
    int result = run_calibration(p, plan, true);
    if (result == DONE) leave_channels(p, plan);
    return result;
}
