/* Dims as interned expressions in one normal form: a sum of terms coef·atom·atom·…, where an atom is a symbol or a
 * quotient, minimum or maximum of such sums. Two dims that are equal as polynomials over their atoms are one pointer.
 * Every node carries bounds, from interval arithmetic that saturates at the ends of int64. Expressions stay small (weight,
 * depth), so that walks over them need neither much time nor much stack, whatever the model. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "ir/ir.h"

enum { FIRST_BUCKETS = 1024, MAX_TERMS = 64, MAX_FACTORS = 12, MAX_WEIGHT = 2000, MAX_DEPTH = 48, MAX_EQUALS = 1024 };

typedef struct DimTable {
    Dim *bucket;
    size_t n_buckets;
    int next_id;
} DimTable;

typedef struct Poly { /* under construction */
    int n;
    DimTerm t[MAX_TERMS];
} Poly;

static int64_t sat_mul(int64_t a, int64_t b) {
    int64_t r;
    if (mul_i64(a, b, &r)) return r;
    return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
}

static int64_t sat_add(int64_t a, int64_t b) {
    int64_t r;
    if (a == INT64_MAX || b == INT64_MAX) return INT64_MAX;
    if (a == INT64_MIN || b == INT64_MIN) return INT64_MIN;
    return add_i64(a, b, &r) ? r : a < 0 ? INT64_MIN : INT64_MAX;
}

static void interval_mul(int64_t *lo, int64_t *hi, int64_t l, int64_t h) {
    int64_t p[4] = {sat_mul(*lo, l), sat_mul(*lo, h), sat_mul(*hi, l), sat_mul(*hi, h)};
    *lo = *hi = p[0];
    for (int i = 1; i < 4; i++) {
        if (p[i] < *lo) *lo = p[i];
        if (p[i] > *hi) *hi = p[i];
    }
}

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

static void fill_bounds(DimNode *d) {
    switch (d->kind) {
    case DIM_CONST: d->lo = d->hi = d->value; break;
    case DIM_SYMBOL: break;
    case DIM_SUM:
        for (int i = 0; i < d->n_terms; i++) {
            int64_t lo = d->terms[i].coef, hi = lo;
            for (int k = 0; k < d->terms[i].n_factors; k++)
                interval_mul(&lo, &hi, d->terms[i].factors[k]->lo, d->terms[i].factors[k]->hi);
            d->lo = sat_add(d->lo, lo);
            d->hi = sat_add(d->hi, hi);
        }
        break;
    case DIM_FLOORDIV: {
        int64_t l = d->b->lo > 0 ? d->b->lo : 1, h = d->b->hi > l ? d->b->hi : l;
        d->lo = floor_div(d->a->lo, d->a->lo < 0 ? l : h);
        d->hi = d->a->hi == INT64_MAX ? INT64_MAX : floor_div(d->a->hi, d->a->hi < 0 ? h : l);
        break;
    }
    case DIM_MIN:
        d->lo = d->a->lo < d->b->lo ? d->a->lo : d->b->lo;
        d->hi = d->a->hi < d->b->hi ? d->a->hi : d->b->hi;
        break;
    case DIM_MAX:
        d->lo = d->a->lo > d->b->lo ? d->a->lo : d->b->lo;
        d->hi = d->a->hi > d->b->hi ? d->a->hi : d->b->hi;
        break;
    }
}

static void add_part(DimNode *d, Dim part) {
    d->weight += part->weight;
    if (d->depth <= part->depth) d->depth = part->depth + 1;
    d->data = d->data || part->data;
    d->wild = d->wild || part->wild;
}

/* Size, and whether anything in it is written by a node or without a bound. */
static void fill_facts(DimNode *d) {
    d->weight = 1;
    d->data = d->kind == DIM_SYMBOL && d->node;
    d->wild = d->kind != DIM_CONST && (d->lo == INT64_MIN || d->hi == INT64_MAX);
    if (d->a) add_part(d, d->a);
    if (d->b) add_part(d, d->b);
    for (int i = 0; i < d->n_terms; i++)
        for (int k = 0; k < d->terms[i].n_factors; k++) add_part(d, d->terms[i].factors[k]);
}

static bool same_terms(Dim x, Dim y) {
    if (x->n_terms != y->n_terms) return false;
    for (int i = 0; i < x->n_terms; i++) {
        const DimTerm *s = &x->terms[i], *t = &y->terms[i];
        if (s->coef != t->coef || s->n_factors != t->n_factors) return false;
        for (int k = 0; k < s->n_factors; k++)
            if (s->factors[k] != t->factors[k]) return false;
    }
    return true;
}

static bool same(Dim x, Dim y) {
    return x->kind == y->kind && x->value == y->value && str_eq(x->name, y->name) && x->node == y->node && x->a == y->a &&
           x->b == y->b && same_terms(x, y);
}

static uint64_t hash_dim(Dim d) {
    uint64_t h = hash_bytes(HASH_SEED, &d->kind, sizeof d->kind);
    h = hash_bytes(h, &d->value, sizeof d->value);
    h = hash_bytes(h, d->name.p, d->name.n);
    if (d->a) h = hash_bytes(h, &d->a->id, sizeof d->a->id);
    if (d->b) h = hash_bytes(h, &d->b->id, sizeof d->b->id);
    for (int i = 0; i < d->n_terms; i++) {
        h = hash_bytes(h, &d->terms[i].coef, sizeof d->terms[i].coef);
        for (int k = 0; k < d->terms[i].n_factors; k++)
            h = hash_bytes(h, &d->terms[i].factors[k]->id, sizeof d->terms[i].factors[k]->id);
    }
    return h;
}

static const DimTerm *copy_terms(Ctx *ctx, const DimTerm *t, int n) {
    DimTerm *terms = ARENA_ARRAY(ctx->arena, n, DimTerm);
    for (int i = 0; i < n; i++) {
        Dim *factors = ARENA_ARRAY(ctx->arena, t[i].n_factors, Dim);
        for (int k = 0; k < t[i].n_factors; k++) factors[k] = t[i].factors[k];
        terms[i] = (DimTerm){t[i].coef, t[i].n_factors, factors};
    }
    return terms;
}

static void tighten_bounds(Ctx *ctx, DimNode *d);

/* Twice as many buckets */
static void grow(Ctx *ctx, DimTable *table) {
    size_t n = table->n_buckets ? 2 * table->n_buckets : FIRST_BUCKETS;
    Dim *bucket = ARENA_ARRAY(ctx->arena, n, Dim);
    for (size_t i = 0; i < table->n_buckets; i++)
        for (DimNode *d = (DimNode *)table->bucket[i], *next; d; d = next) {
            Dim *to = &bucket[hash_dim(d) % n];
            next = (DimNode *)d->next;
            d->next = *to;
            *to = d;
        }
    table->bucket = bucket;
    table->n_buckets = n;
}

/* NULL: larger than any real model needs */
static Dim intern(Ctx *ctx, const DimNode *want, bool fresh) {
    if (!ctx->dims) ctx->dims = ARENA_NEW(ctx->arena, DimTable);
    DimTable *table = ctx->dims;
    if ((size_t)table->next_id >= table->n_buckets) grow(ctx, table);
    uint64_t hash = hash_dim(want);
    for (Dim d = table->bucket[hash % table->n_buckets]; d && !fresh; d = d->next)
        if (same(d, want)) return d;
    DimNode made = *want;
    fill_bounds(&made);
    fill_facts(&made);
    if (made.weight > MAX_WEIGHT || made.depth > MAX_DEPTH) return NULL;
    if (made.kind == DIM_SUM) tighten_bounds(ctx, &made);
    DimNode *d = ARENA_NEW(ctx->arena, DimNode);
    *d = made;
    d->id = table->next_id++;
    if (d->n_terms) d->terms = copy_terms(ctx, want->terms, want->n_terms);
    if (d->name.n) d->name = arena_str(ctx->arena, want->name.p, want->name.n);
    Dim *bucket = &table->bucket[hash % table->n_buckets]; /* the table may have grown since */
    d->next = *bucket;
    return *bucket = d;
}

Dim dim_const(Ctx *ctx, int64_t v) { return intern(ctx, &(DimNode){.kind = DIM_CONST, .value = v}, false); }

Dim dim_symbol(Ctx *ctx, Str name, int64_t lo, int64_t hi) {
    return intern(ctx, &(DimNode){.kind = DIM_SYMBOL, .name = name, .lo = lo, .hi = hi}, false);
}

Dim dim_data(Ctx *ctx, const Node *node, int64_t lo, int64_t hi) {
    return intern(ctx, &(DimNode){.kind = DIM_SYMBOL, .node = node, .lo = lo, .hi = hi}, true);
}

/* ---- polynomials ---- */

static int compare_factors(const DimTerm *x, const DimTerm *y) {
    if (x->n_factors != y->n_factors) return x->n_factors > y->n_factors ? -1 : 1;
    for (int i = 0; i < x->n_factors; i++)
        if (x->factors[i] != y->factors[i]) return x->factors[i]->id < y->factors[i]->id ? -1 : 1;
    return 0;
}

static bool poly_add(Poly *p, DimTerm t) {
    if (t.coef == 0) return true;
    for (int i = 0; i < p->n; i++)
        if (compare_factors(&p->t[i], &t) == 0) {
            if (!add_i64(p->t[i].coef, t.coef, &p->t[i].coef)) return false;
            if (p->t[i].coef == 0) p->t[i] = p->t[--p->n];
            return true;
        }
    if (p->n == MAX_TERMS) return false;
    p->t[p->n++] = t;
    return true;
}

static Poly poly_of(Ctx *ctx, Dim d) {
    Poly p = {0};
    if (d->kind == DIM_CONST) {
        if (d->value) p.t[p.n++] = (DimTerm){d->value, 0, NULL};
    } else if (d->kind == DIM_SUM) {
        p.n = d->n_terms;
        memcpy(p.t, d->terms, sizeof *p.t * (size_t)p.n);
    } else {
        Dim *one = ARENA_ARRAY(ctx->arena, 1, Dim);
        *one = d;
        p.t[p.n++] = (DimTerm){1, 1, one};
    }
    return p;
}

static int by_factors(const void *x, const void *y) { return compare_factors(x, y); }

static Dim poly_dim(Ctx *ctx, Poly *p) {
    if (p->n == 0) return dim_const(ctx, 0);
    if (p->n == 1 && p->t[0].n_factors == 0) return dim_const(ctx, p->t[0].coef);
    if (p->n == 1 && p->t[0].n_factors == 1 && p->t[0].coef == 1) return p->t[0].factors[0];
    qsort(p->t, (size_t)p->n, sizeof *p->t, by_factors);
    return intern(ctx, &(DimNode){.kind = DIM_SUM, .n_terms = p->n, .terms = p->t}, false);
}

static bool term_mul(Ctx *ctx, const DimTerm *x, const DimTerm *y, DimTerm *out) {
    int n = x->n_factors + y->n_factors;
    if (n > MAX_FACTORS || !mul_i64(x->coef, y->coef, &out->coef)) return false;
    Dim *f = ARENA_ARRAY(ctx->arena, n, Dim);
    for (int i = 0, a = 0, b = 0; i < n; i++) {
        bool first = b == y->n_factors || (a < x->n_factors && x->factors[a]->id <= y->factors[b]->id);
        f[i] = first ? x->factors[a++] : y->factors[b++];
    }
    out->n_factors = n;
    out->factors = f;
    return true;
}

/* A sum of many terms as one atom, its quotient by 1, which a sum of more has a place for. It is equal to the sum, but
 * not the same: what a sum of so many terms shares with others is known no more. */
static Dim close_sum(Ctx *ctx, Dim d, int most) {
    if (d->kind != DIM_SUM || d->n_terms <= most) return d;
    return intern(ctx, &(DimNode){.kind = DIM_FLOORDIV, .a = d, .b = dim_const(ctx, 1)}, false);
}

static bool is_closed(Dim quotient) { return dim_is(quotient->b, 1); }

/* For a sum r + k·floor(a / c): c·floor(a / c) lies in a - c + 1 … a, so that c·sum lies between c·r + k·a and
 * c·r + k·(a - c + 1), which sees what r and a share: x - c·floor(x / c) is 0 to c - 1. The first such term will do. */
static void tighten_bounds(Ctx *ctx, DimNode *d) {
    for (int i = 0; i < d->n_terms; i++) {
        const DimTerm *t = &d->terms[i];
        if (t->n_factors != 1 || t->factors[0]->kind != DIM_FLOORDIV || t->factors[0]->b->kind != DIM_CONST || is_closed(t->factors[0])) continue;
        Poly r = {.n = d->n_terms};
        memcpy(r.t, d->terms, sizeof *r.t * (size_t)r.n);
        r.t[i] = r.t[--r.n];
        Dim a = t->factors[0]->a, c = t->factors[0]->b, k = dim_const(ctx, t->coef), rest = poly_dim(ctx, &r);
        Dim x = dim_add(ctx, dim_mul(ctx, c, rest), dim_mul(ctx, k, a));
        Dim y = dim_sub(ctx, x, dim_mul(ctx, k, dim_sub(ctx, c, dim_const(ctx, 1))));
        if (!x || !y) return;
        if (t->coef > 0) {
            Dim swap = x;
            x = y;
            y = swap;
        }
        int64_t lo = x->lo == INT64_MIN ? INT64_MIN : -floor_div(-x->lo, c->value), hi = floor_div(y->hi, c->value);
        if (lo > d->lo) d->lo = lo;
        if (y->hi != INT64_MAX && hi < d->hi) d->hi = hi;
        return;
    }
}

/* x / y where y divides x exactly */
static bool term_div(Ctx *ctx, const DimTerm *x, const DimTerm *y, DimTerm *out) {
    if (y->coef == 0 || (x->coef == INT64_MIN && y->coef == -1) || x->coef % y->coef || x->n_factors < y->n_factors) return false;
    Dim *f = ARENA_ARRAY(ctx->arena, x->n_factors - y->n_factors, Dim);
    int b = 0, n = 0;
    for (int a = 0; a < x->n_factors; a++) {
        if (b < y->n_factors && x->factors[a] == y->factors[b]) b++;
        else if (n < x->n_factors - y->n_factors) f[n++] = x->factors[a];
        else return false;
    }
    *out = (DimTerm){x->coef / y->coef, n, f};
    return b == y->n_factors;
}

/* Terms of both in their order; false: a coefficient overflows. `room`: whether they have a place */
static bool poly_merge(const Poly *p, const Poly *q, Poly *r, bool *room) {
    int i = 0, j = 0;
    r->n = 0;
    *room = true;
    while (i < p->n || j < q->n) {
        int order = i == p->n ? 1 : j == q->n ? -1 : compare_factors(&p->t[i], &q->t[j]);
        DimTerm t = order <= 0 ? p->t[i++] : q->t[j++];
        if (order == 0 && !add_i64(t.coef, q->t[j++].coef, &t.coef)) return false;
        if (t.coef == 0) continue;
        if (!(*room = r->n < MAX_TERMS)) return true;
        r->t[r->n++] = t;
    }
    return true;
}

Dim dim_add(Ctx *ctx, Dim a, Dim b) {
    if (!a || !b) return NULL;
    Poly p = poly_of(ctx, a), q = poly_of(ctx, b), r;
    bool room;
    if (!poly_merge(&p, &q, &r, &room)) return NULL;
    return room ? poly_dim(ctx, &r) : dim_add(ctx, close_sum(ctx, a, MAX_TERMS / 2), close_sum(ctx, b, MAX_TERMS / 2));
}

Dim dim_mul(Ctx *ctx, Dim a, Dim b) {
    enum { FEW = 8 }; /* whose products have places */
    if (!a || !b) return NULL;
    Poly p = poly_of(ctx, a), q = poly_of(ctx, b), r = {0};
    DimTerm t;
    for (int i = 0; i < p.n; i++)
        for (int j = 0; j < q.n; j++) {
            if (!term_mul(ctx, &p.t[i], &q.t[j], &t)) return NULL;
            if (poly_add(&r, t)) continue;
            if (r.n < MAX_TERMS || p.n * q.n <= MAX_TERMS) return NULL;
            return dim_mul(ctx, close_sum(ctx, a, FEW), close_sum(ctx, b, FEW));
        }
    return poly_dim(ctx, &r);
}

Dim dim_sub(Ctx *ctx, Dim a, Dim b) { return dim_add(ctx, a, dim_mul(ctx, b, dim_const(ctx, -1))); }

/* a = b·q exactly: long division. Terms are in graded lexicographic order, so leading terms divide leading terms. */
static Dim exact_quotient(Ctx *ctx, Dim a, Dim b) {
    Poly d = poly_of(ctx, b), q = {0};
    DimTerm t;
    if (d.n == 0) return NULL;
    for (int step = 0; step < MAX_TERMS; step++) {
        Poly p = poly_of(ctx, a), one = {0};
        if (p.n == 0) return poly_dim(ctx, &q);
        if (!term_div(ctx, &p.t[0], &d.t[0], &t) || !poly_add(&q, t) || !poly_add(&one, t)) return NULL;
        a = dim_sub(ctx, a, dim_mul(ctx, poly_dim(ctx, &one), b));
        if (!a) return NULL;
    }
    return NULL;
}

static int64_t gcd(int64_t a, int64_t b) {
    while (b) {
        int64_t t = a % b;
        a = b;
        b = t;
    }
    return a < 0 ? -a : a;
}

/* floor((g·p + k) / (g·c)) = floor((p + floor(k / g)) / c); NULL where the coefficients share no factor with c */
static Dim cancel_factor(Ctx *ctx, const Poly *terms, int64_t c) {
    Poly p = {0};
    int64_t g = c;
    for (int i = 0; i < terms->n; i++)
        if (terms->t[i].n_factors) g = gcd(g, terms->t[i].coef);
    if (g == 1) return NULL;
    for (int i = 0; i < terms->n; i++) {
        DimTerm t = terms->t[i];
        t.coef = floor_div(t.coef, g);
        if (!poly_add(&p, t)) return NULL;
    }
    return dim_floordiv(ctx, poly_dim(ctx, &p), dim_const(ctx, c / g));
}

/* floor((floor(x / d) + p) / c) = floor((x + d·p) / (d·c)) for constants c, d; NULL where `rest` is not of that form */
static Dim merge_quotient(Ctx *ctx, Dim rest, const Poly *terms, int64_t c) {
    for (int i = 0; i < terms->n; i++) {
        const DimTerm *t = &terms->t[i];
        if (t->coef != 1 || t->n_factors != 1 || t->factors[0]->kind != DIM_FLOORDIV) continue;
        Dim inner = t->factors[0], d = inner->b;
        if (d->kind != DIM_CONST || is_closed(inner)) continue;
        Dim sum = dim_add(ctx, inner->a, dim_mul(ctx, d, dim_sub(ctx, rest, inner)));
        return dim_floordiv(ctx, sum, dim_mul(ctx, d, dim_const(ctx, c)));
    }
    return NULL;
}

/* floor((c·q + r) / c) = q + floor(r / c) for a constant c */
static Dim divide_by_const(Ctx *ctx, Dim a, int64_t c) {
    Poly p = poly_of(ctx, a), q = {0}, r = {0};
    for (int i = 0; i < p.n; i++) {
        DimTerm whole = p.t[i], rest = p.t[i];
        whole.coef = p.t[i].n_factors ? (p.t[i].coef % c ? 0 : p.t[i].coef / c) : floor_div(p.t[i].coef, c);
        rest.coef = p.t[i].coef - whole.coef * c;
        if (!poly_add(&q, whole) || !poly_add(&r, rest)) return NULL;
    }
    Dim rest = poly_dim(ctx, &r), whole = poly_dim(ctx, &q);
    if (!rest || !whole) return NULL;
    if (rest->kind == DIM_CONST) return dim_add(ctx, whole, dim_const(ctx, floor_div(rest->value, c)));
    if (rest->lo >= 0 && rest->hi < c) return whole;
    Dim merged = cancel_factor(ctx, &r, c);
    if (!merged) merged = merge_quotient(ctx, rest, &r, c);
    if (merged) return dim_add(ctx, whole, merged);
    Dim quotient = intern(ctx, &(DimNode){.kind = DIM_FLOORDIV, .a = rest, .b = dim_const(ctx, c)}, false);
    return dim_add(ctx, whole, quotient);
}

Dim dim_floordiv(Ctx *ctx, Dim a, Dim b) {
    if (!a || !b) return NULL;
    if (b->kind == DIM_CONST && b->value <= 0) return NULL;
    if (a->kind == DIM_CONST && b->kind == DIM_CONST) return dim_const(ctx, floor_div(a->value, b->value));
    Dim q = exact_quotient(ctx, a, b);
    if (q) return q;
    if (b->kind == DIM_CONST) return divide_by_const(ctx, a, b->value);
    if (a->lo >= 0 && b->lo > a->hi) return dim_const(ctx, 0);
    return intern(ctx, &(DimNode){.kind = DIM_FLOORDIV, .a = a, .b = b}, false);
}

Dim dim_ceildiv(Ctx *ctx, Dim a, Dim b) { return dim_floordiv(ctx, dim_add(ctx, a, dim_sub(ctx, b, dim_const(ctx, 1))), b); }

Dim dim_mod(Ctx *ctx, Dim a, Dim b) { return dim_sub(ctx, a, dim_mul(ctx, b, dim_floordiv(ctx, a, b))); }

enum { AT_MOST_DEPTH = 4 };

/* a <= b, where minima and maxima show it. */
static bool at_most(Ctx *ctx, Dim a, Dim b, int depth) {
    Dim gap = dim_sub(ctx, a, b); /* a bound on the difference sees what they share */
    if ((gap && gap->hi <= 0) || a->hi <= b->lo) return true;
    if (depth == 0) return false;
    depth--;
    if (a->kind == DIM_MIN && (at_most(ctx, a->a, b, depth) || at_most(ctx, a->b, b, depth))) return true;
    if (b->kind == DIM_MAX && (at_most(ctx, a, b->a, depth) || at_most(ctx, a, b->b, depth))) return true;
    if (a->kind == DIM_MAX) return at_most(ctx, a->a, b, depth) && at_most(ctx, a->b, b, depth);
    return b->kind == DIM_MIN && at_most(ctx, a, b->a, depth) && at_most(ctx, a, b->b, depth);
}

static Dim pick(Ctx *ctx, DimKind kind, Dim a, Dim b) {
    if (!a || !b) return NULL;
    if (a == b) return a;
    if (at_most(ctx, a, b, AT_MOST_DEPTH)) return kind == DIM_MIN ? a : b;
    if (at_most(ctx, b, a, AT_MOST_DEPTH)) return kind == DIM_MIN ? b : a;
    if (a->id > b->id) {
        Dim t = a;
        a = b;
        b = t;
    }
    return intern(ctx, &(DimNode){.kind = kind, .a = a, .b = b}, false);
}

Dim dim_min(Ctx *ctx, Dim a, Dim b) { return pick(ctx, DIM_MIN, a, b); }
Dim dim_max(Ctx *ctx, Dim a, Dim b) { return pick(ctx, DIM_MAX, a, b); }

Dim dim_product(Ctx *ctx, const Dim *dims, int n) {
    Dim p = dim_const(ctx, 1);
    for (int i = 0; i < n; i++)
        if (dims[i] && dim_is(dims[i], 0)) return dims[i];
    for (int i = 0; i < n; i++) p = dim_mul(ctx, p, dims[i]);
    return p;
}

bool dim_is_const(Dim d, int64_t *value) {
    if (!d || d->kind != DIM_CONST) return false;
    *value = d->value;
    return true;
}

bool dim_is(Dim d, int64_t value) { return d && d->kind == DIM_CONST && d->value == value; }

bool dim_has_data(Dim d) { return d && d->data; }
bool dim_is_bounded(Dim d) { return d && !d->wild; }

bool dim_require_equal(Ctx *ctx, const Graph *in, Dim a, Dim b) {
    if (!a->data && !b->data && !in->outer) in = NULL;
    if (a->id > b->id) {
        Dim t = a;
        a = b;
        b = t;
    }
    if (a == b) return true;
    if (a->wild || b->wild) return false; /* the run could not compute them */
    for (int i = 0; i < ctx->n_equal; i++)
        if (ctx->equal[i].a == a && ctx->equal[i].b == b && ctx->equal[i].in == in) return true;
    if (ctx->n_equal == MAX_EQUALS) return false;
    if (!ctx->equal) ctx->equal = ARENA_ARRAY(ctx->arena, MAX_EQUALS, DimEqual);
    ctx->equal[ctx->n_equal++] = (DimEqual){a, b, in};
    return true;
}

static bool eval_sum(Dim d, DimEnv env, void *arg, int64_t *out) {
    int64_t sum = 0, v;
    for (int i = 0; i < d->n_terms; i++) {
        int64_t p = d->terms[i].coef;
        for (int k = 0; k < d->terms[i].n_factors; k++)
            if (!dim_eval(d->terms[i].factors[k], env, arg, &v) || !mul_i64(p, v, &p)) return false;
        if (!add_i64(sum, p, &sum)) return false;
    }
    *out = sum;
    return true;
}

bool dim_eval(Dim d, DimEnv env, void *arg, int64_t *out) {
    int64_t a, b;
    switch (d->kind) {
    case DIM_CONST: *out = d->value; return true;
    case DIM_SYMBOL: *out = env(arg, d); return true;
    case DIM_SUM: return eval_sum(d, env, arg, out);
    default: break;
    }
    if (!dim_eval(d->a, env, arg, &a) || !dim_eval(d->b, env, arg, &b)) return false;
    if (d->kind == DIM_FLOORDIV && b <= 0) return false;
    *out = d->kind == DIM_FLOORDIV ? floor_div(a, b) : (d->kind == DIM_MIN) == (a < b) ? a : b;
    return true;
}

static const char *sum_text(Ctx *ctx, Dim d) {
    const char *text = "";
    for (int i = 0; i < d->n_terms; i++) {
        const DimTerm *t = &d->terms[i];
        const char *term = "";
        for (int k = 0; k < t->n_factors; k++) term = arena_printf(ctx->arena, "%s%s%s", term, k ? "*" : "", dim_text(ctx, t->factors[k]));
        const char *sign = t->coef < 0 ? (i ? " - " : "-") : (i ? " + " : "");
        uint64_t mag = t->coef < 0 ? -(uint64_t)t->coef : (uint64_t)t->coef;
        if (mag == 1 && t->n_factors) text = arena_printf(ctx->arena, "%s%s%s", text, sign, term);
        else text = arena_printf(ctx->arena, "%s%s%llu%s%s", text, sign, (unsigned long long)mag, t->n_factors ? "*" : "", term);
    }
    return arena_printf(ctx->arena, "(%s)", text);
}

const char *dim_text(Ctx *ctx, Dim d) {
    if (!d) return "?";
    switch (d->kind) {
    case DIM_CONST: return arena_printf(ctx->arena, "%lld", (long long)d->value);
    case DIM_SYMBOL: return d->node ? arena_printf(ctx->arena, "$%d", d->id) : arena_printf(ctx->arena, "%s", diag_name(ctx, d->name));
    case DIM_SUM: return sum_text(ctx, d);
    case DIM_FLOORDIV: return arena_printf(ctx->arena, "(%s // %s)", dim_text(ctx, d->a), dim_text(ctx, d->b));
    case DIM_MIN: return arena_printf(ctx->arena, "min(%s, %s)", dim_text(ctx, d->a), dim_text(ctx, d->b));
    case DIM_MAX: return arena_printf(ctx->arena, "max(%s, %s)", dim_text(ctx, d->a), dim_text(ctx, d->b));
    }
    return "?";
}
