/* Attention between products that are sparse: its queries, keys and values come as values in blocks of rows, and its
 * result goes on as one, so that it reads and writes those as they are (codegen/block_attention.c). Heads must be
 * parts of the last axis, [batch, rows, heads · depth], and a mask must be alike for all queries: those are lanes. */
#include <string.h>
#include "passes/lower.h"

enum { HEADED = 4, JOINED = 3 };

/* The twin of v's channels, which v = [batch, rows, heads, depth] are; NULL: there is none. */
static Value *joined_twin(const Layout *l, const Value *v) {
    const Node *view = value_def(v, OP_View);
    const Value *plain = view ? view->in[0] : NULL;
    Value *twin = twin_of(l, plain);
    if (!twin || v->type.rank != HEADED || plain->type.rank != JOINED || block_of(twin) != PANEL) return NULL;
    for (int i = 0; i < JOINED; i++) {
        int64_t n;
        if (!dim_is_const(plain->type.dims[i], &n) || n < 1) return NULL;
        if (i + 1 < JOINED && plain->type.dims[i] != v->type.dims[i]) return NULL;
    }
    return twin;
}

static bool has_order(const Node *n, const char *name, const int64_t *order) {
    const int64_t *given;
    return node_ints(n, name, &given) == HEADED && !memcmp(given, order, sizeof *order * HEADED);
}

static bool has_mask_of_keys(const Node *n) {
    const Value *mask = node_in(n, 3);
    return !mask || mask->type.rank < 2 || dim_is(mask->type.dims[mask->type.rank - 2], 1);
}

/* y = [batch, rows, heads · columns] of [batch, rows, heads, columns] */
static bool joins_heads(const Node *view) {
    const Type *from = &view->in[0]->type, *to = &view->out[0]->type;
    return from->rank == HEADED && to->rank == JOINED && from->dims[0] == to->dims[0] && from->dims[1] == to->dims[1];
}

static bool fits(const Layout *l, const Node *view, const Node *n) {
    const int64_t rows[] = {0, 2, 1, 3}, turned[] = {0, 2, 3, 1};
    if (l->target->vector_bits < 128 || l->target->vector_bits > 512 || !joins_heads(view)) return false;
    if (!has_order(n, "q_perm", rows) || !has_order(n, "k_perm", turned) || !has_order(n, "v_perm", rows) ||
        !has_order(n, "y_perm", rows) || !has_mask_of_keys(n))
        return false;
    const Type *q = &n->in[0]->type;
    for (int i = 0; i < 3; i++) {
        const Type *t = &n->in[i]->type;
        if (!joined_twin(l, n->in[i]) || t->dims[0] != q->dims[0] || t->dims[2] != q->dims[2]) return false;
    }
    return true;
}

/* tiles of keys or values by vectors of queries; rows divide a panel */
static void set_attention_tile(Node *made, const Target *t) {
    bool wide = t->vector_bits == 512;
    node_set_int(made, "lanes", t->vector_bits / 32);
    node_set_int(made, "rows", wide ? 8 : 4);
    node_set_int(made, "panels", wide && made->in[0]->type.dims[1]->value > 1 ? 2 : 1);
}

bool lower_attention(Layout *l, Node *view) {
    const Node *n = view->op == OP_View ? value_only_def(view->in[0], OP_FusedAttention) : NULL;
    if (!n || !fits(l, view, n)) return false;
    Node was = *n;
    Value *in[4] = {joined_twin(l, n->in[0]), joined_twin(l, n->in[1]), joined_twin(l, n->in[2]), node_in(n, 3)};
    Node *made = replace_blocked(l, view, OP_BlockAttention, in, in[3] ? 4 : 3, PANEL);
    made->name = was.name;
    made->index = was.index;
    node_set_int(made, "heads", was.in[0]->type.dims[2]->value);
    node_set_int(made, "keys", was.in[1]->type.dims[1]->value);
    node_set_float(made, "scale", node_float(&was, "scale"));
    node_set_int(made, "replace", node_int(&was, "replace"));
    node_set_int(made, "nan_to_zero", node_int(&was, "nan_to_zero"));
    set_attention_tile(made, l->target);
    return true;
}
