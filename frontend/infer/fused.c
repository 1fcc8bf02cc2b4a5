/* A fused node: its body is inferred on the types of its inputs. */
#include "ir/ir.h"

bool infer_fused(Ctx *ctx, Node *n);

bool infer_fused(Ctx *ctx, Node *n) {
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i]) n->body->inputs[i]->type = n->in[i]->type;
    for (Node *k = n->body->first; k; k = k->next)
        if (!node_infer(ctx, k)) return false;
    for (int i = 0; i < n->n_out; i++) n->out[i]->type = n->body->outputs[i]->type;
    return true;
}
