/* Operators that draw random numbers: the dims of their outputs. */
#include "frontend/infer/infer.h"

/* mcc.Random: the pass that makes one says its dims and dtype. */
bool infer_random(Ctx *ctx, Node *n) { return infer_begin(ctx, n); }

static bool read_dtype(Ctx *ctx, const Node *n, Dtype otherwise, unsigned classes, Dtype *out) {
    int64_t t = node_attr(n, "dtype") ? node_int(n, "dtype") : otherwise;
    if (t <= DT_NONE || t >= DT_COUNT || !(dtype_class((Dtype)t) & classes))
        return fail(ctx, n, "dtype is %lld, which it cannot draw", (long long)t);
    *out = (Dtype)t;
    return true;
}

bool infer_random_shape(Ctx *ctx, Node *n) {
    const int64_t *shape;
    int rank = node_ints(n, "shape", &shape);
    Dim dims[MCC_MAX_RANK];
    Dtype t;
    if (!infer_begin(ctx, n) || !read_dtype(ctx, n, DT_F32, F, &t)) return false;
    if (!node_attr(n, "shape")) return fail(ctx, n, "shape is missing");
    if (rank > MCC_MAX_RANK) return fail(ctx, n, "shape has %d axes, mcc takes at most %d", rank, MCC_MAX_RANK);
    for (int i = 0; i < rank; i++)
        if (!(dims[i] = shape[i] < 0 ? NULL : dim_const(ctx, shape[i])))
            return fail(ctx, n, "shape[%d] is %lld", i, (long long)shape[i]);
    return set_output(ctx, n, 0, t, rank, dims);
}

/* Of a dtype that is not said: the input's. Bernoulli's result may be of any, its input holds probabilities. */
bool infer_random_like(Ctx *ctx, Node *n) {
    Dtype t;
    if (!infer_begin(ctx, n)) return false;
    const Type *x = type_of(n, 0);
    return read_dtype(ctx, n, x->dtype, n->op == OP_Bernoulli ? F | I | U | B : F, &t) &&
           set_output(ctx, n, 0, t, x->rank, x->dims);
}

/* [batch, classes] -> [batch, samples] */
bool infer_multinomial(Ctx *ctx, Node *n) {
    Dtype t;
    int64_t samples = node_int(n, "sample_size");
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 2, 2) || !read_dtype(ctx, n, DT_I32, I, &t)) return false;
    if (t != DT_I32 && t != DT_I64) return fail(ctx, n, "dtype is %s, must be int32 or int64", dtype_name(t));
    if (samples < 0) return fail(ctx, n, "sample_size is %lld", (long long)samples);
    if (!need_at_most(ctx, n, dim_const(ctx, 1), type_of(n, 0)->dims[1],
                      "the least number of classes and their number"))
        return false;
    return set_output(ctx, n, 0, t, 2, (Dim[]){type_of(n, 0)->dims[0], dim_const(ctx, samples)});
}
