/* Products of a few rows with a matrix that is known at run time only: packing it would cost more than the product.
 * Where the matrix is contiguous along its columns, several of its rows at a time are added to the output, times one
 * element of x each; where it is contiguous along what is summed, several columns are summed side by side, each in a
 * vector. Either way the matrix is read once, in a few long streams. */
#include "codegen/products.h"

enum { MOST_ROWS = 3, LEAST = 4, BLOCK = 4096 /* columns whose sums stay in L1 */ };

typedef struct Product {
    Kernel *k;
    int rows, lanes, registers;
    LLVMValueRef n, inner;
    Matrix x, w, y; /* at the place of the batch at hand */
} Product;

static bool at_least(Dim d, int64_t least) {
    int64_t n;
    return !dim_is_const(d, &n) || n >= least;
}

bool vector_product_fits(const Node *n) {
    int64_t rows;
    if ((n->op != OP_MatMul && n->op != OP_Gemm) || n->out[0]->type.dtype != DT_F32) return false;
    const Type *x = &n->in[0]->type, *w = &n->in[1]->type, *y = &n->out[0]->type;
    if (x->rank < 2 || w->rank < 2 || !dim_is_const(y->dims[y->rank - 2], &rows) || rows < 1 || rows > MOST_ROWS)
        return false;
    bool turned = n->op == OP_Gemm && node_int(n, "transB");
    if (n->op == OP_Gemm && (node_in(n, 2) || node_float(n, "alpha") != 1 || (node_int(n, "transA") && rows > 1)))
        return false;
    return at_least(w->dims[w->rank - 1], LEAST) || (turned && at_least(w->dims[w->rank - 2], LEAST));
}

static LLVMValueRef i64(const Product *p, int64_t v) { return gen_i64(p->k->gen, v); }

/* element (row, at + i) of x in all lanes */
static LLVMValueRef splat_at(const Product *p, int row, LLVMValueRef at, int i) {
    Kernel *k = p->k;
    LLVMValueRef offset = i_add(k, i_scale(k, p->x.row, row), i_mul(k, i_plus(k, at, i), p->x.col));
    return vec_splat(k, vec_load(k, f32_at(k, p->x.base, offset), 1, 4), p->lanes);
}

static LLVMValueRef load(const Product *p, LLVMValueRef at, LLVMValueRef there) {
    return there ? vec_load_part(p->k, at, p->lanes, there) : vec_load(p->k, at, p->lanes, 4);
}

/* ---- along columns ---- */

typedef struct Rows { /* of the matrix: `count` from `first` on, and their elements of x by row and step */
    LLVMValueRef first, x[MOST_ROWS][8];
    int count;
} Rows;

static void add_vector(const Product *p, const Rows *r, LLVMValueRef col, LLVMValueRef there) {
    Kernel *k = p->k;
    LLVMValueRef w[8], at = i_add(k, i_mul(k, r->first, p->w.row), col);
    for (int i = 0; i < r->count; i++)
        w[i] = load(p, f32_at(k, p->w.base, i_add(k, at, i_scale(k, p->w.row, i))), there);
    for (int row = 0; row < p->rows; row++) {
        LLVMValueRef y = f32_at(k, p->y.base, i_add(k, i_scale(k, p->y.row, row), col)), sum = load(p, y, there);
        for (int i = 0; i < r->count; i++) sum = vec_mul_add(k, r->x[row][i], w[i], sum, p->lanes);
        if (there) vec_store_part(k, sum, y, p->lanes, there);
        else vec_store(k, sum, y, 4);
    }
}

/* columns from … to - 1; whole: as many of them as fill vectors */
static void add_rows(const Product *p, LLVMValueRef first, int count, Range cols) {
    Kernel *k = p->k;
    Rows r = {.first = first, .count = count};
    for (int row = 0; row < p->rows; row++)
        for (int i = 0; i < count; i++) r.x[row][i] = splat_at(p, row, first, i);
    LLVMValueRef vectors = i_div(k, i_sub(k, cols.to, cols.from), p->lanes);
    LLVMValueRef whole = i_add(k, cols.from, i_scale(k, vectors, p->lanes));
    For f = for_begin(k, cols.from, whole, p->lanes);
    add_vector(p, &r, f.i, NULL);
    for_end(k, &f);
    If rest = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSLT, whole, cols.to, ""));
    add_vector(p, &r, whole, i_sub(k, cols.to, whole));
    if_end(k, &rest);
}

static void clear_sums(const Product *p, Range cols) {
    Kernel *k = p->k;
    for (int row = 0; row < p->rows; row++) {
        LLVMValueRef to = f32_at(k, p->y.base, i_add(k, i_scale(k, p->y.row, row), cols.from));
        LLVMValueRef bytes = i_scale(k, i_sub(k, cols.to, cols.from), 4), zero = LLVMConstNull(k->gen->i8);
        LLVMBuildMemSet(k->b, to, zero, LLVMBuildTruncOrBitCast(k->b, bytes, k->gen->size_type, ""), 4);
    }
}

static void along_columns(const Product *p) {
    Kernel *k = p->k;
    int count = p->registers / 4 / p->rows;
    if (count > 8) count = 8;
    while (count & (count - 1)) count &= count - 1;
    if (count < 2) count = 2;
    For block = for_begin(k, i64(p, 0), p->n, BLOCK);
    Range cols = {block.i, i_min(k, i_plus(k, block.i, BLOCK), p->n)};
    clear_sums(p, cols);
    LLVMValueRef whole = i_scale(k, i_div(k, p->inner, count), count);
    For f = for_begin(k, i64(p, 0), whole, count);
    add_rows(p, f.i, count, cols);
    for_end(k, &f);
    For one = for_begin(k, whole, p->inner, 1);
    add_rows(p, one.i, 1, cols);
    for_end(k, &one);
    for_end(k, &block);
}

/* ---- along what is summed ---- */

static LLVMValueRef fold(const Product *p, LLVMValueRef v) {
    Kernel *k = p->k;
    LLVMValueRef swap[64];
    for (int s = p->lanes / 2; s; s /= 2) {
        for (int i = 0; i < p->lanes; i++) swap[i] = gen_i32(k->gen, i ^ s);
        LLVMValueRef other = LLVMBuildShuffleVector(k->b, v, v, LLVMConstVector(swap, (unsigned)p->lanes), "");
        v = LLVMBuildFAdd(k->b, v, other, "");
    }
    return LLVMBuildExtractElement(k->b, v, i64(p, 0), "");
}

static void multiply_vector(const Product *p, Tile *t, LLVMValueRef col, LLVMValueRef at, LLVMValueRef there) {
    Kernel *k = p->k;
    LLVMValueRef x[MOST_ROWS];
    for (int row = 0; row < p->rows; row++)
        x[row] = load(p, f32_at(k, p->x.base, i_add(k, i_scale(k, p->x.row, row), at)), there);
    for (int c = 0; c < t->vecs; c++) {
        LLVMValueRef w = f32_at(k, p->w.base, i_add(k, i_mul(k, i_plus(k, col, c), p->w.col), at));
        LLVMValueRef v = load(p, w, there);
        for (int row = 0; row < p->rows; row++)
            tile_put(t, row, c, vec_mul_add(k, x[row], v, tile_get(t, row, c), p->lanes));
    }
}

/* `count` columns from col on */
static void sum_columns(const Product *p, LLVMValueRef col, int count) {
    Kernel *k = p->k;
    Tile t;
    tile_begin(&t, k, p->rows, count, p->lanes);
    tile_fill(&t, NULL, 4);
    LLVMValueRef whole = i_scale(k, i_div(k, p->inner, p->lanes), p->lanes);
    For f = for_begin(k, i64(p, 0), whole, p->lanes);
    multiply_vector(p, &t, col, f.i, NULL);
    for_end(k, &f);
    If rest = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSLT, whole, p->inner, ""));
    multiply_vector(p, &t, col, whole, i_sub(k, p->inner, whole));
    if_end(k, &rest);
    for (int row = 0; row < p->rows; row++)
        for (int c = 0; c < count; c++) {
            LLVMValueRef at = i_add(k, i_scale(k, p->y.row, row), i_plus(k, col, c));
            vec_store(k, fold(p, tile_get(&t, row, c)), f32_at(k, p->y.base, at), 4);
        }
}

static void along_sums(const Product *p) {
    Kernel *k = p->k;
    int count = p->registers / 4 / p->rows;
    if (count > 8) count = 8;
    if (count < 2) count = 2;
    LLVMValueRef whole = i_scale(k, i_div(k, p->n, count), count);
    For f = for_begin(k, i64(p, 0), whole, count);
    sum_columns(p, f.i, count);
    for_end(k, &f);
    For one = for_begin(k, whole, p->n, 1);
    sum_columns(p, one.i, 1);
    for_end(k, &one);
}

/* ---- the kernel ---- */

static Matrix turned(Matrix m, bool is) { return is ? (Matrix){m.base, m.col, m.row} : m; }

static bool emit(Kernel *k) {
    const Node *n = k->node;
    const Target *t = k->gen->target;
    bool gemm = n->op == OP_Gemm, turn_x = gemm && node_int(n, "transA"), turn_w = gemm && node_int(n, "transB");
    Axes x = value_axes(k, n->in[0], NULL, k->in[0]), w = value_axes(k, n->in[1], NULL, k->in[1]),
         y = value_axes(k, n->out[0], NULL, k->out[0]);
    Product p = {.k = k, .lanes = t->vector_bits >= 128 ? t->vector_bits / 32 : 4};
    p.registers = t->vector_registers ? t->vector_registers : 8;
    p.rows = (int)y.dim[y.rank - 2]->value;
    p.n = kernel_dim(k, y.dim[y.rank - 1]);
    p.inner = kernel_dim(k, w.dim[w.rank - (turn_w ? 1 : 2)]);
    For f = for_begin(k, i64(&p, 0), batch_count(k, &y), 1);
    p.x = turned(matrix_at(k, &x, &y, f.i), turn_x);
    p.w = turned(matrix_at(k, &w, &y, f.i), turn_w);
    p.y = matrix_at(k, &y, &y, f.i);
    if (turn_w) along_sums(&p);
    else along_columns(&p);
    for_end(k, &f);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

const Emitter vector_product_emitter = {.form = "vector times matrix", .emit = emit};
