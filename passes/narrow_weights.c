/* Which weights of Conv stay narrow in the object: codes of 4 or 8 bits behind a DequantizeLinear, or floats of 16 bits
 * behind a Cast. The kernel expands a panel of them just before the pixels that use it. Every pass that would make a
 * constant of them asks here. */
#include "passes/internal.h"
#include "passes/lower.h"

static bool is_f32_or_absent(const Value *v) { return !v || (v->constant && v->constant->dtype == DT_F32); }

/* constant now, or as soon as it is folded */
static bool will_be_constant(const Value *v) {
    if (!v || v->constant) return true;
    for (int i = 0; v->def && i < v->def->n_in; i++)
        if (v->def->in[i] && !v->def->in[i]->constant) return false;
    return v->def != NULL;
}

static bool read_scales(const Node *dq, NarrowWeights *w) {
    if (!node_in(dq, 1) || !is_f32_or_absent(dq->in[1])) return false;
    const Value *zero = node_in(dq, 2);
    const Tensor *s = w->scale = dq->in[1]->constant;
    if (zero && (!zero->constant || zero->constant->dtype != w->codes->dtype)) return false;
    w->zero = zero ? zero->constant : NULL;
    w->block = w->depth;
    w->groups = 1;
    w->one_scale = s->rank == 0 || (s->rank == 1 && s->dims[0] == 1);
    if (w->one_scale) return true;
    int64_t axis = axis_of(node_int(dq, "axis"), w->codes->rank), block = node_int(dq, "block_size");
    if (s->rank == 1) return axis == 0 && s->dims[0] == w->channels;
    if (w->codes->rank != 2 || s->rank != 2 || axis != 1 || block <= 0) return false;
    w->block = block;
    w->groups = s->dims[1];
    return s->dims[0] == w->channels && w->groups == (w->depth + block - 1) / block;
}

/* the weights' dims are w's [channels, …] */
static bool read_codes(const Value *v, NarrowWeights *w) {
    while (v->def && op_has(v->def->op, OP_VIEW)) v = v->def->in[0];
    const Node *n = v->def;
    if (!n || n->n_in < 1 || !n->in[0] || !n->in[0]->constant || v->type.dtype != DT_F32) return false;
    w->codes = n->in[0]->constant;
    Dtype t = w->codes->dtype;
    if (w->codes->rank < 1 || w->codes->dims[0] != w->channels) return false;
    if (n->op == OP_Cast) return (t == DT_F16 || t == DT_BF16) && narrow_finite(w->codes);
    if (n->op != OP_DequantizeLinear || (t != DT_I4 && t != DT_U4 && t != DT_I8 && t != DT_U8)) return false;
    return read_scales(n, w);
}

static bool saves_bytes(const NarrowWeights *w) {
    int64_t numbers = w->groups * (w->zero ? 5 : 4);
    return w->depth * dtype_bits(w->codes->dtype) / 8 + numbers < w->depth * 4;
}

static bool is_lowered(const Node *conv, const Target *t, const int64_t *dims) {
    FixedWindow window;
    int64_t channels;
    const Value *x = conv->in[0], *bias = node_in(conv, 2);
    if (!t || tile_for_any(t).lanes < 4 || !value_is_f32(x) || x->constant || x->type.rank + 1 > MCC_MAX_RANK)
        return false;
    if (!will_be_constant(bias)) return false;
    if (!dim_is_const(x->type.dims[1], &channels) || channels < 1 || !window_fixed(conv, dims + 2, &window))
        return false;
    for (int i = 0; i < window.n; i++)
        if (window.kernel[i] < 1) return false;
    return true;
}

bool narrow_weights_read(const Node *conv, const Target *t, NarrowWeights *w) {
    int64_t dims[MCC_MAX_RANK], count;
    const Value *v = conv->op == OP_Conv ? conv->in[1] : NULL;
    *w = (NarrowWeights){0};
    if (!v || !value_is_f32(v) || !value_static_dims(v, dims) || !product_i64(dims, v->type.rank, &count) || count == 0)
        return false;
    w->channels = dims[0];
    w->depth = count / dims[0];
    if (!is_lowered(conv, t, dims) || !read_codes(v, w) || !saves_bytes(w)) return false;
    return !value_def(conv->in[0], OP_DequantizeLinear) || !w->scale ||
           w->groups > 1; /* else for integers throughout */
}

static int64_t place(const NarrowWeights *w, int64_t channel, int64_t k) {
    return w->one_scale ? 0 : channel * w->groups + k / w->block;
}

float narrow_scale(const NarrowWeights *w, int64_t channel, int64_t k) {
    return ((const float *)w->scale->data)[place(w, channel, k)];
}

int64_t narrow_zero(const NarrowWeights *w, int64_t channel, int64_t k) {
    return w->zero ? tensor_int(w->zero, place(w, channel, k)) : 0;
}
