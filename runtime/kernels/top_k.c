/* TopK: the k largest (smallest) elements along an axis and where they stand, the best first; of equal ones, the one
 * that stands first. NaN is larger than every number. The k best so far are a heap with the worst of them on top;
 * most elements are no better than that one, which whole vectors find out at once. Memory to work in: k elements and
 * k places. */
#include "runtime/kernels/common.h"

typedef struct top_shape {
    idx outer, n, inner, k;
    bool least;
} top_shape;

#define TEMPLATE "runtime/kernels/top_k.inc"
#include "runtime/kernels/for_floats.h"
#include "runtime/kernels/for_ints.h"

static inline int top_axis(const mcc_arg *x, const mcc_attr *at) {
    const int64_t axis = ((const attrs_TopK *)at)->axis;
    return (int)(axis < 0 ? axis + x->rank : axis);
}

int shape_TopK(mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0];
    const int axis = top_axis(x, at);
    const int64_t k = read_int(&a[1], 0);
    if (k < 0 || k > x->dims[axis]) return MCC_E_INDEX;
    for (int o = 0; o < 2; o++) {
        mcc_arg *y = &a[at->args.n_in + o];
        UNROLL for (int i = 0; i < RANK; i++) if (i < x->rank) y->dims[i] = i == axis ? k : x->dims[i];
    }
    return MCC_OK;
}

int ref_TopK(const mcc_arg *a, const mcc_attr *at) {
    const attrs_TopK *p = (const attrs_TopK *)at;
    const mcc_arg *x = &a[0], *y = output(a, at, 0), *places = output(a, at, 1);
    const int axis = top_axis(x, at);
    top_shape s = {dims_product(x, 0, axis), dim(x, axis), stride_of(x, axis), 0, p->largest == 0};
    const int64_t k = read_int(&a[1], 0);
    if (k < 0 || k > s.n || (y && dim(y, axis) != k) || (places && dim(places, axis) != k)) return MCC_E_INDEX;
    s.k = (idx)k;
    if (s.k == 0 || s.outer * s.inner == 0) return MCC_OK;
    DISPATCH_NUMBERS(x->dtype, top_k, y ? y->data : NULL, places ? places->data : NULL, x->data,
                     a[at->args.n_in + at->args.n_out].data, &s)
}
