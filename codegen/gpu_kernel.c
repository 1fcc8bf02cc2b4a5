/* The device module: one `ptx_kernel` a launch of a distinct computation. Parameters, all of 8 bytes: pointers to the
 * inputs, the outputs, scratch memory and the status, then the open dims; of a dim that depends on data, where it lies.
 * Kernels run whatever went wrong before them: dims that could not be had are 0, and indices are checked. */
#include <string.h>
#include "codegen/gpu_module.h"

enum { PTX_KERNEL = 71 /* LLVM's calling convention */, MOST_PARAMETERS = 500 /* 4096 bytes */ };

size_t gpu_state_bytes(const Graph *g) {
    size_t n = STATE_DIMS;
    for (const Node *at = g->first; at; at = at->next)
        for (int i = 0; i < at->n_out; i++) n += at->out[i] ? (size_t)at->out[i]->type.rank * 8 : 0;
    return (n + 63) / 64 * 64;
}

static bool is_data(Dim symbol) { return symbol->node != NULL; }

static void annotate(Gen *g, LLVMValueRef fn, const char *what, int value) {
    LLVMMetadataRef parts[3] = {LLVMValueAsMetadata(fn), LLVMMDStringInContext2(g->llvm, what, strlen(what)),
                                LLVMValueAsMetadata(gen_i32(g, value))};
    LLVMAddNamedMetadataOperand(g->module, "nvvm.annotations",
                                LLVMMetadataAsValue(g->llvm, LLVMMDNodeInContext2(g->llvm, parts, 3)));
}

static LLVMValueRef kernel_function(Gen *g, const char *name, LLVMTypeRef *types, int n, const GpuGeometry *shape) {
    static const char *const axes[] = {"maxntidx", "maxntidy", "maxntidz"};
    LLVMValueRef fn = LLVMAddFunction(g->module, name, LLVMFunctionType(g->void_type, types, (unsigned)n, 0));
    LLVMSetFunctionCallConv(fn, PTX_KERNEL);
    gen_function_attrs(g, fn);
    annotate(g, fn, "kernel", 1);
    for (int i = 0; i < 3; i++) annotate(g, fn, axes[i], shape->block[i]);
    if (shape->least_blocks) annotate(g, fn, "minctasm", shape->least_blocks);
    return fn;
}

static GpuGeometry single(Ctx *ctx) {
    Dim one = dim_const(ctx, 1);
    return (GpuGeometry){.grid = {one, one, one}, .block = {1, 1, 1}};
}

static int add_launch(Device *d, const char *name, const GpuGeometry *geometry) {
    Arena *a = d->gen.ctx->arena;
    d->launches = arena_grow(a, d->launches, (size_t)d->n_launches, (size_t)d->n_launches + 1, sizeof *d->launches);
    d->launches[d->n_launches] = (DeviceLaunch){name, *geometry};
    return d->n_launches++;
}

/* values of the symbols behind the first `at` parameters */
static void take_symbols(Kernel *k, unsigned at) {
    for (int i = 0; i < k->n_symbols; i++) {
        LLVMValueRef p = LLVMGetParam(k->fn, at++);
        k->symbols[i].value = is_data(k->symbols[i].dim) ? LLVMBuildLoad2(k->b, k->gen->i64, p, "") : p;
    }
}

static void begin(Kernel *k) {
    k->b = LLVMCreateBuilderInContext(k->gen->llvm);
    LLVMPositionBuilderAtEnd(k->b, LLVMAppendBasicBlockInContext(k->gen->llvm, k->fn, "entry"));
}

static void take_pointers(Kernel *k, unsigned in_place) {
    Gen *g = k->gen;
    const Node *n = k->node;
    unsigned at = 0;
    for (int i = 0; i < n->n_in + n->n_out + 2; i++) {
        gen_attr(g, k->fn, (unsigned)i + 1, "noalias", 0);
        gen_attr(g, k->fn, (unsigned)i + 1, "align", GPU_ALIGN);
    }
    for (int i = 0; i < n->n_in; i++, at++) {
        gen_attr(g, k->fn, at + 1, "readonly", 0);
        if (!n->in[i]) continue;
        const Tensor *t = n->in[i]->constant;
        bool shared = in_place >> i & 1;
        k->in[i] = kernel_has_constant(n, i) ? gen_bytes(g, t->data, t->bytes, GPU_ALIGN)
                                             : LLVMGetParam(k->fn, shared ? (unsigned)n->n_in : at);
    }
    for (int i = 0; i < n->n_out; i++, at++) k->out[i] = n->out[i] ? LLVMGetParam(k->fn, at) : NULL;
    k->scratch = LLVMGetParam(k->fn, at);
    k->status = LLVMGetParam(k->fn, at + 1);
}

static LLVMTypeRef *parameter_types(Gen *g, int pointers, const Symbol *symbols, int n_symbols) {
    LLVMTypeRef *types = ARENA_ARRAY(g->ctx->arena, pointers + n_symbols, LLVMTypeRef);
    for (int i = 0; i < pointers; i++) types[i] = g->ptr;
    for (int i = 0; i < n_symbols; i++) types[pointers + i] = is_data(symbols[i].dim) ? g->ptr : g->i64;
    return types;
}

static bool build_launch(Device *d, const Node *n, const GpuForm *form, int launch, DeviceKernel *made,
                         unsigned in_place) {
    Gen *g = &d->gen;
    Arena *a = g->ctx->arena;
    GpuGeometry geometry = single(g->ctx);
    int pointers = n->n_in + n->n_out + 2;
    form->geometry(g->ctx, g->opt, n, launch, &geometry);
    const char *name = arena_printf(a, "k%d_%s", d->n_launches, op_info(n->op)->name);
    Kernel k = {.gen = g, .node = n, .symbols = made->symbols, .n_symbols = made->n_symbols, .chunks = 1};
    k.chunk = gen_i64(g, 0);
    k.in = ARENA_ARRAY(a, n->n_in, LLVMValueRef);
    k.out = ARENA_ARRAY(a, n->n_out, LLVMValueRef);
    k.fn = kernel_function(g, name, parameter_types(g, pointers, made->symbols, made->n_symbols),
                           pointers + made->n_symbols, &geometry);
    begin(&k);
    take_pointers(&k, in_place);
    take_symbols(&k, (unsigned)pointers);
    add_launch(d, name, &geometry);
    bool ok = form->emit(&k, launch);
    LLVMDisposeBuilder(k.b);
    return ok;
}

static DeviceKernel *new_kernel(Device *d, const char *key) {
    DeviceKernel *k = ARENA_NEW(d->gen.ctx->arena, DeviceKernel);
    *k = (DeviceKernel){.next = d->kernels, .key = key, .first = d->n_launches};
    return d->kernels = k;
}

const DeviceKernel *device_kernel(Device *d, const Node *n, unsigned in_place) {
    Ctx *ctx = d->gen.ctx;
    const char *key = kernel_key(ctx, n, in_place);
    for (DeviceKernel *k = d->kernels; k; k = k->next)
        if (!strcmp(k->key, key)) return k;
    const GpuForm *form = gpu_form(d->gen.opt, n);
    DeviceKernel *made = new_kernel(d, key);
    made->n_symbols = collect_symbols(ctx, n, &made->symbols);
    made->n_launches = form->launches ? form->launches(d->gen.opt, n) : 1;
    if (n->n_in + n->n_out + 2 + made->n_symbols > MOST_PARAMETERS) {
        diag_error(ctx, n, "%d tensors are more than a kernel of a GPU takes", n->n_in + n->n_out);
        return NULL;
    }
    for (int i = 0; i < made->n_launches; i++)
        if (!build_launch(d, n, form, i, made, in_place)) return NULL;
    return made;
}

const DeviceKernel *device_shape_kernel(Device *d, const Node *n, const Dim *dims, const int *places, int n_dims) {
    Gen *g = &d->gen;
    Arena *a = g->ctx->arena;
    DeviceKernel *made = new_kernel(d, "");
    Symbol *all;
    int count = collect_symbols(g->ctx, n, &all), pointers = n->n_in + n->n_out + 2;
    made->n_launches = 1;
    made->symbols = ARENA_ARRAY(a, count, Symbol);
    for (int i = 0; i < count; i++) { /* those that it writes come behind */
        bool own = false;
        for (int k = 0; k < n_dims; k++) own = own || dims[k] == all[i].dim;
        if (!own) made->symbols[made->n_symbols++] = all[i];
    }
    GpuGeometry geometry = single(g->ctx);
    int own_at = made->n_symbols;
    for (int i = 0; i < n_dims; i++) made->symbols[made->n_symbols++] = (Symbol){.dim = dims[i]};
    const char *name = arena_printf(a, "k%d_shape_%s", d->n_launches, op_info(n->op)->name);
    Kernel k = {.gen = g, .node = n, .symbols = made->symbols, .n_symbols = own_at, .chunks = 1};
    k.in = ARENA_ARRAY(a, n->n_in, LLVMValueRef);
    k.out = ARENA_ARRAY(a, n->n_out, LLVMValueRef);
    k.fn = kernel_function(g, name, parameter_types(g, pointers, made->symbols, made->n_symbols),
                           pointers + made->n_symbols, &geometry);
    begin(&k);
    take_pointers(&k, 0);
    take_symbols(&k, (unsigned)pointers);
    add_launch(d, name, &geometry);
    LLVMValueRef *got = ARENA_ARRAY(a, n->n_out * MCC_MAX_RANK, LLVMValueRef);
    LLVMValueRef status = reference_shape_call(g, k.b, n, k.in, k.scratch, k.symbols, k.n_symbols, got);
    LLVMValueRef good = LLVMBuildICmp(k.b, LLVMIntEQ, status, gen_i32(g, MCC_OK), "");
    gpu_fail(&k, status);
    for (int i = 0; i < n_dims; i++) {
        LLVMValueRef v = got[places[i]], to = LLVMGetParam(k.fn, (unsigned)(pointers + own_at + i));
        LLVMValueRef fits = LLVMBuildICmp(k.b, LLVMIntULE, v, gen_i64(g, dims[i]->hi), "");
        fits = LLVMBuildAnd(k.b, good, fits, "");
        gpu_fail(&k, LLVMBuildSelect(k.b, fits, gen_i32(g, MCC_OK), gen_i32(g, MCC_E_INDEX), ""));
        LLVMBuildStore(k.b, LLVMBuildSelect(k.b, fits, v, gen_i64(g, 0), ""), to);
    }
    LLVMBuildRetVoid(k.b);
    LLVMDisposeBuilder(k.b);
    return made;
}

const DeviceKernel *device_dims_kernel(Device *d, const Value *v) {
    Gen *g = &d->gen;
    DeviceKernel *made = new_kernel(d, "");
    made->n_launches = 1;
    for (int i = 0; i < v->type.rank; i++) add_symbols(g->ctx, v->type.dims[i], &made->symbols, &made->n_symbols);
    GpuGeometry geometry = single(g->ctx);
    const char *name = arena_printf(g->ctx->arena, "k%d_dims", d->n_launches);
    Kernel k = {.gen = g, .symbols = made->symbols, .n_symbols = made->n_symbols, .chunks = 1};
    k.fn =
        kernel_function(g, name, parameter_types(g, 1, made->symbols, made->n_symbols), 1 + made->n_symbols, &geometry);
    begin(&k);
    take_symbols(&k, 1);
    add_launch(d, name, &geometry);
    for (int i = 0; i < v->type.rank; i++)
        LLVMBuildStore(k.b, kernel_dim(&k, v->type.dims[i]),
                       gen_offset(g, k.b, LLVMGetParam(k.fn, 0), gen_i64(g, i * 8)));
    LLVMBuildRetVoid(k.b);
    LLVMDisposeBuilder(k.b);
    return made;
}

static bool print_ir(Gen *g, Str *out) {
    char *text = LLVMPrintModuleToString(g->module);
    *out = arena_str(g->ctx->arena, text, strlen(text));
    LLVMDisposeMessage(text);
    return true;
}

static bool print_ptx(Gen *g, Str *out) {
    LLVMMemoryBufferRef text = NULL;
    if (!part_emit(g, LLVMAssemblyFile, &text)) return false;
    *out = arena_str(g->ctx->arena, LLVMGetBufferStart(text), LLVMGetBufferSize(text));
    LLVMDisposeMemoryBuffer(text);
    return true;
}

bool device_finish(Device *d, bool ir, Str *text) {
    Gen *g = &d->gen;
    bool ok = part_optimise(g) && (ir ? print_ir(g, text) : print_ptx(g, text));
    if (!ok) diag_error(g->ctx, NULL, "%s", g->error);
    return ok;
}
