/* What lower_recurrent asks of cell_body.c. */
#ifndef MCC_PASSES_CELL_BODY_H
#define MCC_PASSES_CELL_BODY_H

#include "ir/ir.h"

/* The body of mcc.Recurrent for an LSTM, GRU or RNN; NULL: an activation has no vector form, or directions differ. */
Graph *cell_body(const Node *n, CellKind kind);

#endif
