/* The reference kernels of the binary elementwise operators: out = mcc_el_<Op>(x, y), broadcast. Pow is apart. */
#include "runtime/kernels/elementwise_loops.h"

#define ROW(op, S)                                                                                                     \
    for (idx i = 0; i < n; i++)                                                                                        \
        z[o + i] = mcc_el_##op##_##S(x[LOOP_OFFSET(0) + i * LOOP_STEP(0)], y[LOOP_OFFSET(1) + i * LOOP_STEP(1)], at);
#define BINARY_TO(op, S, T, D, RESULT)                                                                                 \
    case D: {                                                                                                          \
        const T *x = a[0].data, *y = a[1].data;                                                                        \
        RESULT *z = a[2].data;                                                                                         \
        loop_plan p;                                                                                                   \
        plan_loops(&p, a, 2, a + 2);                                                                                   \
        LOOP_ROWS(ROW(op, S));                                                                                         \
        return MCC_OK;                                                                                                 \
    }
#define BINARY(op, S, T, D) BINARY_TO(op, S, T, D, T)
#define COMPARE(op, S, T, D) BINARY_TO(op, S, T, D, uint8_t)

#define UNARY_F(op, f)
#define UNARY_FI(op, f, i)
#define UNARY_FIU(op, f, i, u)
#define UNARY_IU(op, iu)
#define PREDICATE_F(op, f)
#define PREDICATE_B(op, b)
#define BINARY_FIU(op, f, i, u) KERNEL(op, 0, EACH_F(BINARY, op) EACH_I(BINARY, op) EACH_U(BINARY, op))
#define BINARY_FIU_MIXED(op, f, i, u)
#define BINARY_IU(op, iu) KERNEL(op, 0, EACH_I(BINARY, op) EACH_U(BINARY, op))
#define BINARY_U(op, u) KERNEL(op, 0, EACH_U(BINARY, op))
#define COMPARE_B(op, b) KERNEL(op, 0, EACH_B(COMPARE, op))
#define COMPARE_FIU(op, e) KERNEL(op, 0, EACH_F(COMPARE, op) EACH_I(COMPARE, op) EACH_U(COMPARE, op))
#define COMPARE_FIUB(op, e)                                                                                            \
    KERNEL(op, 0, EACH_F(COMPARE, op) EACH_I(COMPARE, op) EACH_U(COMPARE, op) EACH_B(COMPARE, op))
#include "runtime/kernels/elementwise.def"
