/* The body of a graph: one call a node, in order, each on the places that the plan gave; a status other than MCC_OK
 * returns at once. The model is one such function, and so is every body of control flow in it. Parameters: inputs,
 * outputs, a dims pointer for each output whose dims depend on data, open dims, workspace, and, for a body, the
 * workspace's beginning. */
#include "codegen/body.h"

bool output_has_data_dims(const Value *v) {
    for (int i = 0; i < v->type.rank; i++)
        if (dim_has_data(v->type.dims[i])) return true;
    return false;
}

static LLVMTypeRef body_type(Gen *g, const Graph *graph, int n_symbols) {
    int n = graph->n_inputs + graph->n_outputs * 2 + n_symbols + 2, used = 0;
    LLVMTypeRef *types = ARENA_ARRAY(g->ctx->arena, n, LLVMTypeRef);
    for (int i = 0; i < graph->n_inputs + graph->n_outputs; i++) types[used++] = g->ptr;
    for (int i = 0; i < graph->n_outputs; i++)
        if (output_has_data_dims(graph->outputs[i])) types[used++] = g->ptr;
    for (int i = 0; i < n_symbols; i++) types[used++] = g->i64;
    types[used++] = g->ptr;
    if (graph->outer) types[used++] = g->ptr;
    return LLVMFunctionType(g->i32, types, (unsigned)used, 0);
}

LLVMValueRef body_place(Body *s, const Value *v) {
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

void body_require(Body *s, LLVMValueRef status) {
    gen_require(s->g, s->b, LLVMBuildICmp(s->b, LLVMIntEQ, status, gen_i32(s->g, MCC_OK), ""), status);
}

void body_define(Body *s, Dim symbol, LLVMValueRef value) {
    size_t n = (size_t)s->n_symbols;
    s->symbols = arena_grow(s->g->ctx->arena, s->symbols, n, n + 1, sizeof *s->symbols);
    s->symbols[s->n_symbols++] = (Symbol){symbol, value};
}

LLVMValueRef body_dim(Body *s, Dim d) { return gen_dim(s->g, s->b, d, s->symbols, s->n_symbols); }

static bool knows(const Body *s, Dim d) {
    for (int i = 0; i < s->n_symbols; i++)
        if (s->symbols[i].dim == d) return true;
    return false;
}

static bool knows_all(const Body *s, Dim d) {
    Symbol *parts = NULL;
    int n = 0;
    add_symbols(s->g->ctx, d, &parts, &n);
    for (int i = 0; i < n; i++)
        if (!knows(s, parts[i].dim)) return false;
    return true;
}

/* what this graph takes to be equal, and can be compared by now */
static void require_equal_dims(Body *s) {
    const Ctx *ctx = s->g->ctx;
    for (int i = 0; i < ctx->n_equal; i++) {
        const DimEqual *e = &ctx->equal[i];
        if (e->in != s->graph || s->compared[i] || !knows_all(s, e->a) || !knows_all(s, e->b)) continue;
        LLVMValueRef same = LLVMBuildICmp(s->b, LLVMIntEQ, body_dim(s, e->a), body_dim(s, e->b), "");
        gen_require(s->g, s->b, same, gen_i32(s->g, MCC_E_SHAPE));
        s->compared[i] = true;
    }
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
static void define_data_dims(Body *s, const Node *n, LLVMValueRef *in, LLVMValueRef scratch) {
    Gen *g = s->g;
    int i = 0, d = 0;
    Dim dim = next_unknown(s, n, &i, &d);
    if (!dim) return;
    LLVMValueRef *dims = ARENA_ARRAY(g->ctx->arena, n->n_out * MCC_MAX_RANK, LLVMValueRef);
    LLVMValueRef status = reference_shape_call(g, s->b, n, in, scratch, s->symbols, s->n_symbols, dims);
    body_require(s, status);
    for (; dim; dim = next_unknown(s, n, &i, &d)) {
        LLVMValueRef v = dims[i * MCC_MAX_RANK + d];
        gen_require(s->g, s->b, LLVMBuildICmp(s->b, LLVMIntULE, v, gen_i64(g, dim->hi), ""), gen_i32(g, MCC_E_INDEX));
        body_define(s, dim, v);
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
    if (op_has(n->op, OP_CONTROL)) return control_run(s, n);
    LLVMValueRef *in = ARENA_ARRAY(g->ctx->arena, n->n_in, LLVMValueRef),
                 *out = ARENA_ARRAY(g->ctx->arena, n->n_out, LLVMValueRef);
    for (int i = 0; i < n->n_in; i++) in[i] = n->in[i] && !kernel_has_code_of(n, i) ? body_place(s, n->in[i]) : NULL;
    debug_at(g, s->b, s->fn, n);
    int code = g->plan.code_of[n->id];
    if (code >= 0) in[1] = gen_offset(g, s->b, g->code, gen_i64(g, (int64_t)g->plan.code.list[code].offset));
    size_t at = g->plan.scratch[n->id];
    LLVMValueRef scratch = at == NO_SCRATCH ? NULL : gen_offset(g, s->b, s->workspace, gen_i64(g, (int64_t)at));
    define_data_dims(s, n, in, scratch);
    if (op_has(n->op, OP_VIEW) && same_place(g, n->in[0], n->out[0])) return true;
    if (g->plan.joined[n->id]) return true;
    for (int i = 0; i < n->n_out; i++) out[i] = n->out[i] ? body_place(s, n->out[i]) : NULL;
    LLVMValueRef start = g->opt->profile ? profile_ticks(g, s->b) : NULL;
    LLVMValueRef status = kernel_call(g, s->b, n, in, out, scratch, s->symbols, s->n_symbols, in_place_inputs(s, n));
    if (!status) return false;
    if (start) profile_count(g, s->b, s->state, n, start);
    body_require(s, status);
    return true;
}

LLVMValueRef body_bytes(Body *s, const Value *v) {
    LLVMValueRef n = gen_i64(s->g, 1);
    for (int i = 0; i < v->type.rank; i++) n = LLVMBuildMul(s->b, n, body_dim(s, v->type.dims[i]), "");
    return gen_byte_count(s->g, s->b, v->type.dtype, n);
}

void body_copy(Body *s, LLVMValueRef to, LLVMValueRef from, LLVMValueRef bytes) {
    LLVMBuildMemCpy(s->b, to, 1, from, 1, LLVMBuildTruncOrBitCast(s->b, bytes, s->g->size_type, ""));
}

/* outputs that are inputs, constants or views of what lives elsewhere; dims that depend on data */
static void finish_outputs(Body *s) {
    Gen *g = s->g;
    for (int i = 0; i < s->graph->n_outputs; i++) {
        const Value *v = s->graph->outputs[i];
        Loc l = g->plan.loc[v->id];
        if (l.kind != LOC_OUTPUT || l.index != i || l.offset)
            body_copy(s, s->out[i], body_place(s, v), body_bytes(s, v));
        for (int d = 0; s->out_dims[i] && d < v->type.rank; d++)
            LLVMBuildStore(s->b, body_dim(s, v->type.dims[d]), gen_offset(g, s->b, s->out_dims[i], gen_i64(g, d * 8)));
    }
}

static LLVMValueRef graph_function(Gen *g, const Graph *graph, const char *name, const Symbol *open, int n_open) {
    Arena *a = g->ctx->arena;
    Body s = {.g = g, .graph = graph};
    s.fn = LLVMAddFunction(g->module, name, body_type(g, graph, n_open));
    LLVMSetLinkage(s.fn, LLVMInternalLinkage);
    gen_function_attrs(g, s.fn);
    debug_function(g, s.fn, NULL);
    s.b = LLVMCreateBuilderInContext(g->llvm);
    LLVMPositionBuilderAtEnd(s.b, LLVMAppendBasicBlockInContext(g->llvm, s.fn, "entry"));
    s.in = ARENA_ARRAY(a, graph->n_inputs, LLVMValueRef);
    s.out = ARENA_ARRAY(a, graph->n_outputs, LLVMValueRef);
    s.out_dims = ARENA_ARRAY(a, graph->n_outputs, LLVMValueRef);
    s.symbols = ARENA_ARRAY(a, n_open, Symbol);
    s.compared = ARENA_ARRAY(a, g->ctx->n_equal, bool);
    unsigned at = 0;
    for (int i = 0; i < graph->n_inputs; i++) s.in[i] = LLVMGetParam(s.fn, at++);
    for (int i = 0; i < graph->n_outputs; i++) s.out[i] = LLVMGetParam(s.fn, at++);
    for (int i = 0; i < graph->n_outputs; i++)
        if (output_has_data_dims(graph->outputs[i])) s.out_dims[i] = LLVMGetParam(s.fn, at++);
    for (int i = 0; i < n_open; i++) s.symbols[s.n_symbols++] = (Symbol){open[i].dim, LLVMGetParam(s.fn, at++)};
    s.workspace = LLVMGetParam(s.fn, at++);
    s.state = graph->outer ? LLVMGetParam(s.fn, at) : s.workspace;
    require_equal_dims(&s);
    for (const Node *n = graph->first; n; n = n->next) {
        int known = s.n_symbols;
        if (!run_node(&s, n)) return NULL;
        if (s.n_symbols > known) require_equal_dims(&s);
    }
    debug_at(g, s.b, s.fn, NULL);
    finish_outputs(&s);
    LLVMBuildRet(s.b, gen_i32(g, MCC_OK));
    LLVMDisposeBuilder(s.b);
    return s.fn;
}

LLVMValueRef gen_body(Gen *g) { return graph_function(g, g->graph, "body", g->open, g->n_open); }

/* the dims of s, and more: as parameters of a function, or as what it is given */
static Symbol *all_symbols(Body *s, const Symbol *more, int n_more) {
    Symbol *all = ARENA_ARRAY(s->g->ctx->arena, s->n_symbols + n_more, Symbol);
    for (int i = 0; i < s->n_symbols; i++) all[i] = s->symbols[i];
    for (int i = 0; i < n_more; i++) all[s->n_symbols + i] = more[i];
    return all;
}

LLVMValueRef body_function(Body *s, const Graph *graph, const Symbol *more, int n_more) {
    const char *name = arena_printf(s->g->ctx->arena, "body.%d", s->g->n_bodies++);
    return graph_function(s->g, graph, name, all_symbols(s, more, n_more), s->n_symbols + n_more);
}

void body_call(Body *s, const Graph *graph, LLVMValueRef fn, LLVMValueRef *in, LLVMValueRef *out, LLVMValueRef *dims,
               const Symbol *more, int n_more, LLVMValueRef workspace) {
    const Symbol *all = all_symbols(s, more, n_more);
    int most = graph->n_inputs + 2 * graph->n_outputs + s->n_symbols + n_more + 2, n = 0;
    LLVMValueRef *args = ARENA_ARRAY(s->g->ctx->arena, most, LLVMValueRef);
    for (int i = 0; i < graph->n_inputs; i++) args[n++] = in[i];
    for (int i = 0; i < graph->n_outputs; i++) args[n++] = out[i];
    for (int i = 0; i < graph->n_outputs; i++)
        if (output_has_data_dims(graph->outputs[i])) args[n++] = dims[i];
    for (int i = 0; i < s->n_symbols + n_more; i++) args[n++] = all[i].value;
    args[n++] = workspace;
    args[n++] = s->state;
    body_require(s, LLVMBuildCall2(s->b, LLVMGlobalGetValueType(fn), fn, args, (unsigned)n, ""));
}
