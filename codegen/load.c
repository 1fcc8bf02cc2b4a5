/* Runs the object in this process: the very bytes that would be written, linked by ORC. */
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <stdlib.h>
#include <string.h>
#include "codegen/gen.h"
#include "runtime/cuda/program.h"

struct LoadedModel {
    LLVMOrcLLJITRef jit;
    const mcc_model *model;
};

static bool failed(Ctx *ctx, LLVMErrorRef e) {
    if (!e) return false;
    char *message = LLVMGetErrorMessage(e);
    diag_error(ctx, NULL, "the object cannot be run in this process: %s", message);
    LLVMDisposeErrorMessage(message);
    return true;
}

/* what objects may leave undefined for mcc's libraries */
static LLVMErrorRef define_runtime(LLVMOrcLLJITRef jit, LLVMOrcJITDylibRef main) {
    static const struct {
        const char *name;
        void (*function)(void);
    } all[] = {{"mcc_parallel_for", (void (*)(void))mcc_parallel_for},
               {"mcc_cuda_open", (void (*)(void))mcc_cuda_open},
               {"mcc_cuda_close", (void (*)(void))mcc_cuda_close},
               {"mcc_cuda_wait", (void (*)(void))mcc_cuda_wait},
               {"mcc_cuda_run_on_host", (void (*)(void))mcc_cuda_run_on_host},
               {"mcc_cuda_run_on_stream", (void (*)(void))mcc_cuda_run_on_stream},
               {"mcc_cuda_launch", (void (*)(void))mcc_cuda_launch},
               {"mcc_cuda_copy", (void (*)(void))mcc_cuda_copy}};
    enum { N = sizeof all / sizeof *all };
    LLVMOrcCSymbolMapPair pairs[N];
    for (size_t i = 0; i < N; i++)
        pairs[i] = (LLVMOrcCSymbolMapPair){
            LLVMOrcLLJITMangleAndIntern(jit, all[i].name),
            {(uintptr_t)all[i].function, {LLVMJITSymbolGenericFlagsExported, 0}}};
    return LLVMOrcJITDylibDefine(main, LLVMOrcAbsoluteSymbols(pairs, N));
}

static bool add_object(Ctx *ctx, LLVMOrcLLJITRef jit, const Code *c) {
    LLVMOrcJITDylibRef main = LLVMOrcLLJITGetMainJITDylib(jit);
    LLVMOrcDefinitionGeneratorRef process;
    if (failed(ctx, LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&process, LLVMOrcLLJITGetGlobalPrefix(jit), NULL, NULL)))
        return false;
    LLVMOrcJITDylibAddGenerator(main, process); /* memcpy and its like */
    if (failed(ctx, define_runtime(jit, main))) return false;
    char *bytes;
    size_t n;
    if (!object_with_weights(ctx, c, &bytes, &n)) return false;
    LLVMMemoryBufferRef buffer = LLVMCreateMemoryBufferWithMemoryRangeCopy(bytes, n, "model.o");
    free(bytes);
    return !failed(ctx, LLVMOrcLLJITAddObjectFile(jit, main, buffer));
}

LoadedModel *code_load(Ctx *ctx, const Code *c) {
    LLVMOrcLLJITRef jit;
    if (failed(ctx, LLVMOrcCreateLLJIT(&jit, NULL))) return NULL;
    LLVMOrcExecutorAddress address = 0;
    char name[256];
    snprintf(name, sizeof name, "%s_model", c->name);
    if (!add_object(ctx, jit, c) || failed(ctx, LLVMOrcLLJITLookup(jit, &address, name))) {
        LLVMConsumeError(LLVMOrcDisposeLLJIT(jit));
        return NULL;
    }
    LoadedModel *m = malloc(sizeof *m);
    if (!m) {
        LLVMConsumeError(LLVMOrcDisposeLLJIT(jit));
        mem_fail(ctx, sizeof *m);
    }
    *m = (LoadedModel){jit, (const mcc_model *)(uintptr_t)address};
    return m;
}

const mcc_model *loaded_model(const LoadedModel *m) { return m->model; }

void *loaded_symbol(const LoadedModel *m, const char *name) {
    LLVMOrcExecutorAddress address = 0;
    LLVMErrorRef e = LLVMOrcLLJITLookup(m->jit, &address, name);
    if (e) LLVMConsumeError(e);
    return e ? NULL : (void *)(uintptr_t)address;
}

void code_unload(LoadedModel *m) {
    if (!m) return;
    LLVMErrorRef e = LLVMOrcDisposeLLJIT(m->jit);
    if (e) LLVMConsumeError(e);
    free(m);
}
