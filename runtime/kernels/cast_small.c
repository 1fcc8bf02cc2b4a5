/* Cast to and from packed integers and floats of 8 and 4 bits: what ref_Cast leaves. */
#include "runtime/kernels/elementwise.h"
#include "runtime/kernels/number.h"
#include "runtime/kernels/quantize.h"
#include "runtime/kernels/small.h"

int ref_CastSmall(const mcc_arg *a, const mcc_attr *at);

static inline bool is_packed(int32_t dtype) {
    return dtype == MCC_U4 || dtype == MCC_I4 || dtype == MCC_U2 || dtype == MCC_I2;
}

static inline bool is_real(int32_t dtype) {
    return dtype == MCC_F32 || dtype == MCC_F64 || dtype == MCC_F16 || dtype == MCC_BF16;
}

/* Element i, of any dtype, in f32, rounded to odd where that cannot hold it: a further rounding is then right. */
static inline float as_float(const mcc_arg *x, idx i) {
    if (is_small(x->dtype)) return small_decode(x->dtype, small_get(x->data, x->dtype, i));
    if (is_packed(x->dtype)) return (float)packed_get(x->data, x->dtype, i);
    if (is_real(x->dtype)) return mcc_f64_to_f32_odd(real_get(x, i));
    if (x->dtype == MCC_BOOL) return ((const uint8_t *)x->data)[i] ? 1 : 0;
    const bool wide = x->dtype == MCC_U64 && ((const int64_t *)x->data)[i] < 0;
    return wide ? 18446744073709551615.0f : mcc_f64_to_f32_odd(mcc_i64_to_f64(number_int(x, i)));
}

/* Element i as an integer whose low bits are right. */
static inline int64_t as_int(const mcc_arg *x, idx i) {
    if (is_small(x->dtype)) return mcc_f32_to_i32(as_float(x, i));
    if (is_packed(x->dtype)) return packed_get(x->data, x->dtype, i);
    if (is_real(x->dtype)) return mcc_f64_to_i32(real_get(x, i));
    if (x->dtype == MCC_BOOL) return ((const uint8_t *)x->data)[i] != 0;
    return x->dtype == MCC_U64 ? ((const int64_t *)x->data)[i] : number_int(x, i);
}

/* A number, which f32 holds exactly, as element i of what computes. */
static inline void put(const mcc_arg *y, idx i, float v, const mcc_attr *at) {
#define PUT(S, T, D)                                                                                                   \
    case D: ((T *)y->data)[i] = mcc_cast_f32_##S(v, at); break;
    switch (y->dtype) {
        PUT(f32, float, MCC_F32)
        PUT(f64, double, MCC_F64)
        PUT(f16, uint16_t, MCC_F16)
        PUT(bf16, uint16_t, MCC_BF16)
        PUT(i8, int8_t, MCC_I8)
        PUT(i16, int16_t, MCC_I16)
        PUT(i32, int32_t, MCC_I32)
        PUT(i64, int64_t, MCC_I64)
        PUT(u8, uint8_t, MCC_U8)
        PUT(u16, uint16_t, MCC_U16)
        PUT(u32, uint32_t, MCC_U32)
        PUT(u64, uint64_t, MCC_U64)
        PUT(bool, uint8_t, MCC_BOOL)
    default: break;
    }
#undef PUT
}

int ref_CastSmall(const mcc_arg *a, const mcc_attr *at) {
    const attrs_Cast *how = (const attrs_Cast *)at;
    const mcc_arg *x = &a[0], *y = &a[1];
    const idx n = elements(y);
    if (is_small(y->dtype))
        for (idx i = 0; i < n; i++)
            small_set(y->data, y->dtype, i,
                      small_encode(y->dtype, as_float(x, i), how->saturate != 0, how->round_mode));
    else if (is_packed(y->dtype))
        for (idx i = 0; i < n; i++) packed_set(y->data, y->dtype, i, (int32_t)as_int(x, i));
    else
        for (idx i = 0; i < n; i++) put(y, i, as_float(x, i), at);
    return MCC_OK;
}
