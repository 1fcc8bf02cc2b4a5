/* The reference kernel of Cast: out[i] = mcc_cast_<from>_<to>(in[i]); and where packed integers or small floats are on
 * either side, by way of a number that holds every value of it: to packed integers what is left of int32 in their low
 * bits, floats truncated and saturated to that before; to small floats rounded once. */
#include "runtime/kernels/elementwise_loops.h"

int ref_CastSmall(const mcc_arg *a, const mcc_attr *at);

#define CAST(from, From, to, To, D)                                                                                    \
    case D: {                                                                                                          \
        const From *x = a[0].data;                                                                                     \
        To *y = a[1].data;                                                                                             \
        for (idx i = 0; i < n; i++) y[i] = mcc_cast_##from##_##to(x[i], at);                                           \
        return MCC_OK;                                                                                                 \
    }
#define CAST_FROM(op, from, From, D)                                                                                   \
    case D:                                                                                                            \
        switch (a[1].dtype) {                                                                                          \
            CAST(from, From, f32, float, MCC_F32)                                                                      \
            CAST(from, From, f64, double, MCC_F64)                                                                     \
            CAST(from, From, f16, uint16_t, MCC_F16)                                                                   \
            CAST(from, From, bf16, uint16_t, MCC_BF16)                                                                 \
            CAST(from, From, i8, int8_t, MCC_I8)                                                                       \
            CAST(from, From, i16, int16_t, MCC_I16)                                                                    \
            CAST(from, From, i32, int32_t, MCC_I32)                                                                    \
            CAST(from, From, i64, int64_t, MCC_I64)                                                                    \
            CAST(from, From, u8, uint8_t, MCC_U8)                                                                      \
            CAST(from, From, u16, uint16_t, MCC_U16)                                                                   \
            CAST(from, From, u32, uint32_t, MCC_U32)                                                                   \
            CAST(from, From, u64, uint64_t, MCC_U64)                                                                   \
            CAST(from, From, bool, uint8_t, MCC_BOOL)                                                                  \
        default: return MCC_E_DTYPE;                                                                                   \
        }

/* Packed integers and small floats have the highest numbers. */
static inline int is_narrow(int32_t dtype) { return dtype >= MCC_F8E4M3FN; }

int ref_Cast(const mcc_arg *a, const mcc_attr *at) {
    idx n = element_count(a + 1);
    if (is_narrow(a[0].dtype) || is_narrow(a[1].dtype)) return ref_CastSmall(a, at);
    switch (a[0].dtype) {
        EACH_F(CAST_FROM, ) EACH_I(CAST_FROM, ) EACH_U(CAST_FROM, ) EACH_B(CAST_FROM, ) default : return MCC_E_DTYPE;
    }
}
