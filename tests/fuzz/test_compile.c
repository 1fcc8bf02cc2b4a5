/* Damaged models that the reader takes, all the way to an object: passes, evaluation and code generation must not die
 * of them. */
#include "codegen/codegen.h"
#include "passes/passes.h"
#include "tests/fuzz/fuzz.h"

static void try_guarded(Ctx *ctx, const char *path, uint64_t variant) {
    static const DimPin rest = {"*", 64};
    const Target *target = target_find(NULL, NULL, NULL, &(const char *){NULL});
    PassCtx pass = {.ctx = ctx, .target = target, .opt_level = (int)(variant % 4), .verify = true, .stop_after = -1};
    CodeOptions o = {.name = "model", .target = target, .opt_level = pass.opt_level};
    Code code = {0};
    ctx->opt.max_dims = &rest;
    ctx->opt.n_max_dims = 1;
    ctx->opt.max_fold = (size_t)16 << 20;
    Graph *g = onnx_read(ctx, path);
    bool good = g && passes_run(g, &pass) && codegen_compile(ctx, g, &o, &code);
    assert(good || diag_errors(ctx) > 0);
    code_free(&code);
}

int main(void) { return fuzz_main(); }
