/* LayerNormalization and RMSNormalization along the last axis of values in blocks: what lies in a lane is a row by
 * itself, so that transformers whose products are sparse stay in blocks from layer to layer. */
#include "passes/lower.h"

/* an element for each place of the axis, and nothing else */
static bool is_row(const Value *v, Dim places) {
    int rank = v->type.rank;
    if (!value_is_f32(v) || rank < 1 || v->type.dims[rank - 1] != places) return false;
    for (int i = 0; i < rank - 1; i++)
        if (!dim_is(v->type.dims[i], 1)) return false;
    return true;
}

static bool fits(const Layout *l, const Node *n) {
    const Value *x = n->in[0], *bias = node_in(n, 2);
    int rank = x->type.rank;
    int64_t axis = node_int(n, "axis");
    if (!twin_of(l, x) || !value_is_f32(x) || rank < 3 || (axis != -1 && axis != rank - 1)) return false;
    for (int i = 1; i < n->n_out; i++)
        if (n->out[i]) return false;
    Dim places = x->type.dims[rank - 1];
    return is_row(n->in[1], places) && (!bias || is_row(bias, places));
}

bool lower_norm(Layout *l, Node *n) {
    if (!fits(l, n)) return false;
    Value *x = twin_of(l, n->in[0]), *bias = node_in(n, 2);
    Value *in[3] = {x, want_plain(l, n->in[1], n), bias ? want_plain(l, bias, n) : NULL};
    double epsilon = node_float(n, "epsilon");
    bool centred = n->op == OP_LayerNormalization;
    Node *made = replace_blocked(l, n, OP_BlockNorm, in, bias ? 3 : 2, block_of(x));
    node_set_float(made, "epsilon", epsilon);
    node_set_int(made, "centred", centred);
    return true;
}
