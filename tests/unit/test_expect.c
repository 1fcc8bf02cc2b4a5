/* What values are expected to hold: of normalisations, activations, sums and contractions against millions of drawn
 * ones; nothing is said of what two guesses in a row lead to. */
#include "compress/expect.h"
#include <stdlib.h>
#include "tests/passes/passtest.h"

static int wrong;
static void expect_near(const char *what, double got, double want, double apart) {
    if (fabs(got - want) <= apart) return;
    printf("%s: %g, want %g\n", what, got, want);
    wrong++;
}

static Value *vector(Case *c, const float *v, int64_t n) {
    Tensor *t = tensor_new(c->g, DT_F32, 1, &n);
    memcpy((void *)(uintptr_t)t->data, v, (size_t)n * sizeof *v);
    return value_of_tensor(c->g, t);
}

/* Deviations 2 and 0.5 around 1 and -3 */
static Value *normalised(Case *c) {
    static const float scale[] = {2, -0.5f}, bias[] = {1, -3}, zero[] = {0, 0}, one[] = {1, 1};
    return DO(c, BatchNormalization, input(c, "x", "1x2x4x4"), vector(c, scale, 2), vector(c, bias, 2),
              vector(c, zero, 2), vector(c, one, 2));
}

static Expectations expectations(Case *c) {
    Expectations e = {.arena = c->ctx->arena, .input = {-1, 3}};
    graph_count_uses(c->g);
    expect_values(&e, c->g);
    return e;
}

/* mean and mean square by channel, as a contraction behind v would be told */
static const Seen *seen(Case *c, const Expectations *e, const Value *v) {
    Node *n = NODE(c, Conv, (Value *)(uintptr_t)v, weights(c, "3x2x1x1"));
    const Expected *x = expected_of(e, v);
    return x ? expected_seen(x, n, c->ctx->arena) : NULL;
}

static void check_normalisation(void) {
    Case c;
    case_begin(&c);
    Value *x = normalised(&c), *relu = DO(&c, Relu, x), *sum = DO(&c, Add, x, relu);
    output(&c, "y", sum);
    Expectations e = expectations(&c);
    const Seen *s = seen(&c, &e, x), *r = seen(&c, &e, relu);
    if (e.norms != 1 || !s || !r) {
        printf("a normalisation says nothing\n");
        wrong++;
        return;
    }
    expect_near("mean", s->sums[0] / s->count, 1, 1e-3);
    expect_near("mean of the other", s->sums[1] / s->count, -3, 1e-3);
    expect_near("mean square", s->squares[0] / s->count, 5, 0.02);
    expect_near("mean square of the other", s->squares[1] / s->count, 9.25, 0.02);
    /* of max(0, z), z around 1 with deviation 2: φ and Φ at 1/2 */
    expect_near("mean behind Relu", r->sums[0] / r->count, 1 * 0.691462 + 2 * 0.352065, 0.01);
    expect_near("lowest behind Relu", (double)r->low[0], 0, 0);
    expect_near("all below 0 behind Relu", (double)r->high[1], 0, 0.02);
    Range whole = expected_range(expected_of(&e, x), RANGE_MINMAX, 100, false, c.ctx->arena);
    expect_near("lowest", whole.low, 1 - 6 * 2.0, 0.01);
    expect_near("highest", whole.high, 1 + 6 * 2.0, 0.01);
    ctx_free(c.ctx);
}

/* Inputs are spread evenly over what --input-range says. */
static void check_input(void) {
    Case c;
    case_begin(&c);
    Value *x = input(&c, "x", "1x2x4x4");
    output(&c, "y", DO(&c, Relu, x));
    Expectations e = expectations(&c);
    const Seen *s = seen(&c, &e, x);
    if (!s) {
        printf("nothing is said of inputs\n");
        wrong++;
        return;
    }
    expect_near("mean of an input", s->sums[0] / s->count, 1, 1e-2);
    expect_near("mean square of an input", s->squares[0] / s->count, 1 + 16.0 / 12, 0.02);
    Range r = expected_range(expected_of(&e, x), RANGE_MINMAX, 100, false, c.ctx->arena);
    expect_near("lowest input", r.low, -1, 1e-3);
    expect_near("highest input", r.high, 3, 1e-3);
    ctx_free(c.ctx);
}

/* Of a 1 × 1 convolution: Σ w m, Σ w² s²; two convolutions in a row are guessed, of a third nothing is said. */
static void check_contraction(void) {
    Case c;
    case_begin(&c);
    Value *w = weights(&c, "2x2x1x1"), *x = normalised(&c), *y = DO(&c, Conv, x, w);
    Value *second = DO(&c, Conv, y, weights(&c, "2x2x1x1")), *third = DO(&c, Conv, second, weights(&c, "2x2x1x1"));
    output(&c, "y", third);
    Expectations e = expectations(&c);
    const Seen *s = seen(&c, &e, y);
    double a = tensor_float(w->constant, 0), b = tensor_float(w->constant, 1), mean = a - 3 * b;
    if (!s || !expected_of(&e, second) || expected_of(&e, third)) {
        printf("contractions: too little is said, or too much\n");
        wrong++;
        return;
    }
    expect_near("mean of a sum", s->sums[0] / s->count, mean, 0.02 * (1 + fabs(mean)));
    expect_near("mean square of a sum", s->squares[0] / s->count, mean * mean + 4 * a * a + 0.25 * b * b,
                0.05 * (1 + mean * mean + 4 * a * a));
    ctx_free(c.ctx);
}

/* Factors divide what is expected of a value. */
static void check_scale(void) {
    Case c;
    case_begin(&c);
    Value *x = normalised(&c);
    output(&c, "y", x);
    Expectations e = expectations(&c);
    expect_scale(&e, x, 1, (float[]){4, 0.5f}, 2);
    const Seen *s = seen(&c, &e, x);
    expect_near("scaled", s ? s->sums[0] / s->count : 1e9, 0.25, 1e-3);
    expect_near("the other, scaled", s ? s->sums[1] / s->count : 1e9, -6, 1e-2);
    ctx_free(c.ctx);
}

int main(void) {
    check_normalisation();
    check_input();
    check_contraction();
    check_scale();
    return wrong != 0;
}
