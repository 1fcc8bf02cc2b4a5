/* Sparse products for x86-64: what AVX-512 (sparse_avx512.c) and AVX2 (sparse_avx2.c) have in common. A block of rows
 * is a loop over panels, its weights lie behind it in the order in which they are read, then comes the next block.
 *
 * The front end would wait for each block's code, which is read once a call. So while a block runs its n panels, panel
 * j fetches the j-th part of n of the next block, spread over its instructions: every line once, one behind the other,
 * which is 4 to 8 % of whole networks faster than every n-th line (those touch each page n times).
 *
 * rdi x, rsi y, rdx residual, rcx masks, r8 panels, r9 the block behind the last; they stay. On the stack: cold. r11 …
 * r14: the panel's x, y, residual, masks; r15: panels left; rax, r10: near the source, the weight that is next; rbx:
 * what is fetched; rsp: the form's memory; rbp: what is saved, free for a form without memory. */
#ifndef MCC_CODEGEN_SPARSE_X86_H
#define MCC_CODEGEN_SPARSE_X86_H

#include "codegen/sparse_blocks.h"
#include "codegen/x86.h"

enum { SPARSE_X86_ROWS = 29 /* of any form, at most */, SPARSE_X86_LINES = 2, SPARSE_X86_SLICES = 64 /* at most */ };

/* Where blocks are too long for the caches of instructions, or x is for L2, sources are cut into slices, each of them a
 * function for all blocks and panels: sums that are not complete wait in y. */
typedef struct SparsePart { /* of a block, in a slice */
    SparseBlock b;          /* nonzeros, loads, places: the part's own */
    int64_t *used;          /* the sources that it needs, in the order of their products */
    bool first, last;       /* of its block */
} SparsePart;

typedef struct SparseX86 SparseX86;

typedef struct SparseX86Form {
    int busy;        /* rows whose sums in turn hide a multiply-add's latency, two a cycle */
    int weight_unit; /* what a displacement of 8 bits counts, of a weight */
    int64_t weights; /* that a block has besides its nonzeros */
    int64_t stack;   /* bytes that a panel may use from rsp on; rsp is a multiple of 64 then. 0: none */
    /* about how long a block's code and weights are */
    int64_t (*block_bytes)(const SparseX86 *s, const SparseBlock *b);
    /* changes that of the sources that a part needs; NULL: they stay ordered by their places */
    void (*order)(const SparseLayer *l, int64_t *used, int64_t n_used);
    void (*panel)(SparseX86 *s); /* writes what a panel's instructions are */
} SparseX86Form;

struct SparseX86 {
    const SparseLayer *l;
    const SparseX86Form *form;
    X86 x;
    bool masked;       /* some sources are */
    bool spreads;      /* weights may come by way of general registers */
    SparsePart *parts; /* slice by slice */
    int64_t n_slices, n_blocks;
    size_t slice_at[SPARSE_X86_SLICES];
    SparsePart *part; /* that is being written */
    const SparseBlock *b;
    int64_t *used; /* of it */
    int64_t n_used;
    int64_t lines[SPARSE_X86_LINES];             /* for the form: which are at hand in registers */
    bool lined;                                  /* likewise: are some? */
    int spread;                                  /* likewise: a weight's register; 0: none */
    int64_t panel_loads, panel_products, spared; /* likewise: of the panel so far; loads: without weights; spared:
                                                    weights that were not loaded */
    uint32_t *weights;                           /* of the part, in their order */
    int64_t n_weights;
    int64_t weight_base, source_base; /* what r10 and rax stand at, from the weights' start and the panel's */
    int turn[SPARSE_X86_ROWS];        /* by row: the set that its next product goes to */
    int64_t fetched, to_fetch;
};

extern const SparseX86Form sparse_avx512, sparse_avx2;

/* ---- for a form's panel ---- */
void sparse_x86_begin_panel(SparseX86 *s);
X86Mem sparse_x86_word(SparseX86 *s, uint32_t w); /* the next place of the stream of weights, which w takes */
uint32_t sparse_x86_bits(float w);
int64_t sparse_x86_offset(const SparseX86 *s, int64_t i); /* of the i-th source that is used */
int sparse_x86_turn(SparseX86 *s, int row);               /* the set that the row's next product goes to */
/* multiply(s, i) for each source that is used, and fetches ahead */
void sparse_x86_multiply(SparseX86 *s, void (*multiply)(SparseX86 *s, int64_t i));

#endif
