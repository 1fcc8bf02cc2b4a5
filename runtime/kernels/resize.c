/* Resize: Y[o] = X interpolated at a coordinate along each axis, which coordinate_transformation_mode finds from o and
 * the axis's scale. Scales come as such (output dim = ⌊dim · scale⌋) or as sizes (scale = size / dim).
 *
 * nearest picks one element; linear and cubic weigh the `taps` elements around the coordinate, antialias stretches that
 * footprint by 1 / scale. Elements beyond the edge repeat it, or with exclude_outside count for nothing. A coordinate
 * outside of X under tf_crop_and_resize gives extrapolation_value. Coordinates and weights are f32, the
 * formulas those of the standard's text, where length_resized is dim · scale, whole or not. */
#include "runtime/kernels/real.h"

enum {
    HALF_PIXEL,
    HALF_PIXEL_SYMMETRIC,
    PYTORCH_HALF_PIXEL,
    ALIGN_CORNERS,
    ASYMMETRIC,
    TF_CROP_AND_RESIZE,
    TF_HALF_PIXEL_FOR_NN
};
enum { STRETCH, NOT_LARGER, NOT_SMALLER };
enum { NEAREST, LINEAR, CUBIC };
enum { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, FLOOR, CEIL };
enum { LAST = RANK - 1 };

typedef struct resize_plan {
    idx in[RANK], out[RANK], stride[RANK], taps[RANK];
    float scale[RANK], roi_start[RANK], roi_end[RANK], coefficient;
    bool same[RANK]; /* this axis is not resized */
    int64_t coordinates, mode, nearest;
    bool antialias, exclude_outside;
} resize_plan;

/* ---- scales and dims, axis by axis ---- */

typedef struct resize_dims {
    int64_t dims[RANK];
    float scale[RANK], roi_start[RANK], roi_end[RANK];
    bool named[RANK];
} resize_dims;

static inline bool given(const mcc_arg *list) { return list && list->dims[0] > 0; }

/* The dim that a scale makes of d; false if that is none. */
static inline bool scale_dim(int64_t d, float scale, int64_t *out) {
    const float size = mcc_i64_to_f32(d) * scale;
    if (!(scale > 0 && size < 9.2e18f)) return false;
    *out = mcc_f32_to_i64(size);
    return true;
}

/* Under a policy that keeps the aspect ratio all named axes get one scale, and sizes that round. */
static bool resize_keep_ratio(const mcc_arg *x, int64_t policy, resize_dims *r) {
    double scale = 0;
    bool first = true;
    UNROLL for (int k = 0; k < RANK; k++) if (k < x->rank && r->named[k] && x->dims[k] > 0) {
        const double own = mcc_i64_to_f64(r->dims[k]) / mcc_i64_to_f64(x->dims[k]);
        if (first || (policy == NOT_LARGER ? own < scale : own > scale)) scale = own;
        first = false;
    }
    UNROLL for (int k = 0; k < RANK; k++) if (k < x->rank && r->named[k] && x->dims[k] > 0) {
        const double size = scale * mcc_i64_to_f64(x->dims[k]) + 0.5;
        if (!(size < 9.2e18)) return false;
        r->dims[k] = mcc_f64_to_i64(size);
        r->scale[k] = (float)scale;
    }
    return true;
}

static bool resize_axis(const mcc_arg *a, const mcc_attr *at, int64_t i, int64_t axis, int64_t n, resize_dims *r) {
    const mcc_arg *x = &a[0], *roi = input(a, at, 1), *scales = input(a, at, 2), *sizes = input(a, at, 3);
    bool valid = true;
    UNROLL for (int k = 0; k < RANK; k++) if (k == axis) {
        r->named[k] = true;
        if (given(roi) && roi->dims[0] == 2 * n) {
            r->roi_start[k] = (float)real_get(roi, (idx)i);
            r->roi_end[k] = (float)real_get(roi, (idx)(n + i));
        }
        if (given(scales)) {
            r->scale[k] = (float)real_get(scales, (idx)i);
            valid = scale_dim(x->dims[k], r->scale[k], &r->dims[k]);
        } else {
            r->dims[k] = read_int(sizes, (idx)i);
            valid = r->dims[k] >= 0 && (x->dims[k] > 0 || r->dims[k] == 0);
            if (x->dims[k] > 0) r->scale[k] = mcc_i64_to_f32(r->dims[k]) / mcc_i64_to_f32(x->dims[k]);
        }
    }
    return valid;
}

static int resize_parse(const mcc_arg *a, const mcc_attr *at, resize_dims *r) {
    const attrs_Resize *p = (const attrs_Resize *)at;
    const mcc_arg *x = &a[0], *scales = input(a, at, 2), *sizes = input(a, at, 3);
    const int64_t n = p->axes.n ? p->axes.n : x->rank;
    if (!given(scales) && !given(sizes) && n) return MCC_E_INDEX;
    if (n && (given(scales) ? scales : sizes)->dims[0] != n) return MCC_E_INDEX;
    UNROLL for (int k = 0; k < RANK; k++) {
        r->dims[k] = k < x->rank ? x->dims[k] : 1;
        r->scale[k] = 1;
        r->roi_start[k] = 0;
        r->roi_end[k] = 1;
        r->named[k] = false;
    }
    UNROLL for (int i = 0; i < RANK; i++) if (i < n) {
        int64_t axis = p->axes.n ? p->axes.v[i] : i;
        if (!index_wrap(&axis, x->rank) || !resize_axis(a, at, i, axis, n, r)) return MCC_E_INDEX;
    }
    if (!given(scales) && p->keep_aspect_ratio_policy != STRETCH &&
        !resize_keep_ratio(x, p->keep_aspect_ratio_policy, r))
        return MCC_E_INDEX;
    return dims_valid(r->dims, x->rank) ? MCC_OK : MCC_E_INDEX;
}

int shape_Resize(mcc_arg *a, const mcc_attr *at) {
    resize_dims r;
    int status = resize_parse(a, at, &r);
    if (status == MCC_OK) write_dims(&a[at->args.n_in], r.dims);
    return status;
}

/* ---- coordinates and weights ---- */

static inline int32_t floor_int(float x) { /* |x| < 2^31 */
    const int32_t i = (int32_t)x;
    return i - (x < (float)i);
}

/* Where output o of slot k lies in X. Only tf_crop_and_resize may lie outside of [-1, in]. */
static inline float resize_coordinate(const resize_plan *p, int k, idx o) {
    const float x = (float)o, in = (float)p->in[k], scale = p->scale[k], length = in * scale;
    switch (p->coordinates) {
    case ALIGN_CORNERS: return length == 1 ? 0 : x * (in - 1) / (length - 1);
    case ASYMMETRIC: return x / scale;
    case TF_HALF_PIXEL_FOR_NN: return (x + 0.5f) / scale;
    case PYTORCH_HALF_PIXEL: return length > 1 ? (x + 0.5f) / scale - 0.5f : 0;
    case HALF_PIXEL_SYMMETRIC: return in / 2 * (1 - (float)p->out[k] / length) + (x + 0.5f) / scale - 0.5f;
    case TF_CROP_AND_RESIZE: {
        const float start = p->roi_start[k], end = p->roi_end[k];
        if (length == 1) return (start + end) * (in - 1) * 0.5f;
        return start * (in - 1) + x * (end - start) * (in - 1) / (length - 1);
    }
    default: return (x + 0.5f) / scale - 0.5f;
    }
}

/* Does output o of slot k see X? If so *at is its coordinate. */
static inline bool resize_locate(const resize_plan *p, int k, idx o, float *at) {
    const float last = (float)(p->in[k] - 1);
    float x = resize_coordinate(p, k, o);
    const bool inside = p->same[k] || p->coordinates != TF_CROP_AND_RESIZE || (x >= 0 && x <= last);
    x = p->same[k] ? (float)o : x;
    *at = x >= -1 ? (x <= last + 1 ? x : last + 1) : -1; /* rounding may err by a little; a NaN is not inside */
    return inside;
}

static inline idx resize_nearest(const resize_plan *p, int k, float x) {
    const int32_t below = floor_int(x);
    const float ratio = x - (float)below;
    int32_t up;
    switch (p->nearest) {
    case ROUND_PREFER_CEIL: up = ratio >= 0.5f; break;
    case FLOOR: up = 0; break;
    case CEIL: up = ratio > 0; break;
    default: up = ratio > 0.5f;
    }
    return idx_clamp(below + up, 0, p->in[k] - 1);
}

/* How far the kernel of weights is stretched, and the taps that it then covers. */
static inline float resize_stretch(const resize_plan *p, int k) {
    return p->antialias && p->scale[k] < 1 ? p->scale[k] : 1;
}
static inline idx resize_taps(const resize_plan *p, int k) {
    if (p->same[k] || p->mode == NEAREST) return 1;
    const float reach = (p->mode == LINEAR ? 1.f : 2.f) / resize_stretch(p, k);
    return -2 * (idx)floor_int(-(reach < 1e9f ? reach : 1e9f));
}

/* The element that tap t stands for: taps/2 of them up to the coordinate's left neighbour (itself, if x is whole and
 * not the first of two), taps/2 after it. */
static inline idx resize_element(const resize_plan *p, int k, float x, idx t) {
    if (p->same[k]) return (idx)x;
    return -(idx)floor_int(-x) - p->taps[k] / 2 + t; /* ⌈x⌉ - taps/2 + t */
}

static inline float resize_weight(const resize_plan *p, int k, float x, idx element) {
    if (p->same[k]) return 1;
    if (p->exclude_outside && (element < 0 || element >= p->in[k])) return 0;
    float d = ((float)element - x) * resize_stretch(p, k);
    d = d < 0 ? -d : d;
    if (p->mode == LINEAR) return d < 1 ? 1 - d : 0;
    const float a = p->coefficient;
    if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

/* What all weights of a coordinate add up to, where that is not 1 by itself. */
static inline float resize_weight_sum(const resize_plan *p, int k, float x) {
    if (p->same[k] || !(p->antialias || p->exclude_outside)) return 1;
    float sum = 0;
    for (idx t = 0; t < p->taps[k]; t++) sum += resize_weight(p, k, x, resize_element(p, k, x, t));
    return sum;
}

/* The offset and weight of the rows that one choice of taps along the slots before the last stands for. */
static inline idx resize_row(const resize_plan *p, const idx *o, const idx *t, float *weight) {
    idx at = 0;
    *weight = 1;
    UNROLL for (int k = 0; k < LAST; k++) {
        float x;
        resize_locate(p, k, o[k], &x);
        idx element;
        if (p->mode == NEAREST) element = p->same[k] ? o[k] : resize_nearest(p, k, x);
        else {
            element = resize_element(p, k, x, t[k]);
            *weight *= resize_weight(p, k, x, element) / resize_weight_sum(p, k, x);
        }
        at += idx_clamp(element, 0, p->in[k] - 1) * p->stride[k];
    }
    return at;
}

/* Do the outputs of this row see X along all slots but the last? */
static inline bool resize_row_inside(const resize_plan *p, const idx *o) {
    bool inside = true;
    float x;
    UNROLL for (int k = 0; k < LAST; k++) inside = resize_locate(p, k, o[k], &x) && inside;
    return inside;
}

#define TEMPLATE "runtime/kernels/resize.inc"
#include "runtime/kernels/for_floats.h"
#include "runtime/kernels/for_ints_real.h"
#undef TEMPLATE
#define TEMPLATE "runtime/kernels/resize_nearest.inc"
#include "runtime/kernels/for_floats.h"
#include "runtime/kernels/for_ints_real.h"

static inline void resize_fill(resize_plan *p, const mcc_arg *x, const mcc_arg *y, const resize_dims *r) {
    UNROLL for (int k = 0; k < RANK; k++) {
        int axis = k - (RANK - x->rank);
        const bool used = axis >= 0;
        p->in[k] = used ? dim(x, axis) : 1;
        p->out[k] = used ? dim(y, axis) : 1;
        p->stride[k] = used ? stride_of(x, axis) : 0;
        p->scale[k] = used ? r->scale[axis] : 1;
        p->roi_start[k] = used ? r->roi_start[axis] : 0;
        p->roi_end[k] = used ? r->roi_end[axis] : 1;
        const bool whole = p->coordinates != TF_CROP_AND_RESIZE || (p->roi_start[k] == 0 && p->roi_end[k] == 1);
        p->same[k] = p->in[k] == p->out[k] && p->scale[k] == 1 && whole && p->coordinates != TF_HALF_PIXEL_FOR_NN;
        p->taps[k] = resize_taps(p, k);
    }
}

int ref_Resize(const mcc_arg *a, const mcc_attr *at) {
    const attrs_Resize *t = (const attrs_Resize *)at;
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    resize_dims r;
    resize_plan p = {.coordinates = t->coordinate_transformation_mode,
                     .mode = t->mode,
                     .nearest = t->nearest_mode,
                     .antialias = t->antialias != 0,
                     .exclude_outside = t->exclude_outside != 0,
                     .coefficient = (float)t->cubic_coeff_a};
    if (resize_parse(a, at, &r) != MCC_OK || !same_dims(y, r.dims)) return MCC_E_INDEX;
    if (elements(y) == 0) return MCC_OK;
    if (elements(x) == 0) return MCC_E_INDEX;
    resize_fill(&p, x, y, &r);
    if (p.mode == NEAREST) DISPATCH_REAL(x->dtype, resize_nearest, y->data, x->data, &p, t->extrapolation_value)
    DISPATCH_REAL(x->dtype, resize, y->data, x->data, &p, t->extrapolation_value)
}
