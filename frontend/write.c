/* A Graph to an ONNX file: nodes in order, constants as initializers in the order of their first use, names as the
 * model has them. Values that have no name, or another's, get a fresh one, nodes none. Requires operators of the
 * standard, and mcc.View and mcc.MoveAxis, which become a Reshape and a Transpose; any other of mcc's own is an error.
 * The file depends on the graph alone. Weights go from memory to the file, without a copy. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "frontend/frontend.h"
#include "frontend/reader.h"

/* What the newest forms of the operators need, and the ir_version that goes with an opset. */
enum { OPSET_LEAST = 18 };
static const struct {
    int opset, ir_version;
} ir_versions[] = {{25, 13}, {24, 12}, {23, 11}, {21, 10}, {19, 9}, {0, 8}};

typedef struct Writer {
    Ctx *ctx;
    Arena *a;
    const Graph *g;
    ProtobufCBinaryData *names; /* by the id of a value or a node; no data: it has none yet */
    const char *stem;           /* no name of the model begins with it */
    int n_fresh;
    Pb__Tensor **tensors;
    size_t n_tensors, room;
    bool *written; /* by id: a constant that is among the tensors */
    int opset;
} Writer;

static ProtobufCBinaryData bytes_of(const void *p, size_t n) {
    return (ProtobufCBinaryData){n, (uint8_t *)(uintptr_t)p};
}

static ProtobufCBinaryData pb_str(Str s) { return bytes_of(s.p, s.n); }
static ProtobufCBinaryData pb_text(const char *s) { return bytes_of(s, strlen(s)); }

static bool cannot_write(Writer *w, const Node *n, const char *what) {
    diag_error(w->ctx, n, "%s cannot be written as ONNX", what);
    return false;
}

/* ---- names ---- */

typedef struct Named {
    Str name;
    int id; /* of a value or a node */
    int order;
} Named;

typedef struct NameList {
    Named *item; /* NULL while they are counted */
    int n;
} NameList;

static int compare_named(const void *a, const void *b) {
    const Named *x = a, *y = b;
    int c = memcmp(x->name.p, y->name.p, x->name.n < y->name.n ? x->name.n : y->name.n);
    if (c || x->name.n != y->name.n) return c ? c : x->name.n < y->name.n ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

static void add_name(NameList *l, Str name, int id, int order) {
    if (!name.n) return;
    if (l->item) l->item[l->n] = (Named){name, id, order};
    l->n++;
}

static void add_value(NameList *l, const Value *v) {
    if (v) add_name(l, v->name, v->id, l->n);
}

/* Inputs and outputs first: they keep their names in any case. Bodies come behind; what they capture is called there as
 * it is outside. */
static void list_values(const Graph *g, int captured, NameList *l) {
    Graph *bodies[MAX_BODIES];
    for (int i = 0; i < g->n_inputs - captured; i++) add_value(l, g->inputs[i]);
    for (int i = 0; i < g->n_outputs; i++) add_value(l, g->outputs[i]);
    for (const Node *n = g->first; n; n = n->next) {
        for (int i = 0; i < n->n_in; i++) add_value(l, n->in[i]);
        for (int i = 0; i < n->n_out; i++) add_value(l, n->out[i]);
    }
    for (const Node *n = g->first; n; n = n->next)
        for (int i = 0, count = node_bodies(n, bodies); i < count; i++) list_values(bodies[i], n->n_captured, l);
}

/* Of nodes with one name the last keeps it: what mcc puts before a node is often called like it. */
static void list_nodes(const Graph *g, int captured, NameList *l) {
    Graph *bodies[MAX_BODIES];
    (void)captured;
    for (const Node *n = g->first; n; n = n->next) {
        for (int i = 0, count = node_bodies(n, bodies); i < count; i++) list_nodes(bodies[i], 0, l);
        add_name(l, n->name, n->id, -l->n);
    }
}

static bool begins_with(Str s, const char *stem, size_t n) { return s.n >= n && !memcmp(s.p, stem, n); }

/* "v", or as many underscores more as it takes */
static const char *unused_stem(Writer *w, const NameList *l) {
    const char *stem = "v";
    for (int i = 0; i < l->n; i++) {
        if (!begins_with(l->item[i].name, stem, strlen(stem))) continue;
        stem = arena_printf(w->a, "%s_", stem);
        i = -1;
    }
    return stem;
}

static NameList keep_names(Writer *w, void (*list)(const Graph *g, int captured, NameList *l)) {
    NameList l = {0};
    list(w->g, 0, &l);
    l.item = ARENA_ARRAY(w->a, l.n + 1, Named);
    l.n = 0;
    list(w->g, 0, &l);
    if (l.n) qsort(l.item, (size_t)l.n, sizeof *l.item, compare_named);
    for (int i = 0; i < l.n; i++)
        if (!i || !str_eq(l.item[i].name, l.item[i - 1].name)) w->names[l.item[i].id] = pb_str(l.item[i].name);
    return l;
}

static ProtobufCBinaryData fresh_name(Writer *w) { return pb_text(arena_printf(w->a, "%s%d", w->stem, w->n_fresh++)); }

static ProtobufCBinaryData name_of(Writer *w, const Value *v) {
    if (!v) return (ProtobufCBinaryData){0};
    ProtobufCBinaryData *name = &w->names[v->id];
    if (!name->data) *name = fresh_name(w);
    return *name;
}

/* ---- tensors ---- */

static Pb__Tensor *write_tensor(Writer *w, const Tensor *t, ProtobufCBinaryData name) {
    Pb__Tensor *p = ARENA_NEW(w->a, Pb__Tensor);
    pb__tensor__init(p);
    p->n_dims = (size_t)t->rank;
    p->dims = (int64_t *)(uintptr_t)t->dims;
    p->has_data_type = true;
    p->data_type = (int32_t)t->dtype;
    p->has_name = name.len > 0;
    p->name = name;
    p->has_raw_data = true;
    p->raw_data = bytes_of(t->data, t->bytes);
    return p;
}

static void add_tensor(Writer *w, const Tensor *t, ProtobufCBinaryData name) {
    if (w->n_tensors == w->room) {
        size_t room = 2 * w->room + 16;
        w->tensors = arena_grow(w->a, w->tensors, w->room, room, sizeof *w->tensors);
        w->room = room;
    }
    w->tensors[w->n_tensors++] = write_tensor(w, t, name);
}

static bool add_constant(Writer *w, const Value *v) {
    if (!v || !v->constant || v->def || w->written[v->id]) return true;
    if (v->constant->dtype == DT_STRING) return cannot_write(w, NULL, "a tensor of strings");
    w->written[v->id] = true;
    add_tensor(w, v->constant, name_of(w, v));
    return true;
}

/* ---- types ---- */

static Pb__Dim *write_dim(Writer *w, Dim d) {
    Pb__Dim *p = ARENA_NEW(w->a, Pb__Dim);
    pb__dim__init(p);
    if (!d || dim_has_data(d)) return p;
    if (dim_is_const(d, &p->dim_value)) {
        p->value_case = PB__DIM__VALUE_DIM_VALUE;
        return p;
    }
    p->value_case = PB__DIM__VALUE_DIM_PARAM;
    p->dim_param = d->kind == DIM_SYMBOL ? pb_str(d->name) : pb_text(dim_text(w->ctx, d));
    return p;
}

static Pb__ValueInfo *write_info(Writer *w, const Value *v) {
    Pb__ValueInfo *info = ARENA_NEW(w->a, Pb__ValueInfo);
    Pb__Type *type = ARENA_NEW(w->a, Pb__Type);
    Pb__Type__Dense *dense = ARENA_NEW(w->a, Pb__Type__Dense);
    Pb__Shape *shape = ARENA_NEW(w->a, Pb__Shape);
    pb__value_info__init(info);
    pb__type__init(type);
    pb__type__dense__init(dense);
    pb__shape__init(shape);
    const Type *shown = v->claimed ? v->claimed : &v->type;
    shape->n_dim = (size_t)shown->rank;
    shape->dim = ARENA_ARRAY(w->a, shown->rank, Pb__Dim *);
    for (int i = 0; i < shown->rank; i++) shape->dim[i] = write_dim(w, shown->dims[i]);
    dense->has_elem_type = true;
    dense->elem_type = (int32_t)v->type.dtype;
    dense->shape = shape;
    type->value_case = PB__TYPE__VALUE_TENSOR_TYPE;
    type->tensor_type = dense;
    info->has_name = true;
    info->name = name_of(w, v);
    info->type = type;
    return info;
}

static Pb__ValueInfo **write_infos(Writer *w, Value *const *values, int n) {
    Pb__ValueInfo **infos = ARENA_ARRAY(w->a, n, Pb__ValueInfo *);
    for (int i = 0; i < n; i++) infos[i] = write_info(w, values[i]);
    return infos;
}

/* ---- attributes; the numbers are AttributeProto.AttributeType's ---- */

static Pb__Attribute *new_attr(Writer *w, Str name, int32_t type) {
    Pb__Attribute *p = ARENA_NEW(w->a, Pb__Attribute);
    pb__attribute__init(p);
    p->has_name = p->has_type = true;
    p->name = pb_str(name);
    p->type = type;
    return p;
}

static void write_list(Writer *w, const Attr *a, Pb__Attribute *p) {
    size_t n = (size_t)a->n;
    if (a->kind == ATTR_INTS) {
        p->n_ints = n;
        p->ints = (int64_t *)(uintptr_t)a->ints;
    } else if (a->kind == ATTR_FLOATS) {
        p->n_floats = n;
        p->floats = ARENA_ARRAY(w->a, n, float);
        for (size_t i = 0; i < n; i++) p->floats[i] = (float)a->floats[i];
    } else {
        p->n_strings = n;
        p->strings = ARENA_ARRAY(w->a, n, ProtobufCBinaryData);
        for (size_t i = 0; i < n; i++) p->strings[i] = pb_str(a->strings[i]);
    }
}

static bool write_body(Writer *w, const Node *n, const Graph *body, Pb__Graph **out);

static bool write_attr(Writer *w, const Node *n, const Attr *a, Pb__Attribute **out) {
    static const int32_t types[] = {[ATTR_FLOAT] = 1, [ATTR_INT] = 2,    [ATTR_STRING] = 3, [ATTR_TENSOR] = 4,
                                    [ATTR_GRAPH] = 5, [ATTR_FLOATS] = 6, [ATTR_INTS] = 7,   [ATTR_STRINGS] = 8};
    bool known = a->kind <= ATTR_GRAPH && a->kind != ATTR_NONE;
    Pb__Attribute *p = *out = new_attr(w, a->name, known ? types[a->kind] : 0);
    switch (a->kind) {
    case ATTR_FLOAT: p->has_f = true, p->f = (float)a->f; return true;
    case ATTR_INT: p->has_i = true, p->i = a->i; return true;
    case ATTR_STRING: p->has_s = true, p->s = pb_str(a->s); return true;
    case ATTR_TENSOR: p->t = write_tensor(w, a->tensor, (ProtobufCBinaryData){0}); return true;
    case ATTR_FLOATS:
    case ATTR_INTS:
    case ATTR_STRINGS: write_list(w, a, p); return true;
    case ATTR_GRAPH: return write_body(w, n, a->graph, &p->g);
    default: return cannot_write(w, n, arena_printf(w->ctx->arena, "the attribute '%s'", diag_name(w->ctx, a->name)));
    }
}

static bool write_attrs(Writer *w, const Node *n, Pb__Node *p) {
    p->attribute = ARENA_ARRAY(w->a, n->n_attrs + 1, Pb__Attribute *);
    for (int i = 0; i < n->n_attrs; i++)
        if (!write_attr(w, n, &n->attrs[i], &p->attribute[p->n_attribute++])) return false;
    return true;
}

/* ---- nodes ---- */

/* The dims of a view as Reshape takes them: 0 stands for the input's dim on that axis, -1 for one that follows from the
 * others. false: they cannot be said so. */
static bool view_shape(const Node *n, int64_t *out, bool *has_zero) {
    const Type *x = &n->in[0]->type, *y = &n->out[0]->type;
    bool rest = false, copied = false;
    *has_zero = false;
    for (int i = 0; i < y->rank; i++) {
        if (dim_is_const(y->dims[i], &out[i])) {
            *has_zero |= out[i] == 0;
        } else if (i < x->rank && x->dims[i] == y->dims[i]) {
            out[i] = 0;
            copied = true;
        } else {
            if (rest) return false;
            out[i] = -1;
            rest = true;
        }
    }
    return !*has_zero || (!rest && !copied);
}

static bool is_view(const Node *n) { return n->op == OP_View || n->op == OP_AlignAxes; }

static bool view_to_reshape(Writer *w, const Node *n, Pb__Node *p) {
    Tensor *t = ARENA_NEW(w->a, Tensor);
    int64_t *dims = ARENA_ARRAY(w->a, MCC_MAX_RANK, int64_t);
    bool has_zero;
    if (!view_shape(n, dims, &has_zero)) return cannot_write(w, n, "a view with several open dims");
    *t = (Tensor){.dtype = DT_I64, .rank = 1, .dims = {n->out[0]->type.rank}, .data = dims};
    t->bytes = sizeof *dims * (size_t)t->dims[0];
    p->op_type = pb_text("Reshape");
    p->input[1] = fresh_name(w);
    p->n_input = 2;
    p->n_attribute = 0; /* the axis of AlignAxes, which the shape tells */
    add_tensor(w, t, p->input[1]);
    if (!has_zero) return true;
    Pb__Attribute *a = p->attribute[p->n_attribute++] = new_attr(w, str_of("allowzero"), 2);
    a->has_i = true;
    a->i = 1;
    return true;
}

static void move_to_transpose(Writer *w, const Node *n, Pb__Node *p) {
    int64_t *order = ARENA_ARRAY(w->a, MCC_MAX_RANK, int64_t);
    node_axis_order(n, order);
    Pb__Attribute *perm = p->attribute[0] = new_attr(w, str_of("perm"), 7);
    p->n_attribute = 1;
    perm->n_ints = (size_t)n->in[0]->type.rank;
    perm->ints = order;
    p->op_type = pb_text("Transpose");
}

static int dtype_opset(Dtype t) {
    switch (t) {
    case DT_F8E4M3FN:
    case DT_F8E4M3FNUZ:
    case DT_F8E5M2:
    case DT_F8E5M2FNUZ: return 19;
    case DT_U4:
    case DT_I4: return 21;
    case DT_F4E2M1: return 23;
    case DT_F8E8M0: return 24;
    case DT_U2:
    case DT_I2: return 25;
    default: return 0;
    }
}

/* Opset 21 brought blocks, 16-bit integers and output_dtype to QuantizeLinear and DequantizeLinear, 19 other scales
 * than float's. An imported model's own opset has what its operators need; this is for nodes that mcc added. */
static int quantize_opset(const Node *n) {
    if (n->op != OP_QuantizeLinear && n->op != OP_DequantizeLinear) return 0;
    Dtype q = n->op == OP_QuantizeLinear ? n->out[0]->type.dtype : n->in[0]->type.dtype;
    if (node_int(n, "precision")) return 23;
    if (node_int(n, "block_size") || node_int(n, "output_dtype") || q == DT_I16 || q == DT_U16) return 21;
    return n->in[1]->type.dtype == DT_F32 ? 0 : 19;
}

static void need_opset(Writer *w, int opset) {
    if (w->opset < opset) w->opset = opset;
}

static void need_node_opset(Writer *w, const Node *n) {
    if (op_info(n->op)->domain == ONNX) need_opset(w, op_info(n->op)->since);
    need_opset(w, quantize_opset(n));
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i]) need_opset(w, dtype_opset(n->in[i]->type.dtype));
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i]) need_opset(w, dtype_opset(n->out[i]->type.dtype));
}

static bool write_node(Writer *w, const Node *n, Pb__Node **out) {
    const OpInfo *op = op_info(n->op);
    Pb__Node *p = *out = ARENA_NEW(w->a, Pb__Node);
    pb__node__init(p);
    if (op->domain != ONNX && !is_view(n) && n->op != OP_MoveAxis)
        return cannot_write(w, n, arena_printf(w->ctx->arena, "mcc.%s, which is mcc's own,", op->name));
    for (int i = 0; i < n->n_in; i++)
        if (!add_constant(w, n->in[i])) return false;
    p->input = ARENA_ARRAY(w->a, n->n_in + 1, ProtobufCBinaryData);
    p->output = ARENA_ARRAY(w->a, n->n_out, ProtobufCBinaryData);
    for (int i = 0; i < n->n_in - n->n_captured; i++) p->input[p->n_input++] = name_of(w, n->in[i]);
    for (int i = 0; i < n->n_out; i++) p->output[p->n_output++] = name_of(w, n->out[i]);
    p->name = w->names[n->id];
    p->has_name = p->name.len > 0;
    p->has_op_type = true;
    p->op_type = pb_text(op->name);
    need_node_opset(w, n);
    if (!write_attrs(w, n, p)) return false;
    if (n->op == OP_MoveAxis) move_to_transpose(w, n, p);
    return !is_view(n) || view_to_reshape(w, n, p);
}

/* ---- the model ---- */

/* What the model claimed of values inside the graph. */
static void write_claims(Writer *w, const Graph *g, Pb__Graph *p) {
    size_t most = 0;
    for (const Node *n = g->first; n; n = n->next) most += (size_t)n->n_out;
    p->value_info = ARENA_ARRAY(w->a, most, Pb__ValueInfo *);
    for (const Node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->n_out; i++)
            if (n->out[i] && n->out[i]->claimed && !graph_is_output(g, n->out[i]))
                p->value_info[p->n_value_info++] = write_info(w, n->out[i]);
}

/* Without initializers: those of bodies stand in the model's graph. */
static bool write_graph(Writer *w, const Graph *g, int captured, Pb__Graph *p) {
    size_t n_nodes = (size_t)g->n_outputs; /* room for what write_body adds */
    pb__graph__init(p);
    for (const Node *n = g->first; n; n = n->next) n_nodes++;
    p->has_name = true; /* the standard wants one */
    p->name = g->name.n ? pb_str(g->name) : pb_text("graph");
    p->node = ARENA_ARRAY(w->a, n_nodes, Pb__Node *);
    for (const Node *n = g->first; n; n = n->next)
        if (!write_node(w, n, &p->node[p->n_node++])) return false;
    for (int i = 0; i < g->n_outputs; i++)
        if (!add_constant(w, g->outputs[i])) return false;
    p->n_input = (size_t)(g->n_inputs - captured);
    p->input = write_infos(w, g->inputs, g->n_inputs - captured);
    p->n_output = (size_t)g->n_outputs;
    p->output = write_infos(w, g->outputs, g->n_outputs);
    write_claims(w, g, p);
    return true;
}

/* A body gives what its nodes make, once: all else goes through an Identity. */
static void copy_output(Writer *w, const Graph *body, int i, Pb__Graph *p) {
    bool own = body->outputs[i]->def != NULL;
    for (int k = 0; k < i && own; k++) own = body->outputs[k] != body->outputs[i];
    if (own) return;
    Pb__Node *copy = p->node[p->n_node++] = ARENA_NEW(w->a, Pb__Node);
    pb__node__init(copy);
    copy->has_op_type = true;
    copy->op_type = pb_text("Identity");
    copy->n_input = copy->n_output = 1;
    copy->input = ARENA_ARRAY(w->a, 1, ProtobufCBinaryData);
    copy->output = ARENA_ARRAY(w->a, 1, ProtobufCBinaryData);
    copy->input[0] = name_of(w, body->outputs[i]);
    copy->output[0] = p->output[i]->name = fresh_name(w);
}

static bool write_body(Writer *w, const Node *n, const Graph *body, Pb__Graph **out) {
    Pb__Graph *p = *out = ARENA_NEW(w->a, Pb__Graph);
    if (body->refused) return cannot_write(w, n, "a branch that cannot run");
    for (int i = 0; i < n->n_captured; i++)
        w->names[body->inputs[body->n_inputs - n->n_captured + i]->id] = name_of(w, n->in[n->n_in - n->n_captured + i]);
    if (!write_graph(w, body, n->n_captured, p)) return false;
    for (int i = 0; i < body->n_outputs; i++) copy_output(w, body, i, p);
    return true;
}

static int ir_version_of(int opset) {
    int i = 0;
    while (opset < ir_versions[i].opset) i++;
    return ir_versions[i].ir_version;
}

typedef struct FileBuffer {
    ProtobufCBuffer base;
    FILE *out;
} FileBuffer;

static void append(ProtobufCBuffer *b, size_t n, const uint8_t *p) {
    if (n) fwrite(p, 1, n, ((FileBuffer *)b)->out); /* whoever closes the file asks for its errors */
}

static bool write_model(Writer *w, FILE *out) {
    Pb__Graph graph;
    Pb__Model model = PB__MODEL__INIT;
    Pb__OperatorSet set = PB__OPERATOR_SET__INIT, *sets = &set;
    if (!write_graph(w, w->g, 0, &graph)) return false;
    graph.n_initializer = w->n_tensors;
    graph.initializer = w->tensors;
    set.has_domain = set.has_version = true;
    set.version = w->opset;
    model.has_ir_version = true;
    model.ir_version = ir_version_of(w->opset);
    model.has_producer_name = model.has_producer_version = true;
    model.producer_name = pb_text("mcc");
    model.producer_version = pb_text(MCC_VERSION);
    model.graph = &graph;
    model.n_opset_import = 1;
    model.opset_import = &sets;
    size_t bytes = pb__model__get_packed_size(&model);
    if (bytes > INT32_MAX) {
        diag_error(w->ctx, NULL, "as ONNX it would take %zu bytes; such a file ends at %d", bytes, INT32_MAX);
        return false;
    }
    FileBuffer buffer = {{append}, out};
    pb__model__pack_to_buffer(&model, &buffer.base);
    return true;
}

bool onnx_write(Ctx *ctx, const Graph *g, FILE *out) {
    Writer w = {.ctx = ctx, .a = arena_new(ctx), .g = g, .opset = g->opset > OPSET_LEAST ? g->opset : OPSET_LEAST};
    w.names = ARENA_ARRAY(w.a, ctx->next_id + 1, ProtobufCBinaryData);
    w.written = ARENA_ARRAY(w.a, ctx->next_id + 1, bool);
    NameList values = keep_names(&w, list_values);
    w.stem = unused_stem(&w, &values);
    keep_names(&w, list_nodes);
    bool good = write_model(&w, out);
    arena_free(w.a);
    return good;
}
