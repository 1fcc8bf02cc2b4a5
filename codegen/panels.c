/* A matrix packed in panels of columns at run time. Vectors along contiguous columns are copied; where its rows are
 * contiguous instead, squares are turned in registers; else element by element. */
#include "codegen/products.h"

Panels panels_of(Kernel *k, LLVMValueRef rows, LLVMValueRef cols, int vecs, int lanes) {
    Panels p = {.vecs = vecs, .lanes = lanes, .rows = rows, .cols = cols};
    int64_t n, wide = (int64_t)vecs * lanes;
    if (!i_is_const(cols, &n)) {
        p.full = i_div_up(k, cols, wide);
        return p;
    }
    p.full = gen_i64(k->gen, n / wide);
    p.left = (int)((n % wide + lanes - 1) / lanes);
    return p;
}

bool panels_bytes(Dim rows, Dim cols, int wide, size_t *bytes) {
    int64_t padded, n;
    if (!add_i64(cols->hi, wide - 1, &padded)) return false;
    padded = padded / wide * wide;
    if (!mul_i64(padded, rows->hi, &n) || !mul_i64(n, 4, &n)) return false;
    *bytes = (size_t)n;
    return true;
}

void panels_each(Kernel *k, const Panels *p, LLVMValueRef packed, PanelBody *body, void *arg) {
    int64_t wide = (int64_t)p->vecs * p->lanes, full;
    LLVMValueRef panel = i_scale(k, p->rows, wide);
    if (!i_is_const(p->full, &full) || full > 0) {
        For f = for_begin(k, gen_i64(k->gen, 0), p->full, 1);
        body(arg, f32_at(k, packed, i_mul(k, f.i, panel)), p->vecs, i_scale(k, f.i, wide));
        for_end(k, &f);
    }
    if (p->left) body(arg, f32_at(k, packed, i_mul(k, p->full, panel)), p->left, i_scale(k, p->full, wide));
}

void panel_multiply(Tile *t, LLVMValueRef x, LLVMValueRef row, int64_t step, LLVMValueRef panel, LLVMValueRef inner) {
    enum { BY_LANE = 4 };
    Kernel *k = t->k;
    int64_t wide = (int64_t)t->vecs * t->lanes, count;
    bool lanes = k->gen->target->lane_multiply && step == 1;
    TileSteps s = {.a = x,
                   .row = row,
                   .b = panel,
                   .next = gen_i64(k->gen, wide),
                   .count = inner,
                   .inner = step,
                   .b_align = (unsigned)t->lanes * 4,
                   .unroll = lanes ? BY_LANE : 1,
                   .mask = UINT32_MAX};
    tile_fill(t, NULL, 0);
    if (lanes && !i_is_const(inner, &count)) { /* steps in fours, and what is left */
        s.count = i_scale(k, i_div(k, inner, BY_LANE), BY_LANE);
        tile_steps(t, &s);
        s.a = f32_at(k, x, s.count);
        s.b = f32_at(k, panel, i_scale(k, s.count, wide));
        s.count = i_sub(k, inner, s.count);
        s.unroll = 1;
    }
    tile_steps(t, &s);
}

typedef struct Packing {
    Kernel *k;
    const Panels *p;
    const Matrix *from;
} Packing;

static bool is_one(LLVMValueRef v) {
    int64_t n;
    return i_is_const(v, &n) && n == 1;
}

static void copy_vectors(Packing *s, LLVMValueRef col, LLVMValueRef to, int64_t wide) {
    Kernel *k = s->k;
    int lanes = s->p->lanes;
    LLVMValueRef from = f32_at(k, s->from->base, col), there = lanes_there(k, s->p->cols, col, lanes);
    For r = for_begin(k, gen_i64(k->gen, 0), s->p->rows, 1);
    LLVMValueRef p = f32_at(k, from, i_mul(k, r.i, s->from->row));
    LLVMValueRef v = there ? vec_load_part(k, p, lanes, there) : vec_load(k, p, lanes, 4);
    vec_store(k, v, f32_at(k, to, i_scale(k, r.i, wide)), (unsigned)lanes * 4);
    for_end(k, &r);
}

/* the column that is `lane` behind col, or the last one */
static LLVMValueRef column_at(Packing *s, LLVMValueRef col, LLVMValueRef lane) {
    Kernel *k = s->k;
    return i_min(k, i_add(k, col, lane), i_plus(k, s->p->cols, -1));
}

static void turn_squares(Packing *s, LLVMValueRef col, LLVMValueRef to, int64_t wide) {
    Kernel *k = s->k;
    int lanes = s->p->lanes;
    bool whole = !lanes_there(k, s->p->cols, col, lanes);
    LLVMValueRef v[64], from[64];
    for (int i = 0; i < lanes; i++) {
        LLVMValueRef at = whole ? i_plus(k, col, i) : column_at(s, col, gen_i64(k->gen, i));
        from[i] = f32_at(k, s->from->base, i_mul(k, at, s->from->col));
    }
    For r = for_begin(k, gen_i64(k->gen, 0), s->p->rows, lanes);
    LLVMValueRef row = i_min(k, r.i, i_plus(k, s->p->rows, -lanes));
    for (int i = 0; i < lanes; i++) v[i] = vec_load(k, f32_at(k, from[i], row), lanes, 4);
    square_turn(k, v, lanes);
    LLVMValueRef first = f32_at(k, to, i_scale(k, row, wide));
    for (int i = 0; i < lanes; i++)
        vec_store(k, v[i], f32_at(k, first, gen_i64(k->gen, i * wide)), (unsigned)lanes * 4);
    for_end(k, &r);
}

static void copy_elements(Packing *s, LLVMValueRef col, LLVMValueRef to, int64_t wide) {
    Kernel *k = s->k;
    For lane = for_count(k, s->p->lanes);
    LLVMValueRef from = f32_at(k, s->from->base, i_mul(k, column_at(s, col, lane.i), s->from->col));
    For r = for_begin(k, gen_i64(k->gen, 0), s->p->rows, 1);
    LLVMValueRef x = vec_load(k, f32_at(k, from, i_mul(k, r.i, s->from->row)), 1, 4);
    vec_store(k, x, f32_at(k, to, i_add(k, i_scale(k, r.i, wide), lane.i)), 4);
    for_end(k, &r);
    for_end(k, &lane);
}

/* `lanes` columns from `col` on */
static void pack_vector(Packing *s, LLVMValueRef col, LLVMValueRef to, int64_t wide) {
    Kernel *k = s->k;
    int64_t rows;
    bool constant = i_is_const(s->p->rows, &rows);
    if (is_one(s->from->col)) {
        copy_vectors(s, col, to, wide);
    } else if (is_one(s->from->row) && (!constant || rows >= s->p->lanes)) {
        LLVMValueRef least = gen_i64(k->gen, s->p->lanes);
        If f = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSGE, s->p->rows, least, ""));
        turn_squares(s, col, to, wide);
        if_else(k, &f);
        copy_elements(s, col, to, wide);
        if_end(k, &f);
    } else {
        copy_elements(s, col, to, wide);
    }
}

void panel_pack(Kernel *k, const Panels *p, const Matrix *from, int vecs, LLVMValueRef col, LLVMValueRef to) {
    Packing s = {k, p, from};
    for (int v = 0; v < vecs; v++) {
        LLVMValueRef vector = f32_at(k, to, gen_i64(k->gen, v * p->lanes));
        pack_vector(&s, i_plus(k, col, v * p->lanes), vector, (int64_t)vecs * p->lanes);
    }
}

static void pack_next(void *arg, LLVMValueRef panel, int vecs, LLVMValueRef col) {
    Packing *s = arg;
    panel_pack(s->k, s->p, s->from, vecs, col, panel);
}

void panels_pack(Kernel *k, const Panels *p, const Matrix *from, LLVMValueRef to) {
    Packing s = {k, p, from};
    panels_each(k, p, to, pack_next, &s);
}
