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

/* ---- plane_streams.c ---- */
typedef struct PlaneStreams {
    int n, of[MAX_KERNEL * MAX_KERNEL];      /* of: by tap */
    int64_t phase[MAX_KERNEL * MAX_KERNEL];  /* that it is a piece of */
    int64_t column[MAX_KERNEL * MAX_KERNEL]; /* of the window, which sees the rest; -1: nothing is zeroed */
    int64_t shift[MAX_KERNEL * MAX_KERNEL];  /* by tap: from the output's pixel, within the stream */
    int64_t before, behind;                  /* elements around the panels, whole vectors */
} PlaneStreams;
typedef struct StreamCopy {
    LLVMValueRef x, to, first, panels; /* x: planes of a batch element; to: [channels][streams][size]; the panels */
    int64_t channels, phases, most_panels;
} StreamCopy;
void plane_streams(const PlaneWindow *w, const Plane *from, const PlaneTaps *taps, PlaneStreams *s);
int64_t plane_stream_size(const PlaneStreams *s, int64_t panels);
void planes_copy_streams(Kernel *k, const PlaneWindow *w, const Plane *from, const PlaneStreams *s,
                         const StreamCopy *what);

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
