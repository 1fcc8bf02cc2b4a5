/* GlobalAveragePool and GlobalMaxPool of a blocked value: one vector of channels at a time, in a few partial results
 * that hide the latency of adding, folded in one order. */
#include "codegen/contract.h"

enum { PARTS = 8 };

static LLVMValueRef join(Kernel *k, bool mean, LLVMValueRef a, LLVMValueRef b) {
    return mean ? LLVMBuildFAdd(k->b, a, b, "") : vec_greater_or_nan(k, b, a);
}

static void add(Kernel *k, Tile *t, bool mean, LLVMValueRef x, LLVMValueRef pixel, int part) {
    LLVMValueRef v = vec_load(k, f32_at(k, x, i_scale(k, pixel, t->lanes)), t->lanes, 4);
    tile_put(t, part, 0, join(k, mean, tile_get(t, part, 0), v));
}

static bool emit(Kernel *k) {
    Gen *g = k->gen;
    const Value *x = k->node->in[0];
    int rank = x->type.rank, lanes = (int)x->type.dims[rank - 1]->value;
    bool mean = node_int(k->node, "mean");
    LLVMValueRef pixels = kernel_dims(k, x->type.dims + 2, rank - 3), planes = kernel_dims(k, x->type.dims, 2),
                 none = gen_i64(g, 0);
    LLVMValueRef whole = i_scale(k, i_div(k, pixels, PARTS), PARTS);
    Range share = kernel_share(k, planes, 1, k->chunks);
    For plane = for_begin(k, share.from, share.to, 1);
    LLVMValueRef from = f32_at(k, k->in[0], i_mul(k, plane.i, i_scale(k, pixels, lanes)));
    Tile t;
    tile_begin(&t, k, PARTS, 1, lanes);
    for (int i = 0; i < PARTS; i++) tile_put(&t, i, 0, vec_const(g, mean ? 0 : -__builtin_inf(), lanes));
    For f = for_begin(k, none, whole, PARTS);
    for (int i = 0; i < PARTS; i++) add(k, &t, mean, from, i_plus(k, f.i, i), i);
    for_end(k, &f);
    For rest = for_begin(k, whole, pixels, 1);
    add(k, &t, mean, from, rest.i, 0);
    for_end(k, &rest);
    LLVMValueRef part[PARTS];
    for (int i = 0; i < PARTS; i++) part[i] = tile_get(&t, i, 0);
    for (int w = PARTS / 2; w; w /= 2)
        for (int i = 0; i < w; i++) part[i] = join(k, mean, part[i], part[i + w]);
    if (mean)
        part[0] = LLVMBuildFDiv(k->b, part[0], vec_splat(k, LLVMBuildSIToFP(k->b, pixels, g->f32, ""), lanes), "");
    vec_store(k, part[0], f32_at(k, k->out[0], i_scale(k, plane.i, lanes)), 4);
    for_end(k, &plane);
    LLVMBuildRet(k->b, gen_i32(g, MCC_OK));
    return true;
}

static double work_of(const Node *n) {
    const Type *x = &n->in[0]->type;
    return largest_count(n->in[0]) / (double)x->dims[x->rank - 1]->value * 2;
}

const Emitter global_pool_emitter = {.form = "blocked global pool", .emit = emit, .work = work_of};
