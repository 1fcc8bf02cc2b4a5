/* Kernels that read one tensor in another order: y, contiguous, is filled from x along a walk. */
#ifndef MCC_KERNELS_STRIDED_H
#define MCC_KERNELS_STRIDED_H
#include "runtime/kernels/common.h"

#define TEMPLATE "runtime/kernels/strided.inc"
#include "runtime/kernels/for_sizes.h"
#undef TEMPLATE

/* y[i…] = x[base + Σ i·stride] */
static inline int strided_read(const mcc_arg *y, const mcc_arg *x, idx base, walk *w) {
    if (elements(y) == 0) return MCC_OK;
    walk_merge(w);
    DISPATCH_SIZES(y->dtype, strided_read, y->data, x->data, base, w)
}
#endif
