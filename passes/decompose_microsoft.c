/* ONNX Runtime's own operators (com.microsoft) whose form depends on dims, from others: see frontend/infer/microsoft.c.
 */
#include <float.h>
#include <math.h>
#include "passes/decompose.h"

static Dim fixed(Build *b, int64_t n) { return dim_const(b->r->ctx, n); }
static Dtype computed_in(Dtype t) { return t == DT_F64 ? DT_F64 : DT_F32; }

static int64_t known(Dim d) {
    int64_t n = 1;
    dim_is_const(d, &n);
    return n;
}

static Value *add(Build *b, Value *x, Value *y) { return x && y ? build_op(b, OP_Add, x, y) : x ? x : y; }
static Value *minus(Build *b, Value *x, Value *y) { return build_op(b, OP_Sub, x, y); }

/* ---- FusedMatMul ---- */

/* batch: the axes between the first and the last come first; last: the last two change places */
static Value *turned(Build *b, Value *x, bool last, bool batch) {
    int64_t perm[MCC_MAX_RANK];
    int rank = x->type.rank;
    if (rank < 2 || (!last && !batch)) return x;
    for (int i = 0; i < rank; i++) perm[i] = batch && i < rank - 2 ? i + 1 : batch && i == rank - 2 ? 0 : i;
    if (last) {
        int64_t p = perm[rank - 1];
        perm[rank - 1] = perm[rank - 2];
        perm[rank - 2] = p;
    }
    return build_transpose(b, x, perm);
}

void decompose_fused_matmul(Build *b) {
    Node *n = b->at;
    Value *x = turned(b, n->in[0], node_int(n, "transA") != 0, node_int(n, "transBatchA") != 0);
    Value *y = turned(b, n->in[1], node_int(n, "transB") != 0, node_int(n, "transBatchB") != 0);
    double alpha = node_float(n, "alpha");
    Value *product = build_op(b, OP_MatMul, x, y);
    if (alpha != 1) product = build_op(b, OP_Mul, product, build_scalar(b, n->in[0]->type.dtype, alpha));
    build_output(b, 0, product);
    build_end(b);
}

/* ---- RotaryEmbedding ---- */

/* The angles of positions, [batch or 1, length], with an axis of heads before `axis` */
static Value *angles(Build *b, Value *table, Value *positions, int axis) {
    return build_unsqueeze(b, build_gather(b, OP_Gather, table, positions, 0), axis);
}

void decompose_positioned_rotary(Build *b) {
    Node *n = b->at;
    Value *x = n->in[0], *positions = n->in[1];
    const Type *form = &x->type;
    int64_t half = known(n->in[2]->type.dims[1]), heads = node_int(n, "num_heads"),
            count = node_int(n, "rotary_embedding_dim");
    bool flat = form->rank == 3;
    if (flat) {
        Dim depth = heads > 0 ? dim_floordiv(b->r->ctx, form->dims[2], fixed(b, heads)) : fixed(b, 2 * half);
        x = build_view(b, x, 4,
                       (Dim[]){form->dims[0], form->dims[1], dim_floordiv(b->r->ctx, form->dims[2], depth), depth});
    }
    if (positions->type.rank == 1) positions = build_op(b, OP_Add, build_indices(b, x, flat ? 1 : 2, 2, 1), positions);
    Value *cosine = angles(b, n->in[2], positions, flat ? 2 : 1), *sine = angles(b, n->in[3], positions, flat ? 2 : 1);
    Value *y = build_rotated(b, x, cosine, sine, count ? count : 2 * half, node_int(n, "interleaved") != 0);
    build_output(b, 0, build_view(b, y, form->rank, form->dims));
    build_end(b);
}

/* ---- masks: what is masked loses, so that a row that is masked altogether has the weights of its scores ---- */

/* column <= row + the length of the past: what a row of Q may see */
static Value *seen_keys(Build *b, Value *q, Value *k, Value *past) {
    if (b->failed) return NULL;
    Value *row = build_indices(b, q, 2, 2, 0), *column = build_indices(b, k, 2, 2, 1);
    if (past) row = build_op(b, OP_Add, row, build_size(b, past, past->type.rank - 2));
    return build_op(b, OP_LessOrEqual, column, row);
}

/* Where keys end, [batch], and behind that perhaps where those of Attention begin, or what MultiHeadAttention ignores
 */
static Value *keys_between(Build *b, Value *mask, Value *k) {
    Ctx *ctx = b->r->ctx;
    const Dim batch = b->at->in[0]->type.dims[0], one = fixed(b, 1), two = fixed(b, 2), dims[] = {batch, one, one, one};
    const Dim twice = dim_mul(ctx, batch, two), all = dim_add(ctx, dim_add(ctx, twice, batch), two);
    bool own = b->at->op == OP_ProjectedAttention, begin = own && mask->type.dims[0] == twice;
    Value *end = build_cast(b, mask, DT_I64), *start = NULL;
    if (begin) {
        Value *both = build_view(b, end, 2, (Dim[]){two, batch});
        end = build_slice(b, both, 0, 0, 1, 1);
        start = build_view(b, build_slice(b, both, 0, 1, 2, 1), 4, dims);
    } else if (!own && mask->type.dims[0] == all) {
        end = build_gather(b, OP_Gather, end, build_indices(b, b->at->in[0], 0, 1, 0), 0);
    }
    end = build_view(b, end, 4, dims);
    if (b->failed) return NULL;
    Value *key = build_indices(b, k, 2, 1, 0), *counts = build_op(b, OP_Less, key, end);
    return begin ? build_op(b, OP_And, counts, build_op(b, OP_GreaterOrEqual, key, start)) : counts;
}

/* int32 [batch] lengths, [batch, keys] or [batch, queries, keys] of which 1 counts, as bool of 4 axes */
static Value *counted_keys(Build *b, Value *mask, Value *k) {
    const Dim *d = mask->type.dims, one = fixed(b, 1);
    if (mask->type.rank == 1) return keys_between(b, mask, k);
    bool flat = mask->type.rank == 2;
    Value *is = build_op(b, OP_Greater, mask, build_scalar(b, DT_I32, 0));
    return build_view(b, is, 4, (Dim[]){d[0], one, flat ? one : d[1], d[flat ? 1 : 2]});
}

/* What is added to the scores: `filter` where a key does not count, the lowest number beyond the diagonal, and `more`
 */
static Value *mask_bias(Build *b, Value *mask, Value *more, Value *q, Value *k, Dtype t) {
    Value *bias = more ? build_cast(b, more, t) : NULL, *zero = build_scalar(b, t, 0);
    double filter = node_float(b->at, "mask_filter_value");
    if (mask) bias = add(b, bias, build_where(b, counted_keys(b, mask, k), zero, build_scalar(b, t, filter)));
    if (!node_int(b->at, "unidirectional")) return bias;
    Value *seen = seen_keys(b, q, k, node_in(b->at, b->at->op == OP_MultiHeadAttention ? 6 : 4));
    return add(b, bias, build_where(b, seen, zero, build_scalar(b, t, -FLT_MAX)));
}

/* ---- Attention, MultiHeadAttention ---- */

typedef struct Side {    /* of K or V */
    Value *fresh, *past; /* past: or NULL */
    int out;             /* the output of what is kept; -1: none */
} Side;

/* [batch, keys, heads · depth] or [batch, heads, keys, depth] behind the past */
static Value *kept(Build *b, Side s, int64_t heads) {
    Value *x = build_heads(b, s.fresh, heads, 1, false);
    if (s.past) x = build_concat(b, s.past, x, 2);
    if (s.out >= 0) build_output(b, s.out, x);
    return x;
}

/* y = attention of q, [batch, queries, heads · depth], on k and v */
static void attend(Build *b, Value *q, Value *k, Value *v, int64_t heads, Value *mask, Value *more) {
    Dtype form = b->at->in[0]->type.dtype, t = computed_in(form);
    Attend a = {
        .q = build_cast(b, build_heads(b, q, heads, 1, false), t), .k = build_cast(b, k, t), .v = build_cast(b, v, t)};
    if (b->failed) return;
    double scale = node_float(b->at, "scale"); /* 0: the usual one */
    a.scale =
        node_attr(b->at, "scale") && scale == 0 ? 1 / sqrt((double)known(a.k->type.dims[3])) : build_scale(b->at, a.k);
    a.bias = mask_bias(b, mask, more, a.q, a.k, t);
    Value *y = build_joined(b, build_attend(b, &a), &b->at->out[0]->type, false);
    if (b->at->op == OP_MultiHeadAttention) build_output(b, 3, build_cast(b, a.stage[0], form));
    build_output(b, 0, build_cast(b, y, form));
    build_end(b);
}

/* a piece of the biases, on x */
static Value *with_bias(Build *b, Value *x, Value *bias, int64_t from, int64_t to) {
    return bias ? build_op(b, OP_Add, x, build_slice(b, bias, 0, from, to, 1)) : x;
}

/* Operand i of those side by side in x, [batch, length, heads, count, depth], as [batch, length, heads · depth] */
static Value *unpacked(Build *b, Value *x, int64_t i) {
    const Dim *d = x->type.dims;
    Dim wide = dim_mul(b->r->ctx, d[2], d[4]);
    return build_view(b, build_slice(b, x, 3, i, i + 1, 1), 3, (Dim[]){d[0], d[1], wide});
}

void decompose_multi_head(Build *b) {
    Node *n = b->at;
    Value *bias = node_in(n, 3), *q = n->in[0], *k = node_in(n, 1), *v = node_in(n, 2);
    int64_t heads = node_int(n, "num_heads");
    if (!v) v = unpacked(b, k ? k : q, k ? 1 : 2);
    if (!k) k = unpacked(b, q, 1), q = unpacked(b, q, 0);
    else if (k->type.rank == 5) k = unpacked(b, k, 0);
    if (b->failed) return;
    int64_t wide = known(q->type.dims[2]);
    q = with_bias(b, q, bias, 0, wide);
    k = with_bias(b, k, bias, wide, 2 * wide);
    v = with_bias(b, v, bias, 2 * wide, INT64_MAX);
    k = kept(b, (Side){k, node_in(n, 6), 1}, heads);
    v = kept(b, (Side){v, node_in(n, 7), 2}, heads);
    attend(b, q, k, v, heads, node_in(n, 4), node_in(n, 5));
}

/* The first or second half of the past, [2, batch, heads, length, depth] */
static Value *past_half(Build *b, Value *past, int64_t i) {
    if (!past) return NULL;
    return build_view(b, build_slice(b, past, 0, i, i + 1, 1), 4, past->type.dims + 1);
}

void decompose_projected(Build *b) {
    Node *n = b->at;
    const int64_t *sizes;
    int64_t heads = node_int(n, "num_heads"), total = known(n->in[1]->type.dims[1]);
    int given = node_ints(n, "qkv_hidden_sizes", &sizes);
    int64_t wide = given ? sizes[0] : total / 3;
    Value *all = build_op(b, OP_MatMul, n->in[0], n->in[1]), *past = node_in(n, 4);
    if (node_in(n, 2)) all = build_op(b, OP_Add, all, n->in[2]);
    Value *q = build_slice(b, all, 2, 0, wide, 1);
    Value *k = kept(b, (Side){build_slice(b, all, 2, wide, 2 * wide, 1), past_half(b, past, 0), -1}, heads);
    Value *v = kept(b, (Side){build_slice(b, all, 2, 2 * wide, INT64_MAX, 1), past_half(b, past, 1), -1}, heads);
    if (build_wants(b, 1)) build_output(b, 1, build_concat(b, build_unsqueeze(b, k, 0), build_unsqueeze(b, v, 0), 0));
    attend(b, q, k, v, heads, node_in(n, 3), node_in(n, 5));
}

/* ---- GroupQueryAttention ---- */

typedef struct Group {
    int64_t outer, inner, depth; /* heads of K and V, of Q for each of them, numbers of each */
    Value *length;               /* of the past that counts, int64 [batch]; NULL: 0 */
    Value *place;                /* of every row of Q among the keys, int64 [batch or 1, queries] */
    Dim keys;                    /* length of what is kept */
} Group;

/* A past as long as the place of the last key says, or none while all that there is is new. A length that is not the
 * one that the present was made for is -1, which no cache takes. */
static void find_past(Build *b, Group *g) {
    Node *n = b->at;
    Value *past = node_in(n, 3), *q = n->in[0], *total = build_view(b, build_cast(b, n->in[6], DT_I64), 0, NULL);
    if (past && !dim_is(past->type.dims[2], 0)) {
        Value *last = build_view(b, build_cast(b, n->in[5], DT_I64), 1, &q->type.dims[0]);
        Value *fresh = build_view(b, build_size(b, q, 1), 0, NULL), *one = build_scalar(b, DT_I64, 1);
        Value *first = build_op(b, OP_Equal, total, fresh);
        g->length = build_where(b, first, build_scalar(b, DT_I64, 0), minus(b, build_op(b, OP_Add, last, one), fresh));
    }
    g->place = b->failed ? NULL : build_indices(b, q, 1, 2, 1);
    if (g->length)
        g->place = build_op(b, OP_Add, g->place, build_view(b, g->length, 2, (Dim[]){q->type.dims[0], fixed(b, 1)}));
}

/* Where new keys are written: where the past ends, if all together are as many as the present holds, or fit the past */
static Value *write_places(Build *b, const Group *g) {
    Node *n = b->at;
    Value *past = n->in[3], *total = build_view(b, build_cast(b, n->in[6], DT_I64), 0, NULL);
    if (b->failed || g->keys == past->type.dims[2]) return g->length;
    Value *room = build_view(b, build_op(b, OP_Add, build_size(b, past, 2), build_size(b, n->in[0], 1)), 0, NULL);
    if (value_content(n->in[6]) == 1 || n->in[6]->constant) return g->length;
    return build_where(b, build_op(b, OP_Equal, total, room), g->length, build_scalar(b, DT_I64, -1));
}

/* x, [batch, heads, new, depth], in the cache */
static Value *cached(Build *b, const Group *g, Value *x, Value *past) {
    if (!g->length || b->failed) return x;
    const Dim *d = past->type.dims;
    Ctx *ctx = b->r->ctx;
    if (g->keys != d[2]) {
        Value *zeros = build_where(b, build_scalar(b, DT_BOOL, 1), build_scalar(b, x->type.dtype, 0), x);
        Dim more = dim_sub(ctx, g->keys, d[2]);
        if (more != x->type.dims[2] && !dim_is(more, known(x->type.dims[2]))) {
            diag_error(ctx, b->at, "a present of %s keys behind a past of %s and %s new ones is not supported",
                       dim_text(ctx, g->keys), dim_text(ctx, d[2]), dim_text(ctx, x->type.dims[2]));
            b->failed = true;
            return NULL;
        }
        past = build_concat(b, past, zeros, 2);
    }
    Node *scatter = build_node(b, OP_TensorScatter, (Value *[]){past, x, write_places(b, g)}, 3);
    if (scatter) node_set_int(scatter, "axis", 2);
    return build_value(b, scatter);
}

static Value *rotary(Build *b, Value *x, Value *places) {
    Node *n = b->at;
    if (!node_int(n, "do_rotary") || b->failed) return x;
    int64_t half = known(n->in[7]->type.dims[1]);
    return build_rotated(b, x, angles(b, n->in[7], places, 1), angles(b, n->in[8], places, 1), 2 * half,
                         node_int(n, "rotary_interleaved") != 0);
}

/* key <= place of the row, and within the window before it where there is one */
static Value *window_bias(Build *b, const Group *g, Value *k, Dtype t) {
    Node *n = b->at;
    int64_t window = node_int(n, "local_window_size");
    if (b->failed) return NULL;
    const Dim *d = g->place->type.dims;
    Value *place = build_view(b, g->place, 4, (Dim[]){d[0], fixed(b, 1), d[1], fixed(b, 1)}),
          *key = build_indices(b, k, 2, 1, 0);
    Value *seen = build_op(b, OP_LessOrEqual, key, place);
    if (window > 0)
        seen = build_op(b, OP_And, seen,
                        build_op(b, OP_Greater, key, minus(b, place, build_scalar(b, DT_I64, (double)window))));
    Value *bias = build_where(b, seen, build_scalar(b, t, 0), build_scalar(b, t, -INFINITY));
    return node_in(n, 10) ? build_op(b, OP_Add, build_cast(b, n->in[10], t), bias) : bias;
}

/* What a row of scores has beside its keys, as a number of each head or one of all: head_sink, or the 0 of
 * smooth_softmax; NULL: nothing */
static Value *sink_of(Build *b, const Group *g, Dtype t) {
    Node *n = b->at;
    const Dim one = fixed(b, 1), outer = fixed(b, g->outer), inner = fixed(b, g->inner);
    if (!node_in(n, 11)) return node_int(n, "smooth_softmax") == 1 ? build_scalar(b, t, 0) : NULL;
    Value *sink = build_cast(b, n->in[11], t);
    return g->inner > 1 ? build_view(b, sink, 5, (Dim[]){one, outer, inner, one, one})
                        : build_view(b, sink, 4, (Dim[]){one, outer, one, one});
}

/* The scores, or weights, of all heads */
static void show_scores(Build *b, const Attend *a) {
    Node *n = b->at;
    if (!build_wants(b, 3)) return;
    bool weights = node_int(n, "qk_output") == 2;
    Value *shown = a->stage[weights ? 3 : 2];
    if (b->failed) return;
    if (!weights) /* what is masked shows 0 */
        shown = build_where(b, build_op(b, OP_IsInf, shown, NULL), build_scalar(b, shown->type.dtype, 0), shown);
    build_output(b, 3, build_cast(b, build_view(b, shown, 4, n->out[3]->type.dims), n->out[3]->type.dtype));
}

void decompose_group_query(Build *b) {
    Node *n = b->at;
    const Type *form = &n->in[0]->type, *y = &n->out[0]->type;
    Group g = {.outer = node_int(n, "kv_num_heads")};
    int64_t heads = node_int(n, "num_heads");
    g.inner = heads / g.outer;
    g.depth = known(y->dims[2]) / heads;
    Value *q = n->in[0], *k = node_in(n, 1), *v = node_in(n, 2), *past = node_in(n, 3);
    bool shared = g.inner > 1;
    int64_t wide = heads * g.depth, narrow = g.outer * g.depth;
    if (!k) {
        Value *all = q;
        q = build_slice(b, all, 2, 0, wide, 1);
        k = build_slice(b, all, 2, wide, wide + narrow, 1);
        v = build_slice(b, all, 2, wide + narrow, INT64_MAX, 1);
    }
    find_past(b, &g);
    Value *places = node_in(n, 9) ? n->in[9] : g.place;
    q = rotary(b, build_heads(b, q, heads, 1, false), places);
    k = rotary(b, build_heads(b, k, g.outer, 1, false), places);
    v = build_heads(b, v, g.outer, 1, false);
    if (b->failed) return;
    g.keys = build_wants(b, 1) ? n->out[1]->type.dims[2]
             : past            ? dim_add(b->r->ctx, past->type.dims[2], k->type.dims[2])
                               : k->type.dims[2];
    k = cached(b, &g, k, past);
    v = cached(b, &g, v, node_in(n, 4));
    build_output(b, 1, k);
    build_output(b, 2, v);
    Dtype t = computed_in(form->dtype);
    Attend a = {.k = build_cast(b, k, t),
                .v = build_cast(b, v, t),
                .softcap = node_float(n, "softcap"),
                .scale = node_float(n, "scale")};
    if (b->failed) return;
    if (a.scale == 0) a.scale = 1 / sqrt((double)g.depth);
    a.bias = window_bias(b, &g, a.k, t);
    a.q = build_cast(b, build_heads(b, q, g.outer, g.inner, shared), t);
    if (shared) {
        a.bias = b->failed ? NULL : build_grouped_bias(b, a.bias, g.outer, g.inner);
        a.k = build_unsqueeze(b, a.k, 2);
        a.v = build_unsqueeze(b, a.v, 2);
    }
    a.sink = sink_of(b, &g, t);
    Value *out = build_joined(b, build_attend(b, &a), y, shared);
    show_scores(b, &a);
    build_output(b, 0, build_cast(b, out, form->dtype));
    build_end(b);
}
