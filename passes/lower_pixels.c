/* Integer convolutions, products and pools for processors of 32 bits without vectors: mcc.PixelConv, mcc.PixelDepthwise
 * and mcc.PixelPool, on values whose channels are one block, so that the taps of a row are one run of bytes. */
#include "passes/lower.h"

enum { STEP = 4 };

bool target_has_pixels(const Target *t) { return sparse_entries(t); }

Value *want_one_block(Layout *l, Value *plain, Node *before) {
    return want_blocked(l, plain, before, (int)plain->type.dims[1]->value);
}

/* [group][panel of columns][step][column][4]: the bytes of a window, tap by tap, zeros behind the last */
static Value *packed(Graph *g, const IntegerWeights *w, int64_t cols) {
    int64_t depth = (w->taps * w->channels + STEP - 1) / STEP * STEP, panels = (w->cols + cols - 1) / cols;
    int64_t dims[4] = {w->groups, panels, depth, cols};
    Tensor *t = tensor_packed(g, DT_I8, 4, dims);
    int8_t *to = (int8_t *)t->data;
    for (int64_t p = 0; p < w->groups * panels; p++, to += depth * cols)
        for (int64_t i = 0; i < w->taps * w->channels; i++)
            for (int64_t c = 0; c < cols; c++) {
                int64_t own = p % panels * cols;
                if (own > w->cols - cols) own = w->cols - cols; /* the last panel overlaps its neighbour */
                to[(i / STEP * cols + c) * STEP + i % STEP] =
                    (int8_t)integer_weight(w, p / panels * w->cols + own + c, i % w->channels, i / w->channels);
            }
    return value_of_tensor(g, t);
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* pixels: 0, not known */
static int64_t columns_of(const IntegerWeights *w, int64_t pixels) { return least(pixels == 1 ? 4 : 2, w->cols); }

static int64_t pixels_of(const Value *y) {
    int64_t all = 1, n;
    for (int i = 0; i < y->type.rank; i++)
        if (i != 1 && (!dim_is_const(y->type.dims[i], &n) || !mul_i64(all, n, &all))) return 0;
    return all;
}

typedef struct PixelForm {
    int64_t pixels; /* 0: not known */
    bool sparse;
    PixelEntries entries;
} PixelForm;

static PixelForm form_of(const PassCtx *ctx, const Node *n, const IntegerWeights *w, int64_t pixels, bool copied) {
    PixelForm f = {.pixels = pixels};
    f.sparse = pixel_entries_choose(ctx, n, w, pixels, copied, &f.entries);
    return f;
}

static Value *weights_of(Graph *g, const IntegerWeights *w, const PixelForm *f) {
    return f->sparse ? pixel_entries(g, w, &f->entries) : packed(g, w, columns_of(w, f->pixels));
}

static void set_tile_of(Node *made, const IntegerWeights *w, const PixelForm *f) {
    node_set_int(made, "in_channels", w->channels);
    node_set_int(made, "group", w->groups);
    node_set_int(made, "rows", f->sparse ? f->entries.rows : f->pixels == 1 ? 1 : 2);
    node_set_int(made, "cols", f->sparse ? 1 : columns_of(w, f->pixels));
    node_set_int(made, "unit", f->sparse ? f->entries.unit : 0);
}

static bool is_copied(const IntegerConv *c) {
    for (int i = 0; i < c->window.n; i++)
        if (c->window.kernel[i] != 1 || c->window.stride[i] != 1) return true;
    return c->padded;
}

void lower_pixel_conv(IntegerConv *c) {
    Layout *l = c->l;
    int64_t cols = c->w.cols * c->w.groups;
    PixelForm form = form_of(l->pass, c->n, &c->w, pixels_of(c->n->out[0]), is_copied(c));
    Value *in[3] = {want_one_block(l, c->n->in[0], c->n), weights_of(l->g, &c->w, &form),
                    integer_bias(l->g, &c->w, cols, c->zero, false)};
    Node *made = replace_blocked(l, c->n, OP_PixelConv, in, 3, (int)cols);
    window_set(made, &c->window);
    set_tile_of(made, &c->w, &form);
    node_set_int(made, "zero", c->zero);
}

/* [taps][channels] */
static Value *packed_taps(Graph *g, const IntegerWeights *w) {
    int64_t dims[2] = {w->taps, w->groups};
    Tensor *t = tensor_packed(g, DT_I8, 2, dims);
    for (int64_t k = 0; k < w->taps; k++)
        for (int64_t i = 0; i < w->groups; i++)
            ((int8_t *)t->data)[k * w->groups + i] = (int8_t)integer_weight(w, i, 0, k);
    return value_of_tensor(g, t);
}

void lower_pixel_depthwise(IntegerConv *c) {
    Layout *l = c->l;
    Value *in[3] = {want_one_block(l, c->n->in[0], c->n), packed_taps(l->g, &c->w),
                    integer_bias(l->g, &c->w, c->w.groups, 0, false)};
    Node *made = replace_blocked(l, c->n, OP_PixelDepthwise, in, 3, (int)c->w.groups);
    window_set(made, &c->window);
    node_set_int(made, "zero", c->zero);
}

static void replace_pool(Layout *l, Node *n, Value *x, const FixedWindow *w, bool mean, int64_t zero) {
    Node *made = replace_blocked(l, n, OP_PixelPool, &x, 1, block_of(x));
    window_set(made, w);
    node_set_int(made, "mean", mean);
    node_set_int(made, "zero", zero);
}

static bool largest_bytes(Layout *l, Node *n) {
    FixedWindow w;
    if (n->op != OP_MaxPool || !window_fixed(n, NULL, &w)) return false;
    replace_pool(l, n, want_one_block(l, n->in[0], n), &w, false, 0);
    return true;
}

/* the window of all of space, where its size is known */
static bool whole_window(const Type *x, FixedWindow *w) {
    *w = (FixedWindow){.n = x->rank - 2};
    if (w->n < 1 || w->n > 3) return false;
    for (int i = 0; i < w->n; i++) {
        w->stride[i] = w->dilation[i] = 1;
        if (!dim_is_const(x->dims[2 + i], &w->kernel[i]) || w->kernel[i] < 1) return false;
    }
    return true;
}

static bool mean_window(const Node *n, FixedWindow *w) {
    if (n->op != OP_AveragePool) return whole_window(&n->in[0]->type, w);
    if (!window_fixed(n, NULL, w)) return false;
    for (int i = 0; i < w->n; i++)
        if (w->begin[i] || w->end[i]) return false;
    return !node_int(n, "ceil_mode");
}

/* are its integers, and their sums over the window, what f32 holds? */
static bool sums_are_exact(const FixedWindow *w) {
    int64_t most = 255;
    for (int i = 0; i < w->n; i++)
        if (!mul_i64(most, w->kernel[i], &most)) return false;
    return most <= 1 << 24;
}

static bool mean_of_bytes(Layout *l, Node *n, const Value *x) {
    FixedWindow w;
    const Node *d = x->def;
    if (!d || d->op != OP_DequantizeLinear || !node_is_elementwise(d)) return false;
    Value *codes = d->in[0];
    const Tensor *scale = d->in[1]->constant, *zero = node_in(d, 2) ? d->in[2]->constant : NULL;
    bool bytes = codes->type.dtype == DT_U8 || codes->type.dtype == DT_I8;
    if (!bytes || !scale || tensor_float(scale, 0) != 1 || (node_in(d, 2) && !zero)) return false;
    if (!dim_is(n->in[0]->type.dims[1], block_of(codes)) || !mean_window(n, &w) || !sums_are_exact(&w)) return false;
    replace_pool(l, n, codes, &w, true, zero ? tensor_int(zero, 0) : 0);
    return true;
}

bool lower_pixel_pool(Layout *l, Node *n, const Value *x, bool mean) {
    if (!value_is_f32(x)) return largest_bytes(l, n);
    return mean && mean_of_bytes(l, n, x);
}

Node *pixel_product(Graph *g, const PassCtx *ctx, Node *before, const IntegerRows *p) {
    PixelForm form = form_of(ctx, before, p->w, p->rows, false);
    Value *in[3] = {p->x, weights_of(g, p->w, &form), integer_bias(g, p->w, p->w->cols, p->zero, false)};
    Node *made = node_new(g, OP_PixelConv, before, in, 3, 1);
    set_tile_of(made, p->w, &form);
    return made;
}
