/* Conv, ConvTranspose, Gemm, MatMul. */
#include "frontend/infer/infer.h"
#include <string.h>

/* Input and weight, input w, of a convolution: ranks, groups. */
static bool check_conv(Ctx *ctx, const Node *n, int w, int64_t *group) {
    if (!need_rank(ctx, n, 0, 3, MCC_MAX_RANK)) return false;
    if (type_of(n, w)->rank != type_of(n, 0)->rank)
        return fail(ctx, n, "weight has shape %s, must have as many axes as the input %s", shape_text(ctx, n->in[w]),
                    shape_text(ctx, n->in[0]));
    *group = node_int(n, "group");
    return *group >= 1 || fail(ctx, n, "group is %lld, must be at least 1", (long long)*group);
}

static bool check_bias(Ctx *ctx, const Node *n, Dim channels) {
    if (!node_in(n, 2)) return true;
    return need_same_dtype(ctx, n, 2, 0) && need_rank(ctx, n, 2, 1, 1) &&
           equal_dims(ctx, n, type_of(n, 2)->dims[0], channels, "the lengths of the bias and of the output's channels");
}

static bool check_channels(Ctx *ctx, const Node *n, int w, int64_t group) {
    Dim have = type_of(n, 0)->dims[1], of_group = type_of(n, w)->dims[1],
        want = dim_mul(ctx, of_group, dim_const(ctx, group));
    if (!want) return fail(ctx, n, "a size overflows");
    if (have != want && have->kind == DIM_CONST && want->kind == DIM_CONST)
        return group == 1 ? fail(ctx, n, "weight has %s input channels, input has %s", dim_text(ctx, want),
                                 dim_text(ctx, have))
                          : fail(ctx, n, "weight has %s input channels in each of %lld groups, input has %s",
                                 dim_text(ctx, of_group), (long long)group, dim_text(ctx, have));
    return equal_dims(ctx, n, have, want, "the channels of input and weight") != NULL;
}

bool conv_shape(Ctx *ctx, const Node *n, int w, Type *y) {
    int64_t group;
    Window window;
    if (!check_conv(ctx, n, w, &group) || !check_channels(ctx, n, w, group)) return false;
    const Type *x = type_of(n, 0), *weight = type_of(n, w);
    *y = *x;
    y->dims[1] = weight->dims[0];
    if (!need_divisible(ctx, n, weight->dims[0], group, "the number of output channels") ||
        !window_read(ctx, n, x->rank - 2, weight->dims + 2, &window))
        return false;
    for (int i = 0; i < window.n; i++) y->dims[2 + i] = window_output(ctx, &window, i, x->dims[2 + i], false);
    return true;
}

bool infer_conv(Ctx *ctx, Node *n) {
    Type y;
    return infer_begin(ctx, n) && need_same_dtype(ctx, n, 1, 0) && conv_shape(ctx, n, 1, &y) &&
           check_bias(ctx, n, y.dims[1]) && set_output(ctx, n, 0, y.dtype, y.rank, y.dims);
}

/* stride·(in - 1) + output_padding + extent - pads; SAME: in·stride */
static Dim transpose_output(Ctx *ctx, const Window *w, int i, Dim in, int64_t output_padding) {
    Dim stride = dim_const(ctx, w->stride[i]);
    if (w->auto_pad == AUTO_PAD_SAME_UPPER || w->auto_pad == AUTO_PAD_SAME_LOWER) return dim_mul(ctx, in, stride);
    Dim d = dim_mul(ctx, stride, dim_sub(ctx, in, dim_const(ctx, 1)));
    d = dim_add(ctx, dim_add(ctx, d, dim_const(ctx, output_padding)), window_extent(ctx, w, i));
    return dim_sub(ctx, dim_sub(ctx, d, dim_const(ctx, w->begin[i])), dim_const(ctx, w->end[i]));
}

bool infer_conv_transpose(Ctx *ctx, Node *n) {
    int64_t group;
    const int64_t *shape, *more;
    Window w;
    if (!infer_begin(ctx, n) || !need_same_dtype(ctx, n, 1, 0) || !check_conv(ctx, n, 1, &group)) return false;
    const Type *x = type_of(n, 0), *weight = type_of(n, 1);
    Dim channels = dim_mul(ctx, weight->dims[1], dim_const(ctx, group));
    Dim dims[MCC_MAX_RANK] = {x->dims[0], channels};
    if (!equal_dims(ctx, n, x->dims[1], weight->dims[0], "the channels of input and weight") ||
        !need_divisible(ctx, n, x->dims[1], group, "the number of input channels") || !channels ||
        !check_bias(ctx, n, channels) || !window_read(ctx, n, x->rank - 2, weight->dims + 2, &w))
        return false;
    int n_shape = node_ints(n, "output_shape", &shape), n_more = node_ints(n, "output_padding", &more);
    if (n_shape && n_shape != w.n)
        return fail(ctx, n, "output_shape has %d entries, there are %d spatial axes", n_shape, w.n);
    if (n_more && n_more != w.n)
        return fail(ctx, n, "output_padding has %d entries, there are %d spatial axes", n_more, w.n);
    for (int i = 0; i < w.n; i++) {
        if (n_more && more[i] < 0) return fail(ctx, n, "output_padding[%d] is negative", i);
        dims[2 + i] =
            n_shape ? dim_const(ctx, shape[i]) : transpose_output(ctx, &w, i, x->dims[2 + i], n_more ? more[i] : 0);
    }
    return set_output(ctx, n, 0, x->dtype, x->rank, dims);
}

bool infer_gemm(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 2, 2) || !need_rank(ctx, n, 1, 2, 2) ||
        !need_same_dtype(ctx, n, 1, 0))
        return false;
    const Type *a = type_of(n, 0), *b = type_of(n, 1);
    int ta = node_int(n, "transA") != 0, tb = node_int(n, "transB") != 0;
    if (!equal_dims(ctx, n, a->dims[1 - ta], b->dims[tb], "the inner sizes of A and B")) return false;
    Type y = {.kind = TYPE_TENSOR, .dtype = a->dtype, .rank = 2, .dims = {a->dims[ta], b->dims[1 - tb]}};
    if (node_in(n, 2) && (!need_same_dtype(ctx, n, 2, 0) || !need_broadcast_to(ctx, n, 2, &y))) return false;
    return set_output(ctx, n, 0, y.dtype, y.rank, y.dims);
}

/* numpy.matmul: a vector is a row before, a column behind; axes before the last two are broadcast */
bool matmul_shape(Ctx *ctx, const Node *n, int b_in, Type *y) {
    if (!need_rank(ctx, n, 0, 1, MCC_MAX_RANK) || !need_rank(ctx, n, b_in, 1, MCC_MAX_RANK)) return false;
    const Type *a = type_of(n, 0), *b = type_of(n, b_in);
    bool row = a->rank == 1, column = b->rank == 1;
    if (!equal_dims(ctx, n, a->dims[a->rank - 1], b->dims[column ? 0 : b->rank - 2], "the inner sizes of A and B"))
        return false;
    Type other = *b;
    *y = *a;
    y->rank = row ? 0 : a->rank - 2;
    other.rank = column ? 0 : b->rank - 2;
    if (!broadcast_into(ctx, n, y, &other)) return false;
    if (!row) y->dims[y->rank++] = a->dims[a->rank - 2];
    if (!column) y->dims[y->rank++] = b->dims[b->rank - 1];
    return true;
}

bool infer_matmul(Ctx *ctx, Node *n) {
    Type y;
    return infer_begin(ctx, n) && need_same_dtype(ctx, n, 1, 0) && matmul_shape(ctx, n, 1, &y) &&
           set_output(ctx, n, 0, y.dtype, y.rank, y.dims);
}
