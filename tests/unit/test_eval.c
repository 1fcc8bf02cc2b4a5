/* Evaluation on the reference kernels: dims from inference and from shape functions, hidden and missing operands,
 * statuses, open dims, fused bodies, budgets. */
#include "tests/passes/passtest.h"

#define EXPECT(what) expect(what, #what, __LINE__)
static void expect(bool ok, const char *what, int line) {
    if (ok) return;
    fprintf(stderr, "%s:%d: %s\n", __FILE__, line, what);
    failures++;
}

static const Tensor *tensor_of(Case *c, Dtype t, int rank, const int64_t *dims, const double *v) {
    Tensor *out = tensor_new(c->g, t, rank, dims);
    int64_t n;
    product_i64(dims, rank, &n);
    for (int64_t i = 0; i < n; i++) {
        int64_t whole = (int64_t)v[i];
        if (dtype_class(t) == DTC_F) tensor_set_float(out, i, v[i]);
        else memcpy((char *)out->data + i * (dtype_bits(t) / 8), &whole, (size_t)dtype_bits(t) / 8);
    }
    return out;
}
#define LIST(...)                                                                                                      \
    (const double[]) { __VA_ARGS__ }
#define DIMS(...)                                                                                                      \
    (const int64_t[]) { __VA_ARGS__ }

static bool is(const Tensor *t, Dtype type, int rank, const int64_t *dims, const double *v) {
    int64_t n;
    if (!t || t->dtype != type || t->rank != rank || memcmp(t->dims, dims, sizeof *dims * (size_t)rank)) return false;
    product_i64(dims, rank, &n);
    for (int64_t i = 0; i < n; i++)
        if (tensor_float(t, i) != v[i]) return false;
    return true;
}

/* A node whose inputs have the types of these tensors but are not constants */
static Node *node_for(Case *c, Op op, const Tensor *const *in, int n_in, int n_out) {
    Value *values[8];
    for (int i = 0; i < n_in; i++) {
        Dim dims[MCC_MAX_RANK];
        values[i] = in[i] ? value_new(c->g, (Str){0}) : NULL;
        for (int k = 0; in[i] && k < in[i]->rank; k++) dims[k] = dim_const(c->ctx, in[i]->dims[k]);
        if (in[i]) value_set_dims(values[i], in[i]->dtype, in[i]->rank, dims);
    }
    return node_new(c->g, op, NULL, values, n_in, n_out);
}

static void check_nodes(void) {
    Case c;
    Tensor *out[2];
    int status;
    case_begin(&c);
    const Tensor *x = tensor_of(&c, DT_F32, 2, DIMS(2, 2), LIST(1, 2, 3, 4)),
                 *row = tensor_of(&c, DT_F32, 1, DIMS(2), LIST(10, 20));
    const Tensor *add[] = {x, row}, *shape[] = {x, tensor_of(&c, DT_I64, 1, DIMS(3), LIST(1, -1, 1))};
    EXPECT(eval_node(c.ctx, node_for(&c, OP_Add, add, 2, 1), add, out, &status) && status == MCC_OK);
    EXPECT(is(out[0], DT_F32, 2, DIMS(2, 2), LIST(11, 22, 13, 24)));
    EXPECT(eval_node(c.ctx, node_for(&c, OP_Reshape, shape, 2, 1), shape, out, &status) && status == MCC_OK);
    EXPECT(is(out[0], DT_F32, 3, DIMS(1, 4, 1), LIST(1, 2, 3, 4)));
    const Tensor *range[] = {tensor_of(&c, DT_I64, 0, DIMS(0), LIST(2)), tensor_of(&c, DT_I64, 0, DIMS(0), LIST(9)),
                             tensor_of(&c, DT_I64, 0, DIMS(0), LIST(3))};
    Node *n = node_for(&c, OP_Range, range, 3, 1);
    value_set_dims(n->out[0], DT_I64, 1, (Dim[]){dim_symbol(c.ctx, str_of("r"), 0, 100)}); /* what the model declares */
    EXPECT(eval_node(c.ctx, n, range, out, &status) && status == MCC_OK);
    EXPECT(is(out[0], DT_I64, 1, DIMS(3), LIST(2, 5, 8)));
    ctx_free(c.ctx);
}

static void check_operands(void) {
    Case c;
    Tensor *out[2];
    int status;
    case_begin(&c);
    const Tensor *dims = tensor_of(&c, DT_I64, 1, DIMS(2), LIST(1, 3)),
                 *seven = tensor_of(&c, DT_I32, 1, DIMS(1), LIST(7));
    Node *fill = node_for(&c, OP_ConstantOfShape, &dims, 1, 1);
    EXPECT(eval_node(c.ctx, fill, &dims, out, &status) && is(out[0], DT_F32, 2, DIMS(1, 3), LIST(0, 0, 0)));
    node_set_tensor(fill, "value", seven);
    EXPECT(eval_node(c.ctx, fill, &dims, out, &status) && is(out[0], DT_I32, 2, DIMS(1, 3), LIST(7, 7, 7)));
    const Tensor *clip[] = {tensor_of(&c, DT_F32, 1, DIMS(3), LIST(-1, 5, 9)), NULL,
                            tensor_of(&c, DT_F32, 0, DIMS(0), LIST(6))};
    EXPECT(eval_node(c.ctx, node_for(&c, OP_Clip, clip, 3, 1), clip, out, &status));
    EXPECT(is(out[0], DT_F32, 1, DIMS(3), LIST(-1, 5, 6)));
    const Tensor *map = tensor_of(&c, DT_F32, 3, DIMS(1, 1, 4), LIST(3, 1, 2, 8));
    Node *pool = node_for(&c, OP_MaxPool, &map, 1, 2);
    node_set_ints(pool, "kernel_shape", DIMS(2), 1);
    EXPECT(eval_node(c.ctx, pool, &map, out, &status) && is(out[1], DT_I64, 3, DIMS(1, 1, 3), LIST(0, 2, 3)));
    pool->out[1] = NULL;
    EXPECT(eval_node(c.ctx, pool, &map, out, &status) && is(out[0], DT_F32, 3, DIMS(1, 1, 3), LIST(3, 2, 8)) &&
           !out[1]);
    const Tensor *empty = tensor_of(&c, DT_F32, 2, DIMS(0, 3), NULL);
    EXPECT(eval_node(c.ctx, node_for(&c, OP_Exp, &empty, 1, 1), &empty, out, &status) && out[0]->bytes == 0);
    ctx_free(c.ctx);
}

static void check_failures(void) {
    Case c;
    Tensor *out[1];
    int status;
    case_begin(&c);
    diag_to(c.ctx, NULL);
    const Tensor *gather[] = {tensor_of(&c, DT_F32, 1, DIMS(2), LIST(1, 2)),
                              tensor_of(&c, DT_I64, 1, DIMS(1), LIST(5))};
    EXPECT(eval_node(c.ctx, node_for(&c, OP_Gather, gather, 2, 1), gather, out, &status) && status == MCC_E_INDEX);
    EXPECT(!diag_errors(c.ctx));
    const Tensor *huge = tensor_of(&c, DT_I64, 1, DIMS(2), LIST(1 << 20, 1 << 20));
    EXPECT(!eval_node(c.ctx, node_for(&c, OP_ConstantOfShape, &huge, 1, 1), &huge, out, &status));
    EXPECT(diag_errors(c.ctx) == 1 && mem_used(c.ctx) < 1 << 24);
    const Tensor *sum[] = {gather[0], gather[0]};
    EXPECT(!eval_node(c.ctx, node_for(&c, OP_Sum, sum, 2, 1), sum, out, &status));
    ctx_free(c.ctx);
}

static void check_graphs(void) {
    Case c;
    Tensor *out[2];
    int status;
    case_begin(&c);
    Value *x = input(&c, "x", "Nx4"), *e = DO(&c, Neg, x);
    Node *view = NODE(&c, View, e);
    Dim n = dim_symbol(c.ctx, str_of("N"), 1, 64), two = dim_const(c.ctx, 2);
    value_set_dims(view->out[0], DT_F32, 2, (Dim[]){dim_mul(c.ctx, n, two), two}); /* known from x's dims alone */
    output(&c, "y", DO(&c, Abs, result(&c, view)));
    output(&c, "x", x);
    const Tensor *in = tensor_of(&c, DT_F32, 2, DIMS(1, 4), LIST(1, -2, 3, -4));
    size_t before = c.ctx->folded;
    EXPECT(eval_graph(c.ctx, c.g, &in, out, &status) && status == MCC_OK);
    EXPECT(is(out[0], DT_F32, 2, DIMS(2, 2), LIST(1, 2, 3, 4)) &&
           is(out[1], DT_F32, 2, DIMS(1, 4), LIST(1, -2, 3, -4)));
    EXPECT(c.ctx->folded == before + 32); /* the outputs; what was between is given back */
    PassCtx p = {.ctx = c.ctx, .opt_level = 2, .stop_after = -1};
    EXPECT(passes_run(c.g, &p) && eval_graph(c.ctx, c.g, &in, out, &status) && status == MCC_OK); /* fused bodies */
    EXPECT(is(out[0], DT_F32, 2, DIMS(2, 2), LIST(1, 2, 3, 4)));
    ctx_free(c.ctx);
    case_begin(&c); /* a failing node stops the run */
    diag_to(c.ctx, NULL);
    output(&c, "y", DO(&c, Exp, DO(&c, Gather, input(&c, "t", "2"), input_of(&c, "i", DT_I64, "1"))));
    const Tensor *gather[] = {tensor_of(&c, DT_F32, 1, DIMS(2), LIST(1, 2)),
                              tensor_of(&c, DT_I64, 1, DIMS(1), LIST(-3))};
    before = c.ctx->folded;
    EXPECT(eval_graph(c.ctx, c.g, gather, out, &status) && status == MCC_E_INDEX && c.ctx->folded == before);
    ctx_free(c.ctx);
}

/* x as a body makes it of dims that only the graph around it shows by themselves */
static void check_symbols_outside(void) {
    Case c;
    Tensor *out[1];
    int status;
    case_begin(&c);
    Dim n = dim_symbol(c.ctx, str_of("N"), 1, 64), two = dim_const(c.ctx, 2);
    Node *wide = NODE(&c, View, input(&c, "x", "Nx4"));
    value_set_dims(wide->out[0], DT_F32, 2, (Dim[]){dim_mul(c.ctx, n, two), two});
    Node *fused = node_new(c.g, OP_Fused, NULL, &wide->out[0], 1, 1);
    Graph *body = fused->body = graph_new(c.ctx, c.g);
    Value *in = value_new(body, (Str){0});
    in->type = wide->out[0]->type;
    Node *view = node_new(body, OP_View, NULL, &in, 1, 1);
    value_set_dims(view->out[0], DT_F32, 2, (Dim[]){dim_add(c.ctx, n, n), two});
    body->inputs = &in;
    body->outputs = view->out;
    body->n_inputs = body->n_outputs = 1;
    fused->out[0]->type = view->out[0]->type;
    output(&c, "y", fused->out[0]);
    const Tensor *x = tensor_of(&c, DT_F32, 2, DIMS(1, 4), LIST(1, 2, 3, 4));
    EXPECT(eval_graph(c.ctx, c.g, &x, out, &status) && status == MCC_OK);
    EXPECT(is(out[0], DT_F32, 2, DIMS(2, 2), LIST(1, 2, 3, 4)));
    diag_to(c.ctx, NULL);
    Tensor *made[1];
    const Tensor *alone = tensor_of(&c, DT_F32, 2, DIMS(2, 2), LIST(1, 2, 3, 4));
    EXPECT(!eval_graph(c.ctx, body, &alone, made, &status)); /* N is nobody's then, and no number */
    ctx_free(c.ctx);
}

int main(void) {
    check_symbols_outside();
    check_nodes();
    check_operands();
    check_failures();
    check_graphs();
    return failures ? 1 : 0;
}
