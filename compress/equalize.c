/* The factors. By weights: a channel is divided by s = √(made / read), where `made` is the largest weight or bias of
 * what makes it and `read` the largest weight that reads it, so that both become √(made · read). Layers share weights,
 * so this is repeated until nothing moves; each step goes half of the way, since neighbours move at the same time. */
#include "compress/equalize.h"
#include <math.h>
#include <string.h>
#include "compress/quantize.h"

enum { SWEEPS = 60, MOST_EXPONENT = 20 };

typedef struct Pairs { /* of one contraction: the largest magnitude between channels, [group][out][in] */
    float *most;
} Pairs;
typedef struct Levels {
    ChannelMap *m;
    Arena *arena;
    Pairs *pairs;       /* by weights of the map */
    float *constants;   /* by channel: the largest constant that makes it */
    float *factor;      /* by root */
    float *made, *read; /* by root */
} Levels;

static void collapse(const ChannelWeights *w, float *most) {
    const float *x = w->node->in[1]->constant->data;
    int64_t first = w->outs_first ? w->outs : w->ins, second = w->outs_first ? w->ins : w->outs;
    for (int64_t g = 0; g < w->groups; g++)
        for (int64_t i = 0; i < first * second; i++) {
            int64_t a = i / second, b = i % second, out = w->outs_first ? a : b, in = w->outs_first ? b : a;
            float largest = 0;
            for (int64_t k = 0; k < w->taps; k++) largest = fmaxf(largest, fabsf(*x++));
            most[(g * w->outs + out) * w->ins + in] = largest;
        }
}

static void add_most(float *to, float v) { *to = v > *to ? v : *to; }

static void find_constants(const Levels *l) {
    for (int i = 0; i < l->m->n_constants; i++) {
        const ChannelConstant *c = &l->m->constants[i];
        const float *x = c->node->in[c->input]->constant->data;
        if (c->node->op == OP_Min || c->node->op == OP_Max || c->in >= 0) continue; /* bounds; measure_gains */
        for (int64_t o = 0; o < c->outer; o++)
            for (int64_t k = 0; k < c->channels; k++) {
                const float *row = x + (c->repeats ? o : o * c->channels + k) * c->inner;
                float *most = &l->constants[channel_root(l->m, c->out + (int)k)];
                for (int64_t j = 0; j < c->inner; j++) add_most(most, fabsf(row[j]));
            }
    }
}

static Levels levels_begin(ChannelMap *m, Arena *a) {
    Levels l = {.m = m, .arena = a, .pairs = ARENA_ARRAY(a, m->n_weights + 1, Pairs)};
    for (int i = 0; i < m->n_weights; i++) {
        const ChannelWeights *w = &m->weights[i];
        l.pairs[i].most = ARENA_ARRAY(a, w->groups * w->outs * w->ins, float);
        collapse(w, l.pairs[i].most);
    }
    l.constants = ARENA_ARRAY(a, m->n, float);
    l.factor = ARENA_ARRAY(a, m->n, float);
    l.made = ARENA_ARRAY(a, m->n, float);
    l.read = ARENA_ARRAY(a, m->n, float);
    for (int i = 0; i < m->n; i++) channel_root(m, i), l.factor[i] = 1;
    find_constants(&l);
    return l;
}

/* What a factor for each channel makes: of a channel of which nothing is known as much as the factor */
static void measure_gains(const Levels *l) {
    for (int i = 0; i < l->m->n_constants; i++) {
        const ChannelConstant *c = &l->m->constants[i];
        const float *x = c->node->in[c->input]->constant->data;
        for (int64_t k = 0; k < c->channels && c->in >= 0; k++) {
            int from = channel_root(l->m, c->in + (int)k), to = channel_root(l->m, c->out + (int)k);
            float known = l->made[from] > 0 ? l->made[from] : 1;
            add_most(&l->made[to], fabsf(x[k]) * known * l->factor[from] / l->factor[to]);
        }
    }
}

/* made and read of all channels, as the factors leave them */
static void measure(const Levels *l) {
    const ChannelMap *m = l->m;
    for (int i = 0; i < m->n; i++) l->made[i] = l->constants[i] / l->factor[i], l->read[i] = 0;
    for (int i = 0; i < m->n_weights; i++) {
        const ChannelWeights *w = &m->weights[i];
        const float *pair = l->pairs[i].most;
        for (int64_t out = 0; out < w->groups * w->outs; out++) {
            int to = w->out >= 0 ? channel_root(m, w->out + (int)out) : -1;
            float by = to >= 0 ? 1 / l->factor[to] : 1, most = 0;
            for (int64_t k = 0; k < w->ins; k++) {
                int from = w->in >= 0 ? channel_root(m, w->in + (int)(out / w->outs * w->ins + k)) : -1;
                float v = *pair++ * by * (from >= 0 ? l->factor[from] : 1);
                if (from >= 0) add_most(&l->read[from], v);
                add_most(&most, v);
            }
            if (to >= 0) add_most(&l->made[to], most);
        }
    }
    measure_gains(l);
}

static bool is_free(const Levels *l, int i) {
    return l->m->parent[i] == i && !l->m->fixed[i] && isnormal(l->made[i]) && isnormal(l->read[i]);
}

/* The factors, rounded to powers of two, which lose at most a sixth of the range. */
static Equalization *finish(const Levels *l, Arena *a) {
    ChannelMap *m = l->m;
    Equalization *e = ARENA_NEW(a, Equalization);
    *e = (Equalization){.n = m->n, .exponents = ARENA_ARRAY(a, m->n + 1, int8_t)};
    for (int i = 0; i < m->n; i++) {
        double level = rint(log2((double)l->factor[i]));
        if (m->parent[i] != i || m->fixed[i]) continue;
        e->exponents[i] = (int8_t)fmin(fmax(level, -MOST_EXPONENT), MOST_EXPONENT);
        e->scaled += e->exponents[i] != 0;
    }
    for (int i = 0; i < m->n_weights; i++) {
        const ChannelWeights *w = &m->weights[i];
        int low = MOST_EXPONENT, high = -MOST_EXPONENT;
        for (int64_t k = 0; k < w->groups * w->ins && w->in >= 0; k++) {
            int at = e->exponents[channel_root(m, w->in + (int)k)];
            low = at < low ? at : low;
            high = at > high ? at : high;
        }
        if (high > low) e->most = fmax(e->most, ldexp(1, high - low));
    }
    return e;
}

/* Factors that make the largest weight that makes a channel equal to the largest that reads it */
static void even_out(const Levels *l) {
    double moved = 1;
    for (int sweep = 0; sweep < SWEEPS && moved > 0.02; sweep++) {
        moved = 0;
        measure(l);
        for (int i = 0; i < l->m->n; i++) {
            if (!is_free(l, i)) continue;
            double step = 0.25 * log2((double)l->made[i] / (double)l->read[i]);
            l->factor[i] = (float)fmin(fmax((double)l->factor[i] * exp2(step), 0x1p-20), 0x1p20);
            moved = fmax(moved, fabs(step));
        }
    }
}

Equalization *equalize_weights(ChannelMap *m, Arena *a) {
    Arena *scratch = arena_new(m->graph->ctx);
    Levels l = levels_begin(m, scratch);
    even_out(&l);
    Equalization *e = finish(&l, a);
    arena_free(scratch);
    return e;
}

/* ---- by what was seen ---- */

typedef struct Choice { /* among factors, for channels that belong together */
    const Levels *levels;
    const ChannelSeen *seen;
    int *together;         /* by root: the first of its group */
    float *best;           /* by root: the factor that is chosen so far */
    double *least, *noise; /* by group: of the best, and of what is tried */
} Choice;

static int group_of(const Choice *c, int channel) {
    int at = channel_root(c->levels->m, channel);
    while (c->together[at] != at) at = c->together[at];
    return at;
}

/* All channels of a value, and of values that share one, have one scale. */
static void find_groups(const Choice *c) {
    const ChannelMap *m = c->levels->m;
    for (int i = 0; i < m->n; i++) c->together[i] = i;
    for (const Node *n = m->graph->first; n; n = n->next) {
        const Value *y = n->n_out ? n->out[0] : NULL;
        int64_t count = y ? channel_count(m, y) : 0;
        for (int64_t k = 1; k < count; k++) {
            int a = group_of(c, m->first[y->id]), b = group_of(c, m->first[y->id] + (int)k);
            c->together[a > b ? a : b] = a > b ? b : a;
        }
        for (int64_t k = 0; k < count; k++) /* short ways from here on */
            c->together[channel_root(m, m->first[y->id] + (int)k)] = group_of(c, m->first[y->id]);
    }
}

/* Noise below signal of what w makes: inputs are rounded to 255 steps of their range, weights to 127 of the largest
 * that makes an output. A factor of the output itself does not matter. */
static double weights_noise(const Choice *c, const ChannelWeights *w, const float *pair, const float *factor) {
    const ChannelMap *m = c->levels->m;
    double low = 0, high = 0, noise = 0, signal = 0;
    for (int64_t k = 0; k < w->groups * w->ins; k++) {
        int at = channel_root(m, w->in + (int)k);
        low = fmin(low, (double)(c->seen[at].low / factor[at]));
        high = fmax(high, (double)(c->seen[at].high / factor[at]));
    }
    double step = (high - low) / 255;
    for (int64_t out = 0; out < w->groups * w->outs; out++) {
        double most = 0, weights = 0, inputs = 0;
        for (int64_t k = 0; k < w->ins; k++) {
            int at = channel_root(m, w->in + (int)(out / w->outs * w->ins + k));
            double v = (double)*pair++, by = (double)factor[at], square = c->seen[at].square;
            most = fmax(most, v * by);
            weights += v * by * v * by;
            inputs += square / by / by;
            signal += v * v * square;
        }
        noise += step * step * weights + most / 127 * (most / 127) * inputs;
    }
    return signal > 0 ? noise / signal : 0;
}

static void measure_noise(const Choice *c, const float *factor) {
    const ChannelMap *m = c->levels->m;
    for (int i = 0; i < m->n; i++) c->noise[i] = 0;
    for (int i = 0; i < m->n_weights; i++) {
        const ChannelWeights *w = &m->weights[i];
        if (w->in >= 0 && !m->fixed[channel_root(m, w->in)])
            c->noise[group_of(c, w->in)] += weights_noise(c, w, c->levels->pairs[i].most, factor);
    }
}

/* A Min for all channels: its bound becomes one for each. Where no channel's lies below what the largest channel holds,
 * integers that saturate there need no bound at all: so channels are divided by `most` at most, and those that would
 * lie above bound / most by more than they were. */
static void keep_bound(const Choice *c, const ChannelConstant *bounded) {
    const ChannelMap *m = c->levels->m;
    const float *bound = bounded->node->in[bounded->input]->constant->data;
    double top = 0;
    if (!bounded->repeats || !(bound[0] > 0) || !isfinite(bound[0])) return;
    for (int64_t i = 0; i < bounded->channels; i++) {
        int at = channel_root(m, bounded->out + (int)i);
        top = fmax(top, (double)(c->seen[at].high / c->levels->factor[at]));
    }
    if (!isnormal((float)top)) return;
    double most = exp2(rint(log2((double)bound[0] / top)));
    for (int64_t i = 0; i < bounded->channels; i++) {
        int at = channel_root(m, bounded->out + (int)i);
        double share = (double)(c->seen[at].high / bound[0]), f = (double)c->levels->factor[at];
        double least = isnormal((float)share) ? most * exp2(ceil(log2(share))) : 0;
        if (!m->fixed[at]) c->levels->factor[at] = (float)fmin(fmax(f, least), most);
    }
}

static void keep_bounds(const Choice *c) {
    const ChannelMap *m = c->levels->m;
    for (int i = 0; i < m->n_constants; i++)
        if (m->constants[i].node->op == OP_Min) keep_bound(c, &m->constants[i]);
}

static void set_by_alpha(const Choice *c, double alpha) {
    const Levels *l = c->levels;
    for (int i = 0; i < l->m->n; i++) {
        double most = fmax((double)-c->seen[i].low, (double)c->seen[i].high), level = 0;
        if (is_free(l, i) && isnormal(most)) level = alpha * log2(most) - (1 - alpha) * log2((double)l->read[i]);
        l->factor[i] = (float)exp2(fmin(fmax(rint(level), -MOST_EXPONENT), MOST_EXPONENT));
    }
}

/* Where the noise is expected to become that part of what it is */
static void keep_better(const Choice *c, double part) {
    const Levels *l = c->levels;
    measure_noise(c, l->factor);
    for (int i = 0; i < l->m->n; i++)
        if (l->m->parent[i] == i && c->noise[group_of(c, i)] < part * c->least[group_of(c, i)])
            c->best[i] = l->factor[i];
    for (int i = 0; i < l->m->n; i++)
        if (c->noise[i] < part * c->least[i]) c->least[i] = c->noise[i];
}

/* Of some alphas and of the factors by weights (even: what a channel holds rarely, samples may not have shown), each
 * without bounds of channels and with them: these are a Min more, worth three decibels, where others gain half a one.
 */
static void choose_best(const Choice *c, const float *even) {
    static const double alphas[] = {0.5, 0.75, 0.25, 1};
    const Levels *l = c->levels;
    enum { ALPHAS = sizeof alphas / sizeof *alphas };
    find_groups(c);
    measure_noise(c, l->factor);
    for (int i = 0; i < l->m->n; i++) c->best[i] = 1, c->least[i] = c->noise[i];
    for (int i = 0; i < 2 * (ALPHAS + 1); i++) {
        int k = i % (ALPHAS + 1);
        if (k < ALPHAS) set_by_alpha(c, alphas[k]);
        else memcpy(l->factor, even, sizeof *even * (size_t)l->m->n);
        if (i <= ALPHAS) keep_bounds(c);
        keep_better(c, i <= ALPHAS ? 0.9 : 0.5);
    }
    memcpy(l->factor, c->best, sizeof *c->best * (size_t)l->m->n);
}

Equalization *equalize_seen(ChannelMap *m, const ChannelSeen *seen, double alpha, Arena *a) {
    Arena *scratch = arena_new(m->graph->ctx);
    Levels l = levels_begin(m, scratch);
    Choice c = {.levels = &l, .seen = seen, .together = ARENA_ARRAY(scratch, m->n, int)};
    float *even = ARENA_ARRAY(scratch, m->n, float);
    c.best = ARENA_ARRAY(scratch, m->n, float);
    c.least = ARENA_ARRAY(scratch, m->n, double);
    c.noise = ARENA_ARRAY(scratch, m->n, double);
    even_out(&l);
    for (int i = 0; i < m->n; i++) even[i] = exp2f(rintf(log2f(l.factor[i]))), l.factor[i] = 1;
    measure(&l);
    if (alpha < 0) choose_best(&c, even);
    else {
        set_by_alpha(&c, alpha);
        keep_bounds(&c);
    }
    Equalization *e = finish(&l, a);
    arena_free(scratch);
    return e;
}

bool equalize_apply(ChannelMap *m, const Equalization *e) {
    if (e->n == m->n) return channels_scale(m, e->exponents);
    diag_error(m->graph->ctx, NULL, "internal error: the model was read differently the second time");
    return false;
}
