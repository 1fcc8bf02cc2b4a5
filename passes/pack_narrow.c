/* Narrow weights of convolutions in the order in which their kernels expand them, that of pack_weights: by panel of
 * columns the scales, the zero points where they differ, and by step the codes of its columns. Codes have no sign; of 4
 * bits, the first half of a vector's lanes are the low halves of its bytes. Columns of other groups than a step's
 * channel, and those behind the last, get weights of 0. */
#include <string.h>
#include "passes/lower.h"

static bool has_codes(const NarrowWeights *w) { return w->scale; }

static int64_t code_bias(const NarrowWeights *w) {
    return w->codes->dtype == DT_I4 ? 8 : w->codes->dtype == DT_I8 ? 128 : 0;
}

static bool has_zeros(const NarrowWeights *w) {
    int64_t n;
    if (!w->zero || w->one_scale || !product_i64(w->zero->dims, w->zero->rank, &n)) return false;
    for (int64_t i = 1; i < n; i++)
        if (tensor_int(w->zero, i) != tensor_int(w->zero, 0)) return true;
    return false;
}

static NarrowForm form_of(const NarrowWeights *w) {
    int bits = dtype_bits(w->codes->dtype);
    NarrowForm f = {.codes = bits == 4 ? DT_U4 : bits == 8 ? DT_U8 : w->codes->dtype, .block = w->block};
    f.groups = has_codes(w) ? w->groups : 0;
    f.zeros = has_zeros(w);
    return f;
}

void set_narrow(Node *made, const NarrowWeights *w) {
    NarrowForm f = form_of(w);
    node_set_int(made, "weights", f.codes);
    node_set_int(made, "block", f.groups ? f.block : 0);
    node_set_int(made, "zeros", f.zeros);
    node_set_int(made, "zero", has_codes(w) ? narrow_zero(w, 0, 0) + code_bias(w) : 0);
}

/* what is stored for a column at a channel and tap */
static uint16_t code_at(const NarrowPacking *p, int64_t col, int64_t channel, int64_t tap) {
    const NarrowWeights *w = p->w;
    const Grouping *g = &p->group;
    bool exists = col < w->channels, own = exists && channel / g->channels == col / g->cols;
    int64_t k = channel % g->channels * p->taps + tap, at = col * w->depth + k;
    if (!has_codes(w)) return own ? ((const uint16_t *)w->codes->data)[at] : 0;
    if (!exists) return 0; /* its scale is 0 */
    return (uint16_t)(code_bias(w) + (own ? tensor_int(w->codes, at) : narrow_zero(w, col, k)));
}

static void store_step(const NarrowPacking *p, const NarrowForm *f, int64_t col, int64_t n, int64_t channel,
                       int64_t tap, uint8_t *to) {
    int64_t half = p->lanes / 2;
    for (int64_t i = 0; i < n; i++) {
        uint16_t code = code_at(p, col + i, channel, tap);
        int64_t lane = i % p->lanes;
        if (f->codes == DT_U8) to[i] = (uint8_t)code;
        else if (f->codes != DT_U4) memcpy(to + 2 * i, &code, 2);
        else {
            uint8_t *byte = to + (i - lane) / 2 + lane % half;
            *byte = (uint8_t)(*byte | code << (lane < half ? 0 : 4));
        }
    }
}

/* What stands behind them is returned. */
static uint8_t *store_numbers(const NarrowPacking *p, const NarrowForm *f, int64_t col, int64_t n, uint8_t *to) {
    uint8_t *zeros = to + f->groups * n * 4;
    for (int64_t i = 0; i < f->groups * n; i++) {
        int64_t c = col + i % n, k = i / n * f->block;
        if (c >= p->w->channels) continue;
        float scale = narrow_scale(p->w, c, k);
        memcpy(to + 4 * i, &scale, 4);
        if (f->zeros) zeros[i] = (uint8_t)(narrow_zero(p->w, c, k) + code_bias(p->w));
    }
    return zeros + (f->zeros ? f->groups * n : 0);
}

static int64_t panel_steps(const NarrowPacking *p, int64_t col, int64_t n) {
    return range_channels(&p->group, panel_blocks(&p->group, col, n)) * p->taps;
}

static void store_panel(const NarrowPacking *p, const NarrowForm *f, int64_t col, int64_t n, uint8_t *to) {
    const Grouping *g = &p->group;
    BlockRange r = panel_blocks(g, col, n);
    int64_t all = g->channels * g->groups, step = n * dtype_bits(f->codes) / 8;
    to = store_numbers(p, f, col, n, to);
    for (int64_t b = r.first; b < r.first + r.count; b++)
        for (int64_t k = 0; k < p->taps; k++)
            for (int64_t c = b * g->block; c < (b + 1) * g->block && c < all; c++, to += step)
                store_step(p, f, col, n, c, k, to);
}

Value *pack_narrow(Graph *g, const NarrowPacking *p) {
    NarrowForm f = form_of(p->w);
    int64_t end = (p->w->channels + p->lanes - 1) / p->lanes * p->lanes, wide = (int64_t)p->vecs * p->lanes, bytes = 0;
    for (int64_t col = 0; col < end; col += wide) {
        int64_t n = end - col < wide ? end - col : wide;
        bytes += narrow_panel_bytes(&f, n, panel_steps(p, col, n));
    }
    Tensor *t = tensor_packed(g, DT_U8, 1, &bytes);
    uint8_t *to = (uint8_t *)t->data;
    for (int64_t col = 0; col < end; col += wide) {
        int64_t n = end - col < wide ? end - col : wide;
        store_panel(p, &f, col, n, to);
        to += narrow_panel_bytes(&f, n, panel_steps(p, col, n));
    }
    return value_of_tensor(g, t);
}
