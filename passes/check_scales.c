/* Scales that are known must be numbers one can compute with: finite, and positive where something is divided by them.
 * Runs when all that scales are computed from has been evaluated. DequantizeLinear multiplies alone, so that 0 and
 * negative scales mean what they say there (blocks of 4-bit weights are written with either sign). */
#include <math.h>
#include "passes/internal.h"

static void check(Ctx *ctx, const Node *n, int in, bool divides) {
    const Tensor *t = node_in(n, in) ? n->in[in]->constant : NULL;
    int64_t count;
    if (!t || dtype_class(t->dtype) != DTC_F || !product_i64(t->dims, t->rank, &count)) return;
    for (int64_t i = 0; i < count; i++) {
        double s = tensor_float(t, i);
        if (isfinite(s) && (s > 0 || !divides)) continue;
        diag_error(ctx, n, "scale %lld of input %d is %g, must be finite%s", (long long)i, in, s,
                   divides ? " and positive" : "");
        diag_note(ctx, "calibrate the model again; a tensor that is always 0 takes scale 1");
        return;
    }
}

bool pass_check_scales(Graph *g, PassCtx *p) {
    for (const Node *n = g->first; n; n = n->next) {
        if (n->op == OP_QuantizeLinear || n->op == OP_DequantizeLinear) check(p->ctx, n, 1, n->op == OP_QuantizeLinear);
        if (n->op != OP_QLinearConv && n->op != OP_QLinearMatMul) continue;
        for (int in = 1; in <= 6; in += in == 1 ? 3 : 2) check(p->ctx, n, in, true); /* 1, 4, 6 */
    }
    return false;
}
