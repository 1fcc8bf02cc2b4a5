/* Which form a node's kernel takes: the first that fits, the reference kernel otherwise. */
#include "codegen/loops.h"

const Emitter *emitter_of(const Node *n) {
    if (n->op == OP_Fused) return &fused_emitter;
    return &reference_emitter;
}
