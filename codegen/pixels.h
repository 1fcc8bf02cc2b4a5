/* Kernels of integer convolutions for processors of 32 bits without vectors, whether they multiply two pairs of 16 bits
 * at once (DOT_HALVES: the DSP instructions of Cortex-M4 and later) or not: values are [N, 1, spatial…, C], or rows
 * [rows…, C], bytes. All arithmetic on places is of 32 bits, as wide as a pointer there. */
#ifndef MCC_CODEGEN_PIXELS_H
#define MCC_CODEGEN_PIXELS_H

#include "codegen/contract.h"

typedef struct Pixels { /* a node's window: y's pixel o reads x's pixels o·stride - pad + t·dilation */
    Kernel *k;
    const Node *n;
    bool is_signed;             /* x's bytes */
    int64_t channels, columns;  /* of a pixel of x and of y */
    LLVMValueRef in[3], out[3]; /* spatial dims, a row's last */
    int64_t kernel[3], stride[3], dilation[3], pad[3], pad_end[3];
    LLVMValueRef count; /* pixels of y, all batches together */
    bool flat;          /* pixel o reads pixel o alone */
    bool padded;
} Pixels;

/* ---- pixels.c ---- */
Pixels pixels_window(const Node *n); /* what is known without code: no dims */
Pixels pixels_of(Kernel *k);
LLVMValueRef pixels_number(const Pixels *p, int64_t v);                        /* an i32 */
LLVMValueRef pixels_load(const Pixels *p, LLVMValueRef base, LLVMValueRef at); /* four bytes */
LLVMValueRef pixels_byte_at(const Pixels *p, LLVMValueRef base, LLVMValueRef at);
/* coordinates of y's pixel number `pixel` in at[0 … 2], of what its first tap reads; the first pixel of x of its batch
 */
LLVMValueRef pixels_unravel(const Pixels *p, LLVMValueRef pixel, LLVMValueRef at[3]);
/* number of x's pixel at these coordinates */
LLVMValueRef pixels_index(const Pixels *p, LLVMValueRef first, const LLVMValueRef at[3]);
/* taps lo … hi - 1 of an axis lie inside of x, from coordinate `at` on */
Range pixels_taps(const Pixels *p, int axis, LLVMValueRef at);
/* What becomes of a sum, through the node's body, to y; operands: the node's inputs from that number on */
void pixels_store(const Pixels *p, LLVMValueRef sum, LLVMValueRef pixel, LLVMValueRef col, int operands);

/* ---- dot.c ---- */
bool has_halves(const Kernel *k); /* does the target have what follows, and words at any address? */
/* bytes 0 and 2, then 1 and 3, each as 16 bits with its sign or without, plus those of `more` (NULL: 0) */
void halves_of(Kernel *k, LLVMValueRef bytes, LLVMValueRef more, bool is_signed, LLVMValueRef out[2]);
/* acc + the products of both halves; of the low, of the high ones alone */
LLVMValueRef halves_add(Kernel *k, LLVMValueRef a, LLVMValueRef b, LLVMValueRef acc);
LLVMValueRef halves_add_low(Kernel *k, LLVMValueRef a, LLVMValueRef b, LLVMValueRef acc);
LLVMValueRef halves_add_high(Kernel *k, LLVMValueRef a, LLVMValueRef b, LLVMValueRef acc);

/* ---- pixel_steps.c ---- */
/* sums[row][col] += x[row][i] · w[i / 4][col][i % 4] for i < bytes, a multiple of 4 and not 0; pointers move behind
 * what was read */
void pixel_steps(Tile *sums, bool is_signed, LLVMValueRef *x, LLVMValueRef *w, LLVMValueRef bytes);

/* ---- pixel_entries.c ---- */
typedef struct EntryTile { /* some pixels behind one another, in one group */
    const Pixels *p;
    int rows, operands;
    int64_t unit, groups, pitch; /* pitch: bytes from one pixel's window to the next one's */
    LLVMValueRef group, first;   /* first: the pixel */
    LLVMValueRef x;              /* its window */
} EntryTile;
void pixel_entry_columns(const EntryTile *t); /* all columns of the group */

/* ---- pixel_conv.c, pixel_channels.c ---- */
extern const Emitter pixel_conv_emitter, pixel_channels_emitter;

#endif
