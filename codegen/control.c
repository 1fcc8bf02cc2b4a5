/* If, Loop, Scan as branches and loops around calls of the functions that their bodies are. What a loop carries is read
 * where the turn before wrote it: the first turn where it lies, the others in one of two places of the node's scratch
 * memory. Trips are counted against a bound, dims that change from turn to turn against theirs, before anything is
 * written beyond. */
#include "codegen/body.h"

typedef struct Control {
    Body *s;
    Gen *g;
    const Node *n;
    LLVMValueRef workspace; /* the node's scratch memory */
} Control;

static LLVMBasicBlockRef block_new(Control *c) { return LLVMAppendBasicBlockInContext(c->g->llvm, c->s->fn, ""); }
static LLVMBasicBlockRef here(Control *c) { return LLVMGetInsertBlock(c->s->b); }
static void go_on(Control *c, LLVMBasicBlockRef b) { LLVMPositionBuilderAtEnd(c->s->b, b); }

static LLVMValueRef at(Control *c, LLVMValueRef base, int64_t bytes) {
    return gen_offset(c->g, c->s->b, base, gen_i64(c->g, bytes));
}

static Control control_of(Body *s, const Node *n) {
    Control c = {.s = s, .g = s->g, .n = n, .workspace = s->workspace};
    size_t scratch = s->g->plan.scratch[n->id];
    if (scratch != NO_SCRATCH) c.workspace = at(&c, s->workspace, (int64_t)scratch);
    return c;
}

static LLVMValueRef output_place(Control *c, int i) {
    const Value *v = c->n->out[i];
    return v ? body_place(c->s, v) : at(c, c->workspace, (int64_t)c->g->plan.control[c->n->id]->unread[i]);
}

/* where the body writes the dims of each output that depend on data */
static LLVMValueRef *dims_places(Control *c, const Graph *body) {
    LLVMValueRef *dims = ARENA_ARRAY(c->g->ctx->arena, body->n_outputs, LLVMValueRef);
    for (int i = 0; i < body->n_outputs; i++)
        if (output_has_data_dims(body->outputs[i]))
            dims[i] = gen_alloca(c->g, c->s->b, LLVMArrayType2(c->g->i64, MCC_MAX_RANK), 8);
    return dims;
}

/* after the call */
static LLVMValueRef given_dim(Control *c, const Graph *body, LLVMValueRef *dims, int out, int axis) {
    if (!dims[out]) return body_dim(c->s, body->outputs[out]->type.dims[axis]);
    return LLVMBuildLoad2(c->s->b, c->g->i64, at(c, dims[out], axis * 8), "");
}

static bool is_own(const Node *n, Dim d) { return d->kind == DIM_SYMBOL && d->node == n; }

static void require_bound(Control *c, LLVMValueRef v, Dim d) {
    gen_require(c->g, c->s->b, LLVMBuildICmp(c->s->b, LLVMIntULE, v, gen_i64(c->g, d->hi), ""),
                gen_i32(c->g, MCC_E_INDEX));
}

/* ---- If ---- */

typedef struct Told { /* a dim that only the branch tells */
    Dim dim;
    int out, axis;
    LLVMValueRef place;
} Told;

static Told *told_dims(Control *c, int *count) {
    Told *list = ARENA_ARRAY(c->g->ctx->arena, c->n->n_out * MCC_MAX_RANK, Told);
    *count = 0;
    for (int i = 0; i < c->n->n_out; i++)
        for (int d = 0; c->n->out[i] && d < c->n->out[i]->type.rank; d++) {
            Dim dim = c->n->out[i]->type.dims[d];
            if (is_own(c->n, dim)) list[(*count)++] = (Told){dim, i, d, gen_alloca(c->g, c->s->b, c->g->i64, 8)};
        }
    return list;
}

static bool run_branch(Control *c, const Graph *body, const Told *told, int n_told) {
    Body *s = c->s;
    if (body->refused) {
        LLVMBuildRet(s->b, gen_i32(c->g, MCC_E_SHAPE));
        go_on(c, block_new(c));
        return true;
    }
    LLVMValueRef fn = body_function(s, body, NULL, 0);
    if (!fn) return false;
    LLVMValueRef *in = ARENA_ARRAY(c->g->ctx->arena, body->n_inputs, LLVMValueRef),
                 *out = ARENA_ARRAY(c->g->ctx->arena, body->n_outputs, LLVMValueRef), *dims = dims_places(c, body);
    for (int i = 0; i < body->n_inputs; i++) in[i] = body_place(s, c->n->in[i + 1]);
    for (int i = 0; i < body->n_outputs; i++) out[i] = output_place(c, i);
    body_call(s, body, fn, in, out, dims, NULL, 0, c->workspace);
    for (int i = 0; i < n_told; i++) {
        LLVMValueRef v = given_dim(c, body, dims, told[i].out, told[i].axis);
        require_bound(c, v, told[i].dim);
        LLVMBuildStore(s->b, v, told[i].place);
    }
    return true;
}

static bool run_if(Control *c) {
    Graph *bodies[MAX_BODIES];
    Body *s = c->s;
    int n_told;
    const Told *told = told_dims(c, &n_told);
    node_bodies(c->n, bodies);
    LLVMBasicBlockRef branch[2] = {block_new(c), block_new(c)}, join = block_new(c);
    LLVMValueRef cond = LLVMBuildLoad2(s->b, c->g->i8, body_place(s, c->n->in[0]), "");
    LLVMBuildCondBr(s->b, LLVMBuildIsNotNull(s->b, cond, ""), branch[0], branch[1]);
    for (int i = 0; i < 2; i++) {
        go_on(c, branch[i]);
        if (!run_branch(c, bodies[i], told, n_told)) return false;
        LLVMBuildBr(s->b, join);
    }
    go_on(c, join);
    for (int i = 0; i < n_told; i++) body_define(s, told[i].dim, LLVMBuildLoad2(s->b, c->g->i64, told[i].place, ""));
    return true;
}

/* ---- Loop, Scan ---- */

typedef struct Changing { /* a dim that a turn leaves to the next; or that the first tells of what is stacked, and the
                             others repeat */
    Dim dim;
    int value, axis; /* of carried value or output */
    LLVMValueRef now;
} Changing;

typedef struct Turns {
    const Graph *body;
    int in, out, carried; /* the body's first carried input, which is the node's too, its first such output, how many */
    const ControlPlace *place;
    LLVMValueRef fn, most, turn, going;
    LLVMValueRef *now, *dims; /* by carried value: where it lies; by output of the body */
    Changing *changing, *told;
    int n_changing, n_told;
    Symbol *symbols; /* the body's own: what changes, and the turn's number */
    int n_symbols;
} Turns;

static Dim turn_symbol(const Control *c, const Graph *body) {
    const Value *v = body->inputs[0];
    bool known = c->n->op == OP_Loop && value_content(v) == 1 && v->content[0];
    return known && is_own(c->n, v->content[0]) ? v->content[0] : NULL;
}

static void find_changing(Control *c, Turns *t) {
    t->changing = ARENA_ARRAY(c->g->ctx->arena, t->carried * MCC_MAX_RANK, Changing);
    for (int i = 0; i < t->carried; i++)
        for (int d = 0; d < t->body->inputs[t->in + i]->type.rank; d++) {
            Dim dim = t->body->inputs[t->in + i]->type.dims[d];
            if (is_own(c->n, dim)) t->changing[t->n_changing++] = (Changing){.dim = dim, .value = i, .axis = d};
        }
}

static void find_told(Control *c, Turns *t) {
    const Node *n = c->n;
    t->told = ARENA_ARRAY(c->g->ctx->arena, (n->n_out + 1) * MCC_MAX_RANK, Changing);
    for (int i = t->carried; i < n->n_out; i++)
        for (int d = 1; n->out[i] && d < n->out[i]->type.rank; d++) {
            Dim dim = n->out[i]->type.dims[d];
            if (is_own(n, dim)) t->told[t->n_told++] = (Changing){.dim = dim, .value = i, .axis = d};
        }
}

static void begin_turns(Control *c, Turns *t) {
    Body *s = c->s;
    Gen *g = c->g;
    const Node *n = c->n;
    t->going = LLVMConstInt(g->i1, 1, 0);
    if (n->op == OP_Scan) {
        t->most = body_dim(s, n->in[t->carried]->type.dims[0]);
        return;
    }
    t->most = n->in[0] ? LLVMBuildLoad2(s->b, g->i64, body_place(s, n->in[0]), "") : gen_i64(g, INT64_MAX);
    if (n->in[0]) LLVMSetAlignment(t->most, 1);
    if (n->in[1]) t->going = LLVMBuildIsNotNull(s->b, LLVMBuildLoad2(s->b, g->i8, body_place(s, n->in[1]), ""), "");
    LLVMBuildStore(s->b, LLVMConstInt(g->i8, 1, 0), at(c, c->workspace, (int64_t)t->place->cond));
}

/* a value that turns change */
static LLVMValueRef join(Control *c, LLVMValueRef first) { return LLVMBuildPhi(c->s->b, LLVMTypeOf(first), ""); }

static void add_incoming(LLVMValueRef phi, LLVMValueRef v, LLVMBasicBlockRef from) {
    LLVMAddIncoming(phi, &v, &from, 1);
}

/* slice number `turn` of what lies at `base`, of the size of v */
static LLVMValueRef slice_at(Control *c, LLVMValueRef base, LLVMValueRef turn, const Value *v) {
    return gen_offset(c->g, c->s->b, base, LLVMBuildMul(c->s->b, turn, body_bytes(c->s, v), ""));
}

/* the same of what output v stacks, which knows more of the size than the body's value does */
static LLVMValueRef share_at(Control *c, LLVMValueRef base, LLVMValueRef turn, const Value *v) {
    Body *s = c->s;
    LLVMValueRef count = gen_i64(c->g, 1);
    for (int i = 1; i < v->type.rank; i++) count = LLVMBuildMul(s->b, count, body_dim(s, v->type.dims[i]), "");
    return gen_offset(c->g, s->b, base, LLVMBuildMul(s->b, turn, gen_byte_count(c->g, s->b, v->type.dtype, count), ""));
}

static LLVMValueRef slice_number(Control *c, const Turns *t, const char *directions, int i) {
    const int64_t *list;
    int count = c->n->op == OP_Scan ? node_ints(c->n, directions, &list) : 0;
    if (i >= count || !list[i]) return t->turn;
    LLVMValueRef last = LLVMBuildSub(c->s->b, t->most, gen_i64(c->g, 1), "");
    return LLVMBuildSub(c->s->b, last, t->turn, "");
}

static LLVMValueRef *turn_inputs(Control *c, Turns *t) {
    const Node *n = c->n;
    LLVMValueRef *in = ARENA_ARRAY(c->g->ctx->arena, t->body->n_inputs, LLVMValueRef);
    if (n->op == OP_Loop) {
        in[0] = at(c, c->workspace, (int64_t)t->place->turn);
        in[1] = at(c, c->workspace, (int64_t)t->place->cond);
        LLVMBuildStore(c->s->b, t->turn, in[0]);
    }
    for (int i = 0; i < t->carried; i++) in[t->in + i] = t->now[i];
    for (int i = t->in + t->carried; i < n->n_in; i++) {
        in[i] = body_place(c->s, n->in[i]);
        if (i >= n->n_in - n->n_captured) continue;
        LLVMValueRef number = slice_number(c, t, "scan_input_directions", i - t->carried);
        in[i] = slice_at(c, in[i], number, t->body->inputs[i]);
    }
    return in;
}

/* the place of a carried value that the turn does not read */
static LLVMValueRef other_place(Control *c, const Turns *t, int i) {
    LLVMValueRef odd = LLVMBuildTrunc(c->s->b, t->turn, c->g->i1, "");
    return LLVMBuildSelect(c->s->b, odd, at(c, c->workspace, (int64_t)t->place->carried[2 * i + 1]),
                           at(c, c->workspace, (int64_t)t->place->carried[2 * i]), "");
}

static LLVMValueRef *turn_outputs(Control *c, Turns *t) {
    LLVMValueRef *out = ARENA_ARRAY(c->g->ctx->arena, t->body->n_outputs, LLVMValueRef);
    if (c->n->op == OP_Loop) out[0] = at(c, c->workspace, (int64_t)t->place->cond + 1);
    for (int i = 0; i < t->carried; i++) out[t->out + i] = other_place(c, t, i);
    for (int i = t->carried; i < c->n->n_out; i++) {
        LLVMValueRef number = slice_number(c, t, "scan_output_directions", i - t->carried), place = output_place(c, i);
        out[t->out + i] = c->n->out[i] ? share_at(c, place, number, c->n->out[i]) : place;
    }
    return out;
}

static void require_turn(Control *c, const Turns *t) {
    if (c->n->op != OP_Loop) return;
    LLVMValueRef fits = LLVMBuildICmp(c->s->b, LLVMIntSLT, t->turn, gen_i64(c->g, node_most_turns(c->n)), "");
    gen_require(c->g, c->s->b, fits, gen_i32(c->g, MCC_E_TRIP));
}

/* what all turns but the first have to repeat */
static LLVMValueRef repeated_dim(Control *c, const Turns *t, const Changing *told) {
    LLVMBuilderRef b = c->s->b;
    LLVMValueRef v = given_dim(c, t->body, t->dims, t->out + told->value, told->axis - 1);
    require_bound(c, v, told->dim);
    LLVMValueRef first = LLVMBuildICmp(b, LLVMIntEQ, t->turn, gen_i64(c->g, 0), "");
    LLVMValueRef fits = LLVMBuildOr(b, first, LLVMBuildICmp(b, LLVMIntEQ, v, told->now, ""), "");
    gen_require(c->g, b, fits, gen_i32(c->g, MCC_E_SHAPE));
    return v;
}

/* Output i, stacked backwards: the first turn wrote it in front, not knowing its size, and it goes to its place behind
 * the others'. */
static void move_first(Control *c, const Turns *t, int i, LLVMValueRef const *told) {
    const Value *v = c->n->out[i];
    Body *s = c->s;
    LLVMBuilderRef b = s->b;
    LLVMValueRef zero = gen_i64(c->g, 0), number = slice_number(c, t, "scan_output_directions", i - t->carried);
    LLVMValueRef count = gen_i64(c->g, 1);
    bool any = false;
    for (int d = 1; d < v->type.rank; d++) {
        LLVMValueRef size = NULL;
        for (int k = 0; k < t->n_told; k++)
            if (t->told[k].dim == v->type.dims[d]) size = told[k];
        any = any || size;
        count = LLVMBuildMul(b, count, size ? size : body_dim(s, v->type.dims[d]), "");
    }
    if (!any || number == t->turn) return;
    LLVMValueRef first = LLVMBuildICmp(b, LLVMIntEQ, t->turn, zero, ""),
                 moves = LLVMBuildICmp(b, LLVMIntSGT, number, zero, "");
    LLVMValueRef bytes = gen_byte_count(c->g, b, v->type.dtype, count), from = output_place(c, i);
    bytes = LLVMBuildSelect(b, LLVMBuildAnd(b, first, moves, ""), bytes, zero, "");
    body_copy(s, gen_offset(c->g, b, from, LLVMBuildMul(b, number, bytes, "")), from, bytes);
}

/* One turn; what it leaves to the next goes into the phis. */
static void run_turn(Control *c, Turns *t, LLVMBasicBlockRef head) {
    Body *s = c->s;
    require_turn(c, t);
    LLVMValueRef *in = turn_inputs(c, t), *out = turn_outputs(c, t);
    body_call(s, t->body, t->fn, in, out, t->dims, t->symbols, t->n_symbols, c->workspace);
    LLVMValueRef going = t->going, *next = ARENA_ARRAY(c->g->ctx->arena, t->n_changing, LLVMValueRef),
                 *told = ARENA_ARRAY(c->g->ctx->arena, t->n_told, LLVMValueRef);
    if (c->n->op == OP_Loop) going = LLVMBuildIsNotNull(s->b, LLVMBuildLoad2(s->b, c->g->i8, out[0], ""), "");
    for (int i = 0; i < t->n_changing; i++) {
        next[i] = given_dim(c, t->body, t->dims, t->out + t->changing[i].value, t->changing[i].axis);
        require_bound(c, next[i], t->changing[i].dim);
    }
    for (int i = 0; i < t->n_told; i++) told[i] = repeated_dim(c, t, &t->told[i]);
    for (int i = t->carried; i < c->n->n_out; i++)
        if (c->n->out[i]) move_first(c, t, i, told);
    LLVMBasicBlockRef end = here(c);
    add_incoming(t->turn, LLVMBuildAdd(s->b, t->turn, gen_i64(c->g, 1), ""), end);
    add_incoming(t->going, going, end);
    for (int i = 0; i < t->carried; i++) add_incoming(t->now[i], out[t->out + i], end);
    for (int i = 0; i < t->n_changing; i++) add_incoming(t->changing[i].now, next[i], end);
    for (int i = 0; i < t->n_told; i++) add_incoming(t->told[i].now, told[i], end);
    LLVMBuildBr(s->b, head);
}

/* the loop's head: everything that changes as a phi, begun with what there is before the first turn */
static void open_turns(Control *c, Turns *t, LLVMBasicBlockRef head) {
    Body *s = c->s;
    LLVMBasicBlockRef before = here(c);
    LLVMValueRef first_going = t->going, *places = ARENA_ARRAY(c->g->ctx->arena, t->carried, LLVMValueRef),
                 *sizes = ARENA_ARRAY(c->g->ctx->arena, t->n_changing, LLVMValueRef);
    for (int i = 0; i < t->carried; i++) places[i] = body_place(s, c->n->in[t->in + i]);
    for (int i = 0; i < t->n_changing; i++)
        sizes[i] = body_dim(s, c->n->in[t->in + t->changing[i].value]->type.dims[t->changing[i].axis]);
    LLVMBuildBr(s->b, head);
    go_on(c, head);
    t->turn = join(c, t->most);
    add_incoming(t->turn, gen_i64(c->g, 0), before);
    t->going = join(c, first_going);
    add_incoming(t->going, first_going, before);
    t->now = ARENA_ARRAY(c->g->ctx->arena, t->carried, LLVMValueRef);
    for (int i = 0; i < t->carried; i++) {
        t->now[i] = join(c, places[i]);
        add_incoming(t->now[i], places[i], before);
    }
    for (int i = 0; i < t->n_changing; i++) {
        t->changing[i].now = join(c, sizes[i]);
        add_incoming(t->changing[i].now, sizes[i], before);
        t->symbols[t->n_symbols++] = (Symbol){t->changing[i].dim, t->changing[i].now};
    }
    for (int i = 0; i < t->n_told; i++) {
        t->told[i].now = join(c, t->most);
        add_incoming(t->told[i].now, gen_i64(c->g, 0), before);
    }
    for (int i = 0; i < t->n_told; i++) body_define(s, t->told[i].dim, t->told[i].now);
    Dim turn = turn_symbol(c, t->body);
    if (turn) t->symbols[t->n_symbols++] = (Symbol){turn, t->turn};
}

/* what is known behind the loop: dims, and the values where the app or later nodes look for them */
static void close_turns(Control *c, Turns *t) {
    const Node *n = c->n;
    for (int i = 0; i < t->n_changing; i++) {
        const Value *v = n->out[t->changing[i].value];
        Dim d = v ? v->type.dims[t->changing[i].axis] : NULL;
        if (d && is_own(n, d)) body_define(c->s, d, t->changing[i].now);
    }
    for (int i = t->carried; i < n->n_out; i++) {
        Dim d = n->out[i] ? n->out[i]->type.dims[0] : NULL;
        if (d && is_own(n, d)) body_define(c->s, d, t->turn);
    }
    for (int i = 0; i < t->carried; i++)
        if (n->out[i]) body_copy(c->s, body_place(c->s, n->out[i]), t->now[i], body_bytes(c->s, n->out[i]));
}

static bool run_turns(Control *c) {
    Graph *bodies[MAX_BODIES];
    bool loop = c->n->op == OP_Loop;
    node_bodies(c->n, bodies);
    Turns t = {.body = bodies[0], .in = loop ? 2 : 0, .out = loop, .carried = node_carried(c->n)};
    t.place = c->g->plan.control[c->n->id];
    t.dims = dims_places(c, t.body);
    find_changing(c, &t);
    find_told(c, &t);
    t.symbols = ARENA_ARRAY(c->g->ctx->arena, t.n_changing + 1, Symbol);
    begin_turns(c, &t);
    LLVMBasicBlockRef head = block_new(c), work = block_new(c), end = block_new(c);
    open_turns(c, &t, head);
    LLVMValueRef more = LLVMBuildAnd(c->s->b, LLVMBuildICmp(c->s->b, LLVMIntSLT, t.turn, t.most, ""), t.going, "");
    LLVMBuildCondBr(c->s->b, more, work, end);
    go_on(c, work);
    if (!(t.fn = body_function(c->s, t.body, t.symbols, t.n_symbols))) return false;
    run_turn(c, &t, head);
    go_on(c, end);
    close_turns(c, &t);
    return true;
}

const Emitter control_emitter = {.form = "control"};

bool control_run(Body *s, const Node *n) {
    Control c = control_of(s, n);
    debug_at(s->g, s->b, s->fn, n);
    return n->op == OP_If ? run_if(&c) : run_turns(&c);
}
