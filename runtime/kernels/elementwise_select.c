/* The reference kernels of Where and Clip. */
#include "runtime/kernels/elementwise_loops.h"

#define ROW(S)                                                                                                         \
    for (idx i = 0; i < n; i++)                                                                                        \
        z[o + i] = mcc_el_Where_##S(c[LOOP_OFFSET(0) + i * LOOP_STEP(0)], x[LOOP_OFFSET(1) + i * LOOP_STEP(1)],        \
                                    y[LOOP_OFFSET(2) + i * LOOP_STEP(2)], at);
#define WHERE(op, S, T, D)                                                                                             \
    case D: {                                                                                                          \
        const uint8_t *c = a[0].data;                                                                                  \
        const T *x = a[1].data, *y = a[2].data;                                                                        \
        T *z = a[3].data;                                                                                              \
        loop_plan p;                                                                                                   \
        plan_loops(&p, a, 3, a + 3);                                                                                   \
        LOOP_ROWS(ROW(S));                                                                                             \
        return MCC_OK;                                                                                                 \
    }
KERNEL(Where, 1, EACH_F(WHERE, ) EACH_I(WHERE, ) EACH_U(WHERE, ) EACH_B(WHERE, ))

/* lowest, highest: the dtype's limits, for a bound that is absent */
#define CLIP_BETWEEN(S, T, D, lowest, highest)                                                                         \
    case D: {                                                                                                          \
        const int n_in = at->args.n_in;                                                                                \
        const T *x = a[0].data, *low = n_in > 1 ? a[1].data : 0, *high = n_in > 2 ? a[2].data : 0;                     \
        T lo = low ? *low : (T)(lowest), hi = high ? *high : (T)(highest), *y = a[n_in].data;                          \
        idx n = element_count(a + n_in);                                                                               \
        for (idx i = 0; i < n; i++) y[i] = mcc_el_Clip_##S(x[i], lo, hi, at);                                          \
        return MCC_OK;                                                                                                 \
    }
#define CLIP_I(op, S, T, D)                                                                                            \
    CLIP_BETWEEN(S, T, D, (uint64_t)1 << (8 * sizeof(T) - 1), UINT64_MAX >> (65 - 8 * sizeof(T)))
#define CLIP_U(op, S, T, D) CLIP_BETWEEN(S, T, D, 0, UINT64_MAX)
KERNEL(Clip, 0,
       CLIP_BETWEEN(f32, float, MCC_F32, -mcc_inf_f32(), mcc_inf_f32())
           CLIP_BETWEEN(f64, double, MCC_F64, -mcc_inf_f64(), mcc_inf_f64())
               CLIP_BETWEEN(f16, uint16_t, MCC_F16, 0xfc00, 0x7c00)
                   CLIP_BETWEEN(bf16, uint16_t, MCC_BF16, 0xff80, 0x7f80) EACH_I(CLIP_I, ) EACH_U(CLIP_U, ))
