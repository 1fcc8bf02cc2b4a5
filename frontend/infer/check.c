/* What may come into a node: dtypes, ranks, axes. Every message says which input and which rule. Arity, and the kinds
 * of attributes, are the reader's business (frontend/check.c) and the passes'. */
#include "frontend/infer/infer.h"
#include <assert.h>

const Type *type_of(const Node *n, int in) { return &n->in[in]->type; }

bool type_fits(const Type *t) {
    int64_t bytes = (dtype_bits(t->dtype) + 7) / 8;
    for (int i = 0; i < t->rank; i++)
        if (!dim_is_bounded(t->dims[i]) || (t->dims[i]->hi > 0 && !mul_i64(bytes, t->dims[i]->hi, &bytes)))
            return false;
    return (uint64_t)bytes <= SIZE_MAX;
}

static bool check_input_type(Ctx *ctx, const Node *n, int in) {
    const Type *t = type_of(n, in);
    if (t->kind != TYPE_TENSOR || t->rank < 0) return fail(ctx, n, "input %d has no known tensor type", in);
    if (t->rank > MCC_MAX_RANK)
        return fail(ctx, n, "input %d has %d axes, mcc takes at most %d", in, t->rank, MCC_MAX_RANK);
    for (int i = 0; i < t->rank; i++)
        if (!t->dims[i]) return fail(ctx, n, "input %d: the size of axis %d is not known", in, i);
    if (!type_fits(t))
        return fail(ctx, n, "input %d of shape %s overflows the address space", in, shape_text(ctx, n->in[in]));
    if (!dtype_supported(t->dtype))
        return fail(ctx, n, "input %d is %s, which is not supported", in, dtype_name(t->dtype));
    return true;
}

bool infer_begin(Ctx *ctx, const Node *n) {
    assert(n->n_in >= op_info(n->op)->min_in && n->n_out >= op_info(n->op)->min_out);
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && !check_input_type(ctx, n, i)) return false;
    int typed = n->op == OP_Where ? 1 : 0;
    return n->n_in <= typed || !n->in[typed] || need_dtype(ctx, n, typed, op_info(n->op)->dtypes);
}

static const char *classes_text(Ctx *ctx, unsigned classes) {
    static const char *const names[] = {"float", "signed integer", "unsigned integer",    "bool",
                                        NULL,    "packed integer", "float of 8 or 4 bits"};
    const char *text = "";
    for (int i = 0; i < 7; i++)
        if (classes >> i & 1) text = arena_printf(ctx->arena, "%s%s%s", text, *text ? " or " : "", names[i]);
    return text;
}

bool need_dtype(Ctx *ctx, const Node *n, int in, unsigned classes) {
    Dtype t = type_of(n, in)->dtype;
    if (dtype_class(t) & classes) return true;
    if (dtype_class(t) & (DTC_PACKED | DTC_SMALL))
        return fail(ctx, n,
                    "input %d is %s, which QuantizeLinear, DequantizeLinear, Cast and what moves elements take alone",
                    in, dtype_name(t));
    return fail(ctx, n, "input %d is %s, must be %s", in, dtype_name(t), classes_text(ctx, classes));
}

bool need_dtype_is(Ctx *ctx, const Node *n, int in, Dtype want) {
    Dtype t = type_of(n, in)->dtype;
    return t == want || fail(ctx, n, "input %d is %s, must be %s", in, dtype_name(t), dtype_name(want));
}

bool need_index_dtype(Ctx *ctx, const Node *n, int in) {
    Dtype t = type_of(n, in)->dtype;
    return t == DT_I64 || t == DT_I32 || fail(ctx, n, "input %d is %s, must be int32 or int64", in, dtype_name(t));
}

bool need_same_dtype(Ctx *ctx, const Node *n, int in, int as) {
    Dtype t = type_of(n, in)->dtype, want = type_of(n, as)->dtype;
    return t == want || fail(ctx, n, "input %d is %s, input %d is %s: they must be of one type (add a Cast)", in,
                             dtype_name(t), as, dtype_name(want));
}

bool need_rank(Ctx *ctx, const Node *n, int in, int lo, int hi) {
    int r = type_of(n, in)->rank;
    if (r >= lo && r <= hi) return true;
    if (lo == hi) return fail(ctx, n, "input %d has shape %s, must have %d axes", in, shape_text(ctx, n->in[in]), lo);
    return fail(ctx, n, "input %d has shape %s, must have %d to %d axes", in, shape_text(ctx, n->in[in]), lo, hi);
}

bool need_scalar(Ctx *ctx, const Node *n, int in) {
    const Type *t = type_of(n, in);
    bool one = true;
    for (int i = 0; i < t->rank; i++) one = one && dim_is(t->dims[i], 1);
    return one || fail(ctx, n, "input %d has shape %s, must be a scalar", in, shape_text(ctx, n->in[in]));
}

bool read_axis(Ctx *ctx, const Node *n, int64_t axis, int rank, int *out) {
    if (axis < -rank || axis >= rank)
        return fail(ctx, n, "axis %lld is outside of [%d, %d]", (long long)axis, -rank, rank - 1);
    *out = (int)(axis < 0 ? axis + rank : axis);
    return true;
}

bool read_axes(Ctx *ctx, const Node *n, const int64_t *axes, int count, int rank, int *out) {
    unsigned seen = 0;
    if (count > rank) return fail(ctx, n, "%d axes are listed, there are %d", count, rank);
    for (int i = 0; i < count; i++) {
        if (!read_axis(ctx, n, axes[i], rank, &out[i])) return false;
        if (seen >> out[i] & 1) return fail(ctx, n, "axis %lld is listed twice", (long long)axes[i]);
        seen |= 1u << out[i];
    }
    return true;
}

const char *shape_text(Ctx *ctx, const Value *v) {
    const char *text = "[";
    for (int i = 0; i < v->type.rank; i++)
        text = arena_printf(ctx->arena, "%s%s%s", text, i ? ", " : "", dim_text(ctx, v->type.dims[i]));
    return arena_printf(ctx->arena, "%s]", text);
}
