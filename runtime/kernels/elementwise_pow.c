/* The reference kernel of Pow, whose exponent may have a dtype of its own; the rule is in elementwise.h. */
#include "runtime/builtins/builtins.h"
#include "runtime/kernels/elementwise_loops.h"

static inline int is_float(int32_t dtype) {
    return dtype == MCC_F32 || dtype == MCC_F64 || dtype == MCC_F16 || dtype == MCC_BF16;
}

/* An exponent of any dtype, as a number and as an integer. The switch leaves the loop: dtype does not change in it. */
#define CASE_F64(op, S, T, D)                                                                                          \
    case D: return mcc_cast_##S##_f64(((const T *)y)[i], 0);
static inline double exponent_f64(const void *y, int32_t dtype, idx i) {
    switch (dtype) { EACH_F(CASE_F64, ) EACH_I(CASE_F64, ) EACH_U(CASE_F64, ) default : return 0; }
}
typedef struct {
    uint64_t value; /* two's complement */
    int negative;
} exponent_bits;
#define CASE_I64(op, S, T, D)                                                                                          \
    case D: {                                                                                                          \
        T v = ((const T *)y)[i];                                                                                       \
        return (exponent_bits){(uint64_t)v, v != 0 && v < (T)1};                                                       \
    }
static inline exponent_bits exponent_integer(const void *y, int32_t dtype, idx i) {
    switch (dtype) { EACH_I(CASE_I64, ) EACH_U(CASE_I64, ) default : return (exponent_bits){0, 0}; }
}

/* x^y modulo 2^64; x in two's complement, is_minus_one: x is -1 as a signed number */
static inline uint64_t pow_integers(uint64_t x, int is_minus_one, exponent_bits y) {
    uint64_t inverse = x == 1 ? 1 : !is_minus_one ? 0 : y.value & 1 ? UINT64_MAX : 1;
    return y.negative ? inverse : mcc_pow_u64(x, y.value);
}

#define POW_F(S, T, D, R, X, STORE)                                                                                    \
    case D: {                                                                                                          \
        const T *x = a[0].data;                                                                                        \
        T *z = a[2].data;                                                                                              \
        LOOP_ROWS(EACH(z[o + i] = STORE(mcc_pow_##R(X(x[XI]), mcc_f64_to_##R(exponent_f64(y, dtype, YI))))));          \
        return MCC_OK;                                                                                                 \
    }
#define POW_INTEGER(S, T, D, IS_MINUS_ONE)                                                                             \
    case D: {                                                                                                          \
        const T *x = a[0].data;                                                                                        \
        T *z = a[2].data;                                                                                              \
        if (is_float(dtype))                                                                                           \
            LOOP_ROWS(EACH(                                                                                            \
                z[o + i] = mcc_f64_to_##S(mcc_pow_f64(mcc_cast_##S##_f64(x[XI], 0), exponent_f64(y, dtype, YI)))));    \
        else                                                                                                           \
            LOOP_ROWS(EACH(                                                                                            \
                z[o + i] = (T)pow_integers((uint64_t)x[XI], IS_MINUS_ONE(x[XI]), exponent_integer(y, dtype, YI))));    \
        return MCC_OK;                                                                                                 \
    }
#define EACH(statement)                                                                                                \
    for (idx i = 0; i < n; i++) statement;
#define XI LOOP_OFFSET(0) + i *LOOP_STEP(0)
#define YI LOOP_OFFSET(1) + i *LOOP_STEP(1)
#define NOTHING(x) x
#define IS_MINUS_ONE(x) (x) == -1
#define NEVER(x) 0
#define POW_I(op, S, T, D) POW_INTEGER(S, T, D, IS_MINUS_ONE)
#define POW_U(op, S, T, D) POW_INTEGER(S, T, D, NEVER)

static int pow_mixed(const mcc_arg *a) {
    const void *y = a[1].data;
    int32_t dtype = a[1].dtype;
    loop_plan p;
    plan_loops(&p, a, 2, a + 2);
    switch (a[0].dtype) {
        POW_F(f32, float, MCC_F32, f32, NOTHING, NOTHING)
        POW_F(f64, double, MCC_F64, f64, NOTHING, NOTHING)
        POW_F(f16, uint16_t, MCC_F16, f32, mcc_f16_to_f32, mcc_f32_to_f16)
        POW_F(bf16, uint16_t, MCC_BF16, f32, mcc_bf16_to_f32, mcc_f32_to_bf16)
        EACH_I(POW_I, )
        EACH_U(POW_U, )
    default: return MCC_E_DTYPE;
    }
}

#define POW_SAME(op, S, T, D)                                                                                          \
    case D: {                                                                                                          \
        const T *x = a[0].data, *y = a[1].data;                                                                        \
        T *z = a[2].data;                                                                                              \
        LOOP_ROWS(EACH(z[o + i] = mcc_el_Pow_##S(x[XI], y[YI], at)));                                                  \
        return MCC_OK;                                                                                                 \
    }
int ref_Pow(const mcc_arg *a, const mcc_attr *at) {
    loop_plan p;
    if (a[0].dtype != a[1].dtype) return pow_mixed(a);
    plan_loops(&p, a, 2, a + 2);
    switch (a[0].dtype) { EACH_F(POW_SAME, ) EACH_I(POW_SAME, ) EACH_U(POW_SAME, ) default : return MCC_E_DTYPE; }
}
