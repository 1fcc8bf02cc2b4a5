/* LRN: Y = X / (bias + alpha / size · Σ X²)^beta, the sum over the `size` channels around each one: ⌊(size-1)/2⌋ before
 * it, ⌈(size-1)/2⌉ after it, as far as they exist. */
#include "runtime/kernels/common.h"

typedef struct lrn_shape {
    idx batch, channels, inner, before, after;
    double alpha, beta, bias;
} lrn_shape;

#define TEMPLATE "runtime/kernels/lrn.inc"
#include "runtime/kernels/for_floats.h"

int ref_LRN(const mcc_arg *a, const mcc_attr *at) {
    const attrs_LRN *p = (const attrs_LRN *)at;
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    /* A window beyond all channels sums them all. */
    idx channels = dim(x, 1), size = (idx)(p->size < 2 * (int64_t)channels + 1 ? p->size : 2 * (int64_t)channels + 1);
    lrn_shape s = {.batch = dim(x, 0), .channels = channels, .inner = dims_product(x, 2, x->rank)};
    s.before = (size - 1) / 2;
    s.after = size - 1 - s.before;
    s.alpha = p->alpha / (double)p->size;
    s.beta = p->beta;
    s.bias = p->bias;
    DISPATCH_FLOATS(x->dtype, lrn, y->data, x->data, &s)
}
