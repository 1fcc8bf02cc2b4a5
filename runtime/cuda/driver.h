/* The few functions of NVIDIA's driver API that a model needs, found in libcuda.so.1 when the first one is opened.
 * Names, signatures and numbers: the CUDA Driver API reference. */
#ifndef MCC_CUDA_DRIVER_H
#define MCC_CUDA_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t DevicePtr;
typedef struct DriverContext *Context;
typedef struct DriverModule *Module;
typedef struct DriverFunction *Function;
typedef struct DriverStream *Stream;
typedef struct DriverGraph *CallGraph;
typedef struct DriverExec *GraphExec;

enum {
    CU_SUCCESS = 0,
    CU_JIT_ERROR_LOG_BUFFER = 5,
    CU_JIT_ERROR_LOG_BUFFER_SIZE = 6,
    CU_STREAM_NON_BLOCKING = 1,
    CU_CAPTURE_THREAD_LOCAL = 1,
    CU_FUNCTION_MAX_DYNAMIC_SHARED = 8
};

/* FUNCTION(result of ours, name as the library has it, parameters) */
#define DRIVER_FUNCTIONS                                                                                               \
    FUNCTION(init, cuInit, (unsigned flags))                                                                           \
    FUNCTION(error_name, cuGetErrorName, (int error, const char **name))                                               \
    FUNCTION(device_get, cuDeviceGet, (int *device, int ordinal))                                                      \
    FUNCTION(primary_retain, cuDevicePrimaryCtxRetain, (Context * context, int device))                                \
    FUNCTION(primary_release, cuDevicePrimaryCtxRelease_v2, (int device))                                              \
    FUNCTION(ctx_current, cuCtxGetCurrent, (Context * context))                                                        \
    FUNCTION(ctx_push, cuCtxPushCurrent_v2, (Context context))                                                         \
    FUNCTION(ctx_pop, cuCtxPopCurrent_v2, (Context * context))                                                         \
    FUNCTION(module_load, cuModuleLoadDataEx,                                                                          \
             (Module * module, const void *image, unsigned n, int *options, void **values))                            \
    FUNCTION(module_unload, cuModuleUnload, (Module module))                                                           \
    FUNCTION(module_function, cuModuleGetFunction, (Function * function, Module module, const char *name))             \
    FUNCTION(function_set, cuFuncSetAttribute, (Function function, int attribute, int value))                          \
    FUNCTION(mem_alloc, cuMemAlloc_v2, (DevicePtr * p, size_t bytes))                                                  \
    FUNCTION(mem_free, cuMemFree_v2, (DevicePtr p))                                                                    \
    FUNCTION(to_device, cuMemcpyHtoDAsync_v2, (DevicePtr to, const void *from, size_t bytes, Stream stream))           \
    FUNCTION(to_host, cuMemcpyDtoHAsync_v2, (void *to, DevicePtr from, size_t bytes, Stream stream))                   \
    FUNCTION(within_device, cuMemcpyDtoDAsync_v2, (DevicePtr to, DevicePtr from, size_t bytes, Stream stream))         \
    FUNCTION(set_bytes, cuMemsetD8Async, (DevicePtr to, unsigned char value, size_t bytes, Stream stream))             \
    FUNCTION(stream_new, cuStreamCreate, (Stream * stream, unsigned flags))                                            \
    FUNCTION(stream_free, cuStreamDestroy_v2, (Stream stream))                                                         \
    FUNCTION(stream_wait, cuStreamSynchronize, (Stream stream))                                                        \
    FUNCTION(capture_begin, cuStreamBeginCapture_v2, (Stream stream, int mode))                                        \
    FUNCTION(capture_end, cuStreamEndCapture, (Stream stream, CallGraph * graph))                                      \
    FUNCTION(graph_free, cuGraphDestroy, (CallGraph graph))                                                            \
    FUNCTION(graph_make, cuGraphInstantiateWithFlags, (GraphExec * exec, CallGraph graph, unsigned long long flags))   \
    FUNCTION(graph_launch, cuGraphLaunch, (GraphExec exec, Stream stream))                                             \
    FUNCTION(exec_free, cuGraphExecDestroy, (GraphExec exec))                                                          \
    FUNCTION(launch, cuLaunchKernel,                                                                                   \
             (Function function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,         \
              unsigned shared, Stream stream, void **parameters, void **extra))

typedef struct Driver {
#define FUNCTION(field, name, parameters) int(*field) parameters;
    DRIVER_FUNCTIONS
#undef FUNCTION
} Driver;

const Driver *driver_load(void); /* NULL: there is none; driver_problem says why */
bool driver_did(const Driver *d, int result,
                const char *what); /* false, with a problem, unless the result is CU_SUCCESS */
void driver_problem(const char *format, ...) __attribute__((format(printf, 1, 2))); /* for mcc_cuda_problem */

#endif
