/* Times a matrix product in OpenBLAS, which packs its operands in every call: blas M K N SECONDS, the minimum in
 * microseconds. OPENBLAS_NUM_THREADS says how many threads. */
#include "bench/clock.h"
#include <dlfcn.h>
#include <math.h>
#include <stdint.h>

enum { ROW_MAJOR = 101, AS_IS = 111, TRANSPOSED = 112 };

typedef void Product(int order, int left, int right, int m, int n, int k, float alpha, const float *a, int lda,
                     const float *b, int ldb, float beta, float *c, int ldc);
typedef void ProductWithVector(int order, int way, int rows, int columns, float alpha, const float *a, int lda,
                               const float *x, int step_x, float beta, float *y, int step_y);

static float *make_matrix(int rows, int columns) {
    size_t n = (size_t)rows * (size_t)columns;
    float *data = big_alloc(n * sizeof *data);
    for (size_t i = 0; i < n; i++) data[i] = (float)(i % 7) * 0.01f;
    return data;
}

int main(int argc, char **argv) {
    if (argc != 5) die("usage", "blas M K N SECONDS");
    int m = atoi(argv[1]), k = atoi(argv[2]), n = atoi(argv[3]);
    void *library = dlopen("libopenblas.so.0", RTLD_NOW);
    if (!library) die("OpenBLAS", dlerror());
    Product *product = (Product *)(uintptr_t)dlsym(library, "cblas_sgemm");
    ProductWithVector *vector = (ProductWithVector *)(uintptr_t)dlsym(library, "cblas_sgemv");
    if (!product || !vector) die("OpenBLAS", "has no cblas");
    float *a = make_matrix(m, k), *b = make_matrix(k, n), *c = make_matrix(m, n);
    double best = INFINITY;
    for (double start = seconds_now(), end = start + atof(argv[4]); start < end;) {
        if (m == 1) vector(ROW_MAJOR, TRANSPOSED, k, n, 1, b, n, a, 1, 0, c, 1);
        else product(ROW_MAJOR, AS_IS, AS_IS, m, n, k, 1, a, k, b, n, 0, c, n);
        double now = seconds_now();
        best = fmin(best, now - start);
        start = now;
    }
    printf("%.4f\n", 1e6 * best);
    return 0;
}
