/* Multiplications and additions of one constant a channel go into the weights and bias of the contraction before them,
 * or into the multiplication or addition before them:
 *   conv(x, W, b) * s   -> conv(x, W * s, b * s)       (x * s) * u -> x * (s * u)
 *   conv(x, W, b) + t   -> conv(x, W, b + t)           (x + t) + u -> x + (t + u)
 *   (x * s + t) * u     -> x * (s * u) + t * u
 * What is before must have no other use. Arithmetic is in double, rounded once. Where constants cancel, overflow or
 * vanish, the parts stay as they are. */
#include "passes/internal.h"
#include <math.h>

/* ---- into a contraction ---- */

typedef struct Site { /* a contraction whose weights or bias can take a step */
    Node *node;
    int axis;         /* of the output: its channels */
    int64_t channels; /* -1: not known, or weights that cannot tell */
} Site;

static bool find_site(Value *y, Site *s) {
    Node *n = y->n_uses == 1 ? y->def : NULL;
    if (!n || !op_has(n->op, OP_CONTRACTION)) return false;
    const Value *w = n->in[1];
    s->node = n;
    s->axis = n->op == OP_MatMul ? y->type.rank - 1 : 1;
    if (n->op == OP_MatMul && w->type.rank < 2) return false;
    return dim_is_const(y->type.dims[s->axis], &s->channels) && s->channels > 0;
}

/* Where the output channels are */
static WeightOrder weight_order(const Site *s, int64_t elements) {
    const Tensor *w = s->node->in[1]->constant;
    int64_t group = node_int(s->node, "group");
    bool outputs_first = s->node->op == OP_Conv || (s->node->op == OP_Gemm && node_int(s->node, "transB"));
    if (s->node->op == OP_ConvTranspose)
        return (WeightOrder){group, w->dims[0] / group, w->dims[1], elements / w->dims[0] / w->dims[1]};
    if (outputs_first) return (WeightOrder){1, 1, s->channels, elements / s->channels};
    return (WeightOrder){1, elements / s->channels, s->channels, 1};
}

static Value *scaled(Rewrite *r, const Site *s, const Step *by) {
    const Tensor *w = s->node->in[1]->constant;
    int64_t n;
    return w && product_i64(w->dims, w->rank, &n) && n ? weights_scaled(r, w, weight_order(s, n), by) : NULL;
}

/* The bias as one number a channel, after the step; NULL: it cannot be told */
static Value *stepped_bias(Graph *g, const Site *s, const Step *by) {
    const Value *bias = node_in(s->node, 2);
    Step old = {.axis = -1};
    double beta = s->node->op == OP_Gemm ? node_float(s->node, "beta") : 1;
    Dtype dtype = s->node->out[0]->type.dtype;
    if (bias && s->node->op == OP_Gemm && (!step_constant(bias, s->node->out[0], &old) || old.axis == 0)) return NULL;
    if (bias && s->node->op != OP_Gemm) old = (Step){.axis = 0, .n = s->channels, .c = bias->constant};
    if ((bias && !old.c) || !fold_fits(g->ctx, dtype, s->channels)) return NULL;
    Tensor *t = tensor_new(g, dtype, 1, &s->channels);
    for (int64_t i = 0; i < s->channels; i++) {
        double b = bias ? beta * tensor_float(old.c, old.axis < 0 ? 0 : i) : 0;
        tensor_set_float(t, i, by->is_scale ? b * step_at(by, i) : b + step_at(by, i));
        if (!isfinite(tensor_float(t, i))) return NULL;
    }
    return value_of_tensor(g, t);
}

static bool into_contraction(Rewrite *r, Node *n, const Step *by) {
    Site s;
    if (!find_site(by->x, &s) || (by->axis >= 0 && by->axis != s.axis)) return false;
    bool has_bias = node_in(s.node, 2), matmul = s.node->op == OP_MatMul;
    if (matmul && !by->is_scale) return false; /* its bias is the epilogue's */
    if (!step_is_finite(by)) return false;
    Value *bias = has_bias || !by->is_scale ? stepped_bias(r->g, &s, by) : NULL;
    if (!bias && (has_bias || !by->is_scale)) return false;
    Value *weights = by->is_scale ? scaled(r, &s, by) : s.node->in[1];
    if (!weights) return false;
    Node attrs = *s.node;
    rewrite_become(r, n, s.node->op, (Value *[]){s.node->in[0], weights, bias}, bias ? 3 : 2);
    node_copy_attrs(n, &attrs);
    node_remove_attr(n, "beta"); /* it is in the bias */
    return true;
}

/* ---- into the step before ---- */

/* How two constants become one; false where that loses too much */
static bool combine(bool is_scale, double a, double b, double *out) {
    *out = is_scale ? a * b : a + b;
    if (!isfinite(a) || !isfinite(b) || !isfinite(*out)) return false;
    if (is_scale) return *out != 0 || a == 0 || b == 0;
    return fabs(*out) * 1024 >= fabs(a) + fabs(b);
}

static bool is_tiny(Dtype t, double v) { /* not a normal number */
    int e;
    frexp(v, &e);
    return v != 0 && e < (t == DT_F16 ? -13 : t == DT_F64 ? -1021 : -125);
}

/* a's constants and b's as one for a value like `like`; NULL: they vary along different axes, or lose too much */
static Value *combined(Graph *g, bool is_scale, const Step *a, const Step *b, const Value *like) {
    const Step *c = a->axis >= 0 ? a : b;
    int rank = c->axis < 0 ? 0 : like->type.rank - c->axis;
    int64_t dims[MCC_MAX_RANK];
    double v;
    if (a->axis >= 0 && b->axis >= 0 && a->axis != b->axis) return NULL;
    if (!fold_fits(g->ctx, like->type.dtype, c->n)) return NULL;
    for (int i = 0; i < rank; i++) dims[i] = i ? 1 : c->n;
    Tensor *t = tensor_new(g, like->type.dtype, rank, dims);
    for (int64_t i = 0; i < (rank ? c->n : 1); i++) {
        if (!combine(is_scale, step_at(a, i), step_at(b, i), &v)) return NULL;
        tensor_set_float(t, i, v);
        if (!isfinite(tensor_float(t, i)) || is_tiny(t->dtype, v)) return NULL;
    }
    return value_of_tensor(g, t);
}

static bool into_step(Rewrite *r, Node *n, const Step *by) {
    Step before;
    Site site;
    Node *def = by->x->n_uses == 1 ? by->x->def : NULL;
    if (!def || !step_read(def, &before)) return false;
    if (before.is_scale == by->is_scale) { /* (x op s) op u -> x op (s op u) */
        Value *c = combined(r->g, by->is_scale, &before, by, n->out[0]);
        if (c) rewrite_become(r, n, by->is_scale ? OP_Mul : OP_Add, (Value *[]){before.x, c}, 2);
        return c;
    }
    /* (x + t) · u -> x · u + t · u, where x can take the u */
    Step inner;
    Node *maker = before.x->n_uses == 1 ? before.x->def : NULL;
    bool takes = maker && ((step_read(maker, &inner) && inner.is_scale) || find_site(before.x, &site));
    if (!by->is_scale || !takes) return false;
    Value *shift = combined(r->g, true, &before, by, n->out[0]);
    if (!shift) return false;
    Node *mul = rewrite_insert(r, n, n->op, (Value *[]){before.x, n->in[by->x == n->in[0]]}, 2);
    rewrite_infer(r, mul);
    rewrite_become(r, n, OP_Add, (Value *[]){mul->out[0], shift}, 2);
    return true;
}

bool pass_fold_scale(Graph *g, PassCtx *p) {
    Rewrite r;
    Step s;
    (void)p;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));)
        if (step_read(n, &s) && !into_contraction(&r, n, &s)) into_step(&r, n, &s);
    return rewrite_end(&r);
}
