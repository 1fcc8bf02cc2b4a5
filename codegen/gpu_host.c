/* The host's side of a model for a GPU: a constant that holds the program (PTX, kernels, weights, sizes), a function
 * that queues a run's launches for libmcc_cuda (runtime/cuda/), and what the entries call. Places in device memory are
 * those of the plan, whose workspace the library allocates; the app's workspace holds a handle alone. */
#include <string.h>
#include "codegen/gpu_module.h"

enum { HANDLE_BYTES = 64, PROGRAM_ABI = 1 };

typedef struct Host { /* the function that queues launches, while it is made */
    Gen *g;
    Device *device;
    LLVMBuilderRef b;
    LLVMValueRef fn, run, memory, weights, grid, slots;
    Symbol *open;
    LLVMValueRef *in, *out, *out_dims;
} Host;

static LLVMValueRef word(Gen *g, LLVMBuilderRef b, LLVMTypeRef type, LLVMValueRef array, int at) {
    return LLVMBuildLoad2(b, type, gen_offset(g, b, array, gen_i64(g, (int64_t)at * 8)), "");
}

static void call(Host *h, const char *name, LLVMValueRef *args, unsigned n) {
    Gen *g = h->g;
    LLVMTypeRef types[8];
    for (unsigned i = 0; i < n; i++) types[i] = LLVMTypeOf(args[i]);
    LLVMTypeRef type = LLVMFunctionType(g->void_type, types, n, 0);
    LLVMValueRef fn = LLVMGetNamedFunction(g->module, name);
    if (!fn) fn = LLVMAddFunction(g->module, name, type);
    LLVMBuildCall2(h->b, type, fn, args, n, "");
}

/* ---- places ---- */

static LLVMValueRef place(Host *h, const Value *v) {
    Gen *g = h->g;
    Loc l = g->plan.loc[v->id];
    LLVMValueRef offset = gen_i64(g, (int64_t)l.offset);
    switch (l.kind) {
    case LOC_INPUT: return gen_offset(g, h->b, h->in[l.index], offset);
    case LOC_OUTPUT: return gen_offset(g, h->b, h->out[l.index], offset);
    case LOC_WORKSPACE: return gen_offset(g, h->b, h->memory, offset);
    case LOC_WEIGHTS: return gen_offset(g, h->b, h->weights, offset);
    default: return LLVMConstNull(g->ptr); /* part of the kernels that read it */
    }
}

static int data_place(Device *d, Dim symbol) {
    for (int i = 0; i < d->n_data; i++)
        if (d->data[i] == symbol) return i;
    return -1;
}

/* a kernel's argument for a symbol: an open dim's value, or where one that depends on data lies */
static LLVMValueRef symbol_argument(Host *h, Dim symbol) {
    Gen *g = h->g;
    int at = data_place(h->device, symbol);
    if (at < 0) return gen_dim(g, h->b, symbol, h->open, g->n_open);
    return gen_offset(g, h->b, h->memory, gen_i64(g, STATE_DIMS + 8 * (int64_t)at));
}

/* ---- launches ---- */

static LLVMValueRef grid_size(Host *h, Dim d) {
    if (dim_has_data(d)) return gen_i64(h->g, d->hi);
    return gen_dim(h->g, h->b, d, h->open, h->g->n_open);
}

static void launch(Host *h, const DeviceKernel *k, int n_slots) {
    Gen *g = h->g;
    for (int l = 0; l < k->n_launches; l++) {
        const DeviceLaunch *one = &h->device->launches[k->first + l];
        for (int i = 0; i < 3; i++)
            LLVMBuildStore(h->b, grid_size(h, one->geometry.grid[i]), gen_offset(g, h->b, h->grid, gen_i64(g, i * 8)));
        LLVMValueRef args[5] = {h->run, gen_i32(g, k->first + l), h->grid, h->slots, gen_i32(g, n_slots)};
        call(h, "mcc_cuda_launch", args, 5);
    }
}

static void set_slot(Host *h, int at, LLVMValueRef v) {
    LLVMBuildStore(h->b, v, gen_offset(h->g, h->b, h->slots, gen_i64(h->g, (int64_t)at * 8)));
}

static int set_symbols(Host *h, const DeviceKernel *k, int at) {
    for (int i = 0; i < k->n_symbols; i++) set_slot(h, at++, symbol_argument(h, k->symbols[i].dim));
    return at;
}

static void launch_node(Host *h, const DeviceKernel *k, const Node *n) {
    Gen *g = h->g;
    int at = 0;
    size_t scratch = g->plan.scratch[n->id];
    for (int i = 0; i < n->n_in; i++) set_slot(h, at++, n->in[i] ? place(h, n->in[i]) : LLVMConstNull(g->ptr));
    for (int i = 0; i < n->n_out; i++) set_slot(h, at++, n->out[i] ? place(h, n->out[i]) : LLVMConstNull(g->ptr));
    set_slot(h, at++,
             scratch == NO_SCRATCH ? LLVMConstNull(g->ptr)
                                   : gen_offset(g, h->b, h->memory, gen_i64(g, (int64_t)scratch)));
    set_slot(h, at++, h->memory); /* STATE_STATUS */
    launch(h, k, set_symbols(h, k, at));
}

static LLVMValueRef most_bytes(Host *h, const Value *v) {
    Gen *g = h->g;
    LLVMValueRef n = gen_i64(g, 1);
    for (int i = 0; i < v->type.rank; i++) n = LLVMBuildMul(h->b, n, grid_size(h, v->type.dims[i]), "");
    return gen_byte_count(g, h->b, v->type.dtype, n);
}

static void copy(Host *h, const Value *from, LLVMValueRef to) {
    LLVMValueRef args[4] = {h->run, to, place(h, from), most_bytes(h, from)};
    call(h, "mcc_cuda_copy", args, 4);
}

/* ---- nodes ---- */

static bool compares_data(const Gen *g) {
    for (int i = 0; i < g->ctx->n_equal; i++)
        if (g->ctx->equal[i].in == g->graph) return true;
    return false;
}

/* dims that this node is the first to write */
static bool define_data_dims(Host *h, const Node *n) {
    enum { MOST = 4 * MCC_MAX_RANK };
    Device *d = h->device;
    Dim dims[MOST];
    int places[MOST], count = 0;
    for (int i = 0; i < n->n_out; i++)
        for (int k = 0; n->out[i] && k < n->out[i]->type.rank; k++) {
            Dim dim = n->out[i]->type.dims[k];
            if (dim->kind != DIM_SYMBOL || !dim->node || data_place(d, dim) >= 0 || count == MOST) continue;
            d->data = arena_grow(h->g->ctx->arena, d->data, (size_t)d->n_data, (size_t)d->n_data + 1, sizeof *d->data);
            d->data[d->n_data++] = dim;
            dims[count] = dim;
            places[count++] = i * MCC_MAX_RANK + k;
        }
    if (!count) return true;
    const DeviceKernel *k = device_shape_kernel(d, n, dims, places, count);
    if (k) launch_node(h, k, n);
    return k != NULL;
}

static bool same_place(Gen *g, const Value *a, const Value *b) {
    Loc x = g->plan.loc[a->id], y = g->plan.loc[b->id];
    return x.kind == y.kind && x.index == y.index && x.offset == y.offset;
}

static unsigned in_place_inputs(Gen *g, const Node *n) {
    unsigned mask = 0;
    for (int o = 0; o < n->n_out; o++)
        for (int i = 0; n->out[o] && i < n->n_in && i < 32; i++) {
            if (!n->in[i] || n->in[i]->constant) continue;
            Loc x = g->plan.loc[n->in[i]->id], y = g->plan.loc[n->out[o]->id];
            if (x.kind == LOC_WORKSPACE && y.kind == LOC_WORKSPACE && x.offset == y.offset) mask |= 1u << i;
        }
    return mask;
}

static bool run_node(Host *h, const Node *n) {
    Gen *g = h->g;
    if (op_has(n->op, OP_CONTROL)) {
        diag_error(g->ctx, n, "control flow that only the run decides is not supported on GPUs");
        return false;
    }
    if (!define_data_dims(h, n)) return false;
    if (g->plan.joined[n->id]) return true;
    if (op_has(n->op, OP_VIEW)) {
        if (!same_place(g, n->in[0], n->out[0])) copy(h, n->in[0], place(h, n->out[0]));
        return true;
    }
    const DeviceKernel *k = device_kernel(h->device, n, in_place_inputs(g, n));
    if (k) launch_node(h, k, n);
    return k != NULL;
}

/* outputs that are inputs, constants or views of what lives elsewhere; dims that depend on data */
static void finish_outputs(Host *h) {
    Gen *g = h->g;
    for (int i = 0; i < g->graph->n_outputs; i++) {
        const Value *v = g->graph->outputs[i];
        Loc l = g->plan.loc[v->id];
        if (l.kind != LOC_OUTPUT || l.index != i || l.offset) copy(h, v, h->out[i]);
        if (!output_has_data_dims(v)) continue;
        const DeviceKernel *k = device_dims_kernel(h->device, v);
        set_slot(h, 0, h->out_dims[i]);
        launch(h, k, set_symbols(h, k, 1));
    }
}

static int most_slots(Gen *g) {
    int most = 1 + MCC_MAX_RANK * 4;
    for (const Node *n = g->graph->first; n; n = n->next) {
        Symbol *symbols;
        int here = n->n_in + n->n_out + 2 + collect_symbols(g->ctx, n, &symbols);
        if (here > most) most = here;
    }
    return most;
}

/* void queue(run, in, out, out_dims, open, memory, weights): pointers to device memory */
static LLVMValueRef queue_function(Gen *g, Device *device) {
    Graph *graph = g->graph;
    Arena *a = g->ctx->arena;
    LLVMTypeRef types[7] = {g->ptr, g->ptr, g->ptr, g->ptr, g->ptr, g->ptr, g->ptr};
    Host h = {.g = g, .device = device};
    h.fn = LLVMAddFunction(g->module, "queue", LLVMFunctionType(g->void_type, types, 7, 0));
    LLVMSetLinkage(h.fn, LLVMInternalLinkage);
    gen_function_attrs(g, h.fn);
    h.b = LLVMCreateBuilderInContext(g->llvm);
    LLVMPositionBuilderAtEnd(h.b, LLVMAppendBasicBlockInContext(g->llvm, h.fn, "entry"));
    h.run = LLVMGetParam(h.fn, 0), h.memory = LLVMGetParam(h.fn, 5), h.weights = LLVMGetParam(h.fn, 6);
    h.grid = gen_alloca(g, h.b, LLVMArrayType2(g->i64, 3), 8);
    h.slots = gen_alloca(g, h.b, LLVMArrayType2(g->i64, (uint64_t)most_slots(g)), 8);
    h.in = ARENA_ARRAY(a, graph->n_inputs, LLVMValueRef);
    h.out = ARENA_ARRAY(a, graph->n_outputs, LLVMValueRef);
    h.out_dims = ARENA_ARRAY(a, graph->n_outputs, LLVMValueRef);
    h.open = ARENA_ARRAY(a, g->n_open, Symbol);
    for (int i = 0; i < graph->n_inputs; i++) h.in[i] = word(g, h.b, g->ptr, LLVMGetParam(h.fn, 1), i);
    for (int i = 0; i < graph->n_outputs; i++) {
        h.out[i] = word(g, h.b, g->ptr, LLVMGetParam(h.fn, 2), i);
        h.out_dims[i] = word(g, h.b, g->ptr, LLVMGetParam(h.fn, 3), i);
    }
    for (int i = 0; i < g->n_open; i++)
        h.open[i] = (Symbol){g->open[i].dim, word(g, h.b, g->i64, LLVMGetParam(h.fn, 4), i)};
    bool ok = true;
    if (compares_data(g)) {
        diag_error(g->ctx, NULL, "sizes that depend on data and must be equal are not supported on GPUs");
        ok = false;
    }
    for (const Node *n = graph->first; n && ok; n = n->next) ok = run_node(&h, n);
    if (ok) finish_outputs(&h);
    LLVMBuildRetVoid(h.b);
    LLVMDisposeBuilder(h.b);
    return ok ? h.fn : NULL;
}

/* ---- the program, as struct mcc_cuda_program of runtime/cuda/program.h has it ---- */

static LLVMValueRef constant(Gen *g, LLVMValueRef init) {
    LLVMValueRef global = LLVMAddGlobal(g->module, LLVMTypeOf(init), "");
    LLVMSetInitializer(global, init);
    LLVMSetGlobalConstant(global, 1);
    LLVMSetLinkage(global, LLVMPrivateLinkage);
    return global;
}

static LLVMValueRef text_constant(Gen *g, const char *text) { return gen_bytes(g, text, strlen(text) + 1, 1); }

/* {name, block[3], dynamic} a kernel */
static LLVMValueRef kernel_table(Gen *g, const Device *d) {
    LLVMTypeRef fields[5] = {g->ptr, g->i32, g->i32, g->i32, g->i32};
    LLVMTypeRef type = LLVMStructTypeInContext(g->llvm, fields, 5, 0);
    LLVMValueRef *list = ARENA_ARRAY(g->ctx->arena, d->n_launches, LLVMValueRef);
    for (int i = 0; i < d->n_launches; i++) {
        const GpuGeometry *shape = &d->launches[i].geometry;
        LLVMValueRef f[5] = {text_constant(g, d->launches[i].name), gen_i32(g, shape->block[0]),
                             gen_i32(g, shape->block[1]), gen_i32(g, shape->block[2]), gen_i32(g, (int)shape->dynamic)};
        list[i] = LLVMConstStructInContext(g->llvm, f, 5, 0);
    }
    return constant(g, LLVMConstArray2(type, list, (uint64_t)d->n_launches));
}

static LLVMTypeRef program_type(Gen *g) {
    LLVMTypeRef fields[10] = {g->i32, g->i32, g->i32, g->i32, g->ptr, g->ptr, g->ptr, g->ptr, g->i64, g->i64};
    LLVMTypeRef all[11];
    memcpy(all, fields, sizeof fields);
    all[10] = g->ptr;
    return LLVMStructTypeInContext(g->llvm, all, 11, 0);
}

void gpu_program(Gen *g) {
    const Device *d = g->device;
    const char *model = arena_printf(g->ctx->arena, "%s_model", g->opt->name);
    size_t weights = g->plan.n_weights ? g->plan.weights_bytes : 0;
    LLVMValueRef f[11] = {gen_i32(g, PROGRAM_ABI),
                          gen_i32(g, d->n_launches),
                          gen_i32(g, g->n_open),
                          gen_i32(g, d->gen.target->sm),
                          LLVMGetNamedGlobal(g->module, model),
                          gen_bytes(g, g->device_text.p, g->device_text.n + 1, 64),
                          kernel_table(g, d),
                          weights ? g->weights : LLVMConstNull(g->ptr),
                          gen_i64(g, (int64_t)weights),
                          gen_i64(g, (int64_t)g->device_bytes),
                          LLVMGetNamedFunction(g->module, "queue")};
    LLVMValueRef program = LLVMGetNamedGlobal(g->module, "program");
    LLVMSetInitializer(program, LLVMConstStructInContext(g->llvm, f, 11, 0));
}

/* ---- what entries call ---- */

typedef struct Arrays {
    LLVMValueRef in, out, out_dims, open, in_bytes, out_bytes;
} Arrays;

static LLVMValueRef array(Gen *g, LLVMBuilderRef b, int n) {
    return gen_alloca(g, b, LLVMArrayType2(g->i64, (uint64_t)n + 1), 8);
}

static void put(Gen *g, LLVMBuilderRef b, LLVMValueRef to, int at, LLVMValueRef v) {
    LLVMBuildStore(b, v, gen_offset(g, b, to, gen_i64(g, (int64_t)at * 8)));
}

static LLVMValueRef bytes_of(Gen *g, LLVMBuilderRef b, const Value *v, const Symbol *open) {
    LLVMValueRef n = gen_i64(g, 1);
    for (int i = 0; i < v->type.rank; i++) {
        Dim d = v->type.dims[i];
        n = LLVMBuildMul(b, n, dim_has_data(d) ? gen_i64(g, d->hi) : gen_dim(g, b, d, open, g->n_open), "");
    }
    return gen_byte_count(g, b, v->type.dtype, n);
}

/* the parameters that a body has (body.c), as arrays; *at: the next one */
static Arrays take_parameters(Gen *g, LLVMBuilderRef b, LLVMValueRef fn, unsigned *at) {
    const Graph *graph = g->graph;
    int n = graph->n_inputs, m = graph->n_outputs;
    Arrays r = {array(g, b, n), array(g, b, m), array(g, b, m), array(g, b, g->n_open), array(g, b, n), array(g, b, m)};
    Symbol *open = ARENA_ARRAY(g->ctx->arena, g->n_open, Symbol);
    for (int i = 0; i < n; i++) put(g, b, r.in, i, LLVMGetParam(fn, (*at)++));
    for (int i = 0; i < m; i++) put(g, b, r.out, i, LLVMGetParam(fn, (*at)++));
    for (int i = 0; i < m; i++)
        put(g, b, r.out_dims, i,
            output_has_data_dims(graph->outputs[i]) ? LLVMGetParam(fn, (*at)++) : LLVMConstNull(g->ptr));
    for (int i = 0; i < g->n_open; i++) {
        open[i] = (Symbol){g->open[i].dim, LLVMGetParam(fn, (*at)++)};
        put(g, b, r.open, i, open[i].value);
    }
    for (int i = 0; i < n; i++) put(g, b, r.in_bytes, i, bytes_of(g, b, graph->inputs[i], open));
    for (int i = 0; i < m; i++) put(g, b, r.out_bytes, i, bytes_of(g, b, graph->outputs[i], open));
    return r;
}

/* on_stream: of device pointers, and with a stream behind the workspace */
static LLVMValueRef body_function(Gen *g, const char *name, const char *callee, bool on_stream) {
    LLVMValueRef program = LLVMGetNamedGlobal(g->module, "program");
    int n = g->graph->n_inputs + g->graph->n_outputs * 2 + g->n_open + 2, used = 0;
    LLVMTypeRef *types = ARENA_ARRAY(g->ctx->arena, n, LLVMTypeRef), params[9];
    for (int i = 0; i < g->graph->n_inputs + g->graph->n_outputs; i++) types[used++] = g->ptr;
    for (int i = 0; i < g->graph->n_outputs; i++)
        if (output_has_data_dims(g->graph->outputs[i])) types[used++] = g->ptr;
    for (int i = 0; i < g->n_open; i++) types[used++] = g->i64;
    types[used++] = g->ptr;
    if (on_stream) types[used++] = g->ptr;
    LLVMValueRef fn = LLVMAddFunction(g->module, name, LLVMFunctionType(g->i32, types, (unsigned)used, 0));
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    gen_function_attrs(g, fn);
    LLVMBuilderRef b = LLVMCreateBuilderInContext(g->llvm);
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(g->llvm, fn, "entry"));
    unsigned at = 0;
    Arrays r = take_parameters(g, b, fn, &at);
    LLVMValueRef workspace = LLVMGetParam(fn, at), stream = on_stream ? LLVMGetParam(fn, at + 1) : NULL;
    LLVMValueRef host[8] = {program, workspace, r.in, r.out, r.out_dims, r.open, r.in_bytes, r.out_bytes},
                 device[7] = {program, workspace, stream, r.in, r.out, r.out_dims, r.open};
    unsigned count = on_stream ? 7 : 8;
    for (unsigned i = 0; i < count; i++) params[i] = g->ptr;
    LLVMTypeRef type = LLVMFunctionType(g->i32, params, count, 0);
    LLVMValueRef called = LLVMAddFunction(g->module, callee, type);
    LLVMBuildRet(b, LLVMBuildCall2(b, type, called, on_stream ? device : host, count, ""));
    LLVMDisposeBuilder(b);
    return fn;
}

LLVMValueRef gpu_body(Gen *g) {
    Device *d = ARENA_NEW(g->ctx->arena, Device);
    *d = (Device){0};
    g->device = d;
    g->device_bytes = g->plan.workspace;
    g->plan.workspace = HANDLE_BYTES;
    bool ok = part_open(&d->gen, g->ctx, g->graph, g->opt->device, INT64_MAX);
    ok = ok && queue_function(g, d) && device_finish(d, g->device_ir, &g->device_text);
    parts_close(&d->gen);
    if (!ok) return NULL;
    LLVMValueRef program = LLVMAddGlobal(g->module, program_type(g), "program");
    LLVMSetGlobalConstant(program, 1);
    LLVMSetLinkage(program, LLVMInternalLinkage);
    return body_function(g, "body", "mcc_cuda_run_on_host", false);
}

LLVMValueRef gpu_stream_body(Gen *g) { return body_function(g, "stream_body", "mcc_cuda_run_on_stream", true); }

/* int NAME_what(void *workspace[, void *stream]) */
static void handle_entry(Gen *g, const char *what, bool stream) {
    LLVMTypeRef types[3] = {g->ptr, g->ptr, g->ptr}, type = LLVMFunctionType(g->i32, types, 1u + stream, 0),
                callee_type = LLVMFunctionType(g->i32, types, 2u + stream, 0);
    LLVMValueRef fn = LLVMAddFunction(g->module, arena_printf(g->ctx->arena, "%s_%s", g->opt->name, what), type);
    gen_function_attrs(g, fn);
    LLVMBuilderRef b = LLVMCreateBuilderInContext(g->llvm);
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(g->llvm, fn, "entry"));
    LLVMValueRef args[3] = {LLVMGetNamedGlobal(g->module, "program"), LLVMGetParam(fn, 0),
                            stream ? LLVMGetParam(fn, 1) : NULL};
    LLVMValueRef callee = LLVMAddFunction(g->module, arena_printf(g->ctx->arena, "mcc_cuda_%s", what), callee_type);
    LLVMBuildRet(b, LLVMBuildCall2(b, callee_type, callee, args, 2u + stream, ""));
    LLVMDisposeBuilder(b);
}

void gpu_handle_entries(Gen *g) {
    handle_entry(g, "open", false);
    handle_entry(g, "close", false);
    handle_entry(g, "wait", true);
}
