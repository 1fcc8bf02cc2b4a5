/* A step on the ordinary units: a thread multiplies part_rows × part_cols elements, whose rows and columns it takes
 * four at a time from far apart quarters, so that the loads of a warp meet no bank of shared memory twice. */
#include "codegen/gpu_tile.h"

enum { QUAD = 4, WARP_COLS = 8, MOST = 8 };

int gpu_sums(const GpuTile *t) {
    return t->math == GPU_FMA ? t->part_rows * t->part_cols : t->part_rows * t->part_cols / GPU_WARP;
}

/* the place of this thread in the grid of threads: warps are 4 × 8 of them */
static void place_of(GpuTask *t, LLVMValueRef *row, LLVMValueRef *col) {
    Kernel *k = t->k;
    int wide = t->tile->cols / t->tile->part_cols / WARP_COLS;
    LLVMValueRef lane_row = i_div(k, t->lane, WARP_COLS),
                 lane_col = LLVMBuildURem(k->b, t->lane, gpu_i32(k, WARP_COLS), "");
    *row = i_add(k, i_scale(k, i_div(k, t->warp, wide), GPU_WARP / WARP_COLS), lane_row);
    *col = i_add(k, i_scale(k, LLVMBuildURem(k->b, t->warp, gpu_i32(k, wide), ""), WARP_COLS), lane_col);
}

static void load_part(GpuTask *t, const GpuSide *s, LLVMValueRef stage, LLVMValueRef at, int step, int part,
                      LLVMValueRef *out) {
    Kernel *k = t->k;
    for (int i = 0; i < part / QUAD; i++) {
        int64_t bytes = s->at + (int64_t)step * s->pitch + (int64_t)i * (s->tile / (part / QUAD)) * 4;
        LLVMValueRef p = gpu_shared_at(t, stage, i_plus(k, i_scale(k, at, QUAD * 4), bytes));
        LLVMValueRef v = vec_load(k, p, QUAD, QUAD * 4);
        for (int e = 0; e < QUAD; e++) out[i * QUAD + e] = LLVMBuildExtractElement(k->b, v, gpu_i32(k, e), "");
    }
}

void gpu_fma_step(GpuTask *t, LLVMValueRef stage) {
    Kernel *k = t->k;
    LLVMTypeRef f32 = k->gen->f32;
    int rows = t->tile->part_rows, cols = t->tile->part_cols;
    LLVMValueRef row, col, acc[MOST * MOST], a[MOST], b[MOST];
    place_of(t, &row, &col);
    for (int i = 0; i < rows * cols; i++) acc[i] = LLVMBuildLoad2(k->b, f32, t->acc[i], "");
    for (int step = 0; step < t->tile->depth; step++) {
        load_part(t, &t->side[0], stage, row, step, rows, a);
        load_part(t, &t->side[1], stage, col, step, cols, b);
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < cols; c++)
                acc[r * cols + c] =
                    call_intrinsic(k, "llvm.fma", &f32, 1, (LLVMValueRef[]){a[r], b[c], acc[r * cols + c]}, 3);
    }
    for (int i = 0; i < rows * cols; i++) LLVMBuildStore(k->b, acc[i], t->acc[i]);
}

static LLVMValueRef quad_at(Kernel *k, LLVMValueRef at, int i, int tile, int part) {
    return i_plus(k, i_scale(k, at, QUAD), i / QUAD * (tile / (part / QUAD)) + i % QUAD);
}

void gpu_fma_part(GpuTask *t, GpuPart *p) {
    Kernel *k = t->k;
    const GpuTile *tile = t->tile;
    LLVMValueRef row, col;
    place_of(t, &row, &col);
    *p = (GpuPart){.rows = tile->part_rows, .groups = tile->part_cols / QUAD, .group = QUAD};
    for (int i = 0; i < p->rows; i++) p->row[i] = quad_at(k, row, i, tile->rows, tile->part_rows);
    for (int i = 0; i < p->groups; i++) p->col[i] = quad_at(k, col, i * QUAD, tile->cols, tile->part_cols);
}
