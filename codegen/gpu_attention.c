/* mcc.FusedAttention on a GPU, y = softmax(scale · q kᵀ + mask) v, without a matrix of scores in memory: a block takes
 * some queries of a head, walks along the keys a tile at a time, and keeps for each query the largest score so far, the
 * sum of the powers below it, and the sum of values that they weigh, both brought down wherever a larger score turns
 * up. A thread has four queries, and of them four keys of a tile and every eighth group of four columns; the eight
 * threads that share queries are neighbours in a warp. Shared memory, lines of floats: queries [depth], keys [depth],
 * values [keys], powers [keys]. */
#include <math.h>
#include "codegen/gpu_tile.h"
#include "codegen/products.h"

enum {
    QUAD = 4,
    SHARE = 8 /* threads with the same queries */,
    KEYS = SHARE * QUAD,
    UNROLL = 8,
    PAD = 4,
    MOST_COLS = 128
};

typedef struct Strided {            /* a matrix in global memory, and its tile in shared memory */
    LLVMValueRef base, outer, deep; /* steps, i64 */
    int pitch, at;                  /* floats */
} Strided;

typedef struct Attention {
    Kernel *k;
    const Node *n;
    int queries, threads, depth, cols, deep, wide; /* deep, wide: the depth and columns, rounded up */
    LLVMValueRef thread, row, share;               /* row: the thread's first query in the block */
    LLVMValueRef n_queries, n_keys, first, shared;
    Strided q, key, value;
    int powers; /* where they stand, floats */
    Matrix y, mask;
    bool masked;
    LLVMValueRef sums[QUAD][MOST_COLS / SHARE], most[QUAD],
        total[QUAD]; /* stack slots that LLVM turns into registers */
} Attention;

/* ---- sizes ---- */

static Dim dim_at(const Node *n, int input, const char *perm, int from_end) {
    const int64_t *order;
    const Type *t = &n->in[input]->type;
    node_ints(n, perm, &order);
    return t->dims[order[t->rank - from_end]];
}

static int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

static double heads_of(const Node *n) {
    const int64_t *order;
    const Type *y = &n->out[0]->type;
    double heads = 1;
    node_ints(n, "y_perm", &order);
    for (int i = 0; i + 2 < y->rank; i++) heads *= (double)y->dims[order[i]]->hi;
    return heads;
}

static size_t floats_of(int64_t depth, int64_t cols, int64_t queries) {
    int64_t deep = round_up(depth, UNROLL), wide = round_up(cols, KEYS);
    return (size_t)(deep * (queries + PAD) + deep * (KEYS + PAD) + KEYS * (wide + PAD) + KEYS * (queries + PAD));
}

static int depth_of(const Node *n) { return (int)dim_at(n, 0, "q_perm", 1)->value; }
static int cols_of(const Node *n) { return (int)dim_at(n, 2, "v_perm", 1)->value; }

/* few queries a block where large blocks would leave multiprocessors without one, or do not fit */
static int queries_of(const CodeOptions *o, const Node *n) {
    enum { MANY = 64, FEW = 32 };
    const double enough = 256;
    double rows = heads_of(n) * (double)dim_at(n, 0, "q_perm", 2)->hi;
    return rows < enough * (int)MANY || floats_of(depth_of(n), cols_of(n), MANY) * 4 > o->target->shared ? FEW : MANY;
}

/* the pass that makes the node sees to the sizes */
static bool fits(const CodeOptions *o, const Node *n) {
    (void)o;
    return n->op == OP_FusedAttention;
}

static Dim heads_dim(Ctx *ctx, const Node *n) {
    const int64_t *order;
    const Type *y = &n->out[0]->type;
    Dim heads = dim_const(ctx, 1);
    node_ints(n, "y_perm", &order);
    for (int i = 0; i + 2 < y->rank; i++) heads = dim_mul(ctx, heads, y->dims[order[i]]);
    return heads;
}

static void geometry(Ctx *ctx, const CodeOptions *o, const Node *n, int launch, GpuGeometry *out) {
    int queries = queries_of(o, n);
    (void)launch;
    out->grid[0] =
        dim_mul(ctx, dim_ceildiv(ctx, dim_at(n, 0, "q_perm", 2), dim_const(ctx, queries)), heads_dim(ctx, n));
    out->block[0] = queries / QUAD * SHARE;
    out->dynamic = floats_of(depth_of(n), cols_of(n), queries) * 4;
}

/* ---- shared memory ---- */

static LLVMValueRef word_at(Attention *a, LLVMValueRef floats) {
    return element_at(a->k, a->k->gen->f32, a->shared, floats);
}

typedef struct KeyTile { /* of `outer` lines of a plane by `deep` places, from line `first` on */
    const Strided *p;
    LLVMValueRef first, count; /* lines that there are */
    int outer, deep, there;    /* there: places that there are */
    bool lines_deep;           /* lines of shared memory are places, and lines go along them */
} KeyTile;

/* element e of the tile: where it comes from and goes to; *there: NULL: it exists */
static LLVMValueRef tile_element(Attention *a, const KeyTile *t, LLVMValueRef e, LLVMValueRef *to,
                                 LLVMValueRef *there) {
    Kernel *k = a->k;
    int64_t one;
    bool along = i_is_const(t->p->deep, &one) && one == 1;
    LLVMValueRef fast = LLVMBuildURem(k->b, e, gpu_i32(k, along ? t->deep : t->outer), ""),
                 slow = i_div(k, e, along ? t->deep : t->outer);
    LLVMValueRef place = along ? fast : slow, line = along ? slow : fast, at = i_add(k, t->first, line);
    *there = LLVMBuildICmp(k->b, LLVMIntSLT, at, t->count, "");
    if (t->there < t->deep)
        *there = LLVMBuildAnd(k->b, *there, LLVMBuildICmp(k->b, LLVMIntSLT, place, gpu_i32(k, t->there), ""), "");
    LLVMValueRef from = i_add(k, i_mul(k, LLVMBuildZExt(k->b, at, k->gen->i64, ""), t->p->outer),
                              i_mul(k, LLVMBuildZExt(k->b, place, k->gen->i64, ""), t->p->deep));
    *to = i_plus(k, i_add(k, i_scale(k, t->lines_deep ? place : line, t->p->pitch), t->lines_deep ? line : place),
                 t->p->at);
    return LLVMBuildSelect(k->b, *there, from, gen_i64(k->gen, 0), "");
}

/* loads of a few elements are under way before the first is stored */
static void load_tile(Attention *a, const KeyTile *t) {
    enum { AT_ONCE = 8 };
    Kernel *k = a->k;
    int count = t->outer * t->deep;
    LLVMValueRef zero = LLVMConstNull(k->gen->f32), all = gpu_i32(k, count);
    For f = for_begin(k, a->thread, all, a->threads * AT_ONCE);
    LLVMValueRef v[AT_ONCE], to[AT_ONCE], exists[AT_ONCE];
    for (int i = 0; i < AT_ONCE; i++) {
        LLVMValueRef e = i_plus(k, f.i, i * a->threads), there;
        exists[i] = LLVMBuildICmp(k->b, LLVMIntSLT, e, all, "");
        LLVMValueRef from = tile_element(a, t, LLVMBuildSelect(k->b, exists[i], e, gpu_i32(k, 0), ""), &to[i], &there);
        v[i] = LLVMBuildSelect(k->b, there, vec_load(k, f32_at(k, t->p->base, from), 1, 4), zero, "");
    }
    for (int i = 0; i < AT_ONCE; i++) {
        If one = if_begin(k, exists[i]);
        vec_store(k, v[i], word_at(a, to[i]), 4);
        if_end(k, &one);
    }
    for_end(k, &f);
}

static void load_quad(Attention *a, LLVMValueRef floats, LLVMValueRef *out) {
    Kernel *k = a->k;
    LLVMValueRef v = vec_load(k, word_at(a, floats), QUAD, QUAD * 4);
    for (int i = 0; i < QUAD; i++) out[i] = LLVMBuildExtractElement(k->b, v, gpu_i32(k, i), "");
}

static LLVMValueRef get(Attention *a, LLVMValueRef slot) { return LLVMBuildLoad2(a->k->b, a->k->gen->f32, slot, ""); }
static void set(Attention *a, LLVMValueRef slot, LLVMValueRef v) { LLVMBuildStore(a->k->b, v, slot); }

static LLVMValueRef slot(Attention *a, double v) {
    LLVMValueRef s = gen_alloca(a->k->gen, a->k->b, a->k->gen->f32, 4);
    set(a, s, LLVMConstReal(a->k->gen->f32, v));
    return s;
}

/* ---- a tile of keys ---- */

/* into[i][j] += Σ over lines of left quads and right quads, `quads` of them, KEYS floats apart */
static void multiply(Attention *a, int lines, LLVMValueRef left, int left_pitch, LLVMValueRef right, int right_pitch,
                     int quads, LLVMValueRef into[QUAD][MOST_COLS / SHARE]) {
    Kernel *k = a->k;
    For f = for_begin(k, gpu_i32(k, 0), gpu_i32(k, lines), UNROLL);
    for (int u = 0; u < UNROLL; u++) {
        LLVMValueRef line = i_plus(k, f.i, u), x[QUAD], y[QUAD];
        load_quad(a, i_add(k, left, i_scale(k, line, left_pitch)), x);
        for (int q = 0; q < quads; q++) {
            load_quad(a, i_plus(k, i_add(k, right, i_scale(k, line, right_pitch)), q * KEYS), y);
            for (int i = 0; i < QUAD; i++)
                for (int j = 0; j < QUAD; j++) {
                    LLVMValueRef to = into[i][q * QUAD + j];
                    set(a, to, vec_mul_add(k, x[i], y[j], get(a, to), 1));
                }
        }
    }
    for_end(k, &f);
}

static LLVMValueRef larger(Kernel *k, LLVMValueRef x, LLVMValueRef y) { return vec_larger(k, x, y); }

static LLVMValueRef over_share(Attention *a, LLVMValueRef v,
                               LLVMValueRef (*fold)(Kernel *, LLVMValueRef, LLVMValueRef)) {
    for (int mask = 1; mask < SHARE; mask *= 2) v = fold(a->k, v, gpu_shuffle_xor(a->k, v, mask));
    return v;
}

/* score x of query `row` and key `col`, both in all */
static LLVMValueRef finished(Attention *a, LLVMValueRef x, LLVMValueRef row, LLVMValueRef col) {
    Kernel *k = a->k;
    LLVMTypeRef i64 = k->gen->i64;
    LLVMValueRef by = LLVMConstReal(k->gen->f32, (double)(float)node_float(a->n, "scale")),
                 scaled = LLVMBuildFMul(k->b, x, by, "");
    LLVMValueRef there = LLVMBuildICmp(k->b, LLVMIntSLT, col, a->n_keys, "");
    if (a->masked) {
        LLVMValueRef in_rows = LLVMBuildAnd(k->b, there, LLVMBuildICmp(k->b, LLVMIntSLT, row, a->n_queries, ""), "");
        LLVMValueRef at = i_add(k, i_mul(k, LLVMBuildZExt(k->b, row, i64, ""), a->mask.row),
                                i_mul(k, LLVMBuildZExt(k->b, col, i64, ""), a->mask.col));
        LLVMValueRef m =
            vec_load(k, f32_at(k, a->mask.base, LLVMBuildSelect(k->b, in_rows, at, gen_i64(k->gen, 0), "")), 1, 4);
        LLVMValueRef zero = LLVMConstNull(k->gen->f32);
        scaled = node_int(a->n, "replace")
                     ? LLVMBuildSelect(k->b, LLVMBuildFCmp(k->b, LLVMRealOEQ, m, zero, ""), scaled, m, "")
                     : vec_mul_add(k, x, by, m, 1);
    }
    return LLVMBuildSelect(k->b, there, scaled, LLVMConstReal(k->gen->f32, -INFINITY), "");
}

/* query i: scores become powers, in place; what has been summed before comes down with the largest score */
static void soften(Attention *a, int i, LLVMValueRef *score) {
    Kernel *k = a->k;
    LLVMTypeRef f32 = k->gen->f32;
    LLVMValueRef none = LLVMConstReal(f32, -INFINITY), was = get(a, a->most[i]), most = score[0], sum = NULL;
    for (int j = 1; j < QUAD; j++) most = vec_larger(k, score[j], most);
    most = vec_larger(k, over_share(a, most, larger), was);
    LLVMValueRef below =
        LLVMBuildSelect(k->b, LLVMBuildFCmp(k->b, LLVMRealOEQ, most, none, ""), LLVMConstNull(f32), most, "");
    LLVMValueRef down = vec_exp_of_negative(k, LLVMBuildFSub(k->b, was, below, ""), 1);
    for (int j = 0; j < QUAD; j++) {
        score[j] = vec_exp_of_negative(k, LLVMBuildFSub(k->b, score[j], below, ""), 1);
        sum = sum ? vec_add(k, sum, score[j]) : score[j];
    }
    set(a, a->most[i], most);
    set(a, a->total[i], vec_mul_add(k, get(a, a->total[i]), down, sum, 1));
    for (int c = 0; c < a->wide / SHARE; c++)
        set(a, a->sums[i][c], LLVMBuildFMul(k->b, get(a, a->sums[i][c]), down, ""));
}

static void score_tile(Attention *a, LLVMValueRef keys, LLVMValueRef power[QUAD][QUAD]) {
    Kernel *k = a->k;
    LLVMValueRef into[QUAD][MOST_COLS / SHARE], own = i_scale(k, a->share, QUAD);
    for (int i = 0; i < QUAD; i++)
        for (int j = 0; j < QUAD; j++) { into[i][j] = slot(a, 0); }
    multiply(a, a->deep, i_plus(k, a->row, a->q.at), a->q.pitch, i_plus(k, own, a->key.at), a->key.pitch, 1, into);
    for (int i = 0; i < QUAD; i++) {
        LLVMValueRef row = i_add(k, a->first, i_plus(k, a->row, i));
        for (int j = 0; j < QUAD; j++)
            power[i][j] = finished(a, get(a, into[i][j]), row, i_add(k, keys, i_plus(k, own, j)));
        soften(a, i, power[i]);
    }
}

static void put_powers(Attention *a, LLVMValueRef power[QUAD][QUAD]) {
    Kernel *k = a->k;
    for (int j = 0; j < QUAD; j++) {
        LLVMValueRef v = LLVMGetPoison(vec_type(k->gen, QUAD)), line = i_plus(k, i_scale(k, a->share, QUAD), j);
        for (int i = 0; i < QUAD; i++) v = LLVMBuildInsertElement(k->b, v, power[i][j], gpu_i32(k, i), "");
        vec_store(k, v, word_at(a, i_plus(k, i_add(k, i_scale(k, line, a->queries + PAD), a->row), a->powers)),
                  QUAD * 4);
    }
}

static void key_tile(Attention *a, LLVMValueRef keys) {
    Kernel *k = a->k;
    LLVMValueRef power[QUAD][QUAD];
    KeyTile key = {&a->key, keys, a->n_keys, KEYS, a->deep, a->depth, true},
            value = {&a->value, keys, a->n_keys, KEYS, a->wide, a->cols, false};
    load_tile(a, &key);
    load_tile(a, &value);
    gpu_barrier(k);
    score_tile(a, keys, power);
    put_powers(a, power);
    gpu_barrier(k);
    multiply(a, KEYS, i_plus(k, a->row, a->powers), a->queries + PAD,
             i_plus(k, i_scale(k, a->share, QUAD), a->value.at), a->value.pitch, a->wide / KEYS, a->sums);
    gpu_barrier(k);
}

/* ---- the block ---- */

static void store_query(Attention *a, int i) {
    Kernel *k = a->k;
    LLVMTypeRef f32 = k->gen->f32, i64 = k->gen->i64;
    LLVMValueRef zero = LLVMConstNull(f32), row = i_add(k, a->first, i_plus(k, a->row, i)),
                 total = over_share(a, get(a, a->total[i]), vec_add);
    LLVMValueRef by = LLVMBuildFDiv(k->b, LLVMConstReal(f32, 1), total, ""),
                 keep = LLVMBuildICmp(k->b, LLVMIntSGT, a->n_keys, gpu_i32(k, 0), "");
    if (node_int(a->n, "nan_to_zero"))
        keep = LLVMBuildAnd(k->b, keep, LLVMBuildFCmp(k->b, LLVMRealOGT, total, zero, ""), "");
    If there = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSLT, row, a->n_queries, ""));
    LLVMValueRef line = f32_at(k, a->y.base, i_mul(k, LLVMBuildZExt(k->b, row, i64, ""), a->y.row));
    for (int c = 0; c < a->wide / SHARE; c++) {
        int whole = c / QUAD * KEYS + c % QUAD; /* of the first thread */
        LLVMValueRef col = i_plus(k, i_scale(k, a->share, QUAD), whole),
                     x = LLVMBuildFMul(k->b, get(a, a->sums[i][c]), by, "");
        If one = {0};
        bool sure = whole + KEYS - QUAD < a->cols;
        if (!sure) one = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSLT, col, gpu_i32(k, a->cols), ""));
        LLVMValueRef to = f32_at(k, line, i_mul(k, LLVMBuildZExt(k->b, col, i64, ""), a->y.col));
        vec_store(k, LLVMBuildSelect(k->b, keep, x, zero, ""), to, 4);
        if (!sure) if_end(k, &one);
    }
    if_end(k, &there);
}

static void fill_places(Attention *a) {
    a->q.pitch = a->queries + PAD;
    a->key.at = a->q.at + a->deep * a->q.pitch;
    a->key.pitch = KEYS + PAD;
    a->value.at = a->key.at + a->deep * a->key.pitch;
    a->value.pitch = a->wide + PAD;
    a->powers = a->value.at + KEYS * a->value.pitch;
}

static Matrix global_matrix(Kernel *k, Matrix m) {
    m.base = gpu_global(k, m.base);
    return m;
}

static Strided strided_of(Kernel *k, Matrix m, bool turned) {
    return (Strided){.base = gpu_global(k, m.base), .outer = turned ? m.col : m.row, .deep = turned ? m.row : m.col};
}

/* the head and the queries of this block */
static void place_block(Attention *a, const Axes *y, LLVMValueRef *head) {
    Kernel *k = a->k;
    LLVMValueRef tiles = i_div_up(k, a->n_queries, a->queries), block = gpu_block(k, 0);
    a->first = i_scale(k, LLVMBuildURem(k->b, block, tiles, ""), a->queries);
    *head = LLVMBuildZExt(k->b, LLVMBuildUDiv(k->b, block, tiles, ""), k->gen->i64, "");
    (void)y;
}

static void fill_operands(Attention *a, const Axes *y, LLVMValueRef head) {
    Kernel *k = a->k;
    const Node *n = a->n;
    Axes q = value_axes(k, n->in[0], "q_perm", k->in[0]), key = value_axes(k, n->in[1], "k_perm", k->in[1]),
         v = value_axes(k, n->in[2], "v_perm", k->in[2]);
    a->q = strided_of(k, matrix_at(k, &q, y, head), false);
    a->key = strided_of(k, matrix_at(k, &key, y, head), true);
    a->value = strided_of(k, matrix_at(k, &v, y, head), false);
    a->y = global_matrix(k, matrix_at(k, y, y, head));
    a->masked = n->n_in > 3 && n->in[3];
    if (a->masked) a->mask = global_matrix(k, operand_at(k, n->in[3], k->in[3], y, head));
    fill_places(a);
}

static void begin_sums(Attention *a) {
    for (int i = 0; i < QUAD; i++) {
        a->most[i] = slot(a, -INFINITY);
        a->total[i] = slot(a, 0);
        for (int c = 0; c < a->wide / SHARE; c++) a->sums[i][c] = slot(a, 0);
    }
}

static bool emit(Kernel *k, int launch) {
    const Node *n = k->node;
    Attention a = {.k = k, .n = n, .queries = queries_of(k->gen->opt, n), .depth = depth_of(n), .cols = cols_of(n)};
    LLVMTypeRef i32 = k->gen->i32;
    (void)launch;
    a.threads = a.queries / QUAD * SHARE;
    a.deep = (int)round_up(a.depth, UNROLL);
    a.wide = (int)round_up(a.cols, KEYS);
    a.thread = gpu_thread(k, 0);
    a.row = i_scale(k, i_div(k, a.thread, SHARE), QUAD);
    a.share = LLVMBuildURem(k->b, a.thread, gpu_i32(k, SHARE), "");
    a.shared = gpu_dynamic_shared(k);
    a.n_queries = LLVMBuildTrunc(k->b, kernel_dim(k, dim_at(n, 0, "q_perm", 2)), i32, "");
    a.n_keys = LLVMBuildTrunc(k->b, kernel_dim(k, dim_at(n, 1, "k_perm", 1)), i32, "");
    Axes y = value_axes(k, n->out[0], "y_perm", k->out[0]);
    LLVMValueRef head;
    If any = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSGT, a.n_queries, gpu_i32(k, 0),
                                       "")); /* grids stand for the bounds of dims that depend on data */
    place_block(&a, &y, &head);
    If there = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSLT, head, batch_count(k, &y), ""));
    fill_operands(&a, &y, head);
    begin_sums(&a);
    KeyTile queries = {&a.q, a.first, a.n_queries, a.queries, a.deep, a.depth, true};
    load_tile(&a, &queries);
    For f = for_begin(k, gpu_i32(k, 0), a.n_keys, KEYS);
    key_tile(&a, f.i);
    for_end(k, &f);
    for (int i = 0; i < QUAD; i++) store_query(&a, i);
    if_end(k, &there);
    if_end(k, &any);
    LLVMBuildRetVoid(k->b);
    return true;
}

const GpuForm gpu_attention = {.form = "attention", .fits = fits, .geometry = geometry, .emit = emit};
