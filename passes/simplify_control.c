/* Control flow made smaller: what bodies capture becomes a constant where it is one, or goes; an If whose condition is
 * known is its branch; what a loop carries unchanged is captured, and what it carries for nobody goes; loops of few
 * turns are unrolled; what no turn changes is computed before them. Requires types. Bodies stay closed; a value whose
 * dims only the node tells keeps it. */
#include "passes/control.h"

enum { UNROLL_NODES = 64 };

static void count_uses(Graph *g, const Node *n) {
    Graph *bodies[MAX_BODIES];
    graph_count_uses(g);
    for (int i = node_bodies(n, bodies); i-- > 0;) graph_count_uses(bodies[i]);
}

/* What a body gives has no name that anybody reads: an Identity at its end is not needed. */
static bool look_through(const Node *n) {
    Graph *bodies[MAX_BODIES];
    bool changed = false;
    for (int i = node_bodies(n, bodies); i-- > 0;)
        for (int k = 0; k < bodies[i]->n_outputs; k++)
            while (value_def(bodies[i]->outputs[k], OP_Identity)) {
                bodies[i]->outputs[k] = bodies[i]->outputs[k]->def->in[0];
                changed = true;
            }
    return changed;
}

/* ---- what is captured ---- */

static int same_captured(const Node *n, int at) {
    for (int i = n->n_in - n->n_captured; i < at; i++)
        if (n->in[i] == n->in[at]) return i;
    return -1;
}

static bool simplify_captured(Node *n, int at) {
    Graph *bodies[MAX_BODIES];
    int count = node_bodies(n, bodies), twin = same_captured(n, at);
    bool used = false;
    for (int i = 0; i < count; i++) {
        Value *v = body_input_of(n, bodies[i], at);
        if (n->in[at]->constant) graph_replace(bodies[i], v, n->in[at]);
        else if (twin >= 0) {
            Value *first = body_input_of(n, bodies[i], twin);
            graph_replace(bodies[i], v, first);
            first->n_uses += v->n_uses; /* or it would be dropped in its turn */
        } else used |= v->n_uses > 0;
    }
    if (!used) node_drop_input(n, at);
    return !used;
}

/* ---- If ---- */

static bool take_branch(Node **at) {
    Graph *bodies[MAX_BODIES];
    Node *n = *at;
    const Value *cond = n->in[0];
    if (!cond->constant || node_bodies(n, bodies) != 2) return false;
    Graph *body = bodies[tensor_int(cond->constant, 0) ? 0 : 1];
    if (body->refused || body->n_outputs != n->n_out) return false;
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] && !value_same_type(n->out[i], body->outputs[i])) return false;
    *at = graph_inline(n, body, n->in + 1);
    return true;
}

/* ---- what a loop carries ---- */

typedef struct Carried { /* by place among what is carried */
    Node *n;
    Graph *body;
    int count, in, out; /* where the first is among inputs, of node and body, and among the body's outputs */
} Carried;

static Carried carried_of(Node *n) {
    Graph *bodies[MAX_BODIES];
    bool loop = n->op == OP_Loop;
    node_bodies(n, bodies);
    return (Carried){n, bodies[0], node_carried(n), loop ? 2 : 0, loop};
}

/* no dim that the node tells its body anew each turn */
static bool keeps_dims(const Carried *c, int i) {
    const Type *t = &c->body->inputs[c->in + i]->type;
    for (int k = 0; k < t->rank; k++)
        if (!dim_leaves(t->dims[k], c->body, c->n)) return false;
    return !c->n->out[i] || value_same_type(c->n->out[i], c->n->in[c->in + i]);
}

static void drop_carried(const Carried *c, int i) {
    node_drop_input(c->n, c->in + i);
    c->body->n_outputs--;
    c->n->n_out--;
    for (int k = c->out + i; k < c->body->n_outputs; k++) c->body->outputs[k] = c->body->outputs[k + 1];
    for (int k = i; k < c->n->n_out; k++) {
        c->n->out[k] = c->n->out[k + 1];
        if (c->n->out[k]) c->n->out[k]->def_index = k;
    }
}

/* A turn hands on what it was given: it is captured, and what the loop ends with is what it began with. */
static bool capture_unchanged(Graph *g, const Carried *c, int i) {
    Value *inner = c->body->inputs[c->in + i], *outer = c->n->in[c->in + i], *end = c->n->out[i];
    if (c->body->outputs[c->out + i] != inner || c->n->n_out < 2 || !keeps_dims(c, i)) return false;
    graph_replace(c->body, inner, outer->constant ? outer : node_capture(c->n, c->body, outer));
    if (end) {
        Node *same = node_new(g, OP_Identity, c->n->next, &outer, 1, 1);
        same->name = c->n->name;
        same->index = c->n->index;
        same->out[0] = end;
        end->def = same;
        end->def_index = 0;
    }
    drop_carried(c, i);
    return true;
}

/* Marks what the given value needs of its body, from the last node to the first. */
static void mark_needed(const Carried *c, bool *needed) {
    for (const Node *n = c->body->last; n; n = n->prev) {
        bool wanted = false;
        for (int i = 0; i < n->n_out; i++) wanted |= n->out[i] && needed[n->out[i]->id];
        for (int i = 0; wanted && i < n->n_in; i++)
            if (n->in[i]) needed[n->in[i]->id] = true;
    }
}

static bool drop_unwanted(const Carried *c) {
    Ctx *ctx = c->n->graph->ctx;
    Arena *scratch = arena_new(ctx);
    bool *needed = ARENA_ARRAY(scratch, ctx->next_id, bool), dropped = false;
    for (int i = 0; i < c->body->n_outputs; i++) {
        int at = i - c->out;
        bool carried = at >= 0 && at < c->count;
        if (!carried || (c->n->out[at] && c->n->out[at]->n_uses > 0)) needed[c->body->outputs[i]->id] = true;
    }
    for (bool more = true; more;) {
        more = false;
        mark_needed(c, needed);
        for (int i = 0; i < c->count; i++) {
            bool *out = &needed[c->body->outputs[c->out + i]->id];
            if (*out || !needed[c->body->inputs[c->in + i]->id]) continue;
            *out = more = true;
        }
    }
    for (int i = c->count - 1; i >= 0; i--) {
        bool wanted = needed[c->body->inputs[c->in + i]->id] || (c->n->out[i] && c->n->out[i]->n_uses > 0);
        if (wanted || c->n->n_out < 2 || !keeps_dims(c, i)) continue;
        drop_carried(c, i);
        dropped = true;
    }
    arena_free(scratch);
    return dropped;
}

/* What only a dropped value needed has no use in the body any more. */
static void drop_dead_nodes(Graph *body) {
    graph_count_uses(body);
    for (Node *n = body->last, *prev; n; n = prev) {
        bool used = false;
        prev = n->prev;
        for (int i = 0; i < n->n_out; i++) used |= n->out[i] && n->out[i]->n_uses > 0;
        if (used) continue;
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i]) n->in[i]->n_uses--;
        node_remove(n);
    }
}

static bool simplify_turns(Graph *g, Node *n) {
    Carried c = carried_of(n);
    bool changed = false;
    for (int i = c.count - 1; i >= 0; i--) {
        if (!capture_unchanged(g, &c, i)) continue;
        changed = true;
        c.count--;
    }
    graph_count_uses(g);
    if (drop_unwanted(&c)) {
        drop_dead_nodes(c.body);
        changed = true;
    }
    return loop_hoist(n) || changed;
}

bool pass_simplify_control(Graph *g, PassCtx *p) {
    bool changed = false;
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        if (!op_has(n->op, OP_CONTROL)) continue;
        changed |= look_through(n);
        count_uses(g, n);
        for (int i = n->n_in - 1; i >= n->n_in - n->n_captured; i--) changed |= simplify_captured(n, i);
        if (n->op == OP_If) {
            if (take_branch(&n)) {
                changed = true;
                next = n;
            }
            continue;
        }
        changed |= simplify_turns(g, n);
        if (!p->optimize_size && loop_unroll(n, UNROLL_NODES)) changed = true;
    }
    graph_count_uses(g);
    return changed;
}
