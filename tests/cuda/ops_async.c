/* cp.async: a copy from global to shared memory happens as late as it may, when its lane waits for its group; until
 * then what it will write counts as not written, so that a read without the wait is seen. Lanes wait for themselves. */
#include <stdlib.h>
#include <string.h>

#include "tests/cuda/memory.h"

/* arg: shared address, global address, bytes to copy (the rest is zeros) or none. bytes: 4, 8 or 16; offset is the
 * global address's, target the shared one's. flags: of the shared address; from: of the global one */
void run_copy_async(Warp *w, const Inst *i) {
    Inst shared = *i;
    shared.offset = (s32)i->target;
    Inst global = *i;
    global.flags = i->from;
    u64 to[LANES], from[LANES];
    lane_addresses(w, &shared, 0, to);
    lane_addresses(w, &global, 1, from);
    FOR_LANES(w->mask, l) {
        u32 valid = i->arg[2] == NO_ARG ? i->bytes : REG(u32, 2)[l];
        if (valid > i->bytes) fault(w, i, (int)l, CUDA_ERROR_LAUNCH_FAILED, "%u bytes of %u", valid, i->bytes);
        if (to[l] - SHARED_WINDOW < WINDOW_BYTES) to[l] -= SHARED_WINDOW;
        shared_undefine(w, i, (int)l, to[l], i->bytes);
        if (valid) lane_address(w, i, (int)l, IN_GLOBAL, from[l], 1, false);
        if (from[l] % i->bytes)
            fault(w, i, (int)l, CUDA_ERROR_MISALIGNED_ADDRESS, "address 0x%llx is not a multiple of %u",
                  (unsigned long long)from[l], i->bytes);
        if (w->n_copies == w->cap_copies) {
            w->cap_copies = w->cap_copies ? 2 * w->cap_copies : 256;
            w->copies = realloc(w->copies, w->cap_copies * sizeof *w->copies);
            if (!w->copies) abort();
        }
        w->copies[w->n_copies++] = (CopyLater){(u32)to[l], i->bytes, valid, from[l], l, w->copy_group[l]};
    }
}

void run_copy_commit(Warp *w, const Inst *i) {
    (void)i;
    FOR_LANES(w->mask, l) w->copy_group[l]++;
}

/* Finishes the copies of the active lanes, but those of each one's `pending` last groups. */
static void finish(Warp *w, const Inst *i, u32 pending, bool uncommitted) {
    u32 kept = 0;
    for (u32 n = 0; n < w->n_copies; n++) {
        CopyLater c = w->copies[n];
        u32 age = w->copy_group[c.lane] - c.group; /* 0: not committed, 1: the last group */
        if (!(w->mask >> c.lane & 1) || (age == 0 ? !uncommitted : age <= pending)) {
            w->copies[kept++] = c;
            continue;
        }
        u8 data[16] = {0};
        for (u32 at = 0; at < c.valid; at++) /* byte by byte: the end of an allocation may cut it */
            data[at] = *lane_address(w, i, (int)c.lane, IN_GLOBAL, c.from + at, 1, false);
        memcpy(shared_at(w, i, (int)c.lane, c.shared, c.bytes, true), data, c.bytes);
    }
    w->n_copies = kept;
}

void run_copy_wait(Warp *w, const Inst *i) { finish(w, i, (u32)i->offset, false); }
void run_copy_wait_all(Warp *w, const Inst *i) { finish(w, i, 0, true); }
