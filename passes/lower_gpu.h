/* What lower_gpu.c and lower_gpu_conv.c share. */
#ifndef MCC_PASSES_LOWER_GPU_H
#define MCC_PASSES_LOWER_GPU_H

#include "passes/lower.h"
#include "targets/gpu_tile.h"

bool gpu_math_of(const PassCtx *p, Dtype a, Dtype b, GpuMath *math); /* false: no kernel multiplies these */
void gpu_set_tile(const PassCtx *p, Node *n, GpuMath math, const GpuExtent *e);
void lower_gpu_conv(Rewrite *r, Node *n, const PassCtx *p); /* Conv, ConvInteger; others stay */

#endif
