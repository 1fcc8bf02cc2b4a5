/* Concat and Split along an axis: the tensor seen as `outer` rows, to which each part gives a run. */
#include "runtime/kernels/common.h"

#define TEMPLATE "runtime/kernels/concat.inc"
#include "runtime/kernels/for_sizes.h"

static inline int copy_runs(const mcc_arg *y, idx y_row, idx y_at, const mcc_arg *x, idx x_row, idx x_at, idx rows,
                            idx run) {
    if (rows == 0 || run == 0) return MCC_OK;
    DISPATCH_SIZES(y->dtype, copy_runs, y->data, y_row, y_at, x->data, x_row, x_at, rows, run)
}

int ref_Concat(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *y = output(a, at, 0);
    int64_t given = ((const attrs_Concat *)at)->axis;
    int axis = (int)(given < 0 ? given + y->rank : given);
    idx rows = dims_product(y, 0, axis), y_row = dims_product(y, axis, y->rank), done = 0;
    UNROLL for (int i = 0; i < at->args.n_in; i++) {
        idx run = dims_product(&a[i], axis, y->rank);
        int status = copy_runs(y, y_row, done, &a[i], run, 0, rows, run);
        if (status != MCC_OK) return status;
        done += run;
    }
    return MCC_OK;
}

/* The length of part i along the axis: given, or equal ones of which the last may be shorter. */
static int split_part(const mcc_arg *a, const mcc_attr *at, int axis, int i, int64_t *length) {
    const mcc_arg *split = input(a, at, 1);
    const int64_t n = a[0].dims[axis], parts = at->args.n_out;
    if (split) {
        *length = read_int(split, i);
        return *length >= 0 && *length <= n ? MCC_OK : MCC_E_INDEX;
    }
    const int64_t each = mcc_div_i64(n, parts) + (mcc_rem_i64(n, parts) != 0);
    const int64_t left = mcc_div_i64(n, each) < i ? 0 : n - each * i;
    *length = left < each ? left : each;
    return MCC_OK;
}

/* Do the lengths of the parts add up to the axis? */
static int split_check(const mcc_arg *a, const mcc_attr *at, int axis) {
    int64_t sum = 0, length = 0;
    if (input(a, at, 1) && a[1].dims[0] != at->args.n_out) return MCC_E_INDEX;
    UNROLL for (int i = 0; i < at->args.n_out; i++) {
        if (split_part(a, at, axis, i, &length) != MCC_OK || !size_add(&sum, length)) return MCC_E_INDEX;
    }
    return sum == a[0].dims[axis] ? MCC_OK : MCC_E_INDEX;
}

static inline int split_axis(const mcc_arg *a, const mcc_attr *at) {
    int64_t axis = ((const attrs_Split *)at)->axis;
    return (int)(axis < 0 ? axis + a[0].rank : axis);
}

int shape_Split(mcc_arg *a, const mcc_attr *at) {
    const int axis = split_axis(a, at);
    if (split_check(a, at, axis) != MCC_OK) return MCC_E_INDEX;
    UNROLL for (int i = 0; i < at->args.n_out; i++) {
        mcc_arg *y = &a[at->args.n_in + i];
        int64_t length = 0;
        split_part(a, at, axis, i, &length);
        UNROLL for (int k = 0; k < RANK; k++) if (k < a[0].rank) y->dims[k] = k == axis ? length : a[0].dims[k];
    }
    return MCC_OK;
}

int ref_Split(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0];
    const int axis = split_axis(a, at);
    idx rows = dims_product(x, 0, axis), x_row = dims_product(x, axis, x->rank), inner = stride_of(x, axis), done = 0;
    if (split_check(a, at, axis) != MCC_OK) return MCC_E_INDEX;
    UNROLL for (int i = 0; i < at->args.n_out; i++) {
        const mcc_arg *y = output(a, at, i);
        int64_t length = 0;
        split_part(a, at, axis, i, &length);
        if (y && y->dims[axis] != length) return MCC_E_INDEX;
        int status = y ? copy_runs(y, (idx)length * inner, 0, x, x_row, done, rows, (idx)length * inner) : MCC_OK;
        if (status != MCC_OK) return status;
        done += (idx)length * inner;
    }
    return MCC_OK;
}
