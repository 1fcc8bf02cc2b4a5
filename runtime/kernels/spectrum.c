/* HannWindow, HammingWindow, BlackmanWindow, MelWeightMatrix: tensors made from a few scalars, computed in f64. */
#include "runtime/kernels/number.h"

enum { WINDOW_HANN, WINDOW_HAMMING, WINDOW_BLACKMAN };

static const double turn = 6.28318530717958647693;

/* Point i of a window: of so many points, the first of which is the one behind the last where it is periodic. */
static inline double window_point(int kind, int64_t i, int64_t period) {
    if (period == 0) return 1;
    const double angle = turn * mcc_i64_to_f64(i) / mcc_i64_to_f64(period), c = mcc_cos_f64(angle);
    if (kind == WINDOW_HANN) {
        const double s = mcc_sin_f64(angle / 2);
        return s * s;
    }
    if (kind == WINDOW_HAMMING) return 25.0 / 46.0 - 21.0 / 46.0 * c;
    return 0.42 - 0.5 * c + 0.08 * mcc_cos_f64(2 * angle);
}

typedef struct mel {
    int64_t bins;
    double low, step, points, rate; /* in mel; of the transform, and one more; in Hertz */
} mel;

/* The spectrum's bin that edge i of the triangles falls into. */
static inline double mel_edge(const mel *m, int64_t i) {
    const double hertz = 700 * (mcc_pow_f64(10, (m->low + m->step * mcc_i64_to_f64(i)) / 2595) - 1);
    return mcc_floor_f64(m->points * hertz / m->rate);
}

/* A triangle over the bins from `low` to `high`, with its top, 1, at `top`. */
static inline double mel_weight(double bin, double low, double top, double high) {
    if (bin >= top && bin < high) return (high - bin) / (high - top);
    if (low == top) return bin == top ? 1 : 0;
    return bin >= low && bin <= top ? (bin - low) / (top - low) : 0;
}

#define TEMPLATE "runtime/kernels/spectrum.inc"
#include "runtime/kernels/for_floats.h"
#include "runtime/kernels/for_ints_real.h"

/* ---- windows ---- */

static inline int window_shape(mcc_arg *a, const mcc_attr *at) {
    const int64_t n = read_int(&a[0], 0);
    a[at->args.n_in].dims[0] = n;
    return n < 0 ? MCC_E_INDEX : MCC_OK;
}

static inline int window_fill(const mcc_arg *a, const mcc_attr *at, int kind) {
    const mcc_arg *y = output(a, at, 0);
    const int64_t n = read_int(&a[0], 0);
    if (n != y->dims[0]) return MCC_E_INDEX;
    const int64_t period = ((const attrs_HannWindow *)at)->periodic ? n : n - 1; /* the others have the same */
    DISPATCH_REAL(y->dtype, window_fill, y->data, (idx)n, period, kind)
}

int shape_HannWindow(mcc_arg *a, const mcc_attr *at) { return window_shape(a, at); }
int shape_HammingWindow(mcc_arg *a, const mcc_attr *at) { return window_shape(a, at); }
int shape_BlackmanWindow(mcc_arg *a, const mcc_attr *at) { return window_shape(a, at); }
int ref_HannWindow(const mcc_arg *a, const mcc_attr *at) { return window_fill(a, at, WINDOW_HANN); }
int ref_HammingWindow(const mcc_arg *a, const mcc_attr *at) { return window_fill(a, at, WINDOW_HAMMING); }
int ref_BlackmanWindow(const mcc_arg *a, const mcc_attr *at) { return window_fill(a, at, WINDOW_BLACKMAN); }

/* ---- MelWeightMatrix: a triangle for each mel bin over the bins of a spectrum ---- */

int shape_MelWeightMatrix(mcc_arg *a, const mcc_attr *at) {
    mcc_arg *y = &a[at->args.n_in];
    const int64_t bins = read_int(&a[0], 0), points = read_int(&a[1], 0);
    y->dims[0] = points / 2 + 1;
    y->dims[1] = bins;
    return bins < 0 || points < 0 ? MCC_E_INDEX : MCC_OK;
}

static inline double mel_of(double hertz) { return 2595 * (mcc_log_f64(1 + hertz / 700) / 2.30258509299404568402); }

int ref_MelWeightMatrix(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *y = output(a, at, 0);
    mel m = {.bins = read_int(&a[0], 0), .low = mel_of(real_get(&a[3], 0)), .rate = mcc_i64_to_f64(read_int(&a[2], 0))};
    const int64_t points = read_int(&a[1], 0);
    if (points < 0 || m.bins != y->dims[1] || points / 2 + 1 != y->dims[0]) return MCC_E_INDEX;
    m.points = mcc_i64_to_f64(points) + 1;
    m.step = (mel_of(real_get(&a[4], 0)) - m.low) / (mcc_i64_to_f64(m.bins) + 2);
    DISPATCH_REAL(y->dtype, mel_fill, y->data, dim(y, 0), &m)
}
