/* Memory that is freed all at once. */
#include <stdlib.h>
#include <string.h>

#include "tests/cuda/emulator.h"

struct Arena {
    struct Chunk *chunks;
};
typedef struct Chunk {
    struct Chunk *next;
    size_t used, size;
} Chunk;

enum { CHUNK = 1 << 18, ALIGN = 64 };

Arena *arena_new(void) {
    Arena *a = calloc(1, sizeof *a);
    if (!a) abort();
    return a;
}

void *arena_take(Arena *a, size_t bytes) {
    bytes = (bytes + 15) / 16 * 16;
    Chunk *c = a->chunks;
    if (!c || c->size - c->used < bytes) {
        size_t size = bytes > CHUNK ? bytes : CHUNK;
        c = calloc(1, sizeof *c + ALIGN + size);
        if (!c) abort();
        c->size = size;
        c->next = a->chunks;
        a->chunks = c;
    }
    u8 *base = (u8 *)(((uintptr_t)(c + 1) + ALIGN - 1) / ALIGN * ALIGN);
    void *result = base + c->used;
    c->used += bytes;
    return result;
}

void *arena_grow(Arena *a, void *items, u32 n, u32 *cap, size_t size) {
    if (n < *cap) return items;
    *cap = *cap ? 2 * *cap : 16;
    void *more = arena_take(a, *cap * size);
    if (n) memcpy(more, items, n * size);
    return more;
}

void arena_drop(Arena *a) {
    for (Chunk *c = a->chunks; c;) {
        Chunk *next = c->next;
        free(c);
        c = next;
    }
    free(a);
}
