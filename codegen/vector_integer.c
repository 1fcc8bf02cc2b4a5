/* Elementwise nodes that read or write integers of 8 and 32 bits, on vectors: each gives the bits of its mcc_el_<op>.
 * What is known of the numbers that are quantized (an interval, no NaN) spares the clamp before they become integers:
 * narrowing saturates anyway. */
#include <math.h>
#include <string.h>
#include "codegen/contract.h"

static bool is_byte(Dtype t) { return t == DT_U8 || t == DT_I8; }
static bool is_integer(Dtype t) { return is_byte(t) || t == DT_I32; }
static bool is_signed(Dtype t) { return t != DT_U8; }
static Dtype dtype_of(const Node *n, int i) { return n->in[i]->type.dtype; }
static bool has(const Node *n, int i) { return i < n->n_in && n->in[i]; }

static bool all_are(const Node *n, Dtype t) {
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && dtype_of(n, i) != t) return false;
    return n->out[0]->type.dtype == t;
}

static bool has_quantize(const Node *n) {
    return dtype_of(n, 0) == DT_F32 && dtype_of(n, 1) == DT_F32 && is_byte(n->out[0]->type.dtype) &&
           (!node_int(n, "precision") || node_int(n, "precision") == DT_F32) && !node_int(n, "block_size");
}

static bool has_dequantize(const Node *n) {
    Dtype t = dtype_of(n, 0);
    return (is_byte(t) || (t == DT_I32 && !has(n, 2))) && dtype_of(n, 1) == DT_F32 && n->out[0]->type.dtype == DT_F32 &&
           !node_int(n, "block_size");
}

bool vec_has_integer(const Node *n) {
    Dtype out = n->out[0]->type.dtype;
    if (n->n_in < 1 || !n->in[0] || n->n_in > 3) return false;
    switch (n->op) {
    case OP_QuantizeLinear: return has_quantize(n);
    case OP_DequantizeLinear: return has_dequantize(n);
    case OP_Table: return is_byte(dtype_of(n, 0)) && is_byte(out);
    case OP_Requantize: return dtype_of(n, 0) == DT_I32 && dtype_of(n, 1) == DT_I32 && is_byte(out);
    case OP_Cast: return is_integer(dtype_of(n, 0)) && (out == DT_F32 || out == DT_I32 || out == dtype_of(n, 0));
    case OP_Add:
    case OP_Sub:
    case OP_Mul: return all_are(n, DT_I32);
    case OP_Max:
    case OP_Min: return n->n_in == 2 && is_integer(out) && all_are(n, out);
    case OP_Clip:
    case OP_Identity: return is_integer(out) && all_are(n, out);
    case OP_Relu: return is_integer(out) && is_signed(out) && all_are(n, out);
    default: return false;
    }
}

/* ---- what is known of a value ---- */

Interval interval_any(void) { return (Interval){-INFINITY, INFINITY, false}; }

Interval interval_of_dtype(Dtype t) {
    switch (t) {
    case DT_U8: return (Interval){0, 255, true};
    case DT_I8: return (Interval){-128, 127, true};
    case DT_I32: return (Interval){-2147483648.0, 2147483647.0, true};
    default: return interval_any();
    }
}

static Interval hull(double a, double b, double c, double d) {
    Interval r = {fmin(fmin(a, b), fmin(c, d)), fmax(fmax(a, b), fmax(c, d)), true};
    return isfinite(r.lo) && isfinite(r.hi) ? r : interval_any();
}

static bool is_known(Interval v) { return v.number && isfinite(v.lo) && isfinite(v.hi); }

static Interval of_f32(const Node *n, const Interval *in) {
    Interval a = in[0], b = n->n_in > 1 ? in[1] : interval_any();
    if (!is_known(a)) return interval_any();
    switch (n->op) {
    case OP_Cast: return a;
    case OP_Relu: return (Interval){fmax(a.lo, 0), fmax(a.hi, 0), true};
    case OP_DequantizeLinear:
        if (!is_known(b)) return interval_any();
        if (has(n, 2)) a.lo -= 255, a.hi += 255;
        return hull(a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi);
    case OP_Clip: return a; /* at most */
    case OP_Min: return is_known(b) ? (Interval){fmin(a.lo, b.lo), fmin(a.hi, b.hi), true} : interval_any();
    case OP_Max: return is_known(b) ? (Interval){fmax(a.lo, b.lo), fmax(a.hi, b.hi), true} : interval_any();
    case OP_Mul: return is_known(b) ? hull(a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi) : interval_any();
    case OP_Add: return is_known(b) ? hull(a.lo + b.lo, a.hi + b.hi, a.lo + b.lo, a.hi + b.hi) : interval_any();
    default: return interval_any();
    }
}

Interval interval_of_node(const Node *n, const Interval *in) {
    Dtype t = n->out[0]->type.dtype;
    if (t != DT_F32) return interval_of_dtype(t);
    if (n->op == OP_Clip && (!has(n, 0) || (has(n, 1) && !is_known(in[1])) || (has(n, 2) && !is_known(in[2]))))
        return interval_any();
    Interval r = of_f32(n, in);
    /* sums and products are rounded: a little more room than their real bounds */
    if (is_known(r)) r.lo -= fabs(r.lo) * 1e-6, r.hi += fabs(r.hi) * 1e-6;
    return is_known(r) && fabs(r.lo) < 1e38 && fabs(r.hi) < 1e38 ? r : interval_any();
}

Interval interval_of_constant(const Tensor *t) {
    int64_t n;
    if (t->dtype != DT_F32) return interval_of_dtype(t->dtype);
    Interval r = {INFINITY, -INFINITY, true};
    if (!product_i64(t->dims, t->rank, &n) || n < 1) return interval_any();
    for (int64_t i = 0; i < n; i++) {
        double x = tensor_float(t, i);
        if (!isfinite(x)) return interval_any();
        r.lo = fmin(r.lo, x);
        r.hi = fmax(r.hi, x);
    }
    return r;
}

float value_limit(const Value *v) {
    static const float limits[] = {0.5f, 512};
    enum { MOST = 1 << 16 };
    int64_t n;
    int at = 0;
    const Tensor *t = v->constant;
    if (!t || t->dtype != DT_F32 || !product_i64(t->dims, t->rank, &n) || n > MOST) return 0;
    for (int64_t i = 0; i < n; i++)
        while (!(fabs(tensor_float(t, i)) <= (double)limits[at]))
            if (++at == 2) return 0;
    return limits[at];
}

/* ---- quantized numbers ---- */

static LLVMTypeRef i32_vec(Kernel *k, int lanes) { return vec_of(k->gen->i32, lanes); }

static LLVMValueRef widened(Kernel *k, LLVMValueRef v, Dtype t, int lanes) {
    if (t == DT_I32) return v;
    return is_signed(t) ? LLVMBuildSExt(k->b, v, i32_vec(k, lanes), "") : LLVMBuildZExt(k->b, v, i32_vec(k, lanes), "");
}

static LLVMValueRef as_f32(Kernel *k, LLVMValueRef v, int lanes) {
    return LLVMBuildSIToFP(k->b, v, vec_type(k->gen, lanes), "");
}

static bool is_x86(const Kernel *k) { return !strncmp(k->gen->target->triple, "x86_64", 6); }
/* converts as the rounding mode says, saturating, and adds so: Cortex-M with floats and the DSP instructions */
static bool saturates(const Kernel *k) { return k->gen->target->dot == DOT_HALVES && k->gen->target->float_bits >= 32; }
static bool is_aarch64(const Kernel *k) { return !strncmp(k->gen->target->triple, "aarch64", 7); }

/* to the nearest integer, ties to even; |v| < 2^22 but where the target has an instruction for it */
static LLVMValueRef rounded(Kernel *k, LLVMValueRef v, int lanes) {
    const double magic =
        12582912; /* 1.5 · 2^23: the sum's last bit counts ones, and no rounding but to even is in use */
    if (is_x86(k) || is_aarch64(k))
        return call_intrinsic(k, "llvm.lrint", (LLVMTypeRef[]){i32_vec(k, lanes), vec_type(k->gen, lanes)}, 2, &v, 1);
    LLVMValueRef c = vec_const(k->gen, magic, lanes);
    LLVMValueRef whole = LLVMBuildFSub(k->b, LLVMBuildFAdd(k->b, v, c, ""), c, "");
    return LLVMBuildFPToSI(k->b, whole, i32_vec(k, lanes), "");
}

static LLVMValueRef select_if(Kernel *k, LLVMRealPredicate p, LLVMValueRef a, LLVMValueRef b, LLVMValueRef yes,
                              LLVMValueRef no) {
    return LLVMBuildSelect(k->b, LLVMBuildFCmp(k->b, p, a, b, ""), yes, no, "");
}

LLVMValueRef vec_quantized(Kernel *k, LLVMValueRef x, LLVMValueRef zero, Dtype t, int lanes, bool fits) {
    Gen *g = k->gen;
    if (lanes == 1 && saturates(k)) {
        LLVMTypeRef f32 = g->f32, i32 = g->i32;
        x = LLVMBuildBitCast(k->b, call_intrinsic(k, "llvm.arm.vcvtr", &f32, 1, &x, 1), i32, ""); /* NaN: 0 */
        return call_intrinsic(k, "llvm.sadd.sat", &i32, 1, (LLVMValueRef[]){x, zero}, 2);
    }
    if (is_aarch64(k) && lanes == 4) { /* NaN: 0; what passes an int32 saturates */
        LLVMTypeRef types[2] = {i32_vec(k, lanes), vec_type(g, lanes)};
        x = call_intrinsic(k, "llvm.aarch64.neon.fcvtns", types, 2, &x, 1);
        if (fits) return LLVMBuildNSWAdd(k->b, x, zero, "");
        return call_intrinsic(k, "llvm.sadd.sat", types, 1, (LLVMValueRef[]){x, zero}, 2);
    }
    if (!fits || !is_x86(k)) {
        Interval all = interval_of_dtype(t);
        LLVMValueRef lo = LLVMBuildFSub(k->b, vec_const(g, all.lo, lanes), as_f32(k, zero, lanes), ""),
                     hi = LLVMBuildFSub(k->b, vec_const(g, all.hi, lanes), as_f32(k, zero, lanes), "");
        if (!fits) x = select_if(k, LLVMRealUNO, x, x, vec_const(g, 0, lanes), x);
        x = select_if(k, LLVMRealOLT, x, lo, lo, x);
        x = select_if(k, LLVMRealOGT, x, hi, hi, x);
    }
    LLVMValueRef whole = rounded(k, x, lanes);
    /* said to stay an int32: what follows may subtract the zero point again */
    return fits ? LLVMBuildNSWAdd(k->b, whole, zero, "") : LLVMBuildAdd(k->b, whole, zero, "");
}

/* 1 / s as the sum of two numbers, both positive so that an infinity is not lost in what they are multiplied with */
typedef struct Inverse {
    float high, low;
} Inverse;

static Inverse inverse_of(float s) {
    double exact = 1 / (double)s;
    float high = (float)exact;
    if ((double)high >= exact) high = nextafterf(high, 0);
    return (Inverse){high, (float)(exact - (double)high)};
}

/* v / s as v·high + v·low, or as q + (v - q·s) / s with q = v / s, where / s is · (1 / s): almost always the quotient
 * as it is rounded. */
static float quotient_by_multiplying(float v, float s, bool by_sum) {
    Inverse i = inverse_of(s);
    if (by_sum) return fmaf(v, i.high, v * i.low);
    float inverse = 1 / s, q = v * inverse;
    return fmaf(fmaf(-q, s, v), inverse, q);
}

/* Does that round to the same integers as v / s, wherever those fit 9 bits? It is off by little more than half a unit
 * in the last place, so that only numbers about the ties between two integers need be tried. */
static bool divides_by_multiplying(Kernel *k, float s, bool by_sum) {
    enum { MOST = 257, ABOUT = 4 };
    if (!(s > 1e-30f && s < 1e30f)) return false;
    if (k->checked_scale == s && k->checked_sum == by_sum) return k->divides_by_multiplying;
    bool same = true;
    for (int i = 0; i < MOST && same; i++) {
        float v = ((float)i + 0.5f) * s;
        for (int j = 0; j < ABOUT; j++) v = nextafterf(v, 0);
        for (int j = -ABOUT; j <= ABOUT && same; j++, v = nextafterf(v, INFINITY)) {
            float ratio = v / s;
            same = rintf(ratio) == rintf(quotient_by_multiplying(v, s, by_sum));
        }
    }
    k->checked_scale = s;
    k->checked_sum = by_sum;
    return k->divides_by_multiplying = same;
}

static bool read_splat(LLVMValueRef v, float *out) {
    LLVMBool loses;
    if (LLVMIsAConstantDataVector(v)) v = LLVMGetAggregateElement(v, 0);
    if (!LLVMIsAConstantFP(v)) return false;
    *out = (float)LLVMConstRealGetDouble(v, &loses);
    return true;
}

static bool is_power_of_two(float s) {
    int exponent;
    return frexpf(s, &exponent) == 0.5f;
}

/* x / scale, with the same integers once it is rounded and saturated; fits: as in vec_quantized, and so it is then */
static LLVMValueRef divided(Kernel *k, LLVMValueRef x, LLVMValueRef scale, int lanes, bool *fits) {
    const float enough = 512;
    float s;
    bool by_sum = is_aarch64(k) && lanes == 4; /* whose conversion saturates, NaN and infinities too */
    if (!read_splat(scale, &s) || is_power_of_two(s) || !k->gen->target->has_fma || !divides_by_multiplying(k, s, by_sum))
        return LLVMBuildFDiv(k->b, x, scale, "");
    LLVMTypeRef type = vec_type(k->gen, lanes);
    if (by_sum) {
        Inverse i = inverse_of(s);
        LLVMValueRef low = LLVMBuildFMul(k->b, x, vec_const(k->gen, (double)i.low, lanes), "");
        return call_intrinsic(k, "llvm.fma", &type, 1, (LLVMValueRef[]){x, vec_const(k->gen, (double)i.high, lanes), low}, 3);
    }
    LLVMValueRef most = vec_const(k->gen, (double)(enough * s), lanes),
                 least = vec_const(k->gen, (double)(-enough * s), lanes);
    LLVMValueRef inverse = vec_const(k->gen, (double)(1 / s), lanes);
    if (!*fits) {
        x = select_if(k, LLVMRealUNO, x, x, vec_const(k->gen, 0, lanes), x);
        x = vec_at_most(k, vec_at_least(k, x, least), most);
        *fits = true;
    }
    LLVMValueRef q = LLVMBuildFMul(k->b, x, inverse, "");
    LLVMValueRef minus = LLVMBuildFNeg(k->b, q, "");
    LLVMValueRef left = call_intrinsic(k, "llvm.fma", &type, 1, (LLVMValueRef[]){minus, scale, x}, 3);
    return call_intrinsic(k, "llvm.fma", &type, 1, (LLVMValueRef[]){left, inverse, q}, 3);
}

typedef struct Multiplier {
    const Node *n;
    float value;
    const struct Multiplier *next;
} Multiplier;

static float multiplier_of(Kernel *k, const Node *n) {
    for (const Multiplier *m = k->multipliers; m; m = m->next)
        if (m->n == n) return m->value;
    Multiplier *m = ARENA_NEW(k->gen->ctx->arena, Multiplier);
    *m = (Multiplier){n, byte_sum_multiplier(n), k->multipliers};
    k->multipliers = m;
    return m->value;
}

LLVMValueRef vec_quantize(Kernel *k, const Node *n, LLVMValueRef *a, int lanes, Interval v) {
    Dtype t = n->out[0]->type.dtype;
    LLVMValueRef zero = has(n, 2) ? widened(k, a[2], t, lanes) : LLVMConstNull(i32_vec(k, lanes));
    float scale = 0;
    const double room = 2147480000.0; /* with the zero point still an int32 */
    bool fits =
        read_splat(a[1], &scale) && is_known(v) && scale > 0 && fmax(fabs(v.lo), fabs(v.hi)) / (double)scale < room;
    float multiplier = fits && scale != 1 ? multiplier_of(k, n) : 0;
    LLVMValueRef x = multiplier > 0 ? LLVMBuildFMul(k->b, a[0], vec_const(k->gen, (double)multiplier, lanes), "")
                                    : divided(k, a[0], a[1], lanes, &fits);
    return vec_quantized(k, x, zero, t, lanes, fits);
}

static LLVMValueRef pick_integer(Kernel *k, const char *name, LLVMValueRef a, LLVMValueRef b) {
    LLVMTypeRef type = LLVMTypeOf(a);
    return call_intrinsic(k, name, &type, 1, (LLVMValueRef[]){a, b}, 2);
}

LLVMValueRef vec_narrow(Kernel *k, LLVMValueRef wide, bool as_signed, int lanes) {
    Gen *g = k->gen;
    LLVMValueRef lo = vec_repeat(gen_i32(g, as_signed ? -128 : 0), lanes),
                 hi = vec_repeat(gen_i32(g, as_signed ? 127 : 255), lanes);
    wide = pick_integer(k, "llvm.smin", pick_integer(k, "llvm.smax", wide, lo), hi);
    return LLVMBuildTrunc(k->b, wide, vec_of(g->i8, lanes), "");
}

static LLVMValueRef shuffle(Kernel *k, LLVMValueRef a, LLVMValueRef b, const int *places, int n) {
    LLVMValueRef mask[64];
    for (int i = 0; i < n; i++) mask[i] = gen_i32(k->gen, places[i]);
    return LLVMBuildShuffleVector(k->b, a, b, LLVMConstVector(mask, (unsigned)n), "");
}

/* the first of each, then those of the second, as one vector */
static LLVMValueRef joined(Kernel *k, LLVMValueRef a, LLVMValueRef b, int lanes) {
    int places[64];
    for (int i = 0; i < 2 * lanes; i++) places[i] = i;
    return shuffle(k, a, b, places, 2 * lanes);
}

static LLVMValueRef call_x86(Kernel *k, const char *name, LLVMValueRef a, LLVMValueRef b) {
    return call_intrinsic(k, name, NULL, 0, (LLVMValueRef[]){a, b}, 2);
}

/* x86 packs within 128 bits: four vectors to one, whose dwords are then put in order */
static LLVMValueRef packed(Kernel *k, LLVMValueRef *wide, bool as_signed, int lanes) {
    static const char *const words[] = {"llvm.x86.sse2.packssdw.128", "llvm.x86.avx2.packssdw",
                                        "llvm.x86.avx512.packssdw.512"},
                             *const bytes[] = {"llvm.x86.sse2.packsswb.128", "llvm.x86.avx2.packsswb",
                                               "llvm.x86.avx512.packsswb.512"},
                             *const plain[] = {"llvm.x86.sse2.packuswb.128", "llvm.x86.avx2.packuswb",
                                               "llvm.x86.avx512.packuswb.512"};
    int size = lanes == 4 ? 0 : lanes == 8 ? 1 : 2, quarters = lanes / 4, order[16];
    LLVMValueRef low = call_x86(k, words[size], wide[0], wide[1]), high = call_x86(k, words[size], wide[2], wide[3]);
    LLVMValueRef v = call_x86(k, as_signed ? bytes[size] : plain[size], low, high);
    if (lanes == 4) return v;
    for (int i = 0; i < lanes; i++) order[i] = i % quarters * 4 + i / quarters;
    v = LLVMBuildBitCast(k->b, v, i32_vec(k, lanes), "");
    v = shuffle(k, v, LLVMGetPoison(LLVMTypeOf(v)), order, lanes);
    return LLVMBuildBitCast(k->b, v, vec_of(k->gen->i8, lanes * 4), "");
}

static bool is_saturating_sum(LLVMValueRef v) {
    static const char name[] = "llvm.sadd.sat";
    size_t n;
    return LLVMIsACallInst(v) && !strncmp(LLVMGetValueName2(LLVMGetCalledValue(v), &n), name, sizeof name - 1);
}

/* v = what is added to a small constant, its zero point; NULL: it is no such sum */
static LLVMValueRef without_zero(LLVMValueRef v, int64_t *zero) {
    LLVMValueRef plain = NULL, constant = NULL;
    if ((LLVMIsAInstruction(v) && LLVMGetInstructionOpcode(v) == LLVMAdd) || is_saturating_sum(v))
        plain = LLVMGetOperand(v, 0), constant = LLVMGetOperand(v, 1);
    if (!constant || !LLVMIsAConstantDataVector(constant)) return NULL;
    *zero = LLVMConstIntGetSExtValue(LLVMGetAggregateElement(constant, 0));
    for (unsigned i = 1; i < LLVMGetVectorSize(LLVMTypeOf(constant)); i++)
        if (LLVMConstIntGetSExtValue(LLVMGetAggregateElement(constant, i)) != *zero) return NULL;
    return *zero >= -256 && *zero < 256 ? plain : NULL;
}

typedef struct Narrowing { /* what becomes of words */
    int shift; /* to the right, with rounding; 0: none */
    int64_t zero;
    bool as_signed;
} Narrowing;

/* The zero point that all add, which is taken off them: two vectors at a time can add it once they are narrower. 0: none */
static int64_t take_zero(LLVMValueRef *wide, int n) {
    LLVMValueRef plain[4];
    int64_t zero = 0, own;
    for (int i = 0; i < n; i++) {
        if (!(plain[i] = without_zero(wide[i], &own)) || (i && own != zero)) return 0;
        zero = own;
    }
    for (int i = 0; i < n; i++) wide[i] = plain[i];
    return zero;
}

/* NEON saturates as it narrows: n of 1, 2 or 4 vectors of four. Before that they are shifted and rounded, and the zero
 * point is added to halves. */
static LLVMValueRef saturated(Kernel *k, LLVMValueRef *wide, int n, const Narrowing *to) {
    LLVMTypeRef shorts = vec_of(k->gen->i16, 4), eight = vec_of(k->gen->i16, 8), bytes = vec_of(k->gen->i8, 8);
    const char *narrow = to->shift ? "llvm.aarch64.neon.sqrshrn" : "llvm.aarch64.neon.sqxtn";
    LLVMValueRef v[4], low[2];
    for (int i = 0; i < n; i++) {
        LLVMValueRef args[2] = {wide[i], gen_i32(k->gen, to->shift)};
        v[i] = call_intrinsic(k, narrow, &shorts, 1, args, to->shift ? 2 : 1);
    }
    for (int i = 0; i < (n + 1) / 2; i++) {
        LLVMValueRef two = joined(k, v[2 * i], n == 1 ? v[0] : v[2 * i + 1], 4);
        LLVMValueRef sum[2] = {two, vec_repeat(LLVMConstInt(k->gen->i16, (uint64_t)to->zero, 1), 8)};
        if (to->zero) two = call_intrinsic(k, "llvm.sadd.sat", &eight, 1, sum, 2);
        low[i] = call_intrinsic(k, to->as_signed ? "llvm.aarch64.neon.sqxtn" : "llvm.aarch64.neon.sqxtun", &bytes, 1, &two, 1);
    }
    if (n == 1) return shuffle(k, low[0], low[0], (int[]){0, 1, 2, 3}, 4);
    return n == 2 ? low[0] : joined(k, low[0], low[1], 8);
}

static bool saturates_many(const Kernel *k, int n, int lanes) { return is_aarch64(k) && lanes == 4 && n <= 4 && n != 3; }

LLVMValueRef vec_narrow_many(Kernel *k, LLVMValueRef *wide, int n, bool as_signed, int lanes) {
    const Target *t = k->gen->target;
    LLVMValueRef four[4];
    int places[64];
    if (saturates_many(k, n, lanes)) {
        Narrowing to = {.zero = take_zero(wide, n), .as_signed = as_signed};
        return saturated(k, wide, n, &to);
    }
    if (n == 1) return vec_narrow(k, wide[0], as_signed, lanes);
    if (is_x86(k) && n <= 4 && (lanes == 4 || lanes == 8 || lanes == 16) && lanes * 32 <= t->vector_bits) {
        for (int i = 0; i < 4; i++) four[i] = wide[i % n];
        LLVMValueRef v = packed(k, four, as_signed, lanes);
        for (int i = 0; i < n * lanes; i++) places[i] = i;
        return n == 4 ? v : shuffle(k, v, LLVMGetPoison(LLVMTypeOf(v)), places, n * lanes);
    }
    for (int i = 0; i < n; i++) four[i] = vec_narrow(k, wide[i], as_signed, lanes);
    for (int i = 1; i < n; i *= 2)
        for (int j = 0; j + i < n; j += 2 * i) four[j] = joined(k, four[j], four[j + i], lanes * i);
    return four[0];
}

/* ---- mcc.Requantize ---- */

LLVMValueRef vec_scaled_sum(Kernel *k, LLVMValueRef sum, LLVMValueRef factor, int lanes) {
    enum { LOW_BITS = 31 };
    LLVMTypeRef words = i32_vec(k, lanes), wide = vec_of(k->gen->i64, lanes);
    if (saturates_many(k, 1, lanes))
        return call_intrinsic(k, "llvm.aarch64.neon.sqdmulh", &words, 1, (LLVMValueRef[]){sum, factor}, 2);
    LLVMValueRef product = LLVMBuildMul(k->b, LLVMBuildSExt(k->b, sum, wide, ""), LLVMBuildSExt(k->b, factor, wide, ""), "");
    product = LLVMBuildAShr(k->b, product, vec_repeat(gen_i64(k->gen, LOW_BITS), lanes), "");
    return LLVMBuildTrunc(k->b, product, words, "");
}

/* shifted with rounding, and the zero point: a word */
static LLVMValueRef requantized(Kernel *k, LLVMValueRef v, const Narrowing *to, int lanes) {
    LLVMValueRef one = vec_repeat(gen_i32(k->gen, 1), lanes);
    LLVMValueRef whole = LLVMBuildAShr(k->b, v, vec_repeat(gen_i32(k->gen, to->shift), lanes), "");
    LLVMValueRef rest = LLVMBuildAShr(k->b, v, vec_repeat(gen_i32(k->gen, to->shift - 1), lanes), "");
    whole = LLVMBuildAdd(k->b, whole, LLVMBuildAnd(k->b, rest, one, ""), "");
    return LLVMBuildAdd(k->b, whole, vec_repeat(gen_i32(k->gen, (int)to->zero), lanes), "");
}

LLVMValueRef vec_requantize_many(Kernel *k, const Node *n, LLVMValueRef *scaled, int count, int lanes) {
    Narrowing to = {(int)node_int(n, "shift"), node_int(n, "zero"), is_signed(n->out[0]->type.dtype)};
    LLVMValueRef words[4];
    if (saturates_many(k, count, lanes)) return saturated(k, scaled, count, &to);
    for (int i = 0; i < count; i++) words[i] = requantized(k, scaled[i], &to, lanes);
    return vec_narrow_many(k, words, count, to.as_signed, lanes);
}

/* ---- the operators ---- */

LLVMValueRef vec_dequantize(Kernel *k, LLVMValueRef q, Dtype t, LLVMValueRef zero, LLVMValueRef scale, int lanes) {
    q = widened(k, q, t, lanes);
    if (zero) q = LLVMBuildSub(k->b, q, zero, "");
    return LLVMBuildFMul(k->b, as_f32(k, q, lanes), scale, "");
}

static LLVMValueRef dequantized(Kernel *k, const Node *n, LLVMValueRef *a, int lanes) {
    Dtype t = dtype_of(n, 0);
    return vec_dequantize(k, a[0], t, has(n, 2) ? widened(k, a[2], t, lanes) : NULL, a[1], lanes);
}

static LLVMValueRef cast(Kernel *k, const Node *n, LLVMValueRef x, int lanes) {
    Dtype from = dtype_of(n, 0), to = n->out[0]->type.dtype;
    if (from == to) return x;
    x = widened(k, x, from, lanes);
    return to == DT_F32 ? as_f32(k, x, lanes) : x;
}

static LLVMValueRef extremum(Kernel *k, bool largest, Dtype t, LLVMValueRef a, LLVMValueRef b) {
    const char *name = is_signed(t) ? largest ? "llvm.smax" : "llvm.smin" : largest ? "llvm.umax" : "llvm.umin";
    return pick_integer(k, name, a, b);
}

/* t = x < lo ? lo : x;  t > hi ? hi : t */
static LLVMValueRef clip(Kernel *k, const Node *n, LLVMValueRef *a) {
    Dtype t = n->out[0]->type.dtype;
    LLVMValueRef x = has(n, 1) ? extremum(k, true, t, a[0], a[1]) : a[0];
    return has(n, 2) ? extremum(k, false, t, x, a[2]) : x;
}

LLVMValueRef vec_integer(Kernel *k, const Node *n, LLVMValueRef *a, int lanes) {
    Dtype t = n->out[0]->type.dtype;
    switch (n->op) {
    case OP_QuantizeLinear: return vec_narrow(k, vec_quantize(k, n, a, lanes, interval_any()), is_signed(t), lanes);
    case OP_DequantizeLinear: return dequantized(k, n, a, lanes);
    case OP_Table: return vec_lookup(k, n, a[0], lanes);
    case OP_Cast: return cast(k, n, a[0], lanes);
    case OP_Add: return LLVMBuildAdd(k->b, a[0], a[1], "");
    case OP_Sub: return LLVMBuildSub(k->b, a[0], a[1], "");
    case OP_Mul: return LLVMBuildMul(k->b, a[0], a[1], "");
    case OP_Max: return extremum(k, true, t, a[0], a[1]);
    case OP_Min: return extremum(k, false, t, a[0], a[1]);
    case OP_Clip: return clip(k, n, a);
    case OP_Relu: return extremum(k, true, t, a[0], LLVMConstNull(LLVMTypeOf(a[0])));
    case OP_Identity: return a[0];
    default: return NULL;
    }
}
