/* mcc.GpuConv: output channels by pixels. Columns of the right matrix are the windows of pixels, those of all images
 * one after the other; without a window they are the planes of an image as they lie. Groups are batches, and images too
 * where they are matrices by themselves. */
#include "codegen/gpu_tile.h"

typedef struct Conv {
    GpuTask t;
    const Node *n;
    int spatial;
    bool plain; /* each image is a matrix */
    int64_t groups, cols, channels, padded, taps;
    LLVMValueRef pixels, images, group, image; /* i64; the last two: this block's */
} Conv;

static int64_t const_of(Dim d) {
    int64_t v = 0;
    bool is = dim_is_const(d, &v);
    assert(is);
    (void)is;
    return v;
}

int64_t gpu_conv_taps(const Node *n) {
    const int64_t *kernel;
    int64_t taps = 1;
    for (int i = node_ints(n, "kernel_shape", &kernel) - 1; i >= 0; i--) taps *= kernel[i];
    return taps;
}

static int64_t cols_of(const Node *n) { return const_of(n->out[0]->type.dims[1]) / node_int(n, "group"); }
static int64_t channels_of(const Node *n) { return const_of(n->in[0]->type.dims[1]) / node_int(n, "group"); }

static bool has_window(const Node *n) {
    int spatial = n->in[0]->type.rank - 2;
    bool window = gpu_conv_taps(n) != 1;
    for (int i = 0; i < spatial; i++)
        window = window || node_int_at(n, "strides", i, 1) != 1 || node_int_at(n, "pads", i, 0) ||
                 node_int_at(n, "pads", spatial + i, 0);
    return window;
}

/* bytes come four channels at a time, as windows do; so do channels that are filled up */
static bool is_plain(const Node *n) {
    return !has_window(n) && node_int(n, "math") != GPU_BYTES && node_int(n, "padded") == channels_of(n);
}

static Dim pixels_of(Ctx *ctx, const Node *n) {
    const Type *y = &n->out[0]->type;
    return dim_product(ctx, y->dims + 2, y->rank - 2);
}

static bool fits(const CodeOptions *o, const Node *n) {
    (void)o;
    return n->op == OP_GpuConv && node_int(n, "tile") != GPU_NO_TILE;
}

static void geometry(Ctx *ctx, const CodeOptions *o, const Node *n, int launch, GpuGeometry *out) {
    GpuTile t = gpu_node_tile(o->target, n);
    Dim cols = pixels_of(ctx, n), batches = dim_const(ctx, node_int(n, "group")), images = n->out[0]->type.dims[0];
    if (is_plain(n)) batches = dim_mul(ctx, batches, images);
    else cols = dim_mul(ctx, cols, images);
    gpu_geometry(ctx, n, &t, launch, dim_const(ctx, cols_of(n)), cols, batches, out);
}

/* ---- operands ---- */

static void fill_weights(Conv *c) {
    GpuTask *t = &c->t;
    Kernel *k = t->k;
    GpuSide *s = &t->side[0];
    const Value *w = c->n->in[1];
    int64_t lines = const_of(w->type.dims[1]), wide = const_of(w->type.dims[2]);
    GpuPlace p = gpu_place(k, w, k->in[1], i_scale(k, c->group, lines * wide), GPU_ALIGN);
    s->dtype = w->type.dtype;
    s->base = p.base;
    s->along_depth = t->tile->math != GPU_FMA;
    s->outer = gpu_index(t, s->along_depth ? wide : 1);
    s->step = gpu_index(t, s->along_depth ? 1 : wide);
    s->unit = gpu_unit(t, s->dtype, p.align, gpu_index(t, wide), gpu_index(t, wide));
    s->count = gpu_index(t, s->along_depth ? c->cols : wide); /* filled up: rows beyond cols are there to be loaded */
}

/* elements between places of v along a dim of the output; 0 where it stands still */
typedef struct Steps {
    LLVMValueRef image, channel, pixel;
} Steps;

static Steps steps_of(Conv *c, const Value *v, const Value *like) {
    Kernel *k = c->t.k;
    LLVMValueRef strides[MCC_MAX_RANK];
    operand_strides(k, v, like, strides);
    bool moves = false;
    int shift = like->type.rank - v->type.rank;
    for (int d = shift > 2 ? shift : 2; d < like->type.rank; d++) moves = moves || !dim_is(v->type.dims[d - shift], 1);
    return (Steps){strides[0], strides[1], gen_i64(k->gen, moves)};
}

static GpuWindow *window_of(Conv *c) {
    GpuTask *t = &c->t;
    Kernel *k = t->k;
    const Node *n = c->n;
    GpuWindow *w = ARENA_NEW(k->gen->ctx->arena, GpuWindow);
    *w = (GpuWindow){.channels = c->channels, .padded = c->padded, .fill = (int)node_int(n, "zero")};
    for (int i = 0; i < 3; i++) {
        int at = i - (3 - c->spatial);
        bool used = at >= 0;
        w->kernel[i] = used ? node_int_at(n, "kernel_shape", at, 1) : 1;
        w->stride[i] = used ? node_int_at(n, "strides", at, 1) : 1;
        w->dilation[i] = used ? node_int_at(n, "dilations", at, 1) : 1;
        w->pad[i] = used ? node_int_at(n, "pads", at, 0) : 0;
        w->in[i] = used ? gpu_as_index(t, kernel_dim(k, n->in[0]->type.dims[2 + at])) : gpu_index(t, 1);
        w->out[i] = used ? gpu_as_index(t, kernel_dim(k, n->out[0]->type.dims[2 + at])) : gpu_index(t, 1);
        w->padded_map = w->padded_map || w->pad[i] || (used && node_int_at(n, "pads", c->spatial + at, 0));
    }
    w->image = gpu_as_index(t, steps_of(c, n->in[0], n->in[0]).image);
    return w;
}

static void fill_input(Conv *c) {
    GpuTask *t = &c->t;
    Kernel *k = t->k;
    GpuSide *s = &t->side[1];
    const Value *x = c->n->in[0];
    Steps x_steps = steps_of(c, x, x);
    LLVMValueRef first = i_mul(k, i_scale(k, c->group, c->channels), x_steps.channel),
                 steps[2] = {x_steps.channel, x_steps.image};
    if (c->plain) first = i_add(k, first, i_mul(k, c->image, x_steps.image));
    GpuPlace p = gpu_place(k, x, k->in[0], first, gpu_multiple(steps, 2));
    s->dtype = x->type.dtype;
    s->base = p.base;
    s->along_depth = false;
    s->outer = gpu_index(t, 1);
    s->step = gpu_as_index(t, x_steps.channel);
    s->unit = t->tile->math == GPU_BYTES ? 4 : 1;
    if (c->plain) s->unit = gpu_unit(t, s->dtype, p.align, s->count, s->step);
    else s->window = window_of(c);
    s->along_depth = t->tile->math == GPU_BYTES;
}

/* ---- results ---- */

static GpuPlace place_of(Conv *c, const Value *v, LLVMValueRef pointer) {
    GpuTask *t = &c->t;
    Kernel *k = t->k;
    Steps s = steps_of(c, v, c->n->out[0]);
    LLVMValueRef first = i_mul(k, i_scale(k, c->group, c->cols), s.channel), steps[2] = {s.channel, s.image};
    if (c->plain) first = i_add(k, first, i_mul(k, c->image, s.image));
    GpuPlace p = gpu_place(k, v, pointer, first, gpu_multiple(steps, 2));
    p.row = gpu_as_index(t, s.channel);
    p.col = gpu_as_index(t, s.pixel);
    p.batch = c->plain ? gpu_index(t, 0) : gpu_as_index(t, s.image);
    return p;
}

static void store(Conv *c, GpuTilePlace at) {
    GpuTask *t = &c->t;
    Kernel *k = t->k;
    const Node *n = c->n;
    int own = gpu_own_inputs(n);
    GpuStore s = {.body = n->body, .sum = gpu_accumulator(n), .rows = gpu_index(t, c->cols), .cols = t->side[1].count};
    if (!c->plain && !dim_is(n->out[0]->type.dims[0], 1)) s.pixels = gpu_as_index(t, c->pixels);
    s.out = place_of(c, n->out[0], k->out[0]);
    if (t->tile->split > 1) {
        s.out = gpu_partial_place(t, &s.out, at.part);
        s.sum = s.out.dtype;
        s.body = NULL;
    }
    s.operands = ARENA_ARRAY(k->gen->ctx->arena, n->n_in, GpuPlace);
    for (int i = own; i < n->n_in && s.body; i++) s.operands[i - own] = place_of(c, n->in[i], k->in[i]);
    gpu_task_store(t, &s);
}

static void place_block(Conv *c, LLVMValueRef batch) {
    Kernel *k = c->t.k;
    LLVMValueRef groups = gen_i64(k->gen, c->groups);
    c->group = c->groups == 1 ? gen_i64(k->gen, 0) : LLVMBuildURem(k->b, batch, groups, "");
    c->image = c->groups == 1 ? batch : LLVMBuildUDiv(k->b, batch, groups, "");
}

static bool emit(Kernel *k, int launch) {
    const Node *n = k->node;
    GpuTile tile = gpu_node_tile(k->gen->target, n);
    if (launch) {
        gpu_add_partials(k, &tile);
        LLVMBuildRetVoid(k->b);
        return true;
    }
    Conv c = {.n = n, .spatial = n->in[0]->type.rank - 2, .plain = is_plain(n), .groups = node_int(n, "group")};
    GpuTask *t = &c.t;
    c.cols = cols_of(n);
    c.channels = channels_of(n);
    c.padded = node_int(n, "padded");
    c.taps = gpu_conv_taps(n);
    gpu_task_begin(t, k, &tile);
    c.pixels = kernel_dims(k, n->out[0]->type.dims + 2, c.spatial);
    c.images = kernel_dim(k, n->out[0]->type.dims[0]);
    t->depth = gpu_index(t, c.taps * c.padded);
    t->side[0].count = gpu_index(t, c.cols);
    t->side[1].count = gpu_as_index(t, c.plain ? c.pixels : i_mul(k, c.pixels, c.images));
    LLVMValueRef groups = gen_i64(k->gen, c.groups);
    GpuTilePlace at = gpu_tile_place(t, c.plain ? i_mul(k, groups, c.images) : groups);
    place_block(&c, at.batch);
    If there = if_begin(k, gpu_tile_there(t, &at));
    fill_weights(&c);
    fill_input(&c);
    gpu_task_sum(t);
    store(&c, at);
    if_end(k, &there);
    LLVMBuildRetVoid(k->b);
    return true;
}

const GpuForm gpu_conv = {.form = "convolution",
                          .fits = fits,
                          .launches = gpu_launches,
                          .geometry = geometry,
                          .emit = emit,
                          .scratch = gpu_partial_bytes};
