/* A Transpose moves below elementwise operators and Concat, towards another that cancels it:
 *   f(T(x), T(y), c) -> T(f(x, y, T⁻¹(c)))
 * Transposes never multiply: those above have no other use. Constants are transposed by folding. It ends, since a
 * Transpose moves one way only. */
#include "passes/internal.h"

enum { JOINED = 256 }; /* inputs of a Concat that are looked at: each is counted among all */

typedef struct Sink {
    int rank;
    int64_t perm[MCC_MAX_RANK]; /* axis i of T(x) is axis perm[i] of x */
} Sink;

static void read_perm(const Node *n, Sink *s) {
    const int64_t *given;
    int count = node_ints(n, "perm", &given);
    s->rank = n->in[0]->type.rank;
    for (int i = 0; i < s->rank; i++) s->perm[i] = count ? given[i] : s->rank - 1 - i;
}

static bool is_used_here_alone(const Node *n, const Value *v) {
    int here = 0;
    for (int i = 0; i < n->n_in; i++) here += n->in[i] == v;
    return here == v->n_uses;
}

static bool is_transposed(const Node *n, const Value *v, const Sink *s) {
    Sink other;
    const Node *t = value_def(v, OP_Transpose);
    if (!t || !is_used_here_alone(n, v)) return false;
    read_perm(t, &other);
    for (int i = 0; i < s->rank; i++)
        if (other.rank != s->rank || other.perm[i] != s->perm[i]) return false;
    return true;
}

/* Broadcast over every axis, it needs no transposing */
static bool is_scalar(const Value *v) {
    for (int i = 0; i < v->type.rank; i++)
        if (!dim_is(v->type.dims[i], 1)) return false;
    return true;
}

/* Some operand has the output's dims, so that the Transpose does not move more than it did */
static bool find_transpose(const Node *n, Sink *s) {
    const Value *out = n->out[0];
    if (dtype_bits(out->type.dtype) < 8) return false; /* no kernel moves these */
    for (int i = 0; i < n->n_in; i++) {
        const Value *v = n->in[i];
        if (!v || !value_def(v, OP_Transpose) || !value_same_dims(v, out)) continue;
        if (dtype_bits(v->type.dtype) < dtype_bits(out->type.dtype)) continue;
        read_perm(v->def, s);
        return true;
    }
    return false;
}

static bool can_sink(const Node *n, const Sink *s) {
    for (int i = 0; i < n->n_in; i++) {
        const Value *v = n->in[i];
        if (v && !is_transposed(n, v, s) && !(is_scalar(v) && v->type.rank <= s->rank) && !v->constant) return false;
    }
    return true;
}

static Value *transposed(Rewrite *r, Node *at, Value *x, const int64_t *perm, int rank) {
    Node *t = rewrite_insert(r, at, OP_Transpose, &x, 1);
    node_set_ints(t, "perm", perm, rank);
    rewrite_infer(r, t);
    return t->out[0];
}

static Value *untransposed_constant(Rewrite *r, Node *at, Value *c, const Sink *s) {
    int64_t inverse[MCC_MAX_RANK];
    Dim dims[MCC_MAX_RANK];
    int pad = s->rank - c->type.rank;
    for (int i = 0; i < s->rank; i++) {
        inverse[s->perm[i]] = i;
        dims[i] = i < pad ? dim_const(r->ctx, 1) : c->type.dims[i - pad];
    }
    if (pad) c = rewrite_view(r, at, c, s->rank, dims);
    return transposed(r, at, c, inverse, s->rank);
}

static Value *above(Rewrite *r, Node *n, Value *v, const Sink *s) {
    if (!v || is_scalar(v)) return v;
    return v->constant ? untransposed_constant(r, n, v, s) : v->def->in[0];
}

static void sink(Rewrite *r, Node *n, const Sink *s) {
    Value **in = ARENA_ARRAY(r->scratch, n->n_in, Value *);
    for (int i = 0; i < n->n_in; i++) in[i] = above(r, n, n->in[i], s);
    Node *made = rewrite_insert(r, n, n->op, in, n->n_in);
    node_copy_attrs(made, n);
    if (n->op == OP_Concat) node_set_int(made, "axis", s->perm[axis_of(node_int(n, "axis"), s->rank)]);
    rewrite_infer(r, made);
    rewrite_become(r, n, OP_Transpose, made->out, 1);
    node_set_ints(n, "perm", s->perm, s->rank);
}

static bool concat_can_sink(const Node *n, Sink *s) {
    const Node *first = value_def(n->in[0], OP_Transpose);
    if (n->op != OP_Concat || !first || n->n_in > JOINED) return false;
    read_perm(first, s);
    for (int i = 0; i < n->n_in; i++)
        if (!is_transposed(n, n->in[i], s)) return false;
    return true;
}

bool pass_sink_transpose(Graph *g, PassCtx *p) {
    Rewrite r;
    Sink s;
    (void)p;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));) {
        bool plain = node_is_elementwise(n) && n->n_out == 1 && n->n_in > 0;
        if ((plain && find_transpose(n, &s) && can_sink(n, &s)) || concat_can_sink(n, &s)) sink(&r, n, &s);
    }
    return rewrite_end(&r);
}
