/* ReduceL1 … ReduceSumSquare: Y = a fold of the elements of X along a set of axes. axes (input 1, int64) absent or
 * empty means all, or with noop_with_empty_axes none: then each element is folded alone. Integers wrap; L2, LogSum and
 * LogSumExp of integers are computed in double and truncated. Over no elements: sums are 0, the product is 1, Max the
 * lowest value, Min the highest, Mean NaN (of integers 0). */
#include "runtime/kernels/common.h"

enum { R_L1, R_L2, R_LOG_SUM, R_LOG_SUM_EXP, R_MAX, R_MEAN, R_MIN, R_PROD, R_SUM, R_SUM_SQUARE };

/* What is left of X, in the order of Y, and what is folded into each element of it. */
typedef struct reduce_plan {
    walk kept, folded;
} reduce_plan;

#define TEMPLATE "runtime/kernels/reduce.inc"
#include "runtime/kernels/for_floats.h"
#include "runtime/kernels/for_ints.h"
#include "runtime/kernels/for_ints_real.h"

static int reduce_axes(const mcc_arg *a, const mcc_attr *at, bool noop, unsigned *set) {
    const mcc_arg *axes = input(a, at, 1);
    *set = 0;
    if (axes && axes->dims[0] > 0) return axes_set(axes, a[0].rank, set) ? MCC_OK : MCC_E_INDEX;
    if (!noop) UNROLL for (int k = 0; k < RANK; k++) if (k < a[0].rank) *set |= 1u << k;
    return MCC_OK;
}

/* The dims of the output; false if it does not have their number. */
static bool reduce_dims(const mcc_arg *x, unsigned set, bool keep, int rank, int64_t *dims) {
    int n = 0;
    UNROLL for (int k = 0; k < RANK; k++) if (k < x->rank) {
        const bool folded = set >> k & 1;
        if (!folded || keep) dims[n++] = folded ? 1 : x->dims[k];
    }
    return n == rank;
}

static int shape_reduce(mcc_arg *a, const mcc_attr *at) {
    const attrs_ReduceSum *p = (const attrs_ReduceSum *)at; /* the same for all */
    mcc_arg *y = &a[at->args.n_in];
    int64_t dims[RANK];
    unsigned set;
    if (reduce_axes(a, at, p->noop_with_empty_axes != 0, &set) != MCC_OK) return MCC_E_INDEX;
    if (!reduce_dims(&a[0], set, p->keepdims != 0, y->rank, dims)) return MCC_E_INDEX;
    write_dims(y, dims);
    return MCC_OK;
}

static inline int reduce(const mcc_arg *a, const mcc_attr *at, int kind) {
    const attrs_ReduceSum *p = (const attrs_ReduceSum *)at;
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    int64_t dims[RANK];
    unsigned set;
    reduce_plan r;
    if (reduce_axes(a, at, p->noop_with_empty_axes != 0, &set) != MCC_OK) return MCC_E_INDEX;
    if (!reduce_dims(x, set, p->keepdims != 0, y->rank, dims) || !same_dims(y, dims)) return MCC_E_INDEX;
    walk_clear(&r.kept);
    walk_clear(&r.folded);
    UNROLL for (int k = 0; k < RANK; k++) {
        int axis = k - (RANK - x->rank);
        if (axis < 0) continue;
        walk *w = set >> axis & 1 ? &r.folded : &r.kept;
        w->n[k] = dim(x, axis);
        w->stride[k] = stride_of(x, axis);
    }
    walk_merge(&r.kept);
    walk_merge(&r.folded);
    if (kind == R_L2 || kind == R_LOG_SUM || kind == R_LOG_SUM_EXP)
        DISPATCH_REAL(x->dtype, reduce, y->data, x->data, &r, kind)
    DISPATCH_NUMBERS(x->dtype, reduce, y->data, x->data, &r, kind)
}

#define KERNEL(name, kind)                                                                                             \
    int ref_##name(const mcc_arg *a, const mcc_attr *at) { return reduce(a, at, kind); }                               \
    int shape_##name(mcc_arg *a, const mcc_attr *at) { return shape_reduce(a, at); }
KERNEL(ReduceL1, R_L1)
KERNEL(ReduceL2, R_L2)
KERNEL(ReduceLogSum, R_LOG_SUM)
KERNEL(ReduceLogSumExp, R_LOG_SUM_EXP)
KERNEL(ReduceMax, R_MAX)
KERNEL(ReduceMean, R_MEAN)
KERNEL(ReduceMin, R_MIN)
KERNEL(ReduceProd, R_PROD)
KERNEL(ReduceSum, R_SUM)
KERNEL(ReduceSumSquare, R_SUM_SQUARE)
