/* MaxRoiPool: each region of X, whole elements from one corner to the other, is cut into bins, which may share rows and
 * columns; a bin is its largest element, 0 where none of it lies inside of X. */
#include "runtime/kernels/real.h"

typedef struct region { /* along one axis of n elements, in `bins` */
    idx start, length, bins, n;
} region;

static inline idx bin_begin(const region *r, idx bin) {
    return idx_clamp((idx)mcc_div_i64((int64_t)bin * r->length, r->bins) + r->start, 0, r->n);
}
static inline idx bin_end(const region *r, idx bin) {
    return idx_clamp((idx)mcc_div_i64((int64_t)(bin + 1) * r->length + r->bins - 1, r->bins) + r->start, 0, r->n);
}

/* A corner's element: halves go away from 0; what lies far outside lies at the end of what counts. */
static inline idx corner(double at) {
    const double far = 16777216;
    const double whole = at < 0 ? -mcc_floor_f64(0.5 - at) : mcc_floor_f64(at + 0.5);
    return (idx)(!(whole > -far) ? -far : whole < far ? whole : far);
}

static inline region region_between(double first, double last, idx bins, idx n) {
    const idx start = corner(first), end = corner(last);
    return (region){start, idx_max(end - start + 1, 1), bins, n};
}

#define TEMPLATE "runtime/kernels/max_roi_pool.inc"
#include "runtime/kernels/for_floats.h"

int ref_MaxRoiPool(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0], *rois = &a[1], *y = output(a, at, 0);
    bool inside = true;
    for (idx r = 0; r < dim(rois, 0); r++) {
        const double batch = real_get(rois, 5 * r);
        inside = inside && batch >= 0 && batch < (double)dim(x, 0);
    }
    if (!inside) return MCC_E_INDEX;
    DISPATCH_FLOATS(x->dtype, max_roi_pool, x, rois, y, ((const attrs_MaxRoiPool *)at)->spatial_scale)
}
