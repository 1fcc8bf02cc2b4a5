/* If: its bodies are inferred on what they capture, and what both give is what it gives. Where the condition is known
 * only the branch that it takes counts. What Loop and Scan do beyond that is in turns.c. */
#include "frontend/infer/control.h"
#include "frontend/frontend.h"

bool condition_known(const Value *v, bool *out) {
    *out = true;
    if (!v) return true;
    if (v->constant) {
        int64_t n;
        if (!product_i64(v->constant->dims, v->constant->rank, &n) || n < 1) return false;
        *out = tensor_int(v->constant, 0) != 0;
        return true;
    }
    if (value_content(v) != 1 || !v->content[0] || v->content[0]->kind != DIM_CONST) return false;
    *out = v->content[0]->value != 0;
    return true;
}

static bool same_content(const Value *a, const Value *b) {
    int n = value_content(a);
    if (n < 0 || !a->content || !b->content || n != value_content(b)) return !a->content && !b->content;
    for (int i = 0; i < n; i++)
        if (a->content[i] != b->content[i]) return false;
    return true;
}

static bool same_type(const Type *a, const Type *b) {
    if (a->kind != b->kind || a->dtype != b->dtype || a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i]) return false;
    return true;
}

bool body_give(Value *input, const Type *type, const Dim *content) {
    Value given = {.type = *type, .content = content};
    if (same_type(&input->type, type) && same_content(input, &given)) return false;
    input->type = *type;
    input->content = content;
    return true;
}

bool body_capture(const Node *n, Graph *body) {
    bool news = false;
    for (int i = 0; i < n->n_captured; i++) {
        const Value *from = n->in[n->n_in - n->n_captured + i];
        news |= body_give(body->inputs[body->n_inputs - n->n_captured + i], &from->type, from->content);
    }
    return news;
}

bool body_infer(Ctx *ctx, const Node *n, Graph *body, bool news) {
    enum { MOST = 20000 }; /* each loop is inferred several times, and loops nest */
    if (body->inferred && !news) return true;
    if (++ctx->n_inferred > MOST) return fail(ctx, n, "control flow is nested too often and too deeply");
    if (body->inferred ? !infer_again(ctx, body) : !infer_graph(ctx, body)) return false;
    for (int i = 0; i < body->n_outputs; i++) {
        const Type *t = &body->outputs[i]->type;
        if (t->kind != TYPE_TENSOR || t->rank < 0)
            return fail(ctx, n, "what its body gives as output %d is no tensor", i);
    }
    return true;
}

bool body_fits(Ctx *ctx, Node *n, Graph *body, const char *what, int inputs, int outputs) {
    if (body->n_inputs != inputs)
        return fail(ctx, n, "its %s takes %d inputs, %d are given", what, body->n_inputs - n->n_captured,
                    inputs - n->n_captured);
    if (body->n_outputs == outputs) return true;
    return fail(ctx, n, "its %s gives %d outputs, the node %d", what, body->n_outputs, outputs);
}

void outputs_complete(Node *n, int count) {
    if (n->n_out >= count) return;
    n->out = arena_grow(n->graph->arena, n->out, (size_t)n->n_out, (size_t)count, sizeof *n->out);
    n->n_out = count;
}

Dim outside_dim(Ctx *ctx, const Node *n, int out, int axis, int64_t lo, int64_t hi) {
    const Value *v = n->out[out];
    Dim had = v && v->type.kind == TYPE_TENSOR && axis < v->type.rank ? v->type.dims[axis] : NULL;
    if (lo < 0) lo = 0;
    if (hi < lo) hi = lo;
    if (lo == hi) return dim_const(ctx, lo);
    if (had && had->kind == DIM_SYMBOL && had->node == n && had->lo == lo && had->hi == hi) return had;
    return dim_data(ctx, n, lo, hi);
}

/* What either branch gives */
static bool join_types(Ctx *ctx, Node *n, int out, Graph *const bodies[2]) {
    const Type *a = &bodies[0]->outputs[out]->type, *b = &bodies[1]->outputs[out]->type;
    Dim dims[MCC_MAX_RANK];
    if (a->dtype != b->dtype)
        return fail(ctx, n, "output %d is %s in one branch, %s in the other", out, dtype_name(a->dtype),
                    dtype_name(b->dtype));
    if (a->rank != b->rank)
        return fail(ctx, n, "output %d has %d axes in one branch, %d in the other, and which one runs is not known",
                    out, a->rank, b->rank);
    for (int i = 0; i < a->rank; i++) {
        Dim x = a->dims[i], y = b->dims[i];
        bool same = x == y && dim_leaves(x, bodies[0], n);
        dims[i] = same ? x : outside_dim(ctx, n, out, i, x->lo < y->lo ? x->lo : y->lo, x->hi > y->hi ? x->hi : y->hi);
    }
    return set_output(ctx, n, out, a->dtype, a->rank, dims);
}

static bool take_types(Ctx *ctx, Node *n, int out, Graph *body) {
    const Type *t = &body->outputs[out]->type;
    Dim dims[MCC_MAX_RANK];
    for (int i = 0; i < t->rank; i++)
        dims[i] =
            dim_leaves(t->dims[i], body, n) ? t->dims[i] : outside_dim(ctx, n, out, i, t->dims[i]->lo, t->dims[i]->hi);
    return set_output(ctx, n, out, t->dtype, t->rank, dims);
}

/* A branch that is wrong for these shapes is one that the run does not take, or else the call fails. */
static bool try_branch(Ctx *ctx, Node *n, Graph *body, bool news) {
    DiagTry t;
    int n_equal = ctx->n_equal;
    if (body->refused) return false;
    diag_try(ctx, &t);
    bool ok = body_infer(ctx, n, body, news);
    const char *why = diag_tried(ctx, &t);
    if (ok) return true;
    body->refused = why ? why : "";
    body->first = body->last = NULL;
    body->n_outputs = 0;
    ctx->n_equal = n_equal;
    return false;
}

static bool infer_branches(Ctx *ctx, Node *n, Graph *bodies[2], const bool news[2]) {
    static const char *const names[] = {"then_branch", "else_branch"};
    bool had[2] = {bodies[0]->refused, bodies[1]->refused}, good[2];
    for (int i = 0; i < 2; i++) good[i] = try_branch(ctx, n, bodies[i], news[i]);
    if (!good[0] && !good[1])
        return fail(ctx, n, "neither branch can run: %s; and: %s", bodies[0]->refused, bodies[1]->refused);
    for (int i = 0; i < 2; i++)
        if (bodies[i]->refused && !had[i])
            diag_warn(ctx, "branch", n, "a call that takes its %s fails with MCC_E_SHAPE: %s", names[i],
                      bodies[i]->refused);
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] &&
            !(good[0] && good[1] ? join_types(ctx, n, i, bodies) : take_types(ctx, n, i, bodies[good[0] ? 0 : 1])))
            return false;
    return true;
}

bool infer_if(Ctx *ctx, Node *n);
bool infer_if(Ctx *ctx, Node *n) {
    Graph *bodies[MAX_BODIES];
    bool taken, news[2];
    if (node_bodies(n, bodies) != 2) return fail(ctx, n, "then_branch or else_branch is missing");
    if (!infer_begin(ctx, n) || !need_scalar(ctx, n, 0)) return false;
    for (int i = 0; i < 2; i++) {
        if (bodies[i]->n_outputs > n->n_out) bodies[i]->n_outputs = n->n_out;
        if (!bodies[i]->refused &&
            !body_fits(ctx, n, bodies[i], i ? "else_branch" : "then_branch", n->n_in - 1, n->n_out))
            return false;
        news[i] = body_capture(n, bodies[i]);
    }
    if (!condition_known(n->in[0], &taken)) return infer_branches(ctx, n, bodies, news);
    Graph *body = bodies[taken ? 0 : 1];
    if (body->refused) return fail(ctx, n, "its branch cannot run: %s", body->refused);
    if (!body_infer(ctx, n, body, news[taken ? 0 : 1])) return false;
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] && !take_types(ctx, n, i, body)) return false;
    return true;
}
