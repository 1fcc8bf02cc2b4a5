/* DeformConv: a convolution whose taps each read X at an offset of their own, one number an axis, interpolated from the
 * elements around it (those outside of X are 0), times a mask. For each output place the taps of all channels are read
 * once, into memory to work in, and serve all output channels. */
#include "runtime/kernels/window.h"

enum { DEFORM_AXES = MCC_MAX_RANK - 2 };

typedef struct deform_plan {
    int axes;
    idx batch, channels, outputs, groups, offset_groups;
    idx elements, places, taps; /* of a channel of X, of one of Y, of a kernel */
    idx size[DEFORM_AXES], out[DEFORM_AXES], kernel[DEFORM_AXES];
    idx stride[DEFORM_AXES], dilation[DEFORM_AXES], pad[DEFORM_AXES];
} deform_plan;

#define TEMPLATE "runtime/kernels/deform_conv.inc"
#include "runtime/kernels/for_floats.h"

int ref_DeformConv(const mcc_arg *a, const mcc_attr *at) {
    const attrs_DeformConv *how = (const attrs_DeformConv *)at;
    const mcc_arg *x = &a[0], *w = &a[1], *offset = &a[2], *bias = input(a, at, 3), *mask = input(a, at, 4),
                  *y = output(a, at, 0);
    deform_plan p = {.axes = x->rank - 2,
                     .batch = dim(x, 0),
                     .channels = dim(x, 1),
                     .outputs = dim(y, 1),
                     .groups = (idx)how->group,
                     .offset_groups = (idx)how->offset_group,
                     .elements = 1,
                     .places = 1,
                     .taps = 1};
    UNROLL for (int k = 0; k < DEFORM_AXES; k++) if (k < p.axes) {
        p.elements *= p.size[k] = dim(x, k + 2);
        p.places *= p.out[k] = dim(y, k + 2);
        p.taps *= p.kernel[k] = dim(w, k + 2);
        p.stride[k] = ints_or(&how->strides, k, 1);
        p.dilation[k] = ints_or(&how->dilations, k, 1);
        p.pad[k] = ints_or(&how->pads, k, 0);
    }
    if (elements(y) == 0) return MCC_OK;
    DISPATCH_FLOATS(x->dtype, deform_conv, y->data, x->data, w->data, offset->data, bias ? bias->data : NULL,
                    mask ? mask->data : NULL, a[at->args.n_in + at->args.n_out].data, &p)
}
