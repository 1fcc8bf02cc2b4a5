/* Quads between the order of channel blocks, pixel by pixel, and that of panels, quad by quad; see quads.h. */
#include "codegen/quads.h"

static LLVMValueRef shuffled(Kernel *k, LLVMValueRef a, LLVMValueRef b, const int *places, int n) {
    LLVMValueRef order[64];
    for (int i = 0; i < n; i++) order[i] = gen_i32(k->gen, places[i]);
    return LLVMBuildShuffleVector(k->b, a, b, LLVMConstVector(order, (unsigned)n), "");
}

static LLVMValueRef every_other(Kernel *k, LLVMValueRef a, LLVMValueRef b, int first) {
    int places[QUAD_LANES];
    for (int i = 0; i < QUAD_LANES; i++) places[i] = 2 * i + first;
    return shuffled(k, a, b, places, QUAD_LANES);
}

/* one lane of each in turn: the lower or the upper halves */
static LLVMValueRef zipped(Kernel *k, LLVMValueRef a, LLVMValueRef b, int half) {
    int places[QUAD_LANES];
    for (int i = 0; i < QUAD_LANES; i++) places[i] = i / 2 + half * QUAD_LANES / 2 + (i % 2 ? QUAD_LANES : 0);
    return shuffled(k, a, b, places, QUAD_LANES);
}

LLVMValueRef quads_every_other(Kernel *k, LLVMValueRef low, LLVMValueRef high) { return every_other(k, low, high, 0); }

/* v[i]: the i-th QUAD_LANES of pixels of `per` quads each, and v[quad] from there, and back */
static void split(Kernel *k, LLVMValueRef *v, int per) {
    LLVMValueRef even[QUAD_MOST], odd[QUAD_MOST];
    if (per == 1) return;
    for (int i = 0; i < per / 2; i++) {
        even[i] = every_other(k, v[2 * i], v[2 * i + 1], 0);
        odd[i] = every_other(k, v[2 * i], v[2 * i + 1], 1);
    }
    split(k, even, per / 2);
    split(k, odd, per / 2);
    for (int i = 0; i < per / 2; i++) v[2 * i] = even[i], v[2 * i + 1] = odd[i];
}

static void join(Kernel *k, LLVMValueRef *v, int per) {
    LLVMValueRef even[QUAD_MOST], odd[QUAD_MOST];
    if (per == 1) return;
    for (int i = 0; i < per / 2; i++) even[i] = v[2 * i], odd[i] = v[2 * i + 1];
    join(k, even, per / 2);
    join(k, odd, per / 2);
    for (int i = 0; i < per; i++) v[i] = zipped(k, even[i / 2], odd[i / 2], i % 2);
}

static LLVMTypeRef lanes_of(LLVMTypeRef element) { return LLVMVectorType(element, QUAD_LANES); }

/* of the vector i of pixels: how many quads there are */
static LLVMValueRef quads_there(Kernel *k, LLVMValueRef there, int per, int i) {
    LLVMValueRef n = i_plus(k, i_scale(k, there, per), -(int64_t)i * QUAD_LANES);
    return i_max(k, gen_i64(k->gen, 0), i_min(k, n, gen_i64(k->gen, QUAD_LANES)));
}

static LLVMValueRef vector_at(Kernel *k, LLVMValueRef p, int i) {
    return f32_at(k, p, gen_i64(k->gen, (int64_t)i * QUAD_LANES));
}

void quads_load(Kernel *k, LLVMValueRef p, int per, LLVMValueRef there, LLVMValueRef *v) {
    for (int i = 0; i < per; i++) {
        LLVMValueRef at = vector_at(k, p, i);
        if (!there) v[i] = vec_load_of(k, k->gen->i32, at, QUAD_LANES, 4);
        else
            v[i] = LLVMBuildBitCast(k->b, vec_load_part(k, at, QUAD_LANES, quads_there(k, there, per, i)),
                                    lanes_of(k->gen->i32), "");
    }
    split(k, v, per);
}

void quads_store(Kernel *k, LLVMValueRef *v, int per, LLVMValueRef there, LLVMValueRef p) {
    LLVMValueRef in_order[QUAD_MOST];
    for (int i = 0; i < per; i++) in_order[i] = v[i];
    join(k, in_order, per);
    for (int i = 0; i < per; i++) {
        LLVMValueRef at = vector_at(k, p, i), x = in_order[i];
        if (!there) vec_store(k, x, at, 4);
        else
            vec_store_part(k, LLVMBuildBitCast(k->b, x, lanes_of(k->gen->f32), ""), at, QUAD_LANES,
                           quads_there(k, there, per, i));
    }
}

LLVMValueRef quads_keep(Kernel *k, LLVMValueRef v, LLVMValueRef there, LLVMValueRef rest) {
    return LLVMBuildSelect(k->b, lane_mask(k, there, QUAD_LANES), v, rest, "");
}

LLVMValueRef quads_byte(Kernel *k, LLVMValueRef v, int i) {
    LLVMValueRef down = LLVMBuildLShr(k->b, v, vec_repeat(gen_i32(k->gen, 8 * i), QUAD_LANES), "");
    return LLVMBuildTrunc(k->b, down, lanes_of(k->gen->i8), "");
}

LLVMValueRef quads_of_rows(Kernel *k, LLVMValueRef four) {
    int places[4 * QUAD_LANES];
    for (int i = 0; i < 4 * QUAD_LANES; i++) places[i] = i % 4 * QUAD_LANES + i / 4;
    LLVMValueRef turned = shuffled(k, four, LLVMGetPoison(LLVMTypeOf(four)), places, 4 * QUAD_LANES);
    return LLVMBuildBitCast(k->b, turned, lanes_of(k->gen->i32), "");
}
