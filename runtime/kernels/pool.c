/* MaxPool, AveragePool, LpPool: a window moves over each plane [n,c] of X. Padding never counts, except to the divisor
 * of AveragePool with count_include_pad. A NaN in a window is its maximum; ties go to the first; a window with no
 * element has the lowest value and index -1. */
#include "runtime/kernels/window.h"

enum { POOL_AVERAGE, POOL_LP };
enum { COLUMNS = 256, AT_ONCE = 4 }; /* columns, and rows of outputs, that maxima of integers are taken of at once */
typedef struct pool_shape {
    window window;
    idx planes;
    bool count_padding, column_major;
    double p;
} pool_shape;

/* The number of an input element in the output Indices, from its position in row-major order. */
static inline int64_t pool_index(const pool_shape *s, idx plane, idx at) {
    const window *g = &s->window;
    const idx size = count(g->in, SPATIAL);
    if (!s->column_major) return plane * size + at;
    idx index = 0, axis_stride = size;
    UNROLL for (int k = SPATIAL - 1; k >= 0; k--) {
        axis_stride /= g->in[k];
        index += at % g->in[k] * axis_stride;
        at /= g->in[k];
    }
    return plane * size + index;
}

#define TEMPLATE "runtime/kernels/max_pool.inc"
#include "runtime/kernels/for_floats.h"
#include "runtime/kernels/for_ints.h"
#undef TEMPLATE
#define TEMPLATE "runtime/kernels/pool.inc"
#include "runtime/kernels/for_floats.h"

int ref_MaxPool(const mcc_arg *a, const mcc_attr *at) {
    const attrs_MaxPool *p = (const attrs_MaxPool *)at;
    const mcc_arg *x = &a[0], *y = output(a, at, 0), *indices = output(a, at, 1);
    pool_shape s = {.planes = dim(x, 0) * dim(x, 1), .column_major = p->storage_order != 0};
    window_fill(&s.window, x, y, p->kernel_shape.v, &p->pads, &p->strides, &p->dilations);
    window_auto_pad(&s.window, p->auto_pad);
    if (elements(y) == 0) return MCC_OK;
    DISPATCH_NUMBERS(x->dtype, max_pool, y->data, indices ? indices->data : NULL, x->data, &s)
}

int ref_AveragePool(const mcc_arg *a, const mcc_attr *at) {
    const attrs_AveragePool *p = (const attrs_AveragePool *)at;
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    pool_shape s = {.planes = dim(x, 0) * dim(x, 1), .count_padding = p->count_include_pad != 0};
    window_fill(&s.window, x, y, p->kernel_shape.v, &p->pads, &p->strides, &p->dilations);
    window_auto_pad(&s.window, p->auto_pad);
    if (elements(y) == 0) return MCC_OK;
    DISPATCH_FLOATS(x->dtype, pool, y->data, x->data, &s, POOL_AVERAGE)
}

int ref_LpPool(const mcc_arg *a, const mcc_attr *at) {
    const attrs_LpPool *p = (const attrs_LpPool *)at;
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    pool_shape s = {.planes = dim(x, 0) * dim(x, 1), .p = (double)p->p};
    window_fill(&s.window, x, y, p->kernel_shape.v, &p->pads, &p->strides, &p->dilations);
    window_auto_pad(&s.window, p->auto_pad);
    if (elements(y) == 0) return MCC_OK;
    DISPATCH_FLOATS(x->dtype, pool, y->data, x->data, &s, POOL_LP)
}
