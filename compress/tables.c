/* Tables whose rows Gather picks (embeddings), as codes: rows become float32 as they are read,
 *   Gather(table, i) -> (DequantizeLinear(Gather(codes, i)) - Gather(zero points, i)) · Gather(scales, i)
 * with a scale a row of 8 bits, or one a block of a row of 4 bits. Two codes of 4 bits are a byte: the first half of a
 * row its low ones. */
#include <math.h>
#include <string.h>
#include "compress/quantize.h"

typedef struct Table {
    Graph *g;
    Node *n;
    int64_t rows, cols, blocks; /* blocks of a row */
    bool packed;                /* 4 bits */
    RoundWeights form;
} Table;

static bool read_table(Table *t, const QuantOptions *o, bool halves, Arena *a) {
    const Tensor *w = t->n->in[0]->constant;
    if (w->rank != 2 || node_int(t->n, "axis") != 0) return false;
    t->rows = w->dims[0];
    t->cols = w->dims[1];
    int64_t block = o->block;
    while (block >= 16 && t->cols % block) block /= 2;
    t->packed = halves && block >= 16;
    int most = t->packed ? 7 : 127;
    t->form = (RoundWeights){.w = w->data, .channels = t->rows, .by_channel = t->cols, .by_depth = 1};
    t->form.range = (CodeRange){-most - 1, most, o->asymmetric};
    t->form.block = t->packed ? block : t->cols;
    t->form.find_scales = true;
    t->blocks = round_blocks(&t->form, t->cols);
    t->form.scales = ARENA_ARRAY(a, t->rows * t->blocks, CodeScale);
    t->form.codes = ARENA_ARRAY(a, t->rows * t->cols, int8_t);
    return t->cols >= 8; /* else scales are more than what is saved */
}

static Node *new_node(const Table *t, Op op, Value **in, int n_in) {
    Node *n = node_new(t->g, op, t->n, in, n_in, 1);
    n->name = t->n->name;
    n->index = t->n->index;
    return n;
}

static Value *inferred(const Table *t, Node *n) { return node_infer(t->g->ctx, n) ? n->out[0] : NULL; }

static Value *add(const Table *t, Op op, Value **in, int n_in) { return inferred(t, new_node(t, op, in, n_in)); }

static Value *add_along(const Table *t, Op op, Value **in, int n_in, int64_t axis) {
    Node *n = new_node(t, op, in, n_in);
    node_set_int(n, "axis", axis);
    return inferred(t, n);
}

static Value *number(const Table *t, Dtype dtype, float v) {
    Tensor *made = tensor_new(t->g, dtype, 0, NULL);
    if (!made) return NULL;
    if (dtype == DT_F32) *(float *)(uintptr_t)made->data = v;
    else *(uint8_t *)(uintptr_t)made->data = (uint8_t)v;
    return value_of_tensor(t->g, made);
}

static Value *shift(const Table *t, Value *v, const char *direction) {
    Value *by = v ? number(t, DT_U8, 4) : NULL;
    if (!by) return NULL;
    Node *n = new_node(t, OP_BitShift, (Value *[]){v, by}, 2);
    node_set_string(n, "direction", direction);
    return inferred(t, n);
}

static Value *gather(const Table *t, Tensor *table) {
    if (!table) return NULL;
    return add_along(t, OP_Gather, (Value *[]){value_of_tensor(t->g, table), t->n->in[1]}, 2, 0);
}

static Value *as_float(const Table *t, Value *v, Value *zero) {
    Value *one = v ? number(t, DT_F32, 1) : NULL;
    return one ? add(t, OP_DequantizeLinear, (Value *[]){v, one, zero}, zero ? 3 : 2) : NULL;
}

/* The last axis as `last`, one or two axes in its place */
static Value *reshape(const Table *t, Value *v, int kept, const int64_t *last, int n) {
    int64_t rank = kept + n;
    Tensor *dims = v ? tensor_new(t->g, DT_I64, 1, &rank) : NULL; /* 0: the axis as it is */
    if (!dims) return NULL;
    memcpy((int64_t *)(uintptr_t)dims->data + kept, last, sizeof *last * (size_t)n);
    return add(t, OP_Reshape, (Value *[]){v, value_of_tensor(t->g, dims)}, 2);
}

/* ---- the codes, and what belongs to a block ---- */

static Value *rows_of_codes(const Table *t) {
    int64_t wide = t->packed ? t->cols / 2 : t->cols, dims[2] = {t->rows, wide};
    Tensor *table = tensor_new(t->g, t->packed ? DT_U8 : DT_I8, 2, dims);
    for (int64_t r = 0; table && r < t->rows; r++) {
        const int8_t *from = t->form.codes + r * t->cols;
        uint8_t *to = (uint8_t *)(uintptr_t)table->data + r * wide;
        for (int64_t i = 0; i < wide; i++)
            to[i] = (uint8_t)(t->packed ? (from[i] + 8) | (from[i + wide] + 8) << 4 : from[i]);
    }
    Value *q = gather(t, table);
    if (!q || !t->packed) return as_float(t, q, NULL);
    Value *low = shift(t, shift(t, q, "LEFT"), "RIGHT"), *high = shift(t, q, "RIGHT");
    if (!low || !high) return NULL;
    Value *both = add_along(t, OP_Concat, (Value *[]){low, high}, 2, q->type.rank - 1);
    Value *zero = both ? number(t, DT_U8, 8) : NULL;
    return zero ? as_float(t, both, zero) : NULL;
}

/* [rows, blocks, 1], or [rows, 1] */
static Tensor *numbers_table(const Table *t, Dtype dtype) {
    int64_t dims[3] = {t->rows, t->blocks, 1};
    Tensor *table = tensor_new(t->g, dtype, t->blocks > 1 ? 3 : 2, dims);
    for (int64_t i = 0; table && i < t->rows * t->blocks; i++) {
        if (dtype == DT_F32) ((float *)(uintptr_t)table->data)[i] = t->form.scales[i].scale;
        else ((int8_t *)(uintptr_t)table->data)[i] = (int8_t)t->form.scales[i].zero;
    }
    return table;
}

static Value *dequantized(const Table *t) {
    int64_t split[2] = {t->blocks, t->form.block};
    int kept = t->n->in[1]->type.rank;
    Value *v = rows_of_codes(t);
    if (v && t->blocks > 1) v = reshape(t, v, kept, split, 2);
    if (v && t->form.range.asymmetric) {
        Value *zero = as_float(t, gather(t, numbers_table(t, DT_I8)), NULL);
        v = zero ? add(t, OP_Sub, (Value *[]){v, zero}, 2) : NULL;
    }
    Value *scale = v ? gather(t, numbers_table(t, DT_F32)) : NULL;
    v = scale ? add(t, OP_Mul, (Value *[]){v, scale}, 2) : NULL;
    return v && t->blocks > 1 ? reshape(t, v, kept, &t->cols, 1) : v;
}

bool quant_table(const QuantPlan *plan, Node *n) {
    Table t = {.g = plan->graph, .n = n};
    Arena *a = arena_new(t.g->ctx);
    Value *y = NULL;
    bool taken = read_table(&t, &plan->options, plan->of_node[n->id]->mode == QUANT_W4, a),
         finite = weights_finite(n->in[0]->constant);
    if (taken && !finite) diag_warn(t.g->ctx, "calibration", n, "its table is not finite: it stays in float");
    if (taken && finite) {
        round_nearest(&t.form, t.cols, t.g->ctx);
        y = dequantized(&t);
    }
    arena_free(a);
    if (!taken || !finite) return true;
    if (!y) return false;
    quant_stand_in(n, y);
    return true;
}
