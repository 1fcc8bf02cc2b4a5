/* Kernels in chunks. How many there are and what each does is fixed here, by the node alone, so that any number of
 * threads computes the same bits; mcc_parallel_for gets a function that calls the kernel with its arguments from a
 * struct. */
#include "codegen/gen.h"

enum { CHUNK_OPERATIONS = 32000 /* on vectors: some ten microseconds */, MOST_CHUNKS = 8 };

int node_chunks(const CodeOptions *o, const Node *n) {
    const Emitter *e = emitter_of(n);
    int most = o->max_threads < MOST_CHUNKS ? o->max_threads : MOST_CHUNKS, chunks = 1;
    if (e->most_chunks && e->most_chunks(n) < most) most = e->most_chunks(n);
    double work = most > 1 && e->work ? e->work(n) : 0;
    if (o->cut_always) return work > 0 ? most : 1;
    while (chunks * 2 <= most && work >= 2.0 * chunks * CHUNK_OPERATIONS) chunks *= 2;
    return chunks;
}

double largest_count(const Value *v) {
    double n = 1;
    for (int i = 0; i < v->type.rank; i++) n *= (double)v->type.dims[i]->hi;
    return n;
}

static double longest(int64_t units, int parts) { /* of `parts` shares of them */
    return units ? (double)((units + parts - 1) / parts) / (double)units : 1.0 / parts;
}

Grid grid_choose(int chunks, int64_t rows, int64_t cols, double each_row, double each_col) {
    Grid best = {chunks, 1};
    double least = 1e300;
    for (int r = chunks; r >= 1; r--) {
        if (chunks % r) continue;
        double down = longest(rows, r), across = longest(cols, chunks / r);
        double cost = down * across + each_row * down + each_col * across;
        if (cost < least) least = cost, best = (Grid){r, chunks / r};
    }
    return best;
}

Range kernel_share(Kernel *k, LLVMValueRef n, int inner, int of) {
    LLVMBuilderRef b = k->b;
    Gen *g = k->gen;
    if (of == 1) return (Range){gen_i64(g, 0), n};
    LLVMValueRef i = LLVMBuildURem(b, LLVMBuildUDiv(b, k->chunk, gen_i64(g, inner), ""), gen_i64(g, of), "");
    LLVMValueRef next = LLVMBuildNSWAdd(b, i, gen_i64(g, 1), ""), parts = gen_i64(g, of);
    return (Range){LLVMBuildUDiv(b, LLVMBuildNSWMul(b, n, i, ""), parts, ""),
                   LLVMBuildUDiv(b, LLVMBuildNSWMul(b, n, next, ""), parts, "")};
}

/* void (void *ctx, int32_t chunk, int32_t slot): the kernel with ctx's arguments */
static LLVMValueRef chunk_function(Gen *g, LLVMValueRef fn, LLVMTypeRef type, LLVMTypeRef frame, int n) {
    LLVMTypeRef params[3] = {g->ptr, g->i32, g->i32};
    LLVMValueRef made = LLVMAddFunction(g->module, "chunk", LLVMFunctionType(g->void_type, params, 3, 0));
    LLVMSetLinkage(made, LLVMInternalLinkage);
    gen_function_attrs(g, made);
    LLVMBuilderRef b = LLVMCreateBuilderInContext(g->llvm);
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(g->llvm, made, "entry"));
    LLVMValueRef *args = ARENA_ARRAY(g->ctx->arena, n + 1, LLVMValueRef);
    for (int i = 0; i < n; i++)
        args[i] = LLVMBuildLoad2(b, LLVMStructGetTypeAtIndex(frame, (unsigned)i),
                                 LLVMBuildStructGEP2(b, frame, LLVMGetParam(made, 0), (unsigned)i, ""), "");
    args[n] = LLVMBuildSExt(b, LLVMGetParam(made, 1), g->i64, "");
    LLVMBuildCall2(b, type, fn, args, (unsigned)n + 1, "");
    LLVMBuildRetVoid(b);
    LLVMDisposeBuilder(b);
    return made;
}

static LLVMValueRef parallel_for(Gen *g, LLVMTypeRef type) {
    LLVMValueRef fn = LLVMGetNamedFunction(g->module, "mcc_parallel_for");
    if (fn) return fn;
    fn = LLVMAddFunction(g->module, "mcc_parallel_for", type);
    gen_attr(g, fn, LLVMAttributeFunctionIndex, "nounwind", 0);
    return fn;
}

void parallel_call(Gen *g, LLVMBuilderRef b, LLVMValueRef fn, LLVMTypeRef type, LLVMValueRef *args, int n, int chunks) {
    LLVMTypeRef *types = ARENA_ARRAY(g->ctx->arena, n + 1, LLVMTypeRef), params[3] = {g->i32, g->ptr, g->ptr};
    LLVMGetParamTypes(type, types);
    LLVMTypeRef frame = LLVMStructTypeInContext(g->llvm, types, (unsigned)n, 0);
    LLVMValueRef at = gen_alloca(g, b, frame, 16);
    for (int i = 0; i < n; i++) LLVMBuildStore(b, args[i], LLVMBuildStructGEP2(b, frame, at, (unsigned)i, ""));
    LLVMTypeRef for_type = LLVMFunctionType(g->void_type, params, 3, 0);
    LLVMValueRef own[3] = {gen_i32(g, chunks), chunk_function(g, fn, type, frame, n), at};
    LLVMBuildCall2(b, for_type, parallel_for(g, for_type), own, 3, "");
}
