/* The weights that stay in a pruned layer, once more: least Σ |y − W x − b|² over the samples, where y is what the
 * dense network makes in this place, but for its bias, and x what the pruned network holds there by now. So each layer
 * makes up for what those before it have lost, which no update by its own inputs can (compare "asymmetric calibration",
 * Y. Li et al., "GPTAQ", 2025). With H = Σ x xᵀ and C = Σ y xᵀ about their means, where a bias takes care of these, the
 * weights S of a sum that stay move by δ of (H_SS + damp) δ = (C − W H)_S, from where they are. */
#include "compress/prune.h"
#include <math.h>
#include "compress/triangle.h"

enum { AT_ONCE = 8 }; /* channels */

typedef struct Fit { /* a layer's channels in one group */
    const Hessian *h;
    PruneWeights w;
    const double *sums; /* H */
    const float *dense; /* the dense network's biases; NULL: there are none */
    float *bias;
    double damp;
    int64_t *places; /* room for AT_ONCE channels: depth */
    double *room;    /* and room_of() doubles */
} Fit;

static double h_at(const Fit *f, int64_t i, int64_t k) {
    return i < k ? f->sums[triangle_row(k) + i] : f->sums[triangle_row(i) + k];
}

static float *weight(const Fit *f, int64_t c, int64_t k) { return &f->w.w[c * f->w.by_channel + k * f->w.by_depth]; }

static int64_t room_of(const Hessian *h) {
    int64_t n = h->depth < PRUNE_REFINED ? h->depth : PRUNE_REFINED;
    return n * (n + 5);
}

static void fit_channel(const Fit *f, int64_t c, int64_t *stays, double *room) {
    int64_t depth = f->h->depth, n = 0;
    for (int64_t k = 0; k < depth; k++)
        if (*weight(f, c, k) != 0) stays[n++] = k;
    if (!n || n > PRUNE_REFINED) return;
    double *h = room, *work = h + n * n, *r = work + 3 * n, *delta = work + 4 * n;
    for (int64_t i = 0; i < n; i++) {
        r[i] = f->h->cross[c * depth + stays[i]];
        for (int64_t k = 0; k < n; k++) {
            h[i * n + k] = h_at(f, stays[i], stays[k]);
            r[i] -= h[i * n + k] * (double)*weight(f, c, stays[k]);
        }
        h[i * n + i] += f->damp;
    }
    prune_solve(h, r, delta, n, work);
    for (int64_t i = 0; i < n; i++) {
        float *w = weight(f, c, stays[i]), moved = (float)((double)*w + delta[i]);
        if (isfinite(moved) && moved != 0) *w = moved; /* a zero would be one more */
    }
}

/* C about the means */
static void centre_cross(const Hessian *h, int64_t c) {
    int64_t group = c / (h->channels / h->groups);
    const double *totals = h->totals + group * h->depth;
    for (int64_t k = 0; k < h->depth; k++) h->cross[c * h->depth + k] -= h->wanted[c] / h->counts[group] * totals[k];
}

static void fit_bias(const Fit *f, int64_t c) {
    int64_t group = c / (f->h->channels / f->h->groups);
    double mean = f->h->wanted[c];
    for (int64_t k = 0; k < f->h->depth; k++) mean -= (double)*weight(f, c, k) * f->h->totals[group * f->h->depth + k];
    f->bias[c] = (float)((double)f->dense[c] + mean / f->h->counts[group]);
}

static void fit_group(const Fit *f, int64_t group) {
    int64_t each = f->h->channels / f->h->groups, end = (group + 1) * each, depth = f->h->depth, room = room_of(f->h);
    for (int64_t first = group * each; first < end; first += AT_ONCE) {
        int64_t n = end - first < AT_ONCE ? end - first : AT_ONCE;
#pragma omp parallel for schedule(dynamic) if (depth > 96)
        for (int64_t i = 0; i < n; i++) fit_channel(f, first + i, f->places + i * depth, f->room + i * room);
    }
    for (int64_t c = group * each; c < end && f->bias; c++) fit_bias(f, c);
}

void prune_refit(const PruneLayer *l, Hessian *h, Ctx *ctx) {
    int64_t count = l->c.shape.channels / h->groups;
    if (h->parts != 1) return; /* what a sum's other parts make of y cannot be told */
    for (int64_t group = 0; group < h->groups; group++) {
        if (!(h->counts[group] > 0)) return;
        for (int64_t c = group * count; c < (group + 1) * count && l->bias; c++) centre_cross(h, c);
    }
    hessian_centre(h);
    Arena *a = arena_new(ctx);
    Fit f = {.h = h, .w = prune_weights_of(l), .bias = l->bias, .dense = l->bias ? l->c.bias->data : NULL};
    f.places = ARENA_ARRAY(a, AT_ONCE * h->depth, int64_t);
    f.room = ARENA_ARRAY(a, AT_ONCE * room_of(h), double);
    for (int64_t group = 0; group < h->groups; group++) {
        f.sums = h->sums[group];
        f.damp = hessian_damp(f.sums, h->depth);
        fit_group(&f, group);
    }
    arena_free(a);
}
