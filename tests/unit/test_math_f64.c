/* Accuracy of the f64 elementary functions against the host's libm in long double (x87's 64-bit significands, or
 * wider): on random bit patterns, on random numbers of moderate size, near 1 and around every power of two. Where long
 * double is f64 there is nothing to compare with: skipped. test_math_f64 [samples] */
#include "runtime/builtins/builtins.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    const char *name;
    double (*ours)(double);
    long double (*exact)(long double);
    double bound; /* ULP */
} Function;

static long double sigmoid(long double x) { return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x)); }
static long double softplus(long double x) { return x > 0 ? x + log1pl(expl(-x)) : log1pl(expl(x)); }
static long double gelu(long double x) { return x * (erfcl(-x * 0.707106781186547524400844362104849039L) / 2); }
static long double mish(long double x) { return x * tanhl(softplus(x)); }

static const Function functions[] = {
    {"floor", mcc_floor_f64, floorl, 0},
    {"ceil", mcc_ceil_f64, ceill, 0},
    {"trunc", mcc_trunc_f64, truncl, 0},
    {"rint", mcc_rint_f64, rintl, 0},
    {"exp", mcc_exp_f64, expl, 1.5},
    {"expm1", mcc_expm1_f64, expm1l, 3},
    {"log", mcc_log_f64, logl, 1},
    {"log1p", mcc_log1p_f64, log1pl, 1},
    {"sin", mcc_sin_f64, sinl, 1},
    {"cos", mcc_cos_f64, cosl, 1},
    {"tan", mcc_tan_f64, tanl, 3},
    {"asin", mcc_asin_f64, asinl, 1.5},
    {"acos", mcc_acos_f64, acosl, 1},
    {"atan", mcc_atan_f64, atanl, 2},
    {"sinh", mcc_sinh_f64, sinhl, 2},
    {"cosh", mcc_cosh_f64, coshl, 2},
    {"tanh", mcc_tanh_f64, tanhl, 3},
    {"asinh", mcc_asinh_f64, asinhl, 2},
    {"acosh", mcc_acosh_f64, acoshl, 3},
    {"atanh", mcc_atanh_f64, atanhl, 2},
    {"erf", mcc_erf_f64, erfl, 2},
    {"gelu", mcc_gelu_f64, gelu, 6},
    {"sigmoid", mcc_sigmoid_f64, sigmoid, 3},
    {"softplus", mcc_softplus_f64, softplus, 2},
    {"mish", mcc_mish_f64, mish, 5},
    {"sqrt", mcc_sqrt_f64, sqrtl, 0.5},
};

/* |got - want| in units of the last place of an f64 near want */
static double ulps(double got, long double want) {
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : INFINITY;
    if (isinf(got) || isinf((double)want)) { /* an overflow that came too early or too late counts as 2^1024 */
        if (got == (double)want) return 0;
        if (isinf(got)) return (double)(fabsl(want) >= DBL_MAX ? 1 : INFINITY);
        return (double)((0x1p1024L - fabsl((long double)got)) / 0x1p971L);
    }
    if (want == 0) return got == 0 && !signbit(got) == !signbit(want) ? 0 : INFINITY;
    if (got == 0 && !signbit(got) != !signbit(want)) return INFINITY;
    int e = ilogbl(want);
    return (double)(fabsl((long double)got - want) / ldexpl(1, (e < -1022 ? -1022 : e) - 52));
}

static double worst, worst_at;
static void check(const Function *f, double x) {
    double u = ulps(f->ours(x), f->exact((long double)x));
    if (u > worst) worst = u, worst_at = x;
}

static uint64_t state = 1;
static uint64_t draw(void) { /* splitmix64 */
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}
static double between(double lo, double hi) { return lo + (hi - lo) * (double)(draw() >> 11) * 0x1p-53; }

int main(int argc, char **argv) {
    if (LDBL_MANT_DIG < 64) return puts("long double is no wider than double"), 77;
    long samples = argc > 1 ? atol(argv[1]) : 40000;
    int failed = 0;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        const Function *f = functions + i;
        worst = -1;
        for (long n = 0; n < samples; n++) {
            check(f, mcc_from_bits_f64(draw()));
            check(f, between(-1, 1)), check(f, between(-8, 8)), check(f, between(-800, 800));
            check(f, between(0.5, 2)), check(f, 1 + ldexp(between(-1, 1), -(int)(draw() % 50)));
            check(f, ldexp(between(-1, 1), -(int)(draw() % 80)));
            check(f, (double)(draw() % 100000) * 1.5707963267948966); /* sin, cos, tan near their zeros */
        }
        for (uint64_t e = 0; e < 4096; e++)
            for (uint64_t d = 0; d < 5; d++)
                check(f, mcc_from_bits_f64((e << 52) + d)), check(f, mcc_from_bits_f64((e << 52) - d));
        int bad = !(worst <= f->bound);
        printf("%-9s %6.3f ULP (bound %g) at %.17g: %.17g, want %.21Lg%s\n", f->name, worst, f->bound, worst_at,
               f->ours(worst_at), f->exact((long double)worst_at), bad ? "  FAIL" : "");
        failed += bad;
    }
    return failed != 0;
}
