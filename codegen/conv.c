/* Convolutions and pooling in channel-blocked layout: what their types and attributes mean for the loop nest. A blocked
 * value [N, C/b, spatial…, b] has its channels in its second and last dims; a plain input [N, C, spatial…] is one whose
 * blocks are one channel wide. */
#include "codegen/contract.h"

Operand blocked_operand(Kernel *k, const Value *v, const Value *out, LLVMValueRef base, bool flat) {
    int rank = out->type.rank, spatial = rank - 3;
    LLVMValueRef strides[MCC_MAX_RANK], none = gen_i64(k->gen, 0);
    int64_t lanes = out->type.dims[rank - 1]->value;
    operand_strides(k, v, out, strides);
    Operand o = {.base = base,
                 .dtype = v->type.dtype,
                 .limit = value_limit(v),
                 .batch = strides[0],
                 .space = {none, none, none}};
    o.splat = v->type.rank == 0 || dim_is(v->type.dims[v->type.rank - 1], 1);
    o.col = o.splat && lanes > 1 ? none
                                 : i_div(k, strides[1], lanes); /* a column is a lane's worth of the block's stride */
    for (int i = 0; i < spatial && !flat; i++) o.space[3 - spatial + i] = strides[2 + i];
    if (flat) o.space[2] = operand_joint_stride(k, v, out, 2, 2 + spatial);
    return o;
}

/* ---- convolution ---- */

static void fill_window(Contraction *c, const Node *n, int spatial) {
    bool transposed = node_int(n, "transposed");
    for (int i = 0; i < 3; i++) {
        int at = i - (3 - spatial);
        bool used = at >= 0;
        int64_t stride = used ? node_int_at(n, "strides", at, 1) : 1;
        c->kernel[i] = used && !transposed ? node_int_at(n, "kernel_shape", at, 1) : 1;
        c->dilation[i] = used ? node_int_at(n, "dilations", at, 1) : 1;
        c->pad[i] = used ? node_int_at(n, "pads", at, 0) : 0;
        c->pad_end[i] = used ? node_int_at(n, "pads", spatial + at, 0) : 0;
        c->stride[i] = transposed ? 1 : stride;
        c->up[i] = transposed ? stride : 1;
    }
}

static Grouping grouping_of(const Node *n) {
    Grouping g = {.channels = node_int(n, "in_channels"), .groups = node_int(n, "group"), .block = node_int(n, "in_block")};
    const Type *y = &n->out[0]->type;
    g.cols = g.groups > 1 ? node_int(n, "out_channels") : y->dims[1]->value * y->dims[y->rank - 1]->value;
    return g;
}

/* weights of a column */
static int64_t depth_of(const Node *n) {
    const int64_t *kernel;
    int64_t depth = n->op == OP_BlockConv ? node_int(n, "in_channels") : 1;
    int rank = node_ints(n, "kernel_shape", &kernel);
    for (int i = 0; i < rank; i++) depth *= kernel[i];
    return depth;
}

static void fill_narrow(Contraction *c, const Node *n) {
    NarrowForm *f = ARENA_NEW(c->k->gen->ctx->arena, NarrowForm);
    *f = narrow_form(n, depth_of(n));
    c->stored_zero = node_int(n, "zero");
    if (f->codes != DT_F32) c->stored = f;
}

/* nothing but pixels: all of them are one row */
static bool is_pointwise(const Contraction *c) {
    for (int i = 0; i < 3; i++)
        if (c->kernel[i] != 1 || c->stride[i] != 1 || c->pad[i] || c->pad_end[i] || c->up[i] != 1) return false;
    return true;
}

static void fill_space(Contraction *c, const Node *n, int spatial, bool flat) {
    Kernel *k = c->k;
    LLVMValueRef one = gen_i64(k->gen, 1);
    const Value *x = n->in[0], *y = n->out[0];
    for (int i = 0; i < 3; i++) {
        int at = i - (3 - spatial) + 2;
        bool used = at >= 2 && !flat;
        c->in[i] = used ? kernel_dim(k, x->type.dims[at]) : one;
        c->out[i] = !used ? one : c->up[i] == 1 ? kernel_dim(k, y->type.dims[at]) : c->in[i];
    }
    if (flat) c->in[2] = c->out[2] = kernel_dims(k, y->type.dims + 2, spatial);
}

static TileKind kind_of(const Value *x) {
    return x->type.dtype == DT_U8 ? TILE_U8 : x->type.dtype == DT_I8 ? TILE_S8 : TILE_F32;
}

static void fill_input(Contraction *c, const Value *x, int spatial) {
    Kernel *k = c->k;
    LLVMValueRef pixels = kernel_dims(k, x->type.dims + 2, spatial);
    c->x_pixel = gen_i64(k->gen, c->group.block);
    c->x_block = i_scale(k, pixels, c->group.block);
    c->x_batch = i_mul(k, c->x_block, kernel_dim(k, x->type.dims[1]));
}

static void fill_ahead(Contraction *c, bool flat) {
    int64_t rows = 1, width, n;
    int64_t taps = c->kernel[0] * c->kernel[1] * c->kernel[2], steps = c->group.channels * taps;
    if (c->group.groups > 1 || !i_is_const(c->out[2], &width) || width < 1) return;
    for (int i = 0; i < 2; i++, rows *= n)
        if (!i_is_const(c->out[i], &n)) return;
    int64_t tiles = (width + c->rows - 1) / c->rows;
    if (!flat || rows > 1) tiles *= c->run && c->run < rows ? c->run : rows;
    else if (c->run && c->run < tiles) tiles = c->run;
    c->ahead =
        ahead_of_panel(c->k->gen->target, steps * c->cols * 4, steps, (int64_t)c->vecs * c->lanes, tiles, c->unroll);
}

static bool emit_conv(Kernel *k) {
    const Node *n = k->node;
    const Value *y = n->out[0];
    int rank = y->type.rank, spatial = rank - 3;
    Contraction c = {.k = k, .x = k->in[0], .w = k->in[1], .bias = k->in[2]};
    contraction_tile(&c, n);
    c.lanes = (int)y->type.dims[rank - 1]->value;
    c.cols = y->type.dims[1]->value * c.lanes;
    c.kind = kind_of(n->in[0]);
    c.x_element = c.sum = c.kind == TILE_F32 ? k->gen->f32 : k->gen->i32;
    c.border = node_int(n, "border");
    c.group = grouping_of(n);
    fill_narrow(&c, n);
    fill_window(&c, n, spatial);
    bool flat = is_pointwise(&c);
    fill_space(&c, n, spatial, flat);
    fill_input(&c, n->in[0], spatial);
    epilogue_operands(&c, n, 3, flat, blocked_operand);
    c.batch = kernel_dim(k, y->type.dims[0]);
    if (!c.stored) fill_ahead(&c, flat);
    contraction_emit(&c);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

/* elements of the kernel in space */
static double taps_of(const Node *n) {
    const int64_t *kernel;
    double taps = 1;
    int rank = node_ints(n, "kernel_shape", &kernel);
    for (int i = 0; i < rank; i++) taps *= (double)kernel[i];
    return taps;
}

static double conv_work(const Node *n) {
    const Type *y = &n->out[0]->type;
    double taps = node_int(n, "transposed") ? 1 : taps_of(n), lanes = (double)y->dims[y->rank - 1]->value;
    return largest_count(n->out[0]) / lanes * taps * (double)node_int(n, "in_channels");
}

static bool expansion_scratch(Ctx *ctx, const Node *n, size_t *bytes) {
    const Type *y = &n->out[0]->type;
    bool dense = n->op == OP_BlockConv, pool = n->op != OP_BlockDepthwise && !dense;
    Grouping one = {.cols = y->dims[y->rank - 1]->value, .channels = 1, .groups = 1, .block = 1};
    Grouping g = dense ? grouping_of(n) : one;
    (void)ctx;
    *bytes = 0;
    if (pool) return true;
    NarrowForm f = narrow_form(n, depth_of(n));
    *bytes = (size_t)expand_bytes(n, &f, &g, dense ? (int)node_int(n, "vecs") : 1, (int)one.cols);
    return true;
}

const Emitter conv_emitter = {
    .form = "blocked convolution", .emit = emit_conv, .scratch = expansion_scratch, .work = conv_work};

/* ---- depthwise convolution, pooling ---- */

static bool emit_channelwise(Kernel *k) {
    const Node *n = k->node;
    const Value *x = n->in[0], *y = n->out[0];
    int rank = y->type.rank, spatial = rank - 3;
    bool pool = n->op == OP_BlockPool;
    Contraction c = {.k = k, .x = k->in[0], .group = {1, 1, 1, 1}, .vecs = 1, .unroll = 1};
    c.combine = !pool ? COMBINE_DEPTHWISE : node_int(n, "mean") ? COMBINE_MEAN : COMBINE_MAX;
    c.w = pool ? NULL : k->in[1];
    c.bias = pool ? NULL : k->in[2];
    c.rows = (int)node_int(n, "rows");
    if (!pool) fill_narrow(&c, n);
    c.kind = kind_of(x);
    c.x_element = gen_elem_type(k->gen, x->type.dtype);
    c.sum = c.kind != TILE_F32 && !pool ? k->gen->i32 : c.x_element;
    c.border = !pool && node_int(n, "border");
    if (!pool) c.quads = node_int(n, "quads"), c.outside = (int)node_int(n, "outside");
    c.lanes = (int)y->type.dims[rank - 1]->value;
    c.cols = y->type.dims[1]->value * c.lanes;
    fill_window(&c, n, spatial);
    c.count_padding = pool && node_int(n, "count_include_pad");
    fill_space(&c, n, spatial, false);
    c.x_pixel = gen_i64(k->gen, c.lanes);
    c.x_col = kernel_dims(k, x->type.dims + 2, spatial);
    c.x_batch = i_scale(k, c.x_col, c.cols);
    c.x_block = gen_i64(k->gen, 0);
    epilogue_operands(&c, n, pool ? 1 : 3, false, blocked_operand);
    c.batch = kernel_dim(k, y->type.dims[0]);
    contraction_emit(&c);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

static double channelwise_work(const Node *n) {
    const Type *y = &n->out[0]->type;
    double vectors = largest_count(n->out[0]) / (double)y->dims[y->rank - 1]->value;
    return vectors * (taps_of(n) + 4); /* memory counts too */
}

const Emitter channelwise_emitter = {
    .form = "blocked, channel by channel", .emit = emit_channelwise, .scratch = expansion_scratch, .work = channelwise_work};
