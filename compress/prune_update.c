/* Zeros with H = Σ x xᵀ in view, in the order of a sum's weights (E. Frantar, D. Alistarh, "SparseGPT", 2023; "Optimal
 * Brain Compression", 2022), in the form of rounding.c: with H = TᵀT, T lower triangular, eᵀHe = |Te|², and (Te)_k has
 * no error beyond e_k. A weight that stays becomes w_k + Σ_{i<k} T_ki e_i / T_kk, which leaves nothing of (Te)_k; one
 * that is made 0 leaves T_kk times that. Zeros are chosen a block of columns at a time, among all channels, by the
 * square of what they would leave if all before them are as they are by then. What was 0 before stays 0.
 * At last the weights that stay are moved to the least eᵀHe that these zeros allow, by conjugate gradients. */
#include "compress/prune.h"
#include <math.h>
#include <string.h>
#include "compress/triangle.h"

enum { LANES = 16, COLUMNS = 128, STEPS = 12, MEASURED = 64, AT_ONCE = 8 /* channels */ };

typedef struct Update { /* the channels of a group, in one part of the depth */
    const PruneOptions *o;
    const PruneWeights *w;
    const double *t, *h;              /* T; all of H, a triangle as well */
    int64_t first, n, channel, count; /* of the part; of the group */
    double (*e)[LANES],
        (*base)[LANES]; /* [tile of channels][n]: errors; [tile][COLUMNS]: Σ T_ki e_i before the block */
    uint8_t *zero;      /* [n][count] */
} Update;

static float *weight(const Update *u, int64_t k, int64_t c) {
    return &u->w->w[(u->channel + c) * u->w->by_channel + (u->first + k) * u->w->by_depth];
}

static int64_t tiles(const Update *u) { return (u->count + LANES - 1) / LANES; }
static double (*errors_of(const Update *u, int64_t tile))[LANES] { return u->e + tile * u->n; }
static int lanes_of(const Update *u, int64_t tile) {
    return u->count - tile * LANES < LANES ? (int)(u->count - tile * LANES) : LANES;
}

/* to[lane] += Σ row[i] · e[i][lane] */
static void add_errors(double *restrict to, const double *restrict row, const double (*restrict e)[LANES], int64_t n) {
    double sum[LANES] = {0};
    for (int64_t i = 0; i < n; i++)
        for (int l = 0; l < LANES; l++) sum[l] += row[i] * e[i][l];
    for (int l = 0; l < LANES; l++) to[l] += sum[l];
}

/* ---- a block of columns ---- */

/* What the block's weights would leave, all made up for that is before them: T_BB d = Σ T_Bi e_i, (w + d)² T_kk² */
static void score_tile(const Update *u, int64_t k, int64_t n, int64_t tile, float *score) {
    double d[COLUMNS][LANES] = {{0}}, (*base)[LANES] = u->base + tile * COLUMNS;
    for (int64_t j = 0; j < n; j++) {
        const double *row = u->t + triangle_row(k + j);
        double inside[LANES] = {0};
        memset(base[j], 0, sizeof base[j]);
        add_errors(base[j], row, (const double(*)[LANES])errors_of(u, tile), k);
        add_errors(inside, row + k, (const double(*)[LANES])d, j);
        for (int l = 0; l < lanes_of(u, tile); l++) {
            d[j][l] = (base[j][l] - inside[l]) / row[k + j];
            float w = *weight(u, k + j, tile * LANES + l);
            double left = w == 0 ? 0 : ((double)w + d[j][l]) * row[k + j];
            score[j * u->count + tile * LANES + l] = (float)fmin(left * left, 1e30);
        }
    }
}

/* What the block leaves of |Te|² is returned. */
static double settle_tile(const Update *u, int64_t k, int64_t n, int64_t tile) {
    double left = 0;
    double(*e)[LANES] = errors_of(u, tile), (*base)[LANES] = u->base + tile * COLUMNS;
    for (int64_t j = 0; j < n; j++) {
        const double *row = u->t + triangle_row(k + j);
        double sum[LANES];
        memcpy(sum, base[j], sizeof sum);
        add_errors(sum, row + k, (const double(*)[LANES])(e + k), j);
        for (int l = 0; l < lanes_of(u, tile); l++) {
            int64_t c = tile * LANES + l;
            double w = (double)*weight(u, k + j, c);
            bool zero = u->zero[(k + j) * u->count + c];
            double over = sum[l] + w * row[k + j];
            e[k + j][l] = zero ? w : -sum[l] / row[k + j];
            left += zero ? over * over : 0;
        }
    }
    return left;
}

/* of a window that blocks of some input channels fit COLUMNS with, else 1: blocks then lie along the columns */
static int64_t taps_of(const Update *u) {
    int64_t taps = u->w->taps;
    bool whole = u->n % taps == 0 && u->first % taps == 0;
    return u->o->pattern == PRUNE_BLOCKS && whole && taps * u->o->cols <= COLUMNS ? taps : 1;
}

static double prune_columns(const Update *u, double share, Ctx *ctx) {
    double left = 0;
    int64_t taps = taps_of(u), step = taps > 1 ? COLUMNS / (taps * u->o->cols) * taps * u->o->cols : COLUMNS;
    bool many = tiles(u) > 1 && tiles(u) * u->n > 1024;
    for (int64_t k = 0; k < u->n; k += step) { /* tiles by themselves, added in order: any number of threads */
        Arena *scratch = arena_new(ctx);
        int64_t n = u->n - k < step ? u->n - k : step;
        float *score = ARENA_ARRAY(scratch, n * u->count, float);
        double *lefts = ARENA_ARRAY(scratch, tiles(u), double);
#pragma omp parallel for schedule(static) if (many)
        for (int64_t tile = 0; tile < tiles(u); tile++) score_tile(u, k, n, tile, score);
        prune_select(u->o, (PruneMatrix){score, n, u->count, taps}, share, u->zero + k * u->count, scratch);
        for (int64_t i = 0; i < n * u->count; i++)
            if (*weight(u, k + i / u->count, i % u->count) == 0) u->zero[k * u->count + i] = 1;
#pragma omp parallel for schedule(static) if (many)
        for (int64_t tile = 0; tile < tiles(u); tile++) lefts[tile] = settle_tile(u, k, n, tile);
        for (int64_t tile = 0; tile < tiles(u); tile++) left += lefts[tile];
        arena_free(scratch);
    }
    return left;
}

/* ---- the weights that stay, for the zeros that there are ---- */

static double h_at(const Update *u, int64_t i, int64_t k) {
    return i < k ? u->h[triangle_row(k) + i] : u->h[triangle_row(i) + k];
}

static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void multiply(double *restrict to, const double *h, const double *p, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] = dot(h + i * n, p, n);
}

/* preconditioned by the diagonal */
void prune_solve(const double *h, double *r, double *delta, int64_t n, double *work) {
    double *p = work, *hp = work + n, *z = work + 2 * n;
    memset(delta, 0, sizeof *delta * (size_t)n);
    for (int64_t i = 0; i < n; i++) p[i] = z[i] = r[i] / h[i * n + i];
    double rz = dot(r, z, n), begin = rz;
    for (int step = 0; step < STEPS && rz > 1e-8 * begin; step++) {
        multiply(hp, h, p, n);
        double a = rz / dot(p, hp, n);
        for (int64_t i = 0; i < n; i++) delta[i] += a * p[i], r[i] -= a * hp[i], z[i] = r[i] / h[i * n + i];
        double next = dot(r, z, n), b = next / rz;
        for (int64_t i = 0; i < n; i++) p[i] = z[i] + b * p[i];
        rz = next;
    }
}

static int64_t room_of(const Update *u) {
    int64_t n = u->n < PRUNE_REFINED ? u->n : PRUNE_REFINED;
    return n * (n + 5);
}

static void refine_channel(const Update *u, int64_t c, int64_t *stays, double *room) {
    int64_t n = 0;
    double(*e)[LANES] = errors_of(u, c / LANES);
    int lane = (int)(c % LANES);
    for (int64_t k = 0; k < u->n; k++)
        if (!u->zero[k * u->count + c]) stays[n++] = k;
    if (!n || n > PRUNE_REFINED) return;
    double *h = room, *work = h + n * n, *r = work + 3 * n, *delta = work + 4 * n;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = 0; k <= i; k++) h[i * n + k] = h[k * n + i] = h_at(u, stays[i], stays[k]);
        r[i] = 0;
        for (int64_t k = 0; k < u->n; k++) r[i] += h_at(u, stays[i], k) * e[k][lane];
    }
    prune_solve(h, r, delta, n, work); /* H_SS δ = (He)_S */
    for (int64_t i = 0; i < n; i++) e[stays[i]][lane] -= delta[i];
}

static void refine(const Update *u, Ctx *ctx) {
    Arena *a = arena_new(ctx);
    int64_t *places = ARENA_ARRAY(a, AT_ONCE * u->n, int64_t), room = room_of(u);
    double *rooms = ARENA_ARRAY(a, AT_ONCE * room, double);
    for (int64_t first = 0; first < u->count; first += AT_ONCE) {
        int64_t n = u->count - first < AT_ONCE ? u->count - first : AT_ONCE;
#pragma omp parallel for schedule(dynamic) if (u->n > 96)
        for (int64_t i = 0; i < n; i++) refine_channel(u, first + i, places + i * u->n, rooms + i * room);
    }
    arena_free(a);
}

/* ---- parts and groups ---- */

static void store(const Update *u) {
    for (int64_t k = 0; k < u->n; k++)
        for (int64_t c = 0; c < u->count; c++) {
            float *w = weight(u, k, c);
            double e = errors_of(u, c / LANES)[k][c % LANES];
            *w = u->zero[k * u->count + c] ? 0 : (float)((double)*w - e);
        }
}

static void open_part(Update *u, const Hessian *h, int64_t at, Arena *scratch) {
    u->n = hessian_part_size(h, at % h->parts);
    u->first = at % h->parts * h->part;
    u->count = u->w->channels / h->groups;
    u->channel = at / h->parts * u->count;
    size_t bytes = (size_t)triangle_row(u->n) * sizeof(double);
    double *full = ARENA_ARRAY(scratch, triangle_row(u->n) + 1, double), damp = hessian_damp(h->sums[at], u->n);
    double *factor = ARENA_ARRAY(scratch, triangle_row(u->n) + 1, double);
    memcpy(full, h->sums[at], bytes);
    memcpy(factor, h->sums[at], bytes);
    triangle_factor(factor, u->n, damp);
    for (int64_t i = 0; i < u->n; i++) full[triangle_row(i) + i] += damp;
    u->h = full;
    u->t = factor;
    u->e = (double(*)[LANES])ARENA_ARRAY(scratch, tiles(u) * u->n * LANES, double);
    u->base = (double(*)[LANES])ARENA_ARRAY(scratch, tiles(u) * COLUMNS * LANES, double);
    u->zero = ARENA_ARRAY(scratch, u->n * u->count, uint8_t);
}

void prune_update(const PruneOptions *o, const Hessian *h, const PruneWeights *w, double share, Ctx *ctx) {
    for (int64_t at = 0; at < h->groups * h->parts; at++) {
        Arena *scratch = arena_new(ctx);
        Update u = {.o = o, .w = w};
        open_part(&u, h, at, scratch);
        prune_columns(&u, share, ctx);
        refine(&u, ctx);
        store(&u);
        arena_free(scratch);
    }
}

void prune_losses(const PruneOptions *o, const Hessian *h, const PruneWeights *all, const double *shares, int n,
                  double *losses, Ctx *ctx) {
    PruneWeights some = *all, *w = &some;
    int64_t step = h->groups == 1 ? all->channels / MEASURED : 1;
    if (step > 1) some.channels /= step, some.by_channel *= step;
    memset(losses, 0, sizeof *losses * (size_t)n);
    for (int64_t at = 0; at < h->groups * h->parts; at++) {
        Arena *scratch = arena_new(ctx);
        Update u = {.o = o, .w = w};
        open_part(&u, h, at, scratch);
        for (int i = 0; i < n; i++) losses[i] += prune_columns(&u, shares[i], ctx);
        arena_free(scratch);
    }
}
