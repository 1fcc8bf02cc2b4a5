/* LayerNormalization: Y = (X - Mean) · InvStdDev · Scale + B, the moments taken over axis and all that follow; Scale
 * and B broadcast to X. RMSNormalization: the same with Mean = 0 and no B. InstanceNormalization: the same over the
 * spatial axes, Scale and B per channel. */
#include "runtime/kernels/real.h"

/* The rows of moments are n long. */
typedef struct norm_shape {
    idx rows, n;
    double epsilon;
    bool centred;
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

/* mean, inverse: where they are wanted too */
static inline int row_norm(const mcc_arg *x, const mcc_arg *scale, const mcc_arg *bias, const mcc_arg *y,
                           const mcc_arg *mean, const mcc_arg *inverse, int64_t first, double epsilon, bool centred) {
    int axis = (int)(first < 0 ? first + x->rank : first);
    norm_shape s = {dims_product(x, 0, axis), dims_product(x, axis, x->rank), epsilon, centred};
    walk ws, wb;
    walk_broadcast(&ws, scale, y);
    if (bias) walk_broadcast(&wb, bias, y);
    else walk_clear(&wb);
    int slot = axis + RANK - x->rank;
    bool broadcast = !reads_one_row(&ws, slot) || (bias && !reads_one_row(&wb, slot));
    DISPATCH_FLOATS(x->dtype, layer_norm, y->data, x->data, scale->data, bias ? bias->data : NULL, mean, inverse, &s,
                    broadcast ? &ws : NULL, &wb)
}

int ref_LayerNormalization(const mcc_arg *a, const mcc_attr *at) {
    const attrs_LayerNormalization *p = (const attrs_LayerNormalization *)at;
    return row_norm(&a[0], &a[1], input(a, at, 2), output(a, at, 0), output(a, at, 1), output(a, at, 2), p->axis,
                    p->epsilon, true);
}

int ref_RMSNormalization(const mcc_arg *a, const mcc_attr *at) {
    const attrs_RMSNormalization *p = (const attrs_RMSNormalization *)at;
    return row_norm(&a[0], &a[1], NULL, output(a, at, 0), NULL, NULL, p->axis, p->epsilon, false);
}

int ref_InstanceNormalization(const mcc_arg *a, const mcc_attr *at) {
    const attrs_InstanceNormalization *p = (const attrs_InstanceNormalization *)at;
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    norm_shape s = {dims_product(x, 0, 2), dims_product(x, 2, x->rank), p->epsilon, true};
    DISPATCH_FLOATS(x->dtype, instance_norm, y->data, x->data, a[1].data, a[2].data, dim(x, 1), &s)
}
