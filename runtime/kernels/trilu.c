/* Trilu: the upper (column - row ≥ k) or lower (column - row ≤ k) triangle of each matrix, zeros elsewhere. */
#include "runtime/kernels/common.h"

#define TEMPLATE "runtime/kernels/trilu.inc"
#include "runtime/kernels/for_sizes.h"

int ref_Trilu(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0], *k = input(a, at, 1), *y = output(a, at, 0);
    const bool upper = ((const attrs_Trilu *)at)->upper != 0;
    idx matrices = dims_product(x, 0, x->rank - 2), rows = dim(x, x->rank - 2), cols = dim(x, x->rank - 1);
    const int64_t far = (int64_t)rows + cols, given = k ? read_int(k, 0) : 0;
    const idx diagonal = (idx)(given < -far ? -far : given > far ? far : given);
    DISPATCH_SIZES(x->dtype, trilu, y->data, x->data, matrices, rows, cols, diagonal, upper)
}
