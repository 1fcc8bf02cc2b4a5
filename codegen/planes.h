/* What the kernels of planar values share. */
#ifndef MCC_CODEGEN_PLANES_H
#define MCC_CODEGEN_PLANES_H

#include "codegen/contract.h"

/* ---- planes.c ---- */
LLVMValueRef pixels_at(Kernel *k, LLVMValueRef base, int64_t elements);    /* base + a constant */
void planes_fill(Kernel *k, LLVMValueRef plane, int64_t from, int64_t to); /* zeros in elements from … to - 1 */
void planes_fill_halo(Kernel *k, LLVMValueRef plane, const Plane *p);      /* all around the whole panels of pixels */
LLVMValueRef planes_mask_table(Kernel *k, const PlaneWindow *w, const PlaneTaps *t, int words); /* so many a panel */

void store_lanes(Kernel *k, LLVMValueRef v, LLVMValueRef p, int64_t there); /* the first of them, up to PANEL */

/* ---- plane_body.c ---- */
typedef struct PlanePlace { /* of some pixels of the result */
    LLVMValueRef batch, channel, plane, pixel;
    int64_t there; /* how many of PANEL are the map's */
} PlanePlace;
LLVMValueRef planes_through_body(Kernel *k, const Plane *to, LLVMValueRef v, const PlanePlace *at);
/* lanes from … to - 1 of PANEL, 0 in the others, which are not read */
LLVMValueRef load_lanes(Kernel *k, LLVMValueRef p, int64_t from, int64_t to);

extern const Emitter planes_emitter, plane_halo_emitter, plane_window_emitter, plane_rows_emitter,
    plane_global_pool_emitter, sparse_conv_emitter, packed_conv_emitter;

#endif
