/* Vectors of float16 and bfloat16, which travel as 16 bits, as float32. Exact; a signalling NaN may become a quiet one.
 */
#include "codegen/contract.h"

bool vec_has_widening(const Node *n) {
    Dtype from = n->op == OP_Cast ? n->in[0]->type.dtype : DT_F32;
    return (from == DT_F16 || from == DT_BF16) && n->out[0]->type.dtype == DT_F32;
}

static LLVMValueRef number(Kernel *k, uint32_t v, int lanes) { return vec_repeat(gen_i32(k->gen, (int)v), lanes); }

/* mcc_f16_to_f32 on vectors */
static LLVMValueRef half_by_integers(Kernel *k, LLVMValueRef bits, int lanes) {
    enum { BIAS = 112, POINT = 23 }; /* of exponents: 15 → 127 */
    LLVMBuilderRef b = k->b;
    LLVMTypeRef ints = vec_of(k->gen->i32, lanes), floats = vec_type(k->gen, lanes);
    LLVMValueRef bias = number(k, BIAS << POINT, lanes), one = number(k, 1u << POINT, lanes);
    LLVMValueRef sign = LLVMBuildAnd(b, bits, number(k, 0x8000, lanes), "");
    LLVMValueRef h = LLVMBuildShl(b, LLVMBuildXor(b, bits, sign, ""), number(k, 13, lanes), "");
    LLVMValueRef u = LLVMBuildAdd(b, h, bias, "");
    LLVMValueRef next = LLVMBuildBitCast(b, LLVMBuildAdd(b, u, one, ""), floats, "");
    LLVMValueRef least = LLVMConstBitCast(number(k, (BIAS + 1u) << POINT, lanes), floats);
    LLVMValueRef tiny = LLVMBuildBitCast(b, LLVMBuildFSub(b, next, least, ""), ints, "");
    u = LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntULT, h, one, ""), tiny, u, "");
    LLVMValueRef infinite = LLVMBuildICmp(b, LLVMIntUGE, h, number(k, 31u << POINT, lanes), "");
    u = LLVMBuildSelect(b, infinite, LLVMBuildAdd(b, u, bias, ""), u, "");
    u = LLVMBuildOr(b, u, LLVMBuildShl(b, sign, number(k, 16, lanes), ""), "");
    return LLVMBuildBitCast(b, u, floats, "");
}

LLVMValueRef vec_widen(Kernel *k, LLVMValueRef v, Dtype from, int lanes) {
    Gen *g = k->gen;
    LLVMTypeRef ints = vec_of(g->i32, lanes), floats = vec_type(g, lanes);
    if (from == DT_F16 && g->target->converts_half) {
        LLVMTypeRef half = vec_of(LLVMHalfTypeInContext(g->llvm), lanes);
        return LLVMBuildFPExt(k->b, LLVMBuildBitCast(k->b, v, half, ""), floats, "");
    }
    v = LLVMBuildZExt(k->b, v, ints, "");
    if (from == DT_F16) return half_by_integers(k, v, lanes);
    return LLVMBuildBitCast(k->b, LLVMBuildShl(k->b, v, number(k, 16, lanes), ""), floats, "");
}

/* finite ones: the bits as those of a float32 whose exponent is 112 too small */
static LLVMValueRef half_by_product(Kernel *k, LLVMValueRef v, int lanes) {
    LLVMBuilderRef b = k->b;
    LLVMTypeRef ints = vec_of(k->gen->i32, lanes), floats = vec_type(k->gen, lanes);
    v = LLVMBuildShl(b, LLVMBuildZExt(b, v, ints, ""), number(k, 16, lanes), "");
    v = LLVMBuildAShr(b, v, number(k, 3, lanes), "");
    v = LLVMBuildAnd(b, v, number(k, 0x8fffe000u, lanes), "");
    return LLVMBuildFMul(b, LLVMBuildBitCast(b, v, floats, ""), vec_const(k->gen, 0x1p112, lanes), "");
}

LLVMValueRef vec_load_wide(Kernel *k, Dtype from, LLVMValueRef p, int lanes, unsigned align) {
    LLVMValueRef v = vec_load_of(k, k->gen->i16, p, lanes, align);
    if (from == DT_F16 && !k->gen->target->converts_half) return half_by_product(k, v, lanes);
    return vec_widen(k, v, from, lanes);
}
