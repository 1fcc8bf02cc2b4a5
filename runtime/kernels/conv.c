/* Conv: Y[n,m,o] = B[m] + Σ X[n, group(m) + c, o·stride + k·dilation - pad] · W[m,c,k] over c and k, in this order. */
#include "runtime/kernels/window.h"

typedef struct conv_shape {
    window window;
    idx batch, in_channels, out_channels, groups;
} conv_shape;

#define TEMPLATE "runtime/kernels/conv.inc"
#include "runtime/kernels/for_floats.h"

int ref_Conv(const mcc_arg *a, const mcc_attr *at) {
    const attrs_Conv *p = (const attrs_Conv *)at;
    const mcc_arg *x = &a[0], *w = &a[1], *b = input(a, at, 2), *y = output(a, at, 0);
    conv_shape c = {.batch = dim(x, 0), .in_channels = dim(x, 1), .out_channels = dim(w, 0), .groups = (idx)p->group};
    window_fill(&c.window, x, y, w->dims + 2, &p->pads, &p->strides, &p->dilations);
    window_auto_pad(&c.window, p->auto_pad);
    if (elements(y) == 0) return MCC_OK;
    DISPATCH_FLOATS(x->dtype, conv, y->data, x->data, w->data, b ? b->data : NULL, &c)
}
