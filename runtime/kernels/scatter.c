/* ScatterElements: Y = X, then Y[…,indices[…,j,…],…] = updates[…,j,…]. ScatterND: Y = X, then the slice of Y that a
 * tuple of indices names = the slice of updates that stands where the tuple does. With a reduction an update meets what
 * is there already, one after the other in the updates' order. Indices that are negative count from the end; all are
 * checked before Y is written. */
#include "runtime/kernels/tuples.h"

enum { SCATTER_NONE, SCATTER_ADD, SCATTER_MUL, SCATTER_MAX, SCATTER_MIN };

#define TEMPLATE "runtime/kernels/scatter.inc"
#include "runtime/kernels/for_floats.h"
#include "runtime/kernels/for_ints.h"
#undef TEMPLATE
#define TEMPLATE "runtime/kernels/scatter_move.inc"
#include "runtime/kernels/for_sizes.h"

/* Sums of truth values are `or`, products `and`. */
static inline int64_t reduction_of(int64_t reduction, int32_t dtype) {
    if (dtype != MCC_BOOL || reduction == SCATTER_NONE) return reduction;
    return reduction == SCATTER_ADD || reduction == SCATTER_MAX ? SCATTER_MAX : SCATTER_MIN;
}

static int copy_data(const mcc_arg *y, const mcc_arg *x) {
    const idx n = elements(y);
    DISPATCH_SIZES(y->dtype, copy, y->data, x->data, n)
}

int ref_ScatterElements(const mcc_arg *a, const mcc_attr *at) {
    const attrs_ScatterElements *p = (const attrs_ScatterElements *)at;
    const mcc_arg *x = &a[0], *indices = &a[1], *updates = &a[2], *y = output(a, at, 0);
    const int axis = (int)(p->axis < 0 ? p->axis + x->rank : p->axis);
    const int64_t how = reduction_of(p->reduction, x->dtype);
    walk w;
    bool inside = indices_inside(indices, x->dims[axis]);
    walk_clear(&w);
    UNROLL for (int k = 0; k < RANK; k++) {
        const int own = k - (RANK - x->rank);
        if (own < 0) continue;
        w.n[k] = dim(indices, own);
        w.stride[k] = own == axis ? 0 : stride_of(x, own);
        inside = inside && (own == axis || indices->dims[own] <= x->dims[own]);
    }
    if (elements(indices) && !inside) return MCC_E_INDEX;
    const int status = copy_data(y, x);
    if (status != MCC_OK || elements(indices) == 0) return status;
    if (how == SCATTER_NONE)
        DISPATCH_SIZES(x->dtype, put_elements, y->data, updates->data, indices, dim(x, axis), stride_of(x, axis), &w)
    DISPATCH_NUMBERS(x->dtype, scatter_elements, y->data, updates->data, indices, dim(x, axis), stride_of(x, axis), &w,
                     how)
}

int ref_ScatterND(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0], *indices = &a[1], *updates = &a[2], *y = output(a, at, 0);
    const int64_t how = reduction_of(((const attrs_ScatterND *)at)->reduction, x->dtype);
    const tuple_plan p = tuples_of(x, indices, 0);
    if (!tuples_inside(&p, indices)) return MCC_E_INDEX;
    const int status = copy_data(y, x);
    if (status != MCC_OK || elements(updates) == 0) return status;
    if (how == SCATTER_NONE) DISPATCH_SIZES(x->dtype, put_slices, y->data, updates->data, indices, &p)
    DISPATCH_NUMBERS(x->dtype, scatter_slices, y->data, updates->data, indices, &p, how)
}
