/* ConvInteger and MatMulInteger with constant weights as mcc.BlockConv, mcc.BlockDepthwise and mcc.PackedMatMul on
 * bytes. Four channels, or rows of a matrix, are one step of the tiles, an int32 of four bytes. What the zero point of
 * the input would subtract is known from the weights: it goes into the bias, and for taps that fall into the padding,
 * which count as the zero point itself, back in by a table of taps. Weights less their zero points must be s8. Where
 * the target multiplies bytes of the other signedness alone, the kernel turns their highest bits, which moves the zero
 * point by 128. Groups whose channels are no multiple of 4 are taken together until they are. */
#include "passes/internal.h"
#include "passes/lower.h"

enum { STEP = 4, HALF = 128 };

static bool is_byte(Dtype t) { return t == DT_U8 || t == DT_I8; }
static bool is_single(const Tensor *t) { return t->bytes == 1; }
static int32_t add_wrapped(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }
static int32_t mul_wrapped(int32_t a, int32_t b) { return (int32_t)((uint32_t)a * (uint32_t)b); }

int32_t integer_weight(const IntegerWeights *w, int64_t col, int64_t channel, int64_t tap) {
    int64_t at = col * w->out + channel * w->in + tap * w->tap;
    int32_t zero = w->zero ? (int32_t)tensor_int(w->zero, is_single(w->zero) ? 0 : col) : 0;
    int32_t v = w->w->dtype == DT_U8 ? ((const uint8_t *)w->w->data)[at] : ((const int8_t *)w->w->data)[at];
    return v - zero;
}

/* bytes of a constant zero point, NULL where there is none; false: not constant */
static bool read_zero(const Value *v, const Tensor **zero) {
    *zero = v ? v->constant : NULL;
    return !v || v->constant;
}

bool weights_fit_s8(const IntegerWeights *w) {
    for (int64_t col = 0; col < w->cols * w->groups; col++)
        for (int64_t c = 0; c < w->channels; c++)
            for (int64_t k = 0; k < w->taps; k++) {
                int32_t v = integer_weight(w, col, c, k);
                if (v < -HALF || v >= HALF) return false;
            }
    return true;
}

static int32_t tap_sum(const IntegerWeights *w, int64_t col, int64_t tap) {
    int32_t sum = 0;
    for (int64_t c = 0; c < w->channels; c++) sum = add_wrapped(sum, integer_weight(w, col, c, tap));
    return sum;
}

void integer_column_sums(const IntegerWeights *w, int32_t *sums) {
    for (int64_t col = 0; col < w->cols * w->groups; col++) {
        sums[col] = 0;
        for (int64_t k = 0; k < w->taps; k++) sums[col] = add_wrapped(sums[col], tap_sum(w, col, k));
    }
}

int32_t integer_zero(const Target *t, int lanes, Dtype x, int32_t zero) {
    if (!dot_flips(dot_form(t, lanes), x == DT_I8)) return zero;
    return x == DT_I8 ? zero + HALF : zero - HALF;
}

Value *integer_bias(Graph *g, const IntegerWeights *w, int64_t cols, int32_t zero, bool border) {
    int64_t dims[2] = {border ? 1 + w->taps : 1, cols};
    Tensor *t = tensor_packed(g, DT_I32, 2, dims);
    int32_t *to = (int32_t *)t->data;
    for (int64_t col = 0; col < w->cols * w->groups; col++)
        for (int64_t k = 0; k < w->taps; k++) {
            int32_t sum = mul_wrapped(zero, tap_sum(w, col, k));
            to[col] = add_wrapped(to[col], mul_wrapped(-1, sum));
            if (border) to[(1 + k) * cols + col] = sum;
        }
    return value_of_tensor(g, t);
}

/* ---- convolutions ---- */

bool integer_conv_read(Layout *l, Node *n, IntegerConv *c) {
    const Value *x = n->in[0], *w = n->in[1];
    const Tensor *zero;
    int64_t channels;
    *c = (IntegerConv){.l = l, .n = n};
    if (!is_byte(x->type.dtype) || x->constant || x->type.rank + 1 > MCC_MAX_RANK || !w->constant ||
        !is_byte(w->constant->dtype) || !dim_is_const(x->type.dims[1], &channels) ||
        !window_fixed(n, w->constant->dims + 2, &c->window) || !read_zero(node_in(n, 2), &zero) ||
        !read_zero(node_in(n, 3), &c->w.zero))
        return false;
    if (zero && !is_single(zero)) return false;
    c->zero = zero ? (int32_t)tensor_int(zero, 0) : 0;
    int64_t taps = 1, groups = node_int(n, "group");
    for (int i = 0; i < c->window.n; i++) {
        taps *= c->window.kernel[i];
        c->padded = c->padded || c->window.begin[i] || c->window.end[i];
    }
    c->w.w = w->constant;
    c->w.taps = taps;
    c->w.tap = 1;
    c->w.groups = groups;
    c->w.channels = channels / groups;
    c->w.cols = w->constant->dims[0] / groups;
    c->w.in = taps;
    c->w.out = c->w.channels * taps;
    return taps > 0 && c->w.channels > 0 && c->w.cols > 0 && weights_fit_s8(&c->w);
}

/* groups that make whole steps together, counted in steps */
static Grouping grouping_of(const IntegerWeights *w, int block) {
    int64_t together = 1;
    while (w->channels * together % STEP) together++;
    if (w->groups % together) together = w->groups;
    return (Grouping){w->cols * together, (w->channels * together + STEP - 1) / STEP, w->groups / together,
                      block / STEP};
}

static bool is_pointwise(const FixedWindow *w) {
    for (int i = 0; i < w->n; i++)
        if (w->kernel[i] != 1 || w->stride[i] != 1 || w->begin[i] || w->end[i]) return false;
    return true;
}

static Work work_of(const IntegerConv *c, Grouping group, int out_block) {
    const Type *y = &c->n->out[0]->type;
    Work w = {.lanes = out_block, .group = group, .cols = c->w.cols * c->w.groups, .taps = c->w.taps, .rows = 1};
    bool flat = is_pointwise(&c->window);
    if (!dim_is_const(y->dims[y->rank - 1], &w.row)) w.row = 0;
    for (int i = 2; i < y->rank - 1; i++) {
        int64_t n;
        bool known = dim_is_const(y->dims[i], &n);
        int64_t *into = flat ? &w.row : &w.rows;
        *into = known ? *into * n : 0;
    }
    return w;
}

static void lower_dense(IntegerConv *c) {
    Layout *l = c->l;
    Value *x = want_blocked(l, c->n->in[0], c->n, 0);
    int64_t cols = c->w.cols * c->w.groups;
    int block = channel_block(l->target, cols);
    Grouping group = grouping_of(&c->w, block_of(x));
    Work work = work_of(c, group, block);
    work.dot = dot_form(l->target, block);
    TileChoice tile = tile_choose(l->target, &work);
    if (lower_sparse_integer(c, x, tile_choice_cycles(l->target, &work, &tile))) return;
    Weights w = {.phases = 1, .cols = cols, .taps = c->w.taps, .group = group, .integers = &c->w};
    int32_t zero = integer_zero(l->target, block, x->type.dtype, c->zero);
    bool border = zero && c->padded;
    Value *in[3] = {x, pack_weights(l->g, &w, &tile, false),
                    integer_bias(l->g, &c->w, (cols + block - 1) / block * block, zero, border)};
    Node *made = replace_blocked(l, c->n, OP_BlockConv, in, 3, block);
    window_set(made, &c->window);
    node_set_int(made, "group", group.groups);
    node_set_int(made, "in_channels", group.channels);
    node_set_int(made, "out_channels", group.cols);
    node_set_int(made, "in_block", group.block);
    node_set_int(made, "border", border);
    set_tile(made, &tile);
}

/* bytes: tap 0 of those from `tap` on stands at byte `shift` */
static int32_t tap_quad(const IntegerConv *c, int64_t channel, int64_t tap, int64_t kernel, int64_t shift) {
    uint32_t quad = 0;
    for (int64_t i = 0; i < TAP_QUAD; i++)
        if (i >= shift && i - shift < kernel) quad |= ((uint32_t)integer_weight(&c->w, channel, 0, tap + i - shift) & 255) << 8 * i;
    return (int32_t)quad;
}

/* [channel][taps] in blocks: [block][taps][b], of int32; or as quads, [block][rows of taps][shifts][b] */
static Value *packed_taps(const IntegerConv *c, int block, const TapQuads *quads) {
    int64_t taps = c->w.taps, channels = c->w.groups, shifts[TAP_QUAD_SHIFTS], n = quads->step ? tap_quads_shifts(quads, shifts) : 0;
    int64_t all = n ? taps / quads->kernel * n : taps, dims[3] = {(channels + block - 1) / block, all, block};
    Tensor *t = tensor_packed(c->l->g, DT_I32, 3, dims);
    for (int64_t i = 0; i < channels; i++) {
        int32_t *to = (int32_t *)t->data + i / block * all * block + i % block;
        for (int64_t k = 0; !n && k < taps; k++, to += block) *to = integer_weight(&c->w, i, 0, k);
        for (int64_t k = 0; n && k < taps; k += quads->kernel)
            for (int64_t s = 0; s < n; s++, to += block) *to = tap_quad(c, i, k, quads->kernel, shifts[s]);
    }
    return value_of_tensor(c->l->g, t);
}

/* step 0: the target does not multiply so, or the window does not suit */
static TapQuads quads_of(const IntegerConv *c, int block, int rows) {
    int last = c->window.n - 1;
    TapQuads q = {c->window.stride[last], c->window.kernel[last], 0};
    DotForm dot = dot_form(c->l->target, block);
    if (block == TAP_QUAD && (dot == DOT_SIGNED || dot == DOT_MIXED) && tap_quads_possible(q.stride, c->window.dilation[last], q.kernel))
        q.step = tap_quads_step(q.stride, q.kernel, rows);
    return q;
}

static void lower_depthwise(IntegerConv *c) {
    Layout *l = c->l;
    Value *x = want_blocked(l, c->n->in[0], c->n, 0);
    const Type *y = &c->n->out[0]->type;
    int block = block_of(x);
    int64_t row = 0, channels = c->w.groups;
    if (!dim_is_const(y->dims[y->rank - 1], &row)) row = 0;
    int rows = channel_rows(l->target, row, c->window.kernel[c->window.n - 1]);
    TapQuads quads = quads_of(c, block, rows);
    int32_t zero = quads.step ? integer_zero(l->target, block, x->type.dtype, c->zero) : c->zero;
    bool border = zero && c->padded;
    Value *in[3] = {x, packed_taps(c, block, &quads),
                    integer_bias(l->g, &c->w, (channels + block - 1) / block * block, zero, border)};
    Node *made = replace_blocked(l, c->n, OP_BlockDepthwise, in, 3, block);
    window_set(made, &c->window);
    node_set_int(made, "rows", rows);
    node_set_int(made, "border", border);
    node_set_int(made, "quads", quads.step);
    node_set_int(made, "outside", quads.step ? c->zero : 0);
}

bool lower_conv_integer(Layout *l, Node *n) {
    IntegerConv c;
    if (!integer_conv_read(l, n, &c)) return false;
    bool depthwise = c.w.groups > 1 && c.w.channels == 1 && c.w.cols == 1, pixels = target_has_pixels(l->target);
    if (depthwise) (pixels ? lower_pixel_depthwise : lower_depthwise)(&c);
    else (pixels ? lower_pixel_conv : lower_dense)(&c);
    return true;
}

/* ---- what is added to the sums ---- */

static bool sums_integers(const Node *n) {
    bool sums = n->op == OP_BlockConv || n->op == OP_SparseBlockConv || n->op == OP_BlockDepthwise || n->op == OP_PackedMatMul || n->op == OP_SparseMatMul || n->op == OP_PixelConv ||
                n->op == OP_PixelDepthwise;
    return sums && !n->body && n->out[0]->type.dtype == DT_I32;
}

bool integer_bias_add(Node *made, const Value *v, const Value *like, int axis) {
    Step s;
    int64_t columns;
    if (!sums_integers(made) || !v->constant || v->type.dtype != DT_I32 || v->type.rank > like->type.rank ||
        !step_constant(v, like, &s) || (s.axis >= 0 && s.axis != axis) ||
        !dim_is_const(like->type.dims[axis], &columns))
        return false;
    int32_t *to = (int32_t *)made->in[2]->constant->data;
    for (int64_t i = 0; i < columns; i++) to[i] = add_wrapped(to[i], (int32_t)tensor_int(s.c, s.axis < 0 ? 0 : i));
    return true;
}

bool lower_bias_integer(Layout *l, Node *n) {
    for (int i = 0; i < 2 && n->op == OP_Add; i++) {
        Value *x = n->in[i], *twin = twin_of(l, x);
        if (!twin || !twin->def || x->n_uses != 1 || !value_same_dims(x, n->out[0])) continue;
        if (!integer_bias_add(twin->def, n->in[!i], x, 1)) continue;
        l->twin[n->out[0]->id] = twin;
        n->out[0]->def = NULL; /* until somebody wants it plain */
        node_remove(n);
        return true;
    }
    return false;
}
