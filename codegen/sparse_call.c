/* Calls straight-line code of a sparse product (sparse.h) from a kernel. */
#include "codegen/sparse.h"

void sparse_call(Kernel *k, LLVMValueRef code, const SparseCall *c) {
    Gen *g = k->gen;
    LLVMValueRef none = LLVMConstNull(g->ptr);
    LLVMValueRef args[] = {c->x,      c->y,     c->residual ? c->residual : none, c->masks ? c->masks : none,
                           c->panels, c->blocks};
    enum { N = sizeof args / sizeof *args };
    LLVMTypeRef types[N];
    for (int i = 0; i < N; i++) types[i] = LLVMTypeOf(args[i]);
    LLVMTypeRef type = LLVMFunctionType(g->void_type, types, N, 0);
    LLVMBuildCall2(k->b, type, code, args, N, "");
}

LLVMValueRef sparse_all_blocks(Kernel *k, int64_t rows) {
    return gen_i64(k->gen, sparse_blocks(k->gen->target, rows) * ((int64_t)1 << 32));
}
