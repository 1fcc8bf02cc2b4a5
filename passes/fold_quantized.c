/* What scales, zero points, biases and integer weights are computed from constants by, elementwise or as movement, is
 * evaluated, at every level of optimisation, so that the passes on quantized numbers see constants: Q of float weights,
 * Transpose and Cast of them, Clip of their integers, scales through Identity, Reshape, Mul. Not DequantizeLinear,
 * behind which the integers would be lost. */
#include "passes/quant.h"

/* Values that end up in an operator on quantized numbers, by id, in one walk from the end */
static bool *fill_wanted(Rewrite *r) {
    bool *wanted = ARENA_ARRAY(r->scratch, r->n_ids + 1, bool);
    for (const Node *n = r->g->last; n; n = n->prev) {
        bool marks = op_has(n->op, OP_QUANTIZED);
        for (int i = 0; i < n->n_out && !marks; i++) marks = n->out[i] && wanted[n->out[i]->id];
        for (int i = 0; i < n->n_in && marks; i++)
            if (n->in[i]) wanted[n->in[i]->id] = true;
    }
    return wanted;
}

static bool is_simple(const Node *n) {
    if (n->body || op_has(n->op, OP_DECOMPOSED)) return false;
    return n->op == OP_QuantizeLinear || op_has(n->op, OP_ELEMENTWISE) || op_has(n->op, OP_MOVEMENT) ||
           op_has(n->op, OP_VIEW);
}

bool pass_fold_quantized(Graph *g, PassCtx *p) {
    Rewrite r;
    (void)p;
    rewrite_begin(&r, g);
    const bool *wanted = fill_wanted(&r);
    for (Node *n; (n = rewrite_next(&r));)
        if (is_simple(n) && n->n_out == 1 && n->out[0]->id < r.n_ids && wanted[n->out[0]->id]) rewrite_fold(&r, n);
    return rewrite_end(&r);
}
