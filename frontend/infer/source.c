/* Operators whose values come from attributes, shapes or counters: Constant, ConstantOfShape, Range, Shape, Size,
 * EyeLike. */
#include "frontend/infer/infer.h"
#include <math.h>

/* ---- Constant, ConstantOfShape ---- */

static bool set_tensor_type(Ctx *ctx, Node *n, const Tensor *t) {
    Dim dims[MCC_MAX_RANK];
    if (t->rank > MCC_MAX_RANK)
        return fail(ctx, n, "the tensor has %d axes, mcc takes at most %d", t->rank, MCC_MAX_RANK);
    for (int i = 0; i < t->rank; i++) dims[i] = dim_const(ctx, t->dims[i]);
    return set_output(ctx, n, 0, t->dtype, t->rank, dims);
}

bool infer_constant(Ctx *ctx, Node *n) {
    static const struct {
        const char *name;
        AttrKind kind;
        Dtype dtype;
        int rank;
    } forms[] = {{"value_float", ATTR_FLOAT, DT_F32, 0},
                 {"value_floats", ATTR_FLOATS, DT_F32, 1},
                 {"value_int", ATTR_INT, DT_I64, 0},
                 {"value_ints", ATTR_INTS, DT_I64, 1}};
    if (!infer_begin(ctx, n)) return false;
    const Attr *a = node_attr(n, "value");
    if (a && a->kind == ATTR_TENSOR && a->tensor) return set_tensor_type(ctx, n, a->tensor);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        a = node_attr(n, forms[i].name);
        if (a && a->kind == forms[i].kind)
            return set_output(ctx, n, 0, forms[i].dtype, forms[i].rank, (Dim[]){dim_const(ctx, a->n)});
    }
    return fail(ctx, n, "has no value of a supported kind");
}

bool infer_constant_of_shape(Ctx *ctx, Node *n) {
    IntList shape;
    if (!infer_begin(ctx, n) || !need_dtype_is(ctx, n, 0, DT_I64) || !read_list(ctx, n, 0, MCC_MAX_RANK, &shape))
        return false;
    const Attr *a = node_attr(n, "value");
    const Tensor *value = a && a->kind == ATTR_TENSOR ? a->tensor : NULL;
    int64_t one, count;
    if (a && (!value || !product_i64(value->dims, value->rank, &one) || one != 1 || !dtype_supported(value->dtype)))
        return fail(ctx, n, "attribute value must be one number");
    int rank = shape.n < 0 ? declared_rank(ctx, n) : shape.n;
    if (rank < 0 || (shape.n < 0 && !need_length(ctx, n, 0, rank))) return false;
    Dim dims[MCC_MAX_RANK];
    for (int i = 0; i < rank; i++) {
        dims[i] = shape.n < 0 ? NULL : shape.v[i];
        if (!dims[i] && !(dims[i] = data_dim(ctx, n, 0, rank, i, 0, NULL))) return false;
    }
    Dtype t = value ? value->dtype : DT_F32;
    if (!set_output(ctx, n, 0, t, rank, dims)) return false;
    int64_t sizes[MCC_MAX_RANK];
    if ((t == DT_I64 || t == DT_I32 || t == DT_BOOL) && n->out[0] && value_static_dims(n->out[0], sizes) &&
        product_i64(sizes, rank, &count) && count <= VALUE_CONTENT_MAX) {
        Dim all[VALUE_CONTENT_MAX];
        for (int i = 0; i < count; i++) all[i] = dim_const(ctx, tensor_int(value, 0));
        content_set(ctx, n, 0, all, (int)count);
    }
    return true;
}

/* ---- Range ---- */

/* max(ceil((limit - start) / delta), 0) of integers; NULL: not known */
static Dim count_steps(Ctx *ctx, const Node *n, Dim start, Dim limit, Dim by) {
    int64_t delta;
    if (!start || !limit || !dim_is_const(by, &delta) || delta == INT64_MIN) return data_dim(ctx, n, 0, 1, 0, 0, NULL);
    Dim span = delta > 0 ? dim_sub(ctx, limit, start) : dim_sub(ctx, start, limit);
    Dim count = clamp_size(ctx, dim_ceildiv(ctx, span, dim_const(ctx, delta > 0 ? delta : -delta)));
    return count ? count : fail_dim(ctx, n, "its length overflows");
}

/* Floats that are integers computed from sizes */
static Dim whole_range(Ctx *ctx, const Node *n) {
    Dim by = ratio_whole(ctx, n->in[2]);
    if (dim_is(by, 0)) return fail_dim(ctx, n, "delta is 0");
    return count_steps(ctx, n, ratio_whole(ctx, n->in[0]), ratio_whole(ctx, n->in[1]), by);
}

/* The same in the element type's arithmetic up to the division */
static Dim float_range(Ctx *ctx, const Node *n) {
    double v[3];
    for (int i = 0; i < 3; i++) {
        if (!n->in[i]->constant) return whole_range(ctx, n);
        v[i] = tensor_float(n->in[i]->constant, 0);
    }
    double span = v[1] - v[0];
    if (type_of(n, 0)->dtype == DT_F32) span = (double)(float)span;
    double count = ceil(span / v[2]);
    if (!(fabs(v[2]) > 0) || !(count < 9e18))
        return fail_dim(ctx, n, "from %g to %g by %g is no finite range", v[0], v[1], v[2]);
    return dim_const(ctx, count > 0 ? (int64_t)count : 0);
}

static Dim int_element(Ctx *ctx, const Value *v) {
    if (v->constant) return dim_const(ctx, tensor_int(v->constant, 0));
    return value_content(v) == 1 ? v->content[0] : NULL;
}

static Dim int_range(Ctx *ctx, const Node *n) {
    Dim by = int_element(ctx, n->in[2]);
    if (dim_is(by, 0)) return fail_dim(ctx, n, "delta is 0");
    return count_steps(ctx, n, int_element(ctx, n->in[0]), int_element(ctx, n->in[1]), by);
}

bool infer_range(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n)) return false;
    for (int i = 0; i < 3; i++)
        if (!need_same_dtype(ctx, n, i, 0) || !need_scalar(ctx, n, i)) return false;
    Dtype t = type_of(n, 0)->dtype;
    bool whole = dtype_class(t) != DTC_F;
    Dim length = whole ? int_range(ctx, n) : float_range(ctx, n);
    int64_t count;
    if (!length || !set_output(ctx, n, 0, t, 1, &length)) return false;
    if (whole && dim_is_const(length, &count) && count <= VALUE_CONTENT_MAX) {
        Dim all[VALUE_CONTENT_MAX], start = int_element(ctx, n->in[0]), by = int_element(ctx, n->in[2]);
        for (int i = 0; i < count; i++) all[i] = dim_add(ctx, start, dim_mul(ctx, by, dim_const(ctx, i)));
        content_set(ctx, n, 0, all, (int)count);
    }
    return true;
}

/* ---- Shape, Size, EyeLike ---- */

static int clamp_axis(int64_t v, int rank) {
    if (v < 0) v = v < -rank ? 0 : v + rank;
    return v > rank ? rank : (int)v;
}

bool infer_shape(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n)) return false;
    const Type *x = type_of(n, 0);
    int start = clamp_axis(node_int(n, "start"), x->rank), end = clamp_axis(node_int(n, "end"), x->rank);
    int count = end > start ? end - start : 0;
    if (!set_output(ctx, n, 0, DT_I64, 1, (Dim[]){dim_const(ctx, count)})) return false;
    content_set(ctx, n, 0, x->dims + start, count);
    return true;
}

bool infer_size(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n) || !set_output(ctx, n, 0, DT_I64, 0, NULL)) return false;
    content_set(ctx, n, 0, (Dim[]){value_elements(ctx, n->in[0])}, 1);
    return true;
}

bool infer_eye_like(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 2, 2)) return false;
    int64_t t = node_attr(n, "dtype") ? node_int(n, "dtype") : type_of(n, 0)->dtype;
    if (t <= DT_NONE || t >= DT_COUNT || !dtype_computes((Dtype)t))
        return fail(ctx, n, "dtype is %lld, which is not supported", (long long)t);
    return set_output(ctx, n, 0, (Dtype)t, 2, type_of(n, 0)->dims);
}
