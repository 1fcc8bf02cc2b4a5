/* Einsum from MatMul, Mul, ReduceSum and Transpose: operands join one after the other, and an index is summed as soon
 * as nothing behind needs it. */
#include <string.h>
#include "passes/decompose.h"

typedef struct Term { /* a value whose axes are labelled, each label once */
    Value *v;
    int rank, labels[MCC_MAX_RANK];
} Term;

typedef struct Labels { /* a list of them */
    int n, at[MCC_MAX_RANK];
} Labels;

static uint64_t bit(int label) { return (uint64_t)1 << label; }

static uint64_t set_of(const int *labels, int n) {
    uint64_t set = 0;
    for (int i = 0; i < n; i++) set |= bit(labels[i]);
    return set;
}

static int axis_of_label(const Term *t, int label) {
    for (int i = 0; i < t->rank; i++)
        if (t->labels[i] == label) return i;
    return -1;
}

static void drop_axis(Term *t, int axis) {
    t->rank--;
    memmove(t->labels + axis, t->labels + axis + 1, sizeof *t->labels * (size_t)(t->rank - axis));
}

/* the axes of t that `keep` does not have are summed */
static void sum_others(Build *b, Term *t, uint64_t keep) {
    int64_t axes[MCC_MAX_RANK];
    int n = 0, left = 0;
    for (int i = 0; i < t->rank; i++)
        if (!(keep & bit(t->labels[i]))) axes[n++] = i;
        else t->labels[left++] = t->labels[i];
    t->rank = left;
    t->v = build_reduce(b, OP_ReduceSum, t->v, axes, n, false);
}

/* Of an index that t has on the axes i and j only the diagonal counts: the rest is 0, and j is summed */
static void take_diagonal(Build *b, Term *t, int i, int j) {
    if (b->failed) return;
    Value *same = build_op(b, OP_Equal, build_indices(b, t->v, i, t->rank, i), build_indices(b, t->v, j, t->rank, j));
    t->v = b->failed ? NULL : build_where(b, same, t->v, build_scalar(b, t->v->type.dtype, 0));
    t->v = build_reduce(b, OP_ReduceSum, t->v, &(int64_t){j}, 1, false);
    drop_axis(t, j);
}

/* an axis of 1 goes where its index is longer elsewhere, so that it broadcasts */
static void drop_ones(Build *b, Term *t, const Dim *size) {
    Dim dims[MCC_MAX_RANK];
    int rank = t->rank, left = 0;
    if (b->failed) return;
    for (int i = 0; i < rank; i++) {
        int axis = left;
        if (dim_is(t->v->type.dims[i], 1) && !dim_is(size[t->labels[axis]], 1)) drop_axis(t, axis);
        else dims[left++] = t->v->type.dims[i];
    }
    if (left < rank) t->v = build_view(b, t->v, left, dims);
}

static Term term_of(Build *b, Value *v, const EinsumTerm *e, const Dim *size) {
    Term t = {.v = v, .rank = e->rank};
    memcpy(t.labels, e->labels, sizeof t.labels);
    for (int i = 0; i < t.rank; i++)
        for (int j = t.rank - 1; j > i; j--)
            if (t.labels[j] == t.labels[i]) take_diagonal(b, &t, i, j);
    drop_ones(b, &t, size);
    return t;
}

/* t's axes in the order of the labels, all of which it has */
static void put_in_order(Build *b, Term *t, const int *labels) {
    int64_t perm[MCC_MAX_RANK];
    bool moved = false;
    for (int i = 0; i < t->rank; i++) {
        perm[i] = axis_of_label(t, labels[i]);
        moved = moved || perm[i] != i;
    }
    memcpy(t->labels, labels, sizeof *labels * (size_t)t->rank);
    if (moved && !b->failed) t->v = build_transpose(b, t->v, perm);
}

static Labels labels_in(const Term *t, uint64_t set) {
    Labels l = {0};
    for (int i = 0; i < t->rank; i++)
        if (set & bit(t->labels[i])) l.at[l.n++] = t->labels[i];
    return l;
}

static int append(int *to, int n, const Labels *l) {
    memcpy(to + n, l->at, sizeof *l->at * (size_t)l->n);
    return n + l->n;
}

static Dim size_of(Build *b, const Term *t, const Labels *l) {
    Dim d = dim_const(b->r->ctx, 1);
    for (int i = 0; i < l->n && !b->failed; i++) d = dim_mul(b->r->ctx, d, t->v->type.dims[axis_of_label(t, l->at[i])]);
    return d;
}

/* t as matrices, [batch…, rows, columns] */
static Value *matrices(Build *b, Term *t, const Labels *batch, const Labels *rows, const Labels *columns) {
    int order[3 * MCC_MAX_RANK];
    Dim dims[MCC_MAX_RANK + 2];
    append(order, append(order, append(order, 0, batch), rows), columns);
    put_in_order(b, t, order);
    if (b->failed || (rows->n == 1 && columns->n == 1)) return t->v;
    for (int i = 0; i < batch->n; i++) dims[i] = t->v->type.dims[i];
    dims[batch->n] = size_of(b, t, rows);
    dims[batch->n + 1] = size_of(b, t, columns);
    return build_view(b, t->v, batch->n + 2, dims);
}

/* x · y, summed over what both have and `keep` has not */
static Term join_by_product(Build *b, Term *x, Term *y, uint64_t keep) {
    uint64_t of_x = set_of(x->labels, x->rank), of_y = set_of(y->labels, y->rank), both = of_x & of_y;
    Labels batch = labels_in(x, both & keep), summed = labels_in(x, both & ~keep), rows = labels_in(x, of_x & ~both),
           columns = labels_in(y, of_y & ~both);
    Term out = {.rank = batch.n + rows.n + columns.n};
    Dim dims[3 * MCC_MAX_RANK];
    int n = 0;
    if (out.rank > MCC_MAX_RANK) {
        diag_error(b->r->ctx, b->at, "a step of the equation has %d axes, mcc takes at most %d", out.rank,
                   MCC_MAX_RANK);
        b->failed = true;
        return *x;
    }
    append(out.labels, append(out.labels, append(out.labels, 0, &batch), &rows), &columns);
    Value *left = matrices(b, x, &batch, &rows, &summed), *right = matrices(b, y, &batch, &summed, &columns);
    out.v = build_op(b, OP_MatMul, left, right);
    if (b->failed || (rows.n == 1 && columns.n == 1)) return out;
    for (int i = 0; i < batch.n; i++) dims[n++] = out.v->type.dims[i];
    for (int i = 0; i < rows.n; i++) dims[n++] = x->v->type.dims[axis_of_label(x, rows.at[i])];
    for (int i = 0; i < columns.n; i++) dims[n++] = y->v->type.dims[axis_of_label(y, columns.at[i])];
    out.v = build_view(b, out.v, out.rank, dims);
    return out;
}

/* t with its axes where `all` has them, and ones in place of what it lacks */
static Value *spread(Build *b, Term *t, const Labels *all) {
    Dim dims[MCC_MAX_RANK];
    Labels own = {0};
    for (int i = 0; i < all->n; i++)
        if (axis_of_label(t, all->at[i]) >= 0) own.at[own.n++] = all->at[i];
    put_in_order(b, t, own.at);
    if (b->failed || own.n == all->n) return t->v;
    for (int i = 0; i < all->n; i++) {
        int axis = axis_of_label(t, all->at[i]);
        dims[i] = axis < 0 ? dim_const(b->r->ctx, 1) : t->v->type.dims[axis];
    }
    return build_view(b, t->v, all->n, dims);
}

/* x · y, nothing summed; false: too many axes for that */
static bool join_by_elements(Build *b, Term *x, Term *y, Term *out) {
    Labels all = labels_in(x, ~(uint64_t)0);
    for (int i = 0; i < y->rank; i++) {
        if (axis_of_label(x, y->labels[i]) >= 0) continue;
        if (all.n == MCC_MAX_RANK) return false;
        all.at[all.n++] = y->labels[i];
    }
    *out = (Term){.rank = all.n};
    memcpy(out->labels, all.at, sizeof all.at);
    Value *left = spread(b, x, &all), *right = spread(b, y, &all);
    out->v = build_op(b, OP_Mul, left, right);
    return true;
}

static Term join(Build *b, Term *x, Term *y, uint64_t keep) {
    uint64_t of_x = set_of(x->labels, x->rank), of_y = set_of(y->labels, y->rank);
    Term out;
    sum_others(b, x, keep | of_y);
    sum_others(b, y, keep | of_x);
    if (!(of_x & of_y & ~keep) && join_by_elements(b, x, y, &out)) return out;
    return join_by_product(b, x, y, keep);
}

static void fill_sizes(const Node *n, const EinsumTerm *in, Ctx *ctx, Dim *size) {
    for (int i = 0; i < EINSUM_LABELS; i++) size[i] = dim_const(ctx, 1);
    for (int i = 0; i < n->n_in; i++)
        for (int k = 0; k < in[i].rank; k++)
            if (!dim_is(n->in[i]->type.dims[k], 1)) size[in[i].labels[k]] = n->in[i]->type.dims[k];
}

void decompose_einsum(Build *b) {
    Node *n = b->at;
    Ctx *ctx = b->r->ctx;
    EinsumTerm *in = ARENA_ARRAY(b->r->scratch, n->n_in, EinsumTerm), out;
    Dim size[EINSUM_LABELS];
    if (!einsum_read(ctx, n, in, &out)) return;
    fill_sizes(n, in, ctx, size);
    Term sum = term_of(b, n->in[0], &in[0], size);
    for (int i = 1; i < n->n_in && !b->failed; i++) {
        uint64_t keep = set_of(out.labels, out.rank);
        for (int k = i + 1; k < n->n_in; k++) keep |= set_of(in[k].labels, in[k].rank);
        Term next = term_of(b, n->in[i], &in[i], size);
        sum = join(b, &sum, &next, keep);
    }
    if (b->failed) return;
    sum_others(b, &sum, set_of(out.labels, out.rank));
    put_in_order(b, &sum, out.labels);
    build_output(b, 0, sum.v);
    build_end(b);
}
