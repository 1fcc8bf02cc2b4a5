/* Bits of floating-point numbers, and the few sign and selection primitives that everything in runtime/builtins uses.
 * Freestanding, branch-free, no calls. Each has an _f32 and an _f64 form, so that real_f32.h and real_f64.h can select
 * one with FN(name). */
#ifndef MCC_BITS_H
#define MCC_BITS_H
#include <stdint.h>

#ifdef __clang__
#define MCC_UNROLL _Pragma("clang loop unroll(full)") /* short loops over tables: the coefficients become constants */
#else
#define MCC_UNROLL
#endif
#define MCC_COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* REAL, its width as unsigned and signed integer, sign bit, bits of infinity */
#define DEFINE_BITS(S, REAL, BITS, SBITS, SIGN, INF)                                                                   \
    static inline BITS mcc_bits_##S(REAL x) {                                                                          \
        union {                                                                                                        \
            REAL real;                                                                                                 \
            BITS bits;                                                                                                 \
        } u = {x};                                                                                                     \
        return u.bits;                                                                                                 \
    }                                                                                                                  \
    static inline REAL mcc_from_bits_##S(BITS b) {                                                                     \
        union {                                                                                                        \
            BITS bits;                                                                                                 \
            REAL real;                                                                                                 \
        } u = {b};                                                                                                     \
        return u.real;                                                                                                 \
    }                                                                                                                  \
    static inline REAL mcc_abs_##S(REAL x) { return mcc_from_bits_##S(mcc_bits_##S(x) & ~(SIGN)); }                    \
    static inline REAL mcc_copysign_##S(REAL x, REAL sign) {                                                           \
        return mcc_from_bits_##S((mcc_bits_##S(x) & ~(SIGN)) | (mcc_bits_##S(sign) & (SIGN)));                         \
    }                                                                                                                  \
    static inline REAL mcc_inf_##S(void) { return mcc_from_bits_##S(INF); }                                            \
    static inline REAL mcc_nan_##S(void) { return mcc_from_bits_##S((INF) | (INF) >> 1); }                             \
    /* NaN in either argument gives NaN */                                                                             \
    static inline REAL mcc_max_##S(REAL x, REAL y) { return x > y || x != x ? x : y; }                                 \
    static inline REAL mcc_min_##S(REAL x, REAL y) { return x < y || x != x ? x : y; }                                 \
    /* min(max(x, lo), hi); NaN in x stays */                                                                          \
    static inline REAL mcc_clamp_##S(REAL x, REAL lo, REAL hi) {                                                       \
        REAL t = x < lo ? lo : x;                                                                                      \
        return t > hi ? hi : t;                                                                                        \
    }                                                                                                                  \
    static inline REAL mcc_shrink_##S(REAL x, REAL bias, REAL lambd) {                                                 \
        return x < -lambd ? x + bias : x > lambd ? x - bias : 0;                                                       \
    }                                                                                                                  \
    /* c[0] + c[1] x + … + c[n-1] x^(n-1) */                                                                           \
    static inline REAL mcc_horner_##S(REAL x, const REAL *c, int n) {                                                  \
        REAL p = c[n - 1];                                                                                             \
        MCC_UNROLL for (int i = n - 2; i >= 0; i--) p = p * x + c[i];                                                  \
        return p;                                                                                                      \
    }

DEFINE_BITS(f32, float, uint32_t, int32_t, UINT32_C(0x80000000), UINT32_C(0x7f800000))
DEFINE_BITS(f64, double, uint64_t, int64_t, UINT64_C(0x8000000000000000), UINT64_C(0x7ff0000000000000))
#undef DEFINE_BITS
#endif
