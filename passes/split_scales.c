/* A QuantizeLinear or DequantizeLinear of one scale an index of an axis becomes one of scale 1, and a Div before or a
 * Mul behind it, which is exact: x / 1 and (q - z) · 1 are. Those of one scale are elementwise. Constants are left to
 * folding. */
#include "passes/quant.h"

/* v by index of the axis, to broadcast against x */
static Value *along(Rewrite *r, const Quant *q, const float *v) {
    int64_t dims[MCC_MAX_RANK];
    int rank = q->codes->type.rank - q->axis;
    for (int i = 0; i < rank; i++) dims[i] = i == 0 ? q->n : 1;
    return const_floats(r->g, rank, dims, v);
}

static Value *combine(Rewrite *r, Node *at, Op op, Value *a, Value *b) {
    Node *n = rewrite_insert(r, at, op, (Value *[]){a, b}, 2);
    rewrite_infer(r, n);
    return n->out[0];
}

/* Q(x; s, z) -> Q(x / s; 1, z) */
static void split_quantize(Rewrite *r, Node *n, const Quant *q, Value *scales) {
    Value *zero = const_integer(r->g, q->codes->type.dtype, quant_zero(q, 0)), *one = const_scalar(r->g, DT_F32, 1);
    rewrite_become(r, n, OP_QuantizeLinear, (Value *[]){combine(r, n, OP_Div, n->in[0], scales), one, zero}, 3);
}

/* DQ(q; s, z) -> DQ(q; 1, z) · s, or, where zero points differ, (DQ(q; 1, 0) - z) · s */
static void split_dequantize(Rewrite *r, Node *n, const Quant *q, Value *scales, Value *zeros) {
    Value *zero = const_integer(r->g, q->codes->type.dtype, zeros ? 0 : quant_zero(q, 0));
    Node *made =
        rewrite_insert(r, n, OP_DequantizeLinear, (Value *[]){n->in[0], const_scalar(r->g, DT_F32, 1), zero}, 3);
    rewrite_infer(r, made);
    Value *v = zeros ? combine(r, n, OP_Sub, made->out[0], zeros) : made->out[0];
    rewrite_become(r, n, OP_Mul, (Value *[]){v, scales}, 2);
}

static void split(Rewrite *r, Node *n) {
    Quant q;
    const char *why;
    if (!quant_read(n, &q, &why) || q.n == 1 || n->in[0]->constant || !dtype_computes(q.codes->type.dtype)) return;
    bool makes = n->op == OP_QuantizeLinear, one_zero = quant_has_one_zero(&q);
    if (!one_zero && (makes || q.codes->type.dtype == DT_I32)) return; /* differences of int32 are not exact in f32 */
    float *scales = ARENA_ARRAY(r->scratch, q.n, float), *zeros = ARENA_ARRAY(r->scratch, q.n, float);
    for (int64_t i = 0; i < q.n; i++) {
        scales[i] = quant_scale(&q, i);
        zeros[i] = (float)quant_zero(&q, i);
    }
    Value *by = along(r, &q, scales), *from = by && !one_zero ? along(r, &q, zeros) : NULL;
    if (!by || (!one_zero && !from)) return;
    if (makes) split_quantize(r, n, &q, by);
    else split_dequantize(r, n, &q, by, from);
}

bool pass_split_scales(Graph *g, PassCtx *p) {
    Rewrite r;
    (void)p;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));)
        if (n->op == OP_QuantizeLinear || n->op == OP_DequantizeLinear) split(&r, n);
    return rewrite_end(&r);
}
