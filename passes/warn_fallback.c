/* Says which DequantizeLinear and QuantizeLinear did not fuse with what is between them, and why (-Wquant-fallback).
 * Changes nothing. What lower_quantized refuses it has said itself; elementwise operators fuse with Q and DQ as they
 * are; sink_dequantize speaks of Resize. */
#include "passes/quant.h"

static bool is_quantizer(const Node *n) { return n->op == OP_QuantizeLinear || n->op == OP_DequantizeLinear; }

static bool is_contraction(const Node *n) { return op_has(n->op, OP_CONTRACTION); }

static void warn_quantizer(Ctx *ctx, const Node *n) {
    Quant q;
    const char *why = "its zero points differ along an axis";
    if (n->in[0]->constant || node_is_elementwise(n)) return;
    if (!quant_read(n, &q, &why) || q.n > 1) diag_warn(ctx, "quant-fallback", n, "stays a loop of its own: %s", why);
}

static void warn_operator(Ctx *ctx, const Node *n) {
    Quant q;
    if (is_contraction(n) || is_quantizer(n) || node_is_elementwise(n) || n->op == OP_Resize) return;
    if (mean_is_exact(n, &q) && quant_scale(&q, 0) == 1) return; /* one of integers, in all but the name */
    for (int i = 0; i < n->n_in; i++) {
        const Node *dq = n->in[i] ? value_def(n->in[i], OP_DequantizeLinear) : NULL;
        if (!dq || dq->in[0]->constant) continue;
        diag_warn(ctx, "quant-fallback", n, "is computed in float32: %s has no form on these integers",
                  op_info(n->op)->name);
        return;
    }
}

bool pass_warn_fallback(Graph *g, PassCtx *p) {
    for (const Node *n = g->first; n; n = n->next) {
        if (is_quantizer(n)) warn_quantizer(p->ctx, n);
        else warn_operator(p->ctx, n);
    }
    return false;
}
