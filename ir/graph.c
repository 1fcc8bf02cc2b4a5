/* Graphs, nodes and values: building, attributes, replacing. Everything lives in the graph's arena; a removed node stays
 * allocated. Node order is topological, and every function here keeps it so. */
#include "ir/ir.h"
#include <assert.h>
#include <math.h>
#include <string.h>

Graph *graph_new(Ctx *ctx, Graph *outer) {
    Arena *a = outer ? outer->arena : ctx->arena;
    Graph *g = ARENA_NEW(a, Graph);
    g->ctx = ctx;
    g->arena = a;
    g->outer = outer;
    return g;
}

Value *value_new(Graph *g, Str name) {
    Value *v = ARENA_NEW(g->arena, Value);
    v->id = g->ctx->next_id++;
    v->name = name;
    v->type.rank = -1;
    return v;
}

void value_set_dims(Value *v, Dtype t, int rank, const Dim *dims) {
    assert(rank >= 0 && rank <= MCC_MAX_RANK);
    v->type.kind = TYPE_TENSOR;
    v->type.dtype = t;
    v->type.rank = rank;
    for (int i = 0; i < rank; i++) v->type.dims[i] = dims[i];
}

void value_set_tensor(Graph *g, Value *v, const Tensor *t) {
    Dim dims[MCC_MAX_RANK];
    int64_t n;
    for (int i = 0; i < t->rank; i++) dims[i] = dim_const(g->ctx, t->dims[i]);
    value_set_dims(v, t->dtype, t->rank, dims);
    v->constant = t;
    bool exact = t->dtype == DT_I64 || t->dtype == DT_I32 || t->dtype == DT_BOOL;
    if (!exact || !product_i64(t->dims, t->rank, &n) || n > VALUE_CONTENT_MAX) return;
    Dim *content = ARENA_ARRAY(g->arena, n + 1, Dim);
    for (int64_t i = 0; i < n; i++) content[i] = dim_const(g->ctx, tensor_int(t, i));
    v->content = content;
}

Value *value_of_tensor(Graph *g, const Tensor *t) {
    Value *v = value_new(g, (Str){0});
    value_set_tensor(g, v, t);
    return v;
}

bool value_static_dims(const Value *v, int64_t *dims) {
    if (v->type.kind != TYPE_TENSOR || v->type.rank < 0) return false;
    for (int i = 0; i < v->type.rank; i++)
        if (!v->type.dims[i] || !dim_is_const(v->type.dims[i], &dims[i])) return false;
    return true;
}

bool value_is_static(const Value *v) {
    int64_t dims[MCC_MAX_RANK];
    return value_static_dims(v, dims);
}

int value_content(const Value *v) {
    int64_t n = 1;
    if (!v || !v->content || v->type.kind != TYPE_TENSOR) return -1;
    for (int i = 0; i < v->type.rank; i++) {
        int64_t d;
        if (!dim_is_const(v->type.dims[i], &d) || d < 0 || !mul_i64(n, d, &n) || n > VALUE_CONTENT_MAX) return -1;
    }
    return (int)n;
}

int value_content_const(const Value *v, int64_t out[VALUE_CONTENT_MAX]) {
    int n = value_content(v);
    for (int i = 0; i < n; i++)
        if (!dim_is_const(v->content[i], &out[i])) return -1;
    return n;
}

Dim value_elements(Ctx *ctx, const Value *v) { return dim_product(ctx, v->type.dims, v->type.rank); }

bool value_max_bytes(Ctx *ctx, const Value *v, size_t *out) {
    (void)ctx;
    int64_t dims[MCC_MAX_RANK], n;
    for (int i = 0; i < v->type.rank; i++) {
        Dim d = v->type.dims[i];
        if (!d || d->hi == INT64_MAX) return false;
        dims[i] = d->hi < 0 ? 0 : d->hi;
    }
    return product_i64(dims, v->type.rank, &n) && dtype_bytes(v->type.dtype, n, out);
}

Tensor *tensor_new(Graph *g, Dtype t, int rank, const int64_t *dims) {
    Ctx *ctx = g->ctx;
    int64_t n;
    size_t bytes;
    if (!product_i64(dims, rank, &n) || !dtype_bytes(t, n, &bytes) || bytes > ctx->opt.max_fold ||
        ctx->folded > ctx->opt.max_fold - bytes) {
        diag_error(ctx, NULL, "constants computed at compile time need more than %zu bytes (raise --max-fold)", ctx->opt.max_fold);
        return NULL;
    }
    ctx->folded += bytes;
    Tensor *out = ARENA_NEW(g->arena, Tensor);
    *out = (Tensor){.dtype = t, .rank = rank, .bytes = bytes, .data = arena_alloc(g->arena, bytes + 1)};
    if (rank) memcpy(out->dims, dims, sizeof *dims * (size_t)rank);
    return out;
}

static uint64_t element(const Tensor *t, int64_t i) {
    int bits = dtype_bits(t->dtype), bytes = bits / 8, each = bits ? 8 / bits : 0;
    uint64_t w = 0;
    if (bits && bits < 8) return (uint64_t)((const uint8_t *)t->data)[i / each] >> i % each * bits & ((1u << bits) - 1);
    assert(bytes > 0 && bytes <= 8);
    memcpy(&w, (const char *)t->data + (size_t)i * (size_t)bytes, (size_t)bytes);
    return w;
}

int64_t tensor_int(const Tensor *t, int64_t i) {
    uint64_t w = element(t, i);
    switch (t->dtype) {
    case DT_I2: return (int64_t)(w ^ 2) - 2;
    case DT_I4: return (int64_t)(w ^ 8) - 8;
    case DT_I8: return (int8_t)w;
    case DT_I16: return (int16_t)w;
    case DT_I32: return (int32_t)w;
    default: return (int64_t)w;
    }
}

static double half_value(uint64_t w) { /* IEEE binary16 */
    int e = (int)(w >> 10 & 31), m = (int)(w & 1023);
    double f = e == 31 ? (m ? (double)NAN : (double)INFINITY) : ldexp(e ? m + 1024 : m, (e ? e : 1) - 25);
    return w >> 15 ? -f : f;
}

/* A code of 8 or 4 bits: sign, exponent, mantissa; e8m0 has an exponent alone */
static double small_value(Dtype t, uint64_t w) {
    static const struct { int bits, mantissa, bias; } forms[DT_COUNT] = {
        [DT_F8E4M3FN] = {8, 3, 7}, [DT_F8E4M3FNUZ] = {8, 3, 8}, [DT_F8E5M2] = {8, 2, 15}, [DT_F8E5M2FNUZ] = {8, 2, 16}, [DT_F4E2M1] = {4, 1, 1}};
    if (t == DT_F8E8M0) return w == 255 ? (double)NAN : ldexp(1, (int)w - 127);
    int bits = forms[t].bits, mantissa = forms[t].mantissa, bias = forms[t].bias;
    int magnitude = (int)(w & ((1u << (bits - 1)) - 1)), e = magnitude >> mantissa, m = magnitude & ((1 << mantissa) - 1);
    bool uz = t == DT_F8E4M3FNUZ || t == DT_F8E5M2FNUZ, sign = w >> (bits - 1);
    if ((t == DT_F8E4M3FN && magnitude == 0x7f) || (t == DT_F8E5M2 && magnitude > 0x7c) || (uz && w == 0x80)) return (double)NAN;
    double f = t == DT_F8E5M2 && magnitude == 0x7c ? (double)INFINITY : ldexp(e ? m + (1 << mantissa) : m, (e ? e : 1) - bias - mantissa);
    return sign ? -f : f;
}

double tensor_float(const Tensor *t, int64_t i) {
    uint64_t w = element(t, i);
    uint32_t w32 = (uint32_t)w;
    float f;
    double d;
    switch (t->dtype) {
    case DT_F32: memcpy(&f, &w32, 4); return (double)f;
    case DT_F64: memcpy(&d, &w, 8); return d;
    case DT_BF16: w32 <<= 16; memcpy(&f, &w32, 4); return (double)f;
    case DT_F16: return half_value(w);
    case DT_F8E4M3FN:
    case DT_F8E4M3FNUZ:
    case DT_F8E5M2:
    case DT_F8E5M2FNUZ:
    case DT_F8E8M0:
    case DT_F4E2M1: return small_value(t->dtype, w);
    case DT_U64: return (double)w;
    default: return (double)tensor_int(t, i);
    }
}

Node *node_new(Graph *g, Op op, Node *before, Value **in, int n_in, int n_out) {
    Node *n = ARENA_NEW(g->arena, Node);
    n->id = g->ctx->next_id++;
    n->op = op;
    n->index = -1;
    n->graph = g;
    n->in = ARENA_ARRAY(g->arena, n_in, Value *);
    n->n_in = n_in;
    if (n_in) memcpy(n->in, in, sizeof *in * (size_t)n_in);
    n->out = ARENA_ARRAY(g->arena, n_out, Value *);
    n->n_out = n_out;
    for (int i = 0; i < n_out; i++) {
        n->out[i] = value_new(g, (Str){0});
        n->out[i]->def = n;
        n->out[i]->def_index = i;
    }
    n->next = before;
    n->prev = before ? before->prev : g->last;
    *(n->prev ? &n->prev->next : &g->first) = n;
    *(before ? &before->prev : &g->last) = n;
    return n;
}

void node_remove(Node *n) {
    Graph *g = n->graph;
    *(n->prev ? &n->prev->next : &g->first) = n->next;
    *(n->next ? &n->next->prev : &g->last) = n->prev;
    n->prev = n->next = NULL;
}

void node_move_before(Node *n, Node *before) {
    Graph *g = n->graph;
    assert(n != before);
    node_remove(n);
    n->next = before;
    n->prev = before ? before->prev : g->last;
    *(n->prev ? &n->prev->next : &g->first) = n;
    *(before ? &before->prev : &g->last) = n;
}

Value *node_in(const Node *n, int i) { return i < n->n_in ? n->in[i] : NULL; }

bool node_infer(Ctx *ctx, Node *n) { return op_info(n->op)->infer(ctx, n); }

void graph_replace(Graph *g, Value *from, Value *to) {
    for (Node *n = g->first; n; n = n->next) {
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i] == from) n->in[i] = to;
    }
    for (int i = 0; i < g->n_outputs; i++)
        if (g->outputs[i] == from) g->outputs[i] = to;
}

static void each_input(Graph *g, int reset) {
    for (Node *n = g->first; n; n = n->next) {
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i]) n->in[i]->n_uses = reset ? 0 : n->in[i]->n_uses + 1;
        for (int i = 0; reset && i < n->n_out; i++)
            if (n->out[i]) n->out[i]->n_uses = 0;
    }
    for (int i = 0; i < g->n_outputs; i++) g->outputs[i]->n_uses = reset ? 0 : g->outputs[i]->n_uses + 1;
}

void graph_count_uses(Graph *g) {
    for (int i = 0; i < g->n_inputs; i++) g->inputs[i]->n_uses = 0;
    each_input(g, 1);
    each_input(g, 0);
}

bool graph_is_output(const Graph *g, const Value *v) {
    for (int i = 0; i < g->n_outputs; i++)
        if (g->outputs[i] == v) return true;
    return false;
}
