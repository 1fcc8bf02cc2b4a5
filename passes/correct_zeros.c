/* ConvInteger and MatMulInteger with zero points that the kernels of lower_integer.c do not take become those with
 * others, and int32 that make up for it; int32 wraps around, so that every bit is the same:
 *
 *   Σ (x - zx)(w - zw) = Σ (x - zx)(w - b) + (b - zw) · Σ (x - zx)     zw is not known, or w - zw does not fit s8: w -
 * b does Σ (x - zx)(w - b)  = Σ x (w - b) - zx · Σ (w - b)                  zx of a convolution is not known: padded
 * with it before
 *
 * Σ (x - zx) is a product with weights of 1. Products of two operands that are not known become those of whole numbers
 * in f32, where their sums are exact. */
#include <stdlib.h>
#include "passes/lower.h"
#include "passes/quant.h"

enum { MOST_S8 = 127, LEAST_S8 = -128, HALF = 128 };

static bool is_byte(const Value *v) { return v->type.dtype == DT_U8 || v->type.dtype == DT_I8; }
static bool is_conv(const Node *n) { return n->op == OP_ConvInteger; }

static bool is_single(const Value *v) {
    for (int i = 0; i < v->type.rank; i++)
        if (!dim_is(v->type.dims[i], 1)) return false;
    return true;
}

/* ---- making ---- */

static Value *made(Rewrite *r, Node *at, Op op, Value *a, Value *b) {
    Node *n = rewrite_insert(r, at, op, (Value *[]){a, b}, b ? 2 : 1);
    if (op == OP_Cast) node_set_int(n, "to", DT_I32);
    rewrite_infer(r, n);
    return n->out[0];
}

static Value *integer(Rewrite *r, int64_t v) { return const_integer(r->g, DT_I32, v); }

/* The same sum of other operands; zero points NULL: 0 */
static Node *sum_of(Rewrite *r, Node *n, Value *x, Value *w, Value *zx, Value *zw) {
    Node *sum = rewrite_insert(r, n, n->op, (Value *[]){x, w, zx, zw}, zw ? 4 : zx ? 3 : 2);
    node_copy_attrs(sum, n);
    rewrite_infer(r, sum);
    return sum;
}

static Value *scalar(Rewrite *r, Node *at, Value *v) { return v->type.rank ? rewrite_view(r, at, v, 0, NULL) : v; }

/* A number for each output channel, or one for all, against the result of n */
static Value *by_channel(Rewrite *r, Node *n, Value *v) {
    Dim dims[MCC_MAX_RANK];
    int spatial = is_conv(n) ? n->out[0]->type.rank - 2 : 0;
    if (is_single(v)) return scalar(r, n, v);
    dims[0] = v->type.dims[0];
    for (int i = 0; i < spatial; i++) dims[1 + i] = dim_const(r->ctx, 1);
    return spatial ? rewrite_view(r, n, v, 1 + spatial, dims) : v;
}

static Value *wide_zero(Rewrite *r, Node *n, Value *zero) { return by_channel(r, n, made(r, n, OP_Cast, zero, NULL)); }

/* ---- zero points of weights ---- */

typedef struct Weights8 {
    const Tensor *t;
    int64_t channels, inner, count; /* of the output; elements behind their axis; elements */
    int64_t base;                   /* less which all of them fit s8 */
} Weights8;

static bool read_weights(const Node *n, Weights8 *w) {
    const Tensor *t = n->in[1]->constant;
    if (!t || !is_byte(n->in[1]) || n->in[0]->constant || !is_byte(n->in[0]) || t->rank < 2) return false;
    *w = (Weights8){.t = t, .inner = 1, .base = t->dtype == DT_U8 ? HALF : 0};
    int axis = is_conv(n) ? 0 : t->rank - 1;
    w->channels = t->dims[axis];
    for (int i = axis + 1; i < t->rank; i++) w->inner *= t->dims[i];
    for (int i = 0; !is_conv(n) && i < axis - 1; i++)
        if (t->dims[i] != 1) return false;
    return product_i64(t->dims, t->rank, &w->count) && w->count > 0;
}

static int64_t zero_at(const Tensor *zero, int64_t channel) {
    return zero ? tensor_int(zero, zero->bytes == 1 ? 0 : channel) : 0;
}

static bool fit_s8(const Weights8 *w, const Tensor *zero) {
    for (int64_t i = 0; i < w->count; i++) {
        int64_t v = tensor_int(w->t, i) - zero_at(zero, i / w->inner % w->channels);
        if (v < LEAST_S8 || v > MOST_S8) return false;
    }
    return true;
}

/* Weights of 1 for Σ (x - zx): of one output channel where all see the same input */
static Value *ones(Rewrite *r, const Node *n, const Weights8 *w) {
    int64_t dims[MCC_MAX_RANK], count;
    for (int i = 0; i < w->t->rank; i++) dims[i] = w->t->dims[i];
    if (!is_conv(n) || node_int(n, "group") == 1) dims[is_conv(n) ? 0 : w->t->rank - 1] = 1;
    if (!product_i64(dims, w->t->rank, &count) || !fold_fits(r->ctx, DT_I8, count)) return NULL;
    Tensor *t = tensor_new(r->g, DT_I8, w->t->rank, dims);
    for (int64_t i = 0; i < count; i++) ((int8_t *)t->data)[i] = 1;
    return value_of_tensor(r->g, t);
}

/* The sum whose weights fit, which n then adds to; n itself where they do. NULL: they cannot */
static Node *correct_weights(Rewrite *r, Node *n, const Weights8 *w, Node **beside) {
    Value *zx = node_in(n, 2), *zw = node_in(n, 3);
    if (zw ? zw->constant && fit_s8(w, zw->constant) : fit_s8(w, NULL)) return n;
    if (zw && !is_single(zw) && (zw->type.rank != 1 || !dim_is(zw->type.dims[0], w->channels))) return NULL;
    Value *one = ones(r, n, w), *base = w->base ? const_integer(r->g, w->t->dtype, w->base) : NULL;
    if (!one) return NULL;
    Node *sum = sum_of(r, n, n->in[0], n->in[1], zx, base);
    *beside = sum_of(r, n, n->in[0], one, zx, NULL);
    Value *by = integer(r, w->base);
    if (zw) by = made(r, n, OP_Sub, by, wide_zero(r, n, zw));
    Value *more = made(r, n, OP_Mul, (*beside)->out[0], by);
    rewrite_become(r, n, OP_Add, (Value *[]){sum->out[0], more}, 2);
    return sum;
}

/* ---- zero points of a convolution's input ---- */

static Value *column_sums(Rewrite *r, const Node *n) {
    const Tensor *w = n->in[1]->constant, *zero = node_in(n, 3) ? n->in[3]->constant : NULL;
    int64_t dims[MCC_MAX_RANK] = {w->dims[0]}, count, *sums = ARENA_ARRAY(r->scratch, w->dims[0], int64_t);
    if (!product_i64(w->dims, w->rank, &count)) return NULL;
    int64_t each = count / w->dims[0];
    for (int64_t i = 0; i < count; i++) sums[i / each] += tensor_int(w, i) - zero_at(zero, i / each);
    for (int i = 2; i < w->rank; i++) dims[i - 1] = 1;
    return const_integers(r->g, DT_I32, w->rank - 1, dims, sums);
}

static Value *padded(Rewrite *r, Node *n, FixedWindow *window, Value *with) {
    int64_t pads[2 * MCC_MAX_RANK] = {0}, any = 0;
    int rank = n->in[0]->type.rank;
    for (int i = 0; i < window->n; i++) {
        any |= pads[2 + i] = window->begin[i];
        any |= pads[rank + 2 + i] = window->end[i];
        window->begin[i] = window->end[i] = 0;
    }
    if (!any) return n->in[0];
    Value *in[] = {n->in[0], const_ints_value(r->g, pads, 2 * rank), with};
    Node *pad = rewrite_insert(r, n, OP_Pad, in, 3);
    rewrite_infer(r, pad);
    return pad->out[0];
}

static void correct_input(Rewrite *r, Node *n) {
    Value *zx = node_in(n, 2), *zw = node_in(n, 3);
    FixedWindow window;
    if (!is_conv(n) || !zx || zx->constant || !is_single(zx) || (zw && !zw->constant)) return;
    if (!window_fixed(n, n->in[1]->constant->dims + 2, &window)) return;
    Value *sums = column_sums(r, n);
    if (!sums) return;
    Value *zero = made(r, n, OP_Cast, scalar(r, n, zx), NULL), *x = padded(r, n, &window, scalar(r, n, zx));
    Node *sum = rewrite_insert(r, n, n->op, (Value *[]){x, n->in[1], NULL, zw}, zw ? 4 : 2);
    node_copy_attrs(sum, n);
    node_remove_attr(sum, "auto_pad");
    window_set(sum, &window);
    rewrite_infer(r, sum);
    Value *less = made(r, n, OP_Mul, sums, zero);
    rewrite_become(r, n, OP_Sub, (Value *[]){sum->out[0], less}, 2);
}

/* ---- two operands that are not known ---- */

static int64_t largest(const Value *v, const Value *zero) { /* |v - zero| at most */
    if (!zero) return v->type.dtype == DT_U8 ? UINT8_MAX : HALF;
    if (!zero->constant) return UINT8_MAX;
    int64_t z = tensor_int(zero->constant, 0), lo = quant_lowest(v->type.dtype), hi = quant_highest(v->type.dtype);
    return z - lo > hi - z ? z - lo : hi - z;
}

static Value *whole(Rewrite *r, Node *n, int i) {
    Value *zero = node_in(n, 2 + i), *in[] = {n->in[i], const_scalar(r->g, DT_F32, 1), NULL};
    if (zero) in[2] = scalar(r, n, zero);
    Node *dq = rewrite_insert(r, n, OP_DequantizeLinear, in, zero ? 3 : 2);
    rewrite_infer(r, dq);
    return dq->out[0];
}

static void multiply_in_f32(Rewrite *r, Node *n) {
    const Value *za = node_in(n, 2), *zb = node_in(n, 3);
    int64_t reach = 0;
    if (n->op != OP_MatMulInteger || n->in[0]->constant || n->in[1]->constant || n->in[0]->type.rank < 2) return;
    if (n->in[1]->type.rank < 2 || (za && !is_single(za)) || (zb && !is_single(zb))) return;
    int64_t depth = n->in[0]->type.dims[n->in[0]->type.rank - 1]->hi;
    if (!mul_i64(largest(n->in[0], za) * largest(n->in[1], zb), depth, &reach) || reach > exact_whole) return;
    Value *product = made(r, n, OP_MatMul, whole(r, n, 0), whole(r, n, 1));
    rewrite_become(r, n, OP_Cast, &product, 1);
    node_set_int(n, "to", DT_I32);
}

static void visit(Rewrite *r, Node *n) {
    Weights8 w;
    Node *beside = NULL;
    if (!read_weights(n, &w)) {
        multiply_in_f32(r, n);
        return;
    }
    Node *sum = correct_weights(r, n, &w, &beside);
    if (!sum) return;
    correct_input(r, sum);
    if (beside) correct_input(r, beside);
}

bool pass_correct_zeros(Graph *g, PassCtx *p) {
    Rewrite r;
    (void)p;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));)
        if (is_conv(n) || n->op == OP_MatMulInteger) visit(&r, n);
    return rewrite_end(&r);
}
