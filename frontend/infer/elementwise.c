/* Operators whose output has its input's shape, or the broadcast shape of its inputs. */
#include "frontend/infer/infer.h"

static bool check_per_channel(Ctx *ctx, const Node *n, int in) {
    return need_same_dtype(ctx, n, in, 0) && need_rank(ctx, n, in, 1, 1) &&
           equal_dims(ctx, n, type_of(n, in)->dims[0], type_of(n, 0)->dims[1], "its length and the number of channels");
}

/* The axis of CumSum and CumProd is an input; where it is a constant it is checked here, else by the kernel. */
static bool check_axis_input(Ctx *ctx, const Node *n) {
    int64_t v;
    int axis, rank = type_of(n, 0)->rank;
    if (!need_index_dtype(ctx, n, 1) || !need_scalar(ctx, n, 1)) return false;
    if (rank == 0) return fail(ctx, n, "input 0 has no axis");
    return value_content(n->in[1]) != 1 || !dim_is_const(n->in[1]->content[0], &v) || read_axis(ctx, n, v, rank, &axis);
}

static bool check_same(Ctx *ctx, const Node *n) {
    int axis;
    switch (n->op) {
    case OP_Softmax:
    case OP_LogSoftmax: return read_axis(ctx, n, node_int(n, "axis"), type_of(n, 0)->rank, &axis);
    case OP_InstanceNormalization:
        return need_rank(ctx, n, 0, 2, MCC_MAX_RANK) && check_per_channel(ctx, n, 1) && check_per_channel(ctx, n, 2);
    case OP_LRN:
        if (node_int(n, "size") < 1)
            return fail(ctx, n, "size is %lld, must be at least 1", (long long)node_int(n, "size"));
        return need_rank(ctx, n, 0, 2, MCC_MAX_RANK);
    case OP_CumProd:
    case OP_CumSum: return check_axis_input(ctx, n);
    case OP_Trilu:
        return need_rank(ctx, n, 0, 2, MCC_MAX_RANK) &&
               (!node_in(n, 1) || (need_dtype_is(ctx, n, 1, DT_I64) && need_scalar(ctx, n, 1)));
    default: return true;
    }
}

bool infer_same(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n) || !check_same(ctx, n) || !set_output_like(ctx, n, 0, 0)) return false;
    content_elementwise(ctx, n);
    return true;
}

bool infer_same_bool(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n)) return false;
    return set_output(ctx, n, 0, DT_BOOL, type_of(n, 0)->rank, type_of(n, 0)->dims);
}

bool infer_table(Ctx *ctx, Node *n) {
    const Attr *table = node_attr(n, "table");
    if (!infer_begin(ctx, n)) return false;
    return set_output(ctx, n, 0, table->tensor->dtype, type_of(n, 0)->rank, type_of(n, 0)->dims);
}

bool infer_bit_cast(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n)) return false;
    int64_t to = node_int(n, "to");
    Dtype from = type_of(n, 0)->dtype;
    if (to <= DT_NONE || to >= DT_COUNT || !dtype_supported((Dtype)to))
        return fail(ctx, n, "attribute to is %lld, which is no element type that mcc supports", (long long)to);
    if (dtype_bits((Dtype)to) != dtype_bits(from))
        return fail(ctx, n, "%s and %s do not have the same number of bits", dtype_name(from), dtype_name((Dtype)to));
    return set_output(ctx, n, 0, (Dtype)to, type_of(n, 0)->rank, type_of(n, 0)->dims);
}

bool infer_cast(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n)) return false;
    int64_t to = node_int(n, "to");
    if (to <= DT_NONE || to >= DT_COUNT)
        return fail(ctx, n, "attribute to is %lld, which is no element type", (long long)to);
    if (!dtype_supported((Dtype)to)) return fail(ctx, n, "casts to %s, which is not supported", dtype_name((Dtype)to));
    if (!set_output(ctx, n, 0, (Dtype)to, type_of(n, 0)->rank, type_of(n, 0)->dims)) return false;
    content_elementwise(ctx, n);
    return true;
}

bool infer_cast_like(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n) || !set_output(ctx, n, 0, type_of(n, 1)->dtype, type_of(n, 0)->rank, type_of(n, 0)->dims))
        return false;
    content_elementwise(ctx, n);
    return true;
}

static bool broadcast_inputs(Ctx *ctx, const Node *n, Type *y) {
    *y = *type_of(n, 0);
    for (int i = 1; i < n->n_in; i++)
        if (!broadcast_into(ctx, n, y, type_of(n, i))) return false;
    return true;
}

bool infer_broadcast(Ctx *ctx, Node *n) {
    Type y;
    if (!infer_begin(ctx, n)) return false;
    for (int i = 1; i < n->n_in; i++)
        if (n->op == OP_Pow ? !need_dtype(ctx, n, i, F | I | U) : !need_same_dtype(ctx, n, i, 0)) return false;
    if (n->op == OP_Mod && dtype_class(type_of(n, 0)->dtype) == DTC_F && !node_int(n, "fmod"))
        return fail(ctx, n, "fmod must be 1 for floats");
    if (n->op == OP_PRelu) return need_broadcast_to(ctx, n, 1, type_of(n, 0)) && set_output_like(ctx, n, 0, 0);
    if (!broadcast_inputs(ctx, n, &y) || !set_output(ctx, n, 0, y.dtype, y.rank, y.dims)) return false;
    content_elementwise(ctx, n);
    return true;
}

bool infer_compare(Ctx *ctx, Node *n) {
    Type y;
    if (!infer_begin(ctx, n) || !need_same_dtype(ctx, n, 1, 0) || !broadcast_inputs(ctx, n, &y) ||
        !set_output(ctx, n, 0, DT_BOOL, y.rank, y.dims))
        return false;
    content_elementwise(ctx, n);
    return true;
}

bool infer_where(Ctx *ctx, Node *n) {
    Type y;
    if (!infer_begin(ctx, n) || !need_dtype_is(ctx, n, 0, DT_BOOL) || !need_same_dtype(ctx, n, 2, 1) ||
        !broadcast_inputs(ctx, n, &y) || !set_output(ctx, n, 0, type_of(n, 1)->dtype, y.rank, y.dims))
        return false;
    content_elementwise(ctx, n);
    return true;
}

bool infer_clip(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n)) return false;
    for (int i = 1; i < n->n_in; i++)
        if (n->in[i] && (!need_same_dtype(ctx, n, i, 0) || !need_scalar(ctx, n, i))) return false;
    if (!set_output_like(ctx, n, 0, 0)) return false;
    content_elementwise(ctx, n);
    return true;
}
