/* MatMul and Gemm with constant f32 weights as mcc.PackedMatMul: the weights packed in panels of columns, Gemm's alpha
 * in them, its C as the bias where it is a constant row, else as an addition behind. */
#include <math.h>
#include <string.h>
#include "passes/internal.h"
#include "passes/lower.h"

typedef struct Product { /* y[rows…, cols] = x[rows…, inner] · w */
    Node *n;
    Value *x;
    const Tensor *w;
    Dtype half;      /* of w where that is not float32 */
    bool transposed; /* w is [cols, inner] */
    int64_t inner, cols;
    double alpha;
} Product;

static bool read_product(Node *n, Product *p) {
    *p = (Product){.n = n, .x = n->in[0], .alpha = 1};
    const Value *x = p->x;
    if (!value_is_f32(x) || !value_is_f32(n->out[0]) || x->constant || x->type.rank < 2) return false;
    p->w = n->in[1]->constant;
    if (narrow_operand(n) == 1) {
        p->w = narrow_floats(n->in[1]);
        p->half = p->w->dtype;
    }
    if (!p->w) return false;
    int rank = p->w->rank;
    for (int i = 0; i + 2 < rank; i++)
        if (p->w->dims[i] != 1) return false;
    if (rank < 2 || rank > x->type.rank) return false;
    if (n->op == OP_Gemm) {
        if (node_int(n, "transA")) return false;
        p->transposed = node_int(n, "transB") != 0;
        p->alpha = node_float(n, "alpha");
    }
    p->inner = p->w->dims[rank - 2 + p->transposed];
    p->cols = p->w->dims[rank - 1 - p->transposed];
    return p->inner > 0 && p->cols > 0 && dim_is(x->type.dims[x->type.rank - 1], p->inner);
}

static int64_t constant_rows(const Product *p) {
    int64_t rows = 1, n;
    for (int i = 0; i + 1 < p->x->type.rank; i++) {
        if (!dim_is_const(p->x->type.dims[i], &n) || !mul_i64(rows, n, &rows)) return 0;
    }
    return rows;
}

/* Gemm's C, where it is one constant row or number: beta · C as a row of the bias */
static Value *bias_of(Graph *g, const Product *p, const Value *c) {
    const Tensor *t = c->constant;
    if (!t || t->dtype != DT_F32) return NULL;
    int64_t elements = (int64_t)(t->bytes / 4);
    bool row = elements == 1 || (elements == p->cols && t->dims[t->rank - 1] == p->cols);
    if (!row) return NULL;
    Tensor *bias = tensor_packed(g, DT_F32, 1, &p->cols);
    float *to = (float *)bias->data;
    const float *from = t->data;
    for (int64_t i = 0; i < p->cols; i++)
        to[i] = (float)(node_float(p->n, "beta") * (double)from[elements == 1 ? 0 : i]);
    return value_of_tensor(g, bias);
}

static Value *number(Graph *g, float v) {
    Tensor *t = tensor_packed(g, DT_F32, 0, NULL);
    *(float *)t->data = v;
    return value_of_tensor(g, t);
}

/* out = sum + beta · C, in nodes of their own */
static void add_matrix(Graph *g, Node *product, Node *before, Value *c, double beta, Value *out) {
    if (beta != 1) {
        Value *in[2] = {c, number(g, (float)beta)};
        Node *scaled = node_new(g, OP_Mul, before, in, 2, 1);
        scaled->out[0]->type = c->type;
        c = scaled->out[0];
    }
    Value *in[2] = {product->out[0], c};
    Node *sum = node_new(g, OP_Add, before, in, 2, 1);
    product->out[0]->type = out->type;
    sum->out[0] = out;
    out->def = sum;
}

/* How many tiles a panel of weights serves: where those do not stay in L2, all whose input does beside two panels, but
 * enough that weights are not read often. */
int64_t product_run(const Target *t, int64_t inner, int64_t cols, int64_t rows, const TileChoice *tile) {
    enum { LEAST = 24, BYTES = 4 };
    int64_t tiles = (rows + tile->rows - 1) / tile->rows, l2 = (int64_t)t->l2;
    if (!rows || inner > l2 || inner * cols * BYTES * 2 < l2) return tile->run;
    int64_t panel = inner * tile->vecs * tile->lanes * BYTES,
            fit = (l2 / 8 * 7 - 2 * panel) / (inner * tile->rows * BYTES);
    if (fit < LEAST) fit = LEAST;
    int64_t runs = (tiles + fit - 1) / fit;
    return (tiles + runs - 1) / runs;
}

static int64_t run_of(const Target *t, const Product *p, const TileChoice *tile) {
    return product_run(t, p->inner, p->cols, constant_rows(p), tile);
}

/* the tile, from a tuning file or by its cost */
static TileChoice choose_tile(const PassCtx *ctx, const Product *p, const Work *work, const Layer *layer) {
    TileChoice tile;
    const TuningEntry *e = layer->batch > 0 ? tuning_find(ctx, layer) : NULL;
    if (e && e->choice.form == FORM_DIRECT && tile_tuned(ctx->target, work, &e->choice, &tile)) {
        if (!e->choice.run) tile.run = run_of(ctx->target, p, &tile);
        return tile;
    }
    if (e) tuning_refuse(ctx, p->n, e, "the product has no such tile on this target");
    tile = tile_choose(ctx->target, work);
    tile.run = run_of(ctx->target, p, &tile);
    return tile;
}

static void note_product(const PassCtx *ctx, const Product *p, const Work *work, const Layer *layer, const Node *made) {
    enum { TILES = 12 };
    TileChoice tiles[TILES];
    int n = tile_list(ctx->target, work, tiles, TILES);
    LayerNote *note = layer_note(ctx->notes, layer, made, tile_choice_cycles(ctx->target, work, &tiles[0]));
    for (int i = 0; note && i < n; i++)
        layer_candidate(note, FORM_DIRECT, tiles[i].rows, tiles[i].vecs, tiles[i].unroll,
                        run_of(ctx->target, p, &tiles[i]));
}

/* ---- matrices of many zeros ---- */

/* [cols, inner] of the constant times alpha */
static Value *sparse_weights(Graph *g, const Product *p) {
    int64_t dims[2] = {p->cols, p->inner};
    Tensor *t = tensor_packed(g, DT_F32, 2, dims);
    float *to = (float *)t->data;
    const float *from = p->w->data;
    for (int64_t c = 0; c < p->cols; c++)
        for (int64_t i = 0; i < p->inner; i++)
            *to++ = (float)(p->alpha * (double)from[p->transposed ? c * p->inner + i : i * p->cols + c]);
    return value_of_tensor(g, t);
}

/* rows of x and of the result become columns and rows again: squares of lanes, each about so many vector operations */
static double turning_cycles(const Product *p, int64_t panels, int lanes) {
    double squares = (double)(p->inner + p->cols) / lanes * (double)panels;
    return squares * lanes * 6;
}

enum { MOST_AT_ONCE = 8 };

/* in runs of about the same length */
static int64_t panels_of_run(int64_t rows, int64_t most) {
    int64_t panels = (rows + PANEL - 1) / PANEL, runs = (panels + most - 1) / most;
    return runs ? (panels + runs - 1) / runs : most;
}

/* so many that x and y of them take half of L2 */
static int64_t panels_at_once(const Target *t, const Product *p, int64_t rows) {
    enum { LEAST = 2 };
    int64_t fit = (int64_t)t->l2 / 2 / ((p->inner + p->cols) * PANEL * 4);
    if (fit > MOST_AT_ONCE) fit = MOST_AT_ONCE;
    return panels_of_run(rows, fit < LEAST ? LEAST : fit);
}

typedef struct SparseForm { /* what a product's zeros make of it */
    Value *weights;         /* [cols, inner] */
    int64_t panels;         /* at once */
    PackChoice packed;      /* block 0: code */
} SparseForm;

/* the better one of both that are possible; false: none is */
static bool choose_form(const PassCtx *ctx, const SparseWork *work, int64_t at_once, double turning, SparseForm *f,
                        SparseNote *n) {
    const Target *t = ctx->target;
    double dense = (double)work->rows * (double)work->sources * sizeof(float), code_bytes = sparse_bytes(t, work);
    PackWork w = {.weights = f->weights->constant->data,
                  .rows = work->rows,
                  .sources = work->sources,
                  .panels = work->panels,
                  .at_once = at_once};
    bool code = sparse_lanes(t) && ctx->sparse != SPARSE_PACKED && (!ctx->optimize_size || code_bytes < dense);
    bool packed = packed_possible(ctx) && (!code || ctx->sparse != SPARSE_ALWAYS) &&
                  packed_choose(t, &w, ctx->optimize_size, &f->packed);
    if (!code && !packed) return false;
    n->cycles = code ? sparse_cycles(t, work) + turning : INFINITY;
    n->bytes = code_bytes;
    n->packed = packed && (!code || ctx->optimize_size || f->packed.cycles + turning < n->cycles);
    if (n->packed) n->cycles = f->packed.cycles + turning, n->bytes = f->packed.bytes;
    else f->packed.block = 0;
    return true;
}

/* Is a form without the zeros better, or asked for? Rows that are not known count as many. */
static bool sparse_is_better(Graph *g, const PassCtx *ctx, const Product *p, int64_t rows, double dense_cycles,
                             SparseForm *f) {
    enum { OPEN_ROWS = 64 /* as for dense tiles */, LARGEST = 1 << 19 };
    const Target *t = ctx->target;
    if (ctx->sparse == SPARSE_OFF || p->w->dtype != DT_F32 || p->inner < PANEL || p->cols < PANEL) return false;
    SparseWork work = {.rows = p->cols,
                       .sources = p->inner,
                       .nonzeros = count_nonzeros(p->w),
                       .panels = ((rows ? rows : OPEN_ROWS) + PANEL - 1) / PANEL};
    if (work.nonzeros == p->cols * p->inner || p->inner > LARGEST || p->cols > LARGEST) return false;
    SparseNote n = {.layer = p->n->name,
                    .place = 1 + p->n->index,
                    .rows = p->cols,
                    .columns = p->inner,
                    .nonzeros = work.nonzeros,
                    .dense_cycles = dense_cycles};
    f->weights = sparse_weights(g, p);
    f->panels = panels_at_once(t, p, rows);
    if (!choose_form(ctx, &work, f->panels, turning_cycles(p, work.panels, PANEL), f, &n)) return false;
    if (!n.packed && sparse_is_sliced(t)) /* then code that is read again costs more than x beyond L2 */
        f->panels = panels_of_run(rows, MOST_AT_ONCE);
    n.sparse = ctx->sparse == SPARSE_ALWAYS || ctx->sparse == SPARSE_PACKED || n.cycles < n.dense_cycles;
    if (ctx->sparse_notes)
        n.pattern = sparse_pattern(ctx->sparse_notes->arena, f->weights->constant->data, p->cols, p->inner, 1);
    sparse_note(ctx->sparse_notes, &n);
    return n.sparse;
}

static Value *pack_sparse(Graph *g, const SparseForm *f, PackedForm *packed) {
    const Tensor *w = f->weights->constant;
    PackWork work = {.weights = w->data, .rows = w->dims[0], .sources = w->dims[1]};
    Arena *a = arena_new(g->ctx);
    PackSource *sources = ARENA_ARRAY(a, work.sources, PackSource);
    for (int64_t i = 0; i < work.sources; i++) sources[i].offset = i * PANEL * (int64_t)sizeof(float);
    Value *v = packed_value(g, &work, &f->packed, sources, packed);
    arena_free(a);
    return v;
}

static Node *make_sparse(Graph *g, const Product *p, Value *bias, const SparseForm *f) {
    PackedForm packed;
    Value *in[3] = {p->x, f->packed.block ? pack_sparse(g, f, &packed) : f->weights, bias};
    Node *made = node_new(g, OP_SparseMatMul, p->n, in, 3, 1);
    node_set_int(made, "lanes", PANEL);
    node_set_int(made, "panels", f->panels);
    if (f->packed.block) node_set_packed(made, &packed);
    return made;
}

static Node *make_packed(Graph *g, const PassCtx *ctx, const Product *p, Value *bias, const Work *work,
                         const Layer *layer) {
    TileChoice tile = choose_tile(ctx, p, work, layer);
    Weights w = {.data = p->w->data,
                 .out = p->transposed ? p->inner : 1,
                 .in = p->transposed ? 1 : p->cols,
                 .phases = 1,
                 .cols = p->cols,
                 .taps = 1,
                 .group = work->group,
                 .scale = (float)p->alpha,
                 .half = p->half};
    Value *in[3] = {p->x, pack_weights(g, &w, &tile, true), bias};
    Node *made = node_new(g, OP_PackedMatMul, p->n, in, 3, 1);
    node_set_int(made, "lanes", tile.lanes);
    node_set_int(made, "rows", tile.rows);
    node_set_int(made, "vecs", tile.vecs);
    node_set_int(made, "unroll", tile.unroll);
    node_set_int(made, "run", tile.run);
    if (ctx->notes && layer->batch > 0) note_product(ctx, p, work, layer, made);
    return made;
}

/* of one row and many zeros; false: dense is better */
static bool lower_row(Graph *g, const PassCtx *ctx, const Product *p, const Work *work, double dense_cycles) {
    if (work->row != 1 || p->w->dtype != DT_F32) return false;
    RowProduct row = {.x = p->x,
                      .data = p->w->data,
                      .inner = p->inner,
                      .cols = p->cols,
                      .in = p->transposed ? 1 : p->cols,
                      .out = p->transposed ? p->inner : 1,
                      .alpha = p->alpha,
                      .layer = p->n->name};
    Node *made = lower_sparse_row(g, ctx, &row, p->n, dense_cycles);
    if (!made) return false;
    Value *c = p->n->op == OP_Gemm ? node_in(p->n, 2) : NULL, *bias = c ? bias_of(g, p, c) : NULL, *out = p->n->out[0];
    made->name = p->n->name;
    made->index = p->n->index;
    if (c) {
        add_matrix(g, made, p->n, bias ? bias : c, bias ? 1 : node_float(p->n, "beta"), out);
    } else {
        made->out[0] = out;
        out->def = made;
    }
    node_remove(p->n);
    return true;
}

static void lower_product(Graph *g, const PassCtx *ctx, const Product *p) {
    Grouping group = {p->cols, p->inner, 1, p->inner};
    Work work = {.group = group, .cols = p->cols, .taps = 1, .row = constant_rows(p), .rows = 1};
    Layer layer = {.kind = LAYER_PRODUCT, .batch = work.row, .channels = p->inner, .cols = p->cols, .group = 1};
    TileChoice tile = tile_choose(ctx->target, &work);
    double dense = tile_choice_cycles(ctx->target, &work, &tile);
    if (lower_row(g, ctx, p, &work, dense)) return;
    Value *c = p->n->op == OP_Gemm ? node_in(p->n, 2) : NULL, *bias = c ? bias_of(g, p, c) : NULL, *out = p->n->out[0];
    SparseForm form;
    bool sparse = work.row != 1 && sparse_is_better(g, ctx, p, work.row, dense, &form);
    Node *made = sparse ? make_sparse(g, p, bias, &form) : make_packed(g, ctx, p, bias, &work, &layer);
    made->name = p->n->name;
    made->index = p->n->index;
    if (c && !bias) {
        add_matrix(g, made, p->n, c, node_float(p->n, "beta"), out);
    } else {
        made->out[0] = out;
        out->def = made;
    }
    node_remove(p->n);
}

/* the node that alone reads v; NULL: several */
static Node *only_user(const Node *def, const Value *v) {
    if (v->n_uses != 1) return NULL;
    for (Node *n = def->next; n; n = n->next)
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i] == v) return n;
    return NULL;
}

/* what the user makes of the product's result is its result */
static void take_result(Node *product, Node *user) {
    product->out[0] = user->out[0];
    product->out[0]->def = product;
    product->out[0]->def_index = 0;
    node_remove(user);
}

/* Add(sparse product, constant row): into the code, where it costs nothing */
static void take_row(Node *product) {
    Value *y = product->out[0];
    Node *add = product->in[2] ? NULL : only_user(product, y);
    if (!add || add->op != OP_Add) return;
    Value *row = add->in[add->in[0] == y];
    int64_t cols = y->type.dims[y->type.rank - 1]->value;
    if (!row->constant || row->constant->dtype != DT_F32 || row->type.rank < 1 ||
        add->out[0]->type.rank != y->type.rank)
        return;
    if (row->constant->bytes != (size_t)cols * 4 || !dim_is(row->type.dims[row->type.rank - 1], cols)) return;
    product->in[2] = row;
    take_result(product, add);
}

/* View(product) that leaves the columns: the product's rows are of other dims, which its kernel does not mind, and what
 * follows the View can become part of it */
static void take_view(Node *product) {
    const Value *y = product->out[0];
    Node *view = only_user(product, y);
    if (!view || view->op != OP_View) return;
    const Type *from = &y->type, *to = &view->out[0]->type;
    if (to->rank < 2 || to->dims[to->rank - 1] != from->dims[from->rank - 1]) return;
    take_result(product, view);
}

bool pass_lower_products(Graph *g, PassCtx *p) {
    bool changed = false;
    graph_count_uses(g);
    for (Node *n = p->target ? g->first : NULL, *next; n; n = next) {
        next = n->next;
        Product product;
        if (n->op == OP_MatMulInteger ? lower_product_integer(g, p, n) : lower_product_bias(n)) changed = true;
        if (n->op == OP_MatMulInteger) continue;
        if ((n->op != OP_MatMul && n->op != OP_Gemm) || !read_product(n, &product)) continue;
        lower_product(g, p, &product);
        changed = true;
    }
    graph_count_uses(g);
    for (Node *n = changed ? g->first : NULL; n; n = n->next) {
        if (n->op == OP_SparseMatMul) take_row(n);
        if (n->op == OP_PackedMatMul || n->op == OP_PixelConv || n->op == OP_SparseMatMul || n->op == OP_SparseGemv)
            take_view(n);
    }
    return changed;
}
