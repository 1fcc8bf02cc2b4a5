/* What an app calls: the typed entry `int NAME_run(in0, …, out0[, out0_dims], …, d0, …, workspace)`, the described
 * entry behind NAME_model.run, and the description itself. Both check everything before anything is written, then run
 * the body. */
#include <llvm-c/Analysis.h>
#include <string.h>
#include "codegen/gen.h"

enum { MAX_TYPED = 16, WORKSPACE_ALIGN = 64 };

typedef struct Entry {
    Gen *g;
    LLVMBuilderRef b;
    LLVMValueRef fn;
} Entry;

bool typed_entry_exists(const Graph *g) { return g->n_inputs + g->n_outputs <= MAX_TYPED; }

static void require_ok(Entry *e, LLVMValueRef status) {
    gen_require(e->g, e->b, LLVMBuildICmp(e->b, LLVMIntEQ, status, gen_i32(e->g, MCC_OK), ""), status);
}

static void require_aligned(Entry *e, LLVMValueRef p, unsigned align) {
    Gen *g = e->g;
    if (align <= 1) return;
    LLVMValueRef word = LLVMBuildPtrToInt(e->b, p, g->size_type, "");
    LLVMValueRef low = LLVMBuildAnd(e->b, word, LLVMConstInt(g->size_type, align - 1, 0), "");
    gen_require(e->g, e->b, LLVMBuildICmp(e->b, LLVMIntEQ, low, LLVMConstNull(g->size_type), ""),
                gen_i32(g, MCC_E_ALIGN));
}

static void require_workspace(Entry *e, LLVMValueRef workspace) {
    gen_require(e->g, e->b, LLVMBuildIsNotNull(e->b, workspace, ""), gen_i32(e->g, MCC_E_NULL));
    require_aligned(e, workspace, WORKSPACE_ALIGN);
}

static LLVMValueRef entry_new(Entry *e, Gen *g, const char *name, LLVMTypeRef type, LLVMLinkage linkage) {
    e->g = g;
    e->fn = LLVMAddFunction(g->module, name, type);
    LLVMSetLinkage(e->fn, linkage);
    gen_function_attrs(g, e->fn);
    e->b = LLVMCreateBuilderInContext(g->llvm);
    LLVMPositionBuilderAtEnd(e->b, LLVMAppendBasicBlockInContext(g->llvm, e->fn, "entry"));
    return e->fn;
}

static unsigned elem_align(const Value *v) {
    int bytes = dtype_bits(v->type.dtype) / 8;
    return bytes ? (unsigned)bytes : 1;
}

/* what inference took to be equal though open dims decide it */
static void require_equal_dims(Entry *e, const Symbol *open, int n_open) {
    Gen *g = e->g;
    for (int i = 0; i < g->ctx->n_equal; i++) {
        if (g->ctx->equal[i].in) continue;
        LLVMValueRef x = gen_dim(g, e->b, g->ctx->equal[i].a, open, n_open),
                     y = gen_dim(g, e->b, g->ctx->equal[i].b, open, n_open);
        gen_require(e->g, e->b, LLVMBuildICmp(e->b, LLVMIntEQ, x, y, ""), gen_i32(g, MCC_E_SHAPE));
    }
}

/* every dim of the model that these open dims could make negative */
static void require_dims(Entry *e, const Symbol *open, int n_open) {
    Gen *g = e->g;
    Dim *seen = ARENA_ARRAY(g->ctx->arena, g->ctx->next_id * MCC_MAX_RANK, Dim);
    int n_seen = 0;
    for (const Node *n = g->graph->first; n; n = n->next)
        for (int i = 0; i < n->n_out; i++)
            for (int d = 0; n->out[i] && d < n->out[i]->type.rank; d++) {
                Dim dim = n->out[i]->type.dims[d];
                bool checked = dim->lo >= 0 || dim_has_data(dim);
                for (int k = 0; k < n_seen && !checked; k++) checked = seen[k] == dim;
                if (checked) continue;
                seen[n_seen++] = dim;
                LLVMValueRef v = gen_dim(g, e->b, dim, open, n_open);
                gen_require(e->g, e->b, LLVMBuildICmp(e->b, LLVMIntSGE, v, gen_i64(g, 0), ""), gen_i32(g, MCC_E_SHAPE));
            }
}

static LLVMValueRef byte_count(Entry *e, const Value *v, const Symbol *open, int n_open) {
    Gen *g = e->g;
    LLVMValueRef n = gen_i64(g, 1);
    for (int i = 0; i < v->type.rank; i++) {
        Dim d = v->type.dims[i];
        n = LLVMBuildMul(e->b, n, dim_has_data(d) ? gen_i64(g, d->hi) : gen_dim(g, e->b, d, open, n_open), "");
    }
    return gen_byte_count(g, e->b, v->type.dtype, n);
}

static void require_buffer(Entry *e, const Value *v, LLVMValueRef p, unsigned align, const Symbol *open, int n_open) {
    Gen *g = e->g;
    LLVMValueRef empty = LLVMBuildICmp(e->b, LLVMIntEQ, byte_count(e, v, open, n_open), gen_i64(g, 0), "");
    gen_require(e->g, e->b, LLVMBuildOr(e->b, empty, LLVMBuildIsNotNull(e->b, p, ""), ""), gen_i32(g, MCC_E_NULL));
    require_aligned(e, p, align > elem_align(v) ? align : elem_align(v));
}

/* stream: the pointers are a device's, aligned to DEVICE_ALIGN, and a stream stands behind the workspace */
static void typed_entry(Gen *g, LLVMValueRef body, const char *what, bool stream) {
    enum { DEVICE_ALIGN = 16 };
    const Graph *graph = g->graph;
    Arena *a = g->ctx->arena;
    int n = graph->n_inputs + graph->n_outputs * 2 + g->n_open + 2, used = 0, at = 0;
    unsigned align = stream ? DEVICE_ALIGN : 1;
    LLVMTypeRef *types = ARENA_ARRAY(a, n, LLVMTypeRef);
    for (int i = 0; i < graph->n_inputs; i++) types[used++] = g->ptr;
    for (int i = 0; i < graph->n_outputs; i++) {
        types[used++] = g->ptr;
        if (output_has_data_dims(graph->outputs[i])) types[used++] = g->ptr;
    }
    for (int i = 0; i < g->n_open; i++) types[used++] = g->i64;
    types[used++] = g->ptr;
    if (stream) types[used++] = g->ptr;
    Entry e;
    const Fat *fat = g->opt->fat;
    const char *seen = arena_printf(a, "%s_%s", g->opt->name, what),
               *name = fat ? fat_symbol(g, "run", fat->variants[fat->at].cpu) : seen;
    LLVMValueRef fn = entry_new(&e, g, name, LLVMFunctionType(g->i32, types, (unsigned)used, 0), LLVMExternalLinkage);
    LLVMValueRef *args = ARENA_ARRAY(a, n, LLVMValueRef), *dims = ARENA_ARRAY(a, graph->n_outputs, LLVMValueRef);
    Symbol *open = ARENA_ARRAY(a, g->n_open, Symbol);
    used = 0;
    for (int i = 0; i < graph->n_inputs; i++) args[used++] = LLVMGetParam(fn, (unsigned)at++);
    for (int i = 0; i < graph->n_outputs; i++) {
        args[used++] = LLVMGetParam(fn, (unsigned)at++);
        if (output_has_data_dims(graph->outputs[i])) dims[i] = LLVMGetParam(fn, (unsigned)at++);
    }
    for (int i = 0; i < graph->n_outputs; i++)
        if (dims[i]) args[used++] = dims[i];
    for (int i = 0; i < g->n_open; i++) {
        open[i] = (Symbol){g->open[i].dim, LLVMGetParam(fn, (unsigned)at++)};
        args[used++] = open[i].value;
        gen_require(e.g, e.b, LLVMBuildICmp(e.b, LLVMIntSGE, open[i].value, gen_i64(g, 0), ""),
                    gen_i32(g, MCC_E_SHAPE));
        gen_require(e.g, e.b, LLVMBuildICmp(e.b, LLVMIntSLE, open[i].value, gen_i64(g, open[i].dim->hi), ""),
                    gen_i32(g, MCC_E_BOUND));
    }
    args[used++] = LLVMGetParam(fn, (unsigned)at);
    if (stream) args[used++] = LLVMGetParam(fn, (unsigned)at + 1);
    require_equal_dims(&e, open, g->n_open);
    require_dims(&e, open, g->n_open);
    require_workspace(&e, LLVMGetParam(fn, (unsigned)at));
    for (int i = 0; i < graph->n_inputs; i++) require_buffer(&e, graph->inputs[i], args[i], align, open, g->n_open);
    for (int i = 0; i < graph->n_outputs; i++) {
        require_buffer(&e, graph->outputs[i], args[graph->n_inputs + i], align, open, g->n_open);
        if (!dims[i]) continue;
        gen_require(e.g, e.b, LLVMBuildIsNotNull(e.b, dims[i], ""), gen_i32(g, MCC_E_NULL));
        require_aligned(&e, dims[i], 8);
    }
    LLVMBuildRet(e.b, LLVMBuildCall2(e.b, LLVMGlobalGetValueType(body), body, args, (unsigned)used, ""));
    LLVMDisposeBuilder(e.b);
    debug_whole(g, fn, NULL);
    if (fat) fat_function(g, fn, "run", seen);
}

void gen_typed_entry(Gen *g, LLVMValueRef body) { typed_entry(g, body, "run", false); }

void gen_stream_entry(Gen *g, LLVMValueRef body) { typed_entry(g, body, "run_on_stream", true); }

/* ---- the description ---- */

static LLVMValueRef constant_array(Gen *g, LLVMTypeRef type, LLVMValueRef *values, int n) {
    LLVMValueRef init = LLVMConstArray2(type, values, (uint64_t)n),
                 global = LLVMAddGlobal(g->module, LLVMTypeOf(init), "");
    LLVMSetInitializer(global, init);
    LLVMSetGlobalConstant(global, 1);
    LLVMSetLinkage(global, LLVMPrivateLinkage);
    return global;
}

static LLVMValueRef describe_tensors(Gen *g, Value *const *values, int n) {
    LLVMTypeRef dims_type = LLVMArrayType2(g->i64, MCC_MAX_RANK);
    LLVMTypeRef fields[5] = {g->ptr, g->i32, g->i32, dims_type, dims_type};
    LLVMTypeRef type = LLVMStructTypeInContext(g->llvm, fields, 5, 0);
    LLVMValueRef *infos = ARENA_ARRAY(g->ctx->arena, n, LLVMValueRef);
    for (int i = 0; i < n; i++) {
        const Type *t = &values[i]->type;
        LLVMValueRef dims[MCC_MAX_RANK], max[MCC_MAX_RANK];
        for (int d = 0; d < MCC_MAX_RANK; d++) {
            bool open = d < t->rank && t->dims[d]->kind != DIM_CONST;
            dims[d] = gen_i64(g, open ? -1 : d < t->rank ? t->dims[d]->value : 0);
            max[d] = gen_i64(g, d < t->rank ? t->dims[d]->hi : 0);
        }
        Str name = values[i]->name;
        LLVMValueRef f[5] = {gen_bytes(g, arena_str(g->ctx->arena, name.p, name.n).p, name.n + 1, 1),
                             gen_i32(g, (int)t->dtype), gen_i32(g, t->rank),
                             LLVMConstArray2(g->i64, dims, MCC_MAX_RANK), LLVMConstArray2(g->i64, max, MCC_MAX_RANK)};
        infos[i] = LLVMConstStructInContext(g->llvm, f, 5, 0);
    }
    return constant_array(g, type, infos, n);
}

static LLVMValueRef describe_model(Gen *g, LLVMValueRef run) {
    const char *name = g->opt->name;
    LLVMValueRef id = gen_bytes(g, "00000000000000000000000000000000", 33, 1);
    LLVMSetValueName2(id, "mcc_build_id", 12); /* filled once the code is final */
    LLVMValueRef f[11] = {gen_i32(g, MCC_ABI),
                          gen_i32(g, 0),
                          gen_bytes(g, name, strlen(name) + 1, 1),
                          id,
                          gen_i32(g, g->graph->n_inputs),
                          gen_i32(g, g->graph->n_outputs),
                          describe_tensors(g, g->graph->inputs, g->graph->n_inputs),
                          describe_tensors(g, g->graph->outputs, g->graph->n_outputs),
                          LLVMConstInt(g->size_type, g->plan.workspace, 0),
                          LLVMConstInt(g->size_type, WORKSPACE_ALIGN, 0),
                          run};
    LLVMValueRef init = LLVMConstStructInContext(g->llvm, f, 11, 0);
    LLVMValueRef model = LLVMAddGlobal(g->module, LLVMTypeOf(init), arena_printf(g->ctx->arena, "%s_model", name));
    LLVMSetInitializer(model, init);
    LLVMSetGlobalConstant(model, 1);
    if (g->opt->fat && !fat_is_last(g->opt->fat)) LLVMSetLinkage(model, LLVMInternalLinkage);
    return model;
}

/* ---- the described entry ---- */

static int64_t tensor_offset(Gen *g,
                             int field) { /* of mcc_tensor: 0 data, 1 bytes, 2 dtype, 3 rank, 4 dims, 5 its size */
    int64_t p = g->target->pointer_bits / 8, at[6] = {0, p, 2 * p, 2 * p + 4, 2 * p + 8, 2 * p + 8 + 8 * MCC_MAX_RANK};
    return at[field];
}

static LLVMValueRef tensor_field(Entry *e, LLVMValueRef tensors, int i, int field) {
    Gen *g = e->g;
    return gen_offset(g, e->b, tensors, gen_i64(g, i * tensor_offset(g, 5) + tensor_offset(g, field)));
}

static LLVMValueRef call_check(Entry *e, const char *name, LLVMValueRef *args, unsigned n) {
    Gen *g = e->g;
    LLVMTypeRef types[8];
    for (unsigned i = 0; i < n; i++) types[i] = LLVMTypeOf(args[i]);
    LLVMTypeRef type = LLVMFunctionType(g->i32, types, n, 0);
    return LLVMBuildCall2(e->b, type, LLVMAddFunction(g->module, name, type), args, n, "");
}

static LLVMValueRef symbol_table(Gen *g) {
    int n = g->graph->n_inputs * MCC_MAX_RANK;
    LLVMValueRef *index = ARENA_ARRAY(g->ctx->arena, n + 1, LLVMValueRef);
    for (int i = 0; i < n; i++) {
        const Type *t = &g->graph->inputs[i / MCC_MAX_RANK]->type;
        int symbol = -1;
        for (int s = 0; i % MCC_MAX_RANK < t->rank && s < g->n_open; s++)
            if (g->open[s].dim == t->dims[i % MCC_MAX_RANK]) symbol = s;
        index[i] = LLVMConstInt(g->i16, (uint64_t)(int64_t)symbol, 1);
    }
    index[n] = LLVMConstInt(g->i16, 0, 0);
    return constant_array(g, g->i16, index, n + 1);
}

/* MCC_OK or MCC_E_SPACE: the outputs' dims are written; any other: nothing is */
static LLVMValueRef check_buffers(Entry *e, LLVMValueRef model, LLVMValueRef in, LLVMValueRef out, const Symbol *open) {
    Gen *g = e->g;
    const Graph *graph = g->graph;
    int n = graph->n_inputs + graph->n_outputs;
    LLVMValueRef bytes = gen_alloca(g, e->b, LLVMArrayType2(g->i64, (uint64_t)n), 8);
    char *align = arena_alloc(g->ctx->arena, (size_t)n + 1);
    for (int i = 0; i < n; i++) {
        const Value *v = i < graph->n_inputs ? graph->inputs[i] : graph->outputs[i - graph->n_inputs];
        align[i] = (char)elem_align(v);
        LLVMBuildStore(e->b, byte_count(e, v, open, g->n_open), gen_offset(g, e->b, bytes, gen_i64(g, i * 8)));
    }
    LLVMValueRef args[5] = {model, in, out, bytes, gen_bytes(g, align, (size_t)n, 1)};
    LLVMValueRef status = call_check(e, "mcc_check_buffers", args, 5);
    LLVMValueRef fine = LLVMBuildOr(e->b, LLVMBuildICmp(e->b, LLVMIntEQ, status, gen_i32(g, MCC_OK), ""),
                                    LLVMBuildICmp(e->b, LLVMIntEQ, status, gen_i32(g, MCC_E_SPACE), ""), "");
    gen_require(e->g, e->b, fine, status);
    for (int i = 0; i < graph->n_outputs; i++) {
        const Type *t = &graph->outputs[i]->type;
        LLVMBuildStore(e->b, gen_i32(g, t->rank), tensor_field(e, out, i, 3));
        for (int d = 0; d < t->rank; d++) {
            LLVMValueRef dim =
                dim_has_data(t->dims[d]) ? gen_i64(g, t->dims[d]->hi) : gen_dim(g, e->b, t->dims[d], open, g->n_open);
            LLVMBuildStore(e->b, dim, gen_offset(g, e->b, tensor_field(e, out, i, 4), gen_i64(g, d * 8)));
        }
    }
    return status;
}

static void call_body(Entry *e, LLVMValueRef body, LLVMValueRef in, LLVMValueRef out, LLVMValueRef workspace,
                      const Symbol *open) {
    Gen *g = e->g;
    const Graph *graph = g->graph;
    LLVMValueRef *args =
        ARENA_ARRAY(g->ctx->arena, graph->n_inputs + graph->n_outputs * 2 + g->n_open + 1, LLVMValueRef);
    unsigned n = 0;
    for (int i = 0; i < graph->n_inputs; i++) args[n++] = LLVMBuildLoad2(e->b, g->ptr, tensor_field(e, in, i, 0), "");
    for (int i = 0; i < graph->n_outputs; i++) args[n++] = LLVMBuildLoad2(e->b, g->ptr, tensor_field(e, out, i, 0), "");
    for (int i = 0; i < graph->n_outputs; i++)
        if (output_has_data_dims(graph->outputs[i])) args[n++] = tensor_field(e, out, i, 4);
    for (int i = 0; i < g->n_open; i++) args[n++] = open[i].value;
    args[n++] = workspace;
    LLVMBuildRet(e->b, LLVMBuildCall2(e->b, LLVMGlobalGetValueType(body), body, args, n, ""));
}

void gen_described_entry(Gen *g, LLVMValueRef body) {
    Arena *a = g->ctx->arena;
    LLVMTypeRef params[3] = {g->ptr, g->ptr, g->ptr};
    Entry e;
    const Fat *fat = g->opt->fat;
    const char *name = fat ? fat_symbol(g, "described", fat->variants[fat->at].cpu) : "described";
    LLVMValueRef fn = entry_new(&e, g, name, LLVMFunctionType(g->i32, params, 3, 0), LLVMInternalLinkage);
    LLVMValueRef in = LLVMGetParam(fn, 0), out = LLVMGetParam(fn, 1), workspace = LLVMGetParam(fn, 2);
    LLVMValueRef model = describe_model(g, fat ? fat_function(g, fn, "described", NULL) : fn);
    LLVMValueRef symbols = gen_alloca(g, e.b, LLVMArrayType2(g->i64, (uint64_t)g->n_open + 1), 8);
    LLVMValueRef args[7] = {model, in, out, workspace, symbol_table(g), symbols, gen_i32(g, g->n_open)};
    require_ok(&e, call_check(&e, "mcc_check_inputs", args, 7));
    Symbol *open = ARENA_ARRAY(a, g->n_open, Symbol);
    for (int i = 0; i < g->n_open; i++)
        open[i] =
            (Symbol){g->open[i].dim, LLVMBuildLoad2(e.b, g->i64, gen_offset(g, e.b, symbols, gen_i64(g, i * 8)), "")};
    require_equal_dims(&e, open, g->n_open);
    require_dims(&e, open, g->n_open);
    require_workspace(&e, workspace);
    require_ok(&e, check_buffers(&e, model, in, out, open));
    call_body(&e, body, in, out, workspace, open);
    LLVMDisposeBuilder(e.b);
    debug_whole(g, fn, NULL);
}
