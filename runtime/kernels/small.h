/* Floats of 8 and 4 bits. A code is a sign, an exponent and a mantissa, but for e8m0, a power of two. The dtype is a
 * run-time value here that folds to a constant in a model. */
#ifndef MCC_KERNELS_SMALL_H
#define MCC_KERNELS_SMALL_H
#include "runtime/kernels/common.h"

static inline bool is_small(int32_t dtype) {
    return dtype >= MCC_F8E4M3FN && dtype <= MCC_F8E8M0 && dtype != MCC_U4 && dtype != MCC_I4;
}

typedef struct small_form {
    int32_t bits, mantissa, bias;
    uint32_t largest, infinity, nan; /* codes without their sign; infinity: what lies beyond, where nothing saturates */
    bool unsigned_zero;              /* -0 would be NaN */
} small_form;

static inline small_form small_of(int32_t dtype) {
    switch (dtype) {
    case MCC_F8E4M3FN: return (small_form){8, 3, 7, 0x7e, 0x7f, 0x7f, false};
    case MCC_F8E4M3FNUZ: return (small_form){8, 3, 8, 0x7f, 0x80, 0x80, true};
    case MCC_F8E5M2: return (small_form){8, 2, 15, 0x7b, 0x7c, 0x7e, false};
    case MCC_F8E5M2FNUZ: return (small_form){8, 2, 16, 0x7f, 0x80, 0x80, true};
    default: return (small_form){4, 1, 1, 7, 7, 8, false}; /* f4e2m1: NaN becomes -0 */
    }
}

/* 2^e for an e of normal numbers */
static inline float power_of_two(int32_t e) { return mcc_from_bits_f32((uint32_t)(e + 127) << 23); }

static inline float small_decode(int32_t dtype, uint32_t code) {
    const float nan = mcc_from_bits_f32(0x7fc00000u);
    if (dtype == MCC_F8E8M0) return code == 255 ? nan : mcc_from_bits_f32(code ? code << 23 : 0x400000u);
    const small_form s = small_of(dtype);
    const uint32_t sign = code >> (s.bits - 1), magnitude = code & ((1u << (s.bits - 1)) - 1);
    const uint32_t exponent = magnitude >> s.mantissa, fraction = magnitude & ((1u << s.mantissa) - 1);
    const float tiny = (float)(int32_t)fraction * power_of_two(1 - s.bias - s.mantissa);
    const float normal = mcc_from_bits_f32((exponent + 127u - (uint32_t)s.bias) << 23 | fraction << (23 - s.mantissa));
    float v = exponent ? normal : tiny;
    if (dtype == MCC_F8E5M2 && magnitude >= 0x7c) v = magnitude == 0x7c ? __builtin_inff() : nan;
    if ((dtype == MCC_F8E4M3FN && magnitude == 0x7f) || (s.unsigned_zero && code == 0x80)) return nan;
    return sign ? -v : v;
}

enum { ROUND_UP, ROUND_DOWN, ROUND_NEAREST }; /* Cast's round_mode, for e8m0: away from zero, towards it, ties up */

/* The sign does not count; infinity and NaN are NaN, and, if nothing saturates, what is beyond the largest power too.
 */
static inline uint32_t power_encode(float x, bool saturate, int64_t mode) {
    const uint32_t u = mcc_bits_f32(x) & 0x7fffffffu, exponent = u >> 23, fraction = u & 0x7fffffu;
    if (exponent == 255) return 255;
    /* how much of the way to the next power, in half steps, rounded up; subnormals begin at 2^-127, code 0 */
    const uint32_t way = exponent ? fraction : fraction > 0x400000u ? (fraction - 0x400000u) * 2 : 0;
    const bool up = mode == ROUND_UP ? way > 0 : mode == ROUND_NEAREST && way >= 0x400000u;
    const uint32_t code = exponent + up;
    return saturate && code == 255 ? 254 : code;
}

/* Rounds to nearest, ties to even. */
static inline uint32_t small_encode(int32_t dtype, float x, bool saturate, int64_t mode) {
    if (dtype == MCC_F8E8M0) return power_encode(x, saturate, mode);
    const small_form s = small_of(dtype);
    const uint32_t u = mcc_bits_f32(x) & 0x7fffffffu, sign = mcc_bits_f32(x) >> 31 << (s.bits - 1);
    const int32_t drop = 23 - s.mantissa;
    if (u > 0x7f800000u) return s.nan;
    const uint32_t rounded = u + ((1u << (drop - 1)) - 1) + (u >> drop & 1);
    const uint32_t normal = (rounded >> drop) - ((127u - (uint32_t)s.bias) << s.mantissa);
    const bool is_tiny = u < (uint32_t)(128 - s.bias) << 23;
    const float steps = is_tiny ? mcc_from_bits_f32(u) * power_of_two(s.bias - 1 + s.mantissa) : 0;
    const uint32_t code = is_tiny ? (uint32_t)(int32_t)mcc_rint_f32(steps) : normal;
    if (code > s.largest) return saturate || s.bits == 4 ? s.largest | sign : s.infinity | sign;
    return code == 0 && s.unsigned_zero ? 0 : code | sign;
}

/* Codes of 4 bits lie packed, low bits first; they are written in ascending order of i. */
static inline uint32_t small_get(const uint8_t *data, int32_t dtype, idx i) {
    return dtype == MCC_F4E2M1 ? (uint32_t)(data[i / 2] >> (i % 2 * 4)) & 15 : data[i];
}
static inline void small_set(uint8_t *data, int32_t dtype, idx i, uint32_t code) {
    if (dtype != MCC_F4E2M1) data[i] = (uint8_t)code;
    else data[i / 2] = (uint8_t)(i % 2 ? data[i / 2] | code << 4 : code);
}
#endif
