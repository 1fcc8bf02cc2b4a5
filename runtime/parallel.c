/* mcc_parallel_for over OpenMP: what a model compiled with --threads=openmp calls. The chunks are fixed by the object,
 * so that results do not depend on the number of threads. Part of libmcc_rt.a.
 *
 * Each thread has a share of neighbouring chunks, whose data lie near one another, and the same ones each time, which
 * its caches may hold; then it helps those that are not done. */
#include "mcc/runtime.h"
#include <omp.h>

enum { MAX_SLOTS = 16, LINE = 64 };

typedef struct Share { /* a line of its own */
    int32_t taken;
    char rest[LINE - sizeof(int32_t)];
} Share;

static int32_t take(Share *s) {
    int32_t i;
#pragma omp atomic capture
    i = s->taken++;
    return i;
}

void mcc_parallel_for(int32_t chunks, void (*body)(void *ctx, int32_t chunk, int32_t slot), void *ctx) {
    int most = omp_get_max_threads();
    if (most > MAX_SLOTS) most = MAX_SLOTS;
    if (most > chunks) most = chunks;
    Share shares[MAX_SLOTS] = {0};
#pragma omp parallel num_threads(most)
    {
        int own = omp_get_thread_num(), threads = omp_get_num_threads();
        for (int i = 0; i < threads; i++) {
            int whose = (own + i) % threads;
            int32_t from = (int32_t)((int64_t)chunks * whose / threads),
                    n = (int32_t)((int64_t)chunks * (whose + 1) / threads) - from;
            for (int32_t c; (c = take(&shares[whose])) < n;) body(ctx, from + c, own);
        }
    }
}
