/* Pad: pads[k] elements before and pads[n + k] after axis axes[k]; negative ones remove elements. Modes: a constant,
 * the elements mirrored without the edge (again and again if need be), the edge repeated, or the tensor wrapped around;
 * what negative pads remove is removed before. MCC_E_INDEX where there is nothing to mirror, repeat or wrap. */
#include "runtime/kernels/common.h"

enum { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP };

/* Along each slot: output o stands for element o - before of [lo, lo + n), the input without what is removed. */
typedef struct pad_plan {
    idx before[RANK], lo[RANK], n[RANK], out[RANK], stride[RANK];
} pad_plan;

/* The element that output o of slot k shows, or -1 for the constant. */
static inline idx pad_source(const pad_plan *p, int k, idx o, int64_t mode) {
    const idx n = p->n[k];
    idx i = o - p->before[k];
    if (i < 0 || i >= n) {
        const idx period = mode == PAD_REFLECT ? idx_max(2 * (n - 1), 1) : n;
        switch (mode) {
        case PAD_CONSTANT: return -1;
        case PAD_EDGE: i = i < 0 ? 0 : n - 1; break;
        default:
            i %= period;
            i += i < 0 ? period : 0;
            i = i < n ? i : period - i;
        }
    }
    return p->lo[k] + i;
}

#define TEMPLATE "runtime/kernels/pad.inc"
#include "runtime/kernels/for_sizes.h"

/* The pads of each axis of X, and the dims of Y. */
static int pad_parse(const mcc_arg *a, const mcc_attr *at, int64_t *before, int64_t *after, int64_t *dims) {
    const mcc_arg *x = &a[0], *axes = input(a, at, 3);
    const int64_t n = axes ? axes->dims[0] : x->rank;
    int where[RANK];
    bool valid = a[1].dims[0] == 2 * n;
    if (!valid || !axes_find(axes, n, x->rank, where)) return MCC_E_INDEX;
    UNROLL for (int k = 0; k < RANK; k++) {
        before[k] = where[k] >= 0 ? read_int(&a[1], where[k]) : 0;
        after[k] = where[k] >= 0 ? read_int(&a[1], (idx)n + where[k]) : 0;
        dims[k] = k < x->rank ? x->dims[k] : 1;
        valid = valid && size_add(&dims[k], before[k]) && size_add(&dims[k], after[k]);
    }
    return valid && dims_valid(dims, x->rank) ? MCC_OK : MCC_E_INDEX;
}

int shape_Pad(mcc_arg *a, const mcc_attr *at) {
    int64_t before[RANK], after[RANK], dims[RANK];
    int status = pad_parse(a, at, before, after, dims);
    if (status == MCC_OK) write_dims(&a[at->args.n_in], dims);
    return status;
}

/* One slot, n elements long in X; false if a mode that copies elements has none to copy. */
static inline bool pad_slot(pad_plan *p, int k, int64_t n, int64_t before, int64_t after, int64_t mode) {
    const int64_t lo = before >= 0 ? 0 : before > -n ? -before : n, end = after >= 0 ? n : after > -n ? n + after : 0;
    const int64_t hi = end > lo ? end : lo;
    p->before[k] = before < 0 ? 0 : before < p->out[k] ? (idx)before : p->out[k];
    p->lo[k] = (idx)lo;
    p->n[k] = (idx)(hi - lo);
    return mode == PAD_CONSTANT || hi > lo;
}

int ref_Pad(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0], *value = input(a, at, 2), *y = output(a, at, 0);
    const int64_t mode = ((const attrs_Pad *)at)->mode;
    int64_t before[RANK], after[RANK], dims[RANK];
    pad_plan p;
    if (pad_parse(a, at, before, after, dims) != MCC_OK || !same_dims(y, dims)) return MCC_E_INDEX;
    if (elements(y) == 0) return MCC_OK;
    bool possible = true;
    UNROLL for (int k = 0; k < RANK; k++) {
        int axis = k - (RANK - x->rank);
        p.out[k] = p.n[k] = 1;
        p.before[k] = p.lo[k] = p.stride[k] = 0;
        if (axis < 0) continue;
        p.out[k] = dim(y, axis);
        p.stride[k] = stride_of(x, axis);
        possible = pad_slot(&p, k, x->dims[axis], before[axis], after[axis], mode) && possible;
    }
    if (!possible) return MCC_E_INDEX;
    DISPATCH_SIZES(x->dtype, pad, y->data, x->data, value ? value->data : NULL, &p, mode)
}

/* ---- CenterCropPad: axes as long as input 1 says, cut or filled with zeros on both sides, the odd one behind ---- */

static int center_dims(const mcc_arg *a, const mcc_attr *at, int64_t *dims) {
    const mcc_arg *x = &a[0];
    const mcc_ints *axes = &((const attrs_CenterCropPad *)at)->axes;
    UNROLL for (int k = 0; k < RANK; k++) dims[k] = k < x->rank ? x->dims[k] : 1;
    UNROLL for (int i = 0; i < RANK; i++) if (i < a[1].dims[0]) {
        int64_t axis = axes->n ? axes->v[i] : i;
        if (!index_wrap(&axis, x->rank)) return MCC_E_INDEX;
        UNROLL for (int k = 0; k < RANK; k++) if (k == axis) dims[k] = read_int(&a[1], i);
    }
    return dims_valid(dims, x->rank) ? MCC_OK : MCC_E_INDEX;
}

int shape_CenterCropPad(mcc_arg *a, const mcc_attr *at) {
    int64_t dims[RANK];
    int status = center_dims(a, at, dims);
    if (status == MCC_OK) write_dims(&a[at->args.n_in], dims);
    return status;
}

int ref_CenterCropPad(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    int64_t dims[RANK];
    pad_plan p;
    if (center_dims(a, at, dims) != MCC_OK || !same_dims(y, dims)) return MCC_E_INDEX;
    if (elements(y) == 0) return MCC_OK;
    UNROLL for (int k = 0; k < RANK; k++) {
        int axis = k - (RANK - x->rank);
        p.out[k] = p.n[k] = 1;
        p.before[k] = p.lo[k] = p.stride[k] = 0;
        if (axis < 0) continue;
        const idx have = dim(x, axis), want = dim(y, axis);
        p.out[k] = want;
        p.n[k] = idx_min(have, want);
        p.lo[k] = have > want ? (have - want) / 2 : 0;
        p.before[k] = want > have ? (want - have) / 2 : 0;
        p.stride[k] = stride_of(x, axis);
    }
    DISPATCH_SIZES(x->dtype, pad, y->data, x->data, NULL, &p, PAD_CONSTANT)
}
