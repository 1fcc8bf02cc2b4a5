/* Sparse products of [batch, rows, K] on rows in blocks: [batch, ⌈rows / b⌉, K, b], which is what their code reads and
 * writes. So the products that read one value share its reorder, and from product to product, through elementwise
 * operators, there is none. */
#include "passes/lower.h"

/* Every batch is filled up to whole blocks by itself: not much may be wasted. */
static bool fits(const Type *x, int64_t lanes) {
    int64_t batch, rows, all;
    if (x->rank != 3 || !dim_is_const(x->dims[0], &batch) || !dim_is_const(x->dims[1], &rows) ||
        !mul_i64(batch, rows, &all) || !all)
        return false;
    int64_t panels = (rows + lanes - 1) / lanes * batch, least = (all + lanes - 1) / lanes;
    return panels - least <= least / 8;
}

bool lower_sparse_product(Layout *l, Node *n) {
    int64_t lanes = node_int(n, "lanes"), panels = node_int(n, "panels");
    if (!value_is_f32(n->in[0]) || !fits(&n->in[0]->type, lanes) || n->out[0]->type.rank != 3) return false;
    Value *in[3] = {want_blocked(l, n->in[0], n, (int)lanes), n->in[1], n->in[2]};
    Node *made = replace_blocked(l, n, OP_SparseMatMul, in, 3, (int)lanes);
    node_set_int(made, "lanes", lanes);
    node_set_int(made, "panels", panels);
    node_set_int(made, "blocked", 1);
    if (node_is_packed(n)) {
        PackedForm packed = node_packed(n);
        node_set_packed(made, &packed);
    }
    return true;
}
