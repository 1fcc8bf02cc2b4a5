/* The bitcode of the reference kernels: read lazily, so that only what the module calls is parsed, linked and optimised. */
#include <llvm-c/BitReader.h>
#include <llvm-c/Linker.h>
#include <string.h>
#include "codegen/gen.h"

extern const char mcc_kernels64[], mcc_kernels64_end[], mcc_kernels32[], mcc_kernels32_end[];

Str carried_kernels(const Target *t) {
    if (t->pointer_bits == 64) return (Str){mcc_kernels64, (size_t)(mcc_kernels64_end - mcc_kernels64)};
    return (Str){mcc_kernels32, (size_t)(mcc_kernels32_end - mcc_kernels32)};
}

LLVMModuleRef read_carried(Gen *g) {
    Str all = carried_kernels(g->target);
    LLVMMemoryBufferRef bytes = LLVMCreateMemoryBufferWithMemoryRange(all.p, all.n, "kernels", 0);
    LLVMModuleRef m;
    return LLVMGetBitcodeModuleInContext2(g->llvm, bytes, &m) ? NULL : m;
}

/* Everything of a kernel is inlined into the function that has its descriptor: only there its dims are constants. */
static void inline_always(Gen *g, LLVMValueRef f) {
    gen_function_attrs(g, f);
    LLVMRemoveEnumAttributeAtIndex(f, LLVMAttributeFunctionIndex, LLVMGetEnumAttributeKindForName("noinline", 8));
    gen_attr(g, f, LLVMAttributeFunctionIndex, "alwaysinline", 0);
}

/* Without optimisation nodes share a kernel, which reads its descriptors as it runs: it is compiled once, not once a node. On
 * 32-bit processors constant dims keep divisions from becoming library calls. */
bool kernels_shared(const CodeOptions *o) { return o->opt_level == 0 && !o->optimize_size && o->target->pointer_bits == 64; }

static bool is_kernel(LLVMValueRef f) {
    const char *name = LLVMGetValueName(f);
    return !strncmp(name, "ref_", 4) || !strncmp(name, "shape_", 6);
}

/* forget what the bitcode was made for; let the linker take only what is called */
void neutralise(Gen *g, LLVMModuleRef m) {
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

/* what the carried kernels must define; mcc_parallel_for is the app's, and mcc_cuda_… libmcc_cuda's */
bool is_carried(const char *name) {
    if (!strcmp(name, "mcc_parallel_for") || !strncmp(name, "mcc_cuda_", 9)) return false;
    return !strncmp(name, "ref_", 4) || !strncmp(name, "shape_", 6) || !strncmp(name, "mcc_", 4);
}

static bool check_linked(Gen *g) {
    for (LLVMValueRef f = LLVMGetFirstFunction(g->module); f; f = LLVMGetNextFunction(f))
        if (LLVMIsDeclaration(f) && is_carried(LLVMGetValueName(f))) part_fail(g, "mcc carries no kernel '%s'", LLVMGetValueName(f));
    return !g->error[0];
}

bool link_kernels(Gen *g) {
    LLVMModuleRef carried = read_carried(g);
    if (!carried) {
        part_fail(g, "the carried kernels cannot be read");
        return false;
    }
    neutralise(g, carried);
    if (LLVMLinkModules2(g->module, carried)) {
        part_fail(g, "the carried kernels cannot be linked");
        return false;
    }
    for (LLVMValueRef f = LLVMGetFirstFunction(g->module); f; f = LLVMGetNextFunction(f)) {
        if (LLVMIsDeclaration(f) || LLVMGetLinkage(f) != LLVMLinkOnceODRLinkage) continue;
        LLVMSetLinkage(f, LLVMInternalLinkage);
        if (!kernels_shared(g->opt) || !is_kernel(f)) inline_always(g, f);
        else gen_function_attrs(g, f), gen_attr(g, f, LLVMAttributeFunctionIndex, "noinline", 0);
    }
    for (LLVMValueRef v = LLVMGetFirstGlobal(g->module); v; v = LLVMGetNextGlobal(v))
        if (!LLVMIsDeclaration(v) && LLVMGetLinkage(v) == LLVMLinkOnceODRLinkage) LLVMSetLinkage(v, LLVMInternalLinkage);
    return check_linked(g);
}
