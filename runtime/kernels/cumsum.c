/* CumSum, CumProd: running sums and products along the axis that input 1 holds; exclusive: without the element itself;
 * reverse: from the end. */
#include "runtime/kernels/common.h"

typedef struct running_shape {
    idx outer, n, inner;
    bool product, exclusive, reverse;
} running_shape;

#define TEMPLATE "runtime/kernels/cumsum.inc"
#include "runtime/kernels/for_floats.h"
#include "runtime/kernels/for_ints.h"

static inline int running(const mcc_arg *a, const mcc_attr *at, bool product, bool exclusive, bool reverse) {
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    int64_t axis = read_int(&a[1], 0);
    if (!index_wrap(&axis, x->rank)) return MCC_E_INDEX;
    running_shape s = {1, 1, 1, product, exclusive, reverse};
    UNROLL for (int k = 0; k < RANK; k++) if (k < x->rank) {
        if (k < axis) s.outer *= dim(x, k);
        else if (k == axis) s.n = dim(x, k);
        else s.inner *= dim(x, k);
    }
    DISPATCH_NUMBERS(x->dtype, running, y->data, x->data, &s)
}

int ref_CumSum(const mcc_arg *a, const mcc_attr *at) {
    const attrs_CumSum *p = (const attrs_CumSum *)at;
    return running(a, at, false, p->exclusive != 0, p->reverse != 0);
}

int ref_CumProd(const mcc_arg *a, const mcc_attr *at) {
    const attrs_CumProd *p = (const attrs_CumProd *)at;
    return running(a, at, true, p->exclusive != 0, p->reverse != 0);
}
