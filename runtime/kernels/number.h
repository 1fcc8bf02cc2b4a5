/* Single elements of numeric tensors of any dtype, as integers. */
#ifndef MCC_KERNELS_NUMBER_H
#define MCC_KERNELS_NUMBER_H
#include "runtime/kernels/real.h"

/* Floats are truncated and saturate, NaN is 0; what is more than an int64 holds is INT64_MAX. */
static inline int64_t number_int(const mcc_arg *a, idx i) {
    switch (a->dtype) {
    case MCC_I8: return ((const int8_t *)a->data)[i];
    case MCC_I16: return ((const int16_t *)a->data)[i];
    case MCC_I32: return ((const int32_t *)a->data)[i];
    case MCC_I64: return ((const int64_t *)a->data)[i];
    case MCC_BOOL:
    case MCC_U8: return ((const uint8_t *)a->data)[i];
    case MCC_U16: return ((const uint16_t *)a->data)[i];
    case MCC_U32: return ((const uint32_t *)a->data)[i];
    case MCC_U64: return ((const int64_t *)a->data)[i] < 0 ? INT64_MAX : ((const int64_t *)a->data)[i];
    default: return mcc_f64_to_i64(real_get(a, i));
    }
}
#endif
