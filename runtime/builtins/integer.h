/* Total integer arithmetic: every input has a result, the same on every target.
 *   x / 0 = 0,  x % 0 = 0,  INT_MIN / -1 = INT_MIN,  shift by the width or more = 0,  overflow wraps.
 * Division truncates; mod_… has the divisor's sign (Python), rem_… the dividend's (C).
 * 32-bit cores may lack a division instruction, so there the quotient is made bit by bit, never by a library call. */
#ifndef MCC_INTEGER_H
#define MCC_INTEGER_H
#include <stdint.h>

#if UINTPTR_MAX > 0xffffffffu
static inline uint32_t mcc_quotient_u32(uint32_t n, uint32_t d) { return n / d; }
static inline uint64_t mcc_quotient_u64(uint64_t n, uint64_t d) { return n / d; }
#else
#define LONG_DIVISION(S, UINT, BITS)                                                                                   \
    static inline UINT mcc_quotient_##S(UINT n, UINT d) {                                                              \
        UINT q = 0, r = 0;                                                                                             \
        for (int i = 0; i < (BITS); i++) {                                                                             \
            UINT carry = r >> ((BITS) - 1); /* r · 2 + bit may have one bit more than UINT */                          \
            r = r << 1 | n >> ((BITS) - 1);                                                                            \
            n <<= 1;                                                                                                   \
            UINT fits = carry | (UINT)(r >= d);                                                                        \
            r -= fits ? d : 0;                                                                                         \
            q = q << 1 | fits;                                                                                         \
        }                                                                                                              \
        return q;                                                                                                      \
    }
LONG_DIVISION(u32, uint32_t, 32)
LONG_DIVISION(u64, uint64_t, 64)
#undef LONG_DIVISION
#endif

#define TOTAL_UNSIGNED(S, UINT)                                                                                        \
    static inline UINT mcc_div_##S(UINT x, UINT y) { return y ? mcc_quotient_##S(x, y ? y : 1) : 0; }                  \
    static inline UINT mcc_rem_##S(UINT x, UINT y) { return y ? x - mcc_div_##S(x, y) * y : 0; }                       \
    static inline UINT mcc_mod_##S(UINT x, UINT y) { return mcc_rem_##S(x, y); }
#define TOTAL_SIGNED(S, INT, U, UINT)                                                                                  \
    static inline UINT mcc_magnitude_##S(INT x) { return x < 0 ? 0 - (UINT)x : (UINT)x; }                              \
    static inline INT mcc_div_##S(INT x, INT y) {                                                                      \
        UINT q = mcc_div_##U(mcc_magnitude_##S(x), mcc_magnitude_##S(y));                                              \
        return (INT)((x < 0) != (y < 0) ? 0 - q : q);                                                                  \
    }                                                                                                                  \
    static inline INT mcc_rem_##S(INT x, INT y) {                                                                      \
        UINT r = mcc_rem_##U(mcc_magnitude_##S(x), mcc_magnitude_##S(y));                                              \
        return (INT)(x < 0 ? 0 - r : r);                                                                               \
    }                                                                                                                  \
    static inline INT mcc_mod_##S(INT x, INT y) {                                                                      \
        INT r = mcc_rem_##S(x, y);                                                                                     \
        return (INT)(r != 0 && (r < 0) != (y < 0) ? (UINT)r + (UINT)y : (UINT)r);                                      \
    }
TOTAL_UNSIGNED(u32, uint32_t)
TOTAL_UNSIGNED(u64, uint64_t)
TOTAL_SIGNED(i32, int32_t, u32, uint32_t)
TOTAL_SIGNED(i64, int64_t, u64, uint64_t)
#undef TOTAL_UNSIGNED
#undef TOTAL_SIGNED

/* x^y modulo 2^width. y < 0: the quotient 1 / x^-y, which is 0 but for x = ±1 (and 0 for x = 0, as 1 / 0 is). */
#define TOTAL_POWER(S, INT, U, UINT)                                                                                   \
    static inline UINT mcc_pow_##U(UINT x, UINT y) {                                                                   \
        UINT p = 1;                                                                                                    \
        for (; y; y >>= 1, x *= x) p *= y & 1 ? x : 1;                                                                 \
        return p;                                                                                                      \
    }                                                                                                                  \
    static inline INT mcc_pow_##S(INT x, INT y) {                                                                      \
        INT inverse = x == 1 ? 1 : x != -1 ? 0 : y & 1 ? -1 : 1;                                                       \
        return y < 0 ? inverse : (INT)mcc_pow_##U((UINT)x, (UINT)y);                                                   \
    }
TOTAL_POWER(i32, int32_t, u32, uint32_t)
TOTAL_POWER(i64, int64_t, u64, uint64_t)
#undef TOTAL_POWER
#endif
