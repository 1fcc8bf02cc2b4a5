/* Contractions between DequantizeLinear and QuantizeLinear are computed on the integers (docs/internals.md, "Quantized
 * operators"):
 *
 *   acc = Σ (qx - zx)(qw - zw) + qb                     ConvInteger or MatMulInteger, Add: exactly, in int32
 *   y = clamp(rint(f32(acc) · m) + zy)                  Cast, Mul, QuantizeLinear of scale 1, with m = f32(f32(sx·sw) /
 * sy) a channel
 *
 * A Relu, a Clip, and a Min or Max with a constant in between narrow the clamp. Without a QuantizeLinear behind it the
 * result is f32(acc) · f32(sx·sw), and a bias that is no multiple of that is added after. qb is the bias in steps of
 * sx·sw, rounded to even where the model has it as floats. That |acc| stays below 2³¹ is proven from the weights, or
 * the contraction is left in f32. Where ONNX has no operator on integers, or both operands are known at run time only,
 * integers are multiplied in f32, if it is proven to be exact. */
#include "passes/quant.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Product { /* a contraction of quantized numbers */
    Node *node;
    Quant a, b;
    Value *bias;      /* NULL: none */
    int64_t channels; /* of the result */
    int spatial;      /* axes of the result behind the channels */
    bool whole;       /* on integers; else in f32, which is exact */
    int64_t n;        /* scales: 1 or channels */
    float *step;      /* sx·sw: what 1 in acc stands for */
    int64_t *reach;   /* |acc| without bias at most, a channel */
} Product;

/* ---- reading ---- */

static bool refuse(const char **why, const char *what) {
    *why = what;
    return false;
}

static bool is_byte(const Quant *q) { return dtype_bits(q->codes->type.dtype) <= 8; }

/* The output channel of the weights' element i */
typedef struct Channels {
    int64_t inner, n; /* elements behind their axis */
} Channels;

static Channels channels_of(const Value *w, int axis) {
    Channels c = {1, w->constant->dims[axis]};
    for (int i = axis + 1; i < w->constant->rank; i++) c.inner *= w->constant->dims[i];
    return c;
}

/* Σ |w - zw| of each channel, times |x - zx| at most */
static bool reach_of_weights(Product *p, int axis) {
    const Tensor *w = p->b.codes->constant;
    const int64_t x = quant_difference(&p->a, 0);
    int64_t n;
    Channels c = channels_of(p->b.codes, axis);
    if (!product_i64(w->dims, w->rank, &n)) return false;
    for (int64_t i = 0; i < n; i++) {
        int64_t m = i / c.inner % c.n;
        p->reach[m] += x * llabs(tensor_int(w, i) - quant_zero(&p->b, p->b.n == 1 ? 0 : m));
    }
    return true;
}

/* The same of `depth` products of anything */
static bool reach_of_anything(Product *p, Dim depth) {
    int64_t each = quant_difference(&p->a, 0) * quant_difference(&p->b, 0), reach;
    for (int64_t i = 1; i < p->b.n; i++) {
        int64_t other = quant_difference(&p->a, 0) * quant_difference(&p->b, i);
        each = each > other ? each : other;
    }
    if (!depth || !mul_i64(each, depth->hi, &reach)) return false;
    for (int64_t i = 0; i < p->channels; i++) p->reach[i] = reach;
    return true;
}

static bool reach_below(const Product *p, int64_t limit) {
    for (int64_t i = 0; i < p->channels; i++)
        if (p->reach[i] > limit) return false;
    return true;
}

static bool fill_steps(Rewrite *r, Product *p, const char **why) {
    p->n = p->b.n;
    p->step = ARENA_ARRAY(r->scratch, p->n + 1, float);
    for (int64_t i = 0; i < p->n; i++) {
        p->step[i] = quant_scale(&p->a, 0) * quant_scale(&p->b, i);
        if (!isfinite(p->step[i]) || p->step[i] <= 0) return refuse(why, "the product of its scales is out of range");
    }
    return true;
}

/* axis: the channels' of b; depth: how many products are summed where b is not known */
static bool fill(Rewrite *r, Product *p, int axis, Dim depth, const char **why) {
    bool known = p->b.codes->constant, has_op = p->node->op != OP_ConvTranspose;
    if (p->b.n > 1 && p->b.axis != axis) return refuse(why, "the scales of its weights do not go by output channels");
    if (!dim_is_const(p->b.codes->type.dims[axis], &p->channels)) p->channels = 1; /* one scale */
    if (p->b.n > 1 && p->b.n != p->channels)
        return refuse(why, "the scales of its weights do not go by output channels");
    if (!fold_fits(r->ctx, DT_F32, p->channels * 8)) return refuse(why, "no room for its constants is left");
    p->reach = ARENA_ARRAY(r->scratch, p->channels + 1, int64_t);
    if (!(known ? reach_of_weights(p, axis) : reach_of_anything(p, depth)) || !reach_below(p, INT32_MAX))
        return refuse(why, "its sums may not fit int32");
    p->whole = has_op && (known || !reach_below(p, exact_whole));
    if (!has_op && !reach_below(p, exact_whole))
        return refuse(why, "there is no ConvTranspose of integers, and float32 may not be exact");
    return fill_steps(r, p, why);
}

static bool read_conv(Rewrite *r, Product *p, const char **why) {
    bool transposed = p->node->op == OP_ConvTranspose;
    const Type *w = &p->b.codes->type;
    Dim depth = dim_const(r->ctx, 1);
    if (transposed && node_int(p->node, "group") != 1 && p->b.n > 1)
        return refuse(why, "its groups share their scales");
    for (int i = 1; i < w->rank; i++) depth = dim_mul(r->ctx, depth, w->dims[i]);
    p->spatial = w->rank - 2;
    return fill(r, p, transposed ? 1 : 0, transposed ? NULL : depth, why);
}

static bool read_matmul(Rewrite *r, Product *p, const char **why) {
    const Type *a = &p->a.codes->type, *b = &p->b.codes->type;
    if (p->node->op == OP_Gemm) {
        if (node_float(p->node, "alpha") != 1 || (p->bias && node_float(p->node, "beta") != 1))
            return refuse(why, "alpha or beta is not 1");
        return fill(r, p, node_int(p->node, "transB") ? 0 : 1, a->dims[node_int(p->node, "transA") ? 0 : 1], why);
    }
    if (a->rank == 0 || b->rank < 2) return refuse(why, "one of its operands is a vector");
    return fill(r, p, b->rank - 1, a->dims[a->rank - 1], why);
}

/* Known weights of 2 or 4 bits, one a byte */
static bool unpack(Rewrite *r, Quant *q) {
    const Tensor *t = q->codes->constant;
    int64_t n;
    if (dtype_class(q->codes->type.dtype) != DTC_PACKED) return true;
    if (!t || !product_i64(t->dims, t->rank, &n) || !fold_fits(r->ctx, DT_I8, n)) return false;
    Tensor *bytes = tensor_new(r->g, DT_I8, t->rank, t->dims);
    for (int64_t i = 0; i < n; i++) ((int8_t *)bytes->data)[i] = (int8_t)tensor_int(t, i);
    q->codes = value_of_tensor(r->g, bytes);
    return true;
}

static bool is_product(const Node *n) {
    return n->op == OP_Conv || n->op == OP_ConvTranspose || n->op == OP_MatMul || n->op == OP_Gemm;
}

static bool read_product(Rewrite *r, Node *n, Product *p, const char **why) {
    *p = (Product){.node = n, .bias = node_in(n, 2)};
    if (!quant_of(n->in[0], OP_DequantizeLinear, &p->a, why) || !quant_of(n->in[1], OP_DequantizeLinear, &p->b, why))
        return false;
    if (!is_byte(&p->a) || !is_byte(&p->b)) return refuse(why, "an operand has more than 8 bits");
    if (!unpack(r, &p->a) || !unpack(r, &p->b)) return refuse(why, "an operand has less than 8 bits");
    if (p->a.n > 1) return refuse(why, "its input has a scale for each index of an axis");
    return n->op == OP_Conv || n->op == OP_ConvTranspose ? read_conv(r, p, why) : read_matmul(r, p, why);
}

/* ---- bias ---- */

/* A constant bias by output channel as floats, and, where the model has it so, in whole steps */
typedef struct Bias {
    int64_t *whole;
    const float *numbers;
} Bias;

static bool by_channel(const Product *p, const Type *t) {
    for (int i = 0; i + 1 < t->rank; i++)
        if (!dim_is(t->dims[i], 1)) return false;
    return t->rank == 0 || dim_is(t->dims[t->rank - 1], 1) || dim_is(t->dims[t->rank - 1], p->channels);
}

static float step_of(const Product *p, int64_t channel) { return p->step[p->n == 1 ? 0 : channel]; }

/* Scales of a bias are written as products that may have been rounded otherwise. */
static bool is_near(float a, float b) { return fabsf(a - b) <= 1e-3f * b; }

static bool fits(const Product *p, int64_t channel, int64_t bias) {
    return llabs(bias) <= (p->whole ? INT32_MAX : exact_whole) - p->reach[channel];
}

static bool read_whole_bias(Rewrite *r, const Product *p, int64_t *out) {
    Quant q;
    const char *why;
    (void)r;
    if (!quant_of(p->bias, OP_DequantizeLinear, &q, &why) || !q.codes->constant || q.codes->type.dtype != DT_I32)
        return false;
    int64_t count = 1;
    if (!product_i64(q.codes->constant->dims, q.codes->constant->rank, &count) || (q.n > 1 && q.n != p->channels))
        return false;
    for (int64_t i = 0; i < p->channels; i++) {
        int64_t k = q.n == 1 ? 0 : i;
        out[i] = tensor_int(q.codes->constant, count == 1 ? 0 : i) - quant_zero(&q, k);
        if (!is_near(quant_scale(&q, k), step_of(p, i)) || !fits(p, i, out[i])) return false;
    }
    return true;
}

/* the bias's floats, where it is known: a constant, or a DQ of one */
static bool bias_number(const Value *v, const Quant *q, int64_t i, int64_t count, float *out) {
    int64_t k = count == 1 ? 0 : i;
    if (v->constant) *out = (float)tensor_float(v->constant, k);
    else
        *out = (float)(tensor_int(q->codes->constant, k) - quant_zero(q, q->n == 1 ? 0 : k)) *
               quant_scale(q, q->n == 1 ? 0 : k);
    return isfinite(*out);
}

/* rne(b / (sx·sw)), as ONNX Runtime makes int32 of a bias of floats */
static bool round_bias(const Product *p, int64_t *out) {
    Quant q;
    const char *why;
    const Value *v = p->bias;
    int64_t count;
    float b;
    bool quantized = !v->constant && quant_of(v, OP_DequantizeLinear, &q, &why) && q.codes->constant;
    if (!v->constant && !quantized) return false;
    const Tensor *t = v->constant ? v->constant : q.codes->constant;
    if (!product_i64(t->dims, t->rank, &count)) return false;
    for (int64_t i = 0; i < p->channels; i++) {
        if (!bias_number(v, &q, i, count, &b)) return false;
        float whole = rintf(b / step_of(p, i));
        if (!(fabsf(whole) < 2147483648.0f) || !fits(p, i, (int64_t)whole)) return false;
        out[i] = (int64_t)whole;
    }
    return true;
}

/* ---- building ---- */

static Node *node_at(Rewrite *r, Node *at, const Product *p, Op op, Value *a, Value *b) {
    Node *n = rewrite_insert(r, at, op, (Value *[]){a, b}, b ? 2 : 1);
    n->name = p->node->name;
    n->index = p->node->index;
    return n;
}

static Value *combine(Rewrite *r, Node *at, const Product *p, Op op, Value *a, Value *b) {
    Node *n = node_at(r, at, p, op, a, b);
    rewrite_infer(r, n);
    return n->out[0];
}

/* Dims of a list by channel that broadcasts against the result */
static int list_dims(const Product *p, int64_t n, int64_t dims[MCC_MAX_RANK]) {
    if (n == 1) return 0;
    dims[0] = n;
    for (int i = 0; i < p->spatial; i++) dims[1 + i] = 1;
    return 1 + p->spatial;
}

static Value *factors(Rewrite *r, const Product *p, const float *v) {
    int64_t dims[MCC_MAX_RANK];
    return const_floats(r->g, list_dims(p, p->n, dims), dims, v);
}

static Value *transposed(Rewrite *r, Node *at, const Product *p, Value *x) {
    Node *t = node_at(r, at, p, OP_Transpose, x, NULL);
    rewrite_infer(r, t);
    Value *out = t->out[0];
    rewrite_fold(r, t);
    return out;
}

static Value *sum_of_integers(Rewrite *r, Node *at, const Product *p) {
    bool conv = p->node->op == OP_Conv, gemm = p->node->op == OP_Gemm;
    Value *in[] = {p->a.codes, p->b.codes, quant_zeros(r, &p->a), quant_zeros(r, &p->b)};
    if (gemm && node_int(p->node, "transA")) in[0] = transposed(r, at, p, in[0]);
    if (gemm && node_int(p->node, "transB")) in[1] = transposed(r, at, p, in[1]);
    Node *n = rewrite_insert(r, at, conv ? OP_ConvInteger : OP_MatMulInteger, in, in[3] ? 4 : in[2] ? 3 : 2);
    n->name = p->node->name;
    n->index = p->node->index;
    if (conv) node_copy_attrs(n, p->node);
    rewrite_infer(r, n);
    return n->out[0];
}

static Value *sum_in_f32(Rewrite *r, Node *at, const Product *p) {
    Node *n = node_at(r, at, p, p->node->op, quant_whole(r, at, &p->a), quant_whole(r, at, &p->b));
    node_copy_attrs(n, p->node);
    rewrite_infer(r, n);
    return n->out[0];
}

static Value *clipped(Rewrite *r, Node *at, const Product *p, Value *v, Value *lo, Value *hi) {
    Node *n = rewrite_insert(r, at, OP_Clip, (Value *[]){v, lo, hi}, hi ? 3 : 2);
    n->name = p->node->name;
    n->index = p->node->index;
    rewrite_infer(r, n);
    return n->out[0];
}

/* The sum again, as its proven bounds say: but behind a Clip no pass finds a way for the scale into the weights. */
static Value *bounded(Rewrite *r, Node *at, const Product *p, Value *sum) {
    return clipped(r, at, p, sum, const_scalar(r->g, DT_F32, (double)-exact_whole),
                   const_scalar(r->g, DT_F32, (double)exact_whole));
}

/* f32(acc); bias NULL: none */
static Value *sum(Rewrite *r, Node *at, const Product *p, const int64_t *bias) {
    int64_t dims[MCC_MAX_RANK], any = 0;
    Value *acc = p->whole ? sum_of_integers(r, at, p) : sum_in_f32(r, at, p);
    for (int64_t i = 0; bias && i < p->channels; i++) any |= bias[i];
    if (any && p->whole) {
        acc = combine(r, at, p, OP_Add, acc, const_integers(r->g, DT_I32, list_dims(p, p->channels, dims), dims, bias));
    } else if (any) {
        float *v = ARENA_ARRAY(r->scratch, p->channels, float);
        for (int64_t i = 0; i < p->channels; i++) v[i] = (float)bias[i];
        acc = combine(r, at, p, OP_Add, acc, const_floats(r->g, list_dims(p, p->channels, dims), dims, v));
    }
    if (!p->whole) return bounded(r, at, p, acc);
    Node *cast = node_at(r, at, p, OP_Cast, acc, NULL);
    node_set_int(cast, "to", DT_F32);
    rewrite_infer(r, cast);
    return cast->out[0];
}

/* ---- with a Q behind it ---- */

enum { MOST_BOUNDS = 8 };

typedef struct Range { /* what bounds leave of the numbers of a channel */
    float lo, hi;
} Range;
typedef struct Bounds { /* Relu, Clip, and Min and Max with a constant, the last one first */
    const Node *node[MOST_BOUNDS];
    int n;
} Bounds;

static float clamp(float x, float lo, float hi) { return x < lo ? lo : x > hi ? hi : x; }

static bool is_bound(const Node *n) {
    bool by_constant = (n->op == OP_Min || n->op == OP_Max) && n->n_in == 2 && n->in[1]->constant;
    return n->op == OP_Relu || n->op == OP_Clip || by_constant;
}

/* A number for all channels, or one for each, where p has its channels */
static bool bound_of(const Product *p, const Value *v, int64_t channel, double *out) {
    const Tensor *t = v->constant;
    int at = t ? t->rank - 1 - p->spatial : -1;
    if (const_splat(v, out)) return true;
    if (at < 0 || t->dtype != DT_F32 || t->dims[at] != p->channels) return false;
    for (int i = 0; i < t->rank; i++)
        if (i != at && t->dims[i] != 1) return false;
    *out = tensor_float(t, channel);
    return true;
}

static bool narrow(const Product *p, const Node *n, int64_t channel, Range *range) {
    double lo = n->op == OP_Relu ? 0 : -INFINITY, hi = INFINITY;
    const Value *low = n->op == OP_Max ? n->in[1] : n->op == OP_Clip ? node_in(n, 1) : NULL;
    const Value *high = n->op == OP_Min ? n->in[1] : n->op == OP_Clip ? node_in(n, 2) : NULL;
    if ((low && !bound_of(p, low, channel, &lo)) || (high && !bound_of(p, high, channel, &hi))) return false;
    range->lo = clamp(range->lo, (float)lo, (float)hi);
    range->hi = clamp(range->hi, (float)lo, (float)hi);
    return lo <= hi;
}

/* By channel; NULL: bounds are not known */
static Range *ranges_of(Rewrite *r, const Product *p, const Bounds *b) {
    Range *range = ARENA_ARRAY(r->scratch, p->channels + 1, Range);
    for (int64_t i = 0; i < p->channels; i++) {
        range[i] = (Range){-INFINITY, INFINITY};
        for (int k = b->n; k-- > 0;)
            if (!narrow(p, b->node[k], i, &range[i])) return NULL;
    }
    return range;
}

/* The contraction that q quantizes, maybe through bounds, all for it alone */
static Node *product_behind(const Node *q, Bounds *b) {
    Node *n = q->in[0]->def;
    for (b->n = 0; n && n->n_out == 1 && n->out[0]->n_uses == 1 && b->n < MOST_BOUNDS && is_bound(n); n = n->in[0]->def)
        b->node[b->n++] = n;
    return n && is_product(n) && n->out[0]->n_uses == 1 ? n : NULL;
}

static bool are_equal(const float *x, int64_t n) {
    for (int64_t i = 1; i < n; i++)
        if (x[i] != x[0]) return false;
    return true;
}

/* Bounds in steps of y, where its type has others. NULL: no room */
static Value *clamped(Rewrite *r, Node *at, const Product *p, Value *v, const Quant *y, const Range *range) {
    Dtype t = y->codes->type.dtype;
    int64_t zero = quant_zero(y, 0), n = p->channels, dims[MCC_MAX_RANK];
    int rank = list_dims(p, n, dims);
    float *lo = ARENA_ARRAY(r->scratch, n + 1, float), *hi = ARENA_ARRAY(r->scratch, n + 1, float);
    bool below = false, above = false;
    for (int64_t i = 0; i < n; i++) {
        int64_t low = quant_code(y, range[i].lo), high = quant_code(y, range[i].hi);
        below |= low > quant_lowest(t);
        above |= high < quant_highest(t);
        lo[i] = (float)(low - zero);
        hi[i] = (float)(high - zero);
    }
    if (!below && !above) return v;
    if (are_equal(lo, n) && are_equal(hi, n))
        return clipped(r, at, p, v, below ? const_scalar(r->g, DT_F32, (double)lo[0]) : NULL,
                       above ? const_scalar(r->g, DT_F32, (double)hi[0]) : NULL);
    Value *least = below ? const_floats(r->g, rank, dims, lo) : NULL;
    Value *most = above ? const_floats(r->g, rank, dims, hi) : NULL;
    if ((below && !least) || (above && !most)) return NULL;
    if (below) v = combine(r, at, p, OP_Max, v, least);
    return above ? combine(r, at, p, OP_Min, v, most) : v;
}

static void lower_quantized_product(Rewrite *r, Node *q) {
    Quant y;
    Product p;
    Bounds bounds;
    const char *why;
    Node *n = product_behind(q, &bounds);
    if (!n || !quant_read(q, &y, &why) || y.n > 1 || !dtype_computes(y.codes->type.dtype) ||
        !read_product(r, n, &p, &why))
        return;
    Range *range = ranges_of(r, &p, &bounds);
    int64_t *bias = ARENA_ARRAY(r->scratch, p.channels + 1, int64_t);
    if (!range) return;
    if (p.bias && (!by_channel(&p, &p.bias->type) || (!read_whole_bias(r, &p, bias) && !round_bias(&p, bias)))) return;
    for (int64_t i = 0; i < p.n; i++) {
        p.step[i] = p.step[i] / quant_scale(&y, 0);
        if (!isfinite(p.step[i]) || p.step[i] <= 0) return;
    }
    Value *by = factors(r, &p, p.step);
    if (!by) return;
    Value *v = combine(r, q, &p, OP_Mul, sum(r, q, &p, p.bias ? bias : NULL), by);
    if (!(v = clamped(r, q, &p, v, &y, range))) return;
    Value *zero = const_integer(r->g, y.codes->type.dtype, quant_zero(&y, 0));
    rewrite_become(r, q, OP_QuantizeLinear, (Value *[]){v, const_scalar(r->g, DT_F32, 1), zero}, 3);
}

/* ---- without ---- */

static Value *bias_beside(Rewrite *r, Node *at, const Product *p) {
    Dim dims[MCC_MAX_RANK];
    if (!p->spatial) return p->bias;
    dims[0] = p->bias->type.dims[0];
    for (int i = 0; i < p->spatial; i++) dims[1 + i] = dim_const(r->ctx, 1);
    return rewrite_view(r, at, p->bias, 1 + p->spatial, dims);
}

/* what sum_in_f32 has made */
static bool is_lowered(const Product *p) {
    for (int64_t i = 0; i < p->n; i++)
        if (p->step[i] != 1) return false;
    return !p->whole && !p->bias;
}

static void lower_dequantized_product(Rewrite *r, Node *n, const Target *t) {
    Product p;
    NarrowWeights narrow;
    const char *why;
    if (narrow_weights_read(n, t, &narrow)) return; /* of a float input: expanded by the kernel */
    if (!read_product(r, n, &p, &why)) {
        if (value_def(n->in[0], OP_DequantizeLinear) || value_def(n->in[1], OP_DequantizeLinear))
            diag_warn(r->ctx, "quant-fallback", n, "is computed in float32: %s", why);
        return;
    }
    if (is_lowered(&p)) return;
    int64_t *bias = ARENA_ARRAY(r->scratch, p.channels + 1, int64_t);
    bool whole = p.bias && by_channel(&p, &p.bias->type) && read_whole_bias(r, &p, bias);
    Value *by = factors(r, &p, p.step), *acc = sum(r, n, &p, whole ? bias : NULL);
    if (p.bias && !whole) {
        Value *scaled = combine(r, n, &p, OP_Mul, acc, by), *beside = bias_beside(r, n, &p);
        rewrite_become(r, n, OP_Add, (Value *[]){scaled, beside}, 2);
    } else {
        rewrite_become(r, n, OP_Mul, (Value *[]){acc, by}, 2);
    }
}

bool pass_lower_quantized(Graph *g, PassCtx *p) {
    Rewrite r;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));)
        if (n->op == OP_QuantizeLinear) lower_quantized_product(&r, n);
    bool changed = rewrite_end(&r);
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));)
        if (is_product(n)) lower_dequantized_product(&r, n, p->target);
        else mean_of_whole(&r, n);
    return rewrite_end(&r) || changed;
}
