/* Channels that a pruned model has no use for leave it, exactly: those that no weight after them reads, and those that
 * are the same number everywhere, as their own weights are all zeros; that number goes into the biases of what read
 * them. Values that operators tie together channel by channel (elementwise ones, pools, depthwise convolutions, views
 * that flatten) are one class and lose the same channels; a class goes from products with constant weights to such
 * products, and anything else on its way keeps it whole. Where zeros lie in words of four channels, channels go by four. */
#include <math.h>
#include <string.h>
#include "eval/eval.h"
#include "passes/internal.h"

typedef struct Class { /* by id of its root value */
    int64_t channels;
    bool keeps_all, in_words; /* in_words: channels go by four */
    int makers, readers;
    bool *dropped; /* by channel */
    int64_t n_dropped;
} Class;

typedef struct Drop {
    Graph *g;
    Ctx *ctx;
    Arena *scratch;
    int n_ids;
    int *root;
    int64_t *inner;  /* by value id: places of axis 1 that a channel takes; 0: not met */
    double **number; /* by value id: what each channel is everywhere; NaN: not known */
    Class *of;
} Drop;

/* ---- classes ---- */

static int root_of(const Drop *d, int id) {
    while (d->root[id] != id) id = d->root[id] = d->root[d->root[id]];
    return id;
}

static Class *class_of(const Drop *d, const Value *v) { return &d->of[root_of(d, v->id)]; }

static int64_t channels_of(const Drop *d, const Value *v) {
    int64_t n;
    if (!v || v->constant || v->type.kind != TYPE_TENSOR || v->type.dtype != DT_F32 || v->type.rank < 2) return 0;
    if (!dim_is_const(v->type.dims[1], &n) || n < 1) return 0;
    return d->inner[v->id] ? n / d->inner[v->id] : n;
}

static void keep(Drop *d, const Value *v) {
    if (v && !v->constant) class_of(d, v)->keeps_all = true;
}

static void tie(Drop *d, const Value *a, const Value *b) {
    int64_t n = channels_of(d, a);
    int x = root_of(d, a->id), y = root_of(d, b->id);
    if (!n || n != channels_of(d, b)) {
        keep(d, a), keep(d, b);
        return;
    }
    if (x == y) return;
    d->root[y] = x;
    d->of[x].keeps_all = d->of[x].keeps_all || d->of[y].keeps_all;
    d->of[x].makers += d->of[y].makers, d->of[x].readers += d->of[y].readers;
}

static const Tensor *constant_f32(const Node *n, int i) {
    const Value *v = node_in(n, i);
    return v && v->constant && v->constant->dtype == DT_F32 ? v->constant : NULL;
}

static bool bias_is_plain(const Node *n, int64_t columns) { /* none, or a number a column */
    const Tensor *b = constant_f32(n, 2);
    return !node_in(n, 2) || (b && b->rank == 1 && b->dims[0] == columns);
}

/* A product's weights; of a flattened value, taps are the places of a channel. */
typedef struct Product {
    const Tensor *w;
    int64_t columns, channels, taps, column, channel, tap; /* how many, and how far apart */
    bool padded;
} Product;

static bool has_pads(const Node *n) {
    const int64_t *pads;
    int count = node_ints(n, "pads", &pads), mode = node_enum(n, "auto_pad");
    for (int i = 0; i < count; i++)
        if (pads[i]) return true;
    return mode == 1 || mode == 2; /* SAME_… */
}

static bool read_product(const Drop *d, const Node *n, Product *p) {
    *p = (Product){.w = constant_f32(n, 1)};
    if (!p->w || !channels_of(d, n->in[0])) return false;
    const int64_t *dims = p->w->dims;
    int64_t inner = d->inner[n->in[0]->id], elements;
    product_i64(dims, p->w->rank, &elements);
    if (n->op == OP_Conv && node_int(n, "group") == 1 && inner == 1 && elements) {
        p->columns = dims[0], p->channels = dims[1], p->taps = elements / dims[0] / dims[1];
        p->column = p->channels * p->taps, p->channel = p->taps, p->tap = 1;
        p->padded = has_pads(n);
        return bias_is_plain(n, p->columns);
    }
    if (n->op != OP_Gemm || node_int(n, "transA") || node_float(n, "alpha") != 1 || node_float(n, "beta") != 1)
        return false;
    bool trans = node_int(n, "transB");
    p->columns = dims[!trans], p->channels = dims[trans] / inner, p->taps = inner;
    p->tap = trans ? 1 : dims[1];
    p->column = trans ? dims[1] : 1, p->channel = inner * p->tap;
    return elements && bias_is_plain(n, p->columns);
}

static float weight(const Product *p, int64_t column, int64_t channel, int64_t tap) {
    return ((const float *)p->w->data)[column * p->column + channel * p->channel + tap * p->tap];
}

static bool is_depthwise(const Node *n) {
    const Tensor *w = constant_f32(n, 1);
    int64_t groups = node_int(n, "group");
    return n->op == OP_Conv && w && groups > 1 && w->dims[0] == groups && w->dims[1] == 1 && bias_is_plain(n, groups);
}

/* [N, C, …] as [N, C · places] */
static bool is_flattening(const Drop *d, const Node *n) {
    const Type *x = &n->in[0]->type, *y = &n->out[0]->type;
    int64_t all = 1, place;
    if (n->op != OP_View || !channels_of(d, n->in[0]) || y->rank != 2 || y->dims[0] != x->dims[0]) return false;
    for (int i = 1; i < x->rank; i++, all *= place)
        if (!dim_is_const(x->dims[i], &place) || place < 1 || place > INT32_MAX) return false;
    return d->inner[n->in[0]->id] == 1 && dim_is(y->dims[1], all);
}

static bool keeps_channels(const Node *n) { /* a pool */
    if (n->n_out != 1 || n->in[0]->type.dtype != DT_F32) return false;
    return n->op == OP_MaxPool || n->op == OP_AveragePool || n->op == OP_GlobalAveragePool || n->op == OP_GlobalMaxPool;
}

/* does v's axis 1 stand along that of y? */
static bool has_channels(const Value *v, const Value *y) {
    int at = 1 - (y->type.rank - v->type.rank);
    return at >= 0 && !dim_is(v->type.dims[at], 1);
}

static bool elementwise_fits(const Drop *d, const Node *n) {
    const Value *y = n->out[0];
    if (!op_has(n->op, OP_ELEMENTWISE) || n->n_out != 1 || !channels_of(d, y)) return false;
    for (int i = 0; i < n->n_in; i++) {
        const Value *v = n->in[i];
        if (!v || !has_channels(v, y)) continue;
        if (v->type.dtype != DT_F32 || (!v->constant && v->type.rank != y->type.rank)) return false;
    }
    return true;
}

static void visit_elementwise(Drop *d, const Node *n) {
    int64_t inner = 1;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && !n->in[i]->constant && has_channels(n->in[i], n->out[0])) inner = d->inner[n->in[i]->id];
    d->inner[n->out[0]->id] = inner;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && !n->in[i]->constant && has_channels(n->in[i], n->out[0])) tie(d, n->out[0], n->in[i]);
}

static void visit(Drop *d, const Node *n) {
    Product p;
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i]) d->inner[n->out[i]->id] = 1;
    if (read_product(d, n, &p)) {
        class_of(d, n->in[0])->readers++;
        if (channels_of(d, n->out[0]) == p.columns) class_of(d, n->out[0])->makers++;
        else keep(d, n->out[0]);
    } else if (n->n_in && n->in[0] && n->n_out && n->out[0] && is_flattening(d, n)) {
        d->inner[n->out[0]->id] = n->out[0]->type.dims[1]->value / n->in[0]->type.dims[1]->value;
        tie(d, n->in[0], n->out[0]);
    } else if (is_depthwise(n) || keeps_channels(n)) {
        tie(d, n->in[0], n->out[0]);
    } else if (n->n_out && n->out[0] && elementwise_fits(d, n)) {
        visit_elementwise(d, n);
    } else {
        for (int i = 0; i < n->n_in; i++) keep(d, n->in[i]);
        for (int i = 0; i < n->n_out; i++) keep(d, n->out[i]);
    }
}

static void fill_classes(Drop *d) {
    for (int i = 0; i < d->n_ids; i++) d->root[i] = i;
    for (int i = 0; i < d->g->n_inputs; i++) d->inner[d->g->inputs[i]->id] = 1, keep(d, d->g->inputs[i]);
    for (const Node *n = d->g->first; n; n = n->next) visit(d, n);
    for (int i = 0; i < d->g->n_outputs; i++) keep(d, d->g->outputs[i]);
}

static bool may_shrink(const Drop *d, const Value *v) {
    if (!v || v->constant || !channels_of(d, v)) return false;
    const Class *c = class_of(d, v);
    return !c->keeps_all && c->makers && c->readers && channels_of(d, v) > 1;
}

/* ---- channels that are a number everywhere ---- */

static void number_of_product(const Node *n, const Product *p, double *out) {
    const Tensor *bias = constant_f32(n, 2);
    for (int64_t i = 0; i < p->columns; i++) {
        bool zero = true;
        for (int64_t c = 0; c < p->channels && zero; c++)
            for (int64_t t = 0; t < p->taps && zero; t++) zero = weight(p, i, c, t) == 0;
        if (zero) out[i] = bias ? tensor_float(bias, i) : 0;
    }
}

static void number_of_depthwise(const Node *n, const double *in, int64_t channels, double *out) {
    const Tensor *w = constant_f32(n, 1), *bias = constant_f32(n, 2);
    int64_t taps = (int64_t)(w->bytes / sizeof(float)) / channels;
    for (int64_t c = 0; c < channels; c++) {
        double sum = 0, start = bias ? tensor_float(bias, c) : 0;
        bool zero = true;
        for (int64_t t = 0; t < taps; t++) {
            double weight = tensor_float(w, c * taps + t);
            sum += weight;
            zero = zero && weight == 0;
        }
        if (zero || in[c] == 0) out[c] = start;
        else if (!isnan(in[c]) && !has_pads(n)) out[c] = (double)(float)(start + in[c] * sum);
    }
}

static bool any_known(const double *number, int64_t channels) {
    for (int64_t c = 0; c < channels; c++)
        if (!isnan(number[c])) return true;
    return false;
}

/* The operands with a place for each channel and no other; false: they vary along other axes, or nothing is known. */
static bool channel_operands(const Drop *d, const Node *n, const Tensor **at, int64_t channels) {
    const Value *y = n->out[0];
    for (int i = 0; i < n->n_in; i++) {
        const Value *v = n->in[i];
        at[i] = v ? v->constant : NULL;
        if (!v) continue;
        if (v->constant) {
            for (int k = 0; k < v->type.rank; k++)
                if (k != 1 - (y->type.rank - v->type.rank) && !dim_is(v->type.dims[k], 1)) return false;
            continue;
        }
        if (!has_channels(v, y) || !d->number[v->id] || !any_known(d->number[v->id], channels)) return false;
        Tensor *t = ARENA_NEW(d->scratch, Tensor);
        *t = (Tensor){.dtype = DT_F32, .rank = v->type.rank, .bytes = sizeof(float) * (size_t)channels};
        for (int k = 0; k < t->rank; k++) t->dims[k] = k == 1 ? channels : 1;
        float *to = ARENA_ARRAY(d->scratch, channels, float);
        for (int64_t c = 0; c < channels; c++) to[c] = isnan(d->number[v->id][c]) ? 0 : (float)d->number[v->id][c];
        t->data = to;
        at[i] = t;
    }
    return true;
}

static void number_of_elementwise(const Drop *d, const Node *n, int64_t channels, double *out) {
    const Tensor *at[8];
    Tensor *y = NULL;
    int status = MCC_OK;
    if (n->n_in > 8 || d->inner[n->out[0]->id] != 1 || !channel_operands(d, n, at, channels)) return;
    if (!eval_node(d->ctx, n, at, &y, &status) || status != MCC_OK) return;
    for (int64_t c = 0; c < channels; c++) {
        bool known = true;
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i] && !n->in[i]->constant) known = known && !isnan(d->number[n->in[i]->id][c]);
        if (known) out[c] = tensor_float(y, c);
    }
}

static void fill_numbers(Drop *d, const Node *n) {
    Product p;
    const Value *y = n->n_out ? n->out[0] : NULL;
    if (!may_shrink(d, y)) return;
    int64_t channels = channels_of(d, y);
    double *out = d->number[y->id] = ARENA_ARRAY(d->scratch, channels, double);
    for (int64_t c = 0; c < channels; c++) out[c] = NAN;
    const double *in = n->in[0] ? d->number[n->in[0]->id] : NULL;
    if (read_product(d, n, &p)) number_of_product(n, &p, out);
    else if (is_depthwise(n) && in) number_of_depthwise(n, in, channels, out);
    else if (in && (n->op == OP_View || keeps_channels(n))) {
        bool counts = n->op == OP_AveragePool && node_int(n, "count_include_pad"),
             padded = counts && (has_pads(n) || node_int(n, "ceil_mode"));
        for (int64_t c = 0; c < channels; c++)
            if (!padded || in[c] == 0) out[c] = in[c];
    } else if (op_has(n->op, OP_ELEMENTWISE)) number_of_elementwise(d, n, channels, out);
    for (int64_t c = 0; c < channels; c++)
        if (isinf(out[c])) out[c] = NAN;
}

/* ---- what goes ---- */

static bool is_unread(const Product *p, int64_t channel) {
    for (int64_t i = 0; i < p->columns; i++)
        for (int64_t t = 0; t < p->taps; t++)
            if (weight(p, i, channel, t) != 0) return false;
    return true;
}

/* Do the zeros lie in words of four channels, which code of bytes leaves out? Channels that moved would tear them apart. */
static bool has_zero_words(const Product *p) {
    enum { WORD = 4 };
    const double least = 0.1, full_enough = 0.95;
    int64_t words = 0, zeros = 0, nonzeros = 0, room = 0;
    for (int64_t i = 0; i < p->columns; i++)
        for (int64_t t = 0; t < p->taps; t++)
            for (int64_t c = 0; c < p->channels; c += WORD) {
                int64_t n = 0, end = c + WORD < p->channels ? c + WORD : p->channels;
                for (int64_t k = c; k < end; k++) n += weight(p, i, k, t) != 0;
                words++, zeros += !n;
                nonzeros += n, room += n ? end - c : 0;
            }
    return (double)zeros >= least * (double)words && (double)nonzeros >= full_enough * (double)room;
}

static void keep_words(Class *c) {
    enum { WORD = 4 };
    for (int64_t i = 0; i < c->channels; i += WORD) {
        bool all = true;
        for (int64_t k = i; k < i + WORD && k < c->channels; k++) all = all && c->dropped[k];
        for (int64_t k = i; k < i + WORD && k < c->channels; k++) c->dropped[k] = all;
    }
}

/* A reader's channels, given those that all readers so far can do without. */
static void restrict_dropped(Drop *d, const Node *n) {
    Product p;
    if (!n->n_in || !may_shrink(d, n->in[0]) || !read_product(d, n, &p)) return;
    Class *c = class_of(d, n->in[0]);
    const double *number = d->number[n->in[0]->id];
    c->in_words = c->in_words || has_zero_words(&p);
    for (int64_t i = 0; i < p.channels; i++) {
        bool is_number = number && !isnan(number[i]) && (number[i] == 0 || !p.padded);
        if (c->dropped[i] && !is_number && !is_unread(&p, i)) c->dropped[i] = false;
    }
}

static bool settle(Drop *d) {
    bool any = false;
    for (const Node *n = d->g->first; n; n = n->next) restrict_dropped(d, n);
    for (int id = 0; id < d->n_ids; id++) {
        Class *c = &d->of[id];
        if (!c->dropped) continue;
        if (c->in_words) keep_words(c);
        for (int64_t i = 0; i < c->channels; i++) c->n_dropped += c->dropped[i];
        if (c->n_dropped == c->channels) c->dropped[0] = false, c->n_dropped--; /* one stays, for its dims */
        any = any || c->n_dropped;
    }
    return any;
}

static const Class *shrinking(const Drop *d, const Value *v) {
    const Class *c = may_shrink(d, v) ? class_of(d, v) : NULL;
    return c && c->n_dropped ? c : NULL;
}

/* t without the dropped channels of an axis, each `inner` places of it */
static Value *without(Drop *d, const Tensor *t, int axis, const Class *c, int64_t inner) {
    int64_t dims[MCC_MAX_RANK], before = 1, after = inner;
    memcpy(dims, t->dims, sizeof dims);
    for (int i = 0; i < axis; i++) before *= dims[i];
    for (int i = axis + 1; i < t->rank; i++) after *= dims[i];
    dims[axis] = (c->channels - c->n_dropped) * inner;
    Tensor *made = tensor_new(d->g, t->dtype, t->rank, dims);
    if (!made) return NULL;
    const float *from = t->data;
    float *to = (float *)made->data;
    for (int64_t b = 0; b < before; b++)
        for (int64_t i = 0; i < c->channels; i++, from += after) {
            if (c->dropped[i]) continue;
            memcpy(to, from, sizeof *to * (size_t)after);
            to += after;
        }
    return value_of_tensor(d->g, made);
}

/* what the dropped channels added to each column goes into the bias */
static bool add_to_bias(Drop *d, Node *n, const Product *p, const Class *c) {
    const double *number = d->number[n->in[0]->id];
    const Tensor *old = constant_f32(n, 2);
    bool any = false;
    for (int64_t i = 0; i < c->channels; i++)
        any = any || (c->dropped[i] && number && !isnan(number[i]) && number[i] != 0);
    if (!any) return true;
    Tensor *t = tensor_new(d->g, DT_F32, 1, &p->columns);
    if (!t) return false;
    for (int64_t k = 0; k < p->columns; k++) {
        double sum = old ? tensor_float(old, k) : 0;
        for (int64_t i = 0; i < c->channels; i++)
            for (int64_t tap = 0; c->dropped[i] && !isnan(number[i]) && tap < p->taps; tap++)
                sum += number[i] * (double)weight(p, k, i, tap);
        tensor_set_float(t, k, sum);
    }
    Value **in = ARENA_ARRAY(d->g->arena, 3, Value *);
    memcpy(in, n->in, sizeof *in * 2);
    in[2] = value_of_tensor(d->g, t);
    n->in = in;
    n->n_in = 3;
    return true;
}

static bool shrink_constant(Drop *d, Node *n, int input, int axis, const Class *c, int64_t inner) {
    Value *v = node_in(n, input);
    if (!v) return true;
    v = without(d, v->constant, axis, c, inner);
    if (v) n->in[input] = v;
    return v;
}

static bool shrink_product(Drop *d, Node *n, const Product *p) {
    const Class *in = shrinking(d, n->in[0]), *out = shrinking(d, n->out[0]);
    bool turned = n->op == OP_Gemm && !node_int(n, "transB");
    if (in && (!add_to_bias(d, n, p, in) || !shrink_constant(d, n, 1, !turned, in, d->inner[n->in[0]->id])))
        return false;
    return !out || (shrink_constant(d, n, 1, turned, out, 1) && shrink_constant(d, n, 2, 0, out, 1));
}

static bool shrink_node(Drop *d, Node *n) {
    Product p;
    if (read_product(d, n, &p)) return shrink_product(d, n, &p);
    const Class *c = n->n_out ? shrinking(d, n->out[0]) : NULL;
    if (!c) return true;
    if (is_depthwise(n)) {
        node_set_int(n, "group", c->channels - c->n_dropped);
        return shrink_constant(d, n, 1, 0, c, 1) && shrink_constant(d, n, 2, 0, c, 1);
    }
    if (!op_has(n->op, OP_ELEMENTWISE)) return true;
    for (int i = 0; i < n->n_in; i++) {
        const Value *v = n->in[i], *y = n->out[0];
        if (!v || !v->constant || !has_channels(v, y)) continue;
        if (!shrink_constant(d, n, i, 1 - (y->type.rank - v->type.rank), c, d->inner[y->id])) return false;
    }
    return true;
}

static void shrink_types(Drop *d) {
    for (Node *n = d->g->first; n; n = n->next)
        for (int i = 0; i < n->n_out; i++) {
            const Class *c = n->out[i] ? shrinking(d, n->out[i]) : NULL;
            Dim dims[MCC_MAX_RANK];
            if (!c) continue;
            memcpy(dims, n->out[i]->type.dims, sizeof dims);
            dims[1] = dim_const(d->ctx, (c->channels - c->n_dropped) * d->inner[n->out[i]->id]);
            value_set_dims(n->out[i], DT_F32, n->out[i]->type.rank, dims);
        }
}

bool pass_drop_channels(Graph *g, PassCtx *p) {
    Drop d = {.g = g, .ctx = g->ctx, .scratch = arena_new(g->ctx), .n_ids = g->ctx->next_id};
    (void)p;
    d.root = ARENA_ARRAY(d.scratch, d.n_ids, int);
    d.inner = ARENA_ARRAY(d.scratch, d.n_ids, int64_t);
    d.number = ARENA_ARRAY(d.scratch, d.n_ids, double *);
    d.of = ARENA_ARRAY(d.scratch, d.n_ids, Class);
    fill_classes(&d);
    for (const Node *n = g->first; n; n = n->next) {
        if (n->n_out && may_shrink(&d, n->out[0]) && !class_of(&d, n->out[0])->dropped) {
            Class *c = class_of(&d, n->out[0]);
            c->channels = channels_of(&d, n->out[0]);
            c->dropped = ARENA_ARRAY(d.scratch, c->channels, bool);
            memset(c->dropped, true, (size_t)c->channels);
        }
        fill_numbers(&d, n);
    }
    bool changed = settle(&d);
    for (Node *n = g->first; changed && n; n = n->next)
        if (!shrink_node(&d, n)) break; /* after diag_error */
    if (changed) shrink_types(&d);
    arena_free(d.scratch);
    return changed;
}
