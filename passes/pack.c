/* Constants in the order in which kernels read them: weights by panel of columns, per-channel constants in blocks. */
#include <string.h>
#include "passes/lower.h"

bool value_is_f32(const Value *v) { return v && v->type.kind == TYPE_TENSOR && v->type.dtype == DT_F32; }

Tensor *tensor_packed(Graph *g, int rank, const int64_t *dims) {
    int64_t n;
    size_t bytes;
    if (!product_i64(dims, rank, &n) || !dtype_bytes(DT_F32, n, &bytes)) mem_fail(g->ctx, SIZE_MAX);
    Tensor *t = ARENA_NEW(g->arena, Tensor);
    *t = (Tensor){.dtype = DT_F32, .rank = rank, .bytes = bytes, .data = arena_alloc(g->arena, bytes + 1)};
    memcpy(t->dims, dims, sizeof *dims * (size_t)rank);
    return t;
}

/* `n` columns from `col` on of one panel: [blocks][taps][channels of the block][n] */
static float *pack_panel(const Weights *w, const float *from, int64_t col, int64_t n, int64_t block, float *to) {
    for (int64_t c0 = 0; c0 < w->channels; c0 += block)
        for (int64_t k = 0; k < w->taps; k++)
            for (int64_t c = c0; c < c0 + block && c < w->channels; c++, to += n) {
                const float *at = from + c * w->in + k * w->tap + col * w->out;
                int64_t there = col + n <= w->cols ? n : w->cols - col;
                for (int64_t i = 0; i < there; i++) to[i] = at[i * w->out] * w->scale;
            }
    return to;
}

Value *pack_weights(Graph *g, const Weights *w, const TileChoice *t, int64_t block, bool overlap) {
    int64_t wide = (int64_t)t->vecs * t->lanes, vectors = (w->cols + t->lanes - 1) / t->lanes;
    int64_t dims[5] = {w->phases, w->groups, vectors * t->lanes, w->taps, w->channels};
    Tensor *packed = tensor_packed(g, 5, dims);
    float *to = (float *)packed->data;
    for (int64_t p = 0; p < w->phases; p++)
        for (int64_t group = 0; group < w->groups; group++) {
            const float *from = w->data + p * w->phase + group * w->cols * w->out;
            int64_t col = 0;
            for (; col + wide <= vectors * t->lanes; col += wide) {
                int64_t at = overlap && col + wide > w->cols ? w->cols - wide : col;
                to = pack_panel(w, from, at, wide, block, to);
            }
            int64_t left = vectors * t->lanes - col;
            if (left) to = pack_panel(w, from, overlap ? w->cols - left : col, left, block, to);
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
    Tensor *packed = tensor_packed(g, rank + 1, dims);
    const float *from = t->data;
    float *to = (float *)packed->data;
    int64_t blocks = dims[axis], wide = dims[rank];
    for (int64_t b = 0; b < before; b++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t a = 0; a < after; a++)
                to[((b * blocks + c / wide) * after + a) * wide + c % wide] = from[(b * channels + c) * after + a];
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
