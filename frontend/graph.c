/* A GraphProto to a Graph: first every name that it defines, then the nodes, whose inputs may stand anywhere in the
 * list. Keeps: nodes in topological order, in their newest form, checked against their table rows; Constant nodes are
 * constants; an input that has an initializer is a constant, not an input. An operator that mcc does not have is noted,
 * and its node kept as OP_NONE until the whole model is read. */
#include <string.h>
#include "frontend/reader.h"

typedef struct Made { /* a node, and what the model calls it */
    Node *node;
    Str op_type;
    int opset;
} Made;

typedef struct Build { /* of a graph, or of a function's body in a graph */
    Reader *r;
    const Pb__Graph *p; /* NULL: of a function */
    Pb__Node *const *list;
    size_t n_list;
    Graph *g;
    Scope scope;
    int depth;
    Node **nodes;        /* as in list */
    Node *before;        /* where they go; NULL: to the end */
    struct Build *whole; /* of the graph */
    Made *made;          /* all of the graph: of it alone */
    int n_made, room;
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

/* opset: of the standard; that of another domain says nothing of its operators' forms */
static void note_made(Build *b, Node *n, Str op_type, int opset) {
    Build *w = b->whole;
    if (w->n_made == w->room) {
        int room = 2 * w->room + 64;
        w->made = arena_grow(w->r->scratch, w->made, (size_t)w->n_made, (size_t)room, sizeof *w->made);
        w->room = room;
    }
    w->made[w->n_made++] = (Made){n, op_type, opset};
}

static void make_node(Build *b, const Pb__Node *p, int index) {
    size_t n_in = p->n_input, n_out = p->n_output;
    Op op = upgrade_find(str_pb(p->domain), str_pb(p->op_type));
    while (n_in && !p->input[n_in - 1].len) n_in--;
    while (n_out && !p->output[n_out - 1].len) n_out--;
    Value **in = ARENA_ARRAY(b->r->scratch, n_in, Value *);
    Node *n = node_new(b->g, op, b->before, in, (int)n_in, (int)n_out);
    n->name = own_name(b, p->name);
    n->index = b->before ? b->before->index : index;
    if (op == OP_NONE && !function_find(b->r, p)) unsupported_add(b->r, p, index, b->depth > 0);
    for (size_t i = 0; i < n_out; i++) {
        n->out[i]->name = own_name(b, p->output[i]);
        if (p->output[i].len) define(b, n->out[i], DEF_NODE, index);
        else n->out[i] = NULL;
    }
    b->nodes[index] = n;
    int opset = str_is(str_pb(p->domain), "com.microsoft") ? OPSET_MAX : b->r->opset;
    if (op != OP_NONE) note_made(b, n, str_pb(p->op_type), opset);
}

static void define_nodes(Build *b) {
    b->nodes = ARENA_ARRAY(b->r->scratch, b->n_list, Node *);
    for (size_t i = 0; i < b->n_list; i++) make_node(b, b->list[i], (int)i);
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
        if (!name.n || scope_has(&b->scope, name, &n->in[i])) continue;
        diag_error(b->r->ctx, n, "input '%s' is made by no node, and is no input or initializer",
                   diag_name(b->r->ctx, name));
        return false;
    }
    while (n->n_in && !n->in[n->n_in - 1]) n->n_in--; /* absent inputs of a function */
    return attrs_read(b->r, n, function_node(b->r, p), &b->scope, b->depth);
}

static bool call_function(Build *b, Node *n, const Pb__Node *p);

static bool connect_nodes(Build *b) {
    for (size_t i = 0; i < b->n_list; i++) {
        bool call = b->nodes[i]->op == OP_NONE && function_find(b->r, b->list[i]);
        if (!connect_node(b, b->nodes[i], b->list[i])) return false;
        if (call && !call_function(b, b->nodes[i], b->list[i])) return false;
    }
    return true;
}

static bool define_parameters(Build *b, const Pb__Function *f, const Node *call) {
    size_t room = f->n_input;
    for (size_t i = 0; i < f->n_node; i++) room += f->node[i]->n_output;
    b->scope.defs = ARENA_ARRAY(b->r->scratch, room, Def);
    for (size_t i = 0; i < f->n_input; i++)
        b->scope.defs[b->scope.n_defs++] =
            (Def){own_name(b, f->input[i]), (int)i < call->n_in ? call->in[i] : NULL, DEF_INPUT, (int)i};
    define_nodes(b);
    return scope_close(b->r, &b->scope);
}

/* The call's outputs are what the function's are. */
static bool take_results(Build *b, const Pb__Function *f, Node *call) {
    for (int i = 0; i < call->n_out; i++) {
        Value *v;
        if (!call->out[i]) continue;
        if ((size_t)i >= f->n_output || !scope_has(&b->scope, str_pb(f->output[i]), &v) || !v) {
            diag_error(b->r->ctx, call, "the function makes no output %d", i);
            return false;
        }
        Node *id = upgrade_insert(call, OP_Identity, call, &v, 1);
        note_made(b, id, str_of("Identity"), OPSET_MAX);
        upgrade_hand_output(call, i, id);
    }
    node_remove(call);
    return true;
}

/* The body's nodes stand in the place of the call. */
static bool call_function(Build *b, Node *n, const Pb__Node *p) {
    const Pb__Function *f = function_find(b->r, p);
    Build s = {.r = b->r, .list = f->node, .n_list = f->n_node, .g = b->g, .depth = b->depth, .before = n, .whole = b->whole};
    FunctionCall call;
    int opset = b->r->opset;
    if ((size_t)n->n_in > f->n_input) {
        diag_error(b->r->ctx, n, "%d inputs; the function takes %zu", n->n_in, f->n_input);
        return false;
    }
    if (!function_enter(b->r, n, p, f, &call)) return false;
    bool ok = define_parameters(&s, f, n) && connect_nodes(&s) && take_results(&s, f, n);
    function_leave(b->r, &call, opset);
    return ok;
}

static bool constants_take(Build *b) {
    for (int i = 0; i < b->n_made; i++)
        if (b->made[i].node->op == OP_Constant && !constant_take(b->r, b->made[i].node)) return false;
    return true;
}

static bool finish_nodes(Build *b) {
    graph_count_uses(b->g);
    for (int i = 0; i < b->n_made; i++) {
        Made *m = &b->made[i];
        if (m->node->op == OP_Constant) continue;
        if (!upgrade_node(b->r->ctx, m->node, m->op_type, m->opset) || !node_check(b->r->ctx, m->node)) return false;
    }
    return true;
}

Graph *graph_read(Reader *r, const Pb__Graph *p, Graph *outer, const Scope *scope, int depth) {
    Build b = {.r = r, .p = p, .list = p->node, .n_list = p->n_node, .scope = {.outer = scope}, .depth = depth};
    b.g = graph_new(r->ctx, outer);
    b.whole = &b;
    b.g->name = own_name(&b, p->name);
    if (!define_all(&b) || !take_inputs(&b)) return NULL;
    if (!connect_nodes(&b)) return NULL;
    if (!take_outputs(&b) || !take_declared(&b, p->value_info, p->n_value_info) ||
        !take_declared(&b, p->output, p->n_output))
        return NULL;
    if (!constants_take(&b) || !graph_sort(r->ctx, r->scratch, b.g) || !finish_nodes(&b)) return NULL;
    return b.g;
}
