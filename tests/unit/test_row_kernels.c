/* Normalisations and softmaxes in generated code against the reference kernels: any axis, rows of any length, constant
 * and open dims, parameters of several shapes, on several processors; numbers that lie far from 0, and infinities.
 * MCC_SEED runs one and shows its graph; MCC_TEST_GRAPHS says how many. */
#include "tests/unit/compiled.h"

enum { GRAPHS = 96 };

static int64_t run_size(void *env, Dim d) {
    (void)env;
    switch (d->name.p[0]) {
    case 'A': return 3;
    case 'B': return 1;
    case 'C': return 21;
    default: return 64;
    }
}

/* some dims; those from `axis` on as `tail`, with as many elements as a row may well have */
static const char *shape(Case *c, int rank, int axis, const char **tail) {
    static const char *const names[] = {"A", "B", "C", "D"};
    const char *all = "", *end = "";
    for (int i = 0; i < rank; i++) {
        const char *n = size(c, names[i], 1, i + 1 == rank ? 150 : 7);
        all = arena_printf(c->ctx->arena, "%s%s%s", all, i ? "x" : "", n);
        if (i >= axis) end = arena_printf(c->ctx->arena, "%s%s%s", end, i > axis ? "x" : "", n);
    }
    *tail = end;
    return all;
}

static Value *shifted(Case *c, Value *x) { return pick(c, 0, 2) ? x : DO(c, Add, x, number(c, 100)); }

static Op make_norm(Case *c) {
    int rank = pick(c, 1, 4), axis = pick(c, 0, 1) ? rank - 1 : pick(c, 0, rank - 1);
    bool rms = pick(c, 0, 2) == 0;
    const char *tail, *dims = shape(c, rank, axis, &tail);
    Value *x = shifted(c, input(c, "x", dims)), *in[3] = {x};
    for (int i = 1; i < 3; i++) {
        int kind = pick(c, 0, 5);
        in[i] = i == 2 && kind == 1 ? NULL
                                    : input(c, i == 1 ? "scale" : "bias",
                                            kind == 0   ? dims
                                            : kind == 2 ? "1"
                                                        : tail);
    }
    Node *n = node_named(c, rms ? OP_RMSNormalization : OP_LayerNormalization, in, rms ? 2 : 3, 1);
    node_set_int(n, "axis", pick(c, 0, 1) ? axis : axis - rank);
    node_set_float(n, "epsilon", pick(c, 0, 1) ? 1e-5 : 0.125);
    output(c, "y", result(c, n));
    return n->op;
}

static Op make_instance_norm(Case *c) {
    int rank = pick(c, 3, 4);
    const char *tail, *channels = size(c, "C", 1, 9);
    shape(c, rank - 2, 0, &tail);
    Value *x = input(c, "x", arena_printf(c->ctx->arena, "%sx%sx%s", size(c, "A", 1, 3), channels, tail));
    Node *n = NODE(c, InstanceNormalization, shifted(c, x), input(c, "scale", channels), input(c, "bias", channels));
    output(c, "y", result(c, n));
    return n->op;
}

static Op make_softmax(Case *c) {
    int rank = pick(c, 1, 4), axis = pick(c, 0, rank - 1);
    const char *tail;
    Value *x = input(c, "x", shape(c, rank, axis, &tail));
    if (pick(c, 0, 3) == 0) /* parts of a row do not count, as masks do it */
        x = DO(c, Where, input_of(c, "mask", DT_BOOL, tail), number(c, -INFINITY), x);
    if (pick(c, 0, 3) == 0) x = DO(c, Mul, x, number(c, 30));
    Node *n = node_named(c, pick(c, 0, 1) ? OP_Softmax : OP_LogSoftmax, &x, 1, 1);
    node_set_int(n, "axis", pick(c, 0, 1) ? axis : axis - rank);
    output(c, "y", result(c, n));
    return n->op;
}

static bool check(uint64_t seed) {
    static const char *const cpus[] = {"native", "x86-64", "x86-64-v3"};
    Case c;
    case_begin(&c);
    c.seed = seed * 7919 + 3;
    int kind = pick(&c, 0, 6);
    Op op = kind < 3 ? make_norm(&c) : kind < 4 ? make_instance_norm(&c) : make_softmax(&c);
    const Tensor **in = random_inputs(&c, run_size);
    const char *cpu = cpus[seed % 3];
    double apart = compile_and_run(&c, cpu, in, evaluate(&c, in), op);
    return is_near(&c, seed, cpu, apart);
}

int main(void) { return check_seeds(GRAPHS, check); }
