/* Gather: Y[o,j,i] = X[o,indices[j],i]. GatherElements: Y[…,j,…] = X[…,indices[…,j,…],…]. GatherND: each row of indices
 * is a position in X after batch_dims axes. Negative indices count from the end. All are checked before Y is written.
 */
#include "runtime/kernels/common.h"

typedef struct gather_nd_plan {
    idx batches, tuples, depth, slice; /* per batch: so many tuples, of `depth` indices, each naming a slice of X */
    idx batch_size;                    /* of X */
    idx n[RANK], stride[RANK];         /* of the axes that are indexed */
} gather_nd_plan;

/* The offset in X that a tuple names, or -1. */
static inline idx gather_nd_offset(const gather_nd_plan *p, const mcc_arg *indices, idx tuple) {
    idx at = 0;
    bool inside = true;
    UNROLL for (int k = 0; k < RANK; k++) if (k < p->depth) {
        int64_t i = read_int(indices, tuple * p->depth + k);
        inside = inside && index_wrap(&i, p->n[k]);
        at += (idx)(inside ? i : 0) * p->stride[k];
    }
    return inside ? at : -1;
}

#define TEMPLATE "runtime/kernels/gather.inc"
#include "runtime/kernels/for_sizes.h"

static inline bool indices_inside(const mcc_arg *indices, int64_t n) {
    const idx many = elements(indices);
    bool inside = true;
    for (idx i = 0; i < many; i++) {
        const int64_t v = read_int(indices, i);
        inside = inside && v >= -n && v < n;
    }
    return inside;
}

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
    const int batch_dims = (int)((const attrs_GatherND *)at)->batch_dims, q = indices->rank;
    gather_nd_plan p = {.batches = dims_product(x, 0, batch_dims), .batch_size = dims_product(x, batch_dims, x->rank)};
    p.tuples = dims_product(indices, batch_dims, q - 1);
    p.depth = dim(indices, q - 1);
    p.slice = dims_product(x, batch_dims + (int)p.depth, x->rank);
    UNROLL for (int k = 0; k < RANK; k++) {
        bool used = k < p.depth;
        p.n[k] = used ? dims_product(x, batch_dims + k, batch_dims + k + 1) : 1;
        p.stride[k] = used ? dims_product(x, batch_dims + k + 1, x->rank) : 0;
    }
    bool inside = true;
    UNROLL for (int k = 0; k < RANK; k++) if (k < batch_dims) inside = inside && x->dims[k] == indices->dims[k];
    if (!inside) return MCC_E_SHAPE;
    for (idx t = 0; t < p.batches * p.tuples; t++) inside = inside && gather_nd_offset(&p, indices, t) >= 0;
    if (!inside) return MCC_E_INDEX;
    if (elements(y) == 0) return MCC_OK;
    DISPATCH_SIZES(x->dtype, gather_nd, y->data, x->data, indices, &p)
}
