/* Functions of f32 vectors built on the exponential and the logarithm, as straight IR: within 4 ULP of the exact value
 * over the whole range, NaN and infinities included. They multiply and add in one rounding where the target does, so
 * that they differ from the mcc_el_<op>_f32 in the last places. Reduction: Cody and Waite, Software Manual for the
 * Elementary Functions, 1980; polynomials are minimax fits (Remez exchange). */
#include <math.h>
#include "codegen/vec.h"

enum {
    BIAS = 127,
    MANTISSA = 23,
    SMALLEST = 24 /* results are held 2^24 too large until the end: they underflow once */
};
static const double LOG2_E = 1.4426950408889634, SHIFTER = 12582912 /* 1.5 · 2^23: adding it rounds to an integer */,
                    LEAST = -104 /* e^x is 0 below */, MOST = 89 /* and infinite above */;

/* a < b ? yes : no */
static LLVMValueRef where_less(const Vec *v, LLVMValueRef a, LLVMValueRef b, LLVMValueRef yes, LLVMValueRef no) {
    return LLVMBuildSelect(v->k->b, LLVMBuildFCmp(v->k->b, LLVMRealOLT, a, b, ""), yes, no, "");
}

static LLVMValueRef call(const Vec *v, const char *name, LLVMValueRef *args, int n) {
    LLVMTypeRef type = vec_type(v->k->gen, v->lanes);
    return call_intrinsic(v->k, name, &type, 1, args, n);
}

static LLVMValueRef magnitude(const Vec *v, LLVMValueRef x) { return call(v, "llvm.fabs", &x, 1); }
static LLVMValueRef with_sign(const Vec *v, LLVMValueRef x, LLVMValueRef sign) {
    LLVMValueRef args[2] = {x, sign};
    return call(v, "llvm.copysign", args, 2);
}

/* a / b for b in [1, 2] and finite a: by an estimate and a Newton step where the target has those for its widest
 * vectors */
static LLVMValueRef divide_by_one_to_two(const Vec *v, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef q = LLVMBuildFDiv(v->k->b, a, b, "");
    if (v->lanes * 32 >= 512)
        LLVMSetFastMathFlags(q, LLVMFastMathAllowReciprocal | LLVMFastMathNoInfs | LLVMFastMathAllowContract);
    return q;
}

static LLVMTypeRef bits_type(const Vec *v) {
    return v->lanes == 1 ? v->k->gen->i32 : LLVMVectorType(v->k->gen->i32, (unsigned)v->lanes);
}

static LLVMValueRef bits_number(const Vec *v, int x) {
    LLVMValueRef one = gen_i32(v->k->gen, x), many[64];
    for (int i = 0; i < v->lanes; i++) many[i] = one;
    return v->lanes == 1 ? one : LLVMConstVector(many, (unsigned)v->lanes);
}

/* e^(x - less) · 2^scale = (1 + more) · power for LEAST ≤ x ≤ MOST, whose exponent must be in range; scale: a vector of
 * whole numbers; less: much smaller than 1, or NULL */
static LLVMValueRef exp_parts(const Vec *v, LLVMValueRef x, LLVMValueRef less, LLVMValueRef scale, LLVMValueRef *more) {
    static const double q[] = {0.49999994, 0.166665167, 0.0416681021, 0.00836912636,
                               0.00138368283}; /* (e^r - 1 - r) / r² */
    Gen *g = v->k->gen;
    LLVMBuilderRef b = v->k->b;
    LLVMValueRef shifter = add(v, number(v, SHIFTER + BIAS), scale), t = mul_add(v, x, number(v, LOG2_E), shifter);
    LLVMValueRef n = sub(v, t, shifter);
    LLVMValueRef r = mul_add(v, n, number(v, -1.42860682e-6), mul_add(v, n, number(v, -0.693145751953125), x));
    if (less) r = sub(v, r, less);
    *more = mul_add(v, mul(v, r, r), polynomial(v, r, q, 5), r);
    LLVMValueRef power = LLVMBuildBitCast(b, t, bits_type(v), ""); /* the low bits: n + scale + BIAS */
    power = LLVMBuildShl(b, power, bits_number(v, MANTISSA), "");
    return LLVMBuildBitCast(b, power, vec_type(g, v->lanes), "");
}

static LLVMValueRef scaled_exp(const Vec *v, LLVMValueRef x, LLVMValueRef less, LLVMValueRef scale) {
    LLVMValueRef more, power = exp_parts(v, x, less, scale, &more);
    return mul_add(v, more, power, power);
}

/* e^x, x ≤ 0 or NaN */
static LLVMValueRef exp_of_negative(const Vec *v, LLVMValueRef x) {
    LLVMValueRef least = number(v, LEAST), c = where_less(v, x, least, least, x);
    return mul(v, scaled_exp(v, c, NULL, number(v, SMALLEST)), number(v, 0x1p-24));
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
    return mul(&v, scaled_exp(&v, c, NULL, scale), back);
}

/* x = 2^k m, √½ ≤ m < √2; k ln 2 + log m with s = (m - 1) / (m + 1), as in runtime/builtins/core.inc */
LLVMValueRef vec_log(Kernel *k, LLVMValueRef x, int lanes) {
    static const double q[] = {0.666666627, 0.400009722, 0.284988016, 0.242786899}; /* (log((1+s)/(1-s)) - 2s) / s³ */
    enum { ONE = BIAS << MANTISSA, SQRT_HALF = 0x3f3504f3 };
    Vec v = {k, lanes};
    LLVMBuilderRef b = k->b;
    LLVMValueRef zero = number(&v, 0), inf = number(&v, INFINITY), by = bits_number(&v, MANTISSA);
    LLVMValueRef tiny = LLVMBuildFCmp(b, LLVMRealOLT, x, number(&v, 0x1p-126), "");
    LLVMValueRef c = LLVMBuildSelect(b, tiny, mul(&v, x, number(&v, 0x1p23)), x, "");
    LLVMValueRef bits = LLVMBuildBitCast(b, c, bits_type(&v), "");
    LLVMValueRef e = LLVMBuildLShr(b, LLVMBuildAdd(b, bits, bits_number(&v, ONE - SQRT_HALF), ""), by, "");
    LLVMValueRef power = LLVMBuildSub(b, e, bits_number(&v, BIAS), "");
    LLVMValueRef m =
        LLVMBuildBitCast(b, LLVMBuildSub(b, bits, LLVMBuildShl(b, power, by, ""), ""), vec_type(k->gen, lanes), "");
    LLVMValueRef less = LLVMBuildSelect(b, tiny, bits_number(&v, MANTISSA), bits_number(&v, 0), "");
    LLVMValueRef n = LLVMBuildSIToFP(b, LLVMBuildSub(b, power, less, ""), vec_type(k->gen, lanes), "");
    LLVMValueRef f = sub(&v, m, number(&v, 1)), s = divide_by_one_to_two(&v, f, add(&v, f, number(&v, 2)));
    LLVMValueRef z = mul(&v, s, s), half = mul(&v, mul(&v, f, number(&v, 0.5)), f);
    LLVMValueRef r = mul_add(&v, z, polynomial(&v, z, q, 4), half);
    LLVMValueRef low = mul_add(&v, s, r, mul(&v, n, number(&v, 1.42860682e-6)));
    LLVMValueRef y = mul_add(&v, n, number(&v, 0.693145751953125), sub(&v, f, sub(&v, half, low)));
    LLVMValueRef odd =
        LLVMBuildSelect(b, LLVMBuildFCmp(b, LLVMRealOEQ, x, zero, ""), number(&v, -INFINITY), number(&v, NAN), "");
    y = LLVMBuildSelect(b, LLVMBuildFCmp(b, LLVMRealOGT, x, zero, ""), y, odd, "");
    return LLVMBuildSelect(b, LLVMBuildFCmp(b, LLVMRealOEQ, x, inf, ""), inf, y, "");
}

/* max(x, 0) + log(1 + e), e = e^-|x|: with t = 2e / (2 + e) that logarithm is t + t (t/2)² q((t/2)²) */
LLVMValueRef vec_softplus(Kernel *k, LLVMValueRef x, int lanes) {
    static const double q[] = {0.333333195, 0.200038912, 0.141156398, 0.134418045};
    Vec v = {k, lanes};
    LLVMValueRef zero = number(&v, 0), half = number(&v, 0.5);
    LLVMValueRef e = exp_of_negative(&v, LLVMBuildFNeg(k->b, magnitude(&v, x), ""));
    LLVMValueRef t = divide_by_one_to_two(&v, e, mul_add(&v, e, half, number(&v, 1)));
    LLVMValueRef s = mul(&v, t, half), z = mul(&v, s, s);
    LLVMValueRef y = mul_add(&v, mul(&v, t, z), polynomial(&v, z, q, 4), t);
    return add(&v, where_less(&v, x, zero, zero, x), y);
}

/* x tanh(log(1 + e^x)), e = e^-|x|: that factor is (1 + 2e) / (1 + 2e + 2e²), and for x < 0 e times
 * 1 - (e² + e) / (e² + 2e + 2), where what is subtracted is small and its rounding too. The left tail is multiplied
 * while scaled up: it meets the subnormals once. */
LLVMValueRef vec_mish(Kernel *k, LLVMValueRef x, int lanes) {
    enum { UP = 40 };
    Vec v = {k, lanes};
    LLVMValueRef zero = number(&v, 0), one = number(&v, 1), two = number(&v, 2), unit = number(&v, 0x1p-40);
    LLVMValueRef least = number(&v, -112); /* below, x e^x is 0 */
    LLVMValueRef a = LLVMBuildFNeg(k->b, magnitude(&v, x), ""), c = where_less(&v, a, least, least, a);
    LLVMValueRef scaled = scaled_exp(&v, c, NULL, number(&v, UP)), e = mul(&v, scaled, unit), e2 = add(&v, e, two);
    LLVMValueRef negative = LLVMBuildFCmp(k->b, LLVMRealOLT, x, zero, ""), twice = add(&v, e, e);
    LLVMValueRef top = add(&v, twice, one), over = LLVMBuildSelect(k->b, negative, mul_add(&v, e, e, e), top, "");
    LLVMValueRef under = LLVMBuildSelect(k->b, negative, mul_add(&v, e, e2, two), mul_add(&v, twice, e, top), "");
    LLVMValueRef factor = LLVMBuildFDiv(k->b, over, under, "");
    LLVMValueRef left = mul(&v, mul(&v, mul(&v, x, scaled), sub(&v, one, factor)), unit);
    left = where_less(&v, x, least, mul(&v, x, zero), left);
    return LLVMBuildSelect(k->b, negative, left, mul(&v, x, factor), "");
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

/* 2^24 erfc(z), z = a / unit and z² = square - lost ≤ 104; the polynomial is that of runtime/builtins/erf.inc:
 * e^z² erfc(z) (z + 3) in (z - 3) / (z + 3) */
static LLVMValueRef scaled_erfc(const Vec *v, LLVMValueRef a, double unit, LLVMValueRef square, LLVMValueRef lost) {
    static const double q[] = {1.07400692,    -0.883394361,   0.590227962,   -0.310471714,   0.119536027,
                               -0.0267793629, -0.00126996194, 0.00283960067, -0.000403129088};
    double scaled[9];
    for (int i = 0; i < 9; i++) scaled[i] = q[i] * unit;
    LLVMValueRef three = number(v, 3 * unit), sum = add(v, a, three);
    LLVMValueRef more, power = exp_parts(v, LLVMBuildFNeg(v->k->b, square, ""), lost, number(v, SMALLEST), &more);
    LLVMValueRef from_three = sub(v, a, three), below, t;
    bool fma = v->k->gen->target->has_fma;
    if (fma) {
        below = LLVMBuildFDiv(v->k->b, number(v, 1), sum, "");
        if (v->lanes * 32 >= 512)
            LLVMSetFastMathFlags(below, LLVMFastMathAllowReciprocal | LLVMFastMathNoInfs | LLVMFastMathAllowContract);
        t = mul(v, from_three, below);
    } else { /* rounded once; 1 / (a + 3) need not be so accurate then */
        t = LLVMBuildFDiv(v->k->b, from_three, sum, "");
        below = mul(v, sub(v, number(v, 1), t), number(v, 1 / (6 * unit)));
    }
    LLVMValueRef p = polynomial(v, t, scaled, 9), lost_p = NULL;
    if (!fma) { /* what the last addition of p rounds away */
        LLVMValueRef first = number(v, scaled[0]), product = mul(v, t, polynomial(v, t, scaled + 1, 8));
        p = add(v, first, product);
        lost_p = sub(v, product, sub(v, p, first));
    }
    /* what a + 3 rounded away went into t and goes into the division: 1.5 times in all where the result is near its
     * bound
     */
    LLVMValueRef lost_sum = mul(v, sub(v, sub(v, sum, three), a), number(v, 1.5));
    more = mul_add(v, lost_sum, below, more);
    LLVMValueRef correction = fma ? NULL : add(v, mul(v, p, more), lost_p);
    LLVMValueRef sum_p = fma ? mul_add(v, p, more, p) : add(v, p, correction);
    LLVMValueRef over = mul(v, sum_p, power); /* rounded once less than p · e^-z² */
    if (!fma) return LLVMBuildFDiv(v->k->b, over, sum, "");
    LLVMValueRef quotient = mul(v, over, below), rest = mul_add(v, LLVMBuildFNeg(v->k->b, quotient, ""), sum, over);
    return mul_add(v, rest, below, quotient); /* as a division would round it */
}

/* what the rounded product a · b lost; without fused multiplication from the halves of a and b, which multiply exactly
 */
static LLVMValueRef rounding_of(const Vec *v, LLVMValueRef a, LLVMValueRef b, LLVMValueRef product) {
    LLVMValueRef down = LLVMBuildFNeg(v->k->b, product, "");
    if (v->k->gen->target->has_fma) return mul_add(v, a, b, down);
    LLVMValueRef half = number(v, 4097); /* Veltkamp: 2^12 + 1 */
    LLVMValueRef ta = mul(v, a, half), ah = sub(v, ta, sub(v, ta, a)), al = sub(v, a, ah);
    LLVMValueRef tb = mul(v, b, half), bh = sub(v, tb, sub(v, tb, b)), bl = sub(v, b, bh);
    LLVMValueRef sum = add(v, add(v, add(v, mul(v, ah, bh), down), mul(v, ah, bl)), mul(v, al, bh));
    return add(v, sum, mul(v, al, bl));
}

LLVMValueRef vec_erf(Kernel *k, LLVMValueRef x, int lanes) {
    static const double q[] = {0.128379166,   -0.376126289,    0.112836182, -0.026855126,
                               0.00519073382, -0.000803076196, 7.9203739e-5};
    Vec v = {k, lanes};
    LLVMValueRef a = magnitude(&v, x), most = number(&v, 10), c = where_less(&v, most, a, most, a);
    LLVMValueRef low = mul_add(&v, x, polynomial(&v, mul(&v, x, x), q, 7), x);
    LLVMValueRef high = scaled_erfc(&v, c, 1, mul(&v, c, c), NULL);
    high = with_sign(&v, mul_add(&v, high, number(&v, -0x1p-24), number(&v, 1)), x);
    return where_less(&v, a, number(&v, 1), low, high);
}

/* x Φ(x), Φ(-a) = erfc(a / √2) / 2; from a = 14.4 on that is 0, even where it is multiplied by a */
static LLVMValueRef gelu_anywhere(Kernel *k, LLVMValueRef x, int lanes) {
    static const double q[] = {0.398942292,    -0.0664903149,  0.00997307803,
                               -0.00118578505, 0.000112952184, -7.46289788e-6};
    Vec v = {k, lanes};
    LLVMValueRef a = magnitude(&v, x), most = number(&v, 14.4), zero = number(&v, 0), half = number(&v, 0.5);
    LLVMValueRef c = where_less(&v, most, a, most, a), h = mul(&v, c, half), square = mul(&v, h, c);
    LLVMValueRef t = scaled_erfc(&v, c, 1.4142135623730951, square, rounding_of(&v, h, c, square));
    t = where_less(&v, most, a, zero, t);
    LLVMValueRef unit = number(&v, 0x1p-25), left = mul(&v, mul(&v, x, t), unit);
    LLVMValueRef right = mul(&v, x, mul_add(&v, t, number(&v, -0x1p-25), number(&v, 1)));
    LLVMValueRef high = where_less(&v, x, zero, left, right);
    LLVMValueRef low = mul(&v, x, mul_add(&v, x, polynomial(&v, mul(&v, x, x), q, 6), half));
    return where_less(&v, a, number(&v, 1), low, high);
}

LLVMValueRef vec_gelu(Kernel *k, LLVMValueRef x, int lanes) {
    if (!gelu_has_table(k->gen->target, lanes)) return gelu_anywhere(k, x, lanes);
    return vec_gelu_by_table(k, x, lanes, gelu_anywhere);
}
