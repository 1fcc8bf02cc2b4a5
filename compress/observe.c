/* Streaming minima, maxima and histograms. All that a sample's values need is one pass for the extremes and one for the
 * bins; the step is a power of two, so that a doubling merges pairs of bins exactly and the place of a value does not
 * depend on what came before. */
#include "compress/observe.h"
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

static void count(Observer *o, const float *x, int64_t n) {
    float per_step = ldexpf(1, -o->step_exponent); /* exact: a power of two */
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) continue;
        int64_t at = (int64_t)floorf(x[i] * per_step) - o->first;
        o->bins[at]++;
    }
}

void observer_add(Observer *o, const float *x, int64_t n) {
    float low = INFINITY, high = -INFINITY;
    int64_t odd = 0;
    for (int64_t i = 0; i < n; i++) {
        float v = x[i];
        bool finite = fabsf(v) <= 3.402823466e38f;
        odd += !finite;
        low = finite && v < low ? v : low;
        high = finite && v > high ? v : high;
    }
    o->odd += odd;
    if (low > high) return;
    o->samples++;
    o->values += n - odd;
    o->sum_low += (double)low;
    o->sum_high += (double)high;
    o->low = low < o->low ? low : o->low;
    o->high = high > o->high ? high : o->high;
    if (!o->bins) return;
    make_room(o, (double)low, (double)high);
    count(o, x, n);
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
