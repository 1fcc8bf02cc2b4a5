/* Opsets 1 to 6: what changed before the forms that upgrade.c knows. Two operands were broadcast where an attribute
 * said so, from an axis that it gave; training was an attribute; some names and defaults were others. */
#include <inttypes.h>
#include <string.h>
#include "frontend/reader.h"

enum { ANCIENT = 7 }; /* the first opset that is none */

static bool one_of(Str name, const char *const *names) {
    for (; *names; names++)
        if (str_is(name, *names)) return true;
    return false;
}

/* An attribute of the old form, which goes; NULL: it is not there. false: it is of another kind. */
static bool take_attr(Ctx *ctx, Node *n, const char *name, AttrKind kind, Attr *out, bool *there) {
    const Attr *a = node_attr(n, name);
    *there = a != NULL;
    if (!a) return true;
    if (a->kind != kind) {
        diag_error(ctx, n, "attribute '%s' has the wrong type", name);
        return false;
    }
    *out = *a;
    node_remove_attr(n, name);
    return true;
}

/* The second operand lies along the axes of the first from `axis` on. */
static void align(Node *n, int64_t axis) {
    Value *in[2] = {n->in[1], n->in[0]};
    Node *aligned = upgrade_insert(n, OP_AlignAxes, n, in, 2);
    node_set_int(aligned, "axis", axis);
    n->in[1] = aligned->out[0];
}

static bool has_operands(Ctx *ctx, const Node *n, int count) {
    for (int i = 0; i < count; i++)
        if (i >= n->n_in || !n->in[i]) {
            diag_error(ctx, n, "input %d is missing", i);
            return false;
        }
    return true;
}

static bool broadcast(Ctx *ctx, Node *n) {
    static const char *const attrs[] = {"axis", "broadcast"};
    Attr a[2];
    bool there[2];
    for (int i = 0; i < 2; i++)
        if (!take_attr(ctx, n, attrs[i], ATTR_INT, &a[i], &there[i])) return false;
    if (!there[0] || !there[1] || !a[1].i) return true; /* the last axes, as today */
    if (!has_operands(ctx, n, 2)) return false;
    align(n, a[0].i);
    return true;
}

/* One slope a channel, however many axes follow */
static bool slopes(Ctx *ctx, Node *n) {
    if (!has_operands(ctx, n, 2)) return false;
    align(n, 1);
    return true;
}

static bool drop_training(Ctx *ctx, Node *n) {
    Attr a;
    bool there;
    return take_attr(ctx, n, "is_test", ATTR_INT, &a, &there);
}

static bool cast(Ctx *ctx, Node *n) {
    Attr a = {0};
    bool there;
    const Attr *to = node_attr(n, "to");
    if (!to || to->kind != ATTR_STRING || !take_attr(ctx, n, "to", ATTR_STRING, &a, &there)) return true;
    static const char *const names[] = {"UNDEFINED", "FLOAT", "UINT8",   "INT8",   "UINT16", "INT16",  "INT32", "INT64",
                                        "STRING",    "BOOL",  "FLOAT16", "DOUBLE", "UINT32", "UINT64", NULL};
    for (int t = 0; names[t]; t++)
        if (str_is(a.s, names[t])) return node_set_int(n, "to", t) != NULL;
    diag_error(ctx, n, "attribute 'to' is '%s', which is no type", diag_name(ctx, a.s));
    return false;
}

static Value *ints(Graph *g, const int64_t *v, int64_t count) {
    Tensor *t = tensor_new(g, DT_I64, 1, &count);
    if (t && count) memcpy((void *)t->data, v, sizeof *v * (size_t)count);
    return t ? value_of_tensor(g, t) : NULL;
}

/* an only input, and another that was an attribute */
static bool second_input(Ctx *ctx, Node *n, Value *v) {
    if (!v || !has_operands(ctx, n, 1)) return false;
    Value **in = ARENA_ARRAY(n->graph->arena, 2, Value *);
    in[0] = n->in[0];
    in[1] = v;
    n->in = in;
    n->n_in = 2;
    return true;
}

static bool reshape(Ctx *ctx, Node *n) {
    Attr a;
    bool there;
    if (!take_attr(ctx, n, "shape", ATTR_INTS, &a, &there)) return false;
    return !there || second_input(ctx, n, ints(n->graph, a.ints, a.n));
}

static bool pad(Ctx *ctx, Node *n) {
    Attr a;
    bool there;
    if (!take_attr(ctx, n, "paddings", ATTR_INTS, &a, &there)) return false;
    if (there) node_set_ints(n, "pads", a.ints, a.n);
    return true;
}

static bool concat(Ctx *ctx, Node *n) {
    (void)ctx;
    if (!node_attr(n, "axis")) node_set_int(n, "axis", 1);
    return true;
}

/* p was a float */
static bool norm(Ctx *ctx, Node *n) {
    Attr a = {0};
    bool there;
    const Attr *p = node_attr(n, "p");
    if (!p || p->kind != ATTR_FLOAT || !take_attr(ctx, n, "p", ATTR_FLOAT, &a, &there)) return true;
    if (a.f == (double)(int64_t)a.f) return node_set_int(n, "p", (int64_t)a.f) != NULL;
    diag_error(ctx, n, "p is %g; only whole numbers are supported", a.f);
    return false;
}

static bool selu(Ctx *ctx, Node *n) {
    (void)ctx;
    if (!node_attr(n, "alpha")) node_set_float(n, "alpha", (double)1.6732f);
    if (!node_attr(n, "gamma")) node_set_float(n, "gamma", (double)1.0507f);
    return true;
}

static bool upsample(Ctx *ctx, Node *n) {
    Attr h = {0}, w = {0};
    bool has_h, has_w;
    if (!take_attr(ctx, n, "height_scale", ATTR_FLOAT, &h, &has_h) ||
        !take_attr(ctx, n, "width_scale", ATTR_FLOAT, &w, &has_w) || (!has_h && !has_w))
        return true;
    if (!has_h || !has_w) {
        diag_error(ctx, n, "one of height_scale and width_scale is missing");
        return false;
    }
    int64_t count = 4;
    Tensor *t = tensor_new(n->graph, DT_F32, 1, &count);
    if (!t) return false;
    const float scales[4] = {1, 1, (float)h.f, (float)w.f};
    memcpy((void *)t->data, scales, sizeof scales);
    return second_input(ctx, n, value_of_tensor(n->graph, t));
}

static bool constant_number(Ctx *ctx, const Node *n, int in, int64_t least, int64_t most, int64_t *out) {
    const Tensor *t = n->in[in]->constant;
    bool number = t && t->bytes && (dtype_class(t->dtype) & (DTC_F | DTC_I | DTC_U));
    double v = number ? tensor_float(t, 0) : 0;
    if (!number || !(v >= (double)least && v <= (double)most)) {
        diag_error(ctx, n, "input %d must be a constant number from %" PRId64 " to %" PRId64, in, least, most);
        return false;
    }
    *out = (int64_t)v;
    return true;
}

/* So many copies along one axis: the two are numbers of the data's type. */
static bool tile(Ctx *ctx, Node *n) {
    enum { MOST_COPIES = 4096 };
    int64_t copies, axis;
    if (n->n_in != 3) return true;
    if (!has_operands(ctx, n, 3) || !constant_number(ctx, n, 1, 1, MOST_COPIES, &copies) ||
        !constant_number(ctx, n, 2, -MCC_MAX_RANK, MCC_MAX_RANK, &axis))
        return false;
    Value **in = ARENA_ARRAY(n->graph->arena, copies, Value *);
    for (int64_t i = 0; i < copies; i++) in[i] = n->in[0];
    n->op = OP_Concat;
    n->in = in;
    n->n_in = (int)copies;
    node_set_int(n, "axis", axis);
    return true;
}

static bool sequence(Ctx *ctx, Node *n) {
    Attr a;
    bool there;
    return take_attr(ctx, n, "output_sequence", ATTR_INT, &a, &there);
}

static const struct {
    const char *name;
    int before;
    bool (*run)(Ctx *ctx, Node *n);
} changes[] = {
    {"BatchNormalization", 7, drop_training},
    {"Cast", 6, cast},
    {"Concat", 4, concat},
    {"Dropout", 7, drop_training},
    {"GRU", 7, sequence},
    {"Gemm", 7, broadcast},
    {"GlobalLpPool", 2, norm},
    {"LSTM", 7, sequence},
    {"LpPool", 2, norm},
    {"PRelu", 7, slopes},
    {"Pad", 2, pad},
    {"RNN", 7, sequence},
    {"Reshape", 5, reshape},
    {"Selu", 6, selu},
    {"Tile", 6, tile},
    {"Upsample", 7, upsample},
};

bool ancient_node(Ctx *ctx, Node *n, Str name, int opset) {
    static const char *const binary[] = {"Add", "And", "Div", "Equal", "Greater", "Less",
                                         "Mul", "Or",  "Pow", "Sub",   "Xor",     NULL};
    if (opset >= ANCIENT) return true;
    node_remove_attr(n, "consumed_inputs");
    if (one_of(name, binary) && !broadcast(ctx, n)) return false;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        if (opset < changes[i].before && str_is(name, changes[i].name) && !changes[i].run(ctx, n)) return false;
    return true;
}
