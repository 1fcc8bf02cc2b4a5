/* Closes the bodies of control flow: what they read from outside becomes inputs, of the node and of each of its bodies,
 * inner bodies first. Runs once, when the whole model is connected, so that it knows every constant; those are shared,
 * and captured by nobody. */
#include <string.h>
#include "frontend/reader.h"

typedef struct Close {
    Reader *r;
    Graph **home;   /* by value id: the graph whose input or node it is */
    Value **inside; /* by value id: what stands for it in the body in work; NULL: it is not captured */
    int n_ids;      /* of both; values made here are beyond, and at home */
    Value **taken;  /* what the bodies of the node in work read from outside */
    int n_taken, room;
} Close;

static void fill_homes(Close *c, Graph *g) {
    Graph *bodies[MAX_BODIES];
    for (int i = 0; i < g->n_inputs; i++) c->home[g->inputs[i]->id] = g;
    for (Node *n = g->first; n; n = n->next) {
        for (int i = 0; i < n->n_out; i++)
            if (n->out[i]) c->home[n->out[i]->id] = g;
        int count = node_bodies(n, bodies);
        for (int i = 0; i < count; i++) fill_homes(c, bodies[i]);
    }
}

static void take(Close *c, const Graph *body, Value *v) {
    if (!v || v->constant || v->id >= c->n_ids || c->home[v->id] == body || c->inside[v->id]) return;
    if (c->n_taken == c->room) {
        int room = 2 * c->room + 16;
        c->taken = arena_grow(c->r->scratch, c->taken, (size_t)c->room, (size_t)room, sizeof(Value *));
        c->room = room;
    }
    c->inside[v->id] = v; /* for now: seen */
    c->taken[c->n_taken++] = v;
}

static void take_uses(Close *c, const Graph *body) {
    for (const Node *n = body->first; n; n = n->next)
        for (int i = 0; i < n->n_in; i++) take(c, body, n->in[i]);
    for (int i = 0; i < body->n_outputs; i++) take(c, body, body->outputs[i]);
}

static Value *inside_of(const Close *c, Value *v) {
    return v && v->id < c->n_ids && c->inside[v->id] ? c->inside[v->id] : v;
}

static void add_inputs(Close *c, Graph *body) {
    size_t had = (size_t)body->n_inputs;
    body->inputs = arena_grow(body->arena, body->inputs, had, had + (size_t)c->n_taken, sizeof(Value *));
    for (int i = 0; i < c->n_taken; i++) {
        Value *v = c->inside[c->taken[i]->id] = value_new(body, c->taken[i]->name);
        v->def_index = body->n_inputs;
        body->inputs[body->n_inputs++] = v;
    }
    for (Node *n = body->first; n; n = n->next)
        for (int i = 0; i < n->n_in; i++) n->in[i] = inside_of(c, n->in[i]);
    for (int i = 0; i < body->n_outputs; i++) body->outputs[i] = inside_of(c, body->outputs[i]);
}

/* The trip count and the condition of a Loop may be absent: as many turns as there are numbers, true. */
static void fill_absent(Node *n) {
    static const int64_t trips = INT64_MAX;
    static const uint8_t yes = 1;
    static const Tensor absent[2] = {{.dtype = DT_I64, .bytes = sizeof trips, .data = &trips},
                                     {.dtype = DT_BOOL, .bytes = sizeof yes, .data = &yes}};
    for (int i = 0; n->op == OP_Loop && i < 2; i++)
        if (!n->in[i]) n->in[i] = value_of_tensor(n->graph, &absent[i]);
}

/* The absent inputs at a Loop's end are not at its end any more. */
static void add_to_node(Close *c, Node *n, int given) {
    size_t had = (size_t)n->n_in, keep = had < (size_t)given ? (size_t)given : had;
    n->in = arena_grow(n->graph->arena, n->in, had, keep + (size_t)c->n_taken, sizeof(Value *));
    for (int i = 0; i < c->n_taken; i++) n->in[keep + (size_t)i] = c->taken[i];
    n->n_in = (int)keep + c->n_taken;
    n->n_captured = c->n_taken;
    fill_absent(n);
    for (int i = 0; i < c->n_taken; i++) c->inside[c->taken[i]->id] = NULL;
    c->n_taken = 0;
}

static void close_nodes(Close *c, Graph *g) {
    Graph *bodies[MAX_BODIES];
    for (Node *n = g->first; n; n = n->next) {
        int count = node_bodies(n, bodies);
        for (int i = 0; i < count; i++) close_nodes(c, bodies[i]);
        for (int i = 0; i < count; i++) take_uses(c, bodies[i]);
        for (int i = 0; i < count; i++) add_inputs(c, bodies[i]);
        if (count) add_to_node(c, n, n->op == OP_Loop ? 2 : 0);
    }
}

void graph_close(Reader *r, Graph *g) {
    Close c = {.r = r, .n_ids = r->ctx->next_id};
    c.home = ARENA_ARRAY(r->scratch, c.n_ids, Graph *);
    c.inside = ARENA_ARRAY(r->scratch, c.n_ids, Value *);
    fill_homes(&c, g);
    close_nodes(&c, g);
}
