/* From reset to main on a Cortex-M, and out again: memory as C wants it, the FPU on, text and the exit code to a
 * debugger (or qemu) by semihosting. Nothing of a C library: memcpy, memmove and memset are all that a model asks for.
 */
#include "board.h"
#include <stdint.h>

extern unsigned char data_begin[], data_end[], data_stored[], bss_begin[], bss_end[], stack_begin[], stack_end[];
int main(void);
void *memset(void *to, int byte, size_t n);

enum { PAINT = 0xA5, SYS_WRITE0 = 4, SYS_EXIT_EXTENDED = 0x20, APPLICATION_EXIT = 0x20026 };

static int semihost(int operation, const void *argument) {
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void board_print(const char *text) { semihost(SYS_WRITE0, text); }

static _Noreturn void leave(int code) {
    const uint32_t why[2] = {APPLICATION_EXIT, (uint32_t)code};
    for (;;) semihost(SYS_EXIT_EXTENDED, why);
}

static const unsigned char *painted_from; /* where the stack ended then */

/* This function's frame begins with r7 and lr, to which r7 points. What lies within 64 bytes below may be its own, and
 * that of memset. */
void board_stack_paint(void) {
    unsigned char *frame = __builtin_frame_address(0);
    painted_from = frame + 8;
    memset(stack_begin, PAINT, (size_t)(frame - stack_begin) - 64);
}

size_t board_stack_used(void) {
    const unsigned char *p = stack_begin;
    while (p < painted_from && *p == PAINT) p++;
    return (size_t)(painted_from - p);
}

void *memcpy(void *restrict to, const void *restrict from, size_t n) {
    unsigned char *t = to;
    for (const unsigned char *f = from; n; n--) *t++ = *f++;
    return to;
}
void *memmove(void *to, const void *from, size_t n) {
    unsigned char *t = to;
    const unsigned char *f = from;
    if (t <= f) return memcpy(to, from, n);
    while (n) n--, t[n] = f[n];
    return to;
}
void *memset(void *to, int byte, size_t n) {
    for (unsigned char *t = to; n; n--) *t++ = (unsigned char)byte;
    return to;
}

_Noreturn void reset(void) {
#ifdef __ARM_FP
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20; /* CPACR: coprocessors 10 and 11 */
    __asm__ volatile("dsb\n\tisb");
#endif
    memcpy(data_begin, data_stored, (size_t)(data_end - data_begin));
    memset(bss_begin, 0, (size_t)(bss_end - bss_begin));
    leave(main());
}

static _Noreturn void fault(void) {
    board_print("fault\n");
    leave(1);
}

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))stack_end, reset, fault, fault, fault, fault, fault};
