/* What decompositions are written with: one function a kind of node. */
#include "passes/build.h"
#include <string.h>

Node *build_node(Build *b, Op op, Value *const *in, int n_in) {
    if (b->failed) return NULL;
    Value **own = ARENA_ARRAY(b->r->g->arena, n_in + 1, Value *);
    for (int i = 0; i < n_in; i++) own[i] = in[i];
    return rewrite_insert(b->r, b->at, op, own, n_in);
}

Value *build_value(Build *b, Node *made) {
    if (!b->failed && !node_infer(b->r->ctx, made)) b->failed = true;
    return b->failed ? NULL : made->out[0];
}

Value *build_op(Build *b, Op op, Value *x, Value *y) {
    return build_value(b, build_node(b, op, (Value *[]){x, y}, y ? 2 : 1));
}

Value *build_where(Build *b, Value *condition, Value *x, Value *y) {
    return build_value(b, build_node(b, OP_Where, (Value *[]){condition, x, y}, 3));
}

static Value *build_with_int(Build *b, Op op, Value *const *in, int n_in, const char *name, int64_t v) {
    Node *made = build_node(b, op, in, n_in);
    if (made) node_set_int(made, name, v);
    return build_value(b, made);
}

Value *build_along(Build *b, Op op, Value *x, int axis) { return build_with_int(b, op, &x, 1, "axis", axis); }

Value *build_cast(Build *b, Value *x, Dtype to) {
    return b->failed || x->type.dtype == to ? x : build_with_int(b, OP_Cast, &x, 1, "to", to);
}

Value *build_view(Build *b, Value *x, int rank, const Dim *dims) {
    bool known = rank <= MCC_MAX_RANK;
    if (b->failed) return NULL;
    if (!known) diag_error(b->r->ctx, b->at, "it would need %d axes, mcc takes at most %d", rank, MCC_MAX_RANK);
    for (int i = 0; i < rank && known; i++)
        if (!(known = dims[i] != NULL)) diag_error(b->r->ctx, b->at, "a size overflows");
    b->failed = !known;
    return known ? rewrite_view(b->r, b->at, x, rank, dims) : NULL;
}

Value *build_unsqueeze(Build *b, Value *x, int axis) {
    Dim dims[MCC_MAX_RANK + 1];
    if (b->failed) return NULL;
    for (int i = 0, from = 0; i <= x->type.rank; i++)
        dims[i] = i == axis ? dim_const(b->r->ctx, 1) : x->type.dims[from++];
    return build_view(b, x, x->type.rank + 1, dims);
}

Value *build_transpose(Build *b, Value *x, const int64_t *perm) {
    Node *made = build_node(b, OP_Transpose, &x, 1);
    if (made) node_set_ints(made, "perm", perm, x->type.rank);
    return build_value(b, made);
}

Value *build_concat(Build *b, Value *x, Value *y, int axis) {
    return build_with_int(b, OP_Concat, (Value *[]){x, y}, 2, "axis", axis);
}

Value *build_slice(Build *b, Value *x, int axis, int64_t start, int64_t end, int64_t step) {
    if (b->failed) return NULL;
    Graph *g = b->r->g;
    Value *in[] = {x, const_ints_value(g, &start, 1), const_ints_value(g, &end, 1),
                   const_ints_value(g, &(int64_t){axis}, 1), const_ints_value(g, &step, 1)};
    return build_value(b, build_node(b, OP_Slice, in, 5));
}

Value *build_gather(Build *b, Op op, Value *x, Value *indices, int axis) {
    return build_with_int(b, op, (Value *[]){x, indices}, 2, "axis", axis);
}

Value *build_reduce(Build *b, Op op, Value *x, const int64_t *axes, int n, bool keep) {
    if (b->failed) return NULL;
    Value *in[] = {x, const_ints_value(b->r->g, axes, n)};
    return n ? build_with_int(b, op, in, 2, "keepdims", keep) : x;
}

Value *build_scalar(Build *b, Dtype t, double v) {
    if (dtype_class(t) == DTC_F) return const_scalar(b->r->g, t, v);
    int64_t whole = (int64_t)v;
    Tensor *made = ARENA_NEW(b->r->g->arena, Tensor);
    void *data = arena_alloc(b->r->g->arena, sizeof whole);
    memcpy(data, &whole, sizeof whole); /* little-endian: the low bytes come first */
    *made = (Tensor){.dtype = t, .bytes = (size_t)dtype_bits(t) / 8, .data = data};
    return value_of_tensor(b->r->g, made);
}

Value *build_size(Build *b, Value *x, int axis) {
    Node *made = build_node(b, OP_Shape, &x, 1);
    if (made) {
        node_set_int(made, "start", axis);
        node_set_int(made, "end", axis + 1);
    }
    return build_value(b, made);
}

Value *build_indices(Build *b, Value *x, int axis, int rank, int place) {
    Value *in[] = {build_scalar(b, DT_I64, 0), build_size(b, x, axis), build_scalar(b, DT_I64, 1)};
    Value *flat = build_value(b, build_node(b, OP_Range, in, 3));
    Dim dims[MCC_MAX_RANK];
    if (b->failed) return NULL;
    for (int i = 0; i < rank; i++) dims[i] = i == place ? flat->type.dims[0] : dim_const(b->r->ctx, 1);
    return build_view(b, flat, rank, dims);
}

void build_output(Build *b, int i, Value *v) {
    if (b->failed || !build_wants(b, i)) return;
    Node *same = rewrite_insert(b->r, b->at, OP_Identity, &v, 1);
    rewrite_define(b->r, same, b->at->out[i]);
}

void build_end(Build *b) {
    if (!b->failed) rewrite_remove(b->r, b->at);
}
