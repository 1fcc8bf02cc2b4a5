/* Resize: sizes of the output from scales, or from sizes under an aspect ratio policy. With scales an output is
 * floor(in·scale) in float32, as ONNX Runtime and ONNX's own inference compute it. */
#include "frontend/infer/infer.h"
#include <math.h>

enum { CROP_AND_RESIZE = 5 };              /* coordinate_transformation_mode */
enum { STRETCH, NOT_LARGER, NOT_SMALLER }; /* keep_aspect_ratio_policy */

static bool is_given(const Node *n, int in) { /* an empty list stands for a missing input */
    const Value *v = node_in(n, in);
    return v && !(v->type.rank == 1 && dim_is(v->type.dims[0], 0));
}

/* in·scale for an open dim: exact where scale = p / 2^k and every product is below 2^24, so that float32 rounds nothing
 */
static Dim scale_open(Ctx *ctx, Dim in, double scale) {
    int64_t q = 1, product;
    while (q < 1024 && scale * (double)q != floor(scale * (double)q)) q *= 2;
    double p = scale * (double)q;
    if (p != floor(p) || p > 1e6 || !mul_i64(in->hi, (int64_t)p, &product) || product >= 1 << 24) return NULL;
    return dim_floordiv(ctx, dim_mul(ctx, in, dim_const(ctx, (int64_t)p)), dim_const(ctx, q));
}

static Dim scaled(Ctx *ctx, const Node *n, Dim in, double scale, int axis, int rank) {
    int64_t v;
    if (!(scale > 0) || !isfinite(scale))
        return fail_dim(ctx, n, "the scale of axis %d is %g, must be positive", axis, scale);
    if (scale == 1) return in;
    double most = floor((double)((float)in->hi * (float)scale));
    if (!(most < 9e18)) return fail_dim(ctx, n, "the size of axis %d overflows", axis);
    if (dim_is_const(in, &v)) return dim_const(ctx, (int64_t)most);
    Dim d = scale_open(ctx, in, scale);
    return d ? d : data_dim(ctx, n, 0, rank, axis, 0, dim_const(ctx, (int64_t)most));
}

/* Axis i of the listed ones. The part of the input that roi cuts out does not count: the standard's text says otherwise,
 * its own inference and evaluator and ONNX Runtime do not. */
static Dim size_by_scale(Ctx *ctx, const Node *n, Dim in, int i, int axis, int rank) {
    const Tensor *scales = n->in[2]->constant;
    double scale = scales ? tensor_float(scales, i) : 0;
    if (!scales && !ratio_value(n->in[2], i, &scale)) return data_dim(ctx, n, 0, rank, axis, 0, NULL);
    return scaled(ctx, n, in, scale, axis, rank);
}

/* round(in·r) for the smallest (largest) ratio r = size / in of the listed axes; rounding halves up keeps the order, so
 * that it is the smallest (largest) of the rounded products */
static Dim size_by_ratio(Ctx *ctx, const Node *n, const IntList *sizes, const int *axes, int i, int64_t policy) {
    const Dim *in = type_of(n, 0)->dims;
    Dim best = NULL, two = dim_const(ctx, 2);
    for (int k = 0; k < sizes->n; k++) {
        Dim by = dim_max(ctx, in[axes[k]], dim_const(ctx, 1));
        Dim twice = dim_mul(ctx, two, dim_mul(ctx, in[axes[i]], sizes->v[k]));
        Dim d = dim_floordiv(ctx, dim_add(ctx, twice, by), dim_mul(ctx, two, by));
        best = k == 0 ? d : policy == NOT_LARGER ? dim_min(ctx, best, d) : dim_max(ctx, best, d);
    }
    return best;
}

static Dim size_by_size(Ctx *ctx, const Node *n, const IntList *sizes, const int *axes, int i, int rank) {
    int policy = node_enum(n, "keep_aspect_ratio_policy");
    bool known = sizes->n >= 0;
    for (int k = 0; k < sizes->n; k++) {
        if (sizes->v[k] && sizes->v[k]->hi < 0)
            return fail_dim(ctx, n, "sizes[%d] is %s", k, dim_text(ctx, sizes->v[k]));
        known = known && (sizes->v[k] || (policy == STRETCH && k != i));
    }
    if (!known) return data_dim(ctx, n, 0, rank, axes[i], 0, NULL);
    for (int k = 0; policy != STRETCH && k < sizes->n; k++)
        if (!need_at_most(ctx, n, dim_const(ctx, 1), type_of(n, 0)->dims[axes[k]],
                          "the least size of an axis that keeps its aspect ratio"))
            return NULL;
    Dim d = policy == STRETCH ? sizes->v[i] : size_by_ratio(ctx, n, sizes, axes, i, policy);
    return d ? d : fail_dim(ctx, n, "the size of axis %d overflows", axes[i]);
}

static bool check_lists(Ctx *ctx, const Node *n, int count) {
    bool by_scale = is_given(n, 2);
    int in = by_scale ? 2 : 3;
    Dim listed = type_of(n, in)->dims[0], want = dim_const(ctx, count);
    if (!need_rank(ctx, n, in, 1, 1)) return false;
    if (by_scale ? !need_dtype_is(ctx, n, 2, DT_F32) : !need_dtype_is(ctx, n, 3, DT_I64)) return false;
    if (!equal_dims(ctx, n, listed, want, "the number of scales or sizes and of axes")) return false;
    if (!is_given(n, 1) || node_enum(n, "coordinate_transformation_mode") != CROP_AND_RESIZE) return true;
    return need_dtype(ctx, n, 1, F) && need_rank(ctx, n, 1, 1, 1) &&
           equal_dims(ctx, n, type_of(n, 1)->dims[0], dim_const(ctx, 2 * count),
                      "the length of roi and twice the number of axes");
}

bool infer_resize(Ctx *ctx, Node *n) {
    const int64_t *attr;
    int64_t all[MCC_MAX_RANK];
    int axes[MCC_MAX_RANK];
    IntList sizes = {.n = -1};
    if (!infer_begin(ctx, n)) return false;
    Type y = *type_of(n, 0);
    int count = node_ints(n, "axes", &attr);
    if (count == 0) {
        count = y.rank;
        attr = all;
        for (int i = 0; i < y.rank; i++) all[i] = i;
    }
    if (!read_axes(ctx, n, attr, count, y.rank, axes)) return false;
    if (is_given(n, 2) == is_given(n, 3)) return fail(ctx, n, "needs either scales or sizes, and not both");
    if (!check_lists(ctx, n, count) || (is_given(n, 3) && !read_list(ctx, n, 3, MCC_MAX_RANK, &sizes))) return false;
    for (int i = 0; i < count; i++) {
        Dim in = type_of(n, 0)->dims[axes[i]];
        Dim d = is_given(n, 2) ? size_by_scale(ctx, n, in, i, axes[i], y.rank)
                               : size_by_size(ctx, n, &sizes, axes, i, y.rank);
        if (!(y.dims[axes[i]] = d)) return false;
        if (dim_is(in, 0) && d->lo > 0) return fail(ctx, n, "axis %d is empty: there is nothing to resize", axes[i]);
    }
    return set_output(ctx, n, 0, y.dtype, y.rank, y.dims);
}
