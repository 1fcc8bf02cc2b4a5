/* Activations that exporters write as arithmetic become the operator that they are: one function of x instead of a
 * chain. A product is seen as its factors, in whatever order and grouping it was written: c · f · g. Constants must
 * agree to the precision of their dtype. What is matched away has no other use.
 *
 *   HardSigmoid  c · clip(x + a, 0, 1/c)                    Swish     x · sigmoid(a · x)
 *   HardSwish    x · HardSigmoid{1/6, 1/2}(x)               Mish      x · tanh(softplus(x))
 *   Gelu         1/2 · x · (1 + erf(x / sqrt 2))            Softplus  log(exp(x) + 1)
 *   Gelu (tanh)  1/2 · x · (1 + tanh(sqrt(2/pi) · (x + 0.044715 · x³)))
 *   Sigmoid      1 / (1 + exp(-x)) */
#include "passes/internal.h"
#include <math.h>

enum { FACTORS = 4 };

typedef struct Product { /* c · f[0] · f[1] · … */
    double c;
    int n;
    Value *f[FACTORS];
} Product;

static bool add_factor(Product *p, Value *v, const Value *like, int depth);

static bool add_factors_of(Product *p, const Node *n, const Value *like, int depth) {
    double c;
    if (n->op == OP_Div) {
        if (!const_splat(n->in[1], &c) || c == 0) return false;
        p->c /= c;
        return add_factor(p, n->in[0], like, depth);
    }
    return add_factor(p, n->in[0], like, depth) && add_factor(p, n->in[1], like, depth);
}

static bool add_factor(Product *p, Value *v, const Value *like, int depth) {
    double c;
    if (const_splat(v, &c)) {
        p->c *= c;
        return true;
    }
    if (!value_same_type(v, like)) return false;
    const Node *n = v->n_uses == 1 ? v->def : NULL;
    bool is_product = n && (n->op == OP_Mul || (n->op == OP_Div && n->in[1]->constant));
    if (is_product && depth < FACTORS) return add_factors_of(p, n, like, depth + 1);
    if (p->n == FACTORS) return false;
    p->f[p->n++] = v;
    return true;
}

static bool product_of(Product *p, Node *n) {
    *p = (Product){.c = 1};
    return (n->op == OP_Mul || n->op == OP_Div) && add_factors_of(p, n, n->out[0], 0);
}

/* v, or the product that makes it and has no other use */
static bool product_at(Product *p, Value *v) {
    *p = (Product){.c = 1};
    return add_factor(p, v, v, 0);
}

/* v = x + c, or x - (-c) */
static bool is_sum(const Value *v, Value **x, double *c) {
    Node *n = value_only_def(v, OP_Add), *sub = n ? NULL : value_only_def(v, OP_Sub);
    if (sub) n = sub;
    if (!n) return false;
    int side = !sub && n->in[0]->constant ? 0 : 1;
    if (!const_splat(n->in[side], c) || !value_same_type(n->in[1 - side], v)) return false;
    if (sub) *c = -*c;
    *x = n->in[1 - side];
    return true;
}

static bool is_one_plus(const Value *v, Op f, Value **of) { /* v = 1 + f(of) */
    Value *x;
    double c;
    Node *n;
    if (!is_sum(v, &x, &c) || c != 1 || !(n = value_only_def(x, f))) return false;
    *of = n->in[0];
    return true;
}

static void become(Rewrite *r, Node *n, Op op, Value *x) { rewrite_become(r, n, op, &x, 1); }

/* Attributes are f32: other numbers would change what doubles compute. */
static bool fits_attribute(const Node *n, double v) {
    return n->out[0]->type.dtype != DT_F64 || (double)(float)v == v;
}

/* ---- HardSigmoid, HardSwish ---- */

/* v = c · clip(x + a, 0, 1/c): alpha = c, beta = a · c */
static bool is_hard_sigmoid(const Value *v, double c, Value **x, double *beta) {
    double a, lo, hi;
    Node *n = value_only_def(v, OP_Clip);
    if (!n || !node_in(n, 1) || !node_in(n, 2) || !const_splat(n->in[1], &lo) || !const_splat(n->in[2], &hi))
        return false;
    if (lo != 0 || !(c > 0) || !near(v->type.dtype, hi * c, 1) || !is_sum(n->in[0], x, &a)) return false;
    *beta = a * c;
    return true;
}

static bool match_hard_sigmoid(Rewrite *r, Node *n, const Product *p) {
    Value *x;
    double beta;
    if (p->n != 1 || !is_hard_sigmoid(p->f[0], p->c, &x, &beta)) return false;
    if (!fits_attribute(n, p->c) || !fits_attribute(n, beta)) return false;
    double alpha = (double)(float)p->c;
    become(r, n, OP_HardSigmoid, x);
    node_set_float(n, "alpha", alpha);
    node_set_float(n, "beta", (double)(float)beta);
    return true;
}

static bool is_hard_swish_gate(const Value *g, double c, const Value *x) {
    Value *of;
    double beta;
    Node *n = value_only_def(g, OP_HardSigmoid);
    Dtype t = g->type.dtype;
    if (n)
        return n->in[0] == x && near(t, c, 1) && near(t, node_float(n, "alpha"), 1.0 / 6) &&
               near(t, node_float(n, "beta"), 0.5);
    return is_hard_sigmoid(g, c, &of, &beta) && of == x && near(t, c, 1.0 / 6) && near(t, beta, 0.5);
}

static bool match_hard_swish(Rewrite *r, Node *n, Value *x, Value *g, double c) {
    if (!is_hard_swish_gate(g, c, x)) return false;
    become(r, n, OP_HardSwish, x);
    return true;
}

/* ---- Swish, Mish ---- */

static bool match_swish(Rewrite *r, Node *n, Value *x, Value *g, double c) {
    Product p;
    Node *sigmoid = value_only_def(g, OP_Sigmoid);
    if (!sigmoid || c != 1) return false;
    if (sigmoid->in[0] == x) p.c = 1;
    else if (!product_at(&p, sigmoid->in[0]) || p.n != 1 || p.f[0] != x) return false;
    if (!fits_attribute(n, p.c)) return false;
    double alpha = (double)(float)p.c;
    become(r, n, OP_Swish, x);
    node_set_float(n, "alpha", alpha);
    return true;
}

static bool match_mish(Rewrite *r, Node *n, Value *x, Value *g, double c) {
    Node *tanh_node = value_only_def(g, OP_Tanh),
         *softplus = tanh_node ? value_only_def(tanh_node->in[0], OP_Softplus) : NULL;
    if (!softplus || softplus->in[0] != x || c != 1) return false;
    become(r, n, OP_Mish, x);
    return true;
}

/* ---- Gelu ---- */

static bool match_gelu(Rewrite *r, Node *n, Value *x, Value *g, double c) {
    Value *u;
    Product p;
    Dtype t = x->type.dtype;
    if (!near(t, c, 0.5) || !is_one_plus(g, OP_Erf, &u)) return false;
    if (!product_at(&p, u) || p.n != 1 || p.f[0] != x || !near(t, p.c, sqrt(0.5))) return false;
    become(r, n, OP_Gelu, x);
    return true;
}

static bool is_power(const Value *v, const Value *x, int power) { /* v = x ** power */
    Node *n = value_only_def(v, OP_Pow);
    if (n) return n->in[0] == x && const_is(n->in[1], power);
    Product p;
    if (!product_at(&p, (Value *)v) || p.c != 1 || p.n != power) return false;
    for (int i = 0; i < power; i++)
        if (p.f[i] != x) return false;
    return true;
}

/* v = s · x ** power, where s is near the scale wanted */
static bool is_scaled_power(const Value *v, const Value *x, int power, double scale) {
    Product p;
    Dtype t = v->type.dtype;
    if (!product_at(&p, (Value *)v) || !near(t, p.c, scale)) return false;
    if (p.n == 1) return is_power(p.f[0], x, power);
    for (int i = 0; i < p.n; i++)
        if (p.f[i] != x) return false;
    return p.n == power;
}

static const double cubic = 0.044715; /* Hendrycks and Gimpel, arXiv:1606.08415, section 2 */

/* v = x + cubic · x³ */
static bool is_cubic_sum(const Value *v, const Value *x) {
    Node *n = value_only_def(v, OP_Add);
    if (!n) return false;
    for (int i = 0; i < 2; i++)
        if (n->in[i] == x && is_scaled_power(n->in[1 - i], x, 3, cubic)) return true;
    return false;
}

/* v = 1 + cubic · x² */
static bool is_square_sum(const Value *v, const Value *x) {
    Value *u;
    double one;
    return is_sum(v, &u, &one) && one == 1 && is_scaled_power(u, x, 2, cubic);
}

static bool match_gelu_tanh(Rewrite *r, Node *n, Value *x, Value *g, double c) {
    Value *u;
    Product p;
    Dtype t = x->type.dtype;
    if (!near(t, c, 0.5) || !is_one_plus(g, OP_Tanh, &u) || !product_at(&p, u) || !near(t, p.c, sqrt(2 / M_PI)))
        return false;
    bool cubed = p.n == 1 && is_cubic_sum(p.f[0], x);
    bool squared = p.n == 2 && ((p.f[0] == x && is_square_sum(p.f[1], x)) || (p.f[1] == x && is_square_sum(p.f[0], x)));
    if (!cubed && !squared) return false;
    become(r, n, OP_Gelu, x);
    node_set_string(n, "approximate", "tanh");
    return true;
}

/* ---- Softplus, Sigmoid ---- */

static bool match_softplus(Rewrite *r, Node *n) {
    Value *x;
    if (n->op != OP_Log || !is_one_plus(n->in[0], OP_Exp, &x)) return false;
    become(r, n, OP_Softplus, x);
    return true;
}

static bool match_sigmoid(Rewrite *r, Node *n) {
    Value *u;
    bool inverse = n->op == OP_Reciprocal || (n->op == OP_Div && const_is(n->in[0], 1));
    Value *sum = inverse ? n->in[n->n_in - 1] : NULL;
    if (!sum || !value_same_type(sum, n->out[0]) || !is_one_plus(sum, OP_Exp, &u)) return false;
    Node *neg = value_only_def(u, OP_Neg);
    if (!neg) return false;
    become(r, n, OP_Sigmoid, neg->in[0]);
    return true;
}

typedef bool Match(Rewrite *r, Node *n, Value *x, Value *g, double c);
static Match *const gates[] = {match_hard_swish, match_swish, match_mish, match_gelu, match_gelu_tanh};

static bool match_product(Rewrite *r, Node *n) {
    Product p;
    if (!product_of(&p, n)) return false;
    if (match_hard_sigmoid(r, n, &p)) return true;
    if (p.n != 2) return false;
    for (size_t i = 0; i < sizeof gates / sizeof *gates; i++)
        if (gates[i](r, n, p.f[0], p.f[1], p.c) || gates[i](r, n, p.f[1], p.f[0], p.c)) return true;
    return false;
}

static bool match_clip(Rewrite *r, Node *n) { /* clip(c · x + b, 0, 1), where nothing multiplies it */
    Value *x;
    double beta;
    Product p;
    if (n->op != OP_Clip || !node_in(n, 1) || !const_is(n->in[1], 0) || !node_in(n, 2) || !const_is(n->in[2], 1))
        return false;
    if (!is_sum(n->in[0], &x, &beta) || !product_at(&p, x) || p.n != 1) return false;
    become(r, n, OP_HardSigmoid, p.f[0]);
    node_set_float(n, "alpha", (double)(float)p.c);
    node_set_float(n, "beta", (double)(float)beta);
    return true;
}

bool pass_recognise_activation(Graph *g, PassCtx *p) {
    Rewrite r;
    (void)p;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));) {
        if (n->n_out != 1 || !op_has(n->op, OP_ELEMENTWISE) || !value_is_float(n->out[0])) continue;
        if (!match_softplus(&r, n) && !match_sigmoid(&r, n) && !match_clip(&r, n)) match_product(&r, n);
    }
    return rewrite_end(&r);
}
