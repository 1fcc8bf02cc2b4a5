/* mcc search MODEL --calibrate=…: a ladder of settings for the whole model, from float32 down, each compiled and
 * measured; then single layers of one of them finer. What it takes in the end is compiled as mcc would with these
 * options, budgets and all. */
#include "driver/kept.h"
#include "driver/trial.h"
#include <math.h>
#include <stdlib.h>

#define BLOCK(r, c) .rows = (r), .cols = (c)
static const double patience = 4; /* while nothing is within the bounds */
enum { DEFAULT_SECONDS = 120, MOST_REFINED = 3 };

/* The single settings of the command line first, then some together. Scattered zeros pay on some processors, whole
 * channels everywhere. */
static const Setting ladder[] = {
    {.name = "f32"},
    {.name = "int8", .mode = QUANT_INT8},
    {.name = "f16", .mode = QUANT_F16},
    {.name = "w8", .mode = QUANT_W8},
    {.name = "w4", .mode = QUANT_W4},
    {.name = "dynamic", .mode = QUANT_DYNAMIC},
    {.name = "f32 -Os", .small = true},
    {.name = "int8 -Os", .mode = QUANT_INT8, .small = true},
    {.name = "int8 -Os, 80 % zeros", .mode = QUANT_INT8, .share = 0.8, .small = true, .entries = true},
    {.name = "f32, 80 % zeros", .share = 0.8},
    {.name = "int8, 80 % in blocks of 1x4", .mode = QUANT_INT8, .share = 0.8, .pattern = PRUNE_BLOCKS, BLOCK(1, 4)},
    {.name = "f32, 25 % of channels", .share = 0.25, .pattern = PRUNE_CHANNELS},
    {.name = "w8 -Os", .mode = QUANT_W8, .small = true},
    {.name = "w4 -Os", .mode = QUANT_W4, .small = true},
    {.name = "f32, 50 % zeros", .share = 0.5},
    {.name = "f32, 2:4", .share = 0.5, .pattern = PRUNE_N_OF_M, .n = 2, .of = 4},
    {.name = "f32, 70 % in blocks of 4x1", .share = 0.7, .pattern = PRUNE_BLOCKS, BLOCK(4, 1)},
    {.name = "int8, 50 % in blocks of 1x4", .mode = QUANT_INT8, .share = 0.5, .pattern = PRUNE_BLOCKS, BLOCK(1, 4)},
    {.name = "int8, 25 % of channels", .mode = QUANT_INT8, .share = 0.25, .pattern = PRUNE_CHANNELS},
    {.name = "int8 -Os, 25 % of channels", .mode = QUANT_INT8, .share = 0.25, .pattern = PRUNE_CHANNELS, .small = true},
    {.name = "int8 -Os, 50 % of channels", .mode = QUANT_INT8, .share = 0.5, .pattern = PRUNE_CHANNELS, .small = true},
    {.name = "w4 -Os, 50 % of channels", .mode = QUANT_W4, .share = 0.5, .pattern = PRUNE_CHANNELS, .small = true},
};
enum { N_LADDER = sizeof ladder / sizeof *ladder };

static bool is_scattered(const Setting *s) { return s->share > 0 && s->pattern != PRUNE_CHANNELS; }

/* Zeros are found by the network's samples: another such setting, if it takes as long as the longest one, would end too
 * late. */
static bool is_too_long(const Hunt *h, const Setting *s, double longest) {
    return s->share > 0 && seconds_now() + longest > (best_setting(h) ? h->deadline : h->last_deadline);
}

/* A kind of numbers whose zeros neither save bytes nor time once gets no others. */
static int climb(Hunt *h) {
    int result = DONE;
    bool useless[QUANT_BF16 + 1] = {false};
    double longest = 0;
    for (int i = 0; i < N_LADDER && result == DONE; i++) {
        const Setting *s = &ladder[i];
        double begin = seconds_now();
        if (s->entries && !sparse_entries(h->target)) continue;
        if (is_scattered(s) && useless[s->mode]) continue;
        if (!time_is_left(h) || is_too_long(h, s, longest)) {
            h->untried++;
            continue;
        }
        if ((s = try_setting(h, s, &result)) && is_scattered(s)) useless[s->mode] = !zeros_pay(h, s);
        if (ladder[i].share > 0) longest = fmax(longest, seconds_now() - begin);
    }
    return result;
}

/* The cheapest that loses too much, and is cheaper than the best so far; without --max-drop the best itself. Of those
 * that are no refinements yet, and come after `after` in cost */
static const Setting *to_refine(const Hunt *h, int n_ladder, double after) {
    const Setting *best = best_setting(h), *found = NULL;
    if (!h->command->max_drop) return best && best < h->settings + n_ladder ? best : NULL;
    for (int i = 0; i < n_ladder; i++) {
        const Setting *s = &h->settings[i];
        double cost = setting_cost(h, s);
        bool fits = within_budgets(h, s) && !within_drop(h, s) && (!best || cost < setting_cost(h, best));
        if (fits && cost > after && (!found || cost < setting_cost(h, found))) found = s;
    }
    return found;
}

static int refine(Hunt *h) {
    int n_ladder = h->n, result = DONE;
    double after = -1;
    for (int i = 0; i < MOST_REFINED && result == DONE && time_is_left(h); i++) {
        const Setting *s = to_refine(h, n_ladder, after);
        if (!s) break;
        after = setting_cost(h, s);
        result = refine_setting(h, s);
    }
    return result;
}

static int search(void *arg) {
    Hunt *h = arg;
    h->kept = kept_new(hunt_arena(h));
    h->settings = ARENA_ARRAY(hunt_arena(h), MOST_SETTINGS, Setting);
    int result = fidelity_read(&h->fidelity);
    if (result == DONE) result = climb(h);
    return result == DONE ? refine(h) : result;
}

/* Some settings are within the budgets, but none within the drop. */
static int blame_drop(const Hunt *h) {
    const Setting *best = NULL;
    char drop[40];
    Ctx *ctx = h->fidelity.reference.ctx;
    for (int i = 0; i < h->n; i++) {
        const Setting *s = &h->settings[i];
        if (within_budgets(h, s) && (!best || s->drop < best->drop)) best = s;
    }
    drop_text(h->command->metric, best->drop, drop, sizeof drop);
    diag_error(ctx, NULL, "--max-drop=%s: within the budgets the nearest is '%s', at %s", h->command->max_drop,
               best->name, drop);
    if (h->worst_name) diag_note(ctx, "the layer that loses most is '%s'", diag_name(ctx, str_of(h->worst_name)));
    else if (h->measured) diag_note(ctx, "no layer alone would bring it nearer");
    else diag_note(ctx, "there was no time to measure layers one by one: see --seconds");
    diag_note(ctx, "give it more bytes or time, or a larger drop");
    return BAD_MODEL;
}

static int finish(const Hunt *h) {
    const Command *c = h->command;
    const Setting *best = best_setting(h), *s = best ? best : nearest_setting(h);
    print_front(h, best, stdout);
    fflush(stdout);
    if (h->untried) say_note("there was no time for %d of %d settings: see --seconds", h->untried, N_LADDER);
    if (!best && within_budgets(h, s)) return blame_drop(h);
    Command last = setting_command(h, s);
    last.report = c->report;
    last.verbose = c->verbose;
    last.report_times = c->report_times;
    last.save_plan = s->mode != QUANT_NONE || last.prune.share > 0 ? c->save_plan : NULL;
    last.points = front_points(h, best);
    if (!best) say_note("no setting is within the budgets; the nearest is '%s':", s->name);
    if (c->save_plan && !last.save_plan && best) say_note("'%s' quantizes and prunes nothing: no plan is written", s->name);
    return compile_main(&last);
}

static int check_search(const Command *c) {
    const char *why = NULL;
    if (!one_model(c)) return BAD_USAGE;
    if (!c->n_calibrate) say_error("mcc search compares networks on samples: add --calibrate=FOLDER");
    else if (!c->max_drop && !limits_any(c))
        say_error("add what it should hold: --max-drop, --max-flash, --max-ram or --max-latency");
    else if (!c->output) say_error("add -o FILE for the object");
    else if (c->name && !name_is_valid(c->name, &why)) say_error("'%s' cannot be a name: %s", c->name, why);
    else return DONE;
    return BAD_USAGE;
}

int search_main(const Command *c) {
    Hunt h = {.command = c};
    int result = check_search(c);
    if (result != DONE) return result;
    char *symbols = c->name ? NULL : name_from_path(c->output);
    h.symbols = c->name ? c->name : symbols;
    const char *why;
    Command compile = *c;
    compile.verb = VERB_COMPILE;
    h.target = pipeline_target(&compile);
    const Target *host = h.target ? target_find(NULL, "native", NULL, &why) : NULL;
    h.fidelity = (Fidelity){.command = c, .option = "mcc search"};
    h.fidelity.reference = (Pipeline){.command = c, .target = host, .is_float = true};
    double seconds = (double)(c->seconds ? c->seconds : DEFAULT_SECONDS), begin = seconds_now();
    h.deadline = begin + seconds;
    h.last_deadline = begin + patience * seconds;
    result = h.target ? BAD_MODEL : BAD_USAGE;
    if (h.target && !host) say_error("mcc search runs the model on this machine: %s", why);
    if (host && h.symbols && (h.fidelity.reference.ctx = pipeline_ctx(c, c->files[0]))) {
        progress_stage("searching");
        progress_hold(true);
        result = with_memory(h.fidelity.reference.ctx, search, &h);
        progress_hold(false);
        progress_stage(NULL);
        if (result == DONE) result = finish(&h);
        fidelity_free(&h.fidelity);
    }
    free(symbols);
    return result;
}
