/* Matrices inside of tensors: the last two axes of a value under a permutation of its axes, at one place of the axes
 * before them. */
#include "codegen/products.h"

Axes value_axes(Kernel *k, const Value *v, const char *perm, LLVMValueRef base) {
    Ctx *ctx = k->gen->ctx;
    const int64_t *order = NULL;
    Axes a = {.rank = v->type.rank, .base = base};
    int given = perm ? node_ints(k->node, perm, &order) : 0;
    Dim strides[MCC_MAX_RANK], s = dim_const(ctx, 1);
    for (int d = a.rank - 1; d >= 0; d--) {
        strides[d] = s;
        s = dim_mul(ctx, s, v->type.dims[d]);
    }
    for (int i = 0; i < a.rank; i++) {
        int from = given ? (int)order[i] : i;
        a.dim[i] = v->type.dims[from];
        a.stride[i] = kernel_dim(k, strides[from]);
    }
    return a;
}

LLVMValueRef batch_count(Kernel *k, const Axes *y) { return kernel_dims(k, y->dim, y->rank - 2); }

static LLVMValueRef remainder_of(Kernel *k, LLVMValueRef a, LLVMValueRef by) { return LLVMBuildURem(k->b, a, by, ""); }

LLVMValueRef matrix_offset(Kernel *k, const Axes *a, const Axes *y, LLVMValueRef index) {
    LLVMValueRef at = gen_i64(k->gen, 0);
    int shift = y->rank - a->rank;
    for (int d = y->rank - 3; d >= 0; d--) {
        if (dim_is(y->dim[d], 1)) continue;
        LLVMValueRef n = kernel_dim(k, y->dim[d]);
        if (d >= shift && !dim_is(a->dim[d - shift], 1))
            at = i_add(k, at, i_mul(k, remainder_of(k, index, n), a->stride[d - shift]));
        index = LLVMBuildUDiv(k->b, index, n, "");
    }
    return at;
}

Matrix matrix_at(Kernel *k, const Axes *a, const Axes *y, LLVMValueRef index) {
    return (Matrix){f32_at(k, a->base, matrix_offset(k, a, y, index)), a->stride[a->rank - 2], a->stride[a->rank - 1]};
}

Axes operand_axes(Kernel *k, const Value *v, LLVMValueRef base) {
    Axes a = value_axes(k, v, NULL, base);
    LLVMValueRef none = gen_i64(k->gen, 0);
    Dim one = dim_const(k->gen->ctx, 1);
    for (; a.rank < 2; a.rank++) /* one more axis in front, of one place */
        for (int i = 1; i >= 0; i--) {
            a.dim[i] = i > 0 && a.rank > 0 ? a.dim[i - 1] : one;
            a.stride[i] = i > 0 && a.rank > 0 ? a.stride[i - 1] : none;
        }
    for (int i = a.rank - 2; i < a.rank; i++)
        if (dim_is(a.dim[i], 1)) a.stride[i] = none;
    return a;
}

Matrix operand_at(Kernel *k, const Value *v, LLVMValueRef base, const Axes *y, LLVMValueRef index) {
    Axes a = operand_axes(k, v, base);
    return matrix_at(k, &a, y, index);
}
