/* mcc.BlockAttention: attention of values in panels of PANEL rows, [batch, panels, heads · depth, PANEL], as sparse
 * products read and write them. A lane is a query: scores are rows of keys by vectors of queries, so that a softmax
 * runs down its lanes, keys and values are numbers that stand still in a product, and nothing is turned or packed. The
 * powers of a few panels' scores wait in scratch memory, [keys][vectors]; where those are several panels, their queries
 * are first put side by side, [depth][vectors]. What is asked for is softmax(scale · q kᵀ + mask) v; see attention.c
 * for rows that lie in one piece.
 *
 * Lanes beyond the last query are anything, and stay by themselves. */
#include "codegen/planes.h"
#include "codegen/products.h"

typedef struct BlockAttention {
    Kernel *k;
    int lanes, parts, rows;                   /* parts: vectors of a panel; rows: of a tile */
    int64_t heads, depth, cols, keys, panels; /* panels: of queries */
    double scale;
    bool masked, replace, nan_to_zero;
    LLVMValueRef q, key, value, y; /* the head at hand, in the first panel */
    LLVMValueRef near, scores;     /* scratch memory; near: queries side by side */
    Matrix mask;                   /* a number for each key */
} BlockAttention;

typedef struct Queries { /* some panels of them, that are in work at once */
    const BlockAttention *a;
    int panels, vecs;
    LLVMValueRef first;   /* panel */
    LLVMValueRef vectors; /* of depth 0; `vecs` neighbours */
    int64_t next;         /* elements to those of the next */
    Tile most, sums;      /* 1 × vecs; in the end sums are their inverses */
} Queries;

/* ---- places ---- */

static int64_t panel_size(int64_t channels) { return channels * PANEL; }

static LLVMValueRef query_at(const Queries *s, LLVMValueRef base, int64_t channels, int v, int64_t channel) {
    Kernel *k = s->a->k;
    LLVMValueRef panel = i_plus(k, s->first, v / s->a->parts);
    int64_t at = channel * PANEL + v % s->a->parts * s->a->lanes;
    return f32_at(k, base, i_plus(k, i_scale(k, panel, panel_size(s->a->heads * channels)), at));
}

static LLVMValueRef power_at(const Queries *s, LLVMValueRef key, int v) {
    const BlockAttention *a = s->a;
    return f32_at(a->k, a->scores, i_plus(a->k, i_scale(a->k, key, (int64_t)s->vecs * a->lanes), v * a->lanes));
}

/* ---- scores ---- */

static void put_side_by_side(Queries *s) {
    const BlockAttention *a = s->a;
    Kernel *k = a->k;
    s->vectors = query_at(s, a->q, a->depth, 0, 0), s->next = PANEL;
    if (s->panels == 1) return;
    LLVMValueRef from = s->vectors;
    s->vectors = a->near, s->next = (int64_t)s->vecs * a->lanes;
    For d = for_count(k, a->depth);
    for (int v = 0; v < s->vecs; v++) {
        int64_t panel = v / a->parts * panel_size(a->heads * a->depth), at = panel + v % a->parts * a->lanes;
        LLVMValueRef x = vec_load(k, f32_at(k, from, i_plus(k, i_scale(k, d.i, PANEL), at)), a->lanes, 4);
        LLVMValueRef to = i_plus(k, i_scale(k, d.i, s->next), v * a->lanes);
        vec_store(k, x, f32_at(k, s->vectors, to), (unsigned)a->lanes * 4);
    }
    for_end(k, &d);
}

static LLVMValueRef with_mask(const BlockAttention *a, LLVMValueRef key, LLVMValueRef x) {
    Kernel *k = a->k;
    LLVMValueRef by = vec_const(k->gen, (double)(float)a->scale, a->lanes), zero = vec_const(k->gen, 0, a->lanes);
    if (!a->masked) return LLVMBuildFMul(k->b, x, by, "");
    LLVMValueRef mask = vec_load(k, f32_at(k, a->mask.base, i_mul(k, key, a->mask.col)), 1, 4);
    mask = vec_splat(k, mask, a->lanes);
    if (!a->replace) return vec_mul_add(k, x, by, mask, a->lanes);
    LLVMValueRef seen = LLVMBuildFCmp(k->b, LLVMRealOEQ, mask, zero, "");
    return LLVMBuildSelect(k->b, seen, LLVMBuildFMul(k->b, x, by, ""), mask, "");
}

/* of `rows` keys from the one with that number on, which stands at `from` */
static void score_tile(Queries *s, LLVMValueRef from, LLVMValueRef key, int rows) {
    const BlockAttention *a = s->a;
    Kernel *k = a->k;
    Tile t;
    tile_begin(&t, k, rows, s->vecs, a->lanes);
    tile_fill(&t, NULL, 0);
    TileSteps steps = {.a = from,
                       .row = gen_i64(k->gen, 1),
                       .b = s->vectors,
                       .next = gen_i64(k->gen, s->next),
                       .count = gen_i64(k->gen, a->depth),
                       .inner = PANEL,
                       .b_align = 4,
                       .unroll = 1,
                       .mask = UINT32_MAX};
    tile_steps(&t, &steps);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < s->vecs; v++) {
            LLVMValueRef at = i_plus(k, key, r), x = with_mask(a, at, tile_get(&t, r, v));
            tile_put(&s->most, 0, v, vec_larger(k, x, tile_get(&s->most, 0, v)));
            vec_store(k, x, power_at(s, at, v), (unsigned)a->lanes * 4);
        }
}

static void score_panel(Queries *s, LLVMValueRef panel, int keys) {
    const BlockAttention *a = s->a;
    Kernel *k = a->k;
    LLVMValueRef from = f32_at(k, a->key, i_scale(k, panel, panel_size(a->heads * a->depth)));
    LLVMValueRef key = i_scale(k, panel, PANEL);
    for (int r = 0; r < keys; r += a->rows)
        score_tile(s, f32_at(k, from, gen_i64(k->gen, r)), i_plus(k, key, r), keys - r < a->rows ? keys - r : a->rows);
}

static void score(Queries *s) {
    Kernel *k = s->a->k;
    int64_t whole = s->a->keys / PANEL, rest = s->a->keys % PANEL;
    for (int v = 0; v < s->vecs; v++) tile_put(&s->most, 0, v, vec_const(k->gen, -__builtin_inf(), s->a->lanes));
    For f = for_count(k, whole);
    score_panel(s, f.i, PANEL);
    for_end(k, &f);
    if (rest) score_panel(s, gen_i64(k->gen, whole), (int)rest);
}

/* ---- powers and their sums ---- */

static void raise(Queries *s) {
    const BlockAttention *a = s->a;
    Kernel *k = a->k;
    LLVMValueRef one = vec_const(k->gen, 1, a->lanes), zero = vec_const(k->gen, 0, a->lanes);
    tile_fill(&s->sums, NULL, 0);
    For f = for_count(k, a->keys);
    for (int v = 0; v < s->vecs; v++) {
        LLVMValueRef at = power_at(s, f.i, v), x = vec_load(k, at, a->lanes, (unsigned)a->lanes * 4);
        LLVMValueRef e = vec_exp_of_negative(k, LLVMBuildFSub(k->b, x, tile_get(&s->most, 0, v), ""), a->lanes);
        vec_store(k, e, at, (unsigned)a->lanes * 4);
        tile_put(&s->sums, 0, v, vec_add(k, e, tile_get(&s->sums, 0, v)));
    }
    for_end(k, &f);
    for (int v = 0; v < s->vecs; v++) {
        LLVMValueRef by = LLVMBuildFDiv(k->b, one, tile_get(&s->sums, 0, v), "");
        if (a->nan_to_zero) by = LLVMBuildSelect(k->b, LLVMBuildFCmp(k->b, LLVMRealUNO, by, by, ""), zero, by, "");
        tile_put(&s->sums, 0, v, by);
    }
}

/* ---- sums of values ---- */

/* of `keys` keys of a panel */
static void add_values(Queries *s, Tile *t, LLVMValueRef col, LLVMValueRef panel, int64_t keys) {
    enum { UNROLL = 4 };
    const BlockAttention *a = s->a;
    Kernel *k = a->k;
    LLVMValueRef from = i_add(k, i_scale(k, panel, panel_size(a->heads * a->cols)), i_scale(k, col, PANEL));
    TileSteps steps = {.a = f32_at(k, a->value, from),
                       .row = gen_i64(k->gen, PANEL),
                       .b = power_at(s, i_scale(k, panel, PANEL), 0),
                       .next = gen_i64(k->gen, (int64_t)s->vecs * a->lanes),
                       .count = gen_i64(k->gen, keys),
                       .inner = 1,
                       .b_align = (unsigned)a->lanes * 4,
                       .unroll = UNROLL,
                       .mask = UINT32_MAX};
    tile_steps(t, &steps);
}

/* `rows` columns of the values from `col` on */
static void value_tile(Queries *s, LLVMValueRef col, int rows) {
    const BlockAttention *a = s->a;
    Kernel *k = a->k;
    int64_t whole = a->keys / PANEL, rest = a->keys % PANEL;
    LLVMValueRef zero = vec_const(k->gen, 0, a->lanes);
    Tile t;
    tile_begin(&t, k, rows, s->vecs, a->lanes);
    tile_fill(&t, NULL, 0);
    For f = for_count(k, whole);
    add_values(s, &t, col, f.i, PANEL);
    for_end(k, &f);
    if (rest) add_values(s, &t, col, gen_i64(k->gen, whole), rest);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < s->vecs; v++) {
            LLVMValueRef by = tile_get(&s->sums, 0, v), x = LLVMBuildFMul(k->b, tile_get(&t, r, v), by, "");
            LLVMValueRef at = f32_at(k, query_at(s, a->y, a->cols, v, r), i_scale(k, col, PANEL));
            if (a->nan_to_zero) x = LLVMBuildSelect(k->b, LLVMBuildFCmp(k->b, LLVMRealOEQ, by, zero, ""), zero, x, "");
            vec_store(k, x, at, 4);
        }
}

/* ---- the kernel ---- */

static void emit_queries(const BlockAttention *a, LLVMValueRef first, int panels) {
    Kernel *k = a->k;
    Queries s = {.a = a, .panels = panels, .vecs = panels * a->parts, .first = first};
    int64_t whole = a->cols / a->rows * a->rows;
    tile_begin(&s.most, k, 1, s.vecs, a->lanes);
    tile_begin(&s.sums, k, 1, s.vecs, a->lanes);
    put_side_by_side(&s);
    score(&s);
    raise(&s);
    For f = for_begin(k, gen_i64(k->gen, 0), gen_i64(k->gen, whole), a->rows);
    value_tile(&s, f.i, a->rows);
    for_end(k, &f);
    if (whole < a->cols) value_tile(&s, gen_i64(k->gen, whole), (int)(a->cols - whole));
}

static LLVMValueRef head_of(Kernel *k, LLVMValueRef base, const Value *v, LLVMValueRef batch, LLVMValueRef head,
                            int64_t channels) {
    int64_t all = v->type.dims[1]->value * panel_size(v->type.dims[2]->value);
    return f32_at(k, base, i_add(k, i_scale(k, batch, all), i_scale(k, head, panel_size(channels))));
}

/* what is masked, broadcast to [batch, heads, queries, keys] */
static Matrix mask_of(const BlockAttention *a, LLVMValueRef index) {
    Kernel *k = a->k;
    const Node *n = k->node;
    Dim one = dim_const(k->gen->ctx, 1);
    Axes all = {.rank = 4, .dim = {n->in[0]->type.dims[0], dim_const(k->gen->ctx, a->heads), one, one}};
    return operand_at(k, n->in[3], k->in[3], &all, index);
}

static void emit_head(BlockAttention *a, LLVMValueRef index, LLVMValueRef run, int64_t at_once) {
    Kernel *k = a->k;
    const Node *n = k->node;
    LLVMValueRef heads = gen_i64(k->gen, a->heads), batch = i_div(k, index, a->heads),
                 head = LLVMBuildURem(k->b, index, heads, ""), first = i_scale(k, run, at_once);
    int64_t rest = a->panels % at_once;
    a->q = head_of(k, k->in[0], n->in[0], batch, head, a->depth);
    a->key = head_of(k, k->in[1], n->in[1], batch, head, a->depth);
    a->value = head_of(k, k->in[2], n->in[2], batch, head, a->cols);
    a->y = head_of(k, k->out[0], n->out[0], batch, head, a->cols);
    if (a->masked) a->mask = mask_of(a, index);
    if (!rest) {
        emit_queries(a, first, (int)at_once);
        return;
    }
    LLVMValueRef whole = gen_i64(k->gen, a->panels / at_once);
    If some = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSLT, run, whole, ""));
    emit_queries(a, first, (int)at_once);
    if_else(k, &some);
    emit_queries(a, first, (int)rest);
    if_end(k, &some);
}

static int64_t wide(const Node *n) { return node_int(n, "panels") * PANEL; }

static int64_t side_bytes(const Node *n) {
    return n->in[0]->type.dims[2]->value / node_int(n, "heads") * wide(n) * (int64_t)sizeof(float);
}

static bool scratch_bytes(Ctx *ctx, const Node *n, size_t *bytes) {
    int64_t scores;
    bool fits = mul_i64(node_int(n, "keys"), wide(n) * (int64_t)sizeof(float), &scores) &&
                add_i64(scores, side_bytes(n), &scores);
    *bytes = (size_t)scores;
    if (!fits) diag_error(ctx, n, "needs more scratch memory than there are addresses");
    return fits;
}

static bool emit(Kernel *k) {
    const Node *n = k->node;
    const Type *q = &n->in[0]->type, *y = &n->out[0]->type;
    BlockAttention a = {.k = k,
                        .lanes = (int)node_int(n, "lanes"),
                        .rows = (int)node_int(n, "rows"),
                        .heads = node_int(n, "heads"),
                        .keys = node_int(n, "keys"),
                        .panels = q->dims[1]->value,
                        .scale = node_float(n, "scale"),
                        .masked = n->n_in > 3,
                        .replace = node_int(n, "replace"),
                        .nan_to_zero = node_int(n, "nan_to_zero")};
    int64_t at_once = node_int(n, "panels"), runs = (a.panels + at_once - 1) / at_once;
    a.parts = PANEL / a.lanes, a.depth = q->dims[2]->value / a.heads, a.cols = y->dims[2]->value / a.heads;
    a.near = k->scratch;
    a.scores = f32_at(k, a.near, gen_i64(k->gen, side_bytes(n) / (int64_t)sizeof(float)));
    Range share = kernel_share(k, gen_i64(k->gen, q->dims[0]->value * a.heads * runs), 1, k->chunks);
    For f = for_begin(k, share.from, share.to, 1);
    LLVMValueRef run = LLVMBuildURem(k->b, f.i, gen_i64(k->gen, runs), "");
    emit_head(&a, i_div(k, f.i, runs), run, at_once);
    for_end(k, &f);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

static double work_of(const Node *n) {
    double powers = 20 * (double)node_int(n, "heads"), products = 2 * (double)n->in[0]->type.dims[2]->value;
    return largest_count(n->out[0]) / (double)n->out[0]->type.dims[2]->value * (double)node_int(n, "keys") *
           (powers + products) / (double)node_int(n, "lanes");
}

const Emitter block_attention_emitter = {
    .form = "attention of blocks", .emit = emit, .scratch = scratch_bytes, .work = work_of};
