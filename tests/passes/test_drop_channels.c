/* Zero rows and columns of weights: channels that go, what they leave in biases, and where they must stay. */
#include "tests/passes/passtest.h"

#define DROP pass_drop_channels

/* weights of which some rows (1 << row) and columns are zeros */
static Value *zeroed(Case *t, const char *spec, unsigned rows, unsigned columns) {
    Value *v = weights(t, spec);
    const Tensor *w = v->constant;
    int64_t n, inner = 1;
    product_i64(w->dims, w->rank, &n);
    for (int i = 2; i < w->rank; i++) inner *= w->dims[i];
    for (int64_t i = 0; i < n; i++) {
        int64_t row = i / (w->dims[1] * inner), column = i / inner % w->dims[1];
        if (rows >> row & 1 || columns >> column & 1) ((float *)w->data)[i] = 0;
    }
    return v;
}

static Value *conv(Case *t, Value *x, Value *w, const char *bias, int pad, int group) {
    Node *n = bias ? NODE(t, Conv, x, w, weights(t, bias)) : NODE(t, Conv, x, w);
    node_set_ints(n, "pads", (int64_t[]){pad, pad, pad, pad}, 4);
    node_set_int(n, "group", group);
    return result(t, n);
}

static void check_chain(const char *name, const char *bias, int pad) {
    Case t;
    case_begin(&t);
    Value *x = conv(&t, input(&t, "x", "Nx3x6x6"), zeroed(&t, "4x3x3x3", 5, 0), bias, 0, 1);
    x = DO(&t, Mul, DO(&t, Add, DO(&t, Relu, x), weights(&t, "4x1x1")), number(&t, 0.5));
    output(&t, "y", conv(&t, x, weights(&t, "5x4x3x3"), "5", pad, 1));
    CHECK(&t, name, 1e-5, DROP);
}

static void check_unread(void) {
    Case t;
    case_begin(&t);
    Value *x = conv(&t, input(&t, "x", "1x3x6x6"), weights(&t, "6x3x3x3"), "6", 1, 1);
    x = conv(&t, DO(&t, Relu, x), weights(&t, "6x1x3x3"), "6", 1, 6);
    Value *y = conv(&t, DO(&t, Sigmoid, x), zeroed(&t, "5x6x1x1", 0, 0x22), NULL, 0, 1);
    output(&t, "y", y);
    CHECK(&t, "columns of zeros, through a depthwise convolution", 1e-5, DROP);
    case_begin(&t);
    x = conv(&t, input(&t, "x", "1x3x6x6"), weights(&t, "6x3x3x3"), "6", 1, 1);
    output(&t, "y", conv(&t, x, zeroed(&t, "5x6x1x1", 0, 0x22), NULL, 0, 1));
    output(&t, "z", conv(&t, x, zeroed(&t, "2x6x1x1", 0, 0x06), NULL, 0, 1));
    CHECK(&t, "what all readers can do without", 1e-5, DROP);
    case_begin(&t);
    x = conv(&t, input(&t, "x", "1x3x6x6"), zeroed(&t, "4x3x1x1", 15, 0), "4", 0, 1);
    output(&t, "y", conv(&t, x, weights(&t, "5x4x1x1"), NULL, 0, 1));
    CHECK(&t, "one channel stays", 1e-5, DROP);
}

static void check_ties(void) {
    Case t;
    case_begin(&t);
    Value *x = input(&t, "x", "1x3x6x6"), *a = conv(&t, x, zeroed(&t, "4x3x1x1", 3, 0), NULL, 0, 1),
          *b = conv(&t, x, zeroed(&t, "4x3x1x1", 6, 0), NULL, 0, 1);
    output(&t, "y", conv(&t, DO(&t, Relu, DO(&t, Add, a, b)), weights(&t, "2x4x3x3"), "2", 1, 1));
    CHECK(&t, "a sum of two: what both lack", 1e-5, DROP);
    case_begin(&t);
    x = conv(&t, input(&t, "x", "2x3x6x6"), zeroed(&t, "4x3x3x3", 9, 0), "4", 1, 1);
    Value *scale = conv(&t, DO(&t, GlobalAveragePool, x), zeroed(&t, "4x4x1x1", 9, 9), NULL, 0, 1);
    output(&t, "y", conv(&t, DO(&t, Mul, x, DO(&t, Sigmoid, scale)), weights(&t, "3x4x1x1"), NULL, 0, 1));
    CHECK(&t, "squeeze and excite", 1e-5, DROP);
}

static void check_flat(int trans) {
    Case t;
    case_begin(&t);
    Value *x = conv(&t, input(&t, "x", "2x3x5x5"), zeroed(&t, "4x3x3x3", 6, 0), "4", 0, 1);
    Node *pool = NODE(&t, MaxPool, DO(&t, Relu, x));
    node_set_ints(pool, "kernel_shape", (int64_t[]){2, 2}, 2);
    Node *view = node_new(t.g, OP_View, NULL, (Value *[]){result(&t, pool)}, 1, 1);
    value_set_dims(view->out[0], DT_F32, 2, (Dim[]){dim_const(t.ctx, 2), dim_const(t.ctx, 16)});
    Node *gemm = NODE(&t, Gemm, view->out[0], weights(&t, trans ? "5x16" : "16x5"), weights(&t, "5"));
    node_set_int(gemm, "transB", trans);
    Node *last = NODE(&t, Gemm, DO(&t, Tanh, result(&t, gemm)), zeroed(&t, "5x3", 8, 0));
    output(&t, "y", result(&t, last));
    CHECK(&t, trans ? "into a Gemm, flattened, and out of it" : "the same with the Gemm the other way round", 1e-5,
          DROP);
}

/* Channel 5 is a number, and would go, were it not for the words of four that its reader's zeros lie in. */
static void check_words(const char *name, bool words) {
    Case t;
    case_begin(&t);
    Value *x = conv(&t, input(&t, "x", "1x3x4x4"), zeroed(&t, "8x3x1x1", 1 << 5, 0), "8", 0, 1),
          *w = weights(&t, "6x8x1x1");
    for (int i = 0; words && i < 6 * 8; i++)
        if (i / 8 % 2 == i / 4 % 2) ((float *)w->constant->data)[i] = 0;
    output(&t, "y", conv(&t, x, w, NULL, 0, 1));
    CHECK(&t, name, 1e-5, DROP);
}

static void check_kept(void) {
    Case t;
    case_begin(&t);
    Value *x = conv(&t, input(&t, "x", "1x3x6x6"), zeroed(&t, "4x3x1x1", 5, 0), "4", 0, 1);
    output(&t, "y", conv(&t, x, weights(&t, "2x4x1x1"), NULL, 0, 1));
    output(&t, "z", x);
    CHECK(&t, "an output keeps its channels", 1e-5, DROP);
    case_begin(&t);
    x = conv(&t, input(&t, "x", "1x3x6x6"), zeroed(&t, "4x3x1x1", 5, 0), "4", 0, 1);
    Node *softmax = NODE(&t, Softmax, x);
    node_set_int(softmax, "axis", 1);
    output(&t, "y", conv(&t, result(&t, softmax), weights(&t, "2x4x1x1"), NULL, 0, 1));
    CHECK(&t, "so does what mixes them", 1e-5, DROP);
}

int main(void) {
    golden_begin();
    check_chain("rows of zeros: numbers into the bias", "4", 0);
    check_chain("padding keeps what is not 0", "4", 1);
    check_chain("without a bias", NULL, 0);
    check_unread();
    check_ties();
    check_flat(1);
    check_flat(0);
    check_words("a channel that is a number goes", false);
    check_words("words of four channels stay together", true);
    check_kept();
    return golden_end("drop_channels");
}
