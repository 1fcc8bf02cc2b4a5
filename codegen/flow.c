/* Loops, branches and integer arithmetic in a kernel. Constants fold as they are built: a loop that makes at most one
 * turn leaves no loop behind. Loops carry the mark that keeps LLVM from unrolling them: tiles are as wide as the
 * registers allow already, and unrolled ones spill. */
#include <llvm-c/DebugInfo.h>
#include <string.h>
#include "codegen/contract.h"

bool i_is_const(LLVMValueRef v, int64_t *out) {
    if (!LLVMIsAConstantInt(v)) return false;
    *out = (int64_t)LLVMConstIntGetSExtValue(v);
    return true;
}

LLVMValueRef i_like(LLVMValueRef v, int64_t n) { return LLVMConstInt(LLVMTypeOf(v), (uint64_t)n, 1); }

LLVMValueRef i_add(Kernel *k, LLVMValueRef a, LLVMValueRef b) {
    int64_t c;
    if (i_is_const(b, &c) && c == 0) return a;
    if (i_is_const(a, &c) && c == 0) return b;
    return LLVMBuildNSWAdd(k->b, a, b, "");
}

LLVMValueRef i_sub(Kernel *k, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildNSWSub(k->b, a, b, ""); }

LLVMValueRef i_mul(Kernel *k, LLVMValueRef a, LLVMValueRef b) {
    int64_t c;
    if (i_is_const(b, &c)) return i_scale(k, a, c);
    if (i_is_const(a, &c)) return i_scale(k, b, c);
    return LLVMBuildNSWMul(k->b, a, b, "");
}

LLVMValueRef i_scale(Kernel *k, LLVMValueRef a, int64_t by) {
    if (by == 1) return a;
    if (by == 0) return i_like(a, 0);
    return LLVMBuildNSWMul(k->b, a, i_like(a, by), "");
}

LLVMValueRef i_plus(Kernel *k, LLVMValueRef a, int64_t more) { return i_add(k, a, i_like(a, more)); }

static LLVMValueRef pick(Kernel *k, LLVMValueRef a, LLVMValueRef b, LLVMIntPredicate first) {
    int64_t x, y;
    if (i_is_const(a, &x) && i_is_const(b, &y)) return (first == LLVMIntSLT ? x < y : x > y) ? a : b;
    return LLVMBuildSelect(k->b, LLVMBuildICmp(k->b, first, a, b, ""), a, b, "");
}

LLVMValueRef i_min(Kernel *k, LLVMValueRef a, LLVMValueRef b) { return pick(k, a, b, LLVMIntSLT); }
LLVMValueRef i_max(Kernel *k, LLVMValueRef a, LLVMValueRef b) { return pick(k, a, b, LLVMIntSGT); }

LLVMValueRef i_div(Kernel *k, LLVMValueRef a, int64_t by) {
    return by == 1 ? a : LLVMBuildUDiv(k->b, a, i_like(a, by), "");
}

LLVMValueRef i_div_up(Kernel *k, LLVMValueRef a, int64_t by) {
    return by == 1 ? a : i_div(k, i_plus(k, a, by - 1), by);
}

LLVMValueRef element_at(Kernel *k, LLVMTypeRef element, LLVMValueRef base, LLVMValueRef elements) {
    return LLVMBuildInBoundsGEP2(k->b, element, base, &elements, 1, "");
}

LLVMValueRef f32_at(Kernel *k, LLVMValueRef base, LLVMValueRef elements) {
    return element_at(k, k->gen->f32, base, elements);
}

LLVMValueRef kernel_dims(Kernel *k, const Dim *dims, int n) {
    LLVMValueRef p = gen_i64(k->gen, 1);
    for (int i = 0; i < n; i++) p = i_mul(k, p, kernel_dim(k, dims[i]));
    return p;
}

static LLVMBasicBlockRef new_block(Kernel *k) { return LLVMAppendBasicBlockInContext(k->gen->llvm, k->fn, ""); }

static void mark_rolled(Gen *g, LLVMValueRef branch) {
    static const char mark[] = "llvm.loop.unroll.disable", kind[] = "llvm.loop";
    LLVMMetadataRef text = LLVMMDStringInContext2(g->llvm, mark, sizeof mark - 1);
    LLVMMetadataRef self = LLVMTemporaryMDNode(g->llvm, NULL, 0);
    LLVMMetadataRef parts[2] = {self, LLVMMDNodeInContext2(g->llvm, &text, 1)},
                    id = LLVMMDNodeInContext2(g->llvm, parts, 2);
    LLVMMetadataReplaceAllUsesWith(self, id);
    LLVMSetMetadata(branch, LLVMGetMDKindIDInContext(g->llvm, kind, sizeof kind - 1), LLVMMetadataAsValue(g->llvm, id));
}

/* how often the body runs for each time that the loop is left: registers go to what runs most */
static void mark_turns(Gen *g, LLVMValueRef branch, int64_t turns) {
    static const char name[] = "branch_weights", kind[] = "prof";
    if (turns > INT32_MAX) turns = INT32_MAX;
    LLVMMetadataRef parts[3] = {LLVMMDStringInContext2(g->llvm, name, sizeof name - 1),
                                LLVMValueAsMetadata(gen_i32(g, (int)turns)), LLVMValueAsMetadata(gen_i32(g, 1))};
    LLVMValueRef weights = LLVMMetadataAsValue(g->llvm, LLVMMDNodeInContext2(g->llvm, parts, 3));
    LLVMSetMetadata(branch, LLVMGetMDKindIDInContext(g->llvm, kind, sizeof kind - 1), weights);
}

/* Where pointers have 32 bits, so have loops' counts: an index of 64 would take a pair of registers, and two instructions
 * to add to it and to compare it. */
static LLVMValueRef as_count(Kernel *k, LLVMValueRef i) {
    bool narrows = k->gen->target->pointer_bits == 32 && LLVMTypeOf(i) == k->gen->i64;
    return narrows ? LLVMBuildTrunc(k->b, i, k->gen->size_type, "") : i;
}

For for_begin(Kernel *k, LLVMValueRef from, LLVMValueRef to, int64_t step) {
    int64_t a, z;
    For f = {.i = from, .step = step};
    bool constant = i_is_const(from, &a) && i_is_const(to, &z);
    if (constant && a < z && z - a <= step) return f;
    LLVMBasicBlockRef before = LLVMGetInsertBlock(k->b), body = new_block(k);
    LLVMValueRef first = as_count(k, from), end = as_count(k, to);
    f.head = new_block(k);
    f.exit = new_block(k);
    LLVMBuildBr(k->b, f.head);
    LLVMPositionBuilderAtEnd(k->b, f.head);
    f.count = LLVMBuildPhi(k->b, LLVMTypeOf(first), "");
    LLVMAddIncoming(f.count, &first, &before, 1);
    f.i = LLVMTypeOf(first) == LLVMTypeOf(from) ? f.count : LLVMBuildSExt(k->b, f.count, LLVMTypeOf(from), "");
    LLVMValueRef branch = LLVMBuildCondBr(k->b, LLVMBuildICmp(k->b, LLVMIntSLT, f.count, end, ""), body, f.exit);
    if (constant && a < z) mark_turns(k->gen, branch, (z - a + step - 1) / step);
    LLVMPositionBuilderAtEnd(k->b, body);
    return f;
}

For for_count(Kernel *k, int64_t n) { return for_begin(k, gen_i64(k->gen, 0), gen_i64(k->gen, n), 1); }

void for_end(Kernel *k, For *f) {
    if (!f->head) return;
    LLVMValueRef next = i_plus(k, f->count, f->step);
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(k->b);
    LLVMAddIncoming(f->count, &next, &latch, 1);
    mark_rolled(k->gen, LLVMBuildBr(k->b, f->head));
    LLVMPositionBuilderAtEnd(k->b, f->exit);
}

If if_begin(Kernel *k, LLVMValueRef cond) {
    LLVMBasicBlockRef then = new_block(k);
    If f = {new_block(k), new_block(k)};
    LLVMBuildCondBr(k->b, cond, then, f.other);
    LLVMPositionBuilderAtEnd(k->b, then);
    return f;
}

void if_else(Kernel *k, If *f) {
    LLVMBuildBr(k->b, f->join);
    LLVMPositionBuilderAtEnd(k->b, f->other);
    f->other = NULL;
}

void if_end(Kernel *k, If *f) {
    if (f->other) if_else(k, f);
    LLVMBuildBr(k->b, f->join);
    LLVMPositionBuilderAtEnd(k->b, f->join);
}
