/* Names in their scopes, and the places of registers in a frame. */
#include <stdlib.h>
#include <string.h>

#include "tests/cuda/parser.h"

static u32 bucket_of(const char *name) {
    u32 h = 2166136261u;
    for (; *name; name++) h = (h ^ (u8)*name) * 16777619u;
    return (h ^ h >> 15) % BUCKETS;
}

Symbol *symbol_find(const Parser *p, const char *name) {
    for (Symbol *s = p->buckets[bucket_of(name)]; s; s = s->next)
        if (!strcmp(s->name, name)) return s;
    return NULL;
}

Symbol *symbol_add(Parser *p, const char *name, SymbolKind kind) {
    Symbol *other = symbol_find(p, name);
    if (other && other->depth == p->depth) parse_fail(p, "'%s' is declared twice", name);
    Symbol *s = arena_take(p->arena, sizeof *s);
    s->kind = kind;
    symbol_insert(p, s, name);
    return s;
}

/* Newer ones first, inner scopes before outer ones. */
void symbol_insert(Parser *p, Symbol *s, const char *name) {
    Symbol **chain = &p->buckets[bucket_of(name)], **all = &p->newest;
    s->name = name;
    s->depth = p->depth;
    while (*chain && (*chain)->depth > s->depth) chain = &(*chain)->next;
    while (*all && (*all)->depth > s->depth) all = &(*all)->older;
    s->next = *chain;
    s->older = *all;
    *chain = *all = s;
}

void scope_begin(Parser *p) { p->depth++; }

/* Jumps that find their label now are set right: an inner scope's own labels go with it. */
static void resolve(Parser *p) {
    u32 kept = 0;
    for (u32 n = 0; n < p->n_patches; n++) {
        Patch patch = p->patches[n];
        const Symbol *s = symbol_find(p, patch.name);
        if (s && s->kind == SYMBOL_LABEL) p->f->code[patch.inst].target = (u32)s->address;
        else if (p->depth == 1) {
            p->line = patch.line;
            p->token.line = patch.line;
            parse_fail(p, "there is no label '%s'", patch.name);
        } else p->patches[kept++] = patch;
    }
    p->n_patches = kept;
}

void scope_end(Parser *p) {
    resolve(p);
    while (p->newest && p->newest->depth == p->depth) {
        Symbol *s = p->newest;
        p->buckets[bucket_of(s->name)] = s->next; /* it is the first there: scopes nest */
        p->newest = s->older;
    }
    p->depth--;
}

s32 register_take(Parser *p, int bits) {
    u32 align = bits == 1 ? 4 : 64, bytes = bits == 1 ? 4 : (u32)bits / 8 * LANES;
    u32 at = (p->f->reg_bytes + align - 1) / align * align;
    p->f->reg_bytes = at + bytes;
    if (p->f->reg_bytes > 1u << 28) parse_fail(p, "too many registers");
    return (s32)at;
}

void registers_add(Parser *p, const char *name, int bits) {
    Symbol *s = symbol_add(p, name, SYMBOL_REGISTER);
    s->bits = bits;
    s->reg = register_take(p, bits);
}
