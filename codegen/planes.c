/* Planes from plain values, or phases from either: pixels are copied, or every second one of a row is picked, and zeros
 * put around them. Constant loops over vectors of PANEL elements; what is left of a row goes under a mask. */
#include "codegen/planes.h"
#include <stdlib.h>

LLVMValueRef pixels_at(Kernel *k, LLVMValueRef base, int64_t elements) {
    return f32_at(k, base, gen_i64(k->gen, elements));
}

void store_lanes(Kernel *k, LLVMValueRef v, LLVMValueRef p, int64_t there) {
    if (there < PANEL) vec_store_part(k, v, p, PANEL, gen_i64(k->gen, there));
    else vec_store(k, v, p, 4);
}

void planes_fill(Kernel *k, LLVMValueRef plane, int64_t from, int64_t to) {
    int64_t whole = (to - from) / PANEL * PANEL;
    LLVMValueRef zeros = LLVMConstNull(vec_type(k->gen, PANEL));
    if (whole > 0) {
        For f = for_begin(k, gen_i64(k->gen, from), gen_i64(k->gen, from + whole), PANEL);
        vec_store(k, zeros, f32_at(k, plane, f.i), 4);
        for_end(k, &f);
    }
    if (from + whole < to) store_lanes(k, zeros, pixels_at(k, plane, from + whole), to - from - whole);
}

void planes_fill_halo(Kernel *k, LLVMValueRef plane, const Plane *p) {
    planes_fill(k, plane, 0, p->lead);
    planes_fill(k, plane, p->lead + panel_pixels(p->h * p->w), p->size);
}

LLVMValueRef planes_mask_table(Kernel *k, const PlaneWindow *w, const PlaneTaps *t, int words) {
    int64_t panels = panel_pixels(w->out[0] * w->out[1]) / PANEL;
    uint16_t *table = ARENA_ARRAY(k->gen->ctx->arena, panels * words, uint16_t);
    plane_masks(w, t, words, table);
    return gen_bytes(k->gen, table, sizeof *table * (size_t)(panels * words), 16);
}

/* ---- copying ---- */

static void copy(Kernel *k, LLVMValueRef from, LLVMValueRef to, int64_t n) {
    int64_t whole = n / PANEL * PANEL;
    For f = for_begin(k, gen_i64(k->gen, 0), gen_i64(k->gen, whole), PANEL);
    vec_store(k, vec_load(k, f32_at(k, from, f.i), PANEL, 4), f32_at(k, to, f.i), 4);
    for_end(k, &f);
    if (whole < n)
        store_lanes(k, load_lanes(k, pixels_at(k, from, whole), 0, n - whole), pixels_at(k, to, whole), n - whole);
}

typedef struct Split { /* the phases of one remainder of rows */
    Kernel *k;
    PlaneWindow w;
    Plane from, to;
    int64_t phases[MAX_PHASES];
    int n_phases;
} Split;

static int64_t count_from(int64_t n, int64_t first, int64_t step) {
    return n > first ? (n - first + step - 1) / step : 0;
}

/* every second element of 32, of which `there` are in the row: those from `first` on */
static LLVMValueRef pick_pairs(Kernel *k, LLVMValueRef p, int first, int64_t there) {
    LLVMValueRef order[PANEL], low = load_lanes(k, p, 0, there),
                               high = load_lanes(k, pixels_at(k, p, PANEL), 0, there - PANEL);
    for (int i = 0; i < PANEL; i++) order[i] = gen_i32(k->gen, 2 * i + first);
    return LLVMBuildShuffleVector(k->b, low, high, LLVMConstVector(order, PANEL), "");
}

/* columns first, first + 2 … of a row to the first places of another, of w.out[1] in all */
static void pick_row(const Split *s, LLVMValueRef x, LLVMValueRef y, int first) {
    Kernel *k = s->k;
    int64_t width = s->w.in[1], pitch = s->w.out[1], whole = 0;
    while (whole + PANEL <= pitch && 2 * (whole + PANEL) <= width) whole += PANEL;
    For f = for_begin(k, gen_i64(k->gen, 0), gen_i64(k->gen, whole), PANEL);
    vec_store(k, pick_pairs(k, f32_at(k, x, i_scale(k, f.i, 2)), first, 2 * PANEL), f32_at(k, y, f.i), 4);
    for_end(k, &f);
    for (int64_t at = whole; at < pitch; at += PANEL)
        store_lanes(k, pick_pairs(k, pixels_at(k, x, 2 * at), first, width - 2 * at), pixels_at(k, y, at), pitch - at);
}

static void pick_each(const Split *s, LLVMValueRef x, LLVMValueRef y, int64_t first) {
    Kernel *k = s->k;
    int64_t step = s->w.stride[1], pitch = s->w.out[1], there = count_from(s->w.in[1], first, step);
    if (there > pitch) there = pitch;
    For f = for_count(k, there);
    LLVMValueRef v = vec_load(k, f32_at(k, x, i_plus(k, i_scale(k, f.i, step), first)), 1, 4);
    vec_store(k, v, f32_at(k, y, f.i), 4);
    for_end(k, &f);
    planes_fill(k, y, there, pitch);
}

static void split_row(const Split *s, LLVMValueRef x, LLVMValueRef y, int64_t column) {
    int64_t width = s->w.in[1] < s->w.out[1] ? s->w.in[1] : s->w.out[1];
    if (s->w.stride[1] == 2) pick_row(s, x, y, (int)column);
    else if (s->w.stride[1] > 2) pick_each(s, x, y, column);
    else {
        copy(s->k, x, y, width);
        planes_fill(s->k, y, width, s->w.out[1]);
    }
}

/* x: the pixels of a channel; y: its first phase */
static void split_plane(const Split *s, LLVMValueRef x, LLVMValueRef y) {
    Kernel *k = s->k;
    for (int i = 0; i < s->n_phases; i++) {
        int64_t row = s->phases[i] / s->w.stride[1], column = s->phases[i] % s->w.stride[1],
                rows = count_from(s->w.in[0], row, s->w.stride[0]);
        LLVMValueRef plane = pixels_at(k, y, i * s->to.size);
        planes_fill(k, plane, 0, s->to.lead);
        For f = for_count(k, rows);
        LLVMValueRef from = f32_at(k, x, i_scale(k, i_plus(k, i_scale(k, f.i, s->w.stride[0]), row), s->w.in[1]));
        split_row(s, from, f32_at(k, plane, i_plus(k, i_scale(k, f.i, s->w.out[1]), s->to.lead)), column);
        for_end(k, &f);
        planes_fill(k, plane, s->to.lead + rows * s->w.out[1], s->to.size);
    }
}

static void copy_plane(const Split *s, LLVMValueRef x, LLVMValueRef y) {
    int64_t pixels = s->from.h * s->from.w;
    planes_fill(s->k, y, 0, s->to.lead);
    copy(s->k, x, pixels_at(s->k, y, s->to.lead), pixels);
    planes_fill(s->k, y, s->to.lead + pixels, s->to.size);
}

static bool emit_planes(Kernel *k) {
    const Node *n = k->node;
    const Value *x = n->in[0];
    Split s = {.k = k, .w = node_window(n), .from = node_plane(n, "from"), .to = node_plane(n, "to")};
    s.n_phases = plane_phases(&s.w, s.phases);
    Range share = kernel_share(k, kernel_dims(k, x->type.dims, 2), 1, k->chunks);
    For f = for_begin(k, share.from, share.to, 1);
    LLVMValueRef from = f32_at(k, k->in[0], i_plus(k, i_scale(k, f.i, s.from.size), s.from.lead)),
                 to = f32_at(k, k->out[0], i_scale(k, f.i, s.n_phases * s.to.size));
    if (plane_is_split(&s.w)) split_plane(&s, from, to);
    else copy_plane(&s, from, to);
    for_end(k, &f);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

/* Picking every second pixel of a row takes longer than copying it. */
static double copy_work(const Node *n) {
    PlaneWindow w = node_window(n);
    return largest_count(n->out[0]) / (double)PANEL * (plane_is_split(&w) ? 8 : 2);
}

const Emitter planes_emitter = {.form = "planes", .emit = emit_planes, .work = copy_work};

/* ---- zeros around what is there ---- */

static bool emit_halo(Kernel *k) {
    const Value *x = k->node->in[0];
    Plane p = node_plane(k->node, "to");
    int64_t pixels = p.h * p.w;
    For f = for_begin(k, gen_i64(k->gen, 0), kernel_dims(k, x->type.dims, 2), 1);
    LLVMValueRef from = f32_at(k, k->in[0], i_scale(k, f.i, p.size)),
                 to = f32_at(k, k->out[0], i_scale(k, f.i, p.size));
    planes_fill(k, to, 0, p.lead);
    if (k->in[0] != k->out[0]) copy(k, pixels_at(k, from, p.lead), pixels_at(k, to, p.lead), pixels);
    planes_fill(k, to, p.lead + pixels, p.size);
    for_end(k, &f);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

static bool halo_in_place(const Node *n, int input) {
    (void)n;
    return input == 0;
}

const Emitter plane_halo_emitter = {.form = "zeros around planes", .emit = emit_halo, .in_place = halo_in_place};

/* ---- global pooling ---- */

enum { PARTS = 4 };

static LLVMValueRef join(Kernel *k, bool mean, LLVMValueRef a, LLVMValueRef b) {
    return mean ? vec_add(k, a, b) : vec_greater_or_nan(k, a, b);
}

static LLVMValueRef add(Kernel *k, LLVMValueRef a, LLVMValueRef b) { return join(k, true, a, b); }
static LLVMValueRef larger(Kernel *k, LLVMValueRef a, LLVMValueRef b) { return join(k, false, a, b); }

/* lanes of the last panel that are no pixels count as `none` */
static LLVMValueRef last_panel(Kernel *k, LLVMValueRef p, int64_t there, LLVMValueRef none) {
    LLVMValueRef lanes = lane_mask(k, gen_i64(k->gen, there), PANEL);
    return LLVMBuildSelect(k->b, lanes, vec_load(k, p, PANEL, 4), none, "");
}

typedef struct Channels { /* of planes, or of panels [N, P, lines, PANEL] */
    LLVMValueRef count;
    int64_t channels, lead, size; /* panels: of each element of the batch; elements before, and all of one channel */
    int64_t step;                 /* 16 pixels are so many times 16 elements behind those before */
} Channels;

static Channels channels_of(Kernel *k, const Plane *p) {
    const Type *t = &k->node->in[0]->type;
    if (!node_int(k->node, "panels")) return (Channels){kernel_dims(k, t->dims, 2), 1, p->lead, p->size, 1};
    int64_t channels = k->node->out[0]->type.dims[1]->value, lines = t->dims[2]->value;
    return (Channels){.count = i_scale(k, kernel_dim(k, t->dims[0]), channels),
                      .channels = channels,
                      .size = t->dims[1]->value * lines * PANEL,
                      .step = lines};
}

static LLVMValueRef channel_at(Kernel *k, const Channels *c, LLVMValueRef i) {
    LLVMValueRef group = i_div(k, i, c->channels), own = i_sub(k, i, i_scale(k, group, c->channels));
    return f32_at(k, k->in[0], i_plus(k, i_add(k, i_scale(k, group, c->size), i_scale(k, own, PANEL)), c->lead));
}

static bool emit_global_pool(Kernel *k) {
    Gen *g = k->gen;
    const Node *n = k->node;
    Plane p = node_plane(n, "from");
    bool mean = node_int(n, "mean");
    int64_t pixels = p.h * p.w, whole = pixels / (PARTS * PANEL) * PARTS * PANEL, at = whole;
    Channels c = channels_of(k, &p);
    LLVMValueRef none = vec_const(g, mean ? 0 : -__builtin_inf(), PANEL), sums[PARTS];
    Range share = kernel_share(k, c.count, 1, k->chunks);
    For plane = for_begin(k, share.from, share.to, 1);
    LLVMValueRef x = channel_at(k, &c, plane.i);
    Tile t;
    tile_begin(&t, k, PARTS, 1, PANEL);
    for (int i = 0; i < PARTS; i++) tile_put(&t, i, 0, none);
    if (whole) {
        For f = for_begin(k, gen_i64(g, 0), gen_i64(g, whole), PARTS * PANEL);
        for (int i = 0; i < PARTS; i++)
            tile_put(&t, i, 0,
                     join(k, mean, tile_get(&t, i, 0),
                          vec_load(k, f32_at(k, x, i_scale(k, i_plus(k, f.i, i * PANEL), c.step)), PANEL, 4)));
        for_end(k, &f);
    }
    for (int i = 0; i < PARTS; i++, at += PANEL) {
        sums[i] = tile_get(&t, i, 0);
        if (at >= pixels) continue;
        LLVMValueRef from = pixels_at(k, x, at * c.step);
        sums[i] = join(k, mean, sums[i],
                       at + PANEL <= pixels ? vec_load(k, from, PANEL, 4) : last_panel(k, from, pixels - at, none));
    }
    LLVMValueRef all = join(k, mean, join(k, mean, sums[0], sums[1]), join(k, mean, sums[2], sums[3]));
    all = LLVMBuildExtractElement(k->b, vec_fold(k, all, PANEL, mean ? add : larger), gen_i32(g, 0), "");
    if (mean) all = LLVMBuildFDiv(k->b, all, LLVMConstReal(g->f32, (double)pixels), "");
    vec_store(k, all, f32_at(k, k->out[0], plane.i), 4);
    for_end(k, &plane);
    LLVMBuildRet(k->b, gen_i32(g, MCC_OK));
    return true;
}

static double read_work(const Node *n) { return largest_count(n->in[0]) / (double)PANEL * 2; }

const Emitter plane_global_pool_emitter = {
    .form = "global pool of planes", .emit = emit_global_pool, .work = read_work};
