/* Small floating-point formats, in integer code: what cvt and the instructions of halves do. */
#ifndef MCC_TESTS_CUDA_NUMBERS_H
#define MCC_TESTS_CUDA_NUMBERS_H

#include <math.h>
#include <string.h>

#include "tests/cuda/emulator.h"

#define NAN32 0x7fffffffu /* what arithmetic on the device makes of NaNs */

static inline u32 bits_of(f32 v) {
    u32 x;
    memcpy(&x, &v, sizeof x);
    return x;
}
static inline f32 f32_of(u32 x) {
    f32 v;
    memcpy(&v, &x, sizeof v);
    return v;
}
static inline u64 bits_of64(f64 v) {
    u64 x;
    memcpy(&x, &v, sizeof x);
    return x;
}
static inline f64 f64_of(u64 x) {
    f64 v;
    memcpy(&v, &x, sizeof v);
    return v;
}
static inline f32 one_nan(f32 v) { return v != v ? f32_of(NAN32) : v; }

static inline f32 f32_of_half(u16 h) {
    u32 x = (u32)(h & 0x7fff) << 13;
    f32 v = f32_of(x) * 0x1p112f; /* the exponent's new bias, subnormals included */
    x = (h & 0x7c00) == 0x7c00 ? x | 0x7f800000u : bits_of(v);
    return f32_of(x | (u32)(h & 0x8000) << 16);
}

static inline u16 half_of_f32(f32 v) {
    u32 x = bits_of(v), sign = x >> 16 & 0x8000, y;
    x &= 0x7fffffffu;
    u32 small = bits_of(f32_of(x) + 0.5f) - bits_of(0.5f); /* 2^-24 is the last place of 0.5 */
    u32 normal = (x + 0xfff + (x >> 13 & 1) - 0x38000000u) >> 13;
    y = x < 0x38800000u ? small : normal;
    y = x >= 0x477ff000u ? 0x7c00 : y;
    return (u16)(x > 0x7f800000u ? 0x7fff : y | sign);
}

static inline f32 f32_of_bf16(u16 h) { return f32_of((u32)h << 16); }

static inline u16 bf16_of_f32(f32 v) {
    u32 x = bits_of(v), y = (x + 0x7fff + (x >> 16 & 1)) >> 16;
    return (u16)((x & 0x7fffffffu) > 0x7f800000u ? 0x7fff : y);
}

typedef struct Format {
    int exponent, fraction; /* bits */
    bool infinite;          /* it has infinities; where not, all ones is NaN (e4m3) */
} Format;
extern const Format format_f16, format_bf16, format_tf32, format_e4m3, format_e5m2, format_f32;

/* v in the format, as TO_… says, its bits in the low end. saturate: beyond the largest finite number becomes that. */
u32 round_to(f64 v, const Format *format, int rounding, bool saturate);
f64 value_of(u32 bits, const Format *format);

/* a·b + c with the last bit set where it is not exact, so that one more rounding (to fewer bits) is right. For factors
 * of up to 26 bits. */
f64 fma_to_odd(f64 a, f64 b, f64 c);

#endif
