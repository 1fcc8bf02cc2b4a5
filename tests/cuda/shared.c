/* Shared memory of a block, and what is known of each of its bytes: outside every variable of the kernel, not written
 * yet, or written. Where races are looked for, also which warps wrote and read it since the last barrier of the whole
 * block; the lanes of one warp are taken to be in order. */
#include <string.h>

#include "tests/cuda/emulator.h"

enum { OUTSIDE = 0, UNDEFINED = 1, DEFINED = 2, SEVERAL = 63 };

static void mark(Block *b, u32 offset, u32 bytes) { memset(b->shadow + offset, UNDEFINED, bytes); }

void shared_reset(Block *b) {
    const Launch *l = b->launch;
    const Module *m = l->f->module;
    for (u32 n = 0; n < l->f->n_shared; n++) {
        const SharedVar *v = &m->shared[l->f->uses_shared[n]];
        if (!v->dynamic) mark(b, v->offset, v->bytes);
    }
    mark(b, m->shared_end, l->dynamic_bytes);
    b->epoch = 1;
    if (b->writers) memset(b->writers, 0, sizeof *b->writers * 2 * l->shared_bytes);
}

void shared_barrier(Block *b) { b->epoch++; }

/* A byte's last writer, and its readers, as epoch and warp + 1. */
static void look_for_race(Warp *w, const Inst *i, int lane, u64 offset, u32 bytes, bool write) {
    u32 *writers = w->block->writers, epoch = w->block->epoch, me = epoch << 6 | (w->index + 1);
    for (u32 n = 0; n < bytes; n++) {
        u32 *writer = &writers[2 * (offset + n)], *reader = writer + 1;
        if (*writer >> 6 == epoch && *writer != me)
            fault(w, i, lane, CUDA_ERROR_LAUNCH_FAILED,
                  "race: byte %llu of shared memory was written by warp %u since the last barrier",
                  (unsigned long long)(offset + n), (*writer & 63) - 1);
        if (write && *reader >> 6 == epoch && *reader != me)
            fault(w, i, lane, CUDA_ERROR_LAUNCH_FAILED,
                  "race: byte %llu of shared memory was read by %s since the last barrier",
                  (unsigned long long)(offset + n), (*reader & 63) == SEVERAL ? "several warps" : "another warp");
        if (write) *writer = me;
        else *reader = *reader >> 6 == epoch && *reader != me ? epoch << 6 | SEVERAL : me;
    }
}

/* Are these bytes, 1 to 16 of them, all written? */
static bool all_defined(const u8 *shadow, u32 bytes) {
    static const u8 defined[16] = {DEFINED, DEFINED, DEFINED, DEFINED, DEFINED, DEFINED, DEFINED, DEFINED,
                                   DEFINED, DEFINED, DEFINED, DEFINED, DEFINED, DEFINED, DEFINED, DEFINED};
    if (bytes == 4) return !memcmp(shadow, defined, 4);
    return bytes == 16 ? !memcmp(shadow, defined, 16) : !memcmp(shadow, defined, bytes);
}

/* The slow way: what is wrong, if anything. */
static void look_at_shadow(Warp *w, const Inst *i, int lane, u64 offset, u32 bytes, bool write) {
    u8 *shadow = w->block->shadow + offset;
    u32 least = DEFINED;
    for (u32 n = 0; n < bytes; n++) least = shadow[n] < least ? shadow[n] : least;
    if (least == OUTSIDE)
        fault(w, i, lane, CUDA_ERROR_ILLEGAL_ADDRESS, "%u bytes at %llu of shared memory are outside its variables",
              bytes, (unsigned long long)offset);
    if (write) memset(shadow, DEFINED, bytes);
    else
        fault(w, i, lane, CUDA_ERROR_LAUNCH_FAILED,
              "%u bytes at %llu of shared memory are read before they are written", bytes, (unsigned long long)offset);
}

u8 *shared_at(Warp *w, const Inst *i, int lane, u64 offset, u32 bytes, bool write) {
    Block *b = w->block;
    if (offset >= DYNAMIC_SHARED) offset = offset - DYNAMIC_SHARED + b->launch->f->module->shared_end;
    if (offset > b->launch->shared_bytes || bytes > b->launch->shared_bytes - offset)
        fault(w, i, lane, CUDA_ERROR_ILLEGAL_ADDRESS, "%u bytes at %lld are outside the %u bytes of shared memory",
              bytes, (long long)offset, b->launch->shared_bytes);
    if (offset % bytes)
        fault(w, i, lane, CUDA_ERROR_MISALIGNED_ADDRESS, "shared address %llu is not a multiple of %u",
              (unsigned long long)offset, bytes);
    u8 *shadow = b->shadow + offset;
    if (!all_defined(shadow, bytes)) look_at_shadow(w, i, lane, offset, bytes, write);
    if (b->writers) look_for_race(w, i, lane, offset, bytes, write);
    return b->shared + offset;
}

void shared_undefine(Warp *w, const Inst *i, int lane, u64 offset, u32 bytes) {
    const u8 *at = shared_at(w, i, lane, offset, bytes, true);
    memset(w->block->shadow + (at - w->block->shared), UNDEFINED, bytes);
}
