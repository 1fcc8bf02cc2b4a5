/* A whole graph, node by node in its order. Every node's outputs live in an arena of their own, which goes when the
 * last use is done, so that the peak is what is alive and not the sum; the budget of folded constants gets back what
 * they took. */
#include "eval/eval.h"
#include "eval/internal.h"
#include <string.h>

typedef struct Run {
    Ctx *ctx;
    const Graph *graph;
    Arena *arena; /* of the run's own tables */
    EvalEnv env;
    const Tensor **held; /* by value id */
    int *uses;           /* by value id: still to come */
} Run;

void eval_bind(EvalEnv *env, const Value *v, const Tensor *t) {
    for (int i = 0; i < v->type.rank && i < t->rank; i++) {
        Dim d = v->type.dims[i];
        bool known = !d || d->kind != DIM_SYMBOL;
        for (int k = 0; k < env->n && !known; k++) known = env->symbols[k].dim == d;
        if (known) continue;
        if (env->n == env->capacity) {
            env->capacity = env->capacity * 2 + 16;
            env->symbols =
                arena_grow(env->arena, env->symbols, (size_t)env->n, (size_t)env->capacity, sizeof *env->symbols);
        }
        env->symbols[env->n++] = (EvalSymbol){d, t->dims[i]};
    }
}

static void count_uses(Run *r) {
    for (const Node *n = r->graph->first; n; n = n->next)
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i]) r->uses[n->in[i]->id]++;
    for (int i = 0; i < r->graph->n_outputs; i++) r->uses[r->graph->outputs[i]->id]++;
}

typedef struct NodeTensors { /* what a node wrote, and the arena that it lies in */
    Graph home;
    size_t bytes;
    int alive;
} NodeTensors;

static void release(Run *r, NodeTensors **owner, const Value *v) {
    if (--r->uses[v->id] > 0 || !owner[v->id]) return;
    NodeTensors *t = owner[v->id];
    r->held[v->id] = NULL;
    if (--t->alive) return;
    r->ctx->folded -= t->bytes;
    arena_free(t->home.arena);
}

static const Tensor *tensor_of(const Run *r, const Value *v) {
    if (!v) return NULL;
    return v->constant ? v->constant : r->held[v->id];
}

static bool run_fused(Run *r, const Node *n, const Tensor *const *in, Tensor **out, int *status, Graph *home) {
    Graph body = *n->body;
    body.arena = home->arena; /* its outputs are this node's */
    return eval_graph_in(r->ctx, &body, in, out, status, &r->env);
}

static bool run_node(Run *r, NodeTensors **owner, const Node *n, int *status) {
    NodeTensors *t = ARENA_NEW(r->arena, NodeTensors);
    const Tensor **in = ARENA_ARRAY(r->arena, n->n_in + 1, const Tensor *);
    Tensor **out = ARENA_ARRAY(r->arena, n->n_out + 1, Tensor *);
    size_t before = r->ctx->folded;
    t->home = (Graph){.ctx = r->ctx, .arena = arena_new(r->ctx)};
    for (int i = 0; i < n->n_in; i++) in[i] = tensor_of(r, n->in[i]);
    bool ok = n->body                     ? run_fused(r, n, in, out, status, &t->home)
              : op_has(n->op, OP_CONTROL) ? eval_control(r->ctx, n, in, out, status, &t->home, &r->env)
                                          : eval_node_in(r->ctx, n, in, out, status, &t->home, &r->env);
    t->bytes = r->ctx->folded - before;
    t->alive = 1;
    for (int i = 0; ok && *status == MCC_OK && i < n->n_out; i++) {
        if (!n->out[i]) continue;
        r->held[n->out[i]->id] = out[i];
        r->uses[n->out[i]->id]++; /* until the end of this function */
        owner[n->out[i]->id] = t;
        t->alive++;
        eval_bind(&r->env, n->out[i], out[i]);
    }
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i]) release(r, owner, n->in[i]);
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] && owner[n->out[i]->id]) release(r, owner, n->out[i]);
    if (--t->alive == 0) {
        r->ctx->folded -= t->bytes;
        arena_free(t->home.arena);
    }
    return ok;
}

static bool copy_outputs(Run *r, Tensor **out) {
    Graph home = *r->graph;
    for (int i = 0; i < home.n_outputs; i++) {
        const Tensor *t = tensor_of(r, home.outputs[i]);
        out[i] = tensor_new(&home, t->dtype, t->rank, t->dims);
        if (!out[i]) return false;
        if (t->bytes) memcpy((void *)out[i]->data, t->data, t->bytes);
    }
    return true;
}

bool eval_graph(Ctx *ctx, const Graph *g, const Tensor *const *in, Tensor **out, int *status) {
    return eval_graph_in(ctx, g, in, out, status, NULL);
}

bool eval_graph_in(Ctx *ctx, const Graph *g, const Tensor *const *in, Tensor **out, int *status, const EvalEnv *outer) {
    int ids = ctx->next_id;
    Run r = {.ctx = ctx, .graph = g, .arena = arena_new(ctx)};
    NodeTensors **owner = ARENA_ARRAY(r.arena, ids + 1, NodeTensors *);
    bool ok = true;
    r.env = (EvalEnv){.arena = r.arena, .outer = outer};
    r.held = ARENA_ARRAY(r.arena, ids + 1, const Tensor *);
    r.uses = ARENA_ARRAY(r.arena, ids + 1, int);
    *status = MCC_OK;
    count_uses(&r);
    for (int i = 0; i < g->n_inputs; i++) {
        r.held[g->inputs[i]->id] = in[i];
        eval_bind(&r.env, g->inputs[i], in[i]);
    }
    for (const Node *n = g->first; n && ok && *status == MCC_OK; n = n->next) ok = run_node(&r, owner, n, status);
    if (ok && *status == MCC_OK) ok = copy_outputs(&r, out);
    for (int i = 0; i < ids; i++) /* what is still alive: outputs, and everything after an error */
        if (owner[i] && r.held[i]) {
            r.uses[i] = 1;
            release(&r, owner, &(Value){.id = i});
        }
    arena_free(r.arena);
    return ok;
}
