/* DynamicQuantizeLinear on a GPU, in two launches: one block finds the range and what it makes of scale and zero point,
 * then a thread an element rounds. The numbers are those of runtime/kernels/quantize.c, to the bit. */
#include "codegen/gpu_team.h"

enum { ZERO_AT = 4, SCRATCH = 64 }; /* in scratch memory, the scale at 0 */

static bool fits(const CodeOptions *o, const Node *n) {
    (void)o;
    return n->op == OP_DynamicQuantizeLinear && n->n_out == 3;
}

static int launches(const CodeOptions *o, const Node *n) {
    (void)o, (void)n;
    return 2;
}

static void geometry(Ctx *ctx, const CodeOptions *o, const Node *n, int launch, GpuGeometry *out) {
    (void)o;
    out->block[0] = TEAM_BLOCK;
    if (launch) out->grid[0] = dim_ceildiv(ctx, value_elements(ctx, n->in[0]), dim_const(ctx, TEAM_BLOCK));
}

static bool scratch(Ctx *ctx, const Node *n, size_t *bytes) {
    (void)ctx, (void)n;
    *bytes = SCRATCH;
    return true;
}

static LLVMValueRef call(Kernel *k, const char *name, LLVMTypeRef result, LLVMValueRef *args, unsigned n) {
    LLVMTypeRef types[4];
    for (unsigned i = 0; i < n; i++) types[i] = LLVMTypeOf(args[i]);
    LLVMTypeRef type = LLVMFunctionType(result, types, n, 0);
    LLVMValueRef fn = LLVMGetNamedFunction(k->gen->module, name);
    if (!fn) fn = LLVMAddFunction(k->gen->module, name, type);
    return LLVMBuildCall2(k->b, type, fn, args, n, "");
}

/* a NaN is in no range */
static LLVMValueRef lower(void *arg, LLVMValueRef a, LLVMValueRef b) {
    Kernel *k = arg;
    return LLVMBuildSelect(k->b, LLVMBuildFCmp(k->b, LLVMRealOLT, b, a, ""), b, a, "");
}

static LLVMValueRef higher(void *arg, LLVMValueRef a, LLVMValueRef b) {
    Kernel *k = arg;
    return LLVMBuildSelect(k->b, LLVMBuildFCmp(k->b, LLVMRealOGT, b, a, ""), b, a, "");
}

static LLVMValueRef extreme(Team *t, LLVMValueRef n, LLVMValueRef (*fold)(void *, LLVMValueRef, LLVMValueRef)) {
    Kernel *k = t->k;
    TeamLoop l = team_loop(t, n, LLVMConstReal(k->gen->f32, 0));
    LLVMValueRef x = vec_load_of(k, k->gen->f32, f32_at(k, k->in[0], l.i), 1, 4);
    team_loop_end(t, &l, fold(k, l.acc, x));
    return team_fold(t, l.acc, fold, k);
}

static void emit_range(Kernel *k, LLVMValueRef n) {
    Gen *g = k->gen;
    Team t = team_begin(k, TEAM_BLOCK, gen_i64(g, 1));
    LLVMValueRef lo = extreme(&t, n, lower), hi = extreme(&t, n, higher);
    LLVMValueRef zero_at = gen_offset(g, k->b, k->scratch, gen_i64(g, ZERO_AT)), args[3] = {lo, hi, k->scratch};
    If first = if_begin(k, team_is_first(&t));
    LLVMValueRef zero = call(k, "mcc_dynamic_scale", g->i8, args, 3);
    LLVMBuildStore(k->b, zero, zero_at);
    if (k->out[1]) LLVMBuildStore(k->b, LLVMBuildLoad2(k->b, g->f32, k->scratch, ""), k->out[1]);
    if (k->out[2]) LLVMBuildStore(k->b, zero, k->out[2]);
    if_end(k, &first);
}

static void emit_elements(Kernel *k, LLVMValueRef n) {
    Gen *g = k->gen;
    LLVMValueRef i = gpu_flat_thread(k), args[3];
    If inside = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSLT, i, n, ""));
    args[0] = vec_load_of(k, g->f32, f32_at(k, k->in[0], i), 1, 4);
    args[1] = LLVMBuildLoad2(k->b, g->f32, k->scratch, "");
    args[2] = LLVMBuildLoad2(k->b, g->i8, gen_offset(g, k->b, k->scratch, gen_i64(g, ZERO_AT)), "");
    LLVMBuildStore(k->b, call(k, "mcc_dynamic_quantize", g->i8, args, 3), element_at(k, g->i8, k->out[0], i));
    if_end(k, &inside);
}

static bool emit(Kernel *k, int launch) {
    const Type *x = &k->node->in[0]->type;
    LLVMValueRef n = kernel_dims(k, x->dims, x->rank);
    if (launch == 0) emit_range(k, n);
    else if (k->out[0]) emit_elements(k, n);
    LLVMBuildRetVoid(k->b);
    return true;
}

const GpuForm gpu_dynamic = {.form = "range and rounding",
                             .fits = fits,
                             .launches = launches,
                             .geometry = geometry,
                             .emit = emit,
                             .scratch = scratch};
