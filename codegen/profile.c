/* --profile: how often each node was called and how long it took. The object has no writable data, so that the counters
 * lie at the start of the workspace: two words a node, in the order of the calls. NAME_open sets them to 0,
 * NAME_profile reads them; a call of a model whose workspace was never opened counts on from what it finds. Ticks are
 * what the target can read without help from its system. */
#include <string.h>
#include "codegen/gen.h"

enum { COUNTER_BYTES = 16 };

typedef enum Clock { CLOCK_NONE, CLOCK_TSC, CLOCK_VIRTUAL, CLOCK_TIME, CLOCK_DWT } Clock;

static bool starts(const char *s, const char *prefix) { return !strncmp(s, prefix, strlen(prefix)); }

/* RISC-V's and aarch64's counters of cycles are closed to programs unless the system opens them: time is not. */
static Clock clock_of(const Target *t) {
    static const char *const with_dwt[] = {"thumbv7", "thumbv8m.main", "thumbv8.1m.main"};
    if (starts(t->triple, "x86_64")) return CLOCK_TSC;
    if (starts(t->triple, "aarch64") || starts(t->triple, "arm64")) return CLOCK_VIRTUAL;
    if (starts(t->triple, "riscv64")) return CLOCK_TIME;
    for (size_t i = 0; i < sizeof with_dwt / sizeof *with_dwt; i++)
        if (t->bare && starts(t->triple, with_dwt[i])) return CLOCK_DWT;
    return CLOCK_NONE;
}

static const char *clock_text(Clock c) {
    switch (c) {
    case CLOCK_TSC: return "of the time-stamp counter (rdtsc)";
    case CLOCK_VIRTUAL: return "of the virtual counter (cntvct_el0)";
    case CLOCK_TIME: return "of the timer (rdtime)";
    case CLOCK_DWT: return "cycles of DWT_CYCCNT, which the app starts";
    case CLOCK_NONE: break;
    }
    return "none on this target: always 0";
}

static LLVMValueRef call_intrinsic(Gen *g, LLVMBuilderRef b, const char *name) {
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(g->module, LLVMLookupIntrinsicID(name, strlen(name)), NULL, 0);
    return LLVMBuildCall2(b, LLVMGlobalGetValueType(fn), fn, NULL, 0, "");
}

static LLVMValueRef read_virtual(Gen *g, LLVMBuilderRef b) {
    static const char text[] = "mrs $0, cntvct_el0", constraint[] = "=r,~{memory}";
    LLVMTypeRef type = LLVMFunctionType(g->i64, NULL, 0, 0);
    LLVMValueRef code = LLVMGetInlineAsm(type, text, sizeof text - 1, constraint, sizeof constraint - 1, 1, 0,
                                         LLVMInlineAsmDialectATT, 0);
    return LLVMBuildCall2(b, type, code, NULL, 0, "");
}

static LLVMValueRef read_dwt(Gen *g, LLVMBuilderRef b) {
    enum { DWT_CYCCNT = 0xE0001004 };
    LLVMValueRef at = LLVMBuildIntToPtr(b, LLVMConstInt(g->i32, DWT_CYCCNT, 0), g->ptr, ""),
                 now = LLVMBuildLoad2(b, g->i32, at, "");
    LLVMSetVolatile(now, 1);
    return now;
}

LLVMValueRef profile_ticks(Gen *g, LLVMBuilderRef b) {
    switch (clock_of(g->target)) {
    case CLOCK_TSC: return call_intrinsic(g, b, "llvm.readcyclecounter");
    case CLOCK_VIRTUAL: return read_virtual(g, b);
    case CLOCK_TIME: return call_intrinsic(g, b, "llvm.readsteadycounter");
    case CLOCK_DWT: return read_dwt(g, b);
    case CLOCK_NONE: break;
    }
    return gen_i64(g, 0);
}

size_t profile_bytes(const Graph *g) {
    Graph *bodies[MAX_BODIES];
    size_t bytes = 0;
    for (const Node *n = g->first; n; n = n->next) {
        bytes += COUNTER_BYTES;
        for (int i = node_bodies(n, bodies); i-- > 0;) bytes += profile_bytes(bodies[i]);
    }
    return bytes;
}

static void add(Gen *g, LLVMBuilderRef b, LLVMValueRef at, LLVMValueRef n) {
    LLVMBuildStore(b, LLVMBuildAdd(b, LLVMBuildLoad2(b, g->i64, at, ""), n, ""), at);
}

void profile_count(Gen *g, LLVMBuilderRef b, LLVMValueRef workspace, const Node *n, LLVMValueRef start) {
    LLVMValueRef took = LLVMBuildSub(b, profile_ticks(g, b), start, "");
    int64_t at = (int64_t)g->n_profiled * COUNTER_BYTES;
    add(g, b, gen_offset(g, b, workspace, gen_i64(g, at)), gen_i64(g, 1));
    add(g, b, gen_offset(g, b, workspace, gen_i64(g, at + 8)), LLVMBuildZExtOrBitCast(b, took, g->i64, ""));
    size_t count = (size_t)g->n_profiled;
    g->profiled = arena_grow(g->ctx->arena, g->profiled, count, count + 1, sizeof *g->profiled);
    g->profiled[g->n_profiled++] = n;
}

/* ---- NAME_open, NAME_profile ---- */

static LLVMBuilderRef function_new(Gen *g, const char *what, LLVMTypeRef *params, unsigned n, LLVMValueRef *fn) {
    const char *name = arena_printf(g->ctx->arena, "%s_%s", g->opt->name, what);
    *fn = LLVMAddFunction(g->module, name, LLVMFunctionType(g->i32, params, n, 0));
    gen_function_attrs(g, *fn);
    LLVMBuilderRef b = LLVMCreateBuilderInContext(g->llvm);
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(g->llvm, *fn, "entry"));
    return b;
}

static void require_workspace(Gen *g, LLVMBuilderRef b, LLVMValueRef workspace) {
    gen_require(g, b, LLVMBuildIsNotNull(b, workspace, ""), gen_i32(g, MCC_E_NULL));
    LLVMValueRef word = LLVMBuildPtrToInt(b, workspace, g->size_type, "");
    LLVMValueRef low = LLVMBuildAnd(b, word, LLVMConstInt(g->size_type, 63, 0), "");
    gen_require(g, b, LLVMBuildIsNull(b, low, ""), gen_i32(g, MCC_E_ALIGN));
}

static void gen_open(Gen *g) {
    LLVMValueRef fn;
    LLVMBuilderRef b = function_new(g, "open", &g->ptr, 1, &fn);
    LLVMValueRef bytes = LLVMConstInt(g->size_type, (size_t)g->n_profiled * COUNTER_BYTES, 0);
    require_workspace(g, b, LLVMGetParam(fn, 0));
    LLVMBuildMemSet(b, LLVMGetParam(fn, 0), LLVMConstNull(g->i8), bytes, 64);
    LLVMBuildRet(b, gen_i32(g, MCC_OK));
    LLVMDisposeBuilder(b);
}

static const char *op_text(Gen *g, const Node *n) {
    const OpInfo *op = op_info(n->op);
    const char *text =
        n->op == OP_Fused ? "" : arena_printf(g->ctx->arena, "%s%s", op->domain == MCC ? "mcc." : "", op->name);
    for (const Node *i = n->body ? n->body->first : NULL; i; i = i->next)
        text = arena_printf(g->ctx->arena, "%s%s%s", text, *text ? "+" : "", op_info(i->op)->name);
    return text;
}

static LLVMValueRef text_constant(Gen *g, const char *text) { return gen_bytes(g, text, strlen(text) + 1, 1); }

/* {name, operator, form} a node */
static LLVMValueRef describe_nodes(Gen *g, LLVMTypeRef type) {
    LLVMValueRef *nodes = ARENA_ARRAY(g->ctx->arena, g->n_profiled, LLVMValueRef);
    for (int i = 0; i < g->n_profiled; i++) {
        const Node *n = g->profiled[i];
        LLVMValueRef f[3] = {text_constant(g, arena_str(g->ctx->arena, n->name.p, n->name.n).p),
                             text_constant(g, op_text(g, n)), text_constant(g, codegen_form(g->target, n))};
        nodes[i] = LLVMConstStructInContext(g->llvm, f, 3, 0);
    }
    LLVMValueRef init = LLVMConstArray2(type, nodes, (uint64_t)g->n_profiled),
                 global = LLVMAddGlobal(g->module, LLVMTypeOf(init), "");
    LLVMSetInitializer(global, init);
    LLVMSetGlobalConstant(global, 1);
    LLVMSetLinkage(global, LLVMPrivateLinkage);
    return global;
}

/* out: mcc_node_profile of mcc/runtime.h */
static void gen_read(Gen *g) {
    LLVMTypeRef params[3] = {g->ptr, g->i32, g->ptr}, fields[5] = {g->ptr, g->ptr, g->ptr, g->i64, g->i64};
    LLVMTypeRef node_type = LLVMStructTypeInContext(g->llvm, fields, 3, 0),
                out_type = LLVMStructTypeInContext(g->llvm, fields, 5, 0);
    LLVMValueRef fn;
    LLVMBuilderRef b = function_new(g, "profile", params, 3, &fn);
    LLVMValueRef workspace = LLVMGetParam(fn, 0), node = LLVMGetParam(fn, 1), out = LLVMGetParam(fn, 2);
    require_workspace(g, b, workspace);
    gen_require(g, b, LLVMBuildIsNotNull(b, out, ""), gen_i32(g, MCC_E_NULL));
    gen_require(g, b, LLVMBuildICmp(b, LLVMIntULT, node, gen_i32(g, g->n_profiled), ""), gen_i32(g, MCC_E_INDEX));
    LLVMValueRef about = LLVMBuildInBoundsGEP2(b, node_type, describe_nodes(g, node_type), &node, 1, "");
    LLVMValueRef offset = LLVMBuildMul(b, LLVMBuildZExt(b, node, g->i64, ""), gen_i64(g, COUNTER_BYTES), "");
    LLVMValueRef counter = gen_offset(g, b, workspace, offset);
    for (unsigned i = 0; i < 5; i++) {
        LLVMValueRef from = i < 3 ? LLVMBuildStructGEP2(b, node_type, about, i, "")
                                  : gen_offset(g, b, counter, gen_i64(g, (i - 3) * 8));
        LLVMBuildStore(b, LLVMBuildLoad2(b, fields[i], from, ""), LLVMBuildStructGEP2(b, out_type, out, i, ""));
    }
    LLVMBuildRet(b, gen_i32(g, MCC_OK));
    LLVMDisposeBuilder(b);
}

void gen_profile_entries(Gen *g) {
    gen_open(g);
    gen_read(g);
}

void profile_header(Gen *g, FILE *f, const char *prefix) {
    const char *name = g->opt->name;
    fprintf(
        f,
        "\n/* What each node took. %s_open sets all counters to 0: once before the first call, or again at any time.\n",
        name);
    fprintf(f, " * %s_profile fills *out for a node below %s_PROFILE_NODES. Ticks: %s. */\n", name, prefix,
            clock_text(clock_of(g->target)));
    fprintf(f, "#define %s_PROFILE_NODES %d\n", prefix, g->n_profiled);
    fprintf(f, "int %s_open(void *workspace);\n", name);
    fprintf(f, "int %s_profile(const void *workspace, int32_t node, mcc_node_profile *out);\n", name);
}
