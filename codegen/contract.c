/* The loop nest that convolutions and matrix products share: batch, phases, runs of rows, panels of columns,
 * rows, tiles along a row; inside a tile blocks of channels, taps, channels. Padding costs no copy: outer taps are
 * clamped by the loops' bounds; along the row, tiles at the borders leave out the taps that fall outside, each its own
 * variant where dims are constants, else columns near the borders are computed one by one. A ragged last tile overlaps
 * its neighbour. */
#include "codegen/contract.h"

enum { MAX_BORDER_TILES = 4 };

typedef struct Panel { /* vectors side by side, and where the tile at hand stands */
    Contraction *c;
    int vecs;
    LLVMValueRef w, bias, x;    /* of the panel; x: its first block, in the batch */
    LLVMValueRef first, blocks; /* the blocks that it reads */
    LLVMValueRef before;        /* tiles of the run before those of this row */
    LLVMValueRef ahead;         /* what the tile at hand fetches; NULL: nothing */
    LLVMValueRef batch, phase[3];
    LLVMValueRef col;          /* its first column */
    LLVMValueRef outer[2];     /* spatial coordinates of the row */
    LLVMValueRef lo[2], hi[2]; /* the taps of the outer axes that lie inside */
} Panel;

static LLVMValueRef zero(const Panel *p) { return gen_i64(p->c->k->gen, 0); }

static int64_t taps_of(const Contraction *c) { return c->kernel[0] * c->kernel[1] * c->kernel[2]; }

static LLVMValueRef x_at(const Contraction *c, LLVMValueRef base, LLVMValueRef elements) {
    return element_at(c->k, c->x_element, base, elements);
}

static LLVMValueRef w_at(const Contraction *c, LLVMValueRef base, LLVMValueRef elements) {
    return element_at(c->k, c->half ? c->k->gen->i16 : c->k->gen->f32, base, elements);
}

/* ---- inside a tile ---- */

typedef struct Place { /* of a block of channels */
    LLVMValueRef x, w;
    LLVMValueRef count; /* its channels */
    LLVMValueRef steps; /* of the tile before it */
} Place;

static void channel_steps(Panel *p, Tile *t, const Place *at, LLVMValueRef tap, LLVMValueRef x, uint32_t mask) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    LLVMValueRef panel = gen_i64(k->gen, p->vecs * c->lanes);
    LLVMValueRef w = w_at(c, at->w, i_mul(k, i_mul(k, tap, at->count), panel));
    TileSteps s = {.a = x,
                   .row = i_scale(k, c->x_pixel, c->stride[2]),
                   .b = w,
                   .next = panel,
                   .count = at->count,
                   .inner = 1,
                   .b_align = (unsigned)c->lanes * (c->half ? 2 : 4),
                   .half = c->half,
                   .pairs = c->pairs,
                   .unroll = c->unroll,
                   .mask = mask};
    if (p->ahead) {
        LLVMValueRef done = i_add(k, at->steps, i_mul(k, tap, at->count));
        LLVMValueRef offset = i_scale(k, i_div(k, done, c->unroll), c->ahead.step);
        s.ahead = LLVMBuildGEP2(k->b, k->gen->f32, p->ahead, &offset, 1, "");
        s.fetch = c->ahead.step;
    }
    tile_steps(t, &s);
}

/* the same pointer, as one that LLVM knows nothing of */
static LLVMValueRef hide(Kernel *k, LLVMValueRef p) {
    static const char constraints[] = "=r,0";
    LLVMTypeRef type = LLVMFunctionType(k->gen->ptr, &k->gen->ptr, 1, 0);
    LLVMValueRef nothing =
        LLVMGetInlineAsm(type, "", 0, constraints, sizeof constraints - 1, 0, 0, LLVMInlineAsmDialectATT, 0);
    return LLVMBuildCall2(k->b, type, nothing, &p, 1, "");
}

/* row: of the window, counted over its outer axes */
static void row_taps(Panel *p, Tile *t, const Place *at, LLVMValueRef row, LLVMValueRef x, const Taps *taps) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    uint32_t all = (uint32_t)((1ull << t->rows) - 1);
    LLVMValueRef step = i_scale(k, c->x_pixel, c->dilation[2]);
    if (c->combine != COMBINE_DENSE) {
        channelwise_row(c, t, x, at->w, row, taps);
        return;
    }
    LLVMValueRef tap = i_scale(k, row, c->kernel[2]);
    for (int64_t i = 0; !taps->from && i < c->kernel[2]; i++) {
        /* hidden: neighbouring taps read the same elements, which LLVM would keep in registers that the tile needs */
        if (taps->masks[i])
            channel_steps(p, t, at, i_plus(k, tap, i), hide(k, f32_at(k, x, i_scale(k, step, i))), taps->masks[i]);
    }
    if (!taps->from) return;
    For f = for_begin(k, taps->from, taps->to, 1);
    channel_steps(p, t, at, i_add(k, tap, f.i), f32_at(k, x, i_mul(k, f.i, step)), all);
    for_end(k, &f);
}

/* input coordinate of outer axis i at a tap */
static LLVMValueRef input_at(Panel *p, int i, LLVMValueRef tap) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    LLVMValueRef at = i_add(k, i_scale(k, p->outer[i], c->stride[i]), i_scale(k, tap, c->dilation[i]));
    return i_plus(k, at, -c->pad[i]);
}

static void block_taps(Panel *p, Tile *t, const Place *at, LLVMValueRef start, const Taps *taps) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    LLVMValueRef column = i_plus(k, i_scale(k, start, c->stride[2]), -c->pad[2]);
    For f = for_begin(k, p->lo[0], p->hi[0], 1);
    For g = for_begin(k, p->lo[1], p->hi[1], 1);
    LLVMValueRef row = i_add(k, i_mul(k, input_at(p, 0, f.i), c->in[1]), input_at(p, 1, g.i));
    LLVMValueRef pixel = i_add(k, i_mul(k, row, c->in[2]), column);
    LLVMValueRef tap = i_add(k, i_scale(k, f.i, c->kernel[1]), g.i);
    /* the address may lie before the row's first pixel: only taps inside of it are loaded */
    row_taps(p, t, at, tap, x_at(c, at->x, i_mul(k, pixel, c->x_pixel)), taps);
    for_end(k, &g);
    for_end(k, &f);
}

/* ---- what stands in the padding is not 0 ---- */

static void add_outside(Panel *p, Tile *t, LLVMValueRef tap, uint32_t rows) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    LLVMValueRef from = f32_at(k, p->bias, i_scale(k, i_plus(k, tap, 1), c->cols));
    for (int v = 0; v < t->vecs; v++) {
        LLVMValueRef x = vec_load_of(k, t->element, f32_at(k, from, gen_i64(k->gen, v * t->lanes)), t->lanes, 4);
        for (int r = 0; r < t->rows; r++)
            if (rows >> r & 1) tile_put(t, r, v, LLVMBuildAdd(k->b, tile_get(t, r, v), x, ""));
    }
}

static void add_taps_outside(Panel *p, Tile *t, LLVMValueRef first, LLVMValueRef from, LLVMValueRef to) {
    Kernel *k = p->c->k;
    For f = for_begin(k, from, to, 1);
    add_outside(p, t, i_add(k, first, f.i), UINT32_MAX);
    for_end(k, &f);
}

/* taps of one kernel row that lies inside of the input; first: the number of its first tap */
static void add_row_outside(Panel *p, Tile *t, LLVMValueRef first, const Taps *taps) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    uint32_t all = (uint32_t)((1ull << t->rows) - 1);
    for (int64_t i = 0; !taps->from && i < c->kernel[2]; i++)
        if (all & ~taps->masks[i]) add_outside(p, t, i_plus(k, first, i), all & ~taps->masks[i]);
    if (!taps->from) return;
    add_taps_outside(p, t, first, zero(p), taps->from);
    add_taps_outside(p, t, first, taps->to, gen_i64(k->gen, c->kernel[2]));
}

static LLVMValueRef is_all(Panel *p, int axis) {
    Kernel *k = p->c->k;
    LLVMValueRef lo = LLVMBuildICmp(k->b, LLVMIntEQ, p->lo[axis], zero(p), ""),
                 hi = LLVMBuildICmp(k->b, LLVMIntEQ, p->hi[axis], gen_i64(k->gen, p->c->kernel[axis]), "");
    return LLVMBuildAnd(k->b, lo, hi, "");
}

static LLVMValueRef is_between(Kernel *k, LLVMValueRef i, LLVMValueRef lo, LLVMValueRef hi) {
    LLVMValueRef from = LLVMBuildICmp(k->b, LLVMIntSGE, i, lo, ""), to = LLVMBuildICmp(k->b, LLVMIntSLT, i, hi, "");
    return LLVMBuildAnd(k->b, from, to, "");
}

/* calls f for each row of the window that lies inside, or outside */
static void each_window_row(Panel *p, bool inside, void (*f)(Panel *, Tile *, LLVMValueRef first, const Taps *), Tile *t,
                            const Taps *taps) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    For outer = for_count(k, c->kernel[0]), g = for_count(k, c->kernel[1]);
    LLVMValueRef first = i_scale(k, i_add(k, i_scale(k, outer.i, c->kernel[1]), g.i), c->kernel[2]);
    LLVMValueRef there = LLVMBuildAnd(k->b, is_between(k, outer.i, p->lo[0], p->hi[0]),
                                      is_between(k, g.i, p->lo[1], p->hi[1]), "");
    If in = if_begin(k, inside ? there : LLVMBuildNot(k->b, there, ""));
    f(p, t, first, taps);
    if_end(k, &in);
    for_end(k, &g);
    for_end(k, &outer);
}

static void add_whole_row(Panel *p, Tile *t, LLVMValueRef first, const Taps *taps) {
    (void)taps;
    add_taps_outside(p, t, first, zero(p), gen_i64(p->c->k->gen, p->c->kernel[2]));
}

/* do all places of the tile find all taps of a row inside? */
static bool row_is_inside(const Contraction *c, const Tile *t, const Taps *taps) {
    uint32_t all = (uint32_t)((1ull << t->rows) - 1);
    int64_t from, to;
    if (taps->from) return i_is_const(taps->from, &from) && i_is_const(taps->to, &to) && from == 0 && to == c->kernel[2];
    for (int64_t i = 0; i < c->kernel[2]; i++)
        if (all & ~taps->masks[i]) return false;
    return true;
}

/* the bias and what the taps outside add: whole rows of the window first, which are the same for all places of the tile */
static void fill_border(Panel *p, Tile *t, const Taps *taps) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    Tile same;
    tile_begin_of(&same, k, c->kind, c->sum, 1, t->vecs, t->lanes);
    tile_fill(&same, p->bias, 4);
    If any = if_begin(k, LLVMBuildNot(k->b, LLVMBuildAnd(k->b, is_all(p, 0), is_all(p, 1), ""), ""));
    each_window_row(p, false, add_whole_row, &same, taps);
    if_end(k, &any);
    for (int i = 0; i < t->rows * t->vecs; i++) tile_put(t, i / t->vecs, i % t->vecs, tile_get(&same, 0, i % t->vecs));
    if (!row_is_inside(c, t, taps) && !(c->combine == COMBINE_DEPTHWISE && channelwise_in_quads(c, t, taps)))
        each_window_row(p, true, add_row_outside, t, taps);
}

static void emit_tile(Panel *p, int rows, LLVMValueRef start, const Taps *taps) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    Tile t;
    const Grouping *g = &c->group;
    int64_t channels = g->channels * g->groups, blocks = (channels + g->block - 1) / g->block,
            last = channels - (blocks - 1) * g->block;
    int64_t panel = g->block * c->kernel[0] * c->kernel[1] * c->kernel[2] * p->vecs * c->lanes;
    tile_begin_of(&t, k, c->kind, c->sum, rows, p->vecs, c->lanes);
    if (c->border) fill_border(p, &t, taps);
    else if (c->combine == COMBINE_DENSE) tile_fill(&t, p->bias, 4);
    else channelwise_fill(c, &t, p->bias);
    For f = for_begin(k, zero(p), p->blocks, 1);
    Place at = {x_at(c, p->x, i_mul(k, f.i, c->x_block)), p->w ? w_at(c, p->w, i_scale(k, f.i, panel)) : NULL,
                gen_i64(k->gen, g->block), i_scale(k, f.i, g->block * taps_of(c))};
    if (last != g->block) {
        LLVMValueRef ends = LLVMBuildICmp(k->b, LLVMIntEQ, i_add(k, f.i, p->first), gen_i64(k->gen, blocks - 1), "");
        at.count =
            blocks == 1 ? gen_i64(k->gen, last) : LLVMBuildSelect(k->b, ends, gen_i64(k->gen, last), at.count, "");
    }
    block_taps(p, &t, &at, start, taps);
    for_end(k, &f);
    if (c->combine == COMBINE_MEAN) channelwise_finish(c, &t, p->outer, start);
    Point out = {.batch = p->batch, .col = p->col};
    for (int i = 0; i < 3; i++) out.space[i] = i_add(k, i_scale(k, i < 2 ? p->outer[i] : start, c->up[i]), p->phase[i]);
    tile_store(&t, &c->epilogue, &out, c->up[2]);
}

/* ---- along a row ---- */

static bool is_flat(const Contraction *c) { return c->kernel[2] == 1 && c->pad[2] == 0 && c->pad_end[2] == 0; }

static Taps all_taps(Panel *p) { return (Taps){zero(p), gen_i64(p->c->k->gen, p->c->kernel[2]), NULL}; }

Ahead ahead_of_panel(const Target *t, int64_t bytes, int64_t steps, int64_t wide, int64_t tiles, int unroll) {
    enum { LINE = 16, DISTANCE = 4096, MOST_LINES = 8 };
    int64_t panel = steps * wide;
    if (bytes * 2 < (int64_t)t->l2 || tiles < 1 || steps < unroll) return (Ahead){0};
    if (panel * 4 * 3 > (int64_t)t->l2) return (Ahead){wide * unroll, DISTANCE, 0};
    int64_t step = (wide * unroll + tiles - 1) / tiles;
    if (step > LINE) step = (step + LINE - 1) / LINE * LINE;
    if (step > MOST_LINES * LINE) step = MOST_LINES * LINE;
    return (Ahead){step, panel, steps / unroll * step};
}

/* for tile number `tile` of the row at hand */
static void set_ahead(Panel *p, LLVMValueRef tile) {
    Contraction *c = p->c;
    if (!c->ahead.step || !p->before) return;
    LLVMValueRef at = i_plus(c->k, i_scale(c->k, i_add(c->k, p->before, tile), c->ahead.tile), c->ahead.distance);
    p->ahead =
        LLVMBuildGEP2(c->k->b, c->k->gen->f32, p->w, &at, 1, ""); /* behind the last panel there may be nothing */
}

/* first tile … last tile - 1 of `rows` rows; the one that passes `end` is moved back */
static void emit_run(Panel *p, int rows, LLVMValueRef first, LLVMValueRef last, LLVMValueRef begin, LLVMValueRef end) {
    Kernel *k = p->c->k;
    Taps taps = all_taps(p);
    int64_t size;
    For f = for_begin(k, first, last, 1);
    LLVMValueRef start = i_add(k, begin, i_scale(k, f.i, rows)), most = i_plus(k, end, -rows);
    bool whole = i_is_const(i_sub(k, end, begin), &size) && size % rows == 0;
    set_ahead(p, f.i);
    emit_tile(p, rows, whole ? start : i_min(k, start, most), &taps);
    for_end(k, &f);
    p->ahead = NULL;
}

/* columns from … to - 1, one by one, with the taps that lie inside */
static void emit_columns(Panel *p, LLVMValueRef from, LLVMValueRef to) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    For f = for_begin(k, from, to, 1);
    LLVMValueRef at = i_plus(k, i_scale(k, f.i, c->stride[2]), -c->pad[2]), none = zero(p);
    LLVMValueRef before = i_max(k, i_sub(k, none, at), none), inside = i_max(k, i_sub(k, c->in[2], at), none);
    LLVMValueRef size = gen_i64(k->gen, c->kernel[2]);
    Taps taps = {i_min(k, i_div_up(k, before, c->dilation[2]), size),
                 i_min(k, i_div_up(k, inside, c->dilation[2]), size), NULL};
    emit_tile(p, 1, f.i, &taps);
    for_end(k, &f);
}

/* no borders: tiles of `rows` where at least one fits, else narrower ones */
static void emit_open_flat(Panel *p, int rows) {
    Kernel *k = p->c->k;
    LLVMValueRef none = zero(p), width = p->c->out[2];
    if (rows == 1) {
        emit_run(p, 1, none, width, none, width);
        return;
    }
    If f = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSGE, width, gen_i64(k->gen, rows), ""));
    emit_run(p, rows, none, i_div_up(k, width, rows), none, width);
    if_else(k, &f);
    emit_open_flat(p, rows / 2);
    if_end(k, &f);
}

/* any width: columns near the borders alone, tiles between them where at least one fits */
static void emit_open_row(Panel *p) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    LLVMValueRef none = zero(p), width = c->out[2];
    if (is_flat(c)) {
        emit_open_flat(p, c->rows);
        return;
    }
    LLVMValueRef lo = i_min(k, gen_i64(k->gen, (c->pad[2] + c->stride[2] - 1) / c->stride[2]), width);
    int64_t reach = (c->kernel[2] - 1) * c->dilation[2];
    LLVMValueRef room = i_max(k, i_plus(k, c->in[2], c->pad[2] - reach), none); /* places where all taps end inside */
    LLVMValueRef hi = i_max(k, i_min(k, i_div_up(k, room, c->stride[2]), width), lo), inner = i_sub(k, hi, lo);
    LLVMValueRef fits = LLVMBuildICmp(k->b, LLVMIntSGE, inner, gen_i64(k->gen, c->rows), "");
    If f = if_begin(k, fits);
    emit_run(p, c->rows, none, i_div_up(k, inner, c->rows), lo, hi);
    if_end(k, &f);
    LLVMValueRef left = LLVMBuildSelect(k->b, fits, lo, width, ""), right = LLVMBuildSelect(k->b, fits, hi, width, "");
    For side = for_count(k, 2); /* before the tiles, behind them; everything before where there are none */
    LLVMValueRef behind = LLVMBuildICmp(k->b, LLVMIntEQ, side.i, gen_i64(k->gen, 1), "");
    emit_columns(p, LLVMBuildSelect(k->b, behind, right, none, ""), LLVMBuildSelect(k->b, behind, width, left, ""));
    for_end(k, &side);
}

typedef struct Row { /* of constant width */
    int rows;
    int64_t in, out, tiles;
} Row;

static int64_t tile_start(const Row *r, int64_t tile) {
    return tile * r->rows + r->rows > r->out ? r->out - r->rows : tile * r->rows;
}

/* the rows of a tile that each tap finds inside; true: all of them do */
static bool fill_masks(const Contraction *c, const Row *r, int64_t tile, uint32_t *masks) {
    bool full = true;
    for (int64_t i = 0; i < c->kernel[2]; i++) {
        masks[i] = 0;
        for (int row = 0; row < r->rows; row++) {
            int64_t at = (tile_start(r, tile) + row) * c->stride[2] - c->pad[2] + i * c->dilation[2];
            if (at >= 0 && at < r->in) masks[i] |= 1u << row;
            else full = false;
        }
    }
    return full;
}

static bool is_constant_row(Contraction *c, Row *r, uint32_t *masks) {
    if (!i_is_const(c->in[2], &r->in) || !i_is_const(c->out[2], &r->out) || r->out < 1) return false;
    r->rows = r->out < c->rows ? (int)r->out : c->rows;
    r->tiles = (r->out + r->rows - 1) / r->rows;
    int borders = 0;
    for (int64_t i = 0; i < r->tiles && !is_flat(c); i++) {
        borders += !fill_masks(c, r, i, masks);
        if (borders > MAX_BORDER_TILES) return false;
    }
    return true;
}

static void emit_constant_row(Panel *p, const Row *r, uint32_t *masks) {
    Contraction *c = p->c;
    Gen *g = c->k->gen;
    for (int64_t i = 0; i < r->tiles; i++) {
        int64_t from = i;
        while (i < r->tiles && fill_masks(c, r, i, masks)) i++;
        if (i > from) emit_run(p, r->rows, gen_i64(g, from), gen_i64(g, i), zero(p), gen_i64(g, r->out));
        Taps taps = {.masks = masks};
        if (i == r->tiles) break;
        set_ahead(p, gen_i64(g, i));
        emit_tile(p, r->rows, gen_i64(g, tile_start(r, i)), &taps);
    }
}

/* ---- outside of it ---- */

static void fill_outer_taps(Panel *p) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    for (int i = 0; i < 2; i++) {
        LLVMValueRef none = zero(p), size = gen_i64(k->gen, c->kernel[i]);
        p->lo[i] = none;
        p->hi[i] = size;
        if (c->kernel[i] == 1 && c->pad[i] == 0 && c->pad_end[i] == 0) continue;
        LLVMValueRef at = i_plus(k, i_scale(k, p->outer[i], c->stride[i]), -c->pad[i]);
        LLVMValueRef before = i_max(k, i_sub(k, none, at), none), inside = i_max(k, i_sub(k, c->in[i], at), none);
        p->lo[i] = i_min(k, i_div_up(k, before, c->dilation[i]), size);
        p->hi[i] = i_min(k, i_div_up(k, inside, c->dilation[i]), size);
    }
}

static bool is_one(LLVMValueRef v) {
    int64_t n;
    return i_is_const(v, &n) && n == 1;
}

static LLVMValueRef outer_rows(Contraction *c) { return i_mul(c->k, c->out[0], c->out[1]); }
static bool is_one_row(Contraction *c) { return is_one(outer_rows(c)); }

/* a panel over a run: rows first … last - 1, or tiles of the only row */
static void emit_panel_run(Panel *p, LLVMValueRef first, LLVMValueRef last) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    uint32_t *masks = ARENA_ARRAY(k->gen->ctx->arena, c->kernel[2], uint32_t);
    Row r;
    bool constant = is_constant_row(c, &r, masks);
    if (is_one_row(c) && is_flat(c) && constant) {
        p->outer[0] = p->outer[1] = zero(p);
        fill_outer_taps(p);
        p->before = i_sub(k, zero(p), first);
        emit_run(p, r.rows, first, last, zero(p), gen_i64(k->gen, r.out));
        return;
    }
    For f = for_begin(k, first, last, 1);
    p->outer[0] = is_one(c->out[0]) ? zero(p) : LLVMBuildUDiv(k->b, f.i, c->out[1], "");
    p->outer[1] = is_one(c->out[0]) ? f.i : LLVMBuildURem(k->b, f.i, c->out[1], "");
    fill_outer_taps(p);
    p->before = constant ? i_scale(k, i_sub(k, f.i, first), r.tiles) : NULL;
    if (constant) emit_constant_row(p, &r, masks);
    else emit_open_row(p);
    for_end(k, &f);
}

static LLVMValueRef kernel_area(const Contraction *c) { return i_mul(c->k, i_mul(c->k, c->in[0], c->in[1]), c->in[2]); }

static LLVMValueRef run_length(Contraction *c) {
    int64_t width;
    if (!is_one_row(c) || !is_flat(c) || !i_is_const(c->out[2], &width)) return outer_rows(c);
    int64_t rows = width < c->rows ? width : c->rows;
    return gen_i64(c->k->gen, rows ? (width + rows - 1) / rows : 0);
}

static int64_t vectors_of(const Contraction *c) { return (c->cols + c->lanes - 1) / c->lanes; }

typedef struct Source { /* what a panel reads, in elements and blocks */
    int64_t first, count, w;
} Source;

typedef struct Panels { /* all of them: `full` ones of c->vecs vectors, and one of `left` */
    int64_t full, left;
    Source *source;
    LLVMValueRef table; /* of sources, as they are in memory; NULL: all read the same blocks */
    int64_t weights;    /* of one phase, elements */
} Panels;

/* of a panel of n columns: bytes of narrow weights, else elements */
static int64_t panel_size(const Contraction *c, int64_t n, int64_t channels) {
    int64_t steps = channels * taps_of(c);
    return c->stored ? narrow_panel_bytes(c->stored, n, steps) : n * steps;
}

static void fill_panels(const Contraction *c, Panels *p) {
    Gen *g = c->k->gen;
    int64_t wide = (int64_t)c->vecs * c->lanes, col = 0;
    p->full = c->cols / wide;
    p->left = vectors_of(c) - p->full * c->vecs;
    p->source = ARENA_ARRAY(g->ctx->arena, p->full + 1, Source);
    for (int64_t i = 0; i < p->full + (p->left > 0); i++, col += wide) {
        int64_t n = i < p->full ? wide : p->left * c->lanes;
        BlockRange r = panel_blocks(&c->group, col, n);
        p->source[i] = (Source){r.first, r.count, p->weights};
        p->weights += panel_size(c, n, range_channels(&c->group, r));
    }
    if (c->group.groups > 1)
        p->table = gen_bytes(g, p->source, sizeof *p->source * (size_t)(p->full + (p->left > 0)), 8);
}

static LLVMValueRef from_table(const Contraction *c, LLVMValueRef table, LLVMValueRef panel, int field) {
    Kernel *k = c->k;
    LLVMValueRef at = i_plus(k, i_scale(k, panel, sizeof(Source) / 8), field);
    LLVMValueRef v = LLVMBuildLoad2(k->b, k->gen->i64, LLVMBuildInBoundsGEP2(k->b, k->gen->i64, table, &at, 1, ""), "");
    LLVMSetAlignment(v, 8);
    return v;
}

/* panel `index` of `vecs` vectors, the first of which is number `from` */
static void fill_source(Panel *p, const Panels *all, LLVMValueRef index, int64_t from, LLVMValueRef w) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    const Source *first = &all->source[from];
    LLVMValueRef offset;
    if (c->combine != COMBINE_DENSE) {
        p->first = zero(p);
        p->blocks = gen_i64(k->gen, 1);
        p->x = x_at(c, p->x, i_mul(k, p->col, c->x_col));
        offset = i_scale(k, i_div(k, p->col, c->lanes), channelwise_weights(c));
    } else if (all->table) {
        LLVMValueRef panel = i_plus(k, index, from);
        p->first = from_table(c, all->table, panel, 0);
        p->blocks = from_table(c, all->table, panel, 1);
        offset = from_table(c, all->table, panel, 2);
        p->x = x_at(c, p->x, i_mul(k, p->first, c->x_block));
    } else {
        p->first = zero(p);
        p->blocks = gen_i64(k->gen, first->count);
        offset = i_plus(k, i_scale(k, index, panel_size(c, (int64_t)p->vecs * c->lanes, c->group.channels)), first->w);
    }
    p->w = !w ? NULL : c->stored ? element_at(k, k->gen->i8, w, offset) : w_at(c, w, offset);
}

/* panels first … last - 1 of those of `vecs` vectors that begin with number `from`, at column `col` */
static void emit_panels(Panel *p, const Panels *all, int vecs, int64_t from, Range panels, int64_t col, LLVMValueRef w,
                        Range run) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    Panel own = *p;
    own.vecs = vecs;
    For f = for_begin(k, panels.from, panels.to, 1);
    own.col = i_plus(k, i_scale(k, f.i, (int64_t)vecs * c->lanes), col);
    fill_source(&own, all, f.i, from, w);
    own.bias = c->bias ? f32_at(k, c->bias, own.col) : NULL;
    if (c->stored) {
        panel_expand(c, own.w, vecs, own.first, own.blocks);
        own.w = k->scratch;
    }
    emit_panel_run(&own, run.from, run.to);
    for_end(k, &f);
}

/* What a chunk repeats: reading the weights for its rows, or the inputs for its panels; about as much as it multiplies
 * in so many steps of a tile. */
static Grid grid_of(const Contraction *c, const Panels *all, LLVMValueRef rows) {
    enum { STEPS = 16 };
    int64_t units = 0, pixels = 0, channels = c->group.channels * c->group.groups;
    bool known = i_is_const(rows, &units) && i_is_const(kernel_area(c), &pixels);
    if (c->combine != COMBINE_DENSE) return grid_choose(c->k->chunks, known ? units : 0, all->full, 0, 0);
    double inputs = known ? (double)(pixels * channels) : 0, weights = (double)all->weights, sum = inputs + weights + 1;
    return grid_choose(c->k->chunks, units, all->full + (all->left > 0), inputs / sum / STEPS, weights / sum / STEPS);
}

static void emit_runs(Panel *p, const Panels *all, LLVMValueRef w) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    LLVMValueRef end = run_length(c);
    int64_t total, run = c->run ? c->run : INT64_MAX / 2, panels = all->full + (all->left > 0);
    if (i_is_const(end, &total) && total < run) run = total ? total : 1;
    Grid grid = grid_of(c, all, end);
    Range rows = kernel_share(k, end, grid.cols, grid.rows),
          cols = kernel_share(k, gen_i64(k->gen, panels), 1, grid.cols);
    For f = for_begin(k, rows.from, rows.to, run);
    Range part = {f.i, i_min(k, i_plus(k, f.i, run), rows.to)};
    Range full = {i_min(k, cols.from, gen_i64(k->gen, all->full)), i_min(k, cols.to, gen_i64(k->gen, all->full))};
    if (all->full) emit_panels(p, all, c->vecs, 0, full, 0, w, part);
    int64_t start = c->overlap ? c->cols - all->left * c->lanes : all->full * c->vecs * c->lanes;
    if (all->left) {
        Range rest = {i_sub(k, i_max(k, cols.from, gen_i64(k->gen, all->full)), gen_i64(k->gen, all->full)),
                      i_sub(k, i_max(k, cols.to, gen_i64(k->gen, all->full)), gen_i64(k->gen, all->full))};
        emit_panels(p, all, (int)all->left, all->full, rest, start, w, part);
    }
    for_end(k, &f);
}

void contraction_emit(Contraction *c) {
    Kernel *k = c->k;
    Panel p = {.c = c};
    Panels all = {0};
    if (!c->sum) c->x_element = c->sum = k->gen->f32;
    fill_panels(c, &all);
    For batch = for_begin(k, gen_i64(k->gen, 0), c->batch, 1), phase[3];
    p.batch = batch.i;
    LLVMValueRef w = gen_i64(k->gen, 0);
    for (int i = 0; i < 3; i++) {
        phase[i] = for_count(k, c->up[i]);
        p.phase[i] = phase[i].i;
        w = i_add(k, i_scale(k, w, c->up[i]), phase[i].i);
    }
    p.x = x_at(c, c->x, i_mul(k, batch.i, c->x_batch));
    emit_runs(&p, &all, c->w ? w_at(c, c->w, i_scale(k, w, all.weights)) : NULL);
    for (int i = 2; i >= 0; i--) for_end(k, &phase[i]);
    for_end(k, &batch);
}
