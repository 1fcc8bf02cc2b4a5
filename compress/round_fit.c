/* The target of a layer: with x' the inputs that a layer has in the float network and x those that it has behind
 * rounded layers, the T of least Σ |W x' − T x|² makes up for what these have lost (compare "asymmetric calibration",
 * Y. Li et al., "GPTAQ", 2025). With H = Σ x xᵀ and C = Σ W x' xᵀ that is T H = C, of which samples in the hundreds
 * know too little, so that T stays near W: (T − W)(H + λ diag H) = C − W H. Every fourth sample fits nothing in any
 * layer and judges: λ (infinite, which leaves W, among others) is the one that loses least on these. The others look
 * better than samples will that nobody has seen, since the layers before were fitted to them. Tried and worse for
 * networks that multiply noise: to shrink T to the share of the signal that is left, which later layers then miss. */
#include "compress/round_fit.h"
#include <math.h>
#include <string.h>
#include "compress/triangle.h"

enum { LANES = 16, JUDGES = 4 /* of so many samples one */, JUDGED = 64 /* channels of a group */ };
static const double strengths[] = {3, 1, 0.3, 0.1, 0.03, 0.01, 0.001};

/* Enough rows to know H by, as long as reading them and adding them up takes seconds */
static int64_t rows_for(int64_t depth, int64_t groups) {
    double room = 0x1p24 / ((double)depth * (double)groups);
    int64_t rows = room > 32768 ? 32768 : (int64_t)room;
    if (rows < 2048) rows = 2048;
    return rows < 2 * depth ? 2 * depth : rows;
}

RoundFit *round_fit_new(Arena *a, const Node *n, const Contraction *c, int64_t samples) {
    RoundFit *f = ARENA_NEW(a, RoundFit);
    int64_t groups = n->op == OP_Conv ? node_int(n, "group") : 1, rows = rows_for(c->depth, groups);
    *f = (RoundFit){.node = n, .c = c, .has_bias = c->bias != NULL};
    f->target = ARENA_ARRAY(a, c->shape.channels * c->depth, double);
    f->moves = ARENA_ARRAY(a, c->shape.channels, double);
    for (int i = 0; i < 2; i++) {
        Hessian *h = f->set[i] = hessian_new(a, c->depth, groups, HESSIAN_PART);
        hessian_want_exact(h, a, c);
        h->about_means = f->has_bias;
        h->most_rows = i ? rows / (JUDGES - 1) + 1 : rows;
        h->call_rows = rows * JUDGES / (JUDGES - 1) / samples + 1;
    }
    return f;
}

static double weight(const RoundFit *f, int64_t c, int64_t k) {
    bool rows = f->c->channel_axis == 0;
    return (double)((const float *)f->c->weights->data)[rows ? c * f->c->depth + k : k * f->c->shape.channels + c];
}

bool round_fit_observe(RoundFit *f, int sample, const Tensor *x, const Tensor *exact) {
    return hessian_observe_exact(f->set[sample % JUDGES == 1 ? JUDGING : FITTED], f->node, x, exact);
}

/* ---- means ---- */

/* Σ (x − m)(x − m)ᵀ, m the mean of both sets, so that they can still be added */
static void centre(Hessian *h, int64_t group, const double *means, const double *wanted) {
    const double *totals = h->totals + group * h->depth;
    double n = h->counts[group];
    int64_t each = h->channels / h->groups;
    for (int64_t part = 0; part < h->parts; part++) {
        double *t = h->sums[group * h->parts + part];
        const double *s = totals + part * h->part, *m = means + part * h->part;
        for (int64_t i = 0; i < hessian_part_size(h, part); i++)
            for (int64_t k = 0; k <= i; k++) t[triangle_row(i) + k] -= s[i] * m[k] + m[i] * s[k] - n * m[i] * m[k];
    }
    for (int64_t c = group * each; c < (group + 1) * each; c++)
        for (int64_t k = 0; k < h->depth; k++)
            h->cross[c * h->depth + k] -= h->wanted[c] * means[k] + wanted[c] * (totals[k] - n * means[k]);
}

static void add_set(Hessian *to, const Hessian *from, int64_t group) {
    int64_t each = to->channels / to->groups;
    for (int64_t part = 0; part < to->parts; part++) {
        int64_t at = group * to->parts + part, n = triangle_row(hessian_part_size(to, part));
        for (int64_t i = 0; i < n; i++) to->sums[at][i] += from->sums[at][i];
    }
    for (int64_t k = 0; k < to->depth; k++) to->totals[group * to->depth + k] += from->totals[group * to->depth + k];
    for (int64_t c = group * each; c < (group + 1) * each; c++) {
        to->wanted[c] += from->wanted[c];
        for (int64_t k = 0; k < to->depth; k++) to->cross[c * to->depth + k] += from->cross[c * to->depth + k];
    }
    to->counts[group] += from->counts[group];
}

/* ---- a group's channels, LANES at a time ---- */

typedef struct Solve {
    RoundFit *f;
    int64_t group, depth, each;
    Ctx *ctx;
} Solve;
typedef double Lane[LANES];

static int64_t channel_of(const Solve *s, int64_t i) { return s->group * s->each + i; }

/* to = p H */
static void multiply(Lane *restrict to, const double *h, const Lane *restrict p, int64_t n) {
    memset(to, 0, sizeof *to * (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        const double *row = h + triangle_row(i);
        Lane sum = {0};
        for (int64_t k = 0; k < i; k++)
            for (int l = 0; l < LANES; l++) {
                sum[l] += row[k] * p[k][l];
                to[k][l] += row[k] * p[i][l];
            }
        for (int l = 0; l < LANES; l++) to[i][l] += sum[l] + row[i] * p[i][l];
    }
}

/* x of x TᵀT = x */
static void solve(Lane *restrict x, const double *t, int64_t n) {
    for (int64_t i = n - 1; i >= 0; i--) {
        const double *row = t + triangle_row(i);
        for (int l = 0; l < LANES; l++) x[i][l] /= row[i];
        for (int64_t k = 0; k < i; k++)
            for (int l = 0; l < LANES; l++) x[k][l] -= row[k] * x[i][l];
    }
    for (int64_t i = 0; i < n; i++) {
        const double *row = t + triangle_row(i);
        Lane sum = {0};
        for (int64_t k = 0; k < i; k++)
            for (int l = 0; l < LANES; l++) sum[l] += row[k] * x[k][l];
        for (int l = 0; l < LANES; l++) x[i][l] = (x[i][l] - sum[l]) / row[i];
    }
}

/* T of LANES channels from `first`: by h's samples, t the factor of H + λ diag H; NULL: W */
static void find_lanes(const Solve *s, const Hessian *h, const double *t, int64_t first, Lane *to, Lane *room) {
    int64_t n = s->depth, count = s->each - first < LANES ? s->each - first : LANES;
    Lane *plain = room, *rest = room + n;
    memset(plain, 0, sizeof *plain * (size_t)n);
    for (int64_t k = 0; k < n; k++)
        for (int64_t l = 0; l < count; l++) plain[k][l] = weight(s->f, channel_of(s, first + l), k);
    memcpy(to, plain, sizeof *to * (size_t)n);
    if (!t) return;
    multiply(rest, h->sums[s->group], (const Lane *)plain, n);
    for (int64_t k = 0; k < n; k++)
        for (int64_t l = 0; l < LANES; l++)
            rest[k][l] = (l < count ? h->cross[channel_of(s, first + l) * n + k] : 0) - rest[k][l];
    solve(rest, t, n);
    for (int64_t k = 0; k < n; k++)
        for (int64_t l = 0; l < LANES; l++) to[k][l] += rest[k][l];
}

/* What T of these channels loses on samples, but for what no T changes: T H Tᵀ − 2 T Cᵀ */
static double judge_lanes(const Solve *s, const Hessian *h, int64_t first, const Lane *t, Lane *room) {
    int64_t n = s->depth, count = s->each - first < LANES ? s->each - first : LANES;
    double sum = 0;
    multiply(room, h->sums[s->group], t, n);
    for (int64_t k = 0; k < n; k++)
        for (int64_t l = 0; l < count; l++)
            sum += t[k][l] * (room[k][l] - 2 * h->cross[channel_of(s, first + l) * n + k]);
    return sum;
}

static int64_t judged_tiles(const Solve *s) { return ((s->each < JUDGED ? s->each : JUDGED) + LANES - 1) / LANES; }

static const double *factor(const Solve *s, const Hessian *h, double strength, Arena *a) {
    int64_t n = s->depth;
    double *t = ARENA_ARRAY(a, triangle_row(n), double), mean = hessian_damp(h->sums[s->group], n) * 100;
    memcpy(t, h->sums[s->group], sizeof *t * (size_t)triangle_row(n));
    for (int64_t i = 0; i < n; i++) t[triangle_row(i) + i] += strength * (t[triangle_row(i) + i] + 1e-3 * mean);
    triangle_factor(t, n, 1e-9 * mean);
    return t;
}

/* strength: of λ; INFINITY: W. What it loses for the judges */
static double loss_of(const Solve *s, double strength) {
    const Hessian *h = s->f->set[FITTED], *other = s->f->set[JUDGING];
    int64_t tiles = judged_tiles(s);
    Arena *a = arena_new(s->ctx);
    const double *t = isfinite(strength) ? factor(s, h, strength, a) : NULL;
    double sum = 0, *sums = ARENA_ARRAY(a, tiles, double);
    Lane *room = (Lane *)ARENA_ARRAY(a, tiles * 3 * s->depth * LANES, double);
#pragma omp parallel for schedule(static) if (tiles > 1 && s->depth > 128)
    for (int64_t i = 0; i < tiles; i++) {
        Lane *own = room + 3 * i * s->depth;
        find_lanes(s, h, t, i * LANES, own, own + s->depth);
        sums[i] = judge_lanes(s, other, i * LANES, (const Lane *)own, own + s->depth);
    }
    for (int64_t i = 0; i < tiles; i++) sum += sums[i];
    arena_free(a);
    return sum;
}

static double choose_strength(const Solve *s) {
    double best = INFINITY, least = loss_of(s, INFINITY);
    for (size_t i = 0; i < sizeof strengths / sizeof *strengths; i++) {
        double loss = loss_of(s, strengths[i]);
        if (!(loss < least)) break;
        least = loss;
        best = strengths[i];
    }
    return best;
}

static void keep_lanes(const Solve *s, int64_t first, const Lane *t) {
    for (int64_t l = 0; l < LANES && first + l < s->each; l++) {
        int64_t c = channel_of(s, first + l);
        for (int64_t k = 0; k < s->depth; k++) {
            double w = weight(s->f, c, k);
            s->f->target[c * s->depth + k] = w == 0 || !isfinite(t[k][l]) ? w : t[k][l]; /* pruned weights stay so */
        }
    }
}

static void solve_group(const Solve *s, double strength) {
    const Hessian *h = s->f->set[FITTED];
    Arena *a = arena_new(s->ctx);
    const double *t = isfinite(strength) ? factor(s, h, strength, a) : NULL;
    int64_t tiles = (s->each + LANES - 1) / LANES;
    enum { AT_ONCE = 64 };
    Lane *room = (Lane *)ARENA_ARRAY(a, (tiles < AT_ONCE ? tiles : AT_ONCE) * 3 * s->depth * LANES, double);
    for (int64_t first = 0; first < tiles; first += AT_ONCE) {
#pragma omp parallel for schedule(static) if (tiles > 1 && s->depth > 128)
        for (int64_t i = first; i < (tiles - first < AT_ONCE ? tiles : first + AT_ONCE); i++) {
            Lane *own = room + 3 * (i - first) * s->depth;
            find_lanes(s, h, t, i * LANES, own, own + s->depth);
            keep_lanes(s, i * LANES, (const Lane *)own);
        }
    }
    arena_free(a);
}

/* ---- all of it ---- */

static void keep_weights(const Solve *s) {
    for (int64_t c = channel_of(s, 0); c < channel_of(s, s->each); c++)
        for (int64_t k = 0; k < s->depth; k++) s->f->target[c * s->depth + k] = weight(s->f, c, k);
}

static void fill_means(const Solve *s, double *means, double *wanted) {
    const Hessian *a = s->f->set[FITTED], *b = s->f->set[JUDGING];
    double n = a->counts[s->group] + b->counts[s->group];
    for (int64_t k = 0; k < s->depth; k++) {
        int64_t at = s->group * s->depth + k;
        means[k] = (a->totals[at] + b->totals[at]) / n;
    }
    for (int64_t c = channel_of(s, 0); c < channel_of(s, s->each); c++) wanted[c] = (a->wanted[c] + b->wanted[c]) / n;
}

static void fit_group(RoundFit *f, int64_t group, Ctx *ctx) {
    Hessian *a = f->set[FITTED], *b = f->set[JUDGING];
    Arena *scratch = arena_new(ctx);
    Solve s = {.f = f, .group = group, .depth = a->depth, .each = a->channels / a->groups, .ctx = ctx};
    double *means = ARENA_ARRAY(scratch, s.depth, double), *wanted = ARENA_ARRAY(scratch, a->channels, double);
    bool some = a->counts[group] + b->counts[group] > 0;
    bool fits = a->parts == 1 && a->counts[group] > 0 && b->counts[group] > 0;
    if (some) fill_means(&s, means, wanted);
    for (int i = 0; i < 2 && f->has_bias && some; i++) centre(f->set[i], group, means, wanted);
    if (fits) solve_group(&s, choose_strength(&s));
    else keep_weights(&s);
    add_set(a, b, group);
    for (int64_t c = channel_of(&s, 0); c < channel_of(&s, s.each); c++) {
        f->moves[c] = wanted[c];
        for (int64_t k = 0; k < s.depth; k++) f->moves[c] -= f->target[c * s.depth + k] * means[k];
    }
    arena_free(scratch);
}

void round_fit_solve(RoundFit *f, Ctx *ctx) {
    for (int64_t group = 0; group < f->set[FITTED]->groups; group++) fit_group(f, group, ctx);
    f->set[FITTED]->centred = true;
}
