/* Products of one row with constants of many zeros, whose nonzeros are packed as data, against the reference kernels:
 * every density, empty rows and columns, sizes that fill no vector, alpha, a bias as a row and of the graph's input,
 * what follows as an epilogue, cut for threads; on the levels of x86-64 that this machine has, with masks, with places,
 * and as the cost model says. MCC_SEED runs one and shows its graph. */
#include "tests/unit/compiled.h"

enum { GRAPHS = 48 };

static Value *sparse_weights(Case *c, int inner, int cols, bool turned) {
    int64_t dims[2] = {turned ? cols : inner, turned ? inner : cols};
    int percent = pick(c, 0, 5) ? pick(c, 1, 60) : pick(c, 0, 1), empty = pick(c, 0, 1) ? 3 : 0;
    Tensor *w = random_tensor(c, c->g, DT_F32, 2, dims);
    float *p = (float *)w->data;
    for (int64_t i = 0; i < dims[0] * dims[1]; i++) {
        bool gone = empty && (i / dims[1] % 7 == empty || i % dims[1] % 5 == empty);
        if (gone || pick(c, 0, 99) >= percent) p[i] = 0;
    }
    return value_of_tensor(c->g, w);
}

static Value *followed(Case *c, Value *y, int cols) {
    switch (pick(c, 0, 3)) {
    case 0: return y;
    case 1: return DO(c, Relu, DO(c, Add, y, weights(c, arena_printf(c->ctx->arena, "%d", cols))));
    case 2: return DO(c, Add, y, input(c, "r", arena_printf(c->ctx->arena, "1x%d", cols)));
    default: return DO(c, Tanh, DO(c, Mul, y, number(c, 0.5)));
    }
}

static Value *make_product(Case *c) {
    int inner = pick(c, 1, 300), cols = pick(c, 1, 200);
    bool turned = pick(c, 0, 1);
    Arena *a = c->ctx->arena;
    Value *x = input(c, "x", arena_printf(a, "1x%d", inner)), *w = sparse_weights(c, inner, cols, turned);
    if (!turned && pick(c, 0, 1)) return followed(c, DO(c, MatMul, x, w), cols);
    Value *bias =
        pick(c, 0, 1) ? weights(c, arena_printf(a, "%d", cols)) : input(c, "c", arena_printf(a, "1x%d", cols));
    Node *g = pick(c, 0, 2) ? NODE(c, Gemm, x, w, bias) : NODE(c, Gemm, x, w);
    node_set_int(g, "transB", turned);
    node_set_float(g, "alpha", 0.5f);
    node_set_float(g, "beta", 2);
    return followed(c, result(c, g), cols);
}

static int64_t no_size(void *env, Dim d) {
    (void)env;
    return d->lo;
}

static int made; /* products that were packed, of all graphs */

static bool check(uint64_t seed) {
    static const char *const cpus[] = {"native", "x86-64-v4", "haswell", "x86-64"};
    const char *why, *cpu = cpu_that_runs(cpus[seed % 4]);
    const Target *t = target_find("", cpu, "", &why);
    Case c;
    case_begin(&c);
    c.seed = seed * 2654435761u + 11;
    output(&c, "y", make_product(&c));
    const Tensor **in = random_inputs(&c, no_size);
    PassCtx p = {.ctx = c.ctx, .target = t, .opt_level = 2, .stop_after = -1, .verify = true};
    p.sparse = seed % 3 ? SPARSE_ALWAYS : SPARSE_AUTO;
    double apart = compile_and_run_as(&c, &p, seed % 5 ? 0 : 3, in, evaluate(&c, in));
    made += count_nodes(c.g, OP_SparseGemv);
    return is_near(&c, seed, cpu, apart);
}

int main(void) {
    int failed = check_seeds(GRAPHS, check);
    if (!getenv("MCC_SEED") && made < GRAPHS / 3) {
        fprintf(stderr, "only %d products were packed\n", made);
        return 1;
    }
    return failed;
}
