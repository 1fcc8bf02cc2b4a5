/* ONNX Runtime's quantized operators (domain com.microsoft), as its quantizer writes them, become DequantizeLinear, the
 * standard's operator, QuantizeLinear. Every quantized input is three: integers, scale, zero point, which may be
 * absent.
 *
 *   QLinearAdd, QLinearMul                    a, b; then y's scale and zero point
 *   QLinearSigmoid, QLinearAveragePool, …     x; then y's
 *   QLinearConcat                             y's; then each part
 *   QLinearWhere                              a condition; then x, y; then the result's
 *   QGemm                                     a, b; an int32 bias in steps of a's scale times b's; then y's, without
 * which y is f32
 *
 * What its optimiser fuses is in microsoft_fused.c; operators whose form depends on dims have rows of their own in
 * ir/ops.def. Runs with upgrade.c, and requires what it does. */
#include <string.h>
#include "frontend/reader.h"

typedef bool Expand(Ctx *ctx, Node *n);
typedef enum Inputs { SAME, OF_ONE, OF_TWO, OF_MANY, OF_GEMM, OF_WHERE, OTHER } Inputs;
typedef struct Row {
    const char *name;
    Op op;
    Inputs inputs;
    Expand *other;
} Row;

static const Row rows[] = {
    {"Attention", OP_ProjectedAttention, SAME, NULL},
    {"BiasGelu", OP_Gelu, OTHER, microsoft_bias_gelu},
    {"DequantizeLinear", OP_DequantizeLinear, SAME, NULL},
    {"DynamicQuantizeLSTM", OP_LSTM, OTHER, microsoft_dynamic_lstm},
    {"DynamicQuantizeMatMul", OP_Mul, OTHER, microsoft_dynamic_product},
    {"EmbedLayerNormalization", OP_LayerNormalization, OTHER, microsoft_embed_norm},
    {"FastGelu", OP_Gelu, OTHER, microsoft_fast_gelu},
    {"FusedConv", OP_Conv, OTHER, microsoft_fused_conv},
    {"FusedGemm", OP_Gemm, OTHER, microsoft_fused_gemm},
    {"FusedMatMul", OP_FusedMatMul, SAME, NULL},
    {"Gelu", OP_Gelu, SAME, NULL},
    {"GroupQueryAttention", OP_GroupQueryAttention, SAME, NULL},
    {"MatMulIntegerToFloat", OP_Mul, OTHER, microsoft_product_to_float},
    {"MatMulNBits", OP_MatMul, OTHER, microsoft_narrow},
    {"MultiHeadAttention", OP_MultiHeadAttention, SAME, NULL},
    {"QGemm", OP_Gemm, OF_GEMM, NULL},
    {"QLinearAdd", OP_Add, OF_TWO, NULL},
    {"QLinearAveragePool", OP_AveragePool, OF_ONE, NULL},
    {"QLinearConcat", OP_Concat, OF_MANY, NULL},
    {"QLinearGlobalAveragePool", OP_GlobalAveragePool, OF_ONE, NULL},
    {"QLinearLeakyRelu", OP_LeakyRelu, OF_ONE, NULL},
    {"QLinearMul", OP_Mul, OF_TWO, NULL},
    {"QLinearReduceMean", OP_ReduceMean, OF_ONE, NULL},
    {"QLinearSigmoid", OP_Sigmoid, OF_ONE, NULL},
    {"QLinearSoftmax", OP_Softmax, OF_ONE, NULL},
    {"QLinearWhere", OP_Where, OF_WHERE, NULL},
    {"QuantizeLinear", OP_QuantizeLinear, SAME, NULL},
    {"QuickGelu", OP_Swish, OTHER, microsoft_quick_gelu},
    {"RotaryEmbedding", OP_PositionedRotary, SAME, NULL},
    {"SimplifiedLayerNormalization", OP_RMSNormalization, OTHER, microsoft_simplified_norm},
    {"SkipLayerNormalization", OP_LayerNormalization, OTHER, microsoft_skip_norm},
    {"SkipSimplifiedLayerNormalization", OP_RMSNormalization, OTHER, microsoft_skip_norm},
};

static const Row *find(Str name) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (str_is(name, rows[i].name)) return &rows[i];
    return NULL;
}

const char *frontend_contrib(int i, Op *op) {
    if ((size_t)i >= sizeof rows / sizeof *rows) return NULL;
    *op = rows[i].op;
    return rows[i].name;
}

Op microsoft_find(Str name) {
    const Row *row = find(name);
    return row ? row->op : OP_NONE;
}

/* What inputs at … at + 2 stand for */
static Value *dequantized(Ctx *ctx, Node *n, int at, int64_t axis) {
    Value *in[] = {node_in(n, at), node_in(n, at + 1), node_in(n, at + 2)};
    if (!in[0] || !in[1]) {
        diag_error(ctx, n, "input %d or %d is missing", at, at + 1);
        return NULL;
    }
    Node *dq = upgrade_insert(n, OP_DequantizeLinear, n, in, in[2] ? 3 : 2);
    node_set_int(dq, "axis", axis);
    return dq->out[0];
}

/* y's scale and zero point are inputs at, at + 1 */
static bool quantize_output(Ctx *ctx, Node *n, Value *scale, Value *zero) {
    if (!scale || n->n_out != 1) {
        diag_error(ctx, n, scale ? "it must have one output" : "the scale of its output is missing");
        return false;
    }
    Node *q = upgrade_insert(n, OP_QuantizeLinear, n->next, (Value *[]){NULL, scale, zero}, zero ? 3 : 2);
    upgrade_hand_output(n, 0, q);
    q->in[0] = n->out[0];
    return true;
}

static void take_inputs(Node *n, Value *const *in, int n_in) {
    n->in = arena_array(n->graph->arena, (size_t)n_in + 1, sizeof *n->in);
    memcpy(n->in, in, sizeof *in * (size_t)n_in);
    n->n_in = n_in;
}

static bool expand(Ctx *ctx, Node *n, int operands) {
    Value *in[2] = {NULL, NULL}, *scale = node_in(n, 3 * operands), *zero = node_in(n, 3 * operands + 1);
    for (int i = 0; i < operands; i++)
        if (!(in[i] = dequantized(ctx, n, 3 * i, 1))) return false;
    take_inputs(n, in, operands);
    return quantize_output(ctx, n, scale, zero);
}

static bool expand_concat(Ctx *ctx, Node *n) {
    int parts = (n->n_in - 2 + 2) / 3; /* the last zero point may be absent */
    Value *scale = node_in(n, 0), *zero = node_in(n, 1);
    if (parts < 1) {
        diag_error(ctx, n, "it has no parts");
        return false;
    }
    Value **in = ARENA_ARRAY(n->graph->arena, parts, Value *);
    for (int i = 0; i < parts; i++)
        if (!(in[i] = dequantized(ctx, n, 2 + 3 * i, 1))) return false;
    take_inputs(n, in, parts);
    return quantize_output(ctx, n, scale, zero);
}

/* The bias counts in steps of both scales; b has one, or one a column. */
static Value *bias_of(Node *n) {
    Node *steps = upgrade_insert(n, OP_Mul, n, (Value *[]){n->in[1], n->in[4]}, 2);
    Node *dq = upgrade_insert(n, OP_DequantizeLinear, n, (Value *[]){n->in[6], steps->out[0]}, 2);
    node_set_int(dq, "axis", -1);
    return dq->out[0];
}

static bool expand_gemm(Ctx *ctx, Node *n) {
    Value *in[3] = {dequantized(ctx, n, 0, 1), NULL, NULL}, *scale = node_in(n, 7), *zero = node_in(n, 8);
    const Attr *turned = node_attr(n, "transB");
    if (!in[0] || !(in[1] = dequantized(ctx, n, 3, turned && turned->i ? 0 : 1))) return false;
    if (node_in(n, 6)) in[2] = bias_of(n);
    take_inputs(n, in, in[2] ? 3 : 2);
    return !scale || quantize_output(ctx, n, scale, zero);
}

static bool expand_where(Ctx *ctx, Node *n) {
    Value *in[] = {node_in(n, 0), dequantized(ctx, n, 1, 1), NULL}, *scale = node_in(n, 7), *zero = node_in(n, 8);
    if (!in[0]) diag_error(ctx, n, "input 0 is missing");
    if (!in[0] || !in[1] || !(in[2] = dequantized(ctx, n, 4, 1))) return false;
    take_inputs(n, in, 3);
    return quantize_output(ctx, n, scale, zero);
}

static bool wants_channels_second(Ctx *ctx, Node *n) {
    const Attr *last = node_attr(n, "channels_last");
    bool ok = !last || last->i == 0;
    if (!ok) diag_error(ctx, n, "channels_last is not supported");
    node_remove_attr(n, "channels_last");
    return ok;
}

bool microsoft_node(Ctx *ctx, Node *n, Str name) {
    const Row *row = find(name);
    const Attr *a = row ? node_attr(n, "opset") : NULL;
    int opset = a && a->i > 0 && a->i < OPSET_MAX ? (int)a->i : OPSET_MAX;
    if (!row || row->inputs == SAME) return true;
    if (row->inputs == OTHER) return row->other(ctx, n);
    if (!wants_channels_second(ctx, n)) return false;
    if (row->inputs == OF_GEMM) return expand_gemm(ctx, n);
    if (row->inputs == OF_MANY) return expand_concat(ctx, n);
    if (row->inputs == OF_WHERE) return expand_where(ctx, n);
    if (!expand(ctx, n, row->inputs == OF_TWO ? 2 : 1)) return false;
    if (row->op == OP_ReduceMean) return upgrade_node(ctx, n, str_of("ReduceMean"), 13);
    if (row->op != OP_Softmax) return true;
    node_remove_attr(n, "opset"); /* whose Softmax it is */
    return upgrade_node(ctx, n, str_of("Softmax"), opset);
}
