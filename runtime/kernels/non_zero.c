/* NonZero: the positions of elements that are not 0 (NaN is not), in row-major order, a row of Y for each axis. */
#include "runtime/kernels/common.h"

#define TEMPLATE "runtime/kernels/non_zero.inc"
#include "runtime/kernels/for_floats.h"
#include "runtime/kernels/for_ints.h"

static int non_zero_count(const mcc_arg *x, int64_t *n) {
    const idx all = elements(x);
    DISPATCH_NUMBERS(x->dtype, non_zero_count, x->data, all, n)
}

int shape_NonZero(mcc_arg *a, const mcc_attr *at) {
    mcc_arg *y = &a[at->args.n_in];
    y->dims[0] = a[0].rank;
    return non_zero_count(&a[0], &y->dims[1]);
}

int ref_NonZero(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    walk w;
    int64_t n;
    if (non_zero_count(x, &n) != MCC_OK || n != y->dims[1]) return MCC_E_INDEX;
    if (elements(y) == 0) return MCC_OK;
    walk_clear(&w);
    UNROLL for (int k = 0; k < RANK; k++) if (k >= RANK - x->rank) w.n[k] = dim(x, k - (RANK - x->rank));
    DISPATCH_NUMBERS(x->dtype, non_zero_list, y->data, x->data, &w, x->rank, (idx)n)
}
