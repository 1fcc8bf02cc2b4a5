/* The bitcode of the reference kernels: read lazily, so that only what the module calls is parsed, linked and optimised. */
#include <llvm-c/BitReader.h>
#include <llvm-c/Linker.h>
#include <string.h>
#include "codegen/gen.h"

extern const char mcc_kernels64[], mcc_kernels64_end[], mcc_kernels32[], mcc_kernels32_end[];

static LLVMModuleRef read_carried(Gen *g) {
    bool wide = g->target->pointer_bits == 64;
    const char *lo = wide ? mcc_kernels64 : mcc_kernels32, *hi = wide ? mcc_kernels64_end : mcc_kernels32_end;
    LLVMMemoryBufferRef bytes = LLVMCreateMemoryBufferWithMemoryRange(lo, (size_t)(hi - lo), "kernels", 0);
    LLVMModuleRef m;
    return LLVMGetBitcodeModuleInContext2(g->llvm, bytes, &m) ? NULL : m;
}

/* Everything of a kernel is inlined into the function that has its descriptor: only there its dims are constants. */
static void inline_always(Gen *g, LLVMValueRef f) {
    gen_function_attrs(g, f);
    LLVMRemoveEnumAttributeAtIndex(f, LLVMAttributeFunctionIndex, LLVMGetEnumAttributeKindForName("noinline", 8));
    gen_attr(g, f, LLVMAttributeFunctionIndex, "alwaysinline", 0);
}

/* forget what the bitcode was made for; let the linker take only what is called */
static void neutralise(Gen *g, LLVMModuleRef m) {
    static const char *const drop[] = {"target-cpu", "target-features", "tune-cpu", "frame-pointer", "stack-protector-buffer-size"};
    LLVMSetTarget(m, LLVMGetTarget(g->module));
    LLVMSetModuleDataLayout(m, g->layout);
    for (LLVMValueRef f = LLVMGetFirstFunction(m); f; f = LLVMGetNextFunction(f)) {
        for (size_t i = 0; i < sizeof drop / sizeof *drop; i++)
            LLVMRemoveStringAttributeAtIndex(f, LLVMAttributeFunctionIndex, drop[i], (unsigned)strlen(drop[i]));
        if (LLVMIsDeclaration(f)) continue;
        if (LLVMGetLinkage(f) == LLVMExternalLinkage) LLVMSetLinkage(f, LLVMLinkOnceODRLinkage);
        else inline_always(g, f); /* a static helper: nothing will tell it from our own functions once it is linked */
    }
}

/* what the carried kernels must define; mcc_parallel_for is the app's */
static bool ours(const char *name) {
    if (!strcmp(name, "mcc_parallel_for")) return false;
    return !strncmp(name, "ref_", 4) || !strncmp(name, "shape_", 6) || !strncmp(name, "mcc_", 4);
}

static bool check_linked(Gen *g) {
    bool ok = true;
    for (LLVMValueRef f = LLVMGetFirstFunction(g->module); f; f = LLVMGetNextFunction(f))
        if (LLVMIsDeclaration(f) && ours(LLVMGetValueName(f))) {
            diag_error(g->ctx, NULL, "mcc carries no kernel '%s'", LLVMGetValueName(f));
            ok = false;
        }
    return ok;
}

bool link_kernels(Gen *g) {
    LLVMModuleRef carried = read_carried(g);
    if (!carried) {
        diag_error(g->ctx, NULL, "the carried kernels cannot be read");
        return false;
    }
    neutralise(g, carried);
    if (LLVMLinkModules2(g->module, carried)) {
        diag_error(g->ctx, NULL, "the carried kernels cannot be linked");
        return false;
    }
    for (LLVMValueRef f = LLVMGetFirstFunction(g->module); f; f = LLVMGetNextFunction(f)) {
        if (LLVMIsDeclaration(f) || LLVMGetLinkage(f) != LLVMLinkOnceODRLinkage) continue;
        LLVMSetLinkage(f, LLVMInternalLinkage);
        inline_always(g, f);
    }
    for (LLVMValueRef v = LLVMGetFirstGlobal(g->module); v; v = LLVMGetNextGlobal(v))
        if (!LLVMIsDeclaration(v) && LLVMGetLinkage(v) == LLVMLinkOnceODRLinkage) LLVMSetLinkage(v, LLVMInternalLinkage);
    return check_linked(g);
}
