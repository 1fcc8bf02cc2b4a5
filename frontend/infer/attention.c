/* Attention, RotaryEmbedding, CausalConvWithState: heads, sequences and what is kept of the past. */
#include "frontend/infer/infer.h"
#include "frontend/infer/heads.h"

/* How many heads input `in` has: on axis 1 of 4, or `attr` of them side by side on the last axis of 3 */
bool heads_read(Ctx *ctx, const Node *n, int in, const char *attr, Heads *h) {
    const Type *x = type_of(n, in);
    if (!need_rank(ctx, n, in, 3, 4)) return false;
    h->batch = x->dims[0];
    h->length = x->dims[x->rank - 2];
    h->depth = x->dims[x->rank - 1];
    if (x->rank == 4) {
        if (!dim_is_const(x->dims[1], &h->count))
            return fail(ctx, n, "input %d has %s heads: their number must be pinned (--dim)", in,
                        dim_text(ctx, x->dims[1]));
        return h->count > 0 || fail(ctx, n, "input %d has no heads", in);
    }
    h->count = node_int(n, attr);
    if (h->count < 1)
        return fail(ctx, n, "%s is %lld, but input %d has 3 axes: it must say how many heads lie on the last one", attr,
                    (long long)h->count, in);
    if (!need_divisible(ctx, n, h->depth, h->count, "the size of all heads")) return false;
    h->depth = dim_floordiv(ctx, h->depth, dim_const(ctx, h->count));
    return true;
}

/* the past K or V: [batch, heads, past, depth] */
static bool past_fits(Ctx *ctx, const Node *n, int in, const Heads *h) {
    const Type *past = type_of(n, in);
    return need_same_dtype(ctx, n, in, in - 3) && need_rank(ctx, n, in, 4, 4) &&
           equal_dims(ctx, n, past->dims[0], h->batch, "the batch sizes of the past and of K") &&
           equal_dims(ctx, n, past->dims[1], dim_const(ctx, h->count), "the heads of the past and of K") &&
           equal_dims(ctx, n, past->dims[3], h->depth, "the sizes of heads in the past and in K or V");
}

static bool mask_fits(Ctx *ctx, const Node *n, const Heads *q, Dim keys) {
    const Type *mask = type_of(n, 3);
    const Dim want[4] = {q->batch, dim_const(ctx, q->count), q->length, keys};
    if (!need_dtype(ctx, n, 3, ALL) || !need_rank(ctx, n, 3, 1, 4)) return false;
    for (int i = 1; i <= mask->rank; i++) {
        Dim d = mask->dims[mask->rank - i];
        int64_t have, all;
        if (dim_is(d, 1)) continue;
        if (i == 1 && dim_is_const(d, &have) && dim_is_const(keys, &all) && have < all)
            continue; /* the rest is masked */
        if (!equal_dims(ctx, n, d, want[4 - i], "sizes of the mask and of the scores")) return false;
    }
    return true;
}

static bool attention_attrs(Ctx *ctx, const Node *n) {
    int64_t mode = node_int(n, "qk_matmul_output_mode"), precision = node_int(n, "softmax_precision");
    if (mode < 0 || mode > 3) return fail(ctx, n, "qk_matmul_output_mode is %lld, must be 0 to 3", (long long)mode);
    if (precision && precision != DT_F32 && precision != DT_F16 && precision != DT_BF16 && precision != DT_F64)
        return fail(ctx, n, "softmax_precision is %lld, must be a float type", (long long)precision);
    return node_float(n, "softcap") >= 0 ||
           fail(ctx, n, "softcap is %g, must not be negative", node_float(n, "softcap"));
}

/* The lengths of K that count stand in place of a past. */
static bool lengths_fit(Ctx *ctx, const Node *n, const Heads *q) {
    if (!node_in(n, 6)) return true;
    if (node_in(n, 4)) return fail(ctx, n, "it has both a past and nonpad_kv_seqlen, which exclude each other");
    return need_dtype_is(ctx, n, 6, DT_I64) && need_rank(ctx, n, 6, 1, 1) &&
           equal_dims(ctx, n, type_of(n, 6)->dims[0], q->batch, "the number of lengths and the batch size");
}

bool infer_attention(Ctx *ctx, Node *n) {
    Heads q, k, v;
    if (!infer_begin(ctx, n) || !attention_attrs(ctx, n) || !need_dtype(ctx, n, 1, F) || !need_dtype(ctx, n, 2, F))
        return false;
    const Type *x = type_of(n, 0);
    if (!need_same_dtype(ctx, n, 1, 0) || !need_rank(ctx, n, 1, x->rank, x->rank) ||
        !need_rank(ctx, n, 2, x->rank, x->rank))
        return false;
    if (!heads_read(ctx, n, 0, "q_num_heads", &q) || !heads_read(ctx, n, 1, "kv_num_heads", &k) ||
        !heads_read(ctx, n, 2, "kv_num_heads", &v))
        return false;
    int64_t depth;
    if (!node_attr(n, "scale") && (!dim_is_const(q.depth, &depth) || depth < 1))
        return fail(ctx, n, "the size of a head, %s, decides the scale and must be known (--dim), and at least 1",
                    dim_text(ctx, q.depth));
    if (k.count != v.count || q.count % k.count)
        return fail(ctx, n, "%lld heads of Q cannot share %lld of K and %lld of V", (long long)q.count,
                    (long long)k.count, (long long)v.count);
    if (!equal_dims(ctx, n, q.batch, k.batch, "the batch sizes of Q and K") ||
        !equal_dims(ctx, n, q.batch, v.batch, "the batch sizes of Q and V") ||
        !equal_dims(ctx, n, q.depth, k.depth, "the sizes of a head of Q and K") ||
        !equal_dims(ctx, n, k.length, v.length, "the lengths of K and V"))
        return false;
    if (!node_in(n, 4) != !node_in(n, 5)) return fail(ctx, n, "it has the past of only one of K and V");
    if (node_in(n, 4) &&
        (!past_fits(ctx, n, 4, &k) || !past_fits(ctx, n, 5, &v) ||
         !equal_dims(ctx, n, type_of(n, 4)->dims[2], type_of(n, 5)->dims[2], "the lengths of the pasts")))
        return false;
    Dim keys = node_in(n, 4) ? dim_add(ctx, type_of(n, 4)->dims[2], k.length) : k.length;
    if ((node_in(n, 3) && !mask_fits(ctx, n, &q, keys)) || !lengths_fit(ctx, n, &q)) return false;
    Dim y3[] = {q.batch, q.length, dim_mul(ctx, dim_const(ctx, q.count), v.depth)};
    Dim y4[] = {q.batch, dim_const(ctx, q.count), q.length, v.depth};
    Dim heads = dim_const(ctx, k.count);
    return set_output(ctx, n, 0, x->dtype, x->rank, x->rank == 3 ? y3 : y4) &&
           set_output(ctx, n, 1, type_of(n, 1)->dtype, 4, (Dim[]){k.batch, heads, keys, k.depth}) &&
           set_output(ctx, n, 2, type_of(n, 2)->dtype, 4, (Dim[]){k.batch, heads, keys, v.depth}) &&
           set_output(ctx, n, 3, x->dtype, 4, (Dim[]){q.batch, y4[1], q.length, keys});
}

/* sines or cosines: of every position, or with position_ids a table of them */
static bool angles_fit(Ctx *ctx, const Node *n, int in, const Heads *h, Dim half) {
    const Type *t = type_of(n, in);
    int rank = node_in(n, 3) ? 2 : 3;
    if (!need_same_dtype(ctx, n, in, 0) || !need_rank(ctx, n, in, rank, rank)) return false;
    if (rank == 3 && (!equal_dims(ctx, n, t->dims[0], h->batch, "the batch sizes of angles and input") ||
                      !equal_dims(ctx, n, t->dims[1], h->length, "the lengths of angles and input")))
        return false;
    return equal_dims(ctx, n, t->dims[rank - 1], half, "the number of angles and half of what is rotated");
}

bool infer_rotary_embedding(Ctx *ctx, Node *n) {
    Heads h;
    int64_t depth, turned = node_int(n, "rotary_embedding_dim");
    if (!infer_begin(ctx, n) || !heads_read(ctx, n, 0, "num_heads", &h)) return false;
    if (!dim_is_const(h.depth, &depth))
        return fail(ctx, n, "the size of a head, %s, must be pinned (--dim)", dim_text(ctx, h.depth));
    if (!turned) turned = depth;
    if (turned < 0 || turned > depth || turned % 2)
        return fail(ctx, n, "%lld of the %lld numbers of a head cannot be rotated in pairs", (long long)turned,
                    (long long)depth);
    Dim half = dim_const(ctx, turned / 2);
    if (!angles_fit(ctx, n, 1, &h, half) || !angles_fit(ctx, n, 2, &h, half)) return false;
    if (node_in(n, 3)) {
        if (!need_dtype_is(ctx, n, 3, DT_I64) || !need_rank(ctx, n, 3, 2, 2)) return false;
        const Type *ids = type_of(n, 3);
        if (!equal_dims(ctx, n, ids->dims[0], h.batch, "the batch sizes of positions and input") ||
            !equal_dims(ctx, n, ids->dims[1], h.length, "the lengths of positions and input"))
            return false;
    }
    return set_output_like(ctx, n, 0, 0);
}

/* x [batch, channels, length], weights [channels, 1, taps], bias, the last taps - 1 of the past */
bool infer_causal_conv(Ctx *ctx, Node *n) {
    if (!infer_begin(ctx, n) || !need_rank(ctx, n, 0, 3, 3) || !need_same_dtype(ctx, n, 1, 0) ||
        !need_rank(ctx, n, 1, 3, 3))
        return false;
    const Type *x = type_of(n, 0), *w = type_of(n, 1);
    int64_t taps, channels;
    if (!dim_is_const(w->dims[0], &channels))
        return fail(ctx, n, "the number of channels, %s, must be pinned (--dim)", dim_text(ctx, w->dims[0]));
    if (!equal_dims(ctx, n, w->dims[0], x->dims[1], "the channels of weights and input") ||
        !equal_dims(ctx, n, w->dims[1], dim_const(ctx, 1), "the channels that each one reads, and 1"))
        return false;
    if (!dim_is_const(w->dims[2], &taps) || taps < 1)
        return fail(ctx, n, "it has %s taps: their number must be known, and at least 1", dim_text(ctx, w->dims[2]));
    if (node_in(n, 2) &&
        (!need_same_dtype(ctx, n, 2, 0) || !need_rank(ctx, n, 2, 1, 1) ||
         !equal_dims(ctx, n, type_of(n, 2)->dims[0], x->dims[1], "the numbers of biases and channels")))
        return false;
    Dim kept[] = {x->dims[0], x->dims[1], dim_const(ctx, taps - 1)};
    static const char *const what[] = {"batch sizes of past and input", "channels of past and input",
                                       "lengths of the past and of what is kept"};
    if (node_in(n, 3) && (!need_same_dtype(ctx, n, 3, 0) || !need_rank(ctx, n, 3, 3, 3))) return false;
    for (int i = 0; node_in(n, 3) && i < 3; i++)
        if (!equal_dims(ctx, n, type_of(n, 3)->dims[i], kept[i], what[i])) return false;
    return set_output_like(ctx, n, 0, 0) && set_output(ctx, n, 1, x->dtype, 3, kept);
}
