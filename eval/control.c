/* If, Loop and Scan: their bodies are evaluated as graphs, which know the sizes that are known around them. What a turn
 * makes lives until the next one has read it. */
#include <string.h>
#include "eval/internal.h"

typedef struct Stack {  /* what turns give, one behind the other */
    const Tensor *like; /* of the first turn; NULL: there was none */
    Dtype dtype;
    int rank;
    int64_t dims[MCC_MAX_RANK];
    size_t each, bytes, room;
    char *data;
} Stack;

typedef struct Turns {
    Ctx *ctx;
    const Node *n;
    const Graph *body;
    const EvalEnv *env;
    Arena *arena; /* of the whole loop */
    int carried, in, out, stacked;
    int64_t turn, most;
    const Tensor **now; /* what the body reads */
    Tensor **next;      /* what it gives */
    Stack *stacks;
} Turns;

/* A body's graph, whose outputs are made in `home` */
static bool run_body(Ctx *ctx, const Graph *body, const Tensor *const *in, Tensor **out, int *status, Arena *home,
                     const EvalEnv *env) {
    Graph g = *body;
    g.arena = home;
    return eval_graph_in(ctx, &g, in, out, status, env);
}

static bool run_if(Ctx *ctx, const Node *n, const Tensor *const *in, Tensor **out, int *status, Graph *home,
                   const EvalEnv *env) {
    Graph *bodies[MAX_BODIES];
    node_bodies(n, bodies);
    const Graph *taken = bodies[tensor_int(in[0], 0) ? 0 : 1];
    *status = MCC_E_SHAPE;
    return taken->refused || run_body(ctx, taken, in + 1, out, status, home->arena, env);
}

static int64_t entry(const Node *n, const char *name, int i) {
    const int64_t *list;
    return i < node_ints(n, name, &list) ? list[i] : 0;
}

static Tensor *counter(Turns *t, int input, Dtype dtype, int64_t v) {
    Tensor *made = ARENA_NEW(t->arena, Tensor);
    int64_t *data = arena_alloc(t->arena, sizeof v);
    *data = v; /* little-endian: a bool is its first byte */
    *made = (Tensor){.dtype = dtype, .rank = t->body->inputs[input]->type.rank, .dims = {1}, .data = data};
    made->bytes = dtype == DT_BOOL ? 1 : sizeof v;
    return made;
}

/* slice `turn` along axis 0: Scans of other axes have become such */
static Tensor *slice(Turns *t, const Tensor *x, int64_t turn) {
    Tensor *made = ARENA_NEW(t->arena, Tensor);
    *made = *x;
    made->rank--;
    memmove(made->dims, x->dims + 1, sizeof *x->dims * (size_t)made->rank);
    made->bytes = x->dims[0] ? x->bytes / (size_t)x->dims[0] : 0;
    made->data = (const char *)x->data + made->bytes * (size_t)turn;
    return made;
}

static void give_turn(Turns *t, const Tensor *const *in) {
    if (t->n->op == OP_Loop) {
        t->now[0] = counter(t, 0, DT_I64, t->turn);
        t->now[1] = counter(t, 1, DT_BOOL, 1);
        return;
    }
    for (int i = t->carried; i < t->n->n_in - t->n->n_captured; i++) {
        bool back = entry(t->n, "scan_input_directions", i - t->carried) != 0;
        t->now[i] = slice(t, in[i], back ? t->most - 1 - t->turn : t->turn);
    }
}

static bool stack_slice(Turns *t, Stack *s, const Tensor *v) {
    if (!s->like) {
        s->like = v;
        s->dtype = v->dtype;
        s->rank = v->rank;
        memcpy(s->dims, v->dims, sizeof s->dims);
        s->each = v->bytes;
    }
    if (v->bytes != s->each || v->rank != s->rank || memcmp(v->dims, s->dims, sizeof *s->dims * (size_t)s->rank))
        return false;
    if (s->bytes + s->each > s->room) {
        size_t room = s->room * 2 + s->each;
        s->data = arena_grow(t->arena, s->data, s->room, room, 1);
        s->room = room;
    }
    if (s->each) memcpy(s->data + s->bytes, v->data, s->each);
    s->bytes += s->each;
    return true;
}

static bool take_turn(Turns *t) {
    for (int i = 0; i < t->carried; i++) t->now[t->in + i] = t->next[t->out + i];
    for (int i = 0; i < t->stacked; i++) {
        if (!t->n->out[t->carried + i]) continue;
        if (stack_slice(t, &t->stacks[i], t->next[t->out + t->carried + i])) continue;
        diag_error(t->ctx, t->n, "what output %d stacks changes its size from turn to turn", t->carried + i);
        return false;
    }
    return true;
}

static Tensor *copy(Graph *home, const Tensor *t) {
    Tensor *made = tensor_new(home, t->dtype, t->rank, t->dims);
    if (made && t->bytes) memcpy((void *)made->data, t->data, t->bytes);
    return made;
}

/* turns in order; those of a Scan that gives its output backwards, from the last */
static Tensor *stacked(Turns *t, int i, Graph *home) {
    const Stack *s = &t->stacks[i];
    const Value *v = t->n->out[t->carried + i];
    int64_t dims[MCC_MAX_RANK] = {t->turn};
    int rank = v->type.rank;
    for (int k = 1; k < rank; k++)
        if (s->like) dims[k] = s->dims[k - 1];
        else if (!eval_dim(t->env, v->type.dims[k], &dims[k])) dims[k] = 0; /* what a turn would tell */
    Tensor *made = tensor_new(home, v->type.dtype, rank, dims);
    bool back = entry(t->n, "scan_output_directions", i) != 0;
    for (int64_t k = 0; made && s->each && k < t->turn; k++)
        memcpy((char *)made->data + (size_t)k * s->each, s->data + (size_t)(back ? t->turn - 1 - k : k) * s->each,
               s->each);
    return made;
}

static bool give_outputs(Turns *t, Tensor **out, Graph *home) {
    for (int i = 0; i < t->n->n_out; i++) {
        if (!t->n->out[i]) continue;
        out[i] = i < t->carried ? copy(home, t->now[t->in + i]) : stacked(t, i - t->carried, home);
        if (!out[i]) return false;
    }
    return true;
}

static bool run_turns(Turns *t, const Tensor *const *in, int *status) {
    bool going = t->n->op != OP_Loop || !t->n->in[1] || tensor_int(in[1], 0);
    Arena *homes[2] = {NULL, NULL};
    bool ok = true;
    size_t before = t->ctx->folded;
    for (t->turn = 0; ok && going && t->turn < t->most; t->turn++) {
        Arena **home = &homes[t->turn & 1];
        if (*home) arena_free(*home);
        *home = arena_new(t->ctx);
        if (t->n->op == OP_Loop && t->turn >= node_most_turns(t->n)) *status = MCC_E_TRIP;
        if (*status != MCC_OK) break;
        give_turn(t, in);
        t->ctx->folded = before;
        ok = run_body(t->ctx, t->body, t->now, t->next, status, *home, t->env);
        if (!ok || *status != MCC_OK) break;
        ok = take_turn(t);
        going = t->n->op != OP_Loop || tensor_int(t->next[0], 0);
    }
    for (int i = 0; ok && i < t->carried; i++) { /* out of the turn's arena */
        Graph mine = {.ctx = t->ctx, .arena = t->arena};
        t->ctx->folded = before;
        ok = (t->now[t->in + i] = copy(&mine, t->now[t->in + i])) != NULL;
    }
    t->ctx->folded = before;
    for (int i = 0; i < 2; i++)
        if (homes[i]) arena_free(homes[i]);
    return ok;
}

static bool run_loop(Ctx *ctx, const Node *n, const Tensor *const *in, Tensor **out, int *status, Graph *home,
                     const EvalEnv *env) {
    Graph *bodies[MAX_BODIES];
    bool loop = n->op == OP_Loop;
    node_bodies(n, bodies);
    Turns t = {.ctx = ctx, .n = n, .body = bodies[0], .env = env, .arena = arena_new(ctx), .carried = node_carried(n)};
    t.in = loop ? 2 : 0;
    t.out = loop;
    t.stacked = n->n_out - t.carried;
    t.most = loop ? (in[0] ? tensor_int(in[0], 0) : INT64_MAX) : in[t.carried]->dims[0];
    t.now = ARENA_ARRAY(t.arena, n->n_in + 1, const Tensor *);
    t.next = ARENA_ARRAY(t.arena, t.body->n_outputs + 1, Tensor *);
    t.stacks = ARENA_ARRAY(t.arena, t.stacked + 1, Stack);
    for (int i = 0; i < n->n_in; i++) t.now[i] = in[i];
    *status = MCC_OK;
    bool ok = run_turns(&t, in, status) && (*status != MCC_OK || give_outputs(&t, out, home));
    arena_free(t.arena);
    return ok;
}

bool eval_control(Ctx *ctx, const Node *n, const Tensor *const *in, Tensor **out, int *status, Graph *home,
                  const EvalEnv *env) {
    for (int i = 0; i < n->n_out; i++) out[i] = NULL;
    return n->op == OP_If ? run_if(ctx, n, in, out, status, home, env) : run_loop(ctx, n, in, out, status, home, env);
}
