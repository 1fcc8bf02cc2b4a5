/* Det: of each square matrix, by elimination with the largest pivot of a column, in double for float32 and narrower. */
#include "runtime/kernels/real.h"

/* m: [n, n], destroyed */
static inline double determinant(double *m, idx n) {
    double det = 1;
    for (idx k = 0; k < n; k++) {
        idx pivot = k;
        for (idx i = k + 1; i < n; i++) {
            const double a = m[i * n + k], b = m[pivot * n + k];
            if (__builtin_fabs(a) > __builtin_fabs(b)) pivot = i;
        }
        for (idx j = k; pivot != k && j < n; j++) {
            const double t = m[k * n + j];
            m[k * n + j] = m[pivot * n + j];
            m[pivot * n + j] = t;
        }
        const double p = m[k * n + k];
        det *= pivot == k ? p : -p;
        if (p == 0) return det; /* 0, with the sign so far; NaN stays in it */
        for (idx i = k + 1; i < n; i++) {
            const double f = m[i * n + k] / p;
            for (idx j = k + 1; j < n; j++) m[i * n + j] -= f * m[k * n + j];
        }
    }
    return det;
}

int ref_Det(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    const idx n = dim(x, x->rank - 1), count = elements(y);
    double *m = a[at->args.n_in + at->args.n_out].data;
    for (idx i = 0; i < count; i++) {
        for (idx j = 0; j < n * n; j++) m[j] = real_get(x, i * n * n + j);
        real_set(y, i, determinant(m, n));
    }
    return MCC_OK;
}
