/* Short names for arithmetic on vectors of f32, for the files that are formulas. */
#ifndef MCC_CODEGEN_VEC_H
#define MCC_CODEGEN_VEC_H

#include "codegen/contract.h"

typedef struct Vec {
    Kernel *k;
    int lanes;
} Vec;

static inline LLVMValueRef number(const Vec *v, double x) { return vec_const(v->k->gen, (double)(float)x, v->lanes); }
static inline LLVMValueRef mul(const Vec *v, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFMul(v->k->b, a, b, "");
}
static inline LLVMValueRef add(const Vec *v, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFAdd(v->k->b, a, b, "");
}
static inline LLVMValueRef sub(const Vec *v, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFSub(v->k->b, a, b, "");
}
static inline LLVMValueRef mul_add(const Vec *v, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
    return vec_mul_add(v->k, a, b, c, v->lanes);
}

/* Horner's rule; c[0] is the constant term */
static inline LLVMValueRef polynomial(const Vec *v, LLVMValueRef x, const double *c, int n) {
    LLVMValueRef p = number(v, c[n - 1]);
    for (int i = n - 2; i >= 0; i--) p = mul_add(v, p, x, number(v, c[i]));
    return p;
}

/* ---- gelu_table.c: x Φ(x), by another function where it has no table ---- */
bool gelu_has_table(const Target *t, int lanes);
LLVMValueRef vec_gelu_by_table(Kernel *k, LLVMValueRef x, int lanes,
                               LLVMValueRef (*elsewhere)(Kernel *, LLVMValueRef, int));

#endif
