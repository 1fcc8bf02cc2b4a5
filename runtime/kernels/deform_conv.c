/* DeformConv over two spatial axes: a convolution whose taps each read X at an offset of their own, interpolated from
 * the four elements around it (those outside of X are 0), times a mask. For each output place the taps of all channels
 * are read once, into memory to work in, and serve all output channels. */
#include "runtime/kernels/window.h"

typedef struct deform_plan {
    idx batch, channels, height, width, outputs, rows, cols; /* X's, and Y's */
    idx groups, offset_groups, kernel[2], stride[2], dilation[2], pad[2];
} deform_plan;

#define TEMPLATE "runtime/kernels/deform_conv.inc"
#include "runtime/kernels/for_floats.h"

int ref_DeformConv(const mcc_arg *a, const mcc_attr *at) {
    const attrs_DeformConv *how = (const attrs_DeformConv *)at;
    const mcc_arg *x = &a[0], *w = &a[1], *offset = &a[2], *bias = input(a, at, 3), *mask = input(a, at, 4),
                  *y = output(a, at, 0);
    deform_plan p = {.batch = dim(x, 0),
                     .channels = dim(x, 1),
                     .height = dim(x, 2),
                     .width = dim(x, 3),
                     .outputs = dim(y, 1),
                     .rows = dim(y, 2),
                     .cols = dim(y, 3),
                     .groups = (idx)how->group,
                     .offset_groups = (idx)how->offset_group};
    UNROLL for (int k = 0; k < 2; k++) {
        p.kernel[k] = dim(w, k + 2);
        p.stride[k] = ints_or(&how->strides, k, 1);
        p.dilation[k] = ints_or(&how->dilations, k, 1);
        p.pad[k] = ints_or(&how->pads, k, 0);
    }
    if (elements(y) == 0) return MCC_OK;
    DISPATCH_FLOATS(x->dtype, deform_conv, y->data, x->data, w->data, offset->data, bias ? bias->data : NULL,
                    mask ? mask->data : NULL, a[at->args.n_in + at->args.n_out].data, &p)
}
