/* mcc.GpuMatMul: matrices in any order of axes, batches that broadcast, any sizes. */
#include "codegen/gpu_tile.h"
#include "codegen/products.h"

static Dim axis(const Node *n, int input, const char *perm, int from_end) {
    const int64_t *order;
    const Type *t = &n->in[input]->type;
    int given = node_ints(n, perm, &order), at = t->rank - from_end;
    return t->dims[given ? order[at] : at];
}

static Dim depth_of(const Node *n) { return axis(n, 0, "a_perm", 1); }
static Dim cols_of(const Node *n) { return axis(n, 1, "b_perm", 1); }

/* all of v's dims but the last are the output's, or it is the same in all rows; it broadcasts to the output */
static bool steps_by_rows(const Value *v, const Type *y) {
    int same = 0, still = 0, shift = y->rank - v->type.rank;
    for (int i = 0; i + 1 < y->rank; i++) {
        if (dim_is(y->dims[i], 1)) continue;
        if (i < shift || dim_is(v->type.dims[i - shift], 1)) still++;
        else same++;
    }
    return !same || !still;
}

/* One right matrix for all batches, whose rows follow each other in memory: they are the rows of one product. */
static bool joins_rows(const Node *n) {
    const int64_t *order;
    const Type *a = &n->in[0]->type, *b = &n->in[1]->type, *y = &n->out[0]->type;
    if (a->rank != y->rank) return false;
    for (int i = node_ints(n, "a_perm", &order) - 2; i > 0; i--)
        if (order[i] != order[i - 1] + 1) return false;
    int given = node_ints(n, "b_perm", &order);
    for (int i = 0; i + 2 < b->rank; i++)
        if (!dim_is(b->dims[given ? order[i] : i], 1)) return false;
    for (int i = gpu_own_inputs(n); i < n->n_in; i++)
        if (!steps_by_rows(n->in[i], y)) return false;
    return true;
}

static Dim rows_of(Ctx *ctx, const Node *n) {
    const Type *y = &n->out[0]->type;
    return joins_rows(n) ? dim_product(ctx, y->dims, y->rank - 1) : y->dims[y->rank - 2];
}

static Dim batches_of(Ctx *ctx, const Node *n) {
    const Type *y = &n->out[0]->type;
    return joins_rows(n) ? dim_const(ctx, 1) : dim_product(ctx, y->dims, y->rank - 2);
}

static bool fits(const CodeOptions *o, const Node *n) {
    (void)o;
    return n->op == OP_GpuMatMul;
}

static void geometry(Ctx *ctx, const CodeOptions *o, const Node *n, int launch, GpuGeometry *out) {
    GpuTile t = gpu_node_tile(o->target, n);
    gpu_geometry(ctx, n, &t, launch, rows_of(ctx, n), cols_of(n), batches_of(ctx, n), out);
}

/* of which the places of batches are multiples, in elements */
static int batch_multiple(const Axes *a) {
    LLVMValueRef steps[MCC_MAX_RANK];
    int n = 0;
    for (int i = 0; i + 2 < a->rank; i++)
        if (!dim_is(a->dim[i], 1)) steps[n++] = a->stride[i];
    return gpu_multiple(steps, n);
}

/* outer, deep: which of the last two axes is which */
static void fill_side(GpuTask *t, GpuSide *s, int input, const Axes *a, const Axes *y, LLVMValueRef batch, int outer,
                      int deep) {
    Kernel *k = t->k;
    const Value *v = k->node->in[input];
    int64_t one;
    GpuPlace p = gpu_place(k, v, k->in[input], matrix_offset(k, a, y, batch), batch_multiple(a));
    s->dtype = v->type.dtype;
    s->base = p.base;
    s->outer = gpu_as_index(t, a->stride[a->rank - outer]);
    s->step = gpu_as_index(t, a->stride[a->rank - deep]);
    bool along_outer = i_is_const(s->outer, &one) && one == 1 && !dim_is(a->dim[a->rank - outer], 1);
    bool along_depth = i_is_const(s->step, &one) && one == 1;
    s->along_depth = along_depth && (!along_outer || !dim_is(a->dim[a->rank - deep], 1));
    s->unit = 1;
    if (s->along_depth) s->unit = gpu_unit(t, s->dtype, p.align, t->depth, s->outer);
    else if (along_outer) s->unit = gpu_unit(t, s->dtype, p.align, s->count, s->step);
}

static GpuPlace place_of(GpuTask *t, const Value *v, LLVMValueRef pointer, const Axes *a, const Axes *y,
                         LLVMValueRef batch) {
    GpuPlace p = gpu_place(t->k, v, pointer, matrix_offset(t->k, a, y, batch), batch_multiple(a));
    p.row = gpu_as_index(t, a->stride[a->rank - 2]);
    p.col = gpu_as_index(t, a->stride[a->rank - 1]);
    p.batch = gpu_index(t, 0);
    return p;
}

/* of an operand whose dims but the last move as one */
static LLVMValueRef row_step(GpuTask *t, const Value *v) {
    bool moves = false;
    for (int i = 0; i + 1 < v->type.rank; i++) moves = moves || !dim_is(v->type.dims[i], 1);
    return moves ? gpu_as_index(t, kernel_dim(t->k, v->type.dims[v->type.rank - 1])) : gpu_index(t, 0);
}

static void store(GpuTask *t, const Axes *y, GpuTilePlace at) {
    Kernel *k = t->k;
    const Node *n = k->node;
    int own = gpu_own_inputs(n);
    GpuStore s = {.body = n->body, .sum = gpu_accumulator(n), .rows = t->side[0].count, .cols = t->side[1].count};
    s.out = place_of(t, n->out[0], k->out[0], y, y, at.batch);
    if (t->tile->split > 1) {
        s.out = gpu_partial_place(t, &s.out, at.part);
        s.sum = s.out.dtype;
        s.body = NULL;
    }
    s.operands = ARENA_ARRAY(k->gen->ctx->arena, n->n_in, GpuPlace);
    for (int i = own; i < n->n_in && s.body; i++) {
        const Value *v = n->in[i];
        Axes a = operand_axes(k, v, k->in[i]);
        s.operands[i - own] = place_of(t, v, k->in[i], &a, y, at.batch);
        if (joins_rows(n)) s.operands[i - own].row = row_step(t, v);
    }
    gpu_task_store(t, &s);
}

static bool emit(Kernel *k, int launch) {
    const Node *n = k->node;
    GpuTile tile = gpu_node_tile(k->gen->target, n);
    if (launch) {
        gpu_add_partials(k, &tile);
        LLVMBuildRetVoid(k->b);
        return true;
    }
    GpuTask t = {0};
    gpu_task_begin(&t, k, &tile);
    Axes a = value_axes(k, n->in[0], "a_perm", k->in[0]), b = value_axes(k, n->in[1], "b_perm", k->in[1]),
         y = value_axes(k, n->out[0], NULL, k->out[0]);
    t.side[0].count = gpu_as_index(&t, kernel_dim(k, rows_of(k->gen->ctx, n)));
    t.side[1].count = gpu_as_index(&t, kernel_dim(k, cols_of(n)));
    t.depth = gpu_as_index(&t, kernel_dim(k, depth_of(n)));
    GpuTilePlace at = gpu_tile_place(&t, kernel_dim(k, batches_of(k->gen->ctx, n)));
    If there = if_begin(k, gpu_tile_there(&t, &at));
    fill_side(&t, &t.side[0], 0, &a, &y, at.batch, 2, 1);
    fill_side(&t, &t.side[1], 1, &b, &y, at.batch, 1, 2);
    gpu_task_sum(&t);
    store(&t, &y, at);
    if_end(k, &there);
    LLVMBuildRetVoid(k->b);
    return true;
}

const GpuForm gpu_product = {.form = "product",
                             .fits = fits,
                             .launches = gpu_launches,
                             .geometry = geometry,
                             .emit = emit,
                             .scratch = gpu_partial_bytes};
