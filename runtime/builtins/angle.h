/* Argument reduction for sin, cos, tan: |x| = r + lo + quadrant · π/2 with |r| ≤ π/4, exact to the last bit of r for
 * every finite x, in integers (Payne and Hanek, "Radian reduction for trigonometric functions", 1983). |x| = m 2^e;
 * only a window of the bits of 2/π matters: those above it multiply m to whole turns, those below it to less than is
 * kept. Branch-free: the f32 form picks its window with selects, the f64 form with a table look-up.
 * mcc_reduce_… returns the quadrant, of which only the low two bits mean anything; infinities and NaN give anything. */
#ifndef MCC_ANGLE_H
#define MCC_ANGLE_H
#include "runtime/builtins/bits.h"
#include "runtime/builtins/convert.h"

static inline uint32_t mcc_one_of_5(uint32_t i, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e) {
    uint32_t low = i == 0 ? a : b, high = i == 2 ? c : d;
    low = i < 2 ? low : high;
    return i == 4 ? e : low;
}

static inline uint32_t mcc_reduce_f32(float x, float *reduced, float *reduced_lo) {
    /* 26 zero bits, then 2/π: the window for |x| = m 2^e starts at bit e + 24 */
    const uint32_t t0 = 0x00000028u, t1 = 0xbe60db93u, t2 = 0x91054a7fu, t3 = 0x09d5f47du, t4 = 0x4d377036u,
                   t5 = 0xd8a5664fu, t6 = 0x10e4107fu, t7 = 0x9458eaf7u;
    float a = mcc_abs_f32(x);
    uint32_t b = mcc_bits_f32(a), m = (b & 0x7fffffu) | 0x800000u;
    uint32_t start = (b >> 23) - 126, i = start >> 5, s = start & 31;
    uint32_t w0 = mcc_one_of_5(i, t0, t1, t2, t3, t4), w1 = mcc_one_of_5(i, t1, t2, t3, t4, t5);
    uint32_t w2 = mcc_one_of_5(i, t2, t3, t4, t5, t6), w3 = mcc_one_of_5(i, t3, t4, t5, t6, t7);
    w0 = w0 << s | w1 >> 1 >> (31 - s);
    w1 = w1 << s | w2 >> 1 >> (31 - s);
    w2 = w2 << s | w3 >> 1 >> (31 - s);
    uint64_t product = ((uint64_t)(w0 * m) << 32) + (uint64_t)w1 * m + ((uint64_t)w2 * m >> 32);
    product += UINT64_C(1) << 61; /* two bits of quadrant, 62 of fraction; half a quadrant more: the fraction less ½ */
    uint32_t high = (uint32_t)(product >> 32), low = (uint32_t)product;
    uint32_t negative = (high >> 29 & 1) - 1, f = ((high & 0x1fffffffu) ^ negative) & 0x1fffffffu;
    low ^= negative;
    /* the fraction's magnitude in units of 2^-30: 23 bits and the rest */
    float big = (float)(int32_t)(f & ~0x3fu), rest = (float)((f & 0x3fu) << 26 | low >> 6) * 0x1p-26f;
    float v = big + rest, v_lo = rest - (v - big);
    /* π/2 · 2^-30 in pieces of 12 bits and the rest, v likewise: what the product rounds away is kept */
    const float unit = 1.46291812e-9f, unit_lo = -4.07094043e-17f;
    float v1 = mcc_from_bits_f32(mcc_bits_f32(v) & ~0xfffu), v2 = v - v1;
    const float u1 = 1.46246748e-09f, u2 = 4.50639526e-13f;
    float p = v * unit, p_lo = ((v1 * u1 - p) + v1 * u2 + v2 * u1) + v2 * u2 + (v_lo * unit + v * unit_lo);
    float r = p + p_lo, lo = (p - r) + p_lo;
    uint32_t sign = negative & 0x80000000u;
    int small = a < 0.785398163f; /* π/4 */
    *reduced = small ? a : mcc_from_bits_f32(mcc_bits_f32(r) ^ sign);
    *reduced_lo = small ? 0 : mcc_from_bits_f32(mcc_bits_f32(lo) ^ sign);
    return small ? 0 : (uint32_t)(product >> 62);
}

static inline uint64_t mcc_multiply_high(uint64_t x, uint64_t y) {
    uint64_t x0 = (uint32_t)x, x1 = x >> 32, y0 = (uint32_t)y, y1 = y >> 32;
    uint64_t middle = x1 * y0 + (x0 * y0 >> 32), carry = x0 * y1 + (uint32_t)middle;
    return x1 * y1 + (middle >> 32) + (carry >> 32);
}

static inline uint32_t mcc_reduce_f64(double x, double *reduced, double *reduced_lo) {
    /* 55 zero bits, then 2/π: the window for |x| = m 2^e starts at bit e + 53 */
    static const uint64_t t[20] = {0x0000000000000145, 0xf306dc9c882a53f8, 0x4eafa3ea69bb81b6, 0xc52b3278872083fc,
                                   0xa2c757bd778ac36e, 0x48dc74849ba5c00c, 0x925dd413a32439fc, 0x3bd63962534e7dd1,
                                   0x046bea5d768909d3, 0x38e04d68befc8273, 0x23ac7306a673e939, 0x08bf177bf250763f,
                                   0xf12fffbc0b301fde, 0x5e2316b414da3eda, 0x6cfd9e4f96136e9e, 0x8c7ecd3cbfd45aea,
                                   0x4f758fd7cbe2f67a, 0x0e73ef14a525d4d7, 0xf6bf623f1aba10ac, 0x06608df8f6d757e1};
    double a = mcc_abs_f64(x);
    uint64_t b = mcc_bits_f64(a), m = (b & 0xfffffffffffffu) | 0x10000000000000u;
    uint32_t exponent = (uint32_t)(b >> 52), start = exponent < 1022 ? 0 : exponent - 1022;
    uint32_t i = start >> 6 & 15, s = start & 63;
    i = start >= 1024 ? 16 : i; /* 1024 itself; infinity and NaN go past it */
    uint64_t w0 = t[i] << s | t[i + 1] >> 1 >> (63 - s), w1 = t[i + 1] << s | t[i + 2] >> 1 >> (63 - s);
    uint64_t w2 = t[i + 2] << s | t[i + 3] >> 1 >> (63 - s);
    uint64_t low = w1 * m + mcc_multiply_high(w2, m), high = w0 * m + mcc_multiply_high(w1, m) + (low < w1 * m);
    high += UINT64_C(1) << 61;
    uint64_t negative = (high >> 61 & 1) - 1, f = ((high & 0x1fffffffffffffff) ^ negative) & 0x1fffffffffffffff;
    low ^= negative;
    /* the fraction's magnitude in units of 2^-62: 52 bits and the rest */
    double big = mcc_i64_to_f64((int64_t)(f & ~UINT64_C(0x3ff)));
    double rest = mcc_u64_to_f64((f & 0x3ff) << 54 | low >> 10) * 0x1p-54;
    double v = big + rest, v_lo = rest - (v - big);
    /* π/2 · 2^-62 in pieces of 26 bits and the rest, v likewise: what the product rounds away is kept */
    const double unit = 3.4061215800865545e-19, unit_lo = 1.3277647201629795e-35;
    double v1 = mcc_from_bits_f64(mcc_bits_f64(v) & ~UINT64_C(0x7ffffff)), v2 = v - v1;
    const double u1 = 3.406121545623552e-19, u2 = 3.44630025738733e-27;
    double p = v * unit, p_lo = ((v1 * u1 - p) + v1 * u2 + v2 * u1) + v2 * u2 + (v_lo * unit + v * unit_lo);
    double r = p + p_lo, lo = (p - r) + p_lo;
    uint64_t sign = negative & UINT64_C(0x8000000000000000);
    int small = a < 0.78539816339744828;
    *reduced = small ? a : mcc_from_bits_f64(mcc_bits_f64(r) ^ sign);
    *reduced_lo = small ? 0 : mcc_from_bits_f64(mcc_bits_f64(lo) ^ sign);
    return small ? 0 : (uint32_t)(high >> 62);
}
#endif
