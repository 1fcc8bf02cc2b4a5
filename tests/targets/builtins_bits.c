/* Prints one hash a builtin over many inputs, NaN taken as one value: builtins_bits.sh compares the hashes of every
 * compiler and target. */
#include "runtime/builtins/builtins.h"
#include <stdio.h>

static uint64_t hash, state;
static void mix(uint64_t v) { hash = (hash ^ v) * UINT64_C(0x100000001b3) ^ hash >> 29; }
static void mix_f32(float x) { mix(x != x ? 1 : mcc_bits_f32(x)); }
static void mix_f64(double x) { mix(x != x ? 1 : mcc_bits_f64(x)); }
static uint64_t draw(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}
/* half of them of moderate size, half any pattern */
static float draw_f32(int i) { return i & 1 ? mcc_from_bits_f32((uint32_t)draw()) : (float)(int32_t)draw() * 0x1p-27f; }
static double draw_f64(int i) { return i & 1 ? mcc_from_bits_f64(draw()) : (double)(int32_t)draw() * 0x1.23456789p-27; }
static void start(void) { hash = 14695981039346656037u, state = 88172645463325252u; }

enum { N = 20000 };
#define UNARY(name)                                                                                                    \
    start();                                                                                                           \
    for (int i = 0; i < N; i++) mix_f32(mcc_##name##_f32(draw_f32(i)));                                                \
    printf(#name "_f32 %016llx\n", (unsigned long long)hash);                                                          \
    start();                                                                                                           \
    for (int i = 0; i < N; i++) mix_f64(mcc_##name##_f64(draw_f64(i)));                                                \
    printf(#name "_f64 %016llx\n", (unsigned long long)hash);
/* the order of a call's arguments is open in C, so they are drawn apart */
#define BINARY(name)                                                                                                   \
    start();                                                                                                           \
    for (int i = 0; i < N; i++) {                                                                                      \
        float x = draw_f32(i), y = draw_f32(i / 2);                                                                    \
        mix_f32(mcc_##name##_f32(x, y));                                                                               \
    }                                                                                                                  \
    printf(#name "_f32 %016llx\n", (unsigned long long)hash);                                                          \
    start();                                                                                                           \
    for (int i = 0; i < N / 10; i++) {                                                                                 \
        double x = draw_f64(i), y = draw_f64(i / 2);                                                                   \
        mix_f64(mcc_##name##_f64(x, y));                                                                               \
    }                                                                                                                  \
    printf(#name "_f64 %016llx\n", (unsigned long long)hash);

int main(void) {
    UNARY(floor)
    UNARY(ceil) UNARY(trunc) UNARY(rint) UNARY(exp) UNARY(expm1) UNARY(log) UNARY(log1p) UNARY(sin) UNARY(cos)
        UNARY(tan) UNARY(asin) UNARY(acos) UNARY(atan) UNARY(sinh) UNARY(cosh) UNARY(tanh) UNARY(asinh) UNARY(acosh)
            UNARY(atanh) UNARY(erf) UNARY(gelu) UNARY(sigmoid) UNARY(softplus) UNARY(mish) UNARY(sqrt) BINARY(pow)
                BINARY(fmod) BINARY(mod) start();
    for (int i = 0; i < N; i++) {
        float x = draw_f32(i);
        double d = draw_f64(i);
        uint64_t u = draw() >> (draw() % 64), v = draw() >> (draw() % 64);
        mix((uint64_t)mcc_f32_to_i64(x)), mix(mcc_f32_to_u64(x)), mix((uint64_t)mcc_f32_to_i32(x)),
            mix(mcc_f32_to_u32(x));
        mix((uint64_t)mcc_f64_to_i64(d)), mix(mcc_f64_to_u64(d)), mix((uint64_t)mcc_f64_to_i8(d)),
            mix(mcc_f32_to_u16(x));
        mix_f32(mcc_i64_to_f32((int64_t)u)), mix_f64(mcc_u64_to_f64(u)), mix_f32(mcc_u64_to_f32(u)),
            mix_f64(mcc_i64_to_f64((int64_t)u));
        mix(mcc_i64_to_bf16((int64_t)u)), mix(mcc_u64_to_f16(u)), mix(x != x ? 1 : mcc_f32_to_f16(x)),
            mix(d != d ? 1 : mcc_f64_to_bf16(d));
        mix((uint64_t)mcc_div_i64((int64_t)u, (int64_t)v)), mix(mcc_rem_u64(u, v)),
            mix((uint64_t)mcc_mod_i64((int64_t)(0 - u), (int64_t)v));
        mix((uint64_t)mcc_div_i32((int32_t)u, (int32_t)v)), mix(mcc_rem_u32((uint32_t)u, (uint32_t)v));
    }
    printf("convert, divide %016llx\n", (unsigned long long)hash);
    return 0;
}
