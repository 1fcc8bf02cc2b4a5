/* Unique: the different elements of a tensor, or the different slices along an axis (compared element by element), in
 * ascending order or in that of their first occurrence; where each first stands, which one stands where, and how often.
 * NaN equals NaN and is larger than every number, -0 equals 0. A merge sort of the places, which keeps the order of
 * equal ones. Memory to work in: three lists of places. */
#include "runtime/kernels/common.h"

typedef struct unique_shape {
    idx outer, n, inner; /* n slices, each of outer · inner elements */
} unique_shape;

/* number[i]: which of the different slices slice i is; first[i]: where that one first stands */
typedef struct unique_memory {
    int64_t *order, *first, *number;
} unique_memory;

#define TEMPLATE "runtime/kernels/unique.inc"
#include "runtime/kernels/for_floats.h"
#include "runtime/kernels/for_ints.h"
#undef TEMPLATE
#define TEMPLATE "runtime/kernels/unique_move.inc"
#include "runtime/kernels/for_sizes.h"

static inline unique_shape unique_of(const mcc_arg *x, const mcc_attr *at) {
    const int64_t given = ((const attrs_Unique *)at)->axis;
    const int axis = (int)(given < 0 ? given + x->rank : given);
    if (given == INT64_MAX) return (unique_shape){1, elements(x), 1};
    return (unique_shape){dims_product(x, 0, axis), dim(x, axis), stride_of(x, axis)};
}

static int unique_sort(const mcc_arg *x, const unique_shape *s, const unique_memory *m) {
    DISPATCH_NUMBERS(x->dtype, unique_sort, x->data, s, m)
}

/* The size of Y along the axis. */
static inline int64_t slices_of(const mcc_arg *y, const mcc_attr *at) {
    const int64_t given = ((const attrs_Unique *)at)->axis, axis = given == INT64_MAX ? 0
                                                                   : given < 0        ? given + y->rank
                                                                                      : given;
    int64_t n = 0;
    UNROLL for (int k = 0; k < RANK; k++) if (k == axis) n = y->dims[k];
    return n;
}

/* How many there are. */
static int64_t unique_number(const unique_shape *s, const unique_memory *m, bool sorted) {
    int64_t many = 0;
    for (idx i = 0; i < s->n; i++) {
        const idx k = sorted ? (idx)m->order[i] : i;
        if (m->first[k] == k) m->number[k] = many++;
    }
    for (idx i = 0; i < s->n; i++) m->number[i] = m->number[m->first[i]];
    return many;
}

static int unique_find(const mcc_arg *a, const mcc_attr *at, unique_shape *s, unique_memory *m, int64_t *many) {
    *s = unique_of(&a[0], at);
    int64_t *memory = a[at->args.n_in + at->args.n_out].data;
    *m = (unique_memory){memory, memory + s->n, memory + 2 * s->n};
    const int status = unique_sort(&a[0], s, m);
    *many = unique_number(s, m, ((const attrs_Unique *)at)->sorted != 0);
    return status;
}

static int unique_slices(const mcc_arg *y, const mcc_arg *x, const unique_shape *s, const unique_memory *m,
                         int64_t many) {
    DISPATCH_SIZES(x->dtype, unique_slices, y->data, x->data, s, m, (idx)many)
}

int shape_Unique(mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0];
    mcc_arg *out = &a[at->args.n_in];
    const int64_t given = ((const attrs_Unique *)at)->axis, axis = given < 0 ? given + x->rank : given;
    unique_shape s;
    unique_memory m;
    int64_t many;
    const int status = unique_find(a, at, &s, &m, &many);
    UNROLL for (int k = 0; k < RANK; k++) if (k < out[0].rank) out[0].dims[k] =
        given == INT64_MAX || k == axis ? many : x->dims[k];
    for (int i = 1; i < at->args.n_out; i++) out[i].dims[0] = i == 2 ? (int64_t)s.n : many;
    return status;
}

int ref_Unique(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *y = output(a, at, 0), *where = output(a, at, 1), *inverse = output(a, at, 2),
                  *counts = output(a, at, 3);
    unique_shape s;
    unique_memory m;
    int64_t many;
    const int status = unique_find(a, at, &s, &m, &many);
    if (status != MCC_OK) return status;
    const int64_t along = y ? slices_of(y, at) : many;
    if (along != many || (where && dim(where, 0) != many) || (counts && dim(counts, 0) != many)) return MCC_E_INDEX;
    for (idx i = 0; counts && i < many; i++) ((int64_t *)counts->data)[i] = 0;
    for (idx i = 0; i < s.n; i++) {
        if (where && m.first[i] == i) ((int64_t *)where->data)[m.number[i]] = i;
        if (inverse) ((int64_t *)inverse->data)[i] = m.number[i];
        if (counts) ((int64_t *)counts->data)[m.number[i]]++;
    }
    return y && elements(y) ? unique_slices(y, &a[0], &s, &m, many) : MCC_OK;
}
