/* ConvTranspose: Y[n,m,o] = B[m] + Σ X[n,c,i] · W[c,m,k] over c and k, in this order, where i·stride + k·dilation - pad
 * is o. */
#include "runtime/kernels/window.h"

typedef struct transpose_shape {
    window window;
    idx batch, in_channels, out_channels, groups;
} transpose_shape;

/* Where row tap k of output row o reads: the offset of that input row in its plane, or -1 if no input meets this tap.
 */
static inline idx transpose_row(const window *w, const idx *o, const idx *k) {
    idx at = 0;
    bool inside = true;
    UNROLL for (int s = 0; s < ROWS; s++) {
        idx t = o[s] + w->pad[s] - k[s] * w->dilation[s], i = t / w->stride[s];
        inside = inside && t >= 0 && t % w->stride[s] == 0 && i < w->in[s];
        at = at * w->in[s] + i;
    }
    return inside ? at * w->in[ROWS] : -1;
}

#define TEMPLATE "runtime/kernels/conv_transpose.inc"
#include "runtime/kernels/for_floats.h"

int ref_ConvTranspose(const mcc_arg *a, const mcc_attr *at) {
    const attrs_ConvTranspose *p = (const attrs_ConvTranspose *)at;
    const mcc_arg *x = &a[0], *w = &a[1], *b = input(a, at, 2), *y = output(a, at, 0);
    transpose_shape c = {
        .batch = dim(x, 0), .in_channels = dim(x, 1), .out_channels = dim(y, 1), .groups = (idx)p->group};
    window_fill(&c.window, x, y, w->dims + 2, &p->pads, &p->strides, &p->dilations);
    window_transpose_pads(&c.window, p, x->rank - 2);
    if (elements(y) == 0) return MCC_OK;
    DISPATCH_FLOATS(x->dtype, conv_transpose, y->data, x->data, w->data, b ? b->data : NULL, &c)
}
