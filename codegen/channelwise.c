/* Tiles whose lanes are channels that do not mix: depthwise convolution and pooling in blocked layout. A tile is one
 * vector wide and runs along a row; within a kernel row every input vector is loaded once and serves all the places
 * that see it. */
#include "codegen/contract.h"

enum { MAX_UNROLLED = 160 }; /* taps × rows; more of them go tap by tap in a loop */

static LLVMValueRef larger(const Contraction *c, LLVMValueRef x, LLVMValueRef best) {
    if (c->kind == TILE_F32) return vec_greater_or_nan(c->k, x, best);
    LLVMTypeRef type = LLVMTypeOf(x);
    const char *name = c->kind == TILE_S8 ? "llvm.smax" : "llvm.umax";
    return call_intrinsic(c->k, name, &type, 1, (LLVMValueRef[]){x, best}, 2);
}

static void combine(const Contraction *c, Tile *t, int row, LLVMValueRef x, LLVMValueRef w) {
    Kernel *k = c->k;
    LLVMValueRef acc = tile_get(t, row, 0);
    switch (c->combine) {
    case COMBINE_DEPTHWISE:
        acc = c->kind == TILE_F32 ? vec_mul_add(k, x, w, acc, t->lanes) : dot_add_one(k, x, w, acc, t->lanes);
        break;
    case COMBINE_MAX: acc = larger(c, x, acc); break;
    default: acc = LLVMBuildFAdd(k->b, acc, x, ""); break;
    }
    tile_put(t, row, 0, acc);
}

void channelwise_fill(const Contraction *c, Tile *t, LLVMValueRef bias) {
    if (c->combine != COMBINE_MAX) {
        tile_fill(t, bias, 4);
        return;
    }
    LLVMTypeRef byte = c->k->gen->i8;
    LLVMValueRef least = c->kind == TILE_F32 ? LLVMConstReal(c->k->gen->f32, -__builtin_inf())
                                             : LLVMConstInt(byte, c->kind == TILE_S8 ? 0x80 : 0, 0);
    for (int r = 0; r < t->rows; r++) tile_put(t, r, 0, vec_repeat(least, t->lanes));
}

static LLVMValueRef weight(const Contraction *c, LLVMValueRef w, LLVMValueRef tap) {
    LLVMTypeRef type = c->kind == TILE_F32 ? c->k->gen->f32 : c->k->gen->i32;
    LLVMValueRef p = w ? f32_at(c->k, w, i_scale(c->k, tap, c->lanes)) : NULL;
    return p ? vec_load_of(c->k, type, p, c->lanes, (unsigned)c->lanes * 4) : NULL;
}

static LLVMValueRef input(const Contraction *c, LLVMValueRef x, LLVMValueRef place) {
    Kernel *k = c->k;
    LLVMTypeRef words = vec_of(k->gen->i32, c->lanes), shorts = vec_of(k->gen->i16, c->lanes);
    LLVMValueRef p = element_at(k, c->x_element, x, i_mul(k, place, c->x_pixel));
    LLVMValueRef v = vec_load_of(k, c->x_element, p, c->lanes, c->kind == TILE_F32 ? 4 : 1);
    if (c->kind == TILE_F32 || c->combine == COMBINE_MAX) return v;
    if (c->kind == TILE_S8) v = LLVMBuildSExt(k->b, v, shorts, "");
    return LLVMBuildZExt(k->b, v, words, "");
}

/* every place of the input once, from left to right, into all rows and taps that see it */
static void unrolled_row(const Contraction *c, Tile *t, LLVMValueRef x, LLVMValueRef w, const uint32_t *masks) {
    Kernel *k = c->k;
    int64_t kernel = c->kernel[2], places = (t->rows - 1) * c->stride[2] + (kernel - 1) * c->dilation[2] + 1;
    LLVMValueRef weights[MAX_UNROLLED], v;
    for (int64_t i = 0; i < kernel; i++) weights[i] = weight(c, w, gen_i64(k->gen, i));
    for (int64_t q = 0; q < places; q++) {
        v = NULL;
        for (int64_t i = 0; i < kernel; i++) {
            int64_t row = q - i * c->dilation[2];
            if (row < 0 || row % c->stride[2] || row / c->stride[2] >= t->rows) continue;
            row /= c->stride[2];
            if (masks && !(masks[i] >> row & 1)) continue;
            if (!v) v = input(c, x, gen_i64(k->gen, q));
            combine(c, t, (int)row, v, weights[i]);
        }
    }
}

static void one_tap(const Contraction *c, Tile *t, LLVMValueRef x, LLVMValueRef w, LLVMValueRef tap, uint32_t mask) {
    Kernel *k = c->k;
    LLVMValueRef wv = weight(c, w, tap), place = i_scale(k, tap, c->dilation[2]);
    for (int r = 0; r < t->rows; r++)
        if (mask >> r & 1) combine(c, t, r, input(c, x, i_plus(k, place, r * c->stride[2])), wv);
}

void channelwise_row(const Contraction *c, Tile *t, LLVMValueRef x, LLVMValueRef w, const Taps *taps) {
    Kernel *k = c->k;
    int64_t from, to, kernel = c->kernel[2];
    bool small = kernel * t->rows <= MAX_UNROLLED,
         constant = taps->from && i_is_const(taps->from, &from) && i_is_const(taps->to, &to);
    if (small && (!taps->from || (constant && from == 0 && to == kernel))) {
        unrolled_row(c, t, x, w, taps->from ? NULL : taps->masks);
        return;
    }
    for (int64_t i = 0; !taps->from && i < kernel; i++) one_tap(c, t, x, w, gen_i64(k->gen, i), taps->masks[i]);
    if (!taps->from) return;
    For f = for_begin(k, taps->from, taps->to, 1);
    one_tap(c, t, x, w, f.i, UINT32_MAX);
    for_end(k, &f);
}

/* taps of axis i that lie inside at output place `at`, padding counted or not */
static LLVMValueRef count_taps(const Contraction *c, int i, LLVMValueRef at) {
    Kernel *k = c->k;
    LLVMValueRef none = gen_i64(k->gen, 0), size = gen_i64(k->gen, c->kernel[i]);
    LLVMValueRef start = i_plus(k, i_scale(k, at, c->stride[i]), -c->pad[i]);
    LLVMValueRef room = i_sub(k, i_plus(k, c->in[i], c->count_padding ? c->pad_end[i] : 0), start);
    LLVMValueRef until = i_min(k, i_div_up(k, i_max(k, room, none), c->dilation[i]), size);
    if (c->count_padding) return until;
    LLVMValueRef before = i_min(k, i_div_up(k, i_max(k, i_sub(k, none, start), none), c->dilation[i]), size);
    return i_max(k, i_sub(k, until, before), none);
}

void channelwise_finish(const Contraction *c, Tile *t, const LLVMValueRef outer[2], LLVMValueRef start) {
    Kernel *k = c->k;
    LLVMValueRef rows = i_mul(k, count_taps(c, 0, outer[0]), count_taps(c, 1, outer[1]));
    for (int r = 0; r < t->rows; r++) {
        LLVMValueRef count = i_mul(k, rows, count_taps(c, 2, i_plus(k, start, r)));
        LLVMValueRef divisor = LLVMBuildSIToFP(k->b, count, k->gen->f32, "");
        tile_put(t, r, 0, LLVMBuildFDiv(k->b, tile_get(t, r, 0), vec_splat(k, divisor, t->lanes), ""));
    }
}
