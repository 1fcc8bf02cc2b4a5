/* Inference over a whole graph: every node in order, errors of independent nodes in one run. Then what the model
 * declared about the nodes' outputs is held against what was found: a wrong dtype is an error, a wrong shape a warning
 * (-Wshape). */
#include "frontend/frontend.h"
#include "frontend/infer/infer.h"

/* After an error further up the graph nothing can be said here. */
static bool inputs_known(const Node *n) {
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && n->in[i]->def && n->in[i]->type.kind == TYPE_UNKNOWN) return false;
    return true;
}

static void forget_outputs(Node *n) {
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i]) n->out[i]->type = (Type){.rank = -1};
}

static bool check_sizes(Ctx *ctx, const Node *n) {
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] && !type_fits(&n->out[i]->type))
            return fail(ctx, n, "output %d of shape %s overflows the address space", i, shape_text(ctx, n->out[i]));
    return true;
}

static bool may_be_equal(const Type *a, const Type *b) {
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dims[i] && b->dims[i] && (a->dims[i]->hi < b->dims[i]->lo || b->dims[i]->hi < a->dims[i]->lo))
            return false;
    return true;
}

static bool check_declared(Ctx *ctx, const Node *n, const Value *v, const Type *declared) {
    if (declared->kind != TYPE_TENSOR || declared->dtype == DT_NONE) return true;
    if (declared->dtype != v->type.dtype)
        return fail(ctx, n, "output '%s' is declared as %s, but is %s", diag_name(ctx, v->name),
                    dtype_name(declared->dtype), dtype_name(v->type.dtype));
    if (declared->rank < 0 || may_be_equal(declared, &v->type)) return true;
    Value shown = {.type = *declared};
    diag_warn(ctx, "shape", n, "output '%s' is declared with shape %s, but has %s", diag_name(ctx, v->name),
              shape_text(ctx, &shown), shape_text(ctx, v));
    return true;
}

/* What is declared of an elementwise result bounds its operands too, where nothing is declared of them: a hint, without
 * a dtype, that nothing is held against. */
static void hint_operands(const Node *n) {
    const Type *y = n->n_out && n->out[0] ? &n->out[0]->type : NULL;
    if (!op_has(n->op, OP_ELEMENTWISE) || !y || y->kind != TYPE_TENSOR || y->rank < 0) return;
    for (int i = 0; i < n->n_in; i++) {
        Value *v = n->in[i];
        if (!v || !v->def || v->type.kind != TYPE_UNKNOWN) continue;
        v->type = *y;
        v->type.dtype = DT_NONE;
    }
}

/* A claim about dims that only the run tells is kept: whoever reads the model once it is written needs it too. */
static void keep_claim(Value *v, const Type *declared) {
    if (declared->kind != TYPE_TENSOR || declared->dtype == DT_NONE || declared->rank < 0) return;
    for (int i = 0; i < v->type.rank; i++)
        if (dim_has_data(v->type.dims[i])) v->claimed = declared;
}

static bool infer_node(Ctx *ctx, Node *n) {
    Type *declared = ARENA_ARRAY(ctx->arena, n->n_out, Type);
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i]) declared[i] = n->out[i]->type;
    if (!node_infer(ctx, n) || !check_sizes(ctx, n)) return false;
    bool ok = true;
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i]) {
            ok = check_declared(ctx, n, n->out[i], &declared[i]) && ok;
            keep_claim(n->out[i], &declared[i]);
        }
    return ok;
}

/* An If whose condition is known is the branch that it takes: the other one may be wrong for these shapes. */
static Node *take_branch(Node *n) {
    Graph *bodies[MAX_BODIES];
    bool taken;
    if (n->op != OP_If || node_bodies(n, bodies) != 2 || !condition_known(n->in[0], &taken)) return NULL;
    Graph *body = bodies[taken ? 0 : 1];
    if (body->n_outputs < n->n_out || body->n_inputs != n->n_captured) return NULL;
    body->n_outputs = n->n_out;
    return graph_inline(n, body, n->in + 1);
}

bool infer_graph(Ctx *ctx, Graph *g) {
    bool ok = true;
    for (const Node *n = g->last; n; n = n->prev) hint_operands(n);
    for (Node *n = g->first, *next; n; n = next) {
        bool known = inputs_known(n);
        Node *inlined = known ? take_branch(n) : NULL;
        next = inlined ? inlined : n->next;
        if (inlined || (known && infer_node(ctx, n))) continue;
        forget_outputs(n);
        ok = false;
    }
    g->inferred = true;
    return ok;
}

bool infer_again(Ctx *ctx, Graph *g) {
    for (Node *n = g->first; n; n = n->next)
        if (!node_infer(ctx, n) || !check_sizes(ctx, n)) return false;
    return true;
}
