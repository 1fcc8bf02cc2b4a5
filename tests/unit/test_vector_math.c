/* The vector forms of elementary functions as they are compiled into loops, against the host's libm in f64, for several
 * CPUs: every STRIDE-th f32 bit pattern (1 = exhaustive), and those around special values. test_vector_math [stride] */
#include "codegen/codegen.h"
#include "tests/passes/passtest.h"

enum { CHUNK = 1 << 14 };
#define REQUIRE(condition)                                                                                             \
    ((condition) ? (void)0 : (void)(failures++, fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition)))

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
/* a subnormal sigmoid leaves few bits to multiply: such ends count as 0 here */
static double swish(double x) { return x < -87 && !isinf(x) ? 0 : x * sigmoid(x); }

static double gelu(double x) { return x < -14 && !isinf(x) ? 0 : x * 0.5 * erfc(-x * 0.70710678118654752440); }

typedef struct Function {
    Op op;
    double (*exact)(double);
    double bound; /* ULP */
} Function;
static const Function functions[] = {
    {OP_Exp, exp, 2},     {OP_Sigmoid, sigmoid, 3}, {OP_Tanh, tanh, 3}, {OP_Swish, swish, 4},
    {OP_Sqrt, sqrt, 0.5}, {OP_Erf, erf, 4},         {OP_Gelu, gelu, 5},
};

/* |got - want| in units of the last place of an f32 near want */
static double ulps(float got, double want) {
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : INFINITY;
    if (isinf(got) && isinf((float)want)) return (got > 0) == (want > 0) ? 0 : INFINITY;
    double value = isinf(got) ? copysign(0x1p128, got) : (double)got;
    if (isinf((float)want)) want = copysign(0x1p128, want);
    int e = want == 0 ? -126 : ilogb(want);
    return fabs(value - want) / ldexp(1, (e < -126 ? -126 : e) - 23);
}

typedef struct Bench {
    Case c;
    Code code;
    LoadedModel *model;
    const Function *f;
    float in[CHUNK], out[CHUNK];
    _Alignas(64) char workspace[4096];
    int n;
    double worst;
    float worst_at;
} Bench;

static Bench bench;

static void flush_chunk(void) {
    int64_t n = CHUNK;
    mcc_tensor x = {.data = bench.in, .bytes = sizeof bench.in, .dtype = DT_F32, .rank = 1}, y = x;
    x.dims[0] = y.dims[0] = n;
    y.data = bench.out;
    REQUIRE(loaded_model(bench.model)->run(&x, &y, bench.workspace) == MCC_OK);
    for (int i = 0; i < bench.n; i++) {
        double want = bench.f->exact((double)bench.in[i]), got = (double)bench.out[i];
        if ((bench.f->op == OP_Swish || bench.f->op == OP_Gelu) && want == 0 && fabs(got) < 0x1p-118) continue;
        double u = ulps(bench.out[i], want);
        if (u > bench.worst) bench.worst = u, bench.worst_at = bench.in[i];
    }
    bench.n = 0;
}

static void add(uint32_t bits) {
    memcpy(&bench.in[bench.n++], &bits, sizeof bits);
    if (bench.n == CHUNK) flush_chunk();
}

static void check(const Function *f, const char *cpu, uint32_t stride) {
    const char *why;
    const Target *target = target_find("", cpu, "", &why);
    bench.f = f;
    bench.worst = bench.n = 0;
    case_begin(&bench.c);
    Value *x = input(&bench.c, "x", "16384"), *in[1] = {x};
    Node *n = node_new(bench.c.g, f->op, NULL, in, 1, 1);
    output(&bench.c, "y", result(&bench.c, n));
    PassCtx p = {.ctx = bench.c.ctx, .target = target, .opt_level = 2, .stop_after = -1, .verify = true};
    CodeOptions o = {.name = "m", .target = target, .opt_level = 2};
    REQUIRE(passes_run(bench.c.g, &p) && codegen_compile(bench.c.ctx, bench.c.g, &o, &bench.code));
    bench.model = code_load(bench.c.ctx, &bench.code);
    REQUIRE(bench.model != NULL);
    for (uint64_t b = 0; b <= UINT32_MAX; b += stride) add((uint32_t)b);
    for (uint32_t e = 0; e < 512; e++)
        for (uint32_t d = 0; d < 9; d++) add((e << 23) + d - 4);
    flush_chunk();
    if (!(bench.worst <= f->bound))
        fprintf(stderr, "%s on %s: %.2f ULP at %a\n", op_info(f->op)->name, cpu, bench.worst, (double)bench.worst_at);
    REQUIRE(bench.worst <= f->bound);
    code_unload(bench.model);
    code_free(&bench.code);
    ctx_free(bench.c.ctx);
}

int main(int argc, char **argv) {
    static const char *const cpus[] = {"native", "x86-64-v3", "x86-64"};
    uint32_t stride = argc > 1 ? (uint32_t)atoi(argv[1]) : 1021;
    for (size_t c = 0; c < sizeof cpus / sizeof *cpus; c++)
        for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
            check(&functions[i], cpus[c], stride ? stride : 1);
    return failures ? 1 : 0;
}
