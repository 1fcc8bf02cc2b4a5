/* Which turn it is: one number for a graph that loops run, different in each of their turns together. A body that does
 * not know captures what is around it; a Scan counts along with what it scans. */
#include "passes/control.h"

static Node *owner_of(const Graph *body) {
    Graph *bodies[MAX_BODIES];
    for (Node *n = body->outer->first; n; n = n->next)
        for (int i = node_bodies(n, bodies); i-- > 0;)
            if (bodies[i] == body) return n;
    return NULL;
}

static Node *insert(Node *before, Op op, Value **in, int n_in) {
    Node *n = node_new(before->graph, op, before, in, n_in, 1);
    n->name = before->name;
    n->index = before->index;
    for (int i = 0; i < n_in; i++) in[i]->n_uses++;
    return n;
}

static bool counts(const Value *v) {
    const Node *n = value_def(v, OP_Range);
    return n && const_is(n->in[0], 0) && const_is(n->in[2], 1);
}

/* 0, 1, … as long as what is scanned: one more that is */
static Value *scanned_turn(Node *scan, Graph *body) {
    int last = scan->n_in - scan->n_captured - 1, at = body->n_inputs - scan->n_captured;
    const int64_t zero = 0, one = 1;
    Graph *g = scan->graph;
    if (counts(scan->in[last])) return body->inputs[at - 1];
    Node *size = insert(scan, OP_Shape, &scan->in[last], 1);
    node_set_int(size, "start", 0);
    node_set_int(size, "end", 1);
    if (!node_infer(g->ctx, size)) return NULL;
    Value *in[3] = {const_ints_value(g, &zero, 1), size->out[0], const_ints_value(g, &one, 1)};
    Node *range = insert(scan, OP_Range, in, 3);
    if (!node_infer(g->ctx, range)) return NULL;
    node_set_int(scan, "num_scan_inputs", node_int(scan, "num_scan_inputs") + 1);
    const int64_t *list;
    int n = node_ints(scan, "scan_input_directions", &list);
    if (n) {
        int64_t *longer = ARENA_ARRAY(g->arena, n + 1, int64_t);
        for (int i = 0; i < n; i++) longer[i] = list[i];
        node_set_ints(scan, "scan_input_directions", longer, n + 1);
    }
    node_add_input(scan, last + 1, range->out[0]);
    range->out[0]->n_uses++;
    Type each = {.kind = TYPE_TENSOR, .dtype = DT_I64};
    return body_add_input(body, at, &each);
}

/* around · 2654435769 + turn, which wraps; the factor is odd and near 2³² divided by the golden ratio */
static Value *combined(Node *before, Value *around, Value *turn) {
    const int64_t factor = 2654435769;
    Ctx *ctx = before->graph->ctx;
    Node *far = insert(before, OP_Mul, (Value *[]){around, const_ints_value(before->graph, &factor, 1)}, 2);
    if (!node_infer(ctx, far)) return NULL;
    Node *sum = insert(before, OP_Add, (Value *[]){far->out[0], turn}, 2);
    return node_infer(ctx, sum) ? sum->out[0] : NULL;
}

Value *turn_before(Node *before) {
    Graph *g = before->graph;
    if (!g->outer) return NULL;
    Node *owner = owner_of(g);
    Value *around = turn_before(owner), *turn = NULL;
    if (owner->op == OP_Loop) turn = g->inputs[0];
    if (owner->op == OP_Scan) turn = scanned_turn(owner, g);
    if (around) around = node_capture(owner, g, around);
    return around && turn ? combined(before, around, turn) : turn ? turn : around;
}
