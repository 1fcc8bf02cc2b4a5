/* Products of four neighbouring bytes added to an int32, exactly, as the target does it best; see DotForm in
 * targets/target.h. Vectors are of int32, each of which holds four bytes. */
#include "codegen/contract.h"

static LLVMValueRef number(Kernel *k, uint32_t v, int lanes) { return vec_repeat(gen_i32(k->gen, (int)v), lanes); }

/* byte j of each, extended to 32 bits */
static LLVMValueRef byte_of(Kernel *k, LLVMValueRef v, int j, int lanes, bool is_signed) {
    LLVMValueRef top = j < 3 ? LLVMBuildShl(k->b, v, number(k, (uint32_t)(24 - 8 * j), lanes), "") : v,
                 down = number(k, 24, lanes);
    return is_signed ? LLVMBuildAShr(k->b, top, down, "") : LLVMBuildLShr(k->b, top, down, "");
}

static LLVMValueRef widened(Kernel *k, LLVMValueRef a, LLVMValueRef b, LLVMValueRef acc, int lanes, bool a_signed) {
    for (int j = 0; j < 4; j++) {
        LLVMValueRef x = byte_of(k, a, j, lanes, a_signed), w = byte_of(k, b, j, lanes, true);
        acc = LLVMBuildAdd(k->b, acc, LLVMBuildMul(k->b, x, w, ""), "");
    }
    return acc;
}

/* bytes 0 and 2 (odd: 1 and 3) of each as two words of 16 bits */
static LLVMValueRef halves(Kernel *k, LLVMValueRef v, bool odd, bool is_signed, int lanes) {
    LLVMTypeRef shorts = LLVMVectorType(k->gen->i16, (unsigned)lanes * 2);
    LLVMValueRef eight = vec_repeat(LLVMConstInt(k->gen->i16, 8, 0), lanes * 2);
    v = LLVMBuildBitCast(k->b, v, shorts, "");
    if (!odd && is_signed) v = LLVMBuildShl(k->b, v, eight, "");
    if (is_signed) return LLVMBuildAShr(k->b, v, eight, "");
    if (odd) return LLVMBuildLShr(k->b, v, eight, "");
    return LLVMBuildAnd(k->b, v, vec_repeat(LLVMConstInt(k->gen->i16, 255, 0), lanes * 2), "");
}

static const char *pairs_of(int lanes) {
    return lanes == 4   ? "llvm.x86.sse2.pmadd.wd"
           : lanes == 8 ? "llvm.x86.avx2.pmadd.wd"
                        : "llvm.x86.avx512.pmaddw.d.512";
}

static LLVMValueRef by_pairs(Kernel *k, LLVMValueRef a, LLVMValueRef b, LLVMValueRef acc, int lanes, bool a_signed) {
    for (int odd = 0; odd < 2; odd++) {
        LLVMValueRef two[2] = {halves(k, a, odd, a_signed, lanes), halves(k, b, odd, true, lanes)};
        acc = LLVMBuildAdd(k->b, acc, call_intrinsic(k, pairs_of(lanes), NULL, 0, two, 2), "");
    }
    return acc;
}

static LLVMValueRef by_vnni(Kernel *k, LLVMValueRef a, LLVMValueRef b, LLVMValueRef acc, int lanes) {
    const char *name = lanes == 4   ? "llvm.x86.avx512.vpdpbusd.128"
                       : lanes == 8 ? "llvm.x86.avx512.vpdpbusd.256"
                                    : "llvm.x86.avx512.vpdpbusd.512";
    return call_intrinsic(k, name, NULL, 0, (LLVMValueRef[]){acc, a, b}, 3);
}

static LLVMValueRef by_neon(Kernel *k, LLVMValueRef a, LLVMValueRef b, LLVMValueRef acc, bool a_signed) {
    LLVMTypeRef bytes = LLVMVectorType(k->gen->i8, 16), types[2] = {LLVMTypeOf(acc), bytes};
    LLVMValueRef x = LLVMBuildBitCast(k->b, a, bytes, ""), w = LLVMBuildBitCast(k->b, b, bytes, "");
    const char *name = a_signed ? "llvm.aarch64.neon.sdot" : "llvm.aarch64.neon.usdot";
    return call_intrinsic(k, name, types, 2, (LLVMValueRef[]){acc, x, w}, 3);
}

LLVMValueRef dot_add(Kernel *k, LLVMValueRef a, LLVMValueRef b, LLVMValueRef acc, int lanes, bool a_signed) {
    DotForm form = dot_form(k->gen->target, lanes);
    if (dot_flips(form, a_signed)) {
        a = LLVMBuildXor(k->b, a, number(k, 0x80808080u, lanes), "");
        a_signed = !a_signed;
    }
    switch (form) {
    case DOT_PAIRS: return by_pairs(k, a, b, acc, lanes, a_signed);
    case DOT_VNNI: return by_vnni(k, a, b, acc, lanes);
    case DOT_SIGNED:
    case DOT_MIXED:
        if (lanes == 4) return by_neon(k, a, b, acc, a_signed);
        break;
    case DOT_WIDEN: break;
    }
    return widened(k, a, b, acc, lanes, a_signed);
}

LLVMValueRef dot_add_one(Kernel *k, LLVMValueRef a, LLVMValueRef b, LLVMValueRef acc, int lanes) {
    const char *vnni = lanes == 4   ? "llvm.x86.avx512.vpdpwssd.128"
                       : lanes == 8 ? "llvm.x86.avx512.vpdpwssd.256"
                                    : "llvm.x86.avx512.vpdpwssd.512";
    LLVMTypeRef shorts = LLVMVectorType(k->gen->i16, (unsigned)lanes * 2);
    switch (dot_form(k->gen->target, lanes)) {
    case DOT_VNNI: return call_intrinsic(k, vnni, NULL, 0, (LLVMValueRef[]){acc, a, b}, 3);
    case DOT_PAIRS: {
        LLVMValueRef two[2] = {LLVMBuildBitCast(k->b, a, shorts, ""), LLVMBuildBitCast(k->b, b, shorts, "")};
        return LLVMBuildAdd(k->b, acc, call_intrinsic(k, pairs_of(lanes), NULL, 0, two, 2), "");
    }
    default:
        a = LLVMBuildAShr(k->b, LLVMBuildShl(k->b, a, number(k, 16, lanes), ""), number(k, 16, lanes), "");
        return LLVMBuildAdd(k->b, acc, LLVMBuildMul(k->b, a, b, ""), "");
    }
}
