/* Arenas and the one place where memory runs out. Every allocation is charged to its Ctx; when the heap, the budget or an
 * injected fault says no, mem_fail unwinds to the innermost mem_try, and the driver frees the Ctx with all of its arenas. */
#include "ir/ir.h"
#include "ir/internal.h"
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 64 * 1024, BIG = 4096 };

typedef struct Block {
    struct Block *next;
    size_t size, used; /* of the bytes behind this header */
    void *raw;         /* what malloc gave */
} Block;

struct Arena {
    Ctx *ctx;
    Arena *next, **link;
    Block *blocks;
    size_t charged;
};

void mem_enter(Ctx *ctx, MemTry *t) {
    t->outer = ctx->mem->handler;
    ctx->mem->handler = t;
}

void mem_leave(Ctx *ctx, MemTry *t) {
    assert(ctx->mem->handler == t);
    ctx->mem->handler = t->outer;
}

void mem_fail(Ctx *ctx, size_t bytes) {
    MemTry *t = ctx->mem->handler;
    if (!t) {
        fprintf(stderr, "mcc: out of memory (%zu bytes asked)\n", bytes);
        abort();
    }
    ctx->mem->handler = t->outer;
    longjmp(t->jump, 1);
}

void mem_fail_at(Ctx *ctx, long nth) { ctx->mem->fail_at = nth; }
void mem_limit(Ctx *ctx, size_t bytes) { ctx->mem->limit = bytes; }
size_t mem_used(const Ctx *ctx) { return ctx->mem->used; }

static void inject(Ctx *ctx, size_t bytes) {
    if (ctx->mem->fail_at > 0 && --ctx->mem->fail_at == 0) mem_fail(ctx, bytes);
}

static void *raw_alloc(Arena *a, size_t bytes) {
    Mem *m = a->ctx->mem;
    if (bytes > m->limit || m->used > m->limit - bytes) mem_fail(a->ctx, bytes);
    void *p = calloc(1, bytes);
    if (!p) mem_fail(a->ctx, bytes);
    m->used += bytes;
    a->charged += bytes;
    return p;
}

Arena *arena_new(Ctx *ctx) {
    Mem *m = ctx->mem;
    inject(ctx, sizeof(Arena));
    Arena seed = {.ctx = ctx}, *a = raw_alloc(&seed, sizeof *a);
    a->ctx = ctx;
    a->charged = seed.charged;
    a->next = m->arenas;
    a->link = &m->arenas;
    if (a->next) a->next->link = &a->next;
    m->arenas = a;
    return a;
}

void arena_free(Arena *a) {
    if (!a) return;
    *a->link = a->next;
    if (a->next) a->next->link = a->link;
    a->ctx->mem->used -= a->charged;
    for (Block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        free(b->raw);
    }
    free(a);
}

static Block *block_new(Arena *a, size_t bytes, size_t align) {
    size_t head = (sizeof(Block) + align - 1) / align * align, total;
    if (__builtin_add_overflow(bytes, head + align, &total)) mem_fail(a->ctx, bytes);
    char *raw = raw_alloc(a, total), *body = raw + head;
    body += (align - (uintptr_t)body % align) % align;
    Block *b = (Block *)(void *)(body - sizeof(Block));
    b->raw = raw;
    b->size = bytes;
    return b;
}

void *arena_alloc(Arena *a, size_t bytes) {
    inject(a->ctx, bytes);
    if (bytes >= BIG) {
        Block *b = block_new(a, bytes, 64); /* a block of its own, behind the current one */
        b->used = bytes;
        if (a->blocks) b->next = a->blocks->next, a->blocks->next = b;
        else a->blocks = b;
        return b + 1;
    }
    bytes = (bytes + 15) & ~(size_t)15;
    Block *b = a->blocks;
    if (!b || b->size - b->used < bytes) {
        b = block_new(a, CHUNK, 16);
        b->next = a->blocks;
        a->blocks = b;
    }
    void *p = (char *)(b + 1) + b->used;
    b->used += bytes;
    return p;
}

void *arena_array(Arena *a, size_t n, size_t size) {
    size_t bytes;
    if (!mul_size(n, size, &bytes)) mem_fail(a->ctx, SIZE_MAX);
    return arena_alloc(a, bytes);
}

void *arena_grow(Arena *a, void *old, size_t old_n, size_t new_n, size_t size) {
    void *p = arena_array(a, new_n, size);
    if (old_n) memcpy(p, old, old_n * size);
    return p;
}

char *arena_printf(Arena *a, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = arena_alloc(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}

Str arena_str(Arena *a, const char *p, size_t n) {
    char *copy = arena_alloc(a, n + 1);
    if (n) memcpy(copy, p, n);
    return (Str){copy, n};
}
