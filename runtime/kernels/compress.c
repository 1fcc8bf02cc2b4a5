/* Compress: the slices of an axis (without one: of the flat tensor) where the condition holds. A condition that is
 * shorter than the axis leaves the rest out; one that holds behind its end is an error. */
#include "runtime/kernels/common.h"

#define TEMPLATE "runtime/kernels/compress.inc"
#include "runtime/kernels/for_sizes.h"

static inline int compress_axis(const mcc_arg *x, const mcc_attr *at) {
    const int64_t axis = ((const attrs_Compress *)at)->axis;
    return (int)(axis == INT64_MAX ? -1 : axis < 0 ? axis + x->rank : axis);
}

/* How many slices of n are chosen; -1: one that does not exist. */
static inline int64_t chosen(const mcc_arg *condition, int64_t n) {
    const uint8_t *holds = condition->data;
    const idx many = dim(condition, 0), end = n < many ? (idx)n : many;
    idx inside = 0;
    for (idx i = 0; i < end; i++) inside += holds[i] != 0;
    for (idx i = end; i < many; i++)
        if (holds[i]) return -1;
    return inside;
}

int shape_Compress(mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0];
    mcc_arg *y = &a[at->args.n_in];
    const int axis = compress_axis(x, at);
    const int64_t n = chosen(&a[1], axis < 0 ? (int64_t)elements(x) : x->dims[axis]);
    if (n < 0) return MCC_E_INDEX;
    UNROLL for (int k = 0; k < RANK; k++) if (k < y->rank) y->dims[k] = axis < 0 || k == axis ? n : x->dims[k];
    return MCC_OK;
}

int ref_Compress(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    const int axis = compress_axis(x, at);
    const idx outer = axis < 0 ? 1 : dims_product(x, 0, axis), n = axis < 0 ? elements(x) : dim(x, axis),
              inner = axis < 0 ? 1 : stride_of(x, axis), have = idx_min(n, dim(&a[1], 0));
    if (chosen(&a[1], n) != (axis < 0 ? dim(y, 0) : dim(y, axis))) return MCC_E_INDEX;
    if (elements(y) == 0) return MCC_OK;
    DISPATCH_SIZES(x->dtype, compress, y->data, x->data, a[1].data, outer, n, inner, have)
}
