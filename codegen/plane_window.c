/* Depthwise convolution and pooling of planes: each tap of the window is a vector PANEL pixels wide at a constant
 * distance from the output's, lanes that leave the map masked. A pool masks all of them; a convolution those that leave
 * by a side, and reads zeros beyond the first and last row. Weights stay in registers for a channel. */
#include "codegen/planes.h"

enum { SUMS = 3 }; /* partial ones hide the latency of adding */

typedef struct Window {
    Kernel *k;
    PlaneWindow w;
    PlaneTaps taps;
    Plane from, to;
    bool pool, mean, count_padding;
    int64_t channels, phases;
    LLVMValueRef masks, counts; /* counts: taps of each pixel; NULL: the same everywhere */
    LLVMValueRef weights[MAX_KERNEL * MAX_KERNEL], bias;
} Window;

static LLVMValueRef none_of(const Window *s) {
    return vec_const(s->k->gen, s->pool && !s->mean ? -__builtin_inf() : 0, PANEL);
}

static LLVMValueRef combine(const Window *s, LLVMValueRef a, LLVMValueRef b) {
    return s->pool && !s->mean ? vec_greater_or_nan(s->k, a, b) : vec_add(s->k, a, b);
}

/* <16 x i1>: where mask `number` of a panel is set, from 0 on */
static LLVMValueRef mask_at(const Window *s, LLVMValueRef panel, int number) {
    Kernel *k = s->k;
    LLVMTypeRef word = k->gen->i16;
    LLVMValueRef p = element_at(k, word, s->masks, i_plus(k, i_scale(k, panel, s->taps.n_masks + 1), number));
    return LLVMBuildBitCast(k->b, vec_load_of(k, word, p, 1, 2), LLVMVectorType(k->gen->i1, PANEL), "");
}

static LLVMValueRef load_tap(const Window *s, LLVMValueRef x, LLVMValueRef panel, int tap) {
    Kernel *k = s->k;
    LLVMValueRef p = pixels_at(k, x, s->taps.offset[tap]);
    if (!s->taps.mask[tap]) return vec_load(k, p, PANEL, 4);
    LLVMValueRef args[4] = {p, gen_i32(k->gen, 4), mask_at(s, panel, s->taps.mask[tap] - 1), none_of(s)};
    LLVMTypeRef types[2] = {vec_type(k->gen, PANEL), k->gen->ptr};
    return call_intrinsic(k, "llvm.masked.load", types, 2, args, 4);
}

/* ---- how many taps a mean has ---- */

static int64_t taps_along(const Window *s, int axis, int64_t at) {
    const PlaneWindow *w = &s->w;
    int64_t n = 0, low = s->count_padding ? -w->begin[axis] : 0,
            high = w->in[axis] + (s->count_padding ? w->end[axis] : 0);
    for (int64_t i = 0; i < w->kernel[axis]; i++) {
        int64_t from = at * w->stride[axis] + i * w->dilation[axis] - w->begin[axis];
        n += from >= low && from < high;
    }
    return n;
}

static void fill_counts(Window *s) {
    Kernel *k = s->k;
    int64_t pixels = s->w.out[0] * s->w.out[1], all = s->taps.n, room = panel_pixels(pixels);
    float *counts = ARENA_ARRAY(k->gen->ctx->arena, room, float);
    bool same = true;
    for (int64_t i = 0; i < room; i++) {
        int64_t n = i < pixels ? taps_along(s, 0, i / s->w.out[1]) * taps_along(s, 1, i % s->w.out[1]) : all;
        counts[i] = (float)n;
        same = same && n == all;
    }
    if (!same) s->counts = gen_bytes(k->gen, counts, sizeof *counts * (size_t)room, 64);
}

static LLVMValueRef finish_mean(const Window *s, LLVMValueRef sum, LLVMValueRef panel) {
    Kernel *k = s->k;
    LLVMValueRef n = vec_const(k->gen, s->taps.n, PANEL);
    if (s->counts) n = vec_load(k, f32_at(k, s->counts, i_scale(k, panel, PANEL)), PANEL, 4);
    return LLVMBuildFDiv(k->b, sum, n, "");
}

/* ---- a channel ---- */

static LLVMValueRef sum_taps(const Window *s, LLVMValueRef x, LLVMValueRef panel) {
    Kernel *k = s->k;
    LLVMValueRef sums[SUMS];
    for (int i = 0; i < SUMS; i++) sums[i] = i == 0 && s->bias ? s->bias : none_of(s);
    for (int t = 0; t < s->taps.n; t++) {
        LLVMValueRef v = load_tap(s, x, panel, t), *sum = &sums[t % SUMS];
        *sum = s->pool ? combine(s, *sum, v) : vec_mul_add(k, v, s->weights[t], *sum, PANEL);
    }
    for (int i = 1; i < SUMS && i < s->taps.n; i++) sums[0] = combine(s, sums[0], sums[i]);
    return s->mean ? finish_mean(s, sums[0], panel) : sums[0];
}

typedef struct Place {
    LLVMValueRef batch, channel, plane, panel;
} Place;

/* an operand of the body: planes, or a number a channel, or one for all */
static LLVMValueRef operand_at(const Window *s, int input, const Place *at) {
    Kernel *k = s->k;
    const Value *v = k->node->in[input];
    if (v->type.rank == 3 && dim_is(v->type.dims[2], s->to.size)) {
        LLVMValueRef start = i_plus(k, i_scale(k, at->plane, s->to.size), s->to.lead);
        return vec_load(k, f32_at(k, k->in[input], i_add(k, start, i_scale(k, at->panel, PANEL))), PANEL, 4);
    }
    LLVMValueRef strides[MCC_MAX_RANK];
    operand_strides(k, v, k->node->out[0], strides);
    LLVMValueRef i = i_add(k, i_mul(k, at->batch, strides[0]), i_mul(k, at->channel, strides[1]));
    return vec_splat(k, vec_load(k, f32_at(k, k->in[input], i), 1, 4), PANEL);
}

static LLVMValueRef through_body(const Window *s, LLVMValueRef v, const Place *at) {
    Kernel *k = s->k;
    const Graph *body = k->node->body;
    LLVMValueRef out;
    if (!body) return v;
    LLVMValueRef *in = ARENA_ARRAY(k->gen->ctx->arena, body->n_inputs, LLVMValueRef);
    in[0] = v;
    for (int i = 1; i < body->n_inputs; i++) in[i] = operand_at(s, k->node->n_in - body->n_inputs + i, at);
    body_outputs(k, body, in, PANEL, &out);
    return out;
}

static void hold_weights(Window *s, LLVMValueRef channel) {
    Kernel *k = s->k;
    LLVMValueRef w = s->pool ? NULL : f32_at(k, k->in[1], i_scale(k, channel, s->taps.n));
    for (int t = 0; t < s->taps.n && !s->pool; t++)
        s->weights[t] = vec_splat(k, vec_load(k, pixels_at(k, w, t), 1, 4), PANEL);
    s->bias = !s->pool && k->in[2] ? vec_splat(k, vec_load(k, f32_at(k, k->in[2], channel), 1, 4), PANEL) : NULL;
}

static void emit_channel(Window *s, Place *at) {
    Kernel *k = s->k;
    int64_t pixels = s->to.h * s->to.w, panels = panel_pixels(pixels) / PANEL;
    LLVMValueRef x = f32_at(k, k->in[0], i_plus(k, i_scale(k, at->plane, s->phases * s->from.size), s->from.lead)),
                 y = f32_at(k, k->out[0], i_scale(k, at->plane, s->to.size));
    planes_fill_halo(k, y, &s->to);
    hold_weights(s, at->channel);
    y = pixels_at(k, y, s->to.lead);
    For f = for_count(k, panels);
    LLVMValueRef start = i_scale(k, f.i, PANEL);
    at->panel = f.i;
    LLVMValueRef v = through_body(s, sum_taps(s, f32_at(k, x, start), f.i), at);
    if (pixels % PANEL) {
        LLVMValueRef there = mask_at(s, f.i, s->taps.n_masks);
        v = LLVMBuildSelect(k->b, there, v, LLVMConstNull(vec_type(k->gen, PANEL)), "");
    }
    vec_store(k, v, f32_at(k, y, start), 4);
    for_end(k, &f);
}

static bool emit(Kernel *k) {
    const Node *n = k->node;
    Window s = {.k = k, .w = node_window(n), .from = node_plane(n, "from"), .to = node_plane(n, "to")};
    int64_t phases[MAX_PHASES];
    s.pool = n->op == OP_PlanePool;
    s.mean = s.pool && node_int(n, "mean");
    s.count_padding = s.mean && node_int(n, "count_include_pad");
    s.phases = plane_phases(&s.w, phases);
    s.channels = n->out[0]->type.dims[1]->value;
    plane_taps(&s.w, &s.from, s.pool, &s.taps);
    s.masks = planes_mask_table(k, &s.w, &s.taps, s.taps.n_masks + 1);
    if (s.mean) fill_counts(&s);
    For batch = for_begin(k, gen_i64(k->gen, 0), kernel_dim(k, n->out[0]->type.dims[0]), 1);
    Range share = kernel_share(k, gen_i64(k->gen, s.channels), 1, k->chunks);
    For f = for_begin(k, share.from, share.to, 1);
    Place at = {.batch = batch.i, .channel = f.i, .plane = i_add(k, i_scale(k, batch.i, s.channels), f.i)};
    emit_channel(&s, &at);
    for_end(k, &f);
    for_end(k, &batch);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

static double work_of(const Node *n) {
    PlaneWindow w = node_window(n);
    return largest_count(n->out[0]) / (double)PANEL * (double)(w.kernel[0] * w.kernel[1] + 4);
}

const Emitter plane_window_emitter = {.form = "planes, channel by channel", .emit = emit, .work = work_of};
