/* Sparse products with their nonzeros as data (PackedForm in ir/ir.h): what straight-line code does, as loops over a
 * block's entries. Sums of a block's rows for some panels, or a part of one, stay in registers; an entry is a load of
 * each of its weights and of the source's vectors. Panels go outermost, so that what blocks read of x stays near, and
 * the weights, which are few, pass by. Entries of one class of sources lie together: a loop has one mask. */
#include <assert.h>
#include <math.h>
#include "codegen/sparse.h"

enum { PANEL_LANES = 16 };

typedef struct Packed {
    Kernel *k;
    const SparseLayer *l;
    const SparseCall *c;
    PackedForm p;
    int lanes, panel_vecs; /* of a vector; vectors of a panel */
    LLVMValueRef starts, places, weights, bias;
} Packed;

typedef struct Work { /* panels, or part of one, that sums in registers are for */
    int panels, vecs; /* vecs: of each panel */
    LLVMValueRef x, y, residual, masks;
    LLVMValueRef lane; /* the first one of the panel */
} Work;

/* ---- masks ---- */

/* all ones in the lanes that count, for vector v of the work; mask as SparseSource.mask */
static LLVMValueRef mask_of(const Packed *p, const Work *w, int mask, int v) {
    Kernel *k = p->k;
    Gen *g = k->gen;
    LLVMValueRef bits[PANEL_LANES];
    LLVMValueRef word = element_at(k, g->i16, w->masks, gen_i64(g, v / w->vecs * SPARSE_MASKS + mask - 1));
    word = LLVMBuildZExt(k->b, vec_load_of(k, g->i16, word, 1, 2), g->i32, "");
    word = LLVMBuildLShr(k->b, word, LLVMBuildTrunc(k->b, w->lane, g->i32, ""), "");
    for (int i = 0; i < p->lanes; i++) bits[i] = gen_i32(g, 1 << (v % w->vecs * p->lanes + i));
    LLVMValueRef lanes = p->lanes > 1 ? LLVMConstVector(bits, (unsigned)p->lanes) : bits[0];
    LLVMValueRef set = LLVMBuildAnd(k->b, vec_splat(k, word, p->lanes), lanes, "");
    LLVMValueRef is = LLVMBuildICmp(k->b, LLVMIntNE, set, LLVMConstNull(LLVMTypeOf(set)), "");
    return LLVMBuildSExt(k->b, is, LLVMTypeOf(set), "");
}

static LLVMValueRef masked(const Packed *p, LLVMValueRef v, LLVMValueRef mask) {
    LLVMValueRef bits = LLVMBuildBitCast(p->k->b, v, LLVMTypeOf(mask), "");
    return LLVMBuildBitCast(p->k->b, LLVMBuildAnd(p->k->b, bits, mask, ""), LLVMTypeOf(v), "");
}

/* ---- a block ---- */

static LLVMValueRef bytes_on(const Packed *p, LLVMValueRef base, LLVMValueRef bytes) {
    return element_at(p->k, p->k->gen->i8, base, bytes);
}

/* of `base`, that begins at the work's first panel: the work's vector v, `steps` bytes from panel to panel */
static LLVMValueRef vector_at(const Packed *p, const Work *w, LLVMValueRef base, int v, int64_t step) {
    int64_t bytes = v / w->vecs * step + v % w->vecs * p->lanes * 4;
    return bytes_on(p, base, gen_i64(p->k->gen, bytes));
}

static LLVMValueRef row_of(const Packed *p, LLVMValueRef first, int row, LLVMValueRef base, int64_t step) {
    return bytes_on(p, base, i_scale(p->k, i_plus(p->k, first, row), step));
}

static void begin_sums(const Packed *p, const Work *w, Tile *t, LLVMValueRef first) {
    Kernel *k = p->k;
    for (int r = 0; r < t->rows; r++) {
        LLVMValueRef bias = vec_const(k->gen, 0, p->lanes), from = NULL;
        if (p->bias) bias = vec_splat(k, vec_load(k, f32_at(k, p->bias, i_plus(k, first, r)), 1, 4), p->lanes);
        if (p->l->residual) from = row_of(p, first, r, w->residual, p->l->residual_row);
        for (int v = 0; v < t->vecs; v++) {
            LLVMValueRef sum = bias;
            if (from) sum = vec_load(k, vector_at(p, w, from, v, p->l->residual_step), p->lanes, 4);
            tile_put(t, r, v, from && p->bias ? vec_add(k, bias, sum) : sum);
        }
    }
}

/* where the i-th entry's source is in x */
static LLVMValueRef source_of(const Packed *p, const Work *w, LLVMValueRef i) {
    Kernel *k = p->k;
    Gen *g = k->gen;
    LLVMTypeRef type = p->p.wide ? g->i32 : g->i16;
    LLVMValueRef place = vec_load_of(k, type, element_at(k, type, p->places, i), 1, p->p.wide ? 4 : 2);
    LLVMValueRef bytes = i_plus(k, i_scale(k, LLVMBuildZExt(k->b, place, g->i64, ""), p->p.unit), p->p.base);
    return bytes_on(p, w->x, bytes);
}

static void multiply_entry(const Packed *p, const Work *w, Tile *t, LLVMValueRef i, LLVMValueRef *masks) {
    Kernel *k = p->k;
    LLVMValueRef x[TILE_MAX], source = source_of(p, w, i), weights = f32_at(k, p->weights, i_scale(k, i, p->p.block));
    for (int v = 0; v < t->vecs; v++) {
        x[v] = vec_load(k, vector_at(p, w, source, v, p->l->x_step), p->lanes, 4);
        if (masks) x[v] = masked(p, x[v], masks[v]);
    }
    for (int r = 0; r < t->rows; r++) {
        LLVMValueRef weight = vec_load(k, f32_at(k, weights, gen_i64(k->gen, r)), 1, 4);
        weight = vec_splat(k, weight, p->lanes);
        for (int v = 0; v < t->vecs; v++) tile_put(t, r, v, vec_mul_add(k, weight, x[v], tile_get(t, r, v), p->lanes));
    }
}

static LLVMValueRef start_of(const Packed *p, LLVMValueRef i) {
    Gen *g = p->k->gen;
    LLVMValueRef v = vec_load_of(p->k, g->i32, element_at(p->k, g->i32, p->starts, i), 1, 4);
    return LLVMBuildZExt(p->k->b, v, g->i64, "");
}

static void multiply_class(const Packed *p, const Work *w, Tile *t, LLVMValueRef block, int class) {
    Kernel *k = p->k;
    LLVMValueRef masks[TILE_MAX], at = i_plus(k, i_scale(k, block, p->p.classes), class);
    for (int v = 0; class && v < t->vecs; v++) masks[v] = mask_of(p, w, class, v);
    For f = for_begin(k, start_of(p, at), start_of(p, i_plus(k, at, 1)), 1);
    multiply_entry(p, w, t, f.i, class ? masks : NULL);
    for_end(k, &f);
}

/* NaN stays NaN */
static LLVMValueRef clamp(const Packed *p, LLVMValueRef v) {
    LLVMBuilderRef b = p->k->b;
    const struct {
        float bound;
        LLVMRealPredicate beyond;
    } ends[] = {{p->l->low, LLVMRealOLT}, {p->l->high, LLVMRealOGT}};
    for (int i = 0; i < 2; i++) {
        if (isinf(ends[i].bound)) continue;
        LLVMValueRef bound = vec_const(p->k->gen, (double)ends[i].bound, p->lanes);
        v = LLVMBuildSelect(b, LLVMBuildFCmp(b, ends[i].beyond, v, bound, ""), bound, v, "");
    }
    return v;
}

static void store(const Packed *p, const Work *w, Tile *t, LLVMValueRef first) {
    const SparseLayer *l = p->l;
    LLVMValueRef masks[TILE_MAX];
    bool zeros = l->store == SPARSE_STORE_ZEROS && l->store_mask;
    for (int v = 0; zeros && v < t->vecs; v++) masks[v] = mask_of(p, w, l->store_mask, v);
    for (int r = 0; r < t->rows; r++) {
        LLVMValueRef to = row_of(p, first, r, w->y, l->y_row);
        for (int v = 0; v < t->vecs; v++) {
            LLVMValueRef sum = clamp(p, tile_get(t, r, v));
            vec_store(p->k, zeros ? masked(p, sum, masks[v]) : sum, vector_at(p, w, to, v, l->y_step), 4);
        }
    }
}

/* rows: of the last block, maybe fewer than its entries have weights for */
static void emit_block(const Packed *p, const Work *w, LLVMValueRef block, int rows) {
    Tile t;
    LLVMValueRef first = i_scale(p->k, block, p->p.block);
    tile_begin(&t, p->k, rows, w->panels * w->vecs, p->lanes);
    begin_sums(p, w, &t, first);
    for (int class = 0; class < p->p.classes; class ++) multiply_class(p, w, &t, block, class);
    store(p, w, &t, first);
}

/* ---- blocks, parts, panels ---- */

static void emit_blocks(const Packed *p, const Work *w) {
    Kernel *k = p->k;
    Gen *g = k->gen;
    int rest = (int)(p->p.rows % p->p.block);
    LLVMValueRef all = p->c->blocks, full = gen_i64(g, p->p.rows / p->p.block);
    LLVMValueRef from = LLVMBuildAnd(k->b, all, gen_i64(g, UINT32_MAX), ""),
                 to = LLVMBuildLShr(k->b, all, gen_i64(g, 32), "");
    For f = for_begin(k, from, i_min(k, to, full), 1);
    emit_block(p, w, f.i, p->p.block);
    for_end(k, &f);
    if (!rest) return;
    If last = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSGT, to, full, ""));
    emit_block(p, w, full, rest);
    if_end(k, &last);
}

static Work work_at(const Packed *p, LLVMValueRef panel, int panels, int vecs) {
    Kernel *k = p->k;
    const SparseCall *c = p->c;
    Work w = {.panels = panels, .vecs = vecs, .lane = gen_i64(k->gen, 0)};
    w.x = bytes_on(p, c->x, i_scale(k, panel, p->l->x_step));
    w.y = bytes_on(p, c->y, i_scale(k, panel, p->l->y_step));
    if (p->l->residual) w.residual = bytes_on(p, c->residual, i_scale(k, panel, p->l->residual_step));
    if (c->masks) w.masks = element_at(k, k->gen->i16, c->masks, i_scale(k, panel, SPARSE_MASKS));
    return w;
}

/* by parts of `vecs` vectors */
static void emit_panel(const Packed *p, LLVMValueRef panel, int vecs) {
    Kernel *k = p->k;
    Work w = work_at(p, panel, 1, vecs);
    For part = for_count(k, p->panel_vecs / vecs);
    Work at = w;
    LLVMValueRef bytes = i_scale(k, part.i, (int64_t)vecs * p->lanes * 4);
    at.lane = i_scale(k, part.i, (int64_t)vecs * p->lanes);
    at.x = bytes_on(p, w.x, bytes);
    at.y = bytes_on(p, w.y, bytes);
    if (w.residual) at.residual = bytes_on(p, w.residual, bytes);
    emit_blocks(p, &at);
    for_end(k, &part);
}

void packed_call(Kernel *k, const SparseLayer *l, const SparseCall *c) {
    Gen *g = k->gen;
    const Node *n = k->node;
    Packed p = {.k = k, .l = l, .c = c, .p = node_packed(n), .bias = node_in(n, 2) ? k->in[2] : NULL};
    int bits = g->target->vector_bits / 32;
    for (p.lanes = 1; p.lanes * 2 <= bits && p.lanes < PANEL_LANES;) p.lanes *= 2;
    p.panel_vecs = PANEL_LANES / p.lanes;
    p.starts = k->in[1];
    p.places = bytes_on(&p, k->in[1], gen_i64(g, packed_places_at(&p.p)));
    p.weights = bytes_on(&p, k->in[1], gen_i64(g, packed_weights_at(&p.p)));
    assert(l->store != SPARSE_STORE_WITHIN);
    int at_once = p.p.vecs / p.panel_vecs, vecs = at_once ? p.panel_vecs : p.p.vecs;
    int64_t panels;
    LLVMValueRef done = gen_i64(g, 0);
    if (at_once > 1) {
        done = i_scale(k, i_div(k, c->panels, at_once), at_once);
        For some = for_begin(k, gen_i64(g, 0), done, at_once);
        Work w = work_at(&p, some.i, at_once, p.panel_vecs);
        emit_blocks(&p, &w);
        for_end(k, &some);
        if (i_is_const(c->panels, &panels) && panels % at_once == 0) return;
    }
    For one = for_begin(k, done, c->panels, 1);
    emit_panel(&p, one.i, vecs);
    for_end(k, &one);
}
