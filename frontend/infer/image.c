/* Col2Im, DeformConv, GridSample, MaxRoiPool, MaxUnpool, RoiAlign. */
#include "frontend/infer/infer.h"

/* ---- Col2Im ---- */

/* Attributes that go with the axes of the image: positive, or pads. */
static bool check_image_attrs(Ctx *ctx, const Node *n, int axes) {
    static const char *const names[] = {"strides", "dilations", "pads"};
    for (int i = 0; i < 3; i++) {
        const int64_t *v;
        int count = node_ints(n, names[i], &v), want = i == 2 ? 2 * axes : axes;
        if (count && count != want)
            return fail(ctx, n, "%s has %d entries, must have %d for %d axes", names[i], count, want, axes);
        for (int k = 0; k < count; k++)
            if (v[k] < (i < 2)) return fail(ctx, n, "%s[%d] is %lld", names[i], k, (long long)v[k]);
    }
    return true;
}

bool infer_col2im(Ctx *ctx, Node *n) {
    IntList image, block;
    int64_t sizes[MCC_MAX_RANK], area;
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 3, 3) || !read_list(ctx, n, 1, MCC_MAX_RANK - 2, &image) ||
        !read_list(ctx, n, 2, MCC_MAX_RANK - 2, &block))
        return false;
    if (image.n < 1 || image.n != block.n)
        return fail(ctx, n, "image_shape and block_shape must have the same length, known when compiling");
    const Type *x = type_of(n, 0);
    int rank = image.n + 2;
    if (!check_image_attrs(ctx, n, image.n)) return false;
    Dim dims[MCC_MAX_RANK] = {x->dims[0]};
    if (!list_is_const(&block, sizes)) dims[1] = data_dim(ctx, n, 0, rank, 1, 0, x->dims[1]);
    else if (!product_i64(sizes, block.n, &area) || area < 1) return fail(ctx, n, "block_shape is no size of a block");
    else if (!need_divisible(ctx, n, x->dims[1], area, "axis 1 of the input, channels times the block's size"))
        return false;
    else dims[1] = dim_floordiv(ctx, x->dims[1], dim_const(ctx, area));
    for (int i = 0; i < image.n; i++) dims[2 + i] = image.v[i] ? image.v[i] : data_dim(ctx, n, 0, rank, 2 + i, 0, NULL);
    for (int i = 1; i < rank; i++)
        if (!dims[i]) return false;
    return set_output(ctx, n, 0, x->dtype, rank, dims);
}

/* ---- DeformConv ---- */

/* groups · weight channels = channels, and what the groups of offsets and of output channels divide */
static bool check_groups(Ctx *ctx, const Node *n) {
    const Type *x = type_of(n, 0), *w = type_of(n, 1);
    int64_t group = node_int(n, "group"), offset_group = node_int(n, "offset_group");
    if (group < 1 || offset_group < 1)
        return fail(ctx, n, "group is %lld, offset_group %lld: they must be at least 1", (long long)group,
                    (long long)offset_group);
    return equal_dims(ctx, n, x->dims[1], dim_mul(ctx, w->dims[1], dim_const(ctx, group)),
                      "the input's channels and those of the weights times group") &&
           need_divisible(ctx, n, w->dims[0], group, "the number of output channels") &&
           need_divisible(ctx, n, x->dims[1], offset_group, "the number of input channels");
}

/* Input `in` holds `each` numbers for each tap of each group of offsets, at each place of the output. */
static bool check_per_tap(Ctx *ctx, const Node *n, int in, int64_t each, const Window *w, const Dim *y) {
    const Type *t = type_of(n, in);
    int rank = w->n + 2;
    Dim groups = dim_mul(ctx, dim_const(ctx, each), dim_const(ctx, node_int(n, "offset_group")));
    Dim numbers = dim_mul(ctx, dim_product(ctx, w->kernel, w->n), groups);
    if (!numbers) return fail(ctx, n, "a size overflows");
    if (!need_same_dtype(ctx, n, in, 0) || !need_rank(ctx, n, in, rank, rank)) return false;
    for (int i = 0; i < rank; i++)
        if (!equal_dims(ctx, n, t->dims[i], i == 1 ? numbers : y[i],
                        in == 2 ? "the sizes of offset" : "the sizes of mask"))
            return false;
    return true;
}

bool infer_deform_conv(Ctx *ctx, Node *n) {
    Window w = {0};
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 3, MCC_MAX_RANK) || !need_same_dtype(ctx, n, 1, 0)) return false;
    const Type *x = type_of(n, 0), *weights = type_of(n, 1);
    int axes = x->rank - 2;
    if (!need_rank(ctx, n, 1, x->rank, x->rank) || !window_read(ctx, n, axes, weights->dims + 2, &w) ||
        !check_groups(ctx, n))
        return false;
    Dim dims[MCC_MAX_RANK] = {x->dims[0], weights->dims[0]};
    for (int i = 0; i < axes; i++)
        if (!(dims[2 + i] = window_output(ctx, &w, i, x->dims[2 + i], false))) return fail(ctx, n, "a size overflows");
    if (!check_per_tap(ctx, n, 2, axes, &w, dims)) return false;
    if (node_in(n, 3) &&
        (!need_same_dtype(ctx, n, 3, 0) || !need_rank(ctx, n, 3, 1, 1) ||
         !equal_dims(ctx, n, type_of(n, 3)->dims[0], weights->dims[0], "the numbers of biases and output channels")))
        return false;
    if (node_in(n, 4) && !check_per_tap(ctx, n, 4, 1, &w, dims)) return false;
    return set_output(ctx, n, 0, x->dtype, x->rank, dims);
}

/* ---- GridSample ---- */

bool infer_grid_sample(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n) || !need_dtype(ctx, n, 1, F) || !need_rank(ctx, n, 0, 3, 5)) return false;
    const Type *x = type_of(n, 0), *grid = type_of(n, 1);
    if (!need_rank(ctx, n, 1, x->rank, x->rank) ||
        !equal_dims(ctx, n, x->dims[0], grid->dims[0], "the numbers of batches of input and grid") ||
        !equal_dims(ctx, n, grid->dims[x->rank - 1], dim_const(ctx, x->rank - 2),
                    "the last size of the grid and the number of spatial axes"))
        return false;
    Dim dims[MCC_MAX_RANK] = {x->dims[0], x->dims[1]};
    for (int i = 2; i < x->rank; i++) dims[i] = grid->dims[i - 1];
    return set_output(ctx, n, 0, x->dtype, x->rank, dims);
}

/* ---- MaxRoiPool ---- */

bool infer_max_roi_pool(Ctx *ctx, Node *n) {
    const int64_t *sizes;
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 4, 4) || !need_rank(ctx, n, 1, 2, 2) ||
        !need_same_dtype(ctx, n, 1, 0))
        return false;
    const Type *x = type_of(n, 0), *rois = type_of(n, 1);
    if (node_ints(n, "pooled_shape", &sizes) != 2 || sizes[0] < 1 || sizes[1] < 1)
        return fail(ctx, n, "pooled_shape must be two numbers of at least 1");
    if (!equal_dims(ctx, n, rois->dims[1], dim_const(ctx, 5), "the last size of the regions and 5")) return false;
    Dim dims[] = {rois->dims[0], x->dims[1], dim_const(ctx, sizes[0]), dim_const(ctx, sizes[1])};
    return set_output(ctx, n, 0, x->dtype, 4, dims);
}

/* ---- MaxUnpool ---- */

/* (in - 1)·stride + kernel - pads */
static Dim unpooled(Ctx *ctx, const Window *w, int i, Dim in) {
    Dim d = dim_mul(ctx, dim_sub(ctx, in, dim_const(ctx, 1)), dim_const(ctx, w->stride[i]));
    return dim_sub(ctx, dim_add(ctx, d, w->kernel[i]),
                   dim_add(ctx, dim_const(ctx, w->begin[i]), dim_const(ctx, w->end[i])));
}

bool infer_max_unpool(Ctx *ctx, Node *n) {
    Window w = {0};
    IntList asked;
    if (!infer_begin(ctx, n) || !need_dtype_is(ctx, n, 1, DT_I64) || !need_rank(ctx, n, 0, 3, MCC_MAX_RANK))
        return false;
    const Type *x = type_of(n, 0), *indices = type_of(n, 1);
    if (!need_rank(ctx, n, 1, x->rank, x->rank) || !window_read(ctx, n, x->rank - 2, NULL, &w) ||
        !read_list(ctx, n, 2, MCC_MAX_RANK, &asked) || (asked.present && !need_length(ctx, n, 2, x->rank)))
        return false;
    Dim dims[MCC_MAX_RANK] = {x->dims[0], x->dims[1]};
    for (int i = 0; i < x->rank; i++) {
        if (!equal_dims(ctx, n, x->dims[i], indices->dims[i], "the sizes of input and indices")) return false;
        if (i < 2) continue;
        Dim least = unpooled(ctx, &w, i - 2, x->dims[i]);
        if (!least) return fail(ctx, n, "a size overflows");
        dims[i] = asked.present ? asked.n > i ? asked.v[i] : NULL : least;
        if (!dims[i] && !(dims[i] = data_dim(ctx, n, 0, x->rank, i, 0, NULL))) return false;
        if (asked.n > i && asked.v[i] && !need_at_most(ctx, n, least, dims[i], "the pooled size and output_shape"))
            return false;
    }
    return set_output(ctx, n, 0, x->dtype, x->rank, dims);
}

/* ---- RoiAlign ---- */

bool infer_roi_align(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 4, 4) || !need_rank(ctx, n, 1, 2, 2) ||
        !need_rank(ctx, n, 2, 1, 1) || !need_same_dtype(ctx, n, 1, 0) || !need_dtype_is(ctx, n, 2, DT_I64))
        return false;
    const Type *x = type_of(n, 0), *rois = type_of(n, 1);
    int64_t rows = node_int(n, "output_height"), cols = node_int(n, "output_width"),
            ratio = node_int(n, "sampling_ratio");
    if (rows < 1 || cols < 1)
        return fail(ctx, n, "the output is %lld by %lld, must be at least 1 by 1", (long long)rows, (long long)cols);
    enum { MOST_SAMPLES = 4096 };
    if (ratio < 0 || ratio > MOST_SAMPLES)
        return fail(ctx, n, "sampling_ratio is %lld, must be 0 to %d", (long long)ratio, MOST_SAMPLES);
    if (!equal_dims(ctx, n, rois->dims[1], dim_const(ctx, 4), "the last size of the regions and 4") ||
        !equal_dims(ctx, n, rois->dims[0], type_of(n, 2)->dims[0], "the numbers of regions and of batch indices"))
        return false;
    Dim dims[] = {rois->dims[0], x->dims[1], dim_const(ctx, rows), dim_const(ctx, cols)};
    return set_output(ctx, n, 0, x->dtype, 4, dims);
}
