/* f32 products that still stand, those whose right side is not constant among them, as mcc.PanelMatMul: transposes of
 * both sides become orders of axes, Gemm's alpha and C nodes behind it. Products of a few rows or columns stay: packing
 * the right side would not pay. */
#include "passes/internal.h"
#include "passes/lower.h"

enum { LEAST_ROWS = 4, LEAST_COLS = 3 };

typedef MatrixSide Side;

MatrixSide matrix_side(Value *v, bool transposed) {
    Side s = {.v = v};
    int rank = v->type.rank;
    for (int i = 0; i < rank; i++) s.perm[i] = transposed && i >= rank - 2 ? 2 * rank - 3 - i : i;
    return s;
}

MatrixSide matrix_side_above(MatrixSide s) {
    const Node *n = value_def(s.v, OP_Transpose);
    const int64_t *given;
    if (!n) return s;
    Side above = {.v = n->in[0]};
    int rank = s.v->type.rank, count = node_ints(n, "perm", &given);
    for (int i = 0; i < rank; i++) above.perm[i] = count ? given[s.perm[i]] : rank - 1 - s.perm[i];
    return above;
}

/* the step between elements of a row, where it is known now */
static bool row_step(const Side *s, int64_t *step) {
    const Type *t = &s->v->type;
    *step = 1;
    for (int64_t d = s->perm[t->rank - 1] + 1; d < t->rank; d++) {
        int64_t n;
        if (!dim_is_const(t->dims[d], &n) || !mul_i64(*step, n, step)) return false;
    }
    return true;
}

static bool ends_in_matrix(const Side *s) { /* the last axis in memory is one of the matrix's */
    int rank = s->v->type.rank;
    return s->perm[rank - 1] == rank - 1 || s->perm[rank - 2] == rank - 1;
}

static Value *turned(Rewrite *r, Node *at, Value *v) {
    Node *t = rewrite_insert(r, at, OP_Transpose, &v, 1);
    node_set_ints(t, "perm", (int64_t[]){1, 0}, 2);
    rewrite_infer(r, t);
    return t->out[0];
}

static Side left_side(Rewrite *r, Node *n) {
    Side s = matrix_side(n->in[0], n->op == OP_Gemm && node_int(n, "transA")), above = matrix_side_above(s);
    int64_t step;
    if (row_step(&above, &step)) return above;
    return row_step(&s, &step) ? s : matrix_side(turned(r, n, n->in[0]), false);
}

static Side right_side(const Node *n) {
    Side s = matrix_side(n->in[1], n->op == OP_Gemm && node_int(n, "transB")), above = matrix_side_above(s);
    return ends_in_matrix(&above) ? above : s;
}

static bool is_wanted(const Node *n) {
    int64_t rows, cols;
    if (n->op != OP_MatMul && n->op != OP_Gemm) return false;
    const Type *y = &n->out[0]->type;
    if (!value_is_f32(n->out[0]) || n->in[0]->type.rank < 2 || n->in[1]->type.rank < 2) return false;
    if (dim_is_const(y->dims[y->rank - 2], &rows) && rows < LEAST_ROWS) return false;
    return !dim_is_const(y->dims[y->rank - 1], &cols) || cols >= LEAST_COLS;
}

static void set_product(void *target, Node *n, const Type *y) {
    TileChoice tile = tile_for_any(target);
    int64_t rows, cols = 0;
    if (dim_is_const(y->dims[y->rank - 1], &cols))
        while (tile.lanes > 4 && tile.lanes / 2 >= cols) tile.lanes /= 2;
    if (dim_is_const(y->dims[y->rank - 2], &rows))
        tile.rows = panel_vecs(rows, 1, tile.rows); /* tiles that are alike */
    node_set_int(n, "lanes", tile.lanes);
    node_set_int(n, "rows", tile.rows);
    node_set_int(n, "vecs", panel_vecs(cols, tile.lanes, tile.vecs));
}

/* f(x, c) before n, of the dims of `like` */
static Value *combined(Rewrite *r, Node *n, Op f, Value *x, Value *c, const Value *like) {
    Node *made = rewrite_insert(r, n, f, (Value *[]){x, c}, 2);
    made->out[0]->type = like->type;
    return made->out[0];
}

static void set_sides(Node *n, const Type *y, const ProductForm *p) {
    node_set_ints(n, "a_perm", p->a.perm, p->a.v->type.rank);
    node_set_ints(n, "b_perm", p->b.perm, p->b.v->type.rank);
    p->set(p->arg, n, y);
}

void lower_product_as(Rewrite *r, Node *n, const ProductForm *p) {
    Value *out = n->out[0], *in[2] = {p->a.v, p->b.v}, *c = n->op == OP_Gemm ? node_in(n, 2) : NULL;
    double alpha = n->op == OP_Gemm ? node_float(n, "alpha") : 1, beta = c ? node_float(n, "beta") : 1;
    if (!c && alpha == 1) {
        rewrite_become(r, n, p->op, in, 2);
        set_sides(n, &out->type, p);
        return;
    }
    Dtype t = out->type.dtype;
    Node *made = rewrite_insert(r, n, p->op, in, 2);
    Value *y = made->out[0], *by = const_scalar(r->g, t, alpha);
    y->type = out->type;
    set_sides(made, &out->type, p);
    if (c && beta != 1) c = combined(r, n, OP_Mul, c, const_scalar(r->g, t, beta), c);
    if (c && alpha != 1) y = combined(r, n, OP_Mul, y, by, out);
    rewrite_become(r, n, c ? OP_Add : OP_Mul, (Value *[]){y, c ? c : by}, 2);
}

bool pass_lower_panel_products(Graph *g, PassCtx *p) {
    Rewrite r;
    rewrite_begin(&r, g);
    for (Node *n; p->target && (n = rewrite_next(&r));)
        if (is_wanted(n)) {
            ProductForm form = {OP_PanelMatMul, left_side(&r, n), right_side(n), set_product, (void *)p->target};
            lower_product_as(&r, n, &form);
        }
    return rewrite_end(&r);
}
