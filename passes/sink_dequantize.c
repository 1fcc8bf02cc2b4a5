/* A DequantizeLinear that several elementwise operators read is made for each of them, right before it: the integers
 * are what travels through memory, and each operator's loop takes its own into registers. A mcc.BlockResize and a
 * mean read integers themselves; of other Resize between integers -Wquant-fallback tells. */
#include <math.h>
#include "passes/quant.h"

static bool is_dequantize(const Node *n) {
    return n && n->op == OP_DequantizeLinear && node_is_elementwise(n) && n->in[1]->constant &&
           (!node_in(n, 2) || n->in[2]->constant);
}

static void own(Rewrite *r, Node *user, int in) {
    const Node *dq = user->in[in]->def;
    Node *copy = rewrite_insert(r, user, OP_DequantizeLinear, dq->in, dq->n_in);
    node_copy_attrs(copy, dq);
    copy->name = dq->name;
    copy->index = dq->index;
    copy->out[0]->type = dq->out[0]->type;
    rewrite_input(r, user, in, copy->out[0]);
}

/* What a weighed sum of numbers no larger than 1 is at most; 0: nobody knows */
static double most_weighed(const Node *n) {
    int axes = n->in[0]->type.rank - 3;
    double most = 1;
    for (int i = 0; i < axes; i++) {
        const Tensor *t = n->in[2 + 2 * i]->constant;
        double largest = 0;
        for (int64_t o = 0; o < t->dims[0]; o++) {
            double sum = 0;
            for (int64_t k = 0; k < t->dims[1]; k++) sum += fabs(tensor_float(t, o * t->dims[1] + k));
            largest = fmax(largest, sum);
        }
        most *= largest;
    }
    return isfinite(most) ? most : 0;
}

static void resize_codes(Rewrite *r, Node *n) {
    Quant q;
    const char *why;
    if (!quant_of(n->in[0], OP_DequantizeLinear, &q, &why) || q.n > 1 || dtype_bits(q.codes->type.dtype) != 8) return;
    const double rounding = 1.001;
    double most = most_weighed(n) * (double)quant_difference(&q, 0) * (double)quant_scale(&q, 0) * rounding;
    node_set_float(n, "scale", (double)quant_scale(&q, 0));
    node_set_int(n, "zero", quant_zero(&q, 0));
    node_set_float(n, "most", (double)(float)most);
    rewrite_input(r, n, 0, q.codes);
}

/* A mean of whole numbers whose sums are exact, in f32 or not, takes the integers. */
static void average_codes(Rewrite *r, Node *n) {
    Quant q;
    const char *why;
    int64_t count = 1, reach;
    const Type *x = &n->in[0]->type;
    if (!node_int(n, "mean") || !quant_of(n->in[0], OP_DequantizeLinear, &q, &why) || q.n > 1) return;
    if (dtype_bits(q.codes->type.dtype) != 8 || quant_scale(&q, 0) != 1) return;
    for (int i = 2; i + 1 < x->rank; i++)
        if (!mul_i64(count, x->dims[i]->hi, &count)) return;
    if (!mul_i64(quant_difference(&q, 0), count, &reach) || reach > exact_whole) return;
    node_set_int(n, "zero", quant_zero(&q, 0));
    rewrite_input(r, n, 0, q.codes);
}

static void warn_resize(Ctx *ctx, const Node *n) {
    const Node *plain = value_def(n->in[0], OP_Unblock);
    const Node *dq = value_def(plain ? plain->in[0] : n->in[0], OP_DequantizeLinear);
    if (dq && !dq->in[0]->constant)
        diag_warn(ctx, "quant-fallback", n,
                  "is computed in float32: only Resize of what lies in blocks of channels, with "
                  "sizes known, has a form on these integers");
}

bool pass_sink_dequantize(Graph *g, PassCtx *p) {
    Rewrite r;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));) {
        if (n->op == OP_BlockResize) resize_codes(&r, n);
        if (n->op == OP_BlockGlobalPool) average_codes(&r, n);
        if (n->op == OP_Resize) warn_resize(p->ctx, n);
        if (!node_is_elementwise(n)) continue;
        for (int i = 0; i < n->n_in; i++) {
            const Value *v = n->in[i];
            if (v && v->n_uses > 1 && is_dequantize(v->def)) own(&r, n, i);
        }
    }
    return rewrite_end(&r);
}
