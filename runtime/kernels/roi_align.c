/* RoiAlign: each region of X is cut into bins; a bin is the mean, or the largest weighted corner, of samples spread
 * evenly over it, each interpolated from the four elements around it. Samples more than one element outside of X are
 * 0. Regions may be anything: samples that lie outside are counted, not visited. */
#include "runtime/kernels/common.h"

typedef struct roi_plan {
    idx rois, channels, height, width, rows, cols; /* X's, and the bins */
    idx ratio;
    double scale;
    bool half_pixel, largest;
    const int64_t *batch;
} roi_plan;

#define TEMPLATE "runtime/kernels/roi_align.inc"
#include "runtime/kernels/for_floats.h"

int ref_RoiAlign(const mcc_arg *a, const mcc_attr *at) {
    const attrs_RoiAlign *how = (const attrs_RoiAlign *)at;
    const mcc_arg *x = &a[0], *rois = &a[1], *batch = &a[2], *y = output(a, at, 0);
    const roi_plan p = {.rois = dim(y, 0),
                        .channels = dim(y, 1),
                        .rows = dim(y, 2),
                        .cols = dim(y, 3),
                        .height = dim(x, 2),
                        .width = dim(x, 3),
                        .ratio = (idx)how->sampling_ratio,
                        .scale = how->spatial_scale,
                        .half_pixel = how->coordinate_transformation_mode == 0,
                        .largest = how->mode == 1,
                        .batch = batch->data};
    bool inside = true;
    for (idx r = 0; r < p.rois; r++) inside = inside && p.batch[r] >= 0 && p.batch[r] < x->dims[0];
    if (!inside) return MCC_E_INDEX;
    DISPATCH_FLOATS(x->dtype, roi_align, y->data, x->data, rois->data, &p)
}
