/* ConstantOfShape, Range, Shape, Size, EyeLike: tensors made from dims and scalars. */
#include "runtime/kernels/real.h"

#define TEMPLATE "runtime/kernels/sources.inc"
#include "runtime/kernels/for_floats.h"
#include "runtime/kernels/for_ints.h"
#undef TEMPLATE
#define TEMPLATE "runtime/kernels/fill.inc"
#include "runtime/kernels/for_sizes.h"

/* ---- ConstantOfShape: input 0 the dims, input 1 the element (which mcc makes from the attribute `value`) ---- */

static int filled_dims(const mcc_arg *shape, int rank, int64_t *dims) {
    if (shape->dims[0] != rank) return MCC_E_INDEX;
    UNROLL for (int k = 0; k < RANK; k++) if (k < rank) dims[k] = read_int(shape, k);
    return dims_valid(dims, rank) ? MCC_OK : MCC_E_INDEX;
}

int shape_ConstantOfShape(mcc_arg *a, const mcc_attr *at) {
    mcc_arg *y = &a[at->args.n_in];
    int64_t dims[RANK];
    int status = filled_dims(&a[0], y->rank, dims);
    if (status == MCC_OK) write_dims(y, dims);
    return status;
}

int ref_ConstantOfShape(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *value = &a[1], *y = output(a, at, 0);
    int64_t dims[RANK];
    if (filled_dims(&a[0], y->rank, dims) != MCC_OK || !same_dims(y, dims)) return MCC_E_INDEX;
    DISPATCH_SIZES(y->dtype, fill, y->data, value->data, elements(y))
}

/* ---- Range: start, start + delta, … before limit ---- */

static inline int64_t scalar_int(const mcc_arg *a) {
    switch (a->dtype) {
    case MCC_I8: return *(const int8_t *)a->data;
    case MCC_I16: return *(const int16_t *)a->data;
    default: return read_int(a, 0);
    }
}

/* How many; MCC_E_INDEX for a delta of 0 or NaN, and for more than an int64 counts. */
static int range_count(const mcc_arg *a, int64_t *n) {
    const bool real = a->dtype == MCC_F32 || a->dtype == MCC_F64 || a->dtype == MCC_F16 || a->dtype == MCC_BF16;
    *n = 0;
    if (real) {
        const double span = real_get(&a[1], 0) - real_get(&a[0], 0), steps = span / real_get(&a[2], 0);
        if (real_get(&a[2], 0) == 0 || !(steps < 9007199254740992.0)) return MCC_E_INDEX;
        if (steps <= 0) return MCC_OK;
        *n = mcc_f64_to_i64(steps);
        *n += mcc_i64_to_f64(*n) < steps;
        return MCC_OK;
    }
    const int64_t start = scalar_int(&a[0]), limit = scalar_int(&a[1]), delta = scalar_int(&a[2]);
    if (delta == 0) return MCC_E_INDEX;
    if (delta > 0 ? limit <= start : limit >= start) return MCC_OK;
    const uint64_t span = delta > 0 ? (uint64_t)limit - (uint64_t)start : (uint64_t)start - (uint64_t)limit;
    const uint64_t many = mcc_div_u64(span - 1, mcc_magnitude_i64(delta)) + 1;
    if (many > INT64_MAX) return MCC_E_INDEX;
    *n = (int64_t)many;
    return MCC_OK;
}

int shape_Range(mcc_arg *a, const mcc_attr *at) { return range_count(a, &a[at->args.n_in].dims[0]); }

int ref_Range(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *y = output(a, at, 0);
    int64_t n;
    if (range_count(a, &n) != MCC_OK || y->dims[0] != n) return MCC_E_INDEX;
    DISPATCH_NUMBERS(y->dtype, range, y->data, a[0].data, a[2].data, (idx)n)
}

/* ---- Shape, Size, EyeLike: only the dims of the input count ---- */

int ref_Shape(const mcc_arg *a, const mcc_attr *at) {
    const attrs_Shape *p = (const attrs_Shape *)at;
    const mcc_arg *x = &a[0], *y = output(a, at, 0);
    int64_t start = p->start + (p->start < 0 ? x->rank : 0), end = p->end + (p->end < 0 ? x->rank : 0), n = 0;
    UNROLL for (int k = 0; k < RANK; k++) if (k < x->rank && k >= start && k < end)((int64_t *)y->data)[n++] =
        x->dims[k];
    return MCC_OK;
}

int ref_Size(const mcc_arg *a, const mcc_attr *at) {
    uint64_t n = 1;
    UNROLL for (int k = 0; k < RANK; k++) if (k < a[0].rank) n *= (uint64_t)a[0].dims[k];
    *(int64_t *)output(a, at, 0)->data = (int64_t)n;
    return MCC_OK;
}

int ref_EyeLike(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *y = output(a, at, 0);
    DISPATCH_NUMBERS(y->dtype, eye, y->data, dim(y, 0), dim(y, 1), ((const attrs_EyeLike *)at)->k)
}
