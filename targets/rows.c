/* The table of targets, from the files that the build found. */
#include "targets/row.h"

#define KIB(n) ((size_t)(n) * 1024)
/* without instructions on floats a multiplication and an addition take a hundred cycles, and conversions as long each
 */
static const IntegerCost beside_soft_floats = {
    .four = 0.4, .one = 0.1, .requantize = 6, .quantize = 8, .dequantize = 3};

#define CPU(...) {__VA_ARGS__},
static const Row rows[] = {
#include "targets.inc"
};
#undef CPU
#undef KIB

int row_count(void) { return (int)(sizeof rows / sizeof *rows); }
const Row *row_at(int i) { return &rows[i]; }
