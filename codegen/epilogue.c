/* Between registers and memory: the elementwise body of a contraction, on the tile's vectors where every node of it has
 * a vector form, else element by element through a buffer on the stack, in loops that LLVM vectorises. */
#include "codegen/contract.h"

LLVMValueRef operand_offset(Kernel *k, const Operand *o, const Point *at) {
    LLVMValueRef n = i_add(k, i_mul(k, at->batch, o->batch), i_mul(k, at->col, o->col));
    for (int i = 0; i < 3; i++) n = i_add(k, n, i_mul(k, at->space[i], o->space[i]));
    return n;
}

static LLVMTypeRef type_of(Kernel *k, const Operand *o) { return gen_elem_type(k->gen, o->dtype); }

static unsigned align_of(const Operand *o) { return (unsigned)dtype_bits(o->dtype) / 8; }

static LLVMValueRef element_of(Kernel *k, const Operand *o, LLVMValueRef start, int row, int64_t row_step,
                               int64_t col) {
    LLVMValueRef at = i_add(k, i_scale(k, o->space[2], row * row_step), i_scale(k, o->col, col));
    return element_at(k, type_of(k, o), element_at(k, type_of(k, o), o->base, start), at);
}

static bool is_vector_body(const Graph *body) {
    for (const Node *n = body->first; n; n = n->next)
        if (!vec_has_elementwise(n)) return false;
    return true;
}

typedef struct Known { /* values of the body at hand */
    const Value *value;
    LLVMValueRef llvm;
    Interval interval;
} Known;

typedef struct Eval {
    Kernel *k;
    const Graph *body;
    Known *known;
    int n_known, lanes;
} Eval;

static void eval_begin(Eval *e, Kernel *k, const Graph *body, int lanes) {
    int most = body->n_inputs;
    for (const Node *n = body->first; n; n = n->next) most++;
    *e = (Eval){.k = k, .body = body, .known = ARENA_ARRAY(k->gen->ctx->arena, most, Known), .lanes = lanes};
}

static void learn(Eval *e, const Value *v, LLVMValueRef llvm, Interval interval) {
    e->known[e->n_known++] = (Known){v, llvm, interval};
}

static LLVMValueRef constant_of(Eval *e, const Value *v) {
    Gen *g = e->k->gen;
    Dtype t = v->type.dtype;
    if (t == DT_F32) return vec_const(g, tensor_float(v->constant, 0), e->lanes);
    if (t == DT_F64) return vec_repeat(LLVMConstReal(g->f64, tensor_float(v->constant, 0)), e->lanes);
    if (t == DT_F16 || t == DT_BF16)
        return vec_repeat(LLVMConstInt(g->i16, *(const uint16_t *)v->constant->data, 0), e->lanes);
    return vec_repeat(LLVMConstInt(gen_elem_type(g, t), (uint64_t)tensor_int(v->constant, 0), 1), e->lanes);
}

static LLVMValueRef known(Eval *e, const Value *v) {
    if (!v) return NULL;
    if (v->constant) return constant_of(e, v);
    for (int i = 0; i < e->n_known; i++)
        if (e->known[i].value == v) return e->known[i].llvm;
    assert(!"a body's value that nothing defines");
    return NULL;
}

static Interval interval_of(Eval *e, const Value *v) {
    if (!v) return interval_any();
    if (v->constant) return interval_of_constant(v->constant);
    for (int i = 0; i < e->n_known; i++)
        if (e->known[i].value == v) return e->known[i].interval;
    return interval_any();
}

/* a node whose result is narrowed as it is stored */
static bool is_narrowed(const Node *n) {
    return n && (n->op == OP_QuantizeLinear || n->op == OP_Requantize) && vec_has_elementwise(n);
}

/* such a node's words as bytes */
static LLVMValueRef narrowed_by(Kernel *k, const Node *n, LLVMValueRef *wide, int count, int lanes) {
    return n->op == OP_Requantize ? vec_requantize_many(k, n, wide, count, lanes)
                                  : vec_narrow_many(k, wide, count, n->out[0]->type.dtype == DT_I8, lanes);
}

/* the body from its inputs, which have been learnt; wide: a value that is not narrowed, and what comes behind is left
 * out; NULL: none */
static void evaluate(Eval *e, const Value *wide) {
    for (const Node *n = e->body->first; n && (!wide || n != wide->def->next); n = n->next) {
        LLVMValueRef args[3], out;
        Interval in[3];
        assert(n->n_in <= 3);
        for (int i = 0; i < n->n_in; i++) args[i] = known(e, n->in[i]), in[i] = interval_of(e, n->in[i]);
        if (is_narrowed(n)) {
            out = n->op == OP_Requantize ? vec_scaled_sum(e->k, args[0], args[1], e->lanes)
                                         : vec_quantize(e->k, n, args, e->lanes, in[0]);
            if (n->out[0] != wide) out = narrowed_by(e->k, n, &out, 1, e->lanes);
        } else {
            out = e->lanes > 1 || vec_has_elementwise(n) ? vec_elementwise_in(e->k, n, args, e->lanes, in)
                                                         : gen_elementwise(e->k->gen, e->k->b, n, args);
        }
        learn(e, n->out[0], out, interval_of_node(n, in));
    }
}

/* What a body narrows at its end, and the table that it is looked up in then, or NULL */
typedef struct Narrowed {
    const Value *value;
    const Node *table;
} Narrowed;

static bool read_narrowed(const Graph *body, Narrowed *out) {
    const Node *last = body ? body->outputs[0]->def : NULL;
    *out = (Narrowed){0};
    if (last && last->op == OP_Table) {
        out->table = last;
        last = last->in[0]->def;
    }
    if (!is_narrowed(last)) return false;
    out->value = last->out[0];
    return true;
}

void body_outputs(Kernel *k, const Graph *body, LLVMValueRef *in, int lanes, LLVMValueRef *out) {
    Eval e;
    eval_begin(&e, k, body, lanes);
    for (int i = 0; i < body->n_inputs; i++) learn(&e, body->inputs[i], in[i], interval_any());
    evaluate(&e, NULL);
    for (int i = 0; i < body->n_outputs; i++) out[i] = known(&e, body->outputs[i]);
}

LLVMValueRef lanes_there(Kernel *k, LLVMValueRef cols, LLVMValueRef col, int lanes) {
    int64_t n, first;
    if (i_is_const(cols, &n) && (!i_is_const(col, &first) || first + lanes <= n)) return NULL; /* those in a loop are */
    return i_sub(k, cols, col);
}

/* there: lanes that exist, NULL: all */
static LLVMValueRef load_operand(Kernel *k, const Operand *o, LLVMValueRef p, int lanes, LLVMValueRef there) {
    LLVMTypeRef t = type_of(k, o);
    if (o->splat) return vec_splat(k, vec_load_of(k, t, p, 1, align_of(o)), lanes);
    return there ? vec_load_part(k, p, lanes, there) : vec_load_of(k, t, p, lanes, align_of(o));
}

static Interval interval_of_operand(const Operand *o) {
    double limit = (double)o->limit;
    return limit > 0 ? (Interval){-limit, limit, true} : interval_of_dtype(o->dtype);
}

bool epilogue_narrows(const Epilogue *e) {
    Narrowed last;
    return e->body && is_vector_body(e->body) && read_narrowed(e->body, &last);
}

/* the body, or what there is of it up to `wide`, of a vector of each input */
static LLVMValueRef value_of(Kernel *k, const Epilogue *e, LLVMValueRef *in, int lanes, const Value *wide) {
    const Graph *body = e->body;
    Eval v;
    eval_begin(&v, k, body, lanes);
    learn(&v, body->inputs[0], in[0], e->sums.number ? e->sums : interval_of_dtype(body->inputs[0]->type.dtype));
    for (int o = 0; o + 1 < body->n_inputs; o++)
        learn(&v, body->inputs[o + 1], in[o + 1], interval_of_operand(&e->operands[o]));
    evaluate(&v, wide);
    return known(&v, wide ? wide : body->outputs[0]);
}

LLVMValueRef epilogue_wide(Kernel *k, const Epilogue *e, LLVMValueRef *in, int lanes) {
    Narrowed last;
    read_narrowed(e->body, &last);
    return value_of(k, e, in, lanes, last.value);
}

static LLVMValueRef narrowed(Kernel *k, const Narrowed *last, LLVMValueRef *wide, int n, int lanes) {
    return narrowed_by(k, last->value->def, wide, n, lanes);
}

static LLVMValueRef looked_up(Kernel *k, const Narrowed *last, LLVMValueRef v, int lanes) {
    return last->table ? vec_lookup(k, last->table, v, lanes) : v;
}

LLVMValueRef epilogue_bytes(Kernel *k, const Epilogue *e, LLVMValueRef *wide, int n, int lanes) {
    Narrowed last;
    read_narrowed(e->body, &last);
    return looked_up(k, &last, narrowed(k, &last, wide, n, lanes), n * lanes);
}

typedef struct Store { /* a tile on its way to memory */
    Tile *t;
    const Epilogue *e;
    const Point *at;
    LLVMValueRef out, *starts;
    int64_t row_step;
} Store;

static LLVMValueRef lanes_of(const Store *s, int vec) {
    Tile *t = s->t;
    return s->e->cols ? lanes_there(t->k, s->e->cols, i_plus(t->k, s->at->col, vec * t->lanes), t->lanes) : NULL;
}

/* what becomes of one vector of the tile, or the value that stays wide */
static LLVMValueRef result_at(Store *s, int row, int vec, const Value *wide) {
    Tile *t = s->t;
    Kernel *k = t->k;
    const Graph *body = s->e->body;
    LLVMValueRef there = lanes_of(s, vec);
    if (!body) return tile_get(t, row, vec);
    LLVMValueRef *in = ARENA_ARRAY(k->gen->ctx->arena, body->n_inputs, LLVMValueRef);
    in[0] = tile_get(t, row, vec);
    for (int o = 0; o + 1 < body->n_inputs; o++) {
        const Operand *from = &s->e->operands[o];
        LLVMValueRef p = element_of(k, from, s->starts[o], row, s->row_step, vec * t->lanes);
        in[o + 1] = load_operand(k, from, p, t->lanes, there);
    }
    return value_of(k, s->e, in, t->lanes, wide);
}

static void store_vectors(Store *s) {
    Tile *t = s->t;
    Kernel *k = t->k;
    for (int r = 0; r < t->rows; r++)
        for (int i = 0; i < t->vecs; i++) {
            LLVMValueRef x = result_at(s, r, i, NULL), there = lanes_of(s, i);
            LLVMValueRef p = element_of(k, &s->e->out, s->out, r, s->row_step, i * t->lanes);
            if (there) vec_store_part(k, x, p, t->lanes, there);
            else vec_store(k, x, p, align_of(&s->e->out));
        }
}

typedef struct Bytes { /* neighbours in memory */
    LLVMValueRef v, p;
    int lanes;
} Bytes;

/* Vectors that become bytes, neighbours in memory four at a time: along a row of the tile, or from row to row. A table
 * comes last: it may take most registers. */
static void store_bytes(Store *s, const Narrowed *last) {
    enum { MOST = 4 };
    Tile *t = s->t;
    Kernel *k = t->k;
    const Operand *out = &s->e->out;
    int64_t step, col;
    bool down = i_is_const(out->space[2], &step) && step * s->row_step == t->lanes,
         along = i_is_const(out->col, &col) && col == 1;
    int inner = down ? t->rows : t->vecs, outer = down ? t->vecs : t->rows, n_made = 0;
    Bytes made[TILE_MAX];
    for (int i = 0; i < outer; i++)
        for (int j = 0, n; j < inner; j += n) {
            LLVMValueRef wide[MOST];
            n = t->lanes == 1 || (!down && !along) ? 1 : inner - j < MOST ? inner - j : MOST;
            if (n == 3) n = 2;
            for (int q = 0; q < n; q++) wide[q] = result_at(s, down ? j + q : i, down ? i : j + q, last->value);
            LLVMValueRef p = element_of(k, out, s->out, down ? j : i, s->row_step, (down ? i : j) * t->lanes);
            made[n_made++] = (Bytes){narrowed(k, last, wide, n, t->lanes), p, n * t->lanes};
        }
    for (int i = 0; i < n_made; i++) vec_store(k, looked_up(k, last, made[i].v, made[i].lanes), made[i].p, 1);
}

/* the tile in memory, then lane by lane */
static void store_elements(Store *s) {
    Tile *t = s->t;
    const Epilogue *e = s->e;
    Kernel *k = t->k;
    Gen *g = k->gen;
    LLVMTypeRef out_type = type_of(k, &e->out);
    uint64_t count = (uint64_t)(t->rows * t->vecs * t->lanes);
    LLVMValueRef buffer = gen_alloca(g, k->b, LLVMArrayType2(t->element, count), 64);
    for (int i = 0; i < t->rows * t->vecs; i++)
        vec_store(k, tile_get(t, i / t->vecs, i % t->vecs), element_at(k, t->element, buffer, gen_i64(g, i * t->lanes)),
                  4);
    For row = for_count(k, t->rows), vec = for_count(k, t->vecs);
    LLVMValueRef col = i_scale(k, vec.i, t->lanes), tile = i_add(k, i_scale(k, row.i, t->vecs * t->lanes), col);
    LLVMValueRef rows = i_scale(k, row.i, s->row_step);
    LLVMValueRef lanes = gen_i64(g, t->lanes);
    if (e->cols) lanes = i_min(k, lanes, i_sub(k, e->cols, i_add(k, s->at->col, col)));
    For lane = for_begin(k, gen_i64(g, 0), lanes, 1);
    Eval v;
    eval_begin(&v, k, e->body, 1);
    learn(&v, e->body->inputs[0],
          vec_load_of(k, t->element, element_at(k, t->element, buffer, i_add(k, tile, lane.i)), 1, 4),
          interval_of_dtype(e->body->inputs[0]->type.dtype));
    for (int o = 0; o + 1 < e->body->n_inputs; o++) {
        const Operand *from = &e->operands[o];
        LLVMTypeRef type = type_of(k, from);
        LLVMValueRef place = i_add(k, i_mul(k, rows, from->space[2]), i_mul(k, col, from->col));
        if (!from->splat) place = i_add(k, place, lane.i);
        LLVMValueRef p = element_at(k, type, element_at(k, type, from->base, s->starts[o]), place);
        learn(&v, e->body->inputs[o + 1], vec_load_of(k, type, p, 1, align_of(from)), interval_of_operand(from));
    }
    LLVMValueRef place = i_add(k, i_add(k, i_mul(k, rows, e->out.space[2]), i_mul(k, col, e->out.col)), lane.i);
    LLVMValueRef p = element_at(k, out_type, element_at(k, out_type, e->out.base, s->out), place);
    evaluate(&v, NULL);
    vec_store(k, known(&v, e->body->outputs[0]), p, align_of(&e->out));
    for_end(k, &lane);
    for_end(k, &vec);
    for_end(k, &row);
}

void tile_store(Tile *t, const Epilogue *e, const Point *at, int64_t row_step) {
    Kernel *k = t->k;
    int n = e->body ? e->body->n_inputs - 1 : 0;
    LLVMValueRef out = operand_offset(k, &e->out, at), *starts = ARENA_ARRAY(k->gen->ctx->arena, n + 1, LLVMValueRef);
    for (int o = 0; o < n; o++) starts[o] = operand_offset(k, &e->operands[o], at);
    Store s = {t, e, at, out, starts, row_step};
    Narrowed last;
    bool vectors = !e->body || is_vector_body(e->body);
    if (vectors && !e->cols && read_narrowed(e->body, &last)) store_bytes(&s, &last);
    else if (vectors) store_vectors(&s);
    else store_elements(&s);
}
