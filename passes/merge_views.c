/* Reshape and its kin, once their output's dims are known and no run-time value decides them, become mcc.View, which
 * has no shape input: whatever computed the shape is dead then. Other movement that keeps the elements in order becomes
 * one too. Views of views and transposes of transposes become one, and views sink below Softmax. */
#include "passes/internal.h"

/* Moves or combines nothing when it yields as many elements as it was given */
static bool keeps_elements(const Node *n) {
    switch (n->op) {
    case OP_Expand:
    case OP_Tile:
    case OP_ReduceMax: /* over axes of size 1 */
    case OP_ReduceMean:
    case OP_ReduceMin:
    case OP_ReduceProd:
    case OP_ReduceSum: return true;
    default: return op_has(n->op, OP_VIEW) && n->op != OP_View && n->op != OP_Identity;
    }
}

static bool is_view(Rewrite *r, const Node *n) {
    const Value *x = n->in[0], *y = n->out[0];
    if (!keeps_elements(n) || value_has_data_dims(y)) return false;
    Dim before = value_elements(r->ctx, x), after = value_elements(r->ctx, y);
    return before && before == after;
}

/* Axis i of the output is axis perm[i] of the input */
static void read_perm(const Node *n, int64_t *perm) {
    const int64_t *given;
    int rank = n->in[0]->type.rank, count = node_ints(n, "perm", &given);
    for (int i = 0; i < rank; i++) perm[i] = count ? given[i] : rank - 1 - i;
}

/* The axes that are longer than 1 stay in order */
static bool moves_nothing(const Node *n) {
    int64_t perm[MCC_MAX_RANK], last = -1;
    const Value *x = n->in[0];
    if (value_has_data_dims(x)) return false;
    read_perm(n, perm);
    for (int i = 0; i < x->type.rank; i++) {
        if (dim_is(x->type.dims[perm[i]], 1)) continue;
        if (perm[i] < last) return false;
        last = perm[i];
    }
    return true;
}

static void merge_transposes(Rewrite *r, Node *n, const Node *inner) {
    int64_t outer_perm[MCC_MAX_RANK], inner_perm[MCC_MAX_RANK], perm[MCC_MAX_RANK];
    int rank = n->in[0]->type.rank;
    read_perm(n, outer_perm);
    read_perm(inner, inner_perm);
    for (int i = 0; i < rank; i++) perm[i] = inner_perm[outer_perm[i]];
    rewrite_become(r, n, OP_Transpose, (Value *[]){inner->in[0]}, 1);
    node_set_ints(n, "perm", perm, rank); /* the identity is remove_identity's */
}

/* Softmax(View(x)) -> View(Softmax(x)), where the axis is the last of both: older forms of Softmax are made of views */
static bool normalise_first(Rewrite *r, Node *n) {
    if (n->op != OP_Softmax && n->op != OP_LogSoftmax) return false;
    Node *view = value_only_def(n->in[0], OP_View);
    Value *x = view ? view->in[0] : NULL;
    int last = n->in[0]->type.rank - 1;
    if (!x || x->type.rank == 0 || axis_of(node_int(n, "axis"), last + 1) != last) return false;
    if (x->type.dims[x->type.rank - 1] != n->in[0]->type.dims[last]) return false;
    Node *first = rewrite_insert(r, n, n->op, &x, 1);
    node_set_int(first, "axis", -1);
    rewrite_infer(r, first);
    rewrite_become(r, n, OP_View, first->out, 1);
    return true;
}

static void visit(Rewrite *r, Node *n) {
    Node *view = value_def(n->in[0], OP_View), *transpose = value_def(n->in[0], OP_Transpose);
    if (normalise_first(r, n)) return;
    if (is_view(r, n)) rewrite_become(r, n, OP_View, (Value *[]){n->in[0]}, 1);
    else if (n->op == OP_Transpose && moves_nothing(n)) rewrite_become(r, n, OP_View, (Value *[]){n->in[0]}, 1);
    else if (n->op == OP_Transpose && transpose) merge_transposes(r, n, transpose);
    else if (n->op == OP_View && view) rewrite_input(r, n, 0, view->in[0]);
}

bool pass_merge_views(Graph *g, PassCtx *p) {
    Rewrite r;
    (void)p;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));)
        if (n->n_in && n->in[0] && n->out[0]) visit(&r, n);
    return rewrite_end(&r);
}
