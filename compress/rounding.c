/* Weights to codes so that eᵀHe is small, e = w − code · scale.
 *
 * gptq: weights in order, each one's error made up for by those that follow as well as they can (E. Frantar et al.,
 * "GPTQ", 2022; the step for one weight is that of "Optimal Brain Compression", 2022). With H = TᵀT, T lower
 * triangular, eᵀHe = |Te|², and (Te)_k has no e beyond e_k: the code of weight k is the one nearest to w_k + Σ_{i<k}
 * T_ki e_i / T_kk which is what GPTQ's updates by the Cholesky factor of H⁻¹ leave in its place, without the inverse.
 * Where weights of a block share a scale, it is found as the block is reached, from what the weights are then to be.
 *
 * adaround: each weight goes up or down; starting from the nearest, a weight turns to its other side wherever that
 * lowers eᵀHe, until none does. The objective is that of "Up or Down?" (M. Nagel et al., 2020), whose relaxation and
 * gradient descent this is not. */
#include "compress/rounding.h"
#include <math.h>
#include <string.h>
#include "compress/triangle.h"

enum { LANES = 16, TILES = 64, SWEEPS = 20 }; /* a tile: LANES channels, which read T together */

typedef struct Rounder { /* some channels' weights in one part of the depth */
    const RoundWeights *r;
    const double *t;  /* T, or for adaround all of H */
    int64_t first, n; /* the part */
    int64_t depth, channel;
    int lanes;
    double (*e)[LANES];     /* [n] errors so far */
    double (*shift)[LANES]; /* [block] what is added to the weights of a block to make up for errors before it */
    double *he;             /* [n] (He)_k of a channel */
} Rounder;

static double weight(const Rounder *d, int64_t k, int lane) {
    const RoundWeights *r = d->r;
    return (double)r->w[(d->channel + lane) * r->by_channel + (d->first + k) * r->by_depth];
}

int64_t round_blocks(const RoundWeights *r, int64_t depth) { return (depth + r->block - 1) / r->block; }

static CodeScale *scale_at(const Rounder *d, int64_t k, int lane) {
    return &d->r->scales[(d->channel + lane) * round_blocks(d->r, d->depth) + (d->first + k) / d->r->block];
}

static int8_t *code_at(const Rounder *d, int64_t k, int lane) {
    const RoundWeights *r = d->r;
    return &r->codes[(d->channel + lane) * r->by_channel + (d->first + k) * r->by_depth];
}

static void set_code(const Rounder *d, int64_t k, int lane, double want) {
    CodeScale s = *scale_at(d, k, lane);
    int code = code_near(d->r->range, s, weight(d, k, lane) == 0 ? 0 : want); /* pruned weights stay pruned */
    *code_at(d, k, lane) = (int8_t)code;
    d->e[k][lane] = weight(d, k, lane) - (code - s.zero) * (double)s.scale;
}

/* to[lane] += Σ row[i] · e[i][lane] */
static void add_errors(double *restrict to, const double *restrict row, const double (*restrict e)[LANES], int64_t n) {
    double sum[LANES] = {0};
    for (int64_t i = 0; i < n; i++)
        for (int l = 0; l < LANES; l++) sum[l] += row[i] * e[i][l];
    for (int l = 0; l < LANES; l++) to[l] += sum[l];
}

/* ---- gptq ---- */

/* Scales of the block from k on, of weights that make up for all errors before it: T_BB d = Σ T_Bi e_i, want = w + d */
static void find_scales(const Rounder *d, int64_t k, int64_t n) {
    double(*shift)[LANES] = d->shift;
    float w[HESSIAN_PART];
    for (int64_t j = 0; j < n; j++) {
        const double *row = d->t + triangle_row(k + j);
        double sum[LANES] = {0}, inside[LANES] = {0};
        add_errors(sum, row, (const double(*)[LANES])d->e, k);
        add_errors(inside, row + k, (const double(*)[LANES])shift, j);
        for (int l = 0; l < LANES; l++) shift[j][l] = (sum[l] - inside[l]) / row[k + j];
    }
    for (int l = 0; l < d->lanes; l++) {
        for (int64_t j = 0; j < n; j++) w[j] = (float)(weight(d, k + j, l) + shift[j][l]);
        *scale_at(d, k, l) = code_scale(d->r->range, w, n);
    }
}

static void round_in_order(const Rounder *d) {
    int64_t block = d->r->block;
    for (int64_t k = 0; k < d->n; k++) {
        const double *row = d->t + triangle_row(k);
        double sum[LANES] = {0};
        if (d->r->find_scales && block < d->depth && k % block == 0)
            find_scales(d, k, d->n - k < block ? d->n - k : block);
        add_errors(sum, row, (const double(*)[LANES])d->e, k);
        for (int l = 0; l < d->lanes; l++) set_code(d, k, l, weight(d, k, l) + sum[l] / row[k]);
    }
}

/* ---- adaround ---- */

static void round_plain(const Rounder *d) {
    for (int64_t k = 0; k < d->n; k++)
        for (int l = 0; l < d->lanes; l++) set_code(d, k, l, weight(d, k, l));
}

/* Turns weight k where that lowers eᵀHe, by 2·step·(He)_k + step²·H_kk; he follows. */
static bool turn(const Rounder *d, double *restrict he, int64_t k, int lane) {
    const double *restrict row = d->t + k * d->n;
    double e = d->e[k][lane], scale = (double)scale_at(d, k, lane)->scale;
    double side = e == 0 ? (he[k] < 0 ? 1 : -1) : e < 0 ? 1 : -1; /* of e, as the code goes down or up */
    double code = (double)*code_at(d, k, lane) - side, step = side * scale;
    if (weight(d, k, lane) == 0) return false;
    if (code < d->r->range.low || code > d->r->range.high || fabs(e + step) >= scale * 1.0000001) return false;
    if (2 * step * he[k] + step * step * row[k] >= -1e-12 * row[k] * scale * scale) return false;
    *code_at(d, k, lane) = (int8_t)code;
    d->e[k][lane] = e + step;
    for (int64_t i = 0; i < d->n; i++) he[i] += step * row[i];
    return true;
}

static void round_turning(const Rounder *d) {
    double *he = d->he;
    round_plain(d);
    for (int l = 0; l < d->lanes; l++) {
        for (int64_t k = 0; k < d->n; k++) {
            double sum = 0;
            for (int64_t i = 0; i < d->n; i++) sum += d->t[k * d->n + i] * d->e[i][l];
            he[k] = sum;
        }
        bool turned = true;
        for (int sweep = 0; sweep < SWEEPS && turned; sweep++) {
            turned = false;
            for (int64_t k = 0; k < d->n; k++) turned |= turn(d, he, k, l);
        }
    }
}

/* ---- parts and channels ---- */

static const double *factor_part(Hessian *h, int64_t at, int64_t n) {
    if (!h->factored[at]) triangle_factor(h->sums[at], n, hessian_damp(h->sums[at], n));
    h->factored[at] = true;
    return h->sums[at];
}

static const double *square_part(const Hessian *h, int64_t at, int64_t n, Arena *scratch) {
    const double *t = h->sums[at];
    double *full = ARENA_ARRAY(scratch, n * n, double), damp = hessian_damp(t, n);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = 0; k <= i; k++) full[i * n + k] = full[k * n + i] = t[triangle_row(i) + k];
        full[i * n + i] += damp;
    }
    return full;
}

static void round_tile(Rounding how, const Rounder *d) {
    memset(d->e, 0, sizeof *d->e * (size_t)d->n);
    if (how == ROUND_GPTQ) round_in_order(d);
    else round_turning(d);
}

/* Some tiles at once, each by itself: any number of threads */
static void round_part(Rounding how, Hessian *h, Rounder *d, int64_t at, Arena *scratch) {
    int64_t group = at / h->parts, each = d->r->channels / h->groups, end = (group + 1) * each;
    int64_t most = (each + LANES - 1) / LANES < TILES ? (each + LANES - 1) / LANES : TILES;
    Rounder *tile = ARENA_ARRAY(scratch, most, Rounder);
    d->t = how == ROUND_GPTQ ? factor_part(h, at, d->n) : square_part(h, at, d->n, scratch);
    for (int64_t i = 0; i < most; i++) {
        tile[i] = *d;
        tile[i].e = (double(*)[LANES])ARENA_ARRAY(scratch, d->n * LANES, double);
        tile[i].shift = (double(*)[LANES])ARENA_ARRAY(scratch, d->r->block * LANES, double);
        tile[i].he = ARENA_ARRAY(scratch, d->n, double);
    }
    for (int64_t first = group * each; first < end; first += most * LANES) {
#pragma omp parallel for schedule(dynamic)
        for (int64_t i = 0; i < most; i++) {
            int64_t rest = end - first - i * LANES;
            tile[i].channel = first + i * LANES;
            tile[i].lanes = rest < LANES ? (int)rest : LANES;
            if (rest > 0) round_tile(how, &tile[i]);
        }
    }
}

/* From the weights as they are: for whole channels, and wherever errors are not carried from block to block */
static void find_plain_scales(const RoundWeights *r, int64_t depth, Arena *scratch) {
    float *w = ARENA_ARRAY(scratch, r->block, float);
    for (int64_t c = 0; c < r->channels; c++)
        for (int64_t first = 0; first < depth; first += r->block) {
            int64_t n = depth - first < r->block ? depth - first : r->block;
            for (int64_t k = 0; k < n; k++) w[k] = r->w[c * r->by_channel + (first + k) * r->by_depth];
            r->scales[c * round_blocks(r, depth) + first / r->block] = code_scale(r->range, w, n);
        }
}

void round_nearest(const RoundWeights *r, int64_t depth, Ctx *ctx) {
    Arena *scratch = arena_new(ctx);
    if (r->find_scales) find_plain_scales(r, depth, scratch);
    arena_free(scratch);
    for (int64_t c = 0; c < r->channels; c++)
        for (int64_t k = 0; k < depth; k++) {
            int64_t at = c * r->by_channel + k * r->by_depth;
            CodeScale s = r->scales[c * round_blocks(r, depth) + k / r->block];
            r->codes[at] = (int8_t)code_near(r->range, s, (double)r->w[at]);
        }
}

/* What the means of the sums lose, for the bias */
static void fill_shifts(const Hessian *h, const RoundWeights *r) {
    for (int64_t c = 0; c < r->channels; c++) {
        int64_t group = c / (r->channels / h->groups);
        double sum = 0, count = h->counts[group];
        for (int64_t k = 0; k < h->depth && count > 0; k++) {
            int64_t at = c * r->by_channel + k * r->by_depth;
            CodeScale s = r->scales[c * round_blocks(r, h->depth) + k / r->block];
            double e = (double)r->w[at] - (r->codes[at] - s.zero) * (double)s.scale;
            sum += e * h->totals[group * h->depth + k] / count;
        }
        r->shifts[c] = sum;
    }
}

static void round_by_inputs(Rounding how, Hessian *h, const RoundWeights *r, Ctx *ctx) {
    Arena *scratch = arena_new(ctx);
    if (r->find_scales) find_plain_scales(r, h->depth, scratch);
    arena_free(scratch);
    hessian_centre(h);
    for (int64_t at = 0; at < h->groups * h->parts; at++) {
        Rounder d = {.r = r, .depth = h->depth, .first = at % h->parts * h->part};
        d.n = hessian_part_size(h, at % h->parts);
        scratch = arena_new(ctx);
        round_part(how, h, &d, at, scratch);
        arena_free(scratch);
    }
}

void round_weights(Rounding how, Hessian *h, const RoundWeights *r, Ctx *ctx) {
    if (how == ROUND_NEAREST) round_nearest(r, h->depth, ctx);
    else round_by_inputs(how, h, r, ctx);
    if (r->shifts) fill_shifts(h, r);
}
