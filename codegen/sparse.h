/* Sparse products as straight-line code: the pattern of a constant matrix becomes instructions, one multiply-add a
 * nonzero.
 *
 * A layer is y[row] = clamp(bias[row] + Σ weights[row][s] · x[source s] + residual[row]), for panels of `lanes`
 * elements (pixels, tokens). A source is one vector of the panel, as an offset from the panel's start. So convolutions
 * of any kernel and stride, and linears over tokens, differ in their sources alone. */
#ifndef MCC_CODEGEN_SPARSE_H
#define MCC_CODEGEN_SPARSE_H

#include "codegen/contract.h"

typedef struct SparseSource {
    int64_t offset; /* bytes from the panel's start in x; may be negative */
    int mask; /* lanes that count: 0 all, else word `mask` - 1 of the panel's masks. Others count as 0, and are not read
               */
} SparseSource;

typedef enum SparseStore {
    SPARSE_STORE_ALL,   /* whole vectors */
    SPARSE_STORE_ZEROS, /* whole vectors, 0 beyond store_mask */
    SPARSE_STORE_WITHIN /* the lanes of store_mask */
} SparseStore;

enum { SPARSE_MASKS = 8 /* words of 16 bits that a panel takes up; the last cannot be used */ };

typedef struct SparseLayer {
    int64_t rows, n_sources;
    const float *weights; /* [rows][n_sources]; zeros cost nothing */
    const SparseSource *sources;
    bool whole_lines;  /* every panel of x is at a multiple of 64 bytes, and all of a line that a source touches may be
                          read, even where its lanes do not count */
    const float *bias; /* [rows]; NULL: none */
    const int32_t *words, *word_bias;      /* in place of weights and bias: four s8 each, for four u8 in each lane of a
                                              source; y is int32, without a residual and a clamp */
    bool residual;                         /* add residual[row] before the clamp; it may be y itself */
    float low, high;                       /* -INFINITY, INFINITY: no clamp. NaN stays NaN */
    int64_t x_step, y_step, residual_step; /* bytes from panel to panel */
    int64_t y_row, residual_row;           /* bytes from row to row */
    SparseStore store;
    int store_mask;       /* as SparseSource.mask */
    int64_t panels;       /* that a call has, mostly: it fetches the code of the next block meanwhile; at least 1 */
    int64_t all_panels;   /* that there are, about: of all calls */
    int64_t shares, unit; /* rows are shared out in so many, in whole units; y has those of one, whose blocks
                            are called together. 0: all in one */
    bool repeats; /* it is called again at once: the last block fetches the first, else what lies behind the code */
} SparseLayer;

/* What the code is called as. masks: SPARSE_MASKS words a panel, from the first panel's on (NULL where nothing is
 * masked); blocks: of rows, the first and 2³² times the one behind the last: of sparse_blocks; cold: a hint: nobody has
 * fetched the first block's code, which is worth doing at once. */
typedef void SparseCode(const void *x, void *y, const void *residual, const uint16_t *masks, int64_t panels,
                        int64_t blocks, int64_t cold);

/* All for targets with sparse_lanes() > 0, targets/target.h: the elements of a panel. */
int64_t sparse_blocks(const Target *t, int64_t rows, bool masked); /* masked: some sources are */
bool sparse_fits(const Target *t, const SparseLayer *l);           /* offsets fit the instructions */
/* Position independent, weights within; to lie at a multiple of 64 in executable memory. */
Str sparse_encode(Arena *a, const Target *t, const SparseLayer *l);

/* ---- sparse_call.c: from a kernel ---- */
enum { SPARSE_EACH = 2 /* operations of a dense kernel that take as long as a multiply-add with its weight's load */ };
typedef struct SparseCall { /* the parameters of SparseCode; residual, masks, cold NULL: none */
    LLVMValueRef x, y, residual, masks, panels, blocks, cold;
} SparseCall;
double sparse_multiplies(const Node *n);                                      /* a panel */
LLVMValueRef sparse_is_cold(Kernel *k, LLVMValueRef run, LLVMValueRef first); /* of a chunk's runs */
void sparse_take_body(const Node *n, SparseLayer *l);                         /* its residual and clamps */
bool sparse_in_place(const Node *n, int input); /* may the result overwrite this input, the residual? */
void sparse_call(Kernel *k, LLVMValueRef code, const SparseCall *c);
LLVMValueRef sparse_all_blocks(Kernel *k, int64_t blocks); /* what `blocks` is for all of them */
/* Panels in a call: as many as `most`, or somewhat fewer, alike. */
int64_t sparse_run(int64_t panels, int64_t most);
typedef struct SparseSize {                      /* of all that a kernel does; panels: at most */
    int64_t rows, sources, x_bytes, panels, run; /* x_bytes: of a panel's sources; run: panels in a call */
    int64_t blocks;                              /* of rows */
} SparseSize;
/* How a kernel's chunks share out runs of panels (the grid's rows) and blocks of rows (its columns). */
Grid sparse_grid(const Kernel *k, const SparseSize *s);
/* The call for this chunk's blocks, if it has some: between the two stand calls that c is for. */
If sparse_blocks_begin(Kernel *k, SparseCall *c, const Grid *grid, const SparseSize *s);

/* ---- sparse_packed.c: the nonzeros as data, and loops over them, for a node that is packed ---- */
/* What a call of the layer's code would do; l: without weights, sources and bias. */
void packed_call(Kernel *k, const SparseLayer *l, const SparseCall *c);

#endif
