/* mcc.SparseBlockConv: a convolution of bytes in channel blocks, whose nonzero weights, four channels a word, are
 * straight-line code (sparse.h). A source is a quad of channels at a tap. Chunks of panels of PANEL pixels go
 * outermost: their x is brought into scratch memory as [panels][quads][taps][PANEL] words, what lies outside of the map
 * being the zero point; then part after part of the output channels is summed into scratch memory, with pixels for
 * lanes, and goes through the epilogue so, back into channel blocks.
 *
 * Where a window is more than a pixel, x becomes planes of words first (ir/plane.c), so that a tap is a vector that
 * begins anywhere, and strides are phases. */
#include <string.h>
#include "codegen/quads.h"
#include "codegen/sparse.h"

enum { BLOCK = 16, LINE = 64 };

typedef struct Shape {
    PlaneWindow window;
    PlaneTaps taps;
    Plane plane; /* of a phase */
    int64_t phases[MAX_PHASES], n_phases;
    bool flat;                                  /* a window of one pixel: no planes */
    int64_t rows, quads, per;                   /* quads in blocks of `per`, those beyond the channels too */
    int64_t sources;                            /* that there are weights for */
    int64_t from_pixels, pixels, panels, chunk; /* of the output; chunk: panels at once */
    int64_t parts, part_rows;                   /* of rows; those of the largest part */
} Shape;

typedef struct Dot {
    Kernel *k;
    Shape s;
    LLVMValueRef x, planes, panels, sums; /* x: of one batch element; scratch memory */
    LLVMValueRef batch, masks, zero;
    bool flip;
    Epilogue epilogue;
} Dot;

static bool is_flat(const PlaneWindow *w) {
    for (int i = 0; i < 2; i++)
        if (w->kernel[i] != 1 || w->stride[i] != 1 || w->in[i] != w->out[i] || w->begin[i]) return false;
    return true;
}

static Shape shape_of(const Node *n) {
    const Type *x = &n->in[0]->type;
    const Tensor *w = n->in[1]->constant;
    Shape s = {.window = node_window(n),
               .chunk = node_int(n, "panels"),
               .rows = w->dims[0],
               .sources = w->dims[1],
               .parts = node_int(n, "parts")};
    int64_t before = 0, behind = plane_is_split(&s.window) ? PANEL : 0; /* rows of a phase end in whole vectors */
    s.flat = is_flat(&s.window);
    s.per = x->dims[x->rank - 1]->value / 4;
    s.quads = x->dims[1]->value * s.per;
    s.from_pixels = s.window.in[0] * s.window.in[1];
    s.pixels = s.window.out[0] * s.window.out[1];
    s.panels = panel_pixels(s.pixels) / PANEL;
    plane_reach(&s.window, &before, &behind);
    s.plane = plane_of(plane_rows(&s.window), s.window.out[1], before, behind);
    s.n_phases = plane_phases(&s.window, s.phases);
    plane_taps(&s.window, &s.plane, false, &s.taps);
    s.part_rows = (s.rows / BLOCK + s.parts - 1) / s.parts * BLOCK;
    return s;
}

/* words of scratch memory */
static int64_t plane_words(const Shape *s) { return s->flat ? 0 : s->quads * s->n_phases * s->plane.size; }
static int64_t panel_words(const Shape *s) { return s->quads * s->taps.n * PANEL; }
static int64_t sum_words(const Shape *s) { return s->part_rows * PANEL; }

static bool scratch_bytes(Ctx *ctx, const Node *n, size_t *bytes) {
    Shape s = shape_of(n);
    (void)ctx;
    *bytes = (size_t)(plane_words(&s) + s.chunk * (panel_words(&s) + sum_words(&s))) * 4;
    return true;
}

/* ---- the code ---- */

static Str encode(Ctx *ctx, const Target *t, const Node *n) {
    Shape s = shape_of(n);
    SparseSource *sources = ARENA_ARRAY(ctx->arena, s.sources, SparseSource);
    for (int64_t i = 0; i < s.sources; i++) sources[i].offset = i * LINE;
    SparseLayer l = {.rows = s.rows,
                     .n_sources = s.sources,
                     .words = n->in[1]->constant->data,
                     .word_bias = n->in[2]->constant->data,
                     .sources = sources,
                     .x_step = panel_words(&s) * 4,
                     .y_step = sum_words(&s) * 4,
                     .y_row = LINE,
                     .panels = s.chunk,
                     .all_panels = s.panels,
                     .shares = s.parts,
                     .unit = BLOCK,
                     .repeats = s.panels > s.chunk};
    return sparse_encode(ctx->arena, t, &l);
}

static bool in_code(const Node *n, int input) {
    (void)n;
    return input == 1 || input == 2;
}

/* ---- x as planes ---- */

static LLVMValueRef number(Dot *d, int64_t v) { return gen_i64(d->k->gen, v); }

static LLVMValueRef words_at(Dot *d, LLVMValueRef base, LLVMValueRef words) {
    return element_at(d->k, d->k->gen->i32, base, words);
}

static LLVMValueRef words_behind(Dot *d, LLVMValueRef base, int64_t words) {
    return words_at(d, base, number(d, words));
}

/* PANEL pixels of a block from `pixel` on as quads; of those that are not there, the zero point */
static void load_pixels(Dot *d, LLVMValueRef block, LLVMValueRef pixel, LLVMValueRef there, LLVMValueRef *v) {
    Kernel *k = d->k;
    quads_load(k, words_at(d, block, i_scale(k, pixel, d->s.per)), (int)d->s.per, there, v);
    LLVMValueRef flip = vec_repeat(gen_i32(k->gen, (int)0x80808080u), PANEL);
    for (int i = 0; i < d->s.per; i++) {
        if (d->flip) v[i] = LLVMBuildXor(k->b, v[i], flip, "");
        if (there) v[i] = quads_keep(k, v[i], there, d->zero);
    }
}

static LLVMValueRef block_at(Dot *d, LLVMValueRef block) {
    return words_at(d, d->x, i_scale(d->k, block, d->s.from_pixels * d->s.per));
}

static LLVMValueRef plane_at(Dot *d, LLVMValueRef block, int64_t quad, int64_t phase) {
    LLVMValueRef first = i_scale(d->k, block, d->s.per * d->s.n_phases);
    return words_at(d, d->planes, i_scale(d->k, i_plus(d->k, first, quad * d->s.n_phases + phase), d->s.plane.size));
}

static void fill_zero(Dot *d, LLVMValueRef plane, int64_t from, int64_t to) {
    Kernel *k = d->k;
    int64_t whole = (to - from) / PANEL * PANEL, rest = to - from - whole;
    For f = for_begin(k, number(d, from), number(d, from + whole), PANEL);
    vec_store(k, d->zero, words_at(d, plane, f.i), 4);
    for_end(k, &f);
    for (int64_t i = 0; i < rest; i++)
        vec_store(k, LLVMBuildExtractElement(k->b, d->zero, gen_i32(k->gen, 0), ""),
                  words_behind(d, plane, from + whole + i), 4);
}

static void store_quads(Dot *d, LLVMValueRef *v, LLVMValueRef block, int64_t phase, LLVMValueRef at) {
    for (int i = 0; i < d->s.per; i++) vec_store(d->k, v[i], words_at(d, plane_at(d, block, i, phase), at), 4);
}

static void fill_around(Dot *d, LLVMValueRef block, int64_t phase, int64_t behind) {
    for (int i = 0; i < d->s.per; i++) {
        LLVMValueRef plane = plane_at(d, block, i, phase);
        fill_zero(d, plane, 0, d->s.plane.lead);
        fill_zero(d, plane, behind, d->s.plane.size);
    }
}

/* all pixels one behind the other */
static void copy_plane(Dot *d, LLVMValueRef block) {
    Kernel *k = d->k;
    int64_t pixels = d->s.from_pixels, whole = pixels / PANEL * PANEL, lead = d->s.plane.lead;
    LLVMValueRef v[QUAD_MOST], from = block_at(d, block);
    fill_around(d, block, 0, lead + whole);
    For f = for_begin(k, number(d, 0), number(d, whole), PANEL);
    load_pixels(d, from, f.i, NULL, v);
    store_quads(d, v, block, 0, i_plus(k, f.i, lead));
    for_end(k, &f);
    if (whole == pixels) return;
    load_pixels(d, from, number(d, whole), number(d, pixels - whole), v);
    store_quads(d, v, block, 0, number(d, lead + whole));
}

/* a constant number of pixels, at most PANEL, none where it is below 0 */
static LLVMValueRef some_pixels(Dot *d, int64_t there) {
    return there >= PANEL ? NULL : number(d, there < 0 ? 0 : there);
}

/* PANEL columns of a row of a phase, from its column `at` on; row: of the input */
static void load_columns(Dot *d, LLVMValueRef from, LLVMValueRef row, int64_t first, int64_t at, LLVMValueRef *v) {
    Kernel *k = d->k;
    int64_t width = d->s.window.in[1], step = d->s.window.stride[1], column = first + at * step;
    LLVMValueRef pixel = i_plus(k, i_scale(k, row, width), column), high[QUAD_MOST];
    int64_t there = width - column;
    load_pixels(d, from, pixel, some_pixels(d, there), v);
    if (step == 1) return;
    load_pixels(d, from, i_plus(k, pixel, PANEL), some_pixels(d, there - PANEL), high);
    for (int i = 0; i < d->s.per; i++) v[i] = quads_every_other(k, v[i], high[i]);
}

/* one word after the other, for strides that no vectors are made for */
static void copy_columns(Dot *d, LLVMValueRef block, int64_t phase, LLVMValueRef row, LLVMValueRef to, int64_t first) {
    Kernel *k = d->k;
    int64_t width = d->s.window.in[1], step = d->s.window.stride[1], pitch = d->s.window.out[1],
            n = width > first ? (width - first + step - 1) / step : 0;
    LLVMValueRef from = block_at(d, block), word;
    if (n > pitch) n = pitch;
    For f = for_count(k, n);
    LLVMValueRef pixel = i_plus(k, i_add(k, i_scale(k, row, width), i_scale(k, f.i, step)), first);
    for (int i = 0; i < d->s.per; i++) {
        word = vec_load_of(k, k->gen->i32, words_at(d, from, i_plus(k, i_scale(k, pixel, d->s.per), i)), 1, 4);
        if (d->flip) word = LLVMBuildXor(k->b, word, gen_i32(k->gen, (int)0x80808080u), "");
        vec_store(k, word, words_at(d, plane_at(d, block, i, phase), i_add(k, to, f.i)), 4);
    }
    for_end(k, &f);
    word = LLVMBuildExtractElement(k->b, d->zero, gen_i32(k->gen, 0), "");
    for (int64_t at = n; at < pitch; at++)
        for (int i = 0; i < d->s.per; i++)
            vec_store(k, word, words_at(d, plane_at(d, block, i, phase), i_plus(k, to, at)), 4);
}

/* A row is written in whole vectors, whose ends the next row, or what lies behind the last, takes over. */
static void split_plane(Dot *d, LLVMValueRef block, int64_t phase) {
    Kernel *k = d->k;
    const PlaneWindow *w = &d->s.window;
    int64_t first_row = d->s.phases[phase] / w->stride[1], first = d->s.phases[phase] % w->stride[1],
            rows = w->in[0] > first_row ? (w->in[0] - first_row + w->stride[0] - 1) / w->stride[0] : 0,
            lead = d->s.plane.lead, pitch = w->out[1];
    if (rows > d->s.plane.h) rows = d->s.plane.h;
    For f = for_count(k, rows);
    LLVMValueRef row = i_plus(k, i_scale(k, f.i, w->stride[0]), first_row),
                 to = i_plus(k, i_scale(k, f.i, pitch), lead), v[QUAD_MOST];
    if (w->stride[1] > 2) copy_columns(d, block, phase, row, to, first);
    for (int64_t at = 0; w->stride[1] <= 2 && at < pitch; at += PANEL) {
        load_columns(d, block_at(d, block), row, first, at, v);
        store_quads(d, v, block, phase, i_plus(k, to, at));
    }
    for_end(k, &f);
    fill_around(d, block, phase, lead + rows * pitch);
}

static void make_planes(Dot *d) {
    For f = for_count(d->k, d->s.quads / d->s.per);
    if (plane_is_split(&d->s.window))
        for (int64_t i = 0; i < d->s.n_phases; i++) split_plane(d, f.i, i);
    else copy_plane(d, f.i);
    for_end(d->k, &f);
}

/* ---- panels ---- */

static LLVMValueRef panel_at(Dot *d, LLVMValueRef panel, LLVMValueRef quad, int64_t tap) {
    Kernel *k = d->k;
    LLVMValueRef vector = i_plus(k, i_scale(k, quad, d->s.taps.n), tap);
    return words_at(d, d->panels, i_add(k, i_scale(k, panel, panel_words(&d->s)), i_scale(k, vector, PANEL)));
}

/* a panel of the chunk, of pixels that follow one another in x; there: of its pixels */
static void gather_flat(Dot *d, LLVMValueRef panel, LLVMValueRef pixel, LLVMValueRef there) {
    Kernel *k = d->k;
    LLVMValueRef v[QUAD_MOST];
    For f = for_count(k, d->s.quads / d->s.per);
    load_pixels(d, block_at(d, f.i), pixel, there, v);
    for (int i = 0; i < d->s.per; i++)
        vec_store(k, v[i], panel_at(d, panel, i_plus(k, i_scale(k, f.i, d->s.per), i), 0), LINE);
    for_end(k, &f);
}

static LLVMValueRef mask_of(Dot *d, LLVMValueRef panel, int tap) {
    Kernel *k = d->k;
    LLVMValueRef at = i_plus(k, i_scale(k, panel, d->s.taps.n_masks + 1), d->s.taps.mask[tap] - 1),
                 word = vec_load_of(k, k->gen->i16, element_at(k, k->gen->i16, d->masks, at), 1, 2);
    return LLVMBuildBitCast(k->b, word, LLVMVectorType(k->gen->i1, PANEL), "");
}

/* first: of the chunk */
static void gather_taps(Dot *d, LLVMValueRef panel, LLVMValueRef first) {
    Kernel *k = d->k;
    const PlaneTaps *taps = &d->s.taps;
    LLVMValueRef at = i_add(k, first, panel), pixel = i_plus(k, i_scale(k, at, PANEL), d->s.plane.lead);
    For f = for_count(k, d->s.quads);
    LLVMValueRef planes = words_at(d, d->planes, i_scale(k, f.i, d->s.n_phases * d->s.plane.size));
    for (int t = 0; t < taps->n; t++) {
        LLVMValueRef from = words_at(d, planes, i_plus(k, pixel, taps->offset[t])),
                     v = vec_load_of(k, k->gen->i32, from, PANEL, 4);
        if (taps->mask[t]) v = LLVMBuildSelect(k->b, mask_of(d, at, t), v, d->zero, "");
        vec_store(k, v, panel_at(d, panel, f.i, t), LINE);
    }
    for_end(k, &f);
}

/* whole(…, NULL), or where the map ends in this panel, whole(…, the pixels that there are) */
static void with_pixels(Dot *d, LLVMValueRef pixel, void (*body)(Dot *d, LLVMValueRef there, void *with), void *with) {
    Kernel *k = d->k;
    int64_t rest = d->s.pixels % PANEL;
    if (d->s.pixels < PANEL) return body(d, number(d, d->s.pixels), with);
    if (!rest) return body(d, NULL, with);
    If whole = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSLE, pixel, number(d, d->s.pixels - PANEL), ""));
    body(d, NULL, with);
    if_else(k, &whole);
    body(d, number(d, rest), with);
    if_end(k, &whole);
}

typedef struct Gathered {
    LLVMValueRef panel, pixel;
} Gathered;

static void gather_there(Dot *d, LLVMValueRef there, void *with) {
    const Gathered *g = with;
    gather_flat(d, g->panel, g->pixel, there);
}

static void gather(Dot *d, LLVMValueRef first, LLVMValueRef n) {
    Kernel *k = d->k;
    For f = for_begin(k, number(d, 0), n, 1);
    if (d->s.flat) {
        Gathered g = {f.i, i_scale(k, i_add(k, first, f.i), PANEL)};
        with_pixels(d, g.pixel, gather_there, &g);
    } else {
        gather_taps(d, f.i, first);
    }
    for_end(k, &f);
}

/* ---- the epilogue ---- */

typedef struct Result { /* BLOCK rows of a panel */
    LLVMValueRef sums, pixel, row;
} Result;

static LLVMValueRef sums_of(Dot *d, const Result *r, int row) {
    return vec_load_of(d->k, d->k->gen->i32, words_behind(d, r->sums, row * PANEL), PANEL, LINE);
}

typedef enum Kind { KIND_NONE, KIND_ONE, KIND_CHANNEL, KIND_SAME } Kind;

/* how an operand goes along when pixels are lanes */
static Kind kind_of(const Value *v, const Value *out) {
    int rank = out->type.rank, shift = rank - v->type.rank;
    bool one = true, channel = shift <= 1, same = shift == 0;
    for (int i = 0; i < v->type.rank; i++) {
        bool single = dim_is(v->type.dims[i], 1), is_channel = i + shift == 1 || i + shift == rank - 1;
        one = one && single;
        channel = channel && (is_channel ? v->type.dims[i] == out->type.dims[i + shift] : single);
        same = same && v->type.dims[i] == out->type.dims[i + shift];
    }
    bool byte = v->type.dtype == DT_U8 || v->type.dtype == DT_I8;
    return one ? KIND_ONE : same && byte ? KIND_SAME : channel ? KIND_CHANNEL : KIND_NONE;
}

/* the result's bytes are made with pixels for lanes */
static bool is_turned_late(const Dot *d) {
    const Node *n = d->k->node;
    if (!epilogue_narrows(&d->epilogue)) return false;
    for (int i = 3; i < n->n_in; i++)
        if (kind_of(n->in[i], n->out[0]) == KIND_NONE) return false;
    return true;
}

/* of the result's first row and pixel */
static LLVMValueRef operand_start(Dot *d, const Operand *o, const Result *r) {
    LLVMValueRef none = number(d, 0);
    Point at = {.batch = d->batch, .col = r->row, .space = {none, none, r->pixel}};
    return element_at(d->k, gen_elem_type(d->k->gen, o->dtype), o->base, operand_offset(d->k, o, &at));
}

/* four rows from `row` of the result on as a quad; residuals: quads of the operands that are as large */
static LLVMValueRef finished_quad(Dot *d, const Result *r, int row, LLVMValueRef (*residuals)[QUAD_MOST]) {
    Kernel *k = d->k;
    const Node *n = k->node;
    LLVMValueRef wide[4], *in = ARENA_ARRAY(k->gen->ctx->arena, n->n_in, LLVMValueRef);
    for (int i = 0; i < 4; i++) {
        in[0] = sums_of(d, r, row + i);
        for (int o = 0; o < n->n_in - 3; o++) {
            const Operand *from = &d->epilogue.operands[o];
            if (kind_of(n->in[o + 3], n->out[0]) == KIND_SAME) {
                in[o + 1] = quads_byte(k, residuals[o][row / 4], i);
                continue;
            }
            LLVMTypeRef type = gen_elem_type(k->gen, from->dtype);
            LLVMValueRef p = element_at(k, type, operand_start(d, from, r), number(d, from->splat ? 0 : row + i));
            in[o + 1] = vec_splat(k, vec_load_of(k, type, p, 1, (unsigned)dtype_bits(from->dtype) / 8), PANEL);
        }
        wide[i] = epilogue_wide(k, &d->epilogue, in, PANEL);
    }
    return quads_of_rows(k, epilogue_bytes(k, &d->epilogue, wide, 4, PANEL));
}

static void finish_bytes(Dot *d, LLVMValueRef there, void *with) {
    Kernel *k = d->k;
    const Node *n = k->node;
    const Result *r = with;
    LLVMValueRef(*residuals)[QUAD_MOST] = arena_alloc(k->gen->ctx->arena, sizeof *residuals * (size_t)n->n_in),
    v[QUAD_MOST];
    for (int o = 0; o < n->n_in - 3; o++)
        if (kind_of(n->in[o + 3], n->out[0]) == KIND_SAME)
            quads_load(k, operand_start(d, &d->epilogue.operands[o], r), BLOCK / 4, there, residuals[o]);
    for (int i = 0; i < BLOCK / 4; i++) v[i] = finished_quad(d, r, 4 * i, residuals);
    quads_store(k, v, BLOCK / 4, there, operand_start(d, &d->epilogue.out, r));
}

/* any epilogue: sums turn, so that channels are lanes */
static void finish_any(Dot *d, LLVMValueRef there, void *with) {
    Kernel *k = d->k;
    const Result *r = with;
    LLVMValueRef v[PANEL], none = number(d, 0);
    int64_t n = PANEL;
    for (int i = 0; i < PANEL; i++) v[i] = sums_of(d, r, i);
    square_turn(k, v, PANEL);
    if (there) i_is_const(there, &n);
    Tile tile;
    tile_begin_of(&tile, k, TILE_F32, k->gen->i32, (int)n, 1, BLOCK);
    for (int i = 0; i < n; i++) tile_put(&tile, i, 0, v[i]);
    Point at = {.batch = d->batch, .col = r->row, .space = {none, none, r->pixel}};
    tile_store(&tile, &d->epilogue, &at, 1);
}

/* rows row … of `n` panels, from panel `first` on; units: of BLOCK rows */
static void finish(Dot *d, LLVMValueRef first, LLVMValueRef n, LLVMValueRef row, LLVMValueRef units) {
    Kernel *k = d->k;
    For p = for_begin(k, number(d, 0), n, 1), u = for_begin(k, number(d, 0), units, 1);
    LLVMValueRef in_panel = i_scale(k, u.i, BLOCK * PANEL),
                 sums = words_at(d, d->sums, i_add(k, i_scale(k, p.i, sum_words(&d->s)), in_panel));
    Result r = {sums, i_scale(k, i_add(k, first, p.i), PANEL), i_add(k, row, i_scale(k, u.i, BLOCK))};
    with_pixels(d, r.pixel, is_turned_late(d) ? finish_bytes : finish_any, &r);
    for_end(k, &u);
    for_end(k, &p);
}

/* ---- the kernel ---- */

static LLVMValueRef unit_of_part(Dot *d, LLVMValueRef part) {
    return i_div(d->k, i_scale(d->k, part, d->s.rows / BLOCK), d->s.parts);
}

static void multiply_part(Dot *d, LLVMValueRef part, LLVMValueRef first, LLVMValueRef n) {
    Kernel *k = d->k;
    LLVMValueRef unit = unit_of_part(d, part), end = unit_of_part(d, i_plus(k, part, 1)), block, behind;
    int64_t blocks = sparse_blocks(k->gen->target, d->s.part_rows, false);
    block = i_scale(k, part, blocks);
    behind = i_plus(k, block, blocks);
    SparseCall call = {
        .x = d->panels, .y = d->sums, .panels = n, .blocks = i_add(k, block, i_scale(k, behind, (int64_t)1 << 32))};
    sparse_call(k, k->in[1], &call);
    finish(d, first, n, i_scale(k, unit, BLOCK), i_sub(k, end, unit));
}

static void begin(Dot *d, Kernel *k) {
    Shape *s = &d->s;
    const Value *x = k->node->in[0];
    uint32_t zero = (uint32_t)node_int(k->node, "zero") & 255;
    *d = (Dot){.k = k, .s = shape_of(k->node)};
    d->zero = vec_repeat(gen_i32(k->gen, (int)(zero * 0x01010101u)), PANEL);
    d->flip = dot_flips(dot_form(k->gen->target, PANEL), x->type.dtype == DT_I8);
    d->planes = k->scratch;
    d->panels = words_behind(d, d->planes, plane_words(s));
    d->sums = words_behind(d, d->panels, s->chunk * panel_words(s));
    int words = s->taps.n_masks + 1;
    uint16_t *masks = ARENA_ARRAY(k->gen->ctx->arena, s->panels * words, uint16_t);
    plane_masks(&s->window, &s->taps, words, masks);
    if (s->taps.n_masks) d->masks = gen_bytes(k->gen, masks, sizeof *masks * (size_t)(s->panels * words), 16);
    Contraction c = {.k = k};
    epilogue_operands(&c, k->node, 3, true, blocked_operand);
    d->epilogue = c.epilogue;
}

static bool emit(Kernel *k) {
    const Node *n = k->node;
    Dot d;
    begin(&d, k);
    const Shape *s = &d.s;
    int64_t chunks = (s->panels + s->chunk - 1) / s->chunk;
    Grid grid = grid_choose(k->chunks, chunks, s->parts, 0, 0.1);
    Range share = kernel_share(k, number(&d, chunks), grid.cols, grid.rows),
          parts = kernel_share(k, number(&d, s->parts), 1, grid.cols);
    For batch = for_begin(k, number(&d, 0), kernel_dim(k, n->out[0]->type.dims[0]), 1);
    d.batch = batch.i;
    d.x = words_at(&d, k->in[0], i_scale(k, batch.i, s->quads * s->from_pixels));
    if (!s->flat) make_planes(&d);
    For f = for_begin(k, share.from, share.to, 1);
    LLVMValueRef first = i_scale(k, f.i, s->chunk), left = i_sub(k, number(&d, s->panels), first),
                 count = i_min(k, number(&d, s->chunk), left);
    gather(&d, first, count);
    For part = for_begin(k, parts.from, parts.to, 1);
    multiply_part(&d, part.i, first, count);
    for_end(k, &part);
    for_end(k, &f);
    for_end(k, &batch);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

static double work_of(const Node *n) {
    const Tensor *w = n->in[1]->constant;
    const int32_t *at = w->data;
    PlaneWindow window = node_window(n);
    int64_t nonzeros = 0, all = (int64_t)(w->bytes / sizeof *at);
    for (int64_t i = 0; i < all; i++) nonzeros += at[i] != 0;
    double panels = (double)(panel_pixels(window.out[0] * window.out[1]) / PANEL);
    return (double)(nonzeros + w->dims[0]) * panels * (double)n->out[0]->type.dims[0]->hi;
}

const Emitter sparse_dot_emitter = {.form = "straight-line code of its nonzero words",
                                    .emit = emit,
                                    .scratch = scratch_bytes,
                                    .work = work_of,
                                    .code = encode,
                                    .in_code = in_code};
