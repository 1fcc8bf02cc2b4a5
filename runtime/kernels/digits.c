/* Floats as integers in a fixed point of their own, in digits of 8 bits, so that sums of products with small integers
 * are exact. mcc.NarrowMatMul's kernels call it. */
#include "runtime/kernels/common.h"
#include "runtime/kernels/real.h"

enum { DIGITS = 3, TOP = 127 * 65536 /* rounded up or not, the first digit stays within 8 bits */ };

/* the largest magnitude's bits; more than those of infinity: there is a NaN */
static inline uint32_t largest_bits(const float *x, idx n) {
    uint32_t most = 0;
    for (idx i = 0; i < n; i++) {
        const uint32_t bits = mcc_bits_f32(x[i]) & 0x7fffffffu;
        most = bits > most ? bits : most;
    }
    return most;
}

/* x: [segments][size]. q: their digits, [segments][3][size], the highest first: x ≈ (q0·65536 + q1·256 + q2) · step.
 * sum: of each digit over the segment; total: of x / step. A segment with an element that is not finite has step NaN.
 */
void mcc_digits(const float *x, int64_t segments, int64_t size, int8_t *q, float *step, int32_t *sum, float *total) {
    for (int64_t s = 0; s < segments; s++, x += size, q += DIGITS * size) {
        const uint32_t bits = largest_bits(x, (idx)size), infinite = 0x7f800000u;
        const float most = mcc_from_bits_f32(bits), least = 1e-30f;
        const float range = bits < infinite ? most > least ? most : least : 1;
        const float by = bits < infinite ? (float)TOP / range : 0;
        int32_t sums[DIGITS] = {0};
        for (idx i = 0; i < (idx)size; i++) {
            const int32_t v = bits < infinite ? (int32_t)mcc_rint_f32(x[i] * by) : 0;
            const int8_t low = (int8_t)v;
            const int32_t rest = (v - low) >> 8;
            const int8_t middle = (int8_t)rest;
            const int8_t high = (int8_t)((rest - middle) >> 8);
            q[i] = high, q[size + i] = middle, q[2 * size + i] = low;
            sums[0] += high, sums[1] += middle, sums[2] += low;
        }
        for (int d = 0; d < DIGITS; d++) sum[s * DIGITS + d] = sums[d];
        total[s] = ((float)sums[0] * 256 + (float)sums[1]) * 256 + (float)sums[2];
        step[s] = bits < infinite ? range / (float)TOP : __builtin_nanf("");
    }
}
