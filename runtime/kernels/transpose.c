/* Transpose: axis k of Y is axis perm[k] of X; by default the axes in reverse. */
#include "runtime/kernels/strided.h"

int ref_Transpose(const mcc_arg *a, const mcc_attr *at) {
    const mcc_ints *perm = &((const attrs_Transpose *)at)->perm;
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    walk w;
    walk_clear(&w);
    UNROLL for (int k = 0; k < RANK; k++) {
        int axis = k - (RANK - y->rank);
        if (axis < 0) continue;
        w.n[k] = dim(y, axis);
        w.stride[k] = stride_of(x, perm->n ? (int)perm->v[axis] : x->rank - 1 - axis);
    }
    return strided_read(y, x, 0, &w);
}
