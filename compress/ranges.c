/* Ranges from histograms. Percentile: as much of the mass is cut on either side. Entropy: the threshold whose quantized
 * distribution tells least apart from the true one (S. Migacz, 8-bit inference with TensorRT, GTC 2017). Mean squared
 * error: what 256 levels lose, by rounding within the range and by clipping beyond it. */
#include "compress/observe.h"
#include <math.h>
#include <string.h>

enum { LEVELS = 256, MSE_STEPS = 64 };

static double total_of(Bins b) {
    double sum = 0;
    for (int i = 0; i < b.n; i++) sum += (double)b.count[i];
    return sum;
}

static int first_used(Bins b) {
    int i = 0;
    while (i < b.n && !b.count[i]) i++;
    return i;
}

static int last_used(Bins b) {
    int i = b.n - 1;
    while (i >= 0 && !b.count[i]) i--;
    return i;
}

static double edge(Bins b, double i) { return b.edge + i * b.step; }

/* Where, counted from the left, `mass` of the values are passed; evenly spread within a bin */
static double quantile(Bins b, double mass) {
    double sum = 0;
    int last = last_used(b);
    for (int i = 0; i <= last; i++) {
        double c = (double)b.count[i];
        if (c > 0 && sum + c >= mass) return edge(b, i + (mass - sum) / c);
        sum += c;
    }
    return edge(b, last + 1);
}

Range range_percentile(Bins b, double percentile) {
    double total = total_of(b), cut = total * (100 - percentile) / 200;
    return total > 0 ? (Range){quantile(b, cut), quantile(b, total - cut)} : (Range){0, 0};
}

/* ---- entropy ---- */

typedef struct Magnitudes { /* counts by distance from 0 */
    double *p;
    int n, levels;
    double step;
} Magnitudes;

static Magnitudes magnitudes_of(Bins b, Arena *a) {
    int64_t zero = llrint(-b.edge / b.step); /* the bin that begins at 0 */
    bool negative = first_used(b) < zero;
    Magnitudes m = {ARENA_ARRAY(a, 2 * b.n + 1, double), 0, negative ? LEVELS / 2 : LEVELS, b.step};
    for (int i = 0; i < b.n; i++) {
        if (!b.count[i]) continue;
        int64_t at = i >= zero ? i - zero : zero - 1 - i;
        m.p[at] += (double)b.count[i];
        if (at >= m.n) m.n = (int)at + 1;
    }
    if (m.n > 1) m.p[0] = m.p[1]; /* 0 itself is always exact: a peak there would hide the rest */
    return m;
}

/* D(P || Q) where P is the counts up to `keep` with the rest in its last bin, Q those counts in m->levels equal parts,
 * each spread evenly over its bins that are not empty. */
static double divergence(const Magnitudes *m, int keep) {
    double inside = 0, beyond = 0, sum = 0;
    for (int i = 0; i < keep; i++) inside += m->p[i];
    for (int i = keep; i < m->n; i++) beyond += m->p[i];
    if (inside == 0) return INFINITY;
    for (int level = 0; level < m->levels; level++) {
        int from = (int)((int64_t)level * keep / m->levels), to = (int)((int64_t)(level + 1) * keep / m->levels);
        double mass = 0;
        int used = 0;
        for (int i = from; i < to; i++) mass += m->p[i], used += m->p[i] > 0;
        for (int i = from; i < to; i++) {
            double p = m->p[i] + (i == keep - 1 ? beyond : 0), q = m->p[i] > 0 ? mass / used : 0;
            if (p == 0) continue;
            p /= inside + beyond;
            q = q > 0 ? q / inside : 1e-9; /* what falls where Q has nothing costs much, but not all */
            sum += p * log(p / q);
        }
    }
    return sum;
}

Range range_entropy(Bins b, Arena *scratch) {
    Magnitudes m = magnitudes_of(b, scratch);
    if (m.n == 0) return (Range){0, 0};
    int best = m.n;
    double least = INFINITY;
    for (int keep = m.levels; keep <= m.n; keep += (keep - m.levels) / 128 + 1) {
        double d = divergence(&m, keep);
        if (d < least) least = d, best = keep;
    }
    double far = best * m.step;
    return (Range){fmax(-far, edge(b, first_used(b))), fmin(far, edge(b, last_used(b) + 1))};
}

/* ---- mean squared error ---- */

double bins_error(Bins b, Range r, bool symmetric) {
    double scale = symmetric ? fmax(-r.low, r.high) / (LEVELS / 2 - 1) : (r.high - r.low) / (LEVELS - 1);
    double zero = symmetric ? 0 : rint(-r.low / scale), low = symmetric ? -(LEVELS / 2) : 0, sum = 0;
    int last = last_used(b);
    if (!(scale > 0)) return INFINITY;
    for (int i = first_used(b); i <= last; i++) {
        if (!b.count[i]) continue;
        double x = edge(b, i + 0.5), q = rint(x / scale) + zero;
        q = fmin(fmax(q, low), low + (double)(LEVELS - 1));
        double e = x - (q - zero) * scale;
        sum += (double)b.count[i] * e * e;
    }
    return sum;
}

/* The best of MSE_STEPS fractions of the full range, for one end or for both */
static void search(Bins b, Range full, bool symmetric, bool low, bool high, Range *best, double *least) {
    Range start = *best;
    for (int k = 1; k <= MSE_STEPS; k++) {
        double f = (double)k / (double)MSE_STEPS;
        Range r = {low ? full.low * f : start.low, high ? full.high * f : start.high};
        double e = bins_error(b, r, symmetric);
        if (e < *least) *least = e, *best = r;
    }
}

Range range_mse(Bins b, bool symmetric) {
    if (last_used(b) < 0) return (Range){0, 0};
    Range full = {fmin(edge(b, first_used(b)), 0), fmax(edge(b, last_used(b) + 1), 0)}, best = full;
    double least = INFINITY;
    search(b, full, symmetric, true, true, &best, &least);
    if (!symmetric && full.low < 0 && full.high > 0) {
        search(b, full, false, true, false, &best, &least);
        search(b, full, false, false, true, &best, &least);
    }
    return best;
}
