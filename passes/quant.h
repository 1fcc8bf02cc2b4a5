/* What the passes on quantized numbers share: q stands for (q - zero) · scale. */
#ifndef MCC_PASSES_QUANT_H
#define MCC_PASSES_QUANT_H
#include "passes/internal.h"

/* A QuantizeLinear or DequantizeLinear that computes in f32 with known scales, all finite and positive */
typedef struct Quant {
    Value *codes;               /* its integers: what Q makes, what DQ takes */
    Value *number;              /* what they stand for */
    const Tensor *scale, *zero; /* zero NULL: 0 */
    int64_t n;                  /* scales: one (n = 1, axis -1), or one an index of this axis */
    int axis;
} Quant;
bool quant_read(const Node *n, Quant *out, const char **why);       /* false, and why: it is none */
bool quant_of(const Value *v, Op op, Quant *out, const char **why); /* of the Q or DQ that makes v */
float quant_scale(const Quant *q, int64_t i);
int64_t quant_zero(const Quant *q, int64_t i);       /* i below n */
bool quant_has_one_zero(const Quant *q);             /* the same for all indices */
bool quant_same(const Quant *a, const Quant *b);     /* one scale each, equal in scale, zero point and dtype */
int64_t quant_difference(const Quant *q, int64_t i); /* |q - zero| at most */
int64_t quant_lowest(Dtype t);
int64_t quant_highest(Dtype t);
int64_t quant_code(const Quant *q, float x); /* clamp(rint(x / scale) + zero), of one scale */

Value *const_integers(Graph *g, Dtype t, int rank, const int64_t *dims, const int64_t *v); /* NULL: no room */
Value *const_floats(Graph *g, int rank, const int64_t *dims, const float *v);
Value *const_integer(Graph *g, Dtype t, int64_t v); /* rank 0 */
/* Zero points as an input of ConvInteger or MatMulInteger; NULL where they are 0 */
Value *quant_zeros(Rewrite *r, const Quant *q);
Value *quant_whole(Rewrite *r, Node *at, const Quant *q); /* q - zero in f32, made before `at` */
enum { exact_whole = 1 << 24 };                           /* whole numbers up to it are exact in f32 */

/* ---- fixed_point.c ---- */
bool target_has_fixed_point(const Target *t); /* takes mcc.Requantize; NULL: no */
int fixed_shift(float m); /* that mcc.Requantize takes for multipliers of at most m */
/* The factor with which mcc.Requantize gives rint(f32(sum) · m), clamped to lowest … highest, for every sum. false: none */
bool fixed_factor(float m, int shift, int64_t lowest, int64_t highest, int32_t *out);

/* ---- quant_mean.c: sums and means of quantized numbers ---- */
/* Of integers of one scale whose sums are whole numbers that f32 holds: then no order of them rounds. */
bool mean_is_exact(const Node *n, Quant *q);
void mean_of_whole(Rewrite *r, Node *n); /* mean(DQ(q; s, z)) -> mean(DQ(q; 1, z)) · s, where that is so */

/* Evaluates a node of one output whose inputs are all constants: its output is one then, and the node is gone. */
bool rewrite_fold(Rewrite *r, Node *n);

#endif
