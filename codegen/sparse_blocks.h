/* What the encoders of sparse products share: rows cut into blocks. */
#ifndef MCC_CODEGEN_SPARSE_BLOCKS_H
#define MCC_CODEGEN_SPARSE_BLOCKS_H

#include "codegen/sparse.h"

typedef struct SparseBlock { /* rows first … first + rows - 1 */
    int64_t first, in_y;     /* in_y: where y has its first row */
    int rows, sets;          /* sets: sums a row has, in turn */
    int64_t nonzeros, loads;
    size_t at, weights_at, end; /* places in the code */
} SparseBlock;

typedef struct SparseBlocks {
    SparseBlock *all;
    int64_t n, most; /* most: nonzeros that one has */
} SparseBlocks;

/* busy: rows whose sums in turn hide a multiply-add's latency; fewer take several sums each */
SparseBlocks sparse_cut_rows(Arena *a, const Target *t, const SparseLayer *l, int busy);
uint32_t sparse_word(const SparseLayer *l, const SparseBlock *b, int row,
                     int64_t source); /* a weight's bits; 0: zero */
float sparse_weight(const SparseLayer *l, const SparseBlock *b, int row, int64_t source);
int64_t sparse_nonzeros(const SparseLayer *l, const SparseBlock *b, int64_t source); /* in the block's rows */
int64_t *sparse_by_place(Arena *a, const SparseLayer *l); /* the sources by their offsets; equal ones as they stand */
unsigned sparse_masks_used(const SparseLayer *l);         /* bit m: mask m is read */
bool sparse_is_masked(const SparseLayer *l);              /* are any of its sources? */

/* ---- the encoders ---- */
Str sparse_encode_x86(Arena *a, const Target *t, const SparseLayer *l);
Str sparse_encode_arm64(Arena *a, const Target *t, const SparseLayer *l);

#endif
