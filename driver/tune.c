/* mcc tune MODEL -o FILE: races the forms of each layer against the one that the cost model has chosen. A layer's share
 * of the time is its share of the network, so that what is cut off in the end matters least. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "driver/tune.h"

/* rounds of a race; a gain below NOISE is none */
enum { FIRST_ROUNDS = 7, LAST_ROUNDS = 25, MOST_TRIED = 64, DEFAULT_SECONDS = 120 };
static const double noise = 0.03, close_call = 0.01;

typedef struct Tune {
    Pipeline p;
    const char *path;
    struct LayerNotes notes;
    LayerResult *results;
    Bed bed;
    Probe model, best, other; /* of the layer at hand: the cost model's choice (best.ctx NULL: it is the best), … */
    double deadline;
    LayerChoice tried[MOST_TRIED];
    int n_tried;
    OutputSet outputs;
} Tune;

static const Probe *leader(const Tune *t) { return t->best.ctx ? &t->best : &t->model; }

static bool is_new(Tune *t, const LayerChoice *c) {
    for (int i = 0; i < t->n_tried; i++)
        if (choice_equal(&t->tried[i], c)) return false;
    if (t->n_tried == MOST_TRIED) return false;
    t->tried[t->n_tried++] = *c;
    return true;
}

/* Races the choice against the best one so far; true: it won. *result: not DONE after a message */
static bool try_choice(Tune *t, const Layer *l, const LayerChoice *c, int *result) {
    double best, other;
    if (*result != DONE || seconds_now() > t->deadline || !is_new(t, c)) return false;
    int compiled = probe_compile(&t->other, t->p.command, t->p.target, l, c);
    if (compiled == BAD_MODEL) *result = BAD_MODEL;
    if (compiled != DONE) return false;
    probe_race(&t->bed, leader(t), &t->other, FIRST_ROUNDS, &best, &other);
    if (other >= best * (1 - close_call)) {
        probe_free(&t->other);
        return false;
    }
    probe_free(&t->best);
    t->best = t->other;
    t->other = (Probe){0};
    return true;
}

/* what lies beside the best choice, as long as that leads on */
static void refine(Tune *t, const Layer *l, int *result) {
    bool better = leader(t)->choice.vecs > 0;
    while (better) {
        LayerChoice c = leader(t)->choice, near[] = {c, c, c, c, c};
        better = false;
        near[0].run = (c.run + 1) / 2;
        near[1].run = c.run * 2;
        near[2].unroll = 1;
        near[3].unroll = 2;
        near[4].unroll = 4;
        for (size_t i = 0; i < sizeof near / sizeof *near && !better; i++)
            better = near[i].run > 0 && try_choice(t, l, &near[i], result);
    }
}

static void tell(const Tune *t, const LayerResult *r) {
    if (!t->p.command->verbose && !isatty(STDERR_FILENO)) return;
    Arena *a = t->p.ctx->arena;
    if (!r->measured) fprintf(stderr, "mcc: %s: not measured\n", r->note->text);
    else if (r->faster)
        fprintf(stderr, "mcc: %s: %s is %.2f times as fast\n", r->note->text, choice_text(a, &r->choice),
                r->model_seconds / r->seconds);
    else fprintf(stderr, "mcc: %s: %s stays\n", r->note->text, choice_text(a, &r->note->chosen));
}

static int measure(Tune *t, LayerResult *r) {
    const LayerNote *n = r->note;
    const Layer *l = &n->layer;
    double again;
    int result = probe_compile(&t->model, t->p.command, t->p.target, l, &n->chosen);
    if (result != DONE) return result == BAD_USAGE ? DONE : result; /* the layer stays as it is */
    Arena *a = arena_new(t->p.ctx);
    bed_prepare(&t->bed, a, &t->model);
    t->n_tried = 0;
    is_new(t, &n->chosen);
    for (int i = 0; i < n->n_candidates; i++) try_choice(t, l, &n->candidates[i], &result);
    refine(t, l, &result);
    probe_race(&t->bed, &t->model, leader(t), LAST_ROUNDS, &r->model_seconds, t->best.ctx ? &r->seconds : &again);
    r->measured = true;
    r->faster = t->best.ctx && r->seconds < r->model_seconds * (1 - noise);
    r->choice = leader(t)->choice;
    probe_free(&t->model);
    probe_free(&t->best);
    arena_free(a);
    return result;
}

static double weight_of(const LayerResult *r) { return sqrt((double)r->note->count * r->note->cycles); }

static int by_weight(const void *a, const void *b) {
    double x = weight_of(*(LayerResult *const *)a), y = weight_of(*(LayerResult *const *)b);
    return (x < y) - (x > y);
}

/* the largest layers first */
static int measure_all(Tune *t) {
    Arena *a = t->p.ctx->arena;
    int n = t->notes.n, i = 0, result = DONE;
    LayerResult **order = ARENA_ARRAY(a, n + 1, LayerResult *);
    double rest = 0, end = seconds_now() + (double)(t->p.command->seconds ? t->p.command->seconds : DEFAULT_SECONDS);
    t->results = ARENA_ARRAY(a, n + 1, LayerResult);
    for (const LayerNote *note = t->notes.first; note; note = note->next, i++) {
        t->results[i].note = note;
        order[i] = &t->results[i];
        rest += weight_of(order[i]);
    }
    qsort(order, (size_t)n, sizeof *order, by_weight);
    for (i = 0; i < n && result == DONE; i++) {
        double now = seconds_now(), share = weight_of(order[i]) / rest;
        t->deadline = now + (end - now) * share;
        rest -= weight_of(order[i]);
        if (now < end) result = measure(t, order[i]);
        tell(t, order[i]);
    }
    return result;
}

/* Weights of all layers together, as far as reading them makes a difference to the next run. */
static void prepare_cold(Tune *t) {
    enum { MOST = 64 << 20 };
    size_t bytes = 0;
    for (const LayerNote *n = t->notes.first; n; n = n->next) {
        double one = (double)n->layer.channels * (double)n->layer.cols * (double)n->layer.group * 4;
        for (int i = 0; i < n->layer.spatial; i++) one *= (double)n->layer.kernel[i];
        one *= (double)n->count;
        bytes += one < MOST ? (size_t)one : MOST;
        if (bytes > MOST) bytes = MOST;
    }
    t->bed.cold_bytes = bytes;
    t->bed.near_bytes = t->p.target->l2;
    t->bed.cold = arena_alloc(t->p.ctx->arena, bytes + 1);
    memset(t->bed.cold, 1, bytes);
}

static int write_results(Tune *t) {
    FILE *out = output_open(&t->outputs, t->path);
    if (!out) return BAD_MODEL;
    tuning_write(out, t->p.ctx->arena, t->p.target, t->p.command->files[0], t->results, t->notes.n);
    return output_commit(&t->outputs) ? DONE : BAD_MODEL;
}

static int work(void *arg) {
    Tune *t = arg;
    t->notes.arena = t->p.ctx->arena;
    t->p.notes = &t->notes;
    int result = pipeline_read(&t->p);
    if (result == DONE) result = pipeline_optimise(&t->p);
    progress_stage(NULL);
    if (result == DONE) prepare_cold(t);
    if (result == DONE) result = measure_all(t);
    return result == DONE ? write_results(t) : result;
}

int tune_main(const Command *c) {
    Tune t = {.p = {.command = c}};
    int result = BAD_USAGE;
    if (!one_model(c)) return BAD_USAGE;
    const char *slash = strrchr(c->files[0], '/');
    char *path = c->output ? strdup(c->output) : path_with_extension(slash ? slash + 1 : c->files[0], ".tune");
    t.path = path;
    if (!path) say_error("out of memory");
    else if (same_file(path, c->files[0])) say_error("%s would be written over: choose another -o", c->files[0]);
    else if (!(t.p.target = pipeline_target(c))) result = BAD_USAGE;
    else if (!target_runs_here(t.p.target))
        say_error("this machine runs no code for %s%s%s, and could not measure it", t.p.target->triple, *t.p.target->cpu ? " with -mcpu=" : "", t.p.target->cpu);
    else if (!(t.p.ctx = pipeline_ctx(c, c->files[0]))) result = BAD_MODEL;
    else {
        result = with_memory(t.p.ctx, work, &t);
        probe_free(&t.model);
        probe_free(&t.best);
        probe_free(&t.other);
        output_abandon(&t.outputs);
        pipeline_free(&t.p);
        ctx_free(t.p.ctx);
    }
    free(path);
    return result;
}
