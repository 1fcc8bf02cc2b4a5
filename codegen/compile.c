/* The way from a graph to an object: plan memory, build the module, link the carried kernels, optimise, emit. */
#include <llvm-c/Analysis.h>
#include <llvm-c/BitWriter.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "codegen/gen.h"

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void on_diagnostic(LLVMDiagnosticInfoRef info, void *arg) {
    Ctx *ctx = arg;
    if (LLVMGetDiagInfoSeverity(info) != LLVMDSError) return;
    char *text = LLVMGetDiagInfoDescription(info);
    diag_error(ctx, NULL, "code generation: %s", text);
    LLVMDisposeMessage(text);
}

static bool make_machine(Gen *g) {
    const Target *t = g->target;
    LLVMTargetRef ref;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(t->triple, &ref, &message)) {
        diag_error(g->ctx, NULL, "%s", message);
        LLVMDisposeMessage(message);
        return false;
    }
    LLVMCodeGenOptLevel level = g->opt->opt_level == 0 ? LLVMCodeGenLevelNone : g->opt->opt_level == 1 ? LLVMCodeGenLevelLess
                              : g->opt->opt_level == 2 ? LLVMCodeGenLevelDefault : LLVMCodeGenLevelAggressive;
    g->machine = LLVMCreateTargetMachine(ref, t->triple, t->cpu, t->features, level, LLVMRelocPIC, LLVMCodeModelDefault);
    return g->machine != NULL;
}

static bool gen_open(Gen *g, Ctx *ctx, Graph *graph, const CodeOptions *o) {
    *g = (Gen){.ctx = ctx, .graph = graph, .opt = o, .target = o->target};
    if (!make_machine(g)) return false;
    g->llvm = LLVMContextCreate();
    LLVMContextSetDiagnosticHandler(g->llvm, on_diagnostic, ctx);
    g->module = LLVMModuleCreateWithNameInContext(o->name, g->llvm);
    g->layout = LLVMCreateTargetDataLayout(g->machine);
    LLVMSetTarget(g->module, o->target->triple);
    LLVMSetModuleDataLayout(g->module, g->layout);
    g->i1 = LLVMInt1TypeInContext(g->llvm);
    g->i8 = LLVMInt8TypeInContext(g->llvm);
    g->i16 = LLVMInt16TypeInContext(g->llvm);
    g->i32 = LLVMInt32TypeInContext(g->llvm);
    g->i64 = LLVMInt64TypeInContext(g->llvm);
    g->f32 = LLVMFloatTypeInContext(g->llvm);
    g->f64 = LLVMDoubleTypeInContext(g->llvm);
    g->ptr = LLVMPointerTypeInContext(g->llvm, 0);
    g->void_type = LLVMVoidTypeInContext(g->llvm);
    g->size_type = LLVMIntTypeInContext(g->llvm, (unsigned)o->target->pointer_bits);
    return true;
}

static void gen_close(Gen *g) {
    if (g->module) LLVMDisposeModule(g->module);
    if (g->layout) LLVMDisposeTargetData(g->layout);
    if (g->machine) LLVMDisposeTargetMachine(g->machine);
    if (g->llvm) LLVMContextDispose(g->llvm);
}

/* open dims become parameters, in order of first appearance over the inputs */
static void collect_open_dims(Gen *g) {
    for (int i = 0; i < g->graph->n_inputs; i++)
        for (int d = 0; d < g->graph->inputs[i]->type.rank; d++)
            add_symbols(g->ctx, g->graph->inputs[i]->type.dims[d], &g->open, &g->n_open);
}

static bool is_elf(const Target *t) { return !strstr(t->triple, "darwin") && !strstr(t->triple, "macos") && !strstr(t->triple, "windows"); }

static LLVMValueRef embedded_weights(Gen *g) { /* where we cannot append: one constant in the module */
    char *all = arena_alloc(g->ctx->arena, g->plan.weights_bytes);
    for (int i = 0; i < g->plan.n_weights; i++)
        memcpy(all + g->plan.weights[i].offset, g->plan.weights[i].data, g->plan.weights[i].bytes);
    return gen_bytes(g, all, g->plan.weights_bytes, 64);
}

static void declare_weights(Gen *g) {
    if (!g->plan.n_weights) return;
    if (!is_elf(g->target)) {
        g->weights = embedded_weights(g);
        return;
    }
    const char *name = arena_printf(g->ctx->arena, "%s_weights", g->opt->name);
    g->weights = LLVMAddGlobal(g->module, LLVMArrayType2(g->i8, g->plan.weights_bytes), name);
    LLVMSetGlobalConstant(g->weights, 1);
    LLVMSetVisibility(g->weights, LLVMHiddenVisibility);
    LLVMSetAlignment(g->weights, 64);
}

static bool verify_module(Gen *g) {
    char *message = NULL;
    bool broken = LLVMVerifyModule(g->module, LLVMReturnStatusAction, &message);
    if (broken) diag_error(g->ctx, NULL, "internal error: the generated module is broken: %s", message);
    LLVMDisposeMessage(message);
    return !broken;
}

static bool optimise(Gen *g) {
    static const char *const pipelines[] = {"default<O1>", "default<O1>", "default<O2>", "default<O3>"}; /* O0 keeps alwaysinline's dead bodies */
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef e = LLVMRunPasses(g->module, g->opt->optimize_size ? "default<Os>" : pipelines[g->opt->opt_level], g->machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (!e) return true;
    char *message = LLVMGetErrorMessage(e);
    diag_error(g->ctx, NULL, "internal error: optimisation failed: %s", message);
    LLVMDisposeErrorMessage(message);
    return false;
}

static bool build_module(Gen *g) {
    if (!plan_memory(g->ctx, g->graph, g->opt, &g->plan)) return false;
    collect_open_dims(g);
    declare_weights(g);
    LLVMValueRef body = gen_body(g);
    if (!body) return false;
    if (typed_entry_exists(g->graph)) gen_typed_entry(g, body);
    gen_described_entry(g, body);
    return link_kernels(g) && verify_module(g) && optimise(g);
}

static uint64_t hash_words(uint64_t h, const char *p, size_t n) { /* eight bytes a step: weights are large */
    uint64_t w;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&w, p, 8);
        h = (h ^ w) * 0x9E3779B97F4A7C15ull;
        h ^= h >> 29;
    }
    return hash_bytes(h, p, n);
}

/* what the object holds, as 32 hexadecimal digits */
static const char *build_id(Gen *g) {
    LLVMMemoryBufferRef bitcode = LLVMWriteBitcodeToMemoryBuffer(g->module);
    uint64_t h[2] = {HASH_SEED, ~HASH_SEED};
    for (int k = 0; k < 2; k++) {
        h[k] = hash_words(h[k], LLVMGetBufferStart(bitcode), LLVMGetBufferSize(bitcode));
        for (int i = 0; i < g->plan.n_weights; i++) h[k] = hash_words(h[k], g->plan.weights[i].data, g->plan.weights[i].bytes);
        h[k] = hash_bytes(h[k], g->target->cpu, strlen(g->target->cpu));
        h[k] = hash_bytes(h[k], g->target->features, strlen(g->target->features));
    }
    LLVMDisposeMemoryBuffer(bitcode);
    return arena_printf(g->ctx->arena, "%016llx%016llx", (unsigned long long)h[0], (unsigned long long)h[1]);
}

static void stamp(Gen *g, const char *id) {
    LLVMValueRef text = LLVMGetNamedGlobal(g->module, "mcc_build_id");
    LLVMSetInitializer(text, LLVMConstStringInContext2(g->llvm, id, 33, 1));
    LLVMValueRef symbol = LLVMAddGlobal(g->module, g->i8, arena_printf(g->ctx->arena, "%s_build_%s", g->opt->name, id));
    LLVMSetInitializer(symbol, LLVMConstInt(g->i8, 0, 0));
    LLVMSetGlobalConstant(symbol, 1);
}

static bool emit_object(Gen *g, Code *out) {
    char *message = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(g->machine, g->module, LLVMObjectFile, &message, &out->object)) {
        diag_error(g->ctx, NULL, "code generation: %s", message);
        LLVMDisposeMessage(message);
        return false;
    }
    return diag_errors(g->ctx) == 0;
}

static void tell_time(const Gen *g, const char *what, double from) {
    if (g->opt->time) fprintf(stderr, "%8.1f ms  %s\n", (seconds() - from) * 1e3, what);
}

bool codegen_compile(Ctx *ctx, Graph *graph, const CodeOptions *o, Code *out) {
    Gen g;
    *out = (Code){.name = o->name, .pointer_bits = o->target->pointer_bits};
    double start = seconds();
    bool ok = gen_open(&g, ctx, graph, o) && build_module(&g);
    tell_time(&g, "module: build, link kernels, optimise", start);
    start = seconds();
    if (ok) {
        out->build_id = build_id(&g);
        stamp(&g, out->build_id);
        ok = emit_object(&g, out);
        out->header = header_text(&g, out->build_id);
        if (is_elf(o->target)) out->weights = g.plan.weights, out->n_weights = g.plan.n_weights, out->weights_bytes = g.plan.weights_bytes;
        out->workspace_bytes = g.plan.workspace;
        out->workspace_lower_bound = g.plan.lower_bound;
    }
    tell_time(&g, "object: code generation", start);
    gen_close(&g);
    return ok;
}

static void print_loops(Gen *g, FILE *out) {
    int at = 0;
    for (const Node *n = g->graph->first; n; n = n->next) {
        const Emitter *e = emitter_of(n);
        fprintf(out, "%d: %s %s\n", at++, e->form, op_info(n->op)->name);
        if (e->print) e->print(g->ctx, n, out);
    }
}

bool codegen_print(Ctx *ctx, Graph *graph, const CodeOptions *o, EmitText what, FILE *out) {
    Gen g;
    bool ok = gen_open(&g, ctx, graph, o);
    if (ok && what == EMIT_LOOPS) {
        print_loops(&g, out);
    } else if (ok && (ok = build_module(&g))) {
        stamp(&g, build_id(&g));
        char *text = NULL, *message = NULL;
        LLVMMemoryBufferRef asm_text = NULL;
        if (what == EMIT_LLVM) {
            text = LLVMPrintModuleToString(g.module);
            fputs(text, out);
            LLVMDisposeMessage(text);
        } else if (LLVMTargetMachineEmitToMemoryBuffer(g.machine, g.module, LLVMAssemblyFile, &message, &asm_text)) {
            diag_error(ctx, NULL, "code generation: %s", message);
            LLVMDisposeMessage(message);
            ok = false;
        } else {
            fwrite(LLVMGetBufferStart(asm_text), 1, LLVMGetBufferSize(asm_text), out);
            LLVMDisposeMemoryBuffer(asm_text);
        }
    }
    gen_close(&g);
    return ok;
}

void code_free(Code *c) {
    if (c->object) LLVMDisposeMemoryBuffer(c->object);
    c->object = NULL;
}
