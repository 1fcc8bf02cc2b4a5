/* The device's memory. Its addresses lie in a range that the host has reserved and cannot touch, so that a host which
 * takes one for its own faults; the bytes stand elsewhere. Every allocation has a gap behind it, a table says whose
 * each unit is, and what is fresh holds NaNs. Freed room is taken again as late as possible. Looking up needs no lock
 * as long as nothing is taken or given: launches see to that. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/cuda/emulator.h"

enum { UNIT = 512 };

static struct {
    u64 base, bytes, next, live;
    u8 *storage;
    u32 *owner;  /* of a unit: 1 + the unit where its allocation begins, or 0 */
    u64 *length; /* of the allocation that begins at a unit */
} heap;

static void *reserve(u64 bytes, int protection) {
    void *p = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

bool heap_init(u64 bytes) {
    if (heap.base) return true;
    u64 units = bytes / UNIT;
    void *addresses = reserve(bytes, PROT_NONE);
    heap.storage = reserve(bytes, PROT_READ | PROT_WRITE);
    heap.owner = reserve(units * sizeof *heap.owner, PROT_READ | PROT_WRITE);
    heap.length = reserve(units * sizeof *heap.length, PROT_READ | PROT_WRITE);
    if (!addresses || !heap.storage || !heap.owner || !heap.length) return false;
    heap.base = (u64)(uintptr_t)addresses;
    heap.bytes = bytes;
    return true;
}

u64 heap_size(void) { return heap.bytes; }
u64 heap_live(void) { return heap.live; }

/* The first run of free units at or behind `from`, or 0; unit 0 is never given out. */
static u64 find_room(u64 from, u64 units) {
    u64 all = heap.bytes / UNIT, run = 0;
    for (u64 n = from; n < all; n++) {
        if (heap.owner[n]) {
            u64 begin = heap.owner[n] - 1;
            n = begin + (heap.length[begin] + UNIT - 1) / UNIT - 1;
            run = 0;
        } else if (++run == units) return n + 1 - units;
    }
    return 0;
}

u64 heap_take(u64 bytes) {
    u64 units = (bytes + UNIT - 1) / UNIT;
    if (!bytes || bytes > heap.bytes - heap.live) return 0;
    u64 at = find_room(heap.next ? heap.next : 1, units + 2); /* a gap before and behind */
    if (!at) at = find_room(1, units + 2);
    if (!at) return 0;
    at++;
    for (u64 n = 0; n < units; n++) heap.owner[at + n] = (u32)(at + 1);
    heap.length[at] = bytes;
    heap.live += bytes;
    heap.next = at + units;
    memset(heap.storage + at * UNIT, 0xff, bytes);
    return heap.base + at * UNIT;
}

bool heap_give(u64 address) {
    u64 offset = address - heap.base, at = offset / UNIT;
    if (offset >= heap.bytes || offset % UNIT || heap.owner[at] != at + 1) return false;
    u64 bytes = heap.length[at], units = (bytes + UNIT - 1) / UNIT;
    memset(heap.owner + at, 0, units * sizeof *heap.owner);
    heap.live -= bytes;
    if (units * UNIT >= 1 << 20)
        madvise(heap.storage + (at * UNIT + 4095) / 4096 * 4096, (bytes - 4096) & ~4095ull, MADV_DONTNEED);
    return true;
}

bool heap_find(u64 address, Extent *out) {
    u64 offset = address - heap.base;
    if (offset >= heap.bytes || !heap.owner[offset / UNIT]) return false;
    u64 at = heap.owner[offset / UNIT] - 1;
    *out = (Extent){heap.base + at * UNIT, heap.length[at], heap.storage + at * UNIT};
    return true;
}

void *heap_view(u64 address, u64 bytes) {
    Extent e;
    if (!heap_find(address, &e) || address - e.base > e.bytes || bytes > e.bytes - (address - e.base)) return NULL;
    return e.host + (address - e.base);
}
