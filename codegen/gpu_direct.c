/* A thread an element of the output: operators that runtime/kernels/at.h has as functions of it, with what hangs on
 * contractions. For contractions it is the form that always fits; for pools, reductions and what moves elements it is
 * the usual one. */
#include <string.h>
#include "codegen/gpu.h"

enum { THREADS = 256 };

typedef enum Family {
    NONE,
    FLOATS,
    NUMBERS,
    SIZES,
    REAL,
    WORDS
} Family; /* of the functions: see common.h's dispatch */

static Family family_of(Op op) {
    switch (op) {
    case OP_Conv:
    case OP_ConvTranspose:
    case OP_AveragePool:
    case OP_GlobalAveragePool:
    case OP_GlobalMaxPool:
    case OP_ReduceL2:
    case OP_ReduceLogSum:
    case OP_ReduceLogSumExp: return FLOATS;
    case OP_MatMul:
    case OP_Gemm:
    case OP_MaxPool:
    case OP_ReduceL1:
    case OP_ReduceMax:
    case OP_ReduceMean:
    case OP_ReduceMin:
    case OP_ReduceProd:
    case OP_ReduceSum:
    case OP_ReduceSumSquare:
    case OP_ArgMax:
    case OP_ArgMin: return NUMBERS;
    case OP_Concat:
    case OP_Gather:
    case OP_GatherElements:
    case OP_GatherND:
    case OP_Slice:
    case OP_Expand:
    case OP_Tile:
    case OP_Transpose:
    case OP_Pad: return SIZES;
    case OP_Resize: return REAL;
    case OP_ConvInteger:
    case OP_MatMulInteger: return WORDS;
    default: return NONE;
    }
}

static bool fits(const CodeOptions *o, const Node *n) {
    Family f = family_of(n->op);
    (void)o;
    if (f == NONE || !n->out[0]) return false;
    for (int i = 1; i < n->n_out; i++)
        if (n->out[i]) return false;
    Dtype t = n->in[0]->type.dtype;
    if (f == WORDS) return true;
    return f == FLOATS ? dtype_class(t) == DTC_F && dtype_computes(t) : dtype_computes(t);
}

static const char *function_name(Gen *g, const Node *n) {
    Dtype t = n->in[0]->type.dtype;
    Family f = family_of(n->op);
    const char *op = op_info(n->op)->name, *real = f == REAL && dtype_class(t) != DTC_F ? "real_" : "";
    if (f == SIZES) return arena_printf(g->ctx->arena, "mcc_at_%s_b%d", op, dtype_bits(t));
    if (f == WORDS) return arena_printf(g->ctx->arena, "mcc_at_%s_i32", op);
    return arena_printf(g->ctx->arena, "mcc_at_%s_%s%s", op, real, t == DT_BOOL ? "u8" : dtype_suffix(t));
}

static void geometry(Ctx *ctx, const CodeOptions *o, const Node *n, int launch, GpuGeometry *out) {
    (void)o, (void)launch;
    out->grid[0] = dim_ceildiv(ctx, value_elements(ctx, n->out[0]), dim_const(ctx, THREADS));
    out->block[0] = THREADS;
}

static LLVMTypeRef element_type(Gen *g, const Node *n) {
    if (family_of(n->op) == SIZES) return LLVMIntTypeInContext(g->llvm, (unsigned)dtype_bits(n->in[0]->type.dtype));
    return gen_elem_type(g, gpu_accumulator(n));
}

/* element e by the operator's function */
static LLVMValueRef element(Kernel *k, LLVMValueRef e) {
    Gen *g = k->gen;
    LLVMValueRef args, attrs, status = gen_alloca(g, k->b, g->i32, 4);
    Node own = *k->node; /* what hangs on it reads the other inputs */
    own.n_in = gpu_own_inputs(k->node);
    Kernel call = *k;
    call.node = &own;
    reference_arguments(&call, &args, &attrs);
    LLVMBuildStore(k->b, gen_i32(g, MCC_OK), status);
    LLVMTypeRef params[4] = {g->ptr, g->ptr, g->i64, g->ptr},
                type = LLVMFunctionType(element_type(g, k->node), params, 4, 0);
    const char *name = function_name(g, k->node);
    LLVMValueRef fn = LLVMGetNamedFunction(g->module, name), values[4] = {args, attrs, e, status};
    if (!fn) fn = LLVMAddFunction(g->module, name, type);
    LLVMValueRef v = LLVMBuildCall2(k->b, type, fn, values, 4, "");
    gpu_fail(k, LLVMBuildLoad2(k->b, g->i32, status, ""));
    return v;
}

static bool emit(Kernel *k, int launch) {
    Gen *g = k->gen;
    const Value *out = k->node->out[0];
    LLVMValueRef index[MCC_MAX_RANK], e = gpu_flat_thread(k), n = kernel_dims(k, out->type.dims, out->type.rank);
    (void)launch;
    If inside = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSLT, e, n, ""));
    LLVMValueRef v = element(k, e);
    LLVMTypeRef type = gen_elem_type(g, gpu_accumulator(k->node));
    if (LLVMTypeOf(v) != type) v = LLVMBuildBitCast(k->b, v, type, "");
    if (k->node->body) {
        gpu_unflatten(k, e, out->type.dims, out->type.rank, index);
        gpu_epilogue_store(k, v, index);
    } else {
        LLVMValueRef p = element_at(k, type, k->out[0], e);
        LLVMSetAlignment(LLVMBuildStore(k->b, v, p), (unsigned)dtype_bits(out->type.dtype) / 8);
    }
    if_end(k, &inside);
    LLVMBuildRetVoid(k->b);
    return true;
}

const GpuForm gpu_direct = {.form = "an element a thread", .fits = fits, .geometry = geometry, .emit = emit};
