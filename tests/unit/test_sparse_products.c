/* MatMul and Gemm with constants of many zeros, which become straight-line code, against the reference kernels: rows
 * below, at and above what a panel holds, constant and open, sizes that are no multiple of it, alpha, bias as a row and
 * as a matrix, what follows as an epilogue, products
 * of products, and attention between them. Few zeros stay a dense product. MCC_SEED runs one and
 * shows its graph. */
#include "passes/internal.h"
#include "tests/unit/compiled.h"

enum { GRAPHS = 40 };

static Value *sparse_weights(Case *c, int rows, int cols, int percent) {
    int64_t dims[2] = {rows, cols};
    Tensor *w = random_tensor(c, c->g, DT_F32, 2, dims);
    float *p = (float *)w->data;
    for (int64_t i = 0; i < (int64_t)rows * cols; i++)
        if (pick(c, 0, 99) < percent) p[i] = 0;
    return value_of_tensor(c->g, w);
}

static Value *followed(Case *c, Value *y, const char *rows, int cols) {
    switch (pick(c, 0, 3)) {
    case 0: return y;
    case 1: return DO(c, Relu, DO(c, Add, y, weights(c, arena_printf(c->ctx->arena, "%d", cols))));
    case 2: return DO(c, Add, y, input(c, "r", arena_printf(c->ctx->arena, "%s%d", rows, cols)));
    default: return DO(c, Tanh, DO(c, Mul, y, number(c, 0.5)));
    }
}

static bool few_rows; /* for which a dense product may be better */

static const char *choose_rows(Case *c) {
    static const char *const rows[] = {"1x", "7x", "2x7x", "Nx", "3x40x", "150x", "Bx19x"};
    int i = pick(c, 0, 6);
    few_rows = i < 3;
    return rows[i];
}

static Value *make_matmul(Case *c, int percent) {
    int inner = pick(c, 40, 200), cols = pick(c, 40, 150);
    const char *rows = choose_rows(c);
    Value *x = input(c, "x", arena_printf(c->ctx->arena, "%s%d", rows, inner));
    return followed(c, DO(c, MatMul, x, sparse_weights(c, inner, cols, percent)), rows, cols);
}

static Value *make_gemm(Case *c, int percent) {
    int inner = pick(c, 40, 200), cols = pick(c, 40, 150);
    static const char *const some[] = {"15x", "130x", "Nx"};
    int which = pick(c, 0, 2);
    const char *rows = some[which];
    few_rows = which == 0;
    bool turned = pick(c, 0, 1);
    Arena *a = c->ctx->arena;
    Value *x = input(c, "x", arena_printf(a, "%s%d", rows, inner));
    Value *w = turned ? sparse_weights(c, cols, inner, percent) : sparse_weights(c, inner, cols, percent);
    Value *bias =
        pick(c, 0, 1) ? weights(c, arena_printf(a, "%d", cols)) : input(c, "c", arena_printf(a, "%s%d", rows, cols));
    Node *g = pick(c, 0, 2) ? NODE(c, Gemm, x, w, bias) : NODE(c, Gemm, x, w);
    node_set_int(g, "transB", turned);
    node_set_float(g, "alpha", 0.5f);
    node_set_float(g, "beta", 2);
    return followed(c, result(c, g), rows, cols);
}

/* product, row, activation, product, x added, a norm: all of it on panels, which x becomes once */
static Value *make_chain(Case *c) {
    static const char *const some[] = {"1x130x", "2x48x", "1x128x"};
    int inner = pick(c, 60, 150), cols = pick(c, 60, 150);
    Arena *a = c->ctx->arena;
    Value *x = input(c, "x", arena_printf(a, "%s%d", some[pick(c, 0, 2)], inner));
    Value *y = DO(c, MatMul, x, sparse_weights(c, inner, cols, 95));
    y = DO(c, Relu, DO(c, Add, y, weights(c, arena_printf(a, "%d", cols))));
    y = DO(c, Add, DO(c, MatMul, y, sparse_weights(c, cols, inner, 95)), x);
    Value *scale = weights(c, arena_printf(a, "%d", inner));
    if (pick(c, 0, 1)) return DO(c, RMSNormalization, y, scale);
    return DO(c, LayerNormalization, y, scale, weights(c, arena_printf(a, "1x%d", inner)));
}

typedef struct Heads {
    int batch, rows, heads, depth;
} Heads;

static Value *viewed(Case *c, Value *x, const int64_t *dims, int rank) {
    Node *n = NODE(c, Reshape, x, const_ints_value(c->g, dims, rank));
    return result(c, n);
}

/* x times a sparse matrix, its heads apart */
static Value *make_side(Case *c, Value *x, int inner, const Heads *h, int depth, const int64_t *perm) {
    Value *y = DO(c, MatMul, x, sparse_weights(c, inner, h->heads * depth, 95));
    Node *turn = NODE(c, Transpose, viewed(c, y, (int64_t[]){h->batch, -1, h->heads, depth}, 4));
    node_set_ints(turn, "perm", perm, 4);
    return result(c, turn);
}

static Value *mask_scores(Case *c, const Heads *h, Value *x, int keys) {
    Arena *a = c->ctx->arena;
    const char *specs[] = {arena_printf(a, "%d", keys), arena_printf(a, "%dx1x1x%d", h->batch, keys),
                           arena_printf(a, "1x%dx1x1", h->heads)};
    const char *dims = specs[pick(c, 0, 2)];
    if (pick(c, 0, 1)) return DO(c, Add, x, input(c, "mask", dims));
    x = DO(c, Where, input_of(c, "mask", DT_BOOL, dims), number(c, pick(c, 0, 1) ? -1e4 : -INFINITY), x);
    return x;
}

/* attention whose queries, keys and values are sparse products, keys of another value or of the same; then one more */
static Value *make_attention(Case *c) {
    const int64_t rows[] = {0, 2, 1, 3}, turned[] = {0, 2, 3, 1};
    Heads h = {pick(c, 1, 2), pick(c, 0, 2) ? 16 * pick(c, 1, 4) : 129 + pick(c, 0, 14), pick(c, 2, 3),
               pick(c, 20, 33)};
    int inner = pick(c, 60, 90), cols = pick(c, 20, 41), keys = h.rows;
    Arena *a = c->ctx->arena;
    Value *x = input(c, "x", arena_printf(a, "%dx%dx%d", h.batch, h.rows, inner)), *from = x;
    if (pick(c, 0, 1)) from = input(c, "from", arena_printf(a, "%dx%dx%d", h.batch, keys = pick(c, 129, 143), inner));
    Value *q = make_side(c, x, inner, &h, h.depth, rows), *k = make_side(c, from, inner, &h, h.depth, turned),
          *v = make_side(c, from, inner, &h, cols, rows), *y = DO(c, Mul, DO(c, MatMul, q, k), number(c, 0.25));
    if (pick(c, 0, 2)) y = mask_scores(c, &h, y, keys);
    y = DO(c, Softmax, y);
    if (pick(c, 0, 1)) y = DO(c, Where, DO(c, IsNaN, y), number(c, 0), y);
    Node *back = NODE(c, Transpose, DO(c, MatMul, y, v));
    node_set_ints(back, "perm", rows, 4);
    y = viewed(c, result(c, back), (int64_t[]){h.batch, -1, h.heads * cols}, 3);
    return DO(c, MatMul, y, sparse_weights(c, h.heads * cols, 70, 95));
}

static int64_t rows_of_open; /* N */

static int64_t run_size(void *env, Dim d) {
    (void)env;
    return d->name.p[0] == 'N' ? rows_of_open : 2;
}

static bool check(uint64_t seed) {
    Case c;
    case_begin(&c);
    c.seed = seed * 7919 + 5;
    rows_of_open = seed % 3 ? 61 : 5;
    bool sparse = seed % 8;
    bool chain = seed % 8 == 3, attention = seed % 8 == 5;
    Value *y = chain       ? make_chain(&c)
               : attention ? make_attention(&c)
               : seed % 2  ? make_matmul(&c, sparse ? 95 : 0)
                           : make_gemm(&c, sparse ? 95 : 0);
    output(&c, "y", y);
    static const char *const cpus[] = {"native", "native", "haswell", "x86-64-v4", "x86-64"};
    const char *why, *cpu = cpu_that_runs(cpus[seed % 5]);
    const Target *t = target_find("", cpu, "", &why);
    PassCtx p = {.ctx = c.ctx, .target = t, .opt_level = 2, .stop_after = -1, .verify = true};
    p.sparse = seed % 2 ? SPARSE_AUTO : SPARSE_PACKED;
    p.optimize_size = seed % 7 == 2;
    const Tensor **in = random_inputs(&c, run_size);
    bool certain = (sparse_lanes(t) || p.sparse == SPARSE_PACKED) && (!few_rows || chain || attention);
    Op made = chain ? OP_Block : attention ? OP_BlockAttention : OP_SparseMatMul;
    Op expect = !sparse ? OP_PackedMatMul : !certain ? OP_NONE : made;
    bool fused = chain && certain;
    double apart = compile_and_run_as(&c, &p, seed % 3 ? 0 : 3, in, evaluate(&c, in));
    if (expect != OP_NONE && count_nodes(c.g, expect) != 1) {
        fprintf(stderr, "the graph holds %d %s, not 1\n", count_nodes(c.g, expect), op_info(expect)->name);
        apart = INFINITY;
    }
    if (fused && (count_nodes(c.g, OP_Add) || count_nodes(c.g, OP_Relu) || count_nodes(c.g, OP_Fused) ||
                  count_nodes(c.g, OP_BlockNorm) != 1)) {
        fputs("sums and clamps should be part of the code, and the norm should stay in blocks\n", stderr);
        apart = INFINITY;
    }
    return is_near(&c, seed, cpu, apart);
}

int main(void) { return check_seeds(GRAPHS, check); }
