/* ConvInteger and QLinearConv:
 *
 *   acc[n,m,o] = B[m] + Σ (X[n, group(m) + c, o·stride + k·dilation - pad] - zx) · (W[m,c,k] - zw[m]) over c and k, in
 * int32, which wraps y = clamp(rint(f32(acc) · f32(f32(sx · sw[m]) / sy)) + zy)
 *
 * What stands in the padding counts as zx. zw and sw have one element, or one an output channel. */
#include "runtime/kernels/quantize.h"
#include "runtime/kernels/window.h"

typedef struct conv_integer {
    window window;
    const mcc_arg *x, *w;
    idx batch, in_channels, out_channels, groups;
    int32_t x_zero;
} conv_integer;

static inline int32_t conv_sum(const conv_integer *c, idx n, idx m, const idx *o, int32_t w_zero) {
    const window *g = &c->window;
    const idx of_group = c->in_channels / c->groups, plane = count(g->in, SPATIAL), rows = count(g->kernel, ROWS);
    idx weight = m * of_group * count(g->kernel, SPATIAL);
    idx channel = n * c->in_channels + m / (c->out_channels / c->groups) * of_group;
    int32_t sum = 0;
    for (idx i = 0; i < of_group; i++, channel++) {
        idx k[RANK] = {0};
        for (idx r = 0; r < rows; r++, advance(k, g->kernel, ROWS), weight += g->kernel[ROWS]) {
            const idx row = window_row(g, o, k);
            if (row < 0) continue;
            for (idx tap = 0; tap < g->kernel[ROWS]; tap++) {
                const idx at = o[ROWS] * g->stride[ROWS] + window_shift(g, tap);
                if (at < 0 || at >= g->in[ROWS]) continue;
                const int32_t x = quant_get(c->x->data, c->x->dtype, channel * plane + row + at) - c->x_zero;
                sum = quant_mul_add(sum, x, quant_get(c->w->data, c->w->dtype, weight + tap) - w_zero);
            }
        }
    }
    return sum;
}

/* Statement(s) with SUM for each output AT of channel M, in order. */
#define FOR_SUMS(c, w_zeros, ...)                                                                                      \
    do {                                                                                                               \
        const idx plane_ = count((c).window.out, SPATIAL), by_ = (w_zeros) && elements(w_zeros) > 1;                   \
        idx AT = 0;                                                                                                    \
        for (idx n_ = 0; n_ < (c).batch; n_++)                                                                         \
            for (idx M = 0; M < (c).out_channels; M++) {                                                               \
                const int32_t zero_ = quant_zero(w_zeros, M * by_);                                                    \
                idx o_[RANK] = {0};                                                                                    \
                for (idx p_ = 0; p_ < plane_; p_++, AT++, advance(o_, (c).window.out, SPATIAL)) {                      \
                    const int32_t SUM = conv_sum(&(c), n_, M, o_, zero_);                                              \
                    __VA_ARGS__                                                                                        \
                }                                                                                                      \
            }                                                                                                          \
    } while (0)

static inline conv_integer conv_of(const mcc_arg *x, const mcc_arg *w, const mcc_arg *zero, int64_t groups) {
    conv_integer c = {.x = x, .w = w, .batch = dim(x, 0), .in_channels = dim(x, 1), .out_channels = dim(w, 0)};
    c.groups = (idx)groups;
    c.x_zero = quant_zero(zero, 0);
    return c;
}

int ref_ConvInteger(const mcc_arg *a, const mcc_attr *at) {
    const attrs_ConvInteger *p = (const attrs_ConvInteger *)at;
    const mcc_arg *w = &a[1], *zeros = input(a, at, 3), *y = output(a, at, 0);
    conv_integer c = conv_of(&a[0], w, input(a, at, 2), p->group);
    window_fill(&c.window, &a[0], y, w->dims + 2, &p->pads, &p->strides, &p->dilations);
    window_auto_pad(&c.window, p->auto_pad);
    if (elements(y) == 0) return MCC_OK;
    int32_t *out = y->data;
    FOR_SUMS(c, zeros, out[AT] = SUM;);
    return MCC_OK;
}

int ref_QLinearConv(const mcc_arg *a, const mcc_attr *at) {
    const attrs_QLinearConv *p = (const attrs_QLinearConv *)at;
    const mcc_arg *w = &a[3], *scales = &a[4], *zeros = &a[5], *bias = input(a, at, 8), *y = output(a, at, 0);
    conv_integer c = conv_of(&a[0], w, &a[2], p->group);
    window_fill(&c.window, &a[0], y, w->dims + 2, &p->pads, &p->strides, &p->dilations);
    window_auto_pad(&c.window, p->auto_pad);
    if (elements(y) == 0) return MCC_OK;
    const int32_t y_zero = quant_zero(&a[7], 0);
    const idx by = elements(scales) > 1;
    FOR_SUMS(c, zeros, {
        const float scale = scale_ratio(scale_get(&a[1], 0), scale_get(scales, M * by), scale_get(&a[6], 0));
        const int32_t acc = quant_mul_add(SUM, bias ? quant_get(bias->data, MCC_I32, M) : 0, 1);
        quant_set(y->data, y->dtype, AT, quant_round((float)acc * scale, y_zero, y->dtype));
    });
    return MCC_OK;
}
