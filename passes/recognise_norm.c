/* LayerNormalization and RMSNormalization from the parts that exporters write them in:
 *   d = x - mean(x);  y = d / sqrt(mean(d²) + eps) [· gamma] [+ beta]
 *   y = x / sqrt(mean(x²) + eps) [· gamma]
 * with means over the last axes. Constants gamma and beta that have the size of those axes are taken in by the step
 * after, one at a time. Nothing that is matched away has another use. */
#include "passes/internal.h"

/* v = mean of x over its last axes, which stay as 1; returns the first of them, or -1 */
static int mean_axis(Rewrite *r, const Value *v, const Value **x) {
    const int64_t *axes;
    int64_t count;
    Node *n = value_only_def(v, OP_ReduceMean);
    if (!n || !node_int(n, "keepdims") || !node_in(n, 1) || !const_ints(n->in[1], &axes, &count, r->scratch)) return -1;
    int rank = n->in[0]->type.rank;
    int64_t first = rank - count;
    unsigned seen = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t axis = axis_of(axes[i], rank);
        if (axis < first || axis < 0) return -1;
        seen |= 1u << axis;
    }
    for (int64_t i = first; i < rank; i++)
        if (!(seen >> i & 1)) return -1;
    *x = n->in[0];
    return count > 0 ? (int)first : -1;
}

/* v = d²; alone: which is all that d is used for but one more use */
static bool is_square_of(const Value *v, const Value *d, bool alone) {
    Node *mul = value_only_def(v, OP_Mul), *pow = value_only_def(v, OP_Pow);
    if (mul) return mul->in[0] == d && mul->in[1] == d && (!alone || d->n_uses == 3);
    return pow && pow->in[0] == d && const_is(pow->in[1], 2) && (!alone || d->n_uses == 2);
}

typedef struct Norm {
    Op op;
    Value *x;
    int axis;
    double epsilon;
} Norm;

/* sum = mean(d²) + eps */
static bool match_square(Rewrite *r, const Node *sum, const Value *d, bool alone, Norm *m) {
    const Value *square;
    int side = sum->in[0]->constant ? 1 : 0;
    if (!const_splat(sum->in[1 - side], &m->epsilon)) return false;
    m->axis = mean_axis(r, sum->in[side], &square);
    return m->axis >= 0 && is_square_of(square, d, alone);
}

/* What is under the root where v = √(…) (inverse: 1 / √(…)), or NULL */
static const Node *under_root(const Value *v, bool inverse) {
    if (inverse) {
        Node *reciprocal = value_only_def(v, OP_Reciprocal), *div = value_only_def(v, OP_Div),
             *pow = value_only_def(v, OP_Pow);
        if (pow) return const_is(pow->in[1], -0.5) ? value_only_def(pow->in[0], OP_Add) : NULL;
        if (!reciprocal && (!div || !const_is(div->in[0], 1))) return NULL;
        v = reciprocal ? reciprocal->in[0] : div->in[1];
    }
    Node *root = value_only_def(v, OP_Sqrt), *pow = value_only_def(v, OP_Pow);
    if (pow) return const_is(pow->in[1], 0.5) ? value_only_def(pow->in[0], OP_Add) : NULL;
    return root ? value_only_def(root->in[0], OP_Add) : NULL;
}

/* n = d / std, or d * (1 / std) */
static bool match_norm(Rewrite *r, const Node *n, Norm *m) {
    for (int side = 0; side < (n->op == OP_Mul ? 2 : 1); side++) {
        Value *d = n->in[side];
        const Node *sum = under_root(n->in[1 - side], n->op == OP_Mul), *sub = value_def(d, OP_Sub);
        const Value *x = NULL;
        if (!sum) continue;
        m->op = OP_LayerNormalization;
        m->x = sub ? sub->in[0] : NULL;
        if (sub && match_square(r, sum, d, true, m) && mean_axis(r, sub->in[1], &x) == m->axis && x == m->x)
            return value_same_type(m->x, n->out[0]);
        m->op = OP_RMSNormalization;
        m->x = d;
        if (match_square(r, sum, d, false, m)) return value_same_type(d, n->out[0]);
    }
    return false;
}

static Value *ones(Graph *g, const Value *x, int axis) {
    int64_t dims[MCC_MAX_RANK], n;
    int rank = x->type.rank - axis;
    for (int i = 0; i < rank; i++)
        if (!dim_is_const(x->type.dims[axis + i], &dims[i])) return NULL;
    if (!product_i64(dims, rank, &n) || !fold_fits(g->ctx, x->type.dtype, n)) return NULL;
    Tensor *t = tensor_new(g, x->type.dtype, rank, dims);
    for (int64_t i = 0; i < n; i++) tensor_set_float(t, i, 1);
    return value_of_tensor(g, t);
}

static bool make_norm(Rewrite *r, Node *n) {
    Norm m;
    if ((n->op != OP_Div && n->op != OP_Mul) || !match_norm(r, n, &m)) return false;
    Value *scale = ones(r->g, m.x, m.axis);
    if (!scale) return false;
    rewrite_become(r, n, m.op, (Value *[]){m.x, scale}, 2);
    node_set_int(n, "axis", m.axis - m.x->type.rank);
    node_set_float(n, "epsilon", (double)(float)m.epsilon);
    return true;
}

/* c as a constant of exactly the dims that norm normalizes; leading axes of size 1 do not count */
static Value *normalized_constant(Rewrite *r, Node *norm, const Value *c) {
    const Value *scale = norm->in[1];
    int extra;
    if (!c->constant || c->type.dtype != scale->type.dtype || c->type.rank > norm->out[0]->type.rank) return NULL;
    extra = c->type.rank - scale->type.rank;
    if (extra < 0) return NULL;
    for (int i = 0; i < c->type.rank; i++)
        if (i < extra ? !dim_is(c->type.dims[i], 1) : c->type.dims[i] != scale->type.dims[i - extra]) return NULL;
    Tensor *t = ARENA_NEW(r->g->arena, Tensor);
    *t = *c->constant;
    t->rank = scale->type.rank;
    for (int i = 0; i < t->rank; i++) t->dims[i] = c->constant->dims[i + extra];
    return value_of_tensor(r->g, t);
}

/* norm(x, 1) * gamma -> norm(x, gamma);  LayerNormalization … + beta -> the same with a bias */
static bool take_in(Rewrite *r, Node *n) {
    for (int side = 0; side < 2 && n->n_in == 2; side++) {
        Node *layer = value_only_def(n->in[side], OP_LayerNormalization),
             *norm = layer ? layer : value_only_def(n->in[side], OP_RMSNormalization);
        if (!norm || norm->n_out != 1 || !value_same_type(norm->out[0], n->out[0])) continue;
        Value *c = normalized_constant(r, norm, n->in[1 - side]);
        bool free = !node_in(norm, 2) && (n->op == OP_Mul ? const_is(norm->in[1], 1) : n->op == OP_Add && layer);
        if (!c || !free) continue;
        Node attrs = *norm;
        Value *in[3] = {norm->in[0], n->op == OP_Mul ? c : norm->in[1], c};
        rewrite_become(r, n, norm->op, in, n->op == OP_Mul ? 2 : 3);
        node_copy_attrs(n, &attrs);
        return true;
    }
    return false;
}

bool pass_recognise_norm(Graph *g, PassCtx *p) {
    Rewrite r;
    (void)p;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));) {
        bool arithmetic = n->op == OP_Add || n->op == OP_Mul || n->op == OP_Div;
        if (arithmetic && value_is_float(n->out[0]) && !take_in(&r, n)) make_norm(&r, n);
    }
    return rewrite_end(&r);
}
