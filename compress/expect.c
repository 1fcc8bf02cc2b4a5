/* A channel is EXPECT_POINTS points of a normal distribution, evenly spaced up to EDGE deviations, and what became of
 * them: elementwise operators are run on the points as they are. Sums and products of two values take both to be
 * independent, and normally distributed within the bounds of both. Of contractions behind which no normalisation
 * follows, inputs are independent by channel; the places under a window hold the same number, or independent ones,
 * whichever gives more. That is a guess, and of a third one on top of two others nothing is left. */
#include "compress/expect.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "compress/channels.h"
#include "eval/eval.h"

enum { MOST_GUESSES = 2 };
static const double EDGE = 6; /* deviations */

static double point_at(int i) { return EDGE * (2.0 * i / (EXPECT_POINTS - 1) - 1); }
static double weight_at(int i) {
    return exp(-0.5 * point_at(i) * point_at(i)) * 2 * EDGE / (EXPECT_POINTS - 1) * 0.3989422804014327;
}

typedef struct Moments {
    double mean, variance, low, high;
} Moments;

static const float *channel_points(const Expected *x, int64_t channel) {
    return x->points + (x->channels == 1 ? 0 : channel) * EXPECT_POINTS;
}

static Moments moments_of(const Expected *x, int64_t channel) {
    const float *p = channel_points(x, channel);
    Moments m = {.low = INFINITY, .high = -INFINITY};
    for (int i = 0; i < EXPECT_POINTS; i++) {
        m.mean += weight_at(i) * (double)p[i];
        m.low = fmin(m.low, (double)p[i]);
        m.high = fmax(m.high, (double)p[i]);
    }
    for (int i = 0; i < EXPECT_POINTS; i++)
        m.variance += weight_at(i) * ((double)p[i] - m.mean) * ((double)p[i] - m.mean);
    return m;
}

static Expected *expected_new(const Expectations *e, int64_t channels, int axis) {
    Expected *x = ARENA_NEW(e->arena, Expected);
    *x = (Expected){
        .channels = channels, .axis = axis, .points = ARENA_ARRAY(e->arena, channels * EXPECT_POINTS, float)};
    return x;
}

static void set_normal(Expected *x, int64_t channel, Moments m) {
    for (int i = 0; i < EXPECT_POINTS; i++) {
        double v = fmin(fmax(m.mean + sqrt(m.variance) * point_at(i), m.low), m.high);
        x->points[channel * EXPECT_POINTS + i] = (float)v;
    }
}

const Expected *expected_of(const Expectations *e, const Value *v) {
    return v->id < e->n_ids ? e->of_value[v->id] : NULL;
}

/* ---- what begins ---- */

static Expected *of_input(const Expectations *e) {
    Expected *x = expected_new(e, 1, 0);
    for (int i = 0; i < EXPECT_POINTS; i++) /* evenly distributed */
        x->points[i] =
            (float)(e->input.low + (e->input.high - e->input.low) * (0.5 + 0.5 * erf(point_at(i) / sqrt(2))));
    return x;
}

/* Deviation |scale| around bias, by channel: what a normalisation is trained to make */
static Expected *of_norm(const Expectations *e, const Value *scale, const Value *bias, int axis) {
    int64_t n, m;
    if (!scale || !scale->constant || (bias && !bias->constant)) return NULL;
    if (!product_i64(scale->constant->dims, scale->constant->rank, &n) || n < 1) return NULL;
    if (bias && (!product_i64(bias->constant->dims, bias->constant->rank, &m) || m != n)) return NULL;
    Expected *x = expected_new(e, n, axis);
    for (int64_t c = 0; c < n; c++) {
        double s = tensor_float(scale->constant, c), b = bias ? tensor_float(bias->constant, c) : 0;
        if (!isfinite(s) || !isfinite(b)) return NULL;
        set_normal(x, c, (Moments){b, s * s, -INFINITY, INFINITY});
    }
    return x;
}

static Expected *visit_norm(const Expectations *e, const Node *n) {
    int last = n->out[0]->type.rank - 1;
    int64_t axis = n->op == OP_LayerNormalization || n->op == OP_RMSNormalization ? node_int(n, "axis") : 1;
    switch (n->op) {
    case OP_BatchNormalization:
    case OP_InstanceNormalization: return of_norm(e, n->in[1], n->in[2], 1);
    case OP_LayerNormalization:
    case OP_RMSNormalization: return axis == -1 || axis == last ? of_norm(e, n->in[1], node_in(n, 2), last) : NULL;
    default: return NULL;
    }
}

/* ---- elementwise ---- */

/* The only value that varies; NULL: there are several, or none */
static const Value *only_varying(const Node *n) {
    const Value *x = NULL;
    for (int i = 0; i < n->n_in; i++) {
        if (!n->in[i] || n->in[i]->constant) continue;
        if (x && x != n->in[i]) return NULL;
        x = n->in[i];
    }
    return x;
}

/* The axis along which constants vary: -1: none; -2: several */
static int constants_axis(const Node *n, int64_t *count) {
    int found = -1, rank = n->out[0]->type.rank;
    for (int i = 0; i < n->n_in; i++) {
        const Tensor *t = n->in[i] ? n->in[i]->constant : NULL;
        for (int k = 0; t && k < t->rank; k++) {
            int axis = k + rank - t->rank;
            if (t->dims[k] == 1) continue;
            if (axis < 0 || (found >= 0 && found != axis)) return -2;
            found = axis;
            *count = t->dims[k];
        }
    }
    return found;
}

/* [points][1]…[channels]…[1], on which n is run as it stands */
static Tensor *points_tensor(Graph *scratch, const Expected *x, int64_t channels, int axis, int rank) {
    int64_t dims[MCC_MAX_RANK] = {EXPECT_POINTS};
    for (int i = 0; i < rank; i++) dims[i + 1] = i == axis ? channels : 1;
    Tensor *t = tensor_new(scratch, DT_F32, rank + 1, dims);
    for (int i = 0; t && i < EXPECT_POINTS; i++)
        for (int64_t c = 0; c < channels; c++)
            ((float *)(uintptr_t)t->data)[i * channels + c] = channel_points(x, c)[i];
    return t;
}

static Tensor *run_points(Graph *scratch, const Node *n, const Value *x, Tensor *points) {
    const Tensor **in = ARENA_ARRAY(scratch->arena, n->n_in + 1, const Tensor *);
    Value **values = ARENA_ARRAY(scratch->arena, n->n_in + 1, Value *);
    Dim dims[MCC_MAX_RANK];
    Tensor *out[1] = {NULL};
    int status = MCC_OK;
    for (int i = 0; i < points->rank; i++) dims[i] = dim_const(scratch->ctx, points->dims[i]);
    for (int i = 0; i < n->n_in; i++) {
        if (!n->in[i]) continue;
        in[i] = n->in[i] == x ? points : n->in[i]->constant;
        values[i] = n->in[i] == x ? value_new(scratch, (Str){0}) : n->in[i];
        if (n->in[i] == x) value_set_dims(values[i], DT_F32, points->rank, dims);
    }
    Node *copy = node_new(scratch, n->op, NULL, values, n->n_in, 1);
    copy->attrs = n->attrs;
    copy->n_attrs = n->n_attrs;
    bool good = node_infer(scratch->ctx, copy) && eval_node(scratch->ctx, copy, in, out, &status) && status == MCC_OK;
    return good && out[0]->dtype == DT_F32 && out[0]->bytes == points->bytes ? out[0] : NULL;
}

static Expected *visit_elementwise(const Expectations *e, const Node *n) {
    const Value *v = only_varying(n);
    const Expected *x = v ? expected_of(e, v) : NULL;
    int64_t count = 1;
    int rank = n->out[0]->type.rank, along = constants_axis(n, &count);
    if (!x || !op_has(n->op, OP_ELEMENTWISE) || rank >= MCC_MAX_RANK || v->type.rank != rank || along == -2)
        return NULL;
    if (x->channels > 1 && along >= 0 && (along != x->axis || count != x->channels)) return NULL;
    int axis = x->channels > 1 ? x->axis : along >= 0 ? along : 0;
    int64_t channels = x->channels > 1 ? x->channels : count;
    Ctx *ctx = n->graph->ctx;
    size_t folded = ctx->folded;
    Graph *scratch = graph_new(ctx, NULL);
    scratch->arena = arena_new(ctx);
    Tensor *points = points_tensor(scratch, x, channels, axis, rank), *out = NULL;
    if (points) out = run_points(scratch, n, v, points);
    Expected *y = out ? expected_new(e, channels, axis) : NULL;
    bool finite = true;
    for (int64_t at = 0; y && at < channels * EXPECT_POINTS; at++) {
        y->points[at] = ((const float *)out->data)[at % EXPECT_POINTS * channels + at / EXPECT_POINTS];
        finite = finite && isfinite(y->points[at]);
    }
    ctx->folded = folded;
    arena_free(scratch->arena);
    return finite ? y : NULL;
}

/* ---- of two values ---- */

static Moments sum_of(Moments a, Moments b, double sign) {
    double low = sign > 0 ? b.low : -b.high, high = sign > 0 ? b.high : -b.low;
    return (Moments){a.mean + sign * b.mean, a.variance + b.variance, a.low + low, a.high + high};
}

static Moments product_of(Moments a, Moments b) {
    double corners[] = {a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high};
    Moments m = {.mean = a.mean * b.mean, .low = corners[0], .high = corners[0]};
    m.variance = a.variance * b.variance + a.variance * b.mean * b.mean + b.variance * a.mean * a.mean;
    for (int i = 1; i < 4; i++) m.low = fmin(m.low, corners[i]), m.high = fmax(m.high, corners[i]);
    return m;
}

static Expected *visit_pair(const Expectations *e, const Node *n) {
    bool adds = n->op == OP_Add || n->op == OP_Sub;
    if ((!adds && n->op != OP_Mul) || n->n_in != 2 || n->in[0]->constant || n->in[1]->constant) return NULL;
    const Expected *a = expected_of(e, n->in[0]), *b = expected_of(e, n->in[1]);
    if (!a || !b) return NULL;
    int rank = n->out[0]->type.rank;
    int axis_a = a->axis + rank - n->in[0]->type.rank, axis_b = b->axis + rank - n->in[1]->type.rank;
    if (a->channels > 1 && b->channels > 1 && (a->channels != b->channels || axis_a != axis_b)) return NULL;
    Expected *y = expected_new(e, a->channels > 1 ? a->channels : b->channels, a->channels > 1 ? axis_a : axis_b);
    for (int64_t c = 0; c < y->channels; c++) {
        Moments p = moments_of(a, c), q = moments_of(b, c);
        set_normal(y, c, adds ? sum_of(p, q, n->op == OP_Add ? 1 : -1) : product_of(p, q));
    }
    return y;
}

/* ---- contractions ---- */

static int64_t weight_place(const ChannelWeights *w, int64_t g, int64_t out, int64_t in) {
    return (w->outs_first ? (g * w->outs + out) * w->ins + in : (g * w->ins + in) * w->outs + out) * w->taps;
}

static Expected *visit_contraction(const Expectations *e, const Node *n) {
    ChannelWeights w;
    const Expected *x = expected_of(e, n->in[0]);
    if (!x || !op_has(n->op, OP_CONTRACTION) || !channel_weights_read(n, &w)) return NULL;
    int axis = channel_axis_in(n);
    if (x->channels > 1 && (x->axis != axis || x->channels != w.groups * w.ins)) return NULL;
    const Tensor *bias = node_in(n, 2) ? n->in[2]->constant : NULL;
    int64_t outs = w.groups * w.outs, biases = 1;
    if (node_in(n, 2) && (!bias || !product_i64(bias->dims, bias->rank, &biases) || (biases != 1 && biases != outs)))
        return NULL;
    const float *weights = n->in[1]->constant->data;
    Expected *y = expected_new(e, outs, n->op == OP_MatMul ? n->out[0]->type.rank - 1 : 1);
    Moments *from = ARENA_ARRAY(e->arena, w.groups * w.ins, Moments);
    for (int64_t k = 0; k < w.groups * w.ins; k++) from[k] = moments_of(x, k);
    for (int64_t out = 0; out < outs; out++) {
        Moments m = {bias ? tensor_float(bias, biases == 1 ? 0 : out) : 0, 0, -INFINITY, INFINITY};
        for (int64_t k = 0; k < w.ins; k++) {
            const float *tap = weights + weight_place(&w, out / w.outs, out % w.outs, k);
            Moments in = from[out / w.outs * w.ins + k];
            double sum = 0, squares = 0;
            for (int64_t t = 0; t < w.taps; t++) sum += (double)tap[t], squares += (double)tap[t] * (double)tap[t];
            m.mean += sum * in.mean;
            m.variance += fmax(sum * sum, squares) * in.variance;
        }
        if (!isfinite(m.mean) || !isfinite(m.variance)) return NULL;
        set_normal(y, out, m);
    }
    return y;
}

/* ---- what moves ---- */

static int by_value(const void *a, const void *b) {
    float x = ((const float *)a)[0], y = ((const float *)b)[0];
    return (x > y) - (x < y);
}

/* All channels of both as one: the points that as much of the mass lies below */
static Expected *mixed(const Expectations *e, const Expected *a, const Expected *b) {
    int64_t n = a->channels + (b ? b->channels : 0), all = n * EXPECT_POINTS, at = 0;
    typedef struct Mass {
        float value, weight;
    } Mass;
    Mass *mass = ARENA_ARRAY(e->arena, all, Mass);
    for (int64_t c = 0; c < n; c++)
        for (int i = 0; i < EXPECT_POINTS; i++)
            mass[c * EXPECT_POINTS + i] =
                (Mass){c < a->channels ? channel_points(a, c)[i] : channel_points(b, c - a->channels)[i],
                       (float)(weight_at(i) / (double)n)};
    qsort(mass, (size_t)all, sizeof *mass, by_value);
    Expected *y = expected_new(e, 1, 0);
    double below = 0;
    for (int i = 0; i < EXPECT_POINTS; i++) {
        double want = 0.5 * erfc(-point_at(i) / sqrt(2));
        while (at < all - 1 && below + (double)mass[at].weight < want) below += (double)mass[at++].weight;
        y->points[i] = mass[at].value;
    }
    y->points[0] = mass[0].value;
    y->points[EXPECT_POINTS - 1] = mass[all - 1].value;
    return y;
}

static Expected *visit_concat(const Expectations *e, const Node *n) {
    int64_t axis = node_int(n, "axis"), channels = 0, count;
    const Expected *first = NULL;
    Expected *all = NULL;
    bool along = true;
    for (int i = 0; i < n->n_in; i++) {
        const Expected *x = expected_of(e, n->in[i]);
        if (!x) return NULL;
        if (axis < 0) axis += n->in[i]->type.rank;
        along = along && (x->channels == 1 || x->axis == axis) && dim_is_const(n->in[i]->type.dims[axis], &count);
        if (along) channels += count;
        if (first && !along) all = mixed(e, all ? all : first, x);
        if (!first) first = x;
    }
    if (!along) return all ? all : mixed(e, first, NULL);
    Expected *y = expected_new(e, channels, (int)axis);
    float *to = y->points;
    for (int i = 0; i < n->n_in; i++) {
        dim_is_const(n->in[i]->type.dims[axis], &count);
        for (int64_t c = 0; c < count; c++, to += EXPECT_POINTS)
            memcpy(to, channel_points(expected_of(e, n->in[i]), c), sizeof *to * EXPECT_POINTS);
    }
    return y;
}

static bool selects(const Node *n) {
    return op_has(n->op, OP_VIEW) || op_has(n->op, OP_MOVEMENT) || op_has(n->op, OP_POOL) || n->op == OP_Resize ||
           n->op == OP_ReduceMean || n->op == OP_ReduceMax || n->op == OP_ReduceMin;
}

/* Elements, means or maxima of what x holds */
static Expected *visit_selection(const Expectations *e, const Node *n) {
    const Value *y = n->out[0];
    const Expected *x = n->in[0] ? expected_of(e, n->in[0]) : NULL;
    int64_t each = 1, count;
    if (!x || !selects(n) || y->type.rank < 0) return NULL;
    if (x->channels == 1) return (Expected *)(uintptr_t)x;
    int axis = channel_axis_after(n, x->axis, &each);
    if (axis < 0 || axis >= y->type.rank || !dim_is_const(y->type.dims[axis], &count) || count != x->channels * each)
        return mixed(e, x, NULL);
    Expected *to = expected_new(e, count, axis);
    for (int64_t c = 0; c < count; c++)
        memcpy(to->points + c * EXPECT_POINTS, channel_points(x, c / each), sizeof *to->points * EXPECT_POINTS);
    return to;
}

static Expected *visit(const Expectations *e, const Node *n) {
    Expected *x = op_has(n->op, OP_NORMALIZATION) ? visit_norm(e, n) : NULL;
    if (n->op == OP_Concat) return visit_concat(e, n);
    if (!x) x = visit_contraction(e, n);
    if (!x) x = visit_elementwise(e, n);
    if (!x) x = visit_pair(e, n);
    return x ? x : visit_selection(e, n);
}

/* The same, and how much of it is guessed; NULL: too much */
static Expected *count_guesses(const Expectations *e, const Node *n, Expected *x) {
    int guesses = 0;
    for (int i = 0; i < n->n_in && x && !op_has(n->op, OP_NORMALIZATION); i++) {
        const Expected *in = n->in[i] ? expected_of(e, n->in[i]) : NULL;
        if (in == x) return x; /* only moved */
        if (in && in->guesses > guesses) guesses = in->guesses;
    }
    if (x) x->guesses = guesses + op_has(n->op, OP_CONTRACTION);
    return x && x->guesses <= MOST_GUESSES ? x : NULL;
}

void expect_values(Expectations *e, Graph *g) {
    int n = g->ctx->next_id;
    e->of_value = arena_grow(e->arena, e->of_value, (size_t)e->n_ids, (size_t)n, sizeof *e->of_value);
    e->n_ids = n;
    for (int i = 0; i < g->n_inputs; i++)
        if (g->inputs[i]->type.dtype == DT_F32 && !expected_of(e, g->inputs[i]))
            e->of_value[g->inputs[i]->id] = of_input(e);
    for (const Node *node = g->first; node; node = node->next) {
        const Value *y = node->n_out ? node->out[0] : NULL;
        if (!y || node->n_in < 1 || !node->in[0] || y->type.kind != TYPE_TENSOR || y->type.dtype != DT_F32) continue;
        if (y->id >= n || e->of_value[y->id]) continue;
        e->of_value[y->id] = count_guesses(e, node, visit(e, node));
        e->norms += op_has(node->op, OP_NORMALIZATION) && e->of_value[y->id];
    }
}

void expect_scale(Expectations *e, const Value *v, int axis, const float *factors, int64_t n) {
    const Expected *x = expected_of(e, v);
    if (!x || (x->channels > 1 && (x->axis != axis || x->channels != n))) return;
    Expected *y = expected_new(e, n, axis);
    y->guesses = x->guesses;
    for (int64_t c = 0; c < n; c++)
        for (int i = 0; i < EXPECT_POINTS; i++) y->points[c * EXPECT_POINTS + i] = channel_points(x, c)[i] / factors[c];
    e->of_value[v->id] = y;
}

/* ---- what is made of it ---- */

Range expected_range(const Expected *x, RangeMethod method, double percentile, bool symmetric, Arena *scratch) {
    double low = 0, high = 0;
    for (int64_t i = 0; i < x->channels * EXPECT_POINTS; i++) {
        low = fmin(low, (double)x->points[i]);
        high = fmax(high, (double)x->points[i]);
    }
    double step = (high - low) / (OBSERVER_BINS - 4);
    if (!range_needs_histogram(method) || !(step > 0)) return (Range){low, high};
    uint64_t *count = ARENA_ARRAY(scratch, OBSERVER_BINS, uint64_t);
    Bins b = {count, OBSERVER_BINS, floor(low / step) * step, step};
    for (int64_t c = 0; c < x->channels; c++)
        for (int i = 0; i < EXPECT_POINTS; i++) {
            int64_t at = (int64_t)floor(((double)channel_points(x, c)[i] - b.edge) / step);
            count[at < 0 ? 0 : at >= OBSERVER_BINS ? OBSERVER_BINS - 1 : at] += (uint64_t)ldexp(weight_at(i), 40);
        }
    Range r = method == RANGE_PERCENTILE ? range_percentile(b, percentile)
              : method == RANGE_ENTROPY  ? range_entropy(b, scratch)
                                         : range_mse(b, symmetric);
    return (Range){fmax(fmin(r.low, 0), low), fmin(fmax(r.high, 0), high)};
}

Seen *expected_seen(const Expected *x, const Node *n, Arena *a) {
    Seen *s = seen_new(n, a);
    if (!s || (x->channels > 1 && (x->axis != s->axis || x->channels != s->channels))) return NULL;
    for (int64_t c = 0; c < s->channels; c++) {
        Moments m = moments_of(x, c);
        s->low[c] = (float)fmin(m.low, 0);
        s->high[c] = (float)fmax(m.high, 0);
        s->sums[c] = m.mean;
        s->squares[c] = m.variance + m.mean * m.mean;
    }
    s->count = 1;
    return s;
}
