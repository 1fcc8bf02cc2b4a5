/* Kernels that call a reference kernel: descriptors with constant dims on the stack, attributes as a constant, small constant
 * inputs as constants that the kernel's loads see; after inlining and O3 nothing of them is left. Works for every operator. */
#include <string.h>
#include "codegen/gen.h"
#include "runtime/kernels/ref.h"

enum { ARG_WORDS = sizeof(mcc_arg) / 8, EMBED_INTEGERS = 512, EMBED_OTHERS = 64 };

bool kernel_embeds(const Node *n, int input) {
    const Tensor *t = n->in[input]->constant;
    bool fused = n->op == OP_Fused;
    if (!t || (!fused && emitter_of(n) != &reference_emitter)) return false;
    bool integers = dtype_class(t->dtype) == DTC_I && !fused;
    return t->bytes <= (integers ? EMBED_INTEGERS : EMBED_OTHERS);
}

static const char *kernel_name(const Node *n) { return op_has(n->op, OP_VIEW) ? "Copy" : op_info(n->op)->name; }

/* An input that the node has as an attribute: ConstantOfShape's element, float32 0 by default; a Table's table */
static bool has_hidden(const Node *n) { return n->op == OP_ConstantOfShape || n->op == OP_Table; }

static const Tensor *hidden_of(const Node *n) {
    const Attr *a = node_attr(n, n->op == OP_Table ? "table" : "value");
    static const float zero[1] = {0};
    static const Tensor standard = {.dtype = DT_F32, .rank = 1, .dims = {1}, .bytes = 4, .data = zero};
    return a && a->tensor ? a->tensor : &standard;
}

static void store_word(Kernel *k, LLVMValueRef args, int arg, int word, LLVMValueRef v) {
    Gen *g = k->gen;
    LLVMValueRef at = gen_offset(g, k->b, args, gen_i64(g, (int64_t)arg * (int64_t)sizeof(mcc_arg) + word * 8));
    LLVMSetAlignment(LLVMBuildStore(k->b, v, at), 8);
}

static void store_arg(Kernel *k, LLVMValueRef args, int arg, const Value *v, LLVMValueRef data) {
    Gen *g = k->gen;
    if (!v) {
        for (int w = 0; w < ARG_WORDS; w++) store_word(k, args, arg, w, gen_i64(g, 0));
        return;
    }
    store_word(k, args, arg, 0, gen_i64(g, 0));
    if (data) store_word(k, args, arg, 0, data);
    store_word(k, args, arg, 1, gen_i64(g, (int64_t)((uint64_t)v->type.rank << 32 | (uint32_t)v->type.dtype)));
    for (int i = 0; i < MCC_MAX_RANK; i++)
        store_word(k, args, arg, 2 + i, i < v->type.rank && !dim_has_data(v->type.dims[i]) ? kernel_dim(k, v->type.dims[i]) : gen_i64(g, 0));
}

/* dims that nodes wrote are known by the time the kernel itself runs */
static void store_data_dims(Kernel *k, LLVMValueRef args, int arg, const Value *v) {
    for (int i = 0; v && i < v->type.rank; i++)
        if (dim_has_data(v->type.dims[i])) store_word(k, args, arg, 2 + i, kernel_dim(k, v->type.dims[i]));
}

static bool needs_scratch(const Node *n) { return op_has(n->op, OP_SCRATCH); }

typedef struct RefCall { LLVMValueRef args, attrs; int n_args; } RefCall;

static RefCall build_args(Kernel *k) {
    Gen *g = k->gen;
    const Node *n = k->node;
    int64_t words[MAX_ATTR_WORDS];
    int n_words = node_attr_words(n, words), arg = 0, hidden = has_hidden(n);
    RefCall c = {.n_args = n->n_in + hidden + n->n_out};
    c.args = gen_alloca(g, k->b, LLVMArrayType2(g->i64, (uint64_t)((c.n_args + needs_scratch(n)) * ARG_WORDS)), 8);
    for (int i = 0; i < n->n_in; i++, arg++) {
        store_arg(k, c.args, arg, n->in[i], k->in[i]);
        store_data_dims(k, c.args, arg, n->in[i]);
    }
    if (hidden) {
        const Tensor *t = hidden_of(n);
        Value v = {.type = {.kind = TYPE_TENSOR, .dtype = t->dtype, .rank = t->rank}};
        for (int i = 0; i < t->rank; i++) v.type.dims[i] = dim_const(g->ctx, t->dims[i]);
        store_arg(k, c.args, arg++, &v, gen_bytes(g, t->data, t->bytes, 8));
        words[0]++;
    }
    for (int i = 0; i < n->n_out; i++, arg++) store_arg(k, c.args, arg, n->out[i], k->out ? k->out[i] : NULL);
    if (needs_scratch(n) && k->scratch) store_word(k, c.args, arg, 0, k->scratch);
    c.attrs = gen_bytes(g, words, sizeof *words * (size_t)n_words, 8);
    return c;
}

static LLVMValueRef call(Kernel *k, const char *prefix, const char *kernel, RefCall c) {
    Gen *g = k->gen;
    LLVMTypeRef params[2] = {g->ptr, g->ptr}, type = LLVMFunctionType(g->i32, params, 2, 0);
    const char *name = arena_printf(g->ctx->arena, "%s%s", prefix, kernel);
    LLVMValueRef fn = LLVMGetNamedFunction(g->module, name), args[2] = {c.args, c.attrs};
    if (!fn) fn = LLVMAddFunction(g->module, name, type);
    return LLVMBuildCall2(k->b, type, fn, args, 2, "");
}

static RefCall build_all_args(Kernel *k) {
    RefCall c = build_args(k);
    for (int i = 0; i < k->node->n_out; i++) store_data_dims(k, c.args, c.n_args - k->node->n_out + i, k->node->out[i]);
    return c;
}

LLVMValueRef reference_call(Kernel *k) { return call(k, "ref_", kernel_name(k->node), build_all_args(k)); }

void reference_arguments(Kernel *k, LLVMValueRef *args, LLVMValueRef *attrs) {
    RefCall c = build_all_args(k);
    *args = c.args, *attrs = c.attrs;
}

static bool emit(Kernel *k) {
    LLVMBuildRet(k->b, reference_call(k));
    return true;
}

/* plain elementwise kernels read each element before they write it, where no operand is broadcast */
static bool in_place(const Node *n, int input) {
    const Value *x = n->in[input], *y = n->out[0];
    if (!op_has(n->op, OP_ELEMENTWISE) || x->type.rank != y->type.rank) return false;
    if (dtype_bits(x->type.dtype) != dtype_bits(y->type.dtype) || dtype_bits(x->type.dtype) < 8) return false;
    for (int i = 0; i < y->type.rank; i++)
        if (x->type.dims[i] != y->type.dims[i]) return false;
    return true;
}

static bool scratch(Ctx *ctx, const Node *n, size_t *bytes) {
    if (node_scratch(n, bytes)) return true;
    diag_error(ctx, n, "the memory that it needs overflows");
    return false;
}

const Emitter reference_emitter = {.form = "reference", .emit = emit, .scratch = scratch, .in_place = in_place};

LLVMValueRef reference_shape_call(Gen *g, LLVMBuilderRef b, const Node *n, LLVMValueRef *in, LLVMValueRef memory, const Symbol *symbols,
                                  int n_symbols, LLVMValueRef *dims) {
    Kernel k = {.gen = g, .node = n, .b = b, .in = in, .scratch = memory, .symbols = (Symbol *)symbols, .n_symbols = n_symbols};
    RefCall c = build_args(&k);
    LLVMValueRef status = call(&k, "shape_", op_info(n->op)->name, c);
    for (int i = 0; i < n->n_out; i++)
        for (int d = 0; n->out[i] && d < n->out[i]->type.rank; d++) {
            int64_t word = (int64_t)(c.n_args - n->n_out + i) * ARG_WORDS + 2 + d;
            LLVMValueRef p = gen_offset(g, b, c.args, gen_i64(g, word * 8));
            dims[i * MCC_MAX_RANK + d] = LLVMBuildLoad2(b, g->i64, p, "");
        }
    return status;
}
