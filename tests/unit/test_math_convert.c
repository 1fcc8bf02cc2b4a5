/* Conversions between number types. f16 and bf16: all 65536 patterns, and every point where the rounding changes.
 * Floats to integers: the edges of each integer type. 64-bit integers to floats: against the processor's own. */
#include "runtime/builtins/builtins.h"
#include <math.h>
#include <stdio.h>

static int failures;
static void fail(const char *what, double x, double got, double want) {
    if (failures++ < 20) printf("%s(%a): got %.17g, want %.17g\n", what, x, got, want);
}

/* the value of a pattern with the given widths, by definition */
static double value_of(uint16_t h, int exponent_bits, int mantissa_bits) {
    int bias = (1 << (exponent_bits - 1)) - 1, e = h >> mantissa_bits & ((1 << exponent_bits) - 1);
    int m = h & ((1 << mantissa_bits) - 1);
    double v = e == (1 << exponent_bits) - 1 ? (m ? NAN : INFINITY)
               : e                           ? ldexp(m + (1 << mantissa_bits), e - bias - mantissa_bits)
                                             : ldexp(m, 1 - bias - mantissa_bits);
    return h >> 15 ? -v : v;
}

typedef struct {
    const char *name;
    int exponent_bits, mantissa_bits;
    float (*decode)(uint16_t);
    uint16_t (*encode)(float);
    uint16_t (*encode64)(double);
    uint16_t infinity;
} Format;

static void encode(const Format *f, double x, uint16_t want) {
    uint16_t got64 = f->encode64(x), got = f->encode((float)x);
    if (got64 != want) fail(f->name, x, got64, want);
    if ((double)(float)x == x && got != want) fail(f->name, x, got, want);
}

static void check_format(const Format *f) {
    for (uint32_t h = 0; h < 65536; h++) {
        double v = value_of((uint16_t)h, f->exponent_bits, f->mantissa_bits), got = (double)f->decode((uint16_t)h);
        if (isnan(v)) {
            uint16_t back = f->encode(f->decode((uint16_t)h));
            if (!isnan(got) || (back & f->infinity) != f->infinity || !(back & ~(0x8000 | f->infinity)))
                fail(f->name, h, got, v);
            if ((back ^ h) & 0x8000 || !isnan(f->decode(f->encode64(got)))) fail(f->name, h, back, h);
            continue;
        }
        if (got != v || !signbit(got) != !signbit(v)) fail(f->name, h, got, v);
        encode(f, v, (uint16_t)h);
        uint16_t magnitude = h & 0x7fff, sign = h & 0x8000;
        if (magnitude >= f->infinity) continue;
        /* between this value and the next one (past the largest: where the next would be) */
        double next = magnitude + 1 == f->infinity
                          ? ldexp(1, 1 << (f->exponent_bits - 1))
                          : value_of((uint16_t)(magnitude + 1), f->exponent_bits, f->mantissa_bits);
        double middle = (fabs(v) + next) / 2, s = sign ? -1 : 1;
        uint16_t up = (uint16_t)(h + 1), even = (uint16_t)(h & 1 ? up : h);
        encode(f, s * middle, even);
        encode(f, s * nextafter(middle, 0), (uint16_t)h);
        encode(f, s * nextafter(middle, INFINITY), up);
        encode(f, s * (double)nextafterf((float)middle, 0), (uint16_t)h);
        encode(f, s * (double)nextafterf((float)middle, INFINITY), up);
    }
    encode(f, 1e308, f->infinity);
    encode(f, 5e-324, 0);
    encode(f, -5e-324, 0x8000);
}

static double clamp(double v, double lo, double hi) { return isnan(v) ? 0 : v < lo ? lo : v > hi ? hi : trunc(v); }
#define CHECK_SATURATES(D, LO, HI)                                                                                     \
    do {                                                                                                               \
        double want = clamp(x, LO, HI), want32 = clamp((double)(float)x, LO, HI);                                      \
        if ((double)mcc_f64_to_##D(x) != want) fail("f64 to " #D, x, (double)mcc_f64_to_##D(x), want);                 \
        if ((double)mcc_f32_to_##D((float)x) != want32)                                                                \
            fail("f32 to " #D, x, (double)mcc_f32_to_##D((float)x), want32);                                           \
    } while (0)

static void check_float_to_integer(double x) {
    CHECK_SATURATES(i8, -128, 127);
    CHECK_SATURATES(u8, 0, 255);
    CHECK_SATURATES(i16, -32768, 32767);
    CHECK_SATURATES(u16, 0, 65535);
    CHECK_SATURATES(i32, -2147483648.0, 2147483647.0);
    CHECK_SATURATES(u32, 0, 4294967295.0);
    /* the largest i64 and u64 are no f64; as doubles they compare equal to the power of two above */
    CHECK_SATURATES(i64, -0x1p63, 0x1p63);
    CHECK_SATURATES(u64, 0, 0x1p64);
    if (mcc_f64_to_bool(x) != (x != 0)) fail("f64 to bool", x, mcc_f64_to_bool(x), x != 0);
}

static uint64_t state = 7;
static uint64_t draw(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}

/* rounded to a format with the given mantissa by definition: the nearest of the neighbours, ties to even */
static double rounded(uint64_t v, int mantissa_bits) {
    int drop = 0;
    while (v >> drop >> (mantissa_bits + 1)) drop++;
    if (!drop) return (double)v;
    uint64_t kept = v >> drop, rest = v & ((UINT64_C(1) << drop) - 1), half = UINT64_C(1) << (drop - 1);
    kept += rest > half || (rest == half && kept & 1);
    return ldexp((double)kept, drop);
}
static void check_from_integer(uint64_t v) {
    int64_t i = (int64_t)v;
    uint64_t m = i < 0 ? 0 - v : v;
    double sign = i < 0 ? -1 : 1, limit = 65520;
    if ((double)mcc_u64_to_f32(v) != rounded(v, 23))
        fail("u64 to f32", (double)v, (double)mcc_u64_to_f32(v), rounded(v, 23));
    if (mcc_u64_to_f64(v) != rounded(v, 52)) fail("u64 to f64", (double)v, mcc_u64_to_f64(v), rounded(v, 52));
    if ((double)mcc_i64_to_f32(i) != sign * rounded(m, 23)) fail("i64 to f32", (double)i, (double)mcc_i64_to_f32(i), 0);
    if (mcc_i64_to_f64(i) != sign * rounded(m, 52)) fail("i64 to f64", (double)i, mcc_i64_to_f64(i), 0);
    double bf = (double)mcc_bf16_to_f32(mcc_u64_to_bf16(v)), sbf = (double)mcc_bf16_to_f32(mcc_i64_to_bf16(i));
    if (bf != rounded(v, 7)) fail("u64 to bf16", (double)v, bf, rounded(v, 7));
    if (sbf != sign * rounded(m, 7)) fail("i64 to bf16", (double)i, sbf, sign * rounded(m, 7));
    double h = (double)mcc_f16_to_f32(mcc_u64_to_f16(v)), want = (double)v >= limit ? INFINITY : rounded(v, 10);
    if (h != want) fail("u64 to f16", (double)v, h, want);
    double sh = (double)mcc_f16_to_f32(mcc_i64_to_f16(i)),
           swant = sign * ((double)m >= limit ? INFINITY : rounded(m, 10));
    if (sh != swant) fail("i64 to f16", (double)i, sh, swant);
    uint32_t u = (uint32_t)v;
    double ubf = (double)mcc_bf16_to_f32(mcc_u32_to_bf16(u));
    if (ubf != rounded(u, 7)) fail("u32 to bf16", u, ubf, rounded(u, 7));
    uint32_t um = (int32_t)u < 0 ? 0 - u : u;
    double ibf = (double)mcc_bf16_to_f32(mcc_i32_to_bf16((int32_t)u)),
           iwant = ((int32_t)u < 0 ? -1 : 1) * rounded(um, 7);
    if (ibf != iwant) fail("i32 to bf16", (int32_t)u, ibf, iwant);
}

int main(void) {
    check_format(&(Format){"f16", 5, 10, mcc_f16_to_f32, mcc_f32_to_f16, mcc_f64_to_f16, 0x7c00});
    check_format(&(Format){"bf16", 8, 7, mcc_bf16_to_f32, mcc_f32_to_bf16, mcc_f64_to_bf16, 0x7f80});

    static const double points[] = {
        0,      0.5,    1,      127,          128,          255,          256,          32767,
        32768,  65535,  65536,  2147483647.0, 2147483648.0, 4294967295.0, 4294967296.0, 0x1p53,
        0x1p62, 0x1p63, 0x1p64, 0x1p65,       1e300,        INFINITY,     3e-310};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        for (int s = -1; s <= 1; s += 2) {
            double p = s * points[i];
            check_float_to_integer(p), check_float_to_integer(nextafter(p, INFINITY)),
                check_float_to_integer(nextafter(p, -INFINITY));
            check_float_to_integer((double)nextafterf((float)p, INFINITY)),
                check_float_to_integer((double)nextafterf((float)p, -INFINITY));
        }
    check_float_to_integer(NAN);
    for (int i = 0; i < 100000; i++) check_float_to_integer(mcc_from_bits_f64(draw()));
    for (int i = 0; i < 100000; i++) check_float_to_integer(ldexp((double)(int64_t)draw(), -(int)(draw() % 64)));

    for (int i = 0; i < 64; i++)
        for (int j = 0; j <= i; j++)
            for (int d = -2; d <= 2; d++)
                for (int sign = 0; sign < 2; sign++) {
                    uint64_t v = (UINT64_C(1) << i) + (UINT64_C(1) << j) + (uint64_t)d;
                    check_from_integer(sign ? 0 - v : v);
                }
    for (int i = 0; i < 200000; i++) check_from_integer(draw() >> (draw() % 64));
    if (failures) printf("%d failures\n", failures);
    return failures != 0;
}
