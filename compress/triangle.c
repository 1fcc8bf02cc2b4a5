/* Rank updates and a Cholesky factorisation from the last row up, in panels so that what a panel does to the rows above
 * it is one rank update. */
#include "compress/triangle.h"
#include <math.h>

enum { TILE = 512, PANEL = 32, AT_ONCE = 8 };

static void add_eight(double *restrict to, int64_t n, const double *const *rows, int64_t from, const double *a) {
    const double *restrict r0 = rows[0] + from, *restrict r1 = rows[1] + from, *restrict r2 = rows[2] + from,
                           *restrict r3 = rows[3] + from, *restrict r4 = rows[4] + from, *restrict r5 = rows[5] + from,
                           *restrict r6 = rows[6] + from, *restrict r7 = rows[7] + from;
    for (int64_t i = 0; i < n; i++)
        to[i] += ((a[0] * r0[i] + a[1] * r1[i]) + (a[2] * r2[i] + a[3] * r3[i])) +
                 ((a[4] * r4[i] + a[5] * r5[i]) + (a[6] * r6[i] + a[7] * r7[i]));
}

static void add_one(double *restrict to, int64_t n, const double *restrict row, double a) {
    for (int64_t i = 0; i < n; i++) to[i] += a * row[i];
}

static void update_row(double *to, int64_t width, const double *const *rows, int count, int64_t from, int64_t r,
                       double sign) {
    int m = 0;
    for (; m + AT_ONCE <= count; m += AT_ONCE) {
        double a[AT_ONCE];
        for (int k = 0; k < AT_ONCE; k++) a[k] = sign * rows[m + k][r];
        add_eight(to, width, rows + m, from, a);
    }
    for (; m < count; m++) add_one(to, width, rows[m] + from, sign * rows[m][r]);
}

void triangle_update(double *t, int64_t n, const double *const *rows, int count, double sign) {
#pragma omp parallel if (n > TILE)
    for (int64_t from = 0; from < n; from += TILE) /* what a row becomes depends on no other's: any number of threads */
#pragma omp for schedule(static, 16) nowait
        for (int64_t r = from; r < n; r++) {
            int64_t width = r + 1 - from < TILE ? r + 1 - from : TILE;
            update_row(t + triangle_row(r) + from, width, rows, count, from, r, sign);
        }
}

static void factor_panel(double *t, int64_t first, int64_t end, double least) {
    for (int64_t j = end - 1; j >= first; j--) {
        double *row = t + triangle_row(j), pivot = sqrt(fmax(row[j], least));
        for (int64_t i = 0; i < j; i++) row[i] /= pivot;
        row[j] = pivot;
        for (int64_t r = first; r < j; r++) add_one(t + triangle_row(r), r + 1, row, -row[r]);
    }
}

void triangle_factor(double *t, int64_t n, double damp) {
    for (int64_t i = 0; i < n; i++) t[triangle_row(i) + i] += damp;
    for (int64_t end = n; end > 0;) {
        const double *rows[PANEL];
        int64_t first = end > PANEL ? end - PANEL : 0;
        factor_panel(t, first, end, damp);
        for (int64_t j = first; j < end; j++) rows[j - first] = t + triangle_row(j);
        triangle_update(t, first, rows, (int)(end - first), -1);
        end = first;
    }
}
