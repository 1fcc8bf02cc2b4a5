/* Which tile a product takes on a GPU: shapes that code generation knows, and which of them is fast. */
#ifndef MCC_TARGETS_GPU_TILE_H
#define MCC_TARGETS_GPU_TILE_H

#include <stdint.h>
#include "targets/target.h"

/* What multiplies: ordinary units; tensor cores on float16, bfloat16, float32 rounded to 11 bits, bytes */
typedef enum GpuMath { GPU_FMA, GPU_F16, GPU_BF16, GPU_TF32, GPU_BYTES } GpuMath;
int gpu_element_bytes(GpuMath math); /* of an operand in shared memory */

typedef struct GpuTile {
    GpuMath math;
    int number;               /* among the shapes of its math */
    int rows, cols, depth;    /* depth: elements of a step; powers of two */
    int part_rows, part_cols; /* of a thread, or of a warp on tensor cores */
    int threads;
    int stages; /* steps in shared memory: 2, or 4 where copies run ahead on their own */
    int split;  /* so many blocks share the depth of a tile, their sums are added by a second launch */
    int sm;
} GpuTile;
typedef struct GpuExtent { /* open dims at their bounds */
    double rows, cols, depth, batches;
} GpuExtent;
enum { GPU_NO_TILE = -1 }; /* the number of none: a thread sums an element by itself */
GpuTile gpu_tile_choose(const Target *t, GpuMath math, const GpuExtent *e);
GpuTile gpu_tile_at(const Target *t, GpuMath math, int number, int split);
size_t gpu_tile_bytes(const GpuTile *t); /* of shared memory */

#endif
