/* What passes change about nodes that run graphs: their inputs and those of their bodies, together. */
#ifndef MCC_PASSES_CONTROL_H
#define MCC_PASSES_CONTROL_H
#include "passes/internal.h"

/* ---- capture.c ---- */
Value *body_add_input(Graph *body, int at, const Type *type);
void node_add_input(Node *n, int at, Value *v);
Value *node_capture(Node *owner, const Graph *body,
                    Value *v);         /* v, which stands around the owner, inside of its body */
void node_drop_input(Node *n, int at); /* and what stands for it in its bodies, which nothing uses there */
Value *body_input_of(const Node *n, const Graph *body, int at); /* what stands in a body for input `at` of the node */

/* ---- unroll.c ---- */
bool loop_unroll(Node *n, int64_t most); /* false: it stays a loop; most: nodes that all turns may have together */

/* ---- hoist.c ---- */
bool loop_hoist(Node *n); /* what no turn changes is computed once, before the loop; true: something was */

#endif
