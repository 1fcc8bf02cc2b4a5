/* Attention in one kernel against its parts on the reference kernels: heads folded into transposes in several ways,
 * numbers that scale, masks of several shapes, any sizes, constant and open, on several processors. MCC_SEED runs one
 * and shows its graph; MCC_TEST_GRAPHS says how many. */
#include "tests/unit/compiled.h"

enum { GRAPHS = 48 };

typedef struct Sizes { /* as specs of dims */
    const char *batch, *heads, *queries, *keys, *depth, *cols;
} Sizes;

static const char *spec(Case *c, const char *a, const char *b, const char *d, const char *e) {
    return arena_printf(c->ctx->arena, "%sx%sx%sx%s", a, b, d, e);
}

static Value *transposed(Case *c, Value *x, const int64_t *perm) {
    Node *n = NODE(c, Transpose, x);
    node_set_ints(n, "perm", perm, x->type.rank);
    return result(c, n);
}

/* [batch, heads, rows, depth], from [batch, rows, heads, depth] or as it is; turned: rows and depth swapped */
static Value *side(Case *c, const char *name, const Sizes *s, const char *rows, const char *depth, bool turned) {
    if (pick(c, 0, 1)) {
        Value *x = input(c, name, spec(c, s->batch, rows, s->heads, depth));
        if (!pick(c, 0, 2)) x = DO(c, Mul, x, number(c, 0.5));
        if (turned && pick(c, 0, 1)) return transposed(c, x, (int64_t[]){0, 2, 3, 1});
        x = transposed(c, x, (int64_t[]){0, 2, 1, 3});
        return turned ? transposed(c, x, (int64_t[]){0, 1, 3, 2}) : x;
    }
    const char *heads = pick(c, 0, 3) ? s->heads : "1";
    if (turned && pick(c, 0, 1)) return input(c, name, spec(c, s->batch, heads, depth, rows));
    Value *x = input(c, name, spec(c, s->batch, heads, rows, depth));
    return turned ? transposed(c, x, (int64_t[]){0, 1, 3, 2}) : x;
}

static Value *masked(Case *c, const Sizes *s, Value *scores) {
    Arena *a = c->ctx->arena;
    const char *specs[] = {arena_printf(a, "%s", s->keys), arena_printf(a, "%sx%s", s->queries, s->keys),
                           spec(c, s->batch, "1", "1", s->keys), spec(c, "1", s->heads, s->queries, s->keys),
                           spec(c, s->batch, "1", s->queries, "1")};
    const char *dims = specs[pick(c, 0, 4)];
    if (pick(c, 0, 2) == 0) {
        static const double lows[] = {-1e4, -3e38, -INFINITY};
        Value *hidden = input_of(c, "mask", DT_BOOL, dims), *low = number(c, lows[pick(c, 0, 2)]);
        return pick(c, 0, 1) ? DO(c, Where, hidden, low, scores) : DO(c, Where, hidden, scores, low);
    }
    Value *mask = input(c, "mask", dims);
    return pick(c, 0, 1) ? DO(c, Add, scores, mask) : DO(c, Add, mask, scores);
}

static void make_attention(Case *c) {
    Sizes s = {.batch = size(c, "B", 1, 2), .heads = size(c, NULL, 2, 3)};
    s.queries = size(c, "Q", 1, 40);
    s.keys = pick(c, 0, 2) ? size(c, "K", 1, 70) : s.queries;
    s.depth = size(c, "D", 1, 40);
    s.cols = pick(c, 0, 2) ? s.depth : size(c, "V", 1, 70);
    Value *q = side(c, "q", &s, s.queries, s.depth, false), *k = side(c, "k", &s, s.keys, s.depth, true),
          *v = side(c, "v", &s, s.keys, s.cols, false);
    Value *x = DO(c, MatMul, q, k);
    if (pick(c, 0, 1)) x = pick(c, 0, 1) ? DO(c, Div, x, number(c, 2.75)) : DO(c, Mul, x, number(c, 0.3));
    if (pick(c, 0, 1)) x = masked(c, &s, x);
    x = DO(c, Softmax, x);
    if (pick(c, 0, 2) == 0) x = DO(c, Where, DO(c, IsNaN, x), number(c, 0), x);
    x = DO(c, MatMul, x, v);
    output(c, "y", pick(c, 0, 1) ? transposed(c, x, (int64_t[]){0, 2, 1, 3}) : x);
}

static int64_t run_size(void *env, Dim d) {
    (void)env;
    switch (d->name.p[0]) {
    case 'B': return 2;
    case 'Q': return 5;
    case 'K': return 37;
    case 'D': return 19;
    default: return 50;
    }
}

static bool check(uint64_t seed) {
    static const char *const cpus[] = {"native", "x86-64", "x86-64-v3"};
    Case c;
    case_begin(&c);
    c.seed = seed * 7919 + 3;
    make_attention(&c);
    const Tensor **in = random_inputs(&c, run_size);
    const char *cpu = cpus[seed % 3];
    double apart = compile_and_run(&c, cpu, in, evaluate(&c, in), OP_FusedAttention);
    return is_near(&c, seed, cpu, apart);
}

int main(void) { return check_seeds(GRAPHS, check); }
