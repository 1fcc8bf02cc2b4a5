/* An elementwise operator on LLVM values: a call of mcc_el_<op>_<dtype> (Cast, QuantizeLinear, DequantizeLinear:
 * mcc_cast_<from>_<to>, mcc_quantize_…, mcc_dequantize_…), the one definition of its meaning,
 * which is inlined. Attributes travel as a constant and fold. */
#include <string.h>
#include "codegen/gen.h"

static LLVMValueRef attr_words(Gen *g, const Node *n) {
    int64_t words[MAX_ATTR_WORDS];
    return gen_bytes(g, words, sizeof *words * (size_t)node_attr_words(n, words), 8);
}

static const char *function_name(Gen *g, const Node *n) {
    Dtype in = n->in[n->op == OP_Where]->type.dtype;
    const char *pair = n->op == OP_Cast               ? "cast"
                       : n->op == OP_QuantizeLinear   ? "quantize"
                       : n->op == OP_DequantizeLinear ? "dequantize"
                                                      : NULL;
    if (!pair) return arena_printf(g->ctx->arena, "mcc_el_%s_%s", op_info(n->op)->name, dtype_suffix(in));
    return arena_printf(g->ctx->arena, "mcc_%s_%s_%s", pair, dtype_suffix(in), dtype_suffix(n->out[0]->type.dtype));
}

/* Clip's missing bounds do not bind: the dtype's ends */
static LLVMValueRef limit(Gen *g, Dtype t, bool high) {
    int bits = dtype_bits(t);
    if (t == DT_F32 || t == DT_F64)
        return LLVMConstReal(gen_elem_type(g, t), high ? __builtin_inf() : -__builtin_inf());
    if (t == DT_F16) return LLVMConstInt(g->i16, high ? 0x7c00 : 0xfc00, 0);
    if (t == DT_BF16) return LLVMConstInt(g->i16, high ? 0x7f80 : 0xff80, 0);
    bool is_signed = dtype_class(t) == DTC_I;
    uint64_t top = is_signed ? ((uint64_t)1 << (bits - 1)) - 1 : bits == 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
    return LLVMConstInt(gen_elem_type(g, t), high ? top : is_signed ? ~top : 0, 0);
}

static LLVMValueRef no_zero_point(Gen *g, const Node *n) {
    return LLVMConstNull(gen_elem_type(g, n->op == OP_QuantizeLinear ? n->out[0]->type.dtype : n->in[0]->type.dtype));
}

LLVMValueRef gen_elementwise(Gen *g, LLVMBuilderRef b, const Node *n, LLVMValueRef *args) {
    LLVMValueRef values[4];
    LLVMTypeRef types[4];
    if (n->op == OP_Table) return lookup_one(g, b, n, args[0]);
    bool scaled = n->op == OP_QuantizeLinear || n->op == OP_DequantizeLinear;
    int count = n->op == OP_Clip || scaled ? 3 : n->n_in;
    assert(count <= 3);
    for (int i = 0; i < count; i++) {
        values[i] = i < n->n_in ? args[i] : NULL;
        if (!values[i]) values[i] = scaled ? no_zero_point(g, n) : limit(g, n->in[0]->type.dtype, i == 2);
        types[i] = LLVMTypeOf(values[i]);
    }
    values[count] = attr_words(g, n);
    types[count] = g->ptr;
    const char *name = function_name(g, n);
    LLVMTypeRef type = LLVMFunctionType(gen_elem_type(g, n->out[0]->type.dtype), types, (unsigned)count + 1, 0);
    LLVMValueRef fn = LLVMGetNamedFunction(g->module, name);
    if (!fn) fn = LLVMAddFunction(g->module, name, type);
    return LLVMBuildCall2(b, type, fn, values, (unsigned)count + 1, "");
}
