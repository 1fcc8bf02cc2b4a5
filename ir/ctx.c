/* One compilation: owns every arena, the dims, the diagnostics. */
#include "ir/internal.h"
#include <stdlib.h>

Ctx *ctx_new(const char *file) {
    Ctx *ctx = calloc(1, sizeof *ctx);
    Mem *mem = calloc(1, sizeof *mem);
    struct Diag *diag = diag_new();
    MemTry t;
    if (!ctx || !mem || !diag) goto fail;
    *ctx = (Ctx){.file = file, .mem = mem, .diag = diag, .opt = {.max_fold = (size_t)1 << 30, .max_memory = MEM_UNLIMITED}};
    mem->limit = MEM_UNLIMITED;
    if (mem_enter(ctx, &t), setjmp(t.jump)) goto fail;
    ctx->arena = arena_new(ctx);
    mem_leave(ctx, &t);
    return ctx;
fail:
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
