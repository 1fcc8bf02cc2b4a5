/* Operators that follow their inputs into blocks, being what they are on one dim more: elementwise ones, Concat,
 * Resize, and views of values whose channels are all there is. */
#include <string.h>
#include "passes/lower.h"

/* ---- elementwise ---- */

static bool is_single(const Value *v) {
    for (int i = 0; i < v->type.rank; i++)
        if (!dim_is(v->type.dims[i], 1)) return false;
    return true;
}

/* the dim of v that meets axis i of a value of that rank; 1 where v has none */
static bool dim_is_one_at(const Value *v, int rank, int i) {
    int at = i - (rank - v->type.rank);
    return at < 0 || dim_is(v->type.dims[at], 1);
}

static bool same_dims(const Value *a, const Value *b) {
    if (a->type.rank != b->type.rank) return false;
    for (int i = 0; i < a->type.rank; i++)
        if (a->type.dims[i] != b->type.dims[i]) return false;
    return true;
}

/* no channels in it, but places: one more dim of 1 behind the others */
static Value *with_unit_dim(Layout *l, Value *v, Node *before) {
    Dim dims[MCC_MAX_RANK];
    int rank = v->type.rank;
    memcpy(dims, v->type.dims, sizeof *dims * (size_t)rank);
    dims[rank] = dim_const(l->ctx, 1);
    Node *n = node_new(l->g, OP_View, before, &v, 1, 1);
    value_set_dims(n->out[0], v->type.dtype, rank + 1, dims);
    return n->out[0];
}

enum { OPERAND_NONE, OPERAND_SAME, OPERAND_CHANNELS, OPERAND_PLACES, OPERAND_SINGLE };

/* how v, broadcast to `out`, can become an operand on blocks */
static int operand_kind(const Value *v, const Value *out) {
    int rank = out->type.rank;
    if (is_single(v)) return OPERAND_SINGLE;
    if (same_dims(v, out) && !v->constant) return OPERAND_SAME;
    if (v->type.rank > rank) return OPERAND_NONE;
    if (dim_is_one_at(v, rank, 1)) return v->type.rank < MCC_MAX_RANK ? OPERAND_PLACES : OPERAND_NONE;
    if (v->constant) return OPERAND_CHANNELS;
    return v->type.rank == rank && v->type.dims[1] == out->type.dims[1] ? OPERAND_SAME : OPERAND_NONE;
}

static Value *operand(Layout *l, Node *n, Value *v, int block) {
    switch (operand_kind(v, n->out[0])) {
    case OPERAND_SINGLE: return want_plain(l, v, n);
    case OPERAND_PLACES: return with_unit_dim(l, want_plain(l, v, n), n);
    case OPERAND_CHANNELS: return pack_channels(l->g, v, n->out[0]->type.rank, 1, block);
    default: return want_blocked(l, v, n, block);
    }
}

static void copy_attrs(Node *to, const Node *from) {
    to->attrs =
        arena_grow(to->graph->arena, from->attrs, (size_t)from->n_attrs, (size_t)from->n_attrs, sizeof *from->attrs);
    to->n_attrs = from->n_attrs;
}

bool lower_elementwise(Layout *l, Node *n) {
    const Value *out = n->out[0];
    int block = 0, rank = out->type.rank;
    if (n->n_out != 1 || !value_in_blocks(out) || rank < 3 || rank >= MCC_MAX_RANK) return false;
    for (int i = 0; i < n->n_in; i++) {
        if (!n->in[i]) continue;
        if (!value_in_blocks(n->in[i]) || operand_kind(n->in[i], out) == OPERAND_NONE) return false;
        if (!block && twin_of(l, n->in[i]) && same_dims(n->in[i], out)) block = block_of(twin_of(l, n->in[i]));
    }
    if (!block) return false;
    Value **in = ARENA_ARRAY(l->g->arena, n->n_in, Value *);
    for (int i = 0; i < n->n_in; i++) in[i] = n->in[i] ? operand(l, n, n->in[i], block) : NULL;
    copy_attrs(replace_blocked(l, n, n->op, in, n->n_in, block), n);
    return true;
}

/* ---- movement ---- */

/* along the channels, parts of whole blocks; along space, parts in equal blocks */
static bool lower_concat(Layout *l, Node *n) {
    int rank = n->out[0]->type.rank, block = 0;
    int64_t axis = node_int(n, "axis"), channels;
    if (axis < 0) axis += rank;
    if (axis < 1 || rank < 3 || rank >= MCC_MAX_RANK || !value_in_blocks(n->out[0])) return false;
    for (int i = 0; i < n->n_in; i++) {
        Value *twin = twin_of(l, n->in[i]);
        if (!twin || (block && block_of(twin) != block)) return false;
        block = block_of(twin);
        if (!dim_is_const(n->in[i]->type.dims[1], &channels)) return false;
        if (axis == 1 && i + 1 < n->n_in && channels % block) return false;
    }
    Value **in = ARENA_ARRAY(l->g->arena, n->n_in, Value *);
    for (int i = 0; i < n->n_in; i++) in[i] = twin_of(l, n->in[i]);
    node_set_int(replace_blocked(l, n, OP_Concat, in, n->n_in, block), "axis", axis);
    return true;
}

/* how many times each spatial axis is repeated by a Resize that copies every place so often; false: it is no such */
static bool read_repeats(const Node *n, int64_t *times) {
    enum {
        SCALES = 2,
        SIZES = 3,
        HALF_PIXEL = 0,
        PYTORCH_HALF_PIXEL = 2,
        ASYMMETRIC = 4,
        NEAREST = 0,
        FLOOR = 2,
        PREFER_CEIL = 1
    };
    const Value *x = n->in[0], *y = n->out[0], *scales = node_in(n, SCALES);
    const int64_t *unused;
    int mode = node_enum(n, "coordinate_transformation_mode"), nearest = node_enum(n, "nearest_mode"),
        rank = x->type.rank;
    if (node_enum(n, "mode") != NEAREST || node_ints(n, "axes", &unused) || rank < 3) return false;
    bool whole = mode == ASYMMETRIC ? nearest == FLOOR
                                    : (mode == HALF_PIXEL || mode == PYTORCH_HALF_PIXEL) && nearest <= PREFER_CEIL;
    if (!whole || x->type.dims[0] != y->type.dims[0] || x->type.dims[1] != y->type.dims[1]) return false;
    for (int i = 0; i + 2 < rank; i++) {
        int64_t in, out;
        if (scales && scales->constant && scales->constant->dims[0] == rank) {
            double scale = tensor_float(scales->constant, i + 2);
            times[i] = scale >= 1 && scale < 1 << 20 ? (int64_t)scale : 0;
            if ((double)times[i] != scale) return false;
        } else {
            if (!dim_is_const(x->type.dims[i + 2], &in) || !dim_is_const(y->type.dims[i + 2], &out) || in < 1 ||
                out % in)
                return false;
            times[i] = out / in;
        }
        if (times[i] < 1) return false;
    }
    return true;
}

static Value *view_as(Layout *l, Node *before, Value *v, int rank, const Dim *dims) {
    Node *n = node_new(l->g, OP_View, before, &v, 1, 1);
    value_set_dims(n->out[0], v->type.dtype, rank, dims);
    return n->out[0];
}

/* every spatial dim of x, from its third on, followed by one of `times`, which the last view takes together */
static Value *repeat(Layout *l, Node *before, Value *x, int spatial, const int64_t *times) {
    Dim apart[MCC_MAX_RANK], wide[MCC_MAX_RANK], out[MCC_MAX_RANK];
    int64_t shape[MCC_MAX_RANK], rank = 0;
    for (int i = 0; i < x->type.rank; i++) {
        bool is_space = i >= 2 && i < 2 + spatial;
        out[i] = x->type.dims[i];
        shape[rank] = 1;
        apart[rank] = wide[rank] = x->type.dims[i];
        rank++;
        if (!is_space) continue;
        Dim n = dim_const(l->ctx, shape[rank] = times[i - 2]);
        apart[rank] = dim_const(l->ctx, 1);
        wide[rank++] = n;
        out[i] = dim_mul(l->ctx, out[i], n);
    }
    Tensor *t = tensor_new(l->g, DT_I64, 1, &rank);
    if (!t) return NULL;
    memcpy((void *)t->data, shape, sizeof *shape * (size_t)rank);
    Value *in[2] = {view_as(l, before, x, (int)rank, apart), value_of_tensor(l->g, t)};
    Node *expand = node_new(l->g, OP_Expand, before, in, 2, 1);
    value_set_dims(expand->out[0], x->type.dtype, (int)rank, wide);
    return view_as(l, before, expand->out[0], x->type.rank, out);
}

/* scales or sizes of the spatial axes alone; NULL: they are not constants, or batch and channels change */
static Value *spatial_list(Layout *l, const Node *n, int input) {
    const Tensor *t = n->in[input]->constant;
    int rank = n->in[0]->type.rank;
    int64_t spatial = rank - 2;
    const Type *x = &n->in[0]->type, *y = &n->out[0]->type;
    if (!t || t->dims[0] != rank || x->dims[0] != y->dims[0] || x->dims[1] != y->dims[1]) return NULL;
    Tensor *part = tensor_new(l->g, t->dtype, 1, &spatial);
    if (!part) return NULL;
    size_t element = (size_t)dtype_bits(t->dtype) / 8;
    memcpy((void *)part->data, (const char *)t->data + 2 * element, element * (size_t)spatial);
    return value_of_tensor(l->g, part);
}

static bool resize_on_blocks(Layout *l, Node *n, Value *x) {
    enum { STRETCH, SCALES = 2, SIZES = 3 };
    Value *list;
    const int64_t *unused;
    int input = node_in(n, SIZES) ? SIZES : SCALES, rank = n->in[0]->type.rank;
    if (!node_in(n, input) || node_in(n, 1) || node_ints(n, "axes", &unused) ||
        node_enum(n, "keep_aspect_ratio_policy") != STRETCH)
        return false;
    if (!(list = spatial_list(l, n, input))) return false;
    Value *in[4] = {x};
    int64_t axes[MCC_MAX_RANK];
    in[input] = list;
    for (int i = 0; i + 2 < rank; i++) axes[i] = i + 2;
    Node *made = replace_blocked(l, n, OP_Resize, in, input + 1, block_of(x));
    copy_attrs(made, n);
    node_set_ints(made, "axes", axes, rank - 2);
    return true;
}

static bool lower_resize(Layout *l, Node *n) {
    int64_t times[MCC_MAX_RANK];
    Value *x = twin_of(l, n->in[0]), *from = x ? x : n->in[0];
    int spatial = n->in[0]->type.rank - 2;
    if (!read_repeats(n, times) || from->type.rank + spatial > MCC_MAX_RANK)
        return x && (lower_weighted_resize(l, n, x) || resize_on_blocks(l, n, x));
    Value *wide = repeat(l, n, from, spatial, times);
    if (!wide) return false;
    if (x) {
        node_remove(n);
        l->twin[n->out[0]->id] = wide;
        n->out[0]->def = NULL;
    } else {
        n->op = OP_Identity;
        n->in[0] = wide;
        n->n_in = 1;
        n->n_attrs = 0;
    }
    return true;
}

/* [N, C, 1…] in whole blocks is [N, C] as it lies */
static bool lower_view(Layout *l, Node *n) {
    Value *x = twin_of(l, n->in[0]);
    int64_t channels;
    if (!x || !dim_is_const(n->in[0]->type.dims[1], &channels) || channels % block_of(x)) return false;
    for (int i = 2; i < n->in[0]->type.rank; i++)
        if (!dim_is(n->in[0]->type.dims[i], 1)) return false;
    n->in[0] = x;
    return true;
}

bool lower_movement(Layout *l, Node *n) {
    switch (n->op) {
    case OP_Concat: return lower_concat(l, n);
    case OP_Resize: return lower_resize(l, n);
    case OP_View: return lower_view(l, n);
    default: return false;
    }
}
