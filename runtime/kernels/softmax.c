/* Softmax: exp(x - max) / Σ exp(x - max) along axis. LogSoftmax: x - max - log Σ exp(x - max). */
#include "runtime/kernels/common.h"

/* The axis is n long; elements along it stand `inner` apart; `outer` slabs. */
typedef struct axis_shape {
    idx outer, n, inner;
} axis_shape;

#define TEMPLATE "runtime/kernels/softmax.inc"
#include "runtime/kernels/for_floats.h"

static inline int softmax(const mcc_arg *a, const mcc_attr *at, int64_t axis, bool log) {
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    int k = (int)(axis < 0 ? axis + x->rank : axis);
    if (elements(x) == 0) return MCC_OK;
    axis_shape s = {1, 1, 1};
    if (x->rank) s = (axis_shape){dims_product(x, 0, k), dim(x, k), stride_of(x, k)};
    DISPATCH_FLOATS(x->dtype, softmax, y->data, x->data, &s, log)
}

int ref_Softmax(const mcc_arg *a, const mcc_attr *at) {
    return softmax(a, at, ((const attrs_Softmax *)at)->axis, false);
}
int ref_LogSoftmax(const mcc_arg *a, const mcc_attr *at) {
    return softmax(a, at, ((const attrs_LogSoftmax *)at)->axis, true);
}
