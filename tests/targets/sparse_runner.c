/* Executes what the test of sparse products writes (tests/unit/test_sparse_code.c): from standard input, for each
 * layer, the numbers below, its code, x, residual, y and masks, then calls; to standard output y. Fails where the code
 * does not keep the registers that a function has to keep. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { CODE, X, RESIDUAL, Y, MASKS, CALLS, MARGIN, NUMBERS }; /* bytes; MARGIN: of x before what the code is given */
enum { AT_X, AT_Y, AT_RESIDUAL, AT_MASKS, PANELS, BLOCKS, CALL_NUMBERS };

typedef void Code(const void *x, void *y, const void *residual, const uint16_t *masks, int64_t panels, int64_t blocks,
                  int64_t cold);

static void *get(size_t n) {
    void *p = malloc(n + 1);
    if (!p || fread(p, 1, n, stdin) != n) exit(2);
    return p;
}

static Code *load(const void *code, size_t n) {
    Code *f;
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) exit(2);
    memcpy(p, code, n);
    if (mprotect(p, n, PROT_READ | PROT_EXEC)) exit(2);
    memcpy(&f, &p, sizeof f);
    return f;
}

static void call(Code *f, const char *x, char *y, const char *residual, const uint16_t *masks, int64_t panels,
                 int64_t blocks) {
#ifdef __aarch64__
    register double d8 __asm__("d8") = 8.5, d11 __asm__("d11") = 11.5, d15 __asm__("d15") = 15.5;
    register int64_t x19 __asm__("x19") = 19, x24 __asm__("x24") = 24;
    __asm__ volatile("" : "+w"(d8), "+w"(d11), "+w"(d15), "+r"(x19), "+r"(x24));
    f(x, y, residual, masks, panels, blocks, 0);
    __asm__ volatile("" : "+w"(d8), "+w"(d11), "+w"(d15), "+r"(x19), "+r"(x24));
    if (d8 != 8.5 || d11 != 11.5 || d15 != 15.5 || x19 != 19 || x24 != 24) exit(3);
#elif defined __x86_64__
    register int64_t rbx __asm__("rbx") = 3, r12 __asm__("r12") = 12, r13 __asm__("r13") = 13, r14 __asm__("r14") = 14,
                         r15 __asm__("r15") = 15;
    __asm__ volatile("" : "+r"(rbx), "+r"(r12), "+r"(r13), "+r"(r14), "+r"(r15));
    f(x, y, residual, masks, panels, blocks, 0);
    __asm__ volatile("" : "+r"(rbx), "+r"(r12), "+r"(r13), "+r"(r14), "+r"(r15));
    if (rbx != 3 || r12 != 12 || r13 != 13 || r14 != 14 || r15 != 15) exit(3);
#else
    f(x, y, residual, masks, panels, blocks, 0);
#endif
}

static void run(const int64_t *n) {
    char *code = get((size_t)n[CODE]), *x = get((size_t)n[X]), *residual = get((size_t)n[RESIDUAL]),
         *y = get((size_t)n[Y]), *masks = get((size_t)n[MASKS]);
    Code *f = load(code, (size_t)n[CODE]);
    for (int64_t i = 0; i < n[CALLS]; i++) {
        int64_t *at = get(sizeof *at * CALL_NUMBERS);
        call(f, x + n[MARGIN] + at[AT_X], y + at[AT_Y], residual + at[AT_RESIDUAL],
             (const uint16_t *)(void *)(masks + at[AT_MASKS]), at[PANELS], at[BLOCKS]);
        free(at);
    }
    fwrite(y, 1, (size_t)n[Y], stdout);
    free(code), free(x), free(residual), free(y), free(masks);
}

int main(void) {
    int64_t n[NUMBERS];
    while (fread(n, sizeof *n, NUMBERS, stdin) == NUMBERS) run(n);
    return fflush(stdout) != 0;
}
