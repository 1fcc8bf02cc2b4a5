/* Operators on what is kept from call to call: TensorScatter, LinearAttention. */
#include "frontend/infer/infer.h"

bool infer_tensor_scatter(Ctx *ctx, Node *n) {
    int axis;
    if (!infer_begin(ctx, n) || !need_same_dtype(ctx, n, 1, 0) || !need_rank(ctx, n, 0, 2, MCC_MAX_RANK)) return false;
    const Type *cache = type_of(n, 0), *update = type_of(n, 1);
    if (!need_rank(ctx, n, 1, cache->rank, cache->rank) || !read_axis(ctx, n, node_int(n, "axis"), cache->rank, &axis))
        return false;
    if (axis == 0) return fail(ctx, n, "axis is 0, which is the batch's");
    for (int i = 0; i < cache->rank; i++)
        if (i == axis ? !need_at_most(ctx, n, update->dims[i], cache->dims[i], "the lengths of update and cache")
                      : !equal_dims(ctx, n, update->dims[i], cache->dims[i], "sizes of update and cache"))
            return false;
    if (node_in(n, 2) &&
        (!need_index_dtype(ctx, n, 2) || !need_rank(ctx, n, 2, 1, 1) ||
         !equal_dims(ctx, n, type_of(n, 2)->dims[0], cache->dims[0], "the number of places and the batch size")))
        return false;
    return set_output_like(ctx, n, 0, 0);
}

/* input `in`: [batch, steps, …]; heads divide the last dim. each: what one has */
static bool packed_heads(Ctx *ctx, const Node *n, int in, int64_t heads, Dim *each) {
    const Type *x = type_of(n, 0), *t = type_of(n, in);
    if (!need_same_dtype(ctx, n, in, 0) || !need_rank(ctx, n, in, 3, 3)) return false;
    if (!equal_dims(ctx, n, t->dims[0], x->dims[0], "batch sizes") ||
        !equal_dims(ctx, n, t->dims[1], x->dims[1], "numbers of steps") ||
        !need_divisible(ctx, n, t->dims[2], heads, "the size of all heads"))
        return false;
    *each = dim_floordiv(ctx, t->dims[2], dim_const(ctx, heads));
    return true;
}

/* A gate is there where the rule has it, and only there. */
static bool gate_fits(Ctx *ctx, const Node *n, int in, bool wanted, const char *name) {
    Dim each;
    if (!node_in(n, in)) return !wanted || fail(ctx, n, "its update_rule needs %s", name);
    return wanted ? packed_heads(ctx, n, in, 1, &each) : fail(ctx, n, "its update_rule has no %s", name);
}

bool infer_linear_attention(Ctx *ctx, Node *n) {
    int64_t heads = node_int(n, "kv_num_heads"), readers = node_int(n, "q_num_heads");
    int rule = node_enum(n, "update_rule");
    bool gated = rule == 0 || rule == 2, delta = rule == 0 || rule == 3;
    Dim depth, wide, of_q, h = dim_const(ctx, heads);
    if (!infer_begin(ctx, n)) return false;
    if (heads < 1 || readers < 1 || readers % heads)
        return fail(ctx, n, "%lld heads of Q cannot share %lld of K", (long long)readers, (long long)heads);
    if (!need_rank(ctx, n, 0, 3, 3) || !packed_heads(ctx, n, 0, readers, &of_q) ||
        !packed_heads(ctx, n, 1, heads, &depth) || !packed_heads(ctx, n, 2, heads, &wide) ||
        !equal_dims(ctx, n, of_q, depth, "the sizes of a head of Q and K"))
        return false;
    if (!gate_fits(ctx, n, 4, gated, "decay") || !gate_fits(ctx, n, 5, delta, "beta")) return false;
    if (gated) {
        Dim d = type_of(n, 4)->dims[2];
        if (d != h && !equal_dims(ctx, n, d, type_of(n, 1)->dims[2], "the numbers of decays and of what decays"))
            return false;
    }
    if (delta && !dim_is(type_of(n, 5)->dims[2], 1) &&
        !equal_dims(ctx, n, type_of(n, 5)->dims[2], h, "the numbers of betas and heads"))
        return false;
    const Type *x = type_of(n, 0);
    Dim state[] = {x->dims[0], h, depth, wide};
    static const char *const what[] = {"batch sizes of the state", "heads of the state", "sizes of K and the state",
                                       "sizes of V and the state"};
    if (node_in(n, 3) && (!need_dtype(ctx, n, 3, F) || !need_rank(ctx, n, 3, 4, 4))) return false;
    for (int i = 0; node_in(n, 3) && i < 4; i++)
        if (!equal_dims(ctx, n, type_of(n, 3)->dims[i], state[i], what[i])) return false;
    return set_output(ctx, n, 0, x->dtype, 3,
                      (Dim[]){x->dims[0], x->dims[1], dim_mul(ctx, dim_const(ctx, readers), wide)}) &&
           set_output(ctx, n, 1, node_in(n, 3) ? type_of(n, 3)->dtype : x->dtype, 4, state);
}
