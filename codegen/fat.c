/* Code of one model for several processors in one object. Each variant is compiled as it would be alone, for its own
 * target, the least one last; all refer to one section of weights, in which equal bytes stand once. What an app sees
 * are indirect functions (STT_GNU_IFUNC) in the least one's first part, whose resolver asks the processor once, as the
 * program is loaded; where a loader knows none, functions that ask at the first call and keep the answer in one word,
 * the only byte that is writable. The variants' entries are hidden, and local once the parts are joined. */
#include <stdlib.h>
#include <string.h>
#include "codegen/gen.h"

bool fat_is_last(const Fat *f) { return f->at == f->n - 1; }

const char *fat_symbol(Gen *g, const char *what, const char *cpu) {
    return arena_printf(g->ctx->arena, "%s_%s.%s", g->opt->name, what, cpu);
}

/* ---- constants ---- */

/* room for `most` more behind those that there are */
Segment *fat_segments(Arena *a, const Segments *all, int most) {
    Segment *list = ARENA_ARRAY(a, all->n + most, Segment);
    if (all->n) memcpy(list, all->list, sizeof *list * (size_t)all->n);
    return list;
}

void fat_take_plan(Fat *f, Plan *p) {
    f->variants[f->at].added = p->weights_bytes - f->weights.bytes;
    f->weights = (Segments){p->weights, p->n_weights, p->weights_bytes};
    f->code = p->code;
    if (p->workspace < f->workspace) p->workspace = f->workspace;
    f->workspace = p->workspace;
}

/* ---- functions ---- */

static LLVMValueRef level_function(Gen *g, LLVMTypeRef type) {
    static const char name[] = "mcc_x86_level";
    LLVMValueRef fn = LLVMGetNamedFunction(g->module, name);
    return fn ? fn : LLVMAddFunction(g->module, name, type);
}

/* The variant whose level is the highest that the processor reaches; the last needs no asking. */
static LLVMValueRef choose(Gen *g, LLVMBuilderRef b, LLVMValueRef level, const char *what, LLVMValueRef least) {
    const Fat *f = g->opt->fat;
    LLVMValueRef best = least;
    for (int i = f->n - 2; i >= 0; i--) {
        LLVMValueRef other =
            LLVMAddFunction(g->module, fat_symbol(g, what, f->variants[i].cpu), LLVMGlobalGetValueType(least));
        LLVMSetVisibility(other, LLVMHiddenVisibility);
        LLVMValueRef fits = LLVMBuildICmp(b, LLVMIntSGE, level, gen_i32(g, f->variants[i].level), "");
        best = LLVMBuildSelect(b, fits, other, best, "");
    }
    return best;
}

static LLVMValueRef ask_level(Gen *g, LLVMBuilderRef b) {
    LLVMTypeRef type = LLVMFunctionType(g->i32, NULL, 0, 0);
    return LLVMBuildCall2(b, type, level_function(g, type), NULL, 0, "");
}

static LLVMValueRef resolver(Gen *g, const char *what, LLVMValueRef least) {
    LLVMValueRef fn = LLVMAddFunction(g->module, "resolve", LLVMFunctionType(g->ptr, NULL, 0, 0));
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    gen_function_attrs(g, fn);
    LLVMBuilderRef b = LLVMCreateBuilderInContext(g->llvm);
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(g->llvm, fn, "entry"));
    LLVMBuildRet(b, choose(g, b, ask_level(g, b), what, least));
    LLVMDisposeBuilder(b);
    return fn;
}

/* The level, 0 until a call has asked for it. Calls that come together all ask, and write the same. */
static LLVMValueRef level_word(Gen *g) {
    LLVMValueRef word = LLVMGetNamedGlobal(g->module, "level");
    if (word) return word;
    word = LLVMAddGlobal(g->module, g->i32, "level");
    LLVMSetInitializer(word, gen_i32(g, 0));
    LLVMSetLinkage(word, LLVMInternalLinkage);
    LLVMSetAlignment(word, 4);
    LLVMSetSection(word, ".data"); /* parts with sections without bytes are not joined */
    return word;
}

static LLVMValueRef load_level(Gen *g, LLVMBuilderRef b, LLVMValueRef fn) {
    LLVMBasicBlockRef from = LLVMGetInsertBlock(b), ask = LLVMAppendBasicBlockInContext(g->llvm, fn, "ask"),
                      known = LLVMAppendBasicBlockInContext(g->llvm, fn, "known");
    LLVMValueRef word = level_word(g), old = LLVMBuildLoad2(b, g->i32, word, "");
    LLVMSetAlignment(old, 4);
    LLVMSetOrdering(old, LLVMAtomicOrderingMonotonic);
    LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntEQ, old, gen_i32(g, 0), ""), ask, known);
    LLVMPositionBuilderAtEnd(b, ask);
    LLVMValueRef asked = ask_level(g, b), store = LLVMBuildStore(b, asked, word);
    LLVMSetAlignment(store, 4);
    LLVMSetOrdering(store, LLVMAtomicOrderingMonotonic);
    LLVMBuildBr(b, known);
    LLVMPositionBuilderAtEnd(b, known);
    LLVMValueRef level = LLVMBuildPhi(b, g->i32, "");
    LLVMAddIncoming(level, (LLVMValueRef[]){old, asked}, (LLVMBasicBlockRef[]){from, ask}, 2);
    return level;
}

/* For loaders without indirect functions: a function that hands each call on. */
static LLVMValueRef forwarder(Gen *g, const char *symbol, const char *what, LLVMValueRef least) {
    LLVMTypeRef type = LLVMGlobalGetValueType(least);
    LLVMValueRef fn = LLVMAddFunction(g->module, symbol, type);
    unsigned n = LLVMCountParams(fn);
    LLVMValueRef *args = ARENA_ARRAY(g->ctx->arena, n + 1, LLVMValueRef);
    LLVMGetParams(fn, args);
    gen_function_attrs(g, fn);
    LLVMBuilderRef b = LLVMCreateBuilderInContext(g->llvm);
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(g->llvm, fn, "entry"));
    LLVMValueRef call = LLVMBuildCall2(b, type, choose(g, b, load_level(g, b, fn), what, least), args, n, "");
    LLVMSetTailCall(call, true);
    LLVMBuildRet(b, call);
    LLVMDisposeBuilder(b);
    return fn;
}

/* musl's loader, for one, does not resolve them */
static bool has_indirect_functions(const Target *t) {
    return strstr(t->triple, "-gnu") || strstr(t->triple, "freebsd");
}

LLVMValueRef fat_function(Gen *g, LLVMValueRef fn, const char *what, const char *symbol) {
    LLVMSetLinkage(fn, LLVMExternalLinkage);
    LLVMSetVisibility(fn, LLVMHiddenVisibility);
    if (!fat_is_last(g->opt->fat)) return fn;
    const char *name = symbol ? symbol : what;
    LLVMValueRef chosen =
        has_indirect_functions(g->opt->target)
            ? LLVMAddGlobalIFunc(g->module, name, strlen(name), LLVMGlobalGetValueType(fn), 0, resolver(g, what, fn))
            : forwarder(g, name, what, fn);
    if (!symbol) LLVMSetLinkage(chosen, LLVMInternalLinkage);
    return chosen;
}

/* ---- objects ---- */

void fat_take_objects(Fat *f, Gen *g) {
    for (int i = 0; i < g->n_parts; i++) {
        LLVMMemoryBufferRef *more = realloc(f->objects, sizeof *more * ((size_t)f->n_objects + 1));
        if (!more) mem_fail(g->ctx, sizeof *more);
        f->objects = more;
        f->objects[f->n_objects++] = g->parts[i]->object;
        g->parts[i]->object = NULL;
    }
}

void fat_free(Fat *f) {
    for (int i = 0; i < f->n_objects; i++) LLVMDisposeMemoryBuffer(f->objects[i]);
    free(f->objects);
    f->objects = NULL, f->n_objects = 0;
}
