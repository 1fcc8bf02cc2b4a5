/* Observers: minima, maxima, averages and histograms hold what plain code over all values says, whatever the order and
 * the scale of the samples; the methods choose the ranges that their formulas, written down plainly here, ask for. */
#include "compress/observe.h"
#include "compress/quantize.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "tests/unit/draw.h"

static int failures;
#define CHECK(...)                                                                                                     \
    ((__VA_ARGS__) ? (void)0 : (void)(failures++, printf("%s:%d: %s\n", __FILE__, __LINE__, #__VA_ARGS__)))

static double low_edge(const Observer *o) { return ldexp((double)o->first, o->step_exponent); }

/* Every bin counts just the values that lie in it. */
static void check_bins(const Observer *o, const float *x, int n) {
    static uint64_t want[OBSERVER_BINS];
    double step = ldexp(1, o->step_exponent);
    memset(want, 0, sizeof want);
    int used = 0;
    for (int i = 0; i < n; i++) {
        int64_t at = (int64_t)floor(((double)x[i] - low_edge(o)) / step);
        CHECK(at >= 0 && at < OBSERVER_BINS);
        if (at >= 0 && at < OBSERVER_BINS) want[at]++;
    }
    CHECK(!memcmp(want, o->bins, sizeof want));
    double span = fmax(o->high, 0) - fmin(o->low, 0);
    used = (int)(span / step);
    CHECK(span == 0 || used >= OBSERVER_BINS / 8); /* fine enough */
}

static void test_streaming(Arena *a) {
    enum { SAMPLES = 40, EACH = 100 };
    static float x[SAMPLES * EACH];
    for (int kind = 0; kind < 6; kind++) {
        Observer o;
        double sum_low = 0, sum_high = 0;
        float low = INFINITY, high = -INFINITY;
        observer_init(&o, a, true);
        for (int s = 0; s < SAMPLES; s++) {
            double scale = kind < 3 ? 1 : pow(1.4, s); /* ranges that widen, by much */
            float least = INFINITY, most = -INFINITY;
            for (int i = 0; i < EACH; i++) {
                double v = normal() * scale;
                float f = (float)(kind % 3 == 0 ? v : kind % 3 == 1 ? fabs(v) : -fabs(v));
                x[s * EACH + i] = f;
                least = fminf(least, f), most = fmaxf(most, f);
            }
            observer_add(&o, x + s * EACH, EACH);
            sum_low += (double)least, sum_high += (double)most;
            low = fminf(low, least), high = fmaxf(high, most);
        }
        CHECK(o.low == low && o.high == high && o.samples == SAMPLES && o.values == SAMPLES * EACH && o.odd == 0);
        check_bins(&o, x, SAMPLES * EACH);
        Range r = observer_range(&o, RANGE_MINMAX, 0, false, a);
        CHECK(r.low == fmin((double)low, 0) && r.high == fmax((double)high, 0));
        r = observer_range(&o, RANGE_AVERAGE, 0, false, a);
        CHECK(fabs(r.low - fmin(sum_low / (double)SAMPLES, 0)) < 1e-9 * fabs(sum_low));
        CHECK(fabs(r.high - fmax(sum_high / (double)SAMPLES, 0)) < 1e-9 * fabs(sum_high));
    }
}

static void test_extremes(Arena *a) {
    static const float cases[][4] = {{0, 0, 0, 0},           {-0.0f, 5, 5, 5}, {3.4e38f, -3.4e38f, 1, 2},
                                     {1e-45f, 2e-45f, 0, 0}, {-7, -7, -7, -7}, {1e-30f, 1e30f, -1, 0}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        Observer o;
        observer_init(&o, a, true);
        for (int i = 0; i < 4; i++) observer_add(&o, &cases[k][i], 1);
        uint64_t sum = 0;
        for (int i = 0; i < OBSERVER_BINS; i++) sum += o.bins[i];
        CHECK(sum == 4);
        for (int m = RANGE_MINMAX; m <= RANGE_MSE; m++) {
            Range r = observer_range(&o, (RangeMethod)m, 99, k % 2, a);
            CHECK(isfinite(r.low) && isfinite(r.high) && r.low <= 0 && r.high >= 0);
            CHECK(r.low >= fmin((double)o.low, 0) && r.high <= fmax((double)o.high, 0));
        }
    }
    Observer o;
    observer_init(&o, a, true);
    observer_add(&o, (float[]){NAN, 1, -INFINITY}, 3);
    CHECK(o.odd == 2 && o.values == 1 && o.low == 1);
    observer_init(&o, a, true);
    observer_add(&o, NULL, 0);
    Range r = observer_range(&o, RANGE_MSE, 0, false, a);
    CHECK(o.samples == 0 && r.low == 0 && r.high == 0);
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void test_percentile(Arena *a) {
    enum { N = 20000 };
    static float x[N];
    Observer o;
    observer_init(&o, a, true);
    for (int i = 0; i < N; i++) x[i] = (float)(normal() + 0.5);
    observer_add(&o, x, N);
    qsort(x, N, sizeof *x, by_value);
    double step = ldexp(1, o.step_exponent);
    for (int p = 90; p <= 99; p++) {
        Range r = observer_range(&o, RANGE_PERCENTILE, p, false, a);
        int cut = N * (100 - p) / 200;
        CHECK(fabs(r.low - (double)x[cut]) < 2 * step + 0.01 &&
              fabs(r.high - (double)x[N - 1 - cut]) < 2 * step + 0.01);
    }
}

/* The error of 256 levels, from the values themselves */
static double plain_error(const float *x, int n, Range r) {
    double scale = (r.high - r.low) / 255, zero = rint(-r.low / scale), sum = 0;
    for (int i = 0; i < n; i++) {
        double q = fmin(fmax(rint((double)x[i] / scale) + zero, 0), 255), e = (double)x[i] - (q - zero) * scale;
        sum += e * e;
    }
    return sum;
}

static void test_mse(Arena *a) {
    enum { N = 20000 };
    static float x[N];
    Observer o;
    observer_init(&o, a, true);
    for (int i = 0; i < N; i++) x[i] = (float)(i % 5000 ? normal() : 60 * uniform()); /* a few far out */
    observer_add(&o, x, N);
    Range r = observer_range(&o, RANGE_MSE, 0, false, a), full = observer_range(&o, RANGE_MINMAX, 0, false, a);
    Bins b = {o.bins, OBSERVER_BINS, low_edge(&o), ldexp(1, o.step_exponent)};
    CHECK(fabs(bins_error(b, full, false) / plain_error(x, N, full) - 1) < 0.05);
    double best = INFINITY;
    for (double f = 0.02; f <= 1; f += 0.02) best = fmin(best, plain_error(x, N, (Range){full.low, full.high * f}));
    CHECK(plain_error(x, N, r) <= best * 1.05 && plain_error(x, N, r) < plain_error(x, N, full));
}

/* Kullback–Leibler over all thresholds, written as the definition says */
static double plain_divergence(const double *p, int n, int keep, int levels) {
    double sum = 0, total = 0, inside = 0;
    for (int i = 0; i < n; i++) total += p[i];
    for (int i = 0; i < keep; i++) inside += p[i];
    for (int i = 0; i < keep; i++) {
        int level = 0;
        while ((int64_t)(level + 1) * keep / levels <= i) level++;
        int from = (int)((int64_t)level * keep / levels), to = (int)((int64_t)(level + 1) * keep / levels), used = 0;
        double mass = 0, pi = p[i] + (i == keep - 1 ? total - inside : 0);
        for (int k = from; k < to; k++) mass += p[k], used += p[k] > 0;
        double q = p[i] > 0 ? mass / used / inside : 1e-9;
        if (pi > 0) sum += pi / total * log(pi / total / q);
    }
    return sum;
}

static void test_entropy(Arena *a) {
    enum { N = 50000 };
    static float x[N];
    Observer o;
    observer_init(&o, a, true);
    for (int i = 0; i < N; i++) x[i] = (float)fabs(i % 10000 ? normal() : 40 * uniform());
    observer_add(&o, x, N);
    Range r = observer_range(&o, RANGE_ENTROPY, 0, false, a), full = observer_range(&o, RANGE_MINMAX, 0, false, a);
    CHECK(r.low == 0 && r.high > 0.5 && r.high < full.high);
    double p[OBSERVER_BINS];
    int n = 0;
    for (int i = 0; i < OBSERVER_BINS; i++) {
        p[i] = (double)o.bins[i];
        if (o.bins[i]) n = i + 1;
    }
    CHECK(o.first == 0);
    p[0] = p[1];
    int kept = (int)lrint(r.high / ldexp(1, o.step_exponent));
    double least = INFINITY, got = plain_divergence(p, n, kept, 256);
    for (int keep = 256; keep <= n; keep += 16) least = fmin(least, plain_divergence(p, n, keep, 256));
    CHECK(got <= least * 1.1 + 1e-6);
}

static void test_weights(void) {
    static const float w[12] = {1, -2, 0.5f, 0, 0, 0, 1e-30f, 0, 0, -3, 3, 1}, bias[4] = {1, 2, 3, 4};
    int8_t q[12];
    float scales[4], bias_scales[4];
    int32_t b[4];
    CHECK(quant_weights(w, (WeightShape){1, 4, 3}, bias, 0.1f, q, scales));
    CHECK(q[0] == 64 && q[1] == -127 && q[2] == 32 && q[3] == 0 && q[9] == -127 && q[10] == 127);
    CHECK(quant_bias(bias, 4, 0.1f, scales, b, bias_scales));
    for (int c = 0; c < 4; c++) {
        double back = (double)b[c] * (double)bias_scales[c];
        CHECK(scales[c] > 0 && fabs(back - (double)bias[c]) < 1e-2 * (double)bias[c] && abs(b[c]) <= 1 << 30);
    }
    int8_t columns[6];
    static const float by_column[6] = {1, 10, -2, 20, 0.5f, 5}; /* [3][2] */
    CHECK(quant_weights(by_column, (WeightShape){3, 2, 1}, NULL, 1, columns, scales));
    CHECK(scales[0] == 2.0f / 127 && scales[1] == 20.0f / 127 && columns[2] == -127 && columns[3] == 127);
    static const float bad[2] = {1, NAN};
    CHECK(!quant_weights(bad, (WeightShape){1, 1, 2}, NULL, 1, columns, scales));
}

static void test_ranges(Ctx *ctx) {
    QuantTensor t = {.name = "t"};
    quant_set_range(ctx, &t, (Range){-1, 3}, false);
    CHECK(t.known && fabsf(t.scale - 4.0f / 255) < 1e-7f && t.zero == 64);
    quant_set_range(ctx, &t, (Range){-1, 3}, true);
    CHECK(fabsf(t.scale - 3.0f / 127) < 1e-7f && t.zero == 0);
    quant_set_range(ctx, &t, (Range){0, 0}, false);
    CHECK(t.scale == 1 && t.zero == 0);
    quant_set_range(ctx, &t, (Range){0, 1e-40}, false);
    CHECK(t.scale > 0 && isnormal(t.scale));
    quant_set_range(ctx, &t, (Range){-3e38, 3e38}, false);
    CHECK(isfinite(t.scale) && t.zero >= 0 && t.zero <= 255);
}

int main(void) {
    Ctx *ctx = ctx_new("model.onnx");
    if (!ctx) return 1;
    ctx->opt.max_fold = (size_t)1 << 30;
    mem_limit(ctx, MEM_UNLIMITED);
    diag_to(ctx, NULL);
    Arena *a = arena_new(ctx);
    test_streaming(a);
    test_extremes(a);
    test_percentile(a);
    test_mse(a);
    test_entropy(a);
    test_weights();
    test_ranges(ctx);
    ctx_free(ctx);
    if (failures) printf("%d failures\n", failures);
    return failures != 0;
}
