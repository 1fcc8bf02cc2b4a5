/* ArgMax, ArgMin: where along an axis the greatest (least) element stands; the first of equal ones, or the last with
 * select_last_index. A NaN is both the greatest and the least. */
#include "runtime/kernels/common.h"

typedef struct arg_shape {
    idx outer, n, inner;
    bool least, last;
} arg_shape;

#define TEMPLATE "runtime/kernels/arg_reduce.inc"
#include "runtime/kernels/for_floats.h"
#include "runtime/kernels/for_ints.h"

static inline int arg_reduce(const mcc_arg *a, const mcc_attr *at, bool least) {
    const attrs_ArgMax *p = (const attrs_ArgMax *)at; /* ArgMin has the same */
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    arg_shape s = {1, 1, 1, least, p->select_last_index != 0};
    const int axis = (int)(p->axis < 0 ? p->axis + x->rank : p->axis);
    if (x->rank) {
        s.outer = dims_product(x, 0, axis);
        s.n = dim(x, axis);
        s.inner = stride_of(x, axis);
    }
    if (elements(y) == 0) return MCC_OK;
    DISPATCH_NUMBERS(x->dtype, arg_reduce, y->data, x->data, &s)
}

int ref_ArgMax(const mcc_arg *a, const mcc_attr *at) { return arg_reduce(a, at, false); }
int ref_ArgMin(const mcc_arg *a, const mcc_attr *at) { return arg_reduce(a, at, true); }
