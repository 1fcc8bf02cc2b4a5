/* ConvTranspose with constant weights -> Conv of stride 1 and Transpose: output place q · stride + phase is a sum over
 * the inputs q, q - 1, … of the weights phase, phase + stride, …, so that each phase is a channel of a convolution over
 * the input, and the phases are interleaved as DepthToSpace does. What pads cut off becomes fewer pads of the Conv
 * where it is whole strides, a Slice where it is not. An elementwise operator behind it, of one number an element,
 * comes before the phases are interleaved.
 * A kernel as long as its stride stays where nothing is quantized: the blocked layout has a form for it in floats
 * (lower_conv.c). On an axis of size 1 the stride does not count, and becomes that. */
#include "passes/build.h"

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

static bool read_transposed(Node *n, Transposed *t) {
    *t = (Transposed){.n = n, .axes = n->in[0]->type.rank - 2, .groups = node_int(n, "group"), .phases = 1};
    const Tensor *w = n->in[1]->constant, *bias = node_in(n, 2) ? n->in[2]->constant : NULL;
    int64_t ins;
    if (t->axes < 1 || t->axes > MOST_AXES || !w || w->dtype != DT_F32 || (node_in(n, 2) && !bias) ||
        value_has_data_dims(n->in[0]))
        return false;
    ins = w->dims[0];
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

/* [group][in][out][kernel] as [group][out][phase][in][taps]; NULL: there is no room */
static Value *phase_weights(const Transposed *t, Rewrite *r) {
    const Tensor *w = t->n->in[1]->constant;
    int64_t dims[MCC_MAX_RANK] = {0, t->ins}, taps = 1, kernel = 1, size;
    for (int i = 0; i < t->axes; i++) {
        dims[2 + i] = t->axis[i].taps;
        if (!mul_i64(taps, t->axis[i].taps, &taps)) return NULL;
        kernel *= t->axis[i].kernel;
    }
    if (!mul_i64(t->groups * t->outs, t->phases, &dims[0]) || !product_i64(dims, 2 + t->axes, &size) ||
        !fold_fits(r->ctx, DT_F32, size))
        return NULL;
    Tensor *made = tensor_new(r->g, DT_F32, 2 + t->axes, dims);
    if (!made) return NULL;
    float *to = (float *)made->data;
    const float *from = w->data;
    for (int64_t i = 0; i < t->phases * taps; i++) {
        int64_t p = i / taps, k = i % taps, place = place_of(t, p, k);
        for (int64_t c = 0; place >= 0 && c < t->groups * t->outs * t->ins; c++) {
            int64_t in = c % t->ins, out = c / t->ins, group = out / t->outs;
            to[((out * t->phases + p) * t->ins + in) * taps + k] =
                from[((group * t->ins + in) * t->outs + out % t->outs) * kernel + place];
        }
    }
    return value_of_tensor(r->g, made);
}

static Value *phase_bias(const Transposed *t, Rewrite *r) {
    const Tensor *bias = t->n->in[2]->constant;
    int64_t n = t->groups * t->outs * t->phases;
    Tensor *made = tensor_new(r->g, DT_F32, 1, &n);
    if (!made) return NULL;
    for (int64_t i = 0; i < n; i++) ((float *)made->data)[i] = ((const float *)bias->data)[i / t->phases];
    return value_of_tensor(r->g, made);
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
    Value *weights = phase_weights(t, r), *bias = weights && node_in(t->n, 2) ? phase_bias(t, r) : NULL;
    if (!weights || (node_in(t->n, 2) && !bias)) return;
    Value *y = convolution(t, &b, weights, bias);
    if (last != t->n) y = of_each(&b, last, y);
    build_output(&b, 0, cut(t, &b, interleave(t, &b, y)));
    build_end(&b);
}

bool pass_split_transposed(Graph *g, PassCtx *p) {
    Rewrite r;
    Transposed t;
    bool changed = false;
    if (p->canonical_only && !p->quantizes)
        return false;                         /* channels are pruned through a ConvTranspose, not through phases */
    for (int round = 0; round < 2; round++) { /* first those with an elementwise operator behind them */
        rewrite_begin(&r, g);
        for (Node *n; (n = rewrite_next(&r));) {
            Node *made = round || !is_of_each(n) ? n : value_only_def(n->in[0], OP_ConvTranspose);
            if (!made || made->op != OP_ConvTranspose || (!round && made == n) || !read_transposed(made, &t)) continue;
            if (is_tiling(&t) && !p->quantizes) set_strides(&t);
            else split_transposed(&r, &t, n);
        }
        changed = rewrite_end(&r) || changed;
    }
    return changed;
}
