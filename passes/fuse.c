/* Joins elementwise nodes, data movement at affine indices and at most one trailing reduction into mcc.Fused nodes, each of
 * which becomes one loop nest. A producer joins its consumers when they alone use it and nothing is computed twice: its
 * result has the consumer's dims, or only moves. Single nodes are wrapped too: a loop nest beats the reference kernel. */
#include <stdlib.h>
#include "passes/passes.h"

typedef struct Cluster {
    Graph *g;
    Node **nodes; /* the root first, then producers as they joined */
    int n, room;
    const Node *reduction;
    const Node *root;
} Cluster;

static bool same_dims(const Value *a, const Value *b) {
    if (a->type.rank != b->type.rank) return false;
    for (int i = 0; i < a->type.rank; i++)
        if (a->type.dims[i] != b->type.dims[i]) return false;
    return true;
}

static bool supported(const Value *v) { return !v || (v->type.kind == TYPE_TENSOR && dtype_computes(v->type.dtype)); }

static bool is_elementwise(const Node *n) {
    if (!node_is_elementwise(n) || n->n_in > 3 || (op_has(n->op, OP_VARIADIC) && n->n_in != 2)) return false;
    return n->op != OP_Pow || n->in[0]->type.dtype == n->in[1]->type.dtype;
}

/* dims of 1 come and go, the others stay in order */
static bool is_unit_view(const Node *n) {
    const Type *a = &n->in[0]->type, *b = &n->out[0]->type;
    int i = 0, k = 0;
    for (;; i++, k++) {
        while (i < a->rank && dim_is(a->dims[i], 1)) i++;
        while (k < b->rank && dim_is(b->dims[k], 1)) k++;
        if (i == a->rank || k == b->rank) return i == a->rank && k == b->rank;
        if (a->dims[i] != b->dims[k]) return false;
    }
}

static bool is_const_slice(const Node *n) {
    for (int i = 1; i < n->n_in; i++)
        if (n->in[i] && !n->in[i]->constant) return false;
    const Tensor *axes = node_in(n, 3) ? n->in[3]->constant : NULL;
    for (int64_t i = 0; i < n->in[1]->constant->dims[0]; i++) {
        int64_t axis = axes ? tensor_int(axes, i) : i, size;
        if (!dim_is_const(n->in[0]->type.dims[axis < 0 ? axis + n->in[0]->type.rank : axis], &size)) return false;
    }
    return true;
}

static bool is_movement(const Node *n) {
    switch (n->op) {
    case OP_Transpose: return true;
    case OP_Slice: return is_const_slice(n);
    case OP_Expand: return n->in[1]->constant;
    default: return op_has(n->op, OP_VIEW) && is_unit_view(n) && (n->n_in < 2 || !n->in[1] || n->in[1]->constant);
    }
}

/* folds the trailing axes of floats, all known now */
static bool is_reduction(const Node *n) {
    static const Op ops[] = {OP_ReduceSum, OP_ReduceMean, OP_ReduceMax, OP_ReduceMin, OP_ReduceSumSquare, OP_ReduceL1, OP_ReduceL2};
    const Value *x = n->in[0], *axes = node_in(n, 1);
    bool known = false;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) known = known || n->op == ops[i];
    if (!known || (x->type.dtype != DT_F32 && x->type.dtype != DT_F64)) return false;
    if (!axes || (axes->constant && axes->constant->dims[0] == 0)) return !node_int(n, "noop_with_empty_axes") && !axes;
    if (!axes->constant) return false;
    uint32_t mask = 0;
    int count = (int)axes->constant->dims[0];
    for (int i = 0; i < count; i++) {
        int64_t axis = tensor_int(axes->constant, i);
        mask |= 1u << (axis < 0 ? axis + x->type.rank : axis);
    }
    for (int d = x->type.rank - count; d < x->type.rank; d++)
        if (d < 0 || !(mask >> d & 1)) return false;
    return true;
}

static bool is_fusable(const Node *n) {
    for (int i = 0; i < n->n_in; i++)
        if (!supported(n->in[i])) return false;
    for (int i = 0; i < n->n_out; i++)
        if (!supported(n->out[i])) return false;
    if (n->n_out != 1) return false;
    for (int d = 0; d < n->out[0]->type.rank; d++)
        if (n->out[0]->type.dims[d]->kind == DIM_SYMBOL && n->out[0]->type.dims[d]->node == n) return false; /* it writes a dim */
    return is_elementwise(n) || is_movement(n) || is_reduction(n);
}

static bool contains(const Cluster *c, const Node *n) {
    for (int i = 0; i < c->n; i++)
        if (c->nodes[i] == n) return true;
    return false;
}

static int uses_inside(const Cluster *c, const Value *v) {
    int uses = 0;
    for (int i = 0; i < c->n; i++)
        for (int k = 0; k < c->nodes[i]->n_in; k++) uses += c->nodes[i]->in[k] == v;
    return uses;
}

/* every node between the reduction and the root must be elementwise on equal dims */
static bool reduction_fits(const Cluster *c, const Node *p) {
    if (c->reduction) return false;
    for (int i = 0; i < c->n; i++)
        if (!is_elementwise(c->nodes[i]) || !same_dims(c->nodes[i]->out[0], p->out[0])) return false;
    return true;
}

static bool joins(const Cluster *c, const Value *v) {
    const Node *p = v->def;
    if (!p || p->graph != c->g || contains(c, p) || !is_fusable(p)) return false;
    if (uses_inside(c, v) != v->n_uses) return false;
    if (is_reduction(p)) return reduction_fits(c, p);
    for (int i = 0; i < c->n; i++) /* a broadcast would compute it more than once */
        for (int k = 0; k < c->nodes[i]->n_in; k++) {
            const Node *user = c->nodes[i];
            if (user->in[k] != v) continue;
            bool broadcast = is_elementwise(user) ? !same_dims(user->out[0], v) : user->op == OP_Expand;
            if (broadcast && !is_movement(p)) return false;
            if (k > 0 && !is_elementwise(user)) return false;
        }
    return true;
}

static void cluster_add(Cluster *c, Node *n) {
    if (c->n == c->room) {
        c->nodes = arena_grow(c->g->arena, c->nodes, (size_t)c->n, (size_t)c->room * 2 + 8, sizeof *c->nodes);
        c->room = c->room * 2 + 8;
    }
    c->nodes[c->n++] = n;
    if (is_reduction(n)) c->reduction = n;
}

static void grow(Cluster *c) {
    bool changed = true;
    while (changed) {
        changed = false;
        for (int i = 0; i < c->n; i++)
            for (int k = 0; k < c->nodes[i]->n_in; k++)
                if (c->nodes[i]->in[k] && joins(c, c->nodes[i]->in[k])) {
                    cluster_add(c, c->nodes[i]->in[k]->def);
                    changed = true;
                }
    }
}

/* ---- building the fused node ---- */

typedef struct Build {
    Cluster *c;
    Graph *body;
    Value **outside, **inside; /* pairs: a value of the graph and what stands for it in the body */
    int n_pairs, n_inputs;
} Build;

static Value *inside_of(const Build *b, const Value *v) {
    for (int i = 0; i < b->n_pairs; i++)
        if (b->outside[i] == v) return b->inside[i];
    return NULL;
}

static void add_pair(Build *b, Value *outside, Value *inside) {
    b->outside[b->n_pairs] = outside;
    b->inside[b->n_pairs++] = inside;
}

static Value *copy_value(Build *b, const Value *v) {
    Value *copy = value_new(b->body, v->name);
    copy->type = v->type;
    return copy;
}

/* constants that say how, not what (axes, starts, shapes), stay themselves inside the body */
static bool is_parameter(const Node *n, int input) { return input > 0 && !is_elementwise(n); }

static void add_inputs(Build *b, Value **inputs) {
    Cluster *c = b->c;
    for (int i = c->n - 1; i >= 0; i--)
        for (int k = 0; k < c->nodes[i]->n_in; k++) {
            Value *v = c->nodes[i]->in[k];
            if (!v || inside_of(b, v) || is_parameter(c->nodes[i], k) || (v->def && contains(c, v->def))) continue;
            inputs[b->n_inputs++] = v;
            add_pair(b, v, copy_value(b, v));
        }
    b->body->inputs = ARENA_ARRAY(b->body->arena, b->n_inputs, Value *);
    b->body->n_inputs = b->n_inputs;
    for (int i = 0; i < b->n_inputs; i++) b->body->inputs[i] = b->inside[i];
}

static void copy_node(Build *b, const Node *n) {
    Node *copy = node_new(b->body, n->op, NULL, n->in, n->n_in, n->n_out);
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && !is_parameter(n, i)) copy->in[i] = inside_of(b, n->in[i]);
    copy->name = n->name;
    copy->index = n->index;
    copy->attrs = arena_grow(b->body->arena, n->attrs, (size_t)n->n_attrs, (size_t)n->n_attrs, sizeof *n->attrs);
    copy->n_attrs = n->n_attrs;
    copy->out[0]->type = n->out[0]->type;
    copy->out[0]->name = n->out[0]->name;
    add_pair(b, n->out[0], copy->out[0]);
}

static void build(Cluster *c) {
    Arena *a = c->g->arena;
    int most = 0;
    for (int i = 0; i < c->n; i++) most += c->nodes[i]->n_in + 1;
    Build b = {.c = c, .body = graph_new(c->g->ctx, c->g), .outside = ARENA_ARRAY(a, most, Value *), .inside = ARENA_ARRAY(a, most, Value *)};
    Value **inputs = ARENA_ARRAY(a, most, Value *);
    add_inputs(&b, inputs);
    for (Node *n = c->g->first; n; n = n->next) /* the graph's order is topological */
        if (contains(c, n)) copy_node(&b, n);
    Node *root = c->nodes[0], *fused = node_new(c->g, OP_Fused, root, inputs, b.n_inputs, 1);
    fused->body = b.body;
    fused->name = root->name;
    fused->index = root->index;
    fused->out[0] = root->out[0];
    fused->out[0]->def = fused;
    b.body->outputs = ARENA_ARRAY(a, 1, Value *);
    b.body->outputs[0] = inside_of(&b, root->out[0]);
    b.body->n_outputs = 1;
    for (int i = 0; i < c->n; i++) node_remove(c->nodes[i]);
}

bool pass_fuse(Graph *g, PassCtx *p) {
    bool changed = false;
    (void)p;
    graph_count_uses(g);
    for (Node *n = g->last, *prev; n; n = prev) {
        prev = n->prev;
        if (op_has(n->op, OP_VIEW) || !is_fusable(n)) continue;
        Cluster c = {.g = g, .root = n};
        cluster_add(&c, n);
        grow(&c);
        while (prev && contains(&c, prev)) prev = prev->prev;
        build(&c);
        changed = true;
    }
    return changed;
}
