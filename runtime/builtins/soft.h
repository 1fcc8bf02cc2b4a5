/* Floating point in integers (IEEE 754 binary32 and binary64, to nearest, ties to even, subnormals and all), for cores
 * that lack it. Numbers come and go as bits. A NaN among the operands gives a quiet NaN. To integers: truncated,
 * saturating, NaN → 0. Written for few bytes: a function each, which objects carry only where code calls it
 * (softfloat.c). */
#ifndef MCC_SOFT_H
#define MCC_SOFT_H
#include <stdint.h>

#define DECLARE(S, UINT)                                                                                               \
    UINT mcc_soft_pack_##S(UINT sign, int exp, UINT sig);                                                              \
    UINT mcc_soft_add_##S(UINT a, UINT b);                                                                             \
    UINT mcc_soft_mul_##S(UINT a, UINT b);                                                                             \
    UINT mcc_soft_div_##S(UINT a, UINT b);                                                                             \
    UINT mcc_soft_sqrt_##S(UINT a);                                                                                    \
    int mcc_soft_compare_##S(UINT a, UINT b);           /* -1, 0, 1, or 2: unordered */                                \
    uint64_t mcc_soft_whole_##S(UINT a, uint64_t most); /* of |a| at most so much */                                   \
    int64_t mcc_soft_to_signed_##S(UINT a, uint64_t most);                                                             \
    uint64_t mcc_soft_to_unsigned_##S(UINT a, uint64_t most);                                                          \
    UINT mcc_soft_of_##S(uint64_t v, UINT sign);
DECLARE(f32, uint32_t)
DECLARE(f64, uint64_t)
#undef DECLARE
uint64_t mcc_soft_widen(uint32_t a);
uint32_t mcc_soft_narrow(uint64_t a);
#endif
