/* Seams: places where a factor of channels may begin or pass on, in a graph that has none there as it stands.
 *
 *   Clip(x, 0, c)          Min(Relu(x), c), whose bound can be a number for each channel
 *   what weights read      a Mul by ones before them, where their input's channels have to stay as they are: a
 *                          normalisation's result that a sum reads too, what an activation makes
 *
 * Opened in a canonical graph, closed after factors have been applied: of a seam that got none nothing is left, and
 * the graph is what it was. A Mul costs nothing to speak of where it is computed with what makes its input. */
#include <float.h>
#include <string.h>
#include "compress/quantize.h"

enum { MOST_STEPS = 8 };

static Value *filled(Graph *g, int rank, const int64_t *dims, float with) {
    Tensor *t = tensor_new(g, DT_F32, rank, dims);
    if (!t) return NULL;
    float *x = (float *)(uintptr_t)t->data;
    for (size_t i = 0; i < t->bytes / sizeof *x; i++) x[i] = with;
    return value_of_tensor(g, t);
}

/* All elements of a constant of float32 are one number. */
static bool is_even(const Value *v, float *number) {
    const Tensor *t = v ? v->constant : NULL;
    if (!t || t->dtype != DT_F32 || t->bytes < sizeof *number) return false;
    const float *x = t->data;
    *number = x[0];
    for (size_t i = 1; i < t->bytes / sizeof *x; i++)
        if (x[i] != x[0]) return false;
    return true;
}

/* ---- bounds ---- */

static bool open_clip(Graph *g, Node *n) {
    float low, high;
    if (n->op != OP_Clip || !is_even(node_in(n, 1), &low) || !is_even(node_in(n, 2), &high)) return true;
    if (low != 0 || !(high > 0) || !(high < FLT_MAX)) return true;
    Node *relu = node_new(g, OP_Relu, n, n->in, 1, 1);
    relu->index = n->index;
    n->op = OP_Min;
    n->in[0] = relu->out[0];
    n->in[1] = n->in[2];
    n->n_in = 2;
    return node_infer(g->ctx, relu);
}

static bool close_clip(Graph *g, Node *n) {
    float high;
    Node *relu = n->op == OP_Min && n->n_in == 2 ? n->in[0]->def : NULL;
    if (!relu || relu->op != OP_Relu || relu->out[0]->n_uses != 1 || !is_even(n->in[1], &high)) return true;
    Value **in = ARENA_ARRAY(g->arena, 3, Value *);
    in[0] = relu->in[0];
    if (!(in[1] = filled(g, 0, NULL, 0)) || !(in[2] = filled(g, 0, NULL, high))) return false;
    n->op = OP_Clip;
    n->in = in;
    n->n_in = 3;
    node_remove(relu);
    return true;
}

/* ---- multiplications ---- */

static bool is_norm(const Node *n) { return n->op == OP_LayerNormalization || n->op == OP_RMSNormalization; }

/* v is computed from a product's sums, step by step, with nothing else that reads them: so would its multiple be.
 * Behind a table it would not. */
static bool ends_product(const QuantOptions *o, const Value *v) {
    for (int steps = 0; v->def && steps < MOST_STEPS; steps++) {
        if (op_has(v->def->op, OP_CONTRACTION)) return steps > 0;
        if (!op_has(v->def->op, OP_ELEMENTWISE) || v->def->n_in < 1 || v->def->in[0]->n_uses != 1) return false;
        if (quant_looks_up(o, v->def)) return false;
        v = v->def->in[0];
    }
    return false;
}

static bool reads_channels(const Node *n, const Value *v, int from_end) {
    ChannelWeights w;
    if (!op_has(n->op, OP_CONTRACTION) || n->in[0] != v || !channel_weights_read(n, &w)) return false;
    return v->type.rank - channel_axis_in(n) == from_end;
}

/* Between v and what reads it: the weights alone, or everything */
static bool add_seam(Graph *g, Value *v, int from_end, bool weights_alone) {
    int64_t dims[MCC_MAX_RANK];
    for (int i = 0; i < from_end; i++) dims[i] = 1;
    if (!dim_is_const(v->type.dims[v->type.rank - from_end], &dims[0])) return true;
    Value *ones = filled(g, from_end, dims, 1);
    if (!ones) return false;
    Node *mul = node_new(g, OP_Mul, v->def->next, (Value *[]){v, ones}, 2, 1);
    mul->index = v->def->index;
    if (!node_infer(g->ctx, mul)) return false;
    if (v->name.n) {
        const char *name = arena_printf(g->arena, "%.*s/even", (int)v->name.n, v->name.p);
        mul->out[0]->name = str_of(name);
    }
    for (Node *n = mul->next; n; n = n->next)
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i] == v && (!weights_alone || (i == 0 && reads_channels(n, v, from_end)))) n->in[i] = mul->out[0];
    return true;
}

static bool open_muls(Graph *g, const QuantOptions *o) {
    Arena *a = arena_new(g->ctx);
    const ChannelMap *m = channels_find(g, a);
    bool good = true, *done = ARENA_ARRAY(a, m->n_ids, bool);
    for (int i = 0; i < m->n_weights && good; i++) {
        const Node *n = m->weights[i].node;
        Value *v = n->in[0];
        if (v->id >= m->n_ids || done[v->id] || !v->def || channel_count(m, v) || graph_is_output(g, v)) continue;
        bool norm = is_norm(v->def), computed = op_has(v->def->op, OP_ELEMENTWISE);
        if (!norm && !(computed && (o->mode == QUANT_DYNAMIC || ends_product(o, v)))) continue;
        done[v->id] = true;
        good = add_seam(g, v, v->type.rank - channel_axis_in(n), norm);
    }
    arena_free(a);
    return good;
}

static void close_mul(Graph *g, Node *n) {
    float by;
    if (n->op != OP_Mul || !is_even(n->in[1], &by) || by != 1 || n->in[0]->constant) return;
    for (int i = 0; i < n->out[0]->type.rank; i++)
        if (n->in[0]->type.rank != n->out[0]->type.rank || n->in[0]->type.dims[i] != n->out[0]->type.dims[i]) return;
    graph_replace(g, n->out[0], n->in[0]);
    node_remove(n);
}

bool seams_open(Graph *g, const QuantOptions *o) {
    graph_count_uses(g);
    for (Node *n = g->first; n; n = n->next)
        if (!open_clip(g, n)) return false;
    graph_count_uses(g);
    bool good = open_muls(g, o);
    graph_count_uses(g);
    return good;
}

bool seams_close(Graph *g) {
    graph_count_uses(g);
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        if (!close_clip(g, n)) return false;
        close_mul(g, n);
    }
    graph_count_uses(g);
    return true;
}
