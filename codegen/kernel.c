/* One internal function a distinct computation: nodes whose operator, attributes, types, dims and embedded constants agree
 * share it. Its parameters: the inputs, the outputs, scratch, and the open dims that its types speak of. */
#include <stdlib.h>
#include <string.h>
#include "codegen/gen.h"

typedef struct KernelEntry {
    struct KernelEntry *next;
    const char *key;
    LLVMValueRef fn;
    LLVMTypeRef type;
} KernelEntry;

LLVMValueRef kernel_dim(Kernel *k, Dim d) { return gen_dim(k->gen, k->b, d, k->symbols, k->n_symbols); }

static void key_value(Ctx *ctx, FILE *f, const Value *v) {
    if (!v) {
        fputs("-;", f);
        return;
    }
    fprintf(f, "%d:", v->type.dtype);
    for (int i = 0; i < v->type.rank; i++) fprintf(f, "%s,", dim_text(ctx, v->type.dims[i]));
    fputc(';', f);
}

static void key_bytes(FILE *f, const void *p, size_t n) {
    const unsigned char *c = p;
    for (size_t i = 0; i < n; i++) fprintf(f, "%02x", c[i]);
}

static void key_attrs(FILE *f, const Node *n) {
    int64_t words[MAX_ATTR_WORDS];
    key_bytes(f, words, sizeof *words * (size_t)node_attr_words(n, words));
    for (int i = 0; i < n->n_attrs; i++)
        if (n->attrs[i].kind == ATTR_TENSOR && n->attrs[i].tensor)
            key_bytes(f, n->attrs[i].tensor->data, n->attrs[i].tensor->bytes);
}

static void key_node(Ctx *ctx, FILE *f, const Node *n);

/* the body of a fused node: its nodes with their operands as places in the list */
static void key_body(Ctx *ctx, FILE *f, const Graph *g) {
    int *place = calloc((size_t)ctx->next_id, sizeof *place), count = 0;
    if (!place) mem_fail(ctx, (size_t)ctx->next_id);
    for (int i = 0; i < g->n_inputs; i++) place[g->inputs[i]->id] = ++count;
    for (const Node *n = g->first; n; n = n->next) {
        key_node(ctx, f, n);
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i] && n->in[i]->constant) key_bytes(f, n->in[i]->constant->data, n->in[i]->constant->bytes);
            else fprintf(f, "@%d", n->in[i] ? place[n->in[i]->id] : 0);
        for (int i = 0; i < n->n_out; i++)
            if (n->out[i]) place[n->out[i]->id] = ++count;
    }
    for (int i = 0; i < g->n_outputs; i++) fprintf(f, "=%d", place[g->outputs[i]->id]);
    free(place);
}

static void key_node(Ctx *ctx, FILE *f, const Node *n) {
    fprintf(f, "%d|", n->op);
    key_attrs(f, n);
    for (int i = 0; i < n->n_in; i++) key_value(ctx, f, n->in[i]);
    for (int i = 0; i < n->n_out; i++) key_value(ctx, f, n->out[i]);
}

bool kernel_has_constant(const Node *n, int i) { return n->in[i] && n->in[i]->constant && kernel_embeds(n, i); }

const char *kernel_key(Ctx *ctx, const Node *n, unsigned in_place) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f) mem_fail(ctx, 1);
    fprintf(f, "%u|", in_place);
    key_node(ctx, f, n);
    for (int i = 0; i < n->n_in; i++)
        if (kernel_has_constant(n, i)) key_bytes(f, n->in[i]->constant->data, n->in[i]->constant->bytes), fputc('|', f);
    for (int i = 0; i < n->n_in && n->body; i++) fprintf(f, "%g,", n->in[i] ? (double)value_limit(n->in[i]) : 0);
    if (n->body) key_body(ctx, f, n->body);
    if (fclose(f)) mem_fail(ctx, size);
    const char *key = arena_str(ctx->arena, text, size).p;
    free(text);
    return key;
}

/* inputs, outputs, scratch, symbols, and of a kernel in chunks the chunk */
static LLVMTypeRef kernel_type(Gen *g, const Node *n, int n_symbols, int chunks) {
    int count = n->n_in + n->n_out + 1 + n_symbols + (chunks > 1), used = 0;
    LLVMTypeRef *types = ARENA_ARRAY(g->ctx->arena, count, LLVMTypeRef);
    for (; used < n->n_in + n->n_out + 1; used++) types[used] = g->ptr;
    for (; used < count; used++) types[used] = g->i64;
    return LLVMFunctionType(g->i32, types, (unsigned)count, 0);
}

/* an input that output 0 overwrites is reached through output 0's pointer alone, so that all parameters are noalias */
static void add_pointer_attrs(Gen *g, const Node *n, LLVMValueRef fn) {
    for (int i = 0; i < n->n_in + n->n_out + 1; i++) gen_attr(g, fn, (unsigned)i + 1, "noalias", 0);
    for (int i = 0; i < n->n_in; i++) gen_attr(g, fn, (unsigned)i + 1, "readonly", 0);
}

static LLVMValueRef scratch_of(Kernel *k, LLVMValueRef all) {
    size_t bytes = 0;
    const Emitter *e = emitter_of(k->node);
    if (k->chunks == 1 || !e->scratch || !e->scratch(k->gen->ctx, k->node, &bytes)) return all;
    int64_t apart = (int64_t)((bytes + 63) / 64 * 64);
    return gen_offset(k->gen, k->b, all, LLVMBuildMul(k->b, k->chunk, gen_i64(k->gen, apart), ""));
}

static LLVMValueRef kernel_new(Gen *g, const Node *n, int number, Symbol *symbols, int n_symbols, unsigned in_place, int chunks) {
    const Emitter *e = emitter_of(n);
    Arena *a = g->ctx->arena;
    const Fat *fat = g->opt->fat;
    const char *name = arena_printf(a, "kernel.%s.%d%s%s", op_info(n->op)->name, number, fat ? "." : "",
                                    fat ? fat->variants[fat->at].cpu : ""); /* variants are joined */
    LLVMValueRef fn = LLVMAddFunction(g->module, name, kernel_type(g, n, n_symbols, chunks));
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    gen_function_attrs(g, fn);
    gen_attr(g, fn, LLVMAttributeFunctionIndex, "noinline", 0);
    add_pointer_attrs(g, n, fn);
    Kernel k = {.gen = g, .node = n, .fn = fn, .symbols = symbols, .n_symbols = n_symbols, .chunks = chunks};
    k.b = LLVMCreateBuilderInContext(g->llvm);
    LLVMPositionBuilderAtEnd(k.b, LLVMAppendBasicBlockInContext(g->llvm, fn, "entry"));
    k.in = ARENA_ARRAY(a, n->n_in, LLVMValueRef);
    k.out = ARENA_ARRAY(a, n->n_out, LLVMValueRef);
    unsigned at = 0;
    for (int i = 0; i < n->n_in; i++, at++) {
        if (!n->in[i]) continue;
        const Tensor *t = n->in[i]->constant;
        bool shared = in_place >> i & 1;
        k.in[i] = kernel_has_constant(n, i) ? gen_bytes(g, t->data, t->bytes, 16) : LLVMGetParam(fn, shared ? (unsigned)n->n_in : at);
    }
    for (int i = 0; i < n->n_out; i++, at++) k.out[i] = n->out[i] ? LLVMGetParam(fn, at) : NULL;
    LLVMValueRef scratch = LLVMGetParam(fn, at++);
    for (int i = 0; i < n_symbols; i++) symbols[i].value = LLVMGetParam(fn, at++);
    k.chunk = chunks > 1 ? LLVMGetParam(fn, at++) : gen_i64(g, 0);
    k.scratch = scratch_of(&k, scratch);
    bool ok = e->emit(&k);
    LLVMDisposeBuilder(k.b);
    debug_whole(g, fn, n);
    return ok ? fn : NULL;
}

LLVMValueRef kernel_call(Gen *g, LLVMBuilderRef b, const Node *n, LLVMValueRef *in, LLVMValueRef *out, LLVMValueRef scratch,
                         const Symbol *symbols, int n_symbols, unsigned in_place) {
    Ctx *ctx = g->ctx;
    Symbol *own;
    int n_own = collect_symbols(ctx, n, &own);
    const char *key = kernel_key(ctx, n, in_place);
    int chunks = node_chunks(g->opt, n);
    KernelEntry *e = g->kernels;
    while (e && strcmp(e->key, key)) e = e->next;
    if (!e) {
        e = ARENA_NEW(ctx->arena, KernelEntry);
        e->key = key;
        e->type = kernel_type(g, n, n_own, chunks);
        Gen *part = part_of_kernel(g);
        LLVMValueRef fn = part ? kernel_new(part, n, g->n_kernels++, own, n_own, in_place, chunks) : NULL;
        if (!fn) return NULL;
        e->fn = part_import(g, part, fn, e->type);
        e->next = g->kernels;
        g->kernels = e;
    }
    int count = n->n_in + n->n_out + 1 + n_own, used = 0;
    LLVMValueRef *args = ARENA_ARRAY(ctx->arena, count, LLVMValueRef), none = LLVMConstNull(g->ptr);
    for (int i = 0; i < n->n_in; i++) args[used++] = in[i] ? in[i] : none;
    for (int i = 0; i < n->n_out; i++) args[used++] = out[i] ? out[i] : none;
    args[used++] = scratch ? scratch : none;
    for (int i = 0; i < n_own; i++) args[used++] = gen_dim(g, b, own[i].dim, symbols, n_symbols);
    if (chunks == 1) return LLVMBuildCall2(b, e->type, e->fn, args, (unsigned)count, "");
    parallel_call(g, b, e->fn, e->type, args, count, chunks);
    return gen_i32(g, MCC_OK);
}
