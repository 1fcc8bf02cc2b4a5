/* Tile: X repeated repeats[k] times along axis k. */
#include "runtime/kernels/common.h"

#define TEMPLATE "runtime/kernels/tile.inc"
#include "runtime/kernels/for_sizes.h"

static int tile_dims(const mcc_arg *a, int64_t *dims) {
    const mcc_arg *x = &a[0];
    bool valid = a[1].dims[0] == x->rank;
    UNROLL for (int k = 0; k < RANK; k++) if (k < x->rank) {
        dims[k] = x->dims[k];
        valid = valid && size_mul(&dims[k], read_int(&a[1], k));
    }
    return valid && dims_valid(dims, x->rank) ? MCC_OK : MCC_E_INDEX;
}

int shape_Tile(mcc_arg *a, const mcc_attr *at) {
    int64_t dims[RANK];
    int status = tile_dims(a, dims);
    if (status == MCC_OK) write_dims(&a[at->args.n_in], dims);
    return status;
}

int ref_Tile(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    int64_t dims[RANK];
    walk in, out;
    if (tile_dims(a, dims) != MCC_OK || !same_dims(y, dims)) return MCC_E_INDEX;
    if (elements(y) == 0) return MCC_OK;
    walk_clear(&in);
    walk_clear(&out);
    UNROLL for (int k = 0; k < RANK; k++) {
        int axis = k - (RANK - x->rank);
        if (axis < 0) continue;
        in.n[k] = dim(x, axis);
        in.stride[k] = stride_of(x, axis);
        out.n[k] = dim(y, axis);
    }
    DISPATCH_SIZES(x->dtype, tile, y->data, x->data, &in, &out)
}
