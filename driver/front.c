/* Which of the settings that were tried are worth a look, and which one is taken. Bytes and drops are the same every
 * time; the clock decides only with --max-latency. */
#include "driver/trial.h"
#include <math.h>

/* A call may take as much longer when it is measured again. */
static const double noise = 0.05;

typedef struct Ratio { /* of what a setting takes */
    double of_budget, of_float;
    bool bounded;
} Ratio;

static double ratio(double a, double b) { return b > 0 ? a / b : a > 0 ? (double)INFINITY : 1; }

enum { N_RATIOS = 3 };
static void find_ratios(const Hunt *h, const Setting *s, Ratio *out) {
    const Command *c = h->command;
    const Footprint *f = &s->takes, *plain = &h->settings[0].takes;
    bool flash = c->max_flash != SIZE_MAX, ram = c->max_ram != SIZE_MAX, time = c->max_latency > 0;
    double seconds = f->modelled ? f->seconds : f->seconds * (1 + noise);
    out[0] = (Ratio){flash ? ratio((double)f->flash, (double)c->max_flash) : 0,
                     ratio((double)f->flash, (double)plain->flash), flash || (!ram && !time)};
    out[1] =
        (Ratio){ram ? ratio((double)f->ram, (double)c->max_ram) : 0, ratio((double)f->ram, (double)plain->ram), ram};
    out[2] = (Ratio){time ? ratio(seconds, c->max_latency) : 0, ratio(f->seconds, plain->seconds), time};
}

static double excess(const Hunt *h, const Setting *s) {
    Ratio r[N_RATIOS];
    find_ratios(h, s, r);
    return fmax(r[0].of_budget, fmax(r[1].of_budget, r[2].of_budget));
}

bool zeros_pay(const Hunt *h, const Setting *s) {
    const Setting *dense = &h->settings[0];
    for (int i = 0; i < h->n; i++) {
        const Setting *o = &h->settings[i];
        if (o->good && o->mode == s->mode && o->small == s->small && o->share == 0 && !o->n_modes) dense = o;
    }
    return (double)s->takes.flash < 0.95 * (double)dense->takes.flash || s->takes.seconds < 0.9 * dense->takes.seconds;
}

double setting_cost(const Hunt *h, const Setting *s) {
    Ratio r[N_RATIOS];
    double sum = 0;
    int n = 0;
    find_ratios(h, s, r);
    for (int i = 0; i < N_RATIOS; i++)
        if (r[i].bounded) sum += r[i].of_float, n++;
    return sum / n;
}

bool within_budgets(const Hunt *h, const Setting *s) { return s->good && excess(h, s) <= 1; }

bool within_drop(const Hunt *h, const Setting *s) {
    return s->good && (!h->command->max_drop || s->drop <= h->command->most_drop);
}

/* With --max-drop the cheaper one, else the nearer one */
static bool is_better(const Hunt *h, const Setting *a, const Setting *b) {
    double cost = setting_cost(h, a) - setting_cost(h, b), drop = a->drop - b->drop;
    bool cheap = h->command->max_drop != NULL;
    double first = cheap ? cost : drop, second = cheap ? drop : cost;
    return first != 0 ? first < 0 : second < 0;
}

const Setting *best_setting(const Hunt *h) {
    const Setting *best = NULL;
    for (int i = 0; i < h->n; i++) {
        const Setting *s = &h->settings[i];
        if (within_budgets(h, s) && within_drop(h, s) && (!best || is_better(h, s, best))) best = s;
    }
    return best;
}

const Setting *nearest_setting(const Hunt *h) {
    const Setting *best = &h->settings[0];
    for (int i = 1; i < h->n; i++)
        if (h->settings[i].good && excess(h, &h->settings[i]) < excess(h, best)) best = &h->settings[i];
    return best;
}

/* a is nowhere worse than b; *better: and somewhere better */
static bool reaches(const Hunt *h, const Setting *a, const Setting *b, bool *better) {
    const Footprint *x = &a->takes, *y = &b->takes;
    bool ram = h->command->max_ram != SIZE_MAX;
    *better = a->drop < b->drop || x->flash < y->flash || x->seconds < y->seconds || (ram && x->ram < y->ram);
    return a->drop <= b->drop && x->flash <= y->flash && x->seconds <= y->seconds && (!ram || x->ram <= y->ram);
}

bool on_front(const Hunt *h, const Setting *s) {
    for (int i = 0; i < h->n; i++) {
        const Setting *o = &h->settings[i];
        bool better;
        if (o != s && o->good && reaches(h, o, s, &better) && (better || o < s)) return false;
    }
    return s->good;
}

const struct ReportPoints *front_points(const Hunt *h, const Setting *chosen) {
    ReportPoints *p = ARENA_NEW(hunt_arena(h), ReportPoints);
    ReportPoint *item = ARENA_ARRAY(hunt_arena(h), h->n + 1, ReportPoint);
    *p = (ReportPoints){.item = item, .metric = metric_name(h->command->metric)};
    for (int i = 0; i < h->n; i++) {
        const Setting *s = &h->settings[i];
        if (!s->good) continue;
        item[p->n++] = (ReportPoint){.name = s->name,
                                     .drop = s->drop,
                                     .flash = s->takes.flash,
                                     .ram = s->takes.ram,
                                     .milliseconds = s->takes.seconds * 1e3,
                                     .front = on_front(h, s),
                                     .chosen = s == chosen};
    }
    return p;
}

void print_front(const Hunt *h, const Setting *chosen, FILE *out) {
    fprintf(out, "  %-32s %12s %12s %12s %10s\n", "setting", "drop", "flash", "ram",
            h->settings[0].takes.modelled ? "ms (model)" : "ms");
    for (int i = 0; i < h->n; i++) {
        const Setting *s = &h->settings[i];
        if (s != chosen && !on_front(h, s)) continue;
        fputs(s == chosen ? "* " : "  ", out);
        say_setting(h, s, out);
    }
}
