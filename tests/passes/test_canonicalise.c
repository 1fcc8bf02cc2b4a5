/* Algebra: each rule applies where it may, and not where it may not. */
#include "passes/quant.h"
#include "tests/passes/passtest.h"

static void check_binary(const char *name, Op op, double c, bool left) {
    Case t;
    case_begin(&t);
    Value *x = input(&t, "x", "2x3"), *k = number(&t, c);
    Value *y =
        result(&t, left ? node_named(&t, op, (Value *[]){k, x}, 2, 1) : node_named(&t, op, (Value *[]){x, k}, 2, 1));
    output(&t, "y", DO(&t, Exp, y));
    CHECK(&t, name, 1e-6, pass_canonicalise, pass_dead_code);
}

static void check_root(void) {
    Case t;
    case_begin(&t);
    t.lo = 0;
    output(&t, "y", DO(&t, Pow, input(&t, "x", "2x3"), number(&t, 0.5)));
    CHECK(&t, "x ** 0.5", 1e-6, pass_canonicalise);
}

static void check_unary_pair(const char *name, Op first, Op second) {
    Case t;
    case_begin(&t);
    Value *x = input(&t, "x", "Nx3"), *y = result(&t, node_named(&t, first, &x, 1, 1));
    y = result(&t, node_named(&t, second, &y, 1, 1));
    output(&t, "y", DO(&t, Exp, y));
    CHECK(&t, name, 0, pass_canonicalise, pass_dead_code);
}

static void check_clip(const char *name, bool relu, Value *(*lo)(Case *), Value *(*hi)(Case *)) {
    Case t;
    case_begin(&t);
    Value *x = input(&t, "x", "2x3");
    if (relu) x = DO(&t, Relu, x);
    output(&t, "y", DO(&t, Clip, x, lo ? lo(&t) : NULL, hi ? hi(&t) : NULL));
    CHECK(&t, name, 0, pass_canonicalise, pass_remove_identity, pass_dead_code);
}

static Value *zero(Case *t) { return number(t, 0); }
static Value *half(Case *t) { return number(t, 0.5); }
static Value *minus_infinity(Case *t) { return number(t, -INFINITY); }
static Value *infinity(Case *t) { return number(t, INFINITY); }

static void check_bounds(void) {
    check_clip("Clip(x, 0)", false, zero, NULL);
    check_clip("Clip(x, -inf, 0.5)", false, minus_infinity, half);
    check_clip("Clip(x, -inf, inf)", false, minus_infinity, infinity);
    check_clip("Clip(Relu(x), 0, 0.5)", true, zero, half);
    check_clip("Clip(Relu(x), 0.5) stays", true, half, NULL);
    Case t;
    case_begin(&t);
    output(&t, "y", DO(&t, Min, DO(&t, Max, input(&t, "x", "2x3"), number(&t, 0)), number(&t, 1)));
    CHECK(&t, "min(max(x, 0), 1)", 0, pass_canonicalise, pass_dead_code);
}

static void check_broadcast(void) {
    Case t;
    case_begin(&t);
    output(&t, "y", DO(&t, Mul, input(&t, "x", "3"), weights(&t, "1x1")));
    CHECK(&t, "x * [[c]] keeps its rank", 0, pass_canonicalise);
    case_begin(&t);
    Tensor *ones = tensor_new(t.g, DT_F32, 2, (int64_t[]){2, 3});
    for (int i = 0; i < 6; i++) tensor_set_float(ones, i, 1);
    output(&t, "y", DO(&t, Mul, input(&t, "x", "3"), value_of_tensor(t.g, ones)));
    CHECK(&t, "x * ones that broadcast it stays", 0, pass_canonicalise);
    case_begin(&t);
    output(&t, "y", DO(&t, Add, input(&t, "x", "2x3"), DO(&t, Expand, input(&t, "z", "3"), INTS_OF(&t, 2, 3))));
    CHECK(&t, "x + Expand(z)", 0, pass_canonicalise, pass_dead_code);
    case_begin(&t);
    output(&t, "y", DO(&t, Add, input(&t, "x", "3"), DO(&t, Expand, input(&t, "z", "3"), INTS_OF(&t, 2, 3))));
    CHECK(&t, "Expand that gives the result its dims stays", 0, pass_canonicalise, pass_dead_code);
    case_begin(&t);
    output(&t, "y", DO(&t, PRelu, DO(&t, Expand, input(&t, "z", "3"), INTS_OF(&t, 2, 3)), input(&t, "x", "2x3")));
    CHECK(&t, "prelu(Expand(z), slope) stays", 0, pass_canonicalise, pass_dead_code);
    case_begin(&t);
    Value *x = input(&t, "x", "NxM"), *zeros = DO(&t, ConstantOfShape, DO(&t, Shape, x));
    output(&t, "y", DO(&t, Max, x, zeros));
    CHECK(&t, "max(x, zeros as large as x)", 0, pass_canonicalise, pass_dead_code);
}

static void check_casts(void) {
    static const Dtype via[] = {DT_F64, DT_F16, DT_I32};
    for (int i = 0; i < 3; i++) {
        Case t;
        case_begin(&t);
        Node *up = NODE(&t, Cast, input(&t, "x", "2x3"));
        node_set_int(up, "to", via[i]);
        Node *down = NODE(&t, Cast, result(&t, up));
        node_set_int(down, "to", DT_F32);
        output(&t, "y", DO(&t, Abs, result(&t, down)));
        CHECK(&t, arena_printf(t.ctx->arena, "Cast by way of %s", dtype_name(via[i])), 0, pass_canonicalise,
              pass_dead_code);
    }
}

static void check_joins(void) {
    Case t;
    case_begin(&t);
    Node *n = NODE(&t, Concat, input(&t, "x", "2x3"), input(&t, "none", "0x3"), input(&t, "z", "1x3"));
    node_set_int(n, "axis", 0);
    output(&t, "y", result(&t, n));
    CHECK(&t, "Concat of an empty part", 0, pass_canonicalise);
}

static void check_quantized(const char *name, Dtype type, int64_t zero, double scale) {
    Case c;
    case_begin(&c);
    Value *x = DO(&c, Relu, input(&c, "x", "2x70"));
    output(&c, "y", DO(&c, QuantizeLinear, x, number(&c, scale), const_integer(c.g, type, zero)));
    CHECK(&c, name, 0, pass_canonicalise);
}

int main(void) {
    golden_begin();
    check_binary("x + 0", OP_Add, 0, false);
    check_binary("0 + x", OP_Add, 0, true);
    check_binary("x - 0", OP_Sub, 0, false);
    check_binary("0 - x stays", OP_Sub, 0, true);
    check_binary("x * 1", OP_Mul, 1, false);
    check_binary("x * -1", OP_Mul, -1, false);
    check_binary("x * 0 stays", OP_Mul, 0, true);
    check_binary("x / 1", OP_Div, 1, false);
    check_binary("x / 4", OP_Div, 4, false);
    check_binary("x / 3 stays", OP_Div, 3, false);
    check_binary("1 / x", OP_Div, 1, true);
    check_binary("x ** 1", OP_Pow, 1, false);
    check_binary("x ** 2", OP_Pow, 2, false);
    check_binary("x ** 3", OP_Pow, 3, false);
    check_binary("x ** -1", OP_Pow, -1, false);
    check_binary("2 ** x stays", OP_Pow, 2, true);
    check_unary_pair("--x", OP_Neg, OP_Neg);
    check_unary_pair("abs abs x", OP_Abs, OP_Abs);
    check_unary_pair("relu relu x", OP_Relu, OP_Relu);
    check_root();
    check_quantized("Q of relu: 0 is the least", DT_U8, 0, 0.01);
    check_quantized("Q of relu: -128 is the least", DT_I8, -128, 0.01);
    check_quantized("Q of relu, 0 in the middle: stays", DT_I8, 0, 0.01);
    check_quantized("Q of relu, 128 of u8: stays", DT_U8, 128, 0.01);
    check_quantized("Q of relu, a scale below 0: stays", DT_U8, 0, -0.01);
    check_bounds();
    check_broadcast();
    check_casts();
    check_joins();
    return golden_end("canonicalise");
}
