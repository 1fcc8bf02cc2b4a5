/* Runs nodes on the native reference kernels: constant folding, and the oracle of `mcc verify MODEL`. */
#ifndef MCC_EVAL_H
#define MCC_EVAL_H

#include "ir/ir.h"

bool eval_has_kernel(Op op); /* false: eval_node refuses it */

/* One node on concrete inputs (in[i] NULL: absent). Output tensors are made in n's graph (against --max-fold); their dims
 * come from shape_<op> or inference on the inputs' dims. *status: MCC_OK or what the kernel said. false after diag_error. */
bool eval_node(Ctx *ctx, const Node *n, const Tensor *const *in, Tensor **out, int *status);
/* A whole graph, node by node; inputs and outputs in the graph's order. */
bool eval_graph(Ctx *ctx, const Graph *g, const Tensor *const *in, Tensor **out, int *status);

#endif
