/* The vector forms of elementary functions as they are compiled into loops, against the host's libm in f64, for several
 * CPUs: every STRIDE-th f32 bit pattern (1 = exhaustive), and those around special values. Prints a line a function
 * as soon as it is done. test_vector_math [stride [function]] */
#include <time.h>
#include "codegen/codegen.h"
#include "tests/passes/passtest.h"

enum { CHUNK = 1 << 14, CPUS = 3 };
#define REQUIRE(condition)                                                                                             \
    ((condition) ? (void)0 : (void)(failures++, fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition)))

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
/* a subnormal sigmoid leaves few bits to multiply: such ends count as 0 here */
static double swish(double x) { return x < -87 && !isinf(x) ? 0 : x * sigmoid(x); }

static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }
static double mish(double x) { return x * tanh(softplus(x)); }
static double gelu(double x) { return x < -14 && !isinf(x) ? 0 : x * 0.5 * erfc(-x * 0.70710678118654752440); }

typedef struct Function {
    Op op;
    double (*exact)(double);
    double bound; /* ULP */
} Function;
static const Function functions[] = {
    {OP_Exp, exp, 2},     {OP_Sigmoid, sigmoid, 3}, {OP_Tanh, tanh, 3},         {OP_Swish, swish, 4},
    {OP_Sqrt, sqrt, 0.5}, {OP_Erf, erf, 4},         {OP_Gelu, gelu, 4},         {OP_Sin, sin, 3},
    {OP_Cos, cos, 3},     {OP_Log, log, 2},         {OP_Softplus, softplus, 3}, {OP_Mish, mish, 4},
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

typedef struct Compiled { /* for one CPU */
    const char *cpu;
    Case c;
    Code code;
    LoadedModel *model;
    double worst;
    float worst_at;
} Compiled;

static struct {
    const Function *f;
    Compiled on[CPUS];
    float in[CHUNK], out[CHUNK];
    double want[CHUNK];
    _Alignas(64) char workspace[4096];
    int n;
} bench = {.on = {{.cpu = "native"}, {.cpu = "x86-64-v3"}, {.cpu = "x86-64"}}};

static void run_chunk(Compiled *on) {
    int64_t n = CHUNK;
    mcc_tensor x = {.data = bench.in, .bytes = sizeof bench.in, .dtype = DT_F32, .rank = 1}, y = x;
    x.dims[0] = y.dims[0] = n;
    y.data = bench.out;
    REQUIRE(loaded_model(on->model)->run(&x, &y, bench.workspace) == MCC_OK);
    for (int i = 0; i < bench.n; i++) {
        double want = bench.want[i], got = (double)bench.out[i];
        if (on->worst >= 0.5 && bench.out[i] == (float)want) continue; /* rounded as well as can be: most are */
        if ((bench.f->op == OP_Swish || bench.f->op == OP_Gelu) && want == 0 && fabs(got) < 0x1p-118) continue;
        double u = ulps(bench.out[i], want);
        if (u > on->worst) on->worst = u, on->worst_at = bench.in[i];
    }
}

static void flush_chunk(void) {
    for (int i = 0; i < bench.n; i++) bench.want[i] = bench.f->exact((double)bench.in[i]);
    for (int c = 0; c < CPUS; c++) run_chunk(&bench.on[c]);
    bench.n = 0;
}

static void add(uint32_t bits) {
    memcpy(&bench.in[bench.n++], &bits, sizeof bits);
    if (bench.n == CHUNK) flush_chunk();
}

static void compile(Compiled *on, const Function *f) {
    const char *why;
    const Target *target = target_find("", on->cpu, "", &why);
    case_begin(&on->c);
    on->worst = 0;
    Value *x = input(&on->c, "x", "16384"), *in[1] = {x};
    Node *n = node_new(on->c.g, f->op, NULL, in, 1, 1);
    output(&on->c, "y", result(&on->c, n));
    PassCtx p = {.ctx = on->c.ctx, .target = target, .opt_level = 2, .stop_after = -1, .verify = true};
    CodeOptions o = {.name = "m", .target = target, .opt_level = 2};
    REQUIRE(passes_run(on->c.g, &p) && codegen_compile(on->c.ctx, on->c.g, &o, &on->code));
    on->model = code_load(on->c.ctx, &on->code);
    REQUIRE(on->model != NULL);
}

static void check(const Function *f, uint32_t stride) {
    time_t start = time(NULL);
    bench.f = f;
    for (int c = 0; c < CPUS; c++) compile(&bench.on[c], f);
    for (uint64_t b = 0; b <= UINT32_MAX; b += stride) add((uint32_t)b);
    for (uint32_t e = 0; e < 512; e++)
        for (uint32_t d = 0; d < 9; d++) add((e << 23) + d - 4);
    flush_chunk();
    printf("%-9s", op_info(f->op)->name);
    for (int c = 0; c < CPUS; c++) {
        Compiled *on = &bench.on[c];
        bool bad = !(on->worst <= f->bound);
        printf(" %s %.3f ULP at %.9g%s;", on->cpu, on->worst, (double)on->worst_at, bad ? " FAIL" : "");
        failures += bad;
        code_unload(on->model);
        code_free(&on->code);
        ctx_free(on->c.ctx);
    }
    printf(" bound %g, %.0f s\n", f->bound, difftime(time(NULL), start));
    fflush(stdout);
}

int main(int argc, char **argv) {
    uint32_t stride = argc > 1 ? (uint32_t)atoi(argv[1]) : 1021;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (argc < 3 || !strcmp(argv[2], op_info(functions[i].op)->name)) check(&functions[i], stride ? stride : 1);
    return failures ? 1 : 0;
}
