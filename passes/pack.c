/* Constants in the order in which kernels read them: weights by panel of columns, per-channel constants in blocks. */
#include <string.h>
#include "passes/lower.h"
#include <assert.h>

bool value_is_f32(const Value *v) { return v && v->type.kind == TYPE_TENSOR && v->type.dtype == DT_F32; }

bool value_in_blocks(const Value *v) {
    if (!v || v->type.kind != TYPE_TENSOR) return false;
    Dtype t = v->type.dtype;
    return t == DT_F32 || t == DT_I32 || t == DT_I8 || t == DT_U8;
}

Tensor *tensor_packed(Graph *g, Dtype dtype, int rank, const int64_t *dims) {
    int64_t n;
    size_t bytes;
    if (!product_i64(dims, rank, &n) || !dtype_bytes(dtype, n, &bytes)) mem_fail(g->ctx, SIZE_MAX);
    Tensor *t = ARENA_NEW(g->arena, Tensor);
    *t = (Tensor){.dtype = dtype, .rank = rank, .bytes = bytes, .data = arena_alloc(g->arena, bytes + 1)};
    if (rank) memcpy(t->dims, dims, sizeof *dims * (size_t)rank);
    return t;
}

/* four channels at one tap for n columns from `col` on: those that are of the column's group */
static void pack_bytes(const IntegerWeights *w, int64_t col, int64_t n, int64_t channel, int64_t tap, int8_t *to) {
    for (int64_t i = 0; i < n && col + i < w->cols * w->groups; i++)
        for (int64_t j = 0; j < 4; j++) {
            int64_t at = channel * 4 + j, group = (col + i) / w->cols;
            if (at / w->channels == group) to[i * 4 + j] = (int8_t)integer_weight(w, col + i, at % w->channels, tap);
        }
}

/* one channel at one tap for n columns from `col` on; zeros for columns of other groups and behind the last */
static void pack_columns(const Weights *w, const char *from, int64_t col, int64_t n, int64_t channel, int64_t tap,
                         char *to) {
    int64_t group = channel / w->group.channels, low = 0, high = n;
    if (w->integers) {
        pack_bytes(w->integers, col, n, channel, tap, (int8_t *)to);
        return;
    }
    if (w->group.groups > 1) {
        low = group * w->group.cols - col;
        high = low + w->group.cols;
    }
    if (low < 0) low = 0;
    if (high > n) high = n;
    if (high > w->cols - col) high = w->cols - col;
    int64_t first = (channel - group * w->group.channels) * w->in + tap * w->tap + col * w->out;
    if (w->half) {
        const uint16_t *at = (const uint16_t *)from + first;
        for (int64_t i = low; i < high; i++) ((uint16_t *)to)[i] = at[i * w->out];
    } else {
        const float *at = (const float *)from + first;
        for (int64_t i = low; i < high; i++) ((float *)to)[i] = at[i * w->out] * w->scale;
    }
}

static int64_t element_bytes(const Weights *w) { return w->half ? 2 : 4; }

/* two steps of n columns, a dword each, as both steps of each column */
static void pair_steps(char *two, int64_t n) {
    enum { DWORD = 4, MOST = 256 };
    char apart[2 * DWORD * MOST];
    assert(n <= MOST);
    memcpy(apart, two, (size_t)(2 * DWORD * n));
    for (int64_t i = 0; i < 2 * n; i++) memcpy(two + i * DWORD, apart + (i % 2 * n + i / 2) * DWORD, DWORD);
}

/* `n` columns from `col` on: [blocks][taps][channels of the block][n] */
static char *pack_panel(const Weights *w, const char *from, int64_t col, int64_t n, char *to) {
    char *begin = to;
    BlockRange r = panel_blocks(&w->group, col, n);
    int64_t all = w->group.channels * w->group.groups, block = w->group.block;
    for (int64_t b = r.first; b < r.first + r.count; b++)
        for (int64_t k = 0; k < w->taps; k++)
            for (int64_t c = b * block; c < (b + 1) * block && c < all; c++, to += n * element_bytes(w))
                pack_columns(w, from, col, n, c, k, to);
    for (int64_t step = n * element_bytes(w); w->pairs && begin < to; begin += 2 * step) pair_steps(begin, n);
    return to;
}

/* calls for each panel in order: full ones, and what is left */
typedef struct PanelWalk {
    int64_t col, n, end, wide;
} PanelWalk;

static PanelWalk walk_begin(const Weights *w, const TileChoice *t) {
    int64_t vectors = (w->cols + t->lanes - 1) / t->lanes;
    return (PanelWalk){.end = vectors * t->lanes, .wide = (int64_t)t->vecs * t->lanes};
}

static bool walk_next(PanelWalk *p) {
    p->col += p->n;
    p->n = p->end - p->col < p->wide ? p->end - p->col : p->wide;
    return p->n > 0;
}

static int64_t packed_elements(const Weights *w, const TileChoice *t) {
    int64_t n = 0;
    for (PanelWalk p = walk_begin(w, t); walk_next(&p);)
        n += p.n * w->taps * range_channels(&w->group, panel_blocks(&w->group, p.col, p.n));
    return n;
}

Value *pack_weights(Graph *g, const Weights *w, const TileChoice *t, bool overlap) {
    int64_t dims[2] = {w->phases, packed_elements(w, t)};
    Tensor *packed = tensor_packed(g, w->half ? w->half : DT_F32, 2, dims);
    char *to = (char *)packed->data;
    const char *from = w->data;
    for (int64_t phase = 0; phase < w->phases; phase++)
        for (PanelWalk p = walk_begin(w, t); walk_next(&p);) {
            int64_t col = overlap && p.col + p.n > w->cols ? w->cols - p.n : p.col;
            to = pack_panel(w, from ? from + phase * w->phase * element_bytes(w) : NULL, col, p.n, to);
        }
    if (w->integers) {
        packed->dtype = DT_I8;
        packed->dims[1] *= 4;
    }
    return value_of_tensor(g, packed);
}

Value *pack_channels(Graph *g, const Value *v, int rank, int axis, int block) {
    const Tensor *t = v->constant;
    int64_t dims[MCC_MAX_RANK], before = 1, after = 1;
    int shift = rank - t->rank, place = 0;
    for (int i = 0; i < rank; i++) {
        int64_t n = i < shift ? 1 : t->dims[i - shift];
        if (i < axis) before *= n;
        if (i > axis) after *= n;
        dims[i] = i == axis && n > 1 ? (n + block - 1) / block : n;
    }
    place = axis - shift;
    int64_t channels = place >= 0 ? t->dims[place] : 1;
    dims[rank] = channels > 1 ? block : 1;
    Tensor *packed = tensor_packed(g, t->dtype, rank + 1, dims);
    const char *from = t->data;
    char *to = (char *)packed->data;
    size_t element = (size_t)dtype_bits(t->dtype) / 8;
    int64_t blocks = dims[axis], wide = dims[rank];
    for (int64_t b = 0; b < before; b++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t a = 0; a < after; a++) {
                int64_t at = ((b * blocks + c / wide) * after + a) * wide + c % wide;
                memcpy(to + (size_t)at * element, from + (size_t)((b * channels + c) * after + a) * element, element);
            }
    return value_of_tensor(g, packed);
}

bool window_fixed(const Node *n, const int64_t *kernel, FixedWindow *w) {
    enum { NOTSET, SAME_UPPER, SAME_LOWER, VALID };
    const int64_t *strides, *dilations, *pads, *shape;
    int n_strides = node_ints(n, "strides", &strides), n_dilations = node_ints(n, "dilations", &dilations);
    int n_pads = node_ints(n, "pads", &pads), n_shape = node_ints(n, "kernel_shape", &shape),
        mode = node_enum(n, "auto_pad");
    *w = (FixedWindow){.n = n->in[0]->type.rank - 2};
    if (w->n < 1 || w->n > 3) return false;
    for (int i = 0; i < w->n; i++) {
        w->stride[i] = n_strides ? strides[i] : 1;
        w->dilation[i] = n_dilations ? dilations[i] : 1;
        if (!kernel && !n_shape) return false;
        w->kernel[i] = kernel ? kernel[i] : shape[i];
        if (mode == NOTSET && n_pads) w->begin[i] = pads[i], w->end[i] = pads[w->n + i];
        if (mode != SAME_UPPER && mode != SAME_LOWER) continue;
        int64_t in, out, reach = (w->kernel[i] - 1) * w->dilation[i] + 1, total = reach - 1; /* of stride 1 */
        if (w->stride[i] != 1) {
            if (!dim_is_const(n->in[0]->type.dims[2 + i], &in) || !dim_is_const(n->out[0]->type.dims[2 + i], &out))
                return false;
            total = (out - 1) * w->stride[i] + reach - in;
        }
        if (total < 0) total = 0;
        w->begin[i] = mode == SAME_UPPER ? total / 2 : total - total / 2;
        w->end[i] = total - w->begin[i];
    }
    return true;
}

void window_set(Node *n, const FixedWindow *w) {
    int64_t pads[6];
    for (int i = 0; i < w->n; i++) pads[i] = w->begin[i], pads[w->n + i] = w->end[i];
    node_set_ints(n, "kernel_shape", w->kernel, w->n);
    node_set_ints(n, "strides", w->stride, w->n);
    node_set_ints(n, "dilations", w->dilation, w->n);
    node_set_ints(n, "pads", pads, 2 * w->n);
}
