/* One compilation: owns every arena, the dims, the diagnostics. */
#include "ir/internal.h"
#include <stdlib.h>

/* Its own frame, so that no variable of the caller's lives across the setjmp. */
static bool first_arena(Ctx *ctx) {
    MemTry t;
    if (mem_enter(ctx, &t), setjmp(t.jump)) return false;
    ctx->arena = arena_new(ctx);
    mem_leave(ctx, &t);
    return true;
}

Ctx *ctx_new(const char *file) {
    Ctx *ctx = calloc(1, sizeof *ctx);
    Mem *mem = calloc(1, sizeof *mem);
    struct Diag *diag = diag_new();
    if (ctx && mem && diag) {
        *ctx = (Ctx){.file = file, .mem = mem, .diag = diag, .opt = {.max_fold = (size_t)1 << 30, .max_memory = MEM_UNLIMITED}};
        mem->limit = MEM_UNLIMITED;
        if (first_arena(ctx)) return ctx;
    }
    diag_free(diag);
    free(mem);
    free(ctx);
    return NULL;
}

void ctx_free(Ctx *ctx) {
    if (!ctx) return;
    while (ctx->mem->arenas) arena_free(ctx->mem->arenas);
    diag_free(ctx->diag);
    free(ctx->mem);
    free(ctx);
}
