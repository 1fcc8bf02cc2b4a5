/* Finds the channels of values that have to be scaled alike: a value's channels are joined with those that a positive
 * factor passes on to; contractions and normalisations with constant parameters begin and end this. A value that
 * anything else reads or makes is fixed. */
#include "compress/channels.h"
#include <float.h>
#include <math.h>
#include "compress/quantize.h"

enum { MOST_CHANNELS = 1 << 26 };

typedef struct Finder {
    ChannelMap *m;
    Arena *arena;
    size_t room; /* of parent and fixed */
    int room_weights, room_constants;
} Finder;

int channel_root(const ChannelMap *m, int channel) {
    while (m->parent[channel] != channel) channel = m->parent[channel] = m->parent[m->parent[channel]];
    return channel;
}

/* ---- channels of values ---- */

static bool is_f32(const Value *v) { return v && v->type.kind == TYPE_TENSOR && v->type.dtype == DT_F32; }
static bool is_known(const Finder *f, const Value *v) { return f->m->first[v->id] >= 0; }

static int64_t count_of(const ChannelMap *m, const Value *v) {
    int64_t n;
    return m->first[v->id] >= 0 && dim_is_const(v->type.dims[m->axis[v->id]], &n) ? n : 0;
}

static void fix(const Finder *f, const Value *v) {
    for (int64_t i = 0; v && i < count_of(f->m, v); i++)
        f->m->fixed[channel_root(f->m, f->m->first[v->id] + (int)i)] = true;
}

/* v has channels of its own along the axis. false: nobody can tell how many */
static bool define(Finder *f, const Value *v, int axis) {
    ChannelMap *m = f->m;
    int64_t n;
    if (!is_f32(v) || axis < 0 || axis >= v->type.rank || !dim_is_const(v->type.dims[axis], &n)) return false;
    if (n < 1 || n > MOST_CHANNELS - m->n) return false;
    size_t want = (size_t)m->n + (size_t)n;
    if (want > f->room) {
        size_t room = want + f->room;
        m->parent = arena_grow(f->arena, m->parent, f->room, room, sizeof *m->parent);
        m->fixed = arena_grow(f->arena, m->fixed, f->room, room, sizeof *m->fixed);
        f->room = room;
    }
    m->first[v->id] = m->n;
    m->axis[v->id] = axis;
    for (; m->n < (int)want; m->n++) m->parent[m->n] = m->n;
    return true;
}

static void join(const Finder *f, int a, int b) {
    ChannelMap *m = f->m;
    a = channel_root(m, a);
    b = channel_root(m, b);
    m->fixed[a] = m->fixed[a] || m->fixed[b];
    m->parent[b] = a;
}

/* Channels from .. of a are those of b, `each` of a's for one of b's. */
static void join_values(const Finder *f, const Value *a, int64_t from, const Value *b, int64_t each) {
    for (int64_t i = 0; i < count_of(f->m, b) * each; i++)
        join(f, f->m->first[b->id] + (int)(i / each), f->m->first[a->id] + (int)(from + i));
}

/* ---- what makes channels ---- */

/* An operand whose axis from_end from the last belongs to the channels of out. false: not one that can be scaled */
static bool add_constant(Finder *f, Node *n, int input, const Value *out, int from_end) {
    const Value *v = node_in(n, input);
    const Tensor *t = v ? v->constant : NULL;
    int at = t ? t->rank - from_end : 0;
    ChannelConstant c = {.node = n, .input = input, .out = f->m->first[out->id], .in = -1, .outer = 1, .inner = 1};
    if (!v) return true;
    if (!t || t->dtype != DT_F32 || t->rank > out->type.rank) return false;
    c.channels = count_of(f->m, out);
    c.from_end = from_end;
    c.repeats = at < 0 || t->dims[at] == 1;
    if (!c.repeats && t->dims[at] != c.channels) return false;
    for (int i = 0; i < t->rank; i++) {
        if (i < at) c.outer *= t->dims[i];
        if (i > at) c.inner *= t->dims[i];
    }
    if (f->m->n_constants == f->room_constants) {
        int room = 2 * f->room_constants + 64;
        f->m->constants = arena_grow(f->arena, f->m->constants, (size_t)f->room_constants, (size_t)room, sizeof c);
        f->room_constants = room;
    }
    f->m->constants[f->m->n_constants++] = c;
    return true;
}

bool channel_weights_read(const Node *n, ChannelWeights *w) {
    Contraction c;
    const Tensor *t = n->in[1]->constant;
    *w = (ChannelWeights){.node = (Node *)(uintptr_t)n, .groups = 1, .in = -1, .out = -1, .taps = 1};
    if (n->op == OP_Conv || n->op == OP_ConvTranspose) w->groups = node_int(n, "group");
    if (n->op == OP_ConvTranspose ? !t || t->dtype != DT_F32 || t->rank < 3 || n->in[0]->constant
                                  : !contraction_read(n, &c))
        return false;
    for (int i = 2; i < t->rank; i++) w->taps *= t->dims[i];
    w->outs_first = n->op == OP_Conv || (n->op == OP_Gemm && node_int(n, "transB"));
    w->outs = n->op == OP_Conv ? t->dims[0] / w->groups : w->outs_first ? t->dims[0] : t->dims[1];
    w->ins = n->op == OP_ConvTranspose ? t->dims[0] / w->groups : w->outs_first ? t->dims[1] : t->dims[0];
    return w->taps > 0 && w->outs > 0 && w->ins > 0;
}

int channel_axis_in(const Node *n) { return n->op == OP_MatMul ? n->in[0]->type.rank - 1 : 1; }

static bool visit_contraction(Finder *f, Node *n) {
    ChannelWeights w;
    ChannelMap *m = f->m;
    const Value *x = n->in[0], *y = n->out[0];
    if (!op_has(n->op, OP_CONTRACTION) || !channel_weights_read(n, &w)) return false;
    int axis = channel_axis_in(n);
    if (is_known(f, x) && m->axis[x->id] == axis && count_of(m, x) == w.groups * w.ins) w.in = m->first[x->id];
    else fix(f, x);
    if (define(f, y, n->op == OP_MatMul ? y->type.rank - 1 : 1)) {
        w.out = m->first[y->id];
        if (count_of(m, y) != w.groups * w.outs || !add_constant(f, n, 2, y, 1)) fix(f, y);
    }
    if (m->n_weights == f->room_weights) {
        int room = 2 * f->room_weights + 64;
        m->weights = arena_grow(f->arena, m->weights, (size_t)f->room_weights, (size_t)room, sizeof w);
        f->room_weights = room;
    }
    m->weights[m->n_weights++] = w;
    return true;
}

static bool visit_norm(Finder *f, Node *n) {
    const Value *y = n->out[0];
    if (n->op != OP_LayerNormalization && n->op != OP_RMSNormalization) return false;
    int64_t axis = node_int(n, "axis");
    int last = y->type.rank - 1;
    fix(f, n->in[0]);
    if (n->n_out == 1 && (axis == -1 || axis == last) && define(f, y, last) &&
        !(n->in[1]->constant && add_constant(f, n, 1, y, 1) && add_constant(f, n, 2, y, 1)))
        fix(f, y);
    return true;
}

/* ---- what passes a factor on ---- */

static bool is_constant(const Value *v, double *number) {
    if (!v || !v->constant || v->constant->dtype != DT_F32 || v->constant->bytes != 4) return false;
    *number = tensor_float(v->constant, 0);
    return true;
}

/* f(s·x) = s·f(x) for s > 0, of input 0, other inputs as they are */
static bool is_homogeneous(const Node *n) {
    double low = 0, high = FLT_MAX;
    switch (n->op) {
    case OP_Relu:
    case OP_LeakyRelu:
    case OP_Abs:
    case OP_Neg:
    case OP_ReduceMean:
    case OP_ReduceSum:
    case OP_ReduceMax:
    case OP_ReduceMin: return true;
    case OP_Div: return n->in[1]->constant;
    case OP_PRelu: return n->in[1]->constant;
    case OP_Clip:
        return (!node_in(n, 1) || is_constant(n->in[1], &low)) && (!node_in(n, 2) || is_constant(n->in[2], &high)) &&
               (low == 0 || low <= -(double)FLT_MAX) && (high == 0 || high >= (double)FLT_MAX);
    case OP_Pad: return node_enum(n, "mode") != 0 || !node_in(n, 2) || (is_constant(n->in[2], &low) && low == 0);
    case OP_Resize: return node_float(n, "extrapolation_value") == 0;
    default: return op_has(n->op, OP_POOL);
    }
}

/* Of a reduction, where the axis of its input went; -1: it is gone. -2: not a reduction */
static int reduced_axis(const Node *n, int axis) {
    int64_t axes[VALUE_CONTENT_MAX];
    int rank = n->in[0]->type.rank, before = 0;
    if (!op_has(n->op, OP_REDUCTION)) return -2;
    int count = node_in(n, 1) ? value_content_const(n->in[1], axes) : -1;
    for (int i = 0; i < count; i++) {
        int64_t at = axes[i] < 0 ? axes[i] + rank : axes[i];
        if (at == axis) return -1;
        before += at < axis;
    }
    return count < 0 ? -1 : node_int(n, "keepdims") ? axis : axis - before;
}

/* The axis of a view's result that holds the channels along `axis` of its input, `each` times; -1: there is none */
static int viewed_axis(const Value *x, const Value *y, int axis, int64_t *each) {
    int64_t inner = 1, dim, channels = 0;
    dim_is_const(x->type.dims[axis], &channels);
    for (int i = axis + 1; i < x->type.rank; i++)
        if (!dim_is_const(x->type.dims[i], &dim) || !mul_i64(inner, dim, &inner)) return -1;
    int64_t after = 1, all;
    for (int i = y->type.rank - 1; i >= 0; i--) {
        if (!dim_is_const(y->type.dims[i], &dim) || !mul_i64(after, dim, &all)) return -1;
        if (dim != 1 && dim % channels == 0 && all == channels * inner) {
            *each = dim / channels;
            return i;
        }
        after = all;
    }
    return -1;
}

int channel_axis_after(const Node *n, int axis, int64_t *each) {
    const int64_t *perm;
    const Value *x = n->in[0], *y = n->out[0];
    *each = 1;
    if (op_has(n->op, OP_VIEW)) return viewed_axis(x, y, axis, each);
    if (n->op != OP_Transpose) return reduced_axis(n, axis) == -2 ? axis : reduced_axis(n, axis);
    int count = node_ints(n, "perm", &perm);
    for (int i = 0; i < count; i++)
        if (perm[i] == axis) return i;
    return count ? -1 : x->type.rank - 1 - axis;
}

static bool visit_unary(Finder *f, Node *n) {
    const Value *x = n->in[0], *y = n->out[0];
    int64_t each;
    bool moves = op_has(n->op, OP_VIEW) || n->op == OP_Transpose;
    if (n->n_out != 1 || !is_f32(x) || !is_known(f, x) || !(moves || is_homogeneous(n))) return false;
    if (op_has(n->op, OP_POOL) && f->m->axis[x->id] != 1) return false;
    if (!define(f, y, channel_axis_after(n, f->m->axis[x->id], &each))) return false;
    if (count_of(f->m, y) != count_of(f->m, x) * each) fix(f, y), fix(f, x);
    else join_values(f, y, 0, x, each);
    return true;
}

/* v's channels lie where those of y are. */
static bool is_aligned(const Finder *f, const Value *v, const Value *y) {
    return is_known(f, v) && v->type.rank - f->m->axis[v->id] == y->type.rank - f->m->axis[y->id] &&
           count_of(f->m, v) == count_of(f->m, y);
}

static bool is_sum(Op op) { return op == OP_Add || op == OP_Sub || op == OP_Max || op == OP_Min; }

/* The axis, from the end, along which alone the elements of t lie; 0: there is none */
static int only_axis(const Tensor *t) {
    int found = 0;
    for (int i = 0; i < t->rank; i++) {
        if (t->dims[i] == 1) continue;
        if (found) return 0;
        found = t->rank - i;
    }
    return found;
}

/* By a number for each channel: it makes up for a factor on either side. */
static bool visit_gains(Finder *f, Node *n) {
    const Value *x = n->in[0], *y = n->out[0];
    const Tensor *t = n->op == OP_Mul && n->n_in == 2 ? n->in[1]->constant : NULL;
    if (!t || t->dtype != DT_F32 || !is_f32(y) || x->type.rank != y->type.rank) return false;
    int rank = y->type.rank, from_end = only_axis(t);
    int64_t channels;
    if (!from_end || !dim_is_const(y->type.dims[rank - from_end], &channels) ||
        channels != t->dims[t->rank - from_end] || !define(f, y, rank - from_end))
        return false;
    bool known = is_known(f, x) && f->m->axis[x->id] == rank - from_end && count_of(f->m, x) == channels;
    add_constant(f, n, 1, y, from_end);
    if (known) f->m->constants[f->m->n_constants - 1].in = f->m->first[x->id];
    else fix(f, x);
    return true;
}

/* All that vary are scaled alike, constants with them; of a product, one factor is. */
static bool visit_binary(Finder *f, Node *n) {
    const Value *like = NULL, *y = n->out[0];
    if ((!is_sum(n->op) && n->op != OP_Mul) || !is_f32(y)) return false;
    for (int i = 0; i < n->n_in; i++) {
        const Value *v = n->in[i];
        bool whole = is_known(f, v) && v->type.rank == y->type.rank;
        for (int k = 0; whole && k < y->type.rank; k++) whole = v->type.dims[k] == y->type.dims[k];
        if (whole && !like) like = v;
    }
    if (!like || !define(f, y, f->m->axis[like->id])) return false;
    join_values(f, y, 0, like, 1);
    for (int i = 0; i < n->n_in; i++) {
        const Value *v = n->in[i];
        if (v == like) {
            if (n->op == OP_Mul && i > 0 && n->in[0] == like) fix(f, y); /* its square */
        } else if (n->op == OP_Mul) fix(f, v);
        else if (v->constant ? add_constant(f, n, i, y, y->type.rank - f->m->axis[y->id]) : is_aligned(f, v, y)) {
            if (!v->constant) join_values(f, y, 0, v, 1);
        } else fix(f, v), fix(f, y);
    }
    return true;
}

static bool visit_concat(Finder *f, Node *n) {
    const Value *y = n->out[0], *like = NULL;
    int64_t at = 0, axis = n->op == OP_Concat ? node_int(n, "axis") : 0;
    for (int i = 0; n->op == OP_Concat && i < n->n_in; i++)
        if (is_known(f, n->in[i])) like = n->in[i];
    if (!like || !define(f, y, f->m->axis[like->id])) return false;
    bool along = (axis < 0 ? axis + y->type.rank : axis) == f->m->axis[y->id];
    for (int i = 0; i < n->n_in; i++) {
        const Value *v = n->in[i];
        int64_t count;
        bool same = is_known(f, v) && f->m->axis[v->id] == f->m->axis[y->id];
        if (same) join_values(f, y, along ? at : 0, v, 1);
        else fix(f, v), fix(f, y);
        if (along && dim_is_const(v->type.dims[f->m->axis[y->id]], &count)) at += count;
    }
    return true;
}

/* Some of the channels, or all of some places */
static bool visit_slice(Finder *f, Node *n) {
    const Value *x = n->in[0], *y = n->out[0];
    int64_t starts[VALUE_CONTENT_MAX], axes[VALUE_CONTENT_MAX], steps[VALUE_CONTENT_MAX], from = 0;
    if (n->op != OP_Slice || !is_known(f, x)) return false;
    int axis = f->m->axis[x->id], count = value_content_const(n->in[1], starts);
    bool listed = node_in(n, 3), good = count >= 0;
    if (listed) good = good && value_content_const(n->in[3], axes) == count;
    if (node_in(n, 4)) good = good && value_content_const(n->in[4], steps) == count;
    for (int i = 0; good && i < count; i++) {
        int64_t at = listed ? axes[i] : i;
        if ((at < 0 ? at + x->type.rank : at) != axis) continue;
        from = starts[i] < 0 ? starts[i] + count_of(f->m, x) : starts[i];
        good = !node_in(n, 4) || steps[i] == 1;
    }
    if (!good || !define(f, y, axis)) return false;
    if (from < 0) from = 0;
    int64_t all = count_of(f->m, x), wanted = count_of(f->m, y);
    if (from + wanted > all) fix(f, y), fix(f, x);
    for (int64_t i = 0; i < wanted && from + wanted <= all; i++)
        join(f, f->m->first[x->id] + (int)(from + i), f->m->first[y->id] + (int)i);
    return true;
}

static bool has_graph(const Node *n) {
    for (int i = 0; i < n->n_attrs; i++)
        if (n->attrs[i].kind == ATTR_GRAPH) return true;
    return n->body != NULL;
}

static void visit(Finder *f, Node *n) {
    bool plain = n->n_out > 0 && n->n_in > 0 && n->in[0] && n->out[0];
    if (plain && (visit_contraction(f, n) || visit_norm(f, n) || visit_unary(f, n) || visit_gains(f, n) ||
                  visit_binary(f, n) || visit_concat(f, n) || visit_slice(f, n)))
        return;
    for (int i = 0; i < n->n_in; i++) fix(f, n->in[i]);
}

/* A value is scaled in all its channels or in none: one that stays as it is keeps the others. */
static void fix_whole_values(const Finder *f) {
    const ChannelMap *m = f->m;
    for (bool again = true; again;) {
        again = false;
        for (const Node *n = m->graph->first; n; n = n->next) {
            const Value *y = n->n_out ? n->out[0] : NULL;
            int64_t count = y ? count_of(m, y) : 0, fixed = 0;
            for (int64_t i = 0; i < count; i++) fixed += m->fixed[channel_root(m, m->first[y->id] + (int)i)];
            if (fixed == 0 || fixed == count) continue;
            fix(f, y);
            again = true;
        }
    }
}

ChannelMap *channels_find(Graph *g, Arena *a) {
    ChannelMap *m = ARENA_NEW(a, ChannelMap);
    Finder f = {.m = m, .arena = a};
    *m = (ChannelMap){.graph = g, .n_ids = g->ctx->next_id};
    m->first = ARENA_ARRAY(a, m->n_ids, int);
    m->axis = ARENA_ARRAY(a, m->n_ids, int);
    for (int i = 0; i < m->n_ids; i++) m->first[i] = -1;
    for (Node *n = g->first; n; n = n->next) {
        if (has_graph(n)) return *m = (ChannelMap){.graph = g}, m; /* it may read any value */
        visit(&f, n);
    }
    for (int i = 0; i < g->n_outputs; i++) fix(&f, g->outputs[i]);
    fix_whole_values(&f);
    return m;
}

int64_t channel_count(const ChannelMap *m, const Value *v) {
    int64_t n = v->id < m->n_ids ? count_of(m, v) : 0;
    return n && !m->fixed[channel_root(m, m->first[v->id])] ? n : 0;
}

/* ---- scaling ---- */

static bool scale_weights(const ChannelMap *m, const ChannelWeights *w, const float *factors) {
    const Tensor *from = w->node->in[1]->constant;
    Tensor *to = tensor_new(m->graph, DT_F32, from->rank, from->dims);
    if (!to) return false;
    const float *x = from->data;
    float *y = (float *)(uintptr_t)to->data;
    int64_t first = w->outs_first ? w->outs : w->ins, second = w->outs_first ? w->ins : w->outs;
    for (int64_t g = 0; g < w->groups; g++)
        for (int64_t i = 0; i < first * second; i++, x += w->taps, y += w->taps) {
            int64_t a = i / second, b = i % second;
            int64_t in = g * w->ins + (w->outs_first ? b : a), out = g * w->outs + (w->outs_first ? a : b);
            float by = w->in < 0 ? 1 : factors[w->in + in];
            if (w->out >= 0) by /= factors[w->out + out];
            for (int64_t k = 0; k < w->taps; k++) y[k] = x[k] * by;
        }
    w->node->in[1] = value_of_tensor(m->graph, to);
    return true;
}

static bool scale_constant(const ChannelMap *m, const ChannelConstant *c, const float *factors) {
    const Tensor *from = c->node->in[c->input]->constant;
    int64_t dims[MCC_MAX_RANK], given = c->repeats ? 1 : c->channels;
    int rank = from->rank > c->from_end ? from->rank : c->from_end, pad = rank - from->rank;
    for (int i = 0; i < rank; i++) dims[i] = i < pad ? 1 : from->dims[i - pad];
    dims[rank - c->from_end] = c->channels;
    Tensor *to = tensor_new(m->graph, DT_F32, rank, dims);
    if (!to) return false;
    const float *x = from->data;
    float *y = (float *)(uintptr_t)to->data;
    for (int64_t o = 0; o < c->outer; o++)
        for (int64_t i = 0; i < c->channels; i++) {
            float by = (c->in >= 0 ? factors[c->in + i] : 1) / factors[c->out + i];
            const float *row = x + (o * given + (c->repeats ? 0 : i)) * c->inner;
            for (int64_t k = 0; k < c->inner; k++) *y++ = row[k] * by;
        }
    c->node->in[c->input] = value_of_tensor(m->graph, to);
    return true;
}

static bool any_scaled(const float *factors, int first, int64_t n) {
    for (int64_t i = 0; i < n && first >= 0; i++)
        if (factors[first + i] != 1) return true;
    return false;
}

static bool scale_all(const ChannelMap *m, const float *factors) {
    for (int i = 0; i < m->n_weights; i++) {
        const ChannelWeights *w = &m->weights[i];
        bool scaled =
            any_scaled(factors, w->in, w->groups * w->ins) || any_scaled(factors, w->out, w->groups * w->outs);
        if (scaled && !scale_weights(m, w, factors)) return false;
    }
    for (int i = 0; i < m->n_constants; i++) {
        const ChannelConstant *c = &m->constants[i];
        bool scaled = any_scaled(factors, c->out, c->channels) || any_scaled(factors, c->in, c->channels);
        if (scaled && !scale_constant(m, c, factors)) return false;
    }
    return true;
}

bool channels_scale(ChannelMap *m, const int8_t *exponents) {
    Arena *scratch = arena_new(m->graph->ctx);
    float *factors = ARENA_ARRAY(scratch, m->n, float);
    for (int i = 0; i < m->n; i++) factors[i] = ldexpf(1, exponents[channel_root(m, i)]);
    bool good = scale_all(m, factors);
    arena_free(scratch);
    graph_count_uses(m->graph);
    return good;
}
