/* Factors of mcc.Requantize give the integers of the float form for every sum, or there are none. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include "passes/quant.h"

static int failures;

static int64_t clamped(double v, int64_t lo, int64_t hi) { return v<(double)lo ? lo : v>(double) hi ? hi : (int64_t)v; }

static int64_t in_floats(int32_t sum, float m, int64_t lo, int64_t hi) {
    return clamped((double)rintf((float)sum * m), lo, hi);
}

static int64_t floor_shift(int64_t v, int by) { return v >= 0 ? v >> by : -((-v + ((int64_t)1 << by) - 1) >> by); }

static int64_t in_fixed_point(int32_t sum, int32_t factor, int shift, int64_t lo, int64_t hi) {
    int64_t scaled = floor_shift((int64_t)sum * factor, 31);
    return clamped((double)floor_shift(scaled + ((int64_t)1 << (shift - 1)), shift), lo, hi);
}

/* all sums within and a little beyond what is not clamped, and large ones */
static void check(float m, int64_t lo, int64_t hi, int32_t factor, int shift) {
    const int32_t large[] = {INT32_MIN, INT32_MIN + 1, -(1 << 30), 1 << 24, (1 << 24) + 1, 1 << 30, INT32_MAX};
    int32_t most = (int32_t)fmin(300.0 / (double)m, 1 << 22);
    for (int32_t sum = -most; sum <= most; sum++)
        if (in_floats(sum, m, lo, hi) != in_fixed_point(sum, factor, shift, lo, hi)) failures++;
    for (int i = 0; i < 7; i++)
        if (in_floats(large[i], m, lo, hi) != in_fixed_point(large[i], factor, shift, lo, hi)) failures++;
}

int main(void) {
    uint32_t seed = 1;
    int found = 0, tried = 0;
    int32_t factor;
    for (; tried < 120; tried++) {
        seed = seed * 1664525u + 1013904223u;
        float m = ldexpf(1 + (float)(seed >> 9) / (1 << 23), -2 - tried % 10);
        int64_t zero = tried % 3 == 0 ? 0 : (int64_t)(seed >> 8 & 255) - 128, lo = -128 - zero;
        int shift = fixed_shift(m) - tried % 2;
        if (!fixed_factor(m, shift, lo, lo + 255, &factor)) continue;
        found++;
        check(m, lo, lo + 255, factor, shift);
    }
    if (found < 100) failures++, fprintf(stderr, "%d of %d multipliers have a factor\n", found, tried);
    if (fixed_factor(0.75f, fixed_shift(0.75f), -128, 127, &factor)) failures++; /* too large */
    if (fixed_factor(-0.01f, 6, -128, 127, &factor)) failures++;                 /* it would fall */
    if (fixed_factor(NAN, 6, -128, 127, &factor)) failures++;
    if (!fixed_factor(0, 6, -128, 127, &factor) || factor != 0) failures++;
    if (fixed_factor(0.25f, 1, -128, 127, &factor)) failures++; /* 2 · 0.25 is a tie, which goes to 0 and not to 1 */
    return failures != 0;
}
