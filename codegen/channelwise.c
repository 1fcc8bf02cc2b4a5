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

static LLVMValueRef weights_at(const Contraction *c, LLVMValueRef w, LLVMValueRef vector) {
    LLVMTypeRef type = c->kind == TILE_F32 ? c->k->gen->f32 : c->k->gen->i32;
    LLVMValueRef p = f32_at(c->k, w, i_scale(c->k, vector, c->lanes));
    return vec_load_of(c->k, type, p, c->lanes, (unsigned)c->lanes * 4);
}

/* of a tap of a row whose weights are w; of quads the first ones begin with taps 0, 4, … */
static LLVMValueRef weight(const Contraction *c, LLVMValueRef w, LLVMValueRef tap) {
    Kernel *k = c->k;
    if (!w) return NULL;
    if (!c->quads) return weights_at(c, w, tap);
    LLVMValueRef four = weights_at(c, w, i_div(k, tap, TAP_QUAD));
    LLVMValueRef byte = i_sub(k, tap, i_scale(k, i_div(k, tap, TAP_QUAD), TAP_QUAD));
    LLVMValueRef behind = i_sub(k, gen_i64(k->gen, TAP_QUAD - 1), byte); /* bytes above it */
    LLVMValueRef up = LLVMBuildTrunc(k->b, i_scale(k, behind, 8), k->gen->i32, "");
    four = LLVMBuildShl(k->b, four, vec_splat(k, up, c->lanes), "");
    return LLVMBuildAShr(k->b, four, vec_repeat(gen_i32(k->gen, 24), c->lanes), "");
}

static LLVMValueRef place_of(const Contraction *c, LLVMValueRef x, LLVMValueRef place) {
    return element_at(c->k, c->x_element, x, i_mul(c->k, place, c->x_pixel));
}

/* quads are multiplied with their highest bits turned, which the zero point and the bias know */
static bool turns_bits(const Contraction *c) {
    return c->quads && dot_flips(dot_form(c->k->gen->target, c->lanes), c->kind == TILE_S8);
}

static LLVMValueRef input(const Contraction *c, LLVMValueRef x, LLVMValueRef place) {
    Kernel *k = c->k;
    LLVMTypeRef words = vec_of(k->gen->i32, c->lanes), shorts = vec_of(k->gen->i16, c->lanes);
    LLVMValueRef v = vec_load_of(k, c->x_element, place_of(c, x, place), c->lanes, c->kind == TILE_F32 ? 4 : 1);
    if (c->kind == TILE_F32 || c->combine == COMBINE_MAX) return v;
    bool turned = turns_bits(c);
    if (turned) v = LLVMBuildXor(k->b, v, vec_repeat(LLVMConstInt(k->gen->i8, 0x80, 0), c->lanes), "");
    if ((c->kind == TILE_S8) != turned) v = LLVMBuildSExt(k->b, v, shorts, "");
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

/* ---- four taps at a time: tap_quads.c ---- */

static TapQuads quads_of(const Contraction *c) { return (TapQuads){c->stride[2], c->kernel[2], c->quads}; }

/* vectors of weights of one row */
static int64_t row_weights(const Contraction *c) {
    TapQuads q = quads_of(c);
    int64_t shifts[TAP_QUAD_SHIFTS];
    return c->quads ? tap_quads_shifts(&q, shifts) : c->kernel[2];
}

int64_t channelwise_weights(const Contraction *c) {
    int64_t rows = c->kernel[0] * c->kernel[1];
    return c->stored ? narrow_panel_bytes(c->stored, c->lanes, rows * c->kernel[2]) : rows * row_weights(c) * c->lanes;
}

/* which of a tile's places lie inside of the input and are read, as bits */
static uint64_t places_inside(const Contraction *c, int rows, const uint32_t *masks) {
    uint64_t inside = 0;
    for (int64_t i = 0; i < c->kernel[2]; i++)
        for (int r = 0; r < rows; r++)
            if (!masks || masks[i] >> r & 1) inside |= UINT64_C(1) << (r * c->stride[2] + i);
    return inside;
}

/* the bytes of four pixels, channel by channel; what is not inside is what stands in the padding */
static LLVMValueRef load_quad(const Contraction *c, LLVMValueRef x, int64_t first, uint64_t inside) {
    Kernel *k = c->k;
    LLVMValueRef order[TAP_QUAD * TAP_QUAD], v;
    LLVMTypeRef bytes = LLVMVectorType(k->gen->i8, TAP_QUAD * TAP_QUAD);
    uint64_t all = (1u << TAP_QUAD) - 1;
    if ((inside >> first & all) == all)
        v = vec_load_of(k, k->gen->i32, place_of(c, x, gen_i64(k->gen, first)), TAP_QUAD, 1);
    else {
        v = vec_repeat(gen_i32(k->gen, (int)(0x01010101u * ((unsigned)c->outside & 255))), TAP_QUAD);
        for (int i = 0; i < TAP_QUAD; i++)
            if (inside >> (first + i) & 1) {
                LLVMValueRef p = place_of(c, x, gen_i64(k->gen, first + i));
                v = LLVMBuildInsertElement(k->b, v, vec_load_of(k, k->gen->i32, p, 1, 1), gen_i32(k->gen, i), "");
            }
    }
    for (int i = 0; i < TAP_QUAD * TAP_QUAD; i++) order[i] = gen_i32(k->gen, i % TAP_QUAD * TAP_QUAD + i / TAP_QUAD);
    v = LLVMBuildBitCast(k->b, v, bytes, "");
    v = LLVMBuildShuffleVector(k->b, v, v, LLVMConstVector(order, TAP_QUAD * TAP_QUAD), "");
    return LLVMBuildBitCast(k->b, v, vec_of(k->gen->i32, c->lanes), "");
}

static void quads_row(const Contraction *c, Tile *t, LLVMValueRef x, LLVMValueRef w, const uint32_t *masks) {
    enum { MOST_PLACES = 64 };
    Kernel *k = c->k;
    TapQuads q = quads_of(c);
    int64_t shifts[TAP_QUAD_SHIFTS];
    int n = tap_quads_shifts(&q, shifts);
    LLVMValueRef weights[TAP_QUAD_SHIFTS], quads[MOST_PLACES] = {NULL};
    uint64_t inside = places_inside(c, t->rows, masks);
    for (int i = 0; i < n; i++) weights[i] = weights_at(c, w, gen_i64(k->gen, i));
    for (int r = 0; r < t->rows; r++) {
        int64_t at;
        int count = tap_quads_of(&q, r, &at);
        for (int i = 0; i < count; i++, at += TAP_QUAD) {
            if (!quads[at]) quads[at] = load_quad(c, x, at, inside);
            int j = 0;
            while (shifts[j] != r * q.stride - at) j++;
            tile_put(t, r, 0, dot_add(k, quads[at], weights[j], tile_get(t, r, 0), t->lanes, c->kind == TILE_S8));
        }
    }
}

static void one_tap(const Contraction *c, Tile *t, LLVMValueRef x, LLVMValueRef w, LLVMValueRef tap, uint32_t mask) {
    Kernel *k = c->k;
    LLVMValueRef wv = weight(c, w, tap), place = i_scale(k, tap, c->dilation[2]);
    for (int r = 0; r < t->rows; r++)
        if (mask >> r & 1) combine(c, t, r, input(c, x, i_plus(k, place, r * c->stride[2])), wv);
}

/* are the taps of each place known now? */
static bool is_unrolled(const Contraction *c, const Tile *t, const Taps *taps) {
    int64_t from, to;
    bool constant = taps->from && i_is_const(taps->from, &from) && i_is_const(taps->to, &to);
    return c->kernel[2] * t->rows <= MAX_UNROLLED && (!taps->from || (constant && from == 0 && to == c->kernel[2]));
}

bool channelwise_in_quads(const Contraction *c, const Tile *t, const Taps *taps) {
    return c->quads && is_unrolled(c, t, taps);
}

void channelwise_row(const Contraction *c, Tile *t, LLVMValueRef x, LLVMValueRef panel, LLVMValueRef row,
                     const Taps *taps) {
    Kernel *k = c->k;
    int64_t kernel = c->kernel[2];
    LLVMValueRef w = panel ? f32_at(k, panel, i_scale(k, row, row_weights(c) * c->lanes)) : NULL;
    if (is_unrolled(c, t, taps)) {
        const uint32_t *masks = taps->from ? NULL : taps->masks;
        (c->quads ? quads_row : unrolled_row)(c, t, x, w, masks);
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
