/* Softmax and LogSoftmax along contiguous rows, a few rows at a time so that their chains of maxima and sums overlap:
 * the largest, e^(x - largest) and its sum, a multiplication by the inverse or a subtraction of the logarithm. */
#include "codegen/products.h"

enum { ROWS = 4 };

typedef struct Softmax {
    Kernel *k;
    const SoftmaxRows *s;
    Tile most, sums;
    bool log;
} Softmax;

/* vectors from `at` on in every row; there: elements that exist, NULL: all */
typedef void Visit(Softmax *m, LLVMValueRef at, LLVMValueRef there);

static void each_vector(Softmax *m, Visit *visit) {
    const SoftmaxRows *s = m->s;
    Kernel *k = m->k;
    int64_t n;
    bool constant = i_is_const(s->n, &n);
    LLVMValueRef whole = s->padded ? s->n : i_scale(k, i_div(k, s->n, s->lanes), s->lanes);
    For f = for_begin(k, gen_i64(k->gen, 0), whole, s->lanes);
    visit(m, f.i, NULL);
    for_end(k, &f);
    if (s->padded || (constant && n % s->lanes == 0)) return;
    If rest = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSLT, whole, s->n, ""));
    visit(m, whole, i_sub(k, s->n, whole));
    if_end(k, &rest);
}

static LLVMValueRef row_at(Softmax *m, LLVMValueRef base, LLVMValueRef step, int row, LLVMValueRef at) {
    return f32_at(m->k, f32_at(m->k, base, i_scale(m->k, step, row)), at);
}

static LLVMValueRef load(Softmax *m, int row, LLVMValueRef at, LLVMValueRef there) {
    const SoftmaxRows *s = m->s;
    LLVMValueRef p = row_at(m, s->in, s->row_in, row, at), none = vec_const(m->k->gen, -__builtin_inf(), s->lanes);
    if (!there) return vec_load(m->k, p, s->lanes, 4);
    LLVMValueRef mask = lane_mask(m->k, there, s->lanes);
    return LLVMBuildSelect(m->k->b, mask, vec_load_part(m->k, p, s->lanes, there), none, "");
}

static void store(Softmax *m, int row, LLVMValueRef at, LLVMValueRef there, LLVMValueRef v) {
    LLVMValueRef p = row_at(m, m->s->out, m->s->row_out, row, at);
    if (there) vec_store_part(m->k, v, p, m->s->lanes, there);
    else vec_store(m->k, v, p, 4);
}

static void find_largest(Softmax *m, LLVMValueRef at, LLVMValueRef there) {
    for (int r = 0; r < m->s->rows; r++)
        tile_put(&m->most, r, 0, vec_larger(m->k, load(m, r, at, there), tile_get(&m->most, r, 0)));
}

/* their sum; they themselves are stored where no logarithms are asked for */
static void add_powers(Softmax *m, LLVMValueRef at, LLVMValueRef there) {
    Kernel *k = m->k;
    for (int r = 0; r < m->s->rows; r++) {
        LLVMValueRef x = LLVMBuildFSub(k->b, load(m, r, at, there), tile_get(&m->most, r, 0), "");
        LLVMValueRef e = vec_exp_of_negative(k, x, m->s->lanes);
        if (!m->log) store(m, r, at, there, e);
        tile_put(&m->sums, r, 0, vec_add(k, e, tile_get(&m->sums, r, 0)));
    }
}

/* in every lane of `sums`: 1 / the row's sum, or its logarithm */
static void fold_rows(Softmax *m) {
    const SoftmaxRows *s = m->s;
    Kernel *k = m->k;
    tile_begin(&m->most, k, s->rows, 1, s->lanes);
    tile_begin(&m->sums, k, s->rows, 1, s->lanes);
    tile_fill(&m->sums, NULL, 0);
    for (int r = 0; r < s->rows; r++) tile_put(&m->most, r, 0, vec_const(k->gen, -__builtin_inf(), s->lanes));
    each_vector(m, find_largest);
    for (int r = 0; r < s->rows; r++)
        tile_put(&m->most, r, 0, vec_fold(k, tile_get(&m->most, r, 0), s->lanes, vec_larger));
    each_vector(m, add_powers);
    for (int r = 0; r < s->rows; r++) {
        LLVMValueRef all = vec_fold(k, tile_get(&m->sums, r, 0), s->lanes, vec_add);
        tile_put(&m->sums, r, 0,
                 m->log ? vec_log(k, all, s->lanes) : LLVMBuildFDiv(k->b, vec_const(k->gen, 1, s->lanes), all, ""));
    }
}

void softmax_rows(Kernel *k, const SoftmaxRows *s, Tile *sums) {
    Softmax m = {.k = k, .s = s};
    fold_rows(&m);
    *sums = m.sums;
}

/* ---- the operators ---- */

static void divide(Softmax *m, LLVMValueRef at, LLVMValueRef there) {
    for (int r = 0; r < m->s->rows; r++) {
        LLVMValueRef p = row_at(m, m->s->out, m->s->row_out, r, at);
        LLVMValueRef x = there ? vec_load_part(m->k, p, m->s->lanes, there) : vec_load(m->k, p, m->s->lanes, 4);
        store(m, r, at, there, LLVMBuildFMul(m->k->b, x, tile_get(&m->sums, r, 0), ""));
    }
}

static void subtract(Softmax *m, LLVMValueRef at, LLVMValueRef there) {
    LLVMBuilderRef b = m->k->b;
    for (int r = 0; r < m->s->rows; r++) {
        LLVMValueRef x = LLVMBuildFSub(b, load(m, r, at, there), tile_get(&m->most, r, 0), "");
        store(m, r, at, there, LLVMBuildFSub(b, x, tile_get(&m->sums, r, 0), ""));
    }
}

static void emit_rows(Kernel *k, SoftmaxRows s, int rows, LLVMValueRef row) {
    Softmax m = {.k = k, .s = &s, .log = k->node->op == OP_LogSoftmax};
    s.rows = rows;
    s.in = f32_at(k, s.in, i_mul(k, row, s.n));
    s.out = f32_at(k, s.out, i_mul(k, row, s.n));
    fold_rows(&m);
    each_vector(&m, m.log ? subtract : divide);
}

static int axis_of(const Node *n) {
    int64_t axis = node_int(n, "axis");
    return (int)(axis < 0 ? axis + n->in[0]->type.rank : axis);
}

static bool emit(Kernel *k) {
    const Type *t = &k->node->in[0]->type;
    int bits = k->gen->target->vector_bits, axis = axis_of(k->node);
    LLVMValueRef n = kernel_dim(k, t->dims[axis]), rows = kernel_dims(k, t->dims, axis);
    SoftmaxRows s = {
        .lanes = bits >= 128 ? bits / 32 : 4, .in = k->in[0], .out = k->out[0], .row_in = n, .row_out = n, .n = n};
    Range share = kernel_share(k, i_div_up(k, rows, ROWS), 1, k->chunks);
    LLVMValueRef to = i_min(k, i_scale(k, share.to, ROWS), rows), whole = i_scale(k, i_div(k, to, ROWS), ROWS);
    For f = for_begin(k, i_scale(k, share.from, ROWS), whole, ROWS);
    emit_rows(k, s, ROWS, f.i);
    for_end(k, &f);
    int64_t count;
    if (!i_is_const(rows, &count) || count % ROWS) {
        For rest = for_begin(k, whole, to, 1);
        emit_rows(k, s, 1, rest.i);
        for_end(k, &rest);
    }
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

/* each element is read before it is written, in every walk along a row */
static bool in_place(const Node *n, int input) {
    (void)n;
    return input == 0;
}

static double work_of(const Node *n) {
    enum { LANES_ASSUMED = 8, EACH = 20 };
    double rows = 1;
    for (int i = 0; i < axis_of(n); i++) rows *= (double)n->in[0]->type.dims[i]->hi;
    return rows < 2 * ROWS ? 0 : largest_count(n->in[0]) / LANES_ASSUMED * EACH;
}

bool softmax_has_rows(const Node *n) {
    enum { LEAST = 8 };
    const Type *t = &n->in[0]->type;
    int64_t size;
    if (t->dtype != DT_F32 || t->rank < 1) return false;
    for (int i = axis_of(n) + 1; i < t->rank; i++)
        if (!dim_is(t->dims[i], 1)) return false;
    return !dim_is_const(t->dims[axis_of(n)], &size) || size >= LEAST;
}

const Emitter softmax_emitter = {.form = "softmax", .emit = emit, .in_place = in_place, .work = work_of};
