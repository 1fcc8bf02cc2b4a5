/* mcc.SparseConv: what its matrix and planes mean for straight-line code, and the loops around it. A source is a tap of
 * an input channel, a panel PANEL pixels of the output. Chunks of panels go outermost, so that their input stays in the
 * cache while block after block of output channels reads it. */
#include "codegen/planes.h"
#include "codegen/sparse.h"

typedef struct Shape {
    PlaneWindow window;
    PlaneTaps taps;
    Plane from, to;
    int64_t rows, channels, phases, panels;
    int64_t chunk; /* panels in a call */
    bool masked, packed, copied;
    int64_t in_panels;    /* PANELS_X … */
    PlaneStreams streams; /* copied: what the code reads */
} Shape;

/* Enough panels that the code, which is read again for each chunk, is worth its way through the caches; of wide inputs
 * no more than stay in L2, where the code does not cut them. */
static int64_t chunk_of(const Target *t, const Shape *s) {
    bool sliced = sparse_is_sliced(t) && !s->packed;
    int64_t most = sliced ? 32 : 16, least = sliced ? 8 : 4;
    int64_t panel = s->channels * s->phases * PANEL * 4, fit = (int64_t)t->l2 / 4 / panel;
    if (s->panels > most && fit < most) most = fit < least ? least : fit;
    return sparse_run(s->panels, most);
}

/* Lanes of the last panel that are no pixels are 0 in planes, where other windows read them. */
static bool has_rest(const Shape *s) { return s->to.h * s->to.w % PANEL && !(s->in_panels & PANELS_Y); }

static Shape shape_of(const Target *t, const Node *n) {
    Shape s = {.window = node_window(n), .from = node_plane(n, "from"), .to = node_plane(n, "to")};
    int64_t phases[MAX_PHASES];
    s.phases = plane_phases(&s.window, phases);
    s.panels = panel_pixels(s.to.h * s.to.w) / PANEL;
    plane_taps(&s.window, &s.from, false, &s.taps);
    s.packed = node_is_packed(n);
    s.rows = s.packed ? node_packed(n).rows : n->in[1]->constant->dims[0];
    s.channels = s.packed ? node_packed(n).sources / s.taps.n : n->in[1]->constant->dims[1];
    s.copied = node_int(n, "copied") > 0;
    s.in_panels = node_int(n, "panels");
    s.masked = (s.taps.n_masks > 0 && !s.copied) || has_rest(&s);
    if (s.copied) plane_streams(&s.window, &s.from, &s.taps, &s.streams);
    s.chunk = s.copied ? sparse_run(s.panels, node_int(n, "copied")) : chunk_of(t, &s);
    return s;
}

static SparseSource source_of(const Shape *s, int64_t channel, int tap) {
    const PlaneStreams *p = &s->streams;
    if (s->in_panels & PANELS_X) return (SparseSource){channel * PANEL * 4, 0};
    if (!s->copied)
        return (SparseSource){(channel * s->phases * s->from.size + s->taps.offset[tap]) * 4, s->taps.mask[tap]};
    int64_t stream = channel * p->n + p->of[tap];
    return (SparseSource){(stream * plane_stream_size(p, s->chunk) + p->before + p->shift[tap]) * 4, 0};
}

typedef struct Steps { /* of x, y or the residual: elements from panel to panel, from channel to channel, of a batch
                          element */
    int64_t panel, channel, all;
} Steps;

static Steps steps_of(const Shape *s, int64_t which) {
    const Plane *p = which == PANELS_X ? &s->from : &s->to;
    int64_t channels = which == PANELS_X ? s->channels * s->phases : s->rows;
    if (s->in_panels & which) {
        int64_t panel = panel_lines(channels) * PANEL;
        return (Steps){panel, PANEL, s->panels * panel};
    }
    return (Steps){PANEL, p->size, channels * p->size};
}

/* all but the matrix, its sources and the bias */
static SparseLayer layer_of(const Node *n, const Shape *s) {
    Steps x = steps_of(s, PANELS_X), y = steps_of(s, PANELS_Y), residual = steps_of(s, PANELS_RESIDUAL);
    SparseLayer l = {.rows = s->rows,
                     .n_sources = s->channels * s->taps.n,
                     .whole_lines = true,
                     .x_step = x.panel * 4,
                     .y_step = y.panel * 4,
                     .residual_step = residual.panel * 4,
                     .y_row = y.channel * 4,
                     .residual_row = residual.channel * 4,
                     .panels = s->chunk,
                     .all_panels = s->panels,
                     .repeats = s->panels > s->chunk};
    if (has_rest(s)) l.store = SPARSE_STORE_ZEROS, l.store_mask = s->taps.n_masks + 1;
    sparse_take_body(n, &l);
    return l;
}

static Str code(Ctx *ctx, const Target *t, const Node *n) {
    Shape s = shape_of(t, n);
    const Value *bias = node_in(n, 2);
    SparseLayer l = layer_of(n, &s);
    l.weights = n->in[1]->constant->data;
    l.bias = bias ? bias->constant->data : NULL;
    SparseSource *sources = ARENA_ARRAY(ctx->arena, l.n_sources, SparseSource);
    for (int64_t c = 0, at = 0; c < s.channels; c++)
        for (int i = 0; i < s.taps.n; i++, at++) sources[at] = source_of(&s, c, i);
    l.sources = sources;
    return sparse_encode(ctx->arena, t, &l);
}

static bool in_code(const Node *n, int input) {
    (void)n;
    return input == 1 || input == 2;
}

/* ---- around the code ---- */

static void fill_halos(Kernel *k, const Shape *s, LLVMValueRef y, Range rows) {
    For f = for_begin(k, rows.from, rows.to, 1);
    planes_fill_halo(k, f32_at(k, y, i_scale(k, f.i, s->to.size)), &s->to);
    for_end(k, &f);
}

/* of x, y or the residual of a batch element */
static LLVMValueRef panel_at(Kernel *k, const Shape *s, int64_t which, LLVMValueRef value, LLVMValueRef batch,
                             LLVMValueRef panel) {
    const Plane *p = which == PANELS_X ? &s->from : &s->to;
    Steps steps = steps_of(s, which);
    LLVMValueRef start = f32_at(k, value, i_scale(k, batch, steps.all));
    return f32_at(k, start, i_plus(k, i_scale(k, panel, steps.panel), s->in_panels & which ? 0 : p->lead));
}

static LLVMValueRef copy_streams(Kernel *k, const Shape *s, LLVMValueRef x, LLVMValueRef first, LLVMValueRef panels) {
    StreamCopy copy = {.x = x,
                       .to = k->scratch,
                       .first = first,
                       .panels = panels,
                       .channels = s->channels,
                       .phases = s->phases,
                       .most_panels = s->chunk};
    planes_copy_streams(k, &s->window, &s->from, &s->streams, &copy);
    return k->scratch;
}

static bool scratch_bytes(Ctx *ctx, const Node *n, size_t *bytes) {
    *bytes = 0;
    if (!node_int(n, "copied")) return true;
    Shape s = shape_of(NULL, n);
    int64_t all;
    if (mul_i64(s.channels * s.streams.n, plane_stream_size(&s.streams, s.chunk) * 4, &all)) {
        *bytes = (size_t)all;
        return true;
    }
    diag_error(ctx, n, "needs more scratch memory than there are addresses");
    return false;
}

static bool emit(Kernel *k) {
    const Node *n = k->node;
    Shape s = shape_of(k->gen->target, n);
    LLVMValueRef masks = s.masked ? planes_mask_table(k, &s.window, &s.taps, SPARSE_MASKS) : NULL;
    SparseLayer layer = layer_of(n, &s);
    PackedForm packed = s.packed ? node_packed(n) : (PackedForm){0};
    SparseSize size = {.rows = s.rows,
                       .sources = s.channels * s.taps.n,
                       .x_bytes = s.channels * (s.copied ? 2 * s.streams.n : s.phases) * PANEL * 4,
                       .panels = s.panels,
                       .run = s.chunk,
                       .blocks = s.packed ? packed_blocks(&packed)
                                          : sparse_blocks(k->gen->target, s.rows, s.taps.n_masks > 0 && !s.copied)};
    Grid grid = sparse_grid(k, &size);
    Range share = kernel_share(k, gen_i64(k->gen, (s.panels + s.chunk - 1) / s.chunk), grid.cols, grid.rows),
          halos = kernel_share(k, gen_i64(k->gen, s.rows), 1, k->chunks);
    For batch = for_begin(k, gen_i64(k->gen, 0), kernel_dim(k, n->out[0]->type.dims[0]), 1);
    LLVMValueRef x = f32_at(k, k->in[0], i_scale(k, batch.i, steps_of(&s, PANELS_X).all));
    if (!(s.in_panels & PANELS_Y))
        fill_halos(k, &s, f32_at(k, k->out[0], i_scale(k, batch.i, s.rows * s.to.size)), halos);
    SparseCall c = {0};
    If some = sparse_blocks_begin(k, &c, &grid, &size);
    For f = for_begin(k, share.from, share.to, 1);
    LLVMValueRef first = i_scale(k, f.i, s.chunk);
    LLVMValueRef panels = i_min(k, gen_i64(k->gen, s.chunk), i_sub(k, gen_i64(k->gen, s.panels), first));
    c.x = s.copied ? copy_streams(k, &s, x, first, panels) : panel_at(k, &s, PANELS_X, k->in[0], batch.i, first);
    c.y = panel_at(k, &s, PANELS_Y, k->out[0], batch.i, first);
    if (layer.residual) c.residual = panel_at(k, &s, PANELS_RESIDUAL, k->in[n->n_in - 1], batch.i, first);
    if (masks) c.masks = element_at(k, k->gen->i16, masks, i_scale(k, first, SPARSE_MASKS));
    c.panels = panels;
    c.cold = sparse_is_cold(k, f.i, share.from);
    if (s.packed) packed_call(k, &layer, &c);
    else sparse_call(k, k->in[1], &c);
    for_end(k, &f);
    if_end(k, &some);
    for_end(k, &batch);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

static double work_of(const Node *n) {
    Plane to = node_plane(n, "to");
    return (double)SPARSE_EACH * sparse_multiplies(n) * (double)(panel_pixels(to.h * to.w) / PANEL) *
           (double)n->out[0]->type.dims[0]->hi;
}

static bool in_place(const Node *n, int input) {
    int64_t panels = node_int(n, "panels");
    return !(panels & PANELS_Y) == !(panels & PANELS_RESIDUAL) && sparse_in_place(n, input);
}

const Emitter sparse_conv_emitter = {.form = "straight-line code of its nonzeros",
                                     .emit = emit,
                                     .scratch = scratch_bytes,
                                     .work = work_of,
                                     .in_place = in_place,
                                     .code = code,
                                     .in_code = in_code};

const Emitter packed_conv_emitter = {
    .form = "packed nonzeros on planes", .emit = emit, .work = work_of, .in_place = in_place};
