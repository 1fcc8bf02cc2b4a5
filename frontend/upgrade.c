/* Old forms of operators to the newest, in one place: what stands behind this file knows one form only. Runs when the
 * whole graph is connected and sorted, before inference. Requires: n_uses of outputs is counted. Keeps: the order of
 * nodes, and each output's Value, with its name and what the model declared of it. */
#include <string.h>
#include "frontend/reader.h"

static Value *constant_ints(Graph *g, const int64_t *v, int64_t n) {
    Tensor *t = tensor_new(g, DT_I64, 1, &n);
    if (t && n) memcpy((void *)t->data, v, sizeof *v * (size_t)n);
    return t ? value_of_tensor(g, t) : NULL;
}

Node *upgrade_insert(Node *near, Op op, Node *before, Value **in, int n_in) {
    Node *n = node_new(near->graph, op, before, in, n_in, 1);
    n->name = near->name;
    n->index = near->index;
    return n;
}

/* A float of the dtype that `like` will have. */
static Value *constant_like(Node *n, double v, Value *like) {
    Dtype t = like->type.kind == TYPE_TENSOR ? like->type.dtype : DT_NONE;
    int64_t no_dims[1] = {0};
    Tensor *c = tensor_new(n->graph, t == DT_F64 ? DT_F64 : DT_F32, 0, no_dims);
    if (!c) return NULL;
    float narrow = (float)v;
    memcpy((void *)c->data, t == DT_F64 ? (void *)&v : (void *)&narrow, c->bytes);
    Value *in[2] = {value_of_tensor(n->graph, c), like};
    return t == DT_F32 || t == DT_F64 ? in[0] : upgrade_insert(n, OP_CastLike, n, in, 2)->out[0];
}

static Value *insert_two(Node *n, Op op, Value *x, Value *y) {
    return upgrade_insert(n, op, n, (Value *[]){x, y}, 2)->out[0];
}

static bool set_input(Node *n, int i, Value *v) {
    if (!v) return false;
    if (i >= n->n_in) {
        n->in = arena_grow(n->graph->arena, n->in, (size_t)n->n_in, (size_t)i + 1, sizeof *n->in);
        n->n_in = i + 1;
    }
    n->in[i] = v;
    return true;
}

void upgrade_hand_output(Node *n, int i, Node *to) {
    Value *v = n->out[i];
    n->out[i] = value_new(n->graph, (Str){0});
    n->out[i]->def = n;
    n->out[i]->def_index = i;
    to->out[0] = v;
    v->def = to;
    v->def_index = 0;
}

static bool old_attr(Ctx *ctx, const Node *n, const char *name, AttrKind kind, const Attr **out) {
    *out = node_attr(n, name);
    if (!*out || (*out)->kind == kind) return true;
    diag_error(ctx, n, "attribute '%s' has the wrong type", name);
    return false;
}

static bool wants_inputs(Ctx *ctx, const Node *n, int at_most) {
    if (n->n_in <= at_most && n->n_in > 0 && n->in[0]) return true;
    diag_error(ctx, n, "%d inputs; the operator takes %s%d in this opset", n->n_in, at_most > 1 ? "1 to " : "",
               at_most);
    return false;
}

/* INTS `name` → input i; an absent attribute stays an absent input. */
static bool ints_to_input(Ctx *ctx, Node *n, const char *name, int i) {
    const Attr *a;
    if (!old_attr(ctx, n, name, ATTR_INTS, &a)) return false;
    if (!a) return true;
    if (!set_input(n, i, constant_ints(n->graph, a->ints, a->n))) return false;
    node_remove_attr(n, name);
    return true;
}

static bool axes_to_input(Ctx *ctx, Node *n) { return wants_inputs(ctx, n, 1) && ints_to_input(ctx, n, "axes", 1); }

static bool upgrade_slice(Ctx *ctx, Node *n) {
    return wants_inputs(ctx, n, 1) && ints_to_input(ctx, n, "starts", 1) && ints_to_input(ctx, n, "ends", 2) &&
           ints_to_input(ctx, n, "axes", 3);
}

static bool upgrade_pad(Ctx *ctx, Node *n) {
    const Attr *value;
    if (!wants_inputs(ctx, n, 1) || !ints_to_input(ctx, n, "pads", 1) || !old_attr(ctx, n, "value", ATTR_FLOAT, &value))
        return false;
    if (value && value->f != 0 && !set_input(n, 2, constant_like(n, value->f, n->in[0]))) return false;
    node_remove_attr(n, "value");
    return true;
}

static bool upgrade_clip(Ctx *ctx, Node *n) {
    static const char *const names[] = {"min", "max"};
    if (!wants_inputs(ctx, n, 1)) return false;
    for (int i = 0; i < 2; i++) {
        const Attr *a;
        if (!old_attr(ctx, n, names[i], ATTR_FLOAT, &a)) return false;
        if (a && !set_input(n, i + 1, constant_like(n, a->f, n->in[0]))) return false;
        node_remove_attr(n, names[i]);
    }
    return true;
}

static bool upgrade_split_sizes(Ctx *ctx, Node *n) {
    return wants_inputs(ctx, n, 1) && ints_to_input(ctx, n, "split", 1);
}

/* Before num_outputs, a Split without sizes had as many equal parts as outputs. */
static bool upgrade_split_count(Ctx *ctx, Node *n) {
    (void)ctx;
    if (!node_in(n, 1)) node_set_int(n, "num_outputs", n->n_out);
    return true;
}

/* The ratio counts in training only; until opset 10 the mask was of the data's type. */
static bool upgrade_dropout(Ctx *ctx, Node *n) {
    const Attr *a;
    if (!wants_inputs(ctx, n, 1) || !old_attr(ctx, n, "ratio", ATTR_FLOAT, &a)) return false;
    node_remove_attr(n, "ratio");
    return true;
}

static bool upgrade_dropout_mask(Ctx *ctx, Node *n) {
    (void)ctx;
    if (n->n_out == 2 && (!n->out[1] || n->out[1]->n_uses == 0)) n->n_out = 1;
    if (n->n_out < 2 || !n->out[1] || n->n_in < 1 || !n->in[0]) return true;
    Value *in[2] = {NULL, n->in[0]};
    Node *cast = upgrade_insert(n, OP_CastLike, n->next, in, 2);
    upgrade_hand_output(n, 1, cast);
    cast->in[0] = n->out[1];
    return true;
}

/* Statistics for each place of each channel, without the batch: (x - mean) / sqrt(variance + epsilon) · scale + bias */
static bool normalise_places(Ctx *ctx, Node *n) {
    const Attr *epsilon;
    for (int i = 0; i < 5; i++)
        if (!node_in(n, i)) {
            diag_error(ctx, n, "input %d is missing", i);
            return false;
        }
    if (!old_attr(ctx, n, "epsilon", ATTR_FLOAT, &epsilon)) return false;
    Value *least = constant_like(n, epsilon ? epsilon->f : 1e-5, n->in[4]);
    if (!least) return false;
    Value *centred = insert_two(n, OP_Sub, n->in[0], n->in[3]);
    Value *deviation = upgrade_insert(n, OP_Sqrt, n, (Value *[]){insert_two(n, OP_Add, n->in[4], least)}, 1)->out[0];
    Value *scaled = insert_two(n, OP_Mul, insert_two(n, OP_Div, centred, deviation), n->in[1]), *bias = n->in[2];
    n->op = OP_Add;
    n->in[0] = scaled;
    n->in[1] = bias;
    n->n_in = 2;
    node_remove_attr(n, "epsilon");
    node_remove_attr(n, "momentum");
    return true;
}

static bool upgrade_batch_norm(Ctx *ctx, Node *n) {
    const Attr *spatial;
    if (!old_attr(ctx, n, "spatial", ATTR_INT, &spatial)) return false;
    bool of_places = spatial && spatial->i == 0;
    node_remove_attr(n, "spatial");
    if (n->n_out > 1) {
        diag_error(ctx, n, "%d outputs mean training in this opset; export the model for inference", n->n_out);
        return false;
    }
    return !of_places || normalise_places(ctx, n);
}

/* The old form took its input as a matrix, with the axis at which the columns begin. */
static bool upgrade_softmax(Ctx *ctx, Node *n) {
    const Attr *a;
    if (!wants_inputs(ctx, n, 1) || !old_attr(ctx, n, "axis", ATTR_INT, &a)) return false;
    Value *x = n->in[0];
    int64_t axis = a ? a->i : 1;
    int rank = x->def ? -1 : x->type.rank; /* what is declared of a node's output may be wrong */
    node_set_int(n, "axis", -1);
    if (n->n_out < 1 || axis == -1 || (rank > 0 && axis == rank - 1)) return true;
    Node *shape = upgrade_insert(n, OP_Shape, n, &x, 1);
    Node *flat = upgrade_insert(n, OP_Flatten, n, &x, 1);
    node_set_int(flat, "axis", axis);
    n->in[0] = flat->out[0];
    Value *back[2] = {NULL, shape->out[0]};
    Node *reshape = upgrade_insert(n, OP_Reshape, n->next, back, 2);
    upgrade_hand_output(n, 0, reshape);
    reshape->in[0] = n->out[0];
    return true;
}

/* X, scales → X, roi, scales; coordinates are y = x·scale. */
static void set_asymmetric(Node *n, Value *scales, const char *rounding) {
    if (n->n_in < 3) set_input(n, 2, scales);
    n->in[1] = NULL;
    n->in[2] = scales;
    node_set_string(n, "coordinate_transformation_mode", "asymmetric");
    node_set_string(n, "nearest_mode", rounding);
}

static bool upgrade_upsample_attr(Ctx *ctx, Node *n) {
    const Attr *a;
    if (n->n_in == 2 && !node_attr(n, "scales")) return true; /* as ancient.c leaves it */
    if (!wants_inputs(ctx, n, 1) || !old_attr(ctx, n, "scales", ATTR_FLOATS, &a)) return false;
    int64_t count = a ? a->n : 0;
    Tensor *t = tensor_new(n->graph, DT_F32, 1, &count);
    if (!t) return false;
    for (int i = 0; i < count; i++) ((float *)t->data)[i] = (float)a->floats[i];
    node_remove_attr(n, "scales");
    return set_input(n, 1, value_of_tensor(n->graph, t));
}

static bool scales_input(Ctx *ctx, const Node *n) {
    if (wants_inputs(ctx, n, 2) && node_in(n, 1)) return true;
    if (n->n_in == 1) diag_error(ctx, n, "the scales are missing");
    return false;
}

static bool upgrade_upsample(Ctx *ctx, Node *n) {
    if (!scales_input(ctx, n)) return false;
    set_asymmetric(n, n->in[1], "floor");
    return true;
}

/* The scales above 1, or those below; the others become 1. */
static Value *some_scales(Graph *g, const Tensor *scales, bool up) {
    Tensor *t = tensor_new(g, DT_F32, 1, scales->dims);
    for (int64_t i = 0; t && i < scales->dims[0]; i++) {
        double s = tensor_float(scales, i);
        ((float *)t->data)[i] = (float)((s > 1) == up ? s : 1);
    }
    return t ? value_of_tensor(g, t) : NULL;
}

/* Nearest rounded down where an axis grows and up where it shrinks: two steps where a node did both. */
static bool upgrade_resize_10(Ctx *ctx, Node *n) {
    if (!scales_input(ctx, n)) return false;
    const Tensor *t = n->in[1]->constant;
    int up = 0, down = 0;
    bool known = t && t->dtype == DT_F32 && t->rank == 1;
    for (int64_t i = 0; known && i < t->dims[0]; i++) up += tensor_float(t, i) > 1, down += tensor_float(t, i) < 1;
    if (up && down && node_enum(n, "mode") == 0) {
        Node *first = upgrade_insert(n, OP_Resize, n, n->in, n->n_in);
        Value *shrink = some_scales(n->graph, t, false), *grow = some_scales(n->graph, t, true);
        if (!shrink || !grow) return false;
        set_asymmetric(first, grow, "floor");
        n->in[0] = first->out[0];
        n->in[1] = shrink;
    }
    set_asymmetric(n, n->in[1], down ? "ceil" : "floor");
    return true;
}

/* An empty constant is the old spelling of an absent input. */
static bool upgrade_resize(Ctx *ctx, Node *n) {
    (void)ctx;
    for (int i = 1; i < n->n_in; i++)
        if (n->in[i] && n->in[i]->constant && n->in[i]->constant->bytes == 0) n->in[i] = NULL;
    return true;
}

static bool upgrade_top_k(Ctx *ctx, Node *n) {
    const Attr *k;
    if (!wants_inputs(ctx, n, 1) || !old_attr(ctx, n, "k", ATTR_INT, &k)) return false;
    if (!k) {
        diag_error(ctx, n, "attribute k is missing");
        return false;
    }
    if (!set_input(n, 1, constant_ints(n->graph, &k->i, 1))) return false;
    node_remove_attr(n, "k");
    return true;
}

/* The axis was an attribute, 1 by default. */
static bool upgrade_dft(Ctx *ctx, Node *n) {
    const Attr *axis;
    if (!wants_inputs(ctx, n, 2) || !old_attr(ctx, n, "axis", ATTR_INT, &axis)) return false;
    int64_t at = axis ? axis->i : 1;
    node_remove_attr(n, "axis");
    return set_input(n, 2, constant_ints(n->graph, &at, 1));
}

/* Before it was an attribute, coordinates were not shifted. */
static bool upgrade_roi_align(Ctx *ctx, Node *n) {
    (void)ctx;
    if (!node_attr(n, "coordinate_transformation_mode"))
        node_set_string(n, "coordinate_transformation_mode", "output_half_pixel");
    return true;
}

typedef struct Upgrade {
    const char *name; /* the model's */
    int before;       /* the opset that brought the newer form */
    bool (*run)(Ctx *ctx, Node *n);
    const char *gone[2]; /* attributes that the newer form does not have */
} Upgrade;

enum { ALWAYS = OPSET_MAX + 1 };
static const Upgrade upgrades[] = {
    /* of one operator: from old to new */
    {"BatchNormalization", 14, upgrade_batch_norm, {NULL}},
    {"Clip", 11, upgrade_clip, {"min", "max"}},
    {"DFT", 20, upgrade_dft, {"axis"}},
    {"Dropout", 10, upgrade_dropout_mask, {NULL}},
    {"Dropout", 12, upgrade_dropout, {"ratio"}},
    {"Hardmax", 13, upgrade_softmax, {NULL}},
    {"LogSoftmax", 13, upgrade_softmax, {NULL}},
    {"Pad", 11, upgrade_pad, {"pads", "value"}},
    {"ReduceL1", 18, axes_to_input, {"axes"}},
    {"ReduceL2", 18, axes_to_input, {"axes"}},
    {"ReduceLogSum", 18, axes_to_input, {"axes"}},
    {"ReduceLogSumExp", 18, axes_to_input, {"axes"}},
    {"ReduceMax", 18, axes_to_input, {"axes"}},
    {"ReduceMean", 18, axes_to_input, {"axes"}},
    {"ReduceMin", 18, axes_to_input, {"axes"}},
    {"ReduceProd", 18, axes_to_input, {"axes"}},
    {"ReduceSum", 13, axes_to_input, {"axes"}},
    {"ReduceSumSquare", 18, axes_to_input, {"axes"}},
    {"Resize", 11, upgrade_resize_10, {NULL}},
    {"Resize", ALWAYS, upgrade_resize, {NULL}},
    {"RoiAlign", 16, upgrade_roi_align, {NULL}},
    {"Scan", 9, upgrade_scan_batch, {"directions"}},
    {"Scan", ALWAYS, upgrade_scan_axes, {NULL}},
    {"Slice", 10, upgrade_slice, {"starts", "ends"}},
    {"Softmax", 13, upgrade_softmax, {NULL}},
    {"Split", 13, upgrade_split_sizes, {"split"}},
    {"Split", 18, upgrade_split_count, {NULL}},
    {"Squeeze", 13, axes_to_input, {"axes"}},
    {"TopK", 10, upgrade_top_k, {"k"}},
    {"Unsqueeze", 13, axes_to_input, {"axes"}},
    {"Upsample", 9, upgrade_upsample_attr, {"scales"}},
    {"Upsample", ALWAYS, upgrade_upsample, {NULL}},
};

Op upgrade_find(Str domain, Str name) {
    if (str_is(domain, "com.microsoft")) return microsoft_find(name);
    if (!is_standard(domain)) return OP_NONE; /* operators of mcc's own domain are no model's business */
    if (str_is(name, "SimplifiedLayerNormalization")) return microsoft_find(name); /* whose optimiser writes it so */
    if (str_is(name, "Scatter")) return OP_ScatterElements;
    return str_is(name, "Upsample") ? OP_Resize : op_find(domain, name);
}

bool upgrade_node(Ctx *ctx, Node *n, Str name, int opset) {
    if (!microsoft_node(ctx, n, name) || !ancient_node(ctx, n, name, opset)) return false;
    const OpInfo *info = op_info(n->op);
    if (opset < info->since && str_is(name, info->name))
        diag_warn(ctx, "opset", n, "the operator came with opset %d, the model's is %d", info->since, opset);
    for (size_t i = 0; i < sizeof upgrades / sizeof *upgrades; i++) {
        const Upgrade *u = &upgrades[i];
        if (!str_is(name, u->name)) continue;
        if (opset < u->before && !u->run(ctx, n)) return false;
        for (int k = 0; opset >= u->before && k < 2; k++) {
            if (!u->gone[k] || !node_attr(n, u->gone[k])) continue;
            diag_error(ctx, n, "attribute '%s' became an input in opset %d, the model's is %d", u->gone[k], u->before,
                       opset);
            return false;
        }
    }
    return true;
}
