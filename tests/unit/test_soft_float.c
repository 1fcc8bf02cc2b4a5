/* Floating point in integers (runtime/builtins/soft.h) against this machine's own: the same bits for special numbers in
 * all pairs, for random bits, and for numbers that are near each other; any NaN for a NaN. */
#define MCC_SOFT_FLOAT
#include <fenv.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "runtime/builtins/bits.h"
#include "runtime/builtins/soft.c"

static int failures;

static void expect(const char *what, uint64_t a, uint64_t b, uint64_t got, uint64_t want) {
    if (got == want || failures++ > 20) return;
    printf("%s of %" PRIx64 " and %" PRIx64 ": got %" PRIx64 ", want %" PRIx64 "\n", what, a, b, got, want);
}

static uint64_t state = 88172645463325252u;
static uint64_t draw(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static uint64_t number_f32(float x) { return x != x ? 1 : mcc_bits_f32(x); } /* 1: some NaN */
static uint64_t number_f64(double x) { return x != x ? 1 : mcc_bits_f64(x); }

#define TO_INTEGER(S, REAL, INT, name, most, low, high)                                                                \
    expect(#S " to " #INT, a, 0, (uint64_t)mcc_soft_##name##_##S(a, most),                                             \
           x != x        ? 0                                                                                           \
           : x < (low)   ? (uint64_t)(INT)(low)                                                                        \
           : x >= (high) ? (uint64_t)(most)                                                                            \
                         : (uint64_t)(INT)x);

#define CHECK(S, REAL, UINT, root)                                                                                     \
    static void check_##S(UINT a, UINT b) {                                                                            \
        volatile REAL x = mcc_from_bits_##S(a), y = mcc_from_bits_##S(b);                                              \
        expect(#S " sum", a, b, number_##S(mcc_from_bits_##S(mcc_soft_add_##S(a, b))), number_##S(x + y));             \
        expect(#S " product", a, b, number_##S(mcc_from_bits_##S(mcc_soft_mul_##S(a, b))), number_##S(x *y));          \
        expect(#S " quotient", a, b, number_##S(mcc_from_bits_##S(mcc_soft_div_##S(a, b))), number_##S(x / y));        \
        expect(#S " root", a, 0, number_##S(mcc_from_bits_##S(mcc_soft_sqrt_##S(a))), number_##S(root(x)));            \
        expect(#S " order", a, b, (uint64_t)mcc_soft_compare_##S(a, b),                                                \
               x<y ? (uint64_t)-1 : x> y ? 1                                                                           \
               : x == y                  ? 0                                                                           \
                                         : 2);                                                                                          \
        TO_INTEGER(S, REAL, int32_t, to_signed, INT32_MAX, (REAL)INT32_MIN, (REAL)2147483648.0)                        \
        TO_INTEGER(S, REAL, int64_t, to_signed, INT64_MAX, (REAL)INT64_MIN, (REAL)9223372036854775808.0)               \
        TO_INTEGER(S, REAL, uint32_t, to_unsigned, UINT32_MAX, (REAL)0, (REAL)4294967296.0)                            \
        TO_INTEGER(S, REAL, uint64_t, to_unsigned, UINT64_MAX, (REAL)0, (REAL)18446744073709551616.0)                  \
    }
CHECK(f32, float, uint32_t, sqrtf)
CHECK(f64, double, uint64_t, sqrt)

static void check_conversions(uint64_t v) {
    volatile float f = mcc_from_bits_f32((uint32_t)v);
    volatile double d = mcc_from_bits_f64(v);
    expect("f32 to f64", v, 0, number_f64(mcc_from_bits_f64(mcc_soft_widen((uint32_t)v))), number_f64((double)f));
    expect("f64 to f32", v, 0, number_f32(mcc_from_bits_f32(mcc_soft_narrow(v))), number_f32((float)d));
    expect("u64 to f32", v, 0, mcc_soft_of_f32(v, 0), mcc_bits_f32((float)v));
    expect("u64 to f64", v, 0, mcc_soft_of_f64(v, 0), mcc_bits_f64((double)v));
}

/* bits at or near a border: few leading or trailing bits set, an exponent near its ends or near the other number's */
static uint64_t odd_bits(uint64_t other) {
    switch (draw() % 6) {
    case 0: return draw();
    case 1: return (draw() & 0x8000000080000000u) | draw() >> (draw() & 63);
    case 2: return ~(draw() >> (draw() & 63));
    case 3: return other ^ 0x8000000080000000u ^ draw() >> (draw() & 63);
    case 4: return other + (draw() & 7) - 3;
    default: return other ^ (draw() & 0x07f0000007f00000u);
    }
}

int main(void) {
    static const uint32_t f32[] = {0,          1,          2,          0x7fffff,   0x800000,   0x800001,   0x33800000,
                                   0x3effffff, 0x3f000000, 0x3f7fffff, 0x3f800000, 0x3f800001, 0x40400000, 0x4affffff,
                                   0x4b000000, 0x4b7fffff, 0x4effffff, 0x4f000000, 0x4f7fffff, 0x5effffff, 0x5f000000,
                                   0x5f800000, 0x7f7fffff, 0x7f800000, 0x7f800001, 0x7fc00000};
    enum { N = sizeof f32 / sizeof *f32, TWICE = 2 * N, DRAWS = 400000 };
    for (int i = 0; i < TWICE; i++)
        for (int k = 0; k < TWICE; k++) {
            uint32_t a = f32[i / 2] | (uint32_t)(i & 1) << 31, b = f32[k / 2] | (uint32_t)(k & 1) << 31;
            check_f32(a, b);
            uint64_t c = mcc_soft_widen(a), d = mcc_soft_widen(b);
            for (int step = -1; step <= 1; step++) {
                check_f64(c, d + (uint64_t)step);
                check_conversions(c + (uint64_t)step);
            }
        }
    uint64_t a = draw();
    for (int i = 0; i < DRAWS; i++) {
        uint64_t b = odd_bits(a);
        check_f32((uint32_t)a, (uint32_t)b);
        check_f32((uint32_t)(a >> 32), (uint32_t)(b >> 32));
        check_f64(a, b);
        check_conversions(b);
        a = b;
        if (i % 16 == 0) a = draw();
    }
    for (int shift = 0; shift < 64; shift++)
        for (int64_t step = -2; step <= 2; step++) check_conversions((UINT64_C(1) << shift) + (uint64_t)step);
    if (failures) printf("%d failures\n", failures);
    return failures != 0;
}
