/* mcc.Recurrent: the steps of an LSTM, GRU or RNN. A tile is some rows of the batch by some blocks of hidden units, all
 * gates of which are summed in registers, h·R' on top of what the product with X left, and go through the body there.
 * Two copies of h take turns. Every second step walks the panels of R backwards, so that what the caches still hold of
 * the step before is used first; the order within a sum stays. Threads share directions and rows of the batch, which
 * are independent; of a single row they share the panels of each step, a call of mcc_parallel_for each. */
#include "codegen/contract.h"

enum { X_SUMS, R_PACKED, LENS, INITIAL_H, INITIAL_C, CONSTANTS };
enum { Y, Y_H, Y_C };
enum { MAX_INPUTS = 9 };

typedef struct Steps {
    Kernel *k;
    const Cell *cell;
    int lanes, rows;
    Dtype half;                               /* of R, where that is not float32 */
    int64_t hidden, blocks, wide, directions; /* wide: a row of a state, whole blocks */
    const int64_t *units, *unroll;
    LLVMValueRef steps, batch;
    LLVMValueRef x_step, x_row, y_step, y_row, s_row,
        direction_step;       /* elements; direction_step: of Y and the states */
    LLVMValueRef h, c, reset; /* [2][B][wide], [B][wide], [B][wide] */
    int split;                /* chunks of a stage; 1: it is not cut */
    Range rows_here;          /* of the batch, that this chunk does */
    /* at hand */
    LLVMValueRef d, reverse, step, old, next; /* old, next: the copies of h */
} Steps;

typedef struct Row {           /* of the batch, at a step */
    LLVMValueRef x, y, active; /* y: NULL: not wanted; active: NULL: always */
} Row;

static LLVMValueRef i64(const Steps *s, int64_t v) { return gen_i64(s->k->gen, v); }
static LLVMValueRef size_of(const Steps *s, int64_t elements) {
    return LLVMConstInt(s->k->gen->size_type, (uint64_t)elements * 4, 0);
}
static LLVMValueRef select_value(const Steps *s, LLVMValueRef cond, LLVMValueRef yes, LLVMValueRef no) {
    return LLVMBuildSelect(s->k->b, cond, yes, no, "");
}

static LLVMValueRef is_odd(const Steps *s, LLVMValueRef v) { return LLVMBuildTrunc(s->k->b, v, s->k->gen->i1, ""); }

/* ---- rows ---- */

static LLVMValueRef length_of(const Steps *s, LLVMValueRef row) {
    Kernel *k = s->k;
    if (!k->in[LENS]) return s->steps;
    LLVMValueRef p = LLVMBuildInBoundsGEP2(k->b, k->gen->i32, k->in[LENS], &row, 1, "");
    LLVMValueRef v = LLVMBuildLoad2(k->b, k->gen->i32, p, "");
    LLVMSetAlignment(v, 4);
    return LLVMBuildSExt(k->b, v, k->gen->i64, "");
}

static void require_lengths(const Steps *s) {
    Kernel *k = s->k;
    if (!k->in[LENS]) return;
    For f = for_begin(k, i64(s, 0), s->batch, 1);
    LLVMValueRef fits = LLVMBuildICmp(k->b, LLVMIntULE, length_of(s, f.i), s->steps, "");
    gen_require(k->gen, k->b, fits, gen_i32(k->gen, MCC_E_INDEX));
    for_end(k, &f);
}

static LLVMValueRef active_at(const Steps *s, LLVMValueRef row) {
    return s->k->in[LENS] ? LLVMBuildICmp(s->k->b, LLVMIntSLT, s->step, length_of(s, row), "") : NULL;
}

static Row row_at(const Steps *s, LLVMValueRef row) {
    Kernel *k = s->k;
    Row r = {.active = active_at(s, row)};
    LLVMValueRef back = i_plus(k, i_sub(k, length_of(s, row), s->step), -1), turned = s->reverse;
    if (r.active) turned = LLVMBuildAnd(k->b, turned, r.active, "");
    LLVMValueRef t = select_value(s, turned, back, s->step);
    LLVMValueRef x = i_add(k, i_mul(k, t, s->x_step), i_mul(k, row, s->x_row));
    r.x = f32_at(k, f32_at(k, k->in[X_SUMS], x), i_scale(k, s->d, s->wide * s->cell->gates));
    if (!k->out[Y]) return r;
    LLVMValueRef y = i_add(k, i_mul(k, t, s->y_step), i_mul(k, row, s->y_row));
    r.y = f32_at(k, f32_at(k, k->out[Y], y), i_mul(k, s->d, s->direction_step));
    return r;
}

static LLVMValueRef state_row(const Steps *s, LLVMValueRef state, LLVMValueRef row) {
    return f32_at(s->k, state, i_scale(s->k, row, s->wide));
}

/* R from an element on */
static LLVMValueRef weights_at(const Steps *s, LLVMValueRef base, LLVMValueRef elements) {
    const Gen *g = s->k->gen;
    return element_at(s->k, s->half ? g->i16 : g->f32, base, elements);
}

/* ---- a tile ---- */

typedef struct Place { /* some blocks of units of some rows */
    const CellStage *stage;
    int rows, units;
    LLVMValueRef row, block, w; /* the first ones; w: R for these blocks */
    Row at[TILE_MAX];
    Tile sums[2];
} Place;

static LLVMValueRef load(const Steps *s, LLVMValueRef base, LLVMValueRef offset) {
    return vec_load(s->k, f32_at(s->k, base, offset), s->lanes, 4);
}

/* where unit block `unit` of the tile begins among rows of a state */
static LLVMValueRef unit_at(const Steps *s, const Place *p, int unit) {
    return i_scale(s->k, i_plus(s->k, p->block, unit), s->lanes);
}

static LLVMValueRef x_sum(const Steps *s, const Place *p, int row, int unit, int gate) {
    LLVMValueRef at = i_scale(s->k, i_plus(s->k, p->block, unit), (int64_t)s->cell->gates * s->lanes);
    return load(s, p->at[row].x, i_plus(s->k, at, (int64_t)gate * s->lanes));
}

/* constant number i of n by unit */
static LLVMValueRef unit_constant(const Steps *s, const Place *p, int unit, int i, int n) {
    LLVMValueRef at = i_plus(s->k, i_scale(s->k, s->d, n * s->wide), i * s->wide);
    return load(s, s->k->in[CONSTANTS], i_add(s->k, at, unit_at(s, p, unit)));
}

static LLVMValueRef first_sum(const Steps *s, const Place *p, int row, int unit, int gate) {
    if (gate != s->cell->apart) return x_sum(s, p, row, unit, gate);
    if (!s->k->in[CONSTANTS]) return LLVMConstNull(vec_type(s->k->gen, s->lanes));
    return unit_constant(s, p, unit, 0, 1);
}

static void sum_part(Steps *s, Place *p, int part, int64_t unroll) {
    Kernel *k = s->k;
    const CellPart *c = &p->stage->parts[part];
    Tile *t = &p->sums[part];
    tile_begin(t, k, p->rows, p->units * c->n_gates, s->lanes);
    for (int r = 0; r < p->rows; r++)
        for (int u = 0; u < p->units; u++)
            for (int g = 0; g < c->n_gates; g++) tile_put(t, r, u * c->n_gates + g, first_sum(s, p, r, u, c->gates[g]));
    int64_t next = (int64_t)t->vecs * s->lanes;
    TileSteps steps = {.a = state_row(s, c->reset ? s->reset : s->old, p->row),
                       .row = i64(s, s->wide),
                       .b = p->w,
                       .next = i64(s, next),
                       .count = i64(s, s->hidden),
                       .inner = 1,
                       .half = s->half,
                       .b_align = (unsigned)s->lanes * (s->half ? 2 : 4),
                       .unroll = (int)unroll,
                       .mask = (uint32_t)((1ull << p->rows) - 1),
                       .order_rows = (int)node_int(k->node, "rows")}; /* s->rows depends on the number of threads */
    tile_steps(t, &steps);
    p->w = weights_at(s, p->w, i64(s, next * s->hidden));
}

/* the body's inputs for one block of one row; sums of other stages are not used in this one */
static void fill_inputs(const Steps *s, const Place *p, int row, int unit, LLVMValueRef *in) {
    Kernel *k = s->k;
    const Cell *c = s->cell;
    int n = 0, wanted = k->node->body->n_inputs;
    LLVMValueRef at = unit_at(s, p, unit), b = i_plus(k, p->row, row);
    for (; n < c->gates; n++) in[n] = LLVMGetPoison(vec_type(k->gen, s->lanes));
    for (int part = 0; part < p->stage->n_parts; part++) {
        const CellPart *q = &p->stage->parts[part];
        for (int g = 0; g < q->n_gates; g++) in[q->gates[g]] = tile_get(&p->sums[part], row, unit * q->n_gates + g);
    }
    in[n++] = load(s, state_row(s, s->old, b), at);
    if (c->carries) in[n++] = load(s, state_row(s, s->c, b), at);
    if (c->apart >= 0) in[n++] = x_sum(s, p, row, unit, c->apart);
    for (int i = 0, constants = wanted - n; i < constants; i++) in[n++] = unit_constant(s, p, unit, i, constants);
}

/* a row whose steps are over keeps its state, and leaves zeros in Y */
static void store_state(const Steps *s, const Row *r, LLVMValueRef value, LLVMValueRef old, LLVMValueRef p) {
    vec_store(s->k, r->active ? select_value(s, r->active, value, old) : value, p, 4);
}

static void finish_block(Steps *s, Place *p, int row, int unit, bool last) {
    Kernel *k = s->k;
    LLVMValueRef in[MAX_INPUTS], out[2], at = unit_at(s, p, unit), b = i_plus(k, p->row, row);
    const Row *r = &p->at[row];
    fill_inputs(s, p, row, unit, in);
    body_outputs(k, k->node->body, in, s->lanes, out);
    if (!last) {
        vec_store(k, out[0], f32_at(k, state_row(s, s->reset, b), at), 4);
        return;
    }
    LLVMValueRef h = out[s->cell->n_stages - 1];
    store_state(s, r, h, in[s->cell->gates], f32_at(k, state_row(s, s->next, b), at));
    if (s->cell->carries) store_state(s, r, out[1], in[s->cell->gates + 1], f32_at(k, state_row(s, s->c, b), at));
    if (!r->y || s->wide != s->hidden) return;
    LLVMValueRef none = LLVMConstNull(vec_type(k->gen, s->lanes));
    store_state(s, r, h, none, f32_at(k, r->y, at));
}

static void emit_tile(Steps *s, int stage, int units, int rows, LLVMValueRef row, LLVMValueRef block, LLVMValueRef w) {
    Place p = {.stage = &s->cell->stages[stage], .rows = rows, .units = units, .row = row, .block = block, .w = w};
    for (int r = 0; r < rows; r++) p.at[r] = row_at(s, i_plus(s->k, row, r));
    for (int part = 0; part < p.stage->n_parts; part++) sum_part(s, &p, part, s->unroll[stage]);
    for (int r = 0; r < rows; r++)
        for (int u = 0; u < units; u++) finish_block(s, &p, r, u, stage == s->cell->n_stages - 1);
}

/* ---- a step ---- */

/* all rows of the chunk for `units` blocks */
static void emit_rows(Steps *s, int stage, int units, LLVMValueRef block, LLVMValueRef w) {
    Kernel *k = s->k;
    LLVMValueRef from = s->rows_here.from, to = s->rows_here.to, whole = from;
    int64_t batch, known = i_is_const(s->rows_here.to, &batch);
    if (s->rows > 1) {
        LLVMValueRef tiles = i_div(k, i_sub(k, to, from), s->rows);
        whole = known ? i64(s, batch / s->rows * s->rows) : i_add(k, from, i_scale(k, tiles, s->rows));
        For f = for_begin(k, from, whole, s->rows);
        emit_tile(s, stage, units, s->rows, f.i, block, w);
        for_end(k, &f);
    }
    if (known && s->rows > 1) {
        if (batch % s->rows) emit_tile(s, stage, units, (int)(batch % s->rows), whole, block, w);
        return;
    }
    For f = for_begin(k, whole, to, 1);
    emit_tile(s, stage, units, 1, f.i, block, w);
    for_end(k, &f);
}

/* Panels of units[stage] blocks, every second step from the last to the first, then the panel of what is left */
static void emit_stage(Steps *s, int stage) {
    Kernel *k = s->k;
    const CellStage *all = s->cell->stages;
    int64_t units = s->units[stage], full = s->blocks / units, left = s->blocks % units, before = 0;
    int64_t panel = units * all[stage].n_gates * s->lanes * s->hidden, row = s->wide * s->hidden;
    for (int i = 0; i < stage; i++) before += all[i].n_gates * row;
    LLVMValueRef w = weights_at(s, k->in[R_PACKED], i_plus(k, i_scale(k, s->d, s->cell->gates * row), before));
    Range own = kernel_share(k, i64(s, full + (left > 0)), 1, s->split);
    LLVMValueRef end = i_min(k, own.to, i64(s, full)), last = i_plus(k, i_add(k, own.from, end), -1);
    if (full) {
        For f = for_begin(k, own.from, end, 1);
        LLVMValueRef p = full == 1 ? f.i : select_value(s, is_odd(s, s->step), i_sub(k, last, f.i), f.i);
        emit_rows(s, stage, (int)units, i_scale(k, p, units), weights_at(s, w, i_scale(k, p, panel)));
        for_end(k, &f);
    }
    if (!left) return;
    If mine = {0};
    if (s->split > 1) mine = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSGT, own.to, i64(s, full), ""));
    emit_rows(s, stage, (int)left, i64(s, full * units), weights_at(s, w, i64(s, full * panel)));
    if (s->split > 1) if_end(k, &mine);
}

static void copy_row(const Steps *s, LLVMValueRef to, LLVMValueRef from) {
    LLVMBuildMemCpy(s->k->b, to, 4, from, 4, size_of(s, s->hidden));
}
static void clear(const Steps *s, LLVMValueRef to, int64_t elements) {
    LLVMBuildMemSet(s->k->b, to, LLVMConstNull(s->k->gen->i8), size_of(s, elements), 4);
}

/* the step's h to Y, where tiles could not store it: rows end inside of a block */
static void copy_output(Steps *s) {
    Kernel *k = s->k;
    if (!k->out[Y] || s->wide == s->hidden) return;
    For f = for_begin(k, s->rows_here.from, s->rows_here.to, 1);
    Row r = row_at(s, f.i);
    If active = {0};
    if (r.active) active = if_begin(k, r.active);
    copy_row(s, r.y, state_row(s, s->next, f.i));
    if (r.active) {
        if_else(k, &active);
        clear(s, r.y, s->hidden);
        if_end(k, &active);
    }
    for_end(k, &f);
}

static void choose_copies(Steps *s) {
    LLVMValueRef second = f32_at(s->k, s->h, i_scale(s->k, s->batch, s->wide)), odd = is_odd(s, s->step);
    s->old = select_value(s, odd, second, s->h);
    s->next = select_value(s, odd, s->h, second);
}

static void call_stage(Steps *s, int stage);

static void emit_step(Steps *s) {
    choose_copies(s);
    for (int stage = 0; stage < s->cell->n_stages; stage++) {
        if (s->split > 1) call_stage(s, stage);
        else emit_stage(s, stage);
    }
    copy_output(s);
}

/* ---- a direction ---- */

static LLVMValueRef outer_state(const Steps *s, LLVMValueRef base, LLVMValueRef row) {
    Kernel *k = s->k;
    return f32_at(k, base, i_add(k, i_mul(k, s->d, s->direction_step), i_mul(k, row, s->s_row)));
}

/* zeros in rows that have no steps, or no initial state */
static void begin_state(const Steps *s, LLVMValueRef row, LLVMValueRef state, LLVMValueRef initial) {
    Kernel *k = s->k;
    clear(s, state_row(s, state, row), s->wide);
    if (!initial) return;
    LLVMValueRef some = LLVMBuildICmp(k->b, LLVMIntSGT, length_of(s, row), i64(s, 0), "");
    If f = {0};
    if (k->in[LENS]) f = if_begin(k, some);
    copy_row(s, state_row(s, state, row), outer_state(s, initial, row));
    if (k->in[LENS]) if_end(k, &f);
}

static void emit_direction(Steps *s) {
    Kernel *k = s->k;
    For begin = for_begin(k, s->rows_here.from, s->rows_here.to, 1);
    begin_state(s, begin.i, s->h, k->in[INITIAL_H]);
    if (s->cell->carries) begin_state(s, begin.i, s->c, k->in[INITIAL_C]);
    for_end(k, &begin);
    For f = for_begin(k, i64(s, 0), s->steps, 1);
    s->step = f.i;
    emit_step(s);
    for_end(k, &f);
    LLVMValueRef last = select_value(s, is_odd(s, s->steps), f32_at(k, s->h, i_scale(k, s->batch, s->wide)), s->h);
    LLVMValueRef y_c = k->node->n_out > Y_C ? k->out[Y_C] : NULL, y_h = k->node->n_out > Y_H ? k->out[Y_H] : NULL;
    For end = for_begin(k, s->rows_here.from, s->rows_here.to, 1);
    if (y_h) copy_row(s, outer_state(s, y_h, end.i), state_row(s, last, end.i));
    if (y_c) copy_row(s, outer_state(s, y_c, end.i), state_row(s, s->c, end.i));
    for_end(k, &end);
}

/* ---- the kernel ---- */

static int64_t wide_of(const Node *n) {
    int64_t lanes = node_int(n, "lanes");
    return (node_int(n, "hidden") + lanes - 1) / lanes * lanes;
}

static void read_node(Steps *s, Kernel *k) {
    const Node *n = k->node;
    bool batch_first = node_int(n, "layout") == 1;
    const Dim *x = n->in[X_SUMS]->type.dims;
    *s = (Steps){.k = k, .cell = cell_of((CellKind)node_int(n, "cell")), .hidden = node_int(n, "hidden")};
    Dtype weights = n->in[R_PACKED]->type.dtype;
    s->half = weights == DT_F32 ? (Dtype)0 : weights;
    s->lanes = (int)node_int(n, "lanes");
    s->rows = (int)node_int(n, "rows");
    s->wide = wide_of(n);
    s->blocks = s->wide / s->lanes;
    s->directions = node_enum(n, "direction") == 2 ? 2 : 1;
    node_ints(n, "units", &s->units);
    node_ints(n, "unroll", &s->unroll);
    s->steps = kernel_dim(k, x[batch_first]);
    s->batch = kernel_dim(k, x[!batch_first]);
    s->rows_here = (Range){i64(s, 0), s->batch};
    int64_t sums = s->directions * s->wide * s->cell->gates, all = s->directions * s->hidden;
    s->x_step = batch_first ? i64(s, sums) : i_scale(k, s->batch, sums);
    s->x_row = batch_first ? i_scale(k, s->steps, sums) : i64(s, sums);
    s->direction_step = batch_first ? i64(s, s->hidden) : i_scale(k, s->batch, s->hidden);
    s->y_step = batch_first ? i64(s, all) : i_scale(k, s->batch, all);
    s->y_row = batch_first ? i_scale(k, s->steps, all) : i64(s, s->hidden);
    s->s_row = batch_first ? i64(s, all) : i64(s, s->hidden);
}

static void fill_states(Steps *s) {
    Kernel *k = s->k;
    s->h = k->scratch;
    s->reset = s->c = f32_at(k, s->h, i_scale(k, i_scale(k, s->batch, s->wide), 2)); /* no cell has both */
}

static void begin_direction(Steps *s, LLVMValueRef d) {
    Kernel *k = s->k;
    s->d = d;
    s->reverse = s->directions == 2 ? LLVMBuildICmp(k->b, LLVMIntEQ, d, i64(s, 1), "")
                                    : LLVMConstInt(k->gen->i1, node_enum(k->node, "direction") == 1, 0);
}

/* ---- threads ---- */

static double step_work(const Node *n) { /* of one row: multiplications of vectors */
    double hidden = (double)node_int(n, "hidden"), lanes = (double)node_int(n, "lanes");
    return cell_of((CellKind)node_int(n, "cell"))->gates * (double)wide_of(n) / lanes * hidden;
}

static int64_t known_batch(const Node *n) { /* 1: not known */
    int64_t batch;
    return dim_is_const(n->in[X_SUMS]->type.dims[node_int(n, "layout") != 1], &batch) ? batch : 1;
}

/* how many independent parts there are: directions, and rows of the batch, two of which share what is loaded of R */
static int64_t parts_of(const Node *n) {
    int64_t pairs = known_batch(n) / 2;
    return (node_enum(n, "direction") == 2 ? 2 : 1) * (pairs > 1 ? pairs : 1);
}

/* what whole chunks share. A chunk returns no status: lengths are not checked in one */
static double work(const Node *n) {
    double steps = (double)n->in[X_SUMS]->type.dims[node_int(n, "layout") == 1]->hi;
    return parts_of(n) > 1 && !n->in[LENS] ? (double)parts_of(n) * steps * step_work(n) : 0;
}

static int split_of(const Kernel *k) {
    enum { MOST = 8, OPERATIONS = 7000 /* on vectors: what a call of mcc_parallel_for is worth */ };
    const CodeOptions *o = k->gen->opt;
    int most = o->max_threads < MOST ? o->max_threads : MOST, n = 1;
    if (k->chunks > 1 || most < 2) return 1;
    double all = step_work(k->node) * (double)known_batch(k->node);
    while (n * 2 <= most && (o->cut_always || all >= 2.0 * n * OPERATIONS)) n *= 2;
    return n;
}

/* A stage of a step as a function of its own: the kernel's parameters, the step, the direction, the chunk. */
static LLVMValueRef stage_function(Steps *s, int stage, LLVMTypeRef *type) {
    Gen *g = s->k->gen;
    const Node *n = s->k->node;
    unsigned params = LLVMCountParams(s->k->fn), at = 0;
    LLVMTypeRef *types = ARENA_ARRAY(g->ctx->arena, params + 3, LLVMTypeRef);
    for (; at < params; at++) types[at] = LLVMTypeOf(LLVMGetParam(s->k->fn, at));
    for (; at < params + 3; at++) types[at] = g->i64;
    *type = LLVMFunctionType(g->i32, types, at, 0);
    Kernel k = *s->k;
    k.fn = LLVMAddFunction(g->module, "stage", *type);
    LLVMSetLinkage(k.fn, LLVMInternalLinkage);
    gen_function_attrs(g, k.fn);
    k.b = LLVMCreateBuilderInContext(g->llvm);
    LLVMPositionBuilderAtEnd(k.b, LLVMAppendBasicBlockInContext(g->llvm, k.fn, "entry"));
    k.in = ARENA_ARRAY(g->ctx->arena, n->n_in, LLVMValueRef);
    k.out = ARENA_ARRAY(g->ctx->arena, n->n_out, LLVMValueRef);
    k.symbols = ARENA_ARRAY(g->ctx->arena, k.n_symbols, Symbol);
    at = 0;
    for (int i = 0; i < n->n_in; i++, at++) k.in[i] = n->in[i] ? LLVMGetParam(k.fn, at) : NULL;
    for (int i = 0; i < n->n_out; i++, at++) k.out[i] = n->out[i] ? LLVMGetParam(k.fn, at) : NULL;
    k.scratch = LLVMGetParam(k.fn, at++);
    for (unsigned i = 0; i < at; i++) gen_attr(g, k.fn, i + 1, "noalias", 0);
    for (int i = 0; i < k.n_symbols; i++) k.symbols[i] = (Symbol){s->k->symbols[i].dim, LLVMGetParam(k.fn, at++)};
    Steps own;
    read_node(&own, &k);
    fill_states(&own);
    own.split = s->split;
    own.step = LLVMGetParam(k.fn, at++);
    begin_direction(&own, LLVMGetParam(k.fn, at++));
    k.chunk = LLVMGetParam(k.fn, at);
    choose_copies(&own);
    emit_stage(&own, stage);
    LLVMBuildRet(k.b, gen_i32(g, MCC_OK));
    LLVMDisposeBuilder(k.b);
    return k.fn;
}

static void call_stage(Steps *s, int stage) {
    Kernel *k = s->k;
    LLVMTypeRef type;
    LLVMValueRef fn = stage_function(s, stage, &type);
    unsigned n = LLVMCountParams(k->fn);
    LLVMValueRef *args = ARENA_ARRAY(k->gen->ctx->arena, n + 2, LLVMValueRef);
    LLVMGetParams(k->fn, args);
    args[n] = s->step;
    args[n + 1] = s->d;
    parallel_call(k->gen, k->b, fn, type, args, (int)n + 2, s->split);
}

static bool emit(Kernel *k) {
    Steps s;
    read_node(&s, k);
    require_lengths(&s);
    fill_states(&s);
    s.split = split_of(k);
    int useful = k->chunks;
    while (useful > parts_of(k->node)) useful /= 2;
    Grid grid = grid_choose(useful, known_batch(k->node) / 2, s.directions, 0, 0);
    If mine = {0};
    if (k->chunks > useful) mine = if_begin(k, LLVMBuildICmp(k->b, LLVMIntSLT, k->chunk, i64(&s, useful), ""));
    if (grid.rows > 1) {
        int64_t least = known_batch(k->node) / grid.rows; /* rows of a chunk */
        if (s.rows > least) s.rows = (int)least;
        s.rows_here = kernel_share(k, s.batch, grid.cols, grid.rows);
    }
    Range own = kernel_share(k, i64(&s, s.directions), 1, grid.cols);
    For f = for_begin(k, own.from, own.to, 1);
    begin_direction(&s, f.i);
    emit_direction(&s);
    for_end(k, &f);
    if (k->chunks > useful) if_end(k, &mine);
    LLVMBuildRet(k->b, gen_i32(k->gen, MCC_OK));
    return true;
}

static bool scratch(Ctx *ctx, const Node *n, size_t *bytes) {
    enum { STATES = 3 };
    int64_t size, batch = n->in[X_SUMS]->type.dims[node_int(n, "layout") != 1]->hi;
    if (mul_i64(batch, wide_of(n), &size) && mul_i64(size, STATES * 4, &size)) {
        *bytes = (size_t)size;
        return true;
    }
    diag_error(ctx, n, "the memory that its states need overflows");
    return false;
}

const Emitter recurrent_emitter = {.form = "recurrent steps", .emit = emit, .scratch = scratch, .work = work};
