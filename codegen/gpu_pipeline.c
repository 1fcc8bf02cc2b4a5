/* A block's way along the depth. Through registers: the loads of the next step are in flight while this one is
 * multiplied, and shared memory holds both. Where both operands can be copied without registers (cp.async), as many
 * steps as there are stages, less one, are under way. Each turn has one barrier. */
#include "codegen/gpu_tile.h"
#include <string.h>

void gpu_task_begin(GpuTask *t, Kernel *k, const GpuTile *tile) {
    t->k = k;
    t->tile = tile;
    t->index = gpu_small_index(k->node) ? k->gen->i32 : k->gen->i64;
    t->thread = gpu_thread(k, 0);
    t->lane = LLVMBuildURem(k->b, t->thread, gpu_i32(k, GPU_WARP), "");
    t->warp = i_div(k, t->thread, GPU_WARP);
    t->shared = gpu_dynamic_shared(k);
    int sums = gpu_sums(tile);
    LLVMTypeRef type = tile->math == GPU_BYTES ? k->gen->i32 : k->gen->f32;
    t->acc = ARENA_ARRAY(k->gen->ctx->arena, sums, LLVMValueRef);
    for (int i = 0; i < sums; i++) {
        t->acc[i] = gen_alloca(k->gen, k->b, type, 4);
        LLVMBuildStore(k->b, LLVMConstNull(type), t->acc[i]);
    }
}

bool gpu_small_index(const Node *n) {
    bool small = true;
    for (int i = 0; i < n->n_in + n->n_out; i++) {
        const Value *v = i < n->n_in ? n->in[i] : n->out[i - n->n_in];
        small = small && (!v || largest_count(v) < 2147483648.0);
    }
    return small;
}

static int stage_bytes(const GpuTask *t) { return (int)gpu_tile_bytes(t->tile) / t->tile->stages; }

/* where the stage of the step that begins at `step` stands */
static LLVMValueRef stage_of(GpuTask *t, LLVMValueRef step) {
    Kernel *k = t->k;
    LLVMValueRef number = LLVMBuildTrunc(k->b, i_div(k, i_sub(k, step, t->from), t->tile->depth), k->gen->i32, "");
    LLVMValueRef turn = LLVMBuildAnd(k->b, number, gpu_i32(k, t->tile->stages - 1), "");
    return i_scale(k, turn, stage_bytes(t));
}

static void multiply(GpuTask *t, LLVMValueRef stage) {
    if (t->tile->math == GPU_FMA) gpu_fma_step(t, stage);
    else gpu_mma_step(t, stage);
}

static LLVMValueRef *slots_of(GpuTask *t, const GpuSide *s) {
    Kernel *k = t->k;
    LLVMValueRef *slots = ARENA_ARRAY(k->gen->ctx->arena, s->n_units, LLVMValueRef);
    for (int i = 0; i < s->n_units; i++) slots[i] = gen_alloca(k->gen, k->b, gpu_unit_type(t, s), 16);
    return slots;
}

static void through_registers(GpuTask *t) {
    Kernel *k = t->k;
    LLVMValueRef *units[2], zero = gpu_i32(k, 0);
    for (int i = 0; i < 2; i++) {
        units[i] = slots_of(t, &t->side[i]);
        gpu_side_fetch(t, &t->side[i], t->from, units[i]);
    }
    for (int i = 0; i < 2; i++) gpu_side_put(t, &t->side[i], zero, units[i]);
    gpu_barrier(k);
    For f = for_begin(k, t->from, t->to, t->tile->depth);
    LLVMValueRef next = i_plus(k, f.i, t->tile->depth), more = LLVMBuildICmp(k->b, LLVMIntSLT, next, t->to, "");
    If fetch = if_begin(k, more);
    for (int i = 0; i < 2; i++) gpu_side_fetch(t, &t->side[i], next, units[i]);
    if_end(k, &fetch);
    multiply(t, stage_of(t, f.i));
    If put = if_begin(k, more);
    for (int i = 0; i < 2; i++) gpu_side_put(t, &t->side[i], stage_of(t, next), units[i]);
    if_end(k, &put);
    gpu_barrier(k);
    for_end(k, &f);
}

/* ---- copies ---- */

static void copy_commit(Kernel *k) { call_intrinsic(k, "llvm.nvvm.cp.async.commit.group", NULL, 0, NULL, 0); }

static void copy_wait(Kernel *k, int under_way) {
    LLVMValueRef n = gpu_i32(k, under_way);
    call_intrinsic(k, "llvm.nvvm.cp.async.wait.group", NULL, 0, &n, 1);
}

/* the step's copies, if there is one; a group either way */
static void copy_step(GpuTask *t, LLVMValueRef step) {
    Kernel *k = t->k;
    If f = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSLT, step, t->to, ""));
    LLVMValueRef stage = stage_of(t, step);
    for (int i = 0; i < 2; i++) gpu_side_copy(t, &t->side[i], step, stage);
    if_end(k, &f);
    copy_commit(k);
}

static void by_copies(GpuTask *t) {
    Kernel *k = t->k;
    int ahead = t->tile->stages - 1, depth = t->tile->depth;
    for (int i = 0; i < ahead; i++) copy_step(t, i_plus(k, t->from, i * depth));
    For f = for_begin(k, t->from, t->to, depth);
    copy_wait(k, ahead - 1);
    gpu_barrier(k);
    copy_step(t, i_plus(k, f.i, ahead * depth));
    multiply(t, stage_of(t, f.i));
    for_end(k, &f);
}

/* Where there is one step, LLVM would else move each sum to where it is stored, behind a test of its place, and all
 * that it reads of shared memory would stay in registers till then. */
static void keep_sums_here(GpuTask *t) {
    Kernel *k = t->k;
    LLVMTypeRef element = t->tile->math == GPU_BYTES ? k->gen->i32 : k->gen->f32;
    LLVMTypeRef type = LLVMFunctionType(element, &element, 1, 0);
    const char *constraints = t->tile->math == GPU_BYTES ? "=r,0" : "=f,0";
    LLVMValueRef nothing =
        LLVMGetInlineAsm(type, "", 0, constraints, strlen(constraints), 1, 0, LLVMInlineAsmDialectATT, 0);
    for (int i = 0; i < gpu_sums(t->tile); i++) {
        LLVMValueRef sum = LLVMBuildLoad2(k->b, element, t->acc[i], "");
        LLVMBuildStore(k->b, LLVMBuildCall2(k->b, type, nothing, &sum, 1, ""), t->acc[i]);
    }
}

void gpu_task_sum(GpuTask *t) {
    Kernel *k = t->k;
    If any = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSLT, t->from, t->to, "")); /* else nothing may be read */
    GpuSide *left = &t->side[0], *right = &t->side[1];
    gpu_side_begin(t, left, 0);
    gpu_side_begin(t, right, left->lines * left->pitch);
    if (gpu_side_copies(t, left) && gpu_side_copies(t, right)) by_copies(t);
    else through_registers(t);
    keep_sums_here(t);
    if_end(k, &any);
}
