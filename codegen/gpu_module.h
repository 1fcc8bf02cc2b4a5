/* The device module and what the host knows of it. */
#ifndef MCC_CODEGEN_GPU_MODULE_H
#define MCC_CODEGEN_GPU_MODULE_H

#include "codegen/gpu.h"

typedef struct DeviceLaunch { /* a kernel of the module */
    const char *name;
    GpuGeometry geometry;
} DeviceLaunch;

typedef struct DeviceKernel { /* of a distinct computation: one launch or more with the same parameters */
    struct DeviceKernel *next;
    const char *key;
    int first, n_launches;
    Symbol *symbols; /* its parameters behind pointers to inputs, outputs, scratch and status: an open dim's value, or
                        where that of one that depends on data lies */
    int n_symbols;
} DeviceKernel;

typedef struct Device {
    Gen gen; /* its module; one part */
    DeviceKernel *kernels;
    DeviceLaunch *launches;
    int n_launches, n_kernels;
    Dim *data; /* dims that depend on data, in the order of their places in the state */
    int n_data;
} Device;

/* State: bytes at the start of device memory that outlive a kernel. */
enum { STATE_STATUS = 0, STATE_DIMS = 64 };

const DeviceKernel *device_kernel(Device *d, const Node *n, unsigned in_place); /* NULL after diag_error */
/* Calls shape_<op>, holds the dims that this node is the first to write against their bounds and writes them into the
 * state. */
const DeviceKernel *device_shape_kernel(Device *d, const Node *n, const Dim *dims, const int *places, int n_dims);
/* Writes an output's dims to the last pointer. */
const DeviceKernel *device_dims_kernel(Device *d, const Value *v);
bool device_finish(Device *d, bool ir, Str *text); /* PTX, or LLVM's text; false after diag_error */

#endif
