/* Whether a target's code can run on this machine. What a CPU's name implies only LLVM knows, and its C API does not
 * tell; but it inlines a function into another only where the other one may use every feature that the former may. So
 * an empty function for the target is called from one for this machine, and what inlining makes of it is the answer.
 * Where LLVM cannot say, the code is taken to run. */
#include "targets/target.h"
#include <llvm-c/Core.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <stdlib.h>
#include <string.h>

/* CPUs' names imply these too, and virtual machines often lack them; generated code has no use for them. */
static const char unused[] =
    ",+adx,+aes,+amx-bf16,+amx-int8,+amx-tile,+cldemote,+clflushopt,+clwb,+clzero,+enqcmd,+ermsb,+fsgsbase,+fsrm,+"
    "hreset"
    ",+invpcid,+kl,+lwp,+movdir64b,+movdiri,+mwaitx,+pclmul,+pconfig,+pku,+prefetchi,+prfchw,+ptwrite,+rdpid,+rdpru"
    ",+rdrnd,+rdseed,+rtm,+serialize,+sgx,+sha,+shstk,+sse4a,+tsxldtrk,+uintr,+vaes,+vpclmulqdq,+waitpkg,+wbnoinvd"
    ",+widekl,+xsave,+xsavec,+xsaveopt,+xsaves";

static void set(LLVMValueRef f, const char *key, const char *value) {
    LLVMContextRef c = LLVMGetModuleContext(LLVMGetGlobalParent(f));
    LLVMAddAttributeAtIndex(f, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateStringAttribute(c, key, (unsigned)strlen(key), value, (unsigned)strlen(value)));
}

/* void name(void), which calls `calls`, for that CPU; tuned as the host's, as tuning keeps nothing from running */
static LLVMValueRef add_function(LLVMModuleRef m, const char *name, LLVMValueRef calls, const char *cpu,
                                 const char *features, const char *host) {
    LLVMContextRef c = LLVMGetModuleContext(m);
    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(c), NULL, 0, 0);
    LLVMValueRef f = LLVMAddFunction(m, name, type);
    LLVMBuilderRef b = LLVMCreateBuilderInContext(c);
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(c, f, ""));
    if (calls) LLVMBuildCall2(b, type, calls, NULL, 0, "");
    LLVMBuildRetVoid(b);
    LLVMDisposeBuilder(b);
    set(f, "target-cpu", cpu);
    set(f, "target-features", features);
    set(f, "tune-cpu", host);
    return f;
}

static bool inlines(const Target *t, LLVMTargetRef ref, const char *cpu, const char *features) {
    LLVMContextRef c = LLVMContextCreate();
    LLVMModuleRef m = LLVMModuleCreateWithNameInContext("runs_here", c);
    LLVMTargetMachineRef machine = LLVMCreateTargetMachine(ref, t->triple, cpu, features, LLVMCodeGenLevelNone,
                                                           LLVMRelocPIC, LLVMCodeModelDefault);
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMSetTarget(m, t->triple);
    LLVMValueRef theirs = add_function(m, "theirs", NULL, *t->cpu ? t->cpu : "generic", t->features, cpu),
                 ours = add_function(m, "ours", theirs, cpu, features, cpu);
    LLVMErrorRef e = LLVMRunPasses(m, "cgscc(inline)", machine, options);
    bool good = e || !LLVMIsACallInst(LLVMGetFirstInstruction(LLVMGetEntryBasicBlock(ours)));
    if (e) LLVMConsumeError(e);
    LLVMDisposePassBuilderOptions(options);
    LLVMDisposeTargetMachine(machine);
    LLVMDisposeModule(m);
    LLVMContextDispose(c);
    return good;
}

bool target_runs_here(const Target *t) {
    LLVMTargetRef ref;
    char *message = NULL;
    if (!target_is_host(t)) return false;
    if (LLVMGetTargetFromTriple(t->triple, &ref, &message)) {
        LLVMDisposeMessage(message);
        return false;
    }
    char *cpu = LLVMGetHostCPUName(), *own = LLVMGetHostCPUFeatures();
    size_t n = strlen(own) + sizeof unused;
    char *all = malloc(n);
    bool good = true;
    if (all) {
        snprintf(all, n, "%s%s", own, !strncmp(t->triple, "x86_64", 6) ? unused : "");
        good = inlines(t, ref, cpu, all);
    }
    free(all);
    LLVMDisposeMessage(cpu);
    LLVMDisposeMessage(own);
    return good;
}
