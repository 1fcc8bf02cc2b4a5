/* --max-drop: compiles the network with some layers in float, runs it on this machine beside the float network's
 * outputs, and so finds which layers to leave in float, and which of these take float16 weights (compress/search.c). Each compilation has a Ctx of its own. */
#include "driver/quantize.h"
#include "compress/report.h"
#include "compress/search.h"
#include "driver/fidelity.h"
#include "driver/side.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { NOISE_SAMPLES = 16 };

typedef struct Drop {
    const Pipeline *p; /* what will be quantized */
    QuantPlan *plan;
    const Command *command;
    Fidelity fidelity;
    Pipeline trial; /* the network at hand */
    int n_layers;
    Search search;
    SearchLayer *layers; /* of the plan's contractions; place: among its nodes */
    NodeMode *modes;     /* of those in float, those that the plan began with first */
    int n_modes;
    double drop;       /* of the trial */
    Loss *noises;      /* by layer */
    int *exact, *twin; /* by layer: outputs of the network with twins */
} Drop;

/* ---- compilations ---- */

/* The graph of d->trial as the plan sees it, with d->modes */
static QuantPlan *plan_again(Drop *d) {
    Pipeline *p = &d->trial;
    QuantOptions o = d->plan->options;
    if (pipeline_read(p) != DONE || pipeline_prepare(p, d->plan) != DONE) return NULL;
    QuantPlan *own = quant_choose(p->graph, &o, d->modes, d->n_modes);
    return own && quant_take_ranges(own, d->plan) ? own : NULL;
}

/* work in a new Ctx for d->trial, which says nothing */
static int try_network(Drop *d, int (*work)(void *)) {
    d->trial = (Pipeline){.command = d->command, .target = d->fidelity.reference.target, .is_float = true};
    if (!(d->trial.ctx = pipeline_ctx(d->command, d->p->ctx->file))) return BAD_MODEL;
    d->trial.ctx->opt = d->p->ctx->opt;
    diag_to(d->trial.ctx, NULL);
    int result = with_memory(d->trial.ctx, work, d);
    if (result != DONE) diag_error(d->fidelity.reference.ctx, NULL, "--max-drop: the network could not be measured");
    pipeline_free(&d->trial);
    ctx_free(d->trial.ctx);
    return result;
}

/* ---- the noise of each layer ---- */

static bool add_noises(void *arg, int sample, const Tensor *outputs) {
    Drop *d = arg;
    (void)sample;
    for (int i = 0; i < d->n_layers; i++)
        if (d->twin[i] >= 0) loss_add(&d->noises[i], METRIC_SQNR, &outputs[d->twin[i]], &outputs[d->exact[i]]);
    return true;
}

static int measure_noise(void *arg) {
    Drop *d = arg;
    QuantPlan *own = plan_again(d);
    if (!own || own->n_nodes != d->plan->n_nodes) return BAD_MODEL;
    Graph *g = own->graph;
    Node **twins = ARENA_ARRAY(g->arena, own->n_nodes + 1, Node *);
    if (!quant_twins(own, twins)) return BAD_MODEL;
    expose_room(g, 2 * d->n_layers);
    for (int i = 0; i < d->n_layers; i++) {
        int at = d->layers[i].place;
        d->twin[i] = d->exact[i] = -1;
        if (!twins[at]) continue;
        d->exact[i] = expose_value(g, own->nodes[at].node->out[0]).output;
        d->twin[i] = expose_value(g, twins[at]->out[0]).output;
    }
    if (side_compile(&d->trial) != DONE ||
        fidelity_run(&d->fidelity, &d->trial, NOISE_SAMPLES, add_noises, d) != DONE) return BAD_MODEL;
    for (int i = 0; i < d->n_layers; i++) d->layers[i].noise = loss_value(&d->noises[i], METRIC_SQNR);
    return DONE;
}

/* Multiplications; of open dims, the most there may be */
static double work_of(const Node *n, const Contraction *c) {
    double work = (double)c->depth;
    for (int i = 0; i < n->out[0]->type.rank; i++) work *= (double)n->out[0]->type.dims[i]->hi;
    return work;
}

static void list_layers(Drop *d, Arena *a) {
    QuantPlan *p = d->plan;
    d->layers = ARENA_ARRAY(a, p->n_nodes + 1, SearchLayer);
    for (int i = 0; i < p->n_nodes; i++) {
        Contraction c;
        if (!p->nodes[i].active || !contraction_read(p->nodes[i].node, &c)) continue;
        d->layers[d->n_layers++] = (SearchLayer){.place = i, .work = work_of(p->nodes[i].node, &c)};
    }
    d->noises = ARENA_ARRAY(a, d->n_layers + 1, Loss);
    d->exact = ARENA_ARRAY(a, d->n_layers + 1, int);
    d->twin = ARENA_ARRAY(a, d->n_layers + 1, int);
    d->modes = ARENA_ARRAY(a, p->n_modes + d->n_layers + 1, NodeMode);
    for (int i = 0; i < p->n_modes; i++) d->modes[i] = p->modes[i];
    d->n_modes = p->n_modes;
}

/* ---- the search ---- */

/* how many layers are not integers */
static int set_modes(Drop *d) {
    d->n_modes = d->plan->n_modes;
    for (int i = 0; i < d->n_layers; i++) {
        const SearchLayer *l = &d->layers[i];
        NodeMode m = {d->plan->nodes[l->place].name, l->form == LAYER_HALF ? QUANT_F16 : QUANT_NONE};
        if (l->form != LAYER_INTEGER) d->modes[d->n_modes++] = m;
    }
    return d->n_modes - d->plan->n_modes;
}

static int count_halves(const Drop *d) {
    int n = 0;
    for (int i = 0; i < d->n_layers; i++) n += d->layers[i].form == LAYER_HALF;
    return n;
}

static int measure_drop(void *arg) {
    Drop *d = arg;
    QuantPlan *own = plan_again(d);
    if (!own || !quant_insert(own) || side_compile(&d->trial) != DONE) return BAD_MODEL;
    return fidelity_measure(&d->fidelity, &d->trial, &d->drop);
}

static bool rank(void *arg) { return try_network(arg, measure_noise) == DONE; }

static bool is_talkative(const Drop *d) { return d->command->verbose || isatty(STDERR_FILENO); }

/* For the report. Trials are bounded by search_precision. */
static void note_trial(const Drop *d, int in_float, double drop) {
    enum { MOST_TRIALS = 128 };
    ReportRanges *r = d->p->ranges;
    if (!r || r->n_trials == MOST_TRIALS) return;
    if (!r->trials) r->trials = ARENA_ARRAY(d->p->ctx->arena, MOST_TRIALS, ReportTrial);
    r->trials[r->n_trials++] = (ReportTrial){in_float, drop};
    r->metric = metric_name(d->command->metric);
    r->most_drop = d->command->most_drop;
}

static bool measure(void *arg, double *drop) {
    Drop *d = arg;
    char text[40];
    Metric m = d->command->metric;
    int in_float = set_modes(d);
    if (try_network(d, measure_drop) != DONE) return false;
    *drop = d->drop;
    note_trial(d, in_float, *drop);
    drop_text(m, *drop, text, sizeof text);
    if (is_talkative(d))
        fprintf(stderr, "mcc: %d of %d products in float, %d of them with float16 weights: %s\n", in_float, d->n_layers,
                count_halves(d), text);
    return true;
}

static void tell(const Drop *d, int in_float, double seconds) {
    char got[40], full[40], noise[40];
    Metric m = d->command->metric;
    drop_text(m, d->search.drop, got, sizeof got);
    drop_text(m, d->search.full, full, sizeof full);
    if (!is_talkative(d)) return;
    fprintf(stderr,
            "mcc: --max-drop=%s: %s with %d of %d products in float, %d of them with float16 weights (%s with none); "
            "%d trials, %.1f s\n",
            d->command->max_drop, got, in_float, d->n_layers, count_halves(d), full, d->search.trials, seconds);
    for (int i = 0; i < d->n_layers; i++) {
        const QuantNode *q = &d->plan->nodes[d->layers[i].place];
        drop_text(METRIC_SQNR, d->layers[i].noise, noise, sizeof noise);
        const char *how = d->layers[i].form == LAYER_HALF ? " with float16 weights" : "";
        if (d->layers[i].form == LAYER_INTEGER) continue;
        fprintf(stderr, "mcc: %s stays in float%s: as int8 by itself %s\n", q->name, how, noise);
    }
}

static int search(void *arg) {
    Drop *d = arg;
    double start = seconds_now();
    list_layers(d, d->fidelity.reference.ctx->arena);
    int result = d->n_layers ? fidelity_read(&d->fidelity) : DONE;
    if (result != DONE || !d->n_layers) return result;
    d->search = (Search){.layers = d->layers,
                         .n = d->n_layers,
                         .most = d->command->most_drop,
                         .measure = measure,
                         .rank = rank,
                         .arg = d};
    if (!search_precision(&d->search)) return BAD_MODEL;
    tell(d, set_modes(d), seconds_now() - start);
    return DONE;
}

/* The plan for the graph that will be quantized, in its own memory */
static QuantPlan *found_plan(const Drop *d) {
    const QuantPlan *old = d->plan;
    NodeMode *modes = ARENA_ARRAY(old->graph->arena, d->n_modes + 1, NodeMode);
    for (int i = 0; i < d->n_modes; i++) modes[i] = d->modes[i];
    QuantOptions o = old->options;
    QuantPlan *plan = quant_choose(old->graph, &o, modes, d->n_modes);
    if (!plan || !quant_take_ranges(plan, old)) return NULL;
    for (int i = 0; i < plan->n_nodes; i++)
        for (int k = old->n_modes; k < d->n_modes; k++)
            if (!strcmp(plan->nodes[i].name, modes[k].name))
                plan->nodes[i].why = "--max-drop: integers cost the result too much here";
    return plan;
}

int search_plan(const Pipeline *p, QuantPlan **plan) {
    const char *why;
    const Target *host = target_runs_here(p->target) ? p->target : target_find(NULL, "native", NULL, &why);
    Drop d = {.p = p, .plan = *plan, .command = p->command};
    if (!host) {
        say_error("--max-drop runs the model on this machine: %s", why);
        return BAD_MODEL;
    }
    Pipeline *reference = &d.fidelity.reference;
    d.fidelity.command = p->command;
    d.fidelity.option = "--max-drop";
    *reference = (Pipeline){.command = p->command, .target = host, .is_float = true};
    if (!(reference->ctx = pipeline_ctx(p->command, p->ctx->file))) return BAD_MODEL;
    reference->ctx->opt = p->ctx->opt;
    progress_stage("searching for the layers to leave in float");
    progress_hold(true);
    int result = with_memory(reference->ctx, search, &d);
    progress_hold(false);
    if (result == DONE && d.n_layers && !(*plan = found_plan(&d))) result = BAD_MODEL;
    if (result == DONE && d.n_layers && d.n_modes - d.plan->n_modes == d.n_layers)
        diag_warn(p->ctx, "calibration", NULL, "--max-drop=%s: no product can be int8 within it", p->command->max_drop);
    fidelity_free(&d.fidelity);
    return result;
}
