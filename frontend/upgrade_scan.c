/* Scan of opset 8, which had a batch axis, and axes other than the first. A batch becomes a Scan over it whose body is
 * the Scan over the sequence; other axes are moved to the front, and from there to where they go, so that what stands
 * behind this file scans and stacks first axes alone. */
#include "frontend/reader.h"

typedef struct Axes { /* an attribute that lists one number an input or output */
    const int64_t *list;
    int n;
} Axes;

static bool read_axes_attr(Ctx *ctx, const Node *n, const char *name, Axes *out) {
    const Attr *a = node_attr(n, name);
    *out = (Axes){0};
    if (!a) return true;
    if (a->kind != ATTR_INTS) {
        diag_error(ctx, n, "attribute '%s' has the wrong type", name);
        return false;
    }
    *out = (Axes){a->ints, a->n};
    return true;
}

static bool one_each(Ctx *ctx, const Node *n, const char *name, const Axes *axes, int want) {
    if (!axes->n || axes->n == want) return true;
    diag_error(ctx, n, "%s has %d entries, %d are needed", name, axes->n, want);
    return false;
}

static Node *insert_move(Node *n, Node *before, Value **in, int64_t from, int64_t to) {
    Node *move = upgrade_insert(n, OP_MoveAxis, before, in, 1);
    node_set_int(move, "from", from);
    node_set_int(move, "to", to);
    return move;
}

bool upgrade_scan_axes(Ctx *ctx, Node *n) {
    static const char *const names[] = {"scan_input_axes", "scan_output_axes"};
    const Attr *scanned = node_attr(n, "num_scan_inputs"), *body = node_attr(n, "body");
    if (!scanned || scanned->kind != ATTR_INT || !body || body->kind != ATTR_GRAPH) return true; /* refused later */
    if (scanned->i < 1 || scanned->i > n->n_in) return true;
    int carried = n->n_in - (int)scanned->i, stacked = body->graph->n_outputs - carried;
    Axes in, out;
    if (!read_axes_attr(ctx, n, names[0], &in) || !read_axes_attr(ctx, n, names[1], &out) ||
        !one_each(ctx, n, names[0], &in, (int)scanned->i) || !one_each(ctx, n, names[1], &out, stacked))
        return false;
    for (int i = 0; i < in.n; i++)
        if (in.list[i] && n->in[carried + i])
            n->in[carried + i] = insert_move(n, n, &n->in[carried + i], in.list[i], 0)->out[0];
    for (int i = 0; i < out.n && carried + i < n->n_out; i++) {
        if (!out.list[i] || !n->out[carried + i]) continue;
        Value *none[1] = {NULL};
        Node *move = insert_move(n, n->next, none, 0, out.list[i]);
        upgrade_hand_output(n, carried + i, move);
        move->in[0] = n->out[carried + i];
    }
    for (int i = 0; i < 2; i++) node_remove_attr(n, names[i]);
    return true;
}

/* The graph that a turn over the batch runs: the Scan over one sequence */
static Graph *sequence_graph(Node *n, const Attr *body, int64_t scanned, const Attr *directions) {
    Graph *g = graph_new(n->graph->ctx, n->graph);
    int count = n->n_in - 1, outputs = body->graph->n_outputs;
    g->opset = n->graph->opset;
    g->inputs = ARENA_ARRAY(g->arena, count, Value *);
    g->outputs = ARENA_ARRAY(g->arena, outputs, Value *);
    for (int i = 0; i < count; i++) {
        Value *v = g->inputs[g->n_inputs++] = value_new(g, (Str){0});
        v->type.rank = -1;
        v->def_index = i;
    }
    Node *scan = node_new(g, OP_Scan, NULL, g->inputs, count, outputs);
    scan->name = n->name;
    scan->index = n->index;
    node_set_int(scan, "num_scan_inputs", scanned);
    if (directions) node_set_ints(scan, "scan_input_directions", directions->ints, directions->n);
    node_set_graph(scan, "body", body->graph);
    body->graph->outer = g;
    for (int i = 0; i < outputs; i++) g->outputs[g->n_outputs++] = scan->out[i];
    return g;
}

bool upgrade_scan_batch(Ctx *ctx, Node *n) {
    const Attr *scanned = node_attr(n, "num_scan_inputs"), *body = node_attr(n, "body"),
               *directions = node_attr(n, "directions");
    if (!scanned || scanned->kind != ATTR_INT || !body || body->kind != ATTR_GRAPH) return true; /* refused later */
    if (directions && directions->kind != ATTR_INTS) {
        diag_error(ctx, n, "attribute 'directions' has the wrong type");
        return false;
    }
    if (n->n_in < 2 || n->in[0]) {
        diag_error(ctx, n, n->n_in < 2 ? "there is nothing to scan" : "the lengths of sequences are not supported");
        return false;
    }
    Graph *each = sequence_graph(n, body, scanned->i, directions);
    n->in++;
    n->n_in--;
    node_remove_attr(n, "directions");
    node_set_int(n, "num_scan_inputs", n->n_in);
    node_set_graph(n, "body", each);
    return true;
}
