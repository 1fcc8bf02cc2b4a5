/* The target of weights behind rounded layers: where an input has lost a part of its signal to noise, T makes less of
 * it, and on rows that it was not fitted to T x is nearer to W x' than W x is; where nothing is lost T is W; with one
 * sample, of which nobody can judge, too; and a number that is not finite is refused. */
#include "compress/round_fit.h"
#include <math.h>
#include <string.h>
#include "tests/unit/correlated.h"

enum { DEPTH = 24, CHANNELS = 20, ROWS = 64, SAMPLES = 16 };

static int failures;
#define CHECK(...)                                                                                                     \
    ((__VA_ARGS__) ? (void)0 : (void)(failures++, printf("%s:%d: %s\n", __FILE__, __LINE__, #__VA_ARGS__)))

static Node *product(Graph *g, Arena *a) {
    Tensor *w = ARENA_NEW(a, Tensor);
    float *data = ARENA_ARRAY(a, DEPTH * CHANNELS, float);
    *w = (Tensor){.dtype = DT_F32, .rank = 2, .dims = {DEPTH, CHANNELS}, .data = data};
    w->bytes = sizeof *data * DEPTH * CHANNELS;
    for (int i = 0; i < DEPTH * CHANNELS; i++) data[i] = (float)normal();
    Dim dims[] = {dim_const(g->ctx, ROWS), dim_const(g->ctx, DEPTH)};
    Value *x = value_new(g, (Str){0});
    value_set_dims(x, DT_F32, 2, dims);
    return node_new(g, OP_MatMul, NULL, (Value *[]){x, value_of_tensor(g, w)}, 2, 1);
}

/* x' in exact; in x every third input is half noise, with lossy */
static void draw(float *x, float *exact, bool lossy) {
    for (int i = 0; i < ROWS * DEPTH; i++) {
        exact[i] = (float)normal();
        x[i] = lossy && i % DEPTH % 3 == 0 ? exact[i] + (float)normal() : exact[i];
    }
}

static double lost(const RoundFit *f, const float *x, const float *exact, bool plain) {
    const float *w = f->c->weights->data;
    double sum = 0;
    for (int i = 0; i < ROWS; i++)
        for (int c = 0; c < CHANNELS; c++) {
            double e = 0;
            for (int k = 0; k < DEPTH; k++) {
                double own = (double)w[k * CHANNELS + c];
                e += own * (double)exact[i * DEPTH + k] -
                     (plain ? own : f->target[c * DEPTH + k]) * (double)x[i * DEPTH + k];
            }
            sum += e * e;
        }
    return sum;
}

static void test_fit(Ctx *ctx, int samples, bool lossy) {
    Arena *a = arena_new(ctx);
    Graph *g = graph_new(ctx, NULL);
    Contraction c;
    Node *n = product(g, a);
    CHECK(contraction_read(n, &c));
    RoundFit *f = round_fit_new(a, n, &c, samples);
    float x[ROWS * DEPTH], exact[ROWS * DEPTH];
    Tensor tx = {.dtype = DT_F32, .rank = 2, .dims = {ROWS, DEPTH}, .bytes = sizeof x, .data = x}, te = tx;
    te.data = exact;
    for (int i = 0; i < samples; i++) {
        draw(x, exact, lossy);
        CHECK(round_fit_observe(f, i, &tx, &te));
    }
    round_fit_solve(f, ctx);
    draw(x, exact, lossy);
    double plain = lost(f, x, exact, true), fitted = lost(f, x, exact, false);
    CHECK(lossy && samples > 1 ? fitted < 0.6 * plain : fitted <= plain + 1e-6);
    x[5] = (float)NAN;
    CHECK(!round_fit_observe(round_fit_new(a, n, &c, 1), 0, &tx, &te));
    x[5] = 0;
    exact[7] = (float)INFINITY;
    CHECK(!round_fit_observe(round_fit_new(a, n, &c, 1), 0, &tx, &te));
    arena_free(a);
}

int main(void) {
    Ctx *ctx = ctx_new("test");
    test_fit(ctx, SAMPLES, true);
    test_fit(ctx, SAMPLES, false);
    test_fit(ctx, 1, true);
    ctx_free(ctx);
    if (failures) printf("%d failures\n", failures);
    return failures != 0;
}
