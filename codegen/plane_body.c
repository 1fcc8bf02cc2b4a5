/* What follows a channelwise kernel of planes in its body: operands are planes like the result, or a number a channel,
 * or one for all. */
#include "codegen/planes.h"

LLVMValueRef load_lanes(Kernel *k, LLVMValueRef p, int64_t from, int64_t to) {
    LLVMValueRef mask[PANEL], none = LLVMConstNull(vec_type(k->gen, PANEL));
    if (from < 0) from = 0;
    if (from >= to) return none;
    if (from == 0 && to >= PANEL) return vec_load(k, p, PANEL, 4);
    for (int i = 0; i < PANEL; i++) mask[i] = LLVMConstInt(k->gen->i1, i >= from && i < to, 0);
    LLVMTypeRef types[2] = {vec_type(k->gen, PANEL), k->gen->ptr};
    LLVMValueRef args[4] = {p, gen_i32(k->gen, 4), LLVMConstVector(mask, PANEL), none};
    return call_intrinsic(k, "llvm.masked.load", types, 2, args, 4);
}

static LLVMValueRef operand_at(Kernel *k, const Plane *to, int input, const PlanePlace *at) {
    const Value *v = k->node->in[input];
    if (v->type.rank == 3 && dim_is(v->type.dims[2], to->size)) {
        LLVMValueRef start = i_plus(k, i_scale(k, at->plane, to->size), to->lead);
        return load_lanes(k, f32_at(k, k->in[input], i_add(k, start, at->pixel)), 0, at->there);
    }
    LLVMValueRef strides[MCC_MAX_RANK];
    operand_strides(k, v, k->node->out[0], strides);
    LLVMValueRef i = i_add(k, i_mul(k, at->batch, strides[0]), i_mul(k, at->channel, strides[1]));
    return vec_splat(k, vec_load(k, f32_at(k, k->in[input], i), 1, 4), PANEL);
}

LLVMValueRef planes_through_body(Kernel *k, const Plane *to, LLVMValueRef v, const PlanePlace *at) {
    const Graph *body = k->node->body;
    LLVMValueRef out;
    if (!body) return v;
    LLVMValueRef *in = ARENA_ARRAY(k->gen->ctx->arena, body->n_inputs, LLVMValueRef);
    in[0] = v;
    for (int i = 1; i < body->n_inputs; i++) in[i] = operand_at(k, to, k->node->n_in - body->n_inputs + i, at);
    body_outputs(k, body, in, PANEL, &out);
    return out;
}
