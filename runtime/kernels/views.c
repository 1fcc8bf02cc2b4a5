/* Reshape, Squeeze, Unsqueeze: the dims of operators whose output has the bytes of their input; and the copy for where
 * such an output needs memory of its own. */
#include "runtime/kernels/common.h"

/* Integers and floats of 4 and 2 bits lie packed. */
static inline idx byte_count(const mcc_arg *a) {
    switch (a->dtype) {
    case MCC_U4:
    case MCC_I4:
    case MCC_F4E2M1: return elements(a) / 2 + elements(a) % 2;
    case MCC_U2:
    case MCC_I2: return elements(a) / 4 + (elements(a) % 4 != 0);
    default: return elements(a) * element_bytes(a->dtype);
    }
}

int ref_Copy(const mcc_arg *a, const mcc_attr *at) {
    const unsigned char *restrict from = a[0].data;
    unsigned char *restrict to = output(a, at, 0)->data;
    const idx bytes = byte_count(&a[0]);
    for (idx i = 0; i < bytes; i++) to[i] = from[i];
    return MCC_OK;
}

int ref_BitCast(const mcc_arg *a, const mcc_attr *at) { return ref_Copy(a, at); }

/* shape: 0 copies the input's dim (unless allowzero), one -1 stands for what is left. */
int shape_Reshape(mcc_arg *a, const mcc_attr *at) {
    const attrs_Reshape *p = (const attrs_Reshape *)at;
    const mcc_arg *x = &a[0], *shape = &a[1];
    mcc_arg *y = &a[at->args.n_in];
    int64_t dims[RANK];
    uint64_t total = 1, known = 1; /* unsigned: no dims overflow, but where another one is 0 */
    int open = -1;
    if (shape->dims[0] != y->rank) return MCC_E_INDEX;
    UNROLL for (int k = 0; k < RANK; k++) if (k < x->rank) total *= (uint64_t)x->dims[k];
    UNROLL for (int k = 0; k < RANK; k++) if (k < y->rank) {
        dims[k] = read_int(shape, k);
        if (dims[k] == 0 && !p->allowzero) {
            if (k >= x->rank) return MCC_E_INDEX;
            dims[k] = x->dims[k];
        }
        if (dims[k] == -1) {
            if (open >= 0) return MCC_E_INDEX;
            open = k;
        } else if (dims[k] < 0) return MCC_E_INDEX;
    }
    UNROLL for (int k = 0; k < RANK; k++) if (k < y->rank && k == open) dims[k] = 1;
    if (!dims_valid(dims, y->rank)) return MCC_E_INDEX;
    UNROLL for (int k = 0; k < RANK; k++) if (k < y->rank) known *= (uint64_t)dims[k];
    if (open >= 0) {
        if (known == 0 || mcc_rem_u64(total, known)) return MCC_E_INDEX;
        UNROLL for (int k = 0; k < RANK; k++) if (k == open) dims[k] = (int64_t)mcc_div_u64(total, known);
        known = total;
    }
    if (known != total) return MCC_E_INDEX;
    write_dims(y, dims);
    return MCC_OK;
}

int shape_Squeeze(mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0], *axes = input(a, at, 1);
    mcc_arg *y = &a[at->args.n_in];
    unsigned set = 0;
    int kept = 0;
    if (axes && !axes_set(axes, x->rank, &set)) return MCC_E_INDEX;
    UNROLL for (int k = 0; k < RANK; k++) if (k < x->rank) {
        if (!axes && x->dims[k] == 1) set |= 1u << k;
        if ((set >> k & 1) && x->dims[k] != 1) return MCC_E_INDEX;
        kept += !(set >> k & 1);
    }
    if (kept != y->rank) return MCC_E_INDEX;
    int to = 0;
    UNROLL for (int k = 0; k < RANK; k++) if (k < x->rank && !(set >> k & 1)) y->dims[to++] = x->dims[k];
    return MCC_OK;
}

int shape_Unsqueeze(mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0], *axes = &a[1];
    mcc_arg *y = &a[at->args.n_in];
    unsigned set = 0;
    if (x->rank + axes_count(axes) != y->rank || !axes_set(axes, y->rank, &set)) return MCC_E_INDEX;
    int from = 0;
    UNROLL for (int k = 0; k < RANK; k++) if (k < y->rank) y->dims[k] = set >> k & 1 ? 1 : x->dims[from++];
    return MCC_OK;
}
