/* GlobalAveragePool, GlobalMaxPool, GlobalLpPool: one value for each plane [n,c] of X. A NaN is the maximum. */
#include "runtime/kernels/common.h"

enum { GLOBAL_AVERAGE, GLOBAL_MAX, GLOBAL_LP };

#define TEMPLATE "runtime/kernels/global_pool.inc"
#include "runtime/kernels/for_floats.h"

static inline int global_pool(const mcc_arg *a, const mcc_attr *at, int kind, double p) {
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    idx planes = dims_product(x, 0, 2), size = dims_product(x, 2, x->rank);
    DISPATCH_FLOATS(x->dtype, global_pool, y->data, x->data, planes, size, kind, p)
}

int ref_GlobalAveragePool(const mcc_arg *a, const mcc_attr *at) { return global_pool(a, at, GLOBAL_AVERAGE, 0); }
int ref_GlobalMaxPool(const mcc_arg *a, const mcc_attr *at) { return global_pool(a, at, GLOBAL_MAX, 0); }
int ref_GlobalLpPool(const mcc_arg *a, const mcc_attr *at) {
    return global_pool(a, at, GLOBAL_LP, (double)((const attrs_GlobalLpPool *)at)->p);
}
