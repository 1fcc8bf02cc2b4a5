/* Products with a constant matrix of which many elements are zero, y[rows…, N] = x[rows…, K] · wᵀ + bias,
 * mcc.SparseMatMul: straight-line code on panels of rows (sparse.h). Some panels' rows become columns in scratch
 * memory, [panels][K][lanes]; the code makes [panels][N][lanes] of them, which turn back on their way through the
 * epilogue. The last panel overlaps the one before it; where there are fewer rows than lanes, the last row stands for
 * those that are missing. */
#include <math.h>
#include "codegen/contract.h"
#include "codegen/sparse.h"

enum { LEAST_ROWS = 32 /* of the matrix, in a chunk */ };

typedef struct Product {
    Kernel *k;
    LLVMTypeRef element; /* of vectors: f32, or words of bytes, whose sums are int32 */
    bool flip;           /* the highest bits of x */
    int lanes;
    int64_t inner, cols, panels; /* panels: at once */
    LLVMValueRef rows;
    LLVMValueRef x, y; /* scratch memory */
    Epilogue *epilogue;
    Tile square, row; /* lanes rows of one vector, and one of them */
} Product;

static bool has_words(const Node *n) { return n->in[0]->type.dtype != DT_F32; }
static int64_t cols_of(const Node *n) { return node_is_packed(n) ? node_packed(n).rows : n->in[1]->constant->dims[0]; }
static int64_t inner_of(const Node *n) {
    return node_is_packed(n) ? node_packed(n).sources : n->in[1]->constant->dims[1]; /* in elements or words */
}
static double most_rows(const Node *n) { return largest_count(n->out[0]) / (double)cols_of(n); }
static int64_t most_panels(const Node *n) { return (int64_t)ceil(most_rows(n) / (double)node_int(n, "lanes")); }
static int64_t runs_of(const Node *n) {
    int64_t run = node_int(n, "panels");
    return (most_panels(n) + run - 1) / run;
}

static bool scratch_bytes(Ctx *ctx, const Node *n, size_t *bytes) {
    int64_t each = (inner_of(n) + cols_of(n)) * node_int(n, "lanes") * 4, all;
    *bytes = 0;
    if (node_int(n, "blocked")) return true;
    if (mul_i64(each, node_int(n, "panels"), &all)) {
        *bytes = (size_t)all;
        return true;
    }
    diag_error(ctx, n, "needs more scratch memory than there are addresses");
    return false;
}

/* ---- the code ---- */

/* all but the matrix, its sources and the bias */
static SparseLayer layer_of(const Node *n) {
    int64_t lanes = node_int(n, "lanes"), vector = lanes * 4, inner = inner_of(n), cols = cols_of(n);
    SparseLayer l = {.rows = cols,
                     .n_sources = inner,
                     .low = -INFINITY,
                     .high = INFINITY,
                     .x_step = inner * vector,
                     .y_step = cols * vector,
                     .residual_step = cols * vector,
                     .y_row = vector,
                     .residual_row = vector,
                     .panels = node_int(n, "panels"),
                     .all_panels = most_panels(n),
                     .repeats = most_rows(n) > (double)(node_int(n, "panels") * lanes)};
    if (node_int(n, "blocked")) sparse_take_body(n, &l);
    return l;
}

static Str encode(Ctx *ctx, const Target *t, const Node *n) {
    SparseLayer l = layer_of(n);
    const void *w = n->in[1]->constant->data, *bias = n->in[2] ? n->in[2]->constant->data : NULL;
    int64_t inner = l.n_sources, vector = node_int(n, "lanes") * 4;
    if (has_words(n)) l.words = w, l.word_bias = bias;
    else l.weights = w, l.bias = bias;
    SparseSource *sources = ARENA_ARRAY(ctx->arena, inner, SparseSource);
    for (int64_t i = 0; i < inner; i++) sources[i].offset = i * vector;
    l.sources = sources;
    return sparse_encode(ctx->arena, t, &l);
}

static bool in_code(const Node *n, int input) {
    (void)n;
    return input == 1 || input == 2;
}

static int64_t blocks_of(const Kernel *k) {
    const Node *n = k->node;
    PackedForm packed = {0};
    if (!node_is_packed(n)) return sparse_blocks(k->gen->target, cols_of(n), false);
    packed = node_packed(n);
    return packed_blocks(&packed);
}

static void call_code(Kernel *k, const SparseCall *c) {
    if (!node_is_packed(k->node)) {
        sparse_call(k, k->in[1], c);
        return;
    }
    SparseLayer l = layer_of(k->node);
    packed_call(k, &l, c);
}

/* ---- squares of lanes × lanes ---- */

/* body(p, at) for each square along `n` columns; the last may overlap its neighbour */
static void each_square(Product *p, int64_t n,
                        void (*body)(Product *p, LLVMValueRef first, LLVMValueRef at, LLVMValueRef panel),
                        LLVMValueRef first, LLVMValueRef panel) {
    Kernel *k = p->k;
    For f = for_begin(k, gen_i64(k->gen, 0), gen_i64(k->gen, n), p->lanes);
    body(p, first, i_min(k, f.i, gen_i64(k->gen, n - p->lanes)), panel);
    for_end(k, &f);
}

/* columns `at` … of the panel's rows, which begin with row `first`, as lines of it */
static void turn_in(Product *p, LLVMValueRef first, LLVMValueRef at, LLVMValueRef panel) {
    Kernel *k = p->k;
    LLVMValueRef v[TILE_MAX], last = i_plus(k, p->rows, -1);
    for (int r = 0; r < p->lanes; r++) {
        LLVMValueRef row = i_min(k, i_plus(k, first, r), last);
        LLVMValueRef from = f32_at(k, k->in[0], i_add(k, i_scale(k, row, p->inner), at));
        v[r] = vec_load_of(k, p->element, from, p->lanes, has_words(k->node) ? 1 : 4);
        if (p->flip) v[r] = LLVMBuildXor(k->b, v[r], vec_repeat(gen_i32(k->gen, (int)0x80808080u), p->lanes), "");
    }
    square_turn(k, v, p->lanes);
    LLVMValueRef line = i_scale(k, i_add(k, i_scale(k, panel, p->inner), at), p->lanes);
    for (int i = 0; i < p->lanes; i++)
        vec_store(k, v[i], f32_at(k, p->x, i_plus(k, line, i * p->lanes)), (unsigned)p->lanes * 4);
}

static void store_rows(Product *p, LLVMValueRef *v, LLVMValueRef first, LLVMValueRef at) {
    Kernel *k = p->k;
    LLVMValueRef none = gen_i64(k->gen, 0);
    Point point = {.batch = none, .col = at, .space = {none, none, first}};
    for (int r = 0; r < p->lanes; r++) tile_put(&p->square, r, 0, v[r]);
    tile_store(&p->square, p->epilogue, &point, 1);
}

static void store_rows_there(Product *p, LLVMValueRef *v, LLVMValueRef at) {
    Kernel *k = p->k;
    LLVMValueRef none = gen_i64(k->gen, 0);
    for (int r = 0; r < p->lanes; r++) {
        Point point = {.batch = none, .col = at, .space = {none, none, gen_i64(k->gen, r)}};
        If there = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSGT, p->rows, gen_i64(k->gen, r), ""));
        tile_put(&p->row, 0, 0, v[r]);
        tile_store(&p->row, p->epilogue, &point, 1);
        if_end(k, &there);
    }
}

static void turn_out(Product *p, LLVMValueRef first, LLVMValueRef at, LLVMValueRef panel) {
    Kernel *k = p->k;
    LLVMValueRef v[TILE_MAX], line = i_scale(k, i_add(k, i_scale(k, panel, p->cols), at), p->lanes);
    for (int i = 0; i < p->lanes; i++)
        v[i] = vec_load_of(k, p->element, f32_at(k, p->y, i_plus(k, line, i * p->lanes)), p->lanes,
                           (unsigned)p->lanes * 4);
    square_turn(k, v, p->lanes);
    int64_t rows;
    bool known = i_is_const(p->rows, &rows);
    if (known && rows >= p->lanes) {
        store_rows(p, v, first, at);
        return;
    }
    If full = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSGE, p->rows, gen_i64(k->gen, p->lanes), ""));
    store_rows(p, v, first, at);
    if_else(k, &full);
    store_rows_there(p, v, at);
    if_end(k, &full);
}

/* ---- the kernel ---- */

/* the first row of a panel: the last one ends with the rows */
static LLVMValueRef first_row(const Product *p, LLVMValueRef panel) {
    Kernel *k = p->k;
    LLVMValueRef last = i_max(k, gen_i64(k->gen, 0), i_plus(k, p->rows, -p->lanes));
    return i_min(k, i_scale(k, panel, p->lanes), last);
}

/* `n` panels from panel `from` on */
static void multiply_panels(Product *p, LLVMValueRef from, LLVMValueRef n) {
    Kernel *k = p->k;
    LLVMValueRef none = gen_i64(k->gen, 0);
    For in = for_begin(k, none, n, 1);
    each_square(p, p->inner, turn_in, first_row(p, i_add(k, from, in.i)), in.i);
    for_end(k, &in);
    SparseCall call = {.x = p->x, .y = p->y, .panels = n, .blocks = sparse_all_blocks(k, blocks_of(k))};
    call_code(k, &call);
    For out = for_begin(k, none, n, 1);
    each_square(p, p->cols, turn_out, first_row(p, i_add(k, from, out.i)), out.i);
    for_end(k, &out);
}

/* x and y are panels already */
static void emit_blocked(Product *p) {
    Kernel *k = p->k;
    const Type *y = &k->node->out[0]->type;
    LLVMValueRef panels = kernel_dims(k, y->dims, y->rank - 2);
    SparseSize size = {.rows = p->cols,
                       .sources = p->inner,
                       .x_bytes = p->inner * p->lanes * 4,
                       .panels = most_panels(k->node),
                       .run = p->panels,
                       .blocks = blocks_of(k)};
    Grid grid = sparse_grid(k, &size);
    bool residual = layer_of(k->node).residual;
    Range own = kernel_share(k, i_div_up(k, panels, p->panels), grid.cols, grid.rows);
    SparseCall call = {0};
    If some = sparse_blocks_begin(k, &call, &grid, &size);
    For f = for_begin(k, own.from, own.to, 1);
    LLVMValueRef first = i_scale(k, f.i, p->panels);
    call.x = f32_at(k, k->in[0], i_scale(k, first, p->inner * p->lanes));
    call.y = f32_at(k, k->out[0], i_scale(k, first, p->cols * p->lanes));
    if (residual) call.residual = f32_at(k, k->in[k->node->n_in - 1], i_scale(k, first, p->cols * p->lanes));
    call.panels = i_min(k, gen_i64(k->gen, p->panels), i_sub(k, panels, first));
    call.cold = sparse_is_cold(k, f.i, own.from);
    call_code(k, &call);
    for_end(k, &f);
    if_end(k, &some);
}

static void emit_plain(Product *p) {
    Kernel *k = p->k;
    const Type *y = &k->node->out[0]->type;
    p->rows = kernel_dims(k, y->dims, y->rank - 1);
    p->x = k->scratch;
    p->y = f32_at(k, p->x, gen_i64(k->gen, p->panels * p->inner * p->lanes));
    Contraction c = {.k = k};
    p->epilogue = &c.epilogue;
    epilogue_operands(&c, k->node, 3, true, row_operand);
    tile_begin_of(&p->square, k, TILE_F32, p->element, p->lanes, 1, p->lanes);
    tile_begin_of(&p->row, k, TILE_F32, p->element, 1, 1, p->lanes);
    LLVMValueRef panels = i_div_up(k, p->rows, p->lanes);
    Range own = kernel_share(k, i_div_up(k, panels, p->panels), 1, k->chunks);
    For f = for_begin(k, own.from, own.to, 1);
    LLVMValueRef first = i_scale(k, f.i, p->panels);
    multiply_panels(p, first, i_min(k, gen_i64(k->gen, p->panels), i_sub(k, panels, first)));
    for_end(k, &f);
}

static bool emit(Kernel *k) {
    const Node *n = k->node;
    Product p = {.k = k,
                 .lanes = (int)node_int(n, "lanes"),
                 .inner = inner_of(n),
                 .cols = cols_of(n),
                 .panels = node_int(n, "panels"),
                 .element = has_words(n) ? k->gen->i32 : k->gen->f32};
    p.flip = has_words(n) && dot_flips(dot_form(k->gen->target, p.lanes), n->in[0]->type.dtype == DT_I8);
    if (node_int(n, "blocked")) emit_blocked(&p);
    else emit_plain(&p);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

static double work(const Node *n) {
    return SPARSE_EACH * most_rows(n) / (double)node_int(n, "lanes") * sparse_multiplies(n);
}

/* Plain rows turn into panels once a chunk, so that those share out panels alone. */
static int most_chunks(const Node *n) {
    enum { MOST = 64 };
    int64_t runs = runs_of(n), blocks = (cols_of(n) + LEAST_ROWS - 1) / LEAST_ROWS;
    int64_t most = node_int(n, "blocked") && blocks > runs ? blocks : runs;
    return most < 1 ? 1 : most < MOST ? (int)most : MOST;
}

static bool in_place(const Node *n, int input) { return node_int(n, "blocked") && sparse_in_place(n, input); }

const Emitter sparse_product_emitter = {.form = "sparse product",
                                        .emit = emit,
                                        .scratch = scratch_bytes,
                                        .work = work,
                                        .in_place = in_place,
                                        .most_chunks = most_chunks,
                                        .code = encode,
                                        .in_code = in_code};

const Emitter packed_product_emitter = {.form = "packed nonzeros on panels",
                                        .emit = emit,
                                        .scratch = scratch_bytes,
                                        .work = work,
                                        .in_place = in_place,
                                        .most_chunks = most_chunks};
