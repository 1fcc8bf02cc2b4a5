/* Quantized models: DQ and Q move past what moves elements, contractions between them take integers. Scales are powers
 * of two and sums small, so that f32 is exact and results are the same before and after. */
#include "passes/quant.h"
#include "tests/passes/passtest.h"

#define PASSES                                                                                                         \
    pass_fold_quantized, pass_expand_qlinear, pass_move_quantized, pass_lower_quantized, pass_split_scales,            \
        pass_warn_fallback, pass_dead_code

static Value *codes(Case *c, const char *name, const char *spec) { return input_of(c, name, DT_U8, spec); }

static Value *dq(Case *c, Value *q, double scale, int64_t zero) {
    return DO(c, DequantizeLinear, q, number(c, scale), const_integer(c->g, q->type.dtype, zero));
}

static Value *q(Case *c, Value *x, double scale, int64_t zero) {
    return DO(c, QuantizeLinear, x, number(c, scale), const_integer(c->g, DT_U8, zero));
}

/* Numbers 2^-1, 2^-2, 2^-3, 2^-1, … */
static Value *scales(Case *c, int64_t n) {
    float v[64];
    for (int64_t i = 0; i < n; i++) v[i] = 1.0f / (float)(2 << i % 3);
    return const_floats(c->g, 1, &n, v);
}

static Value *integers(Case *c, Dtype t, const char *spec, int64_t lo, int64_t step) {
    int64_t v[512], dims[MCC_MAX_RANK], n = 1;
    Dim d[MCC_MAX_RANK];
    int rank = parse_dims(c, spec, d);
    for (int i = 0; i < rank; i++) dim_is_const(d[i], &dims[i]), n *= dims[i];
    for (int64_t i = 0; i < n; i++) v[i] = lo + i * step % 7;
    return const_integers(c->g, t, rank, dims, v);
}

static Value *listed(Case *c, Value *q_, int64_t n, int64_t axis) { /* a DQ of a scale an index */
    Node *made = NODE(c, DequantizeLinear, q_, scales(c, n));
    node_set_int(made, "axis", axis);
    return result(c, made);
}

/* A node in front of a Q may have no output 0. */
static void check_second_output(void) {
    Case c;
    case_begin(&c);
    Value *in[] = {input(&c, "x", "3x2x4"), weights(&c, "1x6x4"), weights(&c, "1x6x2")};
    Node *gru = node_named(&c, OP_GRU, in, 3, 2);
    node_set_int(gru, "hidden_size", 2);
    node_infer(c.ctx, gru);
    gru->out[0] = NULL;
    output(&c, "y", q(&c, gru->out[1], 0.5, 3));
    PassCtx p = {.ctx = c.ctx, .opt_level = 2, .stop_after = -1};
    if (!passes_run(c.g, &p)) failures++;
    ctx_free(c.ctx);
}

static void check_contractions(void) {
    Case c;
    case_begin(&c);
    Node *conv = NODE(&c, Conv, dq(&c, codes(&c, "x", "1x2x4x4"), 0.5, 3),
                      listed(&c, integers(&c, DT_I8, "3x2x3x3", -3, 3), 3, 0),
                      listed(&c, integers(&c, DT_I32, "3", -2, 1), 3, 0));
    node_set_ints(conv, "pads", (int64_t[]){1, 1, 1, 1}, 4);
    output(&c, "y", q(&c, DO(&c, Relu, result(&c, conv)), 2, 10));
    CHECK(&c, "convolution whose bias has other scales, Relu", 0, PASSES);

    case_begin(&c);
    Value *y = DO(&c, Conv, dq(&c, codes(&c, "x", "1x2x4x4"), 0.5, 3),
                  listed(&c, integers(&c, DT_I8, "3x2x1x1", -3, 3), 3, 0));
    Node *pool = NODE(&c, MaxPool, DO(&c, Clip, y, number(&c, 0), number(&c, 6)));
    node_set_ints(pool, "kernel_shape", (int64_t[]){2, 2}, 2);
    output(&c, "y", q(&c, result(&c, pool), 0.5, 0));
    CHECK(&c, "a bound and a pool", 0, PASSES);

    case_begin(&c);
    y = DO(&c, Conv, dq(&c, codes(&c, "x", "1x2x4x4"), 0.5, 3),
           listed(&c, integers(&c, DT_I8, "3x2x1x1", -3, 3), 3, 0));
    Value *bound = const_floats(c.g, 3, (int64_t[]){3, 1, 1}, (float[]){6, 1.5f, 40});
    output(&c, "y", q(&c, DO(&c, Min, DO(&c, Relu, y), bound), 0.0625, 0));
    CHECK(&c, "a bound for each channel", 0, PASSES);

    case_begin(&c);
    Node *turned = NODE(&c, Transpose, listed(&c, integers(&c, DT_I8, "5x4", -3, 3), 5, 0));
    output(&c, "y", DO(&c, MatMul, dq(&c, codes(&c, "x", "2x3x4"), 0.25, 0), result(&c, turned)));
    CHECK(&c, "product with transposed weights, no Q", 0, PASSES);

    case_begin(&c);
    Value *shaped = DO(&c, Reshape, listed(&c, integers(&c, DT_I8, "5x2x2", -3, 3), 5, 0), INTS_OF(&c, 1, 5, 4));
    Node *last = NODE(&c, Transpose, DO(&c, Squeeze, shaped, INTS_OF(&c, 0)));
    output(&c, "y", DO(&c, MatMul, dq(&c, codes(&c, "x", "3x4"), 0.25, 0), result(&c, last)));
    CHECK(&c, "weights under views that keep their channels together", 0, PASSES);

    case_begin(&c);
    Value *scale = DO(&c, Mul, number(&c, 0.5), number(&c, 0.25));
    Value *weights = DO(&c, Clip, q(&c, DO(&c, Neg, number(&c, -4)), 0.125, 0), const_integer(c.g, DT_U8, 1),
                        const_integer(c.g, DT_U8, 30));
    Value *one = DO(&c, Reshape, DO(&c, DequantizeLinear, weights, scale), INTS_OF(&c, 1, 1));
    output(&c, "y", DO(&c, MatMul, dq(&c, codes(&c, "x", "3x1"), 0.25, 0), one));
    CHECK(&c, "scale and weights that are computed", 0, PASSES);

    case_begin(&c);
    Node *gemm =
        NODE(&c, Gemm, dq(&c, codes(&c, "x", "3x4"), 0.25, 128), dq(&c, integers(&c, DT_I8, "5x4", -3, 3), 0.5, 1),
             DO(&c, DequantizeLinear, integers(&c, DT_I32, "5", -4, 1), number(&c, 0.125)));
    node_set_int(gemm, "transB", 1);
    output(&c, "y", q(&c, result(&c, gemm), 4, 128));
    CHECK(&c, "Gemm", 0, PASSES);

    case_begin(&c);
    output(&c, "y",
           q(&c, DO(&c, MatMul, dq(&c, codes(&c, "a", "2x3x4"), 0.25, 5), dq(&c, codes(&c, "b", "2x4x3"), 0.5, 7)), 16,
             1));
    CHECK(&c, "two inputs: exact in float32", 0, PASSES);

    case_begin(&c);
    output(&c, "y", DO(&c, MatMul, dq(&c, codes(&c, "a", "1x40000"), 1, 0), dq(&c, codes(&c, "b", "40000x1"), 1, 0)));
    diag_set_flag(c.ctx, "no-quant-fallback");
    CHECK(&c, "sums that may not fit int32", 1e-3, PASSES);

    case_begin(&c);
    Value *image = dq(&c, codes(&c, "x", "1x3x4x4"), 0.5, 3);
    output(&c, "y", q(&c, DO(&c, GlobalAveragePool, image), 0.25, 1));
    output(&c, "z", DO(&c, ReduceMean, image));
    CHECK(&c, "means", 0, PASSES);

    case_begin(&c);
    Value *in[] = {codes(&c, "x", "1x2x3x3"),
                   number(&c, 0.5),
                   const_integer(c.g, DT_U8, 2),
                   integers(&c, DT_I8, "2x1x2x2", -3, 3),
                   scales(&c, 2),
                   const_integer(c.g, DT_I8, 1),
                   number(&c, 1),
                   const_integer(c.g, DT_U8, 7),
                   integers(&c, DT_I32, "2", 4, 1)};
    Node *linear = node_named(&c, OP_QLinearConv, in, 9, 1);
    node_set_int(linear, "group", 2);
    output(&c, "y", result(&c, linear));
    CHECK(&c, "QLinearConv", 0, PASSES);
}

static void check_moves(void) {
    Case c;
    case_begin(&c);
    Value *x = DO(&c, Reshape, dq(&c, codes(&c, "x", "2x6"), 0.5, 9), INTS_OF(&c, 1, 3, 2, 2));
    Value *y = DO(&c, Relu, DO(&c, Pad, x, INTS_OF(&c, 0, 0, 1, 0, 0, 0, 0, 1)));
    output(&c, "y", q(&c, DO(&c, Transpose, y), 0.5, 9));
    CHECK(&c, "moves alone", 0, PASSES);

    case_begin(&c);
    Value *parts[] = {dq(&c, codes(&c, "a", "2x2"), 0.5, 9), dq(&c, codes(&c, "b", "2x3"), 0.25, 9)};
    Node *concat = node_named(&c, OP_Concat, parts, 2, 1);
    node_set_int(concat, "axis", 1);
    output(&c, "y", q(&c, result(&c, concat), 0.5, 9));
    CHECK(&c, "Concat of two scales", 0, PASSES);

    case_begin(&c);
    x = dq(&c, codes(&c, "x", "2x6"), 0.5, 9);
    output(&c, "inside", DO(&c, Clip, x, number(&c, 0), number(&c, 6)));
    output(&c, "beyond", DO(&c, Clip, x, number(&c, -100), number(&c, 1000)));
    output(&c, "between", DO(&c, Clip, x, number(&c, 0), number(&c, 6.25)));
    CHECK(&c, "Clip on the integers, where they have its bounds", 0, PASSES);

    case_begin(&c);
    Node *made = NODE(&c, DequantizeLinear, codes(&c, "x", "2x3x2"), scales(&c, 3), integers(&c, DT_U8, "3", 5, 1));
    Node *back = NODE(&c, QuantizeLinear, result(&c, made), scales(&c, 2));
    node_set_int(back, "axis", 0);
    output(&c, "y", result(&c, back));
    CHECK(&c, "a scale an index", 0, PASSES);

    case_begin(&c);
    output(&c, "y", q(&c, DO(&c, Sigmoid, dq(&c, q(&c, number(&c, 3), 0.5, 0), 0.5, 0)), 0.125, 0));
    CHECK(&c, "constants", 0, PASSES);
}

int main(void) {
    golden_begin();
    check_second_output();
    check_contractions();
    check_moves();
    return golden_end("quantized");
}
