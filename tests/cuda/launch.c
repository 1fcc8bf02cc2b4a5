/* A kernel over its grid: blocks in turn, shared out over the host's threads; the warps of a block in turns between
 * barriers. */
#include <stdlib.h>
#include <string.h>

#include "tests/cuda/emulator.h"

enum { SLICE = 1 << 14 }; /* steps of one warp before the next has its turn */

Counters launch_counters;

static void set_threads(Block *b, Warp *w) {
    const u32 *size = b->launch->block;
    w->born = 0;
    for (u32 l = 0; l < LANES; l++) {
        u32 t = w->index * LANES + l;
        if (t < b->n_threads) w->born |= 1u << l;
        w->tid[0][l] = t % size[0];
        w->tid[1][l] = t / size[0] % size[1];
        w->tid[2][l] = t / size[0] / size[1];
    }
}

static void *take(size_t bytes) {
    void *p = calloc(1, bytes + 1);
    if (!p) abort();
    return p;
}

static Block *block_new(Launch *l) {
    Block *b = take(sizeof *b);
    b->launch = l;
    b->n_threads = l->block[0] * l->block[1] * l->block[2];
    b->n_warps = (b->n_threads + LANES - 1) / LANES;
    b->shared = aligned_alloc(1024, (l->shared_bytes + 2047) / 1024 * 1024);
    b->shadow = take(l->shared_bytes);
    if (!b->shared) abort();
    if (l->races) b->writers = take(sizeof *b->writers * 2 * l->shared_bytes);
    b->warps = take(sizeof *b->warps * b->n_warps);
    for (u32 n = 0; n < b->n_warps; n++) {
        Warp *w = &b->warps[n];
        w->block = b;
        w->index = n;
        w->local_stride = l->f->local_stride;
        w->local = aligned_alloc(64, ((size_t)w->local_stride * LANES + 64) / 64 * 64);
        if (!w->local) abort();
        memset(w->local, 0xff, (size_t)w->local_stride * LANES);
        w->frame = frame_new(l->f);
        set_threads(b, w);
    }
    return b;
}

static void block_drop(Block *b) {
    for (u32 n = 0; n < b->n_warps; n++) {
        Warp *w = &b->warps[n];
        while (w->frame) {
            Frame *f = w->frame;
            w->frame = f->caller;
            frame_drop(f);
        }
        free(w->local);
        free(w->copies);
    }
    free(b->warps);
    free(b->writers);
    free(b->shadow);
    free(b->shared);
    free(b);
}

/* Lets go of the barrier that has all its warps; false: there is none. */
static bool open_barrier(Block *b) {
    u32 alive = 0;
    for (u32 n = 0; n < b->n_warps; n++) alive += b->warps[n].state != WARP_DONE;
    for (u32 k = 0; k < MAX_BARRIERS; k++) {
        Barrier *bar = &b->barriers[k];
        u32 needed = bar->expected ? bar->expected / LANES : alive;
        if (!bar->arrived || bar->arrived < needed) continue;
        for (u32 n = 0; n < b->n_warps; n++) {
            Warp *w = &b->warps[n];
            if (w->state != WARP_WAITS || w->barrier != k) continue;
            barrier_result(w, w->waits_at, bar->result);
            w->state = WARP_RUNS;
        }
        if (needed == alive) shared_barrier(b);
        *bar = (Barrier){0};
        return true;
    }
    return false;
}

static void run_block(Block *b) {
    shared_reset(b);
    memset(b->barriers, 0, sizeof b->barriers);
    for (u32 n = 0; n < b->n_warps; n++) warp_start(&b->warps[n]);
    for (bool alive = true; alive;) {
        bool ran = false;
        alive = false;
        for (u32 n = 0; n < b->n_warps; n++) {
            Warp *w = &b->warps[n];
            if (w->state == WARP_RUNS) {
                warp_run(w, SLICE);
                ran = true;
            }
            alive |= w->state != WARP_DONE;
        }
        bool opened = open_barrier(b);
        for (u32 n = 0; alive && !ran && !opened && n < b->n_warps; n++) {
            Warp *w = &b->warps[n];
            if (w->state == WARP_WAITS)
                fault(w, w->waits_at, -1, CUDA_ERROR_LAUNCH_TIMEOUT,
                      "deadlock: barrier %u will never have its %u threads", w->barrier,
                      b->barriers[w->barrier].expected);
        }
        if (b->steps > b->launch->step_limit) {
            for (u32 n = 0; n < b->n_warps; n++) {
                Warp *w = &b->warps[n];
                if (w->state == WARP_RUNS)
                    fault(w, &w->frame->f->code[w->frame->pc], -1, CUDA_ERROR_LAUNCH_TIMEOUT,
                          "still running after %llu instructions", (unsigned long long)b->steps);
            }
        }
    }
}

static bool has_failed(Launch *l) {
    bool failed;
#pragma omp critical(launch_fails)
    failed = l->result != CUDA_SUCCESS;
    return failed;
}

static void guard_block(Block *b) {
    if (!setjmp(b->failed)) run_block(b);
}

void launch_run(Launch *l) {
    u64 blocks = (u64)l->grid[0] * l->grid[1] * l->grid[2], steps = 0, lanes = 0;
#pragma omp parallel reduction(+ : steps, lanes) if (blocks > 1)
    {
        Block *b = block_new(l);
#pragma omp for schedule(dynamic, 1)
        for (u64 n = 0; n < blocks; n++) {
            if (has_failed(l)) continue;
            b->id[0] = (u32)(n % l->grid[0]);
            b->id[1] = (u32)(n / l->grid[0] % l->grid[1]);
            b->id[2] = (u32)(n / l->grid[0] / l->grid[1]);
            b->steps = b->lanes = 0;
            guard_block(b);
            steps += b->steps;
            lanes += b->lanes;
        }
        block_drop(b);
    }
    launch_counters.steps += steps;
    launch_counters.lanes += lanes;
}
