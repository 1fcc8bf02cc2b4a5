/* What the elementwise functions mean for floats: against their formulas in the standard, computed with libm in f64;
 * with special values and NaN; and f16, bf16 against f32 rounded once, for every bit pattern. */
#include "runtime/builtins/builtins.h"
#include "runtime/kernels/elementwise.h"
#include <math.h>
#include <stdio.h>

static int failures;
static void fail(const char *what, double x, double y, double got, double want) {
    if (failures++ < 30) printf("%s(%a, %a): got %.17g, want %.17g\n", what, x, y, got, want);
}
static void expect(const char *what, double x, double y, double got, double want, double tolerance) {
    int same = isnan(want) ? isnan(got) : got == want || fabs(got - want) <= tolerance * fabs(want);
    if (!same) fail(what, x, y, got, want);
}

#define AT(attrs) ((const mcc_attr *)&(attrs))
static const attrs_Celu celu = {.alpha = 2};
static const attrs_Elu elu = {.alpha = 1.5};
static const attrs_Gelu gelu_erf = {.approximate = 0}, gelu_tanh = {.approximate = 1};
static const attrs_HardSigmoid hard_sigmoid = {.alpha = 0.25, .beta = 0.5};
static const attrs_LeakyRelu leaky = {.alpha = 0.125};
static const attrs_Selu selu = {.alpha = 1.75, .gamma = 1.25};
static const attrs_Shrink shrink = {.bias = 1.5, .lambd = 2};
static const attrs_Swish swish = {.alpha = 1.25};
static const attrs_ThresholdedRelu thresholded = {.alpha = 1};
static const attrs_Mod c_mod = {.fmod = 1}, python_mod = {.fmod = 0};
static const attrs_IsInf any_inf = {.detect_negative = 1, .detect_positive = 1}, negative_inf = {.detect_negative = 1};

static double clamp(double x, double lo, double hi) { return x < lo ? lo : x > hi ? hi : x; }
static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }
static double sign(double x) { return isnan(x) ? x : (x > 0) - (x < 0); }
static double tanh_gelu(double x) { /* (1 + tanh u) / 2 = 1 / (1 + e^-2u), which does not cancel */
    return x / (1 + exp(-2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

/* Op, attributes, how close, formula in x. EXACT: to the last bit; CLOSE: to a few; LOOSE: the formula itself (or ours
 * in f32) rounds an exponent, which the exponential amplifies. */
#define EXACT 0
#define CLOSE 1
#define LOOSE 2
#define UNARY_FORMULAS(M)                                                                                              \
    M(Abs, 0, EXACT, fabs(x))                                                                                          \
    M(Acos, 0, CLOSE, acos(x))                                                                                         \
    M(Acosh, 0, CLOSE, acosh(x))                                                                                       \
    M(Asin, 0, CLOSE, asin(x))                                                                                         \
    M(Asinh, 0, CLOSE, asinh(x))                                                                                       \
    M(Atan, 0, CLOSE, atan(x))                                                                                         \
    M(Atanh, 0, CLOSE, atanh(x))                                                                                       \
    M(Ceil, 0, EXACT, ceil(x))                                                                                         \
    M(Celu, AT(celu), CLOSE, fmax(0, x) + fmin(0, 2 * expm1(x / 2)) + (x - x))                                         \
    M(Cos, 0, CLOSE, cos(x))                                                                                           \
    M(Cosh, 0, CLOSE, cosh(x))                                                                                         \
    M(Elu, AT(elu), CLOSE, x < 0 ? 1.5 * expm1(x) : x)                                                                 \
    M(Erf, 0, CLOSE, erf(x))                                                                                           \
    M(Exp, 0, CLOSE, exp(x))                                                                                           \
    M(Floor, 0, EXACT, floor(x))                                                                                       \
    M(Gelu, AT(gelu_erf), LOOSE, x * 0.5 * erfc(-x * M_SQRT1_2))                                                       \
    M(HardSigmoid, AT(hard_sigmoid), CLOSE, clamp(0.25 * x + 0.5, 0, 1))                                               \
    M(HardSwish, 0, CLOSE, x *clamp(x + 3, 0, 6) / 6)                                                                  \
    M(LeakyRelu, AT(leaky), EXACT, x < 0 ? 0.125 * x : x)                                                              \
    M(Log, 0, CLOSE, log(x))                                                                                           \
    M(Mish, 0, CLOSE, x *tanh(softplus(x)))                                                                            \
    M(Neg, 0, EXACT, -x)                                                                                               \
    M(Reciprocal, 0, CLOSE, 1 / x)                                                                                     \
    M(Relu, 0, EXACT, x < 0 ? 0 : x)                                                                                   \
    M(Round, 0, EXACT, rint(x))                                                                                        \
    M(Selu, AT(selu), CLOSE, 1.25 * (x < 0 ? 1.75 * expm1(x) : x))                                                     \
    M(Shrink, AT(shrink), CLOSE, x < -2 ? x + 1.5 : x > 2 ? x - 1.5 : 0)                                               \
    M(Sigmoid, 0, CLOSE, 1 / (1 + exp(-x)))                                                                            \
    M(Sign, 0, EXACT, sign(x))                                                                                         \
    M(Sin, 0, CLOSE, sin(x))                                                                                           \
    M(Sinh, 0, CLOSE, sinh(x))                                                                                         \
    M(Softplus, 0, CLOSE, softplus(x))                                                                                 \
    M(Softsign, 0, CLOSE, x / (1 + fabs(x)))                                                                           \
    M(Sqrt, 0, CLOSE, sqrt(x))                                                                                         \
    M(Swish, AT(swish), LOOSE, x / (1 + exp(-1.25 * x)))                                                               \
    M(Tan, 0, CLOSE, tan(x))                                                                                           \
    M(Tanh, 0, CLOSE, tanh(x))                                                                                         \
    M(ThresholdedRelu, AT(thresholded), EXACT, x > 1 ? x : 0)
#define BINARY_FORMULAS(M)                                                                                             \
    M(Add, 0, CLOSE, x + y)                                                                                            \
    M(Sub, 0, CLOSE, x - y)                                                                                            \
    M(Mul, 0, CLOSE, x *y)                                                                                             \
    M(Div, 0, CLOSE, x / y)                                                                                            \
    M(Pow, 0, CLOSE, pow(x, y))                                                                                        \
    M(PRelu, 0, CLOSE, x < 0 ? x * y : x)                                                                              \
    M(Mod, AT(c_mod), EXACT, fmod(x, y))                                                                               \
    M(Max, 0, EXACT, isnan(x) || isnan(y) ? x + y : x > y ? x : y)                                                     \
    M(Min, 0, EXACT, isnan(x) || isnan(y) ? x + y : x < y ? x : y)
#define COMPARISONS(M)                                                                                                 \
    M(Equal, x == y)                                                                                                   \
    M(Greater, x > y)                                                                                                  \
    M(GreaterOrEqual, x >= y)                                                                                          \
    M(Less, x < y)                                                                                                     \
    M(LessOrEqual, x <= y)

static void check_unary(double x) {
    double f32_tolerance[] = {0, 4e-7, 4e-6}, f64_tolerance[] = {0, 1e-14, 2e-12};
    float s = (float)x;
    int moderate = fabs(x) < 1e30 && fabs(x) > 1e-30; /* the others overflow or underflow in f32 on their own terms */
#define CHECK(op, at, how, formula)                                                                                    \
    { expect(#op "_f64", x, 0, mcc_el_##op##_f64(x, at), (formula), f64_tolerance[how]); }
    UNARY_FORMULAS(CHECK)
#undef CHECK
    x = (double)s;
#define CHECK(op, at, how, formula)                                                                                    \
    {                                                                                                                  \
        double want = (formula), got = (double)mcc_el_##op##_f32(s, at);                                               \
        int normal = isnan(want) || (fabs(want) > 1e-36 && fabs(want) < 1e38);                                         \
        if (moderate && normal) expect(#op "_f32", x, 0, got, want, f32_tolerance[how]);                               \
    }
    UNARY_FORMULAS(CHECK)
#undef CHECK
    if (fabs(x) < 8) expect("Gelu tanh", x, 0, (double)mcc_el_Gelu_f32(s, AT(gelu_tanh)), tanh_gelu(x), 2e-5);
    expect("IsNaN", x, 0, mcc_el_IsNaN_f32(s, 0), !!isnan(s), 0);
    expect("IsInf", x, 0, mcc_el_IsInf_f32(s, AT(any_inf)), !!isinf(s), 0);
    expect("IsInf", x, 0, mcc_el_IsInf_f32(s, AT(negative_inf)), isinf(s) && s < 0, 0);
    expect("IsInf", x, 0, mcc_el_IsInf_f64(x, AT(negative_inf)), isinf(x) && x < 0, 0);
}

static void check_binary(double x, double y) {
    double f32_tolerance[] = {0, 6e-7}, f64_tolerance[] = {0, 4e-15};
    float s = (float)x, t = (float)y;
#define CHECK(op, at, how, formula)                                                                                    \
    expect(#op "_f64", x, y, mcc_el_##op##_f64(x, y, at), (formula), f64_tolerance[how]);
    BINARY_FORMULAS(CHECK)
#undef CHECK
#define CHECK(op, formula) expect(#op "_f64", x, y, mcc_el_##op##_f64(x, y, 0), (formula), 0);
    COMPARISONS(CHECK)
#undef CHECK
    x = (double)s, y = (double)t;
#define CHECK(op, at, how, formula)                                                                                    \
    {                                                                                                                  \
        double want = (formula), got = (double)mcc_el_##op##_f32(s, t, at);                                            \
        int normal = isnan(want) || isinf(want) || want == 0 || (fabs(want) > 1e-36 && fabs(want) < 1e38);             \
        if (normal) expect(#op "_f32", x, y, got, want, f32_tolerance[how]);                                           \
    }
    BINARY_FORMULAS(CHECK)
#undef CHECK
#define CHECK(op, formula) expect(#op "_f32", x, y, mcc_el_##op##_f32(s, t, 0), (formula), 0);
    COMPARISONS(CHECK)
#undef CHECK
    double m = mcc_el_Mod_f64(x, y, AT(python_mod)), want = fmod(x, y);
    if (want != 0 && (want < 0) != (y < 0)) want += y;
    expect("Mod", x, y, m, want, 0);
}

/* f16, bf16: f32 rounded once */
#define ROUNDED(H, x) mcc_f32_to_##H(x)
static void same_bits(const char *what, uint32_t x, uint32_t got, uint32_t want, uint32_t infinity) {
    int both_nan = (got & 0x7fff) > infinity && (want & 0x7fff) > infinity;
    if (got != want && !both_nan) fail(what, x, 0, got, want);
}
static void check_halves(uint16_t h, uint16_t k) {
#define CHECK(op, at, how, formula)                                                                                    \
    same_bits(#op "_f16", h, mcc_el_##op##_f16(h, at), mcc_f32_to_f16(mcc_el_##op##_f32(mcc_f16_to_f32(h), at)),       \
              0x7c00);                                                                                                 \
    same_bits(#op "_bf16", h, mcc_el_##op##_bf16(h, at), mcc_f32_to_bf16(mcc_el_##op##_f32(mcc_bf16_to_f32(h), at)),   \
              0x7f80);
    UNARY_FORMULAS(CHECK)
#undef CHECK
#define CHECK(op, at, how, formula)                                                                                    \
    same_bits(#op "_f16", h, mcc_el_##op##_f16(h, k, at),                                                              \
              mcc_f32_to_f16(mcc_el_##op##_f32(mcc_f16_to_f32(h), mcc_f16_to_f32(k), at)), 0x7c00);                    \
    same_bits(#op "_bf16", h, mcc_el_##op##_bf16(h, k, at),                                                            \
              mcc_f32_to_bf16(mcc_el_##op##_f32(mcc_bf16_to_f32(h), mcc_bf16_to_f32(k), at)), 0x7f80);
    BINARY_FORMULAS(CHECK)
#undef CHECK
#define CHECK(op, formula)                                                                                             \
    same_bits(#op "_f16", h, mcc_el_##op##_f16(h, k, 0), mcc_el_##op##_f32(mcc_f16_to_f32(h), mcc_f16_to_f32(k), 0),   \
              0xffff);                                                                                                 \
    same_bits(#op "_bf16", h, mcc_el_##op##_bf16(h, k, 0),                                                             \
              mcc_el_##op##_f32(mcc_bf16_to_f32(h), mcc_bf16_to_f32(k), 0), 0xffff);
    COMPARISONS(CHECK)
#undef CHECK
    same_bits("Where_f16", h, mcc_el_Where_f16(1, h, k, 0), h, 0xffff);
    same_bits("Where_bf16", h, mcc_el_Where_bf16(0, h, k, 0), k, 0xffff);
    if (mcc_f16_to_f32(h) >= 2) same_bits("Clip_f16", h, mcc_el_Clip_f16(h, 0xc000, 0x4000, 0), 0x4000, 0xffff);
    same_bits("Clip_f16", h, mcc_el_Clip_f16(h, 0xfc00, 0x7c00, 0), h, 0x7c00);
    same_bits("Clip_bf16", h, mcc_el_Clip_bf16(h, 0xff80, 0x7f80, 0), h, 0x7f80);
}

static uint64_t state = 11;
static uint64_t draw(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}
static double between(double lo, double hi) { return lo + (hi - lo) * (double)(draw() >> 11) * 0x1p-53; }

int main(void) {
    static const double specials[] = {
        0,     1,    0.5,  1.5,   2,   2.5,  3,        6,   40,       88.9,     100,
        1e-10, 1e10, 3e38, 1e-40, 7e5, 1e15, INFINITY, NAN, 16777215, 16777217, 9007199254740993.0};
    enum { N = sizeof specials / sizeof *specials };
    for (int i = 0; i < N; i++)
        for (int s = -1; s <= 1; s += 2) {
            double x = s * specials[i];
            if (fabs(x) != INFINITY) check_unary(x);
            for (int j = 0; j < N; j++) check_binary(x, specials[j]), check_binary(x, -specials[j]);
        }
    for (int i = 0; i < 20000; i++) {
        check_unary(between(-1.2, 1.2)), check_unary(between(-20, 20));
        check_binary(between(-8, 8), between(-8, 8)), check_binary(between(0, 100), between(-20, 20));
        check_binary(between(0.9, 1.1), between(-3000, 3000)),
            check_binary((double)(draw() % 40) - 20, (double)(draw() % 20) - 10);
    }
    for (uint32_t h = 0; h < 65536; h++) check_halves((uint16_t)h, (uint16_t)draw());

    expect("Max", 0, 0, (double)mcc_el_Max_f32(NAN, 1, 0), NAN, 0),
        expect("Max", 0, 0, (double)mcc_el_Max_f32(1, NAN, 0), NAN, 0);
    expect("Min", 0, 0, (double)mcc_el_Min_f32(NAN, 1, 0), NAN, 0),
        expect("Min", 0, 0, (double)mcc_el_Min_f32(1, NAN, 0), NAN, 0);
    expect("Clip", 0, 0, (double)mcc_el_Clip_f32(NAN, 0, 1, 0), NAN, 0);
    expect("Clip", 5, 0, (double)mcc_el_Clip_f32(5, 3, 1, 0), 1, 0); /* min(max(x, lo), hi) when the bounds cross */
    expect("Relu", 0, 0, (double)mcc_el_Relu_f32(NAN, 0), NAN, 0);
    expect("Sigmoid", 0, 0, mcc_el_Sigmoid_f64(-INFINITY, 0), 0, 0),
        expect("Tanh", 0, 0, mcc_el_Tanh_f64(INFINITY, 0), 1, 0);
    expect("Exp", 0, 0, mcc_el_Exp_f64(INFINITY, 0), INFINITY, 0),
        expect("Exp", 0, 0, mcc_el_Exp_f64(-INFINITY, 0), 0, 0);
    expect("Relu", 0, 0, (double)mcc_el_Relu_f32(INFINITY, 0), INFINITY, 0);
    if (failures) printf("%d failures\n", failures);
    return failures != 0;
}
