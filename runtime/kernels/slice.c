/* Slice: numpy's x[start:end:step] along each of `axes` (by default the first ones). Starts and ends beyond the tensor
 * are clamped; MCC_E_INDEX for a step of 0 and for axes that do not exist or come twice. */
#include "runtime/kernels/strided.h"

typedef struct slice_plan {
    int64_t start[RANK], step[RANK], dims[RANK];
} slice_plan;

static inline int64_t clamp(int64_t v, int64_t lo, int64_t hi) { return v < lo ? lo : v > hi ? hi : v; }

/* One axis, n long: where to begin, and how many. */
static inline void slice_axis(int64_t n, int64_t start, int64_t end, int64_t step, int64_t *begin, int64_t *taken) {
    *begin = *taken = 0;
    if (n == 0) return;
    start = clamp(start + (start < 0 ? n : 0), 0, step < 0 ? n - 1 : n);
    end = clamp(end + (end < 0 ? n : 0), step < 0 ? -1 : 0, step < 0 ? n - 1 : n);
    uint64_t span =
        step < 0 ? (start > end ? (uint64_t)(start - end) : 0) : (end > start ? (uint64_t)(end - start) : 0);
    uint64_t stride = step < 0 ? 0 - (uint64_t)step : (uint64_t)step;
    *begin = start;
    *taken = span ? (int64_t)(mcc_div_u64(span - 1, stride) + 1) : 0;
}

static int slice_parse(const mcc_arg *a, const mcc_attr *at, slice_plan *p) {
    const mcc_arg *x = &a[0], *axes = input(a, at, 3), *steps = input(a, at, 4);
    const int64_t n = a[1].dims[0];
    int where[RANK];
    bool valid = a[2].dims[0] == n && (!axes || axes->dims[0] == n) && (!steps || steps->dims[0] == n);
    if (!valid || !axes_find(axes, n, x->rank, where)) return MCC_E_INDEX;
    UNROLL for (int k = 0; k < RANK; k++) {
        p->start[k] = 0;
        p->step[k] = 1;
        p->dims[k] = k < x->rank ? x->dims[k] : 1;
        if (where[k] < 0) continue;
        if (steps) p->step[k] = read_int(steps, where[k]);
        if (p->step[k] == 0) return MCC_E_INDEX;
        slice_axis(x->dims[k], read_int(&a[1], where[k]), read_int(&a[2], where[k]), p->step[k], &p->start[k],
                   &p->dims[k]);
    }
    return MCC_OK;
}

int shape_Slice(mcc_arg *a, const mcc_attr *at) {
    slice_plan p;
    int status = slice_parse(a, at, &p);
    if (status == MCC_OK) write_dims(&a[at->args.n_in], p.dims);
    return status;
}

int ref_Slice(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    slice_plan p;
    walk w;
    idx base = 0;
    if (slice_parse(a, at, &p) != MCC_OK || !same_dims(y, p.dims)) return MCC_E_INDEX;
    walk_clear(&w);
    if (elements(y) == 0) return MCC_OK;
    UNROLL for (int k = 0; k < RANK; k++) {
        int axis = k - (RANK - x->rank);
        if (axis < 0) continue;
        w.n[k] = dim(y, axis);
        w.stride[k] = w.n[k] > 1 ? (idx)p.step[axis] * stride_of(x, axis) : 0; /* a longer step need not fit */
        base += (idx)p.start[axis] * stride_of(x, axis);
    }
    return strided_read(y, x, base, &w);
}
