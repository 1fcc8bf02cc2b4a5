/* What the benchmarks share: the clock, and memory as they want it. */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

static inline double seconds_by(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline double seconds_now(void) { return seconds_by(CLOCK_MONOTONIC); }

static inline _Noreturn void die(const char *what, const char *why) {
    fprintf(stderr, "error: %s: %s\n", what, why);
    exit(1);
}

/* Zeroed bytes at a multiple of 2 MiB, in huge pages where the system gives them; never freed. */
static inline void *big_alloc(size_t size) {
    enum { HUGE_PAGE = 2 << 20 };
    size_t whole = (size + HUGE_PAGE) / HUGE_PAGE * HUGE_PAGE;
    void *p = aligned_alloc(HUGE_PAGE, whole);
    if (!p) die("memory", "there is not enough");
    madvise(p, whole, MADV_HUGEPAGE);
    return memset(p, 0, whole);
}

#endif
