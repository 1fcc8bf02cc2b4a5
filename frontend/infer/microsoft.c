/* ONNX Runtime's own operators (com.microsoft) whose form depends on dims; frontend/microsoft.c brings the others to
 * the standard's.
 *
 *   FusedMatMul            alpha · a · b, each perhaps transposed, in the last two axes or the batch behind the first
 *   PositionedRotary       RotaryEmbedding: x, positions ([1]: of the first step), cosines, sines
 *   ProjectedAttention     Attention: x, weights and bias of Q, K and V side by side, mask, past, bias of the scores
 *   MultiHeadAttention     Q, K, V, their biases, mask, bias of the scores, past K, past V; Q, K and V of a head side
 * by side, or K and V, are one tensor of 5 axes GroupQueryAttention    Q, K, V, past K, past V, last place of each
 * batch, length of all, cosines, sines, positions, bias, sinks
 */
#include "frontend/infer/heads.h"
#include "frontend/infer/infer.h"

/* ---- FusedMatMul ---- */

static bool turn(Ctx *ctx, const Node *n, int in, bool last, bool batch, Type *t) {
    *t = *type_of(n, in);
    int rank = t->rank;
    if (batch && rank < 3) return fail(ctx, n, "input %d has no batch to be transposed with", in);
    Dim first = t->dims[0];
    for (int i = 0; batch && i < rank - 2; i++) t->dims[i] = t->dims[i + 1];
    if (batch) t->dims[rank - 2] = first;
    if (last && rank > 1) {
        Dim d = t->dims[rank - 1];
        t->dims[rank - 1] = t->dims[rank - 2];
        t->dims[rank - 2] = d;
    }
    return true;
}

bool infer_fused_matmul(Ctx *ctx, Node *n) {
    Type y;
    if (!infer_begin(ctx, n) || !need_same_dtype(ctx, n, 1, 0) || !need_rank(ctx, n, 0, 1, MCC_MAX_RANK) ||
        !need_rank(ctx, n, 1, 1, MCC_MAX_RANK))
        return false;
    Value a = *n->in[0], b = *n->in[1], *in[] = {&a, &b};
    Node turned = *n;
    turned.in = in;
    return turn(ctx, n, 0, node_int(n, "transA") != 0, node_int(n, "transBatchA") != 0, &a.type) &&
           turn(ctx, n, 1, node_int(n, "transB") != 0, node_int(n, "transBatchB") != 0, &b.type) &&
           matmul_shape(ctx, &turned, 1, &y) && set_output(ctx, n, 0, y.dtype, y.rank, y.dims);
}

/* ---- RotaryEmbedding ---- */

static bool table_fits(Ctx *ctx, const Node *n, int in, int64_t half) {
    return need_same_dtype(ctx, n, in, 0) && need_rank(ctx, n, in, 2, 2) &&
           equal_dims(ctx, n, type_of(n, in)->dims[1], dim_const(ctx, half),
                      "the number of angles and half of what is rotated");
}

/* How long a head is: 4 axes or num_heads tell, else it is all rotated */
static bool head_depth(Ctx *ctx, const Node *n, int64_t half, int64_t *depth) {
    const Type *x = type_of(n, 0);
    int64_t heads = node_int(n, "num_heads");
    Dim d = x->dims[x->rank - 1];
    if (x->rank == 3 && heads > 0) {
        if (!need_divisible(ctx, n, d, heads, "the size of all heads")) return false;
        d = dim_floordiv(ctx, d, dim_const(ctx, heads));
    } else if (x->rank == 3) {
        if (heads < 0 || half < 1 || !need_divisible(ctx, n, d, 2 * half, "the size of all heads")) return false;
        d = dim_const(ctx, 2 * half);
    }
    return dim_is_const(d, depth) || fail(ctx, n, "the size of a head, %s, must be pinned (--dim)", dim_text(ctx, d));
}

bool infer_positioned_rotary(Ctx *ctx, Node *n) {
    int64_t half, depth, turned = node_int(n, "rotary_embedding_dim");
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 3, 4) || !need_dtype_is(ctx, n, 1, DT_I64) ||
        !need_rank(ctx, n, 1, 1, 2))
        return false;
    const Type *x = type_of(n, 0), *at = type_of(n, 1);
    if (node_int(n, "is_packed_batching")) return fail(ctx, n, "is_packed_batching is not supported");
    if (node_float(n, "scale") != 1) return fail(ctx, n, "a scale is not supported");
    if (turned > 0 && x->rank == 3 && node_int(n, "num_heads") < 1)
        return fail(ctx, n, "rotary_embedding_dim needs num_heads");
    if (!need_rank(ctx, n, 2, 2, 2)) return false;
    if (!dim_is_const(type_of(n, 2)->dims[1], &half) || half > INT32_MAX)
        return fail(ctx, n, "the number of angles, %s, must be known", dim_text(ctx, type_of(n, 2)->dims[1]));
    if (!head_depth(ctx, n, half, &depth)) return false;
    if (!turned) turned = depth;
    if (turned < 2 || turned > depth || turned % 2)
        return fail(ctx, n, "%lld of the %lld numbers of a head cannot be rotated in pairs", (long long)turned,
                    (long long)depth);
    if (!table_fits(ctx, n, 2, turned / 2) || !table_fits(ctx, n, 3, turned / 2)) return false;
    bool fits = at->rank == 1
                    ? equal_dims(ctx, n, at->dims[0], dim_const(ctx, 1), "the number of positions and 1") != NULL
                    : equal_dims(ctx, n, at->dims[0], x->dims[0], "the batch sizes of positions and input") &&
                          equal_dims(ctx, n, at->dims[1], x->dims[x->rank - 2], "the lengths of positions and input");
    return fits && set_output_like(ctx, n, 0, 0);
}

/* ---- Attention, MultiHeadAttention ---- */

/* int32: lengths [batch], of Attention perhaps with where they begin behind them, [2 · batch], of MultiHeadAttention
 * with places that the processor's form of it ignores, [3 · batch + 2]; or what counts, [batch, keys] or [batch,
 * queries, keys] */
static bool key_mask_fits(Ctx *ctx, const Node *n, int in, Dim batch, Dim queries, Dim keys) {
    if (!node_in(n, in)) return true;
    const Type *m = type_of(n, in);
    if (!need_dtype_is(ctx, n, in, DT_I32) || !need_rank(ctx, n, in, 1, 3)) return false;
    Dim twice = dim_mul(ctx, batch, dim_const(ctx, 2)),
        more = dim_add(ctx, dim_add(ctx, twice, batch), dim_const(ctx, 2));
    if (m->rank == 1 && m->dims[0] == (n->op == OP_MultiHeadAttention ? more : twice)) return true;
    if (!equal_dims(ctx, n, m->dims[0], batch, "the batch sizes of mask and input")) return false;
    if (m->rank == 3 && !equal_dims(ctx, n, m->dims[1], queries, "the queries of the mask and of the scores"))
        return false;
    return m->rank == 1 || equal_dims(ctx, n, m->dims[m->rank - 1], keys, "the keys of the mask and of the scores");
}

/* added to scores of [batch, heads, queries, keys] */
static bool score_bias_fits(Ctx *ctx, const Node *n, int in, const Dim *scores) {
    if (!node_in(n, in)) return true;
    const Type *t = type_of(n, in);
    if (!need_same_dtype(ctx, n, in, 0) || !need_rank(ctx, n, in, 4, 4)) return false;
    for (int i = 0; i < 4; i++)
        if (!dim_is(t->dims[i], 1) && !equal_dims(ctx, n, t->dims[i], scores[i], "sizes of attention_bias and scores"))
            return false;
    return true;
}

static bool past_fits(Ctx *ctx, const Node *n, int in, Dim batch, int64_t heads, Dim depth) {
    const Type *t = type_of(n, in);
    return need_same_dtype(ctx, n, in, 0) && need_rank(ctx, n, in, 4, 4) &&
           equal_dims(ctx, n, t->dims[0], batch, "the batch sizes of past and input") &&
           equal_dims(ctx, n, t->dims[1], dim_const(ctx, heads), "the heads of the past and of K") &&
           equal_dims(ctx, n, t->dims[3], depth, "the sizes of a head of the past and of K or V");
}

bool infer_projected_attention(Ctx *ctx, Node *n) {
    const int64_t *sizes;
    int64_t heads = node_int(n, "num_heads"), total, wide[3];
    int given = node_ints(n, "qkv_hidden_sizes", &sizes);
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 3, 3) || !need_same_dtype(ctx, n, 1, 0) ||
        !need_rank(ctx, n, 1, 2, 2))
        return false;
    const Type *x = type_of(n, 0), *w = type_of(n, 1);
    if (node_int(n, "do_rotary") || node_int(n, "past_present_share_buffer"))
        return fail(ctx, n, "do_rotary and past_present_share_buffer are not supported");
    if (heads < 1) return fail(ctx, n, "num_heads is %lld, must be at least 1", (long long)heads);
    if (!equal_dims(ctx, n, w->dims[0], x->dims[2], "the inner sizes of input and weights")) return false;
    if (!dim_is_const(w->dims[1], &total) || (given && given != 3) || (!given && total % 3))
        return fail(ctx, n, "its weights have %s columns, which are not those of Q, K and V",
                    dim_text(ctx, w->dims[1]));
    for (int i = 0; i < 3; i++) {
        wide[i] = given ? sizes[i] : total / 3;
        if (wide[i] < 1 || wide[i] > total || wide[i] % heads)
            return fail(ctx, n, "%lld columns cannot be shared by %lld heads", (long long)wide[i], (long long)heads);
    }
    if (wide[0] != wide[1] || wide[0] + wide[1] + wide[2] != total)
        return fail(ctx, n, "qkv_hidden_sizes do not fit the weights' %lld columns", (long long)total);
    if (node_in(n, 2) && (!need_same_dtype(ctx, n, 2, 0) || !need_rank(ctx, n, 2, 1, 1) ||
                          !equal_dims(ctx, n, type_of(n, 2)->dims[0], w->dims[1], "the numbers of biases and columns")))
        return false;
    Dim keys = x->dims[1], depth = dim_const(ctx, wide[0] / heads), one = dim_const(ctx, heads);
    if (node_in(n, 4)) {
        const Type *past = type_of(n, 4);
        if (!need_same_dtype(ctx, n, 4, 0) || !need_rank(ctx, n, 4, 5, 5) || wide[2] != wide[0] ||
            !equal_dims(ctx, n, past->dims[0], dim_const(ctx, 2), "the first axis of the past and 2") ||
            !equal_dims(ctx, n, past->dims[1], x->dims[0], "the batch sizes of past and input") ||
            !equal_dims(ctx, n, past->dims[2], one, "the heads of the past") ||
            !equal_dims(ctx, n, past->dims[4], depth, "the size of a head of the past"))
            return fail(ctx, n, "its past does not fit");
        keys = dim_add(ctx, past->dims[3], keys);
    }
    Dim scores[] = {x->dims[0], one, x->dims[1], keys};
    if (!key_mask_fits(ctx, n, 3, x->dims[0], x->dims[1], keys) || !score_bias_fits(ctx, n, 5, scores)) return false;
    if (n->n_out > 1 && n->out[1] && wide[2] != wide[0])
        return fail(ctx, n, "K and V of one present need the same size");
    return set_output(ctx, n, 0, x->dtype, 3, (Dim[]){x->dims[0], x->dims[1], dim_const(ctx, wide[2])}) &&
           set_output(ctx, n, 1, x->dtype, 5, (Dim[]){dim_const(ctx, 2), x->dims[0], one, keys, depth});
}

/* [batch, length, heads, count, depth]: what a head has of `count` operands side by side */
static bool packed_read(Ctx *ctx, const Node *n, int in, int count, Heads *h) {
    const Type *t = type_of(n, in);
    *h = (Heads){node_int(n, "num_heads"), t->dims[0], t->dims[1], t->dims[4]};
    return equal_dims(ctx, n, t->dims[2], dim_const(ctx, h->count), "the heads of a packed input and num_heads") &&
           equal_dims(ctx, n, t->dims[3], dim_const(ctx, count), "axis 3 of a packed input and what it packs");
}

/* Q, K and V apart, K and V in one, or all in one; flat: K and V are no heads yet */
static bool operands_read(Ctx *ctx, const Node *n, Heads *q, Heads *k, Heads *v, bool *flat) {
    *flat = true;
    if (!node_in(n, 1)) {
        if (node_in(n, 2)) return fail(ctx, n, "it has V, but not K");
        if (!need_rank(ctx, n, 0, 5, 5) || !packed_read(ctx, n, 0, 3, q)) return false;
        *k = *v = *q;
        return true;
    }
    if (!need_same_dtype(ctx, n, 1, 0) || !need_rank(ctx, n, 0, 3, 3) || !heads_read(ctx, n, 0, "num_heads", q))
        return false;
    if (!node_in(n, 2)) {
        if (!need_rank(ctx, n, 1, 5, 5) || !packed_read(ctx, n, 1, 2, k)) return false;
        *v = *k;
        return !node_in(n, 3) || fail(ctx, n, "it has biases, which K and V in one tensor do not take");
    }
    *flat = type_of(n, 1)->rank == 3;
    if (!need_same_dtype(ctx, n, 2, 0) || !heads_read(ctx, n, 1, "num_heads", k) ||
        !heads_read(ctx, n, 2, "num_heads", v))
        return false;
    return type_of(n, 2)->rank == type_of(n, 1)->rank || fail(ctx, n, "K and V have other numbers of axes");
}

bool infer_multi_head_attention(Ctx *ctx, Node *n) {
    Heads q, k, v;
    bool flat;
    if (!infer_begin(ctx, n) || !operands_read(ctx, n, &q, &k, &v, &flat)) return false;
    if (k.count != q.count || v.count != q.count) return fail(ctx, n, "K or V has other heads than Q");
    if (!equal_dims(ctx, n, q.batch, k.batch, "the batch sizes of Q and K") ||
        !equal_dims(ctx, n, q.batch, v.batch, "the batch sizes of Q and V") ||
        !equal_dims(ctx, n, q.depth, k.depth, "the sizes of a head of Q and K") ||
        !equal_dims(ctx, n, k.length, v.length, "the lengths of K and V"))
        return false;
    int64_t depth;
    if (!dim_is_const(q.depth, &depth) || depth < 1)
        return fail(ctx, n, "the size of a head, %s, must be known, and at least 1", dim_text(ctx, q.depth));
    if (node_in(n, 3)) {
        Dim all = dim_mul(ctx, dim_const(ctx, q.count), dim_add(ctx, dim_add(ctx, q.depth, k.depth), v.depth));
        if (!flat) return fail(ctx, n, "a bias of K and V that are heads already is not supported");
        if (!need_same_dtype(ctx, n, 3, 0) || !need_rank(ctx, n, 3, 1, 1) ||
            !equal_dims(ctx, n, type_of(n, 3)->dims[0], all, "the numbers of biases and columns"))
            return false;
    }
    if (!node_in(n, 6) != !node_in(n, 7)) return fail(ctx, n, "it has the past of only one of K and V");
    Dim keys = k.length, heads = dim_const(ctx, q.count);
    if (node_in(n, 6)) {
        if (!past_fits(ctx, n, 6, q.batch, q.count, k.depth) || !past_fits(ctx, n, 7, q.batch, q.count, v.depth) ||
            !equal_dims(ctx, n, type_of(n, 6)->dims[2], type_of(n, 7)->dims[2], "the lengths of the pasts"))
            return false;
        keys = dim_add(ctx, type_of(n, 6)->dims[2], keys);
    }
    Dim scores[] = {q.batch, heads, q.length, keys};
    if (!key_mask_fits(ctx, n, 4, q.batch, q.length, keys) || !score_bias_fits(ctx, n, 5, scores)) return false;
    Dtype t = type_of(n, 0)->dtype;
    return set_output(ctx, n, 0, t, 3, (Dim[]){q.batch, q.length, dim_mul(ctx, heads, v.depth)}) &&
           set_output(ctx, n, 1, t, 4, (Dim[]){q.batch, heads, keys, k.depth}) &&
           set_output(ctx, n, 2, t, 4, (Dim[]){q.batch, heads, keys, v.depth}) && set_output(ctx, n, 3, t, 4, scores);
}

/* ---- GroupQueryAttention ---- */

/* The length of the present: as long as all, or as the past where that is longer. Where all is known at run time only,
 * a present that is declared as long as the past is one, else it is as long as past and new together. */
static Dim present_length(Ctx *ctx, const Node *n, Dim fresh) {
    const Value *total = n->in[6], *shown = n->n_out > 1 ? n->out[1] : NULL;
    Dim past = node_in(n, 3) ? type_of(n, 3)->dims[2] : NULL, all = NULL;
    int64_t t;
    if (!past || dim_is(past, 0)) return fresh;
    if (value_content(total) == 1) all = total->content[0];
    else if (total->constant && dim_is_const(dim_const(ctx, tensor_int(total->constant, 0)), &t))
        all = dim_const(ctx, t);
    if (all) return dim_max(ctx, past, all);
    bool same = shown && shown->type.kind == TYPE_TENSOR && shown->type.rank == 4 && shown->type.dims[2] == past;
    return same ? past : dim_add(ctx, past, fresh);
}

/* Q beside K and V, or each by itself */
static bool query_depth(Ctx *ctx, const Node *n, int64_t heads, int64_t kept, int64_t *depth) {
    int64_t all, side = node_in(n, 1) ? heads : heads + 2 * kept;
    Dim d = type_of(n, 0)->dims[2];
    if (!dim_is_const(d, &all)) return fail(ctx, n, "the size of all heads, %s, must be known", dim_text(ctx, d));
    *depth = all / side;
    return (*depth > 0 && all % side == 0) ||
           fail(ctx, n, "%lld numbers cannot be shared by %lld heads", (long long)all, (long long)side);
}

static bool rotary_fits(Ctx *ctx, const Node *n, int64_t depth) {
    if (!node_int(n, "do_rotary")) return true;
    int64_t half;
    if (!node_in(n, 7) || !node_in(n, 8)) return fail(ctx, n, "do_rotary needs cosines and sines");
    if (!need_rank(ctx, n, 7, 2, 2) || !dim_is_const(type_of(n, 7)->dims[1], &half) || half < 1 || half > depth / 2)
        return fail(ctx, n, "cosines of shape %s do not fit heads of %lld numbers", shape_text(ctx, n->in[7]),
                    (long long)depth);
    return table_fits(ctx, n, 7, half) && table_fits(ctx, n, 8, half);
}

bool infer_group_query_attention(Ctx *ctx, Node *n) {
    int64_t heads = node_int(n, "num_heads"), kept = node_int(n, "kv_num_heads"), depth;
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 3, 3)) return false;
    const Type *q = type_of(n, 0);
    if (heads < 1 || kept < 1 || heads > INT32_MAX || heads % kept)
        return fail(ctx, n, "%lld heads of Q cannot share %lld of K and V", (long long)heads, (long long)kept);
    if (node_float(n, "softcap") < 0)
        return fail(ctx, n, "softcap is %g, must not be negative", node_float(n, "softcap"));
    if (!node_in(n, 1) != !node_in(n, 2) || !node_in(n, 3) != !node_in(n, 4))
        return fail(ctx, n, "it has only one of K and V, or of their pasts");
    if (!node_in(n, 5) || !node_in(n, 6)) return fail(ctx, n, "seqlens_k or total_sequence_length is missing");
    if (!query_depth(ctx, n, heads, kept, &depth) || !rotary_fits(ctx, n, depth)) return false;
    for (int i = 1; i < 3 && node_in(n, i); i++) {
        if (!need_same_dtype(ctx, n, i, 0) || !need_rank(ctx, n, i, 3, 3)) return false;
        const Type *t = type_of(n, i);
        if (!equal_dims(ctx, n, t->dims[0], q->dims[0], "batch sizes") ||
            !equal_dims(ctx, n, t->dims[1], q->dims[1], "lengths of Q, K and V") ||
            !equal_dims(ctx, n, t->dims[2], dim_const(ctx, kept * depth), "sizes of K or V and what their heads need"))
            return false;
    }
    Dim d = dim_const(ctx, depth), h = dim_const(ctx, kept);
    for (int i = 3; i < 5 && node_in(n, i); i++)
        if (!past_fits(ctx, n, i, q->dims[0], kept, d) ||
            !equal_dims(ctx, n, type_of(n, i)->dims[2], type_of(n, 3)->dims[2], "the lengths of the pasts"))
            return false;
    if (!need_dtype_is(ctx, n, 5, DT_I32) || !need_dtype_is(ctx, n, 6, DT_I32) || !need_scalar(ctx, n, 6) ||
        !need_rank(ctx, n, 5, 1, 2) ||
        !equal_dims(ctx, n, value_elements(ctx, n->in[5]), q->dims[0], "the number of places and the batch size"))
        return false;
    if (node_in(n, 9) &&
        (!need_dtype_is(ctx, n, 9, DT_I64) || !need_rank(ctx, n, 9, 2, 2) ||
         !equal_dims(ctx, n, type_of(n, 9)->dims[0], q->dims[0], "the batch sizes of positions and Q") ||
         !equal_dims(ctx, n, type_of(n, 9)->dims[1], q->dims[1], "the lengths of positions and Q")))
        return false;
    Dim keys = present_length(ctx, n, q->dims[1]), scores[] = {q->dims[0], dim_const(ctx, heads), q->dims[1], keys};
    if (!keys) return fail(ctx, n, "the length of the present overflows");
    if (!score_bias_fits(ctx, n, 10, scores)) return false;
    if (node_in(n, 11) && (!need_same_dtype(ctx, n, 11, 0) || !need_rank(ctx, n, 11, 1, 1) ||
                           !equal_dims(ctx, n, type_of(n, 11)->dims[0], scores[1], "the numbers of sinks and heads")))
        return false;
    int64_t shown = node_int(n, "qk_output");
    bool wanted = n->n_out > 3 && n->out[3];
    if (shown < 0 || shown > 2) return fail(ctx, n, "qk_output is %lld, must be 0 to 2", (long long)shown);
    if (wanted && !shown) return fail(ctx, n, "output 3 is asked for, but qk_output is 0");
    Dim present[] = {q->dims[0], h, keys, d};
    return set_output(ctx, n, 0, q->dtype, 3, (Dim[]){q->dims[0], q->dims[1], dim_const(ctx, heads * depth)}) &&
           set_output(ctx, n, 1, q->dtype, 4, present) && set_output(ctx, n, 2, q->dtype, 4, present) &&
           set_output(ctx, n, 3, q->dtype, 4, scores);
}
