/* Expand: X broadcast against the dims that the tensor `shape` holds. */
#include "runtime/kernels/strided.h"

static int expand_dims(const mcc_arg *a, int rank, int64_t *dims) {
    const mcc_arg *x = &a[0], *shape = &a[1];
    int n = (int)shape->dims[0];
    bool valid = true;
    UNROLL for (int k = 0; k < RANK; k++) if (k < rank) {
        int own = k - (rank - x->rank), given = k - (rank - n);
        int64_t d = own >= 0 ? x->dims[own] : 1, want = given >= 0 ? read_int(shape, given) : 1;
        valid = valid && want >= 0 && (d == want || d == 1 || want == 1);
        dims[k] = d == 1 ? want : d;
    }
    return valid && dims_valid(dims, rank) ? MCC_OK : MCC_E_INDEX;
}

int shape_Expand(mcc_arg *a, const mcc_attr *at) {
    mcc_arg *y = &a[at->args.n_in];
    int64_t dims[RANK];
    int status = expand_dims(a, y->rank, dims);
    if (status == MCC_OK) write_dims(y, dims);
    return status;
}

int ref_Expand(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *y = output(a, at, 0);
    int64_t dims[RANK];
    walk w;
    if (expand_dims(a, y->rank, dims) != MCC_OK || !same_dims(y, dims)) return MCC_E_INDEX;
    walk_broadcast(&w, &a[0], y);
    return strided_read(y, &a[0], 0, &w);
}
