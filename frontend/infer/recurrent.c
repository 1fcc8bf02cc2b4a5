/* LSTM, GRU, RNN. With D directions, G gates, H hidden units: X [T, B, I], W [D, G·H, I], R [D, G·H, H], B [D, 2·G·H],
 * sequence_lens [B], initial_h and initial_c [D, B, H], P [D, 3·H] -> Y [T, D, B, H], Y_h and Y_c [D, B, H]. layout 1
 * puts the batch first: X [B, T, I], initial_h [B, D, H], Y [B, T, D, H]. */
#include "frontend/infer/infer.h"

typedef struct Sizes {
    int64_t gates, directions, functions; /* functions: activations of a direction */
    Dim steps, batch, input, hidden;
    bool batch_first;
} Sizes;

static bool read_sizes(Ctx *ctx, const Node *n, Sizes *s) {
    for (int i = 0; i < 3; i++)
        if (!need_rank(ctx, n, i, 3, 3) || !need_same_dtype(ctx, n, i, 0)) return false;
    int64_t layout = node_int(n, "layout"), hidden = node_int(n, "hidden_size");
    *s = (Sizes){.gates = n->op == OP_LSTM  ? 4
                          : n->op == OP_GRU ? 3
                                            : 1,
                 .directions = node_enum(n, "direction") == 2 ? 2 : 1,
                 .functions = n->op == OP_LSTM  ? 3
                              : n->op == OP_GRU ? 2
                                                : 1};
    if (layout != 0 && layout != 1) return fail(ctx, n, "layout is %lld, must be 0 or 1", (long long)layout);
    const Type *x = type_of(n, 0), *r = type_of(n, 2);
    s->batch_first = layout == 1;
    s->steps = x->dims[s->batch_first];
    s->batch = x->dims[!s->batch_first];
    s->input = x->dims[2];
    s->hidden = r->dims[2];
    if (hidden < 0) return fail(ctx, n, "hidden_size is %lld, which is negative", (long long)hidden);
    return !node_attr(n, "hidden_size") ||
           equal_dims(ctx, n, s->hidden, dim_const(ctx, hidden), "hidden_size and the last axis of R");
}

static bool need_dims(Ctx *ctx, const Node *n, int in, int rank, const Dim *want) {
    if (!node_in(n, in)) return true;
    if (!need_rank(ctx, n, in, rank, rank)) return false;
    const char *what =
        arena_printf(ctx->arena, "input %d has shape %s: a size that it has, and the one that it must have,", in,
                     shape_text(ctx, n->in[in]));
    for (int i = 0; i < rank; i++)
        if (!equal_dims(ctx, n, type_of(n, in)->dims[i], want[i], what)) return false;
    return true;
}

static bool check_inputs(Ctx *ctx, const Node *n, const Sizes *s) {
    Dim directions = dim_const(ctx, s->directions), rows = dim_mul(ctx, s->hidden, dim_const(ctx, s->gates));
    Dim w[3] = {directions, rows, s->input}, r[3] = {directions, rows, s->hidden};
    Dim b[2] = {directions, dim_mul(ctx, rows, dim_const(ctx, 2))};
    Dim p[2] = {directions, dim_mul(ctx, s->hidden, dim_const(ctx, 3))};
    Dim state[3] = {s->batch_first ? s->batch : directions, s->batch_first ? directions : s->batch, s->hidden};
    if (node_in(n, 4) && !need_dtype_is(ctx, n, 4, DT_I32)) return false;
    for (int i = 3; i < n->n_in; i++)
        if (i != 4 && n->in[i] && !need_same_dtype(ctx, n, i, 0)) return false;
    return need_dims(ctx, n, 1, 3, w) && need_dims(ctx, n, 2, 3, r) && need_dims(ctx, n, 3, 2, b) &&
           need_dims(ctx, n, 4, 1, &s->batch) && need_dims(ctx, n, 5, 3, state) && need_dims(ctx, n, 6, 3, state) &&
           need_dims(ctx, n, 7, 2, p);
}

static bool check_attrs(Ctx *ctx, const Node *n, const Sizes *s) {
    int64_t words[WORDS_MAX], want = s->directions * s->functions;
    int given = node_words(n, "activations", words);
    if (given && given != want)
        return fail(ctx, n, "%d activations are listed, the operator has %lld in %lld directions", given,
                    (long long)want, (long long)s->directions);
    double clip = node_float(n, "clip");
    return clip >= 0 || fail(ctx, n, "clip is %g, must not be negative", clip);
}

bool infer_recurrent(Ctx *ctx, Node *n) {
    Sizes s;
    if (!infer_begin(ctx, n) || !read_sizes(ctx, n, &s) || !check_inputs(ctx, n, &s) || !check_attrs(ctx, n, &s))
        return false;
    Dim directions = dim_const(ctx, s.directions);
    Dim all[4] = {s.steps, directions, s.batch, s.hidden}, state[3] = {directions, s.batch, s.hidden};
    if (s.batch_first) {
        all[0] = state[0] = s.batch;
        all[1] = s.steps;
        all[2] = state[1] = directions;
    }
    Dtype t = type_of(n, 0)->dtype;
    return set_output(ctx, n, 0, t, 4, all) && set_output(ctx, n, 1, t, 3, state) && set_output(ctx, n, 2, t, 3, state);
}
