/* Loop and Scan: a body is inferred on what a turn gives it. What it carries from turn to turn may change its dims:
 * such a dim is a symbol that the node tells its body anew each turn, with a bound that holds for all turns, and
 * another one outside, for how it ends. */
#include <string.h>
#include "frontend/infer/control.h"

typedef struct Turns {
    Ctx *ctx;
    Node *n;
    Graph *body;
    int carried;                /* values */
    int in, out;                /* where the first of them is among the body's inputs and outputs */
    int given;                  /* among the node's inputs */
    Dim most;                   /* turns: a bound that the model or the user gives; NULL: neither does */
    int64_t limit;              /* turns beyond which the run fails */
    bool (*open)[MCC_MAX_RANK]; /* by carried value and axis: it changes */
} Turns;

/* ---- what is carried ---- */

static const Type *type_in(const Turns *t, int i) { return &t->n->in[t->given + i]->type; }

/* The symbol that an axis is in the body, of at most hi elements */
static Dim turn_dim(Turns *t, int i, int axis, int64_t hi) {
    Dim had = t->body->inputs[t->in + i]->type.dims[axis];
    bool again = had && had->kind == DIM_SYMBOL && had->node == t->n && had->lo == 0 && had->hi == hi;
    return again ? had : dim_data(t->ctx, t->n, 0, hi);
}

/* Those axes that change have `bound` elements at most; of another rank or dtype nothing can be carried. */
static bool give_carried(Turns *t, Graph *body, int64_t (*bound)[MCC_MAX_RANK]) {
    bool news = false;
    for (int i = 0; i < t->carried; i++) {
        Type type = *type_in(t, i);
        for (int k = 0; k < type.rank; k++)
            if (t->open[i][k]) type.dims[k] = turn_dim(t, i, k, bound[i][k]);
        news |= body_give(body->inputs[t->in + i], &type, NULL);
    }
    return news;
}

static bool check_carried(const Turns *t, const Graph *body) {
    for (int i = 0; i < t->carried; i++) {
        const Type *a = type_in(t, i), *b = &body->outputs[t->out + i]->type;
        if (a->dtype != b->dtype)
            return fail(t->ctx, t->n, "it carries %s (value %d), its body gives %s", dtype_name(a->dtype), i,
                        dtype_name(b->dtype));
        if (a->rank != b->rank)
            return fail(t->ctx, t->n, "value %d that it carries has %d axes, its body gives %d", i, a->rank, b->rank);
    }
    return true;
}

/* How large an axis gets: what its body makes of it is the same, or so many more, each turn, or has nothing to do with
 * it. */
static bool bound_axis(Turns *t, const Graph *trial, int i, int axis, int64_t *hi) {
    Ctx *ctx = t->ctx;
    Dim from = type_in(t, i)->dims[axis], in = trial->inputs[t->in + i]->type.dims[axis];
    Dim out = trial->outputs[t->out + i]->type.dims[axis], more = dim_sub(ctx, out, in);
    int64_t growth;
    *hi = from->hi;
    if (dim_leaves(out, trial, t->n)) {
        if (out->hi > *hi) *hi = out->hi;
        return true;
    }
    if (more && dim_leaves(more, trial, t->n) && more->hi <= 0) return true;
    if (more && dim_leaves(more, trial, t->n) && t->most && mul_i64(more->hi, t->most->hi, &growth) &&
        add_i64(*hi, growth, hi))
        return true;
    Dim any = data_dim(ctx, t->n, i, type_in(t, i)->rank, axis, 0, NULL);
    if (any) *hi = any->hi > from->hi ? any->hi : from->hi;
    return any != NULL;
}

/* Axes that are found to change; none: the trial holds. */
static bool find_open(Turns *t, const Graph *trial) {
    bool found = false;
    for (int i = 0; i < t->carried; i++)
        for (int k = 0; k < type_in(t, i)->rank; k++) {
            Dim in = trial->inputs[t->in + i]->type.dims[k], out = trial->outputs[t->out + i]->type.dims[k];
            if (t->open[i][k] || in == out) continue;
            t->open[i][k] = found = true;
        }
    return found;
}

/* What the body was inferred on, but for axes that change */
static bool begins_as_before(Turns *t) {
    for (int i = 0; i < t->carried; i++) {
        const Type *a = type_in(t, i), *b = &t->body->inputs[t->in + i]->type;
        if (a->dtype != b->dtype || a->rank != b->rank) return false;
        for (int k = 0; k < a->rank; k++) {
            t->open[i][k] = b->dims[k]->kind == DIM_SYMBOL && b->dims[k]->node == t->n;
            if (!t->open[i][k] && a->dims[k] != b->dims[k]) return false;
        }
    }
    return true;
}

/* Which axes change, found on copies of the body: what does not change in one turn may do so once others do. */
static bool infer_carried(Turns *t, bool news) {
    enum { TRIAL = 1 << 16 }; /* elements: more than they will be, and no product of them overflows */
    Ctx *ctx = t->ctx;
    int64_t(*bound)[MCC_MAX_RANK] = arena_array(ctx->arena, (size_t)t->carried + 1, sizeof *bound);
    bool again = !t->body->inferred || !begins_as_before(t) || news;
    for (int i = 0; i < t->carried; i++)
        for (int k = 0; k < type_in(t, i)->rank; k++)
            bound[i][k] = t->open[i][k] && !again ? t->body->inputs[t->in + i]->type.dims[k]->hi : TRIAL;
    for (bool more = again; more;) {
        Graph *trial = graph_copy(t->body, t->body->outer);
        if (!body_infer(ctx, t->n, trial, give_carried(t, trial, bound)) || !check_carried(t, trial)) return false;
        more = find_open(t, trial);
        for (int i = 0; !more && i < t->carried; i++)
            for (int k = 0; k < type_in(t, i)->rank; k++)
                if (t->open[i][k] && !bound_axis(t, trial, i, k, &bound[i][k])) return false;
    }
    news |= give_carried(t, t->body, bound);
    return body_infer(ctx, t->n, t->body, news) && check_carried(t, t->body);
}

static bool set_carried(Turns *t) {
    for (int i = 0; i < t->carried; i++) {
        const Type *type = type_in(t, i);
        Dim dims[MCC_MAX_RANK];
        for (int k = 0; k < type->rank; k++) {
            dims[k] = t->body->inputs[t->in + i]->type.dims[k];
            if (t->open[i][k]) dims[k] = outside_dim(t->ctx, t->n, i, k, 0, dims[k]->hi);
        }
        if (t->n->out[i] && !set_output(t->ctx, t->n, i, type->dtype, type->rank, dims)) return false;
    }
    return true;
}

/* ---- what is stacked ---- */

/* A dim that only a turn tells, which all turns have to agree about; without turns it is 0. */
static Dim told_by_turn(Turns *t, int out, int axis, Dim d) {
    if (!dim_is_bounded(d)) {
        diag_error(t->ctx, t->n, "what output %d stacks changes its size from turn to turn (axis %d)", out, axis - 1);
        return NULL;
    }
    return outside_dim(t->ctx, t->n, out, axis, 0, d->hi);
}

/* Output `out`: what the body gives as output `from` each turn, along an axis of `turns` */
static bool set_stacked(Turns *t, int out, int from, int64_t at, Dim turns) {
    Ctx *ctx = t->ctx;
    const Type *each = &t->body->outputs[from]->type;
    Dim dims[MCC_MAX_RANK];
    int axis, rank = each->rank + 1;
    if (rank > MCC_MAX_RANK)
        return fail(ctx, t->n, "output %d would have %d axes, mcc takes at most %d", out, rank, MCC_MAX_RANK);
    if (!read_axis(ctx, t->n, at, rank, &axis)) return false;
    if (axis) return fail(ctx, t->n, "output %d is stacked along axis %d, which is not supported", out, axis);
    if (dtype_bits(each->dtype) < 8)
        return fail(ctx, t->n, "output %d stacks %s, which is not supported", out, dtype_name(each->dtype));
    for (int k = 0; k < each->rank; k++) {
        Dim d = each->dims[k];
        if (!dim_leaves(d, t->body, t->n) && !(d = told_by_turn(t, out, k + 1, d))) return false;
        dims[k + 1] = d;
    }
    dims[axis] = turns;
    return set_output(ctx, t->n, out, each->dtype, rank, dims);
}

/* ---- Loop ---- */

/* The body's condition is true whenever it is run: it hands on what it was given, or a constant. */
static bool goes_on(const Graph *body) {
    const Value *v = body->outputs[0];
    bool known;
    while (v->def && v->def->op == OP_Identity) v = v->def->in[0];
    return graph_input(body, v) == 1 || (condition_known(v, &known) && known);
}

static bool give_counter(Turns *t, int i, Dtype dtype, const Dim *content) {
    const Type *declared = &t->body->inputs[i]->type;
    Type type = {.kind = TYPE_TENSOR, .dtype = dtype, .rank = declared->kind == TYPE_TENSOR && declared->rank == 1};
    if (type.rank) type.dims[0] = dim_const(t->ctx, 1);
    return body_give(t->body->inputs[i], &type, content);
}

/* the turn's number, as a dim */
static const Dim *turn_content(Turns *t) {
    const Dim *had = t->body->inputs[0]->content;
    int64_t hi = t->limit - 1;
    if (hi < 0) return NULL;
    if (had && had[0] && had[0]->kind == DIM_SYMBOL && had[0]->node == t->n && had[0]->hi == hi) return had;
    Dim *content = ARENA_ARRAY(t->ctx->arena, 1, Dim);
    content[0] = dim_data(t->ctx, t->n, 0, hi);
    return content;
}

/* The model may claim a length of what is stacked. */
static Dim claimed_turns(const Turns *t) {
    Dim least = NULL;
    for (int i = t->carried; i < t->n->n_out; i++) {
        const Value *v = t->n->out[i];
        Dim d = v && v->type.kind == TYPE_TENSOR && v->type.rank > 0 ? v->type.dims[0] : NULL;
        if (d && dim_is_bounded(d) && (!least || d->hi < least->hi)) least = d;
    }
    return least ? dim_const(t->ctx, least->hi) : NULL;
}

/* How often: M where the condition never fails; else at most that, or what the model or --max-trip says. */
static bool count_turns(Turns *t, Dim *exact) {
    const Node *n = t->n;
    Ctx *ctx = t->ctx;
    bool goes = true;
    Dim trips = node_in(n, 0) && value_content(n->in[0]) == 1 ? n->in[0]->content[0] : NULL;
    if (trips && (!dim_is_bounded(trips) || trips->hi == INT64_MAX)) trips = NULL;
    if (trips) t->most = trips = clamp_size(ctx, trips);
    if (!t->most && !(t->most = claimed_turns(t)) && ctx->opt.max_trip) t->most = dim_const(ctx, ctx->opt.max_trip);
    t->limit = t->most ? t->most->hi : LOOP_TURNS;
    *exact = trips && condition_known(node_in(n, 1), &goes) ? (goes ? trips : dim_const(ctx, 0)) : NULL;
    return true;
}

static Dim stacked_turns(Turns *t, int out, int rank, Dim exact) {
    if (exact && goes_on(t->body)) return exact;
    return data_dim(t->ctx, t->n, out, rank, 0, 0, t->most ? dim_const(t->ctx, t->most->hi) : NULL);
}

static bool read_loop(Turns *t) {
    Ctx *ctx = t->ctx;
    Node *n = t->n;
    Graph *bodies[MAX_BODIES];
    if (node_bodies(n, bodies) != 1) return fail(ctx, n, "its body is missing");
    t->body = bodies[0];
    t->carried = node_carried(n);
    t->in = t->given = 2;
    t->out = 1;
    if (t->carried < 0 || !infer_begin(ctx, n))
        return t->carried >= 0 || fail(ctx, n, "trip count and condition have no place");
    for (int i = 0; i < 2; i++)
        if (n->in[i] && (!need_dtype_is(ctx, n, i, i ? DT_BOOL : DT_I64) || !need_scalar(ctx, n, i))) return false;
    for (int i = 0; i < t->carried; i++)
        if (!n->in[2 + i]) return fail(ctx, n, "input %d is missing", 2 + i);
    if (t->body->n_outputs < 1 + t->carried)
        return fail(ctx, n, "its body gives %d outputs, a condition and %d values are carried", t->body->n_outputs,
                    t->carried);
    if (n->n_out > t->body->n_outputs - 1)
        return fail(ctx, n, "it has %d outputs, its body gives %d", n->n_out, t->body->n_outputs - 1);
    outputs_complete(n, t->body->n_outputs - 1);
    t->open = arena_array(ctx->arena, (size_t)t->carried + 1, sizeof *t->open);
    return body_fits(ctx, n, t->body, "body", n->n_in, n->n_out + 1);
}

bool infer_loop(Ctx *ctx, Node *n);
bool infer_loop(Ctx *ctx, Node *n) {
    Turns t = {.ctx = ctx, .n = n};
    Dim exact;
    if (!read_loop(&t) || !count_turns(&t, &exact)) return false;
    bool news = body_capture(n, t.body);
    news |= give_counter(&t, 0, DT_I64, turn_content(&t));
    news |= give_counter(&t, 1, DT_BOOL, NULL);
    if (!infer_carried(&t, news)) return false;
    const Type *cond = &t.body->outputs[0]->type;
    if (cond->dtype != DT_BOOL || cond->rank > 1) return fail(ctx, n, "the condition that its body gives is no bool");
    if (!set_carried(&t)) return false;
    for (int i = t.carried; i < n->n_out; i++) {
        Dim turns = n->out[i] ? stacked_turns(&t, i, t.body->outputs[1 + i]->type.rank + 1, exact) : dim_const(ctx, 0);
        if (!turns || !set_stacked(&t, i, 1 + i, 0, turns)) return false;
    }
    return true;
}

/* ---- Scan ---- */

static int64_t list_entry(const Node *n, const char *name, int i) {
    const int64_t *list;
    int count = node_ints(n, name, &list);
    return i < count ? list[i] : 0;
}

static bool check_list(Ctx *ctx, const Node *n, const char *name, int want) {
    const int64_t *list;
    int count = node_ints(n, name, &list);
    return !count || count == want || fail(ctx, n, "%s has %d entries, %d are needed", name, count, want);
}

static bool read_scan(Turns *t, int *scanned) {
    Ctx *ctx = t->ctx;
    Node *n = t->n;
    Graph *bodies[MAX_BODIES];
    int64_t count = node_int(n, "num_scan_inputs");
    if (node_bodies(n, bodies) != 1) return fail(ctx, n, "its body is missing");
    t->body = bodies[0];
    if (count < 1 || count > n->n_in - n->n_captured) return fail(ctx, n, "num_scan_inputs is %lld", (long long)count);
    *scanned = (int)count;
    t->carried = node_carried(n);
    for (int i = 0; i < n->n_in; i++)
        if (!n->in[i]) return fail(ctx, n, "input %d is missing", i);
    int stacked = t->body->n_outputs - t->carried;
    if (stacked < 0 || n->n_out > t->body->n_outputs)
        return fail(ctx, n, "its body gives %d outputs, there are %d states and %d outputs", t->body->n_outputs,
                    t->carried, n->n_out);
    outputs_complete(n, t->body->n_outputs);
    t->open = arena_array(ctx->arena, (size_t)t->carried + 1, sizeof *t->open);
    return infer_begin(ctx, n) && check_list(ctx, n, "scan_input_axes", *scanned) &&
           check_list(ctx, n, "scan_input_directions", *scanned) && check_list(ctx, n, "scan_output_axes", stacked) &&
           check_list(ctx, n, "scan_output_directions", stacked) &&
           body_fits(ctx, n, t->body, "body", n->n_in, n->n_out);
}

/* A slice of input `in`: without the axis that is scanned, whose size is that of all others */
static bool give_slice(Turns *t, int in, int scanned, Dim *turns, bool *news) {
    Type type = t->n->in[in]->type;
    int axis;
    if (type.rank < 1) return fail(t->ctx, t->n, "input %d has no axis to scan", in);
    if (!read_axis(t->ctx, t->n, list_entry(t->n, "scan_input_axes", scanned), type.rank, &axis)) return false;
    if (axis) return fail(t->ctx, t->n, "input %d is scanned along axis %d, which is not supported", in, axis);
    if (dtype_bits(type.dtype) < 8)
        return fail(t->ctx, t->n, "input %d scans %s, which is not supported", in, dtype_name(type.dtype));
    *turns =
        *turns ? equal_dims(t->ctx, t->n, *turns, type.dims[axis], "the lengths of what is scanned") : type.dims[axis];
    for (int k = axis; k + 1 < type.rank; k++) type.dims[k] = type.dims[k + 1];
    type.dims[--type.rank] = NULL;
    *news |= body_give(t->body->inputs[in], &type, NULL);
    return *turns != NULL;
}

bool infer_scan(Ctx *ctx, Node *n);
bool infer_scan(Ctx *ctx, Node *n) {
    Turns t = {.ctx = ctx, .n = n};
    int scanned;
    Dim turns = NULL;
    if (!read_scan(&t, &scanned)) return false;
    bool news = body_capture(n, t.body);
    for (int i = 0; i < scanned; i++)
        if (!give_slice(&t, t.carried + i, i, &turns, &news)) return false;
    t.most = turns;
    if (!infer_carried(&t, news) || !set_carried(&t)) return false;
    for (int i = t.carried; i < n->n_out; i++)
        if (!set_stacked(&t, i, i, list_entry(n, "scan_output_axes", i - t.carried), turns)) return false;
    return true;
}
