/* What a tensor's values are over all samples, in memory that does not grow with them; and the range to quantize. */
#ifndef MCC_OBSERVE_H
#define MCC_OBSERVE_H

#include "ir/ir.h"

enum { OBSERVER_BINS = 4096 };

/* A histogram on a grid through 0 whose step is a power of two: bin i counts the values in [first + i, first + i + 1)
 * steps. A value beyond it doubles the step; at least half of the bins are in use once there are two values. */
typedef struct Observer {
    float low, high;          /* of all values; high < low: there are none */
    double sum_low, sum_high; /* of the samples' lowest and highest values */
    int64_t samples, values;
    int64_t odd; /* NaN and infinities, which are not counted otherwise */
    int64_t first;
    int step_exponent;
    uint64_t *bins; /* NULL: minima and maxima alone are kept */
} Observer;
void observer_init(Observer *o, Arena *a, bool histogram);
void observer_add(Observer *o, const float *x, int64_t n); /* one sample's values */

typedef enum RangeMethod { RANGE_MINMAX, RANGE_AVERAGE, RANGE_PERCENTILE, RANGE_ENTROPY, RANGE_MSE } RangeMethod;
bool range_needs_histogram(RangeMethod m);
/* Low and high, of which low <= 0 <= high. percentile: of the values, that lie within; symmetric: for levels around 0.
 */
typedef struct Range {
    double low, high;
} Range;
Range observer_range(const Observer *o, RangeMethod m, double percentile, bool symmetric, Arena *scratch);

/* ---- ranges.c: the methods, from a histogram's bins; for tests by themselves ---- */
typedef struct Bins { /* bin i: values in [edge + i·step, edge + (i + 1)·step) */
    const uint64_t *count;
    int n;
    double edge, step;
} Bins;
Range range_percentile(Bins b, double percentile);
Range range_entropy(Bins b, Arena *scratch);        /* Kullback–Leibler divergence */
Range range_mse(Bins b, bool symmetric);            /* mean squared error of 256 levels */
double bins_error(Bins b, Range r, bool symmetric); /* that error */

#endif
