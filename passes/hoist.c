/* What no turn of a loop changes, computed before it: nodes that read constants and captured values alone, of operators
 * that cannot fail, for there may be no turn. */
#include "passes/control.h"

static bool is_outside(const Node *owner, const Graph *body, const Value *v) {
    if (!v || v->constant) return true;
    return graph_input(body, v) >= body->n_inputs - owner->n_captured;
}

static bool is_invariant(const Node *owner, const Graph *body, const Node *n) {
    bool open = false;
    if (op_has(n->op, OP_CONTROL) || op_has(n->op, OP_RANDOM) || n->body) return false;
    if (!op_has(n->op, OP_ELEMENTWISE) && !op_has(n->op, OP_REDUCTION) && !op_has(n->op, OP_CONTRACTION) &&
        !op_has(n->op, OP_NORMALIZATION))
        return false;
    for (int i = 0; i < n->n_in; i++) {
        if (!is_outside(owner, body, n->in[i])) return false;
        open |= n->in[i] && !n->in[i]->constant;
    }
    for (int i = 0; i < n->n_out; i++)
        for (int k = 0; n->out[i] && k < n->out[i]->type.rank; k++)
            if (!dim_leaves(n->out[i]->type.dims[k], body, owner)) return false;
    return open;
}

static void move_before(Node *n, Node *owner) {
    Graph *body = n->graph, *g = owner->graph;
    *(n->prev ? &n->prev->next : &body->first) = n->next;
    *(n->next ? &n->next->prev : &body->last) = n->prev;
    n->prev = owner->prev;
    n->next = owner;
    *(owner->prev ? &owner->prev->next : &g->first) = n;
    owner->prev = n;
    n->graph = g;
}

bool loop_hoist(Node *owner) {
    Graph *bodies[MAX_BODIES], *body;
    bool changed = false;
    node_bodies(owner, bodies);
    body = bodies[0];
    for (Node *n = body->first, *next; n; n = next) {
        next = n->next;
        if (!is_invariant(owner, body, n)) continue;
        for (int i = 0; i < n->n_in; i++) {
            int at = n->in[i] ? graph_input(body, n->in[i]) : -1;
            if (at >= 0) n->in[i] = owner->in[owner->n_in - body->n_inputs + at];
        }
        move_before(n, owner);
        for (int i = 0; i < n->n_out; i++)
            if (n->out[i]) graph_replace(body, n->out[i], node_capture(owner, body, n->out[i]));
        changed = true;
    }
    return changed;
}
