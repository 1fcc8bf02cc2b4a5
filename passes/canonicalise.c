/* Algebra on single nodes and pairs: the simplest of the forms that mean the same, so that later passes meet fewer.
 * Every rule is exact but for rounding; x * 0 stays, for it is not 0 where x is NaN or infinite, and floats are not
 * reassociated. */
#include "passes/internal.h"
#include <math.h>
#include <stdlib.h>

typedef bool Rule(Rewrite *r, Node *n);

static bool replace(Rewrite *r, Node *n, Value *with) {
    if (!value_same_type(with, n->out[0])) return false; /* the constant broadcasts it, or casts it */
    rewrite_replace(r, n, with);
    return true;
}

static bool become(Rewrite *r, Node *n, Op op, Value *x, Value *y) {
    rewrite_become(r, n, op, (Value *[]){x, y}, y ? 2 : 1);
    return true;
}

static Value *new_node(Rewrite *r, Node *at, Op op, Value *x, Value *y) {
    Node *n = rewrite_insert(r, at, op, (Value *[]){x, y}, y ? 2 : 1);
    rewrite_infer(r, n);
    return n->out[0];
}

static Value *scalar(Rewrite *r, const Value *like, double v) { return const_scalar(r->g, like->type.dtype, v); }

/* ---- arithmetic ---- */

static bool rule_add(Rewrite *r, Node *n) { return const_is(n->in[1], 0) && replace(r, n, n->in[0]); } /* x + 0 -> x */
static bool rule_sub(Rewrite *r, Node *n) { return const_is(n->in[1], 0) && replace(r, n, n->in[0]); } /* x - 0 -> x */

static bool rule_mul(Rewrite *r, Node *n) {
    Value *x = n->in[0], *y = n->in[1];
    if (const_is(y, 1)) return replace(r, n, x); /* x * 1 -> x */
    if (const_is(y, -1) && value_is_float(x) && value_same_type(x, n->out[0]))
        return become(r, n, OP_Neg, x, NULL); /* x * -1 -> -x */
    Node *inverse = value_only_def(y, OP_Reciprocal);
    if (inverse && value_same_type(y, n->out[0]))
        return become(r, n, OP_Div, x, inverse->in[0]); /* x * (1 / y) -> x / y */
    return false;
}

static bool has_exact_reciprocals(const Value *v) {
    int64_t n;
    int e;
    if (!v->constant || !value_is_float(v) || !product_i64(v->constant->dims, v->constant->rank, &n)) return false;
    int most = v->type.dtype == DT_F16 ? 14 : 126; /* exponents whose negation is a normal number as well */
    for (int64_t i = 0; i < n; i++) {
        double x = tensor_float(v->constant, i);
        if (!isfinite(x) || fabs(frexp(x, &e)) != 0.5 || abs(e - 1) > most - 1) return false;
    }
    return n > 0;
}

static bool rule_div(Rewrite *r, Node *n) {
    Value *x = n->in[0], *y = n->in[1];
    if (const_is(y, 1)) return replace(r, n, x); /* x / 1 -> x */
    if (value_is_float(y) && const_is(x, 1) && value_same_type(y, n->out[0]) && !y->constant)
        return become(r, n, OP_Reciprocal, y, NULL); /* 1 / y -> Reciprocal(y) */
    if (has_exact_reciprocals(y))
        return become(r, n, OP_Mul, x, new_node(r, n, OP_Reciprocal, y, NULL)); /* x / 4 -> x * 0.25 */
    return false;
}

static bool rule_pow(Rewrite *r, Node *n) {
    Value *x = n->in[0], *y = n->in[1];
    if (const_is(y, 1)) return replace(r, n, x); /* x ** 1 -> x */
    if (!value_is_float(x) || !value_same_type(x, n->out[0]) || x->constant) return false;
    if (const_is(y, 2)) return become(r, n, OP_Mul, x, x);
    if (const_is(y, 3)) return become(r, n, OP_Mul, new_node(r, n, OP_Mul, x, x), x);
    if (const_is(y, 0.5)) return become(r, n, OP_Sqrt, x, NULL);
    if (const_is(y, -1)) return become(r, n, OP_Reciprocal, x, NULL);
    return false;
}

static bool rule_neg(Rewrite *r, Node *n) { /* --x -> x */
    Node *inner = value_def(n->in[0], OP_Neg);
    return inner && replace(r, n, inner->in[0]);
}

static bool rule_idempotent(Rewrite *r, Node *n) { /* f(f(x)) -> f(x) */
    return value_def(n->in[0], n->op) && replace(r, n, n->in[0]);
}

/* ---- logic ---- */

static bool rule_and(Rewrite *r, Node *n) { return const_is(n->in[1], 1) && replace(r, n, n->in[0]); }
static bool rule_or(Rewrite *r, Node *n) { return const_is(n->in[1], 0) && replace(r, n, n->in[0]); }

static bool rule_not(Rewrite *r, Node *n) { /* not not x -> x */
    Node *inner = value_def(n->in[0], OP_Not);
    return inner && replace(r, n, inner->in[0]);
}

static bool rule_where(Rewrite *r, Node *n) {
    double c;
    return const_splat(n->in[0], &c) && replace(r, n, n->in[c != 0 ? 1 : 2]);
}

/* ---- bounds ---- */

static bool clip(Rewrite *r, Node *n, Value *x, Value *lo, Value *hi) {
    rewrite_become(r, n, OP_Clip, (Value *[]){x, lo, hi}, 3);
    return true;
}

static bool rule_same(Rewrite *r, Node *n) { /* f(x, x) -> x */
    return n->n_in == 2 && n->in[0] == n->in[1] && replace(r, n, n->in[0]);
}

static bool rule_max(Rewrite *r, Node *n) { /* max(x, 0) -> Relu(x) */
    if (rule_same(r, n)) return true;
    return value_is_float(n->in[0]) && const_is(n->in[1], 0) && value_same_type(n->in[0], n->out[0]) &&
           become(r, n, OP_Relu, n->in[0], NULL);
}

static bool rule_min(Rewrite *r, Node *n) { /* min(Relu(x), c) -> Clip(x, 0, c) for c >= 0 */
    double c;
    Node *relu = value_only_def(n->in[0], OP_Relu);
    if (rule_same(r, n)) return true;
    if (!relu || !value_is_float(n->in[0]) || !const_splat(n->in[1], &c) || !(c >= 0) ||
        !value_same_type(n->in[0], n->out[0]))
        return false;
    return clip(r, n, relu->in[0], scalar(r, n->out[0], 0), scalar(r, n->out[0], c));
}

static bool rule_clip(Rewrite *r, Node *n) {
    Value *x = n->in[0], *lo = node_in(n, 1), *hi = node_in(n, 2);
    double low, high;
    if (!value_is_float(x)) return false;
    if (lo && const_is(lo, -INFINITY)) return clip(r, n, x, NULL, hi); /* bounds that do not bind */
    if (hi && const_is(hi, INFINITY)) return clip(r, n, x, lo, NULL);
    if (lo && !hi && const_is(lo, 0)) return become(r, n, OP_Relu, x, NULL); /* Clip(x, 0) -> Relu(x) */
    Node *relu = value_only_def(x, OP_Relu);
    if (!relu) return false;
    if (lo && (!const_splat(lo, &low) || low > 0)) return false;
    if (hi && (!const_splat(hi, &high) || !(high >= 0))) return false;
    return clip(r, n, relu->in[0], scalar(r, x, 0), hi); /* Clip(Relu(x), lo <= 0, hi) -> Clip(x, 0, hi) */
}

static bool rule_relu(Rewrite *r, Node *n) {
    double low;
    Node *inner = value_def(n->in[0], OP_Clip);
    if (value_def(n->in[0], OP_Relu)) return replace(r, n, n->in[0]); /* Relu(Relu(x)) -> Relu(x) */
    if (inner && node_in(inner, 1) && const_splat(inner->in[1], &low) && low >= 0)
        return replace(r, n, n->in[0]); /* Relu(Clip(x, lo >= 0)) -> Clip(…) */
    return false;
}

/* QuantizeLinear(Relu(x)) -> QuantizeLinear(x), where 0 becomes the least integer, which what is below becomes anyway */
static bool rule_quantize(Rewrite *r, Node *n) {
    Node *relu = value_def(n->in[0], OP_Relu);
    const Tensor *scale = n->in[1]->constant, *zero = node_in(n, 2) ? node_in(n, 2)->constant : NULL;
    Dtype t = n->out[0]->type.dtype;
    int64_t scales, zeros;
    if (!relu || !scale || !zero || (t != DT_U8 && t != DT_I8) || scale->dtype != DT_F32) return false;
    if (!product_i64(scale->dims, scale->rank, &scales) || !product_i64(zero->dims, zero->rank, &zeros)) return false;
    for (int64_t i = 0; i < scales; i++)
        if (!(tensor_float(scale, i) > 0)) return false;
    for (int64_t i = 0; i < zeros; i++)
        if (tensor_int(zero, i) != (t == DT_U8 ? 0 : -128)) return false;
    rewrite_input(r, n, 0, relu->in[0]);
    return true;
}

/* ---- casts ---- */

/* Every value of a is one of b */
static bool holds(Dtype b, Dtype a) {
    DtypeClass ca = dtype_class(a), cb = dtype_class(b);
    int na = dtype_bits(a), nb = dtype_bits(b);
    if (a == b) return true;
    if (ca == DTC_SMALL || cb == DTC_SMALL || cb == DTC_PACKED || (ca == DTC_PACKED && cb != DTC_F)) return false;
    if (ca == DTC_B) return cb != DTC_OTHER && cb != DTC_B;
    if (ca == DTC_F) return cb == DTC_F && nb > na;
    if (cb == DTC_F) return na < (b == DT_F64 ? 53 : b == DT_F32 ? 24 : b == DT_F16 ? 11 : 8);
    return ca == cb ? nb > na : ca == DTC_U && cb == DTC_I && nb > na;
}

static bool rule_cast(Rewrite *r, Node *n) { /* Cast(Cast(x: T -> U) -> V) -> Cast(x -> V), where U holds all of T */
    Node *inner = value_def(n->in[0], OP_Cast);
    if (!inner || !dtype_supported(inner->in[0]->type.dtype) || !holds(n->in[0]->type.dtype, inner->in[0]->type.dtype))
        return false;
    if (value_same_type(inner->in[0], n->out[0])) return replace(r, n, inner->in[0]);
    rewrite_input(r, n, 0, inner->in[0]);
    return true;
}

/* ---- joins ---- */

static bool is_empty(const Value *v) {
    for (int i = 0; i < v->type.rank; i++)
        if (dim_is(v->type.dims[i], 0)) return true;
    return false;
}

static bool rule_concat(Rewrite *r, Node *n) { /* empty parts go */
    Value **kept = ARENA_ARRAY(r->scratch, n->n_in, Value *);
    Node attrs = *n;
    int count = 0;
    for (int i = 0; i < n->n_in; i++)
        if (!is_empty(n->in[i])) kept[count++] = n->in[i];
    if (count == 0 || count == n->n_in) return false;
    rewrite_become(r, n, OP_Concat, kept, count);
    node_copy_attrs(n, &attrs);
    return true;
}

static const struct {
    Op op;
    Rule *rule;
} rules[] = {
    {OP_Add, rule_add},
    {OP_Sub, rule_sub},
    {OP_Mul, rule_mul},
    {OP_Div, rule_div},
    {OP_Pow, rule_pow},
    {OP_Neg, rule_neg},
    {OP_Abs, rule_idempotent},
    {OP_Ceil, rule_idempotent},
    {OP_Floor, rule_idempotent},
    {OP_Round, rule_idempotent},
    {OP_Sign, rule_idempotent},
    {OP_And, rule_and},
    {OP_Or, rule_or},
    {OP_Not, rule_not},
    {OP_Where, rule_where},
    {OP_Max, rule_max},
    {OP_Min, rule_min},
    {OP_Clip, rule_clip},
    {OP_Relu, rule_relu},
    {OP_QuantizeLinear, rule_quantize},
    {OP_Cast, rule_cast},
    {OP_Concat, rule_concat},
};

/* ---- what holds for properties of operators ---- */

static bool constant_to_the_right(Rewrite *r, Node *n) { /* c op x -> x op c */
    if (n->n_in != 2 || !op_has(n->op, OP_COMMUTATIVE) || !n->in[0]->constant || n->in[1]->constant) return false;
    Value *c = n->in[0];
    n->in[0] = n->in[1];
    n->in[1] = c;
    r->changed = true;
    return true;
}

/* What an operand repeats: itself, where that is one number in many places */
static Value *repeated(Rewrite *r, Value *v) {
    double c;
    int64_t elements;
    if (value_def(v, OP_Expand)) return v->def->in[0];
    if (value_def(v, OP_ConstantOfShape)) {
        const Attr *fill = node_attr(v->def, "value");
        return fill ? value_of_tensor(r->g, fill->tensor) : const_scalar(r->g, DT_F32, 0);
    }
    bool many = v->constant && v->type.rank > 0 && product_i64(v->constant->dims, v->constant->rank, &elements);
    if (many && value_is_float(v) && const_splat(v, &c)) return const_scalar(r->g, v->type.dtype, c);
    return NULL;
}

static bool drop_expansion(Rewrite *r, Node *n) { /* f(x, Expand(y)) -> f(x, y), where x broadcasts y as far */
    if (!op_has(n->op, OP_ELEMENTWISE) || n->n_in < 2) return false;
    Value **in = ARENA_ARRAY(r->scratch, n->n_in, Value *);
    for (int i = n->op == OP_PRelu; i < n->n_in; i++) { /* a slope is broadcast to x, not x to it */
        Value *small = n->in[i] ? repeated(r, n->in[i]) : NULL;
        if (!small) continue;
        for (int k = 0; k < n->n_in; k++) in[k] = k == i ? small : n->in[k];
        if (!broadcast_gives(in, n->n_in, n->out[0])) continue;
        rewrite_input(r, n, i, small);
        return true;
    }
    return false;
}

static bool apply(Rewrite *r, Node *n) {
    if (constant_to_the_right(r, n)) return true;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].op == n->op && rules[i].rule(r, n)) return true;
    return drop_expansion(r, n);
}

bool pass_canonicalise(Graph *g, PassCtx *p) {
    Rewrite r;
    (void)p;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));)
        if (n->n_out && n->out[0]) apply(&r, n);
    return rewrite_end(&r);
}
