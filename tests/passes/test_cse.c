/* Common subexpressions, dead code, and what is required: decompositions. */
#include "tests/passes/passtest.h"

static void check_cse(void) {
    Case t;
    case_begin(&t);
    Value *x = input(&t, "x", "2x3");
    Value *a = DO(&t, Add, DO(&t, Exp, x), number(&t, 2)), *b = DO(&t, Add, DO(&t, Exp, x), number(&t, 2));
    output(&t, "y", DO(&t, Mul, a, b));
    CHECK(&t, "equal chains, equal constants", 0, pass_cse);
    case_begin(&t);
    x = input(&t, "x", "2x3");
    Node *c = NODE(&t, LeakyRelu, x), *d = NODE(&t, LeakyRelu, x);
    node_set_float(c, "alpha", 0.5);
    node_set_float(d, "alpha", 0.25);
    output(&t, "y", DO(&t, Mul, result(&t, c), result(&t, d)));
    CHECK(&t, "attributes differ", 0, pass_cse);
    case_begin(&t);
    x = input(&t, "x", "2x3");
    output(&t, "a", DO(&t, Exp, x));
    output(&t, "b", DO(&t, Exp, x));
    CHECK(&t, "two outputs of the graph", 0, pass_cse);
    case_begin(&t);
    x = input(&t, "x", "2x6");
    Value *e = DO(&t, Reshape, x, INTS_OF(&t, 3, 4)), *f = DO(&t, Reshape, x, INTS_OF(&t, 4, 3));
    output(&t, "y", DO(&t, MatMul, e, f));
    CHECK(&t, "views of other dims", 0, pass_merge_views, pass_cse, pass_dead_code);
}

static void check_dead_code(void) {
    Case t;
    case_begin(&t);
    Value *x = input(&t, "x", "1x2x4x4");
    DO(&t, Exp, DO(&t, Neg, x));
    Node *pool = node_named(&t, OP_MaxPool, &x, 1, 2);
    node_set_ints(pool, "kernel_shape", (int64_t[]){2, 2}, 2);
    output(&t, "y", result(&t, pool));
    CHECK(&t, "unused nodes and outputs", 0, pass_dead_code);
    case_begin(&t);
    x = input(&t, "x", "4x3");
    Node *split = node_named(&t, OP_Split, &x, 1, 2);
    node_set_int(split, "axis", 0);
    output(&t, "y", result(&t, split));
    CHECK(&t, "an unused part of a split stays", 0, pass_dead_code);
}

static Value *three(Case *t, Op op) {
    Value *in[] = {input(t, "x", "2x3"), input(t, "y", "3"), input(t, "z", "2x1")};
    return result(t, node_named(t, op, in, 3, 1));
}

/* These have no kernel: evaluated by hand, not before and after. */
static void check_decompose(const char *name, Case *t) {
    PassCtx p = {.ctx = t->ctx};
    pass_decompose(t->g, &p);
    if (!graph_verify(t->g, stderr)) case_fail(name, "the graph is broken");
    fprintf(golden_out, "== %s\n", name);
    graph_print(t->g, golden_out);
    const Tensor *in[3];
    for (int i = 0; i < t->g->n_inputs; i++) {
        int64_t dims[MCC_MAX_RANK];
        value_static_dims(t->g->inputs[i], dims);
        in[i] = random_tensor(t, t->g, t->g->inputs[i]->type.dtype, t->g->inputs[i]->type.rank, dims);
    }
    Tensor **out = evaluate(t, in);
    fprintf(golden_out, "  values:");
    int64_t n;
    for (int i = 0; i < t->g->n_outputs; i++) {
        product_i64(out[i]->dims, out[i]->rank, &n);
        for (int64_t k = 0; k < n; k++) fprintf(golden_out, " %.5g", tensor_float(out[i], k));
    }
    fputc('\n', golden_out);
    ctx_free(t->ctx);
}

static void check_decompositions(void) {
    static const Op ops[] = {OP_Sum, OP_Mean, OP_Max, OP_Min};
    Case t;
    for (int i = 0; i < 4; i++) {
        case_begin(&t);
        output(&t, "out", three(&t, ops[i]));
        check_decompose(op_info(ops[i])->name, &t);
    }
    case_begin(&t);
    output(&t, "out", DO(&t, Mean, input(&t, "x", "2")));
    check_decompose("Mean of one", &t);
    case_begin(&t);
    output(&t, "out", DO(&t, CastLike, input(&t, "x", "2"), input_of(&t, "like", DT_I32, "1")));
    check_decompose("CastLike", &t);
    case_begin(&t);
    Node *dropout = node_named(&t, OP_Dropout, (Value *[]){input(&t, "x", "2x2"), number(&t, 0.5)}, 2, 2);
    output(&t, "out", result(&t, dropout));
    output(&t, "mask", dropout->out[1]);
    check_decompose("Dropout and its mask", &t);
}

int main(void) {
    golden_begin();
    check_cse();
    check_dead_code();
    check_decompositions();
    return golden_end("cse");
}
