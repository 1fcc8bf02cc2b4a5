/* Activations and normalisations in the forms that exporters write them, and near misses. */
#include "tests/passes/passtest.h"

#define RECOGNISE pass_canonicalise, pass_recognise_norm, pass_recognise_activation, pass_dead_code

static void done(Case *t, const char *name, Value *y) {
    output(t, "y", y);
    CHECK(t, name, 3e-6, RECOGNISE);
}

static Value *begin(Case *t) {
    case_begin(t);
    t->lo = -5;
    t->hi = 5;
    return input(t, "x", "2x8");
}

static Value *relu6(Case *t, Value *x) { return DO(t, Clip, x, number(t, 0), number(t, 6)); }
static Value *plus(Case *t, Value *x, double c) { return DO(t, Add, x, number(t, c)); }
static Value *times(Case *t, Value *x, double c) { return DO(t, Mul, x, number(t, c)); }
static Value *over(Case *t, Value *x, double c) { return DO(t, Div, x, number(t, c)); }

static Value *double_number(Case *c, double v) {
    Tensor *t = tensor_new(c->g, DT_F64, 0, NULL);
    tensor_set_float(t, 0, v);
    return value_of_tensor(c->g, t);
}

static void check_hard(void) {
    Case t;
    Value *x = begin(&t);
    done(&t, "hard-swish: x * relu6(x + 3) / 6", over(&t, DO(&t, Mul, x, relu6(&t, plus(&t, x, 3))), 6));
    x = begin(&t);
    done(&t, "hard-swish: x * (relu6(x + 3) / 6)", DO(&t, Mul, x, over(&t, relu6(&t, plus(&t, x, 3)), 6)));
    x = begin(&t);
    done(&t, "hard-swish: relu6(x + 3) * (1/6) * x",
         DO(&t, Mul, times(&t, relu6(&t, plus(&t, x, 3)), (double)(1.0f / 6)), x));
    x = begin(&t);
    Value *clipped = DO(&t, Min, DO(&t, Relu, plus(&t, x, 3)), number(&t, 6));
    done(&t, "hard-swish: min(relu(x + 3), 6)", times(&t, DO(&t, Mul, clipped, x), (double)(1.0f / 6)));
    x = begin(&t);
    Node *h = NODE(&t, HardSigmoid, x);
    node_set_float(h, "alpha", (double)(1.0f / 6));
    done(&t, "hard-swish: x * HardSigmoid(x)", DO(&t, Mul, x, result(&t, h)));
    x = begin(&t);
    done(&t, "x * HardSigmoid of other slope stays", DO(&t, Mul, x, DO(&t, HardSigmoid, x)));
    x = begin(&t);
    done(&t, "hard-sigmoid: relu6(x + 3) / 6", over(&t, relu6(&t, plus(&t, x, 3)), 6));
    x = begin(&t);
    done(&t, "hard-sigmoid: clip(0.2 x + 0.5, 0, 1)",
         DO(&t, Clip, plus(&t, times(&t, x, 0.2), 0.5), number(&t, 0), number(&t, 1)));
    x = begin(&t);
    x->type.dtype = DT_F64;
    Value *sum = DO(&t, Min, DO(&t, Relu, DO(&t, Add, x, double_number(&t, 3))), double_number(&t, 6));
    done(&t, "hard-sigmoid of doubles whose slope is no f32 stays", DO(&t, Mul, sum, double_number(&t, 1.0 / 6)));
    x = begin(&t);
    done(&t, "relu6(x + 3) / 5 stays", over(&t, relu6(&t, plus(&t, x, 3)), 5));
    x = begin(&t);
    Value *shared = relu6(&t, plus(&t, x, 3));
    output(&t, "z", DO(&t, Exp, shared));
    done(&t, "a part with another use stays", over(&t, DO(&t, Mul, x, shared), 6));
    x = begin(&t);
    Value *other = input(&t, "z", "2x8");
    done(&t, "the gate of another value stays", DO(&t, Mul, x, DO(&t, Sigmoid, other)));
}

static void check_smooth(void) {
    Case t;
    Value *x = begin(&t);
    done(&t, "swish", DO(&t, Mul, x, DO(&t, Sigmoid, x)));
    x = begin(&t);
    done(&t, "swish with a slope", DO(&t, Mul, DO(&t, Sigmoid, times(&t, x, 1.5)), x));
    x = begin(&t);
    done(&t, "mish", DO(&t, Mul, x, DO(&t, Tanh, DO(&t, Log, plus(&t, DO(&t, Exp, x), 1)))));
    x = begin(&t);
    done(&t, "sigmoid: 1 / (1 + exp(-x))", DO(&t, Div, number(&t, 1), plus(&t, DO(&t, Exp, DO(&t, Neg, x)), 1)));
}

static Value *erf_gate(Case *t, Value *x) { return plus(t, DO(t, Erf, over(t, x, sqrt(2))), 1); }

static void check_gelu(void) {
    Case t;
    Value *x = begin(&t);
    done(&t, "gelu: x * (1 + erf) * 0.5", times(&t, DO(&t, Mul, x, erf_gate(&t, x)), 0.5));
    x = begin(&t);
    done(&t, "gelu: 0.5 * x * (1 + erf)", DO(&t, Mul, times(&t, x, 0.5), erf_gate(&t, x)));
    x = begin(&t);
    done(&t, "gelu: x * (0.5 * (1 + erf))", DO(&t, Mul, x, times(&t, erf_gate(&t, x), 0.5)));
    x = begin(&t);
    Value *cube = DO(&t, Pow, x, number(&t, 3));
    Value *inner = times(&t, DO(&t, Add, x, times(&t, cube, 0.044715)), sqrt(2 / M_PI));
    done(&t, "gelu by tanh", times(&t, DO(&t, Mul, x, plus(&t, DO(&t, Tanh, inner), 1)), 0.5));
    x = begin(&t);
    Value *square = plus(&t, times(&t, DO(&t, Mul, x, x), 0.044715), 1);
    inner = DO(&t, Mul, times(&t, x, sqrt(2 / M_PI)), square);
    done(&t, "gelu by tanh, factored", DO(&t, Mul, times(&t, x, 0.5), plus(&t, DO(&t, Tanh, inner), 1)));
    x = begin(&t);
    done(&t, "x * (1 + erf(x)) * 0.5 stays", times(&t, DO(&t, Mul, x, plus(&t, DO(&t, Erf, x), 1)), 0.5));
}

static Value *mean(Case *t, Value *x, Value *axes) { return DO(t, ReduceMean, x, axes); }

static Value *norm(Case *t, Value *x, Value *axes, bool power, bool reciprocal) {
    Value *d = DO(t, Sub, x, mean(t, x, axes));
    Value *square = power ? DO(t, Pow, d, number(t, 2)) : DO(t, Mul, d, d);
    Value *root = DO(t, Sqrt, plus(t, mean(t, square, axes), 1e-5));
    return reciprocal ? DO(t, Mul, d, DO(t, Reciprocal, root)) : DO(t, Div, d, root);
}

static void check_norm(void) {
    Case t;
    Value *x = begin(&t);
    done(&t, "layer norm with scale and bias",
         DO(&t, Add, DO(&t, Mul, norm(&t, x, INTS_OF(&t, -1), true, false), weights(&t, "8")), weights(&t, "1x8")));
    case_begin(&t);
    x = input(&t, "x", "Nx3x4");
    done(&t, "layer norm over two axes", norm(&t, x, INTS_OF(&t, 2, 1), false, true));
    case_begin(&t);
    x = input(&t, "x", "Nx3x4");
    done(&t, "a norm over an inner axis stays", norm(&t, x, INTS_OF(&t, 1), true, false));
    case_begin(&t);
    x = input(&t, "x", "2x8");
    done(&t, "a scale a row stays outside", DO(&t, Mul, norm(&t, x, INTS_OF(&t, 1), true, false), weights(&t, "2x1")));
}

/* x through 1 / √(mean(x²) + eps), in one of the ways to write it */
static Value *rms(Case *t, Value *x, Value *axes, int way) {
    Value *square = way == 1 ? DO(t, Mul, x, x) : DO(t, Pow, x, number(t, 2));
    Value *sum = plus(t, mean(t, square, axes), 1e-6), *root = DO(t, Sqrt, sum);
    switch (way) {
    case 0: return DO(t, Div, x, root);
    case 1: return DO(t, Mul, x, DO(t, Reciprocal, root));
    case 2: return DO(t, Mul, DO(t, Div, number(t, 1), root), x);
    default: return DO(t, Mul, x, DO(t, Pow, sum, number(t, -0.5)));
    }
}

static void check_rms(void) {
    static const char *const ways[] = {"rms norm by Div", "rms norm by Reciprocal", "rms norm by 1 / root",
                                       "rms norm by Pow(-0.5)"};
    Case t;
    for (int way = 0; way < 4; way++) {
        Value *x = begin(&t);
        done(&t, ways[way], DO(&t, Mul, weights(&t, "8"), rms(&t, x, INTS_OF(&t, -1), way)));
    }
    Value *x = begin(&t);
    output(&t, "z", DO(&t, Exp, x));
    done(&t, "rms norm of a value with other uses; its bias stays",
         DO(&t, Add, rms(&t, x, INTS_OF(&t, 1), 0), weights(&t, "8")));
    x = begin(&t);
    Value *other = input(&t, "z", "2x8"),
          *root = DO(&t, Sqrt, plus(&t, mean(&t, DO(&t, Mul, x, x), INTS_OF(&t, 1)), 1));
    done(&t, "the root of another value's squares stays", DO(&t, Div, other, root));
}

int main(void) {
    golden_begin();
    check_hard();
    check_smooth();
    check_gelu();
    check_norm();
    check_rms();
    return golden_end("recognise");
}
