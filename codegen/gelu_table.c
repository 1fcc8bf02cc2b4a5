/* x Φ(x) where two registers are a table of 32 numbers (AVX-512's vpermt2ps): Φ is a polynomial of degree 7 around each
 * of 31 places. About twice as fast as the exponential and the rational function of vec_gelu, which serve what lies
 * outside. An element's bits depend on itself alone, whatever is beside it. Within 2.3 ULP; the polynomials are minimax
 * fits of the relative error, rounded one coefficient after the other. */
#include "codegen/vec.h"

enum { DEGREE = 7, PLACES = 32, LANES = 16 };

static const double STEP = 0.34375, /* between places: 15 of them to either side of 0 */
    WITHIN = 15.49 * 0.34375, SHIFTER = 12582912 /* 1.5 · 2^23: adding it rounds to an integer, in the lowest bits */;

/* by the place's lowest 5 bits, those of 0 first, of -1 last */
/* clang-format off */
static const float coefficients[DEGREE + 1][PLACES] = {
    {5.0e-01f, 6.3448286e-01f, 7.541162e-01f, 8.487882e-01f, 9.154343e-01f, 9.5717007e-01f, 9.8041993e-01f, 9.919414e-01f,
     9.9702024e-01f, 9.9901175e-01f, 9.9970645e-01f, 9.99922e-01f, 9.9998146e-01f, 9.9999607e-01f, 9.999992e-01f, 9.999999e-01f,
     0, 1.2597224e-07f, 7.4526935e-07f, 3.933901e-06f, 1.8536737e-05f, 7.802144e-05f, 2.9355535e-04f, 9.882197e-04f,
     2.9797633e-03f, 8.058616e-03f, 1.958008e-02f, 4.2829953e-02f, 8.456572e-02f, 1.512118e-01f, 2.4588385e-01f, 3.6551714e-01f},
    {3.989423e-01f, 3.7605473e-01f, 3.1497353e-01f, 2.3441158e-01f, 1.5501226e-01f, 9.108253e-02f, 4.7553893e-02f, 2.2060689e-02f,
     9.093562e-03f, 3.3306656e-03f, 1.083952e-03f, 3.13452e-04f, 8.054045e-05f, 1.8388193e-05f, 3.7303193e-06f, 6.724114e-07f,
     0, 6.7241143e-07f, 3.7303193e-06f, 1.8388193e-05f, 8.054045e-05f, 3.13452e-04f, 1.0839519e-03f, 3.3306656e-03f,
     9.093563e-03f, 2.2060689e-02f, 4.7553893e-02f, 9.108253e-02f, 1.5501226e-01f, 2.3441158e-01f, 3.1497353e-01f, 3.7605473e-01f},
    {7.71233e-09f, -6.464235e-02f, -1.0828887e-01f, -1.2086923e-01f, -1.0658485e-01f, -7.8286566e-02f, -4.904748e-02f, -2.6546525e-02f,
     -1.250834e-02f, -5.137009e-03f, -1.8645305e-03f, -5.919954e-04f, -1.65931e-04f, -4.1082814e-05f, 8.749231e-06f, -5.7846373e-06f,
     0, 1.733563e-06f, 8.976092e-06f, 4.108608e-05f, 1.6611516e-04f, 5.926186e-04f, 1.863049e-03f, 5.152141e-03f,
     1.2503597e-02f, 2.6541498e-02f, 4.9039666e-02f, 7.827318e-02f, 1.0657148e-01f, 1.20869234e-01f, 1.08271025e-01f, 6.464236e-02f},
    {-6.6493325e-02f, -5.527178e-02f, -2.768723e-02f, 2.479569e-03f, 2.3008244e-02f, 2.9662639e-02f, 2.578867e-02f, 1.7611796e-02f,
     9.946133e-03f, 4.7580767e-03f, 1.9540708e-03f, 6.9470506e-04f, 2.1498422e-04f, 5.8136386e-05f, 1.37775e-05f, 2.8674813e-06f,
     0, 2.8674615e-06f, 1.3777445e-05f, 5.8136226e-05f, 2.1498544e-04f, 6.947009e-04f, 1.9541124e-03f, 4.758082e-03f,
     9.945861e-03f, 1.7611403e-02f, 2.5788464e-02f, 2.9662235e-02f, 2.3010405e-02f, 2.4804608e-03f, -2.768366e-02f, -5.5263504e-02f},
    {-1.337459e-06f, 1.6235948e-02f, 2.4306014e-02f, 1.957326e-02f, 1.1103331e-02f, 1.425305e-03f, -4.4469507e-03f, -5.7430174e-03f,
     -4.3320223e-03f, -4.180869e-03f, -1.2349435e-03f, -6.141414e-04f, -2.105362e-04f, -5.8396894e-05f, -1.6094546e-03f, 3.6098357e-04f,
     0, 3.4069258e-06f, 1.5078355e-05f, 5.8103204e-05f, 1.9396892e-04f, 5.5809185e-04f, 1.3681867e-03f, 2.819748e-03f,
     4.7587315e-03f, 6.1955014e-03f, 5.1501375e-03f, -2.2088902e-04f, -9.90196e-03f, -1.9574238e-02f, -2.270147e-02f, -1.6238032e-02f},
    {1.0164909e-02f, 7.493205e-03f, 1.4757765e-03f, -4.366867e-03f, -6.003616e-03f, -4.430636e-03f, -1.705618e-03f, 3.3899496e-04f,
     1.121436e-03f, 1.0268718e-03f, 6.483702e-04f, 3.178087e-04f, 1.2781871e-04f, 4.3213764e-05f, 1.2440092e-05f, 3.0841575e-06f,
     0, 3.0856474e-06f, 1.2446954e-05f, 4.323116e-05f, 1.2768462e-04f, 3.1825952e-04f, 6.451325e-04f, 1.0263253e-03f,
     1.1406634e-03f, 3.8173635e-04f, -1.6832311e-03f, -4.38681e-03f, -6.237692e-03f, -4.463466e-03f, 1.0895848e-03f, 6.597782e-03f},
    {4.34875e-05f, -1.8554084e-02f, -3.6991265e-02f, -3.3711921e-03f, -2.8087942e-02f, -2.4106305e-02f, -1.3977405e-02f, -8.952232e-03f,
     -9.386668e-03f, 3.0478308e-02f, -3.203814e-03f, 1.1403733e-03f, 3.100619e-04f, -1.789697e-05f, 3.591696e-02f, -8.212798e-03f,
     0, 2.2273205e-06f, 8.060021e-06f, 2.4512e-05f, 6.325751e-05f, 1.2249628e-04f, 2.0176212e-04f, 1.9095454e-04f,
     -2.2891637e-04f, -1.2471381e-03f, -1.8692337e-03f, -3.0339041e-03f, 1.0304272e-03f, 3.3973122e-03f, 8.446159e-04f, 1.8611297e-02f},
    {-4.740992e-03f, -7.6758605e-03f, -1.1100191e-02f, 2.1018051e-04f, -3.1426477e-03f, -2.4365303e-03f, -1.1845445e-03f, -5.157347e-04f,
     -1.7983356e-04f, 5.8775106e-05f, 6.8407476e-06f, 2.8988865e-05f, 2.1283537e-05f, 1.0380175e-05f, 4.185157e-06f, 1.2514267e-06f,
     0, 1.220796e-06f, 4.007138e-06f, 9.958823e-06f, 2.455043e-05f, 1.804239e-05f, 7.485124e-05f, 7.187721e-05f,
     -5.623166e-04f, -1.5516226e-03f, -1.7256865e-03f, -3.4967961e-03f, 2.517628e-03f, 2.5459605e-03f, -1.7678689e-03f, 1.3963227e-02f}};
/* clang-format on */

static LLVMValueRef half_table(Kernel *k, int degree, int half) {
    LLVMValueRef v[LANES];
    for (int i = 0; i < LANES; i++) v[i] = LLVMConstReal(k->gen->f32, (double)coefficients[degree][half * LANES + i]);
    return LLVMConstVector(v, LANES);
}

static LLVMValueRef look_up(Kernel *k, int degree, LLVMValueRef place) {
    LLVMValueRef args[] = {half_table(k, degree, 0), place, half_table(k, degree, 1)};
    return call_intrinsic(k, "llvm.x86.avx512.vpermi2var.ps.512", NULL, 0, args, 3);
}

static LLVMValueRef near_zero(const Vec *v, LLVMValueRef x) {
    Kernel *k = v->k;
    LLVMTypeRef bits = LLVMVectorType(k->gen->i32, LANES);
    LLVMValueRef shifted = mul_add(v, x, number(v, 1 / STEP), number(v, SHIFTER));
    LLVMValueRef place = LLVMBuildBitCast(k->b, shifted, bits, "");
    LLVMValueRef u = mul_add(v, sub(v, shifted, number(v, SHIFTER)), number(v, -STEP), x); /* exact */
    LLVMValueRef p = look_up(k, DEGREE, place);
    for (int i = DEGREE - 1; i >= 0; i--) p = mul_add(v, p, u, look_up(k, i, place));
    return mul(v, x, p);
}

/* lanes from the first on, as many as `to`; others are 0 */
static LLVMValueRef with_lanes(Kernel *k, LLVMValueRef v, int lanes, int to) {
    LLVMValueRef order[LANES];
    if (lanes == to) return v;
    if (lanes == 1) {
        LLVMValueRef none = LLVMConstNull(vec_type(k->gen, to));
        return LLVMBuildInsertElement(k->b, none, v, gen_i32(k->gen, 0), "");
    }
    if (to == 1) return LLVMBuildExtractElement(k->b, v, gen_i32(k->gen, 0), "");
    for (int i = 0; i < to; i++) order[i] = gen_i32(k->gen, i < lanes ? i : lanes);
    return LLVMBuildShuffleVector(k->b, v, LLVMConstNull(LLVMTypeOf(v)), LLVMConstVector(order, (unsigned)to), "");
}

bool gelu_has_table(const Target *t, int lanes) {
    return t->lookup == LOOKUP_HALVES && t->vector_bits == 512 && lanes <= LANES;
}

LLVMValueRef vec_gelu_by_table(Kernel *k, LLVMValueRef x, int lanes,
                               LLVMValueRef (*elsewhere)(Kernel *, LLVMValueRef, int)) {
    LLVMBuilderRef b = k->b;
    Vec v = {k, LANES};
    LLVMTypeRef type = vec_type(k->gen, LANES), mask = LLVMIntTypeInContext(k->gen->llvm, LANES);
    LLVMValueRef wide = with_lanes(k, x, lanes, LANES), y = near_zero(&v, wide);
    LLVMValueRef size = call_intrinsic(k, "llvm.fabs", &type, 1, &wide, 1);
    LLVMValueRef far = LLVMBuildFCmp(b, LLVMRealUGE, size, number(&v, WITHIN), "");
    LLVMValueRef any = LLVMBuildBitCast(b, far, mask, "");
    If some = if_begin(k, LLVMBuildICmp(b, LLVMIntNE, any, LLVMConstNull(mask), ""));
    LLVMValueRef both = LLVMBuildSelect(b, far, elsewhere(k, wide, LANES), y, "");
    LLVMBasicBlockRef within = LLVMGetInsertBlock(b), without = some.other;
    if_end(k, &some);
    LLVMValueRef phi = LLVMBuildPhi(b, type, "");
    LLVMAddIncoming(phi, (LLVMValueRef[]){y, both}, (LLVMBasicBlockRef[]){without, within}, 2);
    return with_lanes(k, phi, LANES, lanes);
}
