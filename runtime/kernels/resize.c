/* Resize: Y[o] = X interpolated at a coordinate along each axis, which coordinate_transformation_mode finds from o and
 * the axis's scale. Scales come as such (output dim = ⌊dim · scale⌋) or as sizes (scale = size / dim).
 *
 * nearest picks one element; linear and cubic weigh the `taps` elements around the coordinate, antialias stretches that
 * footprint by 1 / scale. Elements beyond the edge repeat it, or with exclude_outside count for nothing. A coordinate
 * outside of X under tf_crop_and_resize gives extrapolation_value. Coordinates and weights are f32, the
 * formulas those of the standard's text, where length_resized is dim · scale, whole or not. */
#include "runtime/kernels/resize.h"
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

/* An axis of X; slots before the rank of X are one long. They live in memory and are walked by loops that stay loops:
 * all that Resize can do, unrolled over the axes, would be very long code. */
typedef struct resize_slot {
    idx in, stride, taps; /* taps: how many elements are weighed */
    int64_t out;
    int position; /* of its values in roi, scales and sizes; -1 if it is not named */
    float scale, roi_start, roi_end;
    bool same; /* it is not resized */
} resize_slot;

/* ---- scales and dims ---- */

static inline bool given(const mcc_arg *list) { return list && list->dims[0] > 0; }

/* Makes the slots of X as if nothing were resized, and notes which axes are named where; false if they cannot be. */
static bool resize_start(const mcc_arg *x, const mcc_ints *axes, resize_slot *s) {
    UNROLL for (int k = 0; k < RANK; k++) {
        const int axis = k - (RANK - x->rank);
        const idx in = axis >= 0 ? dim(x, axis) : 1, stride = axis >= 0 ? stride_of(x, axis) : 0;
        const int position = axis < 0 || axes->n ? -1 : axis;
        s[k] = (resize_slot){in, stride, 1, in, position, 1, 0, 1, false};
    }
    ROLLED for (int i = 0; i < axes->n; i++) {
        int64_t axis = axes->v[i];
        if (!index_wrap(&axis, x->rank) || s[RANK - x->rank + axis].position >= 0) return false;
        s[RANK - x->rank + axis].position = i;
    }
    return true;
}

/* The scale and the output dim of a slot; false if there is no such dim. */
static bool resize_size(resize_slot *s, const mcc_arg *scales, const mcc_arg *sizes) {
    if (given(scales)) {
        s->scale = (float)real_get(scales, s->position);
        const float size = mcc_i64_to_f32(s->in) * s->scale;
        s->out = mcc_f32_to_i64(size);
        return s->scale > 0 && size < 9.2e18f;
    }
    s->out = read_int(sizes, s->position);
    if (s->in > 0) s->scale = mcc_i64_to_f32(s->out) / mcc_i64_to_f32(s->in);
    return s->out >= 0 && (s->in > 0 || s->out == 0);
}

/* Under a policy that keeps the aspect ratio all named axes get one scale, and sizes that round. */
static bool resize_keep_ratio(resize_slot *s, int64_t policy) {
    double scale = 0;
    bool first = true;
    ROLLED for (int k = 0; k < RANK; k++) if (s[k].position >= 0 && s[k].in > 0) {
        const double own = mcc_i64_to_f64(s[k].out) / mcc_i64_to_f64(s[k].in);
        if (first || (policy == NOT_LARGER ? own < scale : own > scale)) scale = own;
        first = false;
    }
    ROLLED for (int k = 0; k < RANK; k++) if (s[k].position >= 0 && s[k].in > 0) {
        const double size = scale * mcc_i64_to_f64(s[k].in) + 0.5;
        if (!(size < 9.2e18)) return false;
        s[k].out = mcc_f64_to_i64(size);
        s[k].scale = (float)scale;
    }
    return true;
}

/* Fills the slots and the dims of Y. */
static int resize_parse(const mcc_arg *a, const mcc_attr *at, resize_slot *s, int64_t *dims) {
    const attrs_Resize *t = (const attrs_Resize *)at;
    const mcc_arg *x = &a[0], *roi = input(a, at, 1), *scales = input(a, at, 2), *sizes = input(a, at, 3);
    const mcc_arg *values = given(scales) ? scales : sizes;
    const int64_t n = t->axes.n ? t->axes.n : x->rank;
    if (n && (!given(values) || values->dims[0] != n)) return MCC_E_INDEX;
    if (!resize_start(x, &t->axes, s)) return MCC_E_INDEX;
    ROLLED for (int k = 0; k < RANK; k++) if (s[k].position >= 0) {
        if (!resize_size(&s[k], scales, sizes)) return MCC_E_INDEX;
        if (!given(roi) || roi->dims[0] != 2 * n) continue;
        s[k].roi_start = (float)real_get(roi, s[k].position);
        s[k].roi_end = (float)real_get(roi, (idx)n + s[k].position);
    }
    if (values == sizes && t->keep_aspect_ratio_policy != STRETCH && !resize_keep_ratio(s, t->keep_aspect_ratio_policy))
        return MCC_E_INDEX;
    UNROLL for (int k = 0; k < RANK; k++) if (k < x->rank) dims[k] = s[RANK - x->rank + k].out;
    return dims_valid(dims, x->rank) ? MCC_OK : MCC_E_INDEX;
}

int shape_Resize(mcc_arg *a, const mcc_attr *at) {
    resize_slot slots[RANK];
    int64_t dims[RANK];
    int status = resize_parse(a, at, slots, dims);
    if (status == MCC_OK) write_dims(&a[at->args.n_in], dims);
    return status;
}

/* ---- coordinates and weights of a slot ---- */

static inline int32_t floor_int(float x) { /* |x| < 2^31 */
    const int32_t i = (int32_t)x;
    return i - (x < (float)i);
}

/* Where output o lies in X. Only tf_crop_and_resize may lie outside of [-1, in]. */
static inline float resize_coordinate(const attrs_Resize *t, const resize_slot *s, idx o) {
    const float x = (float)o, in = (float)s->in, length = in * s->scale;
    switch (t->coordinate_transformation_mode) {
    case ALIGN_CORNERS: return length == 1 ? 0 : x * (in - 1) / (length - 1);
    case ASYMMETRIC: return x / s->scale;
    case TF_HALF_PIXEL_FOR_NN: return (x + 0.5f) / s->scale;
    case PYTORCH_HALF_PIXEL: return length > 1 ? (x + 0.5f) / s->scale - 0.5f : 0;
    case HALF_PIXEL_SYMMETRIC: return in / 2 * (1 - (float)(idx)s->out / length) + (x + 0.5f) / s->scale - 0.5f;
    case TF_CROP_AND_RESIZE:
        if (length == 1) return (s->roi_start + s->roi_end) * (in - 1) * 0.5f;
        return s->roi_start * (in - 1) + x * (s->roi_end - s->roi_start) * (in - 1) / (length - 1);
    default: return (x + 0.5f) / s->scale - 0.5f;
    }
}

/* Does output o see X? If so *at is its coordinate. */
static inline bool resize_locate(const attrs_Resize *t, const resize_slot *s, idx o, float *at) {
    const float last = (float)(s->in - 1), x = s->same ? (float)o : resize_coordinate(t, s, o);
    *at = x >= -1 ? (x <= last + 1 ? x : last + 1) : -1; /* rounding may err by a little; a NaN is not inside */
    return s->same || t->coordinate_transformation_mode != TF_CROP_AND_RESIZE || (x >= 0 && x <= last);
}

static inline idx resize_nearest_element(const attrs_Resize *t, const resize_slot *s, idx o, float x) {
    const int32_t below = floor_int(x);
    const float ratio = x - (float)below;
    int32_t up;
    if (s->same) return o;
    switch (t->nearest_mode) {
    case ROUND_PREFER_CEIL: up = ratio >= 0.5f; break;
    case FLOOR: up = 0; break;
    case CEIL: up = ratio > 0; break;
    default: up = ratio > 0.5f;
    }
    return idx_clamp(below + up, 0, s->in - 1);
}

/* How far the kernel of weights is stretched, and the taps that it then covers. */
static inline float resize_stretch(const attrs_Resize *t, const resize_slot *s) {
    return t->antialias && s->scale < 1 ? s->scale : 1;
}
static inline idx resize_taps(const attrs_Resize *t, const resize_slot *s) {
    if (s->same || t->mode == NEAREST) return 1;
    const float reach = (t->mode == LINEAR ? 1.f : 2.f) / resize_stretch(t, s);
    return -2 * (idx)floor_int(-(reach < 1e9f ? reach : 1e9f));
}

/* The element that a tap stands for: half of them up to the coordinate's left neighbour, half from the right one on; a
 * whole coordinate is its own right neighbour. */
static inline idx resize_element(const resize_slot *s, idx o, float x, idx tap) {
    return s->same ? o : tap - s->taps / 2 - floor_int(-x);
}

static inline float resize_weight(const attrs_Resize *t, const resize_slot *s, float x, idx element) {
    if (s->same) return 1;
    if (t->exclude_outside && (element < 0 || element >= s->in)) return 0;
    float d = ((float)element - x) * resize_stretch(t, s);
    d = d < 0 ? -d : d;
    if (t->mode == LINEAR) return d < 1 ? 1 - d : 0;
    const float a = (float)t->cubic_coeff_a;
    if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

/* What all weights of output o add up to, where that is not 1 by itself. */
static inline float resize_weight_sum(const attrs_Resize *t, const resize_slot *s, idx o, float x) {
    if (s->same || !(t->antialias || t->exclude_outside)) return 1;
    float sum = 0;
    for (idx tap = 0; tap < s->taps; tap++) sum += resize_weight(t, s, x, resize_element(s, o, x, tap));
    return sum;
}

int mcc_resize_axis(const mcc_attr *at, int64_t in, int64_t out, float scale, int32_t *places, float *weights, int most) {
    const attrs_Resize *t = (const attrs_Resize *)at;
    resize_slot s = {(idx)in, 1, 1, out, 0, scale, 0, 1, in == out && scale == 1};
    const idx taps = s.taps = resize_taps(t, &s);
    if (taps > most) return 0;
    for (idx o = 0; o < (idx)out; o++) {
        float x;
        resize_locate(t, &s, o, &x);
        const float sum = resize_weight_sum(t, &s, o, x);
        for (idx tap = 0; tap < taps; tap++) {
            const idx element = resize_element(&s, o, x, tap);
            places[o * taps + tap] = (int32_t)idx_clamp(element, 0, s.in - 1);
            weights[o * taps + tap] = resize_weight(t, &s, x, element) / sum;
        }
    }
    return (int)taps;
}

/* ---- rows: all slots but the last ---- */

/* The next index in row-major order: of outputs, or of taps. */
static inline void resize_advance(const resize_slot *s, idx *i, bool taps) {
    ROLLED for (int k = LAST - 1; k >= 0; k--) {
        if (++i[k] < (taps ? s[k].taps : (idx)s[k].out)) return;
        i[k] = 0;
    }
}
static inline idx resize_rows(const resize_slot *s, bool taps) {
    idx n = 1;
    ROLLED for (int k = 0; k < LAST; k++) n *= taps ? s[k].taps : (idx)s[k].out;
    return n;
}

/* The offset and the weight of the row of X that one choice of taps stands for; *inside: do the outputs see X? */
static inline idx resize_row(const attrs_Resize *t, const resize_slot *s, const idx *o, const idx *taps, float *weight,
                             bool *inside) {
    idx at = 0;
    *weight = 1;
    *inside = true;
    ROLLED for (int k = 0; k < LAST; k++) {
        float x;
        idx element;
        if (s[k].same) {
            at += o[k] * s[k].stride;
            continue;
        }
        *inside = resize_locate(t, &s[k], o[k], &x) && *inside;
        if (t->mode == NEAREST) element = resize_nearest_element(t, &s[k], o[k], x);
        else {
            element = resize_element(&s[k], o[k], x, taps[k]);
            *weight *= resize_weight(t, &s[k], x, element) / resize_weight_sum(t, &s[k], o[k], x);
        }
        at += idx_clamp(element, 0, s[k].in - 1) * s[k].stride;
    }
    return at;
}

#define TEMPLATE "runtime/kernels/resize.inc"
#include "runtime/kernels/for_floats.h"
#include "runtime/kernels/for_ints_real.h"
#undef TEMPLATE
#define TEMPLATE "runtime/kernels/resize_nearest.inc"
#include "runtime/kernels/for_sizes.h"
#undef TEMPLATE

/* The bits of extrapolation_value as an element. */
static inline uint64_t element_bits(int32_t dtype, double v) {
    switch (dtype) {
    case MCC_F32: return mcc_bits_f32((float)v);
    case MCC_F64: return mcc_bits_f64(v);
    case MCC_F16: return mcc_f32_to_f16((float)v);
    case MCC_BF16: return mcc_f32_to_bf16((float)v);
    case MCC_I8: return (uint64_t)mcc_f64_to_i8(v);
    case MCC_I16: return (uint64_t)mcc_f64_to_i16(v);
    case MCC_I32: return (uint64_t)mcc_f64_to_i32(v);
    case MCC_I64: return (uint64_t)mcc_f64_to_i64(v);
    case MCC_U8: return mcc_f64_to_u8(v);
    case MCC_U16: return mcc_f64_to_u16(v);
    case MCC_U32: return mcc_f64_to_u32(v);
    default: return mcc_f64_to_u64(v);
    }
}

int ref_Resize(const mcc_arg *a, const mcc_attr *at) {
    const attrs_Resize *t = (const attrs_Resize *)at;
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    resize_slot s[RANK];
    int64_t dims[RANK];
    if (resize_parse(a, at, s, dims) != MCC_OK || !same_dims(y, dims)) return MCC_E_INDEX;
    if (elements(y) == 0) return MCC_OK;
    if (elements(x) == 0) return MCC_E_INDEX;
    const bool crops = t->coordinate_transformation_mode == TF_CROP_AND_RESIZE;
    const bool shifts = t->coordinate_transformation_mode == TF_HALF_PIXEL_FOR_NN;
    ROLLED for (int k = 0; k < RANK; k++) {
        const bool whole = !crops || (s[k].roi_start == 0 && s[k].roi_end == 1);
        s[k].same = s[k].in == s[k].out && s[k].scale == 1 && whole && (!shifts || s[k].position < 0);
        s[k].taps = resize_taps(t, &s[k]);
    }
    if (t->mode == NEAREST)
        DISPATCH_SIZES(x->dtype, resize_nearest, y->data, x->data, t, s, element_bits(x->dtype, t->extrapolation_value))
    DISPATCH_REAL(x->dtype, resize, y->data, x->data, t, s)
}

/* ---- an element of the output alone (runtime/kernels/at.h) ---- */

typedef struct resize_place { /* its slots, and where it is along each */
    resize_slot s[RANK];
    idx o[RANK];
} resize_place;

static inline bool resize_find(const mcc_arg *a, const mcc_attr *at, int64_t e, resize_place *p) {
    const attrs_Resize *t = (const attrs_Resize *)at;
    int64_t dims[RANK];
    if (resize_parse(a, at, p->s, dims) != MCC_OK || !same_dims(output(a, at, 0), dims)) return false;
    const bool crops = t->coordinate_transformation_mode == TF_CROP_AND_RESIZE;
    const bool shifts = t->coordinate_transformation_mode == TF_HALF_PIXEL_FOR_NN;
    uint64_t rest = (uint64_t)e;
    UNROLL for (int k = LAST; k >= 0; k--) {
        resize_slot *s = &p->s[k];
        const bool whole = !crops || (s->roi_start == 0 && s->roi_end == 1);
        s->same = s->in == s->out && s->scale == 1 && whole && (!shifts || s->position < 0);
        s->taps = resize_taps(t, s);
        p->o[k] = s->out > 1 ? (idx)(rest % (uint64_t)s->out) : 0;
        rest = s->out > 1 ? rest / (uint64_t)s->out : rest;
    }
    return elements(&a[0]) > 0;
}

#define TEMPLATE "runtime/kernels/at_resize.inc"
#include "runtime/kernels/for_floats.h"
#include "runtime/kernels/for_ints_real.h"
#undef TEMPLATE
