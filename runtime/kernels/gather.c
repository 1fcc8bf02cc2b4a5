/* Gather: Y[o,j,i] = X[o,indices[j],i]. GatherElements: Y[…,j,…] = X[…,indices[…,j,…],…]. GatherND: each row of indices
 * is a position in X after batch_dims axes. Negative indices count from the end. All are checked before Y is written.
 */
#include "runtime/kernels/tuples.h"

#define TEMPLATE "runtime/kernels/gather.inc"
#include "runtime/kernels/for_sizes.h"

int ref_Gather(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0], *indices = &a[1], *y = output(a, at, 0);
    int64_t given = ((const attrs_Gather *)at)->axis;
    int axis = (int)(given < 0 ? given + x->rank : given);
    if (!indices_inside(indices, x->dims[axis])) return MCC_E_INDEX;
    idx outer = dims_product(x, 0, axis), n = dim(x, axis), inner = stride_of(x, axis);
    if (elements(y) == 0) return MCC_OK;
    DISPATCH_SIZES(x->dtype, gather, y->data, x->data, indices, outer, n, inner)
}

int ref_GatherElements(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0], *indices = &a[1], *y = output(a, at, 0);
    int64_t given = ((const attrs_GatherElements *)at)->axis;
    int axis = (int)(given < 0 ? given + x->rank : given);
    walk w;
    bool inside = indices_inside(indices, x->dims[axis]);
    if (elements(y) == 0) return MCC_OK;
    walk_clear(&w);
    UNROLL for (int k = 0; k < RANK; k++) {
        int own = k - (RANK - x->rank);
        if (own < 0) continue;
        w.n[k] = dim(indices, own);
        w.stride[k] = own == axis ? 0 : stride_of(x, own);
        inside = inside && (own == axis || indices->dims[own] <= x->dims[own]);
    }
    if (!inside) return MCC_E_INDEX;
    DISPATCH_SIZES(x->dtype, gather_elements, y->data, x->data, indices, dim(x, axis), stride_of(x, axis), &w)
}

int ref_GatherND(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0], *indices = &a[1], *y = output(a, at, 0);
    const int batch_dims = (int)((const attrs_GatherND *)at)->batch_dims;
    const tuple_plan p = tuples_of(x, indices, batch_dims);
    bool inside = true;
    UNROLL for (int k = 0; k < RANK; k++) if (k < batch_dims) inside = inside && x->dims[k] == indices->dims[k];
    if (!inside) return MCC_E_SHAPE;
    if (!tuples_inside(&p, indices)) return MCC_E_INDEX;
    if (elements(y) == 0) return MCC_OK;
    DISPATCH_SIZES(x->dtype, gather_nd, y->data, x->data, indices, &p)
}
