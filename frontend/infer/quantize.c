/* QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, and the products of quantized integers: ConvInteger,
 * QLinearConv, MatMulInteger, QLinearMatMul. Which dtypes each takes, and how far scales and zero points reach. */
#include "frontend/infer/infer.h"

static bool is_byte(Dtype t) { return t == DT_U8 || t == DT_I8; }
static bool is_narrow(Dtype t) { return is_byte(t) || t == DT_U16 || t == DT_I16 || dtype_class(t) == DTC_PACKED; }
/* e8m0 is for scales alone */
static bool is_small(Dtype t) { return dtype_class(t) == DTC_SMALL && t != DT_F8E8M0; }
static bool is_scale(Dtype t) { return t == DT_F32 || t == DT_F16 || t == DT_BF16; }

static bool need_byte(Ctx *ctx, const Node *n, int in) {
    Dtype t = type_of(n, in)->dtype;
    return is_byte(t) || fail(ctx, n, "input %d is %s, must be int8 or uint8", in, dtype_name(t));
}

/* bytes, or what stands for them in QLinearMatMul: floats of 8 bits */
static bool need_code(Ctx *ctx, const Node *n, int in) {
    Dtype t = type_of(n, in)->dtype;
    if (n->op == OP_QLinearMatMul && is_small(t) && dtype_bits(t) == 8) return true;
    return need_byte(ctx, n, in);
}

static bool need_scale(Ctx *ctx, const Node *n, int in) {
    Dtype t = type_of(n, in)->dtype;
    return is_scale(t) || fail(ctx, n, "input %d is %s, must be float32, float16 or bfloat16", in, dtype_name(t));
}

static bool is_one(const Type *t) {
    for (int i = 0; i < t->rank; i++)
        if (!dim_is(t->dims[i], 1)) return false;
    return true;
}

/* ---- Q and DQ ---- */

/* Dims of one scale a block along the axis */
static bool check_blocks(Ctx *ctx, const Node *n, int axis, int64_t block) {
    const Type *x = type_of(n, 0), *s = type_of(n, 1);
    if (s->rank != x->rank)
        return fail(ctx, n, "block_size is %lld: the scales, of shape %s, must have as many axes as the input %s",
                    (long long)block, shape_text(ctx, n->in[1]), shape_text(ctx, n->in[0]));
    for (int i = 0; i < x->rank; i++) {
        Dim want = i == axis ? dim_ceildiv(ctx, x->dims[i], dim_const(ctx, block)) : x->dims[i];
        if (!want) return fail(ctx, n, "a size overflows");
        if (!equal_dims(ctx, n, s->dims[i], want, "the numbers of scales and of blocks")) return false;
    }
    return true;
}

/* Scales and zero points (inputs 1, 2) of the input: one; one an index of the axis; one a block of indices. */
static bool check_scales(Ctx *ctx, const Node *n) {
    const Type *x = type_of(n, 0), *s = type_of(n, 1);
    int64_t block = node_int(n, "block_size");
    int axis;
    if (block < 0) return fail(ctx, n, "block_size is %lld, must not be negative", (long long)block);
    if (node_in(n, 2)) {
        const Type *z = type_of(n, 2);
        if (z->rank != s->rank && !(is_one(z) && is_one(s)))
            return fail(ctx, n, "the scales have shape %s, the zero points %s: they must be the same",
                        shape_text(ctx, n->in[1]), shape_text(ctx, n->in[2]));
        for (int i = 0; i < s->rank && z->rank == s->rank; i++)
            if (!equal_dims(ctx, n, s->dims[i], z->dims[i], "the numbers of scales and of zero points")) return false;
    }
    if (s->rank == 0 || (s->rank == 1 && is_one(s) && block == 0)) return true;
    if (!read_axis(ctx, n, node_int(n, "axis"), x->rank, &axis)) return false;
    if (block > 0) return check_blocks(ctx, n, axis, block);
    if (s->rank != 1)
        return fail(ctx, n, "the scales have shape %s, must be one, a list, or come with a block_size",
                    shape_text(ctx, n->in[1]));
    return equal_dims(ctx, n, s->dims[0], x->dims[axis], "the number of scales and the size of the axis") != NULL;
}

bool infer_quantize(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n)) return false;
    Dtype x = type_of(n, 0)->dtype, scale = type_of(n, 1)->dtype, to = DT_U8;
    if (scale != DT_I32 && scale != DT_F8E8M0 && !need_scale(ctx, n, 1)) return false;
    if (!is_scale(x) && x != DT_I32)
        return fail(ctx, n, "input 0 is %s, must be float32, float16, bfloat16 or int32", dtype_name(x));
    int64_t asked = node_int(n, "output_dtype"), precision = node_int(n, "precision");
    if (asked < 0 || asked >= DT_COUNT)
        return fail(ctx, n, "output_dtype is %lld, which is no element type", (long long)asked);
    if (node_in(n, 2)) to = type_of(n, 2)->dtype;
    else if (asked) to = (Dtype)asked;
    if (asked && (Dtype)asked != to)
        return fail(ctx, n, "output_dtype is %s, the zero points are %s", dtype_name((Dtype)asked), dtype_name(to));
    if (!is_narrow(to) && !is_small(to)) return fail(ctx, n, "quantizes to %s, which is not supported", dtype_name(to));
    if (precision && precision != DT_F32 && precision != DT_F16 && precision != DT_BF16)
        return fail(ctx, n, "precision is %lld, must be float32, float16 or bfloat16", (long long)precision);
    return check_scales(ctx, n) && set_output(ctx, n, 0, to, type_of(n, 0)->rank, type_of(n, 0)->dims);
}

bool infer_dequantize(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n)) return false;
    const Type *x = type_of(n, 0);
    if (type_of(n, 1)->dtype != DT_F8E8M0 && !need_scale(ctx, n, 1)) return false;
    if (!is_narrow(x->dtype) && !is_small(x->dtype) && x->dtype != DT_I32)
        return fail(ctx, n, "input 0 is %s, must be an integer of at most 16 bits, int32, or a float of 8 or 4 bits",
                    dtype_name(x->dtype));
    int64_t asked = node_int(n, "output_dtype");
    Dtype to = asked > 0 && asked < DT_COUNT ? (Dtype)asked : type_of(n, 1)->dtype;
    if (asked && (Dtype)asked != to)
        return fail(ctx, n, "output_dtype is %lld, which is no element type", (long long)asked);
    if (!is_scale(to)) return fail(ctx, n, "dequantizes to %s, which is not supported", dtype_name(to));
    if (node_in(n, 2) && !need_same_dtype(ctx, n, 2, 0)) return false;
    return check_scales(ctx, n) && set_output(ctx, n, 0, to, x->rank, x->dims);
}

bool infer_dynamic_quantize(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n) || !need_dtype_is(ctx, n, 0, DT_F32)) return false;
    return set_output(ctx, n, 0, DT_U8, type_of(n, 0)->rank, type_of(n, 0)->dims) &&
           set_output(ctx, n, 1, DT_F32, 0, NULL) && set_output(ctx, n, 2, DT_U8, 0, NULL);
}

/* ---- products ---- */

/* One, or one an output channel */
static bool check_of_channels(Ctx *ctx, const Node *n, int in, Dim channels) {
    const Type *t = type_of(n, in);
    if (t->rank == 0 || (t->rank == 1 && is_one(t))) return true;
    return need_rank(ctx, n, in, 1, 1) &&
           equal_dims(ctx, n, t->dims[0], channels, "the numbers of output channels and of their parameters");
}

/* One; one a row (column) of a matrix; or one a row (column) of every matrix of the operand `of`. */
static bool check_of_matrix(Ctx *ctx, const Node *n, int in, int of, bool by_row) {
    const Type *t = type_of(n, in), *m = type_of(n, of);
    if (is_one(t)) return true;
    int along = m->rank == 1 ? -1 : by_row ? m->rank - 2 : m->rank - 1, across = by_row ? m->rank - 1 : m->rank - 2;
    if (t->rank == 1 && along >= 0)
        return equal_dims(ctx, n, t->dims[0], m->dims[along], "the numbers of rows or columns and of their parameters");
    if (t->rank != m->rank || along < 0)
        return fail(ctx, n, "input %d has shape %s, input %d has %s: it must be one number, or one for each %s", in,
                    shape_text(ctx, n->in[in]), of, shape_text(ctx, n->in[of]), by_row ? "row" : "column");
    for (int i = 0; i < t->rank; i++) {
        Dim want = i == across ? dim_const(ctx, 1) : m->dims[i];
        if (!equal_dims(ctx, n, t->dims[i], want, "the numbers of rows or columns and of their parameters"))
            return false;
    }
    return true;
}

static bool check_zero(Ctx *ctx, const Node *n, int in, int of) {
    return !node_in(n, in) || need_same_dtype(ctx, n, in, of);
}

bool infer_conv_integer(Ctx *ctx, Node *n) {
    Type y;
    if (!infer_begin(ctx, n) || !need_byte(ctx, n, 0) || !need_byte(ctx, n, 1) || !check_zero(ctx, n, 2, 0) ||
        !check_zero(ctx, n, 3, 1) || !conv_shape(ctx, n, 1, &y) || (node_in(n, 2) && !need_scalar(ctx, n, 2)) ||
        (node_in(n, 3) && !check_of_channels(ctx, n, 3, y.dims[1])))
        return false;
    return set_output(ctx, n, 0, DT_I32, y.rank, y.dims);
}

/* Inputs at, at + 1: scale and zero point of an operand */
static bool check_scale_and_zero(Ctx *ctx, const Node *n, int at) {
    return need_scale(ctx, n, at) && need_code(ctx, n, at + 1);
}

static bool check_qlinear(Ctx *ctx, const Node *n) {
    return need_code(ctx, n, 0) && need_code(ctx, n, 3) && check_scale_and_zero(ctx, n, 1) &&
           check_scale_and_zero(ctx, n, 4) && check_scale_and_zero(ctx, n, 6) && check_zero(ctx, n, 2, 0) &&
           check_zero(ctx, n, 5, 3) && need_scalar(ctx, n, 6) && need_scalar(ctx, n, 7);
}

bool infer_qlinear_conv(Ctx *ctx, Node *n) {
    Type y;
    if (!infer_begin(ctx, n) || !check_qlinear(ctx, n) || !conv_shape(ctx, n, 3, &y) || !need_scalar(ctx, n, 1) ||
        !need_scalar(ctx, n, 2) || !check_of_channels(ctx, n, 4, y.dims[1]) || !check_of_channels(ctx, n, 5, y.dims[1]))
        return false;
    if (node_in(n, 8) && (!need_dtype_is(ctx, n, 8, DT_I32) || !need_rank(ctx, n, 8, 1, 1) ||
                          !equal_dims(ctx, n, type_of(n, 8)->dims[0], y.dims[1],
                                      "the lengths of the bias and of the output's channels")))
        return false;
    return set_output(ctx, n, 0, type_of(n, 7)->dtype, y.rank, y.dims);
}

bool infer_matmul_integer(Ctx *ctx, Node *n) {
    Type y;
    if (!infer_begin(ctx, n) || !need_byte(ctx, n, 0) || !need_byte(ctx, n, 1) || !check_zero(ctx, n, 2, 0) ||
        !check_zero(ctx, n, 3, 1) || !matmul_shape(ctx, n, 1, &y) ||
        (node_in(n, 2) && !check_of_matrix(ctx, n, 2, 0, true)) ||
        (node_in(n, 3) && !check_of_matrix(ctx, n, 3, 1, false)))
        return false;
    return set_output(ctx, n, 0, DT_I32, y.rank, y.dims);
}

/* Floats of 8 bits have no scales that differ from matrix to matrix. */
static bool check_lists(Ctx *ctx, const Node *n) {
    bool bytes = is_byte(type_of(n, 0)->dtype) && is_byte(type_of(n, 3)->dtype) && is_byte(type_of(n, 7)->dtype);
    for (int i = 1; i < 6 && !bytes; i++)
        if (i != 3 && type_of(n, i)->rank > 1)
            return fail(ctx, n, "input %d has shape %s: floats of 8 bits take one number, or one a row or column", i,
                        shape_text(ctx, n->in[i]));
    return true;
}

bool infer_qlinear_matmul(Ctx *ctx, Node *n) {
    Type y;
    if (!infer_begin(ctx, n) || !check_qlinear(ctx, n) || !matmul_shape(ctx, n, 3, &y) ||
        !check_of_matrix(ctx, n, 1, 0, true) || !check_of_matrix(ctx, n, 2, 0, true) ||
        !check_of_matrix(ctx, n, 4, 3, false) || !check_of_matrix(ctx, n, 5, 3, false) || !check_lists(ctx, n))
        return false;
    return set_output(ctx, n, 0, type_of(n, 7)->dtype, y.rank, y.dims);
}
