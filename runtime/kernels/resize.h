/* What passes ask the reference kernel of Resize. */
#ifndef MCC_KERNELS_RESIZE_H
#define MCC_KERNELS_RESIZE_H
#include "runtime/kernels/ref.h"

/* One axis of a Resize that weighs: for each of `out` outputs the elements of its taps and what they count. Returns the
 * taps; 0: more than `most`. Neither tf_crop_and_resize nor tf_half_pixel_for_nn. */
int mcc_resize_axis(const mcc_attr *at, int64_t in, int64_t out, float scale, int32_t *places, float *weights,
                    int most);

#endif
