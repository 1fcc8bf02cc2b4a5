/* Products of matrices that are both known at run time only: y[batch…, M, N] = a[batch…, M, K] · b[batch…, K, N], each
 * with its axes in any order. A panel of columns of b is packed into scratch memory, and serves all rows; the last tile
 * of rows overlaps its neighbour. Where b is the same for all of the batch, a panel is packed once and the batch is
 * inside. */
#include "codegen/products.h"

typedef struct Product {
    Kernel *k;
    int rows, lanes;
    LLVMValueRef m, n, inner;
    Axes a, b, y;
    Panels panels;
    Matrix left, right; /* at the place of the batch at hand */
    Epilogue epilogue;
} Product;

static Operand operand_of(const Matrix *m) {
    LLVMValueRef none = LLVMConstNull(LLVMTypeOf(m->row));
    int64_t step;
    return (Operand){.dtype = DT_F32,
                     .base = m->base,
                     .batch = none,
                     .col = m->col,
                     .space = {none, none, m->row},
                     .splat = i_is_const(m->col, &step) && step == 0};
}

static void fill_epilogue(Product *p, LLVMValueRef index) {
    const Node *n = p->k->node;
    Matrix out = matrix_at(p->k, &p->y, &p->y, index);
    p->epilogue.out = operand_of(&out);
    p->epilogue.out.splat = false;
    for (int i = 2; i < n->n_in; i++) {
        Matrix m = operand_at(p->k, n->in[i], p->k->in[i], &p->y, index);
        p->epilogue.operands[i - 2] = operand_of(&m);
    }
}

static void emit_tile(Product *p, int rows, int vecs, LLVMValueRef row, LLVMValueRef col) {
    Kernel *k = p->k;
    LLVMValueRef none = gen_i64(k->gen, 0);
    int64_t step = 1;
    Tile t;
    i_is_const(p->left.col, &step);
    tile_begin(&t, k, rows, vecs, p->lanes);
    LLVMValueRef x = f32_at(k, p->left.base, i_mul(k, row, p->left.row));
    panel_multiply(&t, x, p->left.row, step, k->scratch, p->inner);
    tile_store(&t, &p->epilogue, &(Point){none, col, {none, none, row}}, 1);
}

/* tiles of `rows` where at least one fits, else smaller ones */
static void emit_open_rows(Product *p, int rows, int vecs, LLVMValueRef col) {
    Kernel *k = p->k;
    LLVMValueRef none = gen_i64(k->gen, 0);
    If fits = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSGE, p->m, gen_i64(k->gen, rows), ""));
    For f = for_begin(k, none, p->m, rows);
    emit_tile(p, rows, vecs, rows > 1 ? i_min(k, f.i, i_plus(k, p->m, -rows)) : f.i, col);
    for_end(k, &f);
    if_else(k, &fits);
    if (rows > 1) emit_open_rows(p, rows / 2, vecs, col);
    if_end(k, &fits);
}

/* all rows of one place of the batch */
static void emit_rows(Product *p, int vecs, LLVMValueRef col, LLVMValueRef index) {
    Kernel *k = p->k;
    LLVMValueRef none = gen_i64(k->gen, 0);
    int64_t m;
    p->left = matrix_at(k, &p->a, &p->y, index);
    fill_epilogue(p, index);
    if (i_is_const(p->m, &m)) {
        int rows = m < p->rows ? (int)m : p->rows;
        if (rows < 1) return;
        For f = for_begin(k, none, p->m, rows);
        emit_tile(p, rows, vecs, m % rows ? i_min(k, f.i, gen_i64(k->gen, m - rows)) : f.i, col);
        for_end(k, &f);
        return;
    }
    emit_open_rows(p, p->rows, vecs, col);
}

typedef struct Place { /* NULL: all places of the batch */
    Product *p;
    LLVMValueRef index;
} Place;

static void emit_panel(void *arg, LLVMValueRef packed, int vecs, LLVMValueRef col) {
    Place *at = arg;
    Product *p = at->p;
    Kernel *k = p->k;
    (void)packed;
    panel_pack(k, &p->panels, &p->right, vecs, col, k->scratch);
    if (at->index) {
        emit_rows(p, vecs, col, at->index);
        return;
    }
    For f = for_begin(k, gen_i64(k->gen, 0), batch_count(k, &p->y), 1);
    emit_rows(p, vecs, col, f.i);
    for_end(k, &f);
}

static bool is_shared(const Axes *b) {
    for (int i = 0; i < b->rank - 2; i++)
        if (!dim_is(b->dim[i], 1)) return false;
    return true;
}

static bool emit(Kernel *k) {
    const Node *n = k->node;
    Product p = {.k = k, .rows = (int)node_int(n, "rows"), .lanes = (int)node_int(n, "lanes")};
    p.a = value_axes(k, n->in[0], "a_perm", k->in[0]);
    p.b = value_axes(k, n->in[1], "b_perm", k->in[1]);
    p.y = value_axes(k, n->out[0], NULL, k->out[0]);
    p.m = kernel_dim(k, p.a.dim[p.a.rank - 2]);
    p.inner = kernel_dim(k, p.b.dim[p.b.rank - 2]);
    p.n = kernel_dim(k, p.b.dim[p.b.rank - 1]);
    p.panels = panels_of(k, p.inner, p.n, (int)node_int(n, "vecs"), p.lanes);
    p.epilogue.body = n->body;
    p.epilogue.operands = ARENA_ARRAY(k->gen->ctx->arena, n->n_in, Operand);
    p.epilogue.cols = p.n;
    Place at = {&p, NULL};
    if (is_shared(&p.b)) {
        p.right = matrix_at(k, &p.b, &p.y, gen_i64(k->gen, 0));
        panels_each(k, &p.panels, k->scratch, emit_panel, &at);
    } else {
        For f = for_begin(k, gen_i64(k->gen, 0), batch_count(k, &p.y), 1);
        at.index = f.i;
        p.right = matrix_at(k, &p.b, &p.y, f.i);
        panels_each(k, &p.panels, k->scratch, emit_panel, &at);
        for_end(k, &f);
    }
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

static bool scratch_bytes(Ctx *ctx, const Node *n, size_t *bytes) {
    const int64_t *perm;
    const Type *b = &n->in[1]->type;
    node_ints(n, "b_perm", &perm);
    Dim inner = b->dims[perm[b->rank - 2]], wide = dim_const(ctx, node_int(n, "vecs") * node_int(n, "lanes"));
    if (panels_bytes(inner, wide, (int)wide->value, bytes)) return true;
    diag_error(ctx, n, "needs more scratch memory than there are addresses");
    return false;
}

const Emitter panel_product_emitter = {.form = "product", .emit = emit, .scratch = scratch_bytes};
