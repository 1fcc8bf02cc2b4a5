/* How many weights of each layer become 0. All to the same share, or all weights together by their score: the
 * importance of a weight over the sum of all in its layer that are at least as important (J. Lee et al.,
 * "Layer-adaptive Sparsity for the Magnitude-based Pruning", 2020). A layer's last weight has a score of 1, so that
 * none ends up empty, and no layer's scale matters. */
#include <math.h>
#include <string.h>
#include "compress/prune.h"

enum { DIGIT = 1 << 16, STEPS = 100, GRID = 1000 };

/* ---- by importance ---- */

typedef struct Ranked { /* a layer's scores, ascending */
    const float *score;
    int64_t n;
} Ranked;

/* Of floats that are not negative: their bits are in their order. */
static void sort_floats(float *x, int64_t n, uint32_t *bits, uint32_t *other, int64_t *place) {
    memcpy(bits, x, (size_t)n * 4);
    for (int shift = 0; shift < 32; shift += 16) {
        memset(place, 0, sizeof *place * DIGIT);
        for (int64_t i = 0; i < n; i++) place[bits[i] >> shift & (DIGIT - 1)]++;
        for (int64_t d = 0, from = 0; d < DIGIT; d++) {
            int64_t count = place[d];
            place[d] = from;
            from += count;
        }
        for (int64_t i = 0; i < n; i++) other[place[bits[i] >> shift & (DIGIT - 1)]++] = bits[i];
        uint32_t *swap = bits;
        bits = other, other = swap;
    }
    memcpy(x, bits, (size_t)n * 4);
}

static void rank(float *x, int64_t n, Arena *scratch) {
    sort_floats(x, n, ARENA_ARRAY(scratch, n + 1, uint32_t), ARENA_ARRAY(scratch, n + 1, uint32_t),
                ARENA_ARRAY(scratch, DIGIT, int64_t));
    double rest = 0;
    for (int64_t i = n - 1; i >= 0; i--) {
        rest += (double)x[i];
        x[i] = rest > 0 ? (float)((double)x[i] / rest) : 0;
    }
}

static int64_t count_below(Ranked r, float limit) {
    int64_t low = 0, high = r.n;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (r.score[middle] < limit) low = middle + 1;
        else high = middle;
    }
    return low;
}

static int64_t weights_of(const PruneLayer *l) { return l->c.depth * l->c.shape.channels; }

static double share_below(const PrunePlan *p, const Ranked *ranked, float limit, int64_t all) {
    int64_t below = 0;
    for (int i = 0; i < p->n; i++) below += count_below(ranked[i], limit);
    return (double)below / (double)all;
}

static void share_together(PrunePlan *p, const Ranked *ranked, double share, int64_t all) {
    double low = 0, high = 1;
    for (int i = 0; i < STEPS; i++) {
        double middle = low > 0 ? sqrt(low * high) : high * 0x1p-10; /* scores differ by powers of ten */
        if (share_below(p, ranked, (float)middle, all) <= share) low = middle;
        else high = middle;
        if (high < 1e-30) break;
    }
    for (int i = 0; i < p->n; i++)
        if (!p->layers[i].spared && !p->layers[i].planned)
            p->layers[i].share = (double)count_below(ranked[i], (float)low) / (double)weights_of(&p->layers[i]);
}

/* ---- by losses ---- */

const double prune_points[PRUNE_POINTS] = {0.2, 0.4, 0.6, 0.75, 0.87, 0.95, 1};

/* Between the points the logarithm of the loss is a line, below the first a power of the share. */
static double loss_at(const PruneLayer *l, double share) {
    int i = 0;
    while (i < PRUNE_POINTS - 1 && prune_points[i] < share) i++;
    if (l->loss[i] <= 0) return 0;
    if (i == 0) return l->loss[0] * pow(share / prune_points[0], 3);
    double part = (share - prune_points[i - 1]) / (prune_points[i] - prune_points[i - 1]);
    return exp(log(fmax(l->loss[i - 1], 1e-30)) * (1 - part) + log(l->loss[i]) * part);
}

/* What a loss in this layer counts: the noise that reaches the outputs for what is lost here at the same share */
static double weight_of(const PrunePlan *p, const PruneLayer *l) {
    double own = loss_at(l, p->options.share);
    return l->noise > 0 && own > 0 ? l->noise / own : 1;
}

/* What one step more of the share costs, not less than any before */
static void fill_slopes(const PrunePlan *p, const PruneLayer *l, double *slope) {
    double weight = weight_of(p, l);
    slope[0] = 0;
    for (int i = 1; i < GRID; i++) {
        double own = weight * (loss_at(l, (double)i / (double)GRID) - loss_at(l, (double)(i - 1) / (double)GRID));
        slope[i] = fmax(slope[i - 1], own);
    }
}

static double share_at_slope(const double *slope, double most) {
    int i = 0;
    while (i + 1 < GRID && slope[i + 1] <= most) i++;
    return (double)i / (double)GRID;
}

static bool has_loss(const PruneLayer *l) { return !l->spared && !l->planned && l->loss[PRUNE_POINTS - 1] > 0; }

/* Zeros in all where a weight may cost `price` */
static double zeros_at(const PrunePlan *p, const double (*slope)[GRID], double price) {
    double zeros = 0;
    for (int i = 0; i < p->n; i++) {
        double weights = (double)weights_of(&p->layers[i]);
        if (has_loss(&p->layers[i])) zeros += share_at_slope(slope[i], price * weights) * weights;
    }
    return zeros;
}

/* The least sum of losses: where the next weight costs the same in all layers. Where that price buys more than is
 * wanted at once, each gets a part of it. A layer whose loss nobody knows keeps the mean. */
static void share_by_losses(PrunePlan *p, double share, Arena *scratch) {
    double(*slope)[GRID] = (double(*)[GRID])ARENA_ARRAY(scratch, (int64_t)p->n * GRID, double);
    double low = 1e-30, high = 1e9, wanted = 0;
    for (int i = 0; i < p->n; i++) {
        if (!has_loss(&p->layers[i])) continue;
        fill_slopes(p, &p->layers[i], slope[i]);
        wanted += share * (double)weights_of(&p->layers[i]);
    }
    const double(*read)[GRID] = (const double(*)[GRID])slope;
    for (int step = 0; step < STEPS; step++) {
        double price = sqrt(low * high);
        if (zeros_at(p, read, price) <= wanted) low = price;
        else high = price;
    }
    double at_low = zeros_at(p, read, low), step = zeros_at(p, read, high) - at_low;
    double part = step > 0 ? fmin((wanted - at_low) / step, 1) : 0;
    for (int i = 0; i < p->n; i++) {
        PruneLayer *l = &p->layers[i];
        double weights = (double)weights_of(l);
        if (has_loss(l))
            l->share =
                share_at_slope(slope[i], low * weights) * (1 - part) + share_at_slope(slope[i], high * weights) * part;
    }
}

void prune_shares(PrunePlan *p, float *const *importances, double share, Arena *scratch) {
    Ranked *ranked = ARENA_ARRAY(scratch, p->n + 1, Ranked);
    bool even = p->options.by_layer || p->options.pattern == PRUNE_N_OF_M;
    int64_t all = 0;
    for (int i = 0; i < p->n; i++) {
        PruneLayer *l = &p->layers[i];
        if (!l->planned) l->share = l->spared ? 0 : share;
        if (l->spared || l->planned || even || !importances) continue;
        rank(importances[i], weights_of(l), scratch);
        ranked[i] = (Ranked){importances[i], weights_of(l)};
        all += weights_of(l);
    }
    if (all) share_together(p, ranked, share, all);
    else if (!even) share_by_losses(p, share, scratch);
}
