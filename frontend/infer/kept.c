/* Operators that lowering passes make: the pass that makes a node sets its types, which stay. */
#include "ir/ir.h"

bool infer_kept(Ctx *ctx, Node *n);

bool infer_kept(Ctx *ctx, Node *n) {
    (void)ctx;
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] && n->out[i]->type.kind != TYPE_TENSOR) return false;
    return true;
}
