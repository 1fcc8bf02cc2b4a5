/* Weights to codes so that eᵀHe is small, e = w − code · scale.
 *
 * gptq: weights one after the other, those of the largest inputs first, each one's error made up for by those that
 * follow as well as they can (E. Frantar et al., "GPTQ", 2022; the step for one weight is that of "Optimal Brain
 * Compression", 2022). With H = TᵀT, T lower triangular, eᵀHe = |Te|², and (Te)_k has no e beyond e_k: the code of
 * weight k is the one nearest to w_k + Σ_{i<k} T_ki e_i / T_kk which is what GPTQ's updates by the Cholesky factor of
 * H⁻¹ leave in its place, without the inverse. Scales of blocks are found before, from the weights as they are, each by
 * how much its error matters.
 *
 * adaround: each weight goes up or down; starting from the nearest, a weight turns to its other side wherever that
 * lowers eᵀHe, until none does. The objective is that of "Up or Down?" (M. Nagel et al., 2020), whose relaxation and
 * gradient descent this is not. */
#include "compress/rounding.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "compress/triangle.h"

enum { LANES = 16, TILES = 64, SWEEPS = 20 }; /* a tile: LANES channels, which read T together */

typedef struct Rounder { /* some channels' weights in one part of the depth */
    const RoundWeights *r;
    const double *t;  /* T, or for adaround all of H */
    int64_t first, n; /* the part */
    int64_t depth, channel;
    int lanes;
    const int64_t *order; /* [n] of gptq: which weight of the part is T's next */
    CodeScale *plain;     /* [blocks][LANES] scales before some are tried */
    double (*e)[LANES];   /* [n] errors so far, in that order */
    double *he;           /* [n] (He)_k of a channel */
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

/* Its error is returned. */
static double set_code(const Rounder *d, int64_t k, int lane, double want) {
    CodeScale s = *scale_at(d, k, lane);
    int code = code_near(d->r->range, s, weight(d, k, lane) == 0 ? 0 : want); /* pruned weights stay pruned */
    *code_at(d, k, lane) = (int8_t)code;
    return weight(d, k, lane) - (code - s.zero) * (double)s.scale;
}

/* to[lane] += Σ row[i] · e[i][lane] */
static void add_errors(double *restrict to, const double *restrict row, const double (*restrict e)[LANES], int64_t n) {
    double sum[LANES] = {0};
    for (int64_t i = 0; i < n; i++)
        for (int l = 0; l < LANES; l++) sum[l] += row[i] * e[i][l];
    for (int l = 0; l < LANES; l++) to[l] += sum[l];
}

/* ---- gptq ---- */

/* left: |Te|² of each lane */
static void round_in_order(const Rounder *d, double *left) {
    memset(left, 0, sizeof *left * LANES);
    for (int64_t i = 0; i < d->n; i++) {
        const double *row = d->t + triangle_row(i);
        int64_t k = d->order[i];
        double sum[LANES] = {0};
        add_errors(sum, row, (const double(*)[LANES])d->e, i);
        for (int l = 0; l < d->lanes; l++) {
            double e = d->e[i][l] = set_code(d, k, l, weight(d, k, l) + sum[l] / row[i]), rest = sum[l] + row[i] * e;
            left[l] += rest * rest;
        }
    }
}

static void scale_lane(const Rounder *d, const CodeScale *from, int lane, double factor) {
    int64_t block = d->r->block;
    for (int64_t k = 0; k < d->n; k += block)
        scale_at(d, k, lane)->scale = (float)((double)from[k / block * LANES + lane].scale * factor);
}

/* With scales of which each channel's have the common factor that leaves least */
static void round_with_scales(const Rounder *d) {
    static const double factors[] = {1, 0.93, 0.86, 0.97, 0.9, 0.82, 0.78, 1.05};
    int tries = d->n <= 512 ? 8 : d->n <= 2048 ? 3 : 1;
    double best[LANES], left[LANES], least[LANES];
    for (int64_t k = 0; k < d->n; k += d->r->block)
        for (int l = 0; l < d->lanes; l++) d->plain[k / d->r->block * LANES + l] = *scale_at(d, k, l);
    for (int i = 0; i < tries; i++) {
        for (int l = 0; l < d->lanes; l++) scale_lane(d, d->plain, l, factors[i]);
        round_in_order(d, left);
        for (int l = 0; l < d->lanes; l++)
            if (i == 0 || left[l] < least[l]) least[l] = left[l], best[l] = factors[i];
    }
    for (int l = 0; l < d->lanes; l++) scale_lane(d, d->plain, l, best[l]);
    if (tries > 1) round_in_order(d, left);
}

/* ---- adaround ---- */

static void round_plain(const Rounder *d) {
    for (int64_t k = 0; k < d->n; k++)
        for (int l = 0; l < d->lanes; l++) d->e[k][l] = set_code(d, k, l, weight(d, k, l));
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

typedef struct Place {
    double square; /* Σ x² */
    int64_t at;
} Place;

static int by_square(const void *a, const void *b) {
    const Place *x = a, *y = b;
    return x->square > y->square ? -1 : x->square < y->square ? 1 : (x->at > y->at) - (x->at < y->at);
}

/* The largest inputs first: their errors have the most others to make up for them. */
static const int64_t *order_part(const double *t, int64_t n, Arena *scratch) {
    Place *place = ARENA_ARRAY(scratch, n, Place);
    int64_t *order = ARENA_ARRAY(scratch, n, int64_t);
    for (int64_t i = 0; i < n; i++) place[i] = (Place){t[triangle_row(i) + i], i};
    qsort(place, (size_t)n, sizeof *place, by_square);
    for (int64_t i = 0; i < n; i++) order[i] = place[i].at;
    return order;
}

/* T of H in another order */
static const double *factor_part(const double *h, int64_t n, const int64_t *order, Arena *scratch) {
    double *t = ARENA_ARRAY(scratch, triangle_row(n), double);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k <= i; k++) {
            int64_t row = order[i] > order[k] ? order[i] : order[k], col = order[i] + order[k] - row;
            t[triangle_row(i) + k] = h[triangle_row(row) + col];
        }
    triangle_factor(t, n, hessian_damp(h, n));
    return t;
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
    double left[LANES];
    if (how == ROUND_GPTQ && d->r->find_scales) round_with_scales(d);
    else if (how == ROUND_GPTQ) round_in_order(d, left);
    else round_turning(d);
}

/* Some tiles at once, each by itself: any number of threads */
static void round_part(Rounding how, const Hessian *h, Rounder *d, int64_t at, Arena *scratch) {
    int64_t group = at / h->parts, each = d->r->channels / h->groups, end = (group + 1) * each;
    int64_t most = (each + LANES - 1) / LANES < TILES ? (each + LANES - 1) / LANES : TILES;
    Rounder *tile = ARENA_ARRAY(scratch, most, Rounder);
    d->order = how == ROUND_GPTQ ? order_part(h->sums[at], d->n, scratch) : NULL;
    d->t = d->order ? factor_part(h->sums[at], d->n, d->order, scratch) : square_part(h, at, d->n, scratch);
    for (int64_t i = 0; i < most; i++) {
        tile[i] = *d;
        tile[i].e = (double(*)[LANES])ARENA_ARRAY(scratch, d->n * LANES, double);
        tile[i].plain = ARENA_ARRAY(scratch, (d->n + d->r->block - 1) / d->r->block * LANES, CodeScale);
        tile[i].he = ARENA_ARRAY(scratch, d->n, double);
    }
    for (int64_t first = group * each; first < end; first += most * LANES) {
#pragma omp parallel for schedule(dynamic) if (most > 1 && d->n > 64)
        for (int64_t i = 0; i < most; i++) {
            int64_t rest = end - first - i * LANES;
            tile[i].channel = first + i * LANES;
            tile[i].lanes = rest < LANES ? (int)rest : LANES;
            if (rest > 0) round_tile(how, &tile[i]);
        }
    }
}

/* How much an error of each weight of a channel matters by itself: Σ x² of its input. NULL: nothing is known of it */
static const double *fill_matters(const Hessian *h, int64_t group, double *to) {
    double sum = 0;
    for (int64_t k = 0; k < h->depth; k++) {
        int64_t in = k % h->part;
        sum += to[k] = h->sums[group * h->parts + k / h->part][triangle_row(in) + in];
    }
    for (int64_t k = 0; k < h->depth; k++) to[k] += 0.01 * sum / (double)h->depth;
    return sum > 0 ? to : NULL;
}

/* h: of the inputs; NULL: all weights matter alike */
static void find_block_scales(const RoundWeights *r, const Hessian *h, int64_t depth, Arena *scratch) {
    float *w = ARENA_ARRAY(scratch, r->block, float);
    double *room = ARENA_ARRAY(scratch, depth, double);
    const double *matters = NULL;
    for (int64_t c = 0; c < r->channels; c++) {
        if (h && c % (r->channels / h->groups) == 0) matters = fill_matters(h, c / (r->channels / h->groups), room);
        for (int64_t first = 0; first < depth; first += r->block) {
            int64_t n = depth - first < r->block ? depth - first : r->block;
            for (int64_t k = 0; k < n; k++) w[k] = r->w[c * r->by_channel + (first + k) * r->by_depth];
            r->scales[c * round_blocks(r, depth) + first / r->block] =
                code_scale(r->range, w, matters ? matters + first : NULL, n);
        }
    }
}

void round_nearest(const RoundWeights *r, int64_t depth, Ctx *ctx) {
    Arena *scratch = arena_new(ctx);
    if (r->find_scales) find_block_scales(r, NULL, depth, scratch);
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
    hessian_centre(h);
    if (r->find_scales) find_block_scales(r, h, h->depth, scratch);
    arena_free(scratch);
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
