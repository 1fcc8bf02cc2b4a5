/* Rounding to the small floating-point formats, once, from doubles. */
#include "tests/cuda/numbers.h"

const Format format_f16 = {5, 10, true}, format_bf16 = {8, 7, true}, format_tf32 = {8, 10, true};
const Format format_e4m3 = {4, 3, false}, format_e5m2 = {5, 2, true}, format_f32 = {8, 23, true};

/* x / 2^shift as `rounding` says, of a number with this sign. */
static u64 shift_rounded(u64 x, int shift, int rounding, bool negative) {
    if (shift <= 0) return x << -shift;
    if (shift > 60) shift = 60; /* x has 53 bits: less than a half is left, but not nothing */
    u64 whole = x >> shift, rest = x & ((1ull << shift) - 1), half = 1ull << (shift - 1);
    bool up = false;
    if (rounding == TO_NEAREST) up = rest > half || (rest == half && (whole & 1));
    else if (rounding == TO_AWAY) up = rest >= half;
    else if (rounding == TO_PLUS) up = rest && !negative;
    else if (rounding == TO_MINUS) up = rest && negative;
    return whole + up;
}

static u32 largest_finite(const Format *f) {
    u32 infinity = ((1u << f->exponent) - 1) << f->fraction;
    return f->infinite ? infinity - 1 : (infinity | ((1u << f->fraction) - 1)) - 1;
}

u32 round_to(f64 v, const Format *f, int rounding, bool saturate) {
    u64 x = bits_of64(v);
    bool negative = x >> 63;
    u32 sign = (u32)negative << (f->exponent + f->fraction);
    u32 infinity = ((1u << f->exponent) - 1) << f->fraction, top = infinity | ((1u << f->fraction) - 1);
    if (v != v) return f == &format_f32 ? NAN32 : f == &format_tf32 ? NAN32 >> 13 : top;
    u32 largest = largest_finite(f);
    u32 over = f->infinite ? infinity : top;
    if (isinf(v)) return sign | (saturate ? largest : over);
    if (v == 0) return sign;
    int bias = (1 << (f->exponent - 1)) - 1;
    int e = (int)(x >> 52 & 0x7ff);
    u64 fraction = x & ((1ull << 52) - 1);
    if (e) fraction |= 1ull << 52;
    else e = 1;
    int exponent = e - 1023 + bias; /* in the format; below 1 it is subnormal */
    int shift = 52 - f->fraction + (exponent < 1 ? 1 - exponent : 0);
    u64 rounded = shift_rounded(fraction, shift, rounding, negative);
    u64 result = exponent < 1 ? rounded : rounded + ((u64)(exponent - 1) << f->fraction);
    if (result > largest) {
        bool inward = rounding == TO_ZERO || (rounding == TO_PLUS && negative) || (rounding == TO_MINUS && !negative);
        return sign | (saturate || inward ? largest : over);
    }
    return sign | (u32)result;
}

f64 value_of(u32 bits, const Format *f) {
    u32 top = (1u << f->exponent) - 1, e = bits >> f->fraction & top, fraction = bits & ((1u << f->fraction) - 1);
    f64 sign = bits >> (f->exponent + f->fraction) & 1 ? -1.0 : 1.0;
    int bias = (1 << (f->exponent - 1)) - 1;
    if (e == top && f->infinite) return fraction ? (f64)NAN : sign * (f64)INFINITY;
    if (e == top && fraction == (1u << f->fraction) - 1) return (f64)NAN;
    if (!e) return sign * ldexp(fraction, 1 - bias - f->fraction);
    return sign * ldexp(fraction + (1u << f->fraction), (int)e - bias - f->fraction);
}

f64 fma_to_odd(f64 a, f64 b, f64 c) {
    f64 p = a * b, s = p + c;
    if (!isfinite(s)) return s;
    f64 back = s - p, error = (p - (s - back)) + (c - back); /* Knuth's TwoSum */
    u64 x = bits_of64(s);
    if (error == 0 || (x & 1)) return s;
    bool outward = (error > 0) == (s > 0);
    return f64_of(outward ? x + 1 : x - 1);
}
