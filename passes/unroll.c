/* A Loop of few turns, all of them certain, becomes its body so often. Requires that no dim depends on the turn, and
 * none on data that a turn computes, for that would be another dim each turn. */
#include <string.h>
#include "passes/control.h"

static int64_t count_nodes(const Graph *g) {
    Graph *bodies[MAX_BODIES];
    int64_t count = 0;
    for (const Node *n = g->first; n; n = n->next) {
        count++;
        for (int i = node_bodies(n, bodies); i-- > 0;) count += count_nodes(bodies[i]);
    }
    return count;
}

static bool leaves(const Value *v, const Graph *body, const Node *owner) {
    for (int k = 0; v && k < v->type.rank; k++)
        if (!dim_leaves(v->type.dims[k], body, owner)) return false;
    return true;
}

static bool same_dims_each_turn(const Graph *body, const Node *owner) {
    for (int i = 0; i < body->n_inputs; i++)
        if (!leaves(body->inputs[i], body, owner)) return false;
    for (const Node *n = body->first; n; n = n->next)
        for (int i = 0; i < n->n_out; i++)
            if (!leaves(n->out[i], body, owner)) return false;
    for (int i = 0; i < owner->n_out; i++)
        for (int k = 0; owner->out[i] && k < owner->out[i]->type.rank; k++)
            if (dim_has_data(owner->out[i]->type.dims[k])) return false;
    return true;
}

/* What a body compares when it runs is noted for that graph alone: copies would not. */
static bool compares(const Graph *body) {
    const Ctx *ctx = body->ctx;
    for (int i = 0; i < ctx->n_equal; i++)
        for (const Graph *g = ctx->equal[i].in; g; g = g->outer)
            if (g == body) return true;
    return false;
}

static bool is_true(const Value *v) { return v->constant && tensor_int(v->constant, 0); }

/* So many turns, for certain; -1: that is not known, or too many */
static int64_t certain_turns(const Node *n, const Graph *body, int64_t most) {
    const Value *next = body->outputs[0];
    if (n->op != OP_Loop || !n->in[0]->constant || !is_true(n->in[1])) return -1;
    if (next != body->inputs[1] && !is_true(next)) return -1;
    int64_t turns = tensor_int(n->in[0]->constant, 0);
    if (turns < 1 || turns > most || turns > node_most_turns(n) || turns * (count_nodes(body) + 1) > most) return -1;
    return turns;
}

static Value *number(Graph *g, const Value *like, int64_t v) {
    Tensor *t = ARENA_NEW(g->arena, Tensor);
    int64_t *data = ARENA_ARRAY(g->arena, 1, int64_t);
    *data = v; /* little-endian: a bool is its first byte */
    *t = (Tensor){.dtype = like->type.dtype, .rank = like->type.rank, .data = data};
    t->bytes = (size_t)dtype_bits(t->dtype) / 8;
    for (int i = 0; i < t->rank; i++) t->dims[i] = 1;
    return value_of_tensor(g, t);
}

/* Elements that were known by the number of the turn */
static void forget_content(Graph *copy, const Graph *body, const Node *owner) {
    for (const Node *n = copy->first; n; n = n->next)
        for (int i = 0; i < n->n_out; i++) {
            Value *v = n->out[i];
            int count = v ? value_content(v) : -1;
            for (int k = 0; k < count && v->content; k++)
                if (!dim_leaves(v->content[k], body, owner)) v->content = NULL;
        }
}

/* One turn before n, on args: what it gives */
static void insert_turn(Node *n, const Graph *body, Value **args, Value **given) {
    Graph *g = n->graph, *copy = graph_copy(body, g);
    forget_content(copy, body, n);
    Node *at = node_new(g, OP_Identity, n, NULL, 0, copy->n_outputs);
    at->name = n->name;
    at->index = n->index;
    for (int i = 0; i < copy->n_outputs; i++) {
        given[i] = at->out[i];
        given[i]->type = copy->outputs[i]->type;
    }
    graph_inline(at, copy, args);
}

/* v with an axis of 1 before the others */
static Value *as_slice(Node *n, Value *v) {
    Dim dims[MCC_MAX_RANK] = {dim_const(n->graph->ctx, 1)};
    Node *view = node_new(n->graph, OP_View, n, &v, 1, 1);
    for (int k = 0; k < v->type.rank; k++) dims[k + 1] = v->type.dims[k];
    value_set_dims(view->out[0], v->type.dtype, v->type.rank + 1, dims);
    view->name = n->name;
    view->index = n->index;
    return view->out[0];
}

static void define(Node *n, int out, Op op, Value **in, int n_in) {
    Value *v = n->out[out];
    if (!v) return;
    Node *made = node_new(n->graph, op, n, in, n_in, 1);
    if (op == OP_Concat) node_set_int(made, "axis", 0);
    made->name = n->name;
    made->index = n->index;
    made->out[0] = v;
    v->def = made;
    v->def_index = 0;
    n->out[out] = NULL;
}

/* Whether a turn tells a size of what is stacked */
static bool tells_dims(const Node *n) {
    for (int i = node_carried(n); i < n->n_out; i++)
        for (int k = 1; n->out[i] && k < n->out[i]->type.rank; k++) {
            Dim d = n->out[i]->type.dims[k];
            if (d->kind == DIM_SYMBOL && d->node == n) return true;
        }
    return false;
}

bool loop_unroll(Node *n, int64_t most) {
    Graph *bodies[MAX_BODIES], *g = n->graph;
    if (n->op != OP_Loop || node_bodies(n, bodies) != 1) return false;
    const Graph *body = bodies[0];
    int64_t turns = certain_turns(n, body, most);
    if (turns < 0 || !same_dims_each_turn(body, n) || tells_dims(n) || compares(body)) return false;
    int carried = node_carried(n), stacked = n->n_out - carried;
    Value **args = ARENA_ARRAY(g->arena, n->n_in, Value *), **given = ARENA_ARRAY(g->arena, body->n_outputs, Value *),
          **slices = ARENA_ARRAY(g->arena, (int64_t)stacked * turns + 1, Value *);
    memcpy(args, n->in, sizeof *args * (size_t)n->n_in);
    args[1] = number(g, body->inputs[1], 1);
    for (int64_t t = 0; t < turns; t++) {
        args[0] = number(g, body->inputs[0], t);
        insert_turn(n, body, args, given);
        for (int i = 0; i < carried; i++) args[2 + i] = given[1 + i];
        for (int i = 0; i < stacked; i++)
            if (n->out[carried + i]) slices[i * turns + t] = as_slice(n, given[1 + carried + i]);
    }
    for (int i = 0; i < carried; i++) define(n, i, OP_Identity, &args[2 + i], 1);
    for (int i = 0; i < stacked; i++) define(n, carried + i, OP_Concat, &slices[i * turns], (int)turns);
    node_remove(n);
    return true;
}
