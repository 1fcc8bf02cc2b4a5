/* Vectors: memory, arithmetic of f32, and the elementwise operators that are a handful of vector instructions. Each
 * gives the bits of its mcc_el_<op>_f32, the same operations in the same order, NaN included; but for those of
 * vector_math.c. */
#include <math.h>
#include <string.h>
#include "codegen/contract.h"

LLVMValueRef call_intrinsic(Kernel *k, const char *name, LLVMTypeRef *types, int n_types, LLVMValueRef *args,
                            int n_args) {
    Gen *g = k->gen;
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(g->module, id, types, (size_t)n_types);
    return LLVMBuildCall2(k->b, LLVMIntrinsicGetType(g->llvm, id, types, (size_t)n_types), fn, args, (unsigned)n_args,
                          "");
}

LLVMTypeRef vec_of(LLVMTypeRef element, int lanes) {
    return lanes == 1 ? element : LLVMVectorType(element, (unsigned)lanes);
}

LLVMTypeRef vec_type(Gen *g, int lanes) { return vec_of(g->f32, lanes); }

LLVMValueRef vec_load_of(Kernel *k, LLVMTypeRef element, LLVMValueRef p, int lanes, unsigned align) {
    LLVMValueRef v = LLVMBuildLoad2(k->b, vec_of(element, lanes), p, "");
    LLVMSetAlignment(v, align);
    return v;
}

LLVMValueRef vec_load(Kernel *k, LLVMValueRef p, int lanes, unsigned align) {
    return vec_load_of(k, k->gen->f32, p, lanes, align);
}

void vec_store(Kernel *k, LLVMValueRef v, LLVMValueRef p, unsigned align) {
    LLVMSetAlignment(LLVMBuildStore(k->b, v, p), align);
}

LLVMValueRef lane_mask(Kernel *k, LLVMValueRef there, int lanes) {
    Gen *g = k->gen;
    LLVMValueRef numbers[64], none = LLVMGetPoison(LLVMVectorType(g->i64, (unsigned)lanes));
    for (int i = 0; i < lanes; i++) numbers[i] = gen_i64(g, i);
    LLVMValueRef limit = LLVMBuildInsertElement(k->b, none, there, gen_i64(g, 0), "");
    limit = LLVMBuildShuffleVector(k->b, limit, none, LLVMConstNull(LLVMVectorType(g->i32, (unsigned)lanes)), "");
    return LLVMBuildICmp(k->b, LLVMIntSLT, LLVMConstVector(numbers, (unsigned)lanes), limit, "");
}

static LLVMValueRef masked(Kernel *k, const char *name, int lanes, LLVMValueRef *args) {
    return call_intrinsic(k, name, (LLVMTypeRef[]){vec_type(k->gen, lanes), k->gen->ptr}, 2, args, 4);
}

LLVMValueRef vec_load_part(Kernel *k, LLVMValueRef p, int lanes, LLVMValueRef there) {
    LLVMValueRef zeros = LLVMConstNull(vec_type(k->gen, lanes));
    return masked(k, "llvm.masked.load", lanes,
                  (LLVMValueRef[]){p, gen_i32(k->gen, 4), lane_mask(k, there, lanes), zeros});
}

void vec_store_part(Kernel *k, LLVMValueRef v, LLVMValueRef p, int lanes, LLVMValueRef there) {
    masked(k, "llvm.masked.store", lanes, (LLVMValueRef[]){v, p, gen_i32(k->gen, 4), lane_mask(k, there, lanes)});
}

void fetch_line(Kernel *k, LLVMValueRef p) {
    Gen *g = k->gen;
    enum { READ, LOCALITY = 2, DATA = 1 };
    LLVMValueRef args[4] = {p, gen_i32(g, READ), gen_i32(g, LOCALITY), gen_i32(g, DATA)};
    call_intrinsic(k, "llvm.prefetch", &g->ptr, 1, args, 4);
}

LLVMValueRef vec_splat(Kernel *k, LLVMValueRef scalar, int lanes) {
    if (lanes == 1) return scalar;
    LLVMTypeRef type = vec_of(LLVMTypeOf(scalar), lanes);
    LLVMValueRef mask = LLVMConstNull(LLVMVectorType(k->gen->i32, (unsigned)lanes)), none = LLVMGetPoison(type);
    LLVMValueRef v = LLVMBuildInsertElement(k->b, none, scalar, gen_i64(k->gen, 0), "");
    return LLVMBuildShuffleVector(k->b, v, none, mask, "");
}

LLVMValueRef vec_const(Gen *g, double v, int lanes) { return vec_repeat(LLVMConstReal(g->f32, v), lanes); }

LLVMValueRef vec_repeat(LLVMValueRef constant, int lanes) {
    LLVMValueRef all[64];
    if (lanes == 1) return constant;
    for (int i = 0; i < lanes; i++) all[i] = constant;
    return LLVMConstVector(all, (unsigned)lanes);
}

LLVMValueRef vec_mul_add(Kernel *k, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c, int lanes) {
    Gen *g = k->gen;
    if (!g->target->has_fma) return LLVMBuildFAdd(k->b, c, LLVMBuildFMul(k->b, a, b, ""), "");
    LLVMTypeRef type = vec_type(g, lanes);
    return call_intrinsic(k, "llvm.fma", &type, 1, (LLVMValueRef[]){a, b, c}, 3);
}

LLVMValueRef vec_add(Kernel *k, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFAdd(k->b, a, b, ""); }

LLVMValueRef vec_larger(Kernel *k, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildSelect(k->b, LLVMBuildFCmp(k->b, LLVMRealOGT, a, b, ""), a, b, "");
}

LLVMValueRef vec_greater_or_nan(Kernel *k, LLVMValueRef x, LLVMValueRef best) {
    LLVMValueRef greater = LLVMBuildFCmp(k->b, LLVMRealOGT, x, best, ""),
                 nan = LLVMBuildFCmp(k->b, LLVMRealUNO, x, x, "");
    return LLVMBuildSelect(k->b, LLVMBuildOr(k->b, greater, nan, ""), x, best, "");
}

LLVMValueRef vec_fold(Kernel *k, LLVMValueRef v, int lanes, LLVMValueRef (*f)(Kernel *, LLVMValueRef, LLVMValueRef)) {
    LLVMValueRef swap[64];
    for (int s = lanes / 2; s; s /= 2) {
        for (int i = 0; i < lanes; i++) swap[i] = gen_i32(k->gen, i ^ s);
        v = f(k, v, LLVMBuildShuffleVector(k->b, v, v, LLVMConstVector(swap, (unsigned)lanes), ""));
    }
    return v;
}

/* has one instruction for the larger of two numbers that gives NaN if one of them is NaN; of zeros with two signs it
 * takes its own choice */
static bool has_extrema(const Kernel *k) { return !strncmp(k->gen->target->triple, "aarch64", 7); }

static LLVMValueRef native_extremum(Kernel *k, LLVMRealPredicate before, LLVMValueRef x, LLVMValueRef y) {
    LLVMTypeRef type = LLVMTypeOf(x);
    const char *name = before == LLVMRealOGT ? "llvm.maximum" : "llvm.minimum";
    return call_intrinsic(k, name, &type, 1, (LLVMValueRef[]){x, y}, 2);
}

static bool is_number(LLVMValueRef v) {
    LLVMBool loses;
    if (LLVMIsAConstantDataVector(v)) v = LLVMGetAggregateElement(v, 0); /* of vectors here all lanes are alike */
    return LLVMIsAConstantAggregateZero(v) || (LLVMIsAConstantFP(v) && !isnan(LLVMConstRealGetDouble(v, &loses)));
}

LLVMValueRef vec_at_least(Kernel *k, LLVMValueRef x, LLVMValueRef lo) {
    if (has_extrema(k) && is_number(lo)) return native_extremum(k, LLVMRealOGT, x, lo);
    return LLVMBuildSelect(k->b, LLVMBuildFCmp(k->b, LLVMRealOLT, x, lo, ""), lo, x, "");
}

LLVMValueRef vec_at_most(Kernel *k, LLVMValueRef x, LLVMValueRef hi) {
    if (has_extrema(k) && is_number(hi)) return native_extremum(k, LLVMRealOLT, x, hi);
    return LLVMBuildSelect(k->b, LLVMBuildFCmp(k->b, LLVMRealOGT, x, hi, ""), hi, x, "");
}

typedef struct Vec { /* where a form is built */
    Kernel *k;
    LLVMBuilderRef b;
    const Node *n;
    int lanes;
} Vec;

static LLVMValueRef number(const Vec *v, double x) { return vec_const(v->k->gen, (double)(float)x, v->lanes); }

static LLVMValueRef select_if(const Vec *v, LLVMRealPredicate p, LLVMValueRef a, LLVMValueRef b, LLVMValueRef yes,
                              LLVMValueRef no) {
    return LLVMBuildSelect(v->b, LLVMBuildFCmp(v->b, p, a, b, ""), yes, no, "");
}

/* t = x < lo ? lo : x;  t > hi ? hi : t */
static LLVMValueRef clamp(const Vec *v, LLVMValueRef x, LLVMValueRef lo, LLVMValueRef hi) {
    return vec_at_most(v->k, vec_at_least(v->k, x, lo), hi);
}

static LLVMValueRef clip(const Vec *v, LLVMValueRef *a) {
    LLVMValueRef lo = v->n->n_in > 1 ? a[1] : NULL, hi = v->n->n_in > 2 ? a[2] : NULL, t = a[0];
    if (lo) t = vec_at_least(v->k, t, lo);
    return hi ? vec_at_most(v->k, t, hi) : t;
}

/* x before y ? x : y, NaN in x stays */
static LLVMValueRef extremum(const Vec *v, LLVMRealPredicate before, LLVMValueRef x, LLVMValueRef y) {
    if (has_extrema(v->k)) return native_extremum(v->k, before, x, y);
    LLVMValueRef is = LLVMBuildFCmp(v->b, before, x, y, ""), nan = LLVMBuildFCmp(v->b, LLVMRealUNO, x, x, "");
    return LLVMBuildSelect(v->b, LLVMBuildOr(v->b, is, nan, ""), x, y, "");
}

static LLVMValueRef scale_below_zero(const Vec *v, LLVMValueRef x, LLVMValueRef slope) {
    return select_if(v, LLVMRealOLT, x, number(v, 0), LLVMBuildFMul(v->b, slope, x, ""), x);
}

static LLVMValueRef hard_swish(const Vec *v, LLVMValueRef x) {
    LLVMValueRef t = LLVMBuildFAdd(v->b, LLVMBuildFMul(v->b, x, number(v, 1.0 / 6), ""), number(v, 0.5), "");
    return LLVMBuildFMul(v->b, x, clamp(v, t, number(v, 0), number(v, 1)), "");
}

static LLVMValueRef hard_sigmoid(const Vec *v, LLVMValueRef x) {
    LLVMValueRef t = LLVMBuildFMul(v->b, number(v, node_float(v->n, "alpha")), x, "");
    return clamp(v, LLVMBuildFAdd(v->b, t, number(v, node_float(v->n, "beta")), ""), number(v, 0), number(v, 1));
}

static LLVMValueRef swish(const Vec *v, LLVMValueRef x) {
    double alpha = node_float(v->n, "alpha");
    LLVMValueRef t = alpha == 1 ? x : LLVMBuildFMul(v->b, number(v, alpha), x, "");
    return LLVMBuildFMul(v->b, x, vec_sigmoid(v->k, t, v->lanes), "");
}

/* with "tanh": x (1 + tanh u) / 2 = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x³) */
static LLVMValueRef gelu(const Vec *v, LLVMValueRef x) {
    if (node_enum(v->n, "approximate") == 0) return vec_gelu(v->k, x, v->lanes);
    const double twice = 1.5957691216057308;
    LLVMValueRef z = LLVMBuildFMul(v->b, x, x, "");
    LLVMValueRef u = vec_mul_add(v->k, z, number(v, twice * 0.044715), number(v, twice), v->lanes);
    return LLVMBuildFMul(v->b, x, vec_sigmoid(v->k, LLVMBuildFMul(v->b, u, x, ""), v->lanes), "");
}

static LLVMValueRef intrinsic(const Vec *v, const char *name, LLVMValueRef x) {
    LLVMTypeRef type = LLVMTypeOf(x);
    return call_intrinsic(v->k, name, &type, 1, &x, 1);
}

static bool is_f32(const Node *n) {
    bool all = n->out[0]->type.dtype == DT_F32;
    for (int i = 0; i < n->n_in; i++) all = all && (!n->in[i] || n->in[i]->type.dtype == DT_F32);
    return all;
}

bool vec_has_elementwise(const Node *n) {
    if (!is_f32(n)) return vec_has_widening(n) || vec_has_integer(n);
    switch (n->op) {
    case OP_Add:
    case OP_Sub:
    case OP_Mul:
    case OP_Div:
    case OP_Max:
    case OP_Min:
    case OP_Neg:
    case OP_Relu:
    case OP_Clip:
    case OP_LeakyRelu:
    case OP_PRelu:
    case OP_HardSwish:
    case OP_HardSigmoid:
    case OP_Exp:
    case OP_Sin:
    case OP_Cos:
    case OP_Log:
    case OP_Softplus:
    case OP_Mish:
    case OP_Sigmoid:
    case OP_Swish:
    case OP_Tanh:
    case OP_Erf:
    case OP_Gelu:
    case OP_Abs:
    case OP_Sqrt:
    case OP_Reciprocal:
    case OP_Identity: return n->op == OP_Clip || n->n_in <= 2;
    default: return false;
    }
}

LLVMValueRef vec_elementwise(Kernel *k, const Node *n, LLVMValueRef *a, int lanes) {
    Vec v = {k, k->b, n, lanes};
    if (vec_has_widening(n)) return vec_widen(k, a[0], n->in[0]->type.dtype, lanes);
    if (!is_f32(n)) return vec_integer(k, n, a, lanes);
    switch (n->op) {
    case OP_Add: return LLVMBuildFAdd(k->b, a[0], a[1], "");
    case OP_Sub: return LLVMBuildFSub(k->b, a[0], a[1], "");
    case OP_Mul: return LLVMBuildFMul(k->b, a[0], a[1], "");
    case OP_Div: return LLVMBuildFDiv(k->b, a[0], a[1], "");
    case OP_Max: return extremum(&v, LLVMRealOGT, a[0], a[1]);
    case OP_Min: return extremum(&v, LLVMRealOLT, a[0], a[1]);
    case OP_Neg: return LLVMBuildFNeg(k->b, a[0], "");
    case OP_Relu: return vec_at_least(k, a[0], number(&v, 0));
    case OP_Clip: return clip(&v, a);
    case OP_LeakyRelu: return scale_below_zero(&v, a[0], number(&v, node_float(n, "alpha")));
    case OP_PRelu: return select_if(&v, LLVMRealOLT, a[0], number(&v, 0), LLVMBuildFMul(k->b, a[0], a[1], ""), a[0]);
    case OP_HardSwish: return hard_swish(&v, a[0]);
    case OP_HardSigmoid: return hard_sigmoid(&v, a[0]);
    case OP_Reciprocal: return LLVMBuildFDiv(k->b, number(&v, 1), a[0], "");
    case OP_Sin: return vec_sin(k, n, a[0], lanes);
    case OP_Cos: return vec_cos(k, n, a[0], lanes);
    case OP_Log: return vec_log(k, a[0], lanes);
    case OP_Softplus: return vec_softplus(k, a[0], lanes);
    case OP_Mish: return vec_mish(k, a[0], lanes);
    case OP_Exp: return vec_exp(k, a[0], lanes);
    case OP_Sigmoid: return vec_sigmoid(k, a[0], lanes);
    case OP_Swish: return swish(&v, a[0]);
    case OP_Tanh: return vec_tanh(k, a[0], lanes);
    case OP_Erf: return vec_erf(k, a[0], lanes);
    case OP_Gelu: return gelu(&v, a[0]);
    case OP_Abs: return intrinsic(&v, "llvm.fabs", a[0]);
    case OP_Sqrt: return intrinsic(&v, "llvm.sqrt", a[0]);
    case OP_Identity: return a[0];
    default: return NULL;
    }
}

LLVMValueRef vec_elementwise_in(Kernel *k, const Node *n, LLVMValueRef *a, int lanes, const Interval *in) {
    bool extreme = (n->op == OP_Min || n->op == OP_Max) && n->n_in == 2 && is_f32(n);
    if (!extreme || !in[0].number || !in[1].number) return vec_elementwise(k, n, a, lanes);
    LLVMValueRef before = LLVMBuildFCmp(k->b, n->op == OP_Min ? LLVMRealOLT : LLVMRealOGT, a[0], a[1], "");
    return LLVMBuildSelect(k->b, before, a[0], a[1], "");
}
