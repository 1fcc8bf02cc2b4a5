/* Functions of f32 vectors built on the exponential, as straight IR: within 4 ULP of the exact value over the whole
 * range, NaN and infinities included. They multiply and add in one rounding where the target does, so that they differ
 * from the mcc_el_<op>_f32 in the last places. Reduction: Cody and Waite, Software Manual for the Elementary Functions,
 * 1980; polynomials are minimax fits (Remez exchange). */
#include <string.h>
#include "codegen/contract.h"

enum {
    BIAS = 127,
    MANTISSA = 23,
    SMALLEST = 24 /* results are held 2^24 too large until the end: they underflow once */
};
static const double LOG2_E = 1.4426950408889634, SHIFTER = 12582912 /* 1.5 · 2^23: adding it rounds to an integer */,
                    LEAST = -104 /* e^x is 0 below */, MOST = 89 /* and infinite above */;

typedef struct Vec {
    Kernel *k;
    int lanes;
} Vec;

static LLVMValueRef number(const Vec *v, double x) { return vec_const(v->k->gen, (double)(float)x, v->lanes); }
static LLVMValueRef mul(const Vec *v, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFMul(v->k->b, a, b, ""); }
static LLVMValueRef add(const Vec *v, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFAdd(v->k->b, a, b, ""); }
static LLVMValueRef sub(const Vec *v, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFSub(v->k->b, a, b, ""); }
static LLVMValueRef mul_add(const Vec *v, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
    return vec_mul_add(v->k, a, b, c, v->lanes);
}

/* a < b ? yes : no */
static LLVMValueRef where_less(const Vec *v, LLVMValueRef a, LLVMValueRef b, LLVMValueRef yes, LLVMValueRef no) {
    return LLVMBuildSelect(v->k->b, LLVMBuildFCmp(v->k->b, LLVMRealOLT, a, b, ""), yes, no, "");
}

static LLVMValueRef call(const Vec *v, const char *name, LLVMValueRef *args, unsigned n) {
    Gen *g = v->k->gen;
    LLVMTypeRef type = vec_type(g, v->lanes);
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(g->module, id, &type, 1);
    return LLVMBuildCall2(v->k->b, LLVMIntrinsicGetType(g->llvm, id, &type, 1), fn, args, n, "");
}

static LLVMValueRef magnitude(const Vec *v, LLVMValueRef x) { return call(v, "llvm.fabs", &x, 1); }
static LLVMValueRef with_sign(const Vec *v, LLVMValueRef x, LLVMValueRef sign) {
    LLVMValueRef args[2] = {x, sign};
    return call(v, "llvm.copysign", args, 2);
}

static LLVMValueRef polynomial(const Vec *v, LLVMValueRef x, const double *c, int n) {
    LLVMValueRef p = number(v, c[n - 1]);
    for (int i = n - 2; i >= 0; i--) p = mul_add(v, p, x, number(v, c[i]));
    return p;
}

/* a / b for b in [1, 2] and finite a: by an estimate and a Newton step where the target has those for its widest
 * vectors */
static LLVMValueRef divide_by_one_to_two(const Vec *v, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef q = LLVMBuildFDiv(v->k->b, a, b, "");
    if (v->lanes * 32 >= 512)
        LLVMSetFastMathFlags(q, LLVMFastMathAllowReciprocal | LLVMFastMathNoInfs | LLVMFastMathAllowContract);
    return q;
}

/* e^x · 2^scale for LEAST ≤ x ≤ MOST, whose exponent must be in range; scale: a vector of whole numbers */
static LLVMValueRef scaled_exp(const Vec *v, LLVMValueRef x, LLVMValueRef scale) {
    static const double q[] = {0.49999994, 0.166665167, 0.0416681021, 0.00836912636,
                               0.00138368283}; /* (e^r - 1 - r) / r² */
    Gen *g = v->k->gen;
    LLVMBuilderRef b = v->k->b;
    LLVMTypeRef bits = v->lanes == 1 ? g->i32 : LLVMVectorType(g->i32, (unsigned)v->lanes);
    LLVMValueRef shifter = add(v, number(v, SHIFTER + BIAS), scale), t = mul_add(v, x, number(v, LOG2_E), shifter);
    LLVMValueRef n = sub(v, t, shifter);
    LLVMValueRef r = mul_add(v, n, number(v, -1.42860682e-6), mul_add(v, n, number(v, -0.693145751953125), x));
    LLVMValueRef p = mul_add(v, mul(v, r, r), polynomial(v, r, q, 5), r);
    LLVMValueRef by = LLVMConstInt(g->i32, MANTISSA, 0), many[64];
    for (int i = 0; i < v->lanes; i++) many[i] = by;
    if (v->lanes > 1) by = LLVMConstVector(many, (unsigned)v->lanes);
    LLVMValueRef power = LLVMBuildShl(b, LLVMBuildBitCast(b, t, bits, ""), by, ""); /* the low bits: n + scale + BIAS */
    power = LLVMBuildBitCast(b, power, vec_type(g, v->lanes), "");
    return mul_add(v, p, power, power);
}

/* e^x, x ≤ 0 or NaN */
static LLVMValueRef exp_of_negative(const Vec *v, LLVMValueRef x) {
    LLVMValueRef least = number(v, LEAST), c = where_less(v, x, least, least, x);
    return mul(v, scaled_exp(v, c, number(v, SMALLEST)), number(v, 0x1p-24));
}

LLVMValueRef vec_exp_of_negative(Kernel *k, LLVMValueRef x, int lanes) {
    Vec v = {k, lanes};
    return exp_of_negative(&v, x);
}

LLVMValueRef vec_exp(Kernel *k, LLVMValueRef x, int lanes) {
    Vec v = {k, lanes};
    LLVMValueRef least = number(&v, LEAST), most = number(&v, MOST), zero = number(&v, 0);
    LLVMValueRef c = where_less(&v, x, least, least, x);
    c = where_less(&v, most, c, most, c);
    LLVMValueRef scale = where_less(&v, c, zero, number(&v, SMALLEST), number(&v, -SMALLEST));
    LLVMValueRef back = where_less(&v, c, zero, number(&v, 0x1p-24), number(&v, 0x1p24));
    return mul(&v, scaled_exp(&v, c, scale), back);
}

/* One exponential of -|x| serves both sides: nothing overflows, and the left tail stays accurate into the subnormals.
 */
LLVMValueRef vec_sigmoid(Kernel *k, LLVMValueRef x, int lanes) {
    Vec v = {k, lanes};
    LLVMValueRef one = number(&v, 1), zero = number(&v, 0);
    LLVMValueRef e = exp_of_negative(&v, LLVMBuildFNeg(k->b, magnitude(&v, x), ""));
    return divide_by_one_to_two(&v, where_less(&v, x, zero, e, one), add(&v, one, e));
}

/* (1 - e) / (1 + e) with e = e^(-2|x|), which cancels near 0: there x + x³ p(x²) */
LLVMValueRef vec_tanh(Kernel *k, LLVMValueRef x, int lanes) {
    static const double q[] = {-0.33333316445350647, 0.13332585990428925, -0.05385230854153633, 0.021071679890155792,
                               -0.0062742396257817745};
    Vec v = {k, lanes};
    LLVMValueRef a = magnitude(&v, x), one = number(&v, 1), z = mul(&v, x, x);
    LLVMValueRef e = exp_of_negative(&v, mul(&v, a, number(&v, -2)));
    LLVMValueRef large = divide_by_one_to_two(&v, sub(&v, one, e), add(&v, one, e));
    LLVMValueRef small = mul_add(&v, mul(&v, z, a), polynomial(&v, z, q, 5), a);
    return with_sign(&v, where_less(&v, a, number(&v, 0.55), small, large), x);
}
