/* Attention, RotaryEmbedding and CausalConvWithState from others. Heads of K that several heads of Q share are an axis
 * of 1 that broadcasts; what multiplies, masks and sums is left in the form that fuse_attention looks for. Floats of 16
 * bits are computed in f32. */
#include <math.h>
#include "passes/decompose.h"

static Dim fixed(Build *b, int64_t n) { return dim_const(b->r->ctx, n); }
static bool is_narrow(Dtype t) { return t == DT_F16 || t == DT_BF16; }

/* ---- heads ---- */

Value *build_heads(Build *b, Value *x, int64_t outer, int64_t inner, bool shared) {
    const Dim *d = x->type.dims;
    if (x->type.rank == 4 && !shared) return x;
    if (x->type.rank == 4) return build_view(b, x, 5, (Dim[]){d[0], fixed(b, outer), fixed(b, inner), d[2], d[3]});
    Dim depth = dim_floordiv(b->r->ctx, d[2], fixed(b, outer * inner));
    if (!shared)
        return build_transpose(b, build_view(b, x, 4, (Dim[]){d[0], d[1], fixed(b, outer), depth}),
                               (int64_t[]){0, 2, 1, 3});
    return build_transpose(b, build_view(b, x, 5, (Dim[]){d[0], d[1], fixed(b, outer), fixed(b, inner), depth}),
                           (int64_t[]){0, 2, 3, 1, 4});
}

/* K or V behind its past, which is output `out` */
static Value *with_past(Build *b, Value *x, Value *past, int64_t heads, bool shared, int out) {
    if (!past && !build_wants(b, out)) return build_heads(b, x, heads, 1, shared);
    Value *all = build_heads(b, x, heads, 1, false);
    if (past) all = build_concat(b, past, all, 2);
    build_output(b, out, all);
    return shared ? build_unsqueeze(b, all, 2) : all;
}

/* [batch, heads, (inner,) length, depth] as the form of Q */
Value *build_joined(Build *b, Value *y, const Type *as, bool shared) {
    if (as->rank == 3) y = build_transpose(b, y, shared ? (int64_t[]){0, 3, 1, 2, 4} : (int64_t[]){0, 2, 1, 3});
    return build_view(b, y, as->rank, as->dims);
}

/* ---- what may be looked at ---- */

/* the mask with what it lacks of the keys masked */
static Value *pad_mask(Build *b, Value *mask, Dim keys) {
    int rank = mask->type.rank;
    int64_t pads[2 * MCC_MAX_RANK] = {0}, have, all;
    Dim last = mask->type.dims[rank - 1];
    if (last == keys || dim_is(last, 1) || !dim_is_const(last, &have) || !dim_is_const(keys, &all)) return mask;
    pads[2 * rank - 1] = all - have;
    Dtype t = mask->type.dtype;
    Value *masked = build_scalar(b, t, t == DT_BOOL ? 0 : -INFINITY);
    return build_value(b,
                       build_node(b, OP_Pad, (Value *[]){mask, const_ints_value(b->r->g, pads, 2 * rank), masked}, 3));
}

/* lengths, [batch], as [batch, 1, 1, 1] */
static Value *each_batch(Build *b, Value *lengths) {
    return build_view(b, lengths, 4, (Dim[]){lengths->type.dims[0], fixed(b, 1), fixed(b, 1), fixed(b, 1)});
}

/* column <= row + offset; the offset is the past's length, or what the length of K is beyond that of Q */
static Value *causal_mask(Build *b, Value *q, Value *k) {
    Value *past = node_in(b->at, 4), *lengths = node_in(b->at, 6);
    if (b->failed) return NULL;
    int rank = q->type.rank;
    Value *row = build_indices(b, q, rank - 2, 2, 0), *column = build_indices(b, k, rank - 2, 2, 1);
    if (past) row = build_op(b, OP_Add, row, build_size(b, past, 2));
    if (lengths)
        row = build_op(b, OP_Add, row, build_op(b, OP_Sub, each_batch(b, lengths), build_size(b, q, rank - 2)));
    return build_op(b, OP_LessOrEqual, column, row);
}

static Value *both(Build *b, Value *x, Value *y) { return x && y ? build_op(b, OP_And, x, y) : x ? x : y; }

/* What is added to the scores, of 4 axes at most; NULL: nothing */
static Value *score_bias(Build *b, Value *q, Value *k, Dtype t) {
    Value *mask = node_in(b->at, 3), *lengths = node_in(b->at, 6), *may = NULL;
    if (b->failed) return NULL;
    int axis = k->type.rank - 2;
    if (mask && mask->type.dtype != DT_BOOL) mask = build_cast(b, mask, t);
    if (mask) mask = pad_mask(b, mask, k->type.dims[axis]);
    if (b->failed) return NULL;
    if (mask && mask->type.dtype == DT_BOOL) may = mask, mask = NULL;
    if (node_int(b->at, "is_causal")) may = both(b, may, causal_mask(b, q, k));
    if (lengths) may = both(b, may, build_op(b, OP_Less, build_indices(b, k, axis, 1, 0), each_batch(b, lengths)));
    if (!may) return mask;
    may = build_where(b, may, build_scalar(b, t, 0), build_scalar(b, t, -INFINITY));
    return mask ? build_op(b, OP_Add, mask, may) : may;
}

/* the axis of heads in two where there is one: [batch, outer, inner, …] */
Value *build_grouped_bias(Build *b, Value *bias, int64_t outer, int64_t inner) {
    if (b->failed || bias->type.rank < 3) return bias;
    const Dim *d = bias->type.dims;
    int rank = bias->type.rank, k = 0;
    bool one = dim_is(d[rank - 3], 1);
    Dim dims[5];
    if (rank == 4) dims[k++] = d[0];
    dims[k++] = fixed(b, one ? 1 : outer);
    dims[k++] = fixed(b, one ? 1 : inner);
    dims[k++] = d[rank - 2];
    dims[k++] = d[rank - 1];
    return build_view(b, bias, k, dims);
}

/* ---- Attention ---- */

static Value *transpose_last(Build *b, Value *x) {
    static const int64_t four[] = {0, 1, 3, 2}, five[] = {0, 1, 2, 4, 3};
    return b->failed ? NULL : build_transpose(b, x, x->type.rank == 4 ? four : five);
}

static Value *scale_by(Build *b, Op op, Value *x, double by) {
    return b->failed || by == 1 ? x : build_op(b, op, x, build_scalar(b, x->type.dtype, by));
}

double build_scale(const Node *n, const Value *k) {
    int64_t depth = 1;
    if (node_attr(n, "scale")) return node_float(n, "scale");
    dim_is_const(k->type.dims[k->type.rank - 1], &depth);
    return 1 / sqrt((double)depth);
}

static Value *softmax(Build *b, Value *x, Dtype precision) {
    if (b->failed) return NULL;
    Dtype t = x->type.dtype;
    Value *p = build_along(b, OP_Softmax, build_cast(b, x, precision == DT_F64 ? DT_F64 : t), -1);
    return build_cast(b, p, t);
}

/* the softmax of x with one more number in each row, without that number's weight */
static Value *softmax_beside(Build *b, Value *x, Value *sink, Dtype precision) {
    if (b->failed) return NULL;
    int last = x->type.rank - 1;
    Value *column = build_slice(b, x, last, 0, 1, 1);
    column = build_where(b, build_scalar(b, DT_BOOL, 1), sink, column);
    return build_slice(b, softmax(b, build_concat(b, column, x, last), precision), last, 1, INT64_MAX, 1);
}

Value *build_attend(Build *b, Attend *a) {
    if (b->failed) return NULL;
    Value **stage = a->stage;
    stage[0] = scale_by(b, OP_Mul, build_op(b, OP_MatMul, a->q, transpose_last(b, a->k)), a->scale);
    stage[1] = stage[0];
    if (a->softcap > 0) {
        Value *flat = build_op(b, OP_Tanh, scale_by(b, OP_Div, stage[0], a->softcap), NULL);
        stage[1] = scale_by(b, OP_Mul, flat, a->softcap);
    }
    stage[2] = a->bias ? build_op(b, OP_Add, stage[1], a->bias) : stage[1];
    stage[3] = a->sink ? softmax_beside(b, stage[2], a->sink, a->softmax) : softmax(b, stage[2], a->softmax);
    return build_op(b, OP_MatMul, stage[3], a->v);
}

void decompose_attention(Build *b) {
    Node *n = b->at;
    const Type *form = &n->in[0]->type;
    int64_t heads = node_int(n, "q_num_heads"), outer = node_int(n, "kv_num_heads");
    if (form->rank == 4) {
        dim_is_const(form->dims[1], &heads);
        dim_is_const(n->in[1]->type.dims[1], &outer);
    }
    int64_t inner = heads / outer;
    bool shared = inner > 1;
    Dtype t = is_narrow(form->dtype) ? DT_F32 : form->dtype;
    Value *q = build_cast(b, build_heads(b, n->in[0], outer, inner, shared), t);
    Value *k = build_cast(b, with_past(b, n->in[1], node_in(n, 4), outer, shared, 1), t);
    Value *v = build_cast(b, with_past(b, n->in[2], node_in(n, 5), outer, shared, 2), t);
    Value *bias = score_bias(b, q, k, t);
    if (bias && shared) bias = build_grouped_bias(b, bias, outer, inner);
    Attend a = {q,
                k,
                v,
                bias,
                NULL,
                b->failed ? 1 : build_scale(n, k),
                node_float(n, "softcap"),
                (Dtype)node_int(n, "softmax_precision"),
                {NULL}};
    Value *y = build_joined(b, build_attend(b, &a), &n->out[0]->type, shared);
    if (build_wants(b, 3)) {
        Value *shown = build_view(b, a.stage[node_int(n, "qk_matmul_output_mode")], 4, n->out[3]->type.dims);
        build_output(b, 3, build_cast(b, shown, form->dtype));
    }
    build_output(b, 0, build_cast(b, y, form->dtype));
    build_end(b);
}

/* ---- RotaryEmbedding ---- */

Value *build_rotated(Build *b, Value *x, Value *cosine, Value *sine, int64_t turned, bool interleaved) {
    if (b->failed) return NULL;
    int64_t half = turned / 2, step = interleaved ? 2 : 1;
    Value *first = build_slice(b, x, 3, 0, interleaved ? turned : half, step);
    Value *second = build_slice(b, x, 3, interleaved ? 1 : half, turned, step);
    Value *real = build_op(b, OP_Sub, build_op(b, OP_Mul, first, cosine), build_op(b, OP_Mul, second, sine));
    Value *imaginary = build_op(b, OP_Add, build_op(b, OP_Mul, first, sine), build_op(b, OP_Mul, second, cosine));
    Value *y;
    if (interleaved) {
        Dim dims[] = {x->type.dims[0], x->type.dims[1], x->type.dims[2], fixed(b, turned)};
        y = build_concat(b, build_unsqueeze(b, real, 4), build_unsqueeze(b, imaginary, 4), 4);
        y = build_view(b, y, 4, dims);
    } else {
        y = build_concat(b, real, imaginary, 3);
    }
    if (dim_is(x->type.dims[3], turned)) return y;
    return build_concat(b, y, build_slice(b, x, 3, turned, INT64_MAX, 1), 3);
}

void decompose_rotary(Build *b) {
    Node *n = b->at;
    Value *x = n->in[0], *ids = node_in(n, 3), *angle[2];
    const Type *form = &x->type;
    bool flat = form->rank == 3;
    if (flat) {
        int64_t heads = node_int(n, "num_heads");
        Dim depth = dim_floordiv(b->r->ctx, form->dims[2], fixed(b, heads));
        x = build_view(b, x, 4, (Dim[]){form->dims[0], form->dims[1], fixed(b, heads), depth});
    }
    int64_t turned = node_int(n, "rotary_embedding_dim");
    if (!turned && !b->failed) dim_is_const(x->type.dims[3], &turned);
    for (int i = 0; i < 2; i++) {
        angle[i] = ids ? build_gather(b, OP_Gather, n->in[1 + i], ids, 0) : n->in[1 + i];
        angle[i] = build_unsqueeze(b, angle[i], flat ? 2 : 1);
    }
    Value *y = build_rotated(b, x, angle[0], angle[1], turned, node_int(n, "interleaved") != 0);
    build_output(b, 0, build_view(b, y, form->rank, form->dims));
    build_end(b);
}

/* ---- CausalConvWithState ---- */

void decompose_causal_conv(Build *b) {
    Node *n = b->at;
    Value *x = n->in[0], *w = n->in[1], *bias = node_in(n, 2), *past = node_in(n, 3);
    int64_t channels = 1, taps = 1;
    dim_is_const(w->type.dims[0], &channels);
    dim_is_const(w->type.dims[2], &taps);
    if (past) {
        x = build_concat(b, past, x, 2);
    } else {
        const int64_t pads[] = {0, 0, taps - 1, 0, 0, 0};
        x = build_value(b, build_node(b, OP_Pad, (Value *[]){x, const_ints_value(b->r->g, pads, 6)}, 2));
    }
    Node *conv = build_node(b, OP_Conv, (Value *[]){x, w, bias}, bias ? 3 : 2);
    if (conv) node_set_int(conv, "group", channels);
    Value *y = build_value(b, conv);
    if (node_enum(n, "activation")) y = build_op(b, OP_Swish, y, NULL);
    build_output(b, 0, y);
    if (build_wants(b, 1)) build_output(b, 1, build_slice(b, x, 2, taps > 1 ? 1 - taps : INT64_MAX, INT64_MAX, 1));
    build_end(b);
}
