/* Calls straight-line code of a sparse product (sparse.h) from a kernel, and shares it out among chunks. */
#include <math.h>
#include "codegen/sparse.h"

void sparse_call(Kernel *k, LLVMValueRef code, const SparseCall *c) {
    Gen *g = k->gen;
    LLVMValueRef none = LLVMConstNull(g->ptr);
    LLVMValueRef args[] = {c->x,      c->y,      c->residual ? c->residual : none, c->masks ? c->masks : none,
                           c->panels, c->blocks, c->cold ? c->cold : gen_i64(g, 0)};
    enum { N = sizeof args / sizeof *args };
    LLVMTypeRef types[N];
    for (int i = 0; i < N; i++) types[i] = LLVMTypeOf(args[i]);
    LLVMTypeRef type = LLVMFunctionType(g->void_type, types, N, 0);
    LLVMBuildCall2(k->b, type, code, args, N, "");
}

LLVMValueRef sparse_all_blocks(Kernel *k, int64_t blocks) { return gen_i64(k->gen, blocks * ((int64_t)1 << 32)); }

int64_t sparse_run(int64_t panels, int64_t most) {
    int64_t runs = panels > most ? (panels + most - 1) / most : 1;
    return panels > 0 ? (panels + runs - 1) / runs : 1;
}

double sparse_multiplies(const Node *n) {
    const Tensor *w = n->in[1]->constant;
    const uint32_t *at = w->data; /* floats, or words of bytes */
    int64_t count = 0;
    if (node_is_packed(n)) {
        PackedForm p = node_packed(n);
        return (double)p.entries * (double)p.block;
    }
    for (size_t i = 0; i < w->bytes / sizeof *at; i++) count += at[i] << 1 != 0; /* -0 is none */
    return (double)count;
}

/* ---- the body: a residual, then clamps ---- */

static void clamp(SparseLayer *l, double low, double high) {
    l->low = fminf(fmaxf(l->low, (float)low), (float)high);
    l->high = fminf(fmaxf(l->high, (float)low), (float)high);
}

static double bound(const Node *clip, int input, double none) {
    const Value *v = node_in(clip, input);
    return v ? tensor_float(v->constant, 0) : none;
}

void sparse_take_body(const Node *n, SparseLayer *l) {
    l->low = -INFINITY, l->high = INFINITY;
    for (const Node *e = n->body ? n->body->first : NULL; e; e = e->next) {
        if (e->op == OP_Add) l->residual = true;
        else
            clamp(l, e->op == OP_Relu ? 0 : bound(e, 1, -INFINITY),
                  e->op == OP_Relu ? INFINITY : bound(e, 2, INFINITY));
    }
}

/* Its last operand is the residual, which is read for each element of the result before that is written; other rows
 * still read x. */
bool sparse_in_place(const Node *n, int input) {
    return n->body && n->body->n_inputs > 1 && input == n->n_in - 1 && n->in[input] != n->in[0];
}

/* ---- chunks ---- */

typedef struct Share { /* what chunks cost, as parts of all multiply-adds */
    int64_t runs, blocks;
    double x, code; /* reading x once, the code once */
} Share;

static double part(int64_t n, int i, int of) { return (double)(n * (i + 1) / of - n * i / of) / (double)n; }

/* the longest of so many threads, each of which takes neighbouring chunks */
static double longest(const Share *s, Grid grid, int threads) {
    int chunks = grid.rows * grid.cols;
    double most = 0;
    for (int t = 0; t < threads; t++) {
        double all = 0;
        for (int i = chunks * t / threads; i < chunks * (t + 1) / threads; i++) {
            double down = part(s->runs, i / grid.cols, grid.rows), across = part(s->blocks, i % grid.cols, grid.cols);
            if (down > 0 && across > 0) all += down * across + s->x * down + s->code * across;
        }
        if (all > most) most = all;
    }
    return most * threads;
}

Grid sparse_grid(const Kernel *k, const SparseSize *s) {
    const double code_bytes = 12, bytes_a_cycle = 16, nonzeros = 0.15; /* of a multiply-add; a part of the weights */
    double adds = nonzeros * (double)s->rows * (double)s->sources * (double)s->panels, best = 0;
    Share share = {.runs = (s->panels + s->run - 1) / s->run,
                   .blocks = s->blocks,
                   .x = (double)s->panels * (double)s->x_bytes / bytes_a_cycle / adds,
                   .code = code_bytes / bytes_a_cycle / (double)s->panels};
    Grid grid = {1, k->chunks};
    for (int rows = 1; rows <= k->chunks; rows++) {
        if (k->chunks % rows) continue;
        Grid g = {rows, k->chunks / rows};
        double cost = longest(&share, g, k->chunks) + longest(&share, g, 2);
        if (rows == 1 || cost < best) best = cost, grid = g;
    }
    return grid;
}

/* Without threads the layer before has fetched what lies behind its own code. */
LLVMValueRef sparse_is_cold(Kernel *k, LLVMValueRef run, LLVMValueRef first) {
    if (k->chunks == 1) return NULL;
    return LLVMBuildZExt(k->b, LLVMBuildICmp(k->b, LLVMIntEQ, run, first, ""), k->gen->i64, "");
}

If sparse_blocks_begin(Kernel *k, SparseCall *c, const Grid *grid, const SparseSize *s) {
    Gen *g = k->gen;
    Range part = kernel_share(k, gen_i64(g, s->blocks), 1, grid->cols);
    c->blocks = i_add(k, part.from, i_scale(k, part.to, (int64_t)1 << 32));
    return if_begin(k, LLVMBuildICmp(k->b, LLVMIntSLT, part.from, part.to, ""));
}
