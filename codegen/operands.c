/* What a contraction's epilogue reads and writes, and the tile that its node names: the same for convolutions and
 * products. */
#include "codegen/contract.h"

void operand_strides(Kernel *k, const Value *v, const Value *like, LLVMValueRef *strides) {
    Ctx *ctx = k->gen->ctx;
    int shift = like->type.rank - v->type.rank;
    Dim s = dim_const(ctx, 1);
    for (int d = like->type.rank - 1; d >= 0; d--) {
        strides[d] = gen_i64(k->gen, 0);
        if (d < shift) continue;
        Dim n = v->type.dims[d - shift];
        if (!dim_is(n, 1)) strides[d] = kernel_dim(k, s);
        s = dim_mul(ctx, s, n);
    }
}

LLVMValueRef operand_joint_stride(Kernel *k, const Value *v, const Value *like, int from, int to) {
    int shift = like->type.rank - v->type.rank;
    for (int d = from > shift ? from : shift; d < to; d++)
        if (!dim_is(v->type.dims[d - shift], 1)) return kernel_dim(k, v->type.dims[v->type.rank - 1]);
    return gen_i64(k->gen, 0);
}

void epilogue_operands(Contraction *c, const Node *n, int first, bool flat, OperandOf *operand) {
    Kernel *k = c->k;
    c->epilogue.body = n->body;
    c->epilogue.operands = ARENA_ARRAY(k->gen->ctx->arena, n->n_in, Operand);
    c->epilogue.out = operand(k, n->out[0], n->out[0], k->out[0], flat);
    for (int i = first; i < n->n_in; i++)
        c->epilogue.operands[i - first] = operand(k, n->in[i], n->out[0], k->in[i], flat);
}

void contraction_tile(Contraction *c, const Node *n) {
    c->rows = (int)node_int(n, "rows");
    c->vecs = (int)node_int(n, "vecs");
    c->unroll = (int)node_int(n, "unroll");
    c->run = node_int(n, "run");
}
