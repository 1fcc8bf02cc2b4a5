/* Blocks of a product's launch: tiles of a batch row by row, then batches, then parts of the depth. Parts leave their
 * sums in scratch memory, each in a copy of the output's layout; a second launch adds them in order, so that the result
 * does not depend on which block was first, and takes them through the body. */
#include "codegen/gpu_tile.h"

enum { ADD_THREADS = 256 };

static LLVMValueRef tiles_of(GpuTask *t, LLVMValueRef count, int each) {
    Kernel *k = t->k;
    return LLVMBuildTrunc(k->b, i_div_up(k, count, each), k->gen->i32, "");
}

static LLVMValueRef take(Kernel *k, LLVMValueRef *number, LLVMValueRef n) {
    int64_t one;
    if (i_is_const(n, &one) && one == 1) return i_like(*number, 0);
    LLVMValueRef at = LLVMBuildURem(k->b, *number, n, "");
    *number = LLVMBuildUDiv(k->b, *number, n, "");
    return at;
}

GpuTilePlace gpu_tile_place(GpuTask *t, LLVMValueRef batches) {
    Kernel *k = t->k;
    LLVMValueRef number = gpu_block(k, 0);
    LLVMValueRef col = take(k, &number, tiles_of(t, t->side[1].count, t->tile->cols)),
                 row = take(k, &number, tiles_of(t, t->side[0].count, t->tile->rows));
    LLVMValueRef batch = take(k, &number, LLVMBuildTrunc(k->b, batches, k->gen->i32, ""));
    t->side[0].first = i_scale(k, gpu_as_index(t, row), t->tile->rows);
    t->side[1].first = i_scale(k, gpu_as_index(t, col), t->tile->cols);
    t->from = gpu_index(t, 0);
    t->to = t->depth;
    if (t->tile->split > 1) {
        LLVMValueRef share =
            i_scale(k, i_div_up(k, i_div_up(k, t->depth, t->tile->depth), t->tile->split), t->tile->depth);
        t->from = i_mul(k, gpu_as_index(t, number), share);
        t->to = i_min(k, t->depth, i_add(k, t->from, share));
    }
    return (GpuTilePlace){LLVMBuildZExt(k->b, batch, k->gen->i64, ""), number};
}

LLVMValueRef gpu_tile_there(GpuTask *t, const GpuTilePlace *at) {
    return LLVMBuildICmp(t->k->b, LLVMIntSLT, at->part, gpu_i32(t->k, t->tile->split), "");
}

GpuTile gpu_node_tile(const Target *t, const Node *n) {
    return gpu_tile_at(t, (GpuMath)node_int(n, "math"), (int)node_int(n, "tile"), (int)node_int(n, "split"));
}

int gpu_launches(const CodeOptions *o, const Node *n) {
    (void)o;
    return node_int(n, "split") > 1 ? 2 : 1;
}

/* blocks of a launch; NULL: overflow */
static Dim blocks_of(Ctx *ctx, const GpuTile *t, Dim rows, Dim cols, Dim batches) {
    Dim n =
        dim_mul(ctx, dim_ceildiv(ctx, rows, dim_const(ctx, t->rows)), dim_ceildiv(ctx, cols, dim_const(ctx, t->cols)));
    return dim_mul(ctx, dim_mul(ctx, n, batches), dim_const(ctx, t->split));
}

void gpu_geometry(Ctx *ctx, const Node *n, const GpuTile *t, int launch, Dim rows, Dim cols, Dim batches,
                  GpuGeometry *out) {
    if (launch) {
        const Type *y = &n->out[0]->type;
        out->grid[0] = dim_ceildiv(ctx, dim_product(ctx, y->dims, y->rank), dim_const(ctx, ADD_THREADS));
        out->block[0] = ADD_THREADS;
        return;
    }
    out->grid[0] = blocks_of(ctx, t, rows, cols, batches);
    out->block[0] = t->threads;
    out->dynamic = gpu_tile_bytes(t);
}

bool gpu_partial_bytes(Ctx *ctx, const Node *n, size_t *bytes) {
    double split = (double)node_int(n, "split"), all = split > 1 ? largest_count(n->out[0]) * split * 4 : 0;
    *bytes = (size_t)all;
    if (all < (double)(SIZE_MAX / 4)) return true;
    diag_error(ctx, n, "needs more scratch memory than there are addresses");
    return false;
}

static LLVMValueRef outputs(Kernel *k) {
    const Type *y = &k->node->out[0]->type;
    return kernel_dims(k, y->dims, y->rank);
}

GpuPlace gpu_partial_place(GpuTask *t, const GpuPlace *out, LLVMValueRef part) {
    Kernel *k = t->k;
    GpuPlace p = *out;
    LLVMTypeRef type = k->gen->f32;
    LLVMValueRef copy = i_mul(k, LLVMBuildZExt(k->b, part, k->gen->i64, ""), outputs(k));
    p.base = element_at(k, type, gpu_global(k, k->scratch), i_add(k, copy, out->offset));
    p.align = GPU_ALIGN;
    p.dtype = t->tile->math == GPU_BYTES ? DT_I32 : DT_F32;
    return p;
}

static LLVMValueRef add(Kernel *k, LLVMValueRef a, LLVMValueRef b, bool integers) {
    return integers ? LLVMBuildAdd(k->b, a, b, "") : LLVMBuildFAdd(k->b, a, b, "");
}

void gpu_add_partials(Kernel *k, const GpuTile *t) {
    const Type *y = &k->node->out[0]->type;
    bool integers = t->math == GPU_BYTES;
    LLVMTypeRef type = integers ? k->gen->i32 : k->gen->f32;
    LLVMValueRef at = gpu_flat_thread(k), n = outputs(k), sum = NULL, index[MCC_MAX_RANK];
    If f = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSLT, at, n, ""));
    for (int i = 0; i < t->split; i++) {
        LLVMValueRef from = element_at(k, type, gpu_global(k, k->scratch), i_add(k, i_scale(k, n, i), at));
        LLVMValueRef v = vec_load_of(k, type, from, 1, 4);
        sum = sum ? add(k, sum, v, integers) : v;
    }
    gpu_unflatten(k, at, y->dims, y->rank, index);
    gpu_epilogue_store(k, gpu_sum_as(k, sum, gpu_accumulator(k->node)), index);
    if_end(k, &f);
}
