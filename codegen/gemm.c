/* Products with packed constant weights, y[rows…, N] = x[rows…, K] · w[K, N]: a contraction whose only row runs over
 * all dims of x but the last. While a run of tiles uses one panel of weights, the next one is fetched into L2, evenly.
 */
#include "codegen/contract.h"

Operand row_operand(Kernel *k, const Value *v, const Value *out, LLVMValueRef base, bool flat) {
    int rank = out->type.rank;
    LLVMValueRef strides[MCC_MAX_RANK], none = gen_i64(k->gen, 0);
    (void)flat;
    operand_strides(k, v, out, strides);
    Operand o = {.base = base,
                 .dtype = v->type.dtype,
                 .limit = value_limit(v),
                 .batch = none,
                 .col = strides[rank - 1],
                 .space = {none, none, operand_joint_stride(k, v, out, 0, rank - 1)}};
    o.splat = v->type.rank == 0 || dim_is(v->type.dims[v->type.rank - 1], 1);
    return o;
}

static bool emit_product(Kernel *k) {
    enum {
        OPEN_ROWS = 64,        /* as if there were so many, where it is not known */
        NARROW_DISTANCE = 1024 /* 8 % faster from memory than four times that, which floats like */
    };
    const Node *n = k->node;
    const Value *x = n->in[0], *y = n->out[0];
    LLVMValueRef one = gen_i64(k->gen, 1), none = gen_i64(k->gen, 0);
    Contraction c = {.k = k, .x = k->in[0], .w = k->in[1], .bias = k->in[2], .overlap = true, .batch = one};
    contraction_tile(&c, n);
    c.pairs = node_int(n, "pairs");
    c.lanes = (int)node_int(n, "lanes");
    c.cols = y->type.dims[y->type.rank - 1]->value;
    int64_t inner = x->type.dims[x->type.rank - 1]->value;
    if (x->type.dtype != DT_F32) {
        enum { BYTES = 4 };
        inner /= BYTES;
        c.kind = x->type.dtype == DT_U8 ? TILE_U8 : TILE_S8;
        c.x_element = c.sum = k->gen->i32;
    }
    int w_bytes = dtype_bits(n->in[1]->type.dtype) / 8 * (x->type.dtype == DT_F32 ? 1 : 4);
    if (w_bytes == 2) c.half = n->in[1]->type.dtype;
    c.group = (Grouping){c.cols, inner, 1, inner};
    for (int i = 0; i < 3; i++) {
        c.in[i] = c.out[i] = one;
        c.kernel[i] = c.stride[i] = c.dilation[i] = c.up[i] = 1;
    }
    c.in[2] = c.out[2] = kernel_dims(k, y->type.dims, y->type.rank - 1);
    c.x_batch = c.x_block = none;
    c.x_pixel = gen_i64(k->gen, inner);
    epilogue_operands(&c, n, 3, true, row_operand);
    int64_t rows;
    if (i_is_const(c.out[2], &rows)) {
        int64_t tiles = (rows + c.rows - 1) / c.rows;
        c.ahead = ahead_of_panel(k->gen->target, inner * c.cols * w_bytes, inner, (int64_t)c.vecs * c.lanes * w_bytes / 4,
                                 tiles < c.run ? tiles : c.run, c.unroll);
        if (c.half && !c.ahead.tile) c.ahead.distance = NARROW_DISTANCE;
    }
    contraction_emit(&c);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

static double product_work(const Node *n) {
    const Type *x = &n->in[0]->type;
    double inner = (double)x->dims[x->rank - 1]->hi * dtype_bits(x->dtype) / 32, lanes = (double)node_int(n, "lanes");
    return largest_count(n->out[0]) / lanes * inner;
}

const Emitter product_emitter = {.form = "packed product", .emit = emit_product, .work = product_work};
