/* A GraphProto to a Graph: first every name that it defines, then the nodes, whose inputs may stand anywhere in the
 * list. Keeps: nodes in topological order, in their newest form, checked against their table rows; Constant nodes are
 * constants; an input that has an initializer is a constant, not an input. An operator that mcc does not have is noted,
 * and its node kept as OP_NONE until the whole model is read. */
#include <string.h>
#include "frontend/reader.h"

typedef struct Build {
    Reader *r;
    const Pb__Graph *p;
    Graph *g;
    Scope scope;
    int depth;
    Node **nodes; /* as in p->node */
} Build;

static bool name_error(Build *b, const char *what, Str name, const char *why) {
    diag_error(b->r->ctx, NULL, "%s '%s' %s", what, diag_name(b->r->ctx, name), why);
    return false;
}

static void define(Build *b, Value *v, DefKind kind, int place) {
    b->scope.defs[b->scope.n_defs++] = (Def){v->name, v, kind, place};
}

static Str own_name(Build *b, ProtobufCBinaryData name) {
    return arena_str(b->g->arena, (const char *)name.data, name.len);
}

static bool define_tensor(Build *b, const Tensor *t, ProtobufCBinaryData name, int place) {
    if (!t) return false;
    if (!name.len) return name_error(b, "initializer", (Str){0}, "has no name");
    Value *v = value_of_tensor(b->g, t);
    v->name = own_name(b, name);
    define(b, v, DEF_INITIALIZER, place);
    return true;
}

static bool define_initializers(Build *b) {
    Reader *r = b->r;
    for (size_t i = 0; i < b->p->n_initializer; i++) {
        const Pb__Tensor *t = b->p->initializer[i];
        const char *label = arena_printf(r->scratch, "initializer '%s'", diag_name(r->ctx, str_pb(t->name)));
        if (!define_tensor(b, tensor_read(r, b->g, t, NULL, label), t->name, (int)i)) return false;
    }
    for (size_t i = 0; i < b->p->n_sparse_initializer; i++) {
        const Pb__SparseTensor *t = b->p->sparse_initializer[i];
        ProtobufCBinaryData name = t->values ? t->values->name : (ProtobufCBinaryData){0};
        const char *label = arena_printf(r->scratch, "sparse initializer '%s'", diag_name(r->ctx, str_pb(name)));
        if (!define_tensor(b, tensor_read_sparse(r, b->g, t, NULL, label), name, (int)i)) return false;
    }
    return true;
}

static bool define_inputs(Build *b) {
    Reader *r = b->r;
    for (size_t i = 0; i < b->p->n_input; i++) {
        const Pb__ValueInfo *p = b->p->input[i];
        const char *label = arena_printf(r->scratch, "input '%s'", diag_name(r->ctx, str_pb(p->name)));
        if (!p->name.len) return name_error(b, "input", (Str){0}, "has no name");
        Value *v = value_new(b->g, own_name(b, p->name));
        if (!type_read(r, p->type, label, &v->type)) return false;
        define(b, v, DEF_INPUT, (int)i);
    }
    return true;
}

static void make_node(Build *b, const Pb__Node *p, int index) {
    size_t n_in = p->n_input, n_out = p->n_output;
    Op op = upgrade_find(str_pb(p->domain), str_pb(p->op_type));
    while (n_in && !p->input[n_in - 1].len) n_in--;
    while (n_out && !p->output[n_out - 1].len) n_out--;
    Value **in = ARENA_ARRAY(b->r->scratch, n_in, Value *);
    Node *n = node_new(b->g, op, NULL, in, (int)n_in, (int)n_out);
    n->name = own_name(b, p->name);
    n->index = index;
    if (op == OP_NONE) unsupported_add(b->r, p, index, b->depth > 0);
    for (size_t i = 0; i < n_out; i++) {
        n->out[i]->name = own_name(b, p->output[i]);
        if (p->output[i].len) define(b, n->out[i], DEF_NODE, index);
        else n->out[i] = NULL;
    }
    b->nodes[index] = n;
}

static void define_nodes(Build *b) {
    b->nodes = ARENA_ARRAY(b->r->scratch, b->p->n_node, Node *);
    for (size_t i = 0; i < b->p->n_node; i++) make_node(b, b->p->node[i], (int)i);
}

static bool define_all(Build *b) {
    size_t room = b->p->n_initializer + b->p->n_sparse_initializer + b->p->n_input;
    for (size_t i = 0; i < b->p->n_node; i++) room += b->p->node[i]->n_output;
    b->scope.defs = ARENA_ARRAY(b->r->scratch, room, Def);
    if (!define_initializers(b) || !define_inputs(b)) return false;
    define_nodes(b);
    return scope_close(b->r, &b->scope);
}

static bool take_inputs(Build *b) {
    Reader *r = b->r;
    const Pb__ValueInfo **infos = ARENA_ARRAY(r->scratch, b->p->n_input, const Pb__ValueInfo *);
    b->g->inputs = ARENA_ARRAY(b->g->arena, b->p->n_input, Value *);
    for (size_t i = 0; i < b->p->n_input; i++) {
        Value *v = scope_find(&b->scope, str_pb(b->p->input[i]->name));
        if (v->constant) { /* by its initializer, which the declaration has to fit */
            Type type;
            if (!type_read(r, b->p->input[i]->type, "input", &type) || !check_declared(r, v, &type)) return false;
            continue;
        }
        infos[b->g->n_inputs] = b->p->input[i];
        v->def_index = b->g->n_inputs;
        b->g->inputs[b->g->n_inputs++] = v;
    }
    if (b->depth == 0) r->infos = infos;
    return true;
}

static bool take_outputs(Build *b) {
    const Pb__Graph *p = b->p;
    b->g->outputs = ARENA_ARRAY(b->g->arena, p->n_output, Value *);
    for (size_t i = 0; i < p->n_output; i++) {
        Value *v = scope_find(&b->scope, str_pb(p->output[i]->name));
        if (!v) return name_error(b, "output", str_pb(p->output[i]->name), "is made by no node");
        b->g->outputs[b->g->n_outputs++] = v;
    }
    return p->n_output > 0 || name_error(b, "graph", b->g->name, "has no outputs");
}

/* What the model says of a value that a node makes: a hint to inference until it has run, then compared with its
 * result. */
static bool take_declared(Build *b, Pb__ValueInfo *const *infos, size_t n) {
    for (size_t i = 0; i < n; i++) {
        Str name = str_pb(infos[i]->name);
        Value *v = scope_find(&b->scope, name);
        Type type;
        const char *label = arena_printf(b->r->scratch, "value '%s'", diag_name(b->r->ctx, name));
        if (!v || (v->def ? v->def->graph != b->g : !v->constant)) continue;
        if (!type_read(b->r, infos[i]->type, label, &type)) return false;
        if (v->def) v->type = type;
        else if (!check_declared(b->r, v, &type)) return false;
    }
    return true;
}

static bool connect_node(Build *b, Node *n, const Pb__Node *p) {
    for (int i = 0; i < n->n_in; i++) {
        Str name = str_pb(p->input[i]);
        n->in[i] = name.n ? scope_find(&b->scope, name) : NULL;
        if (!name.n || n->in[i]) continue;
        diag_error(b->r->ctx, n, "input '%s' is made by no node, and is no input or initializer",
                   diag_name(b->r->ctx, name));
        return false;
    }
    return attrs_read(b->r, n, p, &b->scope, b->depth);
}

static bool constants_take(Build *b) {
    for (size_t i = 0; i < b->p->n_node; i++)
        if (b->nodes[i]->op == OP_Constant && !constant_take(b->r, b->nodes[i])) return false;
    return true;
}

static bool finish_nodes(Build *b) {
    graph_count_uses(b->g);
    for (size_t i = 0; i < b->p->n_node; i++) {
        Node *n = b->nodes[i];
        if (n->op == OP_NONE || n->op == OP_Constant) continue;
        bool own = str_is(str_pb(b->p->node[i]->domain), "com.microsoft"); /* its opset says nothing of these */
        if (!upgrade_node(b->r->ctx, n, str_pb(b->p->node[i]->op_type), own ? OPSET_MAX : b->r->opset)) return false;
        if (!node_check(b->r->ctx, n)) return false;
    }
    return true;
}

Graph *graph_read(Reader *r, const Pb__Graph *p, Graph *outer, const Scope *scope, int depth) {
    Build b = {.r = r, .p = p, .g = graph_new(r->ctx, outer), .scope = {.outer = scope}, .depth = depth};
    b.g->name = own_name(&b, p->name);
    if (!define_all(&b) || !take_inputs(&b)) return NULL;
    for (size_t i = 0; i < p->n_node; i++)
        if (!connect_node(&b, b.nodes[i], p->node[i])) return NULL;
    if (!take_outputs(&b) || !take_declared(&b, p->value_info, p->n_value_info) ||
        !take_declared(&b, p->output, p->n_output))
        return NULL;
    if (!constants_take(&b) || !graph_sort(r->ctx, r->scratch, b.g) || !finish_nodes(&b)) return NULL;
    return b.g;
}
