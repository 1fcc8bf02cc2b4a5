/* Reading Q and DQ nodes, and making constants: see quant.h. */
#include "passes/quant.h"
#include <math.h>
#include <string.h>
#include "eval/eval.h"

/* ---- reading ---- */

static bool refuse(const char **why, const char *what) {
    *why = what;
    return false;
}

static bool count_of(const Tensor *t, int64_t *n) { return product_i64(t->dims, t->rank, n); }

bool quant_read(const Node *n, Quant *q, const char **why) {
    bool makes = n->op == OP_QuantizeLinear;
    Value *scale = n->in[1], *zero = node_in(n, 2);
    int64_t zeros;
    *q = (Quant){.codes = makes ? n->out[0] : n->in[0], .number = makes ? n->in[0] : n->out[0], .axis = -1};
    int64_t precision = makes ? node_int(n, "precision") : 0;
    if (q->number->type.dtype != DT_F32 || scale->type.dtype != DT_F32 || (precision && precision != DT_F32))
        return refuse(why, "its numbers are not float32");
    if (dtype_class(q->codes->type.dtype) == DTC_SMALL) return refuse(why, "its codes are floats");
    if (!scale->constant || (zero && !zero->constant)) return refuse(why, "its scale or zero point is not known");
    q->scale = scale->constant;
    q->zero = zero ? zero->constant : NULL;
    if (!count_of(q->scale, &q->n) || q->n == 0) return refuse(why, "it has no scale");
    if (q->zero && (!count_of(q->zero, &zeros) || zeros != q->n))
        return refuse(why, "its zero points do not match its scales");
    if (q->n == 1 && q->scale->rank > 1) return refuse(why, "its scales go by blocks");
    if (q->n > 1) {
        if (node_int(n, "block_size")) return refuse(why, "its scales go by blocks");
        q->axis = (int)axis_of(node_int(n, "axis"), q->codes->type.rank);
    }
    for (int64_t i = 0; i < q->n; i++) {
        float s = quant_scale(q, i);
        if (!isfinite(s) || s <= 0) return refuse(why, "a scale is not finite and positive");
    }
    return true;
}

bool quant_of(const Value *v, Op op, Quant *q, const char **why) {
    const Node *n = v ? value_def(v, op) : NULL;
    if (!n) return refuse(why, "an operand is not quantized");
    return quant_read(n, q, why);
}

float quant_scale(const Quant *q, int64_t i) { return (float)tensor_float(q->scale, i); }
int64_t quant_zero(const Quant *q, int64_t i) { return q->zero ? tensor_int(q->zero, i) : 0; }

bool quant_has_one_zero(const Quant *q) {
    for (int64_t i = 1; i < q->n; i++)
        if (quant_zero(q, i) != quant_zero(q, 0)) return false;
    return true;
}

bool quant_same(const Quant *a, const Quant *b) {
    return a->n == 1 && b->n == 1 && a->codes->type.dtype == b->codes->type.dtype &&
           quant_scale(a, 0) == quant_scale(b, 0) && quant_zero(a, 0) == quant_zero(b, 0);
}

int64_t quant_lowest(Dtype t) { return dtype_class(t) == DTC_I ? -((int64_t)1 << (dtype_bits(t) - 1)) : 0; }
int64_t quant_highest(Dtype t) { return quant_lowest(t) + ((int64_t)1 << dtype_bits(t)) - 1; }

int64_t quant_code(const Quant *q, float x) {
    Dtype t = q->codes->type.dtype;
    int64_t zero = quant_zero(q, 0), lo = quant_lowest(t), hi = quant_highest(t);
    float v = rintf(x / quant_scale(q, 0));
    if (isnan(v)) return zero;
    return v <= (float)(lo - zero) ? lo : v >= (float)(hi - zero) ? hi : (int64_t)v + zero;
}

int64_t quant_difference(const Quant *q, int64_t i) {
    Dtype t = q->codes->type.dtype;
    int64_t below = quant_zero(q, i) - quant_lowest(t), above = quant_highest(t) - quant_zero(q, i);
    return below > above ? below : above;
}

/* ---- constants ---- */

Value *const_integers(Graph *g, Dtype t, int rank, const int64_t *dims, const int64_t *v) {
    int64_t n;
    size_t size = (size_t)dtype_bits(t) / 8;
    if (!product_i64(dims, rank, &n) || !fold_fits(g->ctx, t, n)) return NULL;
    Tensor *made = tensor_new(g, t, rank, dims);
    for (int64_t i = 0; i < n; i++) memcpy((char *)made->data + (size_t)i * size, &v[i], size); /* little-endian */
    return value_of_tensor(g, made);
}

Value *const_floats(Graph *g, int rank, const int64_t *dims, const float *v) {
    int64_t n;
    if (!product_i64(dims, rank, &n) || !fold_fits(g->ctx, DT_F32, n)) return NULL;
    Tensor *made = tensor_new(g, DT_F32, rank, dims);
    if (n) memcpy((void *)made->data, v, (size_t)n * sizeof *v);
    return value_of_tensor(g, made);
}

Value *const_integer(Graph *g, Dtype t, int64_t v) {
    Tensor *one = ARENA_NEW(g->arena, Tensor);
    int64_t *data = ARENA_NEW(g->arena, int64_t);
    *data = v;
    *one = (Tensor){.dtype = t, .bytes = (size_t)dtype_bits(t) / 8, .data = data};
    return value_of_tensor(g, one);
}

bool rewrite_fold(Rewrite *r, Node *n) {
    const Tensor **in = ARENA_ARRAY(r->scratch, n->n_in + 1, const Tensor *);
    Tensor *out;
    int64_t dims[MCC_MAX_RANK], count;
    int status;
    if (n->n_out != 1 || !value_static_dims(n->out[0], dims)) return false;
    for (int i = 0; i < n->n_in; i++) {
        if (n->in[i] && !n->in[i]->constant) return false;
        in[i] = n->in[i] ? n->in[i]->constant : NULL;
    }
    if (!product_i64(dims, n->out[0]->type.rank, &count) || !fold_fits(r->ctx, n->out[0]->type.dtype, count))
        return false;
    if (!eval_node(r->ctx, n, in, &out, &status) || status != MCC_OK) return false;
    value_set_tensor(r->g, n->out[0], out);
    n->out[0]->def = NULL;
    rewrite_remove(r, n);
    return true;
}

/* ---- whole numbers ---- */

Value *quant_zeros(Rewrite *r, const Quant *q) {
    Dtype t = q->codes->type.dtype;
    if (quant_has_one_zero(q)) return quant_zero(q, 0) ? const_integer(r->g, t, quant_zero(q, 0)) : NULL;
    int64_t *v = ARENA_ARRAY(r->scratch, q->n, int64_t);
    for (int64_t i = 0; i < q->n; i++) v[i] = quant_zero(q, i);
    return const_integers(r->g, t, 1, &q->n, v);
}

Value *quant_whole(Rewrite *r, Node *at, const Quant *q) {
    Value *zero = quant_zeros(r, q), *one = const_scalar(r->g, DT_F32, 1);
    if (zero && zero->type.rank) { /* a list of zero points needs one of scales */
        float *ones = ARENA_ARRAY(r->scratch, q->n, float);
        for (int64_t i = 0; i < q->n; i++) ones[i] = 1;
        one = const_floats(r->g, 1, &q->n, ones);
    }
    Node *n = rewrite_insert(r, at, OP_DequantizeLinear, (Value *[]){q->codes, one, zero}, zero ? 3 : 2);
    node_set_int(n, "axis", q->axis < 0 ? 0 : q->axis);
    rewrite_infer(r, n);
    return n->out[0];
}
