/* ConvTranspose with constant weights -> Conv of stride 1 and Transpose: output place q · stride + phase is a sum over
 * the inputs q, q - 1, … of the weights phase, phase + stride, …, so that each phase is a channel of a convolution over
 * the input, and the phases are interleaved as DepthToSpace does. What pads cut off becomes fewer pads of the Conv
 * where it is whole strides, a Slice where it is not. An elementwise operator behind it, of one number an element,
 * comes before the phases are interleaved.
 * A kernel as long as its stride stays where nothing is quantized: the blocked layout has a form for it in floats
 * (lower_conv.c). On an axis of size 1 the stride does not count, and becomes that.
 *
 * Quantized ones, of known integers behind a DequantizeLinear, are split before: there is no ConvTranspose of
 * integers. A scale for each channel becomes one for each of its phases. */
#include <string.h>
#include "passes/build.h"
#include "passes/quant.h"

enum { MOST_AXES = 3 };

typedef struct Axis {
    int64_t kernel, stride, dilation;
    int64_t reach; /* dilation · (kernel - 1) + 1 */
    int64_t begin; /* outputs that are cut off before */
    int64_t last;  /* how many there are from begin + the last input's first one on */
    int64_t taps;  /* of the Conv */
} Axis;

typedef struct Transposed {
    Node *n;
    const Tensor *weights; /* floats, or codes, which w is about */
    Quant w;
    const Tensor *bias; /* NULL: none that is known as floats */
    bool quantized;
    int axes;
    int64_t groups, ins, outs; /* channels of a group */
    int64_t phases;
    Axis axis[MOST_AXES];
} Transposed;

/* false: pads that depend on open dims, or nothing is left */
static bool read_pads(const Node *n, int axes, int i, Axis *a) {
    enum { NOTSET, SAME_UPPER, SAME_LOWER, VALID };
    int mode = node_enum(n, "auto_pad");
    int64_t in, out, more = node_int_at(n, "output_padding", i, 0), full = a->reach + more;
    if (node_int_at(n, "output_shape", i, 0) == 0 && (mode == NOTSET || mode == VALID)) {
        a->begin = mode == VALID ? 0 : node_int_at(n, "pads", i, 0);
        a->last = full - (mode == VALID ? 0 : node_int_at(n, "pads", axes + i, 0));
        return true;
    }
    if (!dim_is_const(n->in[0]->type.dims[2 + i], &in) || !dim_is_const(n->out[0]->type.dims[2 + i], &out))
        return false;
    int64_t total = (in - 1) * a->stride + full - out;
    if (total < 0) total = 0;
    a->begin = mode == SAME_UPPER ? total / 2 : total - total / 2;
    a->last = a->begin + out - (in - 1) * a->stride;
    return true;
}

static bool read_axis(const Node *n, int axes, int i, int64_t kernel, Axis *a) {
    enum { MOST = 1 << 20 }; /* of all of them, so that no product overflows */
    *a = (Axis){
        .kernel = kernel, .stride = node_int_at(n, "strides", i, 1), .dilation = node_int_at(n, "dilations", i, 1)};
    if (kernel < 1 || kernel > MOST || a->stride > MOST || a->dilation > MOST) return false;
    a->reach = a->dilation * (kernel - 1) + 1;
    if (a->reach > MOST || !read_pads(n, axes, i, a)) return false;
    if (dim_is(n->in[0]->type.dims[2 + i], 1)) a->stride = a->reach;
    a->taps = (a->reach + a->stride - 1) / a->stride;
    return a->begin >= 0 && a->begin < MOST && a->last > 0 && a->last < MOST;
}

/* Weights and bias are known. */
static bool read_shape(Transposed *t) {
    Node *n = t->n;
    const Tensor *w = t->weights;
    t->axes = n->in[0]->type.rank - 2;
    t->groups = node_int(n, "group");
    t->phases = 1;
    if (t->axes < 1 || t->axes > MOST_AXES || value_has_data_dims(n->in[0])) return false;
    int64_t ins = w->dims[0];
    t->ins = ins / t->groups;
    t->outs = w->dims[1];
    for (int i = 0; i < t->axes; i++) {
        if (dim_is(n->in[0]->type.dims[2 + i], 0) || dim_is(n->out[0]->type.dims[2 + i], 0)) return false;
        if (!read_axis(n, t->axes, i, w->dims[2 + i], &t->axis[i]) ||
            !mul_i64(t->phases, t->axis[i].stride, &t->phases))
            return false;
    }
    return ins > 0 && t->outs > 0;
}

static bool read_transposed(Node *n, Transposed *t) {
    *t = (Transposed){.n = n, .weights = n->in[1]->constant};
    t->bias = node_in(n, 2) ? n->in[2]->constant : NULL;
    if (!t->weights || t->weights->dtype != DT_F32 || (node_in(n, 2) && !t->bias)) return false;
    return read_shape(t);
}

/* Input and weights of bytes, with one scale or one for each output channel */
static bool read_quantized(Node *n, Transposed *t) {
    Quant x, bias;
    const char *why;
    *t = (Transposed){.n = n, .quantized = true};
    if (!quant_of(n->in[0], OP_DequantizeLinear, &x, &why) || !quant_of(n->in[1], OP_DequantizeLinear, &t->w, &why))
        return false;
    t->weights = t->w.codes->constant;
    if (!t->weights || dtype_bits(t->weights->dtype) != 8 || dtype_bits(x.codes->type.dtype) > 8) return false;
    if (t->w.n > 1 && (t->w.axis != 1 || t->w.n != t->weights->dims[1])) return false;
    const Value *b = node_in(n, 2);
    bool of_integers = b && quant_of(b, OP_DequantizeLinear, &bias, &why);
    t->bias = b ? b->constant : NULL;
    return (!b || t->bias || (of_integers && bias.codes->constant && dtype_bits(bias.codes->type.dtype) == 32)) &&
           read_shape(t);
}

/* one product an output place, which the blocked layout takes as it is */
static bool is_tiling(const Transposed *t) {
    for (int i = 0; i < t->axes; i++) {
        const Axis *a = &t->axis[i];
        if (a->kernel != a->stride || a->dilation != 1 || a->begin || a->last != a->stride) return false;
    }
    return t->groups == 1;
}

static void set_strides(Transposed *t) {
    int64_t strides[MOST_AXES];
    for (int i = 0; i < t->axes; i++) strides[i] = t->axis[i].stride;
    node_set_ints(t->n, "strides", strides, t->axes);
}

/* ---- weights ---- */

/* Where tap `tap` of phase `phase` lies in a kernel of the model; -1: it is a zero between or behind its weights */
static int64_t place_of(const Transposed *t, int64_t phase, int64_t tap) {
    int64_t place = 0, pitch = 1;
    for (int i = t->axes; i-- > 0;) {
        const Axis *a = &t->axis[i];
        int64_t at = phase % a->stride + a->stride * (a->taps - 1 - tap % a->taps);
        phase /= a->stride;
        tap /= a->taps;
        if (at % a->dilation || at >= a->reach) return -1;
        place += at / a->dilation * pitch;
        pitch *= a->kernel;
    }
    return place;
}

/* What stands for 0 in between is the zero point. */
static void put_weight(const Transposed *t, const Tensor *to, int64_t at, int64_t place, int64_t out) {
    uint8_t *codes = (uint8_t *)(uintptr_t)to->data;
    if (!t->quantized) ((float *)(uintptr_t)to->data)[at] = place < 0 ? 0 : ((const float *)t->weights->data)[place];
    else codes[at] = (uint8_t)(place < 0 ? quant_zero(&t->w, t->w.n == 1 ? 0 : out) : tensor_int(t->weights, place));
}

/* [group][in][out][kernel] as [group][out][phase][in][taps]; NULL: there is no room */
static Value *phase_weights(const Transposed *t, Rewrite *r) {
    int64_t dims[MCC_MAX_RANK] = {0, t->ins}, taps = 1, kernel = 1, size;
    for (int i = 0; i < t->axes; i++) {
        dims[2 + i] = t->axis[i].taps;
        if (!mul_i64(taps, t->axis[i].taps, &taps)) return NULL;
        kernel *= t->axis[i].kernel;
    }
    if (!mul_i64(t->groups * t->outs, t->phases, &dims[0]) || !product_i64(dims, 2 + t->axes, &size) ||
        !fold_fits(r->ctx, t->weights->dtype, size))
        return NULL;
    Tensor *made = tensor_new(r->g, t->weights->dtype, 2 + t->axes, dims);
    if (!made) return NULL;
    for (int64_t i = 0; i < t->phases * taps; i++) {
        int64_t p = i / taps, k = i % taps, place = place_of(t, p, k);
        for (int64_t c = 0; c < t->groups * t->outs * t->ins; c++) {
            int64_t in = c % t->ins, out = c / t->ins, group = out / t->outs;
            int64_t from = ((group * t->ins + in) * t->outs + out % t->outs) * kernel + place;
            put_weight(t, made, ((out * t->phases + p) * t->ins + in) * taps + k, place < 0 ? -1 : from, out % t->outs);
        }
    }
    return value_of_tensor(r->g, made);
}

/* [n] of any type, one for each output channel (or again for each group), for each phase of these; NULL: no room */
static Value *by_phase(const Transposed *t, Rewrite *r, const Tensor *list) {
    int64_t n = t->groups * t->outs * t->phases, have, size = dtype_bits(list->dtype) / 8;
    if (!product_i64(list->dims, list->rank, &have) || have < 1 || !fold_fits(r->ctx, list->dtype, n)) return NULL;
    Tensor *made = tensor_new(r->g, list->dtype, 1, &n);
    for (int64_t i = 0; made && i < n; i++)
        memcpy((char *)(uintptr_t)made->data + i * size, (const char *)list->data + i / t->phases % have * size,
               (size_t)size);
    return made ? value_of_tensor(r->g, made) : NULL;
}

static Value *numbers_of(const Transposed *t, Rewrite *r, const Quant *q, const Tensor *list) {
    return q->n == 1 ? value_of_tensor(r->g, list) : by_phase(t, r, list);
}

/* DequantizeLinear of codes by output channels, as q is; NULL: no room */
static Value *dequantized(const Transposed *t, Build *b, Value *codes, const Quant *q) {
    Value *in[3] = {codes};
    if (codes) in[1] = numbers_of(t, b->r, q, q->scale);
    if (in[1] && q->zero) in[2] = numbers_of(t, b->r, q, q->zero);
    if (!in[1] || (q->zero && !in[2])) return NULL;
    Node *dq = build_node(b, OP_DequantizeLinear, in, q->zero ? 3 : 2);
    if (!dq) return NULL;
    node_set_int(dq, "axis", 0);
    return build_value(b, dq);
}

static Value *split_weights(const Transposed *t, Build *b) {
    Value *w = phase_weights(t, b->r);
    return t->quantized ? dequantized(t, b, w, &t->w) : w;
}

static Value *split_bias(const Transposed *t, Build *b) {
    Quant q;
    const char *why;
    if (t->bias) return by_phase(t, b->r, t->bias);
    if (!quant_of(t->n->in[2], OP_DequantizeLinear, &q, &why)) return NULL;
    return dequantized(t, b, by_phase(t, b->r, q.codes->constant), &q);
}

/* ---- nodes ---- */

/* What is cut off behind is less than a stride, but where the Conv would need pads below zero. */
static int64_t pad_behind(const Axis *a) {
    int64_t strides = (a->last + a->stride - 1) / a->stride - 1;
    return strides > 0 ? strides : 0;
}

/* whole strides that are cut off before */
static int64_t strides_before(const Axis *a) {
    int64_t strides = a->begin / a->stride;
    return strides < a->taps - 1 ? strides : a->taps - 1;
}

static Value *convolution(const Transposed *t, Build *b, Value *weights, Value *bias) {
    Value *in[] = {t->n->in[0], weights, bias};
    int64_t taps[MOST_AXES], pads[2 * MOST_AXES];
    for (int i = 0; i < t->axes; i++) {
        const Axis *a = &t->axis[i];
        taps[i] = a->taps;
        pads[i] = a->taps - 1 - strides_before(a);
        pads[t->axes + i] = pad_behind(a);
    }
    Node *conv = build_node(b, OP_Conv, in, bias ? 3 : 2);
    if (!conv) return NULL;
    conv->name = t->n->name; /* b->at may be what follows it */
    conv->index = t->n->index;
    node_set_ints(conv, "kernel_shape", taps, t->axes);
    node_set_ints(conv, "pads", pads, 2 * t->axes);
    node_set_int(conv, "group", t->groups);
    return build_value(b, conv);
}

static Value *of_each(Build *b, const Node *n, Value *y) {
    Node *each = y ? build_node(b, n->op, n->in, n->n_in) : NULL;
    if (!each) return NULL;
    node_copy_attrs(each, n);
    rewrite_input(b->r, each, 0, y);
    return build_value(b, each);
}

/* [N, outs · phases, places…] -> [N, outs, places · stride…] */
static Value *interleave(const Transposed *t, Build *b, Value *y) {
    Ctx *ctx = b->r->ctx;
    Dim dims[2 + 2 * MOST_AXES] = {0}, whole[2 + MOST_AXES] = {0};
    int64_t perm[2 + 2 * MOST_AXES] = {0, 1};
    if (!y || t->phases == 1) return y;
    dims[0] = whole[0] = y->type.dims[0];
    dims[1] = whole[1] = dim_const(ctx, t->groups * t->outs);
    for (int i = 0; i < t->axes; i++) {
        dims[2 + i] = dim_const(ctx, t->axis[i].stride);
        dims[2 + t->axes + i] = y->type.dims[2 + i];
        whole[2 + i] = dim_mul(ctx, y->type.dims[2 + i], dims[2 + i]);
        perm[2 + 2 * i] = 2 + t->axes + i;
        perm[3 + 2 * i] = 2 + i;
    }
    y = build_transpose(b, build_view(b, y, 2 + 2 * t->axes, dims), perm);
    return build_view(b, y, 2 + t->axes, whole);
}

static Value *cut(const Transposed *t, Build *b, Value *y) {
    for (int i = 0; i < t->axes; i++) {
        const Axis *a = &t->axis[i];
        int64_t before = a->begin - strides_before(a) * a->stride, behind = (pad_behind(a) + 1) * a->stride - a->last;
        if (before || behind) y = build_slice(b, y, 2 + i, before, behind ? -behind : INT64_MAX, 1);
    }
    return y;
}

/* The node that is to be computed before the phases are interleaved: of one operand, or of numbers beside it. */
static bool is_of_each(const Node *n) {
    double number;
    if (!op_has(n->op, OP_ELEMENTWISE) || n->n_out != 1 || n->n_in < 1 || !n->in[0] || n->in[0]->constant) return false;
    for (int i = 1; i < n->n_in; i++)
        if (n->in[i] && !(n->in[i]->constant && n->in[i]->type.rank == 0 && const_splat(n->in[i], &number)))
            return false;
    return n->out[0]->type.dtype == DT_F32 && value_same_dims(n->in[0], n->out[0]);
}

/* `last` is the ConvTranspose, or what follows it and is of each element. */
static void split_transposed(Rewrite *r, Transposed *t, Node *last) {
    Build b = {.r = r, .at = last};
    Value *weights = split_weights(t, &b), *bias = weights && node_in(t->n, 2) ? split_bias(t, &b) : NULL;
    if (!weights || (node_in(t->n, 2) && !bias)) return;
    Value *y = convolution(t, &b, weights, bias);
    if (last != t->n) y = of_each(&b, last, y);
    build_output(&b, 0, cut(t, &b, interleave(t, &b, y)));
    build_end(&b);
}

/* First those with an elementwise operator behind them */
static bool split_all(Graph *g, bool (*read)(Node *, Transposed *), bool tilings) {
    Rewrite r;
    Transposed t;
    bool changed = false;
    for (int round = 0; round < 2; round++) {
        rewrite_begin(&r, g);
        for (Node *n; (n = rewrite_next(&r));) {
            Node *made = round || !is_of_each(n) ? n : value_only_def(n->in[0], OP_ConvTranspose);
            if (!made || made->op != OP_ConvTranspose || (!round && made == n) || !read(made, &t)) continue;
            if (is_tiling(&t) && !tilings) set_strides(&t);
            else split_transposed(&r, &t, n);
        }
        changed = rewrite_end(&r) || changed;
    }
    return changed;
}

bool pass_split_transposed(Graph *g, PassCtx *p) {
    if (p->canonical_only && !p->quantizes)
        return false; /* channels are pruned through a ConvTranspose, not through phases */
    return split_all(g, read_transposed, p->quantizes);
}

bool pass_split_quantized(Graph *g, PassCtx *p) {
    (void)p;
    return split_all(g, read_quantized, true);
}
