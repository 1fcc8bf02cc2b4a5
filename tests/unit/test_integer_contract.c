/* Integer convolutions and products as they are compiled, against the reference kernels, to the bit: any group, stride,
 * dilation, padding, zero points, signedness of either side, one to three spatial axes, sizes constant and open, and
 * the elementwise work behind the sums, on several processors; and DynamicQuantizeLinear. MCC_SEED runs one and shows
 * its graph; MCC_TEST_GRAPHS says how many. */
#include "tests/unit/compiled.h"

enum { GRAPHS = 72 };

static Value *constant_of(Case *c, Dtype t, int rank, const int64_t *dims, double lo, double hi) {
    double was_lo = c->lo, was_hi = c->hi;
    c->lo = lo, c->hi = hi + 0.999;
    Value *v = value_of_tensor(c->g, random_tensor(c, c->g, t, rank, dims));
    c->lo = was_lo, c->hi = was_hi;
    return v;
}

static Value *bytes_of(Case *c, Dtype t, int rank, const int64_t *dims) {
    return t == DT_U8 ? constant_of(c, t, rank, dims, 0, 255) : constant_of(c, t, rank, dims, -128, 127);
}

/* a zero point: none, 0, or any */
static Value *zero_point(Case *c, Dtype t) {
    switch (pick(c, 0, 2)) {
    case 0: return NULL;
    case 1: return constant_of(c, t, 0, NULL, 0, 0);
    default: return bytes_of(c, t, 0, NULL);
    }
}

/* weights with a zero point of theirs, which leaves them s8: s8 and 0, or u8 and 128 */
static Value *weight(Case *c, int rank, const int64_t *dims, Value **zero) {
    bool plain = pick(c, 0, 2);
    *zero = plain ? NULL : constant_of(c, DT_U8, 0, NULL, 128, 128);
    return bytes_of(c, plain ? DT_I8 : DT_U8, rank, dims);
}

static Value *cast(Case *c, Value *x, Dtype to) {
    Node *n = NODE(c, Cast, x);
    node_set_int(n, "to", to);
    return result(c, n);
}

static Value *quantized(Case *c, Value *x) {
    Dtype t = pick(c, 0, 1) ? DT_U8 : DT_I8;
    Value *scale = pick(c, 0, 1) ? number(c, 1) : constant_of(c, DT_F32, 0, NULL, 0.01, 4);
    return DO(c, QuantizeLinear, x, scale, bytes_of(c, t, 0, NULL));
}

/* a second operand of bytes, and back */
static Value *residual(Case *c, Value *x) {
    int64_t dims[5];
    for (int i = 0; i < x->type.rank; i++)
        if (!dim_is_const(x->type.dims[i], &dims[i])) return x;
    Dtype t = pick(c, 0, 1) ? DT_U8 : DT_I8;
    Value *r = DO(c, DequantizeLinear, bytes_of(c, t, x->type.rank, dims), number(c, 0.25), bytes_of(c, t, 0, NULL));
    return quantized(c, DO(c, Add, x, r));
}

/* sums become numbers, and those bytes again */
static Value *tail(Case *c, Value *acc, int axis) {
    int64_t dims[5] = {1, 1, 1, 1, 1};
    int rank = acc->type.rank - (axis < acc->type.rank - 1 ? 1 : acc->type.rank - 1), at = axis == 1 ? 0 : rank - 1;
    dim_is_const(acc->type.dims[axis], &dims[at]);
    if (pick(c, 0, 1)) acc = DO(c, Add, acc, constant_of(c, DT_I32, rank, dims, -20000, 20000));
    if (pick(c, 0, 3) == 0) return acc;
    Value *x = cast(c, acc, DT_F32);
    Value *m = constant_of(c, DT_F32, rank, dims, 0.00001, pick(c, 0, 3) ? 0.005 : 2);
    x = DO(c, Mul, x, m);
    if (pick(c, 0, 2) == 0) x = DO(c, Relu, x);
    if (pick(c, 0, 3) == 0) return residual(c, x);
    return pick(c, 0, 3) ? quantized(c, x) : x;
}

static Value *conv(Case *c, Value *x) {
    int spatial = x->type.rank - 2;
    int64_t in, group = 1, dims[5], kernel[3], strides[3], dilations[3], pads[6];
    static const int outs[] = {1, 3, 8, 16, 20, 33, 48};
    dim_is_const(x->type.dims[1], &in);
    int64_t out = outs[pick(c, 0, 6)];
    if (pick(c, 0, 1))
        for (group = pick(c, 1, (int)in); in % group; group--) {}
    if (group > 1 && pick(c, 0, 1)) group = in;
    if (group > 1) out = group * pick(c, 1, group == in ? 1 : 3);
    dims[0] = out;
    dims[1] = in / group;
    for (int i = 0; i < spatial; i++) {
        dims[2 + i] = kernel[i] = pick(c, 1, 3);
        strides[i] = pick(c, 1, 2);
        dilations[i] = pick(c, 1, 2);
        pads[i] = pick(c, 0, 2);
        pads[spatial + i] = pick(c, 0, 2);
    }
    Value *w_zero, *w = weight(c, 2 + spatial, dims, &w_zero), *x_zero = zero_point(c, x->type.dtype);
    Node *n = NODE(c, ConvInteger, x, w, x_zero, w_zero);
    node_set_ints(n, "kernel_shape", kernel, spatial);
    node_set_ints(n, "strides", strides, spatial);
    node_set_ints(n, "dilations", dilations, spatial);
    node_set_ints(n, "pads", pads, 2 * spatial);
    node_set_int(n, "group", group);
    return result(c, n);
}

static void make_conv(Case *c) {
    static const char *const specs[] = {"2x3x13",   "1x5x9x14", "2x16x7x7", "1x20x11x6",  "1x4x4x5x6",
                                        "1x24x9x9", "2x6xW",    "1x8xHxW",  "1x32x15x15", "1x3x14x14"};
    Dtype t = pick(c, 0, 1) ? DT_U8 : DT_I8;
    Value *x = input_of(c, "x", t, specs[pick(c, 0, 9)]);
    if (pick(c, 0, 3) == 0) {
        int64_t kernel[3] = {2, 2, 2};
        Node *pool = NODE(c, MaxPool, x);
        node_set_ints(pool, "kernel_shape", kernel, x->type.rank - 2);
        x = result(c, pool);
    }
    output(c, "y", tail(c, conv(c, x), 1));
}

static void make_product(Case *c) {
    int64_t inner = pick(c, 1, 70), cols = pick(c, 1, 70), rows = pick(c, 1, 30), dims[2] = {inner, cols};
    Dtype t = pick(c, 0, 1) ? DT_U8 : DT_I8;
    const char *spec = pick(c, 0, 3) ? arena_printf(c->ctx->arena, "2x%dx%d", (int)rows, (int)inner)
                                     : arena_printf(c->ctx->arena, "Mx%d", (int)inner);
    Value *x = input_of(c, "x", t, pick(c, 0, 3) ? spec : arena_printf(c->ctx->arena, "1x%d", (int)inner));
    Value *w_zero, *w = weight(c, 2, dims, &w_zero);
    Value *zero = pick(c, 0, 2) ? zero_point(c, t) : input_of(c, "z", t, pick(c, 0, 1) ? "" : "1");
    output(c, "y", tail(c, DO(c, MatMulInteger, x, w, zero, w_zero), x->type.rank - 1));
}

/* numbers of either sign, of one, or all 0; without some of the outputs */
static void make_dynamic(Case *c) {
    Value *x = input(c, "x", pick(c, 0, 2) ? arena_printf(c->ctx->arena, "3x%d", pick(c, 1, 90)) : "2xW");
    double by[3] = {1, -1, 0};
    if (pick(c, 0, 2) == 0) x = DO(c, Mul, DO(c, Abs, x), number(c, by[pick(c, 0, 2)]));
    Node *n = node_named(c, OP_DynamicQuantizeLinear, &x, 1, 3);
    result(c, n);
    for (int i = 0; i < 3; i++)
        if (pick(c, 0, 3)) output(c, i == 0 ? "q" : i == 1 ? "s" : "z", n->out[i]);
    if (!c->g->n_outputs) output(c, "q", n->out[0]);
}

static int64_t run_size(void *env, Dim d) {
    (void)env;
    return d->name.p[0] == 'M' ? 17 : 5 + d->name.p[0] % 11;
}

static bool check(uint64_t seed) {
    static const char *const cpus[] = {"native", "x86-64", "haswell", "x86-64-v4"};
    Case c;
    const char *cpu = cpu_that_runs(cpus[seed % 4]);
    case_begin(&c);
    c.seed = seed * 7919 + 1;
    if (seed % 9 == 4) make_dynamic(&c);
    else if (seed % 3 == 2) make_product(&c);
    else make_conv(&c);
    if (getenv("MCC_SEED")) graph_print(c.g, stdout);
    Dtype t = c.g->inputs[0]->type.dtype;
    c.lo = t == DT_U8 ? 0 : t == DT_I8 ? -128 : -3;
    c.hi = c.lo + (t == DT_F32 ? 7 : 256);
    const Tensor **in = random_inputs(&c, run_size);
    Tensor **want = evaluate(&c, in);
    double apart = compile_and_run(&c, cpu, in, want, OP_NONE);
    if (count_nodes(c.g, OP_ConvInteger) + count_nodes(c.g, OP_MatMulInteger)) apart = INFINITY;
    if (apart != 0) fprintf(stderr, "seed %llu (%s): differs by %g\n", (unsigned long long)seed, cpu, apart);
    ctx_free(c.ctx);
    return apart == 0;
}

int main(void) { return check_seeds(GRAPHS, check); }
