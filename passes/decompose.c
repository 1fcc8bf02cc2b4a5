/* Operators without a kernel of their own become others that have one. Required: code generation meets none of them. */
#include "passes/decompose.h"

/* A node before n that combines a and b */
static Value *combine(Rewrite *r, Node *n, Op op, Value *a, Value *b) {
    Node *made = rewrite_insert(r, n, op, (Value *[]){a, b}, 2);
    rewrite_infer(r, made);
    return made->out[0];
}

/* f(a, b, c) -> f(f(a, b), c) */
static void split_chain(Rewrite *r, Node *n, Op op, int n_in) {
    Value *sum = n->in[0];
    for (int i = 1; i < n_in - 1; i++) sum = combine(r, n, op, sum, n->in[i]);
    if (n_in == 1) rewrite_become(r, n, OP_Identity, &sum, 1);
    else rewrite_become(r, n, op, (Value *[]){sum, n->in[n_in - 1]}, 2);
}

/* Mean(a, b, c) -> Div(Add(Add(a, b), c), 3) */
static void split_mean(Rewrite *r, Node *n) {
    int count = n->n_in;
    Value *sum = n->in[0];
    for (int i = 1; i < count; i++) sum = combine(r, n, OP_Add, sum, n->in[i]);
    Value *by = const_scalar(r->g, n->in[0]->type.dtype, count);
    if (count == 1) rewrite_become(r, n, OP_Identity, &sum, 1);
    else rewrite_become(r, n, OP_Div, (Value *[]){sum, by}, 2);
}

/* CastLike(x, y) -> Cast(x) {to = y's dtype}, with the attributes that both have */
static void split_cast_like(Rewrite *r, Node *n) {
    Node attrs = *n;
    int64_t to = n->in[1]->type.dtype;
    rewrite_become(r, n, OP_Cast, (Value *[]){n->in[0]}, 1);
    node_copy_attrs(n, &attrs);
    node_set_int(n, "to", to);
}

/* The mask of a Dropout that drops nothing: true everywhere */
static void fill_mask(Rewrite *r, Node *n, Value *mask) {
    static const unsigned char yes = 1;
    static const Tensor one = {.dtype = DT_BOOL, .rank = 1, .dims = {1}, .bytes = 1, .data = &yes};
    Node *shape = rewrite_insert(r, n, OP_Shape, &n->in[0], 1);
    rewrite_infer(r, shape);
    Node *fill = rewrite_insert(r, n, OP_ConstantOfShape, &shape->out[0], 1);
    node_set_tensor(fill, "value", &one);
    rewrite_define(r, fill, mask);
}

/* Dropout at inference -> its input */
static void split_dropout(Rewrite *r, Node *n) {
    Value *training = node_in(n, 2), *ratio = node_in(n, 1);
    bool off = !training || const_is(training, 0), none = ratio && const_is(ratio, 0);
    if (!off && !none) {
        decompose_dropout(&(Build){.r = r, .at = n});
        return;
    }
    if (n->n_out > 1 && n->out[1]) fill_mask(r, n, n->out[1]);
    n->n_out = 1;
    rewrite_become(r, n, OP_Identity, (Value *[]){n->in[0]}, 1);
}

static void move_axis(Rewrite *r, Node *n) {
    int64_t order[MCC_MAX_RANK];
    node_axis_order(n, order);
    rewrite_become(r, n, OP_Transpose, (Value *[]){n->in[0]}, 1);
    node_set_ints(n, "perm", order, n->in[0]->type.rank);
}

static const struct {
    Op op;
    void (*run)(Build *b);
} subjects[] = {
    {OP_Attention, decompose_attention},
    {OP_Bernoulli, decompose_bernoulli},
    {OP_CausalConvWithState, decompose_causal_conv},
    {OP_Einsum, decompose_einsum},
    {OP_FusedMatMul, decompose_fused_matmul},
    {OP_GroupNormalization, decompose_group_norm},
    {OP_GroupQueryAttention, decompose_group_query},
    {OP_Hardmax, decompose_hardmax},
    {OP_LpNormalization, decompose_lp_norm},
    {OP_MeanVarianceNormalization, decompose_mean_variance},
    {OP_MultiHeadAttention, decompose_multi_head},
    {OP_Multinomial, decompose_multinomial},
    {OP_NegativeLogLikelihoodLoss, decompose_nll},
    {OP_PositionedRotary, decompose_positioned_rotary},
    {OP_ProjectedAttention, decompose_projected},
    {OP_RandomNormal, decompose_normal},
    {OP_RandomNormalLike, decompose_normal},
    {OP_RandomUniform, decompose_uniform},
    {OP_RandomUniformLike, decompose_uniform},
    {OP_RotaryEmbedding, decompose_rotary},
    {OP_SoftmaxCrossEntropyLoss, decompose_cross_entropy},
};

/* false: n is none of them */
static bool split_subject(Rewrite *r, Node *n) {
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++) {
        if (subjects[i].op != n->op) continue;
        Build b = {.r = r, .at = n};
        subjects[i].run(&b);
        return true;
    }
    return false;
}

bool pass_decompose(Graph *g, PassCtx *p) {
    Rewrite r;
    (void)p;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));) {
        if (split_subject(&r, n)) continue;
        if (types_split(n)) split_types(&(Build){.r = &r, .at = n});
        else if (movement_splits(n)) split_movement(&r, n);
        else if (n->op == OP_Sum) split_chain(&r, n, OP_Add, n->n_in);
        else if (n->op == OP_Mean) split_mean(&r, n);
        else if (n->op == OP_CastLike) split_cast_like(&r, n);
        else if (n->op == OP_AlignAxes) rewrite_become(&r, n, OP_View, (Value *[]){n->in[0]}, 1);
        else if (n->op == OP_MoveAxis) move_axis(&r, n);
        else if (n->op == OP_Dropout) split_dropout(&r, n);
        else if (n->op == OP_TfIdfVectorizer) split_ngrams(&r, n);
        else if (op_has(n->op, OP_ELEMENTWISE | OP_VARIADIC) && n->n_in != 2) split_chain(&r, n, n->op, n->n_in);
        else if (op_has(n->op, OP_DECOMPOSED)) diag_error(g->ctx, n, "%s is not supported here", op_info(n->op)->name);
    }
    return rewrite_end(&r);
}
