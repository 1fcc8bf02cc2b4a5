/* Selects f64 for the function bodies in *.inc: no include guard, included once before each body file. */
#undef REAL
#undef BITS
#undef FN
#undef K
#undef MANTISSA
#undef BIAS
#undef IS_F32
#define REAL double
#define BITS uint64_t
#define FN(name) mcc_##name##_f64
#define K(constant) constant
#define MANTISSA 52
#define BIAS 1023
#define IS_F32 0
