/* mcc.GpuConv without a tile, for groups of a few channels, depthwise ones above all: a thread sums an element of the
 * output, channel by channel, its taps unrolled. Neighbouring threads have neighbouring pixels, so that their loads
 * meet in cache lines. The weights are [output channels][channels of a group][taps]. */
#include "codegen/gpu_tile.h"

enum { THREADS = 128 };

typedef struct ThreadTaps {
    Kernel *k;
    const Node *n;
    LLVMTypeRef index; /* i32, or i64 where operands are that large */
    int spatial, taps;
    int64_t channels;            /* of a group */
    LLVMValueRef *place, *there; /* of each tap: x's element in its plane, and whether there is one; NULL: always */
} ThreadTaps;

static bool fits(const CodeOptions *o, const Node *n) {
    (void)o;
    return n->op == OP_GpuConv && node_int(n, "tile") == GPU_NO_TILE;
}

static void geometry(Ctx *ctx, const CodeOptions *o, const Node *n, int launch, GpuGeometry *out) {
    (void)o, (void)launch;
    out->grid[0] = dim_ceildiv(ctx, value_elements(ctx, n->out[0]), dim_const(ctx, THREADS));
    out->block[0] = THREADS;
}

static LLVMValueRef as_index(const ThreadTaps *t, LLVMValueRef v) {
    return LLVMBuildTruncOrBitCast(t->k->b, v, t->index, "");
}

static LLVMValueRef index_of(const ThreadTaps *t, int64_t v) { return LLVMConstInt(t->index, (uint64_t)v, 1); }

/* ---- where the taps read ---- */

static const int64_t *ints(const Node *n, const char *name) {
    const int64_t *v;
    node_ints(n, name, &v);
    return v;
}

static LLVMValueRef in_size(const ThreadTaps *t, int axis) {
    return as_index(t, kernel_dim(t->k, t->n->in[0]->type.dims[2 + axis]));
}

static void fill_tap(ThreadTaps *t, int tap, LLVMValueRef *at) {
    Kernel *k = t->k;
    const Node *n = t->n;
    const int64_t *kernel = ints(n, "kernel_shape"), *strides = ints(n, "strides"), *pads = ints(n, "pads"),
                  *dilations = ints(n, "dilations");
    int64_t step[3];
    for (int s = t->spatial - 1, rest = tap; s >= 0; rest /= (int)kernel[s--]) step[s] = rest % kernel[s];
    LLVMValueRef place = index_of(t, 0), there = NULL;
    for (int s = 0; s < t->spatial; s++) {
        LLVMValueRef x = i_plus(k, i_scale(k, at[s], strides[s]), step[s] * dilations[s] - pads[s]),
                     size = in_size(t, s);
        place = i_add(k, i_mul(k, place, size), x);
        if (!pads[s] && !pads[t->spatial + s]) continue;
        LLVMValueRef inside = LLVMBuildICmp(k->b, LLVMIntULT, x, size, "");
        there = there ? LLVMBuildAnd(k->b, there, inside, "") : inside;
    }
    t->place[tap] = place;
    t->there[tap] = there;
}

/* ---- numbers ---- */

static LLVMValueRef load(ThreadTaps *t, const Value *v, LLVMValueRef base, LLVMValueRef at) {
    Kernel *k = t->k;
    LLVMTypeRef type = gen_elem_type(k->gen, v->type.dtype);
    return vec_load_of(k, type, element_at(k, type, base, at), 1, (unsigned)dtype_bits(v->type.dtype) / 8);
}

/* as what is multiplied: f32, or i32 of bytes */
static LLVMValueRef widen(ThreadTaps *t, LLVMValueRef v, Dtype from) {
    Kernel *k = t->k;
    Gen *g = k->gen;
    if (from == DT_F32) return v;
    if (from == DT_U8) return LLVMBuildZExt(k->b, v, g->i32, "");
    if (from == DT_I8) return LLVMBuildSExt(k->b, v, g->i32, "");
    return vec_widen(k, v, from, 1);
}

static LLVMValueRef input(ThreadTaps *t, LLVMValueRef plane, int tap) {
    Kernel *k = t->k;
    const Value *x = t->n->in[0];
    LLVMValueRef there = t->there[tap], at = i_add(k, plane, t->place[tap]);
    if (there) at = LLVMBuildSelect(k->b, there, at, index_of(t, 0), "");
    LLVMValueRef v = load(t, x, k->in[0], at), fill = LLVMConstNull(LLVMTypeOf(v));
    if (x->type.dtype == DT_U8 || x->type.dtype == DT_I8)
        fill = LLVMConstInt(LLVMTypeOf(v), (uint64_t)node_int(t->n, "zero"), 0);
    if (there) v = LLVMBuildSelect(k->b, there, v, fill, "");
    return widen(t, v, x->type.dtype);
}

static LLVMValueRef add_product(ThreadTaps *t, LLVMValueRef sum, LLVMValueRef x, LLVMValueRef w) {
    Kernel *k = t->k;
    LLVMTypeRef type = LLVMTypeOf(sum);
    if (type == k->gen->i32) return LLVMBuildAdd(k->b, sum, LLVMBuildMul(k->b, x, w, ""), "");
    return call_intrinsic(k, "llvm.fma", &type, 1, (LLVMValueRef[]){x, w, sum}, 3);
}

/* plane: of the group's first channel; weight: of the output channel's first */
static LLVMValueRef sum_of(ThreadTaps *t, LLVMValueRef plane, LLVMValueRef plane_size, LLVMValueRef weight) {
    Kernel *k = t->k;
    const Value *w = t->n->in[1];
    bool bytes = w->type.dtype == DT_I8;
    LLVMTypeRef type = bytes ? k->gen->i32 : k->gen->f32;
    LLVMValueRef slot = gen_alloca(k->gen, k->b, type, 4);
    LLVMBuildStore(k->b, LLVMConstNull(type), slot);
    For f = for_begin(k, index_of(t, 0), index_of(t, t->channels), 1);
    LLVMValueRef from = i_add(k, plane, i_mul(k, f.i, plane_size)), first = i_add(k, weight, i_scale(k, f.i, t->taps));
    LLVMValueRef sum = LLVMBuildLoad2(k->b, type, slot, "");
    for (int tap = 0; tap < t->taps; tap++) {
        LLVMValueRef factor = widen(t, load(t, w, k->in[1], i_plus(k, first, tap)), w->type.dtype);
        sum = add_product(t, sum, input(t, from, tap), factor);
    }
    LLVMBuildStore(k->b, sum, slot);
    for_end(k, &f);
    return LLVMBuildLoad2(k->b, type, slot, "");
}

static LLVMValueRef element(ThreadTaps *t, LLVMValueRef *at) {
    Kernel *k = t->k;
    const Node *n = t->n;
    int64_t groups = node_int(n, "group"), out_channels = n->out[0]->type.dims[1]->value;
    LLVMValueRef size = index_of(t, 1);
    for (int s = 0; s < t->spatial; s++) size = i_mul(k, size, in_size(t, s));
    for (int tap = 0; tap < t->taps; tap++) fill_tap(t, tap, at + 2);
    LLVMValueRef group = i_div(k, at[1], out_channels / groups);
    LLVMValueRef channel = i_add(k, i_scale(k, at[0], groups * t->channels), i_scale(k, group, t->channels));
    return sum_of(t, i_mul(k, channel, size), size, i_scale(k, at[1], t->channels * t->taps));
}

static bool emit(Kernel *k, int launch) {
    const Node *n = k->node;
    const Type *y = &n->out[0]->type;
    Arena *a = k->gen->ctx->arena;
    ThreadTaps t = {.k = k, .n = n, .spatial = y->rank - 2, .taps = (int)gpu_conv_taps(n)};
    LLVMValueRef index[MCC_MAX_RANK], e = gpu_flat_thread(k);
    (void)launch;
    t.index = gpu_small_index(n) ? k->gen->i32 : k->gen->i64;
    t.channels = n->in[0]->type.dims[1]->value / node_int(n, "group");
    t.place = ARENA_ARRAY(a, t.taps, LLVMValueRef);
    t.there = ARENA_ARRAY(a, t.taps, LLVMValueRef);
    If inside = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSLT, e, kernel_dims(k, y->dims, y->rank), ""));
    gpu_unflatten(k, as_index(&t, e), y->dims, y->rank, index);
    LLVMValueRef sum = element(&t, index);
    gpu_epilogue_store(k, gpu_sum_as(k, sum, gpu_accumulator(n)), index);
    if_end(k, &inside);
    LLVMBuildRetVoid(k->b);
    return true;
}

const GpuForm gpu_taps = {.form = "a pixel a thread", .fits = fits, .geometry = geometry, .emit = emit};
