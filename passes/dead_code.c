/* Removes nodes whose outputs nobody uses, in one walk from the end, and optional outputs that nobody wants. */
#include "passes/internal.h"

static bool is_used(const Node *n) {
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] && n->out[i]->n_uses > 0) return true;
    return false;
}

/* Optional outputs only: those of a variadic operator tell it where to put the others. */
static bool drop_outputs(Node *n) {
    const OpInfo *op = op_info(n->op);
    bool changed = false;
    for (int i = op->min_out; i < n->n_out && op->max_out != VAR; i++) {
        if (!n->out[i] || n->out[i]->n_uses > 0) continue;
        n->out[i] = NULL;
        changed = true;
    }
    while (n->n_out > op->min_out && !n->out[n->n_out - 1]) n->n_out--;
    return changed;
}

bool pass_dead_code(Graph *g, PassCtx *p) {
    bool changed = false;
    (void)p;
    graph_count_uses(g);
    for (Node *n = g->last, *prev; n; n = prev) {
        prev = n->prev;
        if (is_used(n)) {
            changed = drop_outputs(n) || changed;
            continue;
        }
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i]) n->in[i]->n_uses--;
        node_remove(n);
        changed = true;
    }
    return changed;
}
