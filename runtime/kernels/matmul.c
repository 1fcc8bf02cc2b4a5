/* MatMul: numpy's matmul, Y[…,i,j] = Σ_k A[…,i,k] · B[…,k,j]; a vector is a row on the left, a column on the right.
 * Gemm: Y = alpha · A' · B' + beta · C, C broadcast. Integers wrap; alpha and beta other than 1 scale them in double.
 */
#include "runtime/kernels/common.h"

/* One product of matrices: element (i, k) of A stands at i·a_row + k·a_col, likewise (k, j) of B; Y is contiguous. */
typedef struct product {
    idx rows, inner, cols, a_row, a_col, b_row, b_col;
} product;

/* What Gemm does with the sums; c broadcasts with strides that may be 0. */
typedef struct epilogue {
    const void *c;
    idx c_row, c_col;
    double alpha, beta;
} epilogue;

#define TEMPLATE "runtime/kernels/matmul.inc"
#include "runtime/kernels/for_floats.h"
#include "runtime/kernels/for_ints.h"

/* The batch dims of y, and the strides that `m` is read with there. */
static inline void batch_walk(walk *w, const mcc_arg *m, const mcc_arg *y, int y_batch) {
    walk_clear(w);
    UNROLL for (int k = 0; k < RANK; k++) {
        int own = k - (y_batch - (m->rank - 2));
        if (k < y_batch) w->n[k] = dim(y, k);
        if (k < y_batch && own >= 0 && dim(m, own) != 1) w->stride[k] = stride_of(m, own);
    }
}

int ref_MatMul(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *A = &a[0], *B = &a[1], *y = output(a, at, 0);
    bool row = A->rank == 1, column = B->rank == 1;
    product p = {.inner = dim(A, A->rank - 1), .a_col = 1};
    p.rows = row ? 1 : dim(A, A->rank - 2);
    p.cols = column ? 1 : dim(B, B->rank - 1);
    p.a_row = p.inner;
    p.b_row = p.cols;
    p.b_col = 1;
    walk wa, wb;
    int batch = y->rank - !row - !column;
    batch_walk(&wa, A, y, batch);
    batch_walk(&wb, B, y, batch);
    if (elements(y) == 0) return MCC_OK;
    DISPATCH_NUMBERS(y->dtype, matmul, y->data, A->data, B->data, &p, &wa, &wb)
}

int ref_Gemm(const mcc_arg *a, const mcc_attr *at) {
    const attrs_Gemm *t = (const attrs_Gemm *)at;
    const mcc_arg *A = &a[0], *B = &a[1], *c = input(a, at, 2), *y = output(a, at, 0);
    product p = {.rows = dim(y, 0), .cols = dim(y, 1), .inner = dim(A, t->transA ? 0 : 1)};
    p.a_row = t->transA ? 1 : p.inner;
    p.a_col = t->transA ? p.rows : 1;
    p.b_row = t->transB ? 1 : p.cols;
    p.b_col = t->transB ? p.inner : 1;
    epilogue e = {.alpha = t->alpha, .beta = t->beta};
    if (c) {
        walk w;
        walk_broadcast(&w, c, y);
        e.c = c->data;
        e.c_row = w.stride[RANK - 2];
        e.c_col = w.stride[RANK - 1];
    }
    if (elements(y) == 0) return MCC_OK;
    DISPATCH_NUMBERS(y->dtype, gemm, y->data, A->data, B->data, &p, &e)
}
