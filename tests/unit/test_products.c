/* Products whose sides are both known at run time only, and softmax, against the reference kernels: transposed sides,
 * batches of all kinds, Gemm with alpha, beta and C, elementwise work behind them, sizes constant and open, on several
 * processors. MCC_SEED runs one and shows its graph; MCC_TEST_GRAPHS says how many. */
#include "tests/unit/compiled.h"

enum { GRAPHS = 60 };

static Value *transposed(Case *c, Value *x, const int64_t *perm) {
    Node *n = NODE(c, Transpose, x);
    node_set_ints(n, "perm", perm, x->type.rank);
    return result(c, n);
}

/* [batch…, rows, cols], as it is or through a Transpose */
static Value *side(Case *c, const char *name, const char *batch, const char *rows, const char *cols) {
    Arena *a = c->ctx->arena;
    if (*batch && pick(c, 0, 2) == 0) /* heads */
        return transposed(c, input(c, name, arena_printf(a, "%sx3x%sx%s", rows, batch, cols)), (int64_t[]){2, 1, 0, 3});
    if (*batch) return input(c, name, arena_printf(a, "%sx3x%sx%s", batch, rows, cols));
    if (pick(c, 0, 1)) return input(c, name, arena_printf(a, "%sx%s", rows, cols));
    return transposed(c, input(c, name, arena_printf(a, "%sx%s", cols, rows)), (int64_t[]){1, 0});
}

static Value *elementwise(Case *c, Value *y, const char *rows, const char *cols) {
    Arena *a = c->ctx->arena;
    const char *specs[] = {cols, arena_printf(a, "%sx1", rows), arena_printf(a, "%sx%s", rows, cols), "1"};
    switch (pick(c, 0, 3)) {
    case 0: return DO(c, Relu, y);
    case 1: return DO(c, Add, y, input(c, "e", specs[pick(c, 0, 3)]));
    case 2: return DO(c, Sin, DO(c, Mul, y, input(c, "e", specs[pick(c, 0, 3)])));
    default: return y;
    }
}

static void make_matmul(Case *c) {
    const char *m = size(c, "M", 4, 40), *n = size(c, "N", 3, 70), *k = size(c, "K", 1, 60);
    const char *batches[] = {"", pick(c, 0, 1) ? "2" : "B", "1"};
    Value *x = side(c, "a", batches[pick(c, 0, 2)], m, k), *w = side(c, "b", batches[pick(c, 0, 2)], k, n);
    output(c, "y", elementwise(c, DO(c, MatMul, x, w), m, n));
}

static void make_gemm(Case *c) {
    const char *m = size(c, "M", 4, 40), *n = size(c, "N", 3, 70), *k = size(c, "K", 1, 60);
    bool left = pick(c, 0, 1), right = pick(c, 0, 1);
    Arena *a = c->ctx->arena;
    Value *x = input(c, "a", arena_printf(a, "%sx%s", left ? k : m, left ? m : k));
    Value *w = input(c, "b", arena_printf(a, "%sx%s", right ? n : k, right ? k : n));
    const char *specs[] = {n, arena_printf(a, "%sx1", m), arena_printf(a, "%sx%s", m, n), "1"};
    Node *g = pick(c, 0, 3) ? NODE(c, Gemm, x, w, input(c, "c", specs[pick(c, 0, 3)])) : NODE(c, Gemm, x, w);
    node_set_int(g, "transA", left);
    node_set_int(g, "transB", right);
    if (pick(c, 0, 1)) node_set_float(g, "alpha", 0.5);
    if (pick(c, 0, 1)) node_set_float(g, "beta", -2);
    output(c, "y", elementwise(c, result(c, g), m, n));
}

static void make_softmax(Case *c) {
    const char *rows = size(c, "M", 1, 20), *cols = size(c, "N", 8, 70);
    Value *x = input(c, "x", arena_printf(c->ctx->arena, pick(c, 0, 1) ? "%sx%s" : "2x%sx%s", rows, cols));
    output(c, "y", DO(c, Softmax, DO(c, Mul, x, number(c, pick(c, 0, 1) ? 1 : 40))));
}

static int64_t run_size(void *env, Dim d) {
    (void)env;
    switch (d->name.p[0]) {
    case 'B': return 2;
    case 'M': return 7;
    case 'N': return 53;
    default: return 21;
    }
}

static bool check(uint64_t seed) {
    static const char *const cpus[] = {"native", "x86-64", "x86-64-v3"};
    Case c;
    case_begin(&c);
    c.seed = seed * 7919 + 5;
    Op expect = seed % 4 == 3 ? OP_Softmax : OP_PanelMatMul;
    if (expect == OP_Softmax) make_softmax(&c);
    else if (seed % 4) make_matmul(&c);
    else make_gemm(&c);
    const Tensor **in = random_inputs(&c, run_size);
    const char *cpu = cpus[seed % 3];
    double apart = compile_and_run(&c, cpu, in, evaluate(&c, in), expect);
    return is_near(&c, seed, cpu, apart);
}

int main(void) { return check_seeds(GRAPHS, check); }
