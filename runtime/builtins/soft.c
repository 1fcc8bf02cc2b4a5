/* The arithmetic of soft.h. In the 32-bit bitcode, and wherever a test asks for it. */
#if (defined(MCC_BITCODE) && defined(__arm__)) || defined(MCC_SOFT_FLOAT)
#include "runtime/builtins/soft.h"

#define SOFT(name) mcc_soft_##name##_f32
#define UINT uint32_t
#define BITS 32
#define MANT 23
#define CLZ __builtin_clz
#define HIGH high_f32
#define TOP top_f32
static uint32_t high_f32(uint32_t a, uint32_t b) {
    uint64_t p = (uint64_t)a * b;
    return (uint32_t)(p >> 32) | ((uint32_t)p != 0);
}
static uint32_t top_f32(uint64_t v) { return (uint32_t)(v >> 33) | ((v & 0x1ffffffff) != 0); }
#include "runtime/builtins/soft.inc"
#undef SOFT
#undef UINT
#undef BITS
#undef MANT
#undef CLZ
#undef HIGH
#undef TOP

#define SOFT(name) mcc_soft_##name##_f64
#define UINT uint64_t
#define BITS 64
#define MANT 52
#define CLZ __builtin_clzll
#define HIGH high_f64
#define TOP top_f64
static uint64_t high_f64(uint64_t a, uint64_t b) {
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t low = a0 * b0, middle = a1 * b0 + (low >> 32), other = a0 * b1 + (uint32_t)middle;
    return (a1 * b1 + (middle >> 32) + (other >> 32)) | ((uint32_t)low != 0) | ((uint32_t)other != 0);
}
static uint64_t top_f64(uint64_t v) { return v >> 1 | (v & 1); }
#include "runtime/builtins/soft.inc"

uint64_t mcc_soft_widen(uint32_t a) {
    uint64_t sign = (uint64_t)(a >> 31) << 63;
    uint32_t x = a & 0x7fffffff, fraction = x & 0x7fffff;
    int exp = (int)(x >> 23), up = 0;
    if (exp == 255)
        return sign | UINT64_C(0x7ff0000000000000) | (uint64_t)fraction << 29 | (uint64_t)(fraction != 0) << 51;
    if (x == 0) return sign;
    if (exp == 0) up = __builtin_clz(x) - 8, exp = 1 - up;
    else fraction |= 0x800000;
    return sign |
           (((uint64_t)(exp + 1023 - 127 - 1) << 52) + ((uint64_t)fraction << up << 29)); /* the leading one adds 1 */
}

uint32_t mcc_soft_narrow(uint64_t a) {
    uint32_t sign = (uint32_t)(a >> 63) << 31;
    uint64_t x = a & 0x7fffffffffffffff;
    if (x > 0x7ff0000000000000) return sign | 0x7fc00000 | (uint32_t)(x >> 29 & 0x3fffff);
    int exp = (int)(x >> 52) - (1023 - 127);
    if (exp < -64) return sign; /* f64's subnormal numbers too */
    return mcc_soft_pack_f32(sign, exp, top_f32((x & 0xfffffffffffff) << 11 | UINT64_C(1) << 63));
}
#endif
