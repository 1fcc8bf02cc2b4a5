/* Nodes that run graphs: If, Loop, Scan. Their bodies are attributes, and closed: a value that a body reads from
 * outside is an input of the node, and an input of each of its bodies. So the uses of a value are in the input lists of
 * its own graph's nodes, and a pass over a graph need not look into bodies. */
#include <assert.h>
#include "ir/ir.h"

int node_bodies(const Node *n, Graph *out[MAX_BODIES]) {
    static const char *const names[] = {"then_branch", "else_branch", "body"};
    int count = 0;
    if (!op_has(n->op, OP_CONTROL)) return 0;
    for (int i = 0; i < 3; i++) {
        const Attr *a = node_attr(n, names[i]);
        if (a && a->kind == ATTR_GRAPH && count < MAX_BODIES) out[count++] = a->graph;
    }
    return count;
}

int node_carried(const Node *n) {
    if (n->op == OP_Loop) return n->n_in - 2 - n->n_captured;
    return n->op == OP_Scan ? n->n_in - n->n_captured - (int)node_int(n, "num_scan_inputs") : 0;
}

int64_t node_most_turns(const Node *n) {
    Dim trips = n->in[0] && value_content(n->in[0]) == 1 ? n->in[0]->content[0] : NULL;
    int64_t most = n->graph->ctx->opt.max_trip ? n->graph->ctx->opt.max_trip : LOOP_TURNS;
    if (trips && dim_is_bounded(trips) && trips->hi < INT64_MAX) most = trips->hi < 0 ? 0 : trips->hi;
    for (int i = node_carried(n); i < n->n_out; i++)
        if (n->out[i] && n->out[i]->type.dims[0]->hi < most) most = n->out[i]->type.dims[0]->hi;
    return most;
}

void node_axis_order(const Node *n, int64_t order[MCC_MAX_RANK]) {
    int rank = n->in[0]->type.rank, from = (int)node_int(n, "from"), to = (int)node_int(n, "to");
    if (from < 0) from += rank;
    if (to < 0) to += rank;
    for (int i = 0; i < rank; i++) {
        int other = i - (i > to);
        order[i] = i == to ? from : other + (other >= from);
    }
}

int graph_input(const Graph *g, const Value *v) {
    if (v->def || v->constant) return -1;
    return v->def_index < g->n_inputs && g->inputs[v->def_index] == v ? v->def_index : -1;
}

static Value *outside_of(const Graph *body, Value *v, Value *const *args) {
    int at = v ? graph_input(body, v) : -1;
    return at < 0 ? v : args[at];
}

static void adopt(Graph *g, Node *n) {
    Graph *bodies[MAX_BODIES];
    int count = node_bodies(n, bodies);
    for (int i = 0; i < count; i++) bodies[i]->outer = g;
    n->graph = g;
}

static void move_nodes(Graph *body, Node *before) {
    Graph *g = before->graph;
    if (!body->first) return;
    body->first->prev = before->prev;
    *(before->prev ? &before->prev->next : &g->first) = body->first;
    body->last->next = before;
    before->prev = body->last;
    body->first = body->last = NULL;
}

/* What the body takes to be equal, the graph around it does from here on. */
static void adopt_equals(Graph *g, const Graph *body) {
    for (int i = 0; i < g->ctx->n_equal; i++) {
        DimEqual *e = &g->ctx->equal[i];
        bool open = !g->outer && !dim_has_data(e->a) && !dim_has_data(e->b);
        if (e->in == body) e->in = open ? NULL : g;
    }
}

Node *graph_inline(Node *at, Graph *body, Value *const *args) {
    Graph *g = at->graph;
    Node *first = body->first;
    assert(body->n_outputs == at->n_out);
    adopt_equals(g, body);
    for (Node *n = first; n; n = n->next) {
        for (int i = 0; i < n->n_in; i++) n->in[i] = outside_of(body, n->in[i], args);
        adopt(g, n);
    }
    move_nodes(body, at);
    for (int i = 0; i < at->n_out; i++) {
        Value *from = outside_of(body, body->outputs[i], args);
        if (!at->out[i]) continue;
        Node *n = node_new(g, OP_Identity, at, &from, 1, 1);
        n->name = at->name;
        n->index = at->index;
        n->out[0] = at->out[i];
        n->out[0]->def = n;
        n->out[0]->def_index = 0;
        if (!first) first = n;
    }
    Node *next = at->next;
    node_remove(at);
    return first ? first : next;
}

bool dim_leaves(Dim d, const Graph *body, const Node *owner) {
    if (!d) return false;
    switch (d->kind) {
    case DIM_CONST: return true;
    case DIM_SYMBOL: return !d->node || (d->node != owner && d->node->graph != body);
    case DIM_SUM:
        for (int i = 0; i < d->n_terms; i++)
            for (int k = 0; k < d->terms[i].n_factors; k++)
                if (!dim_leaves(d->terms[i].factors[k], body, owner)) return false;
        return true;
    default: return dim_leaves(d->a, body, owner) && dim_leaves(d->b, body, owner);
    }
}

/* ---- copies ---- */

typedef struct Copy {
    Graph *g;
    Value **made; /* by id of the original */
    int n_ids;
} Copy;

static Value *copy_of(const Copy *c, Value *v) { return v && v->id < c->n_ids && c->made[v->id] ? c->made[v->id] : v; }

static Value *copy_value(Copy *c, const Value *v) {
    Value *made = value_new(c->g, v->name);
    made->type = v->type;
    made->content = v->content;
    made->claimed = v->claimed;
    return c->made[v->id] = made;
}

static void copy_attrs(Copy *c, Node *to, const Node *from) {
    size_t n = (size_t)from->n_attrs;
    to->attrs = arena_grow(c->g->arena, from->attrs, n, n, sizeof *to->attrs);
    to->n_attrs = from->n_attrs;
    for (int i = 0; i < to->n_attrs; i++)
        if (to->attrs[i].kind == ATTR_GRAPH) to->attrs[i].graph = graph_copy(to->attrs[i].graph, c->g);
}

static void copy_node(Copy *c, const Node *from) {
    Node *n = node_new(c->g, from->op, NULL, from->in, from->n_in, from->n_out);
    n->name = from->name;
    n->index = from->index;
    n->n_captured = from->n_captured;
    for (int i = 0; i < n->n_in; i++) n->in[i] = copy_of(c, n->in[i]);
    for (int i = 0; i < n->n_out; i++) {
        if (!from->out[i]) {
            n->out[i] = NULL;
            continue;
        }
        Value *v = n->out[i] = copy_value(c, from->out[i]);
        v->def = n;
        v->def_index = i;
    }
    copy_attrs(c, n, from);
    if (from->body) n->body = graph_copy(from->body, c->g);
}

Graph *graph_copy(const Graph *g, Graph *outer) {
    Ctx *ctx = g->ctx;
    Arena *scratch = arena_new(ctx);
    Copy c = {.g = graph_new(ctx, outer), .n_ids = ctx->next_id, .made = ARENA_ARRAY(scratch, ctx->next_id, Value *)};
    c.g->name = g->name;
    c.g->opset = g->opset;
    c.g->inferred = g->inferred;
    c.g->refused = g->refused;
    c.g->inputs = ARENA_ARRAY(c.g->arena, g->n_inputs, Value *);
    c.g->outputs = ARENA_ARRAY(c.g->arena, g->n_outputs, Value *);
    for (int i = 0; i < g->n_inputs; i++) {
        Value *v = c.g->inputs[c.g->n_inputs++] = copy_value(&c, g->inputs[i]);
        v->def_index = i;
    }
    for (const Node *n = g->first; n; n = n->next) copy_node(&c, n);
    for (int i = 0; i < g->n_outputs; i++) c.g->outputs[c.g->n_outputs++] = copy_of(&c, g->outputs[i]);
    arena_free(scratch);
    return c.g;
}

/* Constants as values of their own: what a pass makes of these is no business of g's */
static void copy_constants(Copy *c, const Node *n) {
    for (int i = 0; i < n->n_in; i++) {
        const Value *v = n->in[i];
        if (v && v->constant && v->id < c->n_ids && !c->made[v->id]) copy_value(c, v)->constant = v->constant;
    }
}

Graph *graph_part(const Graph *g, Arena *a, const GraphPart *part) {
    Ctx *ctx = g->ctx;
    Arena *scratch = arena_new(ctx);
    Copy c = {.g = graph_new(ctx, NULL), .n_ids = ctx->next_id, .made = ARENA_ARRAY(scratch, ctx->next_id, Value *)};
    c.g->arena = a;
    c.g->opset = g->opset;
    c.g->inferred = g->inferred;
    c.g->inputs = ARENA_ARRAY(a, part->n_in + 1, Value *);
    c.g->outputs = ARENA_ARRAY(a, part->n_out + 1, Value *);
    for (int i = 0; i < part->n_in; i++) {
        Value *v = c.g->inputs[c.g->n_inputs++] = copy_value(&c, part->in[i]);
        v->def_index = i;
    }
    for (const Node *n = part->first; n != part->end; n = n->next) {
        copy_constants(&c, n);
        copy_node(&c, n);
    }
    for (int i = 0; i < part->n_out; i++) c.g->outputs[c.g->n_outputs++] = copy_of(&c, part->out[i]);
    arena_free(scratch);
    return c.g;
}
