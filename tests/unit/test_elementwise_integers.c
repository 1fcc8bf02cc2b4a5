/* Integer semantics of the elementwise functions: total, wrapping. Every pair of 8-bit operands; for the wider types
 * every pair out of the edges (0, ±1, powers of two and their neighbours, limits) and random ones. The reference is C's
 * own arithmetic in 64 bits, with what C leaves undefined written out. */
#include "runtime/kernels/elementwise.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int failures;
static void expect(const char *what, int64_t x, int64_t y, uint64_t got, uint64_t want) {
    if (got != want && failures++ < 20)
        printf("%s(%" PRId64 ", %" PRId64 ") = %" PRId64 ", want %" PRId64 "\n", what, x, y, (int64_t)got,
               (int64_t)want);
}

static uint64_t power(uint64_t x, uint64_t y) { /* from the top bit down, unlike the kernel */
    uint64_t p = 1;
    for (int i = 63; i >= 0; i--) p = p * p * (y >> i & 1 ? x : 1);
    return p;
}
static uint64_t signed_power(int64_t x, int64_t y) {
    if (y >= 0) return power((uint64_t)x, (uint64_t)y);
    return x == 1 ? 1 : x == -1 ? (y % 2 ? (uint64_t)-1 : 1) : 0;
}
static int64_t quotient(int64_t x, int64_t y) { return y == 0 ? 0 : y == -1 ? (int64_t)(0 - (uint64_t)x) : x / y; }
static int64_t remainder_c(int64_t x, int64_t y) { return y == 0 || y == -1 ? 0 : x % y; }
static int64_t remainder_python(int64_t x, int64_t y) {
    int64_t r = remainder_c(x, y);
    return r && (r < 0) != (y < 0) ? r + y : r;
}

static const attrs_Mod python_mod = {.fmod = 0}, c_mod = {.fmod = 1};
static const attrs_BitShift shift_left = {.direction = 0}, shift_right = {.direction = 1};
static const attrs_Shrink shrink = {.bias = 1.5, .lambd = 2};
#define AT(attrs) ((const mcc_attr *)&(attrs))

#define BINARY_OP(op, S, T, at, want)                                                                                  \
    expect(#op "_" #S, (int64_t)x, (int64_t)y, (uint64_t)mcc_el_##op##_##S(x, y, at), (uint64_t)(T)(want))
#define COMPARE_OP(op, S, want) expect(#op "_" #S, (int64_t)x, (int64_t)y, mcc_el_##op##_##S(x, y, 0), (want))
#define UNARY_OP(op, S, T, at, want)                                                                                   \
    expect(#op "_" #S, (int64_t)x, 0, (uint64_t)mcc_el_##op##_##S(x, at), (uint64_t)(T)(want))

/* what signed and unsigned types share; W: the 64-bit type of their signedness */
#define DEFINE_COMMON(S, T, W)                                                                                         \
    static void common_##S(T x, T y) {                                                                                 \
        uint64_t a = (uint64_t)x, b = (uint64_t)y;                                                                     \
        BINARY_OP(Add, S, T, 0, a + b);                                                                                \
        BINARY_OP(Sub, S, T, 0, a - b);                                                                                \
        BINARY_OP(Mul, S, T, 0, a *b);                                                                                 \
        BINARY_OP(Max, S, T, 0, (W)x > (W)y ? x : y);                                                                  \
        BINARY_OP(Min, S, T, 0, (W)x < (W)y ? x : y);                                                                  \
        BINARY_OP(BitwiseAnd, S, T, 0, a &b);                                                                          \
        BINARY_OP(BitwiseOr, S, T, 0, a | b);                                                                          \
        BINARY_OP(BitwiseXor, S, T, 0, a ^ b);                                                                         \
        COMPARE_OP(Equal, S, x == y);                                                                                  \
        COMPARE_OP(Greater, S, x > y);                                                                                 \
        COMPARE_OP(GreaterOrEqual, S, x >= y);                                                                         \
        COMPARE_OP(Less, S, x < y);                                                                                    \
        COMPARE_OP(LessOrEqual, S, x <= y);                                                                            \
        UNARY_OP(BitwiseNot, S, T, 0, ~a);                                                                             \
        expect("Where_" #S, (int64_t)x, (int64_t)y, (uint64_t)mcc_el_Where_##S(0, x, y, 0), (uint64_t)y);              \
        expect("Where_" #S, (int64_t)x, (int64_t)y, (uint64_t)mcc_el_Where_##S(2, x, y, 0), (uint64_t)x);              \
        T lo = x < y ? x : y, hi = x < y ? y : x, mid = (T)(x / 2 + y / 2);                                            \
        expect("Clip_" #S, (int64_t)x, (int64_t)y, (uint64_t)mcc_el_Clip_##S(lo, hi, hi, 0), (uint64_t)hi);            \
        expect("Clip_" #S, (int64_t)x, (int64_t)y, (uint64_t)mcc_el_Clip_##S(hi, lo, lo, 0), (uint64_t)lo);            \
        expect("Clip_" #S, (int64_t)x, (int64_t)y, (uint64_t)mcc_el_Clip_##S(mid, lo, hi, 0),                          \
               (uint64_t)(mid < lo   ? lo                                                                              \
                          : mid > hi ? hi                                                                              \
                                     : mid));                                                                          \
    }
#define DEFINE_SIGNED(S, T)                                                                                            \
    DEFINE_COMMON(S, T, int64_t)                                                                                       \
    static void check_##S(T x, T y) {                                                                                  \
        common_##S(x, y);                                                                                              \
        BINARY_OP(Div, S, T, 0, quotient(x, y));                                                                       \
        BINARY_OP(Mod, S, T, AT(python_mod), remainder_python(x, y));                                                  \
        BINARY_OP(Mod, S, T, AT(c_mod), remainder_c(x, y));                                                            \
        BINARY_OP(Pow, S, T, 0, signed_power(x, y));                                                                   \
        BINARY_OP(PRelu, S, T, 0, x < 0 ? (uint64_t)x * (uint64_t)y : (uint64_t)x);                                    \
        UNARY_OP(Abs, S, T, 0, x < 0 ? 0 - (uint64_t)x : (uint64_t)x);                                                 \
        UNARY_OP(Neg, S, T, 0, 0 - (uint64_t)x);                                                                       \
        UNARY_OP(Relu, S, T, 0, x < 0 ? 0 : x);                                                                        \
        UNARY_OP(Sign, S, T, 0, x > 0 ? 1 : x < 0 ? -1 : 0);                                                           \
        UNARY_OP(Erf, S, T, 0, x >= 6 ? 1 : x <= -6 ? -1 : 0);                                                         \
        if (sizeof(T) < 8)                                                                                             \
            UNARY_OP(Shrink, S, T, AT(shrink), (int64_t)(x < -2 ? (double)x + 1.5 : x > 2 ? (double)x - 1.5 : 0));     \
    }
#define DEFINE_UNSIGNED(S, T)                                                                                          \
    DEFINE_COMMON(S, T, uint64_t)                                                                                      \
    static void check_##S(T x, T y) {                                                                                  \
        common_##S(x, y);                                                                                              \
        BINARY_OP(Div, S, T, 0, y ? x / y : 0);                                                                        \
        BINARY_OP(Mod, S, T, AT(python_mod), y ? x % y : 0);                                                           \
        BINARY_OP(Mod, S, T, AT(c_mod), y ? x % y : 0);                                                                \
        BINARY_OP(Pow, S, T, 0, power(x, y));                                                                          \
        BINARY_OP(PRelu, S, T, 0, x);                                                                                  \
        BINARY_OP(BitShift, S, T, AT(shift_left), y < 8 * sizeof(T) ? (uint64_t)x << y : 0);                           \
        BINARY_OP(BitShift, S, T, AT(shift_right), y < 8 * sizeof(T) ? (uint64_t)x >> y : 0);                          \
        UNARY_OP(Abs, S, T, 0, x);                                                                                     \
        UNARY_OP(Sign, S, T, 0, x > 0);                                                                                \
        UNARY_OP(Erf, S, T, 0, x >= 6);                                                                                \
        if (sizeof(T) < 8) UNARY_OP(Shrink, S, T, AT(shrink), (int64_t)(x > 2 ? (double)x - 1.5 : 0));                 \
    }
DEFINE_SIGNED(i8, int8_t)
DEFINE_SIGNED(i16, int16_t)
DEFINE_SIGNED(i32, int32_t)
DEFINE_SIGNED(i64, int64_t)
DEFINE_UNSIGNED(u8, uint8_t)
DEFINE_UNSIGNED(u16, uint16_t)
DEFINE_UNSIGNED(u32, uint32_t)
DEFINE_UNSIGNED(u64, uint64_t)

static void check_all(uint64_t x, uint64_t y) {
    check_i16((int16_t)x, (int16_t)y), check_u16((uint16_t)x, (uint16_t)y);
    check_i32((int32_t)x, (int32_t)y), check_u32((uint32_t)x, (uint32_t)y);
    check_i64((int64_t)x, (int64_t)y), check_u64(x, y);
}

static void check_bools(void) {
    for (int x = 0; x < 3; x++)
        for (int y = 0; y < 3; y++) {
            uint8_t a = (uint8_t)(x == 2 ? 255 : x), b = (uint8_t)(y == 2 ? 255 : y);
            expect("And", a, b, mcc_el_And_bool(a, b, 0), a && b);
            expect("Or", a, b, mcc_el_Or_bool(a, b, 0), a || b);
            expect("Xor", a, b, mcc_el_Xor_bool(a, b, 0), !a != !b);
            expect("Equal", a, b, mcc_el_Equal_bool(a, b, 0), !a == !b);
            expect("Not", a, b, mcc_el_Not_bool(a, 0), !a);
            expect("Cast", a, b, (uint64_t)mcc_cast_bool_i64(a, 0), !!a);
        }
}

/* integer casts wrap, to bool they ask for 0 */
static void check_casts(uint64_t x) {
    int64_t s = (int64_t)x;
    expect("cast i64 i8", s, 0, (uint64_t)mcc_cast_i64_i8(s, 0), (uint64_t)(int8_t)x);
    expect("cast i64 u16", s, 0, mcc_cast_i64_u16(s, 0), (uint16_t)x);
    expect("cast i32 u64", s, 0, mcc_cast_i32_u64((int32_t)x, 0), (uint64_t)(int32_t)x);
    expect("cast u32 i64", s, 0, (uint64_t)mcc_cast_u32_i64((uint32_t)x, 0), (uint32_t)x);
    expect("cast u16 i16", s, 0, (uint64_t)mcc_cast_u16_i16((uint16_t)x, 0), (uint64_t)(int16_t)x);
    expect("cast i8 u32", s, 0, mcc_cast_i8_u32((int8_t)x, 0), (uint32_t)(int8_t)x);
    expect("cast u64 bool", s, 0, mcc_cast_u64_bool(x, 0), x != 0);
    expect("cast i64 bool", s, 0, mcc_cast_i64_bool(s, 0), x != 0);
}

int main(void) {
    for (int x = 0; x < 256; x++)
        for (int y = 0; y < 256; y++) check_i8((int8_t)x, (int8_t)y), check_u8((uint8_t)x, (uint8_t)y);

    uint64_t edges[128 * 3];
    int n = 0;
    for (int i = 0; i < 64; i++)
        for (int d = -1; d <= 1; d++) {
            edges[n++] = (UINT64_C(1) << i) + (uint64_t)d;
            if (i % 7 == 0 || i == 15 || i == 31 || i == 63) edges[n++] = 0 - ((UINT64_C(1) << i) + (uint64_t)d);
        }
    for (int i = 0; i < n; i++) {
        check_casts(edges[i]);
        for (int j = 0; j < n; j++) check_all(edges[i], edges[j]);
    }
    uint64_t state = 3;
    for (int i = 0; i < 100000; i++) {
        uint64_t v[2];
        for (int k = 0; k < 2; k++) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            v[k] = state >> (state % 61);
        }
        check_all(v[0], v[1]), check_all(v[0], 0 - v[1]), check_casts(v[0]);
    }
    check_bools();
    if (failures) printf("%d failures\n", failures);
    return failures != 0;
}
