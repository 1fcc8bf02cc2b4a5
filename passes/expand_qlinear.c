/* QLinearConv and QLinearMatMul of known scales become DequantizeLinear, Conv or MatMul, QuantizeLinear, so that later
 * passes meet one form of quantized models. lower_quantized gives them back their integers; what it refuses is computed
 * in f32. */
#include "passes/quant.h"

/* Scales and zero points as DQ wants them: both one number, or both a list of n */
typedef struct Pair {
    Value *scale, *zero;
} Pair;

static int64_t count_of(const Value *v) {
    int64_t n;
    return v->constant && product_i64(v->constant->dims, v->constant->rank, &n) ? n : -1;
}

static bool is_list(const Value *v) { return count_of(v) == 1 || (count_of(v) > 1 && v->type.rank == 1); }

/* what there is one of, as often as there are of the other */
static bool match(Rewrite *r, Pair *p) {
    int64_t scales = count_of(p->scale), zeros = count_of(p->zero);
    if (!is_list(p->scale) || !is_list(p->zero) || p->scale->type.dtype != DT_F32) return false;
    int64_t n = scales > zeros ? scales : zeros;
    if (scales == zeros) return true;
    int64_t *codes = ARENA_ARRAY(r->scratch, n, int64_t);
    float *floats = ARENA_ARRAY(r->scratch, n, float);
    for (int64_t i = 0; i < n; i++) {
        codes[i] = tensor_int(p->zero->constant, zeros == 1 ? 0 : i);
        floats[i] = (float)tensor_float(p->scale->constant, scales == 1 ? 0 : i);
    }
    p->scale = const_floats(r->g, 1, &n, floats);
    p->zero = const_integers(r->g, p->zero->type.dtype, 1, &n, codes);
    return p->scale && p->zero;
}

static Value *dequantized(Rewrite *r, Node *at, Value *codes, Pair p, int64_t axis) {
    Node *n = rewrite_insert(r, at, OP_DequantizeLinear, (Value *[]){codes, p.scale, p.zero}, p.zero ? 3 : 2);
    node_set_int(n, "axis", axis);
    rewrite_infer(r, n);
    return n->out[0];
}

/* QLinearConv's bias counts in steps of x's scale times w's. */
static Value *bias_of(Rewrite *r, Node *n, Pair x, Pair w) {
    int64_t channels = count_of(w.scale);
    float *steps = ARENA_ARRAY(r->scratch, channels, float);
    for (int64_t i = 0; i < channels; i++)
        steps[i] = (float)tensor_float(x.scale->constant, 0) * (float)tensor_float(w.scale->constant, i);
    Value *scale = const_floats(r->g, channels > 1, &channels, steps);
    return scale ? dequantized(r, n, n->in[8], (Pair){scale, NULL}, 0) : NULL;
}

static void expand(Rewrite *r, Node *n) {
    bool conv = n->op == OP_QLinearConv;
    Pair x = {n->in[1], n->in[2]}, w = {n->in[4], n->in[5]}, y = {n->in[6], n->in[7]};
    if (!match(r, &x) || !match(r, &w) || !match(r, &y) || count_of(x.scale) != 1 || count_of(y.scale) != 1) return;
    Value *bias = node_in(n, 8) ? bias_of(r, n, x, w) : NULL;
    if (node_in(n, 8) && !bias) return;
    Value *in[] = {dequantized(r, n, n->in[0], x, 1), dequantized(r, n, n->in[3], w, conv ? 0 : -1), bias};
    Node *made = rewrite_insert(r, n, conv ? OP_Conv : OP_MatMul, in, bias ? 3 : 2);
    node_copy_attrs(made, n);
    rewrite_infer(r, made);
    rewrite_become(r, n, OP_QuantizeLinear, (Value *[]){made->out[0], y.scale, y.zero}, 3);
}

bool pass_expand_qlinear(Graph *g, PassCtx *p) {
    Rewrite r;
    (void)p;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));)
        if (n->op == OP_QLinearConv || n->op == OP_QLinearMatMul) expand(&r, n);
    return rewrite_end(&r);
}
