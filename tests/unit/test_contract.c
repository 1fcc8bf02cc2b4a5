/* Compiled contractions against the reference kernels: small random networks of convolutions (any group, stride,
 * dilation, pads, one to three spatial axes, constant and open), transposed ones, pooling, elementwise tails,
 * concatenation, products, and 3 x 3 convolutions forced into Winograd forms, compiled for several CPUs and run in this
 * process. MCC_SEED runs one and shows its graph; MCC_TEST_GRAPHS says how many. */
#include "codegen/codegen.h"
#include "tests/passes/passtest.h"

enum { GRAPHS = 48, LAYERS = 4 };

typedef struct Net {
    Case c;
    Value *x; /* the value at hand: [N, C, spatial…] */
    int spatial;
    bool open;
} Net;

static int pick(Net *m, int lo, int hi) { /* lo … hi */
    int n = lo + (int)((random_number(&m->c) - m->c.lo) / (m->c.hi - m->c.lo) * (hi - lo + 1));
    return n > hi ? hi : n;
}

static int64_t channels_of(const Net *m) { return m->x->type.dims[1]->value; }

static Value *random_constant(Net *m, int rank, const int64_t *dims) {
    Tensor *t = random_tensor(&m->c, m->c.g, DT_F32, rank, dims);
    int64_t n;
    product_i64(dims, rank, &n);
    for (int64_t i = 0; rank > 1 && i < n; i++) /* so that sums stay near one */
        tensor_set_float(t, i, tensor_float(t, i) / sqrt((double)n / (double)dims[0]));
    return value_of_tensor(m->c.g, t);
}

static bool keeps_size(const Value *v) { /* places remain, and not too many */
    for (int i = 2; i < v->type.rank; i++)
        if (v->type.dims[i]->lo < 1 || v->type.dims[i]->hi > 64) return false;
    return true;
}

static void take(Net *m, Node *n) {
    Value *y = result(&m->c, n);
    if (keeps_size(y)) m->x = y;
}

static void set_window(Net *m, Node *n, bool dilated) {
    int64_t kernel[3], strides[3], dilations[3], pads[6];
    for (int i = 0; i < m->spatial; i++) {
        kernel[i] = pick(m, 1, 4);
        strides[i] = pick(m, 1, 2);
        dilations[i] = dilated ? pick(m, 1, 2) : 1;
        if ((kernel[i] - 1) * dilations[i] >= m->x->type.dims[2 + i]->hi) kernel[i] = 1; /* it would not fit */
        pads[i] = pick(m, 0, (int)kernel[i] - 1);
        pads[m->spatial + i] = pick(m, 0, (int)kernel[i] - 1);
    }
    node_set_ints(n, "kernel_shape", kernel, m->spatial);
    node_set_ints(n, "strides", strides, m->spatial);
    node_set_ints(n, "dilations", dilations, m->spatial);
    node_set_ints(n, "pads", pads, 2 * m->spatial);
}

static void add_conv(Net *m) {
    static const int outs[] = {1, 3, 8, 12, 16, 24, 33, 48};
    int64_t in = channels_of(m), group = 1, out = outs[pick(m, 0, 7)], dims[5];
    if (pick(m, 0, 2) == 0)
        for (group = pick(m, 2, (int)in > 2 ? (int)in : 2); in % group; group--) {}
    if (group > 1 && pick(m, 0, 1)) group = in;
    out = group > 1 ? group * (pick(m, 0, 2) ? in / group : pick(m, 1, 5)) : out;
    if (out > 64) return;
    dims[0] = out;
    dims[1] = in / group;
    Value *w = NULL, *b = pick(m, 0, 1) ? random_constant(m, 1, &out) : NULL;
    Node *n = NODE(&m->c, Conv, m->x, w, b);
    set_window(m, n, true);
    const int64_t *kernel;
    node_ints(n, "kernel_shape", &kernel);
    for (int i = 0; i < m->spatial; i++) dims[2 + i] = kernel[i];
    n->in[1] = random_constant(m, 2 + m->spatial, dims);
    node_set_int(n, "group", group);
    take(m, n);
}

static void add_transposed(Net *m) {
    int64_t out = pick(m, 1, 20), dims[5] = {channels_of(m), out};
    for (int i = 0; i < m->spatial; i++) dims[2 + i] = pick(m, 1, 3);
    Node *n = NODE(&m->c, ConvTranspose, m->x, random_constant(m, 2 + m->spatial, dims),
                   pick(m, 0, 1) ? random_constant(m, 1, &out) : NULL);
    node_set_ints(n, "strides", dims + 2, m->spatial);
    take(m, n);
}

static void add_pool(Net *m) {
    if (pick(m, 0, 2)) {
        Node *n = pick(m, 0, 1) ? NODE(&m->c, MaxPool, m->x) : NODE(&m->c, AveragePool, m->x);
        set_window(m, n, n->op == OP_MaxPool);
        if (n->op == OP_AveragePool) node_set_int(n, "count_include_pad", pick(m, 0, 1));
        node_set_int(n, "ceil_mode", pick(m, 0, 1));
        take(m, n);
        return;
    }
    Node *n = pick(m, 0, 1) ? NODE(&m->c, GlobalAveragePool, m->x) : NODE(&m->c, GlobalMaxPool, m->x);
    m->x = DO(&m->c, Mul, m->x, result(&m->c, n));
}

static void add_tail(Net *m) {
    int64_t channels[3] = {channels_of(m), 1, 1};
    Value *x = m->x;
    switch (pick(m, 0, 7)) {
    case 0: m->x = DO(&m->c, Relu, x); break;
    case 1: m->x = DO(&m->c, Clip, x, number(&m->c, -1), number(&m->c, 1.5)); break;
    case 2: m->x = DO(&m->c, HardSwish, x); break;
    case 3: m->x = DO(&m->c, Sigmoid, x); break;
    case 4:
        m->x = DO(&m->c, Mul, x,
                  random_constant(m, m->spatial < 3 ? 1 + m->spatial : 1, m->spatial < 3 ? channels : (int64_t[]){1}));
        break;
    case 5: m->x = DO(&m->c, Add, DO(&m->c, Tanh, x), x); break;
    case 6: m->x = DO(&m->c, Max, x, DO(&m->c, LeakyRelu, DO(&m->c, Neg, x))); break;
    default: {
        Node *n = NODE(&m->c, Concat, x, DO(&m->c, Relu, x));
        node_set_int(n, "axis", pick(m, 1, 1 + m->spatial));
        take(m, n);
    }
    }
}

static void make_network(Net *m) {
    static const char *const fixed[] = {"2x3x13", "1x5x9x14", "2x16x7x7", "1x20x11x6", "1x4x4x5x6", "1x3x14x14"};
    static const char *const open[] = {"2x6xW", "1x4xHxW", "Nx16xHxW", "1x24xHxW", "1x3xHxWxD", "1x3xHxW"};
    int which = pick(m, 0, 5);
    m->open = pick(m, 0, 2) == 0;
    m->x = input(&m->c, "x", m->open ? open[which] : fixed[which]);
    m->spatial = m->x->type.rank - 2;
    for (int i = 0; i < LAYERS; i++) {
        if (pick(m, 0, 3)) add_conv(m);
        else if (pick(m, 0, 1)) add_transposed(m);
        else add_pool(m);
        if (pick(m, 0, 3)) add_tail(m);
    }
    m->x = DO(&m->c, Add, m->x, number(&m->c, 0.5));
}

/* 3 x 3 convolutions of stride 1, any padding, with tails that become epilogues; maps down to less than a tile */
static void make_3x3(Net *m) {
    static const char *const inputs[] = {"2x16x7x9", "1x20x4x21", "Nx33x13x3", "1x8x16x16", "1x48x1x1", "3x16x2x30"};
    m->x = input(&m->c, "x", inputs[pick(m, 0, 5)]);
    m->spatial = 2;
    for (int i = 0; i < LAYERS; i++) {
        int64_t dims[4] = {pick(m, 1, 70), channels_of(m), 3, 3}, pads[4];
        for (int k = 0; k < 4; k++) pads[k] = pick(m, 1, 2);
        Node *n =
            NODE(&m->c, Conv, m->x, random_constant(m, 4, dims), pick(m, 0, 1) ? random_constant(m, 1, dims) : NULL);
        node_set_ints(n, "pads", pads, 4);
        take(m, n);
        if (pick(m, 0, 1)) add_tail(m);
    }
    m->x = DO(&m->c, Relu, m->x);
}

static void make_product(Net *m) {
    int64_t inner = pick(m, 1, 70), cols = pick(m, 1, 70), rows = pick(m, 1, 30);
    const char *spec = arena_printf(m->c.ctx->arena, pick(m, 0, 1) ? "%dx%d" : "2x%dx%d", (int)rows, (int)inner);
    m->x = input(&m->c, "x", pick(m, 0, 2) ? spec : arena_printf(m->c.ctx->arena, "Mx%d", (int)inner));
    bool transposed = m->x->type.rank == 2 && pick(m, 0, 1);
    int64_t dims[2] = {transposed ? cols : inner, transposed ? inner : cols};
    Value *w = random_constant(m, 2, dims);
    if (m->x->type.rank > 2 || pick(m, 0, 2) == 0) {
        m->x = DO(&m->c, MatMul, m->x, transposed ? random_constant(m, 2, (int64_t[]){inner, cols}) : w);
    } else {
        Node *n = NODE(&m->c, Gemm, m->x, w, random_constant(m, 1, pick(m, 0, 1) ? &cols : (int64_t[]){1}));
        node_set_int(n, "transB", transposed);
        node_set_float(n, "alpha", 0.5);
        node_set_float(n, "beta", 2);
        m->x = result(&m->c, n);
    }
    if (pick(m, 0, 1)) m->x = DO(&m->c, Relu, DO(&m->c, Add, m->x, random_constant(m, 1, &cols)));
}

/* values joined again and again, in the same order and in others, alone and with what came from them: Concat in place
 */
static void make_concats(Net *m) {
    enum { VALUES = 14, PARTS = 4 };
    Value *all[VALUES] = {input(&m->c, "x", pick(m, 0, 1) ? "1x3x5" : "1x4x16")};
    int n = 1;
    for (; n < VALUES; n++) {
        Value *a = all[pick(m, 0, n - 1)], *parts[PARTS] = {a};
        int count = pick(m, 2, PARTS);
        for (int i = 1; i < count; i++) parts[i] = all[pick(m, n > 3 ? n - 3 : 0, n - 1)];
        if (pick(m, 0, 1)) {
            Node *join = node_new(m->c.g, OP_Concat, NULL, parts, count, 1);
            node_set_int(join, "axis", 1);
            all[n] = result(&m->c, join);
            if (all[n]->type.dims[1]->value < 300) continue;
        }
        all[n] = pick(m, 0, 2) ? DO(&m->c, Relu, a) : DO(&m->c, Add, DO(&m->c, Sigmoid, a), a);
    }
    Node *join = node_new(m->c.g, OP_Concat, NULL, all + n - 5, 5, 1);
    node_set_int(join, "axis", 1);
    m->x = result(&m->c, join);
    if (pick(m, 0, 1)) m->x = DO(&m->c, Neg, m->x);
}

static int64_t run_size(void *env, Dim d) {
    (void)env;
    return d->name.p[0] == 'N' ? 2 : d->name.p[0] == 'M' ? 17 : 5 + d->name.p[0] % 11;
}

/* largest difference, relative to the largest element */
static double distance(const Tensor *want, const float *got) {
    double most = 0, scale = 1e-3;
    int64_t n;
    product_i64(want->dims, want->rank, &n);
    for (int64_t i = 0; i < n; i++) {
        double x = tensor_float(want, i), y = (double)got[i];
        if ((isnan(x) && isnan(y)) || x == y) continue;
        if (isfinite(x)) scale = fmax(scale, fabs(x));
        most = fmax(most, isnan(x - y) ? INFINITY : fabs(x - y));
    }
    return most / scale;
}

static mcc_tensor tensor_of(const Tensor *t, void *data) {
    mcc_tensor r = {.data = data, .bytes = t->bytes, .dtype = (int32_t)t->dtype, .rank = t->rank};
    memcpy(r.dims, t->dims, sizeof *t->dims * (size_t)t->rank);
    return r;
}

/* The outputs over a workspace of 0x00 and of 0xFF must be the same bytes, and those of `other` where that is not NULL,
 * which gets them. */
static double run_compiled(Case *c, const Code *code, const Tensor *in, const Tensor *want, float **other) {
    LoadedModel *m = code_load(c->ctx, code);
    if (!m) return INFINITY;
    float *out[2];
    bool ok = true;
    for (int fill = 0; fill < 2; fill++) {
        out[fill] = arena_alloc(c->ctx->arena, want->bytes + 4096);
        char *raw = arena_alloc(c->ctx->arena, code->workspace_bytes + 4096);
        void *workspace = (void *)(((uintptr_t)raw + 63) & ~(uintptr_t)63);
        memset(workspace, fill ? 0xFF : 0, code->workspace_bytes);
        mcc_tensor x = tensor_of(in, (void *)in->data), y = tensor_of(want, out[fill]);
        ok = ok && loaded_model(m)->run(&x, &y, workspace) == MCC_OK;
    }
    ok = ok && !memcmp(out[0], out[1], want->bytes);
    if (*other) ok = ok && !memcmp(out[0], *other, want->bytes);
    *other = out[0];
    code_unload(m);
    return ok ? distance(want, out[0]) : INFINITY;
}

/* in one thread, and in chunks on any number of threads and with the code in parts: the same bytes */
static double run_both(Case *c, const Target *target, const Tensor *in, const Tensor *want) {
    double apart = 0;
    float *out = NULL;
    for (int threads = 0; threads <= 16; threads += 16) {
        CodeOptions o = {.name = "m", .target = target, .opt_level = 2, .max_threads = threads, .cut_always = true};
        o.part_cost = threads ? 1500 : 0;
        Code code = {0};
        bool ok = codegen_compile(c->ctx, c->g, &o, &code);
        apart = fmax(apart, ok ? run_compiled(c, &code, in, want, &out) : INFINITY);
        code_free(&code);
    }
    return apart;
}

static bool check(uint64_t seed, bool show) {
    static const char *const cpus[] = {"native", "x86-64", "x86-64-v3"};
    Net m = {.spatial = 0};
    case_begin(&m.c);
    m.c.seed = seed * 7919 + 1;
    if (seed % 8 == 5) make_concats(&m);
    else if (seed % 4 == 3) make_product(&m);
    else if (seed % 4 == 2) make_3x3(&m);
    else make_network(&m);
    output(&m.c, "y", m.x);
    const Type *t = &m.c.g->inputs[0]->type;
    int64_t dims[MCC_MAX_RANK];
    for (int i = 0; i < t->rank; i++) dim_eval(t->dims[i], run_size, NULL, &dims[i]);
    const Tensor *in = random_tensor(&m.c, m.c.g, DT_F32, t->rank, dims);
    Tensor **want = evaluate(&m.c, &in);
    const char *why, *cpu = cpus[seed % 3];
    const Target *target = target_find("", cpu, "", &why);
    PassCtx p = {.ctx = m.c.ctx, .target = target, .opt_level = 2, .stop_after = -1, .verify = true};
    if (seed % 4 == 2) p.winograd = seed / 4 % 2 ? WINOGRAD_F2 : WINOGRAD_F4;
    if (show) graph_print(m.c.g, stdout);
    bool ok = passes_run(m.c.g, &p);
    if (show) graph_print(m.c.g, stdout);
    double apart = ok ? run_both(&m.c, target, in, want[0]) : INFINITY;
    if (!(apart < 1e-4)) fprintf(stderr, "seed %llu (%s): differs by %g\n", (unsigned long long)seed, cpu, apart);
    ctx_free(m.c.ctx);
    return apart < 1e-4;
}

int main(void) {
    const char *one = getenv("MCC_SEED"), *many = getenv("MCC_TEST_GRAPHS");
    if (one) return check(strtoull(one, NULL, 10), true) ? 0 : 1;
    uint64_t graphs = many ? strtoull(many, NULL, 10) : GRAPHS;
    for (uint64_t seed = 0; seed < graphs; seed++) failures += !check(seed, false);
    return failures ? 1 : 0;
}
