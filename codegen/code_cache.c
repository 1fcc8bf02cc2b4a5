/* What LLVM made of modules, by what they were: networks that are compiled again and again for other weights alone,
 * which are no part of the modules, are optimised and generated once. Kept as long as it is small. */
#include <stdlib.h>
#include <string.h>
#include "codegen/gen.h"

enum { MOST_BYTES = 128 << 20 };

typedef struct Known { /* the parts of an object */
    struct Known *next;
    char id[33];
    int n;
    LLVMMemoryBufferRef objects[];
} Known;

struct CodeCache {
    Known *known;
    size_t bytes;
};

CodeCache *code_cache_new(void) { return calloc(1, sizeof(CodeCache)); }

static LLVMMemoryBufferRef copy_of(LLVMMemoryBufferRef b) {
    return LLVMCreateMemoryBufferWithMemoryRangeCopy(LLVMGetBufferStart(b), LLVMGetBufferSize(b), "");
}

bool code_cache_take(const CodeCache *c, const char *id, Gen *g) {
    const Known *k = c->known;
    while (k && (k->n != g->n_parts || strcmp(k->id, id) != 0)) k = k->next;
    for (int i = 0; k && i < k->n; i++) g->parts[i]->object = copy_of(k->objects[i]);
    return k != NULL;
}

void code_cache_leave(CodeCache *c, const char *id, const Gen *g) {
    size_t bytes = 0;
    for (int i = 0; i < g->n_parts; i++) bytes += LLVMGetBufferSize(g->parts[i]->object);
    Known *k = bytes > MOST_BYTES - c->bytes ? NULL : malloc(sizeof *k + sizeof *k->objects * (size_t)g->n_parts);
    if (!k) return;
    *k = (Known){.next = c->known, .n = g->n_parts};
    memcpy(k->id, id, sizeof k->id - 1);
    for (int i = 0; i < k->n; i++) k->objects[i] = copy_of(g->parts[i]->object);
    c->bytes += bytes;
    c->known = k;
}
