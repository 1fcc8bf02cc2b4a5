/* MatMulInteger and QLinearMatMul, shapes as numpy's matmul:
 *
 *   acc[…,i,j] = Σ_k (A[…,i,k] - za[…,i]) · (B[…,k,j] - zb[…,j]) in int32, which wraps
 *   y = clamp(rint(f32(acc) · f32(f32(sa[…,i] · sb[…,j]) / sy)) + zy)
 *
 * Scales and zero points: one; one a row of A (a column of B); or with A's axes, the last one long (B's, the one before
 * it). */
#include "runtime/kernels/quantize.h"

/* Where something of one operand stands for y's batch, row and column; slots as of y broadcast to RANK axes. */
typedef struct places {
    walk walk;
    idx row, column;
} places;

typedef struct product_integer {
    const mcc_arg *a, *b, *y, *a_zero, *b_zero;
    idx rows, inner, columns;
    int batch; /* axes of y before row and column */
} product_integer;

static inline product_integer product_of(const mcc_arg *a, const mcc_arg *b, const mcc_arg *y, const mcc_arg *a_zero,
                                         const mcc_arg *b_zero) {
    product_integer p = {.a = a, .b = b, .y = y, .a_zero = a_zero, .b_zero = b_zero};
    p.rows = a->rank == 1 ? 1 : dim(a, a->rank - 2);
    p.inner = dim(a, a->rank - 1);
    p.columns = b->rank == 1 ? 1 : dim(b, b->rank - 1);
    p.batch = y->rank - (a->rank > 1) - (b->rank > 1);
    return p;
}

/* Batch strides of m, whose last two axes are a matrix of that many elements. */
static inline places batch_places(const product_integer *p, const mcc_arg *m) {
    places at = {.row = 0, .column = 0};
    walk_clear(&at.walk);
    UNROLL for (int k = 0; k < RANK; k++) {
        const int own = k - (p->batch - (m->rank - 2));
        if (k < p->batch) at.walk.n[k] = dim(p->y, k);
        if (k < p->batch && own >= 0 && dim(m, own) != 1) at.walk.stride[k] = stride_of(m, own);
    }
    return at;
}

/* Those of a scale or zero point of A (by row) or of B; m NULL: it is 0, wherever it is looked for. */
static inline places parameter_places(const product_integer *p, const mcc_arg *m, bool by_row) {
    places at = {.row = 0, .column = 0};
    walk_clear(&at.walk);
    if (m && m->rank > 1) at = batch_places(p, m);
    const idx along = m && elements(m) > 1 && (m->rank == 1 || dim(m, by_row ? m->rank - 2 : m->rank - 1) > 1);
    at.row = by_row ? along : 0;
    at.column = by_row ? 0 : along;
    return at;
}

static inline idx place(const places *p, const idx *batch, idx row, idx column) {
    return offset(batch, p->walk.stride, RANK) + row * p->row + column * p->column;
}

static inline int32_t product_sum(const product_integer *p, idx a, int32_t a_zero, idx b, int32_t b_zero) {
    int32_t sum = 0;
    for (idx k = 0; k < p->inner; k++, b += p->columns) {
        const int32_t x = quant_get(p->a->data, p->a->dtype, a + k) - a_zero;
        sum = quant_mul_add(sum, x, quant_get(p->b->data, p->b->dtype, b) - b_zero);
    }
    return sum;
}

/* Statement(s) with SUM for each element AT of y, in order: in batch BATCH at row I and column J. */
#define FOR_PRODUCTS(p, ...)                                                                                           \
    do {                                                                                                               \
        const places a_ = batch_places(&(p), (p).a), b_ = batch_places(&(p), (p).b);                                   \
        const places za_ = parameter_places(&(p), (p).a_zero, true), zb_ = parameter_places(&(p), (p).b_zero, false);  \
        const idx batches_ = count(a_.walk.n, RANK);                                                                   \
        idx BATCH[RANK] = {0}, AT = 0;                                                                                 \
        for (idx n_ = 0; n_ < batches_; n_++, advance(BATCH, a_.walk.n, RANK))                                         \
            for (idx I = 0; I < (p).rows; I++)                                                                         \
                for (idx J = 0; J < (p).columns; J++, AT++) {                                                          \
                    const idx row_ = offset(BATCH, a_.walk.stride, RANK) + I * (p).inner;                              \
                    const idx column_ = offset(BATCH, b_.walk.stride, RANK) + J;                                       \
                    const int32_t SUM = product_sum(&(p), row_, quant_zero((p).a_zero, place(&za_, BATCH, I, J)),      \
                                                    column_, quant_zero((p).b_zero, place(&zb_, BATCH, I, J)));        \
                    __VA_ARGS__                                                                                        \
                }                                                                                                      \
    } while (0)

int ref_MatMulInteger(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *y = output(a, at, 0);
    const product_integer p = product_of(&a[0], &a[1], y, input(a, at, 2), input(a, at, 3));
    int32_t *out = y->data;
    if (elements(y) == 0) return MCC_OK;
    FOR_PRODUCTS(p, out[AT] = SUM;);
    return MCC_OK;
}

int ref_QLinearMatMul(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *y = output(a, at, 0), *a_scale = &a[1], *b_scale = &a[4];
    const product_integer p = product_of(&a[0], &a[3], y, &a[2], &a[5]);
    if (elements(y) == 0) return MCC_OK;
    const places sa = parameter_places(&p, a_scale, true), sb = parameter_places(&p, b_scale, false);
    const float y_scale = scale_get(&a[6], 0);
    const int32_t y_zero = quant_zero(&a[7], 0);
    FOR_PRODUCTS(p, {
        const float row = scale_get(a_scale, place(&sa, BATCH, I, J)),
                    column = scale_get(b_scale, place(&sb, BATCH, I, J));
        quant_set(y->data, y->dtype, AT, quant_round((float)SUM * scale_ratio(row, column, y_scale), y_zero, y->dtype));
    });
    return MCC_OK;
}
