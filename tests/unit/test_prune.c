/* Pruning: patterns have the zeros that they promise, the least scores among them; shares add up over layers and leave
 * none empty; the update leaves a part of the error that zeros alone would make, and the least that its zeros allow. */
#include "compress/prune.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "compress/triangle.h"
#include "tests/unit/correlated.h"

static int failures;
#define CHECK(...)                                                                                                     \
    ((__VA_ARGS__) ? (void)0 : (void)(failures++, printf("%s:%d: %s\n", __FILE__, __LINE__, #__VA_ARGS__)))

enum { DEPTH = 72, CHANNELS = 13, WEIGHTS = DEPTH * CHANNELS };

static float *random_scores(Arena *a, int64_t n, bool few) {
    float *score = ARENA_ARRAY(a, n, float);
    for (int64_t i = 0; i < n; i++) score[i] = few ? (float)(int)(4 * uniform()) : (float)exp(4 * normal());
    return score;
}

static void test_unstructured(Ctx *ctx, double share, bool few) {
    Arena *a = arena_new(ctx);
    PruneMatrix m = {random_scores(a, WEIGHTS, few), DEPTH, CHANNELS, 1};
    uint8_t zero[WEIGHTS];
    float largest = 0, least = INFINITY;
    int count = 0;
    prune_select(&(PruneOptions){.pattern = PRUNE_UNSTRUCTURED}, m, share, zero, a);
    for (int i = 0; i < WEIGHTS; i++) {
        count += zero[i];
        if (zero[i]) largest = fmaxf(largest, m.score[i]);
        else least = fminf(least, m.score[i]);
    }
    CHECK(count == (int)(share * WEIGHTS + 0.5) && largest <= least);
    arena_free(a);
}

static void test_blocks(Ctx *ctx, int rows, int cols) {
    Arena *a = arena_new(ctx);
    PruneMatrix m = {random_scores(a, WEIGHTS, false), DEPTH, CHANNELS, 1};
    uint8_t zero[WEIGHTS];
    int blocks = 0, zeros = 0;
    prune_select(&(PruneOptions){.pattern = PRUNE_BLOCKS, .rows = rows, .cols = cols}, m, 0.6, zero, a);
    for (int k = 0; k < DEPTH; k += cols)
        for (int c = 0; c < CHANNELS; c += rows) {
            blocks++;
            zeros += zero[k * CHANNELS + c];
            for (int i = k; i < k + cols && i < DEPTH; i++)
                for (int j = c; j < c + rows && j < CHANNELS; j++)
                    CHECK(zero[i * CHANNELS + j] == zero[k * CHANNELS + c]);
        }
    CHECK(zeros == (int)(0.6 * blocks + 0.5));
    arena_free(a);
}

/* blocks are of neighbouring input channels, each at one tap */
static void test_block_taps(Ctx *ctx, int taps, int cols) {
    enum { INPUTS = 10 };
    Arena *a = arena_new(ctx);
    int depth = INPUTS * taps, blocks = (INPUTS + cols - 1) / cols * taps * CHANNELS, zeros = 0;
    PruneMatrix m = {random_scores(a, (int64_t)depth * CHANNELS, false), depth, CHANNELS, taps};
    uint8_t *zero = ARENA_ARRAY(a, depth * CHANNELS, uint8_t);
    prune_select(&(PruneOptions){.pattern = PRUNE_BLOCKS, .rows = 1, .cols = cols}, m, 0.7, zero, a);
    for (int c = 0; c < CHANNELS; c++)
        for (int t = 0; t < taps; t++)
            for (int i = 0; i < INPUTS; i++) {
                zeros += i % cols == 0 && zero[(i * taps + t) * CHANNELS + c];
                CHECK(zero[(i * taps + t) * CHANNELS + c] == zero[(i / cols * cols * taps + t) * CHANNELS + c]);
            }
    CHECK(zeros == (int)(0.7 * blocks + 0.5));
    arena_free(a);
}

static void test_n_of_m(Ctx *ctx) {
    Arena *a = arena_new(ctx);
    PruneMatrix m = {random_scores(a, WEIGHTS, false), DEPTH, CHANNELS, 1};
    uint8_t zero[WEIGHTS];
    prune_select(&(PruneOptions){.pattern = PRUNE_N_OF_M, .n = 2, .of = 8}, m, 0.75, zero, a);
    for (int c = 0; c < CHANNELS; c++)
        for (int first = 0; first < DEPTH; first += 8) {
            int stay = 0;
            for (int k = first; k < first + 8; k++) {
                int larger = 0;
                for (int i = first; i < first + 8; i++) larger += m.score[i * CHANNELS + c] > m.score[k * CHANNELS + c];
                CHECK(zero[k * CHANNELS + c] == (larger >= 2));
                stay += !zero[k * CHANNELS + c];
            }
            CHECK(stay == 2);
        }
    arena_free(a);
}

static void test_channels(Ctx *ctx, double share) {
    Arena *a = arena_new(ctx);
    PruneMatrix m = {random_scores(a, WEIGHTS, false), DEPTH, CHANNELS, 1};
    uint8_t zero[WEIGHTS];
    double sum[CHANNELS] = {0}, largest = 0, least = INFINITY;
    int zeros = 0;
    prune_select(&(PruneOptions){.pattern = PRUNE_CHANNELS}, m, share, zero, a);
    for (int i = 0; i < WEIGHTS; i++) {
        CHECK(zero[i] == zero[i % CHANNELS]);
        sum[i % CHANNELS] += (double)m.score[i];
    }
    for (int c = 0; c < CHANNELS; c++) {
        zeros += zero[c];
        if (zero[c]) largest = fmax(largest, sum[c]);
        else least = fmin(least, sum[c]);
    }
    CHECK(zeros == (share == 1 ? CHANNELS - 1 : (int)(share * CHANNELS + 0.5)) && largest <= least * (1 + 1e-4));
    arena_free(a);
}

/* Three layers whose weights differ by powers of ten, and one that is spared */
static void test_shares(Ctx *ctx, double share) {
    enum { LAYERS = 4 };
    Arena *a = arena_new(ctx);
    PruneLayer layers[LAYERS] = {0};
    float *importances[LAYERS];
    double zeros = 0, all = 0;
    for (int i = 0; i < LAYERS; i++) {
        int64_t n = 1000 + 3000 * i;
        layers[i].c = (Contraction){.depth = n / 10, .shape = {1, 10, n / 10}};
        layers[i].spared = i == 2 ? "for a test" : NULL;
        importances[i] = random_scores(a, n, false);
        for (int64_t k = 0; k < n; k++) importances[i][k] *= powf(1000, (float)(i - 2));
    }
    PrunePlan p = {.layers = layers, .n = LAYERS};
    prune_shares(&p, importances, share, a);
    for (int i = 0; i < LAYERS; i++) {
        double n = (double)(layers[i].c.depth * 10);
        if (i == 2) {
            CHECK(layers[i].share == 0);
            continue;
        }
        CHECK(layers[i].share >= 0 && layers[i].share * n < n - 0.5);
        zeros += layers[i].share * n;
        all += n;
    }
    CHECK(fabs(zeros / all - share) < 1e-3);
    arena_free(a);
}

/* Of layers whose losses rise alike, the larger loses no more than the other; the cheaper one more. */
static void test_losses(Ctx *ctx) {
    Arena *a = arena_new(ctx);
    PruneLayer layers[3] = {0};
    for (int i = 0; i < 3; i++) {
        layers[i].c = (Contraction){.depth = 100, .shape = {1, 100, 100}};
        for (int k = 0; k < PRUNE_POINTS; k++) layers[i].loss[k] = pow(prune_points[k], i == 1 ? 8 : 3);
    }
    PrunePlan p = {.layers = layers, .n = 3, .options = {.by = PRUNE_BY_UPDATE}};
    prune_shares(&p, NULL, 0.7, a);
    CHECK(fabs(layers[0].share + layers[1].share + layers[2].share - 2.1) < 0.01);
    CHECK(layers[1].share > layers[0].share + 0.05 && fabs(layers[0].share - layers[2].share) < 0.002);
    arena_free(a);
}

typedef struct Case {
    int64_t depth, groups, channels, part;
    bool by_rows;
    PruneOptions options;
} Case;

static double lost(const Hessian *h, const PruneWeights *was, const PruneWeights *is) {
    double *e = malloc(sizeof *e * (size_t)h->depth), sum = 0;
    for (int64_t c = 0; c < was->channels; c++) {
        for (int64_t k = 0; k < h->depth; k++) {
            int64_t at = c * was->by_channel + k * was->by_depth;
            e[k] = (double)was->w[at] - (double)is->w[at];
        }
        sum += hessian_error(h, c / (was->channels / h->groups), e);
    }
    free(e);
    return sum;
}

/* (He)_k of the weights that stay, beside (H|e|)_k: 0 where nothing that they could do makes it less. Where sums lie in
 * several parts only the first is looked at. */
static double slope(const Hessian *h, const PruneWeights *was, const PruneWeights *is, int64_t c) {
    int64_t n = hessian_part_size(h, 0);
    const double *t = h->sums[c / (was->channels / h->groups) * h->parts];
    double worst = 0, damp = hessian_damp(t, n);
    for (int64_t k = 0; k < n; k++) {
        double sum = 0, size = 0;
        if (is->w[c * is->by_channel + k * is->by_depth] == 0) continue;
        for (int64_t i = 0; i < n; i++) {
            int64_t at = c * was->by_channel + i * was->by_depth;
            double e = (double)was->w[at] - (double)is->w[at];
            double own = (i < k ? t[triangle_row(k) + i] : t[triangle_row(i) + k]) + (i == k ? damp : 0);
            sum += own * e;
            size += fabs(own * e);
        }
        worst = fmax(worst, fabs(sum) / size);
    }
    return worst;
}

static void test_update(Ctx *ctx, Case t, double share, double most) {
    Arena *a = arena_new(ctx);
    int64_t n = t.channels * t.depth, zeros = 0;
    Hessian *h = hessian_new(a, t.depth, t.groups, t.part);
    for (int64_t g = 0; g < t.groups; g++) add_correlated(h, g, (int)(4 * t.depth), false);
    PruneWeights was = {ARENA_ARRAY(a, n, float), t.channels, t.by_rows ? t.depth : 1, t.by_rows ? 1 : t.channels, 1};
    PruneWeights is = was, plain = was;
    is.w = ARENA_ARRAY(a, n, float);
    plain.w = ARENA_ARRAY(a, n, float);
    for (int64_t i = 0; i < n; i++) was.w[i] = plain.w[i] = is.w[i] = (float)normal();
    was.w[5] = is.w[5] = 0;
    prune_update(&t.options, h, &is, share, ctx);
    for (int64_t i = 0; i < n; i++) zeros += is.w[i] == 0, plain.w[i] = is.w[i] == 0 ? 0 : was.w[i];
    CHECK(fabs((double)zeros / (double)n - share) < 0.02 && is.w[5] == 0);
    double got = lost(h, &was, &is), without = lost(h, &was, &plain);
    if (!(got < most * without)) printf("update: %g of %g\n", got, without);
    CHECK(got < most * without);
    for (int64_t c = 0; c < t.channels; c++) CHECK(slope(h, &was, &is, c) < 0.02);
    arena_free(a);
}

/* ---- what the dense network makes, from what the pruned one holds ---- */

enum { FIT_ROWS = 640, FIT_DEPTH = 48, FIT_CHANNELS = 8 };

typedef struct FitCase {
    double x[FIT_ROWS][FIT_DEPTH], y[FIT_ROWS][FIT_CHANNELS]; /* the pruned network's inputs, the dense one's results */
    float w[FIT_CHANNELS * FIT_DEPTH], bias[FIT_CHANNELS], dense[FIT_CHANNELS];
} FitCase;

/* mean squares of y - Wx - b and, worst of all, |mean of it| */
static double misfit(const FitCase *f, double *mean) {
    double sum = 0;
    *mean = 0;
    for (int c = 0; c < FIT_CHANNELS; c++) {
        double own = 0;
        for (int r = 0; r < FIT_ROWS; r++) {
            double e = f->y[r][c] - (double)f->bias[c];
            for (int k = 0; k < FIT_DEPTH; k++) e -= (double)f->w[c * FIT_DEPTH + k] * f->x[r][k];
            sum += e * e;
            own += e;
        }
        *mean = fmax(*mean, fabs(own / FIT_ROWS));
    }
    return sum / FIT_ROWS;
}

/* The layers before have lost a third of what they held, and half of the weights are gone. */
static void draw_fit(FitCase *f) {
    enum { HIDDEN = 6 };
    static double mix[FIT_DEPTH][HIDDEN];
    for (int k = 0; k < FIT_DEPTH; k++)
        for (int h = 0; h < HIDDEN; h++) mix[k][h] = normal();
    for (int i = 0; i < FIT_CHANNELS * FIT_DEPTH; i++) f->w[i] = (float)normal();
    for (int c = 0; c < FIT_CHANNELS; c++) f->bias[c] = f->dense[c] = (float)normal();
    for (int r = 0; r < FIT_ROWS; r++) {
        double hidden[HIDDEN];
        for (int h = 0; h < HIDDEN; h++) hidden[h] = normal();
        for (int c = 0; c < FIT_CHANNELS; c++) f->y[r][c] = (double)f->bias[c];
        for (int k = 0; k < FIT_DEPTH; k++) {
            double x = 0.5 + 0.2 * normal();
            for (int h = 0; h < HIDDEN; h++) x += mix[k][h] * hidden[h];
            for (int c = 0; c < FIT_CHANNELS; c++) f->y[r][c] += (double)f->w[c * FIT_DEPTH + k] * x;
            f->x[r][k] = 0.7 * x + 0.1 * normal();
        }
    }
    for (int i = 0; i < FIT_CHANNELS * FIT_DEPTH; i += 2) f->w[i] = 0;
}

static void test_refit(Ctx *ctx) {
    Arena *a = arena_new(ctx);
    FitCase *f = ARENA_NEW(a, FitCase);
    Hessian *h = hessian_new(a, FIT_DEPTH, 1, HESSIAN_PART);
    Tensor w = {.data = f->w, .bytes = sizeof f->w}, b = {.data = f->dense, .bytes = sizeof f->dense};
    PruneLayer l = {.weights = f->w, .bias = f->bias};
    l.c = (Contraction){.weights = &w, .bias = &b, .shape = {1, FIT_CHANNELS, FIT_DEPTH}, .depth = FIT_DEPTH};
    draw_fit(f);
    h->about_means = true;
    hessian_want(h, a, FIT_CHANNELS);
    for (int r = 0; r < FIT_ROWS; r += HESSIAN_ROWS) {
        memcpy(h->buffer, f->x[r], sizeof f->x[0] * HESSIAN_ROWS);
        for (int i = 0; i < HESSIAN_ROWS * FIT_CHANNELS; i++)
            h->targets[i] = (&f->y[r][0])[i] - (double)f->dense[i % FIT_CHANNELS];
        hessian_add(h, 0, HESSIAN_ROWS);
    }
    double mean, before = misfit(f, &mean);
    prune_refit(&l, h, ctx);
    double after = misfit(f, &mean);
    CHECK(after < 0.02 * before && mean < 1e-3);
    for (int i = 0; i < FIT_CHANNELS * FIT_DEPTH; i++) CHECK((f->w[i] == 0) == (i % 2 == 0));
    for (int i = 0; i < 4; i++) { /* no step from there is a better one */
        int at = 2 * (int)(uniform() * FIT_CHANNELS * FIT_DEPTH / 2) + 1;
        float was = f->w[at];
        for (int way = -1; way <= 1; way += 2) {
            f->w[at] = was + (float)way * 0.2f;
            CHECK(misfit(f, &mean) > after);
        }
        f->w[at] = was;
    }
    arena_free(a);
}

/* ---- --prune-pattern=auto ---- */

static PruneOptions form_on(Ctx *ctx, const char *triple, const char *cpu, int64_t rows, bool integers, bool small) {
    Graph *g = graph_new(ctx, NULL);
    const char *why = NULL;
    Value *x = value_new(g, (Str){0});
    Dim dims[2] = {dim_const(ctx, rows), dim_const(ctx, 64)};
    value_set_dims(x, DT_F32, 2, dims);
    Node *n = node_new(g, OP_MatMul, NULL, (Value *[]){x, x}, 2, 1);
    PruneOptions o = {
        .pattern = PRUNE_AUTO, .integers = integers, .small = small, .target = target_find(triple, cpu, "", &why)};
    return prune_form(&o, n);
}

static void test_auto(Ctx *ctx) {
    const char *x86 = "x86_64-pc-linux-gnu", *arm = "aarch64-linux-gnu", *thumb = "thumbv7em-none-eabihf";
    CHECK(form_on(ctx, x86, "x86-64-v4", 128, false, false).pattern == PRUNE_UNSTRUCTURED);
    CHECK(form_on(ctx, arm, "", 128, false, false).pattern == PRUNE_UNSTRUCTURED);
    CHECK(form_on(ctx, thumb, "", 1, false, false).pattern == PRUNE_UNSTRUCTURED);
    CHECK(form_on(ctx, thumb, "", 128, false, false).pattern == PRUNE_CHANNELS);
    CHECK(form_on(ctx, arm, "", 128, true, false).pattern == PRUNE_CHANNELS);
    PruneOptions words = form_on(ctx, x86, "znver4", 128, true, false);
    CHECK(words.pattern == PRUNE_BLOCKS && words.rows == 1 && words.cols == 4);
    CHECK(!strcmp(prune_form_text(ctx, &words), "blocks of 1x4"));
    PruneOptions plain = form_on(ctx, x86, "x86-64", 128, false, false),
                 small = form_on(ctx, arm, "", 128, false, true);
    CHECK(plain.pattern == PRUNE_BLOCKS && plain.rows == 4 && plain.cols == 1);
    CHECK(small.pattern == PRUNE_BLOCKS && small.rows == 4 && small.cols == 1);
}

static void test_all(Ctx *ctx) {
    test_auto(ctx);
    test_refit(ctx);
    for (int i = 0; i <= 10; i++) test_unstructured(ctx, i / 10.0, i % 2);
    test_block_taps(ctx, 9, 4);
    test_block_taps(ctx, 3, 2);
    test_blocks(ctx, 1, 4);
    test_blocks(ctx, 4, 1);
    test_blocks(ctx, 16, 2);
    test_n_of_m(ctx);
    test_channels(ctx, 0.4);
    test_channels(ctx, 1);
    for (int i = 1; i < 10; i += 2) test_shares(ctx, i / 10.0);
    test_losses(ctx);
    PruneOptions any = {.pattern = PRUNE_UNSTRUCTURED, .by = PRUNE_BY_UPDATE};
    PruneOptions blocks = {.pattern = PRUNE_BLOCKS, .by = PRUNE_BY_UPDATE, .rows = 2, .cols = 4};
    PruneOptions two_of_four = {.pattern = PRUNE_N_OF_M, .by = PRUNE_BY_UPDATE, .n = 2, .of = 4};
    test_update(ctx, (Case){160, 1, 20, HESSIAN_PART, true, any}, 0.8, 0.3);
    test_update(ctx, (Case){160, 1, 20, HESSIAN_PART, false, any}, 0.5, 0.3);
    test_update(ctx, (Case){64, 3, 12, 32, true, any}, 0.3, 0.3);
    test_update(ctx, (Case){160, 1, 20, HESSIAN_PART, true, blocks}, 0.6, 0.3);
    test_update(ctx, (Case){160, 1, 20, HESSIAN_PART, true, two_of_four}, 0.5, 0.5);
}

int main(void) {
    Ctx *ctx = ctx_new("model.onnx");
    if (!ctx) return 1;
    mem_limit(ctx, MEM_UNLIMITED);
    test_all(ctx);
    ctx_free(ctx);
    if (failures) printf("%d failures\n", failures);
    return failures != 0;
}
