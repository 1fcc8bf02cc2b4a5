/* The run-time ABI's names for copying and clearing memory on 32-bit Arm, as memcpy, memmove and memset: what an app
 * without an operating system has to define is these three. As softint.c. */
#if defined(MCC_BITCODE) && defined(__arm__)
#include <stddef.h>

void *memcpy(void *, const void *, size_t), *memmove(void *, const void *, size_t), *memset(void *, int, size_t);

#define AEABI __attribute__((pcs("aapcs")))
#define ALIGNED(suffix)                                                                                                \
    AEABI void __aeabi_memcpy##suffix(void *to, const void *from, size_t n) { memcpy(to, from, n); }                   \
    AEABI void __aeabi_memmove##suffix(void *to, const void *from, size_t n) { memmove(to, from, n); }                 \
    AEABI void __aeabi_memset##suffix(void *to, size_t n, int byte) { memset(to, byte, n); }                           \
    AEABI void __aeabi_memclr##suffix(void *to, size_t n) { memset(to, 0, n); }
ALIGNED()
ALIGNED(4)
ALIGNED(8)
#endif
