/* What LLVM calls on 32-bit Arm where a core has no instruction for floating point of that width: the run-time ABI's
 * helpers (RTABI, IHI 0043), and square roots, which C's library would have. As softint.c; an object gets those that it
 * calls (codegen/helpers.c), where mcc_call_NAME becomes NAME. Helpers take and give floats as bits in core registers,
 * whatever the float ABI; C's functions follow it. */
#if defined(MCC_BITCODE) && defined(__arm__)
#include "runtime/builtins/bits.h"
#include "runtime/builtins/soft.h"

#define AEABI __attribute__((pcs("aapcs")))

/* A comparison that NaN takes no part in is false, but __aeabi_?cmpun. */
#define ARITHMETIC(F, S, UINT, SIGN)                                                                                   \
    AEABI UINT __aeabi_##F##add(UINT a, UINT b) { return mcc_soft_add_##S(a, b); }                                     \
    AEABI UINT __aeabi_##F##sub(UINT a, UINT b) { return mcc_soft_add_##S(a, b ^ (SIGN)); }                            \
    AEABI UINT __aeabi_##F##rsub(UINT a, UINT b) { return mcc_soft_add_##S(b, a ^ (SIGN)); }                           \
    AEABI UINT __aeabi_##F##mul(UINT a, UINT b) { return mcc_soft_mul_##S(a, b); }                                     \
    AEABI UINT __aeabi_##F##div(UINT a, UINT b) { return mcc_soft_div_##S(a, b); }                                     \
    AEABI int __aeabi_##F##cmpeq(UINT a, UINT b) { return mcc_soft_compare_##S(a, b) == 0; }                           \
    AEABI int __aeabi_##F##cmplt(UINT a, UINT b) { return mcc_soft_compare_##S(a, b) == -1; }                          \
    AEABI int __aeabi_##F##cmple(UINT a, UINT b) { return mcc_soft_compare_##S(a, b) <= 0; }                           \
    AEABI int __aeabi_##F##cmpge(UINT a, UINT b) { return mcc_soft_compare_##S(b, a) <= 0; }                           \
    AEABI int __aeabi_##F##cmpgt(UINT a, UINT b) { return mcc_soft_compare_##S(a, b) == 1; }                           \
    AEABI int __aeabi_##F##cmpun(UINT a, UINT b) { return mcc_soft_compare_##S(a, b) == 2; }                           \
    AEABI int32_t __aeabi_##F##2iz(UINT a) { return (int32_t)mcc_soft_to_signed_##S(a, INT32_MAX); }                   \
    AEABI uint32_t __aeabi_##F##2uiz(UINT a) { return (uint32_t)mcc_soft_to_unsigned_##S(a, UINT32_MAX); }             \
    AEABI int64_t __aeabi_##F##2lz(UINT a) { return mcc_soft_to_signed_##S(a, INT64_MAX); }                            \
    AEABI uint64_t __aeabi_##F##2ulz(UINT a) { return mcc_soft_to_unsigned_##S(a, UINT64_MAX); }                       \
    AEABI UINT __aeabi_i2##F(int32_t v) {                                                                              \
        return mcc_soft_of_##S(v < 0 ? 0 - (uint32_t)v : (uint32_t)v, v < 0 ? (SIGN) : 0);                             \
    }                                                                                                                  \
    AEABI UINT __aeabi_ui2##F(uint32_t v) { return mcc_soft_of_##S(v, 0); }                                            \
    AEABI UINT __aeabi_l2##F(int64_t v) {                                                                              \
        return mcc_soft_of_##S(v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0 ? (SIGN) : 0);                             \
    }                                                                                                                  \
    AEABI UINT __aeabi_ul2##F(uint64_t v) { return mcc_soft_of_##S(v, 0); }
ARITHMETIC(f, f32, uint32_t, UINT32_C(0x80000000))
ARITHMETIC(d, f64, uint64_t, UINT64_C(0x8000000000000000))

AEABI uint64_t __aeabi_f2d(uint32_t a) { return mcc_soft_widen(a); }
AEABI uint32_t __aeabi_d2f(uint64_t a) { return mcc_soft_narrow(a); }

float mcc_call_sqrtf(float x) { return mcc_from_bits_f32(mcc_soft_sqrt_f32(mcc_bits_f32(x))); }
double mcc_call_sqrt(double x) { return mcc_from_bits_f64(mcc_soft_sqrt_f64(mcc_bits_f64(x))); }
#endif
