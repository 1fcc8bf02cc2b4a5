/* pow and fmod, f32 and f64. pow: error against libm's next wider type on random pairs that neither overflow nor
 * vanish, and C's table of special cases (Annex F) through libm's own answers. fmod is exact: equal to libm's, bit for
 * bit. */
#include "runtime/builtins/builtins.h"
#include <float.h>
#include <math.h>
#include <stdio.h>

static int failures;
static void fail(const char *what, double x, double y, double got, double want) {
    if (failures++ < 30) printf("%s(%a, %a): got %a, want %a\n", what, x, y, got, want);
}

static uint64_t state = 9;
static uint64_t draw(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}
static double between(double lo, double hi) { return lo + (hi - lo) * (double)(draw() >> 11) * 0x1p-53; }

static double worst32, worst64, at32[2], at64[2];
static void check_pow(double x, double y) {
    float s = (float)x, t = (float)y;
    double want = pow((double)s, (double)t), got = (double)mcc_pow_f32(s, t);
    if (isnan(want) || isinf((float)want) || fabs(want) < 0x1p-150 || want == 0) {
        int rounds_up = isinf((float)want) && fabs(want) < 0x1.000002p128 && fabs(got) > 0x1.fffffp127;
        if (!(isnan(want) ? isnan(got) : got == (double)(float)want || rounds_up)) fail("pow_f32", s, t, got, want);
        if (!isnan(want) && !signbit(got) != !signbit(want)) fail("sign of pow_f32", s, t, got, want);
    } else {
        double u = fabs(got - want) / ldexp(1, (ilogb(want) < -126 ? -126 : ilogb(want)) - 23);
        if (u > worst32) worst32 = u, at32[0] = (double)s, at32[1] = (double)t;
    }
    long double exact = powl((long double)x, (long double)y);
    double f = mcc_pow_f64(x, y);
    if (isnan(exact) || isinf((double)exact) || fabsl(exact) < 0x1p-1074L) {
        if (!(isnan(exact) ? isnan(f) : f == (double)exact)) fail("pow_f64", x, y, f, (double)exact);
        if (!isnan(exact) && !signbit(f) != !signbit((double)exact)) fail("sign of pow_f64", x, y, f, (double)exact);
    } else {
        double u =
            (double)(fabsl((long double)f - exact) / ldexpl(1, (ilogbl(exact) < -1022 ? -1022 : ilogbl(exact)) - 52));
        if (u > worst64) worst64 = u, at64[0] = x, at64[1] = y;
    }
}

static void check_fmod(double x, double y) {
    double got = mcc_fmod_f64(x, y), want = fmod(x, y);
    if (isnan(want) ? !isnan(got) : got != want || !signbit(got) != !signbit(want)) fail("fmod_f64", x, y, got, want);
    float s = (float)x, t = (float)y, got32 = mcc_fmod_f32(s, t), want32 = fmodf(s, t);
    if (isnan(want32) ? !isnan(got32) : got32 != want32 || !signbit(got32) != !signbit(want32))
        fail("fmod_f32", (double)s, (double)t, (double)got32, (double)want32);
}

int main(void) {
    static const double specials[] = {0,
                                      0.5,
                                      1,
                                      1.5,
                                      2,
                                      3,
                                      1e-45,
                                      1e-310,
                                      1e30,
                                      1e300,
                                      1e9,
                                      127,
                                      2.5,
                                      7,
                                      1e16,
                                      1e-10,
                                      33.0,
                                      INFINITY,
                                      NAN,
                                      0x1.fffffep127,
                                      0x1p-149,
                                      0x1p-1074,
                                      DBL_MAX,
                                      16777217,
                                      9007199254740993.0,
                                      0x1.000002p0,
                                      0x1.fffffep-1};
    enum { N = sizeof specials / sizeof *specials };
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            for (int signs = 0; signs < 4; signs++) {
                double x = signs & 1 ? -specials[i] : specials[i], y = signs & 2 ? -specials[j] : specials[j];
                check_pow(x, y), check_fmod(x, y);
            }
    for (int i = 0; i < 100000; i++) {
        check_pow(between(0, 4), between(-60, 60));
        check_pow(between(0.9, 1.1), between(-900, 900));
        check_pow(exp(between(-80, 80)), between(-1, 1));
        check_pow(mcc_from_bits_f64(draw()), mcc_from_bits_f64(draw()));
        check_pow((double)mcc_from_bits_f32((uint32_t)draw()), (double)mcc_from_bits_f32((uint32_t)draw()));
        double x = between(0.01, 30);
        check_pow(x, between(-1, 1) * 700 / log(x)); /* the whole range of f64 */
        check_pow(-x, (double)(draw() % 33) - 16);
        check_fmod(between(-100, 100), between(-10, 10)), check_fmod(between(-1e9, 1e9), between(-1, 1));
    }
    for (int i = 0; i < 2000; i++) {
        check_fmod(mcc_from_bits_f64(draw()), mcc_from_bits_f64(draw()));
        check_fmod((double)mcc_from_bits_f32((uint32_t)draw()), (double)mcc_from_bits_f32((uint32_t)draw()));
    }
    printf("pow_f32 %.3f ULP at (%a, %a)\n", worst32, at32[0], at32[1]);
    if (worst32 > 1.5) failures++;
    if (LDBL_MANT_DIG >= 64) printf("pow_f64 %.3f ULP at (%a, %a)\n", worst64, at64[0], at64[1]);
    if (LDBL_MANT_DIG >= 64 && worst64 > 2) failures++;
    if (failures) printf("%d failures\n", failures);
    return failures != 0;
}
