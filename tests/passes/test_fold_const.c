/* Constant folding: what is evaluated, what is left alone, and what it tells later nodes. */
#include "tests/passes/passtest.h"

static void check_plain(void) {
    Case t;
    case_begin(&t);
    Value *x = input(&t, "x", "2x2"), *w = weights(&t, "2x2");
    output(&t, "y", DO(&t, Add, x, DO(&t, Exp, DO(&t, Transpose, w))));
    CHECK(&t, "a chain of constants", 1e-6, pass_fold_const);
    case_begin(&t);
    w = weights(&t, "4x2");
    Node *split = node_named(&t, OP_Split, &w, 1, 2);
    node_set_int(split, "axis", 0);
    result(&t, split);
    output(&t, "y", split->out[0]);
    output(&t, "z", split->out[1]);
    CHECK(&t, "every output of a node; outputs keep their names", 0, pass_fold_const);
    case_begin(&t);
    output(&t, "y", DO(&t, Gather, weights(&t, "2x2"), INTS_OF(&t, 1)));
    CHECK(&t, "an index", 0, pass_fold_const);
}

static void check_shapes(void) {
    Case t;
    case_begin(&t);
    Value *x = input(&t, "x", "Nx3x4");
    output(&t, "y", DO(&t, Shape, x));
    Node *from = NODE(&t, Shape, x);
    node_set_int(from, "start", 1);
    output(&t, "z", result(&t, from));
    output(&t, "n", DO(&t, Size, DO(&t, Flatten, weights(&t, "2x3"))));
    CHECK(&t, "shapes, open and known", 0, pass_fold_const);
    case_begin(&t);
    x = input(&t, "x", "2x3x4");
    Node *eye = NODE(&t, EyeLike, DO(&t, Flatten, x));
    node_set_int(eye, "k", 1);
    output(&t, "y", result(&t, eye));
    CHECK(&t, "a node that looks at dims alone", 0, pass_fold_const);
}

static void check_growth(void) {
    Case t;
    case_begin(&t);
    output(&t, "y", DO(&t, ConstantOfShape, INTS_OF(&t, 2, 3)));
    CHECK(&t, "a small fill", 0, pass_fold_const);
    case_begin(&t);
    output(&t, "y", DO(&t, ReduceMax, DO(&t, ConstantOfShape, INTS_OF(&t, 1024, 1024)), INTS_OF(&t, 0, 1)));
    CHECK(&t, "a large fill stays", 0, pass_fold_const);
    case_begin(&t);
    Value *x = input(&t, "x", "1x1024");
    output(&t, "y", DO(&t, MatMul, x, DO(&t, Transpose, DO(&t, ConstantOfShape, INTS_OF(&t, 512, 1024)))));
    CHECK(&t, "a large fill is weights", 0, pass_fold_const);
}

static void check_limits(void) {
    Case t;
    case_begin(&t);
    diag_to(t.ctx, NULL);
    output(&t, "y", DO(&t, Abs, DO(&t, ConstantOfShape, INTS_OF(&t, 1 << 16, 1 << 16))));
    pass_fold_const(t.g, &(PassCtx){.ctx = t.ctx});
    if (!diag_errors(t.ctx)) case_fail("16 GiB", "is not an error");
    if (mem_used(t.ctx) > 1 << 24) case_fail("16 GiB", "was allocated");
    ctx_free(t.ctx);
    case_begin(&t); /* 2^36 multiply-adds: left to run time */
    Value *x = value_of_tensor(t.g, tensor_new(t.g, DT_F32, 2, (int64_t[]){4096, 4096}));
    output(&t, "y", DO(&t, MatMul, x, x));
    if (pass_fold_const(t.g, &(PassCtx){.ctx = t.ctx})) case_fail("too much work", "was done");
    ctx_free(t.ctx);
    case_begin(&t);
    output(&t, "y", DO(&t, Gather, weights(&t, "2x2"), DO(&t, Neg, INTS_OF(&t, 7))));
    pass_fold_const(t.g, &(PassCtx){.ctx = t.ctx});
    pass_fold_const(t.g, &(PassCtx){.ctx = t.ctx});
    if (t.g->outputs[0]->constant) case_fail("a bad index", "was folded");
    ctx_free(t.ctx);
}

/* sizes by way of floats, which inference does not follow: once folded, later dims are known */
static void check_news(void) {
    Case t;
    case_begin(&t);
    Value *x = input(&t, "x", "4x6"), *to = DO(&t, Mul, DO(&t, Sqrt, number(&t, 4)), number(&t, 4));
    Node *cast = NODE(&t, Cast, to);
    node_set_int(cast, "to", DT_I64);
    Value *shape = DO(&t, Reshape, result(&t, cast), INTS_OF(&t, 1));
    Node *concat = NODE(&t, Concat, shape, INTS_OF(&t, -1));
    node_set_int(concat, "axis", 0);
    Node *reshape = NODE(&t, Reshape, x, result(&t, concat));
    value_set_dims(reshape->out[0], DT_F32, 2,
                   (Dim[]){dim_symbol(t.ctx, str_of("a"), 0, 24), dim_symbol(t.ctx, str_of("b"), 0, 24)});
    output(&t, "y", DO(&t, Exp, result(&t, reshape)));
    CHECK(&t, "dims that folding tells", 0, pass_fold_const, pass_dead_code);
}

int main(void) {
    golden_begin();
    check_plain();
    check_shapes();
    check_growth();
    check_limits();
    check_news();
    return golden_end("fold_const");
}
