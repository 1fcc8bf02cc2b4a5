/* Rounding with error compensation (E. Frantar et al., GPTQ, ICLR 2023): rows of a weight matrix are rounded one after
 * the other, and what a row loses is made up for by the rows that are still to come, as the inputs' second moments H =
 * Σ x xᵀ say. With H⁻¹ = Uᵀ U, U upper triangular, row j takes - U[k][j] / U[k][k] of row k's error. U needs no inverse
 * of H: with the order of the rows turned round, H' = L Lᵀ, and U is L⁻¹ turned round. */
#include "compress/quantize.h"
#include <math.h>
#include <string.h>

/* Four rows of x at a time: h is large, and read and written once for them all. */
void hessian_add(float *h, int64_t n, const float *x, int64_t rows) {
    enum { ROWS = 4 };
    for (int64_t r = 0; r < rows; r += ROWS) {
        const float *v[ROWS];
        for (int k = 0; k < ROWS; k++) v[k] = x + (r + k < rows ? r + k : r) * n;
        for (int64_t i = 0; i < n; i++) {
            float f[ROWS], *row = h + i * n;
            for (int k = 0; k < ROWS; k++) f[k] = r + k < rows ? v[k][i] : 0;
            for (int64_t j = i; j < n; j++)
                row[j] += f[0] * v[0][j] + f[1] * v[1][j] + (f[2] * v[2][j] + f[3] * v[3][j]);
        }
    }
}

static double dot(const double *a, const double *b, int64_t n) {
    double s[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++) s[k] += a[i + k] * b[i + k];
    for (; i < n; i++) s[0] += a[i] * b[i];
    return s[0] + s[1] + (s[2] + s[3]);
}

/* The lower half of l becomes its Cholesky factor. false: it is not positive definite */
static bool factorise(double *l, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            double s = l[i * n + j] - dot(l + i * n, l + j * n, j);
            if (i == j && !(s > 0 && isfinite(s))) return false;
            l[i * n + j] = i == j ? sqrt(s) : s / l[j * n + j];
        }
    return true;
}

/* The inverse of the lower triangle l, row by row, in place: row i needs the rows of the inverse before it. */
static void invert(double *l, int64_t n, double *row) {
    for (int64_t i = 0; i < n; i++) {
        memset(row, 0, sizeof *row * (size_t)n);
        for (int64_t k = 0; k < i; k++) {
            double f = l[i * n + k];
            for (int64_t j = 0; j <= k; j++) row[j] -= f * l[k * n + j];
        }
        double d = 1 / l[i * n + i];
        for (int64_t j = 0; j < i; j++) l[i * n + j] = row[j] * d;
        l[i * n + i] = d;
    }
}

double *gptq_factor(const float *h, int64_t n, Arena *a) {
    double *l = ARENA_ARRAY(a, (size_t)n * (size_t)n, double), mean = 0;
    for (int64_t i = 0; i < n; i++) mean += (double)h[i * n + i] / (double)n;
    if (!(mean > 0) || !isfinite(mean)) return NULL;
    for (int64_t i = 0; i < n; i++) /* turned round: row n - 1 - i */
        for (int64_t j = i; j < n; j++)
            l[(n - 1 - i) * n + n - 1 - j] = (double)h[i * n + j] + (i == j ? 0.01 * mean : 0); /* damped, as there */
    if (!factorise(l, n)) return NULL;
    invert(l, n, ARENA_ARRAY(a, n, double));
    return l;
}

void gptq_carry(const double *factor, int64_t n, int64_t k, const float *error, float *w, int64_t cols) {
    const double *row = factor + (n - 1 - k) * n; /* U[k][j] stands at n - 1 - j */
    for (int64_t j = k + 1; j < n; j++) {
        float f = (float)(row[n - 1 - j] / row[n - 1 - k]), *to = w + j * cols;
        for (int64_t c = 0; c < cols; c++) to[c] -= f * error[c];
    }
}
