/* NumPy's file format: arrays in and out. Little-endian hosts. */
#ifndef MCC_NPY_H
#define MCC_NPY_H

#include "ir/ir.h"

/* Reads an array into g's arena, in row-major order whatever the file's. NULL: *why says what is wrong. The dtype is
 * the file's; two-byte voids ("<V2", as bfloat16 is stored) become bfloat16, one-byte voids uint8. */
Tensor *npy_read(Graph *g, const char *path, const char **why);
/* The same elements as `want`: as they are, as bits (uint16 → bfloat16, uint8 → the 8-bit floats), or packed (a byte an
 * element → the 4- and 2-bit types). NULL: t cannot be that. */
const Tensor *npy_as(Graph *g, const Tensor *t, Dtype want);
/* Packed types are written a byte an element. false: the dtype has no form here. Errors of `out` are the caller's to
 * see. */
bool npy_write(FILE *out, const Tensor *t);

#endif
