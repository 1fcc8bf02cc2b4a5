/* What ONNX Runtime's optimiser fuses (domain com.microsoft) becomes the parts again, as operators of the standard,
 * which mcc fuses for itself:
 *
 *   BiasGelu, FastGelu, QuickGelu             Add, Gelu, Swish
 *   FusedConv, FusedGemm                      Conv or Gemm, Add of a residual, an activation
 *   SimplifiedLayerNormalization              RMSNormalization
 *   Skip…LayerNormalization(x, skip, …)       Add, LayerNormalization or RMSNormalization; the sum is an output too
 *
 *   EmbedLayerNormalization                   Gather of words, places and segments, Add, LayerNormalization
 *
 * Runs with upgrade.c, and requires what it does. */
#include "frontend/reader.h"

static bool refuse(Ctx *ctx, const Node *n, const char *what) {
    diag_error(ctx, n, "%s", what);
    return false;
}

static bool wants_inputs(Ctx *ctx, const Node *n, int least, int most) {
    if (n->n_in > most) return refuse(ctx, n, "it has more inputs than the operator takes");
    for (int i = 0; i < least; i++)
        if (!node_in(n, i)) return refuse(ctx, n, "an input is missing");
    return n->n_out > 0 && n->out[0] ? true : refuse(ctx, n, "output 0 has no name");
}

static Value *sum(Node *n, Value *x, Value *y) {
    return y ? upgrade_insert(n, OP_Add, n, (Value *[]){x, y}, 2)->out[0] : x;
}

/* ---- activations ---- */

bool microsoft_bias_gelu(Ctx *ctx, Node *n) {
    if (!wants_inputs(ctx, n, 2, 2)) return false;
    n->in[0] = sum(n, n->in[0], n->in[1]);
    n->n_in = 1;
    return true;
}

bool microsoft_fast_gelu(Ctx *ctx, Node *n) {
    if (!wants_inputs(ctx, n, 1, 2)) return false;
    n->in[0] = sum(n, n->in[0], node_in(n, 1));
    n->n_in = 1;
    node_set_string(n, "approximate", "tanh");
    return true;
}

bool microsoft_quick_gelu(Ctx *ctx, Node *n) {
    if (!wants_inputs(ctx, n, 1, 1)) return false;
    if (!node_attr(n, "alpha")) node_set_float(n, "alpha", 1.702);
    return true;
}

/* ---- FusedConv, FusedGemm ---- */

static const struct {
    const char *name;
    Op op;
    const char *numbers[2]; /* its attributes, in the order of FusedConv's activation_params */
} activations[] = {
    {"Clip", OP_Clip, {"min", "max"}},
    {"Elu", OP_Elu, {"alpha"}},
    {"HardSigmoid", OP_HardSigmoid, {"alpha", "beta"}},
    {"LeakyRelu", OP_LeakyRelu, {"alpha"}},
    {"Relu", OP_Relu, {NULL}},
    {"Sigmoid", OP_Sigmoid, {NULL}},
    {"Softplus", OP_Softplus, {NULL}},
    {"Softsign", OP_Softsign, {NULL}},
    {"Tanh", OP_Tanh, {NULL}},
    {"ThresholdedRelu", OP_ThresholdedRelu, {"alpha"}},
};

/* Clip's bounds are inputs */
static Value *bound(Node *n, double v) {
    Tensor *t = tensor_new(n->graph, DT_F32, 0, (int64_t[]){0});
    if (t) *(float *)(void *)t->data = (float)v;
    return t ? value_of_tensor(n->graph, t) : NULL;
}

/* The activation takes n's output; numbers: its parameters, `count` of them given */
static bool activate(Ctx *ctx, Node *n, Str name, const double *numbers, int count) {
    size_t i = 0;
    while (i < sizeof activations / sizeof *activations && !str_is(name, activations[i].name)) i++;
    if (i == sizeof activations / sizeof *activations) {
        diag_error(ctx, n, "activation '%s' is not supported", diag_name(ctx, name));
        return false;
    }
    Value *in[3] = {NULL, NULL, NULL};
    bool clip = activations[i].op == OP_Clip;
    if (clip && count < 2) return refuse(ctx, n, "a Clip without its two bounds");
    for (int k = 0; clip && k < 2; k++)
        if (!(in[1 + k] = bound(n, numbers[k]))) return false;
    Node *made = upgrade_insert(n, activations[i].op, n->next, in, clip ? 3 : 1);
    for (int k = 0; k < 2 && k < count && !clip && activations[i].numbers[k]; k++)
        node_set_float(made, activations[i].numbers[k], numbers[k]);
    upgrade_hand_output(n, 0, made);
    made->in[0] = n->out[0];
    return true;
}

static bool activation_name(Ctx *ctx, Node *n, Str *name) {
    const Attr *a = node_attr(n, "activation");
    *name = (Str){0};
    if (a && a->kind != ATTR_STRING) return refuse(ctx, n, "attribute 'activation' is no string");
    if (a) *name = a->s;
    node_remove_attr(n, "activation");
    return true;
}

bool microsoft_fused_conv(Ctx *ctx, Node *n) {
    const Attr *params = node_attr(n, "activation_params");
    Str name;
    if (!wants_inputs(ctx, n, 2, 4) || !activation_name(ctx, n, &name)) return false;
    if (params && params->kind != ATTR_FLOATS) return refuse(ctx, n, "attribute 'activation_params' lists no floats");
    const double *numbers = params ? params->floats : NULL;
    int count = params ? params->n : 0;
    node_remove_attr(n, "activation_params");
    if (name.n && !activate(ctx, n, name, numbers, count)) return false;
    if (node_in(n, 3)) { /* between the convolution and the activation */
        Node *add = upgrade_insert(n, OP_Add, n->next, (Value *[]){NULL, n->in[3]}, 2);
        upgrade_hand_output(n, 0, add);
        add->in[0] = n->out[0];
    }
    n->n_in = node_in(n, 2) ? 3 : 2;
    return true;
}

bool microsoft_fused_gemm(Ctx *ctx, Node *n) {
    static const char *const names[] = {"activation_alpha", "activation_beta", "activation_gamma"};
    double numbers[2];
    int count = 0;
    Str name;
    if (!wants_inputs(ctx, n, 2, 3) || !activation_name(ctx, n, &name)) return false;
    for (int i = 0; i < 3; i++) {
        const Attr *a = node_attr(n, names[i]);
        if (a && a->kind != ATTR_FLOAT) return refuse(ctx, n, "a parameter of its activation is no float");
        if (a && i < 2 && count == i) numbers[count++] = a->f;
        node_remove_attr(n, names[i]);
    }
    return !name.n || activate(ctx, n, name, numbers, count);
}

/* ---- normalisations ---- */

static bool is_wanted(const Node *n, int i) { return i < n->n_out && n->out[i] && n->out[i]->n_uses > 0; }

bool microsoft_simplified_norm(Ctx *ctx, Node *n) {
    if (!wants_inputs(ctx, n, 2, 2)) return false;
    if (is_wanted(n, 1)) return refuse(ctx, n, "its second output, the inverse deviation, is not supported");
    n->n_out = 1;
    return true;
}

/* x, skip, scale, (of LayerNormalization: its bias,) bias of the sum -> y, mean, inverse deviation, sum */
bool microsoft_skip_norm(Ctx *ctx, Node *n) {
    bool centred = n->op == OP_LayerNormalization;
    if (!wants_inputs(ctx, n, 3, centred ? 5 : 4)) return false;
    if (!centred && (is_wanted(n, 1) || is_wanted(n, 2)))
        return refuse(ctx, n, "its outputs 1 and 2, mean and inverse deviation, are not supported");
    Value *all = sum(n, sum(n, n->in[0], n->in[1]), node_in(n, centred ? 4 : 3)), *scale = n->in[2];
    Value *bias = centred ? node_in(n, 3) : NULL;
    if (n->n_out > 3 && n->out[3]) { /* a body may read it, which is no use yet */
        Node *same = upgrade_insert(n, OP_Identity, n, &all, 1);
        upgrade_hand_output(n, 3, same);
    }
    n->n_out = !centred || n->n_out < 1 ? 1 : n->n_out > 3 ? 3 : n->n_out;
    n->in[0] = all;
    n->in[1] = scale;
    n->in[2] = bias;
    n->n_in = bias ? 3 : 2;
    if (!node_attr(n, "epsilon")) node_set_float(n, "epsilon", 1e-12f);
    return true;
}

/* ---- EmbedLayerNormalization ---- */

static Value *look_up(Node *n, Value *table, Value *at) {
    return upgrade_insert(n, OP_Gather, n, (Value *[]){table, at}, 2)->out[0];
}

static Value *number(Node *n, int64_t v) {
    Tensor *t = tensor_new(n->graph, DT_I64, 1, (int64_t[]){1});
    if (t) *(int64_t *)(void *)t->data = v;
    return t ? value_of_tensor(n->graph, t) : NULL;
}

/* As many rows of the table as a sentence has words */
static Value *first_rows(Node *n, Value *table, Value *words) {
    Node *length = upgrade_insert(n, OP_Shape, n, &words, 1);
    node_set_int(length, "start", 1);
    node_set_int(length, "end", 2);
    Value *zero = number(n, 0);
    if (!zero) return NULL;
    return upgrade_insert(n, OP_Slice, n, (Value *[]){table, zero, length->out[0], zero}, 4)->out[0];
}

/* words, segments, tables of words, places and segments, scale, bias, mask, places -> y, how many words count, sum */
bool microsoft_embed_norm(Ctx *ctx, Node *n) {
    if (!wants_inputs(ctx, n, 1, 9)) return false;
    Value *segments = node_in(n, 1), *table = node_in(n, 4), *mask = node_in(n, 7), *places = node_in(n, 8);
    for (int i = 2; i < 7; i++)
        if (i != 4 && !node_in(n, i)) return refuse(ctx, n, "an input is missing");
    if (!segments != !table) return refuse(ctx, n, "it has segments without their table, or a table without segments");
    Value *place = places ? look_up(n, n->in[3], places) : first_rows(n, n->in[3], n->in[0]);
    if (!place) return false;
    Value *all = sum(n, look_up(n, n->in[2], n->in[0]), place);
    if (segments) all = sum(n, all, look_up(n, table, segments));
    if (is_wanted(n, 1)) {
        Value *one = number(n, 1);
        if (!one) return false;
        if (!mask) mask = upgrade_insert(n, OP_Sub, n, (Value *[]){n->in[0], n->in[0]}, 2)->out[0]; /* none */
        Node *count = upgrade_insert(n, OP_ReduceSum, n, (Value *[]){mask, one}, 2);
        node_set_int(count, "keepdims", 0);
        upgrade_hand_output(n, 1, count);
    }
    if (is_wanted(n, 2)) {
        Node *same = upgrade_insert(n, OP_Identity, n, &all, 1);
        upgrade_hand_output(n, 2, same);
    }
    Value *scale = n->in[5], *bias = n->in[6];
    n->in[0] = all;
    n->in[1] = scale;
    n->in[2] = bias;
    n->n_in = 3;
    n->n_out = 1;
    node_remove_attr(n, "mask_index_type");
    if (!node_attr(n, "epsilon")) node_set_float(n, "epsilon", 1e-12f);
    return true;
}
