/* A case of passtest.h compiled for a processor of this machine's kind and run in this process, against the reference
 * kernels. Inputs and outputs end where a page begins that may not be touched; the workspace holds 0x00 and then 0xFF,
 * which must make no difference. */
#ifndef MCC_COMPILED_H
#define MCC_COMPILED_H
#include <sys/mman.h>
#include <unistd.h>
#include "codegen/codegen.h"
#include "tests/passes/passtest.h"

typedef struct Guarded { /* bytes before a forbidden page */
    char *data, *map;
    size_t size;
} Guarded;

static inline Guarded guarded_new(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (bytes + page - 1) / page * page;
    Guarded g = {.size = room + page};
    g.map = mmap(NULL, g.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED || mprotect(g.map + room, page, PROT_NONE)) abort();
    g.data = g.map + room - bytes;
    return g;
}

/* largest difference, relative to the largest element */
static inline double tensor_distance(const Tensor *want, const void *got) {
    double most = 0, scale = 1e-3;
    int64_t n;
    Tensor have = *want;
    have.data = got;
    product_i64(want->dims, want->rank, &n);
    for (int64_t i = 0; i < n; i++) {
        double x = tensor_float(want, i), y = tensor_float(&have, i);
        if ((isnan(x) && isnan(y)) || x == y) continue;
        if (isfinite(x)) scale = fmax(scale, fabs(x));
        most = fmax(most, isnan(x - y) ? INFINITY : fabs(x - y));
    }
    return most / scale;
}

static inline mcc_tensor guarded_tensor(const Tensor *t, Guarded *g) {
    *g = guarded_new(t->bytes);
    mcc_tensor r = {.data = g->data, .bytes = t->bytes, .dtype = (int32_t)t->dtype, .rank = t->rank};
    memcpy(r.dims, t->dims, sizeof *t->dims * (size_t)t->rank);
    return r;
}

static inline double run_once(Case *c, const LoadedModel *m, const Tensor **in, Tensor **want, void *workspace) {
    enum { MOST = 16 };
    mcc_tensor x[MOST], y[MOST];
    Guarded at[2 * MOST];
    int n_in = c->g->n_inputs, n_out = c->g->n_outputs;
    double apart = 0;
    if (n_in > MOST || n_out > MOST) abort();
    for (int i = 0; i < n_in; i++) {
        x[i] = guarded_tensor(in[i], &at[i]);
        memcpy(x[i].data, in[i]->data, in[i]->bytes);
    }
    for (int i = 0; i < n_out; i++) y[i] = guarded_tensor(want[i], &at[n_in + i]);
    if (loaded_model(m)->run(x, y, workspace) != MCC_OK) apart = INFINITY;
    for (int i = 0; i < n_out; i++) apart = fmax(apart, tensor_distance(want[i], y[i].data));
    for (int i = 0; i < n_in + n_out; i++) munmap(at[i].map, at[i].size);
    return apart;
}

static inline int count_nodes(const Graph *g, Op op) {
    int count = 0;
    for (const Node *n = g->first; n; n = n->next) count += n->op == op;
    return count;
}

/* Code of a lowered graph; how far the outputs for `in` are from `want`. */
static inline double generate_and_run(Case *c, const CodeOptions *o, const Tensor **in, Tensor **want) {
    Code code = {0};
    LoadedModel *m = codegen_compile(c->ctx, c->g, o, &code) ? code_load(c->ctx, &code) : NULL;
    if (!m) return INFINITY;
    char *raw = arena_alloc(c->ctx->arena, code.workspace_bytes + 64);
    void *workspace = (void *)(((uintptr_t)raw + 63) & ~(uintptr_t)63);
    double apart = 0;
    for (int fill = 0; fill < 2; fill++) {
        memset(workspace, fill ? 0xFF : 0, code.workspace_bytes);
        apart = fmax(apart, run_once(c, m, in, want, workspace));
    }
    code_unload(m);
    code_free(&code);
    return apart;
}

/* Passes and code as `p` says; how far the outputs for `in` are from `want`. threads: with every kernel cut for so
 * many, too; 0: not */
static inline double compile_and_run_as(Case *c, PassCtx *p, int threads, const Tensor **in, Tensor **want) {
    CodeOptions o = {.name = "m", .target = p->target, .opt_level = 2};
    if (!passes_run(c->g, p)) return INFINITY;
    if (getenv("MCC_SEED")) graph_print(c->g, stdout);
    double apart = generate_and_run(c, &o, in, want);
    o.max_threads = threads;
    o.cut_always = true;
    return threads ? fmax(apart, generate_and_run(c, &o, in, want)) : apart;
}

/* that processor, where its code runs here; else this one */
static inline const char *cpu_that_runs(const char *cpu) {
    const char *why;
    const Target *t = target_find("", cpu, "", &why);
    return t && target_runs_here(t) ? cpu : "native";
}

/* Passes and code for `cpu`; how far the outputs for `in` are from `want`. expect: an operator that the passes must
 * have made just once, or OP_NONE. */
static inline double compile_and_run(Case *c, const char *cpu, const Tensor **in, Tensor **want, Op expect) {
    const char *why;
    PassCtx p = {
        .ctx = c->ctx, .target = target_find("", cpu, "", &why), .opt_level = 2, .stop_after = -1, .verify = true};
    double apart = compile_and_run_as(c, &p, 0, in, want);
    if (expect == OP_NONE || count_nodes(c->g, expect) == 1) return apart;
    fprintf(stderr, "the graph holds %d %s, not 1\n", count_nodes(c->g, expect), op_info(expect)->name);
    return INFINITY;
}

/* random inputs of the sizes that size_of tells for open dims */
static inline const Tensor **random_inputs(Case *c, int64_t (*size_of)(void *, Dim)) {
    const Tensor **in = ARENA_ARRAY(c->ctx->arena, c->g->n_inputs + 1, const Tensor *);
    for (int i = 0; i < c->g->n_inputs; i++) {
        const Type *t = &c->g->inputs[i]->type;
        int64_t dims[MCC_MAX_RANK];
        for (int k = 0; k < t->rank; k++) dim_eval(t->dims[k], size_of, NULL, &dims[k]);
        in[i] = random_tensor(c, c->g, t->dtype, t->rank, dims);
    }
    return in;
}

static inline int pick(Case *c, int lo, int hi) { /* lo … hi */
    int n = lo + (int)((random_number(c) - c->lo) / (c->hi - c->lo) * (hi - lo + 1));
    return n > hi ? hi : n;
}

/* a dim's text: a number, or in one case of four `open`; NULL: never */
static inline const char *size(Case *c, const char *open, int least, int most) {
    int n = pick(c, least, most);
    return open && pick(c, 0, 3) == 0 ? open : arena_printf(c->ctx->arena, "%d", n);
}

/* the end of a case: says what is off */
static inline bool is_near(Case *c, uint64_t seed, const char *cpu, double apart) {
    if (!(apart < 1e-5)) fprintf(stderr, "seed %llu (%s): differs by %g\n", (unsigned long long)seed, cpu, apart);
    ctx_free(c->ctx);
    return apart < 1e-5;
}

/* MCC_SEED: that one; MCC_TEST_GRAPHS: so many instead of `graphs` */
static inline int check_seeds(uint64_t graphs, bool (*check)(uint64_t seed)) {
    const char *one = getenv("MCC_SEED"), *many = getenv("MCC_TEST_GRAPHS");
    int failed = 0;
    if (one) return check(strtoull(one, NULL, 10)) ? 0 : 1;
    if (many) graphs = strtoull(many, NULL, 10);
    for (uint64_t seed = 0; seed < graphs; seed++) failed += !check(seed);
    return failed ? 1 : 0;
}
#endif
