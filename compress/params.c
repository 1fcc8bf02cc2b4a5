/* Scales and zero points: of activations from their range, of weights from the largest of each channel.
 *   q = clamp(rint(x / scale) + zero),  x ≈ (q - zero) · scale */
#include "compress/quantize.h"
#include <float.h>
#include <math.h>

/* Scales beyond these would let their products leave float32. */
static const double least_scale = 0x1p-50, largest_scale = 0x1p60;
/* A bias may fill half of int32; sums of products have the other half. */
static const double most_bias = 0x1p30;

bool quant_activations_signed(const QuantOptions *o) {
    return o->symmetric || (o->runs_on && dot_flips(o->runs_on->dot, false));
}

void quant_set_range(Ctx *ctx, QuantTensor *t, Range r, bool symmetric) {
    if (t->looked_up) r = quant_range_read(t->looked_up, r);
    double scale = symmetric ? fmax(-r.low, r.high) / 127 : (r.high - r.low) / 255;
    t->known = true;
    t->scale = 1;
    t->zero = 0;
    if (!(scale > 0)) {
        diag_warn(ctx, "calibration", NULL, "tensor '%s' is 0 in all samples: its scale is taken to be 1", t->name);
        return;
    }
    if (scale < least_scale || scale > largest_scale) {
        diag_warn(ctx, "calibration", NULL, "tensor '%s' has a range of %g … %g: its scale is bounded", t->name, r.low,
                  r.high);
        scale = scale < least_scale ? least_scale : largest_scale;
    }
    t->scale = (float)scale;
    if (!symmetric) t->zero = (int)fmin(fmax(rint(-r.low / (double)t->scale), 0), 255);
}

static float channel_largest(const float *w, WeightShape s, int64_t channel) {
    float most = 0;
    for (int64_t o = 0; o < s.outer; o++) {
        const float *row = w + (o * s.channels + channel) * s.inner;
        for (int64_t i = 0; i < s.inner; i++) {
            if (!isfinite(row[i])) return INFINITY;
            most = fmaxf(most, fabsf(row[i]));
        }
    }
    return most;
}

static void round_channel(const float *w, WeightShape s, int64_t channel, float scale, int8_t *out) {
    for (int64_t o = 0; o < s.outer; o++) {
        int64_t at = (o * s.channels + channel) * s.inner;
        for (int64_t i = at; i < at + s.inner; i++) out[i] = (int8_t)fminf(fmaxf(rintf(w[i] / scale), -127), 127);
    }
}

bool quant_weights(const float *w, WeightShape s, const float *bias, float sums, int8_t *out, float *scales) {
    for (int64_t c = 0; c < s.channels; c++) {
        double most = (double)channel_largest(w, s, c), scale = most / 127, b = bias ? fabs((double)bias[c]) : 0;
        if (!isfinite(most) || !isfinite(b)) return false;
        /* a channel of zeros has its bias alone: 24 bits of it */
        if (most == 0) scale = b > 0 ? b / (double)sums * 0x1p-24 : 1;
        scale = fmax(scale, b / (double)sums / most_bias);
        scales[c] = (float)fmax(scale, least_scale);
        if (!isfinite(scales[c]) || !isnormal(scales[c] * sums)) return false;
        round_channel(w, s, c, scales[c], out);
    }
    return true;
}

bool quant_bias(const float *bias, int64_t n, float sums, const float *scales, int32_t *out, float *bias_scales) {
    for (int64_t c = 0; c < n; c++) {
        bias_scales[c] = sums * scales[c];
        double q = rint((double)bias[c] / (double)bias_scales[c]);
        if (!(fabs(q) <= 2 * most_bias - 1)) return false;
        out[c] = (int32_t)q;
    }
    return true;
}
