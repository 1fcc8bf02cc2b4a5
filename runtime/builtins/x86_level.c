/* Which level of the x86-64 psABI this processor and its system reach, for objects that hold code for several: an
 * indirect function's resolver calls it, at load time, before anything is relocated. Bits as in "x86-64 ABI", table
 * 3.1, and Intel's manual (CPUID, XGETBV). */
#include "runtime/builtins/builtins.h"

#if defined(__x86_64__)
typedef struct Leaf {
    uint32_t a, b, c, d;
} Leaf;

static Leaf cpuid(uint32_t leaf) {
    Leaf l;
    __asm__ volatile("cpuid" : "=a"(l.a), "=b"(l.b), "=c"(l.c), "=d"(l.d) : "a"(leaf), "c"(0));
    return l;
}

static uint32_t enabled_state(void) { /* XCR0: the registers that the system saves */
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static int has(uint32_t word, uint32_t bits) { return (word & bits) == bits; }

#define BIT(n) (1u << (n))

int32_t mcc_x86_level(void) {
    const uint32_t sse =
        BIT(0) | BIT(9) | BIT(13) | BIT(19) | BIT(20) | BIT(23); /* SSE3, SSSE3, CX16, SSE4.1, SSE4.2, POPCNT */
    const uint32_t avx = BIT(12) | BIT(22) | BIT(27) | BIT(28) | BIT(29);    /* FMA, MOVBE, OSXSAVE, AVX, F16C */
    const uint32_t avx2 = BIT(3) | BIT(5) | BIT(8);                          /* BMI1, AVX2, BMI2 */
    const uint32_t avx512 = BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31); /* F, DQ, CD, BW, VL */
    const uint32_t ymm = BIT(1) | BIT(2), zmm = ymm | BIT(5) | BIT(6) | BIT(7);
    const uint32_t extended = 0x80000001u;
    if (cpuid(0x80000000u).a < extended) return 1;
    uint32_t basic = cpuid(1).c, more = cpuid(extended).c;
    if (!has(basic, sse) || !has(more, BIT(0))) return 1;                   /* LAHF */
    if (cpuid(0).a < 7 || !has(basic, avx) || !has(more, BIT(5))) return 2; /* LZCNT */
    uint32_t state = enabled_state(), wide = cpuid(7).b;
    if (!has(wide, avx2) || !has(state, ymm)) return 2;
    return has(wide, avx512) && has(state, zmm) ? 4 : 3;
}
#else
int32_t mcc_x86_level(void) { return 0; }
#endif
