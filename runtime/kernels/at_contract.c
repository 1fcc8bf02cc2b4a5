/* Products and convolutions, one element of the output at a time: a sum in the order of channels and taps. */
#include "runtime/kernels/at.h"
#include "runtime/kernels/quantize.h"

/* A convolution's element: which one it is, and where it reads. */
typedef struct at_conv {
    window window;
    idx o[RANK], batch, channel, group; /* of the output */
    idx in_channels, of_group;
} at_conv;

static inline void at_conv_place(at_conv *c, const mcc_arg *x, const mcc_arg *y, idx groups, idx e) {
    const idx M = dim(y, 1);
    const idx rest = at_index(e, c->window.out, SPATIAL, c->o);
    c->channel = (idx)((size_t)rest % (size_t)M);
    c->batch = (idx)((size_t)rest / (size_t)M);
    c->in_channels = dim(x, 1);
    c->of_group = c->in_channels / groups;
    c->group = c->channel / (M / groups);
}

/* The offset in a plane of X that a choice of taps reads, or -1. */
static inline idx at_conv_offset(const at_conv *c, const idx *k) {
    idx at = 0;
    bool inside = true;
    UNROLL for (int s = 0; s < SPATIAL; s++) {
        const idx i = at_tap(&c->window, s, c->o[s], k[s]);
        inside = inside && i >= 0;
        at = at * c->window.in[s] + i;
    }
    return inside ? at : -1;
}

/* likewise of a transposed convolution */
static inline idx at_transpose_offset(const at_conv *c, const idx *k) {
    const window *w = &c->window;
    idx at = 0;
    bool inside = true;
    UNROLL for (int s = 0; s < SPATIAL; s++) {
        const idx t = c->o[s] + w->pad[s] - k[s] * w->dilation[s], i = t / w->stride[s];
        inside = inside && t >= 0 && t % w->stride[s] == 0 && i < w->in[s];
        at = at * w->in[s] + i;
    }
    return inside ? at : -1;
}

/* A product's element: where its row and its column begin, and their steps. */
typedef struct at_product {
    idx inner, a, b, a_step, b_step, row, col;
} at_product;

/* the batch's offset in m, whose last two axes are matrices */
static inline idx at_batch(const mcc_arg *m, const mcc_arg *y, int batch, idx rest) {
    idx n[RANK], i[RANK], at = 0;
    UNROLL for (int k = 0; k < RANK; k++) n[k] = k < batch ? dim(y, k) : 1;
    at_index(rest, n, batch, i);
    UNROLL for (int k = 0; k < RANK; k++) {
        const int own = k - (batch - (m->rank - 2));
        if (k < batch && own >= 0 && dim(m, own) != 1) at += i[k] * stride_of(m, own);
    }
    return at;
}

static inline at_product at_matmul(const mcc_arg *A, const mcc_arg *B, const mcc_arg *y, idx e) {
    const bool row = A->rank == 1, column = B->rank == 1;
    const idx rows = row ? 1 : dim(A, A->rank - 2), cols = column ? 1 : dim(B, B->rank - 1);
    at_product p = {.inner = dim(A, A->rank - 1), .a_step = 1, .b_step = cols};
    const size_t line = (size_t)e / (size_t)cols, batch = line / (size_t)rows;
    p.col = (idx)((size_t)e % (size_t)cols);
    p.row = (idx)(line % (size_t)rows);
    const int axes = y->rank - !row - !column;
    p.a = at_batch(A, y, axes, (idx)batch) + p.row * p.inner;
    p.b = at_batch(B, y, axes, (idx)batch) + p.col;
    return p;
}

static inline at_product at_gemm(const mcc_arg *A, const attrs_Gemm *t, const mcc_arg *y, idx e) {
    const idx rows = dim(y, 0), cols = dim(y, 1);
    at_product p = {.inner = dim(A, t->transA ? 0 : 1)};
    p.row = (idx)((size_t)e / (size_t)cols);
    p.col = (idx)((size_t)e % (size_t)cols);
    p.a = t->transA ? p.row : p.row * p.inner;
    p.a_step = t->transA ? rows : 1;
    p.b = t->transB ? p.col * p.inner : p.col;
    p.b_step = t->transB ? 1 : cols;
    return p;
}

/* where Gemm's C stands for an element of y */
static inline idx at_gemm_c(const mcc_arg *c, const mcc_arg *y, const at_product *p) {
    walk w;
    walk_broadcast(&w, c, y);
    return p->row * w.stride[RANK - 2] + p->col * w.stride[RANK - 1];
}

#define TEMPLATE "runtime/kernels/at_product.inc"
#include "runtime/kernels/for_floats.h"
#include "runtime/kernels/for_ints.h"
#undef TEMPLATE
#define TEMPLATE "runtime/kernels/at_conv.inc"
#include "runtime/kernels/for_floats.h"
#undef TEMPLATE

/* ---- integers ---- */

int32_t mcc_at_ConvInteger_i32(const mcc_arg *a, const mcc_attr *at, int64_t e, int32_t *status) {
    const attrs_ConvInteger *p = (const attrs_ConvInteger *)at;
    const mcc_arg *x = &a[0], *w = &a[1], *zeros = input(a, at, 3), *y = output(a, at, 0);
    at_conv c;
    (void)status;
    window_fill(&c.window, x, y, w->dims + 2, &p->pads, &p->strides, &p->dilations);
    window_auto_pad(&c.window, p->auto_pad);
    at_conv_place(&c, x, y, (idx)p->group, (idx)e);
    const idx plane = count(c.window.in, SPATIAL), taps = count(c.window.kernel, SPATIAL);
    const int32_t x_zero = quant_zero(input(a, at, 2), 0),
                  w_zero = zeros ? quant_zero(zeros, elements(zeros) > 1 ? c.channel : 0) : 0;
    idx from = (c.batch * c.in_channels + c.group * c.of_group) * plane, weight = c.channel * c.of_group * taps;
    int32_t sum = 0;
    for (idx channel = 0; channel < c.of_group; channel++, from += plane) {
        idx k[RANK] = {0};
        for (idx tap = 0; tap < taps; tap++, weight++, advance(k, c.window.kernel, SPATIAL)) {
            const idx at_x = at_conv_offset(&c, k);
            if (at_x < 0) continue;
            sum = quant_mul_add(sum, quant_get(x->data, x->dtype, from + at_x) - x_zero,
                                quant_get(w->data, w->dtype, weight) - w_zero);
        }
    }
    return sum;
}

/* of a zero point of A (by row) or B: one, one a row (column), or with the operand's axes */
static inline int32_t at_zero(const mcc_arg *zero, const mcc_arg *y, int batch, idx rest, idx along, bool by_row) {
    if (!zero) return 0;
    idx at = zero->rank > 1 ? at_batch(zero, y, batch, rest) : 0;
    const bool many = elements(zero) > 1 &&
                      (zero->rank == 1 || dim(zero, by_row ? zero->rank - 2 : zero->rank - 1) > 1);
    return quant_zero(zero, at + (many ? along : 0));
}

int32_t mcc_at_MatMulInteger_i32(const mcc_arg *a, const mcc_attr *at, int64_t e, int32_t *status) {
    const mcc_arg *A = &a[0], *B = &a[1], *y = output(a, at, 0);
    const at_product p = at_matmul(A, B, y, (idx)e);
    const int batch = y->rank - (A->rank > 1) - (B->rank > 1);
    const idx rows = A->rank == 1 ? 1 : dim(A, A->rank - 2), cols = B->rank == 1 ? 1 : dim(B, B->rank - 1);
    const idx rest = (idx)((size_t)e / (size_t)(rows * cols));
    const int32_t a_zero = at_zero(input(a, at, 2), y, batch, rest, p.row, true),
                  b_zero = at_zero(input(a, at, 3), y, batch, rest, p.col, false);
    int32_t sum = 0;
    (void)status;
    for (idx k = 0; k < p.inner; k++)
        sum = quant_mul_add(sum, quant_get(A->data, A->dtype, p.a + k) - a_zero,
                            quant_get(B->data, B->dtype, p.b + k * p.b_step) - b_zero);
    return sum;
}
