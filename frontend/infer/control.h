/* What inference of control flow shares: graphs that are inferred on the types that a node gives them. */
#ifndef MCC_INFER_CONTROL_H
#define MCC_INFER_CONTROL_H
#include "frontend/infer/infer.h"

/* All return whether that is news to the body. */
bool body_give(Value *input, const Type *type, const Dim *content);
bool body_capture(const Node *n, Graph *body); /* its last inputs get the types of the node's */

bool body_infer(Ctx *ctx, const Node *n, Graph *body, bool news); /* where there is news, or it never was */
bool body_fits(Ctx *ctx, Node *n, Graph *body, const char *what, int inputs, int outputs);
void outputs_complete(Node *n, int count); /* the last ones, which the model leaves out, are absent */
/* A dim that the node tells once it has run; the same as before where its bounds are. */
Dim outside_dim(Ctx *ctx, const Node *n, int out, int axis, int64_t lo, int64_t hi);

#endif
