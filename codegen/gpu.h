/* Code for NVIDIA GPUs: what the forms of device kernels and the host's side share. A node becomes one launch or more,
 * each a `ptx_kernel` of the device module; the host evaluates their grids from the open dims and queues them on a
 * stream, all of a run without waiting, so that a run can be captured as a CUDA graph.
 *
 * Contractions stay operators of the standard, in plain row-major layouts (MatMul, Gemm, Conv, ConvTranspose,
 * MatMulInteger, ConvInteger). Elementwise work behind one hangs on it as the node's `body`: its input 0 is the
 * contraction's own result, the others are the node's inputs from gpu_own_inputs() on, broadcast to the output. */
#ifndef MCC_CODEGEN_GPU_H
#define MCC_CODEGEN_GPU_H

#include "codegen/contract.h"

enum { GPU_WARP = 32, GPU_ALIGN = 16 /* of all values in device memory, the app's too */ };

/* Blocks and threads of one launch. Dims may be open; one that depends on data stands for its bound: kernels read the
 * true dims (kernel_dim) and leave what is beyond them alone. A grid with a 0 is not launched. */
typedef struct GpuGeometry {
    Dim grid[3];      /* x up to 2^31 - 1, y and z up to 65535; all 1 at the start */
    int block[3];     /* all 1 at the start; 1024 threads at most */
    size_t dynamic;   /* bytes of gpu_dynamic_shared() */
    int least_blocks; /* resident on a multiprocessor that ptxas should make room for; 0: as it likes */
} GpuGeometry;

/* Everything here is decided by the node's operator, attributes and types (what kernel.c makes keys of) and the
 * options. */
typedef struct GpuForm {
    const char *form; /* its name in reports and --emit=loops */
    bool (*fits)(const CodeOptions *o, const Node *n);
    int (*launches)(const CodeOptions *o, const Node *n); /* NULL: one */
    void (*geometry)(Ctx *ctx, const CodeOptions *o, const Node *n, int launch, GpuGeometry *out);
    /* Builds the launch's body, k->b at the end of its entry block; it ends with LLVMBuildRetVoid. false after
     * diag_error. k->in, k->out and k->scratch are pointers to global memory, aligned to GPU_ALIGN. */
    bool (*emit)(Kernel *k, int launch);
    bool (*scratch)(Ctx *ctx, const Node *n, size_t *bytes); /* device memory, alive during the node; NULL: none */
    bool (*in_place)(const Node *n, int input);              /* may output 0 overwrite this input? NULL: never */
} GpuForm;

/* ---- gpu_forms.c: the first that fits, in this order; the last always does ---- */
const GpuForm *gpu_form(const CodeOptions *o, const Node *n);
extern const GpuForm gpu_fused, gpu_softmax, gpu_norm, gpu_mean, gpu_dynamic, gpu_direct, gpu_reference;

/* ---- gpu_build.c: what emitters build with. Indices are i32 ---- */
LLVMValueRef gpu_thread(Kernel *k, int axis); /* in its block; axis 0 … 2 */
LLVMValueRef gpu_block(Kernel *k, int axis);
LLVMValueRef gpu_i32(Kernel *k, int64_t v);
void gpu_barrier(Kernel *k); /* all threads of the block must come to it */
LLVMValueRef gpu_shared(Kernel *k, LLVMTypeRef type,
                        unsigned align);                  /* static, ptr addrspace(3); all static ones: 48 KiB */
LLVMValueRef gpu_dynamic_shared(Kernel *k);               /* addrspace(3), aligned to 128 */
LLVMTypeRef gpu_shared_ptr(Gen *g);                       /* ptr addrspace(3) */
LLVMValueRef gpu_shuffle_xor(Kernel *k, LLVMValueRef v,
                             int mask); /* the value of lane ^ mask, of 32 or 64 bits, whole warps */
void gpu_fail(Kernel *k,
              LLVMValueRef status); /* an i32 MCC_E_… other than MCC_OK becomes the run's, if it is the first */
/* the parts of a flat index, row-major over n dims; flat and index are of one integer type */
void gpu_unflatten(Kernel *k, LLVMValueRef flat, const Dim *dims, int n, LLVMValueRef *index);
/* The flat index of this thread over all blocks along x, as i64. */
LLVMValueRef gpu_flat_thread(Kernel *k);

/* ---- gpu_epilogue.c ---- */
int gpu_own_inputs(const Node *n); /* of a contraction: those of its operator, absent ones as NULL */
/* Takes the accumulator of output element index[0 … rank-1] (i32 or i64, one type) through the node's body, if any, and
 * stores it. acc: as body input 0 is stored (gen_elem_type of its dtype; where there is no body, of output 0's). */
void gpu_epilogue_store(Kernel *k, LLVMValueRef acc, LLVMValueRef *index);
Dtype gpu_accumulator(const Node *n); /* what acc is handed over as */

#endif
