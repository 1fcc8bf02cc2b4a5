/* Selects f32 for the function bodies in *.inc: no include guard, included once before each body file. */
#undef REAL
#undef BITS
#undef FN
#undef K
#undef MANTISSA
#undef BIAS
#undef IS_F32
#define REAL float
#define BITS uint32_t
#define FN(name) mcc_##name##_f32
#define K(constant) constant##f
#define MANTISSA 23
#define BIAS 127
#define IS_F32 1
