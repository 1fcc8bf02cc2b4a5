/* Arithmetic of f16 and bf16, single and in pairs: in f32, or for fma in f64 rounded to odd, and one rounding more. */
#include "tests/cuda/rows.h"

static inline f32 half_lesser(f32 a, f32 b, bool nan) {
    if (a != a || b != b) return nan || (a != a && b != b) ? f32_of(NAN32) : a != a ? b : a;
    if (a == b) return f32_of(bits_of(a) | bits_of(b));
    return a < b ? a : b;
}

static u16 half_fma(u16 a, u16 b, u16 c) {
    return (u16)round_to(fma_to_odd((f64)f32_of_half(a), (f64)f32_of_half(b), (f64)f32_of_half(c)), &format_f16,
                         TO_NEAREST, false);
}
static u16 bf16_fma(u16 a, u16 b, u16 c) {
    return (u16)round_to(fma_to_odd((f64)f32_of_bf16(a), (f64)f32_of_bf16(b), (f64)f32_of_bf16(c)), &format_bf16,
                         TO_NEAREST, false);
}

/* One expression over floats a and b, for both formats, single and packed. */
#define UNARY(fn, expr)                                                                                                \
    static inline f32 value_##fn(f32 a) { return expr; }                                                               \
    OP1_HANDLER(fn##_f16, u16, u16, half_of_f32(value_##fn(f32_of_half(a))))                                           \
    OP1_HANDLER(fn##_bf16, u16, u16, bf16_of_f32(value_##fn(f32_of_bf16(a))))                                          \
    OP1_HANDLER(fn##_f16x2, u32, u32,                                                                                  \
                half_of_f32(value_##fn(f32_of_half((u16)a))) |                                                         \
                    (u32)half_of_f32(value_##fn(f32_of_half((u16)(a >> 16)))) << 16)                                   \
    OP1_HANDLER(fn##_bf16x2, u32, u32,                                                                                 \
                bf16_of_f32(value_##fn(f32_of_bf16((u16)a))) |                                                         \
                    (u32)bf16_of_f32(value_##fn(f32_of_bf16((u16)(a >> 16)))) << 16)
#define BINARY(fn, expr)                                                                                               \
    static inline f32 value_##fn(f32 a, f32 b) { return expr; }                                                        \
    OP2_HANDLER(fn##_f16, u16, u16, u16, half_of_f32(value_##fn(f32_of_half(a), f32_of_half(b))))                      \
    OP2_HANDLER(fn##_bf16, u16, u16, u16, bf16_of_f32(value_##fn(f32_of_bf16(a), f32_of_bf16(b))))                     \
    OP2_HANDLER(fn##_f16x2, u32, u32, u32,                                                                             \
                half_of_f32(value_##fn(f32_of_half((u16)a), f32_of_half((u16)b))) |                                    \
                    (u32)half_of_f32(value_##fn(f32_of_half((u16)(a >> 16)), f32_of_half((u16)(b >> 16)))) << 16)      \
    OP2_HANDLER(fn##_bf16x2, u32, u32, u32,                                                                            \
                bf16_of_f32(value_##fn(f32_of_bf16((u16)a), f32_of_bf16((u16)b))) |                                    \
                    (u32)bf16_of_f32(value_##fn(f32_of_bf16((u16)(a >> 16)), f32_of_bf16((u16)(b >> 16)))) << 16)
BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(mul, a *b)
BINARY(min, half_lesser(a, b, false))
BINARY(max, -half_lesser(-a, -b, false))
BINARY(min_nan, half_lesser(a, b, true))
BINARY(max_nan, -half_lesser(-a, -b, true))
UNARY(ex2, exp2f(a))
UNARY(tanh, tanhf(a))
UNARY(relu, a > 0 ? a : a != a ? a : 0)
UNARY(sat, a > 0 ? (a < 1 ? a : 1) : 0)
OP1_HANDLER(neg_half, u16, u16, a ^ 0x8000)
OP1_HANDLER(abs_half, u16, u16, a & 0x7fff)
OP1_HANDLER(neg_pair, u32, u32, a ^ 0x80008000u)
OP1_HANDLER(abs_pair, u32, u32, a & 0x7fff7fffu)
OP3_HANDLER(fma_f16, u16, u16, u16, u16, half_fma(a, b, c))
OP3_HANDLER(fma_bf16, u16, u16, u16, u16, bf16_fma(a, b, c))
OP3_HANDLER(fma_f16x2, u32, u32, u32, u32,
            half_fma((u16)a, (u16)b, (u16)c) | (u32)half_fma((u16)(a >> 16), (u16)(b >> 16), (u16)(c >> 16)) << 16)
OP3_HANDLER(fma_bf16x2, u32, u32, u32, u32,
            bf16_fma((u16)a, (u16)b, (u16)c) | (u32)bf16_fma((u16)(a >> 16), (u16)(b >> 16), (u16)(c >> 16)) << 16)

#define ROWS(name, fn, single, pair)                                                                                   \
    {name ".f16", single, run_##fn##_f16}, {name ".bf16", single, run_##fn##_bf16},                                    \
        {name ".f16x2", pair, run_##fn##_f16x2}, {name ".bf16x2", pair, run_##fn##_bf16x2},
#define UNARY_ROWS(name, fn) ROWS(name, fn, "hh", "ww")
#define BINARY_ROWS(name, fn) ROWS(name, fn, "hhh", "www")
const Row half_rows[] = {BINARY_ROWS("add", add) BINARY_ROWS("sub", sub) BINARY_ROWS("mul", mul) BINARY_ROWS("min", min)
                             BINARY_ROWS("max", max) BINARY_ROWS("min.NaN", min_nan) BINARY_ROWS("max.NaN", max_nan)
                                 UNARY_ROWS("ex2.approx", ex2) UNARY_ROWS("tanh.approx", tanh) UNARY_ROWS("relu", relu)
                                     UNARY_ROWS("sat", sat)
                                         ROWS("fma", fma, "hhhh", "wwww"){"neg.f16 neg.bf16", "hh", run_neg_half},
                         {"abs.f16 abs.bf16", "hh", run_abs_half},
                         {"neg.f16x2 neg.bf16x2", "ww", run_neg_pair},
                         {"abs.f16x2 abs.bf16x2", "ww", run_abs_pair},
                         {0}};
