/* Streaming minima, maxima and histograms. All that a sample's values need is one pass for the extremes and one for the
 * bins; the step is a power of two, so that a doubling merges pairs of bins exactly and the place of a value does not
 * depend on what came before. */
#include "compress/observe.h"
#include <float.h>
#include <math.h>
#include <string.h>

enum { UNSET = INT32_MIN, FINEST = -120 };

void observer_init(Observer *o, Arena *a, bool histogram) {
    *o = (Observer){.low = INFINITY, .high = -INFINITY, .step_exponent = UNSET};
    if (histogram) o->bins = ARENA_ARRAY(a, OBSERVER_BINS, uint64_t);
}

static int64_t floor_half(int64_t v) { return v >= 0 ? v / 2 : -((1 - v) / 2); }

/* The bin, on the whole grid, of a value */
static int64_t place(double x, int exponent) { return (int64_t)floor(ldexp(x, -exponent)); }

static bool holds(const Observer *o, double low, double high) {
    return place(low, o->step_exponent) >= o->first && place(high, o->step_exponent) < o->first + OBSERVER_BINS;
}

/* The finest grid on which low … high, and 0, take up at most half of the bins, so that some growth is free. */
static void choose_grid(Observer *o, double low, double high) {
    double span = fmax(high, 0) - fmin(low, 0);
    int exponent = FINEST;
    if (span > 0) {
        frexp(span / (OBSERVER_BINS / 2), &exponent);
        if (exponent < FINEST) exponent = FINEST;
    }
    o->step_exponent = exponent;
    o->first = place(fmin(low, 0), exponent) - (low < 0 ? OBSERVER_BINS / 4 : 0);
}

static void double_step(Observer *o, bool to_the_left) {
    uint64_t merged[OBSERVER_BINS] = {0};
    int64_t first = floor_half(o->first);
    /* half of the new bins are free: before the old ones, or behind them */
    int64_t shift = to_the_left ? OBSERVER_BINS / 2 - 1 : 0;
    for (int64_t i = 0; i < OBSERVER_BINS; i++)
        if (o->bins[i]) merged[floor_half(o->first + i) - first + shift] += o->bins[i];
    memcpy(o->bins, merged, sizeof merged);
    o->first = first - shift;
    o->step_exponent++;
}

static void make_room(Observer *o, double low, double high) {
    if (o->step_exponent == UNSET) choose_grid(o, low, high);
    while (!holds(o, low, high)) double_step(o, place(low, o->step_exponent) < o->first);
}

/* Four tables in turn: values are alike where they are near, and a counter cannot be added to twice at once. */
static void count(Observer *o, const float *x, int64_t n) {
    enum { TABLES = 4 };
    static _Thread_local uint32_t tables[TABLES][OBSERVER_BINS];
    float per_step = ldexpf(1, -o->step_exponent); /* a power of two: exact */
    float low = (float)o->first, high = (float)(o->first + OBSERVER_BINS);
    int first = (int)o->first; /* bins reach 0, or beyond it: no further than their number */
    memset(tables, 0, sizeof tables);
    for (int64_t i = 0; i < n; i++) {
        float v = x[i] * per_step;
        if (!(v >= low && v < high)) continue; /* a NaN or an infinity */
        int at = (int)v;
        at -= v < (float)at; /* rounds down */
        tables[i % TABLES][at - first]++;
    }
    for (int i = 0; i < OBSERVER_BINS; i++)
        for (int t = 0; t < TABLES; t++) o->bins[i] += tables[t][i];
}

typedef struct Extremes {
    float low, high;
    int64_t odd;
} Extremes;

/* In lanes, so that the compiler makes vectors of them */
static Extremes find_extremes(const float *x, int64_t n) {
    enum { LANES = 16 };
    float low[LANES], high[LANES];
    int32_t odd[LANES] = {0};
    Extremes e = {INFINITY, -INFINITY, 0};
    for (int k = 0; k < LANES; k++) low[k] = INFINITY, high[k] = -INFINITY;
    int64_t whole = n / LANES * LANES;
    for (int64_t i = 0; i < whole; i += LANES)
        for (int k = 0; k < LANES; k++) {
            float v = x[i + k];
            int32_t finite = fabsf(v) <= FLT_MAX;
            low[k] = (v < low[k]) & finite ? v : low[k];
            high[k] = (v > high[k]) & finite ? v : high[k];
            odd[k] += 1 - finite;
        }
    for (int64_t i = whole; i < n; i++) {
        bool finite = fabsf(x[i]) <= FLT_MAX;
        low[0] = finite && x[i] < low[0] ? x[i] : low[0];
        high[0] = finite && x[i] > high[0] ? x[i] : high[0];
        e.odd += !finite;
    }
    for (int k = 0; k < LANES; k++) {
        e.low = low[k] < e.low ? low[k] : e.low;
        e.high = high[k] > e.high ? high[k] : e.high;
        e.odd += odd[k];
    }
    return e;
}

/* No more at once than the tables count */
static void count_all(Observer *o, const float *x, int64_t n) {
    const int64_t most = UINT32_MAX;
    for (int64_t i = 0; i < n; i += most) count(o, x + i, n - i < most ? n - i : most);
}

void observer_add(Observer *o, const float *x, int64_t n) {
    Extremes e = find_extremes(x, n);
    o->odd += e.odd;
    if (e.low > e.high) return;
    o->samples++;
    o->values += n - e.odd;
    o->sum_low += (double)e.low;
    o->sum_high += (double)e.high;
    o->low = e.low < o->low ? e.low : o->low;
    o->high = e.high > o->high ? e.high : o->high;
    if (!o->bins) return;
    make_room(o, (double)e.low, (double)e.high);
    count_all(o, x, n);
}

bool range_needs_histogram(RangeMethod m) { return m != RANGE_MINMAX && m != RANGE_AVERAGE; }

static double between(double v, double low, double high) { return v < low ? low : v > high ? high : v; }

Range observer_range(const Observer *o, RangeMethod m, double percentile, bool symmetric, Arena *scratch) {
    Range r = {(double)o->low, (double)o->high};
    if (o->samples == 0) return (Range){0, 0};
    if (m == RANGE_AVERAGE) r = (Range){o->sum_low / (double)o->samples, o->sum_high / (double)o->samples};
    if (range_needs_histogram(m)) {
        Bins b = {o->bins, OBSERVER_BINS, ldexp((double)o->first, o->step_exponent), ldexp(1, o->step_exponent)};
        if (m == RANGE_PERCENTILE) r = range_percentile(b, percentile);
        else if (m == RANGE_ENTROPY) r = range_entropy(b, scratch);
        else r = range_mse(b, symmetric);
        r.low = between(r.low, (double)o->low, (double)o->high);
        r.high = between(r.high, (double)o->low, (double)o->high);
    }
    return (Range){fmin(r.low, 0), fmax(r.high, 0)};
}
