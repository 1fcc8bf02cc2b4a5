/* What the tests of passes share. A case builds a graph, runs passes on it, and is checked twice: the text of the graph
 * against tests/passes/<test>.golden (MCC_UPDATE_GOLDEN=1 in the environment rewrites it), and the outputs of the
 * graph, evaluated on seeded inputs before and after. */
#ifndef MCC_PASSTEST_H
#define MCC_PASSTEST_H
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "eval/eval.h"
#include "passes/internal.h"

typedef bool Pass(Graph *g, PassCtx *p);
typedef struct Case {
    Ctx *ctx;
    Graph *g;
    uint64_t seed;
    double lo, hi; /* of random numbers */
    const Target *target;
} Case;

static FILE *golden_out;
static char *golden_text;
static size_t golden_size;
static int failures;

static inline void case_begin(Case *c) {
    *c = (Case){.ctx = ctx_new("test"), .seed = 1, .lo = -2, .hi = 2};
    c->g = graph_new(c->ctx, NULL);
}

static inline double random_number(Case *c) {
    c->seed = c->seed * 6364136223846793005u + 1442695040888963407u;
    return c->lo + (c->hi - c->lo) * (double)(c->seed >> 40) / (double)(1 << 24);
}

/* "2x3xN": a number, or the name of an open dim; "" is rank 0 */
static inline int parse_dims(Case *c, const char *spec, Dim *dims) {
    int rank = 0;
    for (const char *p = spec; *p;) {
        size_t n = strcspn(p, "x");
        bool number = *p >= '0' && *p <= '9';
        dims[rank++] = number ? dim_const(c->ctx, atoi(p)) : dim_symbol(c->ctx, (Str){p, n}, 1, 64);
        p += n + (p[n] == 'x');
    }
    return rank;
}

static inline Value **list_add(Arena *a, Value **list, int *n, Value *v) {
    list = arena_grow(a, list, (size_t)*n, (size_t)*n + 1, sizeof *list);
    list[(*n)++] = v;
    return list;
}

static inline Value *input_of(Case *c, const char *name, Dtype t, const char *spec) {
    Dim dims[MCC_MAX_RANK];
    Value *v = value_new(c->g, str_of(name));
    int rank = parse_dims(c, spec, dims);
    value_set_dims(v, t, rank, dims);
    c->g->inputs = list_add(c->g->arena, c->g->inputs, &c->g->n_inputs, v);
    return v;
}
static inline Value *input(Case *c, const char *name, const char *spec) { return input_of(c, name, DT_F32, spec); }

static inline void output(Case *c, const char *name, Value *v) {
    v->name = str_of(name);
    c->g->outputs = list_add(c->g->arena, c->g->outputs, &c->g->n_outputs, v);
}

static inline Tensor *random_tensor(Case *c, Graph *g, Dtype t, int rank, const int64_t *dims) {
    Tensor *out = tensor_new(g, t, rank, dims);
    int64_t n;
    product_i64(dims, rank, &n);
    for (int64_t i = 0; i < n; i++) {
        double x = random_number(c);
        char *p = (char *)out->data + i * (dtype_bits(t) / 8);
        int64_t whole = (int64_t)floor(x);
        if (dtype_class(t) == DTC_F) tensor_set_float(out, i, x);
        else if (t == DT_BOOL) *p = x > 0;
        else memcpy(p, &whole, (size_t)dtype_bits(t) / 8);
    }
    return out;
}

static inline Value *weights(Case *c, const char *spec) { /* random float32 */
    Dim dims[MCC_MAX_RANK];
    int64_t sizes[MCC_MAX_RANK];
    int rank = parse_dims(c, spec, dims);
    for (int i = 0; i < rank; i++) dim_is_const(dims[i], &sizes[i]);
    return value_of_tensor(c->g, random_tensor(c, c->g, DT_F32, rank, sizes));
}
static inline Value *number(Case *c, double v) { return const_scalar(c->g, DT_F32, v); }
#define INTS_OF(c, ...)                                                                                                \
    const_ints_value((c)->g, (const int64_t[]){__VA_ARGS__}, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static inline Node *node_named(Case *c, Op op, Value **in, int n_in, int n_out) {
    Node *n = node_new(c->g, op, NULL, in, n_in, n_out);
    n->name = str_of(arena_printf(c->ctx->arena, "n%d", n->id));
    n->index = n->id;
    return n;
}
#define NODE(c, op, ...)                                                                                               \
    node_named(c, OP_##op, (Value *[]){__VA_ARGS__}, (int)(sizeof((Value *[]){__VA_ARGS__}) / sizeof(Value *)), 1)
static inline Value *result(Case *c, Node *n) {
    if (node_infer(c->ctx, n)) return n->out[0];
    fprintf(stderr, "inference failed\n");
    exit(1);
}
#define DO(c, op, ...) result(c, NODE(c, op, __VA_ARGS__))

static inline int64_t size_of_symbol(void *env, Dim d) {
    (void)env;
    return 2 + (int64_t)(d->name.p[0] % 3);
}

static inline Tensor **evaluate(Case *c, const Tensor **in) {
    Tensor **out = ARENA_ARRAY(c->ctx->arena, c->g->n_outputs + 1, Tensor *);
    int status;
    if (eval_graph(c->ctx, c->g, in, out, &status) && status == MCC_OK) return out;
    fprintf(stderr, "evaluation failed: status %d\n", status);
    exit(1);
}

static inline bool same_element(const Tensor *a, const Tensor *b, int64_t i, double tolerance) {
    if (dtype_class(a->dtype) != DTC_F) return tensor_int(a, i) == tensor_int(b, i);
    double x = tensor_float(a, i), y = tensor_float(b, i);
    return (isnan(x) && isnan(y)) || x == y || fabs(x - y) <= tolerance * (1 + fabs(x));
}

static inline bool same_result(const Tensor *a, const Tensor *b, double tolerance) {
    int64_t n;
    if (a->dtype != b->dtype || a->rank != b->rank || memcmp(a->dims, b->dims, sizeof *a->dims * (size_t)a->rank))
        return false;
    product_i64(a->dims, a->rank, &n);
    for (int64_t i = 0; i < n; i++)
        if (!same_element(a, b, i, tolerance)) return false;
    return true;
}

static inline void case_fail(const char *name, const char *what) {
    fprintf(stderr, "%s: %s\n", name, what);
    failures++;
}

/* Runs the passes until they change nothing, and checks what they did. Frees the case. */
static inline void case_check(Case *c, const char *name, double tolerance, Pass *const *passes, int n_passes) {
    PassCtx p = {.ctx = c->ctx, .target = c->target, .opt_level = 2, .stop_after = -1};
    const Tensor **in = ARENA_ARRAY(c->ctx->arena, c->g->n_inputs + 1, const Tensor *);
    for (int i = 0; i < c->g->n_inputs; i++) {
        const Type *t = &c->g->inputs[i]->type;
        int64_t dims[MCC_MAX_RANK];
        for (int k = 0; k < t->rank; k++) dim_eval(t->dims[k], size_of_symbol, NULL, &dims[k]);
        in[i] = random_tensor(c, c->g, t->dtype, t->rank, dims);
    }
    Tensor **before = evaluate(c, in);
    bool changed = true;
    for (int round = 0; changed && round < 10; round++) {
        changed = false;
        for (int i = 0; i < n_passes; i++) {
            changed = passes[i](c->g, &p) || changed;
            if (!graph_verify(c->g, stderr)) case_fail(name, "the graph is broken");
        }
    }
    if (changed) case_fail(name, "no fixed point");
    fprintf(golden_out, "== %s\n", name);
    graph_print(c->g, golden_out);
    Tensor **after = evaluate(c, in);
    for (int i = 0; i < c->g->n_outputs; i++)
        if (!same_result(before[i], after[i], tolerance)) case_fail(name, "the results differ");
    if (diag_errors(c->ctx)) case_fail(name, "errors");
    ctx_free(c->ctx);
}
#define CHECK(c, name, tolerance, ...)                                                                                 \
    case_check(c, name, tolerance, (Pass *const[]){__VA_ARGS__},                                                       \
               (int)(sizeof((Pass *[]){__VA_ARGS__}) / sizeof(Pass *)))

static inline void golden_begin(void) { golden_out = open_memstream(&golden_text, &golden_size); }

static inline char *read_all(const char *path) {
    FILE *f = fopen(path, "rb");
    char *text = NULL;
    size_t size = 0;
    if (!f) return NULL;
    FILE *copy = open_memstream(&text, &size);
    for (int ch; (ch = fgetc(f)) != EOF;) fputc(ch, copy);
    fclose(f);
    fclose(copy);
    return text;
}

/* main's result: compares everything that was printed with the golden file */
static inline int golden_end(const char *test) {
    char path[256];
    const char *update = getenv("MCC_UPDATE_GOLDEN");
    snprintf(path, sizeof path, "tests/passes/%s.golden", test);
    fclose(golden_out);
    if (update && *update == '1') {
        FILE *f = fopen(path, "wb");
        if (!f || fputs(golden_text, f) < 0 || fclose(f)) return 1;
    }
    char *want = read_all(path);
    bool same = want && !strcmp(want, golden_text);
    if (!same) fprintf(stderr, "%s differs; this is what came out:\n%s", path, golden_text);
    free(want);
    free(golden_text);
    return same && !failures ? 0 : 1;
}
#endif
