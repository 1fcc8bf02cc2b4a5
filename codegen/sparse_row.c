/* mcc.SparseGemv: one row times a packed matrix of many zeros, read once from memory while the next lines are fetched.
 * Of masks: a panel's columns are sums in registers; for each element of x, so many masks say to which lanes the next
 * nonzeros belong. Of places: the lanes of a vector are columns, each step multiplies one nonzero of every column by
 * what its place selects of x. */
#include "codegen/contract.h"

enum { FETCH = 2048 /* bytes ahead */, MASK_BITS = 16 };

typedef struct Row {
    Kernel *k;
    int lanes, vecs;
    int64_t inner, cols;
    LLVMValueRef x, values, places, starts;
    Contraction c; /* its epilogue alone */
} Row;

static LLVMValueRef start_at(const Row *s, LLVMValueRef i) {
    LLVMTypeRef i64 = s->k->gen->i64;
    return vec_load_of(s->k, i64, element_at(s->k, i64, s->starts, i), 1, 8);
}

static LLVMValueRef ones_in(const Row *s, LLVMValueRef bits) { /* as i64 */
    LLVMTypeRef type = LLVMTypeOf(bits);
    return LLVMBuildZExtOrBitCast(s->k->b, call_intrinsic(s->k, "llvm.ctpop", &type, 1, &bits, 1), s->k->gen->i64, "");
}

static void fetch_ahead(const Row *s, LLVMValueRef p) {
    fetch_line(s->k, element_at(s->k, s->k->gen->i8, p, gen_i64(s->k->gen, FETCH)));
}

static void store(const Row *s, Tile *t, LLVMValueRef col) {
    LLVMValueRef none = gen_i64(s->k->gen, 0);
    tile_store(t, &s->c.epilogue, &(Point){none, col, {none, none, none}}, 1);
}

/* ---- masks ---- */

static LLVMValueRef spread(const Row *s, LLVMValueRef from, LLVMValueRef mask) {
    Kernel *k = s->k;
    LLVMTypeRef type = vec_type(k->gen, s->lanes);
    LLVMValueRef lanes = LLVMBuildBitCast(k->b, mask, LLVMVectorType(k->gen->i1, MASK_BITS), "");
    LLVMValueRef args[3] = {vec_load(k, from, s->lanes, 4), LLVMConstNull(type), lanes};
    return call_intrinsic(k, "llvm.x86.avx512.mask.expand", &type, 1, args, 3);
}

/* element `at` of x times its nonzeros; returns how many those are */
static LLVMValueRef add_nonzeros(const Row *s, Tile *t, LLVMValueRef at, LLVMValueRef masks, LLVMValueRef values) {
    Kernel *k = s->k;
    LLVMTypeRef type = LLVMIntTypeInContext(k->gen->llvm, (unsigned)t->vecs * MASK_BITS), one = k->gen->i16;
    LLVMValueRef x = vec_splat(k, vec_load(k, f32_at(k, s->x, at), 1, 4), s->lanes);
    LLVMValueRef bits = vec_load_of(k, type, masks, 1, 2);
    fetch_ahead(s, values);
    for (int v = 0; v < t->vecs; v++) {
        LLVMValueRef shift = LLVMConstInt(type, (unsigned)v * MASK_BITS, 0), from = values;
        LLVMValueRef mask = LLVMBuildTruncOrBitCast(k->b, LLVMBuildLShr(k->b, bits, shift, ""), one, "");
        if (v) {
            LLVMValueRef below = LLVMConstInt(type, ((uint64_t)1 << v * MASK_BITS) - 1, 0);
            from = f32_at(k, values, ones_in(s, LLVMBuildAnd(k->b, bits, below, "")));
        }
        tile_put(t, 0, v, vec_mul_add(k, spread(s, from, mask), x, tile_get(t, 0, v), s->lanes));
    }
    return ones_in(s, bits);
}

static void emit_panel(const Row *s, LLVMValueRef panel, int vecs) {
    Kernel *k = s->k;
    Tile t;
    LLVMValueRef vector = i_scale(k, panel, s->vecs), none = gen_i64(k->gen, 0);
    LLVMValueRef masks = element_at(k, k->gen->i16, s->places, i_scale(k, vector, s->inner));
    LLVMValueRef at = gen_alloca(k->gen, k->b, k->gen->i64, 8);
    LLVMBuildStore(k->b, start_at(s, panel), at);
    tile_begin(&t, k, 1, vecs, s->lanes);
    tile_fill(&t, NULL, 4);
    For f = for_begin(k, none, gen_i64(k->gen, s->inner), 1);
    LLVMValueRef done = LLVMBuildLoad2(k->b, k->gen->i64, at, "");
    LLVMValueRef mask = element_at(k, k->gen->i16, masks, i_scale(k, f.i, vecs));
    LLVMBuildStore(k->b, i_add(k, done, add_nonzeros(s, &t, f.i, mask, f32_at(k, s->values, done))), at);
    for_end(k, &f);
    store(s, &t, i_scale(k, vector, s->lanes));
}

/* ---- places ---- */

static LLVMValueRef gathered(const Row *s, LLVMValueRef places) {
    Kernel *k = s->k;
    Gen *g = k->gen;
    LLVMTypeRef wide = vec_of(g->i32, s->lanes);
    LLVMValueRef at = LLVMBuildZExt(k->b, vec_load_of(k, g->i16, places, s->lanes, 2), wide, "");
    LLVMValueRef from = LLVMBuildGEP2(k->b, g->f32, s->x, &at, 1, "");
    LLVMTypeRef types[2] = {vec_type(g, s->lanes), LLVMTypeOf(from)};
    LLVMValueRef all = LLVMConstAllOnes(vec_of(g->i1, s->lanes));
    LLVMValueRef args[4] = {from, gen_i32(g, 4), all, LLVMConstNull(types[0])};
    return call_intrinsic(k, "llvm.masked.gather", types, 2, args, 4);
}

static LLVMValueRef loaded_one_by_one(const Row *s, LLVMValueRef places) {
    Kernel *k = s->k;
    Gen *g = k->gen;
    LLVMValueRef v = LLVMGetPoison(vec_type(g, s->lanes));
    for (int i = 0; i < s->lanes; i++) {
        LLVMValueRef at = vec_load_of(k, g->i16, element_at(k, g->i16, places, gen_i64(g, i)), 1, 2);
        LLVMValueRef x = vec_load(k, f32_at(k, s->x, LLVMBuildZExt(k->b, at, g->i64, "")), 1, 4);
        v = s->lanes > 1 ? LLVMBuildInsertElement(k->b, v, x, gen_i64(g, i), "") : x;
    }
    return v;
}

static void emit_group(const Row *s, LLVMValueRef group, int vecs) {
    Kernel *k = s->k;
    Tile t;
    tile_begin(&t, k, 1, vecs, s->lanes);
    tile_fill(&t, NULL, 4);
    For f = for_begin(k, start_at(s, group), start_at(s, i_plus(k, group, 1)), 1);
    LLVMValueRef at = i_scale(k, f.i, s->lanes), from = f32_at(k, s->values, at);
    LLVMValueRef places = element_at(k, k->gen->i16, s->places, at);
    fetch_ahead(s, from);
    LLVMValueRef x = s->lanes == MASK_BITS ? gathered(s, places) : loaded_one_by_one(s, places);
    tile_put(&t, 0, 0, vec_mul_add(k, vec_load(k, from, s->lanes, 4), x, tile_get(&t, 0, 0), s->lanes));
    for_end(k, &f);
    store(s, &t, i_scale(k, group, s->lanes));
}

/* ---- the kernel ---- */

/* This chunk's panels of `vecs` vectors; the last one, which may hold fewer and columns that are not, by itself. */
static void emit_panels(const Row *s, void (*panel)(const Row *, LLVMValueRef, int)) {
    Kernel *k = s->k;
    int64_t wide = (int64_t)s->lanes * s->vecs, full = s->cols / wide, rest = s->cols - full * wide;
    int left = (int)((rest + s->lanes - 1) / s->lanes);
    Range own = kernel_share(k, gen_i64(k->gen, full + (left > 0)), 1, k->chunks);
    if (full) {
        For f = for_begin(k, own.from, i_min(k, own.to, gen_i64(k->gen, full)), 1);
        panel(s, f.i, s->vecs);
        for_end(k, &f);
    }
    if (!left) return;
    If mine = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSGT, own.to, gen_i64(k->gen, full), ""));
    panel(s, gen_i64(k->gen, full), left);
    if_end(k, &mine);
}

static int64_t last_dim(const Value *v) { return v->type.dims[v->type.rank - 1]->value; }

static bool emit(Kernel *k) {
    const Node *n = k->node;
    Row s = {.k = k, .x = k->in[0], .values = k->in[1], .places = k->in[2], .starts = k->in[3]};
    s.lanes = (int)node_int(n, "lanes");
    s.vecs = (int)node_int(n, "vecs");
    s.inner = last_dim(n->in[0]);
    s.cols = last_dim(n->out[0]);
    s.c.k = k;
    s.c.epilogue.cols = s.cols % s.lanes ? gen_i64(k->gen, s.cols) : NULL;
    epilogue_operands(&s.c, n, 4, true, row_operand);
    emit_panels(&s, node_int(n, "masks") ? emit_panel : emit_group);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

static double work(const Node *n) {
    const double each = 2, gather = 20; /* vector operations a mask, a step */
    double count = (double)n->in[2]->type.dims[0]->value;
    return node_int(n, "masks") ? count * each : count / (double)node_int(n, "lanes") * gather;
}

const Emitter sparse_row_emitter = {.form = "sparse row", .emit = emit, .work = work};
