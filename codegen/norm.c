/* LayerNormalization, RMSNormalization and InstanceNormalization along contiguous rows: the mean, the mean of the
 * squared distances from it, then y = (x - mean) · 1/√(that + epsilon) · scale + bias. Sums run in PARTS vectors, which
 * are added in one order, whatever the row's place: a row's bits depend on its elements alone. Two rows go together, so
 * that their scale and bias are read once. */
#include "codegen/products.h"

enum { ROWS = 2, PARTS = 4, LEAST_LANES = 4 };

typedef enum Term { /* how scale or bias is read */
                    TERM_NONE,
                    TERM_ONE,    /* one element for all */
                    TERM_ROW,    /* one for each place of a row */
                    TERM_CHANNEL /* one for each row, which repeat */
} Term;

typedef struct Norm {
    Kernel *k;
    int lanes, rows;
    bool centred;
    LLVMValueRef n, row; /* elements of a row; the first of `rows` rows */
    Term scale, bias;
    Tile parts;                                       /* sums: a row's partial ones */
    LLVMValueRef mean[ROWS], inverse[ROWS];           /* in every lane */
    LLVMValueRef fixed_scale[ROWS], fixed_bias[ROWS]; /* those that are the same in a whole row, or NULL */
} Norm;

/* of a parameter that broadcasts to x: TERM_CHANNEL where it does neither of what a row can read */
static Term term_of(const Type *x, const Type *v, int axis) {
    int shift = x->rank - v->rank;
    bool one = true, row = true;
    for (int i = 0; i < x->rank; i++) {
        Dim d = i < shift ? NULL : v->dims[i - shift];
        bool single = !d || dim_is(d, 1);
        one = one && single;
        row = row && (i < axis ? single : d ? d == x->dims[i] : dim_is(x->dims[i], 1));
    }
    return row ? TERM_ROW : one ? TERM_ONE : TERM_CHANNEL;
}

static Term node_term(const Node *n, int input, int axis) {
    if (!node_in(n, input)) return TERM_NONE;
    if (n->op == OP_InstanceNormalization) return TERM_CHANNEL;
    return term_of(&n->in[0]->type, &n->in[input]->type, axis);
}

static int first_axis(const Node *n) {
    int rank = n->in[0]->type.rank;
    if (n->op == OP_InstanceNormalization) return 2;
    int64_t axis = node_int(n, "axis");
    return (int)(axis < 0 ? axis + rank : axis);
}

bool norm_has_rows(const Node *n) {
    int axis = first_axis(n);
    if (n->in[0]->type.dtype != DT_F32) return false;
    for (int i = 1; i < n->n_out; i++)
        if (n->out[i]) return false;
    if (n->op == OP_InstanceNormalization) return true;
    return node_term(n, 1, axis) != TERM_CHANNEL && node_term(n, 2, axis) != TERM_CHANNEL;
}

/* vectors from `at` on in every row, into this part; there: elements that exist, NULL: all */
typedef void Visit(Norm *m, LLVMValueRef at, int part, LLVMValueRef there);

static void each_vector(Norm *m, Visit *visit) {
    Kernel *k = m->k;
    int64_t n, step = (int64_t)PARTS * m->lanes;
    LLVMValueRef none = gen_i64(k->gen, 0), many = i_scale(k, i_div(k, m->n, step), step),
                 whole = i_scale(k, i_div(k, m->n, m->lanes), m->lanes);
    bool constant = i_is_const(m->n, &n);
    For f = for_begin(k, none, many, step);
    if (!constant || n >= step)
        for (int p = 0; p < PARTS; p++) visit(m, i_plus(k, f.i, (int64_t)p * m->lanes), p, NULL);
    for_end(k, &f);
    for (int64_t at = constant ? n / step * step : 0; constant && at + m->lanes <= n; at += m->lanes)
        visit(m, gen_i64(k->gen, at), (int)(at % step / m->lanes), NULL);
    if (constant && n % m->lanes == 0) return;
    if (!constant) {
        For single = for_begin(k, many, whole, m->lanes);
        visit(m, single.i, 0, NULL);
        for_end(k, &single);
    }
    If rest = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSLT, whole, m->n, ""));
    visit(m, whole, PARTS - 1, i_sub(k, m->n, whole));
    if_end(k, &rest);
}

static LLVMValueRef place(Norm *m, LLVMValueRef base, int row, LLVMValueRef at) {
    Kernel *k = m->k;
    return f32_at(k, f32_at(k, base, i_mul(k, i_plus(k, m->row, row), m->n)), at);
}

static LLVMValueRef load(Norm *m, LLVMValueRef p, LLVMValueRef there) {
    return there ? vec_load_part(m->k, p, m->lanes, there) : vec_load(m->k, p, m->lanes, 4);
}

/* x - mean; lanes that are not there hold anything */
static LLVMValueRef distance(Norm *m, int row, LLVMValueRef at, LLVMValueRef there) {
    LLVMValueRef x = load(m, place(m, m->k->in[0], row, at), there);
    return m->centred ? LLVMBuildFSub(m->k->b, x, m->mean[row], "") : x;
}

static void add_elements(Norm *m, LLVMValueRef at, int part, LLVMValueRef there) {
    for (int r = 0; r < m->rows; r++) {
        LLVMValueRef x = load(m, place(m, m->k->in[0], r, at), there);
        tile_put(&m->parts, r, part, LLVMBuildFAdd(m->k->b, tile_get(&m->parts, r, part), x, ""));
    }
}

static void add_squares(Norm *m, LLVMValueRef at, int part, LLVMValueRef there) {
    Kernel *k = m->k;
    for (int r = 0; r < m->rows; r++) {
        LLVMValueRef d = distance(m, r, at, there), zero = vec_const(k->gen, 0, m->lanes);
        if (there) d = LLVMBuildSelect(k->b, lane_mask(k, there, m->lanes), d, zero, "");
        tile_put(&m->parts, r, part, vec_mul_add(k, d, d, tile_get(&m->parts, r, part), m->lanes));
    }
}

static void write(Norm *m, LLVMValueRef at, int part, LLVMValueRef there) {
    Kernel *k = m->k;
    LLVMValueRef scale = NULL, bias = NULL;
    (void)part;
    if (m->scale == TERM_ROW) scale = load(m, f32_at(k, k->in[1], at), there);
    if (m->bias == TERM_ROW) bias = load(m, f32_at(k, k->in[2], at), there);
    for (int r = 0; r < m->rows; r++) {
        LLVMValueRef s = scale ? scale : m->fixed_scale[r], c = bias ? bias : m->fixed_bias[r];
        LLVMValueRef y = LLVMBuildFMul(k->b, distance(m, r, at, there), m->inverse[r], ""),
                     p = place(m, k->out[0], r, at);
        y = c ? vec_mul_add(k, y, s, c, m->lanes) : LLVMBuildFMul(k->b, y, s, "");
        if (there) vec_store_part(k, y, p, m->lanes, there);
        else vec_store(k, y, p, 4);
    }
}

/* the mean of what `visit` adds up in a row, in every lane */
static void means(Norm *m, Visit *visit, LLVMValueRef *out) {
    Kernel *k = m->k;
    LLVMValueRef count = vec_splat(k, LLVMBuildSIToFP(k->b, m->n, k->gen->f32, ""), m->lanes);
    tile_fill(&m->parts, NULL, 0);
    each_vector(m, visit);
    for (int r = 0; r < m->rows; r++) {
        LLVMValueRef part[PARTS];
        for (int p = 0; p < PARTS; p++) part[p] = tile_get(&m->parts, r, p);
        for (int w = PARTS / 2; w; w /= 2)
            for (int p = 0; p < w; p++) part[p] = LLVMBuildFAdd(k->b, part[p], part[p + w], "");
        out[r] = LLVMBuildFDiv(k->b, vec_fold(k, part[0], m->lanes, vec_add), count, "");
    }
}

/* an element for a whole row, or NULL */
static LLVMValueRef fixed(Norm *m, Term t, LLVMValueRef base, int row) {
    Kernel *k = m->k;
    LLVMValueRef at = gen_i64(k->gen, 0);
    if (t != TERM_ONE && t != TERM_CHANNEL) return NULL;
    if (t == TERM_CHANNEL)
        at = LLVMBuildURem(k->b, i_plus(k, m->row, row), kernel_dim(k, k->node->in[0]->type.dims[1]), "");
    return vec_splat(k, vec_load(k, f32_at(k, base, at), 1, 4), m->lanes);
}

static void emit_rows(Norm *m, int rows, LLVMValueRef row) {
    Kernel *k = m->k;
    LLVMValueRef epsilon = vec_const(k->gen, (double)(float)node_float(k->node, "epsilon"), m->lanes),
                 one = vec_const(k->gen, 1, m->lanes), square[ROWS];
    LLVMTypeRef type = vec_type(k->gen, m->lanes);
    m->rows = rows;
    m->row = row;
    if (m->centred) means(m, add_elements, m->mean);
    means(m, add_squares, square);
    for (int r = 0; r < rows; r++) {
        LLVMValueRef root = LLVMBuildFAdd(k->b, square[r], epsilon, "");
        root = call_intrinsic(k, "llvm.sqrt", &type, 1, &root, 1);
        m->inverse[r] = LLVMBuildFDiv(k->b, one, root, "");
        m->fixed_scale[r] = fixed(m, m->scale, k->in[1], r);
        m->fixed_bias[r] = m->bias == TERM_NONE ? NULL : fixed(m, m->bias, k->in[2], r);
    }
    each_vector(m, write);
}

static bool emit(Kernel *k) {
    const Node *n = k->node;
    const Type *t = &n->in[0]->type;
    int axis = first_axis(n), bits = k->gen->target->vector_bits;
    int64_t count;
    Norm m = {.k = k, .centred = n->op != OP_RMSNormalization, .lanes = bits >= 128 ? bits / 32 : LEAST_LANES};
    m.n = kernel_dims(k, t->dims + axis, t->rank - axis);
    m.scale = node_term(n, 1, axis);
    m.bias = node_term(n, 2, axis);
    while (m.lanes > LEAST_LANES && i_is_const(m.n, &count) && count < m.lanes) m.lanes /= 2;
    tile_begin(&m.parts, k, ROWS, PARTS, m.lanes);
    LLVMValueRef rows = kernel_dims(k, t->dims, axis);
    Range share =
        kernel_share(k, i_div_up(k, rows, ROWS), 1, k->chunks); /* whole pairs, so that chunks change no bits */
    LLVMValueRef from = i_scale(k, share.from, ROWS), to = i_min(k, i_scale(k, share.to, ROWS), rows);
    LLVMValueRef pairs = i_plus(k, to, 1 - ROWS);
    For f = for_begin(k, from, pairs, ROWS);
    emit_rows(&m, ROWS, f.i);
    for_end(k, &f);
    If rest =
        if_begin(k, LLVMBuildICmp(k->b, LLVMIntNE, LLVMBuildURem(k->b, i_sub(k, to, from), gen_i64(k->gen, ROWS), ""),
                                  gen_i64(k->gen, 0), ""));
    emit_rows(&m, 1, i_plus(k, to, -1));
    if_end(k, &rest);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

bool norm_in_place(const Node *n, int input) {
    for (int i = 1; i < n->n_in; i++)
        if (n->in[i] == n->in[0]) return false;
    return input == 0;
}

static double work_of(const Node *n) {
    enum { LANES_ASSUMED = 8, EACH = 9 };
    double rows = 1;
    for (int i = 0; i < first_axis(n); i++) rows *= (double)n->in[0]->type.dims[i]->hi;
    return rows < 2 * ROWS ? 0 : largest_count(n->in[0]) / LANES_ASSUMED * EACH;
}

const Emitter norm_emitter = {.form = "norm", .emit = emit, .in_place = norm_in_place, .work = work_of};
