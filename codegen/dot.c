/* Products of four neighbouring bytes added to an int32, exactly, as the target does it best; see DotForm in
 * targets/target.h. Vectors are of int32, each of which holds four bytes. */
#include "codegen/pixels.h"

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
    /* LLVM takes one lane of a's register if a stands there, the other way round it would copy it to all lanes */
    LLVMValueRef args[3] = {acc, a_signed ? w : x, a_signed ? x : w};
    return call_intrinsic(k, name, types, 2, args, 3);
}

/* v as the start of a scalable vector of `type`; and back */
static LLVMValueRef to_scalable(Kernel *k, LLVMValueRef v, LLVMTypeRef type) {
    LLVMTypeRef types[2] = {type, LLVMTypeOf(v)};
    return call_intrinsic(k, "llvm.vector.insert", types, 2, (LLVMValueRef[]){LLVMGetPoison(type), v, gen_i64(k->gen, 0)}, 3);
}

static LLVMValueRef from_scalable(Kernel *k, LLVMValueRef v, LLVMTypeRef type) {
    LLVMTypeRef types[2] = {type, LLVMTypeOf(v)};
    return call_intrinsic(k, "llvm.vector.extract", types, 2, (LLVMValueRef[]){v, gen_i64(k->gen, 0)}, 2);
}

static LLVMValueRef by_sve(Kernel *k, LLVMValueRef a, LLVMValueRef b, LLVMValueRef acc, int lanes, bool a_signed) {
    LLVMTypeRef bytes = LLVMVectorType(k->gen->i8, (unsigned)lanes * 4), whole = LLVMScalableVectorType(k->gen->i32, 4),
                parts = LLVMScalableVectorType(k->gen->i8, 16);
    LLVMValueRef args[3] = {to_scalable(k, acc, whole), to_scalable(k, LLVMBuildBitCast(k->b, a, bytes, ""), parts),
                            to_scalable(k, LLVMBuildBitCast(k->b, b, bytes, ""), parts)};
    const char *name = a_signed ? "llvm.aarch64.sve.sdot" : "llvm.aarch64.sve.usdot";
    LLVMValueRef sum = call_intrinsic(k, name, &whole, 1, args, 3);
    return from_scalable(k, sum, LLVMTypeOf(acc));
}

/* ---- pairs of 16 bits in one integer register ---- */

bool has_halves(const Kernel *k) { return k->gen->target->dot == DOT_HALVES; }

static LLVMValueRef call_arm(Kernel *k, const char *name, LLVMValueRef *args, int n) {
    return call_intrinsic(k, name, NULL, 0, args, n);
}

void halves_of(Kernel *k, LLVMValueRef bytes, LLVMValueRef more, bool is_signed, LLVMValueRef out[2]) {
    LLVMTypeRef type = k->gen->i32;
    LLVMValueRef turned = call_intrinsic(k, "llvm.fshr", &type, 1, (LLVMValueRef[]){bytes, bytes, gen_i32(k->gen, 8)}, 3);
    for (int odd = 0; odd < 2; odd++) {
        LLVMValueRef v = odd ? turned : bytes;
        if (more) out[odd] = call_arm(k, is_signed ? "llvm.arm.sxtab16" : "llvm.arm.uxtab16", (LLVMValueRef[]){more, v}, 2);
        else out[odd] = call_arm(k, is_signed ? "llvm.arm.sxtb16" : "llvm.arm.uxtb16", &v, 1);
    }
}

LLVMValueRef halves_add(Kernel *k, LLVMValueRef a, LLVMValueRef b, LLVMValueRef acc) {
    return call_arm(k, "llvm.arm.smlad", (LLVMValueRef[]){a, b, acc}, 3);
}

LLVMValueRef halves_add_low(Kernel *k, LLVMValueRef a, LLVMValueRef b, LLVMValueRef acc) {
    return call_arm(k, "llvm.arm.smlabb", (LLVMValueRef[]){a, b, acc}, 3);
}

LLVMValueRef halves_add_high(Kernel *k, LLVMValueRef a, LLVMValueRef b, LLVMValueRef acc) {
    return call_arm(k, "llvm.arm.smlatt", (LLVMValueRef[]){a, b, acc}, 3);
}

/* lane by lane: each is a register of its own */
static LLVMValueRef by_halves(Kernel *k, LLVMValueRef a, LLVMValueRef b, LLVMValueRef acc, int lanes, bool a_signed) {
    for (int i = 0; i < lanes; i++) {
        LLVMValueRef at = gen_i32(k->gen, i), x[2], w[2], sum = LLVMBuildExtractElement(k->b, acc, at, "");
        halves_of(k, LLVMBuildExtractElement(k->b, a, at, ""), NULL, a_signed, x);
        halves_of(k, LLVMBuildExtractElement(k->b, b, at, ""), NULL, true, w);
        for (int odd = 0; odd < 2; odd++) sum = halves_add(k, x[odd], w[odd], sum);
        acc = LLVMBuildInsertElement(k->b, acc, sum, at, "");
    }
    return acc;
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
        return by_sve(k, a, b, acc, lanes, a_signed);
    case DOT_HALVES: return by_halves(k, a, b, acc, lanes, a_signed);
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
