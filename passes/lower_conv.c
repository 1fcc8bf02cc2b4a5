/* Conv and ConvTranspose with constant weights as mcc.BlockConv and mcc.BlockDepthwise: which of them, in which blocks,
 * with which tile, and their weights packed for it. */
#include "passes/lower.h"

enum { PLAIN_CHANNELS = 4 }; /* more are brought into blocks first */

static bool is_constant_f32(const Value *v) { return v && v->constant && v->constant->dtype == DT_F32; }

static bool read_convolution(Layout *l, Node *n, Convolution *c, NarrowWeights *narrow) {
    *c = (Convolution){.l = l, .n = n, .transposed = n->op == OP_ConvTranspose, .groups = node_int(n, "group")};
    const Value *x = n->in[0], *w = n->in[1], *bias = node_in(n, 2);
    int64_t channels, dims[MCC_MAX_RANK];
    if (!value_is_f32(x) || x->type.rank + 1 > MCC_MAX_RANK || (bias && !is_constant_f32(bias))) return false;
    if (narrow_weights_read(n, l->target, narrow)) c->narrow = narrow;
    if ((!c->narrow && !is_constant_f32(w)) || !value_static_dims(w, dims)) return false;
    if (!dim_is_const(x->type.dims[1], &channels) || !window_fixed(n, dims + 2, &c->window)) return false;
    c->channels = channels / c->groups;
    c->cols = c->transposed ? dims[1] : dims[0] / c->groups;
    for (int i = 0; i < c->window.n; i++)
        if (c->window.kernel[i] < 1) return false;
    return c->channels > 0 && c->cols > 0;
}

/* every output place is one product of one input place: the kernel is as long as its stride, nothing is cut off or
 * added */
static bool is_tiling(const Convolution *c) {
    const FixedWindow *w = &c->window;
    const int64_t *unused;
    if (c->groups != 1 || node_ints(c->n, "output_shape", &unused)) return false;
    int more = node_ints(c->n, "output_padding", &unused);
    for (int i = 0; i < w->n; i++)
        if (w->kernel[i] != w->stride[i] || w->dilation[i] != 1 || w->begin[i] || w->end[i] || (more && unused[i]))
            return false;
    return true;
}

static bool is_depthwise(const Convolution *c) {
    return !c->transposed && c->groups > 1 && c->channels == 1 && c->cols == 1;
}

static int64_t taps_of(const Convolution *c) {
    int64_t taps = 1;
    for (int i = 0; i < c->window.n; i++) taps *= c->window.kernel[i];
    return taps;
}

static bool is_pointwise(const Convolution *c) {
    const FixedWindow *w = &c->window;
    for (int i = 0; i < w->n; i++)
        if (w->kernel[i] != 1 || w->stride[i] != 1 || w->begin[i] || w->end[i]) return false;
    return true;
}

Value *packed_bias(const Convolution *c, int block) {
    Value *bias = node_in(c->n, 2);
    return bias ? pack_channels(c->l->g, bias, 1, 0, block) : NULL;
}

/* the work along a row; dims that are not known count as 0 */
static Work work_of(const Convolution *c, int in_block, int out_block) {
    const Type *y = c->transposed ? &c->n->in[0]->type : &c->n->out[0]->type;
    Work w = {.lanes = out_block,
              .group = {c->cols, c->channels, c->groups, in_block},
              .cols = c->cols * c->groups,
              .taps = c->transposed ? 1 : taps_of(c)};
    w.rows = 1;
    bool known = dim_is_const(y->dims[y->rank - 1], &w.row), flat = is_pointwise(c) && !c->transposed;
    if (!known) w.row = 0;
    for (int i = 2; i < y->rank - 1; i++) {
        int64_t n;
        bool is = dim_is_const(y->dims[i], &n);
        if (flat) w.row = is ? w.row * n : 0;
        else w.rows = is ? w.rows * n : 0;
    }
    return w;
}

static Weights weights_of(const Convolution *c, int in_block) {
    int64_t taps = taps_of(c);
    Weights w = {.data = c->n->in[1]->constant->data,
                 .group = {c->cols, c->channels, c->groups, in_block},
                 .cols = c->cols * c->groups,
                 .phases = 1,
                 .taps = taps,
                 .tap = 1,
                 .scale = 1};
    w.out = c->transposed ? taps : c->channels * taps;
    w.in = c->transposed ? c->cols * taps : taps;
    if (c->transposed) w.phases = taps, w.phase = 1, w.taps = 1;
    return w;
}

void set_tile(Node *made, const TileChoice *t) {
    node_set_int(made, "rows", t->rows);
    node_set_int(made, "vecs", t->vecs);
    node_set_int(made, "unroll", t->unroll);
    node_set_int(made, "run", t->run);
}

/* false: a dim is not known */
static bool layer_of(const Convolution *c, int in_block, int out_block, Layer *l) {
    const FixedWindow *w = &c->window;
    const Type *x = &c->n->in[0]->type;
    *l = (Layer){.kind = c->transposed     ? LAYER_TRANSPOSED
                         : is_depthwise(c) ? LAYER_DEPTHWISE
                                           : LAYER_CONV,
                 .channels = c->channels,
                 .cols = c->cols,
                 .group = c->groups,
                 .spatial = w->n,
                 .in_block = in_block,
                 .out_block = out_block};
    for (int i = 0; i < w->n; i++) {
        l->kernel[i] = w->kernel[i], l->stride[i] = w->stride[i], l->dilation[i] = w->dilation[i];
        l->begin[i] = w->begin[i], l->end[i] = w->end[i];
        if (!dim_is_const(x->dims[2 + i], &l->space[i]) || l->space[i] < 1) return false;
    }
    return dim_is_const(x->dims[0], &l->batch) && l->batch > 0;
}

static Value *packed_weights(const Convolution *c, int in_block, const TileChoice *tile) {
    if (c->narrow) {
        Grouping g = {c->cols, c->channels, c->groups, in_block};
        NarrowPacking p = {c->narrow, g, taps_of(c), tile->lanes, tile->vecs};
        return pack_narrow(c->l->g, &p);
    }
    Weights w = weights_of(c, in_block);
    return pack_weights(c->l->g, &w, tile, false);
}

static Node *lower_direct(const Convolution *c, Value *x, int in_block, int out_block, const TileChoice *tile) {
    Layout *l = c->l;
    Value *in[3] = {x, packed_weights(c, in_block, tile), packed_bias(c, out_block)};
    Node *made = replace_blocked(l, c->n, OP_BlockConv, in, 3, out_block);
    window_set(made, &c->window);
    node_set_int(made, "group", c->groups);
    node_set_int(made, "transposed", c->transposed);
    node_set_int(made, "in_channels", c->channels);
    node_set_int(made, "out_channels", c->cols);
    node_set_int(made, "in_block", in_block);
    set_tile(made, tile);
    if (c->narrow) set_narrow(made, c->narrow);
    return made;
}

/* as the entry says; NULL: it cannot be done */
static Node *lower_tuned(const Convolution *c, Value *x, int in_block, int out_block, const Work *work,
                         const TuningEntry *e) {
    const PassCtx *p = c->l->pass;
    TileChoice tile;
    bool forced = (p->winograd == WINOGRAD_F2 || p->winograd == WINOGRAD_F4) && winograd_possible(c, in_block);
    Node *made = NULL;
    if (e->choice.form != FORM_DIRECT) made = lower_winograd_as(c, x, in_block, out_block, &e->choice);
    else if (!forced && tile_tuned(p->target, work, &e->choice, &tile))
        made = lower_direct(c, x, in_block, out_block, &tile);
    if (!made) tuning_refuse(p, c->n, e, "the layer's form or tile is not possible with this target and these options");
    return made;
}

static void note_dense(const Convolution *c, const Layer *layer, const Work *work, const Node *made) {
    enum { TILES = 8 };
    const PassCtx *p = c->l->pass;
    TileChoice tiles[TILES];
    int n = tile_list(p->target, work, tiles, TILES);
    LayerNote *note =
        layer_note(p->notes, layer, made, (double)layer->batch * tile_choice_cycles(p->target, work, &tiles[0]));
    if (!note) return;
    winograd_candidates(c, layer->in_block, layer->out_block, note);
    for (int i = 0; i < n && p->winograd < WINOGRAD_F2; i++)
        layer_candidate(note, FORM_DIRECT, tiles[i].rows, tiles[i].vecs, tiles[i].unroll, tiles[i].run);
}

static void lower_dense(Convolution *c, Value *x, int in_block, int out_block) {
    const PassCtx *p = c->l->pass;
    Work work = work_of(c, in_block, out_block);
    TileChoice tile = tile_choose(p->target, &work);
    Layer layer;
    if (c->narrow) { /* direct alone: Winograd would need other weights */
        lower_direct(c, x, in_block, out_block, &tile);
        return;
    }
    bool known = layer_of(c, in_block, out_block, &layer);
    const TuningEntry *e = known ? tuning_find(p, &layer) : NULL;
    Node *made = e ? lower_tuned(c, x, in_block, out_block, &work, e) : NULL;
    if (!made) made = lower_winograd(c, x, in_block, out_block, tile_choice_cycles(p->target, &work, &tile));
    if (!made) made = lower_direct(c, x, in_block, out_block, &tile);
    if (known && p->notes) note_dense(c, &layer, &work, made);
}

/* [channel][taps] in blocks: [block][taps][b] */
static Value *packed_taps(const Convolution *c, int block) {
    if (c->narrow) {
        NarrowPacking p = {c->narrow, {c->groups, 1, 1, 1}, taps_of(c), block, 1};
        return pack_narrow(c->l->g, &p);
    }
    int64_t taps = taps_of(c), channels = c->groups, dims[3] = {(channels + block - 1) / block, taps, block};
    const float *from = c->n->in[1]->constant->data;
    Tensor *t = tensor_packed(c->l->g, DT_F32, 3, dims);
    float *to = (float *)t->data;
    for (int64_t i = 0; i < channels; i++)
        for (int64_t k = 0; k < taps; k++) to[(i / block * taps + k) * block + i % block] = from[i * taps + k];
    return value_of_tensor(c->l->g, t);
}

/* the places of a row in one tile */
static int depthwise_rows(const Convolution *c, const Layer *layer, int64_t row) {
    const PassCtx *p = c->l->pass;
    int64_t kernel = c->window.kernel[c->window.n - 1];
    const TuningEntry *e = layer ? tuning_find(p, layer) : NULL;
    if (e) {
        const LayerChoice *t = &e->choice;
        bool good = t->form == FORM_DIRECT && t->vecs <= 1 && !t->unroll && !t->run;
        if (good && t->rows <= channel_rows_most(p->target, kernel) && t->rows <= row)
            return t->rows ? (int)t->rows : channel_rows(p->target, row, kernel);
        tuning_refuse(p, c->n, e, "a depthwise layer has no such tile on this target");
    }
    return channel_rows(p->target, row, kernel);
}

static void note_depthwise(const Convolution *c, const Layer *layer, const Node *made) {
    const PassCtx *p = c->l->pass;
    const Type *y = &c->n->out[0]->type;
    double vectors = (double)layer->batch * (double)layer->group / layer->out_block;
    for (int i = 2; i < y->rank; i++) vectors *= (double)y->dims[i]->value;
    LayerNote *note =
        layer_note(p->notes, layer, made, vectors * (double)taps_of(c) * vector_cycles(p->target, layer->out_block));
    int64_t chosen = node_int(made, "rows"), row = y->dims[y->rank - 1]->value,
            most = channel_rows_most(p->target, c->window.kernel[c->window.n - 1]);
    /* those that waste few places, and the neighbours of the model's */
    for (int64_t r = 1; note && r <= most && r <= row; r++)
        if ((row + r - 1) / r * r <= row + row / 8 || r == chosen - 1 || r == chosen + 1)
            layer_candidate(note, FORM_DIRECT, r, 0, 0, 0);
}

static void lower_depthwise(Convolution *c) {
    Layout *l = c->l;
    Value *x = want_vectors(l, c->n->in[0], c->n);
    const Type *y = &c->n->out[0]->type;
    int64_t row = 0;
    int block = block_of(x);
    if (!dim_is_const(y->dims[y->rank - 1], &row)) row = 0;
    Layer layer;
    bool known = layer_of(c, block, block, &layer) && row > 0;
    int rows = depthwise_rows(c, known ? &layer : NULL, row);
    Value *in[3] = {x, packed_taps(c, block), packed_bias(c, block)};
    Node *made = replace_blocked(l, c->n, OP_BlockDepthwise, in, 3, block);
    window_set(made, &c->window);
    node_set_int(made, "rows", rows);
    if (c->narrow) set_narrow(made, c->narrow);
    if (known && l->pass->notes) note_depthwise(c, &layer, made);
}

/* up to so many channels are read where they lie */
static bool reads_plain(const Convolution *c) { return c->groups == 1 && c->channels <= PLAIN_CHANNELS; }

double dense_conv_cycles(Layout *l, Node *n) {
    Convolution c;
    NarrowWeights narrow;
    if (!read_convolution(l, n, &c, &narrow) || c.transposed || is_depthwise(&c)) return 0;
    int in_block = reads_plain(&c) ? 1 : channel_block(l->target, c.channels * c.groups),
        out_block = channel_block(l->target, c.cols * c.groups);
    Work work = work_of(&c, in_block, out_block);
    TileChoice tile = tile_choose(l->target, &work);
    return winograd_cycles(&c, in_block, out_block, tile_choice_cycles(l->target, &work, &tile));
}

bool lower_conv(Layout *l, Node *n) {
    Convolution c;
    NarrowWeights narrow;
    if (!read_convolution(l, n, &c, &narrow)) return false;
    if (c.transposed && !is_tiling(&c)) return false;
    if (is_depthwise(&c)) {
        lower_depthwise(&c);
        return true;
    }
    Value *x = n->in[0];
    int out_block = channel_block(l->target, c.cols * c.groups);
    bool plain = !twin_of(l, x) && reads_plain(&c);
    if (!plain) x = want_vectors(l, x, n);
    lower_dense(&c, x, plain ? 1 : block_of(x), out_block);
    return true;
}

double conv_cycles(const PassCtx *p, Node *n, double direct) {
    Layout l = {.ctx = p->ctx, .target = p->target, .pass = p};
    Convolution c;
    NarrowWeights narrow;
    if (!read_convolution(&l, n, &c, &narrow)) return direct;
    return winograd_cycles(&c, channel_block(p->target, c.channels), channel_block(p->target, c.cols), direct);
}
