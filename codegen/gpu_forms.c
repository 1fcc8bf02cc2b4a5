/* Which form a node takes on a GPU: the first that fits. */
#include "codegen/gpu_tile.h"

const GpuForm *gpu_form(const CodeOptions *o, const Node *n) {
    static const GpuForm *const forms[] = {&gpu_product, &gpu_conv,    &gpu_taps,     &gpu_attention,
                                           &gpu_fused,   &gpu_softmax, &gpu_norm,     &gpu_mean,
                                           &gpu_dynamic, &gpu_direct,  &gpu_reference};
    for (size_t i = 0; i + 1 < sizeof forms / sizeof *forms; i++)
        if (forms[i]->fits(o, n)) return forms[i];
    return &gpu_reference;
}

/* ---- the reference kernel, in one thread: correct for every operator, and slow ---- */

static bool always(const CodeOptions *o, const Node *n) {
    (void)o;
    return !n->body;
}

static void one_thread(Ctx *ctx, const CodeOptions *o, const Node *n, int launch, GpuGeometry *out) {
    (void)ctx, (void)o, (void)n, (void)launch, (void)out;
}

static bool emit(Kernel *k, int launch) {
    (void)launch;
    gpu_fail(k, reference_call(k));
    LLVMBuildRetVoid(k->b);
    return true;
}

static bool scratch(Ctx *ctx, const Node *n, size_t *bytes) { return reference_emitter.scratch(ctx, n, bytes); }

static bool in_place(const Node *n, int input) { return reference_emitter.in_place(n, input); }

const GpuForm gpu_reference = {.form = "reference, one thread",
                               .fits = always,
                               .geometry = one_thread,
                               .emit = emit,
                               .scratch = scratch,
                               .in_place = in_place};
