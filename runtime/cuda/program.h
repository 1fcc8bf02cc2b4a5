/* The contract between objects that mcc makes for GPUs and libmcc_cuda.a, which runs them. mcc writes the constant
 * (codegen/gpu_host.c), so that a change of it raises MCC_CUDA_ABI. */
#ifndef MCC_CUDA_PROGRAM_H
#define MCC_CUDA_PROGRAM_H

#include "mcc/runtime.h"

#define MCC_CUDA_ABI 1

typedef struct mcc_cuda_kernel {
    const char *name;
    uint32_t block[3];
    uint32_t dynamic; /* bytes of shared memory beside the static ones */
} mcc_cuda_kernel;

typedef struct mcc_cuda_run mcc_cuda_run; /* one run, while its launches are queued */

typedef struct mcc_cuda_program {
    uint32_t abi, n_kernels, n_open, sm; /* n_open: dims that a run is told */
    const mcc_model *model;
    const char *ptx; /* ends with a zero */
    const mcc_cuda_kernel *kernels;
    const void *weights;
    uint64_t weights_bytes, memory_bytes; /* memory: what a run works in; it begins with the status word */
    /* Calls mcc_cuda_launch and mcc_cuda_copy for all of a run. in, out, out_dims: arrays of device pointers. */
    void (*queue)(mcc_cuda_run *run, char *const *in, char *const *out, char *const *out_dims, const int64_t *open,
                  char *memory, char *weights);
} mcc_cuda_program;

/* Called from `queue`. grid: 3 sizes, none is launched where one is 0; slots: n parameters of 8 bytes. */
void mcc_cuda_launch(mcc_cuda_run *run, int32_t kernel, const int64_t *grid, uint64_t *slots, int32_t n);
void mcc_cuda_copy(mcc_cuda_run *run, char *to, const char *from, int64_t bytes);

/* What an object's entries call; MCC_OK, MCC_E_DEVICE, or what a kernel found (MCC_E_INDEX, …). */
int mcc_cuda_open(const mcc_cuda_program *p, void *workspace);
int mcc_cuda_close(const mcc_cuda_program *p, void *workspace);
/* out_dims[i]: NULL, or where the dims of an output that depend on data go. in_bytes, out_bytes: of these dims, at
 * most. */
int mcc_cuda_run_on_host(const mcc_cuda_program *p, void *workspace, const char *const *in, char *const *out,
                         int64_t *const *out_dims, const int64_t *open, const uint64_t *in_bytes,
                         const uint64_t *out_bytes);
int mcc_cuda_run_on_stream(const mcc_cuda_program *p, void *workspace, void *stream, char *const *in, char *const *out,
                           char *const *out_dims, const int64_t *open);
int mcc_cuda_wait(const mcc_cuda_program *p, void *workspace, void *stream);

#endif
