/* Quantized numbers: q stands for (q - zero point) · scale. Which integers they are is a run-time dtype here that folds
 * to a constant in a model. Everything is total: NaN quantizes as 0, what is out of range saturates. */
#ifndef MCC_KERNELS_QUANTIZE_H
#define MCC_KERNELS_QUANTIZE_H
#include "runtime/kernels/real.h"

/* integers of less than 8 bits lie packed, low bits first */
static inline int32_t quant_bits(int32_t dtype) {
    return dtype == MCC_U4 || dtype == MCC_I4 ? 4 : dtype == MCC_U2 || dtype == MCC_I2 ? 2 : 8;
}
static inline bool quant_is_signed(int32_t dtype) {
    return dtype == MCC_I8 || dtype == MCC_I16 || dtype == MCC_I4 || dtype == MCC_I2;
}

static inline int32_t packed_get(const uint8_t *data, int32_t dtype, idx i) {
    const int32_t bits = quant_bits(dtype), each = 8 / bits, high = 1 << (bits - 1);
    const int32_t code = data[i / each] >> (i % each * bits) & (2 * high - 1);
    return quant_is_signed(dtype) ? (code ^ high) - high : code;
}

/* In ascending order of i: the first element of a byte clears the others. */
static inline void packed_set(uint8_t *data, int32_t dtype, idx i, int32_t q) {
    const int32_t bits = quant_bits(dtype), each = 8 / bits, shift = (int32_t)(i % each) * bits;
    const int32_t code = (q & ((1 << bits) - 1)) << shift;
    data[i / each] = (uint8_t)(shift ? data[i / each] | code : code);
}

static inline int32_t quant_get(const void *data, int32_t dtype, idx i) {
    switch (dtype) {
    case MCC_U4: case MCC_I4: case MCC_U2: case MCC_I2: return packed_get((const uint8_t *)data, dtype, i);
    case MCC_I8: return ((const int8_t *)data)[i];
    case MCC_U16: return ((const uint16_t *)data)[i];
    case MCC_I16: return ((const int16_t *)data)[i];
    case MCC_I32: return ((const int32_t *)data)[i];
    default: return ((const uint8_t *)data)[i];
    }
}

/* Element i of zero points that may be absent, which are 0. */
static inline int32_t quant_zero(const mcc_arg *zero, idx i) {
    return zero ? quant_get(zero->data, zero->dtype, i) : 0;
}

static inline int32_t quant_lowest(int32_t dtype) {
    if (quant_bits(dtype) < 8) return quant_is_signed(dtype) ? -(1 << (quant_bits(dtype) - 1)) : 0;
    return dtype == MCC_I8 ? INT8_MIN : dtype == MCC_I16 ? INT16_MIN : 0;
}
static inline int32_t quant_highest(int32_t dtype) {
    if (quant_bits(dtype) < 8) return (1 << (quant_bits(dtype) - quant_is_signed(dtype))) - 1;
    return dtype == MCC_I8 ? INT8_MAX : dtype == MCC_I16 ? INT16_MAX : dtype == MCC_U16 ? UINT16_MAX : UINT8_MAX;
}

/* clamp(v rounded to even + zero), for a zero point of at most 16 bits: the bounds less it are exact in f32 */
static inline int32_t quant_round(float v, int32_t zero, int32_t dtype) {
    const float lo = (float)(quant_lowest(dtype) - zero), hi = (float)(quant_highest(dtype) - zero);
    float r = mcc_rint_f32(v);
    r = r != r ? 0 : r < lo ? lo : r > hi ? hi : r;
    return (int32_t)r + zero;
}

static inline void quant_set(void *data, int32_t dtype, idx i, int32_t q) {
    if (quant_bits(dtype) < 8) packed_set((uint8_t *)data, dtype, i, q);
    else if (dtype == MCC_U16 || dtype == MCC_I16) ((uint16_t *)data)[i] = (uint16_t)q;
    else ((uint8_t *)data)[i] = (uint8_t)q;
}

/* a · b + sum, which wraps */
static inline int32_t quant_mul_add(int32_t sum, int32_t a, int32_t b) {
    return (int32_t)((uint32_t)sum + (uint32_t)a * (uint32_t)b);
}

/* One element, for generated code: every dtype that Q makes and DQ takes, in f32. at is not read. */
#define QUANT_EACH(M)                                                                                                  \
    M(u8, uint8_t, MCC_U8)                                                                                             \
    M(i8, int8_t, MCC_I8)                                                                                              \
    M(u16, uint16_t, MCC_U16)                                                                                          \
    M(i16, int16_t, MCC_I16)
#define QUANT_ROW(S, T, D)                                                                                             \
    T mcc_quantize_f32_##S(float x, float scale, T zero, const mcc_attr *at);                                          \
    T mcc_quantize_i32_##S(int32_t x, float scale, T zero, const mcc_attr *at);                                        \
    float mcc_dequantize_##S##_f32(T x, float scale, T zero, const mcc_attr *at);
QUANT_EACH(QUANT_ROW)
#undef QUANT_ROW
float mcc_dequantize_i32_f32(int32_t x, float scale, int32_t zero, const mcc_attr *at);

static inline float scale_get(const mcc_arg *scale, idx i) { return (float)real_get(scale, i); }

static inline float scale_ratio(float x, float w, float y) {
    const float product = x * w;
    return product / y;
}
#endif
