/* DequantizeLinear moves below, and QuantizeLinear above, what only moves or selects elements, so that it works on
 * integers and Q and DQ meet the operators that compute: f(DQ(q)) -> DQ(f(q))       for views, movement, Concat of
 * equal scales, Pad, MaxPool, Relu, Clip, nearest Resize Q(f(op(x))) -> f(Q(op(x))) for views, movement and MaxPool
 * after a contraction of quantized numbers Q(DQ(q)) -> q              of equal scales and zero points All hold exactly:
 * a DQ of one positive scale is monotone and different integers stay different. What it makes of constants is evaluated
 * at once, for lower_quantized wants to see weights. */
#include "passes/quant.h"
#include <math.h>
#include <string.h>

static bool is_dequantized(const Value *v, Quant *q) {
    const char *why;
    return quant_of(v, OP_DequantizeLinear, q, &why) && q->n == 1 && dtype_computes(q->codes->type.dtype);
}

static bool op_takes(Op op, const Quant *q) { return op_info(op)->dtypes & dtype_class(q->codes->type.dtype); }

static bool writes_dims(const Node *n) {
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] && value_has_data_dims(n->out[i])) return true;
    return false;
}

/* every element of the output is one of input 0's, whatever they are */
static bool is_movement(const Node *n) {
    enum { NEAREST = 0, TF_CROP_AND_RESIZE = 5 };
    if (op_has(n->op, OP_VIEW)) return true;
    if (n->op == OP_Resize)
        return node_enum(n, "mode") == NEAREST && node_enum(n, "coordinate_transformation_mode") != TF_CROP_AND_RESIZE;
    if (n->op == OP_MaxPool) return n->n_out == 1 || !n->out[1];
    return op_has(n->op, OP_MOVEMENT) && n->op != OP_Concat && n->op != OP_Pad && n->op != OP_Trilu &&
           n->op != OP_Split;
}

/* ---- DQ down ---- */

/* n becomes the DQ, like `like`, of f(in…) */
static void compute_on_codes(Rewrite *r, Node *n, Op op, Value **in, int n_in, const Node *like) {
    Value *scale = like->in[1], *zero = node_in(like, 2);
    Node *made = rewrite_insert(r, n, op, in, n_in);
    if (op == n->op) node_copy_attrs(made, n);
    if (op == OP_View) value_set_dims(made->out[0], in[0]->type.dtype, n->out[0]->type.rank, n->out[0]->type.dims);
    rewrite_infer(r, made);
    Value *codes = made->out[0];
    rewrite_fold(r, made);
    rewrite_become(r, n, OP_DequantizeLinear, (Value *[]){codes, scale, zero}, zero ? 3 : 2);
}

static bool move_below(Rewrite *r, Node *n, const Quant *q) {
    if (!op_takes(n->op, q)) return false;
    Value **in = ARENA_ARRAY(r->scratch, n->n_in, Value *);
    memcpy(in, n->in, sizeof *in * (size_t)n->n_in);
    in[0] = q->codes;
    compute_on_codes(r, n, n->op, in, n->n_in, n->in[0]->def);
    return true;
}

/* One scale an index of an axis: it goes along */
static bool transpose_below(Rewrite *r, Node *n) {
    Quant q;
    const char *why;
    const int64_t *perm;
    int64_t axis = -1;
    if (!quant_of(n->in[0], OP_DequantizeLinear, &q, &why) || q.n == 1 || !dtype_computes(q.codes->type.dtype))
        return false;
    int given = node_ints(n, "perm", &perm), rank = q.codes->type.rank;
    for (int i = 0; i < rank; i++)
        if ((given ? perm[i] : rank - 1 - i) == q.axis) axis = i;
    Value *in[] = {q.codes};
    compute_on_codes(r, n, OP_Transpose, in, 1, n->in[0]->def);
    node_set_int(n, "axis", axis);
    return true;
}

/* The axis of the view `to` whose indices are those of `axis` of `from`; -1: there is none */
static int64_t axis_behind_view(const Value *from, const Value *to, int axis) {
    int64_t dims[MCC_MAX_RANK], before, seen;
    if (!value_static_dims(from, dims)) return -1;
    int64_t size = dims[axis];
    if (!product_i64(dims, axis, &before) || !value_static_dims(to, dims)) return -1;
    for (int i = 0; i < to->type.rank && product_i64(dims, i, &seen); i++)
        if (seen == before && dims[i] == size) return i;
    return -1;
}

static bool view_below(Rewrite *r, Node *n) {
    Quant q;
    const char *why;
    if (!quant_of(n->in[0], OP_DequantizeLinear, &q, &why) || q.n == 1 || !dtype_computes(q.codes->type.dtype))
        return false;
    int64_t axis = axis_behind_view(q.codes, n->out[0], q.axis);
    if (axis < 0) return false;
    Value *in[] = {q.codes};
    compute_on_codes(r, n, OP_View, in, 1, n->in[0]->def);
    node_set_int(n, "axis", axis);
    return true;
}

static bool concat_below(Rewrite *r, Node *n) {
    Value **in = ARENA_ARRAY(r->scratch, n->n_in, Value *);
    Quant first, q;
    for (int i = 0; i < n->n_in; i++) {
        if (!is_dequantized(n->in[i], &q)) return false;
        if (i == 0) first = q;
        if (!quant_same(&first, &q)) return false;
        in[i] = q.codes;
    }
    compute_on_codes(r, n, OP_Concat, in, n->n_in, n->in[0]->def);
    return true;
}

/* the integer that stands for exactly x */
static bool exact_code(const Quant *q, float x, int64_t *out) {
    *out = quant_code(q, x);
    return (float)(*out - quant_zero(q, 0)) * quant_scale(q, 0) == x;
}

static bool pad_below(Rewrite *r, Node *n, const Quant *q) {
    enum { CONSTANT = 0 };
    double with = 0;
    int64_t code;
    Value *in[4] = {q->codes, n->in[1], NULL, node_in(n, 3)};
    if (node_enum(n, "mode") != CONSTANT) return move_below(r, n, q);
    if (node_in(n, 2) && !const_splat(n->in[2], &with)) return false;
    if (!exact_code(q, (float)with, &code)) return false;
    in[2] = const_integer(r->g, q->codes->type.dtype, code);
    compute_on_codes(r, n, OP_Pad, in, in[3] ? 4 : 3, n->in[0]->def);
    return true;
}

typedef struct Bounds {
    float lo, hi;
} Bounds;

static bool clip_bounds(const Node *n, Bounds *b) {
    double lo = -INFINITY, hi = INFINITY;
    *b = (Bounds){n->op == OP_Relu ? 0 : -INFINITY, INFINITY};
    if (n->op == OP_Relu) return true;
    if (node_in(n, 1) && !const_splat(n->in[1], &lo)) return false;
    if (node_in(n, 2) && !const_splat(n->in[2], &hi)) return false;
    *b = (Bounds){(float)lo, (float)hi};
    return lo <= hi; /* which NaN is not */
}

/* Relu and Clip, where each bound is a number that some integer stands for, or beyond them all */
static bool clip_below(Rewrite *r, Node *n, const Quant *q) {
    Bounds b;
    Dtype t = q->codes->type.dtype;
    int64_t least = quant_lowest(t), most = quant_highest(t), zero = quant_zero(q, 0), lo = least, hi = most;
    if (!clip_bounds(n, &b)) return false;
    bool below = b.lo <= (float)(least - zero) * quant_scale(q, 0),
         above = b.hi >= (float)(most - zero) * quant_scale(q, 0);
    if ((!below && !exact_code(q, b.lo, &lo)) || (!above && !exact_code(q, b.hi, &hi))) return false;
    if (below && above) {
        rewrite_replace(r, n, n->in[0]);
        return true;
    }
    Value *in[] = {q->codes, below ? NULL : const_integer(r->g, t, lo), above ? NULL : const_integer(r->g, t, hi)};
    compute_on_codes(r, n, OP_Clip, in, above ? 2 : 3, n->in[0]->def);
    return true;
}

static bool split_below(Rewrite *r, Node *n, const Quant *q) {
    Node *dq = n->in[0]->def;
    Value *scale = dq->in[1], *zero = node_in(dq, 2), **in = ARENA_ARRAY(r->scratch, n->n_in, Value *);
    memcpy(in, n->in, sizeof *in * (size_t)n->n_in);
    in[0] = q->codes;
    Node *made = rewrite_insert_many(r, n, OP_Split, in, n->n_in, n->n_out);
    node_copy_attrs(made, n);
    rewrite_infer(r, made);
    for (int i = 0; i < n->n_out; i++) {
        if (!n->out[i]) continue;
        Node *part = rewrite_insert(r, n, OP_DequantizeLinear, (Value *[]){made->out[i], scale, zero}, zero ? 3 : 2);
        rewrite_define(r, part, n->out[i]);
    }
    rewrite_remove(r, n);
    return true;
}

static bool dequantize_later(Rewrite *r, Node *n) {
    Quant q;
    if (n->n_in == 0 || !n->in[0] || n->n_out == 0 || !n->out[0] || writes_dims(n)) return false;
    if (n->op == OP_Concat) return concat_below(r, n);
    if (n->op == OP_Transpose && transpose_below(r, n)) return true;
    if (op_has(n->op, OP_VIEW) && view_below(r, n)) return true;
    if (!is_dequantized(n->in[0], &q)) return false;
    if (is_movement(n)) return move_below(r, n, &q);
    switch (n->op) {
    case OP_Split: return split_below(r, n, &q);
    case OP_Pad: return pad_below(r, n, &q);
    case OP_Relu:
    case OP_Clip: return clip_below(r, n, &q);
    default: return false;
    }
}

/* ---- Q up ---- */

static bool is_raised(const Node *n, Dtype t) {
    return n && is_movement(n) && n->out[0]->n_uses == 1 && !writes_dims(n) &&
           (op_info(n->op)->dtypes & dtype_class(t));
}

/* is v a contraction of quantized numbers, and what only moves or bounds it? */
static bool comes_from_product(const Value *v, Dtype t) {
    const Node *n = v->def;
    while (n && (n->op == OP_Relu || n->op == OP_Clip || is_raised(n, t)) && n->out[0]->n_uses == 1) n = n->in[0]->def;
    return n && op_has(n->op, OP_CONTRACTION) && n->out[0]->n_uses == 1 && value_def(n->in[0], OP_DequantizeLinear) &&
           value_def(n->in[1], OP_DequantizeLinear);
}

/* Another Q, as n is, of x */
static Node *quantized(Rewrite *r, Node *n, Value *x) {
    Node *made = rewrite_insert(r, n, OP_QuantizeLinear, n->in, n->n_in);
    node_copy_attrs(made, n);
    rewrite_input(r, made, 0, x);
    rewrite_infer(r, made);
    return made;
}

/* Q(f(x)) -> f(Q(x)); returns the Q, NULL: there is nothing to move */
static Node *quantize_earlier(Rewrite *r, Node *n) {
    Node *f = n->in[0]->def;
    Dtype t = n->out[0]->type.dtype;
    if (!is_raised(f, t) || !comes_from_product(f->in[0], t)) return NULL;
    Node *first = quantized(r, n, f->in[0]);
    Value **in = ARENA_ARRAY(r->scratch, f->n_in, Value *);
    Node attrs = *f;
    int n_in = f->n_in;
    memcpy(in, f->in, sizeof *in * (size_t)n_in);
    in[0] = first->out[0];
    rewrite_become(r, n, attrs.op, in, n_in);
    node_copy_attrs(n, &attrs);
    return first;
}

/* Q(Concat(x, y)) -> Concat(Q(x), Q(y)), where all are quantized numbers or will be: their scales differ, or some have
 * none yet */
static bool quantize_parts(Rewrite *r, Node *n, const Quant *q) {
    Node *f = value_only_def(n->in[0], OP_Concat);
    Quant from;
    if (!f || writes_dims(f)) return false;
    for (int i = 0; i < f->n_in; i++)
        if (!is_dequantized(f->in[i], &from) && !comes_from_product(f->in[i], n->out[0]->type.dtype)) return false;
    Value **in = ARENA_ARRAY(r->scratch, f->n_in, Value *);
    Node attrs = *f;
    for (int i = 0; i < attrs.n_in; i++) {
        if (is_dequantized(f->in[i], &from) && quant_same(q, &from)) {
            in[i] = from.codes;
            continue;
        }
        Node *part = quantized(r, n, f->in[i]);
        in[i] = part->out[0];
        while (part) part = quantize_earlier(r, part);
    }
    rewrite_become(r, n, OP_Concat, in, attrs.n_in);
    node_copy_attrs(n, &attrs);
    return true;
}

static void raise(Rewrite *r, Node *n) {
    Quant q, from;
    const char *why;
    if (!quant_read(n, &q, &why)) return;
    if (is_dequantized(n->in[0], &from) && quant_same(&q, &from)) {
        rewrite_replace(r, n, from.codes);
        return;
    }
    if (q.n > 1 || quantize_parts(r, n, &q)) return;
    while (n) n = quantize_earlier(r, n);
}

bool pass_move_quantized(Graph *g, PassCtx *p) {
    Rewrite r;
    (void)p;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));) {
        if (n->op == OP_QuantizeLinear) raise(&r, n);
        else dequantize_later(&r, n);
    }
    return rewrite_end(&r);
}
