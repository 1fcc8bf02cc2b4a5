/* What emitters of device kernels build with: where a thread is, shared memory, barriers, shuffles, errors. */
#include <string.h>
#include "codegen/gpu.h"

LLVMValueRef gpu_i32(Kernel *k, int64_t v) { return LLVMConstInt(k->gen->i32, (uint64_t)v, 1); }

static LLVMValueRef read_register(Kernel *k, const char *what, int axis) {
    char name[64];
    snprintf(name, sizeof name, "llvm.nvvm.read.ptx.sreg.%s.%c", what, "xyz"[axis]);
    return call_intrinsic(k, name, NULL, 0, NULL, 0);
}

LLVMValueRef gpu_thread(Kernel *k, int axis) { return read_register(k, "tid", axis); }
LLVMValueRef gpu_block(Kernel *k, int axis) { return read_register(k, "ctaid", axis); }

LLVMValueRef gpu_flat_thread(Kernel *k) {
    LLVMValueRef size = LLVMBuildZExt(k->b, read_register(k, "ntid", 0), k->gen->i64, ""),
                 block = LLVMBuildZExt(k->b, gpu_block(k, 0), k->gen->i64, ""),
                 thread = LLVMBuildZExt(k->b, gpu_thread(k, 0), k->gen->i64, "");
    return LLVMBuildNSWAdd(k->b, LLVMBuildNSWMul(k->b, block, size, ""), thread, "");
}

void gpu_barrier(Kernel *k) { call_intrinsic(k, "llvm.nvvm.barrier0", NULL, 0, NULL, 0); }

enum { SHARED_SPACE = 3, DYNAMIC_ALIGN = 128 };

LLVMTypeRef gpu_shared_ptr(Gen *g) { return LLVMPointerTypeInContext(g->llvm, SHARED_SPACE); }

LLVMValueRef gpu_shared(Kernel *k, LLVMTypeRef type, unsigned align) {
    LLVMValueRef memory = LLVMAddGlobalInAddressSpace(k->gen->module, type, "shared", SHARED_SPACE);
    LLVMSetLinkage(memory, LLVMInternalLinkage);
    LLVMSetInitializer(memory, LLVMGetUndef(type));
    LLVMSetAlignment(memory, align);
    return memory;
}

LLVMValueRef gpu_dynamic_shared(Kernel *k) {
    LLVMValueRef memory = LLVMGetNamedGlobal(k->gen->module, "dynamic_shared");
    if (memory) return memory;
    memory = LLVMAddGlobalInAddressSpace(k->gen->module, LLVMArrayType2(k->gen->i8, 0), "dynamic_shared", SHARED_SPACE);
    LLVMSetLinkage(memory, LLVMExternalLinkage);
    LLVMSetAlignment(memory, DYNAMIC_ALIGN);
    return memory;
}

static LLVMValueRef shuffle_word(Kernel *k, LLVMValueRef v, int mask) {
    LLVMValueRef args[4] = {gpu_i32(k, -1), v, gpu_i32(k, mask), gpu_i32(k, GPU_WARP - 1)};
    return call_intrinsic(k, "llvm.nvvm.shfl.sync.bfly.i32", NULL, 0, args, 4);
}

LLVMValueRef gpu_shuffle_xor(Kernel *k, LLVMValueRef v, int mask) {
    Gen *g = k->gen;
    LLVMTypeRef type = LLVMTypeOf(v);
    unsigned bits = (unsigned)LLVMSizeOfTypeInBits(g->layout, type);
    LLVMValueRef word = LLVMBuildBitCast(k->b, v, LLVMIntTypeInContext(g->llvm, bits), "");
    if (bits <= 32) {
        LLVMValueRef got = shuffle_word(k, LLVMBuildZExtOrBitCast(k->b, word, g->i32, ""), mask);
        return LLVMBuildBitCast(k->b, LLVMBuildTruncOrBitCast(k->b, got, LLVMTypeOf(word), ""), type, "");
    }
    LLVMValueRef shift = LLVMConstInt(g->i64, 32, 0), low = LLVMBuildTrunc(k->b, word, g->i32, ""),
                 high = LLVMBuildTrunc(k->b, LLVMBuildLShr(k->b, word, shift, ""), g->i32, "");
    low = LLVMBuildZExt(k->b, shuffle_word(k, low, mask), g->i64, "");
    high = LLVMBuildShl(k->b, LLVMBuildZExt(k->b, shuffle_word(k, high, mask), g->i64, ""), shift, "");
    return LLVMBuildBitCast(k->b, LLVMBuildOr(k->b, low, high, ""), type, "");
}

void gpu_fail(Kernel *k, LLVMValueRef status) {
    if (LLVMIsAConstantInt(status) && LLVMConstIntGetZExtValue(status) == MCC_OK) return;
    LLVMValueRef fine = gpu_i32(k, MCC_OK);
    If wrong = if_begin(k, LLVMBuildICmp(k->b, LLVMIntNE, status, fine, ""));
    LLVMBuildAtomicCmpXchg(k->b, k->status, fine, status, LLVMAtomicOrderingMonotonic, LLVMAtomicOrderingMonotonic, 0);
    if_end(k, &wrong);
}

void gpu_unflatten(Kernel *k, LLVMValueRef flat, const Dim *dims, int n, LLVMValueRef *index) {
    LLVMTypeRef type = LLVMTypeOf(flat);
    for (int d = n - 1; d >= 0; d--) {
        LLVMValueRef size = LLVMBuildTruncOrBitCast(k->b, kernel_dim(k, dims[d]), type, "");
        if (d == 0) index[d] = flat;
        else if (dim_is(dims[d], 1)) index[d] = LLVMConstNull(type);
        else {
            index[d] = LLVMBuildURem(k->b, flat, size, "");
            flat = LLVMBuildUDiv(k->b, flat, size, "");
        }
    }
}
