/* A panel of narrow weights as f32 in scratch memory, just before the pixels that it serves: step by step, all of a
 * panel's columns at once. Weights of 16 bits become f32 exactly, and codes what DequantizeLinear makes of them. */
#include "codegen/contract.h"

typedef struct Expansion {
    const Contraction *c;
    Kernel *k;
    int vecs;
    int64_t n, taps; /* columns */
    LLVMValueRef scales, zeros, codes;
} Expansion;

static LLVMValueRef bytes_at(Kernel *k, LLVMValueRef base, LLVMValueRef n) {
    return element_at(k, k->gen->i8, base, n);
}

/* low halves of the bytes, then high ones */
static LLVMValueRef load_halves(const Expansion *s, LLVMValueRef from) {
    Kernel *k = s->k;
    int lanes = s->c->lanes, half = lanes / 2;
    LLVMValueRef v = vec_load_of(k, k->gen->i8, from, half, 1), order[64];
    LLVMTypeRef byte = k->gen->i8;
    LLVMValueRef low = LLVMBuildAnd(k->b, v, vec_repeat(LLVMConstInt(byte, 15, 0), half), "");
    LLVMValueRef high = LLVMBuildLShr(k->b, v, vec_repeat(LLVMConstInt(byte, 4, 0), half), "");
    for (int i = 0; i < lanes; i++) order[i] = LLVMConstInt(k->gen->i32, (unsigned)i, 0);
    return LLVMBuildShuffleVector(k->b, low, high, LLVMConstVector(order, (unsigned)lanes), "");
}

/* the codes of vector `v` of a step as numbers */
static LLVMValueRef load_codes(const Expansion *s, LLVMValueRef step, int v) {
    Kernel *k = s->k;
    int lanes = s->c->lanes;
    Dtype t = s->c->stored->codes;
    LLVMValueRef from = bytes_at(k, step, gen_i64(k->gen, (int64_t)v * lanes * dtype_bits(t) / 8)), x;
    if (t == DT_F16 || t == DT_BF16) return vec_load_wide(k, t, from, lanes, 1);
    if (t == DT_U4) x = load_halves(s, from);
    else x = vec_load_of(k, k->gen->i8, from, lanes, 1);
    x = LLVMBuildZExt(k->b, x, vec_of(k->gen->i32, lanes), "");
    return LLVMBuildSIToFP(k->b, x, vec_type(k->gen, lanes), "");
}

typedef struct Numbers { /* of a panel's columns */
    LLVMValueRef scale[TILE_MAX], zero[TILE_MAX];
} Numbers;

static Numbers load_numbers(const Expansion *s, LLVMValueRef group) {
    Kernel *k = s->k;
    int lanes = s->c->lanes;
    Numbers x = {.scale = {NULL}};
    for (int v = 0; v < s->vecs && s->c->stored->groups; v++) {
        LLVMValueRef at = i_plus(k, i_scale(k, group, s->n), (int64_t)v * lanes);
        x.scale[v] = vec_load(k, f32_at(k, s->scales, at), lanes, (unsigned)lanes * 4);
        x.zero[v] = vec_const(k->gen, (double)s->c->stored_zero, lanes);
        if (!s->zeros) continue;
        LLVMValueRef bytes = vec_load_of(k, k->gen->i8, bytes_at(k, s->zeros, at), lanes, 1);
        x.zero[v] = LLVMBuildUIToFP(k->b, bytes, vec_type(k->gen, lanes), "");
    }
    return x;
}

static void expand_step(const Expansion *s, LLVMValueRef step, const Numbers *x) {
    Kernel *k = s->k;
    int64_t bytes = s->n * dtype_bits(s->c->stored->codes) / 8;
    LLVMValueRef from = bytes_at(k, s->codes, i_scale(k, step, bytes));
    LLVMValueRef to = f32_at(k, k->scratch, i_scale(k, step, s->n));
    for (int v = 0; v < s->vecs; v++) {
        LLVMValueRef w = load_codes(s, from, v);
        if (x->scale[v]) w = LLVMBuildFMul(k->b, LLVMBuildFSub(k->b, w, x->zero[v], ""), x->scale[v], "");
        vec_store(k, w, f32_at(k, to, gen_i64(k->gen, (int64_t)v * s->c->lanes)), (unsigned)s->c->lanes * 4);
    }
}

/* the steps of a block of `count` channels from `channel` on; begin: those before it */
static void expand_block(const Expansion *s, LLVMValueRef channel, LLVMValueRef count, LLVMValueRef begin) {
    Kernel *k = s->k;
    const Grouping *g = &s->c->group;
    For tap = for_count(k, s->taps), f = for_begin(k, gen_i64(k->gen, 0), count, 1);
    LLVMValueRef own = i_add(k, channel, f.i);
    if (g->groups > 1) own = LLVMBuildURem(k->b, own, gen_i64(k->gen, g->channels), "");
    LLVMValueRef group = i_div(k, i_add(k, i_scale(k, own, s->taps), tap.i), s->c->stored->block);
    Numbers x = load_numbers(s, group);
    expand_step(s, i_add(k, begin, i_add(k, i_mul(k, tap.i, count), f.i)), &x);
    for_end(k, &f);
    for_end(k, &tap);
}

void panel_expand(const Contraction *c, LLVMValueRef from, int vecs, LLVMValueRef first, LLVMValueRef blocks) {
    Kernel *k = c->k;
    const NarrowForm *form = c->stored;
    Expansion s = {.c = c, .k = k, .vecs = vecs, .n = (int64_t)vecs * c->lanes, .scales = from};
    int64_t numbers = form->groups * s.n * 4, block = c->group.block, all = c->group.channels * c->group.groups;
    s.taps = c->kernel[0] * c->kernel[1] * c->kernel[2];
    s.codes = bytes_at(k, from, gen_i64(k->gen, numbers));
    if (form->zeros) {
        s.zeros = s.codes;
        s.codes = bytes_at(k, s.zeros, gen_i64(k->gen, numbers / 4));
    }
    LLVMValueRef end = i_min(k, i_scale(k, i_add(k, first, blocks), block), gen_i64(k->gen, all));
    if (form->groups <= 1) {
        LLVMValueRef channels = i_sub(k, end, i_scale(k, first, block));
        Numbers x = load_numbers(&s, gen_i64(k->gen, 0));
        For f = for_begin(k, gen_i64(k->gen, 0), i_scale(k, channels, s.taps), 1);
        expand_step(&s, f.i, &x);
        for_end(k, &f);
        return;
    }
    For b = for_begin(k, gen_i64(k->gen, 0), blocks, 1);
    LLVMValueRef channel = i_scale(k, i_add(k, first, b.i), block);
    expand_block(&s, channel, i_min(k, i_sub(k, end, channel), gen_i64(k->gen, block)),
                 i_scale(k, b.i, block * s.taps));
    for_end(k, &b);
}

int64_t expand_bytes(const Node *n, const NarrowForm *f, const Grouping *g, int vecs, int lanes) {
    int64_t cols = g->cols * g->groups, wide = (int64_t)vecs * lanes, taps = 1, most = 0;
    const int64_t *kernel;
    if (f->codes == DT_F32) return 0;
    int rank = node_ints(n, "kernel_shape", &kernel);
    for (int i = 0; i < rank; i++) taps *= kernel[i];
    for (int64_t col = 0; col < cols; col += wide) {
        int64_t channels = range_channels(g, panel_blocks(g, col, wide));
        if (channels > most) most = channels;
    }
    return most * taps * wide * 4;
}

NarrowForm narrow_form(const Node *n, int64_t depth) {
    NarrowForm f = {.codes = (Dtype)node_int(n, "weights"), .block = node_int(n, "block")};
    f.groups = f.block ? (depth + f.block - 1) / f.block : 0;
    f.zeros = node_int(n, "zeros");
    return f;
}
