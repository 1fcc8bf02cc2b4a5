/* Removes nodes that return their input unchanged. */
#include "passes/internal.h"

static bool all_are(const Rewrite *r, const Value *v, int64_t x) {
    const int64_t *list;
    int64_t n;
    if (!v) return true;
    if (!const_ints(v, &list, &n, r->scratch)) return false;
    for (int64_t i = 0; i < n; i++)
        if (list[i] != x) return false;
    return true;
}

static bool attr_all_are(const Node *n, const char *name, int64_t x) {
    const int64_t *list;
    int count = node_ints(n, name, &list);
    for (int i = 0; i < count; i++)
        if (list[i] != x) return false;
    return true;
}

static bool is_identity_perm(const Node *n) {
    const int64_t *perm;
    int count = node_ints(n, "perm", &perm), rank = n->in[0]->type.rank;
    for (int i = 0; i < count; i++)
        if (perm[i] != i) return false;
    return count > 0 || rank <= 1;
}

/* Every output point falls on an input point: scales are 1, and the transformation keeps its argument then. */
static bool is_unscaled(const Node *n) {
    enum { TF_CROP_AND_RESIZE = 5, TF_HALF_PIXEL_FOR_NN = 6 };
    int how = node_enum(n, "coordinate_transformation_mode");
    if (how == TF_CROP_AND_RESIZE || how == TF_HALF_PIXEL_FOR_NN) return false;
    return node_in(n, 3) || (node_in(n, 2) && const_is(n->in[2], 1));
}

static bool is_small_window(const Node *n) {
    return attr_all_are(n, "kernel_shape", 1) && attr_all_are(n, "strides", 1) && attr_all_are(n, "pads", 0) &&
           node_enum(n, "auto_pad") == 0 && (n->n_out == 1 || !n->out[1]);
}

/* Given that the output has the type of input 0 */
static bool is_noop(const Rewrite *r, const Node *n) {
    if (op_has(n->op, OP_VIEW)) return true;
    switch (n->op) {
    case OP_Cast:
    case OP_Expand:
    case OP_Tile:
    case OP_Concat: return true; /* what is joined to it is empty */
    case OP_Split: return n->n_out == 1;
    case OP_Transpose: return is_identity_perm(n);
    case OP_Slice: return all_are(r, node_in(n, 4), 1);
    case OP_Pad: return all_are(r, n->in[1], 0);
    case OP_Max:
    case OP_Min: return n->n_in == 1;
    case OP_Clip: return !node_in(n, 1) && !node_in(n, 2);
    case OP_ReduceMax: /* over axes of size 1 */
    case OP_ReduceMean:
    case OP_ReduceMin:
    case OP_ReduceProd:
    case OP_ReduceSum:
    case OP_GlobalAveragePool:
    case OP_GlobalMaxPool: return true;
    case OP_MaxPool:
    case OP_AveragePool: return is_small_window(n);
    case OP_DepthToSpace:
    case OP_SpaceToDepth: return node_int(n, "blocksize") == 1;
    case OP_Resize: return is_unscaled(n);
    default: return false;
    }
}

bool pass_remove_identity(Graph *g, PassCtx *p) {
    Rewrite r;
    (void)p;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));)
        if (n->n_in && n->n_out && n->in[0] && n->out[0] && value_same_type(n->in[0], n->out[0]) && is_noop(&r, n))
            rewrite_replace(&r, n, n->in[0]);
    return rewrite_end(&r);
}
