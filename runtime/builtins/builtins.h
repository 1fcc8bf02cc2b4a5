/* Elementary functions without libm: the same bits on every host and target (no FMA, no tables that need a gather, no
 * library call). f32 is within 4 ULP everywhere and uses no f64, f64 within a few ULP; the tests print how many.
 * NaN, infinities, -0 and subnormals go in and come out as IEEE 754 and C's Annex F say (the sign and payload of a NaN
 * that an operation makes is the processor's). Conversions are in convert.h, integers in integer.h.
 *
 * sqrt is one instruction wherever LLVM has one; on a core without it LLVM calls sqrtf or sqrt, which are not ours: soft
 * float is not provided. */
#ifndef MCC_BUILTINS_H
#define MCC_BUILTINS_H
#include "runtime/builtins/bits.h"
#include "runtime/builtins/convert.h"
#include "runtime/builtins/integer.h"

int32_t mcc_x86_level(void); /* 1 … 4: of the x86-64 psABI, that this processor reaches; 0: it is none of these */

#define EACH_UNARY(DECLARE)                                                                                            \
    DECLARE(floor)                                                                                                     \
    DECLARE(ceil)                                                                                                      \
    DECLARE(trunc)                                                                                                     \
    DECLARE(rint) /* ties to even */                                                                                   \
    DECLARE(exp)                                                                                                       \
    DECLARE(expm1)                                                                                                     \
    DECLARE(log)                                                                                                       \
    DECLARE(log1p)                                                                                                     \
    DECLARE(sin)                                                                                                       \
    DECLARE(cos)                                                                                                       \
    DECLARE(tan)                                                                                                       \
    DECLARE(asin)                                                                                                      \
    DECLARE(acos)                                                                                                      \
    DECLARE(atan)                                                                                                      \
    DECLARE(sinh)                                                                                                      \
    DECLARE(cosh)                                                                                                      \
    DECLARE(tanh)                                                                                                      \
    DECLARE(asinh)                                                                                                     \
    DECLARE(acosh)                                                                                                     \
    DECLARE(atanh)                                                                                                     \
    DECLARE(erf)                                                                                                       \
    DECLARE(gelu)     /* x Φ(x) */                                                                                     \
    DECLARE(sigmoid)  /* 1 / (1 + e^-x) */                                                                             \
    DECLARE(softplus) /* log(1 + e^x) */                                                                               \
    DECLARE(mish)     /* x tanh(softplus(x)) */
#define DECLARE(name)                                                                                                  \
    float mcc_##name##_f32(float x);                                                                                   \
    double mcc_##name##_f64(double x);
EACH_UNARY(DECLARE)
#undef DECLARE
#undef EACH_UNARY

float mcc_pow_f32(float x, float y);
double mcc_pow_f64(double x, double y);
/* The exact remainder of x / y: fmod has x's sign, mod has y's (Python). A loop as long as the exponents differ. */
float mcc_fmod_f32(float x, float y);
double mcc_fmod_f64(double x, double y);
float mcc_mod_f32(float x, float y);
double mcc_mod_f64(double x, double y);

static inline float mcc_sqrt_f32(float x) { return __builtin_sqrtf(x); }
static inline double mcc_sqrt_f64(double x) { return __builtin_sqrt(x); }
#endif
