/* DFT and STFT. A transform of n points is a product of stages, one for each factor of n (4, 2, 3, then odd ones), each
 * from one buffer into another, which leaves the result in order (Stockham). Roots of unity are computed once a call,
 * from angles below π/4, so that the eighth ones are exact. Forward
 * in f64: what cancels is near 0 in f32 too. Back in the precision of the type. Memory to work in: the roots and two
 * buffers, 3n complex numbers. */
#include "runtime/kernels/number.h"

/* The smallest stage of a transform of n > 1 points. */
static inline idx dft_radix(idx n) {
    if (n % 4 == 0) return 4;
    if (n % 2 == 0) return 2;
    for (idx d = 3; d <= n / d; d += 2)
        if (n % d == 0) return d;
    return n;
}

#define REAL float
#define CORE(name) mcc_##name##_f32
#include "runtime/kernels/dft_core.inc"
#undef REAL
#undef CORE
#define REAL double
#define CORE(name) mcc_##name##_f64
#include "runtime/kernels/dft_core.inc"
#undef REAL
#undef CORE

/* A tensor as lines along the transformed axis: [outer, points, inner, parts], parts 1: real, 2: complex. */
typedef struct dft_lines {
    idx outer, inner, have, parts; /* of the input */
    idx many, out_parts;           /* of the output */
    idx n;
    bool inverse, half; /* half: of the points that mirror each other one is read (inverse) or written */
} dft_lines;

typedef struct stft_frames {
    idx batch, length, parts, step, frames, n, many;
} stft_frames;

#define TEMPLATE "runtime/kernels/signal.inc"
#include "runtime/kernels/for_floats.h"

/* ---- DFT ---- */

typedef struct dft_plan {
    int axis;
    int64_t n, many; /* points of the transform, and of the output */
} dft_plan;

static bool dft_parse(const mcc_arg *a, const mcc_attr *at, dft_plan *p) {
    const attrs_DFT *how = (const attrs_DFT *)at;
    const mcc_arg *x = &a[0], *length = input(a, at, 1), *axis = input(a, at, 2);
    int64_t along = axis ? read_int(axis, 0) : -2, have = 0;
    if (along == -1 || !index_wrap(&along, x->rank) || along == x->rank - 1) return false;
    p->axis = (int)along;
    UNROLL for (int k = 0; k < RANK; k++) have = k == along ? x->dims[k] : have;
    p->n = length ? read_int(length, 0) : how->onesided && how->inverse ? 2 * (have - 1) : have;
    p->many = how->onesided && !how->inverse ? p->n / 2 + 1 : p->n;
    return p->n > 0;
}

int shape_DFT(mcc_arg *a, const mcc_attr *at) {
    const attrs_DFT *how = (const attrs_DFT *)at;
    mcc_arg *y = &a[at->args.n_in];
    dft_plan p;
    if (!dft_parse(a, at, &p)) return MCC_E_INDEX;
    UNROLL for (int k = 0; k < RANK; k++) if (k < y->rank) y->dims[k] = k == p.axis ? p.many : a[0].dims[k];
    UNROLL for (int k = 0; k < RANK; k++) if (k == y->rank - 1) y->dims[k] = how->onesided && how->inverse ? 1 : 2;
    return MCC_OK;
}

int ref_DFT(const mcc_arg *a, const mcc_attr *at) {
    const attrs_DFT *how = (const attrs_DFT *)at;
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    dft_plan p;
    if (elements(y) == 0) return MCC_OK;
    if (!dft_parse(a, at, &p)) return MCC_E_INDEX;
    const dft_lines l = {.outer = dims_product(x, 0, p.axis),
                         .inner = dims_product(x, p.axis + 1, x->rank - 1),
                         .have = dims_product(x, p.axis, p.axis + 1),
                         .parts = dims_product(x, x->rank - 1, x->rank),
                         .many = dims_product(y, p.axis, p.axis + 1),
                         .out_parts = dims_product(y, y->rank - 1, y->rank),
                         .n = (idx)p.n,
                         .inverse = how->inverse != 0,
                         .half = how->onesided != 0};
    if (l.many != p.many || l.outer * l.inner * l.many * l.out_parts != elements(y)) return MCC_E_INDEX;
    DISPATCH_FLOATS(x->dtype, dft_lines, y->data, x->data, a[at->args.n_in + at->args.n_out].data, &l)
}

/* ---- STFT: frames of n points, each times the window, then transformed ---- */

static bool stft_parse(const mcc_arg *a, const mcc_attr *at, stft_frames *f) {
    const mcc_arg *x = &a[0], *window = input(a, at, 2), *length = input(a, at, 3);
    const int64_t step = read_int(&a[1], 0), have = x->dims[1],
                  n = length   ? read_int(length, 0)
                      : window ? window->dims[0]
                               : have;
    if (step < 1 || n < 1 || (window && window->dims[0] != n)) return false;
    const int64_t frames = n > have ? 0 : mcc_div_i64(have - n, step) + 1;
    const bool half = ((const attrs_STFT *)at)->onesided != 0;
    *f = (stft_frames){.batch = dim(x, 0), .length = dim(x, 1), .parts = x->rank > 2 ? dim(x, 2) : 1};
    f->step = (idx)(step > have ? have : step);
    f->frames = (idx)frames;
    f->n = (idx)n;
    f->many = (idx)(half ? n / 2 + 1 : n);
    return true;
}

int shape_STFT(mcc_arg *a, const mcc_attr *at) {
    mcc_arg *y = &a[at->args.n_in];
    stft_frames f;
    if (!stft_parse(a, at, &f)) return MCC_E_INDEX;
    const int64_t dims[] = {f.batch, f.frames, f.many, 2};
    for (int k = 0; k < 4; k++) y->dims[k] = dims[k];
    return MCC_OK;
}

int ref_STFT(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0], *window = input(a, at, 2), *y = output(a, at, 0);
    stft_frames f;
    if (!stft_parse(a, at, &f) || dim(y, 1) != f.frames || dim(y, 2) != f.many) return MCC_E_INDEX;
    if (elements(y) == 0) return MCC_OK;
    DISPATCH_FLOATS(x->dtype, stft_frames, y->data, x->data, window ? window->data : NULL,
                    a[at->args.n_in + at->args.n_out].data, &f)
}
