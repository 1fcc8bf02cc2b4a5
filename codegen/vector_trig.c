/* Sine and cosine of f32 vectors, as straight IR: within 4 ULP of the exact value. Arguments below LIMIT are reduced by
 * multiples of π/2 in pieces (Cody and Waite, Software Manual for the Elementary Functions, 1980), the first of which
 * multiply exactly; where a lane is larger, infinite or NaN, such lanes are computed one by one, as mcc_el_<op>_f32
 * does it, so that a lane's bits do not depend on its neighbours. Polynomials are minimax fits. */
#include "codegen/vec.h"

enum { LIMIT = 30000, MOST_LANES = 64 };

static LLVMTypeRef int_type(const Vec *v) {
    return v->lanes == 1 ? v->k->gen->i32 : LLVMVectorType(v->k->gen->i32, (unsigned)v->lanes);
}

static LLVMValueRef integer(const Vec *v, int x) {
    LLVMValueRef one = gen_i32(v->k->gen, x), many[MOST_LANES];
    for (int i = 0; i < v->lanes; i++) many[i] = one;
    return v->lanes == 1 ? one : LLVMConstVector(many, (unsigned)v->lanes);
}

/* x = n π/2 + r with |r| ≤ π/4 and a little: r; in the low bits of *n the integer n. |x| < LIMIT */
static LLVMValueRef reduce(const Vec *v, LLVMValueRef x, LLVMValueRef *n) {
    static const double fused[] = {-1.5707963705062866, 4.3711388286737929e-8, 1.7151245100058819e-15};
    static const double exact[] = {-1.5703125, -4.8351287841796875e-4, -3.1385570764541626e-7, -6.0771006282767104e-11};
    const double shifter = 12582912; /* 1.5 · 2^23: adding it rounds to an integer, which then stands in the low bits */
    bool fma = v->k->gen->target->has_fma;
    LLVMValueRef t = mul_add(v, x, number(v, 0.63661977236758134), number(v, shifter)), r = x;
    LLVMValueRef whole = LLVMBuildFSub(v->k->b, t, number(v, shifter), "");
    for (int i = 0; i < (fma ? 3 : 4); i++) r = mul_add(v, whole, number(v, fma ? fused[i] : exact[i]), r);
    *n = LLVMBuildBitCast(v->k->b, t, int_type(v), "");
    return r;
}

/* sin(r + n π/2) */
static LLVMValueRef sine_of(const Vec *v, LLVMValueRef r, LLVMValueRef n) {
    LLVMBuilderRef b = v->k->b;
    LLVMValueRef z = mul(v, r, r), one = integer(v, 1);
    LLVMValueRef s =
        mul_add(v, mul_add(v, z, number(v, -0.000195144538), number(v, 0.00833215476)), z, number(v, -0.166666545));
    LLVMValueRef c =
        mul_add(v, mul_add(v, z, number(v, 2.44322095e-5), number(v, -0.00138873081)), z, number(v, 0.0416666455));
    s = mul_add(v, mul(v, z, r), s, r);
    c = mul_add(v, z, mul_add(v, z, c, number(v, -0.5)), number(v, 1));
    LLVMValueRef odd = LLVMBuildICmp(b, LLVMIntEQ, LLVMBuildAnd(b, n, one, ""), one, "");
    LLVMValueRef sign = LLVMBuildShl(b, LLVMBuildAnd(b, n, integer(v, 2), ""), integer(v, 30), "");
    LLVMValueRef y = LLVMBuildBitCast(b, LLVMBuildSelect(b, odd, c, s, ""), int_type(v), "");
    return LLVMBuildBitCast(b, LLVMBuildXor(b, y, sign, ""), vec_type(v->k->gen, v->lanes), "");
}

/* y, but for lanes of x that are not below LIMIT: the node's function one by one */
static LLVMValueRef mend_large(const Vec *v, const Node *node, LLVMValueRef x, LLVMValueRef y) {
    Kernel *k = v->k;
    LLVMBuilderRef b = k->b;
    LLVMTypeRef type = vec_type(k->gen, v->lanes), mask = LLVMVectorType(k->gen->i1, (unsigned)v->lanes);
    LLVMValueRef size = call_intrinsic(k, "llvm.fabs", &type, 1, &x, 1);
    LLVMValueRef large = LLVMBuildFCmp(b, LLVMRealUGE, size, number(v, LIMIT), ""), any = large;
    unsigned align = (unsigned)v->lanes * 4;
    LLVMValueRef from = gen_alloca(k->gen, b, type, align), to = gen_alloca(k->gen, b, type, align);
    if (v->lanes > 1) any = call_intrinsic(k, "llvm.vector.reduce.or", &mask, 1, &large, 1);
    vec_store(k, y, to, align);
    If some = if_begin(k, any);
    vec_store(k, x, from, align);
    For lane = for_count(k, v->lanes);
    LLVMValueRef one = vec_load(k, f32_at(k, from, lane.i), 1, 4);
    vec_store(k, gen_elementwise(k->gen, b, node, &one), f32_at(k, to, lane.i), 4);
    for_end(k, &lane);
    vec_store(k, LLVMBuildSelect(b, large, vec_load(k, to, v->lanes, align), y, ""), to, align);
    if_end(k, &some);
    return vec_load(k, to, v->lanes, align);
}

LLVMValueRef vec_sin(Kernel *k, const Node *n, LLVMValueRef x, int lanes) {
    Vec v = {k, lanes};
    LLVMTypeRef type = vec_type(k->gen, lanes);
    LLVMValueRef turns, r = reduce(&v, x, &turns), y = sine_of(&v, r, turns);
    LLVMValueRef tiny =
        LLVMBuildFCmp(k->b, LLVMRealOLT, call_intrinsic(k, "llvm.fabs", &type, 1, &x, 1), number(&v, 0x1p-13), "");
    return mend_large(&v, n, x, LLVMBuildSelect(k->b, tiny, x, y, "")); /* -0 stays */
}

LLVMValueRef vec_cos(Kernel *k, const Node *n, LLVMValueRef x, int lanes) {
    Vec v = {k, lanes};
    LLVMValueRef turns, r = reduce(&v, x, &turns);
    return mend_large(&v, n, x, sine_of(&v, r, LLVMBuildAdd(k->b, turns, integer(&v, 1), "")));
}
