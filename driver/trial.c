/* Compiles a setting in a Ctx of its own, which says nothing, takes its sizes and its time, and compares its outputs
 * with the float model's. Where the target's code does not run here, outputs are those of the same setting compiled for
 * this machine. */
#include "driver/kept.h"
#include "driver/trial.h"
#include <float.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

/* A smaller drop is the order of the sums. */
static const double rounding_errors = 1e-12;

/* of calls, where no bound asks for the time */
#define QUICK_SECONDS 0.06

typedef struct Trial {
    Hunt *hunt;
    Setting *setting;
    Command command;
    Pipeline p;
} Trial;

Arena *hunt_arena(const Hunt *h) { return h->fidelity.reference.ctx->arena; }

Command setting_command(const Hunt *h, const Setting *s) {
    Command c = *h->command;
    int n = c.prune.n_skip;
    const char **skip = ARENA_ARRAY(hunt_arena(h), n + s->n_dense + 1, const char *);
    for (int i = 0; i < n; i++) skip[i] = c.prune.skip[i];
    for (int i = 0; i < s->n_dense; i++) skip[n + i] = s->dense[i];
    c.verb = VERB_COMPILE;
    c.quant.mode = s->mode;
    c.modes = s->modes;
    c.n_modes = s->n_modes;
    c.prune = (PruneOptions){.share = s->share,
                             .pattern = s->pattern,
                             .n = s->n,
                             .of = s->of,
                             .rows = s->rows,
                             .cols = s->cols,
                             .by = PRUNE_BY_UPDATE,
                             .rounds = 1,
                             .skip = skip,
                             .n_skip = n + s->n_dense};
    c.optimize_size = c.optimize_size || s->small;
    c.max_drop = c.save_plan = c.report = NULL;
    c.report_times = c.verbose = false;
    return c;
}

static int to_code(Trial *t, const char *name) {
    Pipeline *p = &t->p;
    int result = pipeline_optimise(p);
    return result == DONE ? pipeline_generate(p, name) : result;
}

static int measure_target(void *arg) {
    Trial *t = arg;
    Hunt *h = t->hunt;
    Pipeline *p = &t->p;
    Footprint *takes = &t->setting->takes;
    SparseNotes sparse = {.arena = p->ctx->arena};
    ReportRanges nothing = {0};
    p->sparse_notes = &sparse;
    int result = pipeline_read(p);
    if (result != DONE) return result;
    ReportModel *model = report_begin(p->ctx, p->graph);
    if ((result = to_code(t, h->symbols)) != DONE) return result;
    Report *r = report_end(p->ctx, model, p->graph, &p->code, p->target->triple, &nothing, &sparse);
    footprint_sizes(p, takes);
    double enough = h->command->max_latency > 0 ? ENOUGH_SECONDS : QUICK_SECONDS;
    if ((result = footprint_time(p, r, enough, takes)) != DONE || takes->modelled) return result;
    return fidelity_measure(&h->fidelity, p, &t->setting->drop);
}

static int measure_here(void *arg) {
    Trial *t = arg;
    int result = pipeline_read(&t->p);
    if (result == DONE) result = to_code(t, "model");
    if (result == DONE) result = pipeline_load(&t->p);
    return result == DONE ? fidelity_measure(&t->hunt->fidelity, &t->p, &t->setting->drop) : result;
}

static int in_own_ctx(Trial *t, const Target *target, int (*work)(void *)) {
    t->p = (Pipeline){.command = &t->command, .target = target, .kept = t->hunt->kept};
    if (!(t->p.ctx = pipeline_ctx(&t->command, t->command.files[0]))) return BAD_MODEL;
    diag_to(t->p.ctx, NULL);
    int result = with_memory(t->p.ctx, work, t);
    pipeline_free(&t->p);
    ctx_free(t->p.ctx);
    return result;
}

void say_setting(const Hunt *h, const Setting *s, FILE *out) {
    char drop[40];
    drop_text(h->command->metric, s->drop, drop, sizeof drop);
    fprintf(out, "%-32s %12s %12zu %12zu %10.4f\n", s->name, drop, s->takes.flash, s->takes.ram,
            s->takes.seconds * 1e3);
}

bool time_is_left(const Hunt *h) {
    return h->n == 0 || seconds_now() < (best_setting(h) ? h->deadline : h->last_deadline);
}

static const Setting *find_tried(const Hunt *h, const char *name) {
    for (int i = 0; i < h->n; i++)
        if (!strcmp(h->settings[i].name, name)) return &h->settings[i];
    return NULL;
}

/* To what the report prints exactly: who reads its front finds the same points beaten. */
static void round_as_shown(Setting *s) {
    s->drop = s->drop < rounding_errors ? 0 : (double)(float)fmin(s->drop, FLT_MAX);
    s->takes.seconds = round(s->takes.seconds * 1e9) * 1e-9;
}

const Setting *try_setting(Hunt *h, const Setting *s, int *result) {
    const Setting *tried = find_tried(h, s->name);
    bool first = h->n == 0;
    if (tried) return tried->good ? tried : NULL;
    if (*result != DONE || h->n == MOST_SETTINGS || !time_is_left(h)) return NULL;
    Setting *own = &h->settings[h->n++];
    *own = *s;
    own->drop = 1;
    Trial t = {.hunt = h, .setting = own, .command = setting_command(h, s)};
    int done = in_own_ctx(&t, h->target, measure_target);
    if (done == DONE && own->takes.modelled) done = in_own_ctx(&t, h->fidelity.reference.target, measure_here);
    own->good = done == DONE && !isnan(own->drop);
    if (own->good) round_as_shown(own);
    if (first && !own->good) {
        diag_error(h->fidelity.reference.ctx, NULL, "the model could not be compiled for its target: see mcc %s",
                   h->command->files[0]);
        *result = BAD_MODEL;
    }
    if (own->good && (h->command->verbose || isatty(STDERR_FILENO))) say_setting(h, own, stderr);
    return own->good && *result == DONE ? own : NULL;
}
