/* What 32-bit cores have no instruction for becomes calls as LLVM selects instructions: __aeabi_fadd, __aeabi_uldivmod,
 * sqrt, … An object may not ask its app for them, so the code is generated once to see what it calls, and the helpers
 * of that name, carried as bitcode (runtime/builtins/soft*.c), are linked into the module as local functions before
 * it is generated for good. Helpers call helpers: their own code is looked at in the same way, until nothing is new. */
#include <llvm-c/Linker.h>
#include <string.h>
#include "codegen/gen.h"

#define CALLED "mcc_call_" /* helpers that are not the run-time ABI's have their name behind this */
static const char mark[] = "mcc-helper";

bool is_helper(LLVMValueRef f) {
    return LLVMGetStringAttributeAtIndex(f, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, mark, sizeof mark - 1) !=
           NULL;
}

/* the carried function for an undefined symbol; NULL: the app's */
static LLVMValueRef find_helper(Gen *g, LLVMModuleRef carried, const char *symbol) {
    char name[128];
    bool aeabi = !strncmp(symbol, "__aeabi_", 8);
    if (!g->target->bare && !strncmp(symbol, "__aeabi_mem", 11)) return NULL; /* a system's C library has them */
    snprintf(name, sizeof name, "%s%s", aeabi ? "" : CALLED, symbol);
    return LLVMGetNamedFunction(carried, name);
}

static LLVMMemoryBufferRef generate(Gen *g, LLVMModuleRef m) {
    char *message = NULL;
    LLVMMemoryBufferRef object = NULL;
    LLVMModuleRef copy = LLVMCloneModule(m);
    if (LLVMTargetMachineEmitToMemoryBuffer(g->machine, copy, LLVMObjectFile, &message, &object)) {
        part_fail(g, "code generation: %s", message);
        LLVMDisposeMessage(message);
        object = NULL;
    }
    LLVMDisposeModule(copy);
    return object;
}

/* Declares in `helpers` what m's code calls; -1: failed. */
static int declare_called(Gen *g, LLVMModuleRef m, LLVMModuleRef helpers, LLVMModuleRef carried) {
    LLVMMemoryBufferRef object = generate(g, m);
    int n = 0;
    if (!object) return -1;
    size_t at = 0;
    for (const char *symbol; (symbol = object_next_undefined(object, &at));) {
        LLVMValueRef f = find_helper(g, carried, symbol);
        if (!f || LLVMGetNamedFunction(helpers, LLVMGetValueName(f))) continue;
        LLVMValueRef here = LLVMAddFunction(helpers, LLVMGetValueName(f), LLVMGlobalGetValueType(f));
        LLVMSetFunctionCallConv(here, LLVMGetFunctionCallConv(f));
        n++;
    }
    LLVMDisposeMemoryBuffer(object);
    return n;
}

/* The carried definitions of what `helpers` declares, and what these call by name: each once, so small is what counts.
 */
static bool define_helpers(Gen *g, LLVMModuleRef helpers, LLVMModuleRef carried) {
    neutralise(g, carried);
    if (LLVMLinkModules2(helpers, carried)) {
        part_fail(g, "the carried helpers cannot be linked");
        return false;
    }
    for (LLVMValueRef f = LLVMGetFirstFunction(helpers); f; f = LLVMGetNextFunction(f)) {
        if (LLVMIsDeclaration(f) || LLVMGetLinkage(f) != LLVMLinkOnceODRLinkage) continue;
        LLVMSetLinkage(f, LLVMExternalLinkage);
        gen_function_attrs(g, f);
        gen_attr(g, f, LLVMAttributeFunctionIndex, "noinline", 0);
        gen_attr(g, f, LLVMAttributeFunctionIndex, "optsize", 0);
    }
    return part_run_passes(g, helpers, "default<Os>");
}

/* all that `from` calls and mcc has; false: nothing, or g->error */
static bool collect(Gen *g, LLVMModuleRef helpers) {
    bool any = false;
    for (LLVMModuleRef m = g->module; !g->error[0]; m = helpers) {
        LLVMModuleRef carried = read_carried(g);
        int n = carried ? declare_called(g, m, helpers, carried) : -1;
        if (n > 0) {
            any = define_helpers(g, helpers, carried);
            continue;
        }
        if (!carried) part_fail(g, "the carried kernels cannot be read");
        else LLVMDisposeModule(carried);
        break;
    }
    return any && !g->error[0];
}

/* the names that LLVM calls them by, for this module alone; made local once they are there, as linking leaves local
 * functions out that nothing refers to */
static bool take_over(Gen *g, LLVMModuleRef helpers) {
    size_t prefix = strlen(CALLED);
    for (LLVMValueRef f = LLVMGetFirstFunction(helpers); f; f = LLVMGetNextFunction(f)) {
        if (LLVMIsDeclaration(f)) continue;
        LLVMAddAttributeAtIndex(f, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                                LLVMCreateStringAttribute(g->llvm, mark, sizeof mark - 1, "", 0));
        const char *name = LLVMGetValueName(f);
        if (strncmp(name, CALLED, prefix) != 0) continue;
        char plain[128];
        snprintf(plain, sizeof plain, "%s", name + prefix);
        LLVMSetValueName2(f, plain, strlen(plain));
    }
    if (LLVMLinkModules2(g->module, helpers)) part_fail(g, "the carried helpers cannot be linked");
    for (LLVMValueRef f = LLVMGetFirstFunction(g->module); f; f = LLVMGetNextFunction(f))
        if (is_helper(f)) LLVMSetLinkage(f, LLVMInternalLinkage);
    return !g->error[0];
}

bool helpers_link(Gen *g) {
    if (g->target->pointer_bits != 32) return true;
    LLVMModuleRef helpers = LLVMModuleCreateWithNameInContext("helpers", g->llvm);
    LLVMSetTarget(helpers, g->target->triple);
    LLVMSetModuleDataLayout(helpers, g->layout);
    if (collect(g, helpers)) return take_over(g, helpers);
    LLVMDisposeModule(helpers);
    return !g->error[0];
}
