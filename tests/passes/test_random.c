/* Random graphs through the whole pipeline: the results before and after agree. The seed of a failure is printed;
 * MCC_SEED runs that one alone and prints its graph. */
#include "tests/passes/passtest.h"

enum { GRAPHS = 400, STEPS = 18, POOL = 32 };

typedef struct Maker {
    Case c;
    Value *pool[POOL];
    int n;
} Maker;

static uint64_t dice(Maker *m, uint64_t sides) {
    m->c.seed = m->c.seed * 6364136223846793005u + 1442695040888963407u;
    return (m->c.seed >> 33) % sides;
}
#define PICK(m, list) (list)[dice(m, sizeof(list) / sizeof *(list))]

static Value *any(Maker *m) { return m->pool[dice(m, (uint64_t)m->n)]; }

static Value *any_of_rank(Maker *m, int rank) {
    for (int i = 0; i < 20; i++) {
        Value *v = any(m);
        if (v->type.rank == rank) return v;
    }
    return NULL;
}

static int64_t size_of(const Value *v, int axis) {
    int64_t n = 0;
    dim_is_const(v->type.dims[axis], &n);
    return n;
}

static Value *tensor_for(Maker *m, int rank, const int64_t *dims) {
    return value_of_tensor(m->c.g, random_tensor(&m->c, m->c.g, DT_F32, rank, dims));
}

/* A constant that broadcasts to v: one number, one axis, or every element */
static Value *constant_for(Maker *m, const Value *v) {
    int64_t dims[MCC_MAX_RANK];
    uint64_t kind = dice(m, 4), axis = dice(m, (uint64_t)v->type.rank + 1);
    if (kind == 0 || v->type.rank == 0) return number(&m->c, (double)dice(m, 5) - 2);
    for (int i = 0; i < v->type.rank; i++) dims[i] = kind == 1 || (uint64_t)i == axis ? size_of(v, i) : 1;
    return tensor_for(m, v->type.rank, dims);
}

static Value *unary(Maker *m) {
    static const Op ops[] = {OP_Relu, OP_Sigmoid, OP_Tanh, OP_Neg, OP_Abs, OP_HardSwish, OP_Identity, OP_Softplus};
    Value *x = any(m);
    return result(&m->c, node_named(&m->c, PICK(m, ops), &x, 1, 1));
}

static Value *with_constant(Maker *m) {
    static const Op ops[] = {OP_Add, OP_Sub, OP_Mul, OP_Max, OP_Min, OP_Add, OP_Mul};
    Value *x = any(m), *c = constant_for(m, x), *in[] = {x, c};
    if (dice(m, 3) == 0) in[0] = c, in[1] = x;
    return result(&m->c, node_named(&m->c, PICK(m, ops), in, 2, 1));
}

static Value *of_two(Maker *m) {
    static const Op ops[] = {OP_Add, OP_Sub, OP_Mul, OP_Max, OP_Min};
    for (int i = 0; i < 20; i++) {
        Value *in[] = {any(m), any(m)};
        if (value_same_dims(in[0], in[1])) return result(&m->c, node_named(&m->c, PICK(m, ops), in, 2, 1));
    }
    return NULL;
}

static Value *power(Maker *m) {
    static const double exponents[] = {1, 2, 3};
    return DO(&m->c, Pow, any(m), number(&m->c, PICK(m, exponents)));
}

static Value *clip(Maker *m) {
    return DO(&m->c, Clip, any(m), dice(m, 2) ? number(&m->c, 0) : NULL, dice(m, 2) ? number(&m->c, 1.5) : NULL);
}

static Value *transpose(Maker *m) {
    int64_t perm[MCC_MAX_RANK] = {0};
    Value *x = any(m);
    int rank = x->type.rank;
    for (int i = 0; i < rank; i++) {
        int k = (int)dice(m, (uint64_t)i + 1);
        perm[i] = perm[k];
        perm[k] = i;
    }
    Node *n = NODE(&m->c, Transpose, x);
    node_set_ints(n, "perm", perm, rank);
    return result(&m->c, n);
}

static Value *reshape(Maker *m) {
    Value *x = any(m);
    int64_t total = 1, dims[4] = {1, 1, 1, 1};
    for (int i = 0; i < x->type.rank; i++) total *= size_of(x, i);
    if (dice(m, 4) == 0) return DO(&m->c, Flatten, x);
    if (dice(m, 4) == 0 && x->type.rank < 4) return DO(&m->c, Unsqueeze, x, INTS_OF(&m->c, (int64_t)dice(m, 2)));
    for (int i = 0; i < 3; i++) {
        static const int64_t factors[] = {1, 2, 3, 4, 6};
        int64_t f = PICK(m, factors);
        if (total % f) continue;
        dims[i] = f;
        total /= f;
    }
    dims[3] = total;
    return DO(&m->c, Reshape, x, const_ints_value(m->c.g, dims, 4));
}

static Value *conv(Maker *m) {
    Value *x = any_of_rank(m, 4);
    int64_t k = dice(m, 2) ? 1 : 3;
    if (!x || size_of(x, 2) < k || size_of(x, 3) < k) return NULL;
    Value *w = tensor_for(m, 4, (int64_t[]){4, size_of(x, 1), k, k});
    Node *n = dice(m, 2) ? NODE(&m->c, Conv, x, w) : NODE(&m->c, Conv, x, w, tensor_for(m, 1, (int64_t[]){4}));
    if (k == 3 && dice(m, 2)) node_set_ints(n, "pads", (int64_t[]){1, 0, 1, 2}, 4);
    return DO(&m->c, Tanh, DO(&m->c, Mul, result(&m->c, n), number(&m->c, 0.25)));
}

static Value *batch_norm(Maker *m) {
    Value *x = any_of_rank(m, 4);
    if (!x) return NULL;
    int64_t c = size_of(x, 1);
    Value *scale = tensor_for(m, 1, &c), *bias = tensor_for(m, 1, &c), *mean = tensor_for(m, 1, &c), *var;
    m->c.lo = 0.5;
    var = tensor_for(m, 1, &c);
    m->c.lo = -2;
    return DO(&m->c, BatchNormalization, x, scale, bias, mean, var);
}

static Value *matmul(Maker *m) {
    Value *x = any(m);
    int rank = x->type.rank;
    if (rank < 2) return NULL;
    Value *y = DO(&m->c, MatMul, x, tensor_for(m, 2, (int64_t[]){size_of(x, rank - 1), 6}));
    return DO(&m->c, Tanh, dice(m, 2) ? DO(&m->c, Mul, y, number(&m->c, 0.5)) : y);
}

static Value *pad(Maker *m) {
    Value *x = any_of_rank(m, 4);
    return x ? DO(&m->c, Pad, x, INTS_OF(&m->c, 0, 0, (int64_t)dice(m, 2), 1, 0, 0, 0, (int64_t)dice(m, 2))) : NULL;
}

static Value *pool(Maker *m) {
    static const Op ops[] = {OP_MaxPool, OP_AveragePool};
    Value *x = any_of_rank(m, 4);
    if (!x || size_of(x, 2) < 2 || size_of(x, 3) < 2) return NULL;
    Node *n = node_named(&m->c, PICK(m, ops), &x, 1, 1);
    node_set_ints(n, "kernel_shape", (int64_t[]){2, 2}, 2);
    return result(&m->c, n);
}

static Value *join(Maker *m) {
    for (int i = 0; i < 20; i++) {
        Value *a = any(m), *b = any(m);
        if (!value_same_dims(a, b) || a->type.rank == 0) continue;
        Node *n = NODE(&m->c, Concat, a, b);
        node_set_int(n, "axis", (int64_t)dice(m, (uint64_t)a->type.rank));
        return result(&m->c, n);
    }
    return NULL;
}

static Value *cut(Maker *m) {
    Value *x = any(m);
    if (x->type.rank == 0) return NULL;
    int64_t axis = (int64_t)dice(m, (uint64_t)x->type.rank), from = (int64_t)dice(m, 2);
    if (size_of(x, (int)axis) <= from) return NULL;
    return DO(&m->c, Slice, x, INTS_OF(&m->c, from), INTS_OF(&m->c, INT64_MAX), INTS_OF(&m->c, axis));
}

static Value *reduce(Maker *m) {
    static const Op ops[] = {OP_ReduceMean, OP_ReduceMax, OP_ReduceSum};
    Value *x = any(m);
    if (x->type.rank == 0) return NULL;
    Value *in[] = {x, INTS_OF(&m->c, (int64_t)dice(m, (uint64_t)x->type.rank))};
    Node *n = node_named(&m->c, PICK(m, ops), in, 2, 1);
    node_set_int(n, "keepdims", (int64_t)dice(m, 2));
    return DO(&m->c, Tanh, result(&m->c, n));
}

static Value *gate(Maker *m) { /* x * relu6(x + 3) / 6, x * sigmoid(x), or gelu */
    Value *x = any(m), *g;
    switch (dice(m, 3)) {
    case 0:
        g = DO(&m->c, Clip, DO(&m->c, Add, x, number(&m->c, 3)), number(&m->c, 0), number(&m->c, 6));
        return DO(&m->c, Div, DO(&m->c, Mul, x, g), number(&m->c, 6));
    case 1: return DO(&m->c, Mul, x, DO(&m->c, Sigmoid, x));
    default:
        g = DO(&m->c, Add, DO(&m->c, Erf, DO(&m->c, Div, x, number(&m->c, sqrt(2)))), number(&m->c, 1));
        return DO(&m->c, Mul, DO(&m->c, Mul, x, number(&m->c, 0.5)), g);
    }
}

static Value *norm(Maker *m) {
    Value *x = any(m);
    if (x->type.rank == 0) return NULL;
    Value *d = DO(&m->c, Sub, x, DO(&m->c, ReduceMean, x, INTS_OF(&m->c, -1)));
    Value *var = DO(&m->c, ReduceMean, DO(&m->c, Mul, d, d), INTS_OF(&m->c, -1));
    return DO(&m->c, Div, d, DO(&m->c, Sqrt, DO(&m->c, Add, var, number(&m->c, 0.25))));
}

static Value *expand(Maker *m) {
    Value *x = any(m);
    int64_t dims[MCC_MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) dims[i] = size_of(x, i) == 1 ? 2 : size_of(x, i);
    return DO(&m->c, Expand, x, const_ints_value(m->c.g, dims, x->type.rank));
}

static Value *sum(Maker *m) {
    Value *x = any(m), *in[] = {x, constant_for(m, x), x};
    return result(&m->c, node_named(&m->c, dice(m, 2) ? OP_Sum : OP_Mean, in, 3, 1));
}

typedef Value *Make(Maker *m);
static Make *const makers[] = {unary,     unary,     with_constant, with_constant, of_two, of_two,     power,  clip,
                               transpose, transpose, reshape,       reshape,       conv,   batch_norm, matmul, pad,
                               pool,      join,      reduce,        cut,           gate,   norm,       expand, sum};

static bool is_small(const Value *v) {
    Dim n = value_elements(v->def->graph->ctx, v);
    return n && n->hi <= 4096;
}

static void make(Maker *m) {
    m->pool[m->n++] = input(&m->c, "x", "1x4x6x6");
    m->pool[m->n++] = input(&m->c, "z", "2x3x4");
    for (int i = 0; i < STEPS && m->n < POOL; i++) {
        Value *v = PICK(m, makers)(m);
        if (v && is_small(v)) m->pool[m->n++] = v;
    }
    for (int i = m->n - 1, k = 0; i >= 2 && k < 4; i -= 3, k++)
        output(&m->c, arena_printf(m->c.ctx->arena, "y%d", k), m->pool[i]);
}

static double distance(const Tensor *a, const Tensor *b) { /* the largest difference, relative to the largest element */
    double most = 0, scale = 1;
    int64_t n;
    if (a->dtype != b->dtype || a->rank != b->rank || memcmp(a->dims, b->dims, sizeof *a->dims * (size_t)a->rank))
        return INFINITY;
    product_i64(a->dims, a->rank, &n);
    for (int64_t i = 0; i < n; i++) {
        double x = tensor_float(a, i), y = tensor_float(b, i);
        if ((isnan(x) && isnan(y)) || x == y) continue;
        if (isfinite(x)) scale = fmax(scale, fabs(x));
        most = fmax(most, isnan(x - y) ? INFINITY : fabs(x - y));
    }
    return most / scale;
}

static bool check(uint64_t seed, bool show) {
    Maker m = {.n = 0};
    case_begin(&m.c);
    m.c.seed = seed * 7919 + 1;
    make(&m);
    PassCtx p = {.ctx = m.c.ctx, .stop_after = -1, .verify = true};
    const Tensor *in[] = {random_tensor(&m.c, m.c.g, DT_F32, 4, (int64_t[]){1, 4, 6, 6}),
                          random_tensor(&m.c, m.c.g, DT_F32, 3, (int64_t[]){2, 3, 4})};
    bool ok = passes_run(m.c.g, &p);
    Tensor **before = evaluate(&m.c, in);
    if (show) graph_print(m.c.g, stdout);
    p.opt_level = 2;
    ok = passes_run(m.c.g, &p) && ok;
    if (show) graph_print(m.c.g, stdout);
    Tensor **after = evaluate(&m.c, in);
    for (int i = 0; i < m.c.g->n_outputs; i++)
        if (distance(before[i], after[i]) > 1e-4) {
            fprintf(stderr, "seed %llu: output %d differs by %g\n", (unsigned long long)seed, i,
                    distance(before[i], after[i]));
            ok = false;
        }
    ctx_free(m.c.ctx);
    return ok;
}

int main(void) {
    const char *one = getenv("MCC_SEED");
    if (one) return check(strtoull(one, NULL, 10), true) ? 0 : 1;
    for (uint64_t seed = 0; seed < GRAPHS; seed++)
        if (!check(seed, false)) failures++;
    return failures ? 1 : 0;
}
