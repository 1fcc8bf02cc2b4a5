/* What hangs on a contraction, for one element of its output: the node's body, scalar, on the accumulator and on what
 * its other inputs hold at that element. */
#include "codegen/gpu.h"

int gpu_own_inputs(const Node *n) { return n->body ? n->n_in - (n->body->n_inputs - 1) : n->n_in; }

Dtype gpu_accumulator(const Node *n) { return (n->body ? n->body->inputs[0] : n->out[0])->type.dtype; }

static LLVMValueRef widen(Kernel *k, LLVMValueRef index) {
    return LLVMTypeOf(index) == k->gen->i64 ? index : LLVMBuildSExt(k->b, index, k->gen->i64, "");
}

/* the element of v, which broadcasts to `to`, at an index of `to` */
static LLVMValueRef element_of(Kernel *k, const Value *v, const Value *to, LLVMValueRef base, LLVMValueRef *index) {
    Ctx *ctx = k->gen->ctx;
    int shift = to->type.rank - v->type.rank;
    LLVMValueRef at = gen_i64(k->gen, 0);
    Dim stride = dim_const(ctx, 1);
    for (int d = v->type.rank - 1; d >= 0; d--) {
        if (!dim_is(v->type.dims[d], 1)) at = i_add(k, i_mul(k, widen(k, index[d + shift]), kernel_dim(k, stride)), at);
        stride = dim_mul(ctx, stride, v->type.dims[d]);
    }
    return element_at(k, gen_elem_type(k->gen, v->type.dtype), base, at);
}

static unsigned align_of(const Value *v) {
    int bits = dtype_bits(v->type.dtype);
    return bits < 8 ? 1 : (unsigned)bits / 8;
}

static LLVMValueRef load(Kernel *k, int input, LLVMValueRef *index) {
    const Value *v = k->node->in[input];
    LLVMValueRef p = element_of(k, v, k->node->out[0], k->in[input], index);
    return vec_load_of(k, gen_elem_type(k->gen, v->type.dtype), p, 1, align_of(v));
}

static LLVMValueRef number(Gen *g, const Tensor *t) {
    LLVMTypeRef type = gen_elem_type(g, t->dtype);
    if (t->dtype == DT_F32 || t->dtype == DT_F64) return LLVMConstReal(type, tensor_float(t, 0));
    if (t->dtype == DT_F16 || t->dtype == DT_BF16) return LLVMConstInt(type, *(const uint16_t *)t->data, 0);
    return LLVMConstInt(type, (uint64_t)tensor_int(t, 0), 1);
}

typedef struct Known { /* a value of the body */
    const Value *value;
    LLVMValueRef llvm;
} Known;

static LLVMValueRef find(Gen *g, const Known *known, int n, const Value *v) {
    if (!v) return NULL;
    if (v->constant) return number(g, v->constant);
    for (int i = 0; i < n; i++)
        if (known[i].value == v) return known[i].llvm;
    assert(!"a body's value that nothing defines");
    return NULL;
}

static LLVMValueRef result_of(Kernel *k, LLVMValueRef acc, LLVMValueRef *index) {
    const Graph *body = k->node->body;
    Gen *g = k->gen;
    if (!body) return acc;
    int most = body->n_inputs, n = 0, own = gpu_own_inputs(k->node);
    for (const Node *at = body->first; at; at = at->next) most++;
    Known *known = ARENA_ARRAY(g->ctx->arena, most, Known);
    known[n++] = (Known){body->inputs[0], acc};
    for (int i = 1; i < body->n_inputs; i++) known[n++] = (Known){body->inputs[i], load(k, own + i - 1, index)};
    for (const Node *at = body->first; at; at = at->next) {
        LLVMValueRef args[3];
        for (int i = 0; i < at->n_in; i++) args[i] = find(g, known, n, at->in[i]);
        known[n++] = (Known){at->out[0], gen_elementwise(g, k->b, at, args)};
    }
    return find(g, known, n, body->outputs[0]);
}

void gpu_epilogue_store(Kernel *k, LLVMValueRef acc, LLVMValueRef *index) {
    const Value *out = k->node->out[0];
    LLVMValueRef v = result_of(k, acc, index);
    LLVMSetAlignment(LLVMBuildStore(k->b, v, element_of(k, out, out, k->out[0], index)), align_of(out));
}
