/* A product whose columns go separate ways becomes several:
 *   Slice(MatMul(x, w) [+ b], columns) -> MatMul(x, Slice(w, columns)) [+ Slice(b, columns)]
 * for constant w and b, where all that is made of the product are such slices that share no column. Folding slices the
 * constants. Queries, keys and values that one product makes are then written where they are read from. */
#include "passes/internal.h"

typedef struct Cut { /* columns from … to - 1 of x */
    Value *x;
    int64_t from, to, cols;
} Cut;

typedef struct Users {          /* of a value: slices, and the columns that they take */
    int64_t slices, cols, next; /* next: the first column that no slice before took */
} Users;

static bool read_cut(Arena *a, const Node *n, Cut *c) {
    const int64_t *start, *end, *axes, *step;
    int64_t count, one = 1;
    if (n->op != OP_Slice || !n->in[0]->def || n->in[0]->type.rank < 2) return false;
    int rank = n->in[0]->type.rank;
    *c = (Cut){.x = n->in[0]};
    if (!node_in(n, 3) || !const_ints(n->in[1], &start, &count, a) || count != 1 ||
        !const_ints(n->in[2], &end, &one, a) || one != 1 || !const_ints(n->in[3], &axes, &count, a) || count != 1 ||
        axis_of(axes[0], rank) != rank - 1)
        return false;
    if (node_in(n, 4) && (!const_ints(n->in[4], &step, &count, a) || count != 1 || step[0] != 1)) return false;
    if (!dim_is_const(n->in[0]->type.dims[rank - 1], &c->cols)) return false;
    c->from = start[0] < 0 ? start[0] + c->cols : start[0];
    c->to = end[0] < 0 ? end[0] + c->cols : end[0] > c->cols ? c->cols : end[0];
    return c->from >= 0 && c->from < c->to;
}

/* x = MatMul(…, constant matrix), or that plus a constant that is a row or a number; sum: NULL or the addition */
static Node *product_of(const Value *x, Node **sum, int *side) {
    *sum = value_def(x, OP_Add);
    *side = *sum && (*sum)->in[0]->constant ? 1 : 0;
    Value *y = *sum ? (*sum)->in[*side] : (Value *)x;
    Node *n = *sum ? value_only_def(y, OP_MatMul) : value_def(y, OP_MatMul);
    if (!n || !n->in[1]->constant || n->in[0]->constant || n->in[1]->type.rank != 2) return NULL;
    if (!*sum) return n;
    const Tensor *b = (*sum)->in[1 - *side]->constant;
    if (!b || !value_same_type(y, x)) return NULL;
    for (int i = 0; i + 1 < b->rank; i++)
        if (b->dims[i] != 1) return NULL;
    return n;
}

static Value *cut_constant(Rewrite *r, Node *at, Value *v, const Cut *c) {
    int rank = v->type.rank;
    if (rank == 0 || dim_is(v->type.dims[rank - 1], 1)) return v;
    int64_t axis = rank - 1;
    Value *in[4] = {v, const_ints_value(r->g, &c->from, 1), const_ints_value(r->g, &c->to, 1),
                    const_ints_value(r->g, &axis, 1)};
    Node *slice = rewrite_insert(r, at, OP_Slice, in, 4);
    rewrite_infer(r, slice);
    return slice->out[0];
}

static void split(Rewrite *r, Node *n, const Cut *c) {
    Node *sum;
    int side;
    Node *product = product_of(c->x, &sum, &side);
    Value *x = product->in[0], *w = cut_constant(r, n, product->in[1], c);
    if (!sum) {
        rewrite_become(r, n, OP_MatMul, (Value *[]){x, w}, 2);
        return;
    }
    Value *b = cut_constant(r, n, sum->in[1 - side], c);
    Node *part = rewrite_insert(r, n, OP_MatMul, (Value *[]){x, w}, 2);
    part->out[0]->type = n->out[0]->type;
    rewrite_become(r, n, OP_Add, (Value *[]){part->out[0], b}, 2);
}

bool pass_split_products(Graph *g, PassCtx *p) {
    Rewrite r;
    Cut c;
    Node *sum;
    int side;
    (void)p;
    rewrite_begin(&r, g);
    Users *users = ARENA_ARRAY(r.scratch, r.n_ids + 1, Users);
    for (const Node *n = g->first; n; n = n->next) {
        if (!read_cut(r.scratch, n, &c) || !product_of(c.x, &sum, &side)) continue;
        Users *u = &users[c.x->id];
        u->slices++;
        u->cols += c.from >= u->next ? c.to - c.from : c.cols + 1; /* out of order, or shared: not split */
        u->next = c.to;
    }
    for (Node *n; (n = rewrite_next(&r));) {
        if (!read_cut(r.scratch, n, &c) || c.x->id >= r.n_ids) continue;
        const Users *u = &users[c.x->id];
        /* uses fall as slices are split off: those that are left were counted too */
        if (u->slices > 1 && u->cols <= c.cols && c.x->n_uses <= u->slices && product_of(c.x, &sum, &side))
            split(&r, n, &c);
    }
    return rewrite_end(&r);
}
