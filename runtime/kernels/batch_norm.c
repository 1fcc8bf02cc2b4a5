/* BatchNormalization: Y = (X - mean) / √(var + epsilon) · scale + B per channel (axis 1). In training mode mean and var
 * are those of X, and the outputs running_mean, running_var are old · momentum + new · (1 - momentum). scale and B may
 * have another floating dtype than X, and mean and var a third. */
#include "runtime/kernels/real.h"

typedef struct batch_norm_args {
    const mcc_arg *scale, *bias, *mean, *var, *new_mean, *new_var; /* the last two may be NULL */
    idx batch, channels, inner;
    double epsilon, momentum;
    bool training;
} batch_norm_args;

#define TEMPLATE "runtime/kernels/batch_norm.inc"
#include "runtime/kernels/for_floats.h"

int ref_BatchNormalization(const mcc_arg *a, const mcc_attr *at) {
    const attrs_BatchNormalization *p = (const attrs_BatchNormalization *)at;
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    batch_norm_args n = {.scale = &a[1], .bias = &a[2], .mean = &a[3], .var = &a[4]};
    n.new_mean = output(a, at, 1);
    n.new_var = output(a, at, 2);
    n.batch = dim(x, 0);
    n.channels = x->rank > 1 ? dim(x, 1) : 1;
    n.inner = dims_product(x, 2, x->rank);
    n.epsilon = p->epsilon;
    n.momentum = p->momentum;
    n.training = p->training_mode != 0;
    DISPATCH_FLOATS(x->dtype, batch_norm, y->data, x->data, &n)
}
