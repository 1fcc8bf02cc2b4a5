/* Depthwise convolution and pooling of planes: each tap of the window is a vector PANEL pixels wide at a constant
 * distance from the output's, lanes that leave the map masked. A pool masks all of them; a convolution those that leave
 * by a side, and reads zeros beyond the first and last row. Its weights stay in registers for a channel, and taps near
 * one another share a stream of panels, each loaded once: a load that is not at the start of a line takes twice as
 * long. */
#include "codegen/planes.h"

enum { SUMS = 3 }; /* partial ones hide the latency of adding */

typedef struct Stream {        /* what taps read within one panel of `base` pixels from the output's, to either side */
    int64_t base, least, most; /* of the taps' distances from base */
    LLVMValueRef before, here; /* slots: the panel at hand and the one before it */
} Stream;

typedef struct Window {
    Kernel *k;
    PlaneWindow w;
    PlaneTaps taps;
    Plane from, to;
    bool pool, mean, count_padding;
    int64_t channels, phases;
    LLVMValueRef masks, counts; /* counts: taps of each pixel; NULL: the same everywhere */
    LLVMValueRef weights[MAX_KERNEL * MAX_KERNEL], bias;
    Stream streams[MAX_KERNEL * MAX_KERNEL];
    int n_streams, stream_of[MAX_KERNEL * MAX_KERNEL];
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

typedef struct Sums {
    LLVMValueRef of[SUMS];
} Sums;

static Sums sums_begin(const Window *s) {
    Sums sums;
    for (int i = 0; i < SUMS; i++) sums.of[i] = i == 0 && s->bias ? s->bias : none_of(s);
    return sums;
}

static LLVMValueRef sums_end(const Window *s, Sums *sums) {
    for (int i = 1; i < SUMS && i < s->taps.n; i++) sums->of[0] = combine(s, sums->of[0], sums->of[i]);
    return sums->of[0];
}

static LLVMValueRef pool_taps(const Window *s, LLVMValueRef x, LLVMValueRef panel) {
    Sums sums = sums_begin(s);
    for (int t = 0; t < s->taps.n; t++) sums.of[t % SUMS] = combine(s, sums.of[t % SUMS], load_tap(s, x, panel, t));
    LLVMValueRef v = sums_end(s, &sums);
    return s->mean ? finish_mean(s, v, panel) : v;
}

/* ---- streams ---- */

static void fill_streams(Window *s) {
    int order[MAX_KERNEL * MAX_KERNEL], n = s->taps.n;
    const int64_t *at = s->taps.offset;
    for (int i = 0; i < n; i++) {
        int j = i;
        for (; j > 0 && at[order[j - 1]] > at[i]; j--) order[j] = order[j - 1];
        order[j] = i;
    }
    for (int i = 0, end; i < n; i = end) {
        for (end = i; end < n && at[order[end]] - at[order[i]] < PANEL; end++) s->stream_of[order[end]] = s->n_streams;
        int64_t base = at[order[i + (end - i) / 2]];
        s->streams[s->n_streams++] =
            (Stream){.base = base, .least = at[order[i]] - base, .most = at[order[end - 1]] - base};
    }
}

static void begin_streams(Window *s, LLVMValueRef x) {
    Kernel *k = s->k;
    for (int i = 0; i < s->n_streams; i++) {
        Stream *t = &s->streams[i];
        LLVMValueRef p = pixels_at(k, x, t->base);
        vec_store(k, load_lanes(k, pixels_at(k, p, -PANEL), PANEL + t->least, PANEL), t->before, 64);
        vec_store(k, vec_load(k, p, PANEL, 4), t->here, 64);
    }
}

/* PANEL elements from place `at` of two panels one behind the other */
static LLVMValueRef part_of(Kernel *k, LLVMValueRef first, LLVMValueRef second, int64_t at) {
    LLVMValueRef order[PANEL];
    for (int i = 0; i < PANEL; i++) order[i] = gen_i32(k->gen, (int)at + i);
    return LLVMBuildShuffleVector(k->b, first, second, LLVMConstVector(order, PANEL), "");
}

/* x: where the output's pixels are; is_last: no panel comes behind */
static LLVMValueRef multiply_taps(Window *s, LLVMValueRef x, LLVMValueRef panel, bool is_last) {
    Kernel *k = s->k;
    Sums sums = sums_begin(s);
    LLVMValueRef before[MAX_KERNEL * MAX_KERNEL], here[MAX_KERNEL * MAX_KERNEL], next[MAX_KERNEL * MAX_KERNEL];
    for (int i = 0; i < s->n_streams; i++) {
        const Stream *t = &s->streams[i];
        LLVMValueRef behind = pixels_at(k, x, t->base + PANEL);
        before[i] = vec_load(k, t->before, PANEL, 64);
        here[i] = vec_load(k, t->here, PANEL, 64);
        next[i] = is_last ? load_lanes(k, behind, 0, t->most) : vec_load(k, behind, PANEL, 4);
        vec_store(k, here[i], t->before, 64);
        vec_store(k, next[i], t->here, 64);
    }
    for (int t = 0; t < s->taps.n; t++) {
        int i = s->stream_of[t];
        int64_t at = s->taps.offset[t] - s->streams[i].base;
        LLVMValueRef v = at < 0 ? part_of(k, before[i], here[i], PANEL + at) : part_of(k, here[i], next[i], at);
        LLVMValueRef *sum = &sums.of[t % SUMS], more = vec_mul_add(k, v, s->weights[t], *sum, PANEL);
        if (s->taps.mask[t]) more = LLVMBuildSelect(k->b, mask_at(s, panel, s->taps.mask[t] - 1), more, *sum, "");
        *sum = more;
    }
    return sums_end(s, &sums);
}

static void hold_weights(Window *s, LLVMValueRef channel) {
    Kernel *k = s->k;
    LLVMValueRef w = s->pool ? NULL : f32_at(k, k->in[1], i_scale(k, channel, s->taps.n));
    for (int t = 0; t < s->taps.n && !s->pool; t++)
        s->weights[t] = vec_splat(k, vec_load(k, pixels_at(k, w, t), 1, 4), PANEL);
    s->bias = !s->pool && k->in[2] ? vec_splat(k, vec_load(k, f32_at(k, k->in[2], channel), 1, 4), PANEL) : NULL;
}

static void emit_panel(Window *s, LLVMValueRef x, LLVMValueRef y, PlanePlace *at, LLVMValueRef panel, bool is_last) {
    Kernel *k = s->k;
    LLVMValueRef start = at->pixel = i_scale(k, panel, PANEL), from = f32_at(k, x, start);
    LLVMValueRef v = s->pool ? pool_taps(s, from, panel) : multiply_taps(s, from, panel, is_last);
    v = planes_through_body(k, &s->to, v, at);
    if (s->to.h * s->to.w % PANEL) {
        LLVMValueRef there = mask_at(s, panel, s->taps.n_masks);
        v = LLVMBuildSelect(k->b, there, v, LLVMConstNull(vec_type(k->gen, PANEL)), "");
    }
    vec_store(k, v, f32_at(k, y, start), 4);
}

static void emit_channel(Window *s, PlanePlace *at) {
    Kernel *k = s->k;
    int64_t panels = panel_pixels(s->to.h * s->to.w) / PANEL;
    LLVMValueRef x = f32_at(k, k->in[0], i_plus(k, i_scale(k, at->plane, s->phases * s->from.size), s->from.lead)),
                 y = f32_at(k, k->out[0], i_scale(k, at->plane, s->to.size));
    planes_fill_halo(k, y, &s->to);
    hold_weights(s, at->channel);
    y = pixels_at(k, y, s->to.lead);
    if (!s->pool) begin_streams(s, x);
    if (panels > 1) {
        For f = for_count(k, panels - 1);
        emit_panel(s, x, y, at, f.i, false);
        for_end(k, &f);
    }
    emit_panel(s, x, y, at, gen_i64(k->gen, panels - 1), true);
}

static void make_slots(Window *s) {
    Kernel *k = s->k;
    fill_streams(s);
    for (int i = 0; i < s->n_streams; i++) {
        s->streams[i].before = gen_alloca(k->gen, k->b, vec_type(k->gen, PANEL), 64);
        s->streams[i].here = gen_alloca(k->gen, k->b, vec_type(k->gen, PANEL), 64);
    }
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
    if (!s.pool) make_slots(&s);
    For batch = for_begin(k, gen_i64(k->gen, 0), kernel_dim(k, n->out[0]->type.dims[0]), 1);
    Range share = kernel_share(k, gen_i64(k->gen, s.channels), 1, k->chunks);
    For f = for_begin(k, share.from, share.to, 1);
    PlanePlace at = {
        .batch = batch.i, .channel = f.i, .plane = i_add(k, i_scale(k, batch.i, s.channels), f.i), .there = PANEL};
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
