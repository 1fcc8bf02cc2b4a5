/* mcc.BlockGate: bytes of a blocked value times one number of 255ths for each channel, about a zero point. A vector
 * holds TOGETHER pixels of all channels of a block, in words of 16 bits while they are multiplied: t = x · g + zero ·
 * (255 - g) <= 255 · 255,  y = (t + (t + 128 >> 8) + 128) >> 8, which is t / 255 to the nearest, where no two are as
 * near. Codes are counted from the lowest of their type. */
#include <string.h>
#include "codegen/contract.h"

enum { TOGETHER = 4, MOST_LANES = 64, MOST = 255, HALF = 128 };

typedef struct Gating { /* of one plane, by the lanes of a vector */
    Kernel *k;
    bool is_signed, neon;
    int zero;
    LLVMValueRef g, rest; /* bytes; zero · (255 - g) in words, NULL: 0 */
    int lanes;
} Gating;

static LLVMValueRef words_of(Kernel *k, LLVMValueRef v, int lanes) {
    return LLVMBuildZExt(k->b, v, vec_of(k->gen->i16, lanes), "");
}

static LLVMValueRef word_const(Kernel *k, int v, int lanes) {
    return vec_repeat(LLVMConstInt(k->gen->i16, (uint64_t)v, 0), lanes);
}

static LLVMValueRef from_lowest(const Gating *a, LLVMValueRef v) {
    LLVMValueRef top = vec_repeat(LLVMConstInt(a->k->gen->i8, HALF, 0), a->lanes);
    return a->is_signed ? LLVMBuildXor(a->k->b, v, top, "") : v;
}

static LLVMValueRef part_of(Kernel *k, LLVMValueRef v, int first, int lanes) {
    LLVMValueRef mask[MOST_LANES];
    for (int i = 0; i < lanes; i++) mask[i] = gen_i32(k->gen, first + i);
    return LLVMBuildShuffleVector(k->b, v, LLVMGetPoison(LLVMTypeOf(v)), LLVMConstVector(mask, (unsigned)lanes), "");
}

/* NEON adds, rounds and keeps the upper halves at once */
static LLVMValueRef eight_divided(Kernel *k, LLVMValueRef t) {
    LLVMTypeRef words = vec_of(k->gen->i16, 8), bytes = vec_of(k->gen->i8, 8);
    LLVMValueRef down[2] = {t, word_const(k, -8, 8)};
    LLVMValueRef both[2] = {t, call_intrinsic(k, "llvm.aarch64.neon.urshl", &words, 1, down, 2)};
    return call_intrinsic(k, "llvm.aarch64.neon.raddhn", &bytes, 1, both, 2);
}

static LLVMValueRef divided(const Gating *a, LLVMValueRef t) {
    Kernel *k = a->k;
    if (a->neon && a->lanes == 16) {
        LLVMValueRef mask[16], low = eight_divided(k, part_of(k, t, 0, 8)),
                               high = eight_divided(k, part_of(k, t, 8, 8));
        for (int i = 0; i < 16; i++) mask[i] = gen_i32(k->gen, i);
        return LLVMBuildShuffleVector(k->b, low, high, LLVMConstVector(mask, 16), "");
    }
    LLVMValueRef eight = word_const(k, 8, a->lanes);
    t = LLVMBuildAdd(k->b, t, word_const(k, HALF, a->lanes), "");
    t = LLVMBuildAdd(k->b, t, LLVMBuildLShr(k->b, t, eight, ""), "");
    return LLVMBuildTrunc(k->b, LLVMBuildLShr(k->b, t, eight, ""), vec_of(k->gen->i8, a->lanes), "");
}

/* a gate of `block` numbers as it stands for lanes that hold its block several times */
static Gating gating(Kernel *k, LLVMValueRef gate, int block, int lanes) {
    const Node *n = k->node;
    Dtype type = n->in[0]->type.dtype;
    LLVMValueRef mask[MOST_LANES];
    Gating a = {.k = k, .is_signed = type == DT_I8, .lanes = lanes};
    a.zero = (int)node_int(n, "zero") + (a.is_signed ? HALF : 0);
    a.neon = !strncmp(k->gen->target->triple, "aarch64", 7);
    for (int i = 0; i < lanes; i++) mask[i] = gen_i32(k->gen, i % block);
    a.g =
        LLVMBuildShuffleVector(k->b, gate, LLVMGetPoison(LLVMTypeOf(gate)), LLVMConstVector(mask, (unsigned)lanes), "");
    if (n->in[1]->type.dtype == DT_I8)
        a.g = LLVMBuildXor(k->b, a.g, vec_repeat(LLVMConstInt(k->gen->i8, HALF, 0), lanes), "");
    LLVMValueRef left = LLVMBuildSub(k->b, word_const(k, MOST, lanes), words_of(k, a.g, lanes), "");
    if (a.zero) a.rest = LLVMBuildMul(k->b, left, word_const(k, a.zero, lanes), "");
    return a;
}

static void gate_at(const Gating *a, LLVMValueRef x, LLVMValueRef y, LLVMValueRef at) {
    Kernel *k = a->k;
    LLVMValueRef q = vec_load_of(k, k->gen->i8, element_at(k, k->gen->i8, x, at), a->lanes, 1);
    q = words_of(k, from_lowest(a, q), a->lanes);
    LLVMValueRef t = LLVMBuildMul(k->b, q, words_of(k, a->g, a->lanes), "");
    if (a->rest) t = LLVMBuildAdd(k->b, a->rest, t, "");
    vec_store(k, from_lowest(a, divided(a, t)), element_at(k, k->gen->i8, y, at), 1);
}

static bool emit(Kernel *k) {
    Gen *g = k->gen;
    const Type *x = &k->node->in[0]->type;
    int block = (int)x->dims[x->rank - 1]->value;
    enum { UNROLL = 2, TURN = TOGETHER * UNROLL };
    LLVMValueRef pixels = kernel_dims(k, x->dims + 2, x->rank - 3), planes = kernel_dims(k, x->dims, 2);
    assert(block * TOGETHER <= MOST_LANES);
    LLVMValueRef whole = i_scale(k, i_div(k, pixels, TURN), TURN);
    Range share = kernel_share(k, planes, 1, k->chunks);
    For plane = for_begin(k, share.from, share.to, 1);
    LLVMValueRef at = i_scale(k, plane.i, block), place = i_mul(k, at, pixels);
    LLVMValueRef from = element_at(k, g->i8, k->in[0], place), to = element_at(k, g->i8, k->out[0], place);
    LLVMValueRef gate = vec_load_of(k, g->i8, element_at(k, g->i8, k->in[1], at), block, 1);
    Gating many = gating(k, gate, block, TOGETHER * block), one = gating(k, gate, block, block);
    For f = for_begin(k, gen_i64(g, 0), whole, TURN);
    for (int i = 0; i < UNROLL; i++) gate_at(&many, from, to, i_scale(k, i_plus(k, f.i, i * TOGETHER), block));
    for_end(k, &f);
    For rest = for_begin(k, whole, pixels, 1);
    gate_at(&one, from, to, i_scale(k, rest.i, block));
    for_end(k, &rest);
    for_end(k, &plane);
    LLVMBuildRet(k->b, gen_i32(g, MCC_OK));
    return true;
}

static double work_of(const Node *n) { return largest_count(n->in[0]) / TOGETHER; }

const Emitter gate_emitter = {.form = "blocked gate of bytes", .emit = emit, .work = work_of};
