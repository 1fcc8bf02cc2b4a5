/* Weights of 16 bits, as Cast(constant float16 or bfloat16, to float32) before an operator whose kernel reads them so.
 * fold_const leaves these alone; what only moves elements moves to the other side of the Cast, and so can be folded. */
#include "passes/internal.h"
#include "passes/quant.h"

bool narrow_finite(const Tensor *t) {
    const uint16_t *at = t->data, infinite = t->dtype == DT_F16 ? 0x7c00 : 0x7f80;
    for (size_t i = 0; i < t->bytes / 2; i++)
        if ((at[i] & infinite) == infinite) return false;
    return true;
}

static const Tensor *widened(const Node *n) {
    if (!n || n->op != OP_Cast || n->out[0]->type.dtype != DT_F32) return NULL;
    const Tensor *t = n->in[0]->constant;
    return t && (t->dtype == DT_F16 || t->dtype == DT_BF16) ? t : NULL;
}

const Tensor *narrow_floats(const Value *v) { return v && !v->constant ? widened(v->def) : NULL; }

int narrow_operand(const Node *n) {
    const Value *x = node_in(n, 0), *w = node_in(n, 1);
    if ((n->op != OP_MatMul && n->op != OP_Gemm) || x->constant || x->type.rank < 2 || w->type.rank != 2) return -1;
    if (n->op == OP_Gemm && (node_int(n, "transA") || node_float(n, "alpha") != 1)) return -1;
    const Tensor *t = narrow_floats(w);
    return t && t->bytes && narrow_finite(t) ? 1 : -1;
}

bool narrow_recurrent(const Node *n) {
    if (n->op != OP_LSTM && n->op != OP_GRU && n->op != OP_RNN) return false;
    const Tensor *w = narrow_floats(n->in[1]), *r = narrow_floats(n->in[2]);
    return w && r && w->dtype == r->dtype && narrow_finite(w) && narrow_finite(r);
}

/* Of its inputs only the first has elements that it moves. */
static bool moves_one(const Node *n) {
    if (n->n_out != 1 || op_has(n->op, OP_VARIADIC) || n->body) return false;
    if (!op_has(n->op, OP_VIEW) && !op_has(n->op, OP_MOVEMENT)) return false;
    for (int i = 1; i < n->n_in; i++)
        if (n->in[i] && value_is_float(n->in[i])) return false;
    return true;
}

/* Transpose(Cast(c)) -> Cast(Transpose(c)); Gather(Cast(c), i) -> Cast(Gather(c, i)) */
static void move_up(Rewrite *r, Node *n) {
    Value *in[MCC_MAX_RANK];
    for (int i = 0; i < n->n_in; i++) in[i] = n->in[i];
    in[0] = n->in[0]->def->in[0];
    Node *moved = rewrite_insert(r, n, n->op, in, n->n_in);
    node_copy_attrs(moved, n);
    moved->out[0]->type = n->out[0]->type;
    moved->out[0]->type.dtype = in[0]->type.dtype;
    rewrite_become(r, n, OP_Cast, moved->out, 1);
    node_set_int(n, "to", DT_F32);
}

bool pass_widen_late(Graph *g, PassCtx *p) {
    Rewrite r;
    if (p->widen) return false; /* then the constants themselves become float32 */
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));)
        if (n->n_in <= MCC_MAX_RANK && moves_one(n) && narrow_floats(n->in[0])) move_up(&r, n);
    return rewrite_end(&r);
}

bool pass_widen_constants(Graph *g, PassCtx *p) {
    Rewrite r;
    (void)p;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));)
        if (n->op == OP_Cast || n->op == OP_DequantizeLinear) rewrite_fold(&r, n);
    return rewrite_end(&r);
}
