/* Between plain [N, C, pixels] and blocked [N, ⌈C/b⌉, pixels, b]: squares of b channels × b pixels, turned in
 * registers; a ragged last square overlaps its neighbour, fewer pixels than b go one by one. Channels beyond C: zeros,
 * or dropped. */
#include "codegen/contract.h"

enum { MOST_LANES = 16 }; /* squares of powers of two, up to so many */

typedef struct Reorder {
    Kernel *k;
    int block;
    bool to_blocked;
    int64_t channels;
    LLVMValueRef pixels;
    LLVMTypeRef element;
    unsigned align;
} Reorder;

static LLVMValueRef at(const Reorder *r, LLVMValueRef base, LLVMValueRef elements) {
    return element_at(r->k, r->element, base, elements);
}

/* log2(n) stages that swap halves of pairs */
void square_turn(Kernel *k, LLVMValueRef *v, int n) {
    LLVMValueRef low[64], high[64];
    for (int s = 1; s < n; s *= 2) {
        for (int j = 0; j < n; j++) {
            low[j] = gen_i32(k->gen, j & s ? n + j - s : j);
            high[j] = gen_i32(k->gen, j & s ? n + j : j + s);
        }
        LLVMValueRef first = LLVMConstVector(low, (unsigned)n), second = LLVMConstVector(high, (unsigned)n);
        for (int i = 0; i < n; i++) {
            if (i & s) continue;
            LLVMValueRef a = v[i], b = v[i + s];
            v[i] = LLVMBuildShuffleVector(k->b, a, b, first, "");
            v[i + s] = LLVMBuildShuffleVector(k->b, a, b, second, "");
        }
    }
}

/* plain: the block's first channel; blocked: the block; `there` of its channels exist */
static void emit_square(Reorder *r, LLVMValueRef plain, LLVMValueRef blocked, int there, LLVMValueRef pixel) {
    Kernel *k = r->k;
    LLVMValueRef v[64];
    for (int i = 0; i < r->block; i++) {
        LLVMValueRef p = r->to_blocked ? at(r, plain, i_add(k, i_scale(k, r->pixels, i), pixel))
                                       : at(r, blocked, i_scale(k, i_plus(k, pixel, i), r->block));
        bool exists = !r->to_blocked || i < there;
        v[i] = exists ? vec_load_of(k, r->element, p, r->block, r->align) : LLVMConstNull(vec_of(r->element, r->block));
    }
    square_turn(k, v, r->block);
    for (int i = 0; i < (r->to_blocked ? r->block : there); i++) {
        LLVMValueRef p = !r->to_blocked ? at(r, plain, i_add(k, i_scale(k, r->pixels, i), pixel))
                                        : at(r, blocked, i_scale(k, i_plus(k, pixel, i), r->block));
        vec_store(k, v[i], p, r->align);
    }
}

/* ---- bytes: four channels of sixteen pixels ---- */

enum { QUAD = 4, QUAD_PIXELS = 16 };

/* NEON stores four vectors byte by byte in turn, and loads them so */
static bool has_quads(const Reorder *r) {
    return r->block == QUAD && r->align == 1 && r->k->gen->target->lookup == LOOKUP_QUARTERS;
}

static LLVMValueRef picked(Kernel *k, LLVMValueRef a, LLVMValueRef b, int first, int step, int n) {
    LLVMValueRef mask[QUAD * QUAD_PIXELS];
    for (int i = 0; i < n; i++) mask[i] = gen_i32(k->gen, first + i * step);
    return LLVMBuildShuffleVector(k->b, a, b, LLVMConstVector(mask, (unsigned)n), "");
}

static LLVMValueRef interleaved(Kernel *k, LLVMValueRef *v) {
    LLVMValueRef two[2], mask[QUAD * QUAD_PIXELS];
    for (int i = 0; i < 2; i++) two[i] = picked(k, v[2 * i], v[2 * i + 1], 0, 1, 2 * QUAD_PIXELS);
    for (int i = 0; i < QUAD * QUAD_PIXELS; i++) mask[i] = gen_i32(k->gen, i % QUAD * QUAD_PIXELS + i / QUAD);
    return LLVMBuildShuffleVector(k->b, two[0], two[1], LLVMConstVector(mask, QUAD * QUAD_PIXELS), "");
}

static void emit_quads(Reorder *r, LLVMValueRef plain, LLVMValueRef blocked, int there, LLVMValueRef pixel) {
    Kernel *k = r->k;
    LLVMValueRef v[QUAD], p[QUAD], q = at(r, blocked, i_scale(k, pixel, QUAD));
    for (int i = 0; i < there; i++) p[i] = at(r, plain, i_add(k, i_scale(k, r->pixels, i), pixel));
    if (r->to_blocked) {
        for (int i = 0; i < QUAD; i++)
            v[i] = i < there ? vec_load_of(k, r->element, p[i], QUAD_PIXELS, 1)
                             : LLVMConstNull(vec_of(r->element, QUAD_PIXELS));
        vec_store(k, interleaved(k, v), q, 1);
        return;
    }
    LLVMValueRef all = vec_load_of(k, r->element, q, QUAD * QUAD_PIXELS, 1);
    for (int i = 0; i < there; i++) vec_store(k, picked(k, all, all, i, QUAD, QUAD_PIXELS), p[i], 1);
}

/* ---- blocks ---- */

static void emit_pixels(Reorder *r, LLVMValueRef plain, LLVMValueRef blocked, int there) {
    Kernel *k = r->k;
    LLVMValueRef none = gen_i64(k->gen, 0);
    For pixel = for_begin(k, none, r->pixels, 1), lane = for_count(k, there);
    LLVMValueRef p = at(r, plain, i_add(k, i_mul(k, lane.i, r->pixels), pixel.i));
    LLVMValueRef q = at(r, blocked, i_add(k, i_scale(k, pixel.i, r->block), lane.i));
    vec_store(k, vec_load_of(k, r->element, r->to_blocked ? p : q, 1, r->align), r->to_blocked ? q : p, r->align);
    for_end(k, &lane);
    for (int i = there; r->to_blocked && i < r->block; i++)
        vec_store(k, LLVMConstNull(r->element), at(r, blocked, i_plus(k, i_scale(k, pixel.i, r->block), i)), r->align);
    for_end(k, &pixel);
}

/* squares of `side` pixels, the last of which overlaps its neighbour, where one fits; else narrower ones */
static void emit_squares(Reorder *r, LLVMValueRef plain, LLVMValueRef blocked, int there, int side) {
    Kernel *k = r->k;
    If f = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSGE, r->pixels, gen_i64(k->gen, side), ""));
    For square = for_begin(k, gen_i64(k->gen, 0), r->pixels, side);
    LLVMValueRef pixel = i_min(k, square.i, i_plus(k, r->pixels, -side));
    (side > r->block ? emit_quads : emit_square)(r, plain, blocked, there, pixel);
    for_end(k, &square);
    if_else(k, &f);
    if (side > r->block) emit_squares(r, plain, blocked, there, r->block);
    else emit_pixels(r, plain, blocked, there);
    if_end(k, &f);
}

static void emit_block(Reorder *r, LLVMValueRef plain, LLVMValueRef blocked, int there) {
    bool squares = r->k->gen->target->vector_bits && r->block <= MOST_LANES && !(r->block & (r->block - 1));
    if (squares) emit_squares(r, plain, blocked, there, has_quads(r) ? QUAD_PIXELS : r->block);
    else emit_pixels(r, plain, blocked, there);
}

static bool emit(Kernel *k) {
    const Node *n = k->node;
    Reorder r = {.k = k, .to_blocked = n->op == OP_Block};
    const Value *plain = r.to_blocked ? n->in[0] : n->out[0], *blocked = r.to_blocked ? n->out[0] : n->in[0];
    LLVMValueRef x = r.to_blocked ? k->in[0] : k->out[0], y = r.to_blocked ? k->out[0] : k->in[0];
    r.block = (int)blocked->type.dims[blocked->type.rank - 1]->value;
    r.element = gen_elem_type(k->gen, plain->type.dtype);
    r.align = (unsigned)dtype_bits(plain->type.dtype) / 8;
    r.channels = plain->type.dims[1]->value;
    r.pixels = kernel_dims(k, plain->type.dims + 2, plain->type.rank - 2);
    int64_t full = r.channels / r.block, left = r.channels % r.block, blocks = full + (left > 0);
    For batch = for_begin(k, gen_i64(k->gen, 0), kernel_dim(k, plain->type.dims[0]), 1);
    x = at(&r, x, i_mul(k, batch.i, i_scale(k, r.pixels, r.channels)));
    y = at(&r, y, i_mul(k, batch.i, i_scale(k, r.pixels, blocks * r.block)));
    LLVMValueRef step = i_scale(k, r.pixels, r.block);
    Range share = kernel_share(k, gen_i64(k->gen, full), 1, k->chunks);
    if (full) {
        For f = for_begin(k, share.from, share.to, 1);
        emit_block(&r, at(&r, x, i_mul(k, f.i, step)), at(&r, y, i_mul(k, f.i, step)), r.block);
        for_end(k, &f);
    }
    if (left) emit_block(&r, at(&r, x, i_scale(k, step, full)), at(&r, y, i_scale(k, step, full)), (int)left);
    for_end(k, &batch);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

/* whole blocks are shared out; what is left of one would be done by every chunk, so there must be none */
static double work_of(const Node *n) {
    const Value *plain = n->op == OP_Block ? n->in[0] : n->out[0], *blocked = n->op == OP_Block ? n->out[0] : n->in[0];
    int64_t block = blocked->type.dims[blocked->type.rank - 1]->value, channels = plain->type.dims[1]->value;
    return channels % block ? 0 : largest_count(blocked) / (double)block * 4;
}

const Emitter reorder_emitter = {.form = "reorder", .emit = emit, .work = work_of};
