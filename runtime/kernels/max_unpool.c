/* MaxUnpool: the inverse of a MaxPool that gave indices: zeros, and each element where it came from. Indices count the
 * elements of a tensor whose size follows from X and the window; where an output shape is asked for, that tensor lies
 * in the output's first corner. */
#include "runtime/kernels/window.h"

#define TEMPLATE "runtime/kernels/max_unpool.inc"
#include "runtime/kernels/for_sizes.h"

/* The size that follows from X. */
static inline bool unpooled(const mcc_arg *x, const mcc_attr *at, int64_t *dims) {
    const attrs_MaxUnpool *how = (const attrs_MaxUnpool *)at;
    bool valid = true;
    UNROLL for (int k = 0; k < RANK; k++) if (k < x->rank) {
        dims[k] = x->dims[k];
        if (k < 2) continue;
        const int i = k - 2;
        dims[k] -= 1;
        valid = valid && size_mul(&dims[k], ints_or(&how->strides, i, 1)) &&
                size_add(&dims[k], how->kernel_shape.v[i]) && size_add(&dims[k], -(int64_t)ints_or(&how->pads, i, 0)) &&
                size_add(&dims[k], -(int64_t)ints_or(&how->pads, i + x->rank - 2, 0));
    }
    return valid && dims_valid(dims, x->rank);
}

int shape_MaxUnpool(mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0], *shape = input(a, at, 2);
    int64_t dims[RANK], asked[RANK];
    bool valid = unpooled(x, at, dims) && (!shape || shape->dims[0] == x->rank);
    if (!valid) return MCC_E_INDEX;
    UNROLL for (int k = 0; k < RANK; k++) if (k < x->rank) {
        asked[k] = shape ? read_int(shape, k) : dims[k];
        valid = valid && (k < 2 ? asked[k] == dims[k] : asked[k] >= dims[k]);
    }
    if (!valid || !dims_valid(asked, x->rank)) return MCC_E_INDEX;
    write_dims(&a[at->args.n_in], asked);
    return MCC_OK;
}

int ref_MaxUnpool(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0], *indices = &a[1], *y = output(a, at, 0);
    int64_t dims[RANK], n = 1;
    idx from[RANK], stride[RANK];
    bool inside = unpooled(x, at, dims);
    UNROLL for (int k = 0; k < RANK; k++) {
        from[k] = k < x->rank ? (idx)dims[k] : 1;
        stride[k] = k < x->rank ? stride_of(y, k) : 0;
        inside = inside && (k >= x->rank || (k < 2 ? dims[k] == y->dims[k] : dims[k] <= y->dims[k]));
        n *= from[k];
    }
    for (idx i = 0; inside && i < elements(x); i++) {
        const int64_t at_i = ((const int64_t *)indices->data)[i];
        inside = at_i >= 0 && at_i < n;
    }
    if (!inside) return MCC_E_INDEX;
    if (elements(y) == 0) return MCC_OK;
    DISPATCH_SIZES(x->dtype, max_unpool, y->data, elements(y), x->data, indices->data, elements(x), from, stride)
}
