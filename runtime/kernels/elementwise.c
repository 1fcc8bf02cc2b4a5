/* Defines the elementwise functions of elementwise.h from the rows of elementwise.def, and the casts. */
#include "runtime/kernels/elementwise.h"
#include "runtime/builtins/builtins.h"

#define CONVERT__(from, to) mcc_##from##_to_##to
#define CONVERT_(from, to) CONVERT__(from, to)
#define BUILTIN__(name, s) mcc_##name##_##s
#define BUILTIN_(name, s) BUILTIN__(name, s)
#define LOAD(x) EL_F(CONVERT_(EL_S, EL_CARRIER)(x)) EL_I(x) EL_U(x) EL_B((x) != 0)
#define STORE(v) CONVERT_(EL_CARRIER, EL_S)(v)
#define VALUE EL_F(EL_CARRIER_T) EL_I(EL_T) EL_U(EL_T) EL_B(EL_T)

/* what the rows speak of, for the dtype at hand */
#define REAL EL_CARRIER_T
#define BITS EL_BITS
#define K(constant) ((EL_CARRIER_T)(constant))
#define FN(name) BUILTIN_(name, EL_CARRIER)
#define N(name) BUILTIN_(name, EL_CARRIER)
#define U(x) ((EL_CARRIER_T)(x))
#define A(name) (EL_F((EL_CARRIER_T)) attrs->name)
#define FLAG(name) (attrs->name != 0)
#define TO_F64(x) CONVERT_(EL_CARRIER, f64)(x)
#define FROM_F64(x) CONVERT_(f64, EL_S)(x)

#define ROW1(op, RESULT, e)                                                                                            \
    RESULT EL_NAME(op)(EL_T x_, const mcc_attr *at) {                                                                  \
        const VALUE x = LOAD(x_);                                                                                      \
        const attrs_##op *attrs = (const void *)at;                                                                    \
        (void)attrs;                                                                                                   \
        return e;                                                                                                      \
    }
#define ROW2(op, RESULT, e)                                                                                            \
    RESULT EL_NAME(op)(EL_T x_, EL_T y_, const mcc_attr *at) {                                                         \
        const VALUE x = LOAD(x_), y = LOAD(y_);                                                                        \
        const attrs_##op *attrs = (const void *)at;                                                                    \
        (void)x, (void)y, (void)attrs;                                                                                 \
        return e;                                                                                                      \
    }
#define CLIP                                                                                                           \
    EL_T EL_NAME(Clip)(EL_T x_, EL_T lo_, EL_T hi_, const mcc_attr *at) {                                              \
        const VALUE x = LOAD(x_), lo = LOAD(lo_), hi = LOAD(hi_), t = x < lo ? lo : x, y = t > hi ? hi : t;            \
        (void)at;                                                                                                      \
        return EL_F(STORE(y)) EL_I(y) EL_U(y);                                                                         \
    }
#define CAST(to, To)                                                                                                   \
    To EL_CAST(to)(EL_T x, const mcc_attr *at) {                                                                       \
        (void)at;                                                                                                      \
        return CONVERT_(EL_CARRIER, to)(LOAD(x));                                                                      \
    }
#define EL_EXTRA                                                                                                       \
    EL_T EL_NAME(Where)(uint8_t c, EL_T x, EL_T y, const mcc_attr *at) {                                               \
        (void)at;                                                                                                      \
        return c ? x : y;                                                                                              \
    }                                                                                                                  \
    EL_NUMBER(CLIP)                                                                                                    \
    EL_EACH_DTYPE(CAST)
#include "runtime/kernels/elementwise_each.inc"
