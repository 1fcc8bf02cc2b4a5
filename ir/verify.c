/* The graph's invariants, checked after every pass in tests and debug builds: values are defined before use and once,
 * links agree, arity fits the table, types are known, constants agree with their types. */
#include "ir/ir.h"
#include <stdlib.h>
#include <string.h>

typedef struct Check {
    const Graph *graph;
    FILE *out;
    bool *defined; /* by value id */
    bool ok;
} Check;

static void broken(Check *c, const Node *n, const char *what) {
    if (c->out) fprintf(c->out, "verify: node %d (%s): %s\n", n ? n->id : -1, n ? op_info(n->op)->name : "graph", what);
    c->ok = false;
}

static void check_type(Check *c, const Node *n, const Value *v) {
    if (v->type.kind != TYPE_TENSOR || v->type.rank < 0 || v->type.rank > MCC_MAX_RANK) {
        broken(c, n, "an output without a tensor type");
        return;
    }
    for (int i = 0; i < v->type.rank; i++)
        if (!v->type.dims[i]) broken(c, n, "an unknown dim");
}

static void check_constant(Check *c, const Node *n, const Value *v) {
    const Tensor *t = v->constant;
    int64_t elements;
    size_t bytes;
    if (t->dtype != v->type.dtype || t->rank != v->type.rank) broken(c, n, "a constant that is not of its value's type");
    for (int i = 0; i < t->rank && i < v->type.rank; i++)
        if (!dim_is(v->type.dims[i], t->dims[i])) broken(c, n, "a constant that has not its value's dims");
    if (t->dtype == DT_STRING) return;
    if (!product_i64(t->dims, t->rank, &elements) || !dtype_bytes(t->dtype, elements, &bytes) || bytes != t->bytes)
        broken(c, n, "a constant with the wrong number of bytes");
}

static void check_node(Check *c, const Node *n) {
    const OpInfo *op = op_info(n->op);
    if (n->graph != c->graph) broken(c, n, "belongs to another graph");
    if (n->next ? n->next->prev != n : c->graph->last != n) broken(c, n, "list links disagree");
    if (n->op == OP_NONE || n->op >= OP_COUNT) broken(c, n, "no operator");
    if (n->n_in < op->min_in || (op->max_in != VAR && !n->body && n->n_in > op->max_in)) broken(c, n, "input count outside the table");
    if (n->n_out < op->min_out || (op->max_out != VAR && n->n_out > op->max_out)) broken(c, n, "output count outside the table");
    for (int i = 0; i < n->n_in; i++) {
        const Value *v = n->in[i];
        if (!v) continue;
        if (v->constant) check_constant(c, n, v);
        else if (!c->defined[v->id]) broken(c, n, "an input used before it is defined");
    }
    for (int i = 0; i < n->n_out; i++) {
        const Value *v = n->out[i];
        if (!v) continue;
        if (v->def != n || v->def_index != i) broken(c, n, "an output that names another definition");
        if (c->defined[v->id]) broken(c, n, "an output defined twice");
        c->defined[v->id] = true;
        check_type(c, n, v);
    }
    if (n->body && !graph_verify(n->body, c->out)) c->ok = false;
    Graph *bodies[MAX_BODIES];
    int count = node_bodies(n, bodies);
    for (int i = 0; i < count; i++) {
        if (bodies[i]->n_inputs < n->n_captured || n->n_in < n->n_captured) broken(c, n, "a body that captures less than its node");
        if (!graph_verify(bodies[i], c->out)) c->ok = false;
    }
}

bool graph_verify(const Graph *g, FILE *out) {
    Check c = {.graph = g, .out = out, .ok = true};
    c.defined = calloc((size_t)g->ctx->next_id + 1, sizeof *c.defined);
    if (!c.defined) mem_fail(g->ctx, (size_t)g->ctx->next_id);
    for (int i = 0; i < g->n_inputs; i++) c.defined[g->inputs[i]->id] = true;
    for (const Node *n = g->first; n; n = n->next) check_node(&c, n);
    for (int i = 0; i < g->n_outputs; i++)
        if (!g->outputs[i]->constant && !c.defined[g->outputs[i]->id]) broken(&c, NULL, "an output of the graph that nothing defines");
    free(c.defined);
    return c.ok;
}
