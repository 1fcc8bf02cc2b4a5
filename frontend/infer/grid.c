/* Det, AffineGrid, CenterCropPad: matrices and maps. */
#include "frontend/infer/infer.h"

bool infer_det(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 2, MCC_MAX_RANK)) return false;
    const Type *x = type_of(n, 0);
    return equal_dims(ctx, n, x->dims[x->rank - 2], x->dims[x->rank - 1], "rows and columns") &&
           set_output(ctx, n, 0, x->dtype, x->rank - 2, x->dims);
}

/* theta [N, 2, 3] or [N, 3, 4], size [N, C, (D,) H, W] */
bool infer_affine_grid(Ctx *ctx, Node *n) {
    IntList size;
    int64_t spatial;
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 3, 3) || !need_dtype_is(ctx, n, 1, DT_I64)) return false;
    const Type *theta = type_of(n, 0);
    if (!dim_is_const(theta->dims[1], &spatial) || spatial < 2 || spatial > 3 || !dim_is(theta->dims[2], spatial + 1))
        return fail(ctx, n, "theta has shape %s, must be [N, 2, 3] or [N, 3, 4]", shape_text(ctx, n->in[0]));
    if (!read_list(ctx, n, 1, 5, &size) || !need_length(ctx, n, 1, (int)spatial + 2)) return false;
    if (size.n > 0 && size.v[0] && !equal_dims(ctx, n, size.v[0], theta->dims[0], "the batch sizes of theta and size"))
        return false;
    Dim dims[MCC_MAX_RANK] = {theta->dims[0]};
    int rank = (int)spatial + 2;
    for (int i = 1; i <= spatial; i++) {
        dims[i] = size.n < 0 ? NULL : size.v[1 + i];
        if (!dims[i] && !(dims[i] = data_dim(ctx, n, 0, rank, i, 0, NULL))) return false;
    }
    dims[spatial + 1] = dim_const(ctx, spatial);
    return set_output(ctx, n, 0, theta->dtype, rank, dims);
}

bool infer_center_crop_pad(Ctx *ctx, Node *n) {
    IntList shape;
    const int64_t *given;
    int at[MCC_MAX_RANK], count = node_ints(n, "axes", &given);
    if (!infer_begin(ctx, n) || !read_list(ctx, n, 1, MCC_MAX_RANK, &shape)) return false;
    const Type *x = type_of(n, 0);
    if (!read_axes(ctx, n, given, count, x->rank, at)) return false;
    if (!node_attr(n, "axes"))
        for (count = 0; count < x->rank; count++) at[count] = count;
    if (!need_length(ctx, n, 1, count)) return false;
    Dim dims[MCC_MAX_RANK];
    for (int i = 0; i < x->rank; i++) dims[i] = x->dims[i];
    for (int i = 0; i < count; i++) {
        dims[at[i]] = shape.n < 0 ? NULL : shape.v[i];
        if (!dims[at[i]] && !(dims[at[i]] = data_dim(ctx, n, 0, x->rank, at[i], 0, NULL))) return false;
    }
    return set_output(ctx, n, 0, x->dtype, x->rank, dims);
}
