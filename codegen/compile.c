/* The way from a graph to an object: plan memory, build the module in parts, compile them in parallel, join them. */
#include <llvm-c/BitWriter.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "codegen/loops.h"

enum { PART_COST = 4000 /* instructions before optimisation: some 50 ms of LLVM's time */ };

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* open dims become parameters, in order of first appearance over the inputs */
static void collect_open_dims(Gen *g) {
    for (int i = 0; i < g->graph->n_inputs; i++)
        for (int d = 0; d < g->graph->inputs[i]->type.rank; d++)
            add_symbols(g->ctx, g->graph->inputs[i]->type.dims[d], &g->open, &g->n_open);
}

static LLVMValueRef embedded_weights(Gen *g) { /* where we cannot append: one constant in the module */
    char *all = arena_alloc(g->ctx->arena, g->plan.weights_bytes);
    for (int i = 0; i < g->plan.n_weights; i++)
        memcpy(all + g->plan.weights[i].offset, g->plan.weights[i].data, g->plan.weights[i].bytes);
    return gen_bytes(g, all, g->plan.weights_bytes, 64);
}

/* a section that is appended to the object: <name>_<what> */
static LLVMValueRef declare_section(Gen *g, const char *what, size_t bytes) {
    const char *name = arena_printf(g->ctx->arena, "%s_%s", g->opt->name, what);
    LLVMValueRef section = LLVMAddGlobal(g->module, LLVMArrayType2(g->i8, bytes), name);
    LLVMSetGlobalConstant(section, 1);
    LLVMSetVisibility(section, LLVMHiddenVisibility);
    LLVMSetAlignment(section, 64);
    return section;
}

static void declare_sections(Gen *g) {
    if (g->plan.code.n) g->code = declare_section(g, "code", g->plan.code.bytes);
    if (!g->plan.n_weights) return;
    if (!object_is_elf(g->target)) {
        g->weights = embedded_weights(g);
        return;
    }
    g->weights = declare_section(g, "weights", g->plan.weights_bytes);
}

static void gen_device_entries(Gen *g) {
    if (typed_entry_exists(g->graph)) gen_stream_entry(g, gpu_stream_body(g));
    gpu_handle_entries(g);
    gpu_program(g);
}

static bool build_module(Gen *g) {
    const CodeOptions *device = g->opt->device;
    if (!plan_memory(g->ctx, g->graph, device ? device : g->opt, &g->plan)) return false;
    collect_open_dims(g);
    declare_sections(g);
    LLVMValueRef body = device ? gpu_body(g) : gen_body(g);
    if (!body) return false;
    if (typed_entry_exists(g->graph)) gen_typed_entry(g, body);
    gen_described_entry(g, body);
    if (device) gen_device_entries(g);
    if (g->opt->profile) gen_profile_entries(g);
    for (int i = 0; i < g->n_parts; i++) debug_close(g->parts[i]);
    return true;
}

typedef struct Hash { /* two at once: the processor does both in the time of one */
    uint64_t a, b;
} Hash;

static Hash hash_more(Hash h, const void *data, size_t n) { /* eight bytes a step: weights are large */
    const char *p = data;
    uint64_t w;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&w, p, 8);
        h.a = (h.a ^ w) * 0x9E3779B97F4A7C15ull;
        h.b = (h.b ^ w) * 0x9E3779B97F4A7C15ull;
        h.a ^= h.a >> 29;
        h.b ^= h.b >> 29;
    }
    return (Hash){hash_bytes(h.a, p, n), hash_bytes(h.b, p, n)};
}

/* Of all that decides the bytes of the object, as 32 hexadecimal digits: the code as mcc made it, the kernels, the
 * weights, what LLVM is to make of them and which LLVM it is. Weights are appended to what a cache holds. */
static const char *build_id(Gen *g) {
    Hash h = {HASH_SEED, ~HASH_SEED};
    for (int i = 0; i < g->n_parts; i++) {
        LLVMMemoryBufferRef bitcode = LLVMWriteBitcodeToMemoryBuffer(g->parts[i]->module);
        h = hash_more(h, LLVMGetBufferStart(bitcode), LLVMGetBufferSize(bitcode));
        LLVMDisposeMemoryBuffer(bitcode);
    }
    bool weights = !g->opt->cache;
    for (int i = 0; i < g->plan.n_weights && weights; i++)
        h = hash_more(h, g->plan.weights[i].data, g->plan.weights[i].bytes);
    for (int i = 0; i < g->plan.code.n && weights; i++)
        h = hash_more(h, g->plan.code.list[i].data, g->plan.code.list[i].bytes);
    Str kernels = carried_kernels(g->target);
    h = hash_more(h, kernels.p, kernels.n);
    unsigned llvm[3];
    LLVMGetVersion(&llvm[0], &llvm[1], &llvm[2]);
    const char *how = arena_printf(g->ctx->arena, "%s %s %d %d %u.%u.%u", g->target->cpu, g->target->features,
                                   g->opt->opt_level, g->opt->optimize_size, llvm[0], llvm[1], llvm[2]);
    h = hash_more(h, how, strlen(how));
    for (int i = 0; g->opt->fat && i < g->opt->fat->at; i++) h = hash_more(h, g->opt->fat->variants[i].build_id, 32);
    return arena_printf(g->ctx->arena, "%016llx%016llx", (unsigned long long)h.a, (unsigned long long)h.b);
}

static void stamp(Gen *g, const char *id) {
    LLVMValueRef text = LLVMGetNamedGlobal(g->module, "mcc_build_id");
    LLVMSetInitializer(text, LLVMConstStringInContext2(g->llvm, id, 33, 1));
    if (g->opt->fat) g->opt->fat->variants[g->opt->fat->at].build_id = id;
    if (g->opt->fat && !fat_is_last(g->opt->fat)) return;
    LLVMValueRef symbol = LLVMAddGlobal(g->module, g->i8, arena_printf(g->ctx->arena, "%s_build_%s", g->opt->name, id));
    LLVMSetInitializer(symbol, LLVMConstInt(g->i8, 0, 0));
    LLVMSetGlobalConstant(symbol, 1);
}

/* Each part on a thread of its own; what they have to say is said once they are done. */
static bool compile_parts(Gen *g, LLVMCodeGenFileType what) {
    bool ok = true;
#pragma omp parallel for schedule(dynamic, 1) if (g->n_parts > 1)
    for (int i = 0; i < g->n_parts; i++)
        if (part_optimise(g->parts[i])) part_emit(g->parts[i], what, &g->parts[i]->object);
    for (int i = 0; i < g->n_parts; i++)
        if (g->parts[i]->error[0]) {
            diag_error(g->ctx, NULL, "%s", g->parts[i]->error);
            ok = false;
        }
    return ok;
}

/* Or takes what was made of the same modules before */
static bool make_parts(Gen *g, const char *id) {
    CodeCache *cache = g->opt->cache;
    if (cache && code_cache_take(cache, id, g)) return true;
    if (!compile_parts(g, LLVMObjectFile)) return false;
    if (cache) code_cache_leave(cache, id, g);
    return true;
}

static void tell_time(const Gen *g, const char *what, double from) {
    if (g->opt->time) fprintf(stderr, "%8.1f ms  %s\n", (seconds() - from) * 1e3, what);
}

static bool join(Gen *g, const LLVMMemoryBufferRef *objects, int n, Code *out) {
    const char *why = NULL;
    out->object = object_merge(objects, n, &why);
    if (!out->object && !why) mem_fail(g->ctx, LLVMGetBufferSize(objects[0]));
    if (!out->object) diag_error(g->ctx, NULL, "internal error: the parts of the object do not join: %s", why);
    return out->object != NULL;
}

/* the parts as one object, with those of the variants before; a variant that is not the last has none */
static bool join_parts(Gen *g, Code *out) {
    Fat *fat = g->opt->fat;
    LLVMMemoryBufferRef *objects = ARENA_ARRAY(g->ctx->arena, g->n_parts, LLVMMemoryBufferRef);
    if (fat) {
        fat_take_objects(fat, g);
        return !fat_is_last(fat) || join(g, fat->objects, fat->n_objects, out);
    }
    for (int i = 0; i < g->n_parts; i++) objects[i] = g->parts[i]->object;
    if (g->n_parts > 1) return join(g, objects, g->n_parts, out);
    out->object = objects[0];
    g->object = NULL;
    return true;
}

typedef struct Pair { /* options of a model for a GPU */
    CodeOptions host, device;
} Pair;

/* What the host's own code is made with, o being the GPU's; of other targets, o. NULL after diag_error. */
static const CodeOptions *options_of_host(Ctx *ctx, const CodeOptions *o, Pair *pair) {
    const char *why = NULL;
    if (!o->target->sm) return o;
    pair->host = pair->device = *o;
    pair->device.max_threads = pair->host.max_threads = 0;
    pair->device.debug_file = pair->host.debug_file = NULL;
    pair->device.profile = pair->host.profile = false;
    pair->host.device = &pair->device;
    pair->host.target = o->host ? o->host : target_find("", "", "", &why);
    if (pair->host.target && pair->host.target->pointer_bits == 64) return &pair->host;
    diag_error(ctx, NULL, "a GPU needs a host with addresses of 64 bits%s%s", why ? ": " : "", why ? why : "");
    return NULL;
}

bool codegen_compile(Ctx *ctx, Graph *graph, const CodeOptions *o, Code *out) {
    Gen g;
    Pair pair;
    const CodeOptions *asked = o;
    if (!(o = options_of_host(ctx, o, &pair))) return false;
    *out = (Code){.name = o->name, .target = asked->target, .pointer_bits = o->target->pointer_bits};
    double start = seconds();
    int64_t most_cost = !object_can_merge(o->target) || kernels_shared(o) ? INT64_MAX
                        : o->part_cost                                    ? o->part_cost
                                                                          : PART_COST;
    bool ok = part_open(&g, ctx, graph, o, most_cost) && build_module(&g);
    if (ok) stamp(&g, out->build_id = build_id(&g));
    tell_time(&g, "module: build", start);
    start = seconds();
    ok = ok && make_parts(&g, out->build_id) && join_parts(&g, out);
    if (ok) {
        out->header = header_text(&g, out->build_id);
        if (object_is_elf(o->target))
            out->weights = g.plan.weights, out->n_weights = g.plan.n_weights, out->weights_bytes = g.plan.weights_bytes;
        out->weights_section = o->weights_section ? o->weights_section : ".rodata.mcc_weights";
        out->code = g.plan.code;
        out->segments = g.plan.weights, out->n_segments = g.plan.n_weights;
        out->blocks = g.plan.blocks, out->n_blocks = g.plan.n_blocks;
        out->n_parts = g.n_parts;
        out->workspace_bytes = g.device ? g.device_bytes : g.plan.workspace;
        out->workspace_lower_bound = g.plan.lower_bound;
        out->stack_bytes = g.stack;
    }
    tell_time(&g, "object: link kernels, optimise, code generation", start);
    parts_close(&g);
    return ok;
}

/* nodes are numbered as they come, those of bodies behind what runs them */
static void print_loops(Gen *g, const Graph *graph, int *at, FILE *out) {
    const Target *t = g->opt->device ? g->opt->device->target : g->target;
    Graph *bodies[MAX_BODIES];
    for (const Node *n = graph->first; n; n = n->next) {
        const Emitter *e = emitter_of(n);
        fprintf(out, "%d: %s %s\n", (*at)++, codegen_form(t, n), op_info(n->op)->name);
        if (e->print && (!t->sm || e == &fused_emitter)) e->print(g->ctx, n, out);
        int count = node_bodies(n, bodies);
        for (int i = 0; i < count; i++) {
            fprintf(out, "body %d of it:\n", i);
            print_loops(g, bodies[i], at, out);
        }
    }
}

/* machine code that is no text of LLVM's, as bytes */
static void print_code(const Gen *g, FILE *out) {
    enum { EACH = 16 /* bytes a line */ };
    const Segments *c = &g->plan.code;
    if (!c->n) return;
    fprintf(out, "\n\t.section\t.text.mcc_sparse,\"ax\",@progbits\n\t.p2align\t6\n\t.hidden\t%s_code\n%s_code:\n",
            g->opt->name, g->opt->name);
    for (int i = 0; i < c->n; i++) {
        const unsigned char *bytes = c->list[i].data;
        fputs("\t.p2align\t6\n", out);
        for (size_t k = 0; k < c->list[i].bytes; k++)
            fprintf(out, "%s0x%02x", k % EACH ? "," : k ? "\n\t.byte\t" : "\t.byte\t", bytes[k]);
        fputc('\n', out);
    }
}

/* text is the whole in one part */
static bool print_module(Gen *g, EmitText what, FILE *out) {
    g->device_ir = what == EMIT_LLVM;
    if (!build_module(g)) return false;
    if (g->device) { /* the host's own code is of no interest */
        fwrite(g->device_text.p, 1, g->device_text.n, out);
        return true;
    }
    stamp(g, build_id(g));
    if (what == EMIT_ASM) {
        if (!compile_parts(g, LLVMAssemblyFile)) return false;
        fwrite(LLVMGetBufferStart(g->object), 1, LLVMGetBufferSize(g->object), out);
        print_code(g, out);
        return true;
    }
    if (!part_optimise(g)) {
        diag_error(g->ctx, NULL, "%s", g->error);
        return false;
    }
    char *text = LLVMPrintModuleToString(g->module);
    fputs(text, out);
    LLVMDisposeMessage(text);
    return true;
}

bool codegen_print(Ctx *ctx, Graph *graph, const CodeOptions *o, EmitText what, FILE *out) {
    Gen g;
    Pair pair;
    if (!(o = options_of_host(ctx, o, &pair))) return false;
    bool ok = part_open(&g, ctx, graph, o, INT64_MAX);
    int at = 0;
    if (ok && what == EMIT_LOOPS) print_loops(&g, graph, &at, out);
    else ok = ok && print_module(&g, what, out);
    parts_close(&g);
    return ok;
}

void code_free(Code *c) {
    if (c->object) LLVMDisposeMemoryBuffer(c->object);
    c->object = NULL;
}
