/* Attributes of nodes, as the model has them; check.c compares them with the operator's table row. Names and contents
 * are copied into the graph's arena. Constant nodes end here: their output becomes a constant of the graph. */
#include <inttypes.h>
#include <string.h>
#include "frontend/reader.h"

/* AttributeProto.AttributeType */
enum {
    PB_FLOAT = 1,
    PB_INT,
    PB_STRING,
    PB_TENSOR,
    PB_GRAPH,
    PB_FLOATS,
    PB_INTS,
    PB_STRINGS,
    PB_TENSORS,
    PB_GRAPHS,
    PB_SPARSE_TENSOR,
    PB_SPARSE_TENSORS,
    PB_TYPE,
    PB_TYPES
};
enum { MAX_ATTRS = 256 };

/* Writers of the first ONNX versions left the type out. */
static int32_t type_of(const Pb__Attribute *p) {
    if (p->type) return p->type;
    if (p->has_f) return PB_FLOAT;
    if (p->has_i) return PB_INT;
    if (p->has_s) return PB_STRING;
    if (p->t) return PB_TENSOR;
    if (p->g) return PB_GRAPH;
    if (p->n_floats) return PB_FLOATS;
    return p->n_strings ? PB_STRINGS : PB_INTS;
}

static void read_lists(Arena *a, const Pb__Attribute *p, Attr *out) {
    int64_t *ints = ARENA_ARRAY(a, out->kind == ATTR_INTS ? p->n_ints : 0, int64_t);
    double *floats = ARENA_ARRAY(a, out->kind == ATTR_FLOATS ? p->n_floats : 0, double);
    Str *strings = ARENA_ARRAY(a, out->kind == ATTR_STRINGS ? p->n_strings : 0, Str);
    size_t n = out->kind == ATTR_INTS ? p->n_ints : out->kind == ATTR_FLOATS ? p->n_floats : p->n_strings;
    for (size_t i = 0; i < n; i++) {
        if (out->kind == ATTR_INTS) ints[i] = p->ints[i];
        else if (out->kind == ATTR_FLOATS) floats[i] = (double)p->floats[i];
        else strings[i] = arena_str(a, (const char *)p->strings[i].data, p->strings[i].len);
    }
    out->ints = ints;
    out->floats = floats;
    out->strings = strings;
    out->n = (int)n;
}

static bool read_attr(Reader *r, Node *n, const Pb__Attribute *p, const Scope *scope, int depth, Attr *out) {
    Arena *a = n->graph->arena;
    const char *label = arena_printf(r->scratch, "attribute '%s'", diag_name(r->ctx, str_pb(p->name)));
    *out = (Attr){.name = arena_str(a, (const char *)p->name.data, p->name.len), .kind = ATTR_OTHER};
    if (p->has_ref_attr_name && p->ref_attr_name.len) {
        diag_error(r->ctx, n, "%s refers to an attribute of a function, outside of one", label); /* function.c replaces others */
        return false;
    }
    switch (type_of(p)) {
    case PB_FLOAT: out->kind = ATTR_FLOAT, out->f = (double)p->f; return true;
    case PB_INT: out->kind = ATTR_INT, out->i = p->i; return true;
    case PB_STRING: out->kind = ATTR_STRING, out->s = arena_str(a, (const char *)p->s.data, p->s.len); return true;
    case PB_FLOATS: out->kind = ATTR_FLOATS; break;
    case PB_INTS: out->kind = ATTR_INTS; break;
    case PB_STRINGS: out->kind = ATTR_STRINGS; break;
    case PB_TENSOR:
        out->kind = ATTR_TENSOR;
        if (p->t) return (out->tensor = tensor_read(r, n->graph, p->t, n, label)) != NULL;
        diag_error(r->ctx, n, "%s holds no tensor", label);
        return false;
    case PB_SPARSE_TENSOR:
        out->kind = ATTR_TENSOR;
        if (p->sparse_tensor)
            return (out->tensor = tensor_read_sparse(r, n->graph, p->sparse_tensor, n, label)) != NULL;
        diag_error(r->ctx, n, "%s holds no tensor", label);
        return false;
    case PB_GRAPH:
        out->kind = ATTR_GRAPH;
        if (p->g) return (out->graph = graph_read(r, p->g, n->graph, scope, depth + 1)) != NULL;
        diag_error(r->ctx, n, "%s holds no graph", label);
        return false;
    case PB_TENSORS:
    case PB_GRAPHS:
    case PB_SPARSE_TENSORS:
    case PB_TYPE:
    case PB_TYPES: return true;
    default: diag_error(r->ctx, n, "%s has the unknown type %" PRId32, label, p->type); return false;
    }
    read_lists(a, p, out);
    return true;
}

bool attrs_read(Reader *r, Node *n, const Pb__Node *p, const Scope *scope, int depth) {
    if (p->n_attribute > MAX_ATTRS) {
        diag_error(r->ctx, n, "%zu attributes are more than mcc handles, %d", p->n_attribute, MAX_ATTRS);
        return false;
    }
    n->attrs = ARENA_ARRAY(n->graph->arena, p->n_attribute, Attr);
    for (size_t i = 0; i < p->n_attribute; i++) {
        if (!read_attr(r, n, p->attribute[i], scope, depth, &n->attrs[i])) return false;
        n->n_attrs++;
    }
    return true;
}

static Tensor *list_tensor(Graph *g, Dtype t, const Attr *a, int rank) {
    int64_t dims[1] = {a->n};
    Tensor *out = tensor_new(g, t, rank, dims);
    if (!out) return NULL;
    float *floats = (float *)out->data;
    int64_t *ints = (int64_t *)out->data;
    for (int i = 0; i < (rank ? a->n : 1); i++) {
        if (t == DT_F32) floats[i] = (float)(rank ? a->floats[i] : a->f);
        else ints[i] = rank ? a->ints[i] : a->i;
    }
    return out;
}

bool constant_take(Reader *r, Node *n) {
    const Attr *a = n->n_attrs == 1 ? &n->attrs[0] : NULL;
    const Tensor *t = NULL;
    if (n->n_out != 1 || n->n_in || !a) {
        diag_error(r->ctx, n, "a Constant has one output, no input, and one attribute that says its value");
        return false;
    }
    if (a->kind == ATTR_TENSOR && (str_is(a->name, "value") || str_is(a->name, "sparse_value"))) t = a->tensor;
    else if (a->kind == ATTR_FLOAT && str_is(a->name, "value_float")) t = list_tensor(n->graph, DT_F32, a, 0);
    else if (a->kind == ATTR_INT && str_is(a->name, "value_int")) t = list_tensor(n->graph, DT_I64, a, 0);
    else if (a->kind == ATTR_FLOATS && str_is(a->name, "value_floats")) t = list_tensor(n->graph, DT_F32, a, 1);
    else if (a->kind == ATTR_INTS && str_is(a->name, "value_ints")) t = list_tensor(n->graph, DT_I64, a, 1);
    else diag_error(r->ctx, n, "attribute '%s' is no value that mcc supports", diag_name(r->ctx, a->name));
    if (!t) return false;
    Value *v = n->out[0];
    node_remove(n);
    v->def = NULL;
    value_set_tensor(n->graph, v, t);
    return true;
}
