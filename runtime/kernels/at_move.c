/* Operators that move elements: which element of their input an element of the output is. Values that are indices and
 * sizes are checked for each element. */
#include "runtime/kernels/at.h"

enum { AT_FILL = -1, AT_BAD = -2 }; /* in place of an offset: the constant; out of range */

static inline idx at_gather(const mcc_arg *a, int64_t given, idx e) {
    const mcc_arg *x = &a[0], *indices = &a[1];
    const int axis = (int)(given < 0 ? given + x->rank : given);
    const idx inner = stride_of(x, axis), n = dim(x, axis), many = elements(indices);
    const idx i = e % inner, rest = e / inner;
    int64_t v = read_int(indices, rest % many);
    return index_wrap(&v, n) ? (rest / many * n + (idx)v) * inner + i : AT_BAD;
}

static inline idx at_gather_elements(const mcc_arg *a, int64_t given, idx e) {
    const mcc_arg *x = &a[0], *indices = &a[1];
    const int axis = (int)(given < 0 ? given + x->rank : given);
    idx n[RANK], i[RANK], at = 0;
    bool inside = true;
    at_dims(indices, n);
    at_index(e, n, RANK, i);
    int64_t v = read_int(indices, e);
    UNROLL for (int k = 0; k < RANK; k++) {
        const int own = k - (RANK - x->rank);
        if (own < 0) continue;
        if (own == axis) inside = index_wrap(&v, dim(x, own)) && inside;
        else inside = inside && dim(indices, own) <= dim(x, own);
        at += (own == axis ? (idx)v : i[k]) * stride_of(x, own);
    }
    return inside ? at : AT_BAD;
}

static inline idx at_gather_nd(const mcc_arg *a, int64_t batch_dims, idx e) {
    const mcc_arg *x = &a[0], *indices = &a[1];
    const int b = (int)batch_dims, q = indices->rank;
    const idx depth = dim(indices, q - 1), slice = dims_product(x, b + (int)depth, x->rank);
    const idx tuple = e / slice, tuples = dims_product(indices, b, q - 1);
    idx at = tuple / tuples * dims_product(x, b, x->rank) + e % slice;
    bool inside = true;
    UNROLL for (int k = 0; k < RANK; k++) if (k < depth) {
        int64_t i = read_int(indices, tuple * depth + k);
        inside = inside && index_wrap(&i, dims_product(x, b + k, b + k + 1));
        at += (idx)i * dims_product(x, b + k + 1, x->rank);
    }
    return inside ? at : AT_BAD;
}

/* axes by their values, absent: the first ones; the place of each axis in the list, or -1 */
static inline bool at_axes(const mcc_arg *axes, int64_t n, int rank, int *where) { return axes_find(axes, n, rank, where); }

static inline idx at_slice(const mcc_arg *a, const mcc_attr *at, idx e) {
    const mcc_arg *x = &a[0], *axes = input(a, at, 3), *steps = input(a, at, 4), *y = output(a, at, 0);
    const int64_t n = a[1].dims[0];
    int where[RANK];
    idx out[RANK], i[RANK], from = 0;
    if (!at_axes(axes, n, x->rank, where)) return AT_BAD;
    at_dims(y, out);
    at_index(e, out, RANK, i);
    UNROLL for (int k = 0; k < RANK; k++) {
        const int axis = k - (RANK - x->rank);
        if (axis < 0) continue;
        int64_t start = 0, step = 1;
        const int64_t size = x->dims[axis];
        if (where[axis] >= 0) {
            start = read_int(&a[1], where[axis]);
            step = steps ? read_int(steps, where[axis]) : 1;
            start += start < 0 ? size : 0;
            start = start < 0 ? 0 : start > size - (step < 0) ? size - (step < 0) : start;
        }
        const int64_t place = start + i[k] * step;
        if (place < 0 || place >= size) return AT_BAD;
        from += (idx)place * stride_of(x, axis);
    }
    return from;
}

static inline idx at_expand(const mcc_arg *a, const mcc_attr *at, idx e) {
    const mcc_arg *y = output(a, at, 0);
    idx n[RANK], i[RANK];
    walk w;
    at_dims(y, n);
    at_index(e, n, RANK, i);
    walk_broadcast(&w, &a[0], y);
    return offset(i, w.stride, RANK);
}

static inline idx at_tile(const mcc_arg *a, const mcc_attr *at, idx e) {
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    idx n[RANK], i[RANK], from = 0;
    at_dims(y, n);
    at_index(e, n, RANK, i);
    UNROLL for (int k = 0; k < RANK; k++) {
        const int axis = k - (RANK - x->rank);
        if (axis >= 0) from += i[k] % dim(x, axis) * stride_of(x, axis);
    }
    return from;
}

static inline idx at_transpose(const mcc_arg *a, const mcc_attr *at, idx e) {
    const mcc_ints *perm = &((const attrs_Transpose *)at)->perm;
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    idx n[RANK], i[RANK], from = 0;
    at_dims(y, n);
    at_index(e, n, RANK, i);
    UNROLL for (int k = 0; k < RANK; k++) {
        const int axis = k - (RANK - y->rank);
        if (axis >= 0) from += i[k] * stride_of(x, perm->n ? (int)perm->v[axis] : x->rank - 1 - axis);
    }
    return from;
}

enum { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP };

/* along one axis of n: the place that output o shows; see ref_Pad */
static inline int64_t at_pad_axis(int64_t o, int64_t n, int64_t before, int64_t after, int64_t mode) {
    const int64_t lo = before >= 0 ? 0 : before > -n ? -before : n, end = after >= 0 ? n : after > -n ? n + after : 0;
    const int64_t left = end > lo ? end - lo : 0;
    int64_t i = o - (before > 0 ? before : 0);
    if (i < 0 || i >= left) {
        if (mode == PAD_CONSTANT) return AT_FILL;
        if (left == 0) return AT_BAD;
        const int64_t period = mode == PAD_REFLECT ? (left > 1 ? 2 * (left - 1) : 1) : left;
        if (mode == PAD_EDGE) i = i < 0 ? 0 : left - 1;
        else {
            i = mcc_rem_i64(i, period);
            i += i < 0 ? period : 0;
            i = i < left ? i : period - i;
        }
    }
    return lo + i;
}

static inline idx at_pad(const mcc_arg *a, const mcc_attr *at, idx e) {
    const mcc_arg *x = &a[0], *axes = input(a, at, 3);
    const int64_t mode = ((const attrs_Pad *)at)->mode, n = axes ? axes->dims[0] : x->rank;
    int where[RANK];
    idx out[RANK], i[RANK], from = 0;
    bool fill = false, bad = a[1].dims[0] != 2 * n || !axes_find(axes, n, x->rank, where);
    if (bad) return AT_BAD;
    at_dims(output(a, at, 0), out);
    at_index(e, out, RANK, i);
    UNROLL for (int k = 0; k < RANK; k++) {
        const int axis = k - (RANK - x->rank);
        if (axis < 0) continue;
        const int64_t before = where[axis] >= 0 ? read_int(&a[1], where[axis]) : 0,
                      after = where[axis] >= 0 ? read_int(&a[1], (idx)n + where[axis]) : 0,
                      place = at_pad_axis(i[k], x->dims[axis], before, after, mode);
        fill = fill || place == AT_FILL;
        bad = bad || place == AT_BAD;
        from += (idx)(place < 0 ? 0 : place) * stride_of(x, axis);
    }
    return bad ? AT_BAD : fill ? AT_FILL : from;
}

#define TEMPLATE "runtime/kernels/at_move.inc"
#include "runtime/kernels/for_sizes.h"
