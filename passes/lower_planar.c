/* Operators that follow their input into planes: elementwise ones, Concat along the channels, depthwise convolution and
 * pooling. Global pooling ends them: its result is small, and plain. */
#include <string.h>
#include "eval/eval.h"
#include "passes/planar.h"

static bool is_single(const Value *v) {
    for (int i = 0; i < v->type.rank; i++)
        if (!dim_is(v->type.dims[i], 1)) return false;
    return true;
}

static bool same_dims(const Value *a, const Value *b) {
    if (a->type.rank != b->type.rank) return false;
    for (int i = 0; i < a->type.rank; i++)
        if (a->type.dims[i] != b->type.dims[i]) return false;
    return true;
}

/* ---- elementwise ---- */

typedef enum OperandKind { KIND_NONE, KIND_SAME, KIND_CHANNELS, KIND_SINGLE } OperandKind;

/* how v, broadcast to `out`, can become an operand on planes */
static OperandKind operand_kind(const Value *v, const Value *out) {
    int rank = out->type.rank, shift = rank - v->type.rank;
    if (is_single(v)) return KIND_SINGLE;
    if (shift < 0) return KIND_NONE;
    if (!v->constant && same_dims(v, out)) return KIND_SAME;
    for (int i = 2 - shift < 0 ? 0 : 2 - shift; i < v->type.rank; i++)
        if (!dim_is(v->type.dims[i], 1)) return KIND_NONE;
    return KIND_CHANNELS;
}

/* [N, C, 1, 1], any of them 1, as [N, C, 1] */
static Value *channels_of(Planar *p, Value *v, const Value *out, Node *before) {
    int shift = out->type.rank - v->type.rank;
    Dim one = dim_const(p->ctx, 1), dims[3] = {one, one, one};
    for (int i = 0; i < 2; i++)
        if (i >= shift) dims[i] = v->type.dims[i - shift];
    if (v->constant) {
        Tensor *t = ARENA_NEW(p->g->arena, Tensor);
        *t = *v->constant;
        t->rank = 3;
        for (int i = 0; i < 3; i++) t->dims[i] = dims[i]->value;
        return value_of_tensor(p->g, t);
    }
    Value *x = want_pixels(p, v, before);
    Node *n = node_new(p->g, OP_View, before, &x, 1, 1);
    value_set_dims(n->out[0], v->type.dtype, 3, dims);
    return n->out[0];
}

static Value *operand(Planar *p, Node *n, Value *v) {
    switch (operand_kind(v, n->out[0])) {
    case KIND_SINGLE: return want_pixels(p, v, n);
    case KIND_CHANNELS: return channels_of(p, v, n->out[0], n);
    default: return want_planes(p, v, n);
    }
}

static bool elementwise_fits(const Node *n) {
    int64_t h, w;
    if (!node_is_elementwise(n) || n->n_out != 1 || !map_of(n->out[0], &h, &w)) return false;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && (!value_is_f32(n->in[i]) || operand_kind(n->in[i], n->out[0]) == KIND_NONE)) return false;
    return true;
}

/* Where all planes are 0, is the result? Constants are what they are; what is not known may be anything. */
static bool keeps_zeros(Planar *p, const Node *n, Value **in) {
    const Tensor *at[8];
    Tensor zero = {.dtype = DT_F32, .bytes = 4, .data = &(float){0}}, *out = NULL;
    int status = MCC_OK;
    if (n->n_in > 8) return false;
    for (int i = 0; i < n->n_in; i++) {
        at[i] = in[i] ? in[i]->constant : NULL;
        if (!in[i]) continue;
        if (!at[i] && in[i]->type.rank == 3 && !dim_is(in[i]->type.dims[2], 1) &&
            !(in[i]->id < p->n_dirty && p->dirty[in[i]->id]))
            at[i] = &zero;
        if (!at[i] || !is_single(in[i])) {
            if (at[i] != &zero) return false;
        }
    }
    if (!eval_node(p->ctx, n, at, &out, &status) || status != MCC_OK) return false;
    return tensor_float(out, 0) == 0;
}

static void copy_attrs(Node *to, const Node *from) {
    to->attrs =
        arena_grow(to->graph->arena, from->attrs, (size_t)from->n_attrs, (size_t)from->n_attrs, sizeof *from->attrs);
    to->n_attrs = from->n_attrs;
}

static bool lower_elementwise_planes(Planar *p, Node *n) {
    bool any = false;
    if (!elementwise_fits(n)) return false;
    for (int i = 0; i < n->n_in; i++)
        any = any || (n->in[i] && planes_of(p, n->in[i]) && same_dims(n->in[i], n->out[0]));
    if (!any) return false;
    Value **in = ARENA_ARRAY(p->g->arena, n->n_in, Value *);
    for (int i = 0; i < n->n_in; i++) in[i] = n->in[i] ? operand(p, n, n->in[i]) : NULL;
    bool dirty = !keeps_zeros(p, n, in);
    copy_attrs(replace_by_planes(p, n, n->op, in, n->n_in, dirty), n);
    return true;
}

/* ---- Concat ---- */

static bool concat_fits(const Node *n) {
    int64_t h, w, axis = node_int(n, "axis");
    int rank = n->out[0]->type.rank;
    for (int i = 0; i < n->n_in; i++)
        if (!map_of(n->in[i], &h, &w)) return false;
    return map_of(n->out[0], &h, &w) && (axis == 1 || axis == 1 - rank);
}

bool joins_mostly_planes(const Node *n, const bool *is_planes) {
    int64_t planes = 0, all = 0;
    for (int i = 0; i < n->n_in; i++) {
        int64_t channels = n->in[i]->type.dims[1]->hi;
        all += channels;
        planes += is_planes[i] ? channels : 0;
    }
    return planes > 0 && 2 * planes >= all;
}

static bool lower_concat_planes(Planar *p, Node *n) {
    bool dirty = false, *is_planes = ARENA_ARRAY(p->scratch, n->n_in, bool);
    if (!concat_fits(n)) return false;
    for (int i = 0; i < n->n_in; i++) is_planes[i] = planes_of(p, n->in[i]);
    if (!joins_mostly_planes(n, is_planes)) return false;
    Value **in = ARENA_ARRAY(p->g->arena, n->n_in, Value *);
    for (int i = 0; i < n->n_in; i++) {
        in[i] = want_planes(p, n->in[i], n);
        dirty = dirty || (in[i]->id < p->n_dirty && p->dirty[in[i]->id]);
    }
    node_set_int(replace_by_planes(p, n, OP_Concat, in, n->n_in, dirty), "axis", 1);
    return true;
}

/* ---- depthwise convolution ---- */

static bool is_constant_f32(const Value *v) { return v && v->constant && v->constant->dtype == DT_F32; }

bool is_planar_depthwise(const Node *n) {
    PlaneWindow w;
    int64_t groups = node_int(n, "group"), kernel[2] = {1, 1};
    if (n->op != OP_Conv || !is_constant_f32(n->in[1]) || (node_in(n, 2) && !is_constant_f32(n->in[2]))) return false;
    const Tensor *t = n->in[1]->constant;
    if (t->rank < 3 || t->rank > 4 || groups < 2 || t->dims[0] != groups || t->dims[1] != 1) return false;
    memcpy(kernel, t->dims + 2, sizeof *kernel * (size_t)(t->rank - 2));
    return window_of(n, kernel, &w);
}

/* Splitting planes into phases would cost about as much as the convolution. */
bool depthwise_reads_rows(const PlaneWindow *w) { return w->stride[1] == 2 && w->dilation[1] == 1; }

static bool lower_depthwise_planes(Planar *p, Node *n) {
    PlaneWindow w;
    if (!planes_of(p, n->in[0]) || !is_planar_depthwise(n)) return false;
    window_of(n, n->in[1]->constant->dims + 2, &w);
    bool by_rows = depthwise_reads_rows(&w);
    Plane from = map_plane(p, w.in[0], w.in[1]), to = map_plane(p, w.out[0], w.out[1]);
    Value *x = by_rows ? want_planes(p, n->in[0], n) : want_window(p, n->in[0], n, &w, &from);
    Value *in[3] = {x, n->in[1], node_in(n, 2)};
    Node *made = replace_by_planes(p, n, OP_PlaneDepthwise, in, 3, false);
    node_set_int(made, "by_rows", by_rows);
    node_set_window(made, &w);
    node_set_plane(made, "from", &from);
    node_set_plane(made, "to", &to);
    return true;
}

/* ---- pooling ---- */

static bool pool_fits(const Node *n) {
    enum { MOST_TAPS = 49 }; /* each has masks of its own */
    PlaneWindow w;
    if ((n->op != OP_MaxPool && n->op != OP_AveragePool) || (n->n_out > 1 && n->out[1])) return false;
    return window_of(n, NULL, &w) && w.kernel[0] * w.kernel[1] <= MOST_TAPS;
}

static bool lower_pool_planes(Planar *p, Node *n) {
    PlaneWindow w;
    if (!pool_fits(n)) return false;
    window_of(n, NULL, &w);
    bool mean = n->op == OP_AveragePool, padded = mean && node_int(n, "count_include_pad");
    Plane from, to = map_plane(p, w.out[0], w.out[1]);
    Value *x = want_window(p, n->in[0], n, &w, &from);
    Node *made = replace_by_planes(p, n, OP_PlanePool, &x, 1, false);
    node_set_window(made, &w);
    node_set_plane(made, "from", &from);
    node_set_plane(made, "to", &to);
    node_set_int(made, "mean", mean);
    node_set_int(made, "count_include_pad", padded);
    return true;
}

static bool global_fits(const Node *n) {
    bool reduces = (n->op == OP_ReduceMean || n->op == OP_ReduceMax) && reduces_space(n);
    return n->op == OP_GlobalAveragePool || n->op == OP_GlobalMaxPool || reduces;
}

static bool lower_global_pool(Planar *p, Node *n) {
    int64_t h = 1, w = 1;
    Value *x = planes_of(p, n->in[0]), *out = n->out[0];
    if (!x || !global_fits(n)) return false;
    map_of(n->in[0], &h, &w);
    Plane from = map_plane(p, h, w);
    Node *made = node_new(p->g, OP_PlaneGlobalPool, n, &x, 1, 1);
    node_set_plane(made, "from", &from);
    node_set_int(made, "mean", n->op == OP_GlobalAveragePool || n->op == OP_ReduceMean);
    made->name = n->name;
    made->index = n->index;
    node_remove(n);
    made->out[0] = out;
    out->def = made;
    out->def_index = 0;
    return true;
}

bool follows_planes(const Node *n, const Value *v) {
    int64_t h, w;
    if (!map_of(v, &h, &w)) return false;
    if (n->op == OP_Conv) return v == n->in[0] && is_planar_depthwise(n);
    if (n->op == OP_Concat) return concat_fits(n);
    if (pool_fits(n) || global_fits(n)) return true;
    return elementwise_fits(n) && same_dims(v, n->out[0]);
}

bool lower_planar(Planar *p, Node *n) {
    if (n->op == OP_Conv) return lower_depthwise_planes(p, n);
    if (n->op == OP_Concat) return lower_concat_planes(p, n);
    if (n->n_in < 1 || !n->in[0]) return false;
    if (op_has(n->op, OP_POOL) && planes_of(p, n->in[0]) && lower_pool_planes(p, n)) return true;
    if (lower_global_pool(p, n)) return true;
    return lower_elementwise_planes(p, n);
}
