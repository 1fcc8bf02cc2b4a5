/* Inputs of nodes that run graphs, and of their bodies: added and dropped at both. Use counts are not kept. */
#include "passes/control.h"

/* the place in a body: an If's condition has none there */
static int inside(const Node *n, int at) { return at - (n->op == OP_If); }

Value *body_input_of(const Node *n, const Graph *body, int at) { return body->inputs[inside(n, at)]; }

Value *body_add_input(Graph *body, int at, const Type *type) {
    size_t n = (size_t)body->n_inputs;
    Value *v = value_new(body, (Str){0});
    v->type = *type;
    body->inputs = arena_grow(body->arena, body->inputs, n, n + 1, sizeof(Value *));
    for (int i = body->n_inputs++; i > at; i--) {
        body->inputs[i] = body->inputs[i - 1];
        body->inputs[i]->def_index = i;
    }
    body->inputs[at] = v;
    v->def_index = at;
    return v;
}

void node_add_input(Node *n, int at, Value *v) {
    n->in = arena_grow(n->graph->arena, n->in, (size_t)n->n_in, (size_t)n->n_in + 1, sizeof(Value *));
    for (int i = n->n_in++; i > at; i--) n->in[i] = n->in[i - 1];
    n->in[at] = v;
}

Value *node_capture(Node *owner, const Graph *body, Value *v) {
    Graph *bodies[MAX_BODIES];
    for (int i = owner->n_in - owner->n_captured; i < owner->n_in; i++)
        if (owner->in[i] == v) return body_input_of(owner, body, i);
    node_add_input(owner, owner->n_in, v);
    owner->n_captured++;
    for (int i = node_bodies(owner, bodies); i-- > 0;)
        body_add_input(bodies[i], bodies[i]->n_inputs, &v->type)->content = v->content;
    return body->inputs[body->n_inputs - 1];
}

static void drop_body_input(Graph *body, int at) {
    body->n_inputs--;
    for (int i = at; i < body->n_inputs; i++) {
        body->inputs[i] = body->inputs[i + 1];
        body->inputs[i]->def_index = i;
    }
}

void node_drop_input(Node *n, int at) {
    Graph *bodies[MAX_BODIES];
    if (at >= n->n_in - n->n_captured) n->n_captured--;
    for (int i = node_bodies(n, bodies); i-- > 0;) drop_body_input(bodies[i], inside(n, at));
    n->n_in--;
    for (int i = at; i < n->n_in; i++) n->in[i] = n->in[i + 1];
}
