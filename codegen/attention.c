/* Attention, y = softmax(scale · q kᵀ + mask) v: for each head keys and values are packed in panels; then, a few
 * queries at a time, their scores go to a buffer that stays in cache, become powers there, and the sums of values are
 * scaled as they are stored. Heads are independent of each other but for the scratch memory: keys
 * [panels][depth][columns], values [panels][keys][columns], scores [queries of a tile][keys, padded]. */
#include "codegen/products.h"

enum { LINE = 16 /* floats; parts of the scratch memory start on one, and one further apart than they need to */ };

typedef struct Attention {
    Kernel *k;
    int lanes, rows; /* queries at a time */
    double scale;
    LLVMValueRef queries, n_keys, depth, cols;
    Panels keys, values;
    LLVMValueRef packed_keys, packed_values, scores, row; /* row: between rows of scores */
    Matrix q, y, mask;
    bool masked, nan_to_zero;
    bool replace; /* the mask's elements that are not 0 stand for the scores */
} Attention;

typedef struct Rows { /* the queries at hand */
    Attention *a;
    int rows;
    LLVMValueRef first;
    const Tile *sums;
} Rows;

/* ---- scores and sums of a panel ---- */

static LLVMValueRef mask_at(Rows *r, int row, LLVMValueRef col, LLVMValueRef there) {
    Attention *a = r->a;
    Kernel *k = a->k;
    int64_t step;
    LLVMValueRef p = f32_at(k, a->mask.base, i_mul(k, i_plus(k, r->first, row), a->mask.row));
    if (i_is_const(a->mask.col, &step) && step == 0) return vec_splat(k, vec_load(k, p, 1, 4), a->lanes);
    p = f32_at(k, p, col);
    return there ? vec_load_part(k, p, a->lanes, there) : vec_load(k, p, a->lanes, 4);
}

static LLVMValueRef with_mask(Rows *r, int row, LLVMValueRef col, LLVMValueRef there, LLVMValueRef x, LLVMValueRef by) {
    Attention *a = r->a;
    LLVMBuilderRef b = a->k->b;
    if (!a->masked) return LLVMBuildFMul(b, x, by, "");
    LLVMValueRef mask = mask_at(r, row, col, there), zero = vec_const(a->k->gen, 0, a->lanes);
    if (!a->replace) return vec_mul_add(a->k, x, by, mask, a->lanes);
    LLVMValueRef seen = LLVMBuildFCmp(b, LLVMRealOEQ, mask, zero, "");
    return LLVMBuildSelect(b, seen, LLVMBuildFMul(b, x, by, ""), mask, "");
}

/* what becomes of one vector of a tile: x of query i, at column `at`; there: elements that exist, NULL: all */
typedef void Finish(Rows *r, int i, LLVMValueRef at, LLVMValueRef there, LLVMValueRef x);

/* the tile of queries × a panel, from rows of `from`; `cols` columns exist */
static void each_of_tile(Rows *r, LLVMValueRef from, LLVMValueRef step, LLVMValueRef panel, LLVMValueRef depth, int vecs,
                         LLVMValueRef col, LLVMValueRef cols, Finish *finish) {
    Kernel *k = r->a->k;
    int lanes = r->a->lanes;
    Tile t;
    tile_begin(&t, k, r->rows, vecs, lanes);
    panel_multiply(&t, from, step, 1, panel, depth);
    for (int i = 0; i < r->rows; i++)
        for (int v = 0; v < vecs; v++) {
            LLVMValueRef at = i_plus(k, col, v * lanes);
            finish(r, i, at, lanes_there(k, cols, at, lanes), tile_get(&t, i, v));
        }
}

static void finish_score(Rows *r, int i, LLVMValueRef at, LLVMValueRef there, LLVMValueRef x) {
    Attention *a = r->a;
    Kernel *k = a->k;
    x = with_mask(r, i, at, there, x, vec_const(k->gen, (double)(float)a->scale, a->lanes));
    LLVMValueRef none = vec_const(k->gen, -__builtin_inf(), a->lanes);
    if (there) x = LLVMBuildSelect(k->b, lane_mask(k, there, a->lanes), x, none, "");
    vec_store(k, x, f32_at(k, f32_at(k, a->scores, i_scale(k, a->row, i)), at), (unsigned)a->lanes * 4);
}

static void score_panel(void *arg, LLVMValueRef panel, int vecs, LLVMValueRef col) {
    Rows *r = arg;
    Attention *a = r->a;
    LLVMValueRef q = f32_at(a->k, a->q.base, i_mul(a->k, r->first, a->q.row));
    each_of_tile(r, q, a->q.row, panel, a->depth, vecs, col, a->n_keys, finish_score);
}

static void finish_value(Rows *r, int i, LLVMValueRef at, LLVMValueRef there, LLVMValueRef x) {
    Attention *a = r->a;
    Kernel *k = a->k;
    LLVMValueRef by = tile_get(r->sums, i, 0), zero = vec_const(k->gen, 0, a->lanes);
    x = LLVMBuildFMul(k->b, x, by, "");
    if (a->nan_to_zero) x = LLVMBuildSelect(k->b, LLVMBuildFCmp(k->b, LLVMRealOEQ, by, zero, ""), zero, x, "");
    LLVMValueRef p = f32_at(k, a->y.base, i_mul(k, i_plus(k, r->first, i), a->y.row));
    if (there) vec_store_part(k, x, f32_at(k, p, at), a->lanes, there);
    else vec_store(k, x, f32_at(k, p, at), 4);
}

static void value_panel(void *arg, LLVMValueRef panel, int vecs, LLVMValueRef col) {
    Rows *r = arg;
    Attention *a = r->a;
    each_of_tile(r, a->scores, a->row, panel, a->n_keys, vecs, col, a->cols, finish_value);
}

/* ---- queries and heads ---- */

/* 0 for the inverse of sums: without keys, so that the values' sums are 0, and where NaN is to count as 0 */
static void clear_sums(Attention *a, Tile *sums) {
    Kernel *k = a->k;
    LLVMBuilderRef b = k->b;
    LLVMValueRef zero = vec_const(k->gen, 0, a->lanes),
                 none = LLVMBuildICmp(b, LLVMIntEQ, a->n_keys, gen_i64(k->gen, 0), "");
    for (int r = 0; r < sums->rows; r++) {
        LLVMValueRef s = LLVMBuildSelect(b, none, zero, tile_get(sums, r, 0), "");
        if (a->nan_to_zero) s = LLVMBuildSelect(b, LLVMBuildFCmp(b, LLVMRealUNO, s, s, ""), zero, s, "");
        tile_put(sums, r, 0, s);
    }
}

static void emit_rows(Attention *a, int rows, LLVMValueRef first) {
    Kernel *k = a->k;
    Tile sums;
    Rows r = {a, rows, first, &sums};
    panels_each(k, &a->keys, a->packed_keys, score_panel, &r);
    LLVMValueRef padded = i_scale(k, i_div_up(k, a->n_keys, a->lanes), a->lanes);
    SoftmaxRows s = {rows, a->lanes, a->scores, a->row, a->scores, a->row, padded, true};
    softmax_rows(k, &s, &sums);
    clear_sums(a, &sums);
    panels_each(k, &a->values, a->packed_values, value_panel, &r);
}

/* tiles of `rows` queries where at least one fits, else smaller ones */
static void emit_open_queries(Attention *a, int rows) {
    Kernel *k = a->k;
    LLVMValueRef least = gen_i64(k->gen, rows);
    If fits = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSGE, a->queries, least, ""));
    For f = for_begin(k, gen_i64(k->gen, 0), a->queries, rows);
    emit_rows(a, rows, rows > 1 ? i_min(k, f.i, i_sub(k, a->queries, least)) : f.i);
    for_end(k, &f);
    if_else(k, &fits);
    if (rows > 1) emit_open_queries(a, rows / 2);
    if_end(k, &fits);
}

/* tiles of queries, the last of which overlaps its neighbour */
static void emit_queries(Attention *a) {
    Kernel *k = a->k;
    int64_t n;
    if (!i_is_const(a->queries, &n)) {
        emit_open_queries(a, a->rows);
        return;
    }
    int rows = n < a->rows ? (int)n : a->rows;
    if (rows < 1) return;
    For f = for_begin(k, gen_i64(k->gen, 0), a->queries, rows);
    emit_rows(a, rows, n % rows ? i_min(k, f.i, gen_i64(k->gen, n - rows)) : f.i);
    for_end(k, &f);
}

typedef struct Scratch { /* bytes of its parts, each with a line between it and the next */
    size_t keys, values, scores;
} Scratch;

static bool fill_scratch(const Node *n, Scratch *s) {
    const Type *q = &n->in[0]->type, *key = &n->in[1]->type, *v = &n->in[2]->type;
    const int64_t *qp, *kp, *vp;
    node_ints(n, "q_perm", &qp);
    node_ints(n, "k_perm", &kp);
    node_ints(n, "v_perm", &vp);
    Dim depth = q->dims[qp[q->rank - 1]], keys = key->dims[kp[key->rank - 1]], cols = v->dims[vp[v->rank - 1]];
    int lanes = (int)node_int(n, "lanes"), wide_keys = (int)node_int(n, "key_vecs") * lanes,
        wide_values = (int)node_int(n, "value_vecs") * lanes;
    int64_t row, bytes;
    if (!panels_bytes(depth, keys, wide_keys, &s->keys) || !panels_bytes(keys, cols, wide_values, &s->values))
        return false;
    if (!add_i64(keys->hi, wide_keys, &row) || !mul_i64(row, 4 * node_int(n, "rows"), &bytes)) return false;
    s->scores = (size_t)bytes;
    return true;
}

static size_t with_line(size_t bytes) { return bytes / (LINE * 4) * (LINE * 4) + 2 * LINE * 4; }

static bool scratch_bytes(Ctx *ctx, const Node *n, size_t *bytes) {
    Scratch s;
    size_t most = SIZE_MAX / 8;
    if (fill_scratch(n, &s) && s.keys < most && s.values < most && s.scores < most) {
        *bytes = with_line(s.keys) + with_line(s.values) + with_line(s.scores);
        return true;
    }
    diag_error(ctx, n, "needs more scratch memory than there are addresses");
    return false;
}

static void place_scratch(Attention *a) {
    Kernel *k = a->k;
    Scratch s;
    bool ok = fill_scratch(k->node, &s);
    assert(ok);
    (void)ok;
    a->packed_keys = k->scratch;
    a->packed_values = gen_offset(k->gen, k->b, a->packed_keys, gen_i64(k->gen, (int64_t)with_line(s.keys)));
    a->scores = gen_offset(k->gen, k->b, a->packed_values, gen_i64(k->gen, (int64_t)with_line(s.values)));
    a->row = i_scale(k, i_div_up(k, a->n_keys, a->keys.vecs * a->lanes), a->keys.vecs * a->lanes);
}

static bool emit(Kernel *k) {
    const Node *n = k->node;
    Axes q = value_axes(k, n->in[0], "q_perm", k->in[0]), keys = value_axes(k, n->in[1], "k_perm", k->in[1]),
         v = value_axes(k, n->in[2], "v_perm", k->in[2]), y = value_axes(k, n->out[0], "y_perm", k->out[0]);
    Attention a = {.k = k,
                   .lanes = (int)node_int(n, "lanes"),
                   .rows = (int)node_int(n, "rows"),
                   .scale = node_float(n, "scale"),
                   .masked = n->n_in > 3 && n->in[3]};
    a.replace = node_int(n, "replace");
    a.nan_to_zero = node_int(n, "nan_to_zero");
    a.queries = kernel_dim(k, q.dim[q.rank - 2]);
    a.depth = kernel_dim(k, q.dim[q.rank - 1]);
    a.n_keys = kernel_dim(k, keys.dim[keys.rank - 1]);
    a.cols = kernel_dim(k, v.dim[v.rank - 1]);
    a.keys = panels_of(k, a.depth, a.n_keys, (int)node_int(n, "key_vecs"), a.lanes);
    a.values = panels_of(k, a.n_keys, a.cols, (int)node_int(n, "value_vecs"), a.lanes);
    place_scratch(&a);
    Range share = kernel_share(k, batch_count(k, &y), 1, k->chunks);
    For head = for_begin(k, share.from, share.to, 1);
    Matrix key = matrix_at(k, &keys, &y, head.i), value = matrix_at(k, &v, &y, head.i);
    a.q = matrix_at(k, &q, &y, head.i);
    a.y = matrix_at(k, &y, &y, head.i);
    if (a.masked) a.mask = operand_at(k, n->in[3], k->in[3], &y, head.i);
    panels_pack(k, &a.keys, &key, a.packed_keys);
    panels_pack(k, &a.values, &value, a.packed_values);
    emit_queries(&a);
    for_end(k, &head);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

/* heads are shared out */
static double work_of(const Node *n) {
    const Type *keys = &n->in[1]->type;
    double lanes = (double)node_int(n, "lanes"), count = 0;
    for (int i = keys->rank - 2; i < keys->rank; i++)
        count = count < (double)keys->dims[i]->hi ? (double)keys->dims[i]->hi : count;
    return 2 * largest_count(n->in[0]) * count / lanes;
}

const Emitter attention_emitter = {.form = "attention", .emit = emit, .scratch = scratch_bytes, .work = work_of};
