/* Between registers and memory: the elementwise body of a contraction, on the tile's vectors where every node of it has
 * a vector form, else element by element through a buffer on the stack, in loops that LLVM vectorises. */
#include "codegen/contract.h"

LLVMValueRef operand_offset(Kernel *k, const Operand *o, const Point *at) {
    LLVMValueRef n = i_add(k, i_mul(k, at->batch, o->batch), i_mul(k, at->col, o->col));
    for (int i = 0; i < 3; i++) n = i_add(k, n, i_mul(k, at->space[i], o->space[i]));
    return n;
}

static LLVMValueRef element_of(Kernel *k, const Operand *o, LLVMValueRef start, int row, int64_t row_step,
                               int64_t col) {
    LLVMValueRef at = i_add(k, i_scale(k, o->space[2], row * row_step), i_scale(k, o->col, col));
    return f32_at(k, f32_at(k, o->base, start), at);
}

static bool is_vector_body(const Graph *body) {
    for (const Node *n = body->first; n; n = n->next)
        if (!vec_has_elementwise(n)) return false;
    return true;
}

typedef struct Known { /* values of the body at hand */
    const Value *value;
    LLVMValueRef llvm;
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

static void learn(Eval *e, const Value *v, LLVMValueRef llvm) { e->known[e->n_known++] = (Known){v, llvm}; }

static LLVMValueRef constant_of(Eval *e, const Value *v) {
    return vec_const(e->k->gen, tensor_float(v->constant, 0), e->lanes);
}

static LLVMValueRef known(Eval *e, const Value *v) {
    if (!v) return NULL;
    if (v->constant) return constant_of(e, v);
    for (int i = 0; i < e->n_known; i++)
        if (e->known[i].value == v) return e->known[i].llvm;
    assert(!"a body's value that nothing defines");
    return NULL;
}

/* the body's output from its inputs, which have been learnt */
static LLVMValueRef evaluate(Eval *e) {
    for (const Node *n = e->body->first; n; n = n->next) {
        LLVMValueRef args[3], out;
        assert(n->n_in <= 3);
        for (int i = 0; i < n->n_in; i++) args[i] = known(e, n->in[i]);
        out = e->lanes > 1 || vec_has_elementwise(n) ? vec_elementwise(e->k, n, args, e->lanes)
                                                     : gen_elementwise(e->k->gen, e->k->b, n, args);
        learn(e, n->out[0], out);
    }
    return known(e, e->body->outputs[0]);
}

void body_outputs(Kernel *k, const Graph *body, LLVMValueRef *in, int lanes, LLVMValueRef *out) {
    Eval e;
    eval_begin(&e, k, body, lanes);
    for (int i = 0; i < body->n_inputs; i++) learn(&e, body->inputs[i], in[i]);
    evaluate(&e);
    for (int i = 0; i < body->n_outputs; i++) out[i] = known(&e, body->outputs[i]);
}

LLVMValueRef lanes_there(Kernel *k, LLVMValueRef cols, LLVMValueRef col, int lanes) {
    int64_t n, first;
    if (i_is_const(cols, &n) && (!i_is_const(col, &first) || first + lanes <= n)) return NULL; /* those in a loop are */
    return i_sub(k, cols, col);
}

/* there: lanes that exist, NULL: all */
static LLVMValueRef load_operand(Kernel *k, const Operand *o, LLVMValueRef p, int lanes, LLVMValueRef there) {
    if (o->splat) return vec_splat(k, vec_load(k, p, 1, 4), lanes);
    return there ? vec_load_part(k, p, lanes, there) : vec_load(k, p, lanes, 4);
}

static void store_vectors(Tile *t, const Epilogue *e, const Point *at, LLVMValueRef out, LLVMValueRef *starts,
                          int64_t row_step) {
    Kernel *k = t->k;
    Eval v;
    for (int r = 0; r < t->rows; r++)
        for (int i = 0; i < t->vecs; i++) {
            LLVMValueRef x = tile_get(t, r, i), there = NULL;
            if (e->cols) there = lanes_there(k, e->cols, i_plus(k, at->col, i * t->lanes), t->lanes);
            if (e->body) {
                eval_begin(&v, k, e->body, t->lanes);
                learn(&v, e->body->inputs[0], x);
                for (int o = 0; o + 1 < e->body->n_inputs; o++) {
                    const Operand *from = &e->operands[o];
                    LLVMValueRef p = element_of(k, from, starts[o], r, row_step, i * t->lanes);
                    learn(&v, e->body->inputs[o + 1], load_operand(k, from, p, t->lanes, there));
                }
                x = evaluate(&v);
            }
            LLVMValueRef p = element_of(k, &e->out, out, r, row_step, i * t->lanes);
            if (there) vec_store_part(k, x, p, t->lanes, there);
            else vec_store(k, x, p, 4);
        }
}

/* the tile in memory, then lane by lane */
static void store_elements(Tile *t, const Epilogue *e, const Point *at, LLVMValueRef out, LLVMValueRef *starts,
                           int64_t row_step) {
    Kernel *k = t->k;
    Gen *g = k->gen;
    LLVMValueRef buffer = gen_alloca(g, k->b, LLVMArrayType2(g->f32, (uint64_t)(t->rows * t->vecs * t->lanes)), 64);
    for (int i = 0; i < t->rows * t->vecs; i++)
        vec_store(k, tile_get(t, i / t->vecs, i % t->vecs), f32_at(k, buffer, gen_i64(g, i * t->lanes)), 4);
    For row = for_count(k, t->rows), vec = for_count(k, t->vecs);
    LLVMValueRef col = i_scale(k, vec.i, t->lanes), tile = i_add(k, i_scale(k, row.i, t->vecs * t->lanes), col);
    LLVMValueRef rows = i_scale(k, row.i, row_step);
    LLVMValueRef lanes = gen_i64(g, t->lanes);
    if (e->cols) lanes = i_min(k, lanes, i_sub(k, e->cols, i_add(k, at->col, col)));
    For lane = for_begin(k, gen_i64(g, 0), lanes, 1);
    Eval v;
    eval_begin(&v, k, e->body, 1);
    learn(&v, e->body->inputs[0], vec_load(k, f32_at(k, buffer, i_add(k, tile, lane.i)), 1, 4));
    for (int o = 0; o + 1 < e->body->n_inputs; o++) {
        const Operand *from = &e->operands[o];
        LLVMValueRef place = i_add(k, i_mul(k, rows, from->space[2]), i_mul(k, col, from->col));
        if (!from->splat) place = i_add(k, place, lane.i);
        learn(&v, e->body->inputs[o + 1], vec_load(k, f32_at(k, f32_at(k, from->base, starts[o]), place), 1, 4));
    }
    LLVMValueRef place = i_add(k, i_add(k, i_mul(k, rows, e->out.space[2]), i_mul(k, col, e->out.col)), lane.i);
    vec_store(k, evaluate(&v), f32_at(k, f32_at(k, e->out.base, out), place), 4);
    for_end(k, &lane);
    for_end(k, &vec);
    for_end(k, &row);
}

void tile_store(Tile *t, const Epilogue *e, const Point *at, int64_t row_step) {
    Kernel *k = t->k;
    int n = e->body ? e->body->n_inputs - 1 : 0;
    LLVMValueRef out = operand_offset(k, &e->out, at), *starts = ARENA_ARRAY(k->gen->ctx->arena, n + 1, LLVMValueRef);
    for (int o = 0; o < n; o++) starts[o] = operand_offset(k, &e->operands[o], at);
    if (!e->body || is_vector_body(e->body)) store_vectors(t, e, at, out, starts, row_step);
    else store_elements(t, e, at, out, starts, row_step);
}
