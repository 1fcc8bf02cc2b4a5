/* Dims that must agree, broadcasting, and the types of outputs. A fact about open dims that the model relies on and
 * that cannot be proven here, or about dims that nodes write, is left to the run (dim_require_equal). */
#include "frontend/infer/infer.h"
#include <string.h>

/* ---- equality ---- */

/* d = c·symbol + k */
static bool is_linear(Dim d, Dim *symbol, int64_t *c, int64_t *k) {
    *k = 0;
    *c = 1;
    *symbol = d;
    if (d->kind == DIM_SYMBOL) return true;
    if (d->kind != DIM_SUM || d->n_terms > 2 || d->terms[0].n_factors != 1) return false;
    if (d->n_terms == 2 && d->terms[1].n_factors != 0) return false;
    *c = d->terms[0].coef;
    *symbol = d->terms[0].factors[0];
    if (d->n_terms == 2) *k = d->terms[1].coef;
    return (*symbol)->kind == DIM_SYMBOL;
}

/* The one value of an open dim that makes d equal to v */
static bool solve(Dim d, int64_t v, Dim *symbol, int64_t *value) {
    int64_t c, k;
    if (!is_linear(d, symbol, &c, &k) || (*symbol)->node || !sub_i64(v, k, &v) || c == 0 || c == -1 || v % c)
        return false;
    *value = v / c;
    return *value >= (*symbol)->lo && *value <= (*symbol)->hi;
}

static Dim pin_error(Ctx *ctx, const Node *n, Dim open, int64_t value, const char *what) {
    Dim symbol;
    int64_t pin;
    const char *name;
    if (!solve(open, value, &symbol, &pin))
        return fail_dim(ctx, n, "%s differ: %s can never be %lld", what, dim_text(ctx, open), (long long)value);
    name = dim_text(ctx, symbol);
    return fail_dim(ctx, n, "%s are %s and %lld, which agree only where %s is %lld (add --dim '%s=%lld')", what,
                    dim_text(ctx, open), (long long)value, name, (long long)pin, name, (long long)pin);
}

Dim equal_dims(Ctx *ctx, const Node *n, Dim a, Dim b, const char *what) {
    int64_t v, c, k;
    Dim symbol;
    if (!a || !b) return fail_dim(ctx, n, "a size overflows");
    if (a == b) return a;
    Dim gap = dim_sub(ctx, a, b);
    if (a->hi < b->lo || b->hi < a->lo || (gap && (gap->lo > 0 || gap->hi < 0)))
        return fail_dim(ctx, n, "%s differ: %s and %s", what, dim_text(ctx, a), dim_text(ctx, b));
    bool open = !dim_has_data(a) && !dim_has_data(b);
    if (open && dim_is_const(a, &v) && is_linear(b, &symbol, &c, &k)) return pin_error(ctx, n, b, v, what);
    if (open && dim_is_const(b, &v) && is_linear(a, &symbol, &c, &k)) return pin_error(ctx, n, a, v, what);
    if (!dim_require_equal(ctx, n->graph, a, b))
        return fail_dim(ctx, n, "%s are %s and %s, which the run cannot compare: pin dims with --dim", what,
                        dim_text(ctx, a), dim_text(ctx, b));
    if (a->hi != b->hi) return a->hi < b->hi ? a : b;
    return a->id < b->id ? a : b;
}

bool need_at_most(Ctx *ctx, const Node *n, Dim a, Dim b, const char *what) {
    if (!a || !b) return fail(ctx, n, "a size overflows");
    Dim gap = dim_sub(ctx, a, b);
    if (a->hi <= b->lo || (gap && gap->hi <= 0)) return true;
    if (a->lo > b->hi || (gap && gap->lo > 0))
        return fail(ctx, n, "%s: %s is more than %s", what, dim_text(ctx, a), dim_text(ctx, b));
    Dim most = dim_max(ctx, a, b);
    return most && dim_require_equal(ctx, n->graph, most, b)
               ? true
               : fail(ctx, n, "%s: %s may be more than %s", what, dim_text(ctx, a), dim_text(ctx, b));
}

bool need_divisible(Ctx *ctx, const Node *n, Dim a, int64_t by, const char *what) {
    Dim c = dim_const(ctx, by), whole = dim_mul(ctx, dim_floordiv(ctx, a, c), c);
    int64_t v;
    if (whole == a) return true;
    if (!whole) return fail(ctx, n, "a size overflows");
    if (dim_is_const(a, &v))
        return fail(ctx, n, "%s, %s, is not a multiple of %lld", what, dim_text(ctx, a), (long long)by);
    return dim_require_equal(ctx, n->graph, a, whole) ||
           fail(ctx, n, "%s, %s, may not be a multiple of %lld", what, dim_text(ctx, a), (long long)by);
}

/* ---- broadcasting ---- */

Dim broadcast_dim(Ctx *ctx, const Node *n, Dim a, Dim b) {
    if (dim_is(a, 1)) return b;
    if (dim_is(b, 1)) return a;
    return equal_dims(ctx, n, a, b, "sizes that are to be broadcast");
}

bool broadcast_into(Ctx *ctx, const Node *n, Type *to, const Type *with) {
    int rank = to->rank > with->rank ? to->rank : with->rank;
    Dim dims[MCC_MAX_RANK];
    for (int i = 1; i <= rank; i++) {
        Dim a = i <= to->rank ? to->dims[to->rank - i] : dim_const(ctx, 1);
        Dim b = i <= with->rank ? with->dims[with->rank - i] : dim_const(ctx, 1);
        if (!(dims[rank - i] = broadcast_dim(ctx, n, a, b))) return false;
    }
    to->rank = rank;
    memcpy(to->dims, dims, sizeof *dims * (size_t)rank);
    return true;
}

bool need_broadcast_to(Ctx *ctx, const Node *n, int in, const Type *to) {
    const Type *t = type_of(n, in);
    if (t->rank > to->rank)
        return fail(ctx, n, "input %d has shape %s, more axes than the %d it is broadcast to", in,
                    shape_text(ctx, n->in[in]), to->rank);
    for (int i = 1; i <= t->rank; i++) {
        Dim d = t->dims[t->rank - i];
        if (!dim_is(d, 1) && !equal_dims(ctx, n, d, to->dims[to->rank - i], "sizes that are to be broadcast"))
            return false;
    }
    return true;
}

/* ---- outputs ---- */

Dim clamp_size(Ctx *ctx, Dim d) { return dim_max(ctx, d, dim_const(ctx, 0)); }

/* A size as it may stand in a type: never negative, which the entry sees to where open dims decide it */
static Dim usable_size(Ctx *ctx, const Node *n, int out, int axis, Dim d) {
    if (!d) return fail_dim(ctx, n, "output %d: the size of axis %d overflows or is too intricate", out, axis);
    if (d->hi < 0)
        return fail_dim(ctx, n, "output %d: the size of axis %d would be negative (%s)", out, axis, dim_text(ctx, d));
    if (d->lo >= 0) return d;
    Dim clamped = clamp_size(ctx, d);
    if (!clamped || dim_has_data(d)) return clamped;
    if (!dim_require_equal(ctx, n->graph, d, clamped))
        return fail_dim(ctx, n, "output %d: whether %s is a size the run cannot tell: pin dims with --dim", out,
                        dim_text(ctx, d));
    return d;
}

bool set_output(Ctx *ctx, Node *n, int out, Dtype t, int rank, const Dim *dims) {
    Dim sizes[MCC_MAX_RANK];
    if (out >= n->n_out || !n->out[out]) return true;
    if (rank > MCC_MAX_RANK)
        return fail(ctx, n, "output %d would have %d axes, mcc takes at most %d", out, rank, MCC_MAX_RANK);
    for (int i = 0; i < rank; i++)
        if (!(sizes[i] = usable_size(ctx, n, out, i, dims[i]))) return false;
    value_set_dims(n->out[out], t, rank, sizes);
    n->out[out]->content = NULL;
    return true;
}

bool set_output_like(Ctx *ctx, Node *n, int out, int in) {
    const Type *t = type_of(n, in);
    return set_output(ctx, n, out, t->dtype, t->rank, t->dims);
}

static int64_t bound_of_rest(const Ctx *ctx) { /* --max-dim '*=N' */
    for (int i = 0; i < ctx->opt.n_max_dims; i++)
        if (!strcmp(ctx->opt.max_dims[i].name, "*")) return ctx->opt.max_dims[i].value;
    return INT64_MAX;
}

Dim data_dim(Ctx *ctx, const Node *n, int out, int rank, int axis, int64_t lo, Dim hi) {
    const Value *v = n->out[out];
    Dim declared = v && v->type.kind == TYPE_TENSOR && v->type.rank == rank ? v->type.dims[axis] : NULL;
    int64_t most = hi && dim_is_bounded(hi) ? hi->hi : INT64_MAX;
    if (lo == most) return dim_const(ctx, lo);
    if (declared && dim_is_bounded(declared) && declared->hi < most)
        most = declared->hi; /* a claim, held against the run */
    if (most == INT64_MAX) most = bound_of_rest(ctx);
    if (most == INT64_MAX)
        return fail_dim(ctx, n,
                        "the size of output %d (axis %d) depends on run-time values and has no bound: declare its "
                        "shape, or add --max-dim '*=N'",
                        out, axis);
    if (most < 0) most = 0;
    if (lo > most) lo = most;
    bool again =
        declared && declared->kind == DIM_SYMBOL && declared->node == n && declared->lo == lo && declared->hi == most;
    return again ? declared : dim_data(ctx, n, lo, most);
}

Dim largest_dim(Ctx *ctx, const Dim *dims, int lo, int hi) {
    Dim most = dim_const(ctx, 1);
    for (int i = lo; i <= hi; i++) most = dim_const(ctx, dims[i]->hi > most->hi ? dims[i]->hi : most->hi);
    return most;
}

int declared_rank(Ctx *ctx, const Node *n) {
    const Value *v = n->out[0];
    if (v && v->type.kind == TYPE_TENSOR && v->type.rank >= 0) return v->type.rank;
    diag_error(ctx, n, "how many axes output 0 has depends on run-time values: declare its shape");
    return -1;
}

/* ---- lists of integers ---- */

bool need_length(Ctx *ctx, const Node *n, int in, int length) {
    if (length < 0) return fail(ctx, n, "output 0 is declared with a number of axes that it cannot have");
    return equal_dims(ctx, n, type_of(n, in)->dims[0], dim_const(ctx, length),
                      "the length of a list and what goes with it");
}

static const Dim *list_elements(Ctx *ctx, const Value *v, int count) {
    if (value_content(v) >= 0) return v->content;
    Dim *dims = ARENA_ARRAY(ctx->arena, count, Dim);
    for (int i = 0; v->constant && i < count; i++) dims[i] = dim_const(ctx, tensor_int(v->constant, i));
    return dims;
}

bool read_list(Ctx *ctx, const Node *n, int in, int max, IntList *out) {
    const Value *v = node_in(n, in);
    int64_t count;
    *out = (IntList){.n = 0};
    if (!v) return true;
    if (!need_index_dtype(ctx, n, in) || !need_rank(ctx, n, in, 1, 1)) return false;
    out->present = true;
    out->n = -1;
    if (!dim_is_const(v->type.dims[0], &count)) return true;
    if (count > max)
        return fail(ctx, n, "input %d lists %lld numbers, at most %d make sense", in, (long long)count, max);
    out->n = (int)count;
    out->v = list_elements(ctx, v, out->n);
    return true;
}

bool read_axis_list(Ctx *ctx, const Node *n, int in, IntList *out) {
    const Value *v = node_in(n, in);
    bool known = v && v->type.kind == TYPE_TENSOR && v->type.rank == 0 && value_content(v) == 1 && v->content[0];
    if (!known) return read_list(ctx, n, in, MCC_MAX_RANK, out);
    *out = (IntList){.present = true, .n = 1, .v = v->content};
    return need_index_dtype(ctx, n, in);
}

bool list_is_const(const IntList *l, int64_t *out) {
    if (l->n < 0) return false;
    for (int i = 0; i < l->n; i++)
        if (!dim_is_const(l->v[i], &out[i])) return false;
    return true;
}
