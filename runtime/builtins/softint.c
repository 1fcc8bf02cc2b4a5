/* The run-time ABI's integer helpers for 32-bit Arm (RTABI, IHI 0043): what LLVM calls where a core has no instruction
 * for division, 64-bit shifts and products. They stand in the 32-bit bitcode only, under the ABI's names; an object
 * that would otherwise have to import them gets those that it calls (codegen/helpers.c), where mcc_call_NAME becomes NAME. Division is total (integer.h).
 */
#if defined(MCC_BITCODE) && defined(__arm__)
#include "runtime/builtins/integer.h"

/* The helpers pass everything in core registers, on hard-float targets too. Two results stand in r0 and r1, or, of 64
 * bits, in r0:r1 and r2:r3: as one 64-bit integer and as one 128-bit vector do. */
#define AEABI __attribute__((pcs("aapcs")))
typedef uint64_t pair64 __attribute__((vector_size(16)));
static inline uint64_t join(uint32_t low, uint32_t high) { return (uint64_t)high << 32 | low; }

AEABI uint32_t __aeabi_uidiv(uint32_t x, uint32_t y) { return mcc_div_u32(x, y); }
AEABI int32_t __aeabi_idiv(int32_t x, int32_t y) { return mcc_div_i32(x, y); }
AEABI uint64_t __aeabi_uidivmod(uint32_t x, uint32_t y) { return join(mcc_div_u32(x, y), mcc_rem_u32(x, y)); }
AEABI uint64_t __aeabi_idivmod(int32_t x, int32_t y) {
    return join((uint32_t)mcc_div_i32(x, y), (uint32_t)mcc_rem_i32(x, y));
}
AEABI pair64 __aeabi_uldivmod(uint64_t x, uint64_t y) { return (pair64){mcc_div_u64(x, y), mcc_rem_u64(x, y)}; }
AEABI pair64 __aeabi_ldivmod(int64_t x, int64_t y) {
    return (pair64){(uint64_t)mcc_div_i64(x, y), (uint64_t)mcc_rem_i64(x, y)};
}

/* 64-bit shifts by 0 … 63, in halves: a 64-bit shift here would call itself. A half is shifted by 1 and then by 31 - n,
 * so that n = 0 is no shift by 32. */
AEABI uint64_t __aeabi_llsl(uint64_t x, int32_t n) {
    uint32_t low = (uint32_t)x, high = (uint32_t)(x >> 32), s = (uint32_t)n & 31;
    uint32_t small = high << s | low >> 1 >> (31 - s), large = low << s;
    return n < 32 ? join(large, small) : join(0, large);
}
AEABI uint64_t __aeabi_llsr(uint64_t x, int32_t n) {
    uint32_t low = (uint32_t)x, high = (uint32_t)(x >> 32), s = (uint32_t)n & 31;
    return n < 32 ? join(low >> s | high << 1 << (31 - s), high >> s) : join(high >> s, 0);
}
AEABI uint64_t __aeabi_lasr(int64_t x, int32_t n) {
    uint32_t low = (uint32_t)x, s = (uint32_t)n & 31;
    int32_t high = (int32_t)((uint64_t)x >> 32);
    return n < 32 ? join(low >> s | (uint32_t)high << 1 << (31 - s), (uint32_t)(high >> s))
                  : join((uint32_t)(high >> s), (uint32_t)(high >> 31));
}

/* in halves of 16 bits, for cores without a 32 × 32 → 64 product */
AEABI uint64_t __aeabi_lmul(uint64_t x, uint64_t y) {
    uint32_t a = (uint32_t)x, b = (uint32_t)y, a0 = a & 0xffff, a1 = a >> 16, b0 = b & 0xffff, b1 = b >> 16;
    uint32_t middle = a1 * b0 + (a0 * b0 >> 16), carry = a0 * b1 + (middle & 0xffff);
    uint32_t high = a1 * b1 + (middle >> 16) + (carry >> 16);
    return join(a * b, high + (uint32_t)(x >> 32) * b + a * (uint32_t)(y >> 32));
}

/* leading zeros, where no instruction counts them; of 0: 32 */
int mcc_call___clzsi2(uint32_t x) {
    int n = 32;
    for (int step = 16; step; step >>= 1)
        if (x >> step) x >>= step, n -= step;
    return n - (int)x;
}
#endif
