/* Sparse code in memory that may be executed, and what its tests draw and count. */
#ifndef MCC_EXECUTED_H
#define MCC_EXECUTED_H
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "codegen/sparse.h"

static int failures;
static uint64_t state = 88172645463325252ull;

static inline uint32_t random_bits(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 32);
}
static inline int64_t below(int64_t n) { return (int64_t)(random_bits() % (uint64_t)n); }

static inline void check(bool ok, const char *what, int test) {
    if (ok) return;
    fprintf(stderr, "test %d: %s\n", test, what);
    failures++;
}

/* the code in memory that may be executed and no longer written */
static inline SparseCode *load_code(Str code) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = (code.n + page - 1) / page * page;
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    memcpy(p, code.p, code.n);
    SparseCode *f = NULL;
    if (!mprotect(p, n, PROT_READ | PROT_EXEC)) memcpy(&f, &p, sizeof f);
    return f;
}

#endif
