/* Rounding by inputs: on correlated inputs it leaves at most half of what the nearest codes lose, for every layout, for
 * groups, long sums and blocks with scales of their own; it is the nearest code where inputs are independent, and where
 * they are 0; where a bias is moved too, means cost nothing; and Hessians of convolutions are those of their patches,
 * written down plainly here. */
#include "compress/rounding.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "compress/triangle.h"
#include "ir/ir.h"
#include "tests/unit/correlated.h"

static int failures;
#define CHECK(...)                                                                                                     \
    ((__VA_ARGS__) ? (void)0 : (void)(failures++, printf("%s:%d: %s\n", __FILE__, __LINE__, #__VA_ARGS__)))

typedef struct Case {
    int64_t depth, groups, channels, block, part;
    bool by_rows, dead, own_scales; /* by_rows: a channel's weights lie side by side; own_scales: found in rounding */
    bool asymmetric;
} Case;

static double lost(const Hessian *h, const RoundWeights *r, int64_t c) {
    double *e = malloc(sizeof *e * (size_t)h->depth), sum;
    for (int64_t k = 0; k < h->depth; k++) {
        int64_t at = c * r->by_channel + k * r->by_depth;
        CodeScale s = r->scales[c * round_blocks(r, h->depth) + k / r->block];
        CHECK(r->codes[at] >= r->range.low && r->codes[at] <= r->range.high && s.scale > 0);
        CHECK(r->range.asymmetric || s.zero == 0);
        e[k] = (double)r->w[at] - code_value(s, r->codes[at]);
    }
    sum = hessian_error(h, c / (r->channels / h->groups), e);
    free(e);
    return sum;
}

static double lost_nearest(const Hessian *h, const RoundWeights *r) {
    RoundWeights plain = *r;
    double sum = 0;
    for (int64_t c = 0; c < r->channels; c++) {
        for (int64_t k = 0; k < h->depth; k++) {
            int64_t at = c * r->by_channel + k * r->by_depth, b = c * round_blocks(r, h->depth) + k / r->block;
            plain.codes[at] = (int8_t)code_near(r->range, r->scales[b], (double)r->w[at]);
        }
        sum += lost(h, &plain, c);
    }
    return sum;
}

static RoundWeights random_weights(Arena *a, Case t) {
    int64_t n = t.channels * t.depth;
    float *w = ARENA_ARRAY(a, n, float);
    for (int64_t i = 0; i < n; i++) w[i] = (float)normal();
    RoundWeights r = {.w = w, .channels = t.channels, .range = {-8, 7, t.asymmetric}, .block = t.block};
    r.by_channel = t.by_rows ? t.depth : 1;
    r.by_depth = t.by_rows ? 1 : t.channels;
    int64_t blocks = round_blocks(&r, t.depth);
    r.scales = ARENA_ARRAY(a, t.channels * blocks, CodeScale);
    r.codes = ARENA_ARRAY(a, n, int8_t);
    for (int64_t c = 0; c < t.channels; c++)
        for (int64_t b = 0; b < blocks; b++) {
            float *block = ARENA_ARRAY(a, t.block, float);
            int64_t first = b * t.block, size = t.depth - first < t.block ? t.depth - first : t.block;
            for (int64_t k = 0; k < size; k++) block[k] = w[c * r.by_channel + (first + k) * r.by_depth];
            r.scales[c * blocks + b] = code_scale(r.range, block, NULL, size);
        }
    r.find_scales = t.own_scales;
    return r;
}

static void test_gain(Ctx *ctx, Case t, Rounding how, double most) {
    Arena *a = arena_new(ctx);
    Hessian *h = hessian_new(a, t.depth, t.groups, t.part), *used = hessian_new(a, t.depth, t.groups, t.part);
    for (int64_t g = 0; g < t.groups; g++) add_correlated(h, g, (int)(4 * t.depth), t.dead);
    for (int64_t i = 0; i < t.groups * h->parts; i++) {
        int64_t part = i % h->parts == h->parts - 1 ? t.depth - (h->parts - 1) * t.part
                       : t.part < t.depth           ? t.part
                                                    : t.depth;
        memcpy(used->sums[i], h->sums[i], sizeof(double) * (size_t)triangle_row(part));
    }
    RoundWeights r = random_weights(a, t);
    double nearest = lost_nearest(h, &r), got = 0;
    round_weights(how, used, &r, ctx);
    for (int64_t c = 0; c < t.channels; c++) got += lost(h, &r, c);
    if (!(got <= most * nearest)) printf("rounding %d: %g, nearest %g\n", (int)how, got, nearest);
    CHECK(isfinite(got) && got <= most * nearest);
    arena_free(a);
}

/* Independent inputs: no code moves. Inputs of 0, none at all: the same. */
static void test_nearest(Ctx *ctx, Rounding how, int kind) {
    enum { DEPTH = 40, CHANNELS = 11 };
    Arena *a = arena_new(ctx);
    Hessian *h = hessian_new(a, DEPTH, 1, DEPTH);
    for (int i = 0; i < DEPTH && kind < 2; i++) {
        memset(h->buffer, 0, sizeof(double) * DEPTH);
        h->buffer[i] = kind == 0 ? 1 + i : i % 2 * 1e-30;
        hessian_add(h, 0, 1);
    }
    RoundWeights r = random_weights(a, (Case){DEPTH, 1, CHANNELS, DEPTH, DEPTH, true, false, false, false});
    round_weights(how, h, &r, ctx);
    for (int i = 0; i < DEPTH * CHANNELS; i++)
        CHECK(r.codes[i] == code_near(r.range, r.scales[i / DEPTH], (double)r.w[i]));
    arena_free(a);
}

/* Inputs far from 0: with biases that move, what is lost of x − x̄ is less than without, by far, and the same each time.
 * part: 0 for means alone */
static void test_means(Ctx *ctx, Rounding how, int64_t part) {
    enum { DEPTH = 72, CHANNELS = 19, ROWS = 400 };
    Arena *a = arena_new(ctx);
    Hessian *h[2];
    for (int j = 0; j < 2; j++) h[j] = part ? hessian_new(a, DEPTH, 1, part) : hessian_means(a, DEPTH, 1);
    double(*x)[DEPTH] = (double(*)[DEPTH])ARENA_ARRAY(a, ROWS * DEPTH, double);
    for (int i = 0; i < ROWS; i++) {
        for (int k = 0; k < DEPTH; k++) x[i][k] = (double)(k % 7) - 2 + 0.1 * normal();
        for (int j = 0; j < 2; j++) {
            memcpy(h[j]->buffer, x[i], sizeof x[i]);
            hessian_add(h[j], 0, 1);
        }
    }
    h[1]->about_means = true;
    RoundWeights r = random_weights(a, (Case){DEPTH, 1, CHANNELS, DEPTH, DEPTH, true, false, false, false});
    double variance[3] = {0}, first = 0;
    for (int j = 0; j < 3; j++) { /* the last time with H as the second left it */
        r.shifts = j ? ARENA_ARRAY(a, CHANNELS, double) : NULL;
        round_weights(how, h[j > 0], &r, ctx);
        for (int c = 0; c < CHANNELS; c++)
            for (int i = 0; i < ROWS; i++) {
                double moved = r.shifts ? -r.shifts[c] : 0;
                for (int k = 0; k < DEPTH; k++) {
                    int64_t at = c * DEPTH + k;
                    moved += ((double)r.w[at] - code_value(r.scales[c], r.codes[at])) * x[i][k];
                }
                variance[j] += moved * moved;
            }
        if (j == 1) first = r.shifts[0];
    }
    CHECK(variance[1] < 0.8 * variance[0]);
    CHECK(variance[1] == variance[2] && first == r.shifts[0]);
    arena_free(a);
}

/* TᵀT is what it was made from, over several panels. */
static void test_factor(void) {
    enum { N = 101, ROWS = 150 };
    static double x[ROWS][N], t[N * (N + 1) / 2], h[N * (N + 1) / 2];
    const double *rows[ROWS];
    for (int r = 0; r < ROWS; r++) {
        rows[r] = x[r];
        for (int i = 0; i < N; i++) x[r][i] = normal();
    }
    triangle_update(h, N, rows, ROWS, 1);
    for (int i = 0; i < N; i++)
        for (int k = 0; k <= i; k++) {
            double want = 0;
            for (int r = 0; r < ROWS; r++) want += x[r][i] * x[r][k];
            CHECK(fabs(h[triangle_row(i) + k] - want) < 1e-10);
        }
    memcpy(t, h, sizeof t);
    triangle_factor(t, N, 0.5);
    for (int i = 0; i < N; i++)
        for (int k = 0; k <= i; k++) {
            double sum = 0;
            for (int m = i; m < N; m++) sum += t[triangle_row(m) + i] * t[triangle_row(m) + k];
            CHECK(fabs(sum - h[triangle_row(i) + k] - (i == k ? 0.5 : 0)) < 1e-9);
        }
}

/* A grouped, strided, dilated, padded convolution's patches, and a product's rows */
static void test_patches(Ctx *ctx) {
    enum { C = 4, GROUPS = 2, H = 7, W = 6, KH = 3, KW = 2, DEPTH = C / GROUPS * KH * KW, OH = 4, OW = 6 };
    Arena *a = arena_new(ctx);
    Graph *g = graph_new(ctx, NULL);
    float x[2][C][H][W];
    for (int i = 0; i < 2 * C * H * W; i++) (&x[0][0][0][0])[i] = (float)(i % 13) - 4;
    Tensor *w = tensor_new(g, DT_F32, 4, (int64_t[]){4, C / GROUPS, KH, KW});
    Value *wv = w ? value_of_tensor(g, w) : NULL;
    CHECK(wv != NULL);
    if (!wv) return;
    Node *n = node_new(g, OP_Conv, NULL, (Value *[]){wv, wv}, 2, 1);
    node_set_ints(n, "strides", (int64_t[]){2, 1}, 2);
    node_set_ints(n, "dilations", (int64_t[]){1, 2}, 2);
    node_set_ints(n, "pads", (int64_t[]){1, 2, 1, 0}, 4);
    Hessian *h = hessian_new(a, DEPTH, GROUPS, HESSIAN_PART);
    CHECK(hessian_observe(h, n, &x[0][0][0][0], (int64_t[]){2, C, H, W}, 4));
    CHECK(h->rows == 2 * OH * OW);
    for (int group = 0; group < GROUPS; group++) {
        static double want[DEPTH][DEPTH];
        memset(want, 0, sizeof want);
        for (int at = 0; at < 2 * OH * OW; at++) {
            double row[DEPTH];
            for (int k = 0; k < DEPTH; k++) {
                int y = at / OW % OH * 2 + k / KW % KH - 1, col = at % OW + k % KW * 2 - 2;
                bool inside = y >= 0 && y < H && col >= 0 && col < W;
                row[k] = inside ? (double)x[at / OW / OH][group * (C / GROUPS) + k / KW / KH][y][col] : 0;
            }
            for (int i = 0; i < DEPTH * DEPTH; i++) want[i / DEPTH][i % DEPTH] += row[i / DEPTH] * row[i % DEPTH];
        }
        for (int i = 0; i < DEPTH; i++)
            for (int k = 0; k <= i; k++) CHECK(h->sums[group][triangle_row(i) + k] == want[i][k]);
    }
    x[1][3][6][5] = NAN;
    CHECK(!hessian_observe(h, n, &x[0][0][0][0], (int64_t[]){2, C, H, W}, 4));
    arena_free(a);
}

static void test_cases(Ctx *ctx) {
    static const Case cases[] = {
        {64, 1, 13, 64, 128, true, false, false, false}, {64, 1, 13, 64, 128, false, false, true, false},
        {96, 3, 12, 96, 128, true, false, false, false}, {128, 1, 9, 32, 128, false, false, true, false},
        {128, 1, 8, 32, 128, true, false, false, false}, {96, 1, 20, 96, 128, true, true, false, false},
    };
    for (int i = 0; i < 6; i++) {
        test_gain(ctx, cases[i], ROUND_GPTQ, 0.5);
        test_gain(ctx, cases[i], ROUND_ADAROUND, 0.7);
    }
    test_gain(ctx, (Case){320, 1, 5, 32, 128, true, false, true, false}, ROUND_GPTQ, 0.5);
    test_gain(ctx, (Case){109, 1, 5, 32, 128, true, false, true, false}, ROUND_GPTQ, 0.5);
    test_gain(ctx, (Case){300, 1, 6, 32, 128, false, false, true, true}, ROUND_GPTQ, 0.5);
    test_gain(ctx, (Case){96, 1, 6, 32, 128, false, false, true, true}, ROUND_ADAROUND, 0.7);
    test_gain(ctx, (Case){300, 1, 5, 300, 128, false, false, true, false}, ROUND_ADAROUND, 0.7);
    for (int kind = 0; kind < 3; kind++) {
        test_nearest(ctx, ROUND_GPTQ, kind);
        test_nearest(ctx, ROUND_ADAROUND, kind);
    }
    test_means(ctx, ROUND_NEAREST, 0);
    test_means(ctx, ROUND_GPTQ, 128);
    test_means(ctx, ROUND_GPTQ, 24);
    test_means(ctx, ROUND_ADAROUND, 128);
    test_factor();
    test_patches(ctx);
}

int main(void) {
    Ctx *ctx = ctx_new("model.onnx");
    if (!ctx) return 1;
    ctx->opt.max_fold = (size_t)1 << 30;
    mem_limit(ctx, MEM_UNLIMITED);
    diag_to(ctx, NULL);
    test_cases(ctx);
    ctx_free(ctx);
    if (failures) printf("%d failures\n", failures);
    return failures != 0;
}
