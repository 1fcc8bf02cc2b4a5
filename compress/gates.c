/* Squeeze and excitation: a tensor times one number for each channel. With scales sx, sg and sy = 255 · sx · sg, and
 * the same zero point before and behind, it is y = x · g / 255 on the codes, which passes/block_gates.c takes. */
#include "compress/quantize.h"

static bool is_one_a_channel(const Value *g, const Value *x) {
    int rank = x->type.rank;
    if (g->constant || x->constant || g->type.rank != rank || rank < 3) return false;
    for (int i = 0; i < rank; i++)
        if (i < 2 ? g->type.dims[i] != x->type.dims[i] : !dim_is(g->type.dims[i], 1)) return false;
    return true;
}

/* Floats take about so many instructions for a vector, bytes so many for sixteen elements */
static bool saves(const Target *t) {
    enum { FLOATS = 15, BYTES = 12, LEAST_SAVING = 24 };
    double vectors = t->vector_bits ? 128.0 / t->vector_bits : 4;
    return vectors * (4 * FLOATS - BYTES) > LEAST_SAVING;
}

int quant_gate_of(const QuantOptions *o, const Node *n) {
    if (!o->runs_on || o->runs_on->sm || o->mode != QUANT_INT8 || o->symmetric || o->small || n->op != OP_Mul ||
        n->n_in != 2)
        return -1;
    for (int i = 0; i < 2; i++)
        if (n->in[i] && n->in[1 - i] && is_one_a_channel(n->in[i], n->in[1 - i]))
            return (o->follows ? plan_names(o->follows, n->in[i]) : saves(o->runs_on)) ? i : -1;
    return -1;
}

void quant_scale_gates(QuantPlan *p) {
    const double wider = 4; /* than what it holds its range may become: two bits */
    for (int i = 0; i < p->n_tensors; i++) {
        QuantTensor *t = &p->tensors[i];
        if (!t->gate || !t->gated || t->shares) continue;
        const QuantTensor *x = quant_root(t->gated), *g = quant_root(t->gate);
        double scale = 255.0 * (double)x->scale * (double)g->scale;
        if (g->zero != 0 || !(scale <= wider * (double)t->scale)) continue;
        t->scale = (float)scale;
        t->zero = x->zero;
    }
}
