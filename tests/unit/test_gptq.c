/* Rounding with compensation: the factor is that of the damped inverse of H, an error is carried as the closed form of
 * least squares asks for, and what is no matrix of second moments is refused. */
#include "compress/quantize.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int failures;
#define CHECK(...)                                                                                                     \
    ((__VA_ARGS__) ? (void)0 : (void)(failures++, printf("%s:%d: %s\n", __FILE__, __LINE__, #__VA_ARGS__)))

enum { N = 7, ROWS = 31, COLS = 3 };
static uint64_t state = 3;
static float uniform(void) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (float)((double)(state >> 11) * 0x1p-52 - 1);
}

static void fill(float *x) {
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < N; i++) x[r * N + i] = uniform() + (i ? 0.7f * x[r * N + i - 1] : 0);
}

/* U at (k, j), which the factor holds turned round */
static double at(const double *u, int k, int j) { return j < k ? 0 : u[(N - 1 - k) * N + N - 1 - j]; }

static void test_factor(Arena *a) {
    static float x[ROWS * N], h[N * N];
    double full[N][N], mean = 0;
    fill(x);
    hessian_add(h, N, x, ROWS);
    for (int i = 0; i < N; i++)
        for (int j = i; j < N; j++) {
            double sum = 0;
            for (int r = 0; r < ROWS; r++) sum += (double)x[r * N + i] * (double)x[r * N + j];
            CHECK(fabs((double)h[i * N + j] - sum) < 1e-4);
            full[i][j] = full[j][i] = (double)h[i * N + j];
        }
    for (int i = 0; i < N; i++) mean += full[i][i] / (double)N;
    for (int i = 0; i < N; i++) full[i][i] += 0.01 * mean;
    const double *u = gptq_factor(h, N, a);
    CHECK(u != NULL);
    for (int i = 0; u && i < N; i++) /* H · Uᵀ U = 1 */
        for (int j = 0; j < N; j++) {
            double sum = 0;
            for (int k = 0; k < N; k++)
                for (int m = 0; m < N; m++) sum += full[i][m] * at(u, k, m) * at(u, k, j);
            CHECK(fabs(sum - (i == j)) < 1e-6);
        }
}

/* |x (w - q)|² of weights rounded to halves */
static double loss(const float *x, const float *w, const double *u, bool carry) {
    float rest[N * COLS], error[COLS], lost[N][COLS];
    double sum = 0;
    memcpy(rest, w, sizeof rest);
    for (int k = 0; k < N; k++) {
        for (int c = 0; c < COLS; c++) {
            float q = rintf(rest[k * COLS + c] * 2) / 2;
            error[c] = rest[k * COLS + c] - q;
            lost[k][c] = w[k * COLS + c] - q;
        }
        if (carry) gptq_carry(u, N, k, error, rest, COLS);
    }
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLS; c++) {
            double y = 0;
            for (int k = 0; k < N; k++) y += (double)(x[r * N + k] * lost[k][c]);
            sum += y * y;
        }
    return sum;
}

static void test_gain(Arena *a) {
    double plain = 0, carried = 0;
    for (int t = 0; t < 50; t++) {
        float x[ROWS * N], h[N * N] = {0}, w[N * COLS];
        fill(x);
        for (int i = 0; i < N * COLS; i++) w[i] = 2 * uniform();
        hessian_add(h, N, x, ROWS);
        const double *u = gptq_factor(h, N, a);
        plain += loss(x, w, u, false);
        carried += loss(x, w, u, true);
    }
    CHECK(carried < 0.8 * plain);
}

int main(void) {
    Ctx *ctx = ctx_new("model.onnx");
    if (!ctx) return 1;
    mem_limit(ctx, MEM_UNLIMITED);
    Arena *a = arena_new(ctx);
    static float zero[N * N], odd[N * N];
    odd[0] = NAN;
    test_factor(a);
    test_gain(a);
    CHECK(!gptq_factor(zero, N, a) && !gptq_factor(odd, N, a));
    ctx_free(ctx);
    if (failures) printf("%d failures\n", failures);
    return failures != 0;
}
