/* What kernels on pixels share: where a window lies, and the way of a sum to memory. */
#include "codegen/pixels.h"

LLVMValueRef pixels_number(const Pixels *p, int64_t v) { return LLVMConstInt(p->k->gen->i32, (uint64_t)v, 1); }

static LLVMValueRef narrowed(const Pixels *p, LLVMValueRef v) { return LLVMBuildTrunc(p->k->b, v, p->k->gen->i32, ""); }

Pixels pixels_window(const Node *n) {
    const int64_t *kernel, *strides, *dilations, *pads;
    const Value *x = n->in[0], *y = n->out[0];
    int spatial = node_ints(n, "kernel_shape", &kernel), n_strides = node_ints(n, "strides", &strides),
        n_dilations = node_ints(n, "dilations", &dilations), n_pads = node_ints(n, "pads", &pads);
    Pixels p = {.n = n, .is_signed = x->type.dtype == DT_I8, .flat = true};
    p.channels = x->type.dims[x->type.rank - 1]->value;
    p.columns = y->type.dims[y->type.rank - 1]->value;
    for (int axis = 0; axis < 3; axis++) {
        int i = axis - (3 - spatial);
        p.kernel[axis] = i >= 0 ? kernel[i] : 1;
        p.stride[axis] = i >= 0 && n_strides ? strides[i] : 1;
        p.dilation[axis] = i >= 0 && n_dilations ? dilations[i] : 1;
        if (i >= 0 && n_pads) p.pad[axis] = pads[i], p.pad_end[axis] = pads[spatial + i];
        if (p.pad[axis] || p.pad_end[axis]) p.padded = true;
        if (p.kernel[axis] != 1 || p.stride[axis] != 1 || p.padded) p.flat = false;
    }
    return p;
}

Pixels pixels_of(Kernel *k) {
    const Node *n = k->node;
    const int64_t *unused;
    int spatial = node_ints(n, "kernel_shape", &unused);
    Pixels p = pixels_window(n);
    p.k = k;
    for (int axis = 0; axis < 3; axis++) {
        int i = axis - (3 - spatial);
        p.in[axis] = i >= 0 ? narrowed(&p, kernel_dim(k, n->in[0]->type.dims[2 + i])) : pixels_number(&p, 1);
        p.out[axis] = i >= 0 ? narrowed(&p, kernel_dim(k, n->out[0]->type.dims[2 + i])) : pixels_number(&p, 1);
    }
    p.count = narrowed(&p, kernel_dims(k, n->out[0]->type.dims, n->out[0]->type.rank - 1));
    return p;
}

LLVMValueRef pixels_byte_at(const Pixels *p, LLVMValueRef base, LLVMValueRef at) {
    return element_at(p->k, p->k->gen->i8, base, at);
}

LLVMValueRef pixels_load(const Pixels *p, LLVMValueRef base, LLVMValueRef at) {
    return vec_load_of(p->k, p->k->gen->i32, pixels_byte_at(p, base, at), 1, 1);
}

/* ---- the window ---- */

LLVMValueRef pixels_unravel(const Pixels *p, LLVMValueRef pixel, LLVMValueRef at[3]) {
    Kernel *k = p->k;
    LLVMValueRef size = i_mul(k, i_mul(k, p->in[0], p->in[1]), p->in[2]);
    for (int i = 2; i >= 0; i--) {
        int64_t out;
        bool one = i_is_const(p->out[i], &out) && out == 1;
        LLVMValueRef place = one ? pixels_number(p, 0) : LLVMBuildURem(k->b, pixel, p->out[i], "");
        if (!one) pixel = LLVMBuildUDiv(k->b, pixel, p->out[i], "");
        at[i] = i_plus(k, i_scale(k, place, p->stride[i]), -p->pad[i]);
    }
    return i_mul(k, pixel, size);
}

LLVMValueRef pixels_index(const Pixels *p, LLVMValueRef first, const LLVMValueRef at[3]) {
    Kernel *k = p->k;
    LLVMValueRef row = i_add(k, i_mul(k, at[0], p->in[1]), at[1]);
    return i_add(k, first, i_add(k, i_mul(k, row, p->in[2]), at[2]));
}

Range pixels_taps(const Pixels *p, int axis, LLVMValueRef at) {
    Kernel *k = p->k;
    LLVMValueRef none = pixels_number(p, 0), size = pixels_number(p, p->kernel[axis]);
    if (!p->pad[axis] && !p->pad_end[axis]) return (Range){none, size};
    LLVMValueRef before = i_max(k, i_sub(k, none, at), none), inside = i_max(k, i_sub(k, p->in[axis], at), none);
    return (Range){i_min(k, i_div_up(k, before, p->dilation[axis]), size),
                   i_min(k, i_div_up(k, inside, p->dilation[axis]), size)};
}

/* ---- from sums to y ---- */

/* of v, broadcast to y, what stands at y's pixel and column */
static LLVMValueRef element_of(const Pixels *p, const Value *v, LLVMValueRef base, LLVMValueRef pixel,
                               LLVMValueRef col) {
    Kernel *k = p->k;
    bool rows = false;
    int rank = v->type.rank;
    int64_t last = rank ? v->type.dims[rank - 1]->value : 1;
    for (int i = 0; i + 1 < rank; i++) rows = rows || !dim_is(v->type.dims[i], 1);
    LLVMValueRef at = rows ? i_scale(k, pixel, last) : pixels_number(p, 0);
    return element_at(k, gen_elem_type(k->gen, v->type.dtype), base, last > 1 ? i_add(k, at, col) : at);
}

static unsigned align_of(const Value *v) { return (unsigned)dtype_bits(v->type.dtype) / 8; }

void pixels_store(const Pixels *p, LLVMValueRef sum, LLVMValueRef pixel, LLVMValueRef col, int operands) {
    Kernel *k = p->k;
    const Graph *body = p->n->body;
    const Value *y = p->n->out[0];
    if (body) {
        LLVMValueRef *in = ARENA_ARRAY(k->gen->ctx->arena, body->n_inputs, LLVMValueRef);
        in[0] = sum;
        for (int i = 1; i < body->n_inputs; i++) {
            const Value *v = p->n->in[operands + i - 1];
            LLVMValueRef at = element_of(p, v, k->in[operands + i - 1], pixel, col);
            in[i] = vec_load_of(k, gen_elem_type(k->gen, v->type.dtype), at, 1, align_of(v));
        }
        body_outputs(k, body, in, 1, &sum);
    }
    vec_store(k, sum, element_of(p, y, k->out[0], pixel, col), align_of(y));
}
