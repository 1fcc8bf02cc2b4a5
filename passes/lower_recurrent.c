/* LSTM, GRU and RNN of f32 with constant weights: the products with X are one Gemm for all steps, whose columns stand
 * as the steps read them, the gates of a block of hidden units side by side; mcc.Recurrent does the steps. Columns
 * behind the last unit are zeros. Weights of 16 bits stay so. */
#include <string.h>
#include "passes/cell_body.h"
#include "passes/lower.h"

typedef struct Recurrence {
    Graph *g;
    Node *n;
    const Target *target;
    CellKind kind;
    const Cell *cell;
    Graph *body;
    int64_t directions, hidden, inputs, blocks; /* blocks of hidden units */
    int lanes;
    const Tensor *w, *r; /* floats, or, both of them, halves */
    size_t size;         /* of such an element */
    Dim steps, batch;
    Value *lens;
} Recurrence;

static const float *constant_f32(const Value *v) {
    return v && v->constant && v->constant->dtype == DT_F32 ? v->constant->data : NULL;
}

/* sequence_lens where it says something: NULL, where every row has all steps */
static Value *needed_lens(const Recurrence *r) {
    Value *v = node_in(r->n, 4);
    int64_t steps;
    if (!v || !v->constant || !dim_is_const(r->steps, &steps)) return v;
    for (int64_t i = 0; i < v->constant->dims[0]; i++)
        if (tensor_int(v->constant, i) != steps) return v;
    return NULL;
}

static bool read_recurrence(Graph *g, Node *n, const Target *target, Recurrence *r) {
    *r = (Recurrence){.g = g, .n = n, .target = target};
    bool linear = n->op == OP_GRU && node_int(n, "linear_before_reset"), batch_first = node_int(n, "layout") == 1;
    r->kind = n->op == OP_LSTM ? CELL_LSTM : n->op == OP_RNN ? CELL_RNN : linear ? CELL_GRU_LINEAR : CELL_GRU;
    r->cell = cell_of(r->kind);
    bool halves = narrow_recurrent(n);
    r->w = halves ? narrow_floats(n->in[1]) : n->in[1]->constant;
    r->r = halves ? narrow_floats(n->in[2]) : n->in[2]->constant;
    r->size = halves ? 2 : 4;
    if (!value_is_f32(n->in[0]) || n->in[0]->constant ||
        !(halves || (constant_f32(n->in[1]) && constant_f32(n->in[2]))) || (node_in(n, 3) && !constant_f32(n->in[3])) ||
        (node_in(n, 7) && !constant_f32(n->in[7])))
        return false;
    const Type *x = &n->in[0]->type;
    r->directions = r->w->dims[0];
    r->inputs = r->w->dims[2];
    r->hidden = r->r->dims[2];
    r->steps = x->dims[batch_first];
    r->batch = x->dims[!batch_first];
    if (r->hidden < 1 || r->inputs < 1 || !dim_is_bounded(dim_mul(g->ctx, r->steps, r->batch))) return false;
    r->lanes = channel_block(target, r->hidden);
    r->blocks = (r->hidden + r->lanes - 1) / r->lanes;
    r->lens = needed_lens(r);
    r->body = cell_body(n, r->kind);
    return r->body != NULL;
}

/* ---- constants ---- */

/* where gate g of unit u of direction d stands among the columns of the sums over X */
static int64_t column_of(const Recurrence *r, int64_t d, int g, int64_t u) {
    return ((d * r->blocks + u / r->lanes) * r->cell->gates + g) * r->lanes + u % r->lanes;
}

static int64_t columns(const Recurrence *r) { return r->directions * r->blocks * r->cell->gates * r->lanes; }

/* W's rows in the order of the columns */
static Value *input_weights(const Recurrence *r) {
    int64_t dims[2] = {columns(r), r->inputs};
    Tensor *t = tensor_packed(r->g, r->w->dtype, 2, dims);
    size_t row = (size_t)r->inputs * r->size;
    const char *from = r->w->data;
    char *to = (char *)(uintptr_t)t->data;
    for (int64_t d = 0; d < r->directions; d++)
        for (int g = 0; g < r->cell->gates; g++)
            for (int64_t u = 0; u < r->hidden; u++, from += row)
                memcpy(to + (size_t)column_of(r, d, g, u) * row, from, row);
    return value_of_tensor(r->g, t);
}

/* of gate g; recurrent: the half that goes with R */
static float bias_at(const Recurrence *r, int64_t d, int g, int64_t u, bool recurrent) {
    return constant_f32(r->n->in[3])[((d * 2 + recurrent) * r->cell->gates + g) * r->hidden + u];
}

static Value *input_bias(const Recurrence *r) {
    int64_t n = columns(r);
    if (!node_in(r->n, 3)) return NULL;
    Tensor *t = tensor_packed(r->g, DT_F32, 1, &n);
    float *to = (float *)t->data;
    for (int64_t d = 0; d < r->directions; d++)
        for (int g = 0; g < r->cell->gates; g++)
            for (int64_t u = 0; u < r->hidden; u++) {
                float more = g == r->cell->apart ? 0 : bias_at(r, d, g, u, true);
                to[column_of(r, d, g, u)] = bias_at(r, d, g, u, false) + more;
            }
    return value_of_tensor(r->g, t);
}

/* constants by unit: peepholes, or the bias of the gate apart */
static Value *unit_constants(const Recurrence *r) {
    const float *p = constant_f32(node_in(r->n, 7));
    bool apart = r->cell->apart >= 0 && node_in(r->n, 3);
    if (!p && !apart) return NULL;
    int64_t dims[3] = {r->directions, p ? 3 : 1, r->blocks * r->lanes};
    Tensor *t = tensor_packed(r->g, DT_F32, 3, dims);
    float *to = (float *)t->data;
    for (int64_t d = 0; d < r->directions; d++)
        for (int64_t i = 0; i < dims[1]; i++, to += dims[2])
            for (int64_t u = 0; u < r->hidden; u++)
                to[u] = p ? p[(d * 3 + i) * r->hidden + u] : bias_at(r, d, r->cell->apart, u, true);
    return value_of_tensor(r->g, t);
}

/* [hidden][blocks from … from + n - 1][gates of the part][lanes] */
static char *pack_part(const Recurrence *r, const char *w, const CellPart *part, int64_t from, int64_t n, char *to) {
    for (int64_t k = 0; k < r->hidden; k++)
        for (int64_t b = from; b < from + n; b++)
            for (int i = 0; i < part->n_gates; i++)
                for (int lane = 0; lane < r->lanes; lane++, to += r->size) {
                    int64_t u = b * r->lanes + lane, at = (part->gates[i] * r->hidden + u) * r->hidden + k;
                    if (u < r->hidden) memcpy(to, w + (size_t)at * r->size, r->size);
                }
    return to;
}

/* [directions][stages][panels of units[stage] blocks, then what is left][parts] */
static Value *pack_recurrent(const Recurrence *r, const int64_t *units) {
    int64_t dims[3] = {r->directions, r->hidden, r->cell->gates * r->blocks * r->lanes};
    Tensor *t = tensor_packed(r->g, r->r->dtype, 3, dims);
    const char *w = r->r->data;
    char *to = (char *)(uintptr_t)t->data;
    size_t direction = (size_t)(r->cell->gates * r->hidden * r->hidden) * r->size;
    for (int64_t d = 0; d < r->directions; d++, w += direction)
        for (int s = 0; s < r->cell->n_stages; s++)
            for (int64_t b = 0; b < r->blocks; b += units[s]) {
                const CellStage *stage = &r->cell->stages[s];
                int64_t n = r->blocks - b < units[s] ? r->blocks - b : units[s];
                for (int p = 0; p < stage->n_parts; p++) to = pack_part(r, w, &stage->parts[p], b, n, to);
            }
    return value_of_tensor(r->g, t);
}

/* ---- nodes ---- */

static Node *insert(const Recurrence *r, Op op, Value **in, int n_in, int n_out) {
    Node *made = node_new(r->g, op, r->n, in, n_in, n_out);
    made->name = r->n->name;
    made->index = r->n->index;
    return made;
}

static Value *view(const Recurrence *r, Value *x, int rank, const Dim *dims) {
    Value *out = insert(r, OP_View, &x, 1, 1)->out[0];
    value_set_dims(out, DT_F32, rank, dims);
    return out;
}

/* Halves travel as such: the product and mcc.Recurrent widen them in registers. */
static Value *widened(const Recurrence *r, Value *w) {
    if (w->constant->dtype == DT_F32) return w;
    Node *cast = insert(r, OP_Cast, &w, 1, 1);
    node_set_int(cast, "to", DT_F32);
    value_set_dims(cast->out[0], DT_F32, w->type.rank, w->type.dims);
    return cast->out[0];
}

/* X·W' + b for all steps, [T, B, columns] or [B, T, columns] */
static Value *input_sums(const Recurrence *r) {
    Ctx *ctx = r->g->ctx;
    Value *x = r->n->in[0];
    Dim rows = dim_mul(ctx, r->steps, r->batch), wide = dim_const(ctx, columns(r));
    Dim flat[2] = {rows, x->type.dims[2]}, product[2] = {rows, wide},
        back[3] = {x->type.dims[0], x->type.dims[1], wide};
    Value *in[3] = {view(r, x, 2, flat), widened(r, input_weights(r)), input_bias(r)};
    Node *gemm = insert(r, OP_Gemm, in, in[2] ? 3 : 2, 1);
    node_set_int(gemm, "transB", 1);
    value_set_dims(gemm->out[0], DT_F32, 2, product);
    return view(r, gemm->out[0], 3, back);
}

static void take_outputs(const Recurrence *r, Node *made) {
    for (int i = 0; i < made->n_out; i++) {
        Value *v = made->out[i] = r->n->out[i];
        if (v) v->def = made, v->def_index = i;
    }
}

static void lower(const Recurrence *r) {
    int64_t units[2], unroll[2], batch, rows = 0;
    if (!dim_is_const(r->batch, &batch)) batch = 0;
    for (int s = 0; s < r->cell->n_stages; s++) {
        int gates = r->cell->stages[s].n_gates;
        TileChoice t = tile_choose_units(r->target, r->lanes, gates, r->blocks, rows ? rows : batch);
        units[s] = t.vecs / gates;
        unroll[s] = t.unroll;
        if (!rows || t.rows < rows) rows = t.rows;
    }
    Value *in[6] = {input_sums(r),    pack_recurrent(r, units), r->lens,
                    node_in(r->n, 5), node_in(r->n, 6),         unit_constants(r)};
    Node *made = insert(r, OP_Recurrent, in, 6, r->n->n_out);
    static const char *const directions[] = {"forward", "reverse", "bidirectional"};
    node_set_int(made, "cell", r->kind);
    node_set_int(made, "hidden", r->hidden);
    node_set_int(made, "lanes", r->lanes);
    node_set_ints(made, "units", units, r->cell->n_stages);
    node_set_ints(made, "unroll", unroll, r->cell->n_stages);
    node_set_int(made, "rows", rows);
    node_set_string(made, "direction", directions[node_enum(r->n, "direction")]);
    node_set_int(made, "layout", node_int(r->n, "layout"));
    made->body = r->body;
    take_outputs(r, made);
    node_remove(r->n);
}

bool pass_lower_recurrent(Graph *g, PassCtx *p) {
    bool changed = false;
    for (Node *n = p->target ? g->first : NULL, *next; n; n = next) {
        next = n->next;
        Recurrence r;
        if ((n->op != OP_LSTM && n->op != OP_GRU && n->op != OP_RNN) || n->n_out == 0) continue;
        if (!read_recurrence(g, n, p->target, &r)) continue;
        lower(&r);
        changed = true;
    }
    return changed;
}
