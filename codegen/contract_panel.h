/* Between contract.c, which goes through the panels of a contraction, and contract_panel.c, which computes one. */
#ifndef MCC_CODEGEN_CONTRACT_PANEL_H
#define MCC_CODEGEN_CONTRACT_PANEL_H

#include "codegen/contract.h"

typedef struct Panel { /* vectors side by side, and where the tile at hand stands */
    Contraction *c;
    int vecs;
    LLVMValueRef w, bias, x;    /* of the panel; x: its first block, in the batch */
    LLVMValueRef first, blocks; /* the blocks that it reads */
    LLVMValueRef before;        /* tiles of the run before those of this row */
    LLVMValueRef ahead;         /* what the tile at hand fetches; NULL: nothing */
    LLVMValueRef batch, phase[3];
    LLVMValueRef col;          /* its first column */
    LLVMValueRef outer[2];     /* spatial coordinates of the row */
    LLVMValueRef lo[2], hi[2]; /* the taps of the outer axes that lie inside */
    Tile same;                 /* with a border: what all places of the row begin with */
} Panel;

/* A panel over a run: rows first … last - 1, or tiles of the only row. */
void panel_emit_run(Panel *p, LLVMValueRef first, LLVMValueRef last);
LLVMValueRef outer_rows(const Contraction *c);
bool is_one_row(const Contraction *c);

static inline LLVMValueRef zero(const Panel *p) { return gen_i64(p->c->k->gen, 0); }

/* no tap along the row but the one in its place */
static inline bool is_flat(const Contraction *c) { return c->kernel[2] == 1 && c->pad[2] == 0 && c->pad_end[2] == 0; }

static inline int64_t taps_of(const Contraction *c) { return c->kernel[0] * c->kernel[1] * c->kernel[2]; }

static inline LLVMValueRef x_at(const Contraction *c, LLVMValueRef base, LLVMValueRef elements) {
    return element_at(c->k, c->x_element, base, elements);
}

static inline LLVMValueRef w_at(const Contraction *c, LLVMValueRef base, LLVMValueRef elements) {
    return element_at(c->k, c->half ? c->k->gen->i16 : c->k->gen->f32, base, elements);
}

#endif
