/* LayerNormalization: Y = (X - Mean) · InvStdDev · Scale + B, the moments taken over axis and all that follow; Scale
 * and B broadcast to X. InstanceNormalization: the same over the spatial axes, Scale and B per channel. */
#include "runtime/kernels/real.h"

/* The rows of moments are n long. */
typedef struct norm_shape {
    idx rows, n;
    double epsilon;
} norm_shape;

#define TEMPLATE "runtime/kernels/layer_norm.inc"
#include "runtime/kernels/for_floats.h"

/* Does a walk over X read just one contiguous row, the same for each set of moments? */
static inline bool reads_one_row(const walk *w, int axis_slot) {
    bool one = true;
    idx run = 1;
    UNROLL for (int k = RANK - 1; k >= 0; k--) {
        one = one && (w->n[k] == 1 || w->stride[k] == (k >= axis_slot ? run : 0));
        run *= w->n[k];
    }
    return one;
}

int ref_LayerNormalization(const mcc_arg *a, const mcc_attr *at) {
    const attrs_LayerNormalization *p = (const attrs_LayerNormalization *)at;
    const mcc_arg *x = &a[0], *scale = &a[1], *bias = input(a, at, 2), *y = output(a, at, 0);
    const mcc_arg *mean = output(a, at, 1), *inverse = output(a, at, 2);
    int axis = (int)(p->axis < 0 ? p->axis + x->rank : p->axis);
    norm_shape s = {dims_product(x, 0, axis), dims_product(x, axis, x->rank), p->epsilon};
    walk ws, wb;
    walk_broadcast(&ws, scale, y);
    if (bias) walk_broadcast(&wb, bias, y);
    else walk_clear(&wb);
    int slot = axis + RANK - x->rank;
    bool broadcast = !reads_one_row(&ws, slot) || (bias && !reads_one_row(&wb, slot));
    DISPATCH_FLOATS(x->dtype, layer_norm, y->data, x->data, scale->data, bias ? bias->data : NULL, mean, inverse, &s,
                    broadcast ? &ws : NULL, &wb)
}

int ref_InstanceNormalization(const mcc_arg *a, const mcc_attr *at) {
    const attrs_InstanceNormalization *p = (const attrs_InstanceNormalization *)at;
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    norm_shape s = {dims_product(x, 0, 2), dims_product(x, 2, x->rank), p->epsilon};
    DISPATCH_FLOATS(x->dtype, instance_norm, y->data, x->data, a[1].data, a[2].data, dim(x, 1), &s)
}
