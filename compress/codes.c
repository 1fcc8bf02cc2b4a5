/* Codes of a block of weights that share a scale: w ≈ (code - zero) · scale. Without a zero point the range is as far
 * on both sides of 0; with one it is what the weights take, and 0 itself. Of few codes, the scale is the one that loses
 * least: a little clipping pays. */
#include <math.h>
#include "compress/rounding.h"

int code_near(CodeRange r, CodeScale s, double w) {
    return (int)fmin(fmax(rint(w / (double)s.scale) + s.zero, r.low), r.high);
}

double code_value(CodeScale s, int code) { return (double)((float)(code - s.zero) * s.scale); }

static double block_error(CodeRange r, CodeScale s, const float *w, const double *matters, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double e = (double)w[i] - code_value(s, code_near(r, s, (double)w[i]));
        sum += e * e * (matters ? matters[i] : 1);
    }
    return sum;
}

static CodeScale scale_of_range(CodeRange r, double lo, double hi) {
    double scale = r.asymmetric ? (hi - lo) / (r.high - r.low) : fmax(-lo, hi) / r.high;
    CodeScale s = {.scale = fmaxf((float)scale, 0x1p-50f)};
    if (r.asymmetric) s.zero = (int)fmin(fmax(rint(r.low - lo / (double)s.scale), r.low), r.high);
    return s;
}

CodeScale code_scale(CodeRange r, const float *w, const double *matters, int64_t n) {
    enum { TRIED = 24, FEW = 16 };
    double lo = 0, hi = 0;
    for (int64_t i = 0; i < n; i++) {
        lo = fmin(lo, (double)w[i]);
        hi = fmax(hi, (double)w[i]);
    }
    CodeScale best = scale_of_range(r, lo, hi);
    if (r.high - r.low >= FEW) return best;
    double least = block_error(r, best, w, matters, n);
    for (int i = 1; i < TRIED; i++) {
        double part = 1 - 0.02 * i, e;
        CodeScale s = scale_of_range(r, lo * part, hi * part);
        if ((e = block_error(r, s, w, matters, n)) < least) least = e, best = s;
    }
    return best;
}
