/* Operators that choose: Compress, NonZero, Unique, TopK, NonMaxSuppression, whose output is as large as the data say,
 * within a bound that the input's dims give; OneHot, whose depth is an input; ReverseSequence. */
#include "frontend/infer/infer.h"

/* An optional axis: -1 where none is given. */
static bool read_optional_axis(Ctx *ctx, const Node *n, int *axis) {
    *axis = -1;
    return !node_attr(n, "axis") || read_axis(ctx, n, node_int(n, "axis"), type_of(n, 0)->rank, axis);
}

/* The one element of an input as a dim; NULL: known at run time only. */
static Dim one_element(Ctx *ctx, const Value *v) {
    if (value_content(v) == 1) return v->content[0];
    return v->constant && dtype_class(v->type.dtype) != DTC_F ? dim_const(ctx, tensor_int(v->constant, 0)) : NULL;
}

static Dim least_dim(Ctx *ctx, Dim a, Dim b) { return dim_const(ctx, a->hi < b->hi ? a->hi : b->hi); }

bool infer_compress(Ctx *ctx, Node *n) {
    int axis;
    if (!infer_begin(ctx, n) || !need_dtype_is(ctx, n, 1, DT_BOOL) || !need_rank(ctx, n, 1, 1, 1) ||
        !read_optional_axis(ctx, n, &axis))
        return false;
    Type y = *type_of(n, 0);
    Dim all = axis < 0 ? value_elements(ctx, n->in[0]) : y.dims[axis];
    if (!all) return fail(ctx, n, "the size of its input overflows");
    if (axis < 0) y.rank = 1;
    int at = axis < 0 ? 0 : axis;
    y.dims[at] = data_dim(ctx, n, 0, y.rank, at, 0, least_dim(ctx, all, type_of(n, 1)->dims[0]));
    return y.dims[at] && set_output(ctx, n, 0, y.dtype, y.rank, y.dims);
}

/* The number that fills a whole tensor, which ConstantOfShape or Expand made; false: none is known to. */
static bool find_fill(const Value *v, double *out) {
    while (v && !v->constant && v->def &&
           (v->def->op == OP_Expand || v->def->op == OP_Identity || v->def->op == OP_Unsqueeze ||
            v->def->op == OP_Reshape))
        v = v->def->in[0];
    int64_t count;
    const Tensor *fill = v ? v->constant : NULL;
    *out = 0;
    if (v && v->def && v->def->op == OP_ConstantOfShape) {
        const Attr *a = node_attr(v->def, "value");
        if (!a) return true;
        fill = a->tensor;
    }
    if (!fill || dtype_bits(fill->dtype) < 8 || !product_i64(fill->dims, fill->rank, &count) || count != 1)
        return false;
    *out = tensor_float(fill, 0);
    return true;
}

static Dim count_non_zero(Ctx *ctx, const Node *n, Dim all) {
    const Tensor *t = n->in[0]->constant;
    int64_t size;
    double fill;
    if (find_fill(n->in[0], &fill)) return fill != 0 ? all : dim_const(ctx, 0);
    if (!t || dtype_bits(t->dtype) < 8 || !dim_is_const(all, &size)) return data_dim(ctx, n, 0, 2, 1, 0, all);
    int64_t count = 0;
    for (int64_t i = 0; i < size; i++) count += tensor_float(t, i) != 0;
    return dim_const(ctx, count);
}

/* Exporters without Range count by NonZero of ones. */
bool infer_non_zero(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n)) return false;
    Dim all = value_elements(ctx, n->in[0]);
    if (!all) return fail(ctx, n, "the size of its input overflows");
    Dim dims[] = {dim_const(ctx, type_of(n, 0)->rank), count_non_zero(ctx, n, all)};
    return dims[1] && set_output(ctx, n, 0, DT_I64, 2, dims);
}

/* Outputs 1 and 3 are as long as output 0 along its axis; the first of them that is wanted holds the dim. */
bool infer_unique(Ctx *ctx, Node *n) {
    int axis;
    if (!infer_begin(ctx, n) || !read_optional_axis(ctx, n, &axis)) return false;
    Type y = *type_of(n, 0);
    Dim all = axis < 0 ? value_elements(ctx, n->in[0]) : y.dims[axis];
    if (!all) return fail(ctx, n, "the size of its input overflows");
    if (axis < 0) y.rank = 1;
    int at = axis < 0 ? 0 : axis, holder = 0;
    while (holder + 1 < n->n_out && (!n->out[holder] || holder == 2)) holder++;
    Dim many = holder ? data_dim(ctx, n, holder, 1, 0, 0, all) : data_dim(ctx, n, 0, y.rank, at, 0, all);
    if (!many) return false;
    y.dims[at] = many;
    return set_output(ctx, n, 0, y.dtype, y.rank, y.dims) && set_output(ctx, n, 1, DT_I64, 1, &many) &&
           set_output(ctx, n, 2, DT_I64, 1, &all) && set_output(ctx, n, 3, DT_I64, 1, &many);
}

bool infer_top_k(Ctx *ctx, Node *n) {
    int axis;
    if (!infer_begin(ctx, n) || !need_index_dtype(ctx, n, 1) || !need_scalar(ctx, n, 1) ||
        !need_rank(ctx, n, 0, 1, MCC_MAX_RANK) || !read_axis(ctx, n, node_int(n, "axis"), type_of(n, 0)->rank, &axis))
        return false;
    Type y = *type_of(n, 0);
    Dim k = one_element(ctx, n->in[1]);
    bool late = k && (dim_has_data(k) || dim_has_data(y.dims[axis])) && k->hi > y.dims[axis]->lo;
    if (late) k = NULL; /* the kernel compares them */
    if (k && k->hi < 0) return fail(ctx, n, "k is %s, must not be negative", dim_text(ctx, k));
    if (k && !need_at_most(ctx, n, k, y.dims[axis], "k and the size of the axis")) return false;
    if (!k) k = data_dim(ctx, n, n->out[0] ? 0 : 1, y.rank, axis, 0, y.dims[axis]);
    if (!k) return false;
    y.dims[axis] = k;
    return set_output(ctx, n, 0, y.dtype, y.rank, y.dims) && set_output(ctx, n, 1, DT_I64, y.rank, y.dims);
}

/* boxes [batches, boxes, 4], scores [batches, classes, boxes]; at most so many of each class */
bool infer_non_max_suppression(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 3, 3) || !need_rank(ctx, n, 1, 3, 3)) return false;
    const Type *boxes = type_of(n, 0), *scores = type_of(n, 1);
    for (int i = 0; i < n->n_in; i++) {
        if (!n->in[i]) continue;
        if (!need_dtype_is(ctx, n, i, i == 2 ? DT_I64 : DT_F32) || (i >= 2 && !need_scalar(ctx, n, i))) return false;
    }
    if (!equal_dims(ctx, n, boxes->dims[0], scores->dims[0], "the numbers of batches") ||
        !equal_dims(ctx, n, boxes->dims[1], scores->dims[2], "the numbers of boxes and of scores") ||
        !equal_dims(ctx, n, boxes->dims[2], dim_const(ctx, 4), "the last size of the boxes and 4"))
        return false;
    Dim most = node_in(n, 2) ? one_element(ctx, n->in[2]) : dim_const(ctx, 0), each = boxes->dims[1];
    if (most) each = clamp_size(ctx, least_dim(ctx, most, each));
    Dim all = dim_mul(ctx, dim_mul(ctx, scores->dims[0], scores->dims[1]), each);
    if (!all) return fail(ctx, n, "the number of boxes overflows");
    Dim dims[] = {data_dim(ctx, n, 0, 2, 0, 0, all), dim_const(ctx, 3)};
    return dims[0] && set_output(ctx, n, 0, DT_I64, 2, dims);
}

/* ---- OneHot ---- */

static Dim depth_of(Ctx *ctx, const Value *v) {
    if (!v->constant || dtype_class(v->type.dtype) != DTC_F) return one_element(ctx, v);
    double d = tensor_float(v->constant, 0);
    return d >= 0 && d < 9e15 ? dim_const(ctx, (int64_t)d) : NULL;
}

bool infer_one_hot(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n) || !need_dtype(ctx, n, 1, F | I | U) || !need_scalar(ctx, n, 1) ||
        !need_dtype(ctx, n, 2, ALL) || !need_rank(ctx, n, 2, 1, 1) ||
        !equal_dims(ctx, n, type_of(n, 2)->dims[0], dim_const(ctx, 2), "the number of values and 2"))
        return false;
    const Type *x = type_of(n, 0);
    int axis, rank = x->rank + 1;
    if (rank > MCC_MAX_RANK)
        return fail(ctx, n, "output 0 would have %d axes, mcc takes at most %d", rank, MCC_MAX_RANK);
    if (!read_axis(ctx, n, node_int(n, "axis"), rank, &axis)) return false;
    Dim dims[MCC_MAX_RANK], depth = depth_of(ctx, n->in[1]);
    if (depth && depth->hi < 0) return fail(ctx, n, "the depth is %s, must not be negative", dim_text(ctx, depth));
    if (!depth && !(depth = data_dim(ctx, n, 0, rank, axis, 0, NULL))) return false;
    for (int i = 0; i < rank; i++) dims[i] = i == axis ? depth : x->dims[i < axis ? i : i - 1];
    return set_output(ctx, n, 0, type_of(n, 2)->dtype, rank, dims);
}

/* ---- ReverseSequence ---- */

bool infer_reverse_sequence(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n) || !need_dtype_is(ctx, n, 1, DT_I64) || !need_rank(ctx, n, 0, 2, MCC_MAX_RANK) ||
        !need_rank(ctx, n, 1, 1, 1))
        return false;
    int64_t batch = node_int(n, "batch_axis"), time = node_int(n, "time_axis");
    if (batch < 0 || batch > 1 || time < 0 || time > 1 || batch == time)
        return fail(ctx, n, "batch_axis and time_axis are %lld and %lld, must be 0 and 1 in either order",
                    (long long)batch, (long long)time);
    return equal_dims(ctx, n, type_of(n, 1)->dims[0], type_of(n, 0)->dims[batch],
                      "the number of lengths and the size of the batch axis") &&
           set_output_like(ctx, n, 0, 0);
}
