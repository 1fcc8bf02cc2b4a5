/* MatMul and Gemm with constant weights of 4 or 8 bits and float inputs, DequantizeLinear(w) → [Transpose] → MatMul, as
 * mcc.NarrowMatMul, which keeps the weights as they are and dequantizes in registers. Runs before constants are folded,
 * which would make floats of the weights; what this pass leaves is folded. */
#include <string.h>
#include "passes/internal.h"
#include "passes/lower.h"

enum {
    STEP = 8 /* channels of a packed word of 4-bit weights */,
    MIN_SEGMENT = 32,
    MAX_SEGMENT = 256,
    SUM_LIMIT = 32768
};

typedef struct Narrow { /* y[rows…, cols] = x[rows…, inner] · (codes - zero) · scale */
    Node *n;
    const Tensor *codes, *scale, *zero;
    bool transposed; /* codes are [cols, inner] */
    int64_t inner, cols;
    int64_t group;            /* channels that share a scale */
    int64_t by_group, by_col; /* steps of scales and zero points; 0: shared */
    int bits, bias;           /* bias: what is added to a code to make it unsigned */
} Narrow;

static const Tensor *constant_of(const Node *n, int i, Dtype t) {
    const Value *v = node_in(n, i);
    return v && v->constant && v->constant->dtype == t ? v->constant : NULL;
}

static bool read_codes(Narrow *p, const Node *dq) {
    const Value *x = dq->in[0];
    if (!x->constant || x->type.rank != 2 || dq->out[0]->type.dtype != DT_F32) return false;
    Dtype t = x->constant->dtype;
    p->codes = x->constant;
    p->bits = dtype_bits(t);
    p->bias = t == DT_I4 ? 8 : t == DT_I8 ? 128 : 0;
    if (t != DT_I4 && t != DT_U4 && t != DT_I8 && t != DT_U8) return false;
    p->scale = constant_of(dq, 1, DT_F32);
    p->zero = constant_of(dq, 2, t);
    return p->scale && (p->zero || !node_in(dq, 2));
}

/* how scales lie: one, one a column, or one a block of channels and a column */
static bool read_scales(Narrow *p, const Node *dq) {
    const Tensor *s = p->scale;
    int64_t block = node_int(dq, "block_size"), axis = axis_of(node_int(dq, "axis"), 2), inner_axis = p->transposed;
    p->group = p->inner;
    if (s->rank == 0 || (s->rank == 1 && s->dims[0] == 1)) return true;
    if (s->rank == 1) {
        p->by_col = 1;
        return axis == 1 - inner_axis && s->dims[0] == p->cols;
    }
    if (axis != inner_axis || block <= 0 || block % STEP || p->inner % block) return false;
    p->group = block;
    p->by_group = p->transposed ? 1 : p->cols;
    p->by_col = p->transposed ? p->inner / block : 1;
    return true;
}

static bool read_narrow(Node *n, Narrow *p) {
    *p = (Narrow){.n = n};
    if (!value_is_f32(n->in[0]) || !value_is_f32(n->out[0]) || n->in[0]->type.rank < 2 || n->in[0]->constant)
        return false;
    if (value_def(n->in[0], OP_DequantizeLinear)) return false; /* for integers throughout */
    bool turned = n->op == OP_Gemm && node_int(n, "transB");
    if (n->op == OP_Gemm && (node_int(n, "transA") || node_float(n, "alpha") != 1 || node_float(n, "beta") != 1))
        return false;
    const Node *turn = value_def(n->in[1], OP_Transpose);
    const int64_t *perm;
    if (turn && turn->in[0]->type.rank != 2) return false;
    if (turn) turned ^= node_ints(turn, "perm", &perm) != 2 || perm[0] == 1;
    const Node *dq = value_def(turn ? turn->in[0] : n->in[1], OP_DequantizeLinear);
    if (!dq || !read_codes(p, dq)) return false;
    p->transposed = turned;
    p->inner = p->codes->dims[turned];
    p->cols = p->codes->dims[1 - turned];
    return p->inner > 0 && p->cols > 0 && p->inner % STEP == 0 && read_scales(p, dq);
}

/* a divisor of the group, so that one fixed-point scale serves as many inputs as keep its precision; 0: none that its
 * sums allow */
static int64_t segment_of(int64_t group) {
    if (group <= MAX_SEGMENT) return group;
    for (int64_t s = MAX_SEGMENT; s >= MIN_SEGMENT; s -= STEP)
        if (group % s == 0) return s;
    return group <= SUM_LIMIT ? group : 0;
}

static int64_t code_at(const Narrow *p, int64_t k, int64_t col) {
    if (col >= p->cols) return 0;
    return tensor_int(p->codes, p->transposed ? col * p->inner + k : k * p->cols + col) + p->bias;
}

static int64_t zero_at(const Narrow *p, int64_t group, int64_t col) {
    return p->bias + (p->zero ? tensor_int(p->zero, group * p->by_group + col * p->by_col) : 0);
}

/* one zero point everywhere? */
static bool has_one_zero(const Narrow *p) {
    int64_t groups = p->by_group ? p->inner / p->group : 1, cols = p->by_col ? p->cols : 1;
    for (int64_t g = 0; p->zero && g < groups; g++)
        for (int64_t c = 0; c < cols; c++)
            if (zero_at(p, g, c) != zero_at(p, 0, 0)) return false;
    return true;
}

static Value *bytes_value(Graph *g, int64_t n, uint8_t **data) {
    Tensor *t = tensor_packed(g, DT_U8, 1, &n);
    *data = (uint8_t *)t->data;
    return value_of_tensor(g, t);
}

/* Words of one column: 4 channels of 8 bits, or 8 of 4, whose low halves are the first four. */
static Value *pack_codes(Graph *g, const Narrow *p, int lanes, int vecs) {
    int64_t padded = (p->cols + lanes - 1) / lanes * lanes, each = 32 / p->bits, wide = (int64_t)lanes * vecs;
    uint8_t *to;
    Value *v = bytes_value(g, padded * p->inner * p->bits / 8, &to);
    for (int64_t col = 0; col < padded; col += wide) {
        int64_t n = padded - col < wide ? padded - col : wide;
        for (int64_t k = 0; k < p->inner; k += each)
            for (int64_t c = col; c < col + n; c++)
                for (int64_t i = 0; i < 4; i++) {
                    int64_t low = code_at(p, k + i, c);
                    *to++ = (uint8_t)(p->bits == 8 ? low : low | code_at(p, k + i + 4, c) << 4);
                }
    }
    return v;
}

typedef double NumberAt(const Narrow *p, int64_t group, int64_t col);
static double scale_number(const Narrow *p, int64_t group, int64_t col) {
    return tensor_float(p->scale, group * p->by_group + col * p->by_col);
}
static double zero_number(const Narrow *p, int64_t group, int64_t col) { return (double)zero_at(p, group, col); }

/* [panels][groups][columns of the panel]; 0 beyond the last column */
static Value *pack_numbers(Graph *g, const Narrow *p, int lanes, int vecs, NumberAt *at) {
    int64_t padded = (p->cols + lanes - 1) / lanes * lanes, groups = p->inner / p->group, wide = (int64_t)lanes * vecs;
    int64_t dims[1] = {padded * groups};
    Tensor *t = tensor_packed(g, DT_F32, 1, dims);
    float *to = (float *)t->data;
    for (int64_t col = 0; col < padded; col += wide)
        for (int64_t i = 0; i < groups; i++)
            for (int64_t c = col; c < col + wide && c < padded; c++) *to++ = c < p->cols ? (float)at(p, i, c) : 0;
    return value_of_tensor(g, t);
}

/* out = product + c */
static void add_bias(Rewrite *r, Node *n, Node *made, Value *c) {
    made->out[0]->type = n->out[0]->type;
    Node *sum = rewrite_insert(r, n, OP_Add, (Value *[]){made->out[0], c}, 2);
    rewrite_infer(r, sum);
    rewrite_replace(r, n, sum->out[0]);
}

static void lower(Rewrite *r, const Target *t, const Narrow *p, int64_t segment) {
    enum { MOST_VECS = 4 };
    Graph *g = r->g;
    Node *n = p->n;
    int lanes = tile_for_any(t).lanes, vecs = panel_vecs(p->cols, lanes, MOST_VECS);
    bool one_zero = has_one_zero(p);
    Value *in[4] = {n->in[0], pack_codes(g, p, lanes, vecs), pack_numbers(g, p, lanes, vecs, scale_number),
                    one_zero ? NULL : pack_numbers(g, p, lanes, vecs, zero_number)};
    Value *c = n->op == OP_Gemm ? node_in(n, 2) : NULL;
    Node *made = rewrite_insert(r, n, OP_NarrowMatMul, in, one_zero ? 3 : 4);
    node_set_int(made, "zeros", !one_zero);
    node_set_int(made, "lanes", lanes);
    node_set_int(made, "vecs", vecs);
    node_set_int(made, "bits", p->bits);
    node_set_int(made, "zero", one_zero ? zero_at(p, 0, 0) : 0);
    node_set_int(made, "group", p->group);
    node_set_int(made, "segment", segment);
    made->out[0]->type = n->out[0]->type;
    if (c) add_bias(r, n, made, c);
    else rewrite_replace(r, n, made->out[0]);
}

bool pass_lower_narrow(Graph *g, PassCtx *ctx) {
    Rewrite r;
    if (!ctx->target || tile_for_any(ctx->target).lanes < 4) return false;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));) {
        Narrow p;
        int64_t segment;
        if ((n->op != OP_MatMul && n->op != OP_Gemm) || !read_narrow(n, &p) || !(segment = segment_of(p.group)))
            continue;
        lower(&r, ctx->target, &p, segment);
        r.changed = true;
    }
    return rewrite_end(&r);
}
