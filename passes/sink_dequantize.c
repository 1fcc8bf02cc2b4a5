/* A DequantizeLinear that several elementwise operators read is made for each of them, right before it: the integers are
 * what travels through memory, and each operator's loop takes its own into registers. */
#include "passes/internal.h"

static bool is_dequantize(const Node *n) {
    return n && n->op == OP_DequantizeLinear && node_is_elementwise(n) && n->in[1]->constant &&
           (!node_in(n, 2) || n->in[2]->constant);
}

static void own(Rewrite *r, Node *user, int in) {
    const Node *dq = user->in[in]->def;
    Node *copy = rewrite_insert(r, user, OP_DequantizeLinear, dq->in, dq->n_in);
    node_copy_attrs(copy, dq);
    copy->name = dq->name;
    copy->index = dq->index;
    copy->out[0]->type = dq->out[0]->type;
    rewrite_input(r, user, in, copy->out[0]);
}

bool pass_sink_dequantize(Graph *g, PassCtx *p) {
    Rewrite r;
    (void)p;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));) {
        if (!node_is_elementwise(n)) continue;
        for (int i = 0; i < n->n_in; i++) {
            const Value *v = n->in[i];
            if (v && v->n_uses > 1 && is_dequantize(v->def)) own(&r, n, i);
        }
    }
    return rewrite_end(&r);
}
