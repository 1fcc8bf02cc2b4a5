/* What passes ask of values and constants, and how they make small constants. */
#include "passes/internal.h"
#include <math.h>
#include <string.h>

bool value_same_dims(const Value *a, const Value *b) {
    if (a->type.kind != TYPE_TENSOR || b->type.kind != TYPE_TENSOR || a->type.rank != b->type.rank || a->type.rank < 0)
        return false;
    for (int i = 0; i < a->type.rank; i++)
        if (!a->type.dims[i] || a->type.dims[i] != b->type.dims[i]) return false;
    return true;
}

bool value_same_type(const Value *a, const Value *b) { return a->type.dtype == b->type.dtype && value_same_dims(a, b); }

bool value_has_data_dims(const Value *v) {
    for (int i = 0; i < v->type.rank; i++)
        if (dim_has_data(v->type.dims[i])) return true;
    return false;
}

bool value_is_float(const Value *v) { return dtype_class(v->type.dtype) == DTC_F; }

Node *value_def(const Value *v, Op op) { return v && v->def && v->def->op == op ? v->def : NULL; }
Node *value_only_def(const Value *v, Op op) { return v && v->n_uses == 1 ? value_def(v, op) : NULL; }

static bool const_elements(const Value *v, int64_t *n) {
    return v && v->constant && dtype_supported(v->constant->dtype) &&
           product_i64(v->constant->dims, v->constant->rank, n);
}

bool const_splat(const Value *v, double *out) {
    int64_t n;
    if (!const_elements(v, &n) || n < 1) return false;
    const Tensor *t = v->constant;
    size_t size = t->bytes / (size_t)n;
    const char *p = t->data;
    if (n > 1 && memcmp(p, p + size, t->bytes - size)) return false;
    *out = tensor_float(t, 0);
    return true;
}

bool const_is(const Value *v, double x) {
    double c;
    return const_splat(v, &c) && c == x;
}

bool near(Dtype t, double a, double b) {
    double unit = t == DT_BF16 ? 8e-3 : t == DT_F16 ? 1e-3 : 1e-6;
    return fabs(a - b) <= unit * fabs(b);
}

bool const_ints(const Value *v, const int64_t **out, int64_t *n, Arena *a) {
    if (!const_elements(v, n) || v->constant->rank > 1 || !(dtype_class(v->constant->dtype) & (DTC_I | DTC_U)))
        return false;
    int64_t *list = ARENA_ARRAY(a, *n + 1, int64_t);
    for (int64_t i = 0; i < *n; i++) list[i] = tensor_int(v->constant, i);
    *out = list;
    return true;
}

/* f64 -> a float of `mantissa` explicit bits and exponents in [-bias + 1, bias], with subnormals: IEEE 754, 4.3.1 */
static uint32_t round_small(double v, int mantissa, int bias) {
    uint32_t inf = (uint32_t)(2 * bias + 1) << mantissa;
    uint32_t sign = (uint32_t)(signbit(v) != 0) << 15;
    double x = fabs(v);
    int e;
    if (isnan(x)) return sign | inf | 1u << (mantissa - 1);
    if (isinf(x)) return sign | inf;
    frexp(x, &e);
    if (x == 0 || e < 2 - bias) e = 2 - bias;             /* subnormals share the smallest exponent */
    double units = nearbyint(ldexp(x, mantissa + 1 - e)); /* of the last place */
    if (units >= ldexp(1, mantissa + 1)) units /= 2, e++;
    if (e - 1 > bias) return sign | inf;
    bool normal = units >= ldexp(1, mantissa);
    uint32_t field = normal ? (uint32_t)(e - 1 + bias) << mantissa : 0;
    return sign | field | ((uint32_t)units & ((1u << mantissa) - 1));
}

void tensor_set_float(Tensor *t, int64_t i, double v) {
    char *p = (char *)t->data + (size_t)i * (size_t)(dtype_bits(t->dtype) / 8);
    float f = (float)v;
    uint16_t h;
    switch (t->dtype) {
    case DT_F32: memcpy(p, &f, sizeof f); break;
    case DT_F64: memcpy(p, &v, sizeof v); break;
    default:
        h = (uint16_t)(t->dtype == DT_F16 ? round_small(v, 10, 15) : round_small(v, 7, 127));
        memcpy(p, &h, sizeof h);
    }
}

bool fold_fits(Ctx *ctx, Dtype t, int64_t elements) {
    size_t bytes;
    return dtype_bytes(t, elements, &bytes) && bytes <= ctx->opt.max_fold && ctx->folded <= ctx->opt.max_fold - bytes;
}

static Value *small_constant(Graph *g, Dtype t, int rank, int64_t n, size_t bytes, const void *data) {
    Tensor *made = ARENA_NEW(g->arena, Tensor);
    void *copy = arena_alloc(g->arena, bytes + 8);
    if (bytes) memcpy(copy, data, bytes);
    *made = (Tensor){.dtype = t, .rank = rank, .dims = {n}, .bytes = bytes, .data = copy};
    return value_of_tensor(g, made);
}

Value *const_scalar(Graph *g, Dtype t, double v) {
    uint64_t room = 0;
    Tensor one = {.dtype = t, .data = &room};
    tensor_set_float(&one, 0, v);
    return small_constant(g, t, 0, 0, (size_t)dtype_bits(t) / 8, &room);
}

Value *const_ints_value(Graph *g, const int64_t *v, int64_t n) {
    return small_constant(g, DT_I64, 1, n, sizeof *v * (size_t)n, v);
}

int64_t axis_of(int64_t axis, int rank) {
    if (axis < 0) axis += rank;
    return axis >= 0 && axis < rank ? axis : -1;
}

void node_copy_attrs(Node *to, const Node *from) {
    Arena *a = to->graph->arena;
    to->attrs = arena_grow(a, from->attrs, (size_t)from->n_attrs, (size_t)from->n_attrs + 1, sizeof *to->attrs);
    to->n_attrs = from->n_attrs;
}

bool broadcast_gives(Value *const *in, int n, const Value *out) {
    for (int k = 0; k < out->type.rank; k++) { /* from the last axis */
        Dim want = out->type.dims[out->type.rank - 1 - k];
        bool given = dim_is(want, 1);
        for (int i = 0; i < n; i++) {
            if (!in[i] || in[i]->type.rank <= k) continue;
            Dim d = in[i]->type.dims[in[i]->type.rank - 1 - k];
            if (d != want && !dim_is(d, 1)) return false;
            given = given || d == want;
        }
        if (!given) return false;
    }
    for (int i = 0; i < n; i++)
        if (in[i] && in[i]->type.rank > out->type.rank) return false;
    /* rank: some operand has them all */
    bool ranked = false;
    for (int i = 0; i < n; i++) ranked = ranked || (in[i] && in[i]->type.rank == out->type.rank);
    return ranked;
}
