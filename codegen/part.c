/* The code in partitions: LLVM modules in contexts of their own, so that threads may optimise them and generate code
 * side by side. The first holds the body and the entries; kernels fill it, then further ones, up to an estimate of
 * LLVM's work, so that the model alone decides what lies where and a small model has one. A kernel elsewhere is a
 * hidden symbol, which joining the objects makes local. What a worker does (part_optimise, part_emit) touches nothing
 * but its part. */
#include <llvm-c/Analysis.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <stdarg.h>
#include <string.h>
#include "codegen/gen.h"

void part_fail(Gen *g, const char *format, ...) {
    if (g->error[0]) return; /* the first is the cause */
    va_list args;
    va_start(args, format);
    vsnprintf(g->error, sizeof g->error, format, args);
    va_end(args);
}

static void on_diagnostic(LLVMDiagnosticInfoRef info, void *part) {
    LLVMDiagnosticSeverity severity = LLVMGetDiagInfoSeverity(info);
    if (severity != LLVMDSError && severity != LLVMDSRemark) return;
    char *text = LLVMGetDiagInfoDescription(info);
    if (severity == LLVMDSRemark) stack_note(part, text);
    else part_fail(part, "code generation: %s", text);
    LLVMDisposeMessage(text);
}

static bool make_machine(Gen *g) {
    static const LLVMCodeGenOptLevel levels[] = {LLVMCodeGenLevelNone, LLVMCodeGenLevelLess, LLVMCodeGenLevelDefault,
                                                 LLVMCodeGenLevelAggressive};
    const Target *t = g->target;
    LLVMTargetRef ref;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(t->triple, &ref, &message)) {
        diag_error(g->ctx, NULL, "%s", message);
        LLVMDisposeMessage(message);
        return false;
    }
    LLVMTargetMachineOptionsRef options = LLVMCreateTargetMachineOptions();
    LLVMTargetMachineOptionsSetCPU(options, t->cpu);
    LLVMTargetMachineOptionsSetFeatures(options, t->features);
    LLVMTargetMachineOptionsSetCodeGenOptLevel(options, levels[g->opt->opt_level]);
    LLVMTargetMachineOptionsSetRelocMode(options, t->is_static ? LLVMRelocStatic : LLVMRelocPIC);
    if (t->abi) LLVMTargetMachineOptionsSetABI(options, t->abi);
    g->machine = LLVMCreateTargetMachineWithOptions(ref, t->triple, options);
    LLVMDisposeTargetMachineOptions(options);
    return g->machine != NULL;
}

static bool open_module(Gen *g) {
    if (!make_machine(g)) return false;
    g->llvm = LLVMContextCreate();
    LLVMContextSetDiagnosticHandler(g->llvm, on_diagnostic, g);
    g->module = LLVMModuleCreateWithNameInContext(g->opt->name, g->llvm);
    g->layout = LLVMCreateTargetDataLayout(g->machine);
    LLVMSetTarget(g->module, g->target->triple);
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
    g->size_type = LLVMIntTypeInContext(g->llvm, (unsigned)g->target->pointer_bits);
    return true;
}

static Gen *part_add(Gen *first, Gen *g) {
    size_t n = (size_t)first->n_parts;
    first->parts = arena_grow(first->ctx->arena, first->parts, n, n + 1, sizeof(Gen *));
    first->parts[first->n_parts++] = g;
    if (!open_module(g)) return NULL;
    debug_open(g, first);
    return g;
}

bool part_open(Gen *g, Ctx *ctx, Graph *graph, const CodeOptions *o, int64_t most_cost) {
    *g = (Gen){.ctx = ctx, .graph = graph, .opt = o, .target = o->target, .most_cost = most_cost};
    return part_add(g, g) != NULL;
}

Gen *part_of_kernel(Gen *g) {
    Gen *last = g->parts[g->n_parts - 1];
    if (last->cost < g->most_cost) return last;
    Gen *part = ARENA_NEW(g->ctx->arena, Gen);
    *part = (Gen){.ctx = g->ctx, .graph = g->graph, .opt = g->opt, .target = g->target};
    return part_add(g, part);
}

static void close_module(Gen *g) {
    debug_close(g);
    if (g->module) LLVMDisposeModule(g->module);
    if (g->layout) LLVMDisposeTargetData(g->layout);
    if (g->machine) LLVMDisposeTargetMachine(g->machine);
    if (g->llvm) LLVMContextDispose(g->llvm);
    g->module = NULL, g->layout = NULL, g->machine = NULL, g->llvm = NULL;
}

void parts_close(Gen *g) {
    for (int i = 0; i < g->n_parts; i++) {
        close_module(g->parts[i]);
        if (g->parts[i]->object) LLVMDisposeMemoryBuffer(g->parts[i]->object);
        g->parts[i]->object = NULL;
    }
}

/* instructions, and for a call of what is not linked yet about those that it will become */
static int64_t instruction_cost(LLVMValueRef i) {
    enum { REFERENCE = 2000, ELEMENT = 40 };
    if (!LLVMIsACallInst(i)) return 1;
    LLVMValueRef callee = LLVMGetCalledValue(i);
    if (!LLVMIsAFunction(callee) || !is_carried(LLVMGetValueName(callee))) return 1;
    return strncmp(LLVMGetValueName(callee), "mcc_el_", 7) ? REFERENCE : ELEMENT;
}

static int64_t function_cost(LLVMValueRef fn) {
    int64_t cost = 0;
    for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(fn); b; b = LLVMGetNextBasicBlock(b))
        for (LLVMValueRef i = LLVMGetFirstInstruction(b); i; i = LLVMGetNextInstruction(i)) cost += instruction_cost(i);
    return cost;
}

LLVMValueRef part_import(Gen *g, Gen *part, LLVMValueRef fn, LLVMTypeRef type) {
    for (LLVMValueRef f = fn; f; f = LLVMGetNextFunction(f)) part->cost += function_cost(f);
    if (part == g) return fn;
    LLVMSetLinkage(fn, LLVMExternalLinkage);
    LLVMSetVisibility(fn, LLVMHiddenVisibility);
    LLVMValueRef here = LLVMAddFunction(g->module, LLVMGetValueName(fn), type);
    LLVMSetVisibility(here, LLVMHiddenVisibility);
    gen_function_attrs(g, here);
    return here;
}

static bool verify(Gen *g) {
    char *message = NULL;
    bool broken = LLVMVerifyModule(g->module, LLVMReturnStatusAction, &message);
    if (broken) part_fail(g, "internal error: the generated module is broken: %s", message);
    LLVMDisposeMessage(message);
    return !broken;
}

bool part_run_passes(Gen *g, LLVMModuleRef m, const char *passes) {
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef e = LLVMRunPasses(m, passes, g->machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (!e) return true;
    char *message = LLVMGetErrorMessage(e);
    part_fail(g, "internal error: optimisation failed: %s", message);
    LLVMDisposeErrorMessage(message);
    return false;
}

bool part_optimise(Gen *g) {
    /* O1's inliner cleans nothing up between one level of calls and the next: reference kernels grow to many times of their size.
     * O0 has them once each, and no calls so deep. */
    static const char *const pipelines[] = {"default<O1>", "default<O2>", "default<O2>", "default<O3>"};
    return link_kernels(g) && verify(g) &&
           part_run_passes(g, g->module, g->opt->optimize_size ? "default<Os>" : pipelines[g->opt->opt_level]);
}

bool part_emit(Gen *g, LLVMCodeGenFileType what, LLVMMemoryBufferRef *out) {
    char *message = NULL;
    stack_listen(g);
    if (helpers_link(g) && LLVMTargetMachineEmitToMemoryBuffer(g->machine, g->module, what, &message, out)) {
        part_fail(g, "code generation: %s", message);
        LLVMDisposeMessage(message);
    }
    if (stack_is_bounded(g) && !g->error[0]) g->stack = stack_bound(g);
    close_module(g); /* early: memory */
    return !g->error[0];
}
