/* Floats that exporters compute sizes with: Cast to float, Mul by a scale, Floor, Cast back. Follows a float element
 * back to the integers that it comes from, as a quotient num / den, and only where float arithmetic is exact: |num|
 * below 2^24 (2^53 in float64) over a power of two. A quotient by another number is allowed if nothing but Floor, Ceil
 * or the Cast follows: a rounded a / b cannot reach the next integer as long as a + b fits the mantissa. Where all dims
 * are constants the float itself is computed. */
#include "frontend/infer/infer.h"
#include <math.h>

enum { MAX_STEPS = 48 /* of the way back, in all */, MAX_ELEMENT = 16, MAX_HALVINGS = 20 };

typedef struct Ratio {
    Dim num; /* NULL: not known */
    int64_t den;
    bool rounded;
} Ratio;

static const Ratio unknown = {0};

static bool is_power_of_two(int64_t v) { return v > 0 && (v & (v - 1)) == 0; }

static int64_t mantissa(Dtype t) { return t == DT_F64 ? (int64_t)1 << 53 : t == DT_F32 ? 1 << 24 : 0; }

static Ratio checked(Dtype t, Dim num, int64_t den, bool rounded) {
    int64_t most = mantissa(t), sum;
    if (!num || !dim_is_bounded(num) || den < 1 || num->hi > most || num->lo < -most) return unknown;
    if (rounded && (num->lo < 0 || !add_i64(num->hi, den, &sum) || sum > most)) return unknown;
    return (Ratio){num, den, rounded};
}

static Ratio checked_again(Dtype t, Ratio r) { return checked(t, r.num, r.den, r.rounded); }

static Ratio ratio_of_double(Ctx *ctx, Dtype t, double v) {
    int64_t den = 1;
    for (int i = 0; i < MAX_HALVINGS && v != floor(v); i++, v *= 2) den *= 2;
    if (v != floor(v) || !(fabs(v) < 1e15)) return unknown;
    return checked(t, dim_const(ctx, (int64_t)v), den, false);
}

static Ratio product(Ctx *ctx, Dtype t, Ratio a, Ratio b) {
    int64_t den;
    if (a.rounded || b.rounded || !mul_i64(a.den, b.den, &den)) return unknown;
    return checked(t, dim_mul(ctx, a.num, b.num), den, false);
}

static Ratio sum(Ctx *ctx, Dtype t, Ratio a, Ratio b, int64_t sign) {
    int64_t den;
    if (a.rounded || b.rounded || !mul_i64(a.den, b.den, &den)) return unknown;
    Dim x = dim_mul(ctx, a.num, dim_const(ctx, b.den)), y = dim_mul(ctx, b.num, dim_const(ctx, a.den));
    return checked(t, dim_add(ctx, x, dim_mul(ctx, y, dim_const(ctx, sign))), den, false);
}

static Ratio quotient(Ctx *ctx, Dtype t, Ratio a, Ratio b) {
    int64_t v, den;
    if (a.rounded || b.rounded || !dim_is_const(b.num, &v) || v < 1 || !mul_i64(a.den, v, &den)) return unknown;
    return checked(t, dim_mul(ctx, a.num, dim_const(ctx, b.den)), den, !is_power_of_two(den));
}

static Dim whole(Ctx *ctx, Ratio r, bool up) {
    Dim den = dim_const(ctx, r.den);
    return !r.num ? NULL : up ? dim_ceildiv(ctx, r.num, den) : dim_floordiv(ctx, r.num, den);
}

static Ratio ratio_of(Ctx *ctx, const Value *v, int i, int *steps);

static Ratio of_elementwise(Ctx *ctx, const Node *n, int i, int *steps) {
    Dtype t = n->out[0]->type.dtype;
    Ratio a = ratio_of(ctx, n->in[0], i, steps),
          b = n->n_in == 2 ? ratio_of(ctx, n->in[1], i, steps) : (Ratio){.num = a.num, .den = 1};
    if (!a.num || !b.num) return unknown;
    switch (n->op) {
    case OP_Mul: return product(ctx, t, a, b);
    case OP_Div: return quotient(ctx, t, a, b);
    case OP_Add: return sum(ctx, t, a, b, 1);
    case OP_Sub: return sum(ctx, t, a, b, -1);
    case OP_Floor: return checked(t, whole(ctx, a, false), 1, false);
    case OP_Ceil: return checked(t, whole(ctx, a, true), 1, false);
    case OP_Cast:
    case OP_Identity: return checked_again(t, a);
    default: return unknown;
    }
}

static Ratio of_concat(Ctx *ctx, const Node *n, int i, int *steps) {
    for (int k = 0; k < n->n_in; k++) {
        int64_t size;
        if (n->in[k]->type.rank != 1 || !dim_is_const(n->in[k]->type.dims[0], &size)) return unknown;
        if (i < size) return ratio_of(ctx, n->in[k], i, steps);
        i -= (int)size;
    }
    return unknown;
}

static Ratio of_node(Ctx *ctx, const Node *n, int i, int *steps) {
    if (n->op == OP_Concat) return of_concat(ctx, n, i, steps);
    if (n->op == OP_Unsqueeze || n->op == OP_Squeeze || n->op == OP_Reshape) return ratio_of(ctx, n->in[0], i, steps);
    if (n->op == OP_CastLike) return checked_again(n->out[0]->type.dtype, ratio_of(ctx, n->in[0], i, steps));
    return op_has(n->op, OP_ELEMENTWISE) && n->n_in <= 2 ? of_elementwise(ctx, n, i, steps) : unknown;
}

/* Element i of a tensor of rank 0 or 1; one element stands for all */
static Ratio ratio_of(Ctx *ctx, const Value *v, int i, int *steps) {
    int64_t size = 1;
    int have = value_content(v);
    if (--*steps < 0 || !v || v->type.rank > 1 || (v->type.rank == 1 && !dim_is_const(v->type.dims[0], &size)) ||
        size < 1)
        return unknown;
    if (size == 1) i = 0;
    if (i >= size) return unknown;
    if (have >= 0) return checked(DT_F64, v->content[i], 1, false);
    if (!mantissa(v->type.dtype)) return unknown;
    if (v->constant) return ratio_of_double(ctx, v->type.dtype, tensor_float(v->constant, i));
    return v->def ? of_node(ctx, v->def, i, steps) : unknown;
}

/* ---- numbers that are known as they are, rounded as the run would ---- */

static bool number_of(const Value *v, int i, int *steps, double *out);

static double rounded_to(Dtype t, double v) { return t == DT_F32 ? (double)(float)v : v; }

/* ReduceMax or ReduceMin of all of a vector */
static bool number_of_extreme(const Node *n, int *steps, double *out) {
    const Type *x = &n->in[0]->type;
    int64_t size;
    if (x->rank != 1 || !dim_is_const(x->dims[0], &size) || size < 1 || size > MAX_ELEMENT ||
        (n->out[0]->type.rank == 1 && !dim_is(n->out[0]->type.dims[0], 1)) || !number_of(n->in[0], 0, steps, out))
        return false;
    for (int i = 1; i < size; i++) {
        double v;
        if (!number_of(n->in[0], i, steps, &v)) return false;
        if (n->op == OP_ReduceMax ? v > *out : v < *out) *out = v;
    }
    return true;
}

/* +, -, ·, / and the root of float32 round the same through float64. */
static bool number_of_node(const Node *n, int i, int *steps, double *out) {
    double a, b = 0;
    if (n->op == OP_Unsqueeze || n->op == OP_Squeeze || n->op == OP_Reshape) return number_of(n->in[0], i, steps, out);
    if (n->op == OP_ReduceMax || n->op == OP_ReduceMin) return number_of_extreme(n, steps, out);
    if (!op_has(n->op, OP_ELEMENTWISE) || n->n_in < 1 || n->n_in > 2 || !number_of(n->in[0], i, steps, &a) ||
        (n->n_in == 2 && !number_of(n->in[1], i, steps, &b)))
        return false;
    switch (n->op) {
    case OP_Cast:
    case OP_Identity: *out = a; break;
    case OP_Add: *out = a + b; break;
    case OP_Sub: *out = a - b; break;
    case OP_Mul: *out = a * b; break;
    case OP_Div: *out = a / b; break;
    case OP_Min: *out = n->n_in == 1 || a < b ? a : b; break;
    case OP_Max: *out = n->n_in == 1 || a > b ? a : b; break;
    case OP_Reciprocal: *out = 1 / a; break;
    case OP_Sqrt: *out = sqrt(a); break;
    case OP_Floor: *out = floor(a); break;
    case OP_Ceil: *out = ceil(a); break;
    default: return false;
    }
    *out = rounded_to(n->out[0]->type.dtype, *out);
    return isfinite(*out);
}

/* Element i of a tensor of rank 0 or 1; one element stands for all */
static bool number_of(const Value *v, int i, int *steps, double *out) {
    int64_t size = 1, whole;
    int have = value_content(v);
    if (--*steps < 0 || !v || v->type.rank > 1 || (v->type.rank == 1 && !dim_is_const(v->type.dims[0], &size)))
        return false;
    if (size == 1) i = 0;
    if (i >= size) return false;
    if (have >= 0) {
        *out = v->content[i] && dim_is_const(v->content[i], &whole) ? (double)whole : NAN;
        return fabs(*out) <= (double)mantissa(DT_F64);
    }
    if (!mantissa(v->type.dtype)) return false;
    if (v->constant) {
        *out = tensor_float(v->constant, i);
        return isfinite(*out);
    }
    if (v->def && v->def->op != OP_Concat) return number_of_node(v->def, i, steps, out);
    for (int k = 0; v->def && k < v->def->n_in; k++) {
        const Value *part = v->def->in[k];
        int64_t n;
        if (part->type.rank != 1 || !dim_is_const(part->type.dims[0], &n)) return false;
        if (i < n) return number_of(part, i, steps, out);
        i -= (int)n;
    }
    return false;
}

Dim ratio_cast(Ctx *ctx, const Value *v, int i) { /* rounds to zero: what is below zero must be whole */
    int steps = MAX_STEPS;
    double known;
    if (i >= MAX_ELEMENT) return NULL;
    if (number_of(v, i, &steps, &known)) return fabs(known) < 9e18 ? dim_const(ctx, (int64_t)known) : NULL;
    steps = MAX_STEPS;
    Ratio r = ratio_of(ctx, v, i, &steps);
    return r.num && (r.num->lo >= 0 || r.den == 1) ? whole(ctx, r, false) : NULL;
}

Dim ratio_whole(Ctx *ctx, const Value *v) {
    int steps = MAX_STEPS;
    Ratio r = ratio_of(ctx, v, 0, &steps);
    return r.den == 1 && !r.rounded ? r.num : NULL;
}

bool ratio_value(const Value *v, int i, double *out) {
    int steps = MAX_STEPS;
    return number_of(v, i, &steps, out);
}
