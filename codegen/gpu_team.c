/* Teams: every thread of a block takes part until the end, as barriers and shuffles of whole warps need all of them. */
#include "codegen/gpu_team.h"

int team_size(int64_t elements, int64_t items) {
    enum { LONG = 2048, MANY = 4096 };
    if (elements < 8 || (elements < GPU_WARP && items >= MANY)) return 1;
    return elements >= LONG && items < MANY ? TEAM_BLOCK : GPU_WARP;
}

Team team_begin(Kernel *k, int size, LLVMValueRef items) {
    LLVMTypeRef type = LLVMTypeOf(items);
    LLVMValueRef flat = LLVMBuildTruncOrBitCast(k->b, gpu_flat_thread(k), type, "");
    Team t = {.k = k, .size = size};
    LLVMValueRef item = i_div(k, flat, size), last = i_plus(k, items, -1);
    t.lane = size == 1 ? i_like(flat, 0) : LLVMBuildURem(k->b, flat, i_like(flat, size), "");
    t.own = LLVMBuildICmp(k->b, LLVMIntSLT, item, items, "");
    LLVMBasicBlockRef none = LLVMAppendBasicBlockInContext(k->gen->llvm, k->fn, ""),
                      some = LLVMAppendBasicBlockInContext(k->gen->llvm, k->fn, "");
    LLVMBuildCondBr(k->b, LLVMBuildICmp(k->b, LLVMIntSGT, items, i_like(items, 0), ""), some, none);
    LLVMPositionBuilderAtEnd(k->b, none);
    LLVMBuildRetVoid(k->b);
    LLVMPositionBuilderAtEnd(k->b, some);
    t.item = LLVMBuildSelect(k->b, t.own, item, last, "");
    return t;
}

TeamLoop team_loop(Team *t, LLVMValueRef n, LLVMValueRef init) {
    Kernel *k = t->k;
    LLVMBasicBlockRef before = LLVMGetInsertBlock(k->b);
    TeamLoop l;
    l.head = LLVMAppendBasicBlockInContext(k->gen->llvm, k->fn, "");
    l.body = LLVMAppendBasicBlockInContext(k->gen->llvm, k->fn, "");
    l.exit = LLVMAppendBasicBlockInContext(k->gen->llvm, k->fn, "");
    LLVMBuildBr(k->b, l.head);
    LLVMPositionBuilderAtEnd(k->b, l.head);
    l.i = LLVMBuildPhi(k->b, LLVMTypeOf(n), "");
    LLVMAddIncoming(l.i, &t->lane, &before, 1);
    l.acc = init ? LLVMBuildPhi(k->b, LLVMTypeOf(init), "") : NULL;
    if (init) LLVMAddIncoming(l.acc, &init, &before, 1);
    LLVMBuildCondBr(k->b, LLVMBuildICmp(k->b, LLVMIntSLT, l.i, n, ""), l.body, l.exit);
    LLVMPositionBuilderAtEnd(k->b, l.body);
    return l;
}

void team_loop_end(Team *t, TeamLoop *l, LLVMValueRef next) {
    Kernel *k = t->k;
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(k->b);
    LLVMValueRef i = i_plus(k, l->i, t->size);
    LLVMAddIncoming(l->i, &i, &latch, 1);
    if (next) LLVMAddIncoming(l->acc, &next, &latch, 1);
    LLVMBuildBr(k->b, l->head);
    LLVMPositionBuilderAtEnd(k->b, l->exit);
}

/* the warps' results through shared memory: each thread folds them in one order */
static LLVMValueRef across_warps(Team *t, LLVMValueRef v, LLVMValueRef (*fold)(void *, LLVMValueRef, LLVMValueRef),
                                 void *arg) {
    enum { WARPS = TEAM_BLOCK / GPU_WARP };
    Kernel *k = t->k;
    LLVMTypeRef type = LLVMTypeOf(v), array = LLVMArrayType2(type, WARPS);
    LLVMValueRef shared = gpu_shared(k, array, 16), thread = gpu_thread(k, 0);
    LLVMValueRef at[2] = {gpu_i32(k, 0), LLVMBuildUDiv(k->b, thread, gpu_i32(k, GPU_WARP), "")}, sum = NULL;
    If leader = if_begin(k, LLVMBuildIsNull(k->b, LLVMBuildURem(k->b, thread, gpu_i32(k, GPU_WARP), ""), ""));
    LLVMBuildStore(k->b, v, LLVMBuildInBoundsGEP2(k->b, array, shared, at, 2, ""));
    if_end(k, &leader);
    gpu_barrier(k);
    for (int w = 0; w < WARPS; w++) {
        at[1] = gpu_i32(k, w);
        LLVMValueRef one = LLVMBuildLoad2(k->b, type, LLVMBuildInBoundsGEP2(k->b, array, shared, at, 2, ""), "");
        sum = sum ? fold(arg, sum, one) : one;
    }
    return sum;
}

LLVMValueRef team_fold(Team *t, LLVMValueRef v, LLVMValueRef (*fold)(void *, LLVMValueRef, LLVMValueRef), void *arg) {
    for (int mask = (t->size < GPU_WARP ? t->size : GPU_WARP) / 2; mask; mask /= 2)
        v = fold(arg, v, gpu_shuffle_xor(t->k, v, mask));
    return t->size > GPU_WARP ? across_warps(t, v, fold, arg) : v;
}

LLVMValueRef team_is_first(Team *t) { return LLVMBuildAnd(t->k->b, t->own, LLVMBuildIsNull(t->k->b, t->lane, ""), ""); }
