/* OneHot: along the axis, `on` at the index and `off` elsewhere. Negative indices count from the end; one that is
 * outside of [-depth, depth) has no place. Indices and the depth may be of any numeric dtype; values: [off, on]. */
#include "runtime/kernels/number.h"

#define TEMPLATE "runtime/kernels/one_hot.inc"
#include "runtime/kernels/for_sizes.h"

static inline int one_hot_axis(const mcc_arg *indices, const mcc_attr *at) {
    const int64_t axis = ((const attrs_OneHot *)at)->axis;
    return (int)(axis < 0 ? axis + indices->rank + 1 : axis);
}

int shape_OneHot(mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *indices = &a[0];
    mcc_arg *y = &a[at->args.n_in];
    const int axis = one_hot_axis(indices, at);
    int64_t dims[RANK];
    UNROLL for (int k = 0; k < RANK; k++) if (k < y->rank) dims[k] =
        k == axis ? number_int(&a[1], 0) : indices->dims[k < axis ? k : k - 1];
    if (!dims_valid(dims, y->rank)) return MCC_E_INDEX;
    write_dims(y, dims);
    return MCC_OK;
}

int ref_OneHot(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *indices = &a[0], *values = &a[2], *y = output(a, at, 0);
    const int axis = one_hot_axis(indices, at);
    const idx outer = dims_product(y, 0, axis), depth = dim(y, axis), inner = stride_of(y, axis);
    if (number_int(&a[1], 0) != depth) return MCC_E_INDEX;
    if (elements(y) == 0) return MCC_OK;
    DISPATCH_SIZES(values->dtype, one_hot, y->data, values->data, indices, outer, depth, inner)
}
