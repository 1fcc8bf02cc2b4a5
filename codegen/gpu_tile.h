/* Products on a GPU: a block of threads sums a tile of rows × columns, a few steps of depth at a time, which it brings
 * from global into shared memory while it multiplies those before. GPU_FMA sums parts of the tile in each thread; the
 * others in each warp, on the tensor cores. The operands are matrices of any strides, or the right one is the windows of a
 * convolution, a column a pixel. */
#ifndef MCC_CODEGEN_GPU_TILE_H
#define MCC_CODEGEN_GPU_TILE_H

#include "codegen/gpu.h"
#include "targets/gpu_tile.h"

/* ---- gpu_stage.c: from global to shared memory ---- */
enum { GPU_MAX_UNITS = 64 };
typedef struct GpuWindow {     /* of a convolution: a column is a pixel of an image, a step of depth (tap, channel) */
    int64_t channels, padded;  /* of a group; steps of a tap: those beyond `channels` count as 0 */
    int64_t kernel[3], stride[3], dilation[3], pad[3];
    LLVMValueRef in[3], out[3];
    LLVMValueRef image; /* elements between images; planes are in[0]·in[1]·in[2] apart */
    bool padded_map;    /* taps may leave the map */
    int fill;           /* what stands there, of bytes */
    LLVMValueRef base, origin[3], plane; /* of this thread's column, once gpu_side_begin has run */
} GpuWindow;
typedef struct GpuSide {       /* an operand as this block sees it; indices are of the task's type */
    Dtype dtype;
    LLVMValueRef base;         /* of element (0, 0), addrspace(1) */
    LLVMValueRef count;        /* rows of the left, columns of the right */
    LLVMValueRef outer, step;  /* elements between neighbours along rows or columns, and along the depth */
    LLVMValueRef first;        /* of the block's rows or columns */
    bool along_depth;          /* a load takes neighbours along the depth */
    int unit;                  /* how many */
    GpuWindow *window;         /* NULL: a matrix */
    /* filled by gpu_side_begin: */
    int tile, lines, pitch, at, element; /* in shared memory; pitch, place and element in bytes */
    bool deep;                 /* lines of shared memory run along the depth */
    bool whole, whole_depth;   /* no tile passes the last row or column, the last step */
    int n_units;               /* that a thread loads for each step */
    LLVMValueRef active;       /* has this thread any? NULL: all have */
    LLVMValueRef outer_at[GPU_MAX_UNITS], step_at[GPU_MAX_UNITS]; /* in the tile, of each unit */
} GpuSide;
typedef struct GpuTask {
    Kernel *k;
    const GpuTile *tile;
    LLVMTypeRef index;           /* i32, or i64 where operands are that large */
    GpuSide side[2];             /* left, right */
    LLVMValueRef depth, from, to; /* all steps; those of this block */
    LLVMValueRef thread, lane, warp, shared;
    LLVMValueRef *acc; /* stack slots that LLVM turns into registers */
} GpuTask;
void gpu_side_begin(GpuTask *t, GpuSide *s, int at);
void gpu_side_fetch(GpuTask *t, GpuSide *s, LLVMValueRef step, LLVMValueRef *units);      /* units: stack slots */
void gpu_side_put(GpuTask *t, GpuSide *s, LLVMValueRef stage, const LLVMValueRef *units);
bool gpu_side_copies(const GpuTask *t, const GpuSide *s); /* can units be copied without registers? */
void gpu_side_copy(GpuTask *t, GpuSide *s, LLVMValueRef step, LLVMValueRef stage);
LLVMTypeRef gpu_unit_type(const GpuTask *t, const GpuSide *s);
/* elements that one load may take, of neighbours in rows of `wide` elements that start at multiples of `apart`;
 * align: of the pointer */
int gpu_unit(const GpuTask *t, Dtype d, int align, LLVMValueRef wide, LLVMValueRef apart);

/* ---- gpu_fma.c, gpu_mma.c: acc += left · right of a step in shared memory ---- */
int gpu_sums(const GpuTile *t); /* of a thread */
void gpu_fma_step(GpuTask *t, LLVMValueRef stage);
void gpu_mma_step(GpuTask *t, LLVMValueRef stage);
/* Which elements of the block's tile a thread sums: rows row[i], columns col[j] … + group - 1; acc[i·groups·group + j·group + …] */
typedef struct GpuPart {
    int rows, groups, group;
    LLVMValueRef row[32], col[32]; /* in the tile */
} GpuPart;
void gpu_fma_part(GpuTask *t, GpuPart *p);
void gpu_mma_part(GpuTask *t, GpuPart *p);

/* ---- gpu_pipeline.c ---- */
void gpu_task_begin(GpuTask *t, Kernel *k, const GpuTile *tile);
void gpu_task_sum(GpuTask *t); /* sides and depth are there; the sums are in acc then */

typedef struct GpuPlace { /* element (image, row, pixel) is base[image·batch + row·row + pixel·col] */
    LLVMValueRef base, batch, row, col;
    LLVMValueRef offset; /* of base, in elements from the value's first; i64 */
    Dtype dtype;
    int align; /* of base, bytes */
} GpuPlace;
int gpu_multiple(const LLVMValueRef *steps, int n); /* of which all are multiples: a power of two, up to GPU_ALIGN */
/* offset: a multiple of so many elements. The steps are left to be filled. */
GpuPlace gpu_place(Kernel *k, const Value *v, LLVMValueRef pointer, LLVMValueRef offset, int multiple);

/* ---- gpu_grid.c: a launch's blocks, and the second launch of depths that blocks share ---- */
typedef struct GpuTilePlace {
    LLVMValueRef batch; /* i64 */
    LLVMValueRef part;  /* of the depth, i32 */
} GpuTilePlace;
/* Which tile this block has: fills `first` of both sides, and from and to; counts and depth are there. */
GpuTilePlace gpu_tile_place(GpuTask *t, LLVMValueRef batches);
LLVMValueRef gpu_tile_there(GpuTask *t, const GpuTilePlace *at); /* i1: grids may be larger than sizes that depend on data ask for */
GpuTile gpu_node_tile(const Target *t, const Node *n); /* that its attributes name */
int gpu_launches(const CodeOptions *o, const Node *n);
void gpu_geometry(Ctx *ctx, const Node *n, const GpuTile *t, int launch, Dim rows, Dim cols, Dim batches, GpuGeometry *out);
bool gpu_partial_bytes(Ctx *ctx, const Node *n, size_t *bytes); /* of scratch memory */
/* The place of a block's sums where it shares them: instead of `out`, as the node's output lies */
GpuPlace gpu_partial_place(GpuTask *t, const GpuPlace *out, LLVMValueRef part);
void gpu_add_partials(Kernel *k, const GpuTile *t); /* the second launch */

/* ---- gpu_store.c: sums to memory ---- */
typedef struct GpuStore {
    const Graph *body;  /* inputs: the sum, then the operands; NULL: none */
    Dtype sum;          /* what the sum is rounded to */
    GpuPlace out, *operands;
    LLVMValueRef rows, cols; /* in all */
    LLVMValueRef pixels;     /* of an image: columns are these of one image after the other; NULL: all are of one */
} GpuStore;
void gpu_task_store(GpuTask *t, const GpuStore *s);
LLVMValueRef gpu_sum_as(Kernel *k, LLVMValueRef sum, Dtype to); /* an f32 or an i32 as elements of `to` are stored */

/* ---- small things ---- */
LLVMValueRef gpu_index(const GpuTask *t, int64_t v);
LLVMValueRef gpu_as_index(const GpuTask *t, LLVMValueRef v); /* cut to the task's type */
LLVMValueRef gpu_global(Kernel *k, LLVMValueRef p);          /* as addrspace(1) */
LLVMValueRef gpu_shared_at(GpuTask *t, LLVMValueRef stage, LLVMValueRef bytes); /* i32 offsets in shared memory */
bool gpu_small_index(const Node *n); /* do 32 bits number the elements of each operand? */

int64_t gpu_conv_taps(const Node *n); /* of its kernel */
extern const GpuForm gpu_product, gpu_conv, gpu_taps, gpu_attention;

#endif
