/* The products of a step of a recurrent operator: which gates are summed together, and in what order stages follow.
 * Gates stand in the order of the operator's weights: LSTM i, o, f, c; GRU z, r, h. */
#include "ir/ir.h"

static const Cell cells[] = {
    [CELL_RNN] = {.gates = 1, .n_stages = 1, .apart = -1, .stages = {{1, 1, {{1, {0}, false}}}}},
    [CELL_LSTM] =
        {.gates = 4, .n_stages = 1, .apart = -1, .carries = true, .stages = {{1, 4, {{4, {0, 1, 2, 3}, false}}}}},
    /* r ⊙ h of all units must be there before h's sums */
    [CELL_GRU] = {.gates = 3,
                  .n_stages = 2,
                  .apart = -1,
                  .stages = {{1, 1, {{1, {1}, false}}}, {2, 2, {{1, {0}, false}, {1, {2}, true}}}}},
    [CELL_GRU_LINEAR] = {.gates = 3, .n_stages = 1, .apart = 2, .stages = {{1, 3, {{3, {0, 1, 2}, false}}}}},
};

const Cell *cell_of(CellKind kind) { return &cells[kind]; }
