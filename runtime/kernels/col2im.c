/* Col2Im: blocks that a window cut out of an image are put back; where they overlap, elements are added (of truth
 * values: or). X: [N, C·∏block, L], L the places of the window; Y: [N, C, image…]. */
#include "runtime/kernels/window.h"

typedef struct image_plan {
    idx planes, blocks, places, size; /* of Y; of an image in X: rows, columns; elements of an image */
    idx image[RANK], block[RANK], many[RANK], stride[RANK], dilation[RANK], pad[RANK];
} image_plan;

#define TEMPLATE "runtime/kernels/col2im.inc"
#include "runtime/kernels/for_floats.h"
#include "runtime/kernels/for_ints.h"

/* Axes of the image stand in the last slots. False: sizes that no image has, or that do not fit X. */
static bool image_parse(const mcc_arg *a, const mcc_attr *at, image_plan *p) {
    const attrs_Col2Im *how = (const attrs_Col2Im *)at;
    const int axes = (int)a[1].dims[0];
    int64_t image = 1, block = 1, many = 1;
    bool valid = true;
    UNROLL for (int k = 0; k < RANK; k++) {
        const int i = k - (RANK - axes);
        const int64_t size = i >= 0 ? read_int(&a[1], i) : 1, length = i >= 0 ? read_int(&a[2], i) : 1,
                      stride = i >= 0 ? (int64_t)ints_or(&how->strides, i, 1) : 1,
                      dilation = i >= 0 ? (int64_t)ints_or(&how->dilations, i, 1) : 1,
                      pad = i >= 0 ? (int64_t)ints_or(&how->pads, i, 0) : 0,
                      end = i >= 0 ? (int64_t)ints_or(&how->pads, i + axes, 0) : 0;
        int64_t reach = dilation, room = size;
        valid = valid && size >= 0 && length >= 1 && size_mul(&reach, length - 1) && size_add(&room, pad) &&
                size_add(&room, end) && room > reach;
        const int64_t places = valid ? mcc_div_i64(room - reach - 1, stride) + 1 : 0;
        valid = valid && size_mul(&image, size) && size_mul(&block, length) && size_mul(&many, places);
        p->image[k] = (idx)size;
        p->block[k] = (idx)length;
        p->many[k] = (idx)places;
        p->stride[k] = (idx)stride;
        p->dilation[k] = (idx)dilation;
        p->pad[k] = (idx)pad;
    }
    if (!valid || many != a[0].dims[2] || mcc_rem_i64(a[0].dims[1], block)) return false;
    p->planes = dim(&a[0], 0) * (idx)mcc_div_i64(a[0].dims[1], block);
    p->blocks = (idx)block;
    p->places = (idx)many;
    p->size = (idx)image;
    return true;
}

int shape_Col2Im(mcc_arg *a, const mcc_attr *at) {
    mcc_arg *y = &a[at->args.n_in];
    image_plan p;
    if (!image_parse(a, at, &p)) return MCC_E_INDEX;
    UNROLL for (int k = 0; k < RANK; k++) if (k < y->rank) y->dims[k] = k == 0   ? a[0].dims[0]
                                                                        : k == 1 ? mcc_div_i64(a[0].dims[1], p.blocks)
                                                                                 : read_int(&a[1], k - 2);
    return MCC_OK;
}

int ref_Col2Im(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    image_plan p;
    bool same = true;
    if (!image_parse(a, at, &p)) return MCC_E_INDEX;
    UNROLL for (int k = 2; k < RANK; k++) same = same && (k >= y->rank || y->dims[k] == read_int(&a[1], k - 2));
    if (!same || dim(y, 0) * dim(y, 1) != p.planes) return MCC_E_INDEX;
    DISPATCH_NUMBERS(x->dtype, col2im, y->data, x->data, &p, x->dtype == MCC_BOOL)
}
