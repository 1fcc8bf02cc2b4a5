/* Convolutions as straight-line code on planar maps, compiled and run, against the reference kernels: random small
 * networks of convolutions whose weights have zeros (any density, whole rows and channels too), any kernel, stride,
 * dilation and pads, what follows them into planes (elementwise operators with operands of every kind, those that do
 * not keep zeros among them, residuals, Concat, depthwise convolutions, pools, global pools) and what does not. All of
 * them are made sparse, whatever it costs, or as the cost model says. MCC_SEED runs one and shows its graph;
 * MCC_TEST_GRAPHS says how many. Every other one is cut for threads too. Processors without such code run the dense
 * forms. */
#include "tests/unit/compiled.h"

enum { GRAPHS = 40, LAYERS = 5, VALUES = 24 };

typedef struct Net {
    Case c;
    Value *all[VALUES]; /* made so far, of the rank of the input */
    int n, spatial;
} Net;

static Value *any(Net *m) { return m->all[m->n > 3 && pick(&m->c, 0, 2) ? m->n - 1 : pick(&m->c, 0, m->n - 1)]; }

static int64_t channels_of(const Value *v) { return v->type.dims[1]->value; }

static void take(Net *m, Node *n) {
    Value *y = result(&m->c, n);
    for (int i = 2; i < y->type.rank; i++)
        if (y->type.dims[i]->lo < 1) return;
    if (m->n < VALUES && channels_of(y) <= 96) m->all[m->n++] = y;
}

static Value *constant(Net *m, int rank, const int64_t *dims, int percent) {
    Tensor *t = random_tensor(&m->c, m->c.g, DT_F32, rank, dims);
    int64_t n, row;
    product_i64(dims, rank, &n);
    row = n / dims[0];
    double scale = rank > 1 ? 1 / sqrt((double)row * percent / 100 + 1) : 1;
    for (int64_t i = 0; i < n; i++) {
        bool zero = pick(&m->c, 0, 99) >= percent || (percent < 100 && (i / row % 7 == 3 || i % row == 1));
        tensor_set_float(t, i, zero ? 0 : tensor_float(t, i) * scale);
    }
    return value_of_tensor(m->c.g, t);
}

static void set_window(Net *m, Node *n, const Value *x, bool is_pool) {
    int64_t kernel[2], strides[2], dilations[2], pads[4];
    bool same = pick(&m->c, 0, 3) != 0; /* the usual ones: so that the rows' pitch stays */
    int size = pick(&m->c, 0, 3) ? pick(&m->c, 0, 1) * 2 + 1 : pick(&m->c, 1, 5),
        stride = pick(&m->c, 0, 2) ? 1 : pick(&m->c, 2, 3);
    for (int i = 0; i < m->spatial; i++) {
        kernel[i] = pick(&m->c, 0, 5) ? size : pick(&m->c, 1, 5);
        strides[i] = pick(&m->c, 0, 7) ? stride : pick(&m->c, 1, 3);
        dilations[i] = pick(&m->c, 0, 4) ? 1 : 2;
        if ((kernel[i] - 1) * dilations[i] >= x->type.dims[2 + i]->value) kernel[i] = 1;
        int64_t reach = (kernel[i] - 1) * dilations[i];
        pads[i] = same ? reach / 2 : pick(&m->c, 0, (int)kernel[i] - 1);
        pads[m->spatial + i] = same ? reach - reach / 2 : pick(&m->c, 0, (int)kernel[i] - 1);
        if (is_pool && pads[i] >= kernel[i]) pads[i] = 0;
        if (is_pool && pads[m->spatial + i] >= kernel[i]) pads[m->spatial + i] = 0;
    }
    node_set_ints(n, "kernel_shape", kernel, m->spatial);
    node_set_ints(n, "strides", strides, m->spatial);
    node_set_ints(n, "dilations", dilations, m->spatial);
    node_set_ints(n, "pads", pads, 2 * m->spatial);
}

static void add_conv(Net *m) {
    static const int outs[] = {1, 3, 8, 16, 31, 32, 40};
    Value *x = any(m);
    bool depthwise = pick(&m->c, 0, 3) == 0 && channels_of(x) > 1;
    int64_t out = depthwise ? channels_of(x) : outs[pick(&m->c, 0, 6)], dims[4] = {out, depthwise ? 1 : channels_of(x)};
    Node *n = NODE(&m->c, Conv, x, NULL, pick(&m->c, 0, 2) ? constant(m, 1, &out, 100) : NULL);
    const int64_t *kernel;
    set_window(m, n, x, false);
    node_ints(n, "kernel_shape", &kernel);
    for (int i = 0; i < m->spatial; i++) dims[2 + i] = kernel[i];
    n->in[1] = constant(m, 2 + m->spatial, dims, pick(&m->c, 0, 4) ? pick(&m->c, 1, 60) : pick(&m->c, 0, 1) * 100);
    node_set_int(n, "group", depthwise ? out : 1);
    take(m, n);
}

static void add_pool(Net *m) {
    Value *x = any(m);
    if (pick(&m->c, 0, 2) == 0) {
        Node *n = pick(&m->c, 0, 1) ? NODE(&m->c, GlobalAveragePool, x) : NODE(&m->c, GlobalMaxPool, x);
        take(m, NODE(&m->c, Mul, x, DO(&m->c, Sigmoid, result(&m->c, n))));
        return;
    }
    Node *n = pick(&m->c, 0, 1) ? NODE(&m->c, MaxPool, x) : NODE(&m->c, AveragePool, x);
    set_window(m, n, x, true);
    if (n->op == OP_AveragePool) node_set_int(n, "count_include_pad", pick(&m->c, 0, 1));
    node_set_int(n, "ceil_mode", pick(&m->c, 0, 1));
    take(m, n);
}

static Value *alike(Net *m, const Value *x) { /* another value of the same dims */
    for (int i = m->n - 1; i >= 0; i--)
        if (m->all[i] != x && value_same_dims(m->all[i], x)) return m->all[i];
    return NULL;
}

static void add_tail(Net *m) {
    Value *x = any(m), *other = alike(m, x);
    int64_t dims[3] = {channels_of(x), 1, 1};
    switch (pick(&m->c, 0, 8)) {
    case 0: take(m, NODE(&m->c, Relu, x)); break;
    case 1: take(m, NODE(&m->c, Clip, x, number(&m->c, -1), number(&m->c, 1.5))); break;
    case 2: take(m, NODE(&m->c, Clip, DO(&m->c, Relu, x), number(&m->c, 0.25), number(&m->c, 1.5))); break;
    case 3: take(m, NODE(&m->c, Sigmoid, x)); break;
    case 4: take(m, NODE(&m->c, Mul, x, constant(m, 1 + m->spatial, dims, 100))); break;
    case 5: take(m, NODE(&m->c, HardSwish, x)); break;
    case 6:
    case 7: take(m, NODE(&m->c, Relu, DO(&m->c, Add, x, other ? other : DO(&m->c, Neg, x)))); break;
    default: {
        Node *n = NODE(&m->c, Concat, x, other ? other : DO(&m->c, Relu, x));
        node_set_int(n, "axis", pick(&m->c, 0, 3) ? 1 : 2);
        take(m, n);
    }
    }
}

static Value *point_conv(Net *m, Value *x, int64_t out, int64_t size) {
    int64_t dims[4] = {out, channels_of(x), size, size}, pads[4] = {size / 2, size / 2, size / 2, size / 2};
    Node *n = NODE(&m->c, Conv, x, constant(m, 2 + m->spatial, dims, pick(&m->c, 10, 60)));
    node_set_ints(n, "kernel_shape", dims + 2, m->spatial);
    node_set_ints(n, "pads", pads, 2 * m->spatial);
    return result(&m->c, n);
}

/* as residual networks have them: what only windows of one pixel and sums read */
static void add_blocks(Net *m) {
    Value *x = any(m);
    for (int i = 0; i < 3; i++) {
        Value *inner = DO(&m->c, Relu, point_conv(m, x, 16, 1));
        inner = DO(&m->c, Relu, point_conv(m, inner, 24, pick(&m->c, 0, 1) * 2 + 1));
        inner = point_conv(m, inner, channels_of(x), 1);
        x = DO(&m->c, Relu, DO(&m->c, Add, inner, i ? x : point_conv(m, x, channels_of(x), 1)));
    }
    m->all[m->n++] = x;
}

static void make_network(Net *m) {
    static const char *const inputs[] = {"1x3x12x12", "2x5x9x14", "1x16x7x7",  "Nx20x11x6",
                                         "1x8x1x40",  "1x4x23",   "2x3x30x33", "1x24x14x14"};
    m->all[m->n++] = input(&m->c, "x", inputs[pick(&m->c, 0, 7)]);
    m->spatial = m->all[0]->type.rank - 2;
    for (int i = 0; i < LAYERS; i++) {
        add_conv(m);
        if (pick(&m->c, 0, 1)) add_tail(m);
        if (pick(&m->c, 0, 2) == 0) add_pool(m);
        if (pick(&m->c, 0, 2) == 0) add_tail(m);
    }
    if (pick(&m->c, 0, 1)) add_blocks(m);
    output(&m->c, "y", DO(&m->c, Add, m->all[m->n - 1], number(&m->c, 0.5)));
    if (pick(&m->c, 0, 1)) output(&m->c, "z", DO(&m->c, Relu, m->all[m->n / 2]));
}

static int64_t size_of(void *env, Dim d) {
    (void)env;
    return d->lo < 3 ? 3 : d->lo;
}

/* of all graphs: convolutions that became such code; those of their values that lie in panels, by PANELS_X … */
static int made, in_panels[PANELS_X + PANELS_Y + PANELS_RESIDUAL + 1];

static void count_panels(const Graph *g) {
    for (const Node *n = g->first; n; n = n->next)
        for (int i = PANELS_X; n->op == OP_SparseConv && i <= PANELS_RESIDUAL; i *= 2)
            in_panels[i] += (node_int(n, "panels") & i) != 0;
}

static bool check(uint64_t seed) {
    static const char *const cpus[] = {"native", "x86-64-v4", "x86-64", "haswell"};
    Net m = {.n = 0};
    const char *why, *cpu = cpu_that_runs(cpus[seed % 4]);
    const Target *t = target_find("", cpu, "", &why);
    case_begin(&m.c);
    m.c.seed = seed * 2654435761u + 1;
    make_network(&m);
    const Tensor **in = random_inputs(&m.c, size_of);
    PassCtx p = {.ctx = m.c.ctx, .target = t, .opt_level = 2, .stop_after = -1, .verify = true};
    p.sparse = seed % 3 == 0 ? SPARSE_AUTO : seed % 5 < 3 ? SPARSE_ALWAYS : SPARSE_PACKED;
    double apart = compile_and_run_as(&m.c, &p, seed % 2 ? 16 : 0, in, evaluate(&m.c, in));
    made += count_nodes(m.c.g, OP_SparseConv);
    count_panels(m.c.g);
    return is_near(&m.c, seed, cpu, apart);
}

int main(void) {
    const char *why;
    const Target *host = target_find("", "native", "", &why);
    int failed = check_seeds(GRAPHS, check);
    if (!sparse_lanes(host) || getenv("MCC_SEED") || getenv("MCC_TEST_GRAPHS")) return failed;
    if (made < GRAPHS) {
        fprintf(stderr, "only %d convolutions became straight-line code\n", made);
        return 1;
    }
    if (!in_panels[PANELS_X] || !in_panels[PANELS_Y] || !in_panels[PANELS_RESIDUAL]) {
        fputs("inputs, results and residuals should lie in panels, each somewhere\n", stderr);
        return 1;
    }
    return failed;
}
