/* Rewriting in one linear walk. A replaced value is noted in a table and looked up when a later node is met, so that a
 * walk costs time linear in the graph, however many rules apply. */
#include "passes/internal.h"
#include <assert.h>

static bool is_linked(const Node *n) { return n->prev || n->graph->first == n; }

static Value *resolve(const Rewrite *r, Value *v) {
    while (v && v->id < r->n_ids && r->to[v->id]) v = r->to[v->id];
    return v;
}

static bool is_output(const Rewrite *r, const Value *v) { return v->id < r->n_ids && r->is_output[v->id]; }

void rewrite_begin(Rewrite *r, Graph *g) {
    *r = (Rewrite){.g = g, .ctx = g->ctx, .scratch = arena_new(g->ctx), .next = g->first, .n_ids = g->ctx->next_id};
    r->to = ARENA_ARRAY(r->scratch, r->n_ids + 1, Value *);
    r->is_output = ARENA_ARRAY(r->scratch, r->n_ids + 1, bool);
    for (int i = 0; i < g->n_outputs; i++) r->is_output[g->outputs[i]->id] = true;
    graph_count_uses(g);
}

Node *rewrite_next(Rewrite *r) {
    Node *n = r->next;
    if (!n) return NULL;
    r->next = n->next;
    for (int i = 0; i < n->n_in; i++) n->in[i] = resolve(r, n->in[i]);
    return n;
}

bool rewrite_end(Rewrite *r) {
    for (int i = 0; i < r->g->n_outputs; i++) r->g->outputs[i] = resolve(r, r->g->outputs[i]);
    arena_free(r->scratch);
    return r->changed;
}

static void take(Value *v) {
    if (v) v->n_uses++;
}

static void release(Rewrite *r, Value *v) {
    if (!v || --v->n_uses > 0 || !v->def) return;
    if (r->n_dead == r->cap_dead) {
        int cap = r->cap_dead * 2 + 16;
        r->dead = arena_grow(r->scratch, r->dead, (size_t)r->n_dead, (size_t)cap, sizeof *r->dead);
        r->cap_dead = cap;
    }
    r->dead[r->n_dead++] = v->def;
}

static bool is_unused(const Node *n) {
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] && n->out[i]->n_uses > 0) return false;
    return true;
}

static void remove_dead(Rewrite *r) {
    while (r->n_dead) {
        Node *n = r->dead[--r->n_dead];
        if (!is_linked(n) || !is_unused(n)) continue;
        if (r->next == n) r->next = n->next;
        for (int i = 0; i < n->n_in; i++) release(r, n->in[i]);
        node_remove(n);
    }
}

/* An output of the graph can be `with` itself only where that is free to take the output's name. */
static bool may_be_output(const Rewrite *r, const Value *with) {
    return with->def && with->id < r->n_ids && !r->is_output[with->id];
}

void rewrite_replace(Rewrite *r, Node *n, Value *with) {
    Value *from = n->out[0];
    assert(with != from);
    if (is_output(r, from)) {
        if (!may_be_output(r, with)) {
            if (n->op != OP_Identity) rewrite_become(r, n, OP_Identity, &with, 1);
            return;
        }
        with->name = from->name;
        r->is_output[with->id] = true;
    }
    with->n_uses += from->n_uses + 1; /* one more, so that it outlives n */
    from->n_uses = 1;
    if (!with->content) with->content = from->content;
    r->to[from->id] = with;
    r->changed = true;
    release(r, from);
    remove_dead(r);
    with->n_uses--;
}

void rewrite_become(Rewrite *r, Node *n, Op op, Value **in, int n_in) {
    Value **old = n->in, **fresh = ARENA_ARRAY(r->g->arena, n_in + 1, Value *);
    int n_old = n->n_in;
    for (int i = 0; i < n_in; i++) take(fresh[i] = in[i]);
    n->op = op;
    n->in = fresh;
    n->n_in = n_in;
    n->attrs = NULL;
    n->n_attrs = 0;
    n->n_out = 1;
    r->changed = true;
    for (int i = 0; i < n_old; i++) release(r, old[i]);
    remove_dead(r);
}

void rewrite_input(Rewrite *r, Node *n, int i, Value *with) {
    Value *old = n->in[i];
    if (old == with) return;
    take(with);
    n->in[i] = with;
    r->changed = true;
    release(r, old);
    remove_dead(r);
}

void rewrite_remove(Rewrite *r, Node *n) {
    for (int i = 0; i < n->n_in; i++) release(r, n->in[i]);
    node_remove(n);
    r->changed = true;
    remove_dead(r);
}

void rewrite_infer(Rewrite *r, Node *n) {
    bool ok = node_infer(r->ctx, n);
    assert(ok);
    (void)ok;
}

Node *rewrite_insert(Rewrite *r, Node *n, Op op, Value **in, int n_in) { return rewrite_insert_many(r, n, op, in, n_in, 1); }

Node *rewrite_insert_many(Rewrite *r, Node *n, Op op, Value **in, int n_in, int n_out) {
    Node *made = node_new(r->g, op, n, in, n_in, n_out);
    made->name = n->name;
    made->index = n->index;
    for (int i = 0; i < n_in; i++) take(in[i]);
    r->changed = true;
    return made;
}

void rewrite_define(Rewrite *r, Node *made, Value *v) {
    Node *old = v->def;
    assert(made->out[0]->n_uses == 0);
    old->out[v->def_index] = NULL;
    made->out[0] = v;
    v->def = made;
    v->def_index = 0;
    r->changed = true;
}

Value *rewrite_view(Rewrite *r, Node *n, Value *x, int rank, const Dim *dims) {
    Value *out = rewrite_insert(r, n, OP_View, &x, 1)->out[0];
    value_set_dims(out, x->type.dtype, rank, dims);
    return out;
}
