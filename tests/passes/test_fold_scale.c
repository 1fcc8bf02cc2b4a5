/* BatchNormalization and constant scales into the weights before them: every contraction, groups, biases, and where it
 * must not be done. */
#include "tests/passes/passtest.h"

#define FOLD pass_fold_const, pass_fold_batch_norm, pass_fold_scale, pass_dead_code

static Value *positive(Case *t, const char *spec) {
    t->lo = 0.5;
    Value *v = weights(t, spec);
    t->lo = -2;
    return v;
}

static Value *batch_norm(Case *t, Value *x, const char *channels) {
    Value *scale = weights(t, channels), *bias = weights(t, channels), *mean = weights(t, channels);
    return DO(t, BatchNormalization, x, scale, bias, mean, positive(t, channels));
}

static void check_conv(const char *name, int64_t group, bool bias) {
    Case t;
    case_begin(&t);
    Value *x = input(&t, "x", "Nx4x5x5");
    Node *conv = node_named(
        &t, OP_Conv, (Value *[]){x, weights(&t, group == 2 ? "6x2x3x3" : "6x4x3x3"), bias ? weights(&t, "6") : NULL},
        bias ? 3 : 2, 1);
    node_set_ints(conv, "pads", (int64_t[]){1, 1, 1, 1}, 4);
    node_set_int(conv, "group", group);
    output(&t, "y", batch_norm(&t, result(&t, conv), "6"));
    CHECK(&t, name, 1e-5, FOLD);
}

static void check_contractions(void) {
    Case t;
    check_conv("Conv", 1, false);
    check_conv("Conv with bias and groups", 2, true);
    case_begin(&t);
    Node *up = NODE(&t, ConvTranspose, input(&t, "x", "1x4x5x5"), weights(&t, "4x3x2x2"), weights(&t, "6"));
    node_set_int(up, "group", 2);
    output(&t, "y", batch_norm(&t, result(&t, up), "6"));
    CHECK(&t, "ConvTranspose with groups", 1e-5, FOLD);
    for (int trans = 0; trans < 2; trans++) {
        case_begin(&t);
        Node *gemm = NODE(&t, Gemm, input(&t, "x", "3x4"), weights(&t, trans ? "5x4" : "4x5"), weights(&t, "1x5"));
        node_set_int(gemm, "transB", trans);
        node_set_float(gemm, "alpha", 0.5);
        node_set_float(gemm, "beta", 2);
        output(&t, "y", batch_norm(&t, result(&t, gemm), "5"));
        CHECK(&t, trans ? "Gemm, transposed" : "Gemm", 1e-5, FOLD);
    }
    case_begin(&t);
    Value *y = DO(&t, MatMul, input(&t, "x", "2x3x4"), weights(&t, "4x5"));
    output(&t, "y", DO(&t, Add, DO(&t, Mul, y, weights(&t, "5")), weights(&t, "5")));
    CHECK(&t, "MatMul takes the scale, its bias stays", 1e-5, FOLD);
}

static Value *conv1x1(Case *t, const char *name) {
    return DO(t, Conv, input(t, name, "1x3x4x4"), weights(t, "5x3x1x1"));
}

static void check_steps(void) {
    Case t;
    case_begin(&t);
    Value *scale = DO(&t, Unsqueeze, weights(&t, "5"), INTS_OF(&t, 1, 2)),
          *shift = DO(&t, Unsqueeze, weights(&t, "5"), INTS_OF(&t, 1, 2));
    output(&t, "y", DO(&t, Add, DO(&t, Mul, batch_norm(&t, conv1x1(&t, "x"), "5"), scale), shift));
    CHECK(&t, "BatchNormalization, then unsqueezed scale and shift", 1e-5, FOLD);
    case_begin(&t);
    Value *x = DO(&t, Relu, input(&t, "x", "1x5x4x4"));
    output(&t, "y", DO(&t, Add, DO(&t, Mul, batch_norm(&t, x, "5"), weights(&t, "5x1x1")), weights(&t, "5x1x1")));
    CHECK(&t, "the same without a convolution", 1e-5, FOLD);
    case_begin(&t);
    output(&t, "y", DO(&t, Sub, DO(&t, Div, conv1x1(&t, "x"), number(&t, 3)), positive(&t, "5x1x1")));
    CHECK(&t, "Div and Sub, one number for all", 1e-5, FOLD);
    case_begin(&t);
    x = input(&t, "x", "2x3");
    output(&t, "y", DO(&t, Add, DO(&t, Add, x, number(&t, 1)), number(&t, 2)));
    CHECK(&t, "(x + 1) + 2", 1e-6, FOLD);
    case_begin(&t);
    x = input(&t, "x", "2x3");
    output(&t, "y", DO(&t, Sub, DO(&t, Add, x, number(&t, 8388608)), number(&t, 8388608)));
    CHECK(&t, "(x + 2^23) - 2^23 rounds, and stays", 0, FOLD);
}

#define PUSH pass_fold_scale, pass_push_scale, pass_dead_code

/* relu(x) * s + t before a Conv */
static void check_push(const char *name, const char *w, int64_t group, const int64_t *pads, bool bias) {
    Case t;
    case_begin(&t);
    Value *x = DO(&t, Relu, input(&t, "x", "Nx4x5x5"));
    x = DO(&t, Add, DO(&t, Mul, x, weights(&t, "4x1x1")), number(&t, 0.5));
    Node *conv =
        node_named(&t, OP_Conv, (Value *[]){x, weights(&t, w), bias ? weights(&t, "6") : NULL}, bias ? 3 : 2, 1);
    if (pads) node_set_ints(conv, "pads", pads, 4);
    node_set_int(conv, "group", group);
    output(&t, "y", result(&t, conv));
    CHECK(&t, name, 1e-5, PUSH);
}

static void check_pushes(void) {
    Case t;
    check_push("into the next Conv", "6x4x3x3", 1, NULL, true);
    check_push("into the next Conv, with groups, without a bias", "6x2x1x1", 2, NULL, false);
    check_push("a shift before padding stays", "6x4x3x3", 1, (const int64_t[]){1, 0, 0, 0}, true);
    case_begin(&t);
    Value *x = DO(&t, Mul, DO(&t, Relu, input(&t, "x", "1x4x3x3")), weights(&t, "4x1x1"));
    Node *up = NODE(&t, ConvTranspose, x, weights(&t, "4x3x2x2"));
    node_set_int(up, "group", 2);
    output(&t, "y", result(&t, up));
    CHECK(&t, "into the next ConvTranspose", 1e-5, PUSH);
    for (int trans = 0; trans < 2; trans++) {
        case_begin(&t);
        x = DO(&t, Div, DO(&t, Relu, input(&t, "x", "3x4")), positive(&t, "4"));
        Node *gemm = NODE(&t, Gemm, x, weights(&t, trans ? "5x4" : "4x5"), weights(&t, "5"));
        node_set_int(gemm, "transB", trans);
        node_set_float(gemm, "alpha", 0.5);
        output(&t, "y", result(&t, gemm));
        CHECK(&t, trans ? "into the next Gemm, transposed" : "into the next Gemm", 1e-5, PUSH);
    }
    case_begin(&t);
    x = DO(&t, Mul, DO(&t, Relu, input(&t, "x", "2x3x4")), weights(&t, "4"));
    output(&t, "y", DO(&t, MatMul, x, weights(&t, "2x4x5")));
    CHECK(&t, "into the next MatMul", 1e-5, PUSH);
    case_begin(&t);
    x = DO(&t, Mul, DO(&t, Relu, input(&t, "x", "2x3x4")), weights(&t, "3x1"));
    output(&t, "y", DO(&t, MatMul, x, weights(&t, "4x5")));
    CHECK(&t, "a scale a row stays before MatMul", 0, PUSH);
}

static void check_refusals(void) {
    Case t;
    case_begin(&t);
    Value *c = conv1x1(&t, "x");
    output(&t, "y", DO(&t, Mul, c, weights(&t, "5x1x1")));
    output(&t, "z", DO(&t, Exp, c));
    CHECK(&t, "another use", 0, FOLD);
    case_begin(&t);
    output(&t, "y", DO(&t, Mul, conv1x1(&t, "x"), weights(&t, "4")));
    CHECK(&t, "a scale a column", 0, FOLD);
    case_begin(&t);
    output(&t, "y", DO(&t, Add, conv1x1(&t, "x"), weights(&t, "5x4x4")));
    CHECK(&t, "a shift a pixel", 0, FOLD);
    case_begin(&t);
    output(&t, "y", DO(&t, Mul, conv1x1(&t, "x"), number(&t, INFINITY)));
    CHECK(&t, "an infinite scale", 0, FOLD);
    case_begin(&t);
    Value *conv = DO(&t, Conv, input(&t, "x", "1x3x4x4"), input(&t, "w", "5x3x1x1"));
    output(&t, "y", DO(&t, Add, DO(&t, Mul, conv, weights(&t, "5x1x1")), weights(&t, "5x1x1")));
    CHECK(&t, "weights that are not constant", 0, FOLD);
    case_begin(&t);
    Value *in[] = {input(&t, "x", "2x3x4"), input(&t, "s", "3"), weights(&t, "3"), weights(&t, "3"), positive(&t, "3")};
    output(&t, "y", result(&t, node_named(&t, OP_BatchNormalization, in, 5, 1)));
    CHECK(&t, "a scale that is not constant", 0, FOLD);
}

static void check_budget(void) { /* no room for folded weights: no error, no folding */
    Case t;
    case_begin(&t);
    Value *y = DO(&t, Mul, conv1x1(&t, "x"), weights(&t, "5x1x1"));
    output(&t, "y", y);
    t.ctx->opt.max_fold = t.ctx->folded;
    PassCtx p = {.ctx = t.ctx};
    if (pass_fold_scale(t.g, &p) || diag_errors(t.ctx)) case_fail("budget", "was not heeded");
    ctx_free(t.ctx);
}

int main(void) {
    golden_begin();
    check_contractions();
    check_steps();
    check_pushes();
    check_refusals();
    check_budget();
    return golden_end("fold_scale");
}
