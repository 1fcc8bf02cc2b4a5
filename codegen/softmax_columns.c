/* Softmax and LogSoftmax along an axis that is not the last: vectors lie across the axes behind it, so that each lane
 * is a column of its own and nothing is folded. A unit of work is VECS vectors of columns of one slab. */
#include "codegen/products.h"

enum { VECS = 4, LEAST_LANES = 4 };

typedef struct Columns {
    Kernel *k;
    int vecs, lanes;
    bool log;
    LLVMValueRef n, inner; /* elements of a column, and how far apart they stand */
    LLVMValueRef first;    /* where the columns begin */
    LLVMValueRef there;    /* those of them that exist, NULL: all */
    Tile most, sums;
} Columns;

static LLVMValueRef place(Columns *c, LLVMValueRef base, LLVMValueRef row, int vec) {
    LLVMValueRef at = i_add(c->k, c->first, i_mul(c->k, row, c->inner));
    return f32_at(c->k, base, i_plus(c->k, at, (int64_t)vec * c->lanes));
}

static LLVMValueRef load(Columns *c, LLVMValueRef base, LLVMValueRef row, int vec) {
    LLVMValueRef p = place(c, base, row, vec);
    return c->there ? vec_load_part(c->k, p, c->lanes, c->there) : vec_load(c->k, p, c->lanes, 4);
}

static void store(Columns *c, LLVMValueRef row, int vec, LLVMValueRef v) {
    LLVMValueRef p = place(c, c->k->out[0], row, vec);
    if (c->there) vec_store_part(c->k, v, p, c->lanes, c->there);
    else vec_store(c->k, v, p, 4);
}

typedef void Visit(Columns *c, LLVMValueRef row, int vec);

static void each_row(Columns *c, Visit *visit) {
    For f = for_begin(c->k, gen_i64(c->k->gen, 0), c->n, 1);
    for (int v = 0; v < c->vecs; v++) visit(c, f.i, v);
    for_end(c->k, &f);
}

static void find_largest(Columns *c, LLVMValueRef row, int vec) {
    LLVMValueRef x = load(c, c->k->in[0], row, vec);
    tile_put(&c->most, 0, vec, vec_larger(c->k, x, tile_get(&c->most, 0, vec)));
}

static LLVMValueRef below_largest(Columns *c, LLVMValueRef row, int vec) {
    return LLVMBuildFSub(c->k->b, load(c, c->k->in[0], row, vec), tile_get(&c->most, 0, vec), "");
}

static void add_powers(Columns *c, LLVMValueRef row, int vec) {
    LLVMValueRef e = vec_exp_of_negative(c->k, below_largest(c, row, vec), c->lanes);
    if (!c->log) store(c, row, vec, e);
    tile_put(&c->sums, 0, vec, vec_add(c->k, tile_get(&c->sums, 0, vec), e));
}

static void finish(Columns *c, LLVMValueRef row, int vec) {
    LLVMValueRef sum = tile_get(&c->sums, 0, vec);
    store(c, row, vec,
          c->log ? LLVMBuildFSub(c->k->b, below_largest(c, row, vec), sum, "")
                 : LLVMBuildFMul(c->k->b, load(c, c->k->out[0], row, vec), sum, ""));
}

static void emit_columns(Columns *c, int vecs, LLVMValueRef first, LLVMValueRef there) {
    Kernel *k = c->k;
    c->vecs = vecs;
    c->first = first;
    c->there = there;
    for (int v = 0; v < vecs; v++) {
        tile_put(&c->most, 0, v, vec_const(k->gen, -__builtin_inf(), c->lanes));
        tile_put(&c->sums, 0, v, vec_const(k->gen, 0, c->lanes));
    }
    each_row(c, find_largest);
    each_row(c, add_powers);
    for (int v = 0; v < vecs; v++) {
        LLVMValueRef sum = tile_get(&c->sums, 0, v), one = vec_const(k->gen, 1, c->lanes);
        tile_put(&c->sums, 0, v, c->log ? vec_log(k, sum, c->lanes) : LLVMBuildFDiv(k->b, one, sum, ""));
    }
    each_row(c, finish);
}

static int axis_of(const Node *n) {
    int64_t axis = node_int(n, "axis");
    return (int)(axis < 0 ? axis + n->in[0]->type.rank : axis);
}

/* columns from `col` on of the slab that begins at `slab`: as many as a unit has, or what is left of them */
static void emit_unit(Columns *c, LLVMValueRef slab, LLVMValueRef col) {
    Kernel *k = c->k;
    int64_t wide = (int64_t)VECS * c->lanes, inner;
    bool constant = i_is_const(c->inner, &inner);
    if (constant && inner % wide == 0) {
        emit_columns(c, VECS, i_add(k, slab, col), NULL);
        return;
    }
    LLVMValueRef left = i_sub(k, c->inner, col);
    If whole = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSGE, left, gen_i64(k->gen, wide), ""));
    emit_columns(c, VECS, i_add(k, slab, col), NULL);
    if_else(k, &whole);
    LLVMValueRef vectors = i_add(k, col, i_scale(k, i_div(k, left, c->lanes), c->lanes));
    For f = for_begin(k, col, vectors, c->lanes);
    emit_columns(c, 1, i_add(k, slab, f.i), NULL);
    for_end(k, &f);
    If rest = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSLT, vectors, c->inner, ""));
    emit_columns(c, 1, i_add(k, slab, vectors), i_sub(k, c->inner, vectors));
    if_end(k, &rest);
    if_end(k, &whole);
}

static bool emit(Kernel *k) {
    const Type *t = &k->node->in[0]->type;
    int bits = k->gen->target->vector_bits, axis = axis_of(k->node);
    int64_t inner;
    Columns c = {.k = k, .lanes = bits >= 128 ? bits / 32 : LEAST_LANES, .log = k->node->op == OP_LogSoftmax};
    c.n = kernel_dim(k, t->dims[axis]);
    c.inner = kernel_dims(k, t->dims + axis + 1, t->rank - axis - 1);
    while (c.lanes > LEAST_LANES && i_is_const(c.inner, &inner) && inner < c.lanes) c.lanes /= 2;
    tile_begin(&c.most, k, 1, VECS, c.lanes);
    tile_begin(&c.sums, k, 1, VECS, c.lanes);
    LLVMValueRef blocks = i_div_up(k, c.inner, (int64_t)VECS * c.lanes);
    Range share = kernel_share(k, i_mul(k, kernel_dims(k, t->dims, axis), blocks), 1, k->chunks);
    For f = for_begin(k, share.from, share.to, 1);
    LLVMValueRef slab = LLVMBuildUDiv(k->b, f.i, blocks, ""), block = LLVMBuildURem(k->b, f.i, blocks, "");
    emit_unit(&c, i_mul(k, slab, i_mul(k, c.n, c.inner)), i_scale(k, block, (int64_t)VECS * c.lanes));
    for_end(k, &f);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

/* each element is read before it is written, in every walk along a column */
static bool in_place(const Node *n, int input) {
    (void)n;
    return input == 0;
}

static double work_of(const Node *n) {
    enum { LANES_ASSUMED = 8, EACH = 20 };
    return largest_count(n->in[0]) / LANES_ASSUMED * EACH;
}

bool softmax_has_columns(const Node *n) {
    const Type *t = &n->in[0]->type;
    if (t->dtype != DT_F32 || t->rank < 1) return false;
    for (int i = axis_of(n) + 1; i < t->rank; i++)
        if (!dim_is(t->dims[i], 1)) return true;
    return false;
}

const Emitter softmax_columns_emitter = {.form = "softmax across", .emit = emit, .in_place = in_place, .work = work_of};
