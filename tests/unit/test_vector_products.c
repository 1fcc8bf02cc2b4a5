/* Products of one to three rows against the reference kernels. The matrix is known at run time only: along its columns
 * and along what is summed, batches, sizes constant and open; or it is a constant of few columns, whose long sums are
 * kept in several parts. On several processors. MCC_SEED runs one and shows its graph; MCC_TEST_GRAPHS says how many.
 */
#include "codegen/products.h"
#include "tests/unit/compiled.h"

enum { GRAPHS = 45 };

static Node *make_matmul(Case *c) {
    const char *n = size(c, "N", 4, 150), *k = size(c, "K", 1, 90);
    const char *batches[] = {"", pick(c, 0, 1) ? "2x3x" : "Bx3x", "1x3x"};
    Arena *a = c->ctx->arena;
    Value *x = input(c, "a", arena_printf(a, "%s%dx%s", batches[pick(c, 0, 2)], pick(c, 1, 3), k));
    Value *w = input(c, "b", arena_printf(a, "%s%sx%s", batches[pick(c, 0, 2)], k, n));
    return NODE(c, MatMul, x, w);
}

static Node *make_gemm(Case *c) {
    const char *n = size(c, "N", 1, 60), *k = size(c, "K", 4, 150);
    Arena *a = c->ctx->arena;
    int rows = pick(c, 1, 3);
    bool turn = rows == 1 && pick(c, 0, 1);
    Value *x = input(c, "a", turn ? arena_printf(a, "%sx1", k) : arena_printf(a, "%dx%s", rows, k));
    Node *g = NODE(c, Gemm, x, input(c, "b", arena_printf(a, "%sx%s", n, k)));
    node_set_int(g, "transA", turn);
    node_set_int(g, "transB", 1);
    return g;
}

static Node *make_narrow(Case *c) {
    int64_t dims[2] = {pick(c, 60, 400), pick(c, 1, 40)};
    Tensor *w = random_tensor(c, c->g, DT_F32, 2, dims);
    Value *x = input(c, "a", arena_printf(c->ctx->arena, "%dx%d", pick(c, 1, 3), (int)dims[0]));
    return NODE(c, MatMul, x, value_of_tensor(c->g, w));
}

static int64_t run_size(void *env, Dim d) {
    (void)env;
    return d->name.p[0] == 'B' ? 2 : d->name.p[0] == 'N' ? 53 : 21;
}

static bool check(uint64_t seed) {
    static const char *const cpus[] = {"native", "x86-64", "x86-64-v3"};
    Case c;
    case_begin(&c);
    c.seed = seed * 7919 + 5;
    bool narrow = seed % 3 == 2;
    Node *n = narrow ? make_narrow(&c) : seed % 3 ? make_matmul(&c) : make_gemm(&c);
    Op op = narrow ? OP_PackedMatMul : n->op;
    output(&c, "y", result(&c, n));
    bool fits = narrow || vector_product_fits(n);
    const Tensor **in = random_inputs(&c, run_size);
    const char *cpu = cpus[seed / 3 % 3];
    double apart = fits ? compile_and_run(&c, cpu, in, evaluate(&c, in), op) : INFINITY;
    return is_near(&c, seed, cpu, apart);
}

int main(void) { return check_seeds(GRAPHS, check); }
