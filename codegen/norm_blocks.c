/* mcc.BlockNorm: LayerNormalization and RMSNormalization of values in blocks, [outer…, places, lanes] along the places.
 * A lane is a row by itself: sums run down the places, in PARTS vectors that are added in one order, and nothing is
 * added across a vector. See norm.c for rows that lie in one piece. */
#include "codegen/products.h"

enum { PARTS = 4 };

typedef struct BlockNorm {
    Kernel *k;
    int lanes;
    LLVMValueRef places, x, y; /* x, y: of the block at hand */
    LLVMValueRef mean;         /* NULL: not yet, or none */
    Tile parts;
} BlockNorm;

static LLVMValueRef at_place(const BlockNorm *n, LLVMValueRef base, LLVMValueRef place) {
    return f32_at(n->k, base, i_scale(n->k, place, n->lanes));
}

static LLVMValueRef distance(const BlockNorm *n, LLVMValueRef place) {
    LLVMValueRef x = vec_load(n->k, at_place(n, n->x, place), n->lanes, 4);
    return n->mean ? LLVMBuildFSub(n->k->b, x, n->mean, "") : x;
}

static void add_place(BlockNorm *n, LLVMValueRef place, int part, bool squares) {
    Kernel *k = n->k;
    LLVMValueRef d = distance(n, place), sum = tile_get(&n->parts, 0, part);
    sum = squares ? vec_mul_add(k, d, d, sum, n->lanes) : LLVMBuildFAdd(k->b, sum, d, "");
    tile_put(&n->parts, 0, part, sum);
}

/* the mean over the places: of their distances from n->mean, or of the squares */
static LLVMValueRef mean_of(BlockNorm *n, bool squares) {
    Kernel *k = n->k;
    LLVMValueRef none = gen_i64(k->gen, 0), many = i_scale(k, i_div(k, n->places, PARTS), PARTS), part[PARTS];
    tile_fill(&n->parts, NULL, 0);
    For f = for_begin(k, none, many, PARTS);
    for (int p = 0; p < PARTS; p++) add_place(n, i_plus(k, f.i, p), p, squares);
    for_end(k, &f);
    For rest = for_begin(k, many, n->places, 1);
    add_place(n, rest.i, 0, squares);
    for_end(k, &rest);
    for (int p = 0; p < PARTS; p++) part[p] = tile_get(&n->parts, 0, p);
    for (int w = PARTS / 2; w; w /= 2)
        for (int p = 0; p < w; p++) part[p] = LLVMBuildFAdd(k->b, part[p], part[p + w], "");
    LLVMValueRef count = vec_splat(k, LLVMBuildSIToFP(k->b, n->places, k->gen->f32, ""), n->lanes);
    return LLVMBuildFDiv(k->b, part[0], count, "");
}

static LLVMValueRef parameter(const BlockNorm *n, int input, LLVMValueRef place) {
    Kernel *k = n->k;
    return vec_splat(k, vec_load(k, f32_at(k, k->in[input], place), 1, 4), n->lanes);
}

static void emit_block(BlockNorm *n) {
    Kernel *k = n->k;
    LLVMTypeRef type = vec_type(k->gen, n->lanes);
    n->mean = NULL;
    if (node_int(k->node, "centred")) n->mean = mean_of(n, false);
    LLVMValueRef root = mean_of(n, true), one = vec_const(k->gen, 1, n->lanes);
    root = LLVMBuildFAdd(k->b, root, vec_const(k->gen, (double)(float)node_float(k->node, "epsilon"), n->lanes), "");
    root = call_intrinsic(k, "llvm.sqrt", &type, 1, &root, 1);
    LLVMValueRef inverse = LLVMBuildFDiv(k->b, one, root, "");
    For f = for_begin(k, gen_i64(k->gen, 0), n->places, 1);
    LLVMValueRef y = LLVMBuildFMul(k->b, distance(n, f.i), inverse, ""), scale = parameter(n, 1, f.i);
    y = node_in(k->node, 2) ? vec_mul_add(k, y, scale, parameter(n, 2, f.i), n->lanes)
                            : LLVMBuildFMul(k->b, y, scale, "");
    vec_store(k, y, at_place(n, n->y, f.i), 4);
    for_end(k, &f);
}

static bool emit(Kernel *k) {
    const Type *t = &k->node->in[0]->type;
    BlockNorm n = {.k = k, .lanes = (int)t->dims[t->rank - 1]->value, .places = kernel_dim(k, t->dims[t->rank - 2])};
    tile_begin(&n.parts, k, 1, PARTS, n.lanes);
    Range share = kernel_share(k, kernel_dims(k, t->dims, t->rank - 2), 1, k->chunks);
    For f = for_begin(k, share.from, share.to, 1);
    LLVMValueRef from = i_scale(k, i_mul(k, f.i, n.places), n.lanes);
    n.x = f32_at(k, k->in[0], from);
    n.y = f32_at(k, k->out[0], from);
    emit_block(&n);
    for_end(k, &f);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

static double work_of(const Node *n) {
    enum { EACH = 9 };
    const Type *t = &n->in[0]->type;
    return largest_count(n->in[0]) / (double)t->dims[t->rank - 1]->value * EACH;
}

const Emitter block_norm_emitter = {.form = "norm of blocks", .emit = emit, .in_place = norm_in_place, .work = work_of};
