/* Which contractions gather Σ x xᵀ. */
#include "compress/quantize.h"

static const size_t most_bytes = (size_t)4 << 30; /* of all of them; weights of those beyond go to the nearest */

static bool is_rounded(const QuantPlan *p, const QuantNode *q, Contraction *c) {
    QuantMode mode = p->options.mode;
    bool wanted = mode == QUANT_INT8 ? q->active : q->chosen && (mode == QUANT_NONE || q->node->op != OP_Conv);
    return wanted && contraction_read(q->node, c);
}

static Hessian *shared(const QuantPlan *p, int before, const Node *n) {
    for (int i = 0; i < before && n->op != OP_Conv; i++) {
        const QuantNode *q = &p->nodes[i];
        if (q->hessian && q->node->op != OP_Conv && q->node->in[0] == n->in[0]) return q->hessian;
    }
    return NULL;
}

void quant_want_hessians(QuantPlan *p, Arena *a) {
    size_t total = 0;
    for (int i = 0; i < p->n_nodes; i++) {
        QuantNode *q = &p->nodes[i];
        Contraction c;
        if (!is_rounded(p, q, &c) || (q->hessian = shared(p, i, q->node))) continue;
        int64_t groups = q->node->op == OP_Conv ? node_int(q->node, "group") : 1;
        size_t bytes = hessian_bytes(c.depth, groups, HESSIAN_PART);
        if (bytes > most_bytes - total) {
            diag_warn(p->graph->ctx, "calibration", q->node,
                      "its inputs are too many for --rounding: its weights go to the nearest code");
            continue;
        }
        total += bytes;
        q->hessian = hessian_new(a, c.depth, groups, HESSIAN_PART);
    }
}
