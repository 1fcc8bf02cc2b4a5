/* ONNX Runtime's products with quantized weights (domain com.microsoft), as its tools and Olive write them, become
 * operators of the standard:
 *
 *   MatMulNBits(A, B, scales, zeros, , bias)            DequantizeLinear of blocks, Transpose, MatMul
 *   DynamicQuantizeMatMul(A, B, scale, zero, bias)      DynamicQuantizeLinear, and as the next
 *   MatMulIntegerToFloat(A, B, sA, sB, zA, zB, bias)    MatMulInteger, Cast, Mul by both scales
 *   DynamicQuantizeLSTM(X, W, R, …)                     Cast, Sub, Mul of W and R, LSTM: X stays as it is
 *
 * Runs with upgrade.c, and requires what it does. */
#include <string.h>
#include "frontend/reader.h"

static Value *insert(Node *n, Op op, Value *a, Value *b) {
    return upgrade_insert(n, op, n, (Value *[]){a, b}, b ? 2 : 1)->out[0];
}

static Value *cast(Node *n, Value *x, Dtype to) {
    Node *made = upgrade_insert(n, OP_Cast, n, &x, 1);
    node_set_int(made, "to", to);
    return made->out[0];
}

/* `op` of what n gives, and of `more` unless that is NULL, takes n's place */
static void append(Node *n, Op op, Value *more, int64_t to) {
    Node *made = upgrade_insert(n, op, n->next, (Value *[]){NULL, more}, more ? 2 : 1);
    upgrade_hand_output(n, 0, made);
    made->in[0] = n->out[0];
    if (op == OP_Cast) node_set_int(made, "to", to);
}

static bool wants(Ctx *ctx, const Node *n, int inputs) {
    for (int i = 0; i < inputs; i++) {
        if (node_in(n, i)) continue;
        diag_error(ctx, n, "input %d is missing", i);
        return false;
    }
    if (n->n_out > 0 && n->out[0]) return true;
    diag_error(ctx, n, "output 0 has no name");
    return false;
}

/* ---- MatMulNBits ---- */

typedef struct Blocks { /* B: [rows][per_row] blocks of `size` codes of `bits` bits, low bits first */
    int64_t inner, rows, size, bits, per_row;
    const Tensor *codes, *scales, *zeros; /* zeros: of codes' form, or numbers like the scales, or NULL */
    const Tensor *order;                  /* the block whose scale each channel takes; NULL: its own */
    int64_t groups, group; /* channels that share a scale, beside each other: groups a row, of this size */
} Blocks;

static int64_t take_int(Node *n, const char *name, int64_t otherwise) {
    const Attr *a = node_attr(n, name);
    int64_t v = a && a->kind == ATTR_INT ? a->i : otherwise;
    node_remove_attr(n, name);
    return v;
}

static const Tensor *constant_in(const Node *n, int i) {
    const Value *v = node_in(n, i);
    return v ? v->constant : NULL;
}

static bool refuse(Ctx *ctx, const Node *n, const char *what) {
    diag_error(ctx, n, "%s", what);
    return false;
}

static bool has_elements(const Tensor *t, int64_t a, int64_t b) {
    int64_t want, have;
    return mul_i64(a, b, &want) && product_i64(t->dims, t->rank, &have) && have == want;
}

/* g_idx, as GPTQ leaves it */
static bool read_order(Ctx *ctx, const Node *n, Blocks *b) {
    int64_t count, columns = b->per_row * b->size;
    b->order = constant_in(n, 4);
    if (!b->order || b->order->dtype != DT_I32 || !product_i64(b->order->dims, b->order->rank, &count) ||
        (count != b->inner && count != columns))
        return refuse(ctx, n, "g_idx is no constant list of K numbers of int32");
    for (int64_t i = 0; i < count; i++)
        if (tensor_int(b->order, i) < 0 || tensor_int(b->order, i) >= b->per_row)
            return refuse(ctx, n, "g_idx names a block that is not there");
    b->groups = columns;
    b->group = 1;
    return true;
}

static int64_t block_of(const Blocks *b, int64_t group) {
    if (!b->order) return group;
    return group < b->inner ? tensor_int(b->order, group) : group / b->size;
}

static bool read_blocks(Ctx *ctx, Node *n, Blocks *b) {
    int64_t bytes;
    *b = (Blocks){.inner = take_int(n, "K", 0), .rows = take_int(n, "N", 0), .size = take_int(n, "block_size", 0)};
    b->bits = take_int(n, "bits", 4);
    node_remove_attr(n,
                     "accuracy_level"); /* how exact the products have to be at least: these are as exact as float32 */
    b->codes = constant_in(n, 1);
    b->scales = constant_in(n, 2);
    b->zeros = constant_in(n, 3);
    if (b->bits != 2 && b->bits != 4 && b->bits != 8) return refuse(ctx, n, "its weights are not of 2, 4 or 8 bits");
    if (b->inner < 1 || b->inner > MAX_DIM || b->rows < 1 || b->rows > MAX_DIM || b->size < 16 || b->size > MAX_DIM ||
        b->size % 16)
        return refuse(ctx, n, "K, N or block_size is out of range");
    if (!b->codes || !b->scales || (node_in(n, 3) && !b->zeros)) return refuse(ctx, n, "its weights are not constant");
    b->per_row = (b->inner + b->size - 1) / b->size;
    if (b->codes->dtype != DT_U8 || !mul_i64(b->per_row, b->size * b->bits / 8, &bytes) ||
        !has_elements(b->codes, b->rows, bytes))
        return refuse(ctx, n, "its weights do not have the size that N, K and block_size ask for");
    Dtype t = b->scales->dtype;
    if ((t != DT_F32 && t != DT_F16 && t != DT_BF16) || !has_elements(b->scales, b->rows, b->per_row))
        return refuse(ctx, n, "its scales do not have the type, or the number, that N, K and block_size ask for");
    bool packed = b->zeros && b->zeros->dtype == DT_U8;
    if (b->zeros && !has_elements(b->zeros, b->rows, packed ? (b->per_row * b->bits + 7) / 8 : b->per_row))
        return refuse(ctx, n, "its zero points are not as many as N, K and block_size ask for");
    if (b->zeros && !packed && b->zeros->dtype != t)
        return refuse(ctx, n, "its zero points have another type than its scales");
    b->groups = b->per_row;
    b->group = b->size;
    return !node_in(n, 4) || read_order(ctx, n, b);
}

static int64_t code_at(const Blocks *b, const Tensor *t, int64_t row, int64_t i, int64_t row_bytes) {
    const uint8_t *bytes = (const uint8_t *)t->data + row * row_bytes;
    int64_t bit = i * b->bits;
    return bytes[bit / 8] >> bit % 8 & ((1 << b->bits) - 1);
}

/* Integers of [rows, columns] as bytes, or as pairs of 4 bits */
static Tensor *integers(const Blocks *b, Graph *g, int64_t columns) {
    return tensor_new(g, b->bits == 8 ? DT_U8 : DT_U4, 2, (int64_t[]){b->rows, columns});
}

static void put(Tensor *t, int64_t i, int64_t code) {
    uint8_t *to = (uint8_t *)t->data;
    if (t->dtype == DT_U8) to[i] = (uint8_t)code;
    else to[i / 2] = (uint8_t)(to[i / 2] | code << i % 2 * 4);
}

/* The codes as [rows, per_row · size]: those of 4 and 8 bits lie so already. */
static Value *codes_of(const Blocks *b, Graph *g) {
    int64_t columns = b->per_row * b->size;
    if (b->bits == 2) {
        Tensor *wide = integers(b, g, columns);
        for (int64_t row = 0; wide && row < b->rows; row++)
            for (int64_t i = 0; i < columns; i++)
                put(wide, row * columns + i, code_at(b, b->codes, row, i, columns / 4));
        return wide ? value_of_tensor(g, wide) : NULL;
    }
    Tensor *same = ARENA_NEW(g->arena, Tensor);
    *same = *b->codes;
    same->dtype = b->bits == 8 ? DT_U8 : DT_U4;
    same->rank = 2;
    same->dims[0] = b->rows;
    same->dims[1] = columns;
    return value_of_tensor(g, same);
}

/* what `all` has for each group's block, as [rows, groups, 1…] of f32; times, where there is one, what `by` has */
static Tensor *by_group(const Blocks *b, Graph *g, const Tensor *all, const Tensor *by, int rank) {
    Tensor *t = tensor_new(g, DT_F32, rank, (int64_t[]){b->rows, b->groups, 1});
    float *to = t ? (float *)(void *)t->data : NULL;
    for (int64_t row = 0; t && row < b->rows; row++)
        for (int64_t i = 0; i < b->groups; i++) {
            int64_t at = row * b->per_row + block_of(b, i);
            *to++ = (float)tensor_float(all, at) * (by ? (float)tensor_float(by, at) : 1);
        }
    return t;
}

static Value *scales_of(const Blocks *b, Graph *g) {
    const Tensor *t = by_group(b, g, b->scales, NULL, 2);
    return t ? value_of_tensor(g, t) : NULL;
}

/* Without zero points, codes lie around the middle of their range. */
static Value *zeros_of(const Blocks *b, Graph *g) {
    Tensor *t = integers(b, g, b->groups);
    int64_t row_bytes = (b->per_row * b->bits + 7) / 8, middle = (int64_t)1 << (b->bits - 1);
    for (int64_t row = 0; t && row < b->rows; row++)
        for (int64_t i = 0; i < b->groups; i++)
            put(t, row * b->groups + i, b->zeros ? code_at(b, b->zeros, row, block_of(b, i), row_bytes) : middle);
    return t ? value_of_tensor(g, t) : NULL;
}

static Value *list_of(Graph *g, const int64_t *v, int64_t n) {
    Tensor *t = tensor_new(g, DT_I64, 1, &n);
    if (t) memcpy((void *)t->data, v, sizeof *v * (size_t)n);
    return t ? value_of_tensor(g, t) : NULL;
}

/* Zero points that are no integers: code · scale - zero · scale, group by group */
static Value *shifted(Node *n, const Blocks *b, Value *real) {
    Graph *g = n->graph;
    const Tensor *zeros = by_group(b, g, b->zeros, b->scales, 3);
    Value *wide = list_of(g, (int64_t[]){b->rows, b->groups, b->group}, 3);
    Value *back = list_of(g, (int64_t[]){b->rows, b->groups * b->group}, 2);
    if (!zeros || !wide || !back) return NULL;
    Value *apart = insert(n, OP_Sub, insert(n, OP_Reshape, real, wide), value_of_tensor(g, zeros));
    return insert(n, OP_Reshape, apart, back);
}

static Value *weights_of(Node *n, const Blocks *b) {
    Graph *g = n->graph;
    bool whole = !b->zeros || b->zeros->dtype == DT_U8;
    Value *in[] = {codes_of(b, g), scales_of(b, g), whole ? zeros_of(b, g) : NULL};
    if (!in[0] || !in[1] || (whole && !in[2])) return NULL;
    Node *dq = upgrade_insert(n, OP_DequantizeLinear, n, in, whole ? 3 : 2);
    node_set_int(dq, "axis", 1);
    node_set_int(dq, "block_size", b->group);
    Value *real = whole ? dq->out[0] : shifted(n, b, dq->out[0]);
    if (!real) return NULL;
    Node *turned = upgrade_insert(n, OP_Transpose, n, &real, 1);
    node_set_ints(turned, "perm", (int64_t[]){1, 0}, 2);
    return turned->out[0];
}

/* x with zeros behind the last axis, up to whole blocks */
static Value *padded(Node *n, const Blocks *b, Value *x) {
    int64_t missing = b->per_row * b->size - b->inner;
    if (missing == 0) return x;
    Value *pads = list_of(n->graph, (int64_t[]){0, missing}, 2), *axes = list_of(n->graph, (int64_t[]){-1}, 1);
    return pads && axes ? upgrade_insert(n, OP_Pad, n, (Value *[]){x, pads, NULL, axes}, 4)->out[0] : NULL;
}

bool microsoft_narrow(Ctx *ctx, Node *n) {
    Blocks b;
    if (!wants(ctx, n, 3) || !read_blocks(ctx, n, &b)) return false;
    Value *bias = node_in(n, 5), *x = padded(n, &b, n->in[0]), *w = weights_of(n, &b);
    if (!x || !w) return false;
    Dtype t = b.scales->dtype;
    Value *in[] = {t == DT_F32 ? x : cast(n, x, DT_F32), w};
    memcpy(n->in, in, sizeof in);
    n->n_in = 2;
    if (bias) append(n, OP_Add, t == DT_F32 ? bias : cast(n, bias, DT_F32), 0);
    if (t != DT_F32) append(bias ? n->next : n, OP_Cast, NULL, t);
    return true;
}

/* ---- products of integers ---- */

/* n becomes f32(a · b) · (scale of a · scale of b) + bias */
static void multiply(Node *n, Value **operands, Value *scales, Value *bias) {
    Node *sums = upgrade_insert(n, OP_MatMulInteger, n, operands, operands[3] ? 4 : operands[2] ? 3 : 2);
    Value *in[] = {cast(n, sums->out[0], DT_F32), scales};
    memcpy(n->in, in, sizeof in);
    n->n_in = 2;
    if (bias) append(n, OP_Add, bias, 0);
}

bool microsoft_dynamic_product(Ctx *ctx, Node *n) {
    if (!wants(ctx, n, 3)) return false;
    Node *q = node_new(n->graph, OP_DynamicQuantizeLinear, n, n->in, 1, 3);
    q->name = n->name;
    q->index = n->index;
    Value *scales = insert(n, OP_Mul, q->out[1], n->in[2]);
    multiply(n, (Value *[]){q->out[0], n->in[1], q->out[2], node_in(n, 3)}, scales, node_in(n, 4));
    return true;
}

bool microsoft_product_to_float(Ctx *ctx, Node *n) {
    if (!wants(ctx, n, 4)) return false;
    Value *scales = insert(n, OP_Mul, n->in[2], n->in[3]);
    multiply(n, (Value *[]){n->in[0], n->in[1], node_in(n, 4), node_in(n, 5)}, scales, node_in(n, 6));
    return true;
}

/* ---- DynamicQuantizeLSTM ---- */

/* Numbers of W or R, one a direction, or a gate of a direction, to broadcast against [directions, inputs, gates] */
static Value *beside_inputs(Node *n, const Tensor *t) {
    Tensor *same = ARENA_NEW(n->graph->arena, Tensor);
    *same = *t;
    same->rank = t->rank ? 3 : 0;
    same->dims[1] = 1;
    same->dims[2] = t->rank == 2 ? t->dims[1] : 1;
    return value_of_tensor(n->graph, same);
}

static bool is_constant_table(const Value *v) { return v && v->constant && v->constant->rank <= 2; }

/* input `at`: W or R as LSTM has it; its scale and zero point are inputs `numbers` and the next */
static bool dequantize_gates(Ctx *ctx, Node *n, int at, int numbers) {
    Value *scale = node_in(n, numbers), *zero = node_in(n, numbers + 1), *real = cast(n, n->in[at], DT_F32);
    if (!is_constant_table(scale) || (zero && !is_constant_table(zero)))
        return refuse(ctx, n, "its weights have no constant scales and zero points");
    if (zero) real = insert(n, OP_Sub, real, cast(n, beside_inputs(n, zero->constant), DT_F32));
    real = insert(n, OP_Mul, real, beside_inputs(n, scale->constant));
    Node *turned = upgrade_insert(n, OP_Transpose, n, &real, 1);
    node_set_ints(turned, "perm", (int64_t[]){0, 2, 1}, 3);
    n->in[at] = turned->out[0];
    return true;
}

bool microsoft_dynamic_lstm(Ctx *ctx, Node *n) {
    if (!wants(ctx, n, 3) || !dequantize_gates(ctx, n, 1, 8) || !dequantize_gates(ctx, n, 2, 10)) return false;
    n->n_in = 8;
    while (!n->in[n->n_in - 1]) n->n_in--;
    return true;
}
