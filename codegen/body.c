/* The body of a model: one call a node, in order, each on the places that the plan gave; a status other than MCC_OK
 * returns at once. Parameters: inputs, outputs, a dims pointer for each output whose dims depend on data, open dims,
 * workspace. */
#include "codegen/gen.h"

typedef struct Body {
    Gen *g;
    LLVMBuilderRef b;
    LLVMValueRef fn, workspace, *in, *out, *out_dims;
    Symbol *symbols;
    int n_symbols;
} Body;

bool output_has_data_dims(const Value *v) {
    for (int i = 0; i < v->type.rank; i++)
        if (dim_has_data(v->type.dims[i])) return true;
    return false;
}

static LLVMTypeRef body_type(Gen *g) {
    int n = g->graph->n_inputs + g->graph->n_outputs * 2 + g->n_open + 1, used = 0;
    LLVMTypeRef *types = ARENA_ARRAY(g->ctx->arena, n, LLVMTypeRef);
    for (int i = 0; i < g->graph->n_inputs + g->graph->n_outputs; i++) types[used++] = g->ptr;
    for (int i = 0; i < g->graph->n_outputs; i++)
        if (output_has_data_dims(g->graph->outputs[i])) types[used++] = g->ptr;
    for (int i = 0; i < g->n_open; i++) types[used++] = g->i64;
    types[used++] = g->ptr;
    return LLVMFunctionType(g->i32, types, (unsigned)used, 0);
}

static LLVMValueRef place(Body *s, const Value *v) {
    Gen *g = s->g;
    Loc l = g->plan.loc[v->id];
    switch (l.kind) {
    case LOC_INPUT: return gen_offset(g, s->b, s->in[l.index], gen_i64(g, (int64_t)l.offset));
    case LOC_OUTPUT: return gen_offset(g, s->b, s->out[l.index], gen_i64(g, (int64_t)l.offset));
    case LOC_WORKSPACE: return gen_offset(g, s->b, s->workspace, gen_i64(g, (int64_t)l.offset));
    case LOC_WEIGHTS: return gen_offset(g, s->b, g->weights, gen_i64(g, (int64_t)l.offset));
    default: return gen_bytes(g, v->constant->data, v->constant->bytes, 16); /* embedded */
    }
}

static void require_ok(Body *s, LLVMValueRef status) {
    gen_require(s->g, s->b, LLVMBuildICmp(s->b, LLVMIntEQ, status, gen_i32(s->g, MCC_OK), ""), status);
}

static bool knows(const Body *s, Dim d) {
    for (int i = 0; i < s->n_symbols; i++)
        if (s->symbols[i].dim == d) return true;
    return false;
}

/* the next dim, from output *i and axis *d on, that this node is the first to write */
static Dim next_unknown(const Body *s, const Node *n, int *i, int *d) {
    for (; *i < n->n_out; ++*i, *d = 0)
        for (; n->out[*i] && *d < n->out[*i]->type.rank; ++*d) {
            Dim dim = n->out[*i]->type.dims[*d];
            if (dim->kind == DIM_SYMBOL && dim->node && !knows(s, dim)) return dim;
        }
    return NULL;
}

/* dims that this node writes: asked of shape_<op> before it runs, and held against their bounds */
static void define_data_dims(Body *s, const Node *n, LLVMValueRef *in) {
    Gen *g = s->g;
    int i = 0, d = 0;
    Dim dim = next_unknown(s, n, &i, &d);
    if (!dim) return;
    LLVMValueRef *dims = ARENA_ARRAY(g->ctx->arena, n->n_out * MCC_MAX_RANK, LLVMValueRef);
    LLVMValueRef status = reference_shape_call(g, s->b, n, in, s->symbols, s->n_symbols, dims);
    require_ok(s, status);
    for (; dim; dim = next_unknown(s, n, &i, &d)) {
        LLVMValueRef v = dims[i * MCC_MAX_RANK + d];
        gen_require(s->g, s->b, LLVMBuildICmp(s->b, LLVMIntULE, v, gen_i64(g, dim->hi), ""), gen_i32(g, MCC_E_INDEX));
        s->symbols =
            arena_grow(g->ctx->arena, s->symbols, (size_t)s->n_symbols, (size_t)s->n_symbols + 1, sizeof *s->symbols);
        s->symbols[s->n_symbols++] = (Symbol){dim, v};
    }
}

static unsigned in_place_inputs(Body *s, const Node *n) {
    unsigned mask = 0;
    for (int o = 0; o < n->n_out; o++)
        for (int i = 0; n->out[o] && i < n->n_in && i < 32; i++) {
            if (!n->in[i] || n->in[i]->constant) continue;
            Loc x = s->g->plan.loc[n->in[i]->id], y = s->g->plan.loc[n->out[o]->id];
            if (x.kind == LOC_WORKSPACE && y.kind == LOC_WORKSPACE && x.offset == y.offset) mask |= 1u << i;
        }
    return mask;
}

static bool same_place(Gen *g, const Value *a, const Value *b) {
    Loc x = g->plan.loc[a->id], y = g->plan.loc[b->id];
    return x.kind == y.kind && x.index == y.index && x.offset == y.offset;
}

static bool run_node(Body *s, const Node *n) {
    Gen *g = s->g;
    LLVMValueRef *in = ARENA_ARRAY(g->ctx->arena, n->n_in, LLVMValueRef),
                 *out = ARENA_ARRAY(g->ctx->arena, n->n_out, LLVMValueRef);
    for (int i = 0; i < n->n_in; i++) in[i] = n->in[i] && !kernel_has_code_of(n, i) ? place(s, n->in[i]) : NULL;
    debug_at(g, s->b, s->fn, n);
    int code = g->plan.code_of[n->id];
    if (code >= 0) in[1] = gen_offset(g, s->b, g->code, gen_i64(g, (int64_t)g->plan.code.list[code].offset));
    define_data_dims(s, n, in);
    if (op_has(n->op, OP_VIEW) && same_place(g, n->in[0], n->out[0])) return true;
    if (g->plan.joined[n->id]) return true;
    for (int i = 0; i < n->n_out; i++) out[i] = n->out[i] ? place(s, n->out[i]) : NULL;
    size_t at = g->plan.scratch[n->id];
    LLVMValueRef scratch = at == NO_SCRATCH ? NULL : gen_offset(g, s->b, s->workspace, gen_i64(g, (int64_t)at));
    LLVMValueRef start = g->opt->profile ? profile_ticks(g, s->b) : NULL;
    LLVMValueRef status = kernel_call(g, s->b, n, in, out, scratch, s->symbols, s->n_symbols, in_place_inputs(s, n));
    if (!status) return false;
    if (start) profile_count(g, s->b, s->workspace, n, start);
    require_ok(s, status);
    return true;
}

static LLVMValueRef byte_count(Body *s, const Value *v) {
    LLVMValueRef n = gen_i64(s->g, 1);
    for (int i = 0; i < v->type.rank; i++)
        n = LLVMBuildMul(s->b, n, gen_dim(s->g, s->b, v->type.dims[i], s->symbols, s->n_symbols), "");
    return gen_byte_count(s->g, s->b, v->type.dtype, n);
}

/* outputs that are inputs, constants or views of what lives elsewhere; dims that depend on data */
static void finish_outputs(Body *s) {
    Gen *g = s->g;
    for (int i = 0; i < g->graph->n_outputs; i++) {
        const Value *v = g->graph->outputs[i];
        Loc l = g->plan.loc[v->id];
        if (l.kind != LOC_OUTPUT || l.index != i || l.offset) {
            LLVMValueRef bytes = LLVMBuildTruncOrBitCast(s->b, byte_count(s, v), g->size_type, "");
            LLVMBuildMemCpy(s->b, s->out[i], 1, place(s, v), 1, bytes);
        }
        for (int d = 0; s->out_dims[i] && d < v->type.rank; d++)
            LLVMBuildStore(s->b, gen_dim(g, s->b, v->type.dims[d], s->symbols, s->n_symbols),
                           gen_offset(g, s->b, s->out_dims[i], gen_i64(g, d * 8)));
    }
}

LLVMValueRef gen_body(Gen *g) {
    Graph *graph = g->graph;
    Arena *a = g->ctx->arena;
    Body s = {.g = g};
    s.fn = LLVMAddFunction(g->module, "body", body_type(g));
    LLVMSetLinkage(s.fn, LLVMInternalLinkage);
    gen_function_attrs(g, s.fn);
    debug_function(g, s.fn, NULL);
    s.b = LLVMCreateBuilderInContext(g->llvm);
    LLVMPositionBuilderAtEnd(s.b, LLVMAppendBasicBlockInContext(g->llvm, s.fn, "entry"));
    s.in = ARENA_ARRAY(a, graph->n_inputs, LLVMValueRef);
    s.out = ARENA_ARRAY(a, graph->n_outputs, LLVMValueRef);
    s.out_dims = ARENA_ARRAY(a, graph->n_outputs, LLVMValueRef);
    s.symbols = ARENA_ARRAY(a, g->n_open, Symbol);
    unsigned at = 0;
    for (int i = 0; i < graph->n_inputs; i++) s.in[i] = LLVMGetParam(s.fn, at++);
    for (int i = 0; i < graph->n_outputs; i++) s.out[i] = LLVMGetParam(s.fn, at++);
    for (int i = 0; i < graph->n_outputs; i++)
        if (output_has_data_dims(graph->outputs[i])) s.out_dims[i] = LLVMGetParam(s.fn, at++);
    for (int i = 0; i < g->n_open; i++) s.symbols[s.n_symbols++] = (Symbol){g->open[i].dim, LLVMGetParam(s.fn, at++)};
    s.workspace = LLVMGetParam(s.fn, at);
    for (const Node *n = graph->first; n; n = n->next)
        if (!run_node(&s, n)) return NULL;
    debug_at(g, s.b, s.fn, NULL);
    finish_outputs(&s);
    LLVMBuildRet(s.b, gen_i32(g, MCC_OK));
    LLVMDisposeBuilder(s.b);
    return s.fn;
}
