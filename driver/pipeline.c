/* A model's way from its file to code, a step at a time, under one handler for exhausted memory. */
#include "driver/driver.h"
#include "driver/prune.h"
#include "driver/quantize.h"
#include "passes/passes.h"

typedef struct Guarded {
    Ctx *ctx;
    int (*work)(void *);
    void *arg;
} Guarded;

int with_memory(Ctx *ctx, int (*work)(void *), void *arg) {
    MemTry t;
    if (mem_enter(ctx, &t), setjmp(t.jump)) {
        say_error("out of memory");
        return BAD_MODEL;
    }
    int result = work(arg);
    mem_leave(ctx, &t);
    return result;
}

Ctx *pipeline_ctx(const Command *c, const char *file) {
    Ctx *ctx = ctx_new(file);
    if (!ctx) {
        say_error("out of memory");
        return NULL;
    }
    ctx->opt = c->opt;
    mem_limit(ctx, c->opt.max_memory);
    if (c->fault_alloc) mem_fail_at(ctx, (long)c->fault_alloc);
    for (int i = 0; i < c->n_warnings; i++) diag_set_flag(ctx, c->warnings[i]);
    return ctx;
}

const Target *pipeline_target(const Command *c) {
    const char *why = NULL;
    bool host = !c->triple && !c->cpu && !c->features && c->verb != VERB_COMPILE;
    const Target *t = target_find_abi(c->triple, host ? "native" : c->cpu, c->features, c->float_abi, &why);
    if (!t) say_error("%s", why ? why : "the target is not known");
    return t;
}

bool pipeline_find_host(Pipeline *p) {
    const Command *c = p->command;
    const char *why = NULL;
    if (!p->target->sm) {
        if (c->host_triple || c->tf32) say_error("%s is for GPUs, not %s", c->tf32 ? "-mtf32" : "--host-target", p->target->triple);
        return !c->host_triple && !c->tf32;
    }
    if (c->debug || c->profile) {
        say_error("%s: there is none of it for GPUs; NVIDIA's tools show kernels by their operators' names",
                  c->debug ? "-g" : "--profile");
        return false;
    }
    p->host = target_find(c->host_triple, NULL, NULL, &why);
    if (p->host && p->host->pointer_bits == 64 && !p->host->bare && !p->host->sm) return true;
    say_error("--host-target: %s", !p->host && why ? why : "a system with addresses of 64 bits is needed");
    return false;
}

/* Warnings that -Werror made errors stop a step that went well otherwise. */
static int outcome(const Pipeline *p, bool good) { return good && !diag_errors(p->ctx) ? DONE : BAD_MODEL; }

int pipeline_read(Pipeline *p) {
    progress_stage("reading the model");
    p->graph = onnx_read(p->ctx, p->ctx->file);
    return outcome(p, p->graph != NULL);
}

Winograd pipeline_winograd(const Command *c, const Target *t) {
    bool small = c->optimize_size || t->bare;
    return c->winograd == WINOGRAD_AUTO && small ? WINOGRAD_OFF : c->winograd;
}

static PassCtx pass_options(const Pipeline *p) {
    const Command *c = p->command;
    PassCtx pass = {.ctx = p->ctx,
                    .target = p->target->sm ? NULL : p->target, /* nothing is lowered for a GPU but by its forms */
                    .gpu = p->target->sm ? p->target : NULL,
                    .tf32 = c->tf32,
                    .opt_level = c->opt_level,
                    .winograd = pipeline_winograd(c, p->target),
                    .sparse = p->cache ? SPARSE_OFF : c->sparse,
                    .optimize_size = c->optimize_size,
                    .sparse_notes = p->is_float ? NULL : p->sparse_notes,
                    .notes = p->notes,
                    .dump = stderr,
                    .verify = c->verb == VERB_VERIFY,
                    .stop_after = -1};
#ifndef NDEBUG
    pass.verify = true;
#endif
    return pass;
}

int pipeline_canonicalise(Pipeline *p) {
    PassCtx pass = pass_options(p);
    pass.canonical_only = true;
    pass.quantizes = p->command->quant.mode != QUANT_NONE;
    pass.widen = true; /* what compresses decides over the weights itself */
    if (pass.opt_level < 1) pass.opt_level = 1;
    int result = outcome(p, passes_run(p->graph, &pass));
    bool again = p->pruned && p->graph != p->pruned->nodes->graph;
    if (result != DONE || !again) return result;
    if (!prune_apply(p->pruned, p->graph)) return BAD_MODEL;
    return p->pruned->done ? outcome(p, passes_run(p->graph, &pass)) : DONE; /* as with the graph that was pruned */
}

int pipeline_compress(Pipeline *p) {
    const Command *c = p->command;
    int result = DONE;
    if (c->prune.share > 0 || c->plan) result = pipeline_prune(p);
    if (result == DONE && c->quant.mode != QUANT_NONE) result = pipeline_quantize(p);
    return result;
}

int pipeline_optimise(Pipeline *p) {
    const Command *c = p->command;
    const struct Tuning *tuning = NULL;
    int result = p->is_float ? DONE : pipeline_compress(p);
    if (result != DONE) return result;
    progress_stage("optimising the graph");
    if (c->tune && !p->is_float && tuning_load(p->ctx, c->tune, p->target, &tuning) != DONE) return BAD_MODEL;
    PassCtx pass = pass_options(p);
    pass.tuning = tuning;
    if (!p->is_float) {
        pass.dump_after = c->dump_after;
        pass.time = c->time_passes;
        pass.stop_after = (int)c->stop_after;
    }
    return outcome(p, passes_run(p->graph, &pass));
}

static CodeOptions code_options(const Pipeline *p, const char *name) {
    const Command *c = p->command;
    return (CodeOptions){.name = name,
                         .target = p->target,
                         .opt_level = c->opt_level,
                         .optimize_size = c->optimize_size,
                         .weights_section = c->weights_section,
                         .max_threads = c->threads ? (int)c->max_threads : 0,
                         .cut_always = c->cut_kernels,
                         .fat = p->fat,
                         .debug_file = p->debug_file,
                         .profile = c->profile,
                         .time = c->time_passes,
                         .host = p->host,
                         .tf32 = c->tf32,
                         .cache = p->cache};
}

int pipeline_generate(Pipeline *p, const char *name) {
    progress_stage("generating code");
    CodeOptions o = code_options(p, name);
    return outcome(p, codegen_compile(p->ctx, p->graph, &o, &p->code));
}

int pipeline_print(Pipeline *p, const char *name, EmitText what, FILE *out) {
    progress_stage("generating code");
    CodeOptions o = code_options(p, name);
    return outcome(p, codegen_print(p->ctx, p->graph, &o, what, out));
}

int pipeline_load(Pipeline *p) {
    progress_stage("loading the code");
    p->loaded = code_load(p->ctx, &p->code);
    return outcome(p, p->loaded != NULL);
}

int pipeline_to_code(Pipeline *p) {
    int result = pipeline_read(p);
    if (result == DONE) result = pipeline_optimise(p);
    if (result == DONE) result = pipeline_generate(p, "model");
    if (result == DONE) result = pipeline_load(p);
    progress_stage(NULL);
    return result;
}

void pipeline_free(Pipeline *p) {
    progress_stage(NULL);
    if (p->loaded) code_unload(p->loaded);
    code_free(&p->code);
    onnx_unmap(p->ctx);
}
