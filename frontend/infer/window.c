/* The window of convolutions and pools: strides, dilations and pads, how far it reaches, how often it fits. The
 * formulas are those of ONNX's Conv, ConvTranspose, AveragePool and MaxPool. */
#include "frontend/infer/infer.h"

static bool read_positive(Ctx *ctx, const Node *n, const char *name, int spatial, int64_t *out) {
    const int64_t *v;
    int count = node_ints(n, name, &v);
    for (int i = 0; i < spatial; i++) out[i] = 1;
    if (count == 0) return true;
    if (count != spatial) return fail(ctx, n, "%s has %d entries, there are %d spatial axes", name, count, spatial);
    for (int i = 0; i < spatial; i++) {
        if (v[i] < 1) return fail(ctx, n, "%s[%d] is %lld, must be at least 1", name, i, (long long)v[i]);
        out[i] = v[i];
    }
    return true;
}

static bool read_pads(Ctx *ctx, const Node *n, Window *w) {
    const int64_t *v;
    int count = node_ints(n, "pads", &v);
    for (int i = 0; i < w->n; i++) w->begin[i] = w->end[i] = 0;
    if (count == 0 || w->auto_pad != AUTO_PAD_NOTSET) return true;
    if (count != 2 * w->n)
        return fail(ctx, n, "pads has %d entries, must have two for each of the %d spatial axes", count, w->n);
    for (int i = 0; i < w->n; i++) {
        if (v[i] < 0 || v[w->n + i] < 0) return fail(ctx, n, "pads of spatial axis %d are negative", i);
        w->begin[i] = v[i];
        w->end[i] = v[w->n + i];
    }
    return true;
}

static bool read_kernel(Ctx *ctx, const Node *n, const Dim *kernel, Window *w) {
    const int64_t *v;
    int count = node_ints(n, "kernel_shape", &v);
    if (count == 0 && !kernel) return fail(ctx, n, "kernel_shape is missing");
    if (count && count != w->n)
        return fail(ctx, n, "kernel_shape has %d entries, there are %d spatial axes", count, w->n);
    for (int i = 0; i < w->n; i++) {
        Dim given = count ? dim_const(ctx, v[i]) : kernel[i];
        w->kernel[i] = kernel ? equal_dims(ctx, n, given, kernel[i], "kernel_shape and the weight's shape") : given;
        if (!w->kernel[i]) return false;
        if (!need_at_most(ctx, n, dim_const(ctx, 1), w->kernel[i], "the least size of a kernel and its size"))
            return false;
    }
    return true;
}

bool window_read(Ctx *ctx, const Node *n, int spatial, const Dim *kernel, Window *w) {
    w->n = spatial;
    w->auto_pad = node_enum(n, "auto_pad");
    return read_positive(ctx, n, "strides", spatial, w->stride) &&
           read_positive(ctx, n, "dilations", spatial, w->dilation) && read_pads(ctx, n, w) &&
           read_kernel(ctx, n, kernel, w);
}

Dim window_extent(Ctx *ctx, const Window *w, int i) {
    Dim one = dim_const(ctx, 1);
    return dim_add(ctx, dim_mul(ctx, dim_sub(ctx, w->kernel[i], one), dim_const(ctx, w->dilation[i])), one);
}

/* floor((in + pads - extent) / stride) + 1; SAME: ceil(in / stride). With ceil_mode rounded up, less one where the last
 * window would begin behind the input and the pads before it. */
Dim window_output(Ctx *ctx, const Window *w, int i, Dim in, bool ceil_mode) {
    Dim stride = dim_const(ctx, w->stride[i]), one = dim_const(ctx, 1);
    if (w->auto_pad == AUTO_PAD_SAME_UPPER || w->auto_pad == AUTO_PAD_SAME_LOWER) return dim_ceildiv(ctx, in, stride);
    Dim before = dim_add(ctx, in, dim_const(ctx, w->begin[i]));
    Dim room = dim_sub(ctx, dim_add(ctx, before, dim_const(ctx, w->end[i])), window_extent(ctx, w, i));
    if (!ceil_mode || w->auto_pad == AUTO_PAD_VALID) return dim_add(ctx, dim_floordiv(ctx, room, stride), one);
    Dim up = dim_add(ctx, dim_ceildiv(ctx, room, stride), one);
    Dim begin_inside = dim_ceildiv(ctx, before, stride);
    return dim_min(ctx, up, dim_max(ctx, begin_inside, dim_sub(ctx, up, one)));
}
