/* Single elements of floating tensors whose dtype is not that of the kernel's main input. */
#ifndef MCC_KERNELS_REAL_H
#define MCC_KERNELS_REAL_H
#include "runtime/kernels/common.h"

static inline double real_get(const mcc_arg *a, idx i) {
    switch (a->dtype) {
    case MCC_F32: return (double)((const float *)a->data)[i];
    case MCC_F16: return (double)mcc_f16_to_f32(((const uint16_t *)a->data)[i]);
    case MCC_BF16: return (double)mcc_bf16_to_f32(((const uint16_t *)a->data)[i]);
    default: return ((const double *)a->data)[i];
    }
}
static inline void real_set(const mcc_arg *a, idx i, double v) {
    switch (a->dtype) {
    case MCC_F32: ((float *)a->data)[i] = (float)v; break;
    case MCC_F16: ((uint16_t *)a->data)[i] = mcc_f32_to_f16((float)v); break;
    case MCC_BF16: ((uint16_t *)a->data)[i] = mcc_f32_to_bf16((float)v); break;
    default: ((double *)a->data)[i] = v;
    }
}
#endif
