/* Products for a GPU: MatMul, Gemm and MatMulInteger as mcc.GpuMatMul, with transposes as orders of axes, Gemm's alpha
 * and C behind it, zero points as constants that are added. Convolutions: lower_gpu_conv.c. What neither takes stays an
 * operator of the standard. */
#include "passes/lower_gpu.h"

bool gpu_math_of(const PassCtx *p, Dtype a, Dtype b, GpuMath *math) {
    bool bytes = (a == DT_U8 || a == DT_I8) && (b == DT_U8 || b == DT_I8), ampere = p->gpu->sm >= 80;
    if (!bytes && a != b) return false;
    switch (a) {
    case DT_U8:
    case DT_I8: *math = GPU_BYTES; return bytes;
    case DT_F16: *math = GPU_F16; return true;
    case DT_BF16: *math = ampere ? GPU_BF16 : GPU_FMA; return true;
    case DT_F32: *math = p->tf32 && ampere ? GPU_TF32 : GPU_FMA; return true;
    default: return false;
    }
}

void gpu_set_tile(const PassCtx *p, Node *n, GpuMath math, const GpuExtent *e) {
    GpuTile t = gpu_tile_choose(p->gpu, math, e);
    node_set_int(n, "math", math);
    node_set_int(n, "tile", t.number);
    node_set_int(n, "split", t.split);
}

typedef struct Product {
    const PassCtx *p;
    GpuMath math;
    GpuExtent extent;
} Product;

static void choose_tile(void *arg, Node *made, const Type *y) {
    const Product *p = arg;
    (void)y;
    gpu_set_tile(p->p, made, p->math, &p->extent);
}

static double bound(const MatrixSide *s, int from_end) {
    const Type *t = &s->v->type;
    return (double)t->dims[s->perm[t->rank - from_end]]->hi;
}

/* false: more blocks than a launch has */
static bool fill_extent(Product *p, const MatrixSide *a, const MatrixSide *b, const Type *y) {
    const double most = 2147483647.0;
    GpuExtent *e = &p->extent;
    *e = (GpuExtent){bound(a, 2), bound(b, 1), bound(a, 1), 1};
    for (int i = 0; i + 2 < y->rank; i++) e->batches *= (double)y->dims[i]->hi;
    bool shared = true; /* the right matrix: the rows of all batches are then of one */
    for (int i = 0; i + 2 < b->v->type.rank; i++) shared = shared && dim_is(b->v->type.dims[b->perm[i]], 1);
    if (shared) e->rows *= e->batches, e->batches = 1;
    double least = 32, blocks = (e->rows / least + 1) * (e->cols / least + 1) * e->batches * 16;
    return blocks < most && e->depth < most;
}

static MatrixSide side(Value *v, bool transposed) { return matrix_side_above(matrix_side(v, transposed)); }

static void lower_product(Rewrite *r, Node *n, const PassCtx *p) {
    bool gemm = n->op == OP_Gemm;
    Product product = {.p = p};
    if (n->in[0]->type.rank < 2 || n->in[1]->type.rank < 2) return;
    if (!gpu_math_of(p, n->in[0]->type.dtype, n->in[1]->type.dtype, &product.math) || product.math == GPU_BYTES) return;
    ProductForm form = {OP_GpuMatMul, side(n->in[0], gemm && node_int(n, "transA")),
                        side(n->in[1], gemm && node_int(n, "transB")), choose_tile, &product};
    if (fill_extent(&product, &form.a, &form.b, &n->out[0]->type)) lower_product_as(r, n, &form);
}

/* ---- bytes ---- */

/* the weights less their zero points, [columns][depth], as the tensor cores read them */
static Value *packed_columns(Graph *g, const IntegerProduct *p) {
    int64_t dims[2] = {p->w.cols, p->inner};
    Tensor *t = tensor_packed(g, DT_I8, 2, dims);
    int8_t *to = (int8_t *)t->data;
    for (int64_t c = 0; c < p->w.cols; c++)
        for (int64_t k = 0; k < p->inner; k++) to[c * p->inner + k] = (int8_t)integer_weight(&p->w, c, k, 0);
    return value_of_tensor(g, t);
}

static void lower_product_of_bytes(Rewrite *r, Node *n, const PassCtx *p) {
    IntegerProduct i;
    Product product = {.p = p, .math = GPU_BYTES};
    if (!integer_product_read(n, &i)) return;
    MatrixSide a = side(i.x, false), b = matrix_side(packed_columns(r->g, &i), true);
    const Type *y = &n->out[0]->type;
    if (!fill_extent(&product, &a, &b, y)) return;
    Node *made = rewrite_insert(r, n, OP_GpuMatMul, (Value *[]){a.v, b.v}, 2);
    made->out[0]->type = *y;
    node_set_ints(made, "a_perm", a.perm, a.v->type.rank);
    node_set_ints(made, "b_perm", b.perm, 2);
    choose_tile(&product, made, y);
    if (i.zero && !i.zero->constant) {
        Node *last = integer_subtract_zero(r->g, made, &i, n);
        rewrite_replace(r, n, last->out[0]);
        return;
    }
    int32_t zero = i.zero ? (int32_t)tensor_int(i.zero->constant, 0) : 0;
    if (!zero) {
        rewrite_replace(r, n, made->out[0]);
        return;
    }
    Value *bias = integer_bias(r->g, &i.w, i.w.cols, zero, false);
    rewrite_become(r, n, OP_Add, (Value *[]){made->out[0], bias}, 2);
}

bool pass_lower_gpu(Graph *g, PassCtx *p) {
    Rewrite r;
    if (!p->gpu) return false;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));) switch (n->op) {
        case OP_MatMul:
        case OP_Gemm: lower_product(&r, n, p); break;
        case OP_MatMulInteger: lower_product_of_bytes(&r, n, p); break;
        case OP_Conv:
        case OP_ConvInteger: lower_gpu_conv(&r, n, p); break;
        default: break;
        }
    return rewrite_end(&r);
}
