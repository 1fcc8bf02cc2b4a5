/* Pooling of what is blocked already: the blocks pass through. */
#include "passes/lower.h"

/* Are its blocks what kernels on floats take? */
static bool in_vectors(const Layout *l, const Value *x) {
    return !target_has_pixels(l->target) || block_of(x) == channel_block(l->target, block_of(x));
}

static bool lower_window(Layout *l, Node *n, Value *x) {
    FixedWindow w;
    const Type *y = &n->out[0]->type;
    int64_t row;
    if (!window_fixed(n, NULL, &w)) return false;
    int64_t padded = node_int(n, "count_include_pad"), mean = n->op == OP_AveragePool;
    if (!dim_is_const(y->dims[y->rank - 1], &row)) row = 0;
    Node *made = replace_blocked(l, n, OP_BlockPool, &x, 1, block_of(x));
    window_set(made, &w);
    node_set_int(made, "mean", mean);
    node_set_int(made, "count_include_pad", mean && padded);
    node_set_int(made, "rows", channel_rows(l->target, row, w.kernel[w.n - 1]));
    return true;
}

static bool lower_global(Layout *l, Node *n, Value *x, bool mean) {
    Node *made = replace_blocked(l, n, OP_BlockGlobalPool, &x, 1, block_of(x));
    node_set_int(made, "mean", mean);
    return true;
}

bool lower_pool(Layout *l, Node *n) {
    Value *x = twin_of(l, n->in[0]);
    if (!x || !value_in_blocks(x) || (n->n_out > 1 && n->out[1])) return false;
    bool bytes = x->type.dtype == DT_I8 || x->type.dtype == DT_U8;
    bool mean = n->op == OP_AveragePool || n->op == OP_GlobalAveragePool, pixels = target_has_pixels(l->target);
    if (pixels && (bytes || value_is_f32(x)) && lower_pixel_pool(l, n, x, mean)) return true;
    if (!in_vectors(l, x)) return false;
    if (!value_is_f32(x)) return bytes && n->op == OP_MaxPool && lower_window(l, n, x);
    switch (n->op) {
    case OP_MaxPool:
    case OP_AveragePool: return lower_window(l, n, x);
    case OP_GlobalAveragePool: return lower_global(l, n, x, true);
    case OP_GlobalMaxPool: return lower_global(l, n, x, false);
    default: return false;
    }
}

bool reduces_space(const Node *n) {
    const Value *axes = node_in(n, 1), *x = n->in[0];
    if (!axes || !axes->constant || !node_int(n, "keepdims") || axes->constant->dims[0] != x->type.rank - 2)
        return false;
    unsigned seen = 0;
    for (int64_t i = 0; i < axes->constant->dims[0]; i++) {
        int64_t axis = tensor_int(axes->constant, i);
        seen |= 1u << (axis < 0 ? axis + x->type.rank : axis);
    }
    return seen == ((1u << x->type.rank) - 1) - 3;
}

bool lower_reduction(Layout *l, Node *n) {
    Value *x = twin_of(l, n->in[0]);
    if (!x || !value_is_f32(x) || (n->op != OP_ReduceMean && n->op != OP_ReduceMax) || !reduces_space(n)) return false;
    if (target_has_pixels(l->target) && lower_pixel_pool(l, n, x, n->op == OP_ReduceMean)) return true;
    return in_vectors(l, x) && lower_global(l, n, x, n->op == OP_ReduceMean);
}
