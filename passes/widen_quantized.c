/* Products of quantized numbers in a model of float16 or bfloat16 have the definition of those of float32: their sums
 * are whole numbers, and only what leaves them is rounded to halves.
 *
 *   op(DQ(a), DQ(b), bias), all halves -> Cast(op(DQ(a), DQ(b), bias), all float32)     also where a Cast stands behind
 * a DQ of float32 Q(f(Cast(op))) -> Q(f(op))                                                         f: Relu, Clip and
 * Cast, for this Q alone
 *
 * Runs before the passes that move Q and DQ. Other Q and DQ of halves stay as they are. */
#include "passes/quant.h"

static bool is_half(const Value *v) { return v->type.dtype == DT_F16 || v->type.dtype == DT_BF16; }

static bool is_product(const Node *n) {
    return n->op == OP_Conv || n->op == OP_ConvTranspose || n->op == OP_MatMul || n->op == OP_Gemm;
}

/* What a DequantizeLinear of known scales gives, as halves or rounded to them; *dq is that node. */
static bool is_dequantized_half(const Value *v, Node **dq) {
    const Node *cast = v ? value_def(v, OP_Cast) : NULL;
    if (!v || !is_half(v)) return false;
    *dq = value_def(cast ? cast->in[0] : v, OP_DequantizeLinear);
    return *dq && (*dq)->in[1]->constant && node_int(*dq, "block_size") == 0 &&
           (!cast || cast->in[0]->type.dtype == DT_F32);
}

static Value *scale_as_float(Rewrite *r, const Value *scale) {
    const Tensor *t = scale->constant;
    int64_t n;
    if (!product_i64(t->dims, t->rank, &n) || !fold_fits(r->ctx, DT_F32, n)) return NULL;
    float *v = ARENA_ARRAY(r->scratch, n + 1, float);
    for (int64_t i = 0; i < n; i++) v[i] = (float)tensor_float(t, i);
    return const_floats(r->g, t->rank, t->dims, v);
}

static Value *dequantized(Rewrite *r, Node *at, Node *dq) {
    if (dq->out[0]->type.dtype == DT_F32) return dq->out[0];
    Value *in[] = {dq->in[0], scale_as_float(r, dq->in[1]), node_in(dq, 2)};
    if (!in[1]) return NULL;
    Node *made = rewrite_insert(r, at, OP_DequantizeLinear, in, in[2] ? 3 : 2);
    node_copy_attrs(made, dq);
    node_set_int(made, "output_dtype", 0);
    rewrite_infer(r, made);
    return made->out[0];
}

static Value *as_float(Rewrite *r, Node *at, Value *v) {
    Node *cast = rewrite_insert(r, at, OP_Cast, &v, 1);
    node_set_int(cast, "to", DT_F32);
    rewrite_infer(r, cast);
    Value *out = cast->out[0];
    rewrite_fold(r, cast);
    return out;
}

static void widen_product(Rewrite *r, Node *n) {
    Node *a, *b, *c;
    if (!is_dequantized_half(n->in[0], &a) || !is_dequantized_half(n->in[1], &b)) return;
    Value *bias = node_in(n, 2), *in[] = {dequantized(r, n, a), dequantized(r, n, b), NULL};
    if (bias) in[2] = is_dequantized_half(bias, &c) ? dequantized(r, n, c) : as_float(r, n, bias);
    if (!in[0] || !in[1] || (bias && !in[2])) return;
    int64_t to = n->out[0]->type.dtype;
    Node *made = rewrite_insert(r, n, n->op, in, bias ? 3 : 2);
    node_copy_attrs(made, n);
    rewrite_infer(r, made);
    rewrite_become(r, n, OP_Cast, made->out, 1);
    node_set_int(n, "to", to);
}

enum { MOST_BETWEEN = 8 };

/* What stands between q and the Cast of a product, from q upwards, the Cast last; 0: something else does */
static int read_chain(const Node *q, Node *chain[MOST_BETWEEN]) {
    int n = 0;
    for (Node *f = q->in[0]->def; f && n < MOST_BETWEEN && f->out[0] && f->out[0]->n_uses == 1; f = f->in[0]->def) {
        double bound;
        if (f->op != OP_Cast && f->op != OP_Relu && f->op != OP_Clip) return 0;
        for (int i = 1; i < f->n_in; i++)
            if (f->in[i] && !const_splat(f->in[i], &bound)) return 0;
        if (!value_is_float(f->in[0]) || !value_is_float(f->out[0])) return 0;
        chain[n++] = f;
        const Node *from = f->in[0]->def;
        if (f->op == OP_Cast && is_half(f->out[0]) && f->in[0]->type.dtype == DT_F32 && from && is_product(from))
            return n;
    }
    return 0;
}

static Value *bound_of(Rewrite *r, const Node *clip, int i) {
    double bound;
    return node_in(clip, i) && const_splat(clip->in[i], &bound) ? const_scalar(r->g, DT_F32, bound) : NULL;
}

static void widen_quantize(Rewrite *r, Node *q) {
    Node *chain[MOST_BETWEEN], attrs = *q;
    int n = read_chain(q, chain);
    double one;
    if (n == 0 || !q->in[1]->constant || !const_splat(q->in[1], &one) || q->in[1]->type.rank > 1) return;
    Value *v = chain[n - 1]->in[0], *scale = scale_as_float(r, q->in[1]), *zero = node_in(q, 2);
    if (!scale) return;
    while (n-- > 0) {
        if (chain[n]->op == OP_Cast) continue;
        Value *in[] = {v, bound_of(r, chain[n], 1), bound_of(r, chain[n], 2)};
        Node *made = rewrite_insert(r, q, chain[n]->op, in, in[2] ? 3 : in[1] ? 2 : 1);
        rewrite_infer(r, made);
        v = made->out[0];
    }
    rewrite_become(r, q, OP_QuantizeLinear, (Value *[]){v, scale, zero}, zero ? 3 : 2);
    node_copy_attrs(q, &attrs);
    node_set_int(q, "precision", 0);
}

bool pass_widen_quantized(Graph *g, PassCtx *p) {
    Rewrite r;
    (void)p;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));) {
        if (is_product(n) && is_half(n->out[0])) widen_product(&r, n);
        else if (n->op == OP_QuantizeLinear) widen_quantize(&r, n);
    }
    return rewrite_end(&r);
}
