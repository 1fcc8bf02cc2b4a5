/* mcc_parallel_for over OpenMP: what a model compiled with --threads=openmp calls. The chunks are fixed by the object, so
 * that results do not depend on the number of threads. Part of libmcc_rt.a. */
#include "mcc/runtime.h"
#include <omp.h>

enum { MAX_SLOTS = 16 };

void mcc_parallel_for(int32_t chunks, void (*body)(void *ctx, int32_t chunk, int32_t slot), void *ctx) {
    int threads = omp_get_max_threads();
    if (threads > MAX_SLOTS) threads = MAX_SLOTS;
    if (chunks <= threads) { /* each time on the same threads, whose caches may hold what a chunk reads again */
#pragma omp parallel for schedule(static, 1) num_threads(threads)
        for (int32_t chunk = 0; chunk < chunks; chunk++) body(ctx, chunk, omp_get_thread_num());
        return;
    }
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int32_t chunk = 0; chunk < chunks; chunk++) body(ctx, chunk, omp_get_thread_num());
}
