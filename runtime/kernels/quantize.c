/* QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, element by element as ONNX defines them:
 *
 *   y = clamp(rint(x / scale) + zero), the quotient in the precision that is asked for (f32, f16, bf16)
 *   y = (x - zero) · scale in f32, rounded once to y's dtype
 *
 * where q is a float of 8 or 4 bits, y = round(x / scale) and y = x · scale: its zero points are zero. A scale and a
 * zero point serve the whole tensor, an index of an axis, or a block of indices of it. */
#include "runtime/kernels/quantize.h"
#include "runtime/kernels/small.h"

/* The tensor as [outer, axis, inner]; element (o, a, i) has scale o·by_outer + (a / block)·by_block + i·by_inner. */
typedef struct scales {
    const mcc_arg *scale, *zero;
    idx outer, axis, inner, block, by_outer, by_block, by_inner;
} scales;

static inline scales scales_of(const mcc_arg *x, const mcc_arg *scale, const mcc_arg *zero, int64_t axis,
                               int64_t block) {
    scales s = {.scale = scale, .zero = zero, .outer = 1, .axis = 1, .inner = elements(x), .block = 1};
    const bool blocked = block > 0 && scale->rank == x->rank;
    if (scale->rank == 0 || (!blocked && dim(scale, 0) == 1)) return s;
    int at = (int)(axis < 0 ? axis + x->rank : axis);
    s.outer = dims_product(x, 0, at);
    s.inner = dims_product(x, at + 1, x->rank);
    s.by_block = 1;
    UNROLL for (int k = 0; k < RANK; k++) if (k == at) s.axis = dim(x, k);
    if (!blocked) return s;
    s.block = block < INT32_MAX ? (idx)block : INT32_MAX;
    s.by_block = s.inner;
    s.by_inner = 1;
    UNROLL for (int k = 0; k < RANK; k++) if (k == at) s.by_outer = dim(scale, k) * s.inner;
    return s;
}

/* Calls RUN(first element, count, first scale, step of the scale) for runs along the inner axes. */
#define FOR_RUNS(s, RUN)                                                                                               \
    do {                                                                                                               \
        idx at_ = 0;                                                                                                   \
        for (idx o_ = 0; o_ < (s).outer; o_++) {                                                                       \
            for (idx a_ = 0; a_ < (s).axis; a_++, at_ += (s).inner) {                                                  \
                const idx from_ = o_ * (s).by_outer + a_ / (s).block * (s).by_block;                                   \
                RUN(at_, (s).inner, from_, (s).by_inner);                                                              \
            }                                                                                                          \
        }                                                                                                              \
    } while (0)

/* v as the dtype holds it */
static inline float narrow(float v, int32_t dtype) {
    return dtype == MCC_F16    ? mcc_f16_to_f32(mcc_f32_to_f16(v))
           : dtype == MCC_BF16 ? mcc_bf16_to_f32(mcc_f32_to_bf16(v))
                               : v;
}

static inline float number_get(const mcc_arg *x, idx i) {
    return x->dtype == MCC_I32 ? (float)((const int32_t *)x->data)[i] : (float)real_get(x, i);
}

int ref_QuantizeLinear(const mcc_arg *a, const mcc_attr *at) {
    const attrs_QuantizeLinear *p = (const attrs_QuantizeLinear *)at;
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    const scales s = scales_of(x, &a[1], input(a, at, 2), p->axis, p->block_size);
    const int32_t precision = p->precision ? (int32_t)p->precision : a[1].dtype;
#define RUN(at, n, from, step)                                                                                         \
    for (idx i = 0; i < (n); i++) {                                                                                    \
        const idx k = (from) + i * (step);                                                                             \
        const float v = narrow(number_get(x, (at) + i), precision), by = narrow(scale_get(s.scale, k), precision);     \
        if (is_small(y->dtype))                                                                                        \
            small_set(y->data, y->dtype, (at) + i,                                                                     \
                      small_encode(y->dtype, narrow(v / by, precision), p->saturate != 0, ROUND_UP));                  \
        else                                                                                                           \
            quant_set(y->data, y->dtype, (at) + i,                                                                     \
                      quant_round(narrow(v / by, precision), quant_zero(s.zero, k), y->dtype));                        \
    }
    FOR_RUNS(s, RUN);
#undef RUN
    return MCC_OK;
}

/* Differences of 8 and 16 bits fit an int32. */
static inline float difference(const mcc_arg *x, idx i, int32_t zero) {
    if (is_small(x->dtype)) return small_decode(x->dtype, small_get(x->data, x->dtype, i));
    const int32_t q = quant_get(x->data, x->dtype, i);
    return x->dtype == MCC_I32 ? mcc_i64_to_f32((int64_t)q - zero) : (float)(q - zero);
}

int ref_DequantizeLinear(const mcc_arg *a, const mcc_attr *at) {
    const attrs_DequantizeLinear *p = (const attrs_DequantizeLinear *)at;
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    const scales s = scales_of(x, &a[1], input(a, at, 2), p->axis, p->block_size);
#define RUN(at, n, from, step)                                                                                         \
    for (idx i = 0; i < (n); i++) {                                                                                    \
        const idx k = (from) + i * (step);                                                                             \
        const float v =                                                                                                \
            difference(x, (at) + i, is_small(x->dtype) ? 0 : quant_zero(s.zero, k)) * scale_get(s.scale, k);           \
        real_set(y, (at) + i, (double)v);                                                                              \
    }
    FOR_RUNS(s, RUN);
#undef RUN
    return MCC_OK;
}

#define ROW(S, T, D)                                                                                                   \
    T mcc_quantize_f32_##S(float x, float scale, T zero, const mcc_attr *at) {                                         \
        (void)at;                                                                                                      \
        return (T)quant_round(x / scale, zero, D);                                                                     \
    }                                                                                                                  \
    T mcc_quantize_i32_##S(int32_t x, float scale, T zero, const mcc_attr *at) {                                       \
        return mcc_quantize_f32_##S((float)x, scale, zero, at);                                                        \
    }                                                                                                                  \
    float mcc_dequantize_##S##_f32(T x, float scale, T zero, const mcc_attr *at) {                                     \
        (void)at;                                                                                                      \
        return (float)((int32_t)x - (int32_t)zero) * scale;                                                            \
    }
QUANT_EACH(ROW)
#undef ROW

float mcc_dequantize_i32_f32(int32_t x, float scale, int32_t zero, const mcc_attr *at) {
    (void)at;
    return mcc_i64_to_f32((int64_t)x - zero) * scale;
}

/* scale = (max(x, 0) - min(x, 0)) / 255, 1 where that range is empty; zero = clamp(rint(-min / scale)). NaN is in no
 * range. The parts are functions for GPUs. */
uint8_t mcc_dynamic_scale(float lo, float hi, float *scale) {
    *scale = hi == lo ? 1.0f : (hi - lo) / 255.0f;
    return (uint8_t)quant_round((0.0f - lo) / *scale, 0, MCC_U8);
}

uint8_t mcc_dynamic_quantize(float x, float scale, uint8_t zero) {
    return (uint8_t)quant_round(x / scale, zero, MCC_U8);
}

int ref_DynamicQuantizeLinear(const mcc_arg *a, const mcc_attr *at) {
    (void)at;
    const float *x = a[0].data;
    uint8_t *y = a[1].data, *zero = a[3].data;
    float *by = a[2].data;
    const idx n = elements(&a[0]);
    float lo = 0, hi = 0;
    for (idx i = 0; i < n; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }
    float scale;
    const uint8_t z = mcc_dynamic_scale(lo, hi, &scale);
    if (by) by[0] = scale;
    if (zero) zero[0] = z;
    for (idx i = 0; y && i < n; i++) y[i] = mcc_dynamic_quantize(x[i], scale, z);
    return MCC_OK;
}
