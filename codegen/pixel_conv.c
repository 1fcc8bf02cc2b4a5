/* mcc.PixelConv: sums over all channels of a group, and all taps. A tile is `rows` pixels and `cols` columns; a step
 * multiplies four bytes of each with each. What a pixel's window holds is read where it lies, a run of bytes a row of
 * taps, where all of it is inside of x and such runs are whole steps; else it is gathered into scratch memory first,
 * with the zero point for what lies outside, so that one inner loop serves all pixels. Windows for weights that are
 * entries (unit) are gathered, except where one pixel is a window. */
#include "codegen/pixels.h"

enum { STEP = 4, OPERANDS = 3 };

typedef struct Dense {
    Pixels p;
    int rows, cols;
    int64_t channels, columns, groups; /* of a group */
    int64_t depth;                     /* bytes of a window, in whole steps */
    int64_t unit;                      /* weights of an entry; 0: all weights are there */
    int64_t runs, run;                 /* where it is read where it lies; else one run of all of it */
    bool in_place;                     /* … if no tap falls outside */
    bool rows_lie;                     /* the taps of a row lie side by side */
    LLVMValueRef group;                /* at hand */
    LLVMValueRef from, skip, pixel; /* slots, one a row: its window's first byte, bytes between its runs, its pixel */
} Dense;

static int64_t whole_steps(int64_t bytes) { return (bytes + STEP - 1) / STEP * STEP; }

static Dense dense_of(const Node *n, Pixels p) {
    Dense d = {.p = p, .rows = (int)node_int(n, "rows"), .cols = (int)node_int(n, "cols")};
    d.channels = node_int(n, "in_channels");
    d.groups = node_int(n, "group");
    d.columns = p.columns / d.groups;
    d.depth = whole_steps(p.kernel[0] * p.kernel[1] * p.kernel[2] * d.channels);
    d.rows_lie = (d.groups == 1 && p.dilation[2] == 1) || p.kernel[2] == 1;
    d.run = p.kernel[2] * d.channels;
    d.in_place = d.rows_lie && d.run % STEP == 0 && (p.kernel[0] == 1 || p.kernel[1] == 1);
    d.unit = node_int(n, "unit");
    if (d.unit) d.in_place = p.flat && d.channels % d.unit == 0;
    d.runs = d.in_place && !d.unit ? p.kernel[0] * p.kernel[1] : 1;
    if (!d.in_place) d.run = d.depth;
    return d;
}

static LLVMValueRef number(const Dense *d, int64_t v) { return pixels_number(&d->p, v); }

static LLVMValueRef slot_of(const Dense *d, LLVMTypeRef type, LLVMValueRef slots, LLVMValueRef row) {
    return element_at(d->p.k, type, slots, row);
}

/* ---- one pixel's window ---- */

static LLVMValueRef is_inside(const Dense *d, const LLVMValueRef at[3]) {
    const Pixels *p = &d->p;
    Kernel *k = p->k;
    LLVMValueRef all = LLVMConstInt(k->gen->i1, 1, 0);
    for (int i = 0; i < 3; i++) {
        if (!p->pad[i] && !p->pad_end[i]) continue;
        LLVMValueRef last = i_plus(k, at[i], (p->kernel[i] - 1) * p->dilation[i]);
        LLVMValueRef lo = LLVMBuildICmp(k->b, LLVMIntSGE, at[i], number(d, 0), ""),
                     hi = LLVMBuildICmp(k->b, LLVMIntSLT, last, p->in[i], "");
        all = LLVMBuildAnd(k->b, all, LLVMBuildAnd(k->b, lo, hi, ""), "");
    }
    return all;
}

static void copy_piece(Kernel *k, LLVMTypeRef type, LLVMValueRef to, LLVMValueRef from) {
    vec_store(k, vec_load_of(k, type, from, 1, 1), to, 1);
}

/* so many bytes, as words and then one by one; no call */
static void copy_bytes(const Dense *d, LLVMValueRef to, LLVMValueRef from, int64_t bytes) {
    const Pixels *p = &d->p;
    Kernel *k = p->k;
    int64_t words = has_halves(k) ? bytes / STEP * STEP : 0;
    LLVMTypeRef types[2] = {k->gen->i32, k->gen->i8};
    for (int tail = 0; tail < 2; tail++) {
        For f = for_begin(k, number(d, tail ? words : 0), number(d, tail ? bytes : words), tail ? 1 : STEP);
        copy_piece(k, types[tail], pixels_byte_at(p, to, f.i), pixels_byte_at(p, from, f.i));
        for_end(k, &f);
    }
}

static void fill_bytes(const Dense *d, LLVMValueRef to, int64_t bytes) {
    Kernel *k = d->p.k;
    LLVMValueRef zero = LLVMConstInt(k->gen->i8, (uint64_t)node_int(d->p.n, "zero"), 1);
    For f = for_begin(k, number(d, 0), number(d, bytes), 1);
    vec_store(k, zero, pixels_byte_at(&d->p, to, f.i), 1);
    for_end(k, &f);
}

static LLVMValueRef tap_place(const Dense *d, int axis, LLVMValueRef at, LLVMValueRef tap) {
    return i_add(d->p.k, at, i_scale(d->p.k, tap, d->p.dilation[axis]));
}

static LLVMValueRef lies_inside(const Dense *d, const LLVMValueRef place[3]) {
    const Pixels *p = &d->p;
    Kernel *k = p->k;
    LLVMValueRef all = LLVMConstInt(k->gen->i1, 1, 0);
    for (int i = 0; i < 3; i++)
        if (p->pad[i] || p->pad_end[i])
            all = LLVMBuildAnd(k->b, all, LLVMBuildICmp(k->b, LLVMIntULT, place[i], p->in[i], ""), "");
    return all;
}

static LLVMValueRef x_at(const Dense *d, LLVMValueRef first, const LLVMValueRef place[3]) {
    const Pixels *p = &d->p;
    Kernel *k = p->k;
    LLVMValueRef at = i_scale(k, pixels_index(p, first, place), p->channels);
    return pixels_byte_at(p, k->in[0], i_add(k, at, i_scale(k, d->group, d->channels)));
}

/* tap by tap, or, where a row's taps lie side by side and all are inside, row by row */
static void gather(const Dense *d, LLVMValueRef first, const LLVMValueRef at[3], LLVMValueRef to, bool by_rows) {
    const Pixels *p = &d->p;
    Kernel *k = p->k;
    int64_t row = p->kernel[2] * d->channels;
    For a = for_begin(k, number(d, 0), number(d, p->kernel[0]), 1),
        b = for_begin(k, number(d, 0), number(d, p->kernel[1]), 1);
    LLVMValueRef taps = i_add(k, i_scale(k, a.i, p->kernel[1]), b.i);
    LLVMValueRef place[3] = {tap_place(d, 0, at[0], a.i), tap_place(d, 1, at[1], b.i), at[2]};
    to = pixels_byte_at(p, to, i_scale(k, taps, row));
    if (by_rows) {
        copy_bytes(d, to, x_at(d, first, place), row);
    } else {
        For c = for_begin(k, number(d, 0), number(d, p->kernel[2]), 1);
        LLVMValueRef there = pixels_byte_at(p, to, i_scale(k, c.i, d->channels));
        place[2] = tap_place(d, 2, at[2], c.i);
        If inside = if_begin(k, lies_inside(d, place));
        copy_bytes(d, there, x_at(d, first, place), d->channels);
        if_else(k, &inside);
        fill_bytes(d, there, d->channels);
        if_end(k, &inside);
        for_end(k, &c);
    }
    for_end(k, &b);
    for_end(k, &a);
}

static void put_place(const Dense *d, LLVMValueRef row, LLVMValueRef from, LLVMValueRef skip) {
    Kernel *k = d->p.k;
    vec_store(k, from, slot_of(d, k->gen->ptr, d->from, row), 4);
    if (d->runs > 1) vec_store(k, skip, slot_of(d, k->gen->i32, d->skip, row), 4);
}

/* where the window of this row of the tile begins; gathers it if need be */
static void locate(const Dense *d, LLVMValueRef row, LLVMValueRef pixel) {
    const Pixels *p = &d->p;
    Kernel *k = p->k;
    LLVMValueRef at[3], none = number(d, 0), first;
    if (p->flat) {
        first = pixel;
        for (int i = 0; i < 3; i++) at[i] = none;
    } else {
        first = pixels_unravel(p, pixel, at);
    }
    LLVMValueRef pitch = i_scale(k, i_mul(k, p->in[2], p->kernel[0] > 1 ? p->in[1] : number(d, 1)), p->channels);
    LLVMValueRef skip = i_plus(k, i_scale(k, pitch, p->dilation[p->kernel[0] > 1 ? 0 : 1]), -d->run);
    if (d->in_place && !d->p.padded) {
        put_place(d, row, x_at(d, first, at), skip);
        return;
    }
    LLVMValueRef scratch = pixels_byte_at(p, k->scratch, i_scale(k, row, d->depth));
    bool by_rows = d->rows_lie;
    If inside = if_begin(k, by_rows ? is_inside(d, at) : LLVMConstNull(k->gen->i1));
    if (d->in_place) {
        put_place(d, row, x_at(d, first, at), skip);
    } else {
        if (by_rows) gather(d, first, at, scratch, true);
        put_place(d, row, scratch, none);
    }
    if_else(k, &inside);
    if (d->p.padded || !by_rows) gather(d, first, at, scratch, false);
    put_place(d, row, scratch, none);
    if_end(k, &inside);
}

/* ---- the tile ---- */

/* sums of the tile's windows from w on */
static void sum_runs(Tile *t, const Dense *d, LLVMValueRef w) {
    Kernel *k = t->k;
    LLVMTypeRef ptr = k->gen->ptr;
    LLVMValueRef x[TILE_MAX], slot[TILE_MAX], weights = gen_alloca(k->gen, k->b, ptr, 4);
    vec_store(k, w, weights, 4);
    for (int r = 0; r < t->rows; r++) {
        slot[r] = gen_alloca(k->gen, k->b, ptr, 4);
        vec_store(k, vec_load_of(k, ptr, slot_of(d, ptr, d->from, number(d, r)), 1, 4), slot[r], 4);
    }
    For run = for_begin(k, number(d, 0), number(d, d->runs), 1);
    for (int r = 0; r < t->rows; r++) x[r] = vec_load_of(k, ptr, slot[r], 1, 4);
    w = vec_load_of(k, ptr, weights, 1, 4);
    pixel_steps(t, d->p.is_signed, x, &w, number(d, d->run));
    vec_store(k, w, weights, 4);
    for (int r = 0; r < t->rows && d->runs > 1; r++) {
        LLVMValueRef skip = vec_load_of(k, k->gen->i32, slot_of(d, k->gen->i32, d->skip, number(d, r)), 1, 4);
        vec_store(k, pixels_byte_at(&d->p, x[r], skip), slot[r], 4);
    }
    for_end(k, &run);
}

/* all columns of the group for the pixels of the tile */
static void emit_columns(const Dense *d) {
    Kernel *k = d->p.k;
    Tile t;
    int64_t panels = (d->columns + d->cols - 1) / d->cols;
    LLVMValueRef most = number(d, d->columns - d->cols);
    For f = for_begin(k, number(d, 0), number(d, panels), 1);
    LLVMValueRef own = i_scale(k, f.i, d->cols);
    if (d->columns % d->cols) own = i_min(k, own, most); /* the last panel overlaps its neighbour */
    LLVMValueRef col = i_add(k, own, i_scale(k, d->group, d->columns));
    LLVMValueRef panel = i_add(k, f.i, i_scale(k, d->group, panels));
    tile_begin_of(&t, k, d->p.is_signed ? TILE_S8 : TILE_U8, k->gen->i32, d->rows, d->cols, 1);
    tile_fill(&t, f32_at(k, k->in[2], col), 4);
    sum_runs(&t, d, pixels_byte_at(&d->p, k->in[1], i_scale(k, panel, d->depth * d->cols)));
    for (int r = 0; r < d->rows; r++) {
        LLVMValueRef pixel = vec_load_of(k, k->gen->i32, slot_of(d, k->gen->i32, d->pixel, number(d, r)), 1, 4);
        for (int c = 0; c < d->cols; c++) pixels_store(&d->p, tile_get(&t, r, c), pixel, i_plus(k, col, c), OPERANDS);
    }
    for_end(k, &f);
}

static void emit_entries(const Dense *d, LLVMValueRef first) {
    Kernel *k = d->p.k;
    EntryTile t = {.p = &d->p, .rows = d->rows, .operands = OPERANDS, .unit = d->unit, .groups = d->groups};
    t.group = d->group;
    t.first = first;
    t.pitch = d->in_place ? d->p.channels : d->depth;
    t.x = k->scratch;
    if (d->in_place) {
        LLVMValueRef at = i_add(k, i_scale(k, first, d->p.channels), i_scale(k, d->group, d->channels));
        t.x = pixels_byte_at(&d->p, k->in[0], at);
    }
    pixel_entry_columns(&t);
}

static LLVMValueRef slots(const Dense *d, LLVMTypeRef type) {
    return gen_alloca(d->p.k->gen, d->p.k->b, LLVMArrayType2(type, (uint64_t)d->rows), 4);
}

/* where each window of the tile is */
static void emit_windows(const Dense *d, LLVMValueRef first) {
    Kernel *k = d->p.k;
    For row = for_begin(k, number(d, 0), number(d, d->rows), 1);
    LLVMValueRef pixel = i_min(k, i_add(k, first, row.i), i_plus(k, d->p.count, -1)); /* the last one twice */
    vec_store(k, pixel, slot_of(d, k->gen->i32, d->pixel, row.i), 4);
    locate(d, row.i, pixel);
    for_end(k, &row);
}

static bool emit(Kernel *k) {
    Dense d = dense_of(k->node, pixels_of(k));
    const Pixels *p = &d.p;
    d.from = slots(&d, k->gen->ptr);
    d.skip = slots(&d, k->gen->i32);
    d.pixel = slots(&d, k->gen->i32);
    For group = for_begin(k, number(&d, 0), number(&d, d.groups), 1);
    d.group = group.i;
    For tile = for_begin(k, number(&d, 0), p->count, d.rows);
    LLVMValueRef first = d.unit ? i_min(k, tile.i, i_plus(k, p->count, -d.rows)) : tile.i; /* some twice */
    if (!d.unit || !d.in_place) emit_windows(&d, first);
    if (d.unit) emit_entries(&d, first);
    else emit_columns(&d);
    for_end(k, &tile);
    for_end(k, &group);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

static bool scratch_of(Ctx *ctx, const Node *n, size_t *bytes) {
    Dense d = dense_of(n, pixels_window(n));
    (void)ctx;
    *bytes = d.in_place && !d.p.padded ? 0 : (size_t)(d.depth * d.rows);
    return true;
}

const Emitter pixel_conv_emitter = {.form = "pixels", .emit = emit, .scratch = scratch_of};
