/* The loop nest that convolutions and matrix products share: batch, phases, runs of rows, panels of columns. What a
 * panel computes over a run is in contract_panel.c. */
#include "codegen/contract_panel.h"

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
    panel_emit_run(&own, run.from, run.to);
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
