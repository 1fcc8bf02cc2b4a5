/* A step on the tensor cores. A warp multiplies part_rows × part_cols elements as products of 16 rows by 8 columns; an
 * operand's registers are words of 32 bits, each of neighbours along the depth, 8 words deep whatever the elements are.
 * ldmatrix brings words from shared memory; transposed, where lines run along rows or columns of 16-bit elements.
 * Elements of 32 bits in such lines are loaded one by one. Turing multiplies half the depth, or a quarter of the
 * product, at once. */
#include <string.h>
#include "codegen/gpu_tile.h"

enum { ROWS = 16, COLS = 8, WORDS = 8, STEP_BYTES = 4 * WORDS, HALF_BYTES = STEP_BYTES / 2, MOST = 8 };

typedef struct Warp { /* of the tile: its first row and column */
    LLVMValueRef row, col;
} Warp;

static Warp warp_of(GpuTask *t) {
    Kernel *k = t->k;
    const GpuTile *tile = t->tile;
    int wide = tile->cols / tile->part_cols;
    LLVMValueRef col = LLVMBuildURem(k->b, t->warp, gpu_i32(k, wide), "");
    return (Warp){i_scale(k, i_div(k, t->warp, wide), tile->part_rows), i_scale(k, col, tile->part_cols)};
}

static LLVMValueRef rest(Kernel *k, LLVMValueRef v, int by) { return LLVMBuildURem(k->b, v, gpu_i32(k, by), ""); }

/* ---- operands: four words a thread, of 16 rows or columns ---- */

/* Each lane gives the address of a line of 16 bytes; matrices of 8 lines go to words 0 … 3. pairs: words 0 and 1 are of
 * the first 8 lines, else of both halves of the lines. */
static void load_lines(GpuTask *t, LLVMValueRef stage, const GpuSide *s, LLVMValueRef line, LLVMValueRef place,
                       bool pairs, LLVMValueRef *word) {
    Kernel *k = t->k;
    LLVMValueRef low = rest(k, t->lane, 8), half = rest(k, i_div(k, t->lane, 8), 2), high = i_div(k, t->lane, 16);
    LLVMValueRef more = pairs ? high : half, aside = pairs ? half : high;
    LLVMValueRef at = i_add(k, line, i_add(k, low, i_scale(k, more, 8)));
    at = i_add(k, i_scale(k, at, s->pitch), i_add(k, place, i_scale(k, aside, HALF_BYTES)));
    LLVMValueRef p = gpu_shared_at(t, stage, i_plus(k, at, s->at));
    LLVMTypeRef type = gpu_shared_ptr(k->gen);
    LLVMValueRef all = call_intrinsic(k,
                                      s->deep ? "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16"
                                              : "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.trans.b16",
                                      &type, 1, &p, 1);
    for (unsigned i = 0; i < 4; i++) word[i] = LLVMBuildExtractValue(k->b, all, i, "");
}

/* of 32 bits, lines along rows or columns */
static void load_singly(GpuTask *t, LLVMValueRef stage, const GpuSide *s, LLVMValueRef outer, int step, bool left,
                        LLVMValueRef *word) {
    Kernel *k = t->k;
    LLVMValueRef across = i_add(k, outer, i_div(k, t->lane, 4)), deep = rest(k, t->lane, 4);
    LLVMValueRef at = i_add(k, i_scale(k, deep, s->pitch), i_scale(k, across, 4));
    for (int i = 0; i < 4; i++) {
        int more = left ? i % 2 : i / 2, deeper = left ? i / 2 : i % 2;
        int64_t bytes = s->at + (int64_t)(step * WORDS + deeper * 4) * s->pitch + more * 8 * 4;
        word[i] = vec_load_of(k, k->gen->i32, gpu_shared_at(t, stage, i_plus(k, at, bytes)), 1, 4);
    }
}

/* float32 rounded to the 11 bits that are multiplied */
static void round_words(GpuTask *t, LLVMValueRef *word) {
    Kernel *k = t->k;
    for (int i = 0; i < 4; i++) {
        LLVMValueRef x = LLVMBuildBitCast(k->b, word[i], k->gen->f32, "");
        word[i] = call_intrinsic(k, "llvm.nvvm.f2tf32.rna", NULL, 0, &x, 1);
    }
}

/* left: words as the product takes them. right: two columns of products, words 0, 1 and 2, 3. */
static void load_words(GpuTask *t, LLVMValueRef stage, int side, LLVMValueRef outer, int step, LLVMValueRef *word) {
    Kernel *k = t->k;
    const GpuSide *s = &t->side[side];
    bool left = side == 0;
    if (s->deep) load_lines(t, stage, s, outer, gpu_i32(k, step * STEP_BYTES), !left, word);
    else if (s->element == 4) load_singly(t, stage, s, outer, step, left, word);
    else load_lines(t, stage, s, gpu_i32(k, step * STEP_BYTES / s->element), i_scale(k, outer, s->element), left, word);
    if (t->tile->math == GPU_TF32) round_words(t, word);
}

/* ---- products ---- */

static LLVMValueRef as_type(Kernel *k, LLVMValueRef word, LLVMTypeRef type) {
    return LLVMBuildBitCast(k->b, word, type, "");
}

/* sums[first …] += words of the left × words of the right, by the instruction of that name */
static void call_product(GpuTask *t, const char *name, const LLVMValueRef *a, int n_a, const LLVMValueRef *b, int n_b,
                         LLVMValueRef *sums, int n) {
    Kernel *k = t->k;
    LLVMValueRef args[10];
    int used = 0;
    LLVMTypeRef halves = LLVMVectorType(LLVMHalfTypeInContext(k->gen->llvm), 2),
                type = t->tile->math == GPU_F16 ? halves : k->gen->i32;
    for (int i = 0; i < n_a; i++) args[used++] = as_type(k, a[i], type);
    for (int i = 0; i < n_b; i++) args[used++] = as_type(k, b[i], type);
    for (int i = 0; i < n; i++) args[used++] = sums[i];
    LLVMValueRef all = call_intrinsic(k, name, NULL, 0, args, used);
    for (int i = 0; i < n; i++) sums[i] = LLVMBuildExtractValue(k->b, all, (unsigned)i, "");
}

static const char *signs_of(const GpuTask *t) {
    bool a = t->side[0].dtype == DT_I8, b = t->side[1].dtype == DT_I8;
    return a ? (b ? "s8" : "s8.u8") : b ? "u8.s8" : "u8";
}

static void multiply_bytes(GpuTask *t, const LLVMValueRef *a, const LLVMValueRef *b, LLVMValueRef *sums) {
    Arena *arena = t->k->gen->ctx->arena;
    const char *signs = signs_of(t);
    if (t->tile->sm >= 80) {
        call_product(t, arena_printf(arena, "llvm.nvvm.mma.m16n8k32.row.col.%s", signs), a, 4, b, 2, sums, 4);
        return;
    }
    for (int i = 0; i < 4; i++)
        call_product(t, arena_printf(arena, "llvm.nvvm.mma.m8n8k16.row.col.%s", signs), a + i, 1, b + i / 2, 1,
                     sums + i % 2 * 2, 2);
}

static void multiply(GpuTask *t, const LLVMValueRef *a, const LLVMValueRef *b, LLVMValueRef *sums) {
    switch (t->tile->math) {
    case GPU_BYTES: multiply_bytes(t, a, b, sums); break;
    case GPU_BF16: call_product(t, "llvm.nvvm.mma.m16n8k16.row.col.bf16", a, 4, b, 2, sums, 4); break;
    case GPU_TF32: call_product(t, "llvm.nvvm.mma.m16n8k8.row.col.tf32", a, 4, b, 2, sums, 4); break;
    default:
        if (t->tile->sm >= 80) {
            call_product(t, "llvm.nvvm.mma.m16n8k16.row.col.f32.f32", a, 4, b, 2, sums, 4);
            break;
        }
        for (int i = 0; i < 2; i++)
            call_product(t, "llvm.nvvm.mma.m16n8k8.row.col.f32.f32", a + 2 * i, 2, b + i, 1, sums, 4);
    }
}

void gpu_mma_step(GpuTask *t, LLVMValueRef stage) {
    Kernel *k = t->k;
    const GpuTile *tile = t->tile;
    Warp w = warp_of(t);
    int down = tile->part_rows / ROWS, along = tile->part_cols / COLS, n = down * along * 4;
    int steps = tile->depth * t->side[0].element / STEP_BYTES;
    LLVMTypeRef type = tile->math == GPU_BYTES ? k->gen->i32 : k->gen->f32;
    LLVMValueRef acc[MOST * MOST * 4], a[MOST][4], b[MOST / 2][4];
    for (int i = 0; i < n; i++) acc[i] = LLVMBuildLoad2(k->b, type, t->acc[i], "");
    for (int step = 0; step < steps; step++) {
        for (int i = 0; i < down; i++) load_words(t, stage, 0, i_plus(k, w.row, i * ROWS), step, a[i]);
        for (int j = 0; j < along / 2; j++) load_words(t, stage, 1, i_plus(k, w.col, j * 2 * COLS), step, b[j]);
        for (int i = 0; i < down; i++)
            for (int j = 0; j < along; j++) multiply(t, a[i], &b[j / 2][j % 2 * 2], &acc[(i * along + j) * 4]);
    }
    for (int i = 0; i < n; i++) LLVMBuildStore(k->b, acc[i], t->acc[i]);
}

/* Sums 0 and 1 of a product are neighbours of one row, 2 and 3 stand eight rows below. */
void gpu_mma_part(GpuTask *t, GpuPart *p) {
    Kernel *k = t->k;
    Warp w = warp_of(t);
    LLVMValueRef row = i_add(k, w.row, i_div(k, t->lane, 4)), col = i_add(k, w.col, i_scale(k, rest(k, t->lane, 4), 2));
    *p = (GpuPart){.rows = t->tile->part_rows / 8, .groups = t->tile->part_cols / COLS, .group = 2};
    for (int i = 0; i < p->rows; i++) p->row[i] = i_plus(k, row, i * 8);
    for (int i = 0; i < p->groups; i++) p->col[i] = i_plus(k, col, i * COLS);
}
