/* Runs the object in this process: the very bytes that would be written, linked by ORC. */
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <stdlib.h>
#include <string.h>
#include "codegen/gen.h"

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

static bool add_object(Ctx *ctx, LLVMOrcLLJITRef jit, const Code *c) {
    LLVMOrcJITDylibRef main = LLVMOrcLLJITGetMainJITDylib(jit);
    LLVMOrcDefinitionGeneratorRef process;
    if (failed(ctx, LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&process, LLVMOrcLLJITGetGlobalPrefix(jit), NULL, NULL)))
        return false;
    LLVMOrcJITDylibAddGenerator(main, process); /* memcpy and its like */
    LLVMJITEvaluatedSymbol threads = {(uintptr_t)mcc_parallel_for, {LLVMJITSymbolGenericFlagsExported, 0}};
    LLVMOrcCSymbolMapPair symbol = {LLVMOrcLLJITMangleAndIntern(jit, "mcc_parallel_for"), threads};
    if (failed(ctx, LLVMOrcJITDylibDefine(main, LLVMOrcAbsoluteSymbols(&symbol, 1)))) return false;
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
