/* MatMulInteger with a constant matrix as mcc.PackedMatMul on bytes; see lower_integer.c. A zero point of the input
 * that is known at run time only is multiplied by the columns' sums and subtracted, which becomes part of what follows.
 */
#include <string.h>
#include "passes/internal.h"
#include "passes/lower.h"

enum { STEP = 4 };

static bool is_byte(Dtype t) { return t == DT_U8 || t == DT_I8; }

static bool is_single(const Value *v) {
    for (int i = 0; i < v->type.rank; i++)
        if (!dim_is(v->type.dims[i], 1)) return false;
    return true;
}

bool integer_product_read(Node *n, IntegerProduct *p) {
    const Value *x = n->in[0], *w = n->in[1], *zeros = node_in(n, 3);
    *p = (IntegerProduct){.n = n, .x = n->in[0], .zero = node_in(n, 2)};
    if (!is_byte(x->type.dtype) || x->constant || x->type.rank < 2 || !w->constant || !is_byte(w->constant->dtype))
        return false;
    const Tensor *t = w->constant;
    for (int i = 0; i + 2 < t->rank; i++)
        if (t->dims[i] != 1) return false;
    if (t->rank < 2 || t->rank > x->type.rank || (p->zero && !is_single(p->zero)) || (zeros && !zeros->constant))
        return false;
    p->inner = t->dims[t->rank - 2];
    int64_t cols = t->dims[t->rank - 1];
    p->w = (IntegerWeights){.w = t,
                            .zero = zeros ? zeros->constant : NULL,
                            .out = 1,
                            .in = cols,
                            .cols = cols,
                            .channels = p->inner,
                            .groups = 1,
                            .taps = 1};
    return p->inner > 0 && cols > 0 && dim_is(x->type.dims[x->type.rank - 1], p->inner) && weights_fit_s8(&p->w);
}

static int64_t constant_rows(const Value *x) {
    int64_t rows = 1, n;
    for (int i = 0; i + 1 < x->type.rank; i++)
        if (!dim_is_const(x->type.dims[i], &n) || !mul_i64(rows, n, &rows)) return 0;
    return rows;
}

/* x with its last axis filled up to whole steps */
static Value *filled_up(Graph *g, Value *x, Node *before, int64_t inner, int64_t whole) {
    int64_t count = 2 * x->type.rank, *pads = ARENA_ARRAY(g->arena, count, int64_t);
    Dim dims[MCC_MAX_RANK];
    int rank = x->type.rank;
    memcpy(dims, x->type.dims, sizeof *dims * (size_t)rank);
    pads[count - 1] = whole - inner;
    dims[rank - 1] = dim_const(g->ctx, whole);
    Value *in[2] = {x, const_ints_value(g, pads, count)};
    Node *n = node_new(g, OP_Pad, before, in, 2, 1);
    value_set_dims(n->out[0], x->type.dtype, rank, dims);
    return n->out[0];
}

static Node *make(Graph *g, Op op, Node *before, Value **in, int n_in, const Type *type) {
    Node *n = node_new(g, op, before, in, n_in, 1);
    n->name = before->name;
    n->index = before->index;
    n->out[0]->type = *type;
    return n;
}

Node *integer_subtract_zero(Graph *g, Node *product, const IntegerProduct *p, Node *before) {
    Tensor *sums = tensor_packed(g, DT_I32, 1, &p->w.cols);
    integer_column_sums(&p->w, (int32_t *)sums->data);
    Type scalar = p->zero->type, row = {.kind = TYPE_TENSOR};
    scalar.dtype = DT_I32;
    Value *columns = value_of_tensor(g, sums), *zero = (Value *)p->zero;
    Node *wide = make(g, OP_Cast, before, &zero, 1, &scalar);
    node_set_int(wide, "to", DT_I32);
    row = columns->type;
    Node *all = make(g, OP_Mul, before, (Value *[]){columns, wide->out[0]}, 2, &row);
    return make(g, OP_Sub, before, (Value *[]){product->out[0], all->out[0]}, 2, &p->n->out[0]->type);
}

/* Four rows: their bytes are brought together in pairs, which more columns share. */
static TileChoice tile_of_pairs(const Target *t, const Work *work) {
    enum { ROWS = 4, VECS = 5 };
    int rows = work->row && work->row < ROWS ? (int)work->row : ROWS;
    return tile_of(t, work, rows, panel_vecs(work->cols / STEP * STEP, STEP, VECS));
}

/* the sums without a zero point that is known at run time only */
static Node *product_of(Graph *g, PassCtx *ctx, Node *n, const IntegerProduct *p) {
    int32_t zero = p->zero && p->zero->constant ? (int32_t)tensor_int(p->zero->constant, 0) : 0;
    if (target_has_pixels(ctx->target)) return pixel_product(g, ctx, n, &(IntegerRows){p->x, &p->w, constant_rows(p->x), zero});
    int64_t rows = constant_rows(p->x), steps = (p->inner + STEP - 1) / STEP;
    Work work = {.group = {p->w.cols, steps, 1, steps}, .cols = p->w.cols, .taps = 1, .row = rows, .rows = 1};
    work.dot = ctx->target->dot;
    TileChoice tile = tile_choose(ctx->target, &work);
    bool pairs = work.dot == DOT_MIXED && tile.lanes == STEP && rows != 1;
    if (pairs) {
        tile = tile_of_pairs(ctx->target, &work);
        steps = (steps + 1) / 2 * 2;
    }
    tile.run = product_run(ctx->target, steps, p->w.cols, rows, &tile);
    Weights w = {.phases = 1, .cols = p->w.cols, .taps = 1, .integers = &p->w, .pairs = pairs};
    w.group = (Grouping){p->w.cols, steps, 1, steps};
    zero = integer_zero(ctx->target, tile.lanes, p->x->type.dtype, zero);
    Value *x = p->inner < steps * STEP ? filled_up(g, p->x, n, p->inner, steps * STEP) : p->x;
    IntegerRows all = {x, &p->w, rows, zero};
    Node *sparse = lower_sparse_product_integer(g, ctx, n, &all, tile_choice_cycles(ctx->target, &work, &tile));
    if (sparse) return sparse;
    Value *in[3] = {x, pack_weights(g, &w, &tile, true), integer_bias(g, &p->w, p->w.cols, zero, false)};
    Node *made = node_new(g, OP_PackedMatMul, n, in, 3, 1);
    node_set_int(made, "pairs", pairs);
    node_set_int(made, "lanes", tile.lanes);
    set_tile(made, &tile);
    return made;
}

bool lower_product_integer(Graph *g, PassCtx *ctx, Node *n) {
    IntegerProduct p;
    if (!integer_product_read(n, &p)) return false;
    Node *made = product_of(g, ctx, n, &p), *last = made;
    made->name = n->name;
    made->index = n->index;
    made->out[0]->type = n->out[0]->type;
    if (p.zero && !p.zero->constant) last = integer_subtract_zero(g, made, &p, n);
    last->out[0] = n->out[0];
    last->out[0]->def = last;
    last->out[0]->def_index = 0;
    node_remove(n);
    return true;
}

bool lower_product_bias(Node *n) {
    for (int i = 0; i < 2 && n->op == OP_Add; i++) {
        Value *x = n->in[i];
        Node *made = x->def;
        if (!made || x->n_uses != 1 || !value_same_dims(x, n->out[0])) continue;
        if (!integer_bias_add(made, n->in[!i], x, x->type.rank - 1)) continue;
        made->out[0] = n->out[0];
        made->out[0]->def = made;
        node_remove(n);
        return true;
    }
    return false;
}
