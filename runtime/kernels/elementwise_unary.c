/* The reference kernels of the unary elementwise operators: out[i] = mcc_el_<Op>(in[i]). */
#include "runtime/kernels/elementwise_loops.h"

#define UNARY_TO(op, S, T, D, RESULT)                                                                                  \
    case D: {                                                                                                          \
        const T *x = a[0].data;                                                                                        \
        RESULT *y = a[1].data;                                                                                         \
        idx n = element_count(a + 1);                                                                                  \
        for (idx i = 0; i < n; i++) y[i] = mcc_el_##op##_##S(x[i], at);                                                \
        return MCC_OK;                                                                                                 \
    }
#define UNARY(op, S, T, D) UNARY_TO(op, S, T, D, T)
#define PREDICATE(op, S, T, D) UNARY_TO(op, S, T, D, uint8_t)

#define UNARY_F(op, f) KERNEL(op, 0, EACH_F(UNARY, op))
#define UNARY_FI(op, f, i) KERNEL(op, 0, EACH_F(UNARY, op) EACH_I(UNARY, op))
#define UNARY_FIU(op, f, i, u) KERNEL(op, 0, EACH_F(UNARY, op) EACH_I(UNARY, op) EACH_U(UNARY, op))
#define UNARY_IU(op, iu) KERNEL(op, 0, EACH_I(UNARY, op) EACH_U(UNARY, op))
#define PREDICATE_F(op, f) KERNEL(op, 0, EACH_F(PREDICATE, op))
#define PREDICATE_B(op, b) KERNEL(op, 0, EACH_B(PREDICATE, op))
#define BINARY_FIU(op, f, i, u)
#define BINARY_FIU_MIXED(op, f, i, u)
#define BINARY_IU(op, iu)
#define BINARY_U(op, u)
#define COMPARE_B(op, b)
#define COMPARE_FIU(op, e)
#define COMPARE_FIUB(op, e)
#include "runtime/kernels/elementwise.def"
