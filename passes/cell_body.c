/* The elementwise part of a recurrent operator's step as a graph: from the gates' sums and the state to the next state.
 * Its values are vectors of hidden units, without dims here. */
#include "passes/cell_body.h"

enum { AFFINE, ELU, HARD_SIGMOID, LEAKY_RELU, RELU, SCALED_TANH, SIGMOID, SOFTPLUS, SOFTSIGN, TANH, THRESHOLDED_RELU };
enum { MAX_FUNCTIONS = 3 };

typedef struct Function {
    int64_t kind;
    double alpha, beta;
} Function;

typedef struct Body {
    Graph *g;
    double clip; /* 0: none */
    Function f[MAX_FUNCTIONS];
} Body;

/* ---- activations: those whose nodes have a vector form everywhere ---- */

static int functions_of(const Node *n) { return n->op == OP_LSTM ? 3 : n->op == OP_GRU ? 2 : 1; }

static Function standard(int64_t kind) {
    Function f = {.kind = kind, .alpha = 1};
    if (kind == LEAKY_RELU) f.alpha = (double)0.01f;
    if (kind == HARD_SIGMOID) f.alpha = (double)0.2f, f.beta = 0.5;
    if (kind == SCALED_TANH) f.beta = 1;
    return f;
}

static bool has_alpha(int64_t kind) {
    return kind == AFFINE || kind == ELU || kind == HARD_SIGMOID || kind == LEAKY_RELU || kind == SCALED_TANH ||
           kind == THRESHOLDED_RELU;
}
static bool has_beta(int64_t kind) { return kind == AFFINE || kind == HARD_SIGMOID || kind == SCALED_TANH; }
static bool has_vector_form(int64_t kind) { return kind != ELU && kind != SOFTPLUS && kind != THRESHOLDED_RELU; }

/* alpha and beta go to the functions that have them, in order, as far as they reach */
static bool read_functions(const Node *n, Function f[MAX_FUNCTIONS]) {
    const Attr *alpha = node_attr(n, "activation_alpha"), *beta = node_attr(n, "activation_beta");
    int64_t kinds[WORDS_MAX];
    int given = node_words(n, "activations", kinds), count = functions_of(n), alphas = 0, betas = 0;
    int directions = node_enum(n, "direction") == 2 ? 2 : 1;
    for (int i = 0; i < count * directions; i++) {
        int64_t kind = given ? kinds[i] : i % count == 0 && count > 1 ? SIGMOID : TANH;
        Function own = standard(kind);
        if (has_alpha(kind) && alpha && alphas < alpha->n) own.alpha = alpha->floats[alphas++];
        if (has_beta(kind) && beta && betas < beta->n) own.beta = beta->floats[betas++];
        if (!has_vector_form(kind)) return false;
        const Function *first = &f[i % count];
        if (i >= count && (first->kind != kind || first->alpha != own.alpha || first->beta != own.beta)) return false;
        f[i % count] = own;
    }
    return true;
}

/* ---- nodes ---- */

static Value *body_input(Body *b) {
    Value *v = value_new(b->g, (Str){0});
    value_set_dims(v, DT_F32, 0, NULL);
    b->g->inputs[b->g->n_inputs++] = v;
    return v;
}

static Value *number(Body *b, double x) {
    Tensor *t = ARENA_NEW(b->g->arena, Tensor);
    float *data = ARENA_NEW(b->g->arena, float);
    *data = (float)x;
    *t = (Tensor){.dtype = DT_F32, .bytes = sizeof *data, .data = data};
    return value_of_tensor(b->g, t);
}

static Value *apply(Body *b, Op op, Value **in, int n_in) {
    Node *n = node_new(b->g, op, NULL, in, n_in, 1);
    n->index = -1;
    value_set_dims(n->out[0], DT_F32, 0, NULL);
    return n->out[0];
}
static Value *unary(Body *b, Op op, Value *x) { return apply(b, op, &x, 1); }
static Value *binary(Body *b, Op op, Value *x, Value *y) { return apply(b, op, (Value *[]){x, y}, 2); }
static Value *add(Body *b, Value *x, Value *y) { return binary(b, OP_Add, x, y); }
static Value *mul(Body *b, Value *x, Value *y) { return binary(b, OP_Mul, x, y); }
static Value *one_minus(Body *b, Value *x) { return binary(b, OP_Sub, number(b, 1), x); }

static Value *with_alpha(Body *b, Op op, Value *x, const Function *f) {
    Value *y = unary(b, op, x);
    node_set_float(y->def, "alpha", f->alpha);
    if (op == OP_HardSigmoid) node_set_float(y->def, "beta", f->beta);
    return y;
}

static Value *activate(Body *b, int which, Value *x) {
    const Function *f = &b->f[which];
    if (b->clip > 0) x = apply(b, OP_Clip, (Value *[]){x, number(b, -b->clip), number(b, b->clip)}, 3);
    switch (f->kind) {
    case AFFINE: return add(b, mul(b, x, number(b, f->alpha)), number(b, f->beta));
    case HARD_SIGMOID: return with_alpha(b, OP_HardSigmoid, x, f);
    case LEAKY_RELU: return with_alpha(b, OP_LeakyRelu, x, f);
    case RELU: return unary(b, OP_Relu, x);
    case SCALED_TANH: return mul(b, unary(b, OP_Tanh, mul(b, x, number(b, f->beta))), number(b, f->alpha));
    case SIGMOID: return unary(b, OP_Sigmoid, x);
    case SOFTSIGN: return binary(b, OP_Div, x, add(b, unary(b, OP_Abs, x), number(b, 1)));
    default: return unary(b, OP_Tanh, x); /* the others have no vector form */
    }
}

/* ---- cells ---- */

static void fill_lstm(Body *b, bool couple, bool peepholes) {
    Value *sum[4], *p[3] = {0};
    for (int i = 0; i < 4; i++) sum[i] = body_input(b);
    (void)body_input(b); /* h, which the sums have seen */
    Value *old = body_input(b);
    for (int i = 0; peepholes && i < 3; i++) p[i] = body_input(b);
    Value *i = activate(b, 0, p[0] ? add(b, sum[0], mul(b, p[0], old)) : sum[0]);
    Value *f = couple ? one_minus(b, i) : activate(b, 0, p[2] ? add(b, sum[2], mul(b, p[2], old)) : sum[2]);
    Value *c = add(b, mul(b, f, old), mul(b, i, activate(b, 1, sum[3])));
    Value *o = activate(b, 0, p[1] ? add(b, sum[1], mul(b, p[1], c)) : sum[1]);
    b->g->outputs[0] = mul(b, o, activate(b, 2, c));
    b->g->outputs[1] = c;
    b->g->n_outputs = 2;
}

static void fill_gru(Body *b, bool linear) {
    Value *sum[3];
    for (int i = 0; i < 3; i++) sum[i] = body_input(b);
    Value *h = body_input(b), *x = linear ? body_input(b) : NULL;
    Value *z = activate(b, 0, sum[0]), *r = activate(b, 0, sum[1]);
    Value *fresh = activate(b, 1, linear ? add(b, x, mul(b, r, sum[2])) : sum[2]);
    Value *next = add(b, mul(b, one_minus(b, z), fresh), mul(b, z, h));
    if (!linear) b->g->outputs[b->g->n_outputs++] = mul(b, r, h);
    b->g->outputs[b->g->n_outputs++] = next;
}

Graph *cell_body(const Node *n, CellKind kind) {
    enum { INPUTS = 9, OUTPUTS = 2 };
    Body b = {.clip = node_float(n, "clip")};
    if (!read_functions(n, b.f)) return NULL;
    b.g = graph_new(n->graph->ctx, n->graph);
    b.g->inputs = ARENA_ARRAY(b.g->arena, INPUTS, Value *);
    b.g->outputs = ARENA_ARRAY(b.g->arena, OUTPUTS, Value *);
    if (kind == CELL_LSTM) {
        fill_lstm(&b, node_int(n, "input_forget") != 0, node_in(n, 7) != NULL);
    } else if (kind == CELL_RNN) {
        Value *sum = body_input(&b);
        (void)body_input(&b); /* h */
        b.g->outputs[b.g->n_outputs++] = activate(&b, 0, sum);
    } else {
        fill_gru(&b, kind == CELL_GRU_LINEAR);
    }
    return b.g;
}
