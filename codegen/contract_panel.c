/* A panel of columns over a run of rows: rows, tiles along a row; inside a tile blocks of channels, taps, channels.
 * Padding costs no copy: outer taps are clamped by the loops' bounds; along the row, tiles at the borders leave out the
 * taps that fall outside, each its own variant where dims are constants, else columns near the borders are computed one
 * by one. A ragged last tile overlaps its neighbour. */
#include "codegen/contract_panel.h"

enum { MAX_BORDER_TILES = 4 };

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

/* the same pointer, as one that LLVM knows nothing of; anew: whenever control comes by */
static LLVMValueRef hide(Kernel *k, LLVMValueRef p, bool anew) {
    static const char constraints[] = "=r,0";
    LLVMTypeRef type = LLVMFunctionType(k->gen->ptr, &k->gen->ptr, 1, 0);
    LLVMValueRef nothing =
        LLVMGetInlineAsm(type, "", 0, constraints, sizeof constraints - 1, anew, 0, LLVMInlineAsmDialectATT, 0);
    return LLVMBuildCall2(k->b, type, nothing, &p, 1, "");
}

/* all of a row's taps, each one step of a block, as those of bytes are in short vectors: a loop's own instructions would
 * count */
static bool are_few(const Contraction *c, const Taps *taps) {
    enum { FEW = 8 };
    int64_t from, to;
    return c->group.block == 1 && c->kernel[2] > 1 && c->kernel[2] <= FEW && i_is_const(taps->from, &from) && i_is_const(taps->to, &to) &&
           from == 0 && to == c->kernel[2];
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
    bool one_by_one = !taps->from || are_few(c, taps);
    for (int64_t i = 0; one_by_one && i < c->kernel[2]; i++) {
        uint32_t mask = taps->from ? all : taps->masks[i];
        /* hidden: neighbouring taps read the same elements, which LLVM would keep in registers that the tile needs */
        if (mask) channel_steps(p, t, at, i_plus(k, tap, i), hide(k, f32_at(k, x, i_scale(k, step, i)), false), mask);
    }
    if (one_by_one) return;
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
static void each_window_row(Panel *p, bool inside, void (*f)(Panel *, Tile *, LLVMValueRef first, const Taps *),
                            Tile *t, const Taps *taps) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    For outer = for_count(k, c->kernel[0]), g = for_count(k, c->kernel[1]);
    LLVMValueRef first = i_scale(k, i_add(k, i_scale(k, outer.i, c->kernel[1]), g.i), c->kernel[2]);
    LLVMValueRef there =
        LLVMBuildAnd(k->b, is_between(k, outer.i, p->lo[0], p->hi[0]), is_between(k, g.i, p->lo[1], p->hi[1]), "");
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
    if (taps->from)
        return i_is_const(taps->from, &from) && i_is_const(taps->to, &to) && from == 0 && to == c->kernel[2];
    for (int64_t i = 0; i < c->kernel[2]; i++)
        if (all & ~taps->masks[i]) return false;
    return true;
}

/* The bias, and whole rows of the window that lie outside: the same for all places of a row */
static void begin_border(Panel *p) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    tile_begin_of(&p->same, k, c->kind, c->sum, 1, p->vecs, c->lanes);
    tile_fill(&p->same, p->bias, 4);
    If any = if_begin(k, LLVMBuildNot(k->b, LLVMBuildAnd(k->b, is_all(p, 0), is_all(p, 1), ""), ""));
    each_window_row(p, false, add_whole_row, &p->same, NULL);
    if_end(k, &any);
}

static void fill_border(Panel *p, Tile *t, const Taps *taps) {
    Contraction *c = p->c;
    for (int i = 0; i < t->rows * t->vecs; i++) tile_put(t, i / t->vecs, i % t->vecs, tile_get(&p->same, 0, i % t->vecs));
    if (!row_is_inside(c, t, taps) && !(c->combine == COMBINE_DEPTHWISE && channelwise_in_quads(c, t, taps)))
        each_window_row(p, true, add_row_outside, t, taps);
}

static void add_block(Panel *p, Tile *t, LLVMValueRef block, LLVMValueRef x, LLVMValueRef w, LLVMValueRef start,
                      const Taps *taps) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    const Grouping *g = &c->group;
    int64_t channels = g->channels * g->groups, blocks = (channels + g->block - 1) / g->block,
            last = channels - (blocks - 1) * g->block;
    Place at = {x, w, gen_i64(k->gen, g->block), i_scale(k, block, g->block * taps_of(c))};
    if (last != g->block) {
        LLVMValueRef ends = LLVMBuildICmp(k->b, LLVMIntEQ, i_add(k, block, p->first), gen_i64(k->gen, blocks - 1), "");
        at.count =
            blocks == 1 ? gen_i64(k->gen, last) : LLVMBuildSelect(k->b, ends, gen_i64(k->gen, last), at.count, "");
    }
    block_taps(p, t, &at, start, taps);
}

static int64_t block_weights(const Panel *p) {
    return p->c->group.block * taps_of(p->c) * p->vecs * p->c->lanes;
}

enum { TOGETHER = 4 };

/* Blocks of one step, as those of bytes are in short vectors, go a few at a time: a loop's own instructions would count. */
static bool goes_together(const Panel *p, int64_t *blocks) {
    const Contraction *c = p->c;
    bool short_steps = c->combine == COMBINE_DENSE && c->group.block == 1 && taps_of(c) == 1;
    return short_steps && i_is_const(p->blocks, blocks) && *blocks >= TOGETHER;
}

/* `n` blocks from those that x and w point to; both end behind them */
static void add_together(Panel *p, Tile *t, LLVMValueRef block, int64_t n, LLVMValueRef x, LLVMValueRef w,
                         LLVMValueRef start, const Taps *taps) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    /* hidden: LLVM would load all panels first, and spill, and count in one index what goes in two steps */
    LLVMValueRef from = hide(k, LLVMBuildLoad2(k->b, k->gen->ptr, x, ""), true),
                 weights = LLVMBuildLoad2(k->b, k->gen->ptr, w, "");
    for (int64_t i = 0; i < n; i++)
        add_block(p, t, i_plus(k, block, i), x_at(c, from, i_scale(k, c->x_block, i)),
                  w_at(c, weights, gen_i64(k->gen, i * block_weights(p))), start, taps);
    LLVMBuildStore(k->b, x_at(c, from, i_scale(k, c->x_block, n)), x);
    LLVMBuildStore(k->b, w_at(c, weights, gen_i64(k->gen, n * block_weights(p))), w);
}

static void add_all_together(Panel *p, Tile *t, int64_t blocks, LLVMValueRef start, const Taps *taps) {
    Kernel *k = p->c->k;
    LLVMValueRef x = gen_alloca(k->gen, k->b, k->gen->ptr, 8), w = gen_alloca(k->gen, k->b, k->gen->ptr, 8);
    LLVMBuildStore(k->b, p->x, x);
    LLVMBuildStore(k->b, p->w, w);
    LLVMValueRef end = gen_i64(k->gen, blocks / TOGETHER * TOGETHER);
    For f = for_begin(k, zero(p), end, TOGETHER);
    add_together(p, t, f.i, TOGETHER, x, w, start, taps);
    for_end(k, &f);
    if (blocks % TOGETHER) add_together(p, t, end, blocks % TOGETHER, x, w, start, taps);
}

static void add_each(Panel *p, Tile *t, LLVMValueRef start, const Taps *taps) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    For f = for_begin(k, zero(p), p->blocks, 1);
    add_block(p, t, f.i, x_at(c, p->x, i_mul(k, f.i, c->x_block)),
              p->w ? w_at(c, p->w, i_scale(k, f.i, block_weights(p))) : NULL, start, taps);
    for_end(k, &f);
}

/* Rows of bytes begin with the bias from memory, two vectors an instruction, where LLVM would copy one row's. */
static void fill_bias(Panel *p, Tile *t) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    LLVMValueRef bias = p->bias;
    if (c->kind == TILE_F32 || !k->gen->target->lane_multiply || t->vecs < 2) {
        tile_fill(t, bias, 4);
        return;
    }
    for (int r = 0; r < t->rows; r++) {
        for (int v = 0; v < t->vecs; v++) {
            LLVMValueRef at = f32_at(k, bias, gen_i64(k->gen, v * t->lanes));
            tile_put(t, r, v, vec_load_of(k, t->element, at, t->lanes, 4));
        }
        bias = hide(k, bias, false);
    }
}

static void emit_tile(Panel *p, int rows, LLVMValueRef start, const Taps *taps) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    Tile t;
    tile_begin_of(&t, k, c->kind, c->sum, rows, p->vecs, c->lanes);
    if (c->border) fill_border(p, &t, taps);
    else if (c->combine == COMBINE_DENSE) fill_bias(p, &t);
    else channelwise_fill(c, &t, p->bias);
    int64_t blocks;
    if (goes_together(p, &blocks)) add_all_together(p, &t, blocks, start, taps);
    else add_each(p, &t, start, taps);
    if (c->combine == COMBINE_MEAN) channelwise_finish(c, &t, p->outer, start);
    Point out = {.batch = p->batch, .col = p->col};
    for (int i = 0; i < 3; i++) out.space[i] = i_add(k, i_scale(k, i < 2 ? p->outer[i] : start, c->up[i]), p->phase[i]);
    tile_store(&t, &c->epilogue, &out, c->up[2]);
}

/* ---- along a row ---- */

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

LLVMValueRef outer_rows(const Contraction *c) { return i_mul(c->k, c->out[0], c->out[1]); }
bool is_one_row(const Contraction *c) { return is_one(outer_rows(c)); }

void panel_emit_run(Panel *p, LLVMValueRef first, LLVMValueRef last) {
    Contraction *c = p->c;
    Kernel *k = c->k;
    uint32_t *masks = ARENA_ARRAY(k->gen->ctx->arena, c->kernel[2], uint32_t);
    Row r;
    bool constant = is_constant_row(c, &r, masks);
    if (is_one_row(c) && is_flat(c) && constant) {
        p->outer[0] = p->outer[1] = zero(p);
        fill_outer_taps(p);
        if (c->border) begin_border(p);
        p->before = i_sub(k, zero(p), first);
        emit_run(p, r.rows, first, last, zero(p), gen_i64(k->gen, r.out));
        return;
    }
    For f = for_begin(k, first, last, 1);
    p->outer[0] = is_one(c->out[0]) ? zero(p) : LLVMBuildUDiv(k->b, f.i, c->out[1], "");
    p->outer[1] = is_one(c->out[0]) ? f.i : LLVMBuildURem(k->b, f.i, c->out[1], "");
    fill_outer_taps(p);
    if (c->border) begin_border(p);
    p->before = constant ? i_scale(k, i_sub(k, f.i, first), r.tiles) : NULL;
    if (constant) emit_constant_row(p, &r, masks);
    else emit_open_row(p);
    for_end(k, &f);
}
