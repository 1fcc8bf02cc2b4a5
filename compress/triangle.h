/* Dense symmetric and lower triangular matrices, their rows one behind the other. */
#ifndef MCC_TRIANGLE_H
#define MCC_TRIANGLE_H

#include <stdint.h>

static inline int64_t triangle_row(int64_t i) { return i * (i + 1) / 2; }

/* t[i][k] += sign · Σ_m rows[m][i] · rows[m][k], for the first n rows of t, k <= i */
void triangle_update(double *t, int64_t n, const double *const *rows, int count, double sign);
/* t, of a symmetric H + damp · 1, becomes the lower T of TᵀT = H + damp · 1. H is positive semidefinite, so that no
 * pivot is below damp > 0 but by rounding errors, which are taken back. */
void triangle_factor(double *t, int64_t n, double damp);

#endif
