/* NumPy's file format: arrays in and out. Little-endian hosts. */
#ifndef MCC_NPY_H
#define MCC_NPY_H

#include "ir/ir.h"

/* Reads an array into g's arena, in row-major order whatever the file's. NULL: *why says what is wrong. The dtype is
 * the file's; two-byte voids ("<V2", as bfloat16 is stored) become bfloat16, one-byte voids uint8. */
Tensor *npy_read(Graph *g, const char *path, const char **why);
/* An array in an open file, at the file's place, in at most `limit` bytes; its elements are read later, in part. What
 * is wrong, or NULL. */
typedef struct NpyArray {
    FILE *file;
    long at;           /* where the elements begin */
    Tensor shape;      /* bytes: of all elements; no data */
    size_t item, swap; /* bytes an element; units to turn round, 0: none */
    bool fortran;
} NpyArray;
const char *npy_open(Arena *a, FILE *f, size_t limit, NpyArray *n);
/* `count` rows (indices of axis 0; of a scalar: 1) from `first` on. NULL: *why says what is wrong. */
Tensor *npy_rows(Arena *a, const NpyArray *n, int64_t first, int64_t count, const char **why);
/* The same elements as `want`: as they are, as bits (uint16 → bfloat16, uint8 → the 8-bit floats), or packed (a byte an
 * element → the 4- and 2-bit types). NULL: t cannot be that. */
const Tensor *npy_as(Graph *g, const Tensor *t, Dtype want);
/* Packed types are written a byte an element. false: the dtype has no form here. Errors of `out` are the caller's to
 * see. */
bool npy_write(FILE *out, const Tensor *t);

#endif
