/* Operators that draw random numbers, from mcc.Random: a seed that the model does not give is the node's own. The same
 * call gives the same numbers, each turn of a loop others. */
#include <string.h>
#include "passes/decompose.h"

static int64_t seed_of(const Node *n) {
    const Attr *a = node_attr(n, "seed");
    int64_t seed = n->id;
    if (a && a->kind == ATTR_INT) seed = a->i;
    if (a && a->kind == ATTR_FLOAT) memcpy(&seed, &a->f, sizeof seed);
    return seed;
}

/* [0, 1) in these dims; streams of one node are independent */
static Value *draw(Build *b, Dtype t, int rank, const Dim *dims, int64_t stream) {
    Value *turn = turn_before(b->at);
    if (!turn) turn = build_scalar(b, DT_I64, 0);
    Node *made = build_node(b, OP_Random, &turn, 1);
    if (!made) return NULL;
    node_set_int(made, "seed", (int64_t)((uint64_t)seed_of(b->at) ^ (uint64_t)stream << 32));
    value_set_dims(made->out[0], t, rank, dims);
    return build_value(b, made);
}

static Dtype drawn_in(Dtype t) { return t == DT_F64 ? DT_F64 : DT_F32; }
static Value *scalar(Build *b, Dtype t, double v) { return build_scalar(b, t, v); }

/* low + (high - low) u */
void decompose_uniform(Build *b) {
    const Type *y = &b->at->out[0]->type;
    Dtype t = drawn_in(y->dtype);
    double low = node_float(b->at, "low"), high = node_float(b->at, "high");
    Value *u = draw(b, t, y->rank, y->dims, 0);
    u = build_op(b, OP_Add, build_op(b, OP_Mul, u, scalar(b, t, high - low)), scalar(b, t, low));
    build_output(b, 0, build_cast(b, u, y->dtype));
    build_end(b);
}

/* mean + scale √(-2 log(1 - u)) cos(2π v): Box and Muller, 1958 */
void decompose_normal(Build *b) {
    const Type *y = &b->at->out[0]->type;
    Dtype t = drawn_in(y->dtype);
    Value *u = build_op(b, OP_Sub, scalar(b, t, 1), draw(b, t, y->rank, y->dims, 0));
    Value *v = build_op(b, OP_Mul, draw(b, t, y->rank, y->dims, 1), scalar(b, t, 6.283185307179586));
    Value *radius = build_op(b, OP_Mul, build_op(b, OP_Log, u, NULL), scalar(b, t, -2));
    radius = build_op(b, OP_Sqrt, radius, NULL);
    Value *normal = build_op(b, OP_Mul, radius, build_op(b, OP_Cos, v, NULL));
    normal = build_op(b, OP_Mul, normal, scalar(b, t, node_float(b->at, "scale")));
    normal = build_op(b, OP_Add, normal, scalar(b, t, node_float(b->at, "mean")));
    build_output(b, 0, build_cast(b, normal, y->dtype));
    build_end(b);
}

/* 1 with the probability that the input says */
void decompose_bernoulli(Build *b) {
    Value *x = b->at->in[0];
    Dtype t = drawn_in(x->type.dtype);
    Value *yes = build_op(b, OP_Less, draw(b, t, x->type.rank, x->type.dims, 0), build_cast(b, x, t));
    build_output(b, 0, build_cast(b, yes, b->at->out[0]->type.dtype));
    build_end(b);
}

/* The classes whose probabilities, summed up to them, a number from [0, 1) is beyond */
void decompose_multinomial(Build *b) {
    Value *x = b->at->in[0];
    const Type *y = &b->at->out[0]->type;
    Dtype t = drawn_in(x->type.dtype);
    Dim one = dim_const(b->r->ctx, 1);
    Value *p = build_along(b, OP_Softmax, build_cast(b, x, t), 1);
    Value *sums = build_op(b, OP_CumSum, p, build_scalar(b, DT_I64, 1));
    Value *u = draw(b, t, 3, (Dim[]){y->dims[0], y->dims[1], one}, 0);
    Value *beyond = build_op(b, OP_LessOrEqual, build_unsqueeze(b, sums, 1), u);
    Value *count = build_reduce(b, OP_ReduceSum, build_cast(b, beyond, DT_I64), &(int64_t){2}, 1, false);
    Value *last = build_op(b, OP_Sub, build_size(b, x, 1), build_scalar(b, DT_I64, 1)); /* sums may end just below 1 */
    build_output(b, 0, build_cast(b, build_op(b, OP_Min, count, last), y->dtype));
    build_end(b);
}

/* In training: elements are 0 with the probability `ratio`, the others grow by 1 / (1 - ratio). Whether it is training
 * may be known at run time only. */
void decompose_dropout(Build *b) {
    Value *x = b->at->in[0], *ratio = node_in(b->at, 1), *training = b->at->in[2];
    const Type *form = &x->type;
    Dtype t = drawn_in(form->dtype);
    ratio = ratio ? build_view(b, build_cast(b, ratio, t), 0, NULL) : scalar(b, t, 0.5);
    Value *keep = build_op(b, OP_GreaterOrEqual, draw(b, t, form->rank, form->dims, 0), ratio);
    Value *scale = build_op(b, OP_Div, scalar(b, t, 1), build_op(b, OP_Sub, scalar(b, t, 1), ratio));
    if (!const_is(training, 1)) {
        training = build_view(b, training, 0, NULL);
        keep = build_op(b, OP_Or, keep, build_op(b, OP_Not, training, NULL));
        scale = build_where(b, training, scale, scalar(b, t, 1));
    }
    Value *y = build_where(b, keep, build_op(b, OP_Mul, build_cast(b, x, t), scale), scalar(b, t, 0));
    build_output(b, 1, keep);
    build_output(b, 0, build_cast(b, y, form->dtype));
    build_end(b);
}
