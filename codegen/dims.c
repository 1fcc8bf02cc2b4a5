/* Dims as LLVM values: constants fold, symbols come from the function's parameters or from what nodes wrote. */
#include "codegen/gen.h"

static LLVMValueRef symbol_value(Dim d, const Symbol *symbols, int n) {
    for (int i = 0; i < n; i++)
        if (symbols[i].dim == d) return symbols[i].value;
    assert(!"a dim's symbol has no value here");
    return NULL;
}

static LLVMValueRef gen_sum(Gen *g, LLVMBuilderRef b, Dim d, const Symbol *symbols, int n) {
    LLVMValueRef sum = gen_i64(g, 0);
    for (int i = 0; i < d->n_terms; i++) {
        LLVMValueRef term = gen_i64(g, d->terms[i].coef);
        for (int k = 0; k < d->terms[i].n_factors; k++)
            term = LLVMBuildMul(b, term, gen_dim(g, b, d->terms[i].factors[k], symbols, n), "");
        sum = LLVMBuildAdd(b, sum, term, "");
    }
    return sum;
}

static LLVMValueRef gen_floordiv(Gen *g, LLVMBuilderRef b, Dim d, LLVMValueRef x, LLVMValueRef y) {
    if (d->b->lo < 1) { /* a divisor that may be zero stands for an empty tensor: any value will do but a trap */
        LLVMValueRef bad = LLVMBuildICmp(b, LLVMIntSLT, y, gen_i64(g, 1), "");
        y = LLVMBuildSelect(b, bad, gen_i64(g, 1), y, "");
    }
    if (d->a->lo >= 0) return LLVMBuildUDiv(b, x, y, "");
    LLVMValueRef q = LLVMBuildSDiv(b, x, y, ""), r = LLVMBuildSRem(b, x, y, "");
    LLVMValueRef below = LLVMBuildICmp(b, LLVMIntSLT, r, gen_i64(g, 0), "");
    return LLVMBuildSub(b, q, LLVMBuildZExt(b, below, g->i64, ""), "");
}

LLVMValueRef gen_dim(Gen *g, LLVMBuilderRef b, Dim d, const Symbol *symbols, int n) {
    if (d->kind == DIM_CONST) return gen_i64(g, d->value);
    if (d->kind == DIM_SYMBOL) return symbol_value(d, symbols, n);
    if (d->kind == DIM_SUM) return gen_sum(g, b, d, symbols, n);
    LLVMValueRef x = gen_dim(g, b, d->a, symbols, n), y = gen_dim(g, b, d->b, symbols, n);
    if (d->kind == DIM_FLOORDIV) return gen_floordiv(g, b, d, x, y);
    LLVMValueRef less = LLVMBuildICmp(b, LLVMIntSLT, x, y, "");
    return d->kind == DIM_MIN ? LLVMBuildSelect(b, less, x, y, "") : LLVMBuildSelect(b, less, y, x, "");
}

LLVMValueRef gen_byte_count(Gen *g, LLVMBuilderRef b, Dtype t, LLVMValueRef elements) {
    int bits = dtype_bits(t);
    if (bits >= 8) return LLVMBuildMul(b, elements, gen_i64(g, bits / 8), "");
    LLVMValueRef all = LLVMBuildAdd(b, LLVMBuildMul(b, elements, gen_i64(g, bits), ""), gen_i64(g, 7), "");
    return LLVMBuildLShr(b, all, gen_i64(g, 3), "");
}

void add_symbols(Ctx *ctx, Dim d, Symbol **list, int *n) {
    if (!d || d->kind == DIM_CONST) return;
    if (d->kind == DIM_SUM) {
        for (int i = 0; i < d->n_terms; i++)
            for (int k = 0; k < d->terms[i].n_factors; k++) add_symbols(ctx, d->terms[i].factors[k], list, n);
        return;
    }
    if (d->kind != DIM_SYMBOL) {
        add_symbols(ctx, d->a, list, n);
        add_symbols(ctx, d->b, list, n);
        return;
    }
    for (int i = 0; i < *n; i++)
        if ((*list)[i].dim == d) return;
    *list = arena_grow(ctx->arena, *list, (size_t)*n, (size_t)*n + 1, sizeof **list);
    (*list)[(*n)++] = (Symbol){.dim = d};
}

int collect_symbols(Ctx *ctx, const Node *n, Symbol **out) {
    int count = 0;
    *out = NULL;
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < (side ? n->n_out : n->n_in); i++) {
            const Value *v = side ? n->out[i] : n->in[i];
            for (int d = 0; v && d < v->type.rank; d++) add_symbols(ctx, v->type.dims[d], out, &count);
        }
    return count;
}
