/* DynamicQuantizeLinear: the range of the numbers, 0 in it, then each of them as a byte. Two passes over memory, in
 * vectors; the bits of ref_DynamicQuantizeLinear, since the smallest and the largest are the same in any order. */
#include "codegen/contract.h"

enum { PARTS = 4 };

typedef struct Ends { /* stack slots: PARTS vectors of each */
    Tile lo, hi;
    int lanes;
} Ends;

static LLVMValueRef first_if(Kernel *k, LLVMRealPredicate p, LLVMValueRef x, LLVMValueRef best) {
    return LLVMBuildSelect(k->b, LLVMBuildFCmp(k->b, p, x, best, ""), x, best, "");
}

/* NaN is in no range */
static void widen(Kernel *k, Ends *e, int part, LLVMValueRef x) {
    tile_put(&e->lo, part, 0, first_if(k, LLVMRealOLT, x, tile_get(&e->lo, part, 0)));
    tile_put(&e->hi, part, 0, first_if(k, LLVMRealOGT, x, tile_get(&e->hi, part, 0)));
}

static void ends_begin(Kernel *k, Ends *e, int lanes) {
    e->lanes = lanes;
    tile_begin(&e->lo, k, PARTS, 1, lanes);
    tile_begin(&e->hi, k, PARTS, 1, lanes);
    tile_fill(&e->lo, NULL, 0);
    tile_fill(&e->hi, NULL, 0);
}

static LLVMValueRef lane_of(Kernel *k, LLVMValueRef v, int lane, int lanes) {
    return lanes == 1 ? v : LLVMBuildExtractElement(k->b, v, gen_i64(k->gen, lane), "");
}

static LLVMValueRef end_of(Kernel *k, const Tile *t, LLVMRealPredicate p) {
    LLVMValueRef v = tile_get(t, 0, 0), best;
    for (int i = 1; i < PARTS; i++) v = first_if(k, p, tile_get(t, i, 0), v);
    best = lane_of(k, v, 0, t->lanes);
    for (int i = 1; i < t->lanes; i++) best = first_if(k, p, lane_of(k, v, i, t->lanes), best);
    return best;
}

static void find_range(Kernel *k, LLVMValueRef x, LLVMValueRef n, int lanes, LLVMValueRef *lo, LLVMValueRef *hi) {
    Ends wide, narrow;
    LLVMValueRef whole = i_scale(k, i_div(k, n, PARTS * lanes), PARTS * lanes);
    ends_begin(k, &wide, lanes);
    ends_begin(k, &narrow, 1);
    For f = for_begin(k, gen_i64(k->gen, 0), whole, PARTS * lanes);
    for (int i = 0; i < PARTS; i++) widen(k, &wide, i, vec_load(k, f32_at(k, x, i_plus(k, f.i, i * lanes)), lanes, 4));
    for_end(k, &f);
    For rest = for_begin(k, whole, n, 1);
    widen(k, &narrow, 0, vec_load(k, f32_at(k, x, rest.i), 1, 4));
    for_end(k, &rest);
    *lo = first_if(k, LLVMRealOLT, end_of(k, &wide.lo, LLVMRealOLT), end_of(k, &narrow.lo, LLVMRealOLT));
    *hi = first_if(k, LLVMRealOGT, end_of(k, &wide.hi, LLVMRealOGT), end_of(k, &narrow.hi, LLVMRealOGT));
}

typedef struct Bytes {
    LLVMValueRef x, y, scale, zero; /* scale, zero: of one lane, f32 and int32 */
} Bytes;

static LLVMValueRef wide_at(Kernel *k, const Bytes *q, LLVMValueRef at, int lanes) {
    LLVMValueRef x = vec_load(k, f32_at(k, q->x, at), lanes, 4);
    x = LLVMBuildFDiv(k->b, x, vec_splat(k, q->scale, lanes), "");
    return vec_quantized(k, x, vec_splat(k, q->zero, lanes), DT_U8, lanes, false);
}

static void store_all(Kernel *k, const Bytes *q, LLVMValueRef n, int lanes) {
    LLVMTypeRef byte = k->gen->i8;
    LLVMValueRef whole = i_scale(k, i_div(k, n, PARTS * lanes), PARTS * lanes);
    For f = for_begin(k, gen_i64(k->gen, 0), whole, PARTS * lanes);
    LLVMValueRef wide[PARTS];
    for (int i = 0; i < PARTS; i++) wide[i] = wide_at(k, q, i_plus(k, f.i, i * lanes), lanes);
    vec_store(k, vec_narrow_many(k, wide, PARTS, false, lanes), element_at(k, byte, q->y, f.i), 1);
    for_end(k, &f);
    For rest = for_begin(k, whole, n, 1);
    vec_store(k, vec_narrow(k, wide_at(k, q, rest.i, 1), false, 1), element_at(k, byte, q->y, rest.i), 1);
    for_end(k, &rest);
}

static bool emit(Kernel *k) {
    Gen *g = k->gen;
    const Value *x = k->node->in[0];
    LLVMValueRef n = kernel_dims(k, x->type.dims, x->type.rank), lo, hi, zero = LLVMConstNull(g->i32);
    LLVMValueRef *out = k->out;
    int lanes = g->target->vector_bits >= 128 ? g->target->vector_bits / 32 : 4;
    find_range(k, k->in[0], n, lanes, &lo, &hi);
    LLVMValueRef by = LLVMBuildFDiv(k->b, LLVMBuildFSub(k->b, hi, lo, ""), vec_const(g, 255, 1), "");
    LLVMValueRef empty = LLVMBuildFCmp(k->b, LLVMRealOEQ, hi, lo, "");
    Bytes q = {.x = k->in[0], .y = out[0]};
    q.scale = LLVMBuildSelect(k->b, empty, vec_const(g, 1, 1), by, "");
    LLVMValueRef start = LLVMBuildFDiv(k->b, LLVMBuildFSub(k->b, vec_const(g, 0, 1), lo, ""), q.scale, "");
    LLVMValueRef byte = vec_narrow(k, vec_quantized(k, start, zero, DT_U8, 1, false), false, 1);
    q.zero = LLVMBuildZExt(k->b, byte, g->i32, "");
    if (k->node->n_out > 1 && out[1]) vec_store(k, q.scale, out[1], 4);
    if (k->node->n_out > 2 && out[2]) vec_store(k, byte, out[2], 1);
    if (q.y) store_all(k, &q, n, lanes);
    LLVMBuildRet(k->b, gen_i32(g, MCC_OK));
    return true;
}

const Emitter dynamic_quantize_emitter = {.form = "vectors", .emit = emit};
