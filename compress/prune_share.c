/* How many weights of each layer become 0. All to the same share, or all weights together by their score: the
 * importance of a weight over the sum of all in its layer that are at least as important (J. Lee et al.,
 * "Layer-adaptive Sparsity for the Magnitude-based Pruning", 2020). A layer's last weight has a score of 1, so that
 * none ends up empty, and no layer's scale matters. */
#include <math.h>
#include <string.h>
#include "compress/prune.h"

enum { DIGIT = 1 << 16, STEPS = 100 };

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
        if (!p->layers[i].spared)
            p->layers[i].share = (double)count_below(ranked[i], (float)low) / (double)weights_of(&p->layers[i]);
}

void prune_shares(PrunePlan *p, float *const *importances, double share, Arena *scratch) {
    Ranked *ranked = ARENA_ARRAY(scratch, p->n + 1, Ranked);
    int64_t all = 0;
    for (int i = 0; i < p->n; i++) {
        PruneLayer *l = &p->layers[i];
        l->share = l->spared ? 0 : share;
        if (l->spared || p->options.by_layer || p->options.pattern == PRUNE_N_OF_M) continue;
        rank(importances[i], weights_of(l), scratch);
        ranked[i] = (Ranked){importances[i], weights_of(l)};
        all += weights_of(l);
    }
    if (all) share_together(p, ranked, share, all);
}
