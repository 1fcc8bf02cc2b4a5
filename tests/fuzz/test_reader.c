/* The reader and inference on damaged models, in process: thousands a second. */
#include "tests/fuzz/fuzz.h"

static void try_guarded(Ctx *ctx, const char *path, uint64_t variant) {
    static const DimPin rest = {"*", 64};
    ctx->opt.max_dims = &rest;
    ctx->opt.n_max_dims = (int)(variant % 2);
    Graph *g = onnx_read(ctx, path);
    assert(g || diag_errors(ctx) > 0);
    assert(!g || graph_verify(g, stderr));
}

int main(void) { return fuzz_main(); }
