/* Quads: four channels of a pixel, bytes, as one int32, which is what integer instructions multiply and add at once. In
 * channel blocks a pixel's quads are neighbours; straight-line code wants QUAD_LANES pixels of one quad in a vector. */
#ifndef MCC_CODEGEN_QUADS_H
#define MCC_CODEGEN_QUADS_H

#include "codegen/contract.h"

enum { QUAD_LANES = 16, QUAD_MOST = 4 /* of a block */ };

/* QUAD_LANES pixels of `per` quads each at p: v[quad]. there: pixels that exist, the others are not touched; NULL: all
 */
void quads_load(Kernel *k, LLVMValueRef p, int per, LLVMValueRef there, LLVMValueRef *v);
void quads_store(Kernel *k, LLVMValueRef *v, int per, LLVMValueRef there, LLVMValueRef p);
/* lanes of v that there are, `rest` in the others */
LLVMValueRef quads_keep(Kernel *k, LLVMValueRef v, LLVMValueRef there, LLVMValueRef rest);
LLVMValueRef quads_byte(Kernel *k, LLVMValueRef v, int i); /* byte i of each, as i8 */
LLVMValueRef quads_of_rows(Kernel *k, LLVMValueRef four);  /* four rows of QUAD_LANES bytes as one quad */
LLVMValueRef quads_every_other(Kernel *k, LLVMValueRef low, LLVMValueRef high); /* lanes 0, 2 … of both */

#endif
