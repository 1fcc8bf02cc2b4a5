/* The weights that stay in a pruned layer, once more: least Σ |y − W x − b|² over the samples, where y is what the
 * dense network makes in this place and x what the pruned network holds there by now. So each layer makes up for what
 * those before it have lost, which no update by its own inputs can (compare "asymmetric calibration", Y. Li et al.,
 * "GPTAQ", 2025). With H = Σ x xᵀ and C = Σ y xᵀ about their means, where a bias takes care of these, the weights S of
 * a sum that stay move by δ of (H_SS + damp) δ = (C − W H)_S, from where they are. */
#include "compress/prune.h"
#include <math.h>
#include "compress/triangle.h"

typedef struct Fit { /* a layer's channels in one group */
    const Hessian *h;
    PruneWeights w;
    const double *sums; /* H */
    double damp;
} Fit;

static double h_at(const Fit *f, int64_t i, int64_t k) {
    return i < k ? f->sums[triangle_row(k) + i] : f->sums[triangle_row(i) + k];
}

static float *weight(const Fit *f, int64_t c, int64_t k) { return &f->w.w[c * f->w.by_channel + k * f->w.by_depth]; }

static void fit_channel(const Fit *f, int64_t c, Arena *a) {
    int64_t depth = f->h->depth, n = 0, *stays = ARENA_ARRAY(a, depth, int64_t);
    for (int64_t k = 0; k < depth; k++)
        if (*weight(f, c, k) != 0) stays[n++] = k;
    if (!n || n > PRUNE_REFINED) return;
    double *h = ARENA_ARRAY(a, n * n, double), *work = ARENA_ARRAY(a, 5 * n, double);
    double *r = work + 3 * n, *delta = work + 4 * n;
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

static void fit_bias(const Fit *f, float *bias, int64_t c) {
    int64_t group = c / (f->h->channels / f->h->groups);
    double mean = f->h->wanted[c];
    for (int64_t k = 0; k < f->h->depth; k++) mean -= (double)*weight(f, c, k) * f->h->totals[group * f->h->depth + k];
    bias[c] = (float)(mean / f->h->counts[group]);
}

void prune_refit(const PruneLayer *l, Hessian *h, Ctx *ctx) {
    int64_t count = l->c.shape.channels / h->groups;
    if (h->parts != 1) return; /* what a sum's other parts make of y cannot be told */
    for (int64_t group = 0; group < h->groups; group++) {
        if (!(h->counts[group] > 0)) return;
        for (int64_t c = group * count; c < (group + 1) * count && l->bias; c++) centre_cross(h, c);
    }
    hessian_centre(h);
    for (int64_t group = 0; group < h->groups; group++) {
        Fit f = {.h = h, .w = prune_weights_of(l), .sums = h->sums[group]};
        f.damp = hessian_damp(f.sums, h->depth);
        for (int64_t c = group * count; c < (group + 1) * count; c++) {
            Arena *own = arena_new(ctx);
            fit_channel(&f, c, own);
            arena_free(own);
            if (l->bias) fit_bias(&f, l->bias, c);
        }
    }
}
