/* Products of matrices that are known at run time only, attention, which is two of them, and softmax between them. */
#ifndef MCC_CODEGEN_PRODUCTS_H
#define MCC_CODEGEN_PRODUCTS_H

#include "codegen/contract.h"

/* ---- matrices.c: matrices inside of tensors ---- */
typedef struct Axes { /* of a value as its permutation shows it: dims, and element strides */
    int rank;
    Dim dim[MCC_MAX_RANK];
    LLVMValueRef stride[MCC_MAX_RANK];
    LLVMValueRef base;
} Axes;
typedef struct Matrix { /* element (i, j) stands at base[i·row + j·col] */
    LLVMValueRef base, row, col;
} Matrix;
/* perm: the node's list of integers, axis i of what is seen is axis perm[i] of v; not given: v as it is */
Axes value_axes(Kernel *k, const Value *v, const char *perm, LLVMValueRef base);
/* the last two axes, at the place of the others that number `index` of y's (as many, or more: broadcast) names */
Matrix matrix_at(Kernel *k, const Axes *a, const Axes *y, LLVMValueRef index);
LLVMValueRef matrix_offset(Kernel *k, const Axes *a, const Axes *y, LLVMValueRef index); /* where that begins, in elements */
/* the axes of a value that is broadcast to a product, two at least: steps of the last two are 0 where it stands still */
Axes operand_axes(Kernel *k, const Value *v, LLVMValueRef base);
/* the same matrix of such a value */
Matrix operand_at(Kernel *k, const Value *v, LLVMValueRef base, const Axes *y, LLVMValueRef index);
LLVMValueRef batch_count(Kernel *k, const Axes *y); /* how many places the axes before the last two have */

/* ---- panels.c: a matrix in panels of columns, [panels][rows][vecs·lanes], each step of a tile one line of them ----
 */
typedef struct Panels {
    int vecs, lanes;
    LLVMValueRef rows, cols;
    LLVMValueRef full; /* panels of vecs vectors; the last is padded where the number of columns is not constant */
    int left;          /* vectors of one more panel */
} Panels;
Panels panels_of(Kernel *k, LLVMValueRef rows, LLVMValueRef cols, int vecs, int lanes);
void panels_pack(Kernel *k, const Panels *p, const Matrix *from,
                 LLVMValueRef to); /* columns beyond the last: anything */
/* vecs vectors of columns from `col` on, as one panel */
void panel_pack(Kernel *k, const Panels *p, const Matrix *from, int vecs, LLVMValueRef col, LLVMValueRef to);
bool panels_bytes(Dim rows, Dim cols, int wide, size_t *bytes); /* at most; false: overflow */
/* t = rows of x, `row` and their elements `step` apart, times a packed panel of `inner` rows */
void panel_multiply(Tile *t, LLVMValueRef x, LLVMValueRef row, int64_t step, LLVMValueRef panel, LLVMValueRef inner);
/* body(k, arg, panel, its vectors, its first column) for each of them */
typedef void PanelBody(void *arg, LLVMValueRef panel, int vecs, LLVMValueRef col);
void panels_each(Kernel *k, const Panels *p, LLVMValueRef packed, PanelBody *body, void *arg);

/* ---- softmax.c ---- */
typedef struct SoftmaxRows { /* `rows` rows of n elements, row_in and row_out elements apart */
    int rows, lanes;
    LLVMValueRef in, row_in, out, row_out, n;
    bool padded; /* rows go on to whole vectors, with elements of -inf */
} SoftmaxRows;
/* out = e^(in - the row's largest); in `sums` (rows × 1 vectors) 1 / the row's sum in every lane */
void softmax_rows(Kernel *k, const SoftmaxRows *s, Tile *sums);
bool softmax_has_rows(
    const Node *n); /* of f32 along the last axis but for some of size 1, enough elements for vectors */

/* ---- softmax_columns.c ---- */
bool softmax_has_columns(const Node *n); /* of f32 along another axis */

/* ---- vector_product.c ---- */
bool vector_product_fits(const Node *n); /* a MatMul or Gemm of f32 with a few rows */

/* ---- norm.c ---- */
bool norm_has_rows(const Node *n); /* a Layer-, RMS- or InstanceNormalization of f32 whose parameters a row can read */

extern const Emitter vector_product_emitter, attention_emitter, block_attention_emitter, softmax_emitter, softmax_columns_emitter, norm_emitter, block_norm_emitter,
    panel_product_emitter;

#endif
