/* The table of targets, from the files that the build found. */
#include "targets/row.h"

#define KIB(n) ((size_t)(n) * 1024)
#define CPU(...) {__VA_ARGS__},
static const Row rows[] = {
#include "targets.inc"
};
#undef CPU
#undef KIB

int row_count(void) { return (int)(sizeof rows / sizeof *rows); }
const Row *row_at(int i) { return &rows[i]; }
