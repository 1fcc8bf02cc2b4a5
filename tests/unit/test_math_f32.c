/* Accuracy of the f32 elementary functions over the whole range, against the host's libm in f64: every STRIDE-th bit
 * pattern (1 = exhaustive) and every pattern near a power of two or a value where a special case starts. The bound of
 * each function is what it reaches, rounded up: 4 ULP at most, 5 for the activations that are products of several.
 * Prints a line a function, as soon as it is done, with the seconds that it took.
 *   test_math_f32 [stride [function]] */
#include "runtime/builtins/builtins.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    const char *name;
    float (*ours)(float);
    double (*exact)(double);
    double bound; /* ULP */
} Function;

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }
static double gelu(double x) { return x * 0.5 * erfc(-x * M_SQRT1_2); }
static double mish(double x) { return x * tanh(softplus(x)); }

static const Function functions[] = {
    {"floor", mcc_floor_f32, floor, 0},
    {"ceil", mcc_ceil_f32, ceil, 0},
    {"trunc", mcc_trunc_f32, trunc, 0},
    {"rint", mcc_rint_f32, rint, 0},
    {"exp", mcc_exp_f32, exp, 1},
    {"expm1", mcc_expm1_f32, expm1, 2},
    {"log", mcc_log_f32, log, 1},
    {"log1p", mcc_log1p_f32, log1p, 1},
    {"sin", mcc_sin_f32, sin, 1},
    {"cos", mcc_cos_f32, cos, 1},
    {"tan", mcc_tan_f32, tan, 2.5},
    {"asin", mcc_asin_f32, asin, 1.5},
    {"acos", mcc_acos_f32, acos, 1},
    {"atan", mcc_atan_f32, atan, 2},
    {"sinh", mcc_sinh_f32, sinh, 2},
    {"cosh", mcc_cosh_f32, cosh, 1.5},
    {"tanh", mcc_tanh_f32, tanh, 3},
    {"asinh", mcc_asinh_f32, asinh, 2},
    {"acosh", mcc_acosh_f32, acosh, 3},
    {"atanh", mcc_atanh_f32, atanh, 2},
    {"erf", mcc_erf_f32, erf, 1.5},
    {"gelu", mcc_gelu_f32, gelu, 5},
    {"sigmoid", mcc_sigmoid_f32, sigmoid, 2.5},
    {"softplus", mcc_softplus_f32, softplus, 2},
    {"mish", mcc_mish_f32, mish, 4.5},
    {"sqrt", mcc_sqrt_f32, sqrt, 0.5},
};

/* |got - want| in units of the last place of an f32 near want; a zero of the wrong sign is infinitely wrong */
static double ulps(float got, double want) {
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : INFINITY;
    if (got == 0 && !signbit(got) != !signbit(want)) return INFINITY;
    if (isinf(got) && isinf((float)want)) return (got > 0) == (want > 0) ? 0 : INFINITY;
    double value = isinf(got) ? copysign(0x1p128, got) : got; /* infinity counts as the first number past the largest */
    if (isinf((float)want)) want = copysign(0x1p128, want);
    int e = want == 0 ? -126 : ilogb(want);
    return fabs(value - want) / ldexp(1, (e < -126 ? -126 : e) - 23);
}

static double worst;
static uint32_t worst_at;
static void check(const Function *f, uint32_t bits) {
    float x = mcc_from_bits_f32(bits), got = f->ours(x);
    double want = f->exact((double)x);
    if (worst >= 0.5 && got == (float)want && got != 0) return; /* rounded as well as can be: most are */
    double u = ulps(got, want);
    if (u > worst) worst = u, worst_at = bits;
}

int main(int argc, char **argv) {
    uint32_t stride = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 2053;
    const char *only = argc > 2 ? argv[2] : NULL;
    int failed = 0;
    if (!stride) stride = 1;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        const Function *f = functions + i;
        time_t start = time(NULL);
        if (only && strcmp(only, f->name)) continue;
        worst = -1;
        for (uint64_t b = 0; b < UINT64_C(1) << 32; b += stride) check(f, (uint32_t)b);
        for (uint32_t e = 0; e < 512; e++) /* both sides of every power of two, subnormals, infinities, NaN */
            for (uint32_t d = 0; d < 17; d++) check(f, (e << 23) + d), check(f, (e << 23) - d);
        int bad = worst > f->bound;
        float x = mcc_from_bits_f32(worst_at);
        printf("%-9s %6.3f ULP (bound %g) at %.9g: %.9g, want %.9g, %.0f s%s\n", f->name, worst, f->bound, x,
               f->ours(x), f->exact((double)x), difftime(time(NULL), start), bad ? "  FAIL" : "");
        fflush(stdout);
        failed += bad;
    }
    return failed != 0;
}
