/* Data movement with patterns of its own, as Slice, View and Transpose, which fuse with what is around them:
 *   Split                                    a Slice for each part
 *   Gather at constant, evenly spaced places Slice, and a View where the axis goes
 *   DepthToSpace, SpaceToDepth               View, Transpose, View */
#include "passes/internal.h"

static Node *slice(Rewrite *r, Node *at, Value *x, int64_t axis, int64_t from, int64_t to, int64_t step) {
    Graph *g = r->g;
    Value *in[] = {x, const_ints_value(g, &from, 1), const_ints_value(g, &to, 1), const_ints_value(g, &axis, 1),
                   const_ints_value(g, &step, 1)};
    return rewrite_insert(r, at, OP_Slice, in, step == 1 ? 4 : 5);
}

/* ---- Split ---- */

static bool parts_are_known(const Node *n, int64_t axis) {
    int64_t size;
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] && !dim_is_const(n->out[i]->type.dims[axis], &size)) return false;
    for (int i = 0; i < n->n_out; i++)
        if (!n->out[i]) return false; /* its size would be missing */
    return dim_is_const(n->in[0]->type.dims[axis], &size);
}

static void lower_split(Rewrite *r, Node *n) {
    int64_t axis = axis_of(node_int(n, "axis"), n->in[0]->type.rank), from = 0, size;
    if (axis < 0 || !parts_are_known(n, axis)) return;
    for (int i = 0; i < n->n_out; i++) {
        dim_is_const(n->out[i]->type.dims[axis], &size);
        rewrite_define(r, slice(r, n, n->in[0], axis, from, from + size, 1), n->out[i]);
        from += size;
    }
    rewrite_remove(r, n);
}

/* ---- Gather ---- */

typedef struct Places {
    int64_t first, step, n;
} Places;

/* Indices of one axis of `size` as first, first + step, …, all inside */
static bool read_places(Rewrite *r, const Value *indices, int64_t size, Places *p) {
    const int64_t *list;
    if (!const_ints(indices, &list, &p->n, r->scratch) || p->n == 0) return false;
    for (int64_t i = 0; i < p->n; i++) {
        int64_t at = list[i] < 0 ? list[i] + size : list[i];
        if (at < 0 || at >= size) return false;
        if (i == 0) *p = (Places){at, 1, p->n};
        else if (i == 1) p->step = at - p->first;
        if (p->step < 1 || at != p->first + i * p->step) return false;
    }
    return true;
}

static void lower_gather(Rewrite *r, Node *n) {
    Value *x = n->in[0], *out = n->out[0];
    Places p;
    int64_t size, axis = axis_of(node_int(n, "axis"), x->type.rank);
    if (axis < 0 || x->constant || value_has_data_dims(out) || !dim_is_const(x->type.dims[axis], &size)) return;
    if (!read_places(r, n->in[1], size, &p)) return;
    Node *part = slice(r, n, x, axis, p.first, p.first + (p.n - 1) * p.step + 1, p.step);
    if (n->in[1]->type.rank == 1) {
        rewrite_define(r, part, out);
        rewrite_remove(r, n);
        return;
    }
    rewrite_infer(r, part);
    rewrite_become(r, n, OP_View, part->out, 1);
}

/* ---- blocks ---- */

static void by_blocks(Rewrite *r, Node *n, const Dim *dims, const int64_t *perm) {
    Value *view = rewrite_view(r, n, n->in[0], 6, dims);
    Node *transpose = rewrite_insert(r, n, OP_Transpose, &view, 1);
    node_set_ints(transpose, "perm", perm, 6);
    rewrite_infer(r, transpose);
    rewrite_become(r, n, OP_View, transpose->out, 1);
}

static void lower_depth_to_space(Rewrite *r, Node *n) {
    static const int64_t depth_first[] = {0, 3, 4, 1, 5, 2}, columns_first[] = {0, 1, 4, 2, 5, 3};
    const Dim *x = n->in[0]->type.dims, channels = n->out[0]->type.dims[1];
    Dim block = dim_const(r->ctx, node_int(n, "blocksize"));
    if (node_enum(n, "mode") == 0) by_blocks(r, n, (Dim[]){x[0], block, block, channels, x[2], x[3]}, depth_first);
    else by_blocks(r, n, (Dim[]){x[0], channels, block, block, x[2], x[3]}, columns_first);
}

static void lower_space_to_depth(Rewrite *r, Node *n) {
    static const int64_t perm[] = {0, 3, 5, 1, 2, 4};
    const Dim *x = n->in[0]->type.dims, *y = n->out[0]->type.dims;
    Dim block = dim_const(r->ctx, node_int(n, "blocksize"));
    by_blocks(r, n, (Dim[]){x[0], x[1], y[2], block, y[3], block}, perm);
}

bool pass_lower_movement(Graph *g, PassCtx *p) {
    Rewrite r;
    (void)p;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));) {
        if (n->op == OP_Split) lower_split(&r, n);
        else if (n->op == OP_Gather) lower_gather(&r, n);
        else if (n->op == OP_DepthToSpace && !value_has_data_dims(n->in[0])) lower_depth_to_space(&r, n);
        else if (n->op == OP_SpaceToDepth && !value_has_data_dims(n->in[0])) lower_space_to_depth(&r, n);
    }
    return rewrite_end(&r);
}
