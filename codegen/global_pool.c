/* GlobalAveragePool and GlobalMaxPool of a blocked value: one vector of channels at a time, in a few partial results
 * that hide the latency of adding, folded in one order. A mean of bytes sums them in 16 bits for as long as these hold,
 * then in 32, and takes the zero point off at the end: all of it exact. */
#include "codegen/contract.h"

enum { PARTS = 8 };

typedef struct Column { /* a vector of channels of all pixels */
    Kernel *k;
    LLVMValueRef from, pixels;
    int lanes;
} Column;

static LLVMValueRef join(Kernel *k, bool mean, LLVMValueRef a, LLVMValueRef b) {
    return mean ? LLVMBuildFAdd(k->b, a, b, "") : vec_greater_or_nan(k, b, a);
}

static void add(Kernel *k, Tile *t, bool mean, LLVMValueRef x, LLVMValueRef pixel, int part) {
    LLVMValueRef v = vec_load(k, f32_at(k, x, i_scale(k, pixel, t->lanes)), t->lanes, 4);
    tile_put(t, part, 0, join(k, mean, tile_get(t, part, 0), v));
}

/* the sum, or the largest */
static LLVMValueRef of_floats(const Column *p, bool mean) {
    Kernel *k = p->k;
    Tile t;
    LLVMValueRef whole = i_scale(k, i_div(k, p->pixels, PARTS), PARTS);
    tile_begin(&t, k, PARTS, 1, p->lanes);
    for (int i = 0; i < PARTS; i++) tile_put(&t, i, 0, vec_const(k->gen, mean ? 0 : -__builtin_inf(), p->lanes));
    For f = for_begin(k, gen_i64(k->gen, 0), whole, PARTS);
    for (int i = 0; i < PARTS; i++) add(k, &t, mean, p->from, i_plus(k, f.i, i), i);
    for_end(k, &f);
    For rest = for_begin(k, whole, p->pixels, 1);
    add(k, &t, mean, p->from, rest.i, 0);
    for_end(k, &rest);
    LLVMValueRef part[PARTS];
    for (int i = 0; i < PARTS; i++) part[i] = tile_get(&t, i, 0);
    for (int w = PARTS / 2; w; w /= 2)
        for (int i = 0; i < w; i++) part[i] = join(k, mean, part[i], part[i + w]);
    return part[0];
}

/* ---- of bytes ---- */

enum {
    TOGETHER = 4, /* pixels of one load */
    LOADS = 4,    /* of one turn */
    TURNS = 31    /* LOADS · TURNS · 255 < 2^15 */
};

static LLVMValueRef widened(Kernel *k, LLVMValueRef v, LLVMTypeRef to, bool is_signed) {
    return is_signed ? LLVMBuildSExt(k->b, v, to, "") : LLVMBuildZExt(k->b, v, to, "");
}

static LLVMValueRef bytes_at(const Column *p, LLVMValueRef pixel, int pixels) {
    Kernel *k = p->k;
    LLVMValueRef at = element_at(k, k->gen->i8, p->from, i_scale(k, pixel, p->lanes));
    return vec_load_of(k, k->gen->i8, at, pixels * p->lanes, 1);
}

/* TOGETHER sums of 16 bits for each channel, neighbours as the pixels are, added to the one of 32 */
static LLVMValueRef add_wide(const Column *p, LLVMValueRef sum, LLVMValueRef shorts) {
    Kernel *k = p->k;
    LLVMValueRef mask[64];
    for (int i = 0; i < TOGETHER; i++) {
        for (int j = 0; j < p->lanes; j++) mask[j] = gen_i32(k->gen, i * p->lanes + j);
        LLVMValueRef part = LLVMBuildShuffleVector(k->b, shorts, LLVMGetPoison(LLVMTypeOf(shorts)),
                                                   LLVMConstVector(mask, (unsigned)p->lanes), "");
        sum = LLVMBuildAdd(k->b, sum, widened(k, part, vec_of(k->gen->i32, p->lanes), true), "");
    }
    return sum;
}

static LLVMValueRef of_bytes(const Column *p, bool is_signed) {
    Kernel *k = p->k;
    Gen *g = k->gen;
    enum { TURN = TOGETHER * LOADS, RUN = TURN * TURNS };
    LLVMTypeRef words = vec_of(g->i32, p->lanes), shorts = vec_of(g->i16, p->lanes * TOGETHER);
    LLVMValueRef whole = i_scale(k, i_div(k, p->pixels, TURN), TURN), none = gen_i64(g, 0), narrow[2];
    LLVMValueRef sum = gen_alloca(g, k->b, words, (unsigned)p->lanes * 4);
    for (int i = 0; i < 2; i++) narrow[i] = gen_alloca(g, k->b, shorts, (unsigned)p->lanes * 4);
    vec_store(k, LLVMConstNull(words), sum, (unsigned)p->lanes * 4);
    For run = for_begin(k, none, whole, RUN);
    for (int i = 0; i < 2; i++) vec_store(k, LLVMConstNull(shorts), narrow[i], 4);
    For f = for_begin(k, run.i, i_min(k, i_plus(k, run.i, RUN), whole), TURN);
    for (int i = 0; i < LOADS; i++) {
        LLVMValueRef v = widened(k, bytes_at(p, i_plus(k, f.i, i * TOGETHER), TOGETHER), shorts, is_signed);
        LLVMValueRef acc = vec_load_of(k, g->i16, narrow[i % 2], p->lanes * TOGETHER, 4);
        vec_store(k, LLVMBuildAdd(k->b, acc, v, ""), narrow[i % 2], 4);
    }
    for_end(k, &f);
    LLVMValueRef all = vec_load_of(k, g->i32, sum, p->lanes, (unsigned)p->lanes * 4), two[2];
    for (int i = 0; i < 2; i++) two[i] = vec_load_of(k, g->i16, narrow[i], p->lanes * TOGETHER, 4);
    all = add_wide(p, all, LLVMBuildAdd(k->b, two[0], two[1], ""));
    vec_store(k, all, sum, (unsigned)p->lanes * 4);
    for_end(k, &run);
    For rest = for_begin(k, whole, p->pixels, 1);
    LLVMValueRef acc = vec_load_of(k, g->i32, sum, p->lanes, (unsigned)p->lanes * 4);
    acc = LLVMBuildAdd(k->b, acc, widened(k, bytes_at(p, rest.i, 1), words, is_signed), "");
    vec_store(k, acc, sum, (unsigned)p->lanes * 4);
    for_end(k, &rest);
    LLVMValueRef count = vec_splat(k, LLVMBuildTrunc(k->b, p->pixels, g->i32, ""), p->lanes);
    LLVMValueRef zeros =
        LLVMBuildMul(k->b, count, vec_repeat(gen_i32(g, (int)node_int(k->node, "zero")), p->lanes), "");
    acc = LLVMBuildSub(k->b, vec_load_of(k, g->i32, sum, p->lanes, (unsigned)p->lanes * 4), zeros, "");
    return LLVMBuildSIToFP(k->b, acc, vec_type(g, p->lanes), "");
}

static bool emit(Kernel *k) {
    Gen *g = k->gen;
    const Value *x = k->node->in[0];
    int rank = x->type.rank, lanes = (int)x->type.dims[rank - 1]->value;
    bool mean = node_int(k->node, "mean"), bytes = x->type.dtype != DT_F32;
    LLVMValueRef pixels = kernel_dims(k, x->type.dims + 2, rank - 3), planes = kernel_dims(k, x->type.dims, 2);
    Range share = kernel_share(k, planes, 1, k->chunks);
    For plane = for_begin(k, share.from, share.to, 1);
    LLVMValueRef place = i_mul(k, plane.i, i_scale(k, pixels, lanes));
    Column p = {k, element_at(k, bytes ? g->i8 : g->f32, k->in[0], place), pixels, lanes};
    LLVMValueRef v = bytes ? of_bytes(&p, x->type.dtype == DT_I8) : of_floats(&p, mean);
    if (mean) v = LLVMBuildFDiv(k->b, v, vec_splat(k, LLVMBuildSIToFP(k->b, pixels, g->f32, ""), lanes), "");
    vec_store(k, v, f32_at(k, k->out[0], i_scale(k, plane.i, lanes)), 4);
    for_end(k, &plane);
    LLVMBuildRet(k->b, gen_i32(g, MCC_OK));
    return true;
}

static double work_of(const Node *n) {
    const Type *x = &n->in[0]->type;
    return largest_count(n->in[0]) / (double)x->dims[x->rank - 1]->value * 2;
}

const Emitter global_pool_emitter = {.form = "blocked global pool", .emit = emit, .work = work_of};
