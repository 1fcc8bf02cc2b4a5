/* Operators as functions of a place in their output: `T mcc_at_<Op>_<dtype>(args, attributes, e, status)` is element e, row-major,
 * as it is stored. GPUs call them, a thread an element (codegen/gpu_direct.c); the semantics are those of ref_<Op>, whose
 * arguments they take. Operators that only move elements have them by size: _b8 … _b64. *status: set where a value that
 * is an index is out of range; the element then is 0. e is below the count of elements. */
#ifndef MCC_KERNELS_AT_H
#define MCC_KERNELS_AT_H
#include "runtime/kernels/window.h"

/* e's index along `slots` dims, row-major; what is left of e before them */
static inline idx at_index(idx e, const idx *n, int slots, idx *index) {
    size_t rest = (size_t)e;
    UNROLL for (int k = RANK - 1; k >= 0; k--) {
        index[k] = 0;
        if (k >= slots || n[k] == 1) continue;
        index[k] = (idx)(rest % (size_t)n[k]);
        rest /= (size_t)n[k];
    }
    return (idx)rest;
}

/* the dims of a tensor in the last slots */
static inline void at_dims(const mcc_arg *a, idx *n) {
    UNROLL for (int k = 0; k < RANK; k++) n[k] = k >= RANK - a->rank ? dim(a, k - (RANK - a->rank)) : 1;
}

/* where the window's tap along slot k reads for output o; -1: in the padding */
static inline idx at_tap(const window *w, int k, idx o, idx tap) {
    const idx at = o * w->stride[k] + tap * w->dilation[k] - w->pad[k];
    return at >= 0 && at < w->in[k] ? at : -1;
}
#endif
