/* Small builders over the LLVM C API that every file of codegen/ uses. */
#include <string.h>
#include "codegen/gen.h"

LLVMValueRef gen_i64(Gen *g, int64_t v) { return LLVMConstInt(g->i64, (uint64_t)v, 1); }
LLVMValueRef gen_i32(Gen *g, int v) { return LLVMConstInt(g->i32, (uint64_t)(int64_t)v, 1); }

LLVMValueRef gen_bytes(Gen *g, const void *data, size_t bytes, unsigned align) {
    LLVMValueRef init = LLVMConstStringInContext2(g->llvm, data, bytes, 1);
    LLVMValueRef global = LLVMAddGlobal(g->module, LLVMTypeOf(init), "");
    LLVMSetInitializer(global, init);
    LLVMSetGlobalConstant(global, 1);
    LLVMSetLinkage(global, LLVMPrivateLinkage);
    LLVMSetAlignment(global, align);
    return global;
}

LLVMValueRef gen_offset(Gen *g, LLVMBuilderRef b, LLVMValueRef base, LLVMValueRef bytes) {
    return LLVMBuildInBoundsGEP2(b, g->i8, base, &bytes, 1, "");
}

LLVMValueRef gen_alloca(Gen *g, LLVMBuilderRef b, LLVMTypeRef type, unsigned align) {
    LLVMBasicBlockRef entry = LLVMGetEntryBasicBlock(LLVMGetBasicBlockParent(LLVMGetInsertBlock(b)));
    LLVMBuilderRef front = LLVMCreateBuilderInContext(g->llvm);
    LLVMValueRef first = LLVMGetFirstInstruction(entry);
    if (first) LLVMPositionBuilderBefore(front, first);
    else LLVMPositionBuilderAtEnd(front, entry);
    LLVMValueRef p = LLVMBuildAlloca(front, type, "");
    LLVMSetAlignment(p, align);
    LLVMDisposeBuilder(front);
    return p;
}

void gen_attr(Gen *g, LLVMValueRef fn, unsigned at, const char *name, uint64_t value) {
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(fn, at, LLVMCreateEnumAttribute(g->llvm, kind, value));
}

/* vectors of a fixed width are lowered to scalable ones where these are known to be as wide */
static void fix_sve(Gen *g, LLVMValueRef fn) {
    uint64_t granules = (uint64_t)g->target->sve_bits / 128;
    if (granules) gen_attr(g, fn, LLVMAttributeFunctionIndex, "vscale_range", granules << 32 | granules);
}

void gen_function_attrs(Gen *g, LLVMValueRef fn) {
    fix_sve(g, fn);
    gen_attr(g, fn, LLVMAttributeFunctionIndex, "nounwind", 0);
    LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex,
                            LLVMCreateStringAttribute(g->llvm, "no-builtins", 11, "", 0));
}

LLVMTypeRef gen_elem_type(Gen *g, Dtype t) {
    if (t == DT_F32) return g->f32;
    if (t == DT_F64) return g->f64;
    return LLVMIntTypeInContext(g->llvm, (unsigned)dtype_bits(t));
}

void gen_require(Gen *g, LLVMBuilderRef b, LLVMValueRef cond, LLVMValueRef status) {
    LLVMValueRef fn = LLVMGetBasicBlockParent(LLVMGetInsertBlock(b));
    LLVMBasicBlockRef good = LLVMAppendBasicBlockInContext(g->llvm, fn, ""),
                      bad = LLVMAppendBasicBlockInContext(g->llvm, fn, "");
    LLVMBuildCondBr(b, cond, good, bad);
    LLVMPositionBuilderAtEnd(b, bad);
    LLVMBuildRet(b, status);
    LLVMPositionBuilderAtEnd(b, good);
}
