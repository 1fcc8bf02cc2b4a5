/* What an app sees of a compiled model. C99 and C++; no compiler types, no libc beyond <stdint.h> and <stddef.h>.
 * The layout is a contract: it grows only at the end, and `abi` rises with it. */
#ifndef MCC_RUNTIME_H
#define MCC_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MCC_ABI 1
#define MCC_MAX_RANK 8

enum {
    MCC_OK = 0,
    MCC_E_NULL = 1,   /* a pointer is NULL */
    MCC_E_DTYPE = 2,  /* a tensor's dtype is not the model's */
    MCC_E_SHAPE = 3,  /* rank or dims do not fit the model */
    MCC_E_BOUND = 4,  /* a dim is above the maximum that the object was compiled for */
    MCC_E_SPACE = 5,  /* a buffer is too small; the dims needed are written */
    MCC_E_ALIGN = 6,  /* workspace or data is misaligned */
    MCC_E_INDEX = 7,  /* a tensor value is out of range as an index or a size */
    MCC_E_TRIP = 8,   /* a loop ran past its trip bound */
    MCC_E_DEVICE = 9  /* the device or its driver failed */
};

/* A tensor handed to or written by mcc_model.run. dtype numbers are ONNX TensorProto.DataType's. */
typedef struct mcc_tensor {
    void *data;
    size_t bytes; /* the capacity of data */
    int32_t dtype, rank;
    int64_t dims[MCC_MAX_RANK]; /* of an output: written by the call */
} mcc_tensor;

typedef struct mcc_tensor_info {
    const char *name;
    int32_t dtype, rank;
    int64_t dims[MCC_MAX_RANK];     /* -1: known only at run time */
    int64_t max_dims[MCC_MAX_RANK]; /* the bound that the object was compiled for */
} mcc_tensor_info;

typedef struct mcc_model {
    uint32_t abi, flags;
    const char *name, *build_id;
    int32_t n_inputs, n_outputs;
    const mcc_tensor_info *inputs, *outputs;
    size_t workspace_bytes, workspace_align;
    int (*run)(const mcc_tensor *in, mcc_tensor *out, void *workspace); /* MCC_OK, or MCC_E_… */
} mcc_model;

/* Of an object made with --profile: what a node has taken so far. NAME_profile fills it. */
typedef struct mcc_node_profile {
    const char *node, *op, *form; /* its name in the model or "", its operator, the kind of code it became */
    uint64_t calls, ticks;
} mcc_node_profile;

/* Runs body(ctx, chunk, slot) for every chunk in [0, chunks); slot < the object's --max-threads.
 * Objects compiled with --threads=openmp or callback call it; libmcc_rt.a defines it over OpenMP. */
void mcc_parallel_for(int32_t chunks, void (*body)(void *ctx, int32_t chunk, int32_t slot), void *ctx);

/* Of an object for a GPU, which libmcc_cuda.a runs: what went wrong in this thread's last call that returned MCC_E_DEVICE. */
const char *mcc_cuda_problem(void);

#ifdef __cplusplus
}
#endif
#endif
