/* Tensors whose last axis holds tuples of indices: each tuple names a slice of X, behind axes that both have in common
 * (GatherND, ScatterND). Negative indices count from the end. */
#ifndef MCC_KERNELS_TUPLES_H
#define MCC_KERNELS_TUPLES_H
#include "runtime/kernels/common.h"

typedef struct tuple_plan {
    idx batches, tuples, depth, slice; /* per batch: so many tuples, of `depth` indices, each naming a slice of X */
    idx batch_size;                    /* of X */
    idx n[RANK], stride[RANK];         /* of the axes that are indexed */
} tuple_plan;

static inline tuple_plan tuples_of(const mcc_arg *x, const mcc_arg *indices, int batch_dims) {
    const int q = indices->rank;
    tuple_plan p = {.batches = dims_product(x, 0, batch_dims), .batch_size = dims_product(x, batch_dims, x->rank)};
    p.tuples = dims_product(indices, batch_dims, q - 1);
    p.depth = dim(indices, q - 1);
    p.slice = dims_product(x, batch_dims + (int)p.depth, x->rank);
    UNROLL for (int k = 0; k < RANK; k++) {
        const bool used = k < p.depth;
        p.n[k] = used ? dims_product(x, batch_dims + k, batch_dims + k + 1) : 1;
        p.stride[k] = used ? dims_product(x, batch_dims + k + 1, x->rank) : 0;
    }
    return p;
}

/* The offset in X that a tuple names, or -1. */
static inline idx tuple_offset(const tuple_plan *p, const mcc_arg *indices, idx tuple) {
    idx at = 0;
    bool inside = true;
    UNROLL for (int k = 0; k < RANK; k++) if (k < p->depth) {
        int64_t i = read_int(indices, tuple * p->depth + k);
        inside = inside && index_wrap(&i, p->n[k]);
        at += (idx)(inside ? i : 0) * p->stride[k];
    }
    return inside ? at : -1;
}

static inline bool tuples_inside(const tuple_plan *p, const mcc_arg *indices) {
    bool inside = true;
    for (idx t = 0; t < p->batches * p->tuples; t++) inside = inside && tuple_offset(p, indices, t) >= 0;
    return inside;
}

/* Is every index of an axis of n elements inside of it? */
static inline bool indices_inside(const mcc_arg *indices, int64_t n) {
    const idx many = elements(indices);
    bool inside = true;
    for (idx i = 0; i < many; i++) {
        const int64_t v = read_int(indices, i);
        inside = inside && v >= -n && v < n;
    }
    return inside;
}
#endif
