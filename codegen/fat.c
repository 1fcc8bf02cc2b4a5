/* Code of one model for several processors in one object. Each variant is compiled as it would be alone, for its own
 * target, the least one last; all refer to one section of weights, in which equal bytes stand once. What an app sees
 * are indirect functions (STT_GNU_IFUNC) in the least one's first part, whose resolver asks the processor once, as the
 * program is loaded. The variants' entries are hidden, and local once the parts are joined. */
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
static LLVMValueRef resolver(Gen *g, const char *what, LLVMValueRef least, LLVMTypeRef type) {
    const Fat *f = g->opt->fat;
    LLVMTypeRef level_type = LLVMFunctionType(g->i32, NULL, 0, 0);
    LLVMValueRef fn = LLVMAddFunction(g->module, "resolve", LLVMFunctionType(g->ptr, NULL, 0, 0)), best = least;
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    gen_function_attrs(g, fn);
    LLVMBuilderRef b = LLVMCreateBuilderInContext(g->llvm);
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(g->llvm, fn, "entry"));
    LLVMValueRef level = LLVMBuildCall2(b, level_type, level_function(g, level_type), NULL, 0, "");
    for (int i = f->n - 2; i >= 0; i--) {
        LLVMValueRef other = LLVMAddFunction(g->module, fat_symbol(g, what, f->variants[i].cpu), type);
        LLVMSetVisibility(other, LLVMHiddenVisibility);
        LLVMValueRef fits = LLVMBuildICmp(b, LLVMIntSGE, level, gen_i32(g, f->variants[i].level), "");
        best = LLVMBuildSelect(b, fits, other, best, "");
    }
    LLVMBuildRet(b, best);
    LLVMDisposeBuilder(b);
    return fn;
}

LLVMValueRef fat_function(Gen *g, LLVMValueRef fn, const char *what, const char *symbol) {
    LLVMSetLinkage(fn, LLVMExternalLinkage);
    LLVMSetVisibility(fn, LLVMHiddenVisibility);
    if (!fat_is_last(g->opt->fat)) return fn;
    LLVMTypeRef type = LLVMGlobalGetValueType(fn);
    LLVMValueRef chosen = LLVMAddGlobalIFunc(g->module, symbol ? symbol : what, strlen(symbol ? symbol : what), type, 0,
                                             resolver(g, what, fn, type));
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
