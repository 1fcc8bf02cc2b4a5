/* Random numbers, the same in every run: uniform in [0, 1), and normal. */
#ifndef MCC_TESTS_DRAW_H
#define MCC_TESTS_DRAW_H
#include <math.h>
#include <stdint.h>

static uint64_t state = 1;
static double uniform(void) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (double)(state >> 11) * 0x1p-53;
}
static double normal(void) { return sqrt(-2 * log(uniform() + 1e-300)) * cos(6.283185307179586 * uniform()); }

#endif
