/* Conversions between number types, total and the same on every target: to a narrower float rounds to nearest, ties to
 * even, overflows to infinity and keeps NaN; float to integer truncates, saturates, and takes NaN to 0; integer to
 * integer wraps. No library call on any target: what a 32-bit core has no instruction for is integer code here.
 *
 * A value travels between types in a carrier: f32 (also for f16, bf16, whose values are bit patterns in uint16_t), f64,
 * i32 (i8, i16), u32 (u8, u16, bool), i64 or u64. mcc_<carrier>_to_<dtype>(v) makes any dtype of it. */
#ifndef MCC_CONVERT_H
#define MCC_CONVERT_H
#include "runtime/builtins/bits.h"

/* ---- f16 and bf16 to and from f32 ---- */

static inline float mcc_f16_to_f32(uint16_t h) {
    uint32_t bits = (uint32_t)(h & 0x7fff) << 13, u = bits + (112u << 23); /* the exponent's bias: 15 → 127 */
    /* a subnormal is 2^-14 · 0.m: as 2^-14 · 1.m, less 2^-14 */
    float tiny = mcc_from_bits_f32(u + (1u << 23)) - mcc_from_bits_f32(113u << 23);
    u = bits < (1u << 23) ? mcc_bits_f32(tiny) : u;
    u = bits >= (31u << 23) ? u + (112u << 23) : u; /* infinity, NaN */
    return mcc_from_bits_f32(u | (uint32_t)(h & 0x8000) << 16);
}

static inline uint16_t mcc_f32_to_f16(float x) {
    uint32_t b = mcc_bits_f32(x), u = b & 0x7fffffffu;
    uint32_t normal = (u - (112u << 23) + 0xfffu + ((u >> 13) & 1)) >> 13;
    uint32_t tiny = mcc_bits_f32(mcc_from_bits_f32(u) + 0.5f) - (126u << 23); /* the addition rounds at 2^-24 */
    uint32_t quiet = 0x7e00u | ((u >> 13) & 0x3ffu);
    uint32_t h = u < (113u << 23) ? tiny : normal;
    h = u >= (143u << 23) ? 0x7c00u : h;
    h = u > 0x7f800000u ? quiet : h;
    return (uint16_t)(h | (b >> 16 & 0x8000u));
}

static inline float mcc_bf16_to_f32(uint16_t h) { return mcc_from_bits_f32((uint32_t)h << 16); }

static inline uint16_t mcc_f32_to_bf16(float x) {
    uint32_t u = mcc_bits_f32(x), rounded = (u + 0x7fffu + ((u >> 16) & 1)) >> 16, quiet = u >> 16 | 0x40u;
    return (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

/* f64 to f32 rounded to odd: what a further rounding to f16 or bf16 needs to be correct. */
static inline float mcc_f64_to_f32_odd(double x) {
    float f = (float)x;
    uint32_t away = mcc_abs_f64((double)f) > mcc_abs_f64(x), inexact = (double)f != x;
    return mcc_from_bits_f32((mcc_bits_f32(f) - away) | inexact);
}

/* ---- 64-bit integers to float ---- */

#if UINTPTR_MAX > 0xffffffffu
static inline float mcc_u64_to_f32(uint64_t v) { return (float)v; }
static inline float mcc_i64_to_f32(int64_t v) { return (float)v; }
static inline double mcc_u64_to_f64(uint64_t v) { return (double)v; }
static inline double mcc_i64_to_f64(int64_t v) { return (double)v; }
#else
/* the top 32 bits, what is below them as a sticky last bit, and a power of two */
static inline float mcc_u64_to_f32(uint64_t v) {
    uint32_t hi = (uint32_t)(v >> 32), lo = (uint32_t)v;
    int shift = hi ? 32 - __builtin_clz(hi | 1u) : 0; /* | 1: defined for 0 too, which is not chosen */
    uint32_t top = shift ? (uint32_t)(v >> shift) | ((lo << (32 - shift)) != 0) : lo;
    return (float)top * mcc_from_bits_f32((uint32_t)(127 + shift) << 23);
}
static inline float mcc_i64_to_f32(int64_t v) {
    float f = mcc_u64_to_f32(v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
    return v < 0 ? -f : f;
}
/* both products and both terms are exact: one rounding, at the sum */
static inline double mcc_u64_to_f64(uint64_t v) {
    return (double)(uint32_t)(v >> 32) * 4294967296.0 + (double)(uint32_t)v;
}
static inline double mcc_i64_to_f64(int64_t v) {
    return (double)(int32_t)(v >> 32) * 4294967296.0 + (double)(uint32_t)v;
}
#endif

/* 64 bits to 64 with all below bit 11 in one sticky bit, where it has more than 53: rounding to f64 is then exact. */
static inline uint64_t mcc_u64_odd(uint64_t v) {
    uint64_t odd = (v & ~UINT64_C(0x7ff)) | ((v & 0x7ff) ? 0x800 : 0);
    return v >> 53 ? odd : v;
}

/* ---- float to integer, saturating, NaN → 0 ---- */

#define SATURATE_TO_I32(S, REAL, LAST) /* LAST: the largest REAL below 2^31 */                                         \
    static inline int32_t mcc_##S##_to_i32(REAL x) {                                                                   \
        REAL c = x > (LAST) ? (LAST) : x >= (REAL)INT32_MIN ? x : (REAL)INT32_MIN;                                     \
        int32_t v = x >= (REAL)2147483648.0 ? INT32_MAX : (int32_t)c;                                                  \
        return x != x ? 0 : v;                                                                                         \
    }
#define SATURATE_TO_U32(S, REAL, LAST)                                                                                 \
    static inline uint32_t mcc_##S##_to_u32(REAL x) {                                                                  \
        REAL c = x > (LAST) ? (LAST) : x > 0 ? x : 0; /* NaN → 0 */                                                    \
        return x >= (REAL)4294967296.0 ? UINT32_MAX : (uint32_t)c;                                                     \
    }
#define SATURATE_TO_NARROW(S, REAL, D, INT, LO, HI, CARRIER)                                                           \
    static inline INT mcc_##S##_to_##D(REAL x) {                                                                       \
        REAL c = x > (REAL)(HI) ? (REAL)(HI) : x > (REAL)(LO) ? x : (REAL)(LO);                                        \
        return (INT)(CARRIER)(x != x ? 0 : c);                                                                         \
    }
#define SATURATE_ALL(S, REAL)                                                                                          \
    SATURATE_TO_NARROW(S, REAL, i8, int8_t, INT8_MIN, INT8_MAX, int32_t)                                               \
    SATURATE_TO_NARROW(S, REAL, i16, int16_t, INT16_MIN, INT16_MAX, int32_t)                                           \
    SATURATE_TO_NARROW(S, REAL, u8, uint8_t, 0, UINT8_MAX, int32_t)                                                    \
    SATURATE_TO_NARROW(S, REAL, u16, uint16_t, 0, UINT16_MAX, int32_t)                                                 \
    static inline uint8_t mcc_##S##_to_bool(REAL x) { return x != 0; }
SATURATE_TO_I32(f32, float, 2147483520.f)
SATURATE_TO_I32(f64, double, 2147483647.0)
SATURATE_TO_U32(f32, float, 4294967040.f)
SATURATE_TO_U32(f64, double, 4294967295.0)
SATURATE_ALL(f32, float)
SATURATE_ALL(f64, double)
#undef SATURATE_TO_I32
#undef SATURATE_TO_U32
#undef SATURATE_TO_NARROW
#undef SATURATE_ALL

/* |x| as an integer, truncated; for |x| < 2^64, else any value */
#if UINTPTR_MAX > 0xffffffffu
#define TRUNCATE(S, REAL, MANTISSA, BIAS)                                                                              \
    static inline uint64_t mcc_truncate_##S(REAL x) {                                                                  \
        REAL a = mcc_abs_##S(x);                                                                                       \
        return a < (REAL)18446744073709551616.0 ? (uint64_t)a : 0;                                                     \
    }
#else
#define TRUNCATE(S, REAL, MANTISSA, BIAS)                                                                              \
    static inline uint64_t mcc_truncate_##S(REAL x) {                                                                  \
        int e = (int)(mcc_bits_##S(mcc_abs_##S(x)) >> (MANTISSA)) - (BIAS);                                            \
        uint64_t m = mcc_bits_##S(x) & ((UINT64_C(1) << (MANTISSA)) - 1);                                              \
        m |= UINT64_C(1) << (MANTISSA);                                                                                \
        uint64_t small = m >> (((MANTISSA) - e) & 63), large = m << ((e - (MANTISSA)) & 63);                           \
        return e < 0 ? 0 : e < (MANTISSA) ? small : large;                                                             \
    }
#endif
TRUNCATE(f32, float, 23, 127)
TRUNCATE(f64, double, 52, 1023)
#undef TRUNCATE

#define SATURATE_TO_64(S, REAL)                                                                                        \
    static inline uint64_t mcc_##S##_to_u64(REAL x) {                                                                  \
        uint64_t v = x >= (REAL)18446744073709551616.0 ? UINT64_MAX : mcc_truncate_##S(x);                             \
        return x > 0 ? v : 0;                                                                                          \
    }                                                                                                                  \
    static inline int64_t mcc_##S##_to_i64(REAL x) {                                                                   \
        uint64_t v = mcc_truncate_##S(x);                                                                              \
        v = x < 0 ? 0 - v : v;                                                                                         \
        v = x >= (REAL)9223372036854775808.0 ? (uint64_t)INT64_MAX : v;                                                \
        v = x < (REAL) - 9223372036854775808.0 ? (uint64_t)INT64_MIN : v;                                              \
        return (int64_t)(x != x ? 0 : v);                                                                              \
    }
SATURATE_TO_64(f32, float)
SATURATE_TO_64(f64, double)
#undef SATURATE_TO_64

/* ---- carrier to dtype: the rest of the table ---- */

static inline float mcc_f32_to_f32(float x) { return x; }
static inline double mcc_f32_to_f64(float x) { return (double)x; }
static inline float mcc_f64_to_f32(double x) { return (float)x; }
static inline double mcc_f64_to_f64(double x) { return x; }
static inline uint16_t mcc_f64_to_f16(double x) { return mcc_f32_to_f16(mcc_f64_to_f32_odd(x)); }
static inline uint16_t mcc_f64_to_bf16(double x) { return mcc_f32_to_bf16(mcc_f64_to_f32_odd(x)); }

#define INTEGER_TO_INTEGER(S, INT)                                                                                     \
    static inline int8_t mcc_##S##_to_i8(INT v) { return (int8_t)v; }                                                  \
    static inline int16_t mcc_##S##_to_i16(INT v) { return (int16_t)v; }                                               \
    static inline int32_t mcc_##S##_to_i32(INT v) { return (int32_t)v; }                                               \
    static inline int64_t mcc_##S##_to_i64(INT v) { return (int64_t)v; }                                               \
    static inline uint8_t mcc_##S##_to_u8(INT v) { return (uint8_t)v; }                                                \
    static inline uint16_t mcc_##S##_to_u16(INT v) { return (uint16_t)v; }                                             \
    static inline uint32_t mcc_##S##_to_u32(INT v) { return (uint32_t)v; }                                             \
    static inline uint64_t mcc_##S##_to_u64(INT v) { return (uint64_t)v; }                                             \
    static inline uint8_t mcc_##S##_to_bool(INT v) { return v != 0; }
INTEGER_TO_INTEGER(i32, int32_t)
INTEGER_TO_INTEGER(u32, uint32_t)
INTEGER_TO_INTEGER(i64, int64_t)
INTEGER_TO_INTEGER(u64, uint64_t)
#undef INTEGER_TO_INTEGER

static inline float mcc_i32_to_f32(int32_t v) { return (float)v; }
static inline float mcc_u32_to_f32(uint32_t v) { return (float)v; }
static inline double mcc_i32_to_f64(int32_t v) { return (double)v; }
static inline double mcc_u32_to_f64(uint32_t v) { return (double)v; }
/* f16 ends at 65504, far below where f32 stops being exact */
static inline uint16_t mcc_i32_to_f16(int32_t v) { return mcc_f32_to_f16((float)v); }
static inline uint16_t mcc_u32_to_f16(uint32_t v) { return mcc_f32_to_f16((float)v); }
static inline uint16_t mcc_u64_to_f16(uint64_t v) { return mcc_f32_to_f16((float)(uint32_t)(v >> 20 ? 1u << 20 : v)); }
/* bf16 ends with f32: keep the bits below f32's last place in a sticky bit */
static inline uint16_t mcc_u32_to_bf16(uint32_t v) {
    uint32_t odd = (v & ~0xffu) | ((v & 0xff) ? 0x100u : 0);
    return mcc_f32_to_bf16((float)(v >> 24 ? odd : v));
}
static inline uint16_t mcc_u64_to_bf16(uint64_t v) { return mcc_f64_to_bf16(mcc_u64_to_f64(mcc_u64_odd(v))); }
static inline uint16_t mcc_i32_to_bf16(int32_t v) {
    uint16_t h = mcc_u32_to_bf16(v < 0 ? 0 - (uint32_t)v : (uint32_t)v);
    return (uint16_t)(v < 0 ? h | 0x8000u : h);
}
static inline uint16_t mcc_i64_to_f16(int64_t v) {
    uint16_t h = mcc_u64_to_f16(v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
    return (uint16_t)(v < 0 ? h | 0x8000u : h);
}
static inline uint16_t mcc_i64_to_bf16(int64_t v) {
    uint16_t h = mcc_u64_to_bf16(v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
    return (uint16_t)(v < 0 ? h | 0x8000u : h);
}
#endif
