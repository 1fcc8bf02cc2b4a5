/* Which tile a product takes on a GPU: of those that are listed, and the ways to split the depth, the one that takes
 * the fewest cycles by a model of how many multiprocessors have work, and how many warps hide each other's latency.
 * Blocks that share a tile's depth each take a run of whole steps, so that the sums' order does not depend on the run.
 */
#include "targets/gpu_tile.h"

enum { STEP_BYTES = 64, FMA_DEPTH = 16, PAD = 16 };

int gpu_element_bytes(GpuMath math) {
    switch (math) {
    case GPU_BYTES: return 1;
    case GPU_F16:
    case GPU_BF16: return 2;
    default: return 4;
    }
}

/* ---- shared memory ---- */

static size_t most(size_t a, size_t b) { return a > b ? a : b; }

static size_t side_bytes(const GpuTile *t, int outer) {
    size_t element = (size_t)gpu_element_bytes(t->math), depth = (size_t)t->depth, wide = (size_t)outer;
    size_t flat = depth * (wide * element + 2 * PAD), deep = wide * (depth * element + PAD);
    return t->math == GPU_FMA ? flat : most(flat, deep);
}

size_t gpu_tile_bytes(const GpuTile *t) {
    return (size_t)t->stages * (side_bytes(t, t->rows) + side_bytes(t, t->cols));
}

/* ---- the choice ---- */

typedef struct Shape {
    int rows, cols, part_rows, part_cols, threads;
    double rate; /* of the peak, with enough warps */
} Shape;

static const Shape fma_shapes[] = {
    {128, 128, 8, 8, 256, 0.8}, {64, 128, 8, 8, 128, 0.75}, {64, 64, 8, 4, 128, 0.65},
    {32, 64, 4, 4, 128, 0.5},   {32, 32, 4, 4, 64, 0.45},
};
static const Shape mma_shapes[] = {
    {128, 256, 64, 64, 256, 0.65}, {128, 128, 64, 64, 128, 0.6}, {64, 128, 32, 64, 128, 0.5},
    {64, 64, 32, 32, 128, 0.4},    {32, 64, 16, 32, 128, 0.3},   {32, 32, 16, 16, 128, 0.2},
};

static int processors(int sm) { return sm >= 90 ? 132 : sm >= 86 ? 84 : sm >= 80 ? 108 : 68; }

static double up(double n, double by) {
    double whole = (double)(int64_t)(n / by);
    return whole * by < n ? whole + 1 : whole;
}

static double multiplies_a_cycle(GpuMath math, int sm) { /* of a multiprocessor */
    double half = sm >= 90 ? 1200 : sm >= 86 ? 512 : sm >= 80 ? 1024 : 512;
    switch (math) {
    case GPU_FMA: return sm >= 86 ? 128 : 64;
    case GPU_TF32: return half / 2;
    case GPU_BYTES: return half * 2;
    default: return half;
    }
}

/* in cycles of the whole GPU */
static double cycles_of(const GpuTile *t, double rate, const GpuExtent *e) {
    const double launch = 4000, start = 1500, traffic = 1500 /* bytes a cycle of all memory */,
                 latency = 500 /* of a step */;
    const int warp = 32;
    double tiles = up(e->rows, t->rows) * up(e->cols, t->cols) * e->batches;
    double blocks = tiles * t->split, units = processors(t->sm), depth = up(e->depth, t->split);
    double steps = up(depth, t->depth), resident = up(blocks, units);
    double warps = resident * t->threads / warp, hidden = warps < 16 ? warps / 16 : 1;
    double work = (double)t->rows * t->cols * steps * t->depth / (rate * multiplies_a_cycle(t->math, t->sm));
    double each = work / (0.4 + 0.6 * hidden), waves = blocks < 4 * units ? up(blocks, units) : blocks / units + 0.2;
    double least = steps * latency / 2; /* a block waits for its loads, whatever it computes */
    double time = start + (waves * each > least ? waves * each : least);
    if (t->split > 1) time += launch + e->rows * e->cols * e->batches * 8 * t->split / traffic;
    return time;
}

static int shapes_of(GpuMath math, const Shape **list) {
    *list = math == GPU_FMA ? fma_shapes : mma_shapes;
    return math == GPU_FMA ? (int)(sizeof fma_shapes / sizeof *fma_shapes)
                           : (int)(sizeof mma_shapes / sizeof *mma_shapes);
}

GpuTile gpu_tile_at(const Target *target, GpuMath math, int number, int split) {
    const Shape *s;
    shapes_of(math, &s);
    s += number;
    GpuTile t = {.math = math, .number = number, .rows = s->rows, .cols = s->cols, .part_rows = s->part_rows};
    t.part_cols = s->part_cols;
    t.threads = s->threads;
    t.depth = math == GPU_FMA ? FMA_DEPTH : STEP_BYTES / gpu_element_bytes(math);
    t.sm = target->sm;
    t.split = split;
    t.stages = math != GPU_FMA && t.sm >= 80 ? 4 : 2;
    return t;
}

GpuTile gpu_tile_choose(const Target *target, GpuMath math, const GpuExtent *e) {
    static const int splits[] = {1, 2, 3, 4, 6, 8, 12, 16};
    const Shape *shapes;
    int n = shapes_of(math, &shapes);
    GpuTile best = gpu_tile_at(target, math, n - 1, 1);
    double least = -1;
    for (int i = 0; i < n; i++)
        for (size_t j = 0; j < sizeof splits / sizeof *splits; j++) {
            GpuTile t = gpu_tile_at(target, math, i, splits[j]);
            if (gpu_tile_bytes(&t) > target->shared || (t.split > 1 && e->depth < t.split * 4.0 * t.depth)) continue;
            double cycles = cycles_of(&t, shapes[i].rate, e);
            if (least >= 0 && cycles >= least) continue;
            least = cycles;
            best = t;
        }
    return best;
}
