/* Decompositions by subject: each builds what b->at computes from other operators and ends it. */
#ifndef MCC_PASSES_DECOMPOSE_H
#define MCC_PASSES_DECOMPOSE_H
#include "passes/build.h"

/* ---- decompose_attention.c ---- */
typedef struct Attend { /* q, k, v: [batch, heads, (readers,) length, depth]; bias: added to the scores, or NULL
                        sink: what the softmax counts beside the scores of a row, for no value, or NULL */
    Value *q, *k, *v, *bias, *sink;
    double scale, softcap; /* softcap 0: none */
    Dtype softmax;         /* float64: at least in it */
    Value *stage[4];       /* out: scores, capped, with the bias, as weights */
} Attend;
Value *build_attend(Build *b, Attend *a);
/* x, [batch, length, outer · inner · depth] or [batch, outer · inner, length, depth], as [batch, outer, (inner,)
 * length, depth] */
Value *build_heads(Build *b, Value *x, int64_t outer, int64_t inner, bool shared);
Value *build_joined(Build *b, Value *y, const Type *as, bool shared); /* back, in the form of `as` */
Value *build_grouped_bias(Build *b, Value *bias, int64_t outer, int64_t inner);
double build_scale(const Node *n, const Value *k); /* the attribute, or 1 / √depth */
/* x, whose last axis of 4 is a head's, turned in pairs: numbers i and i + half, or interleaved 2i and 2i + 1 */
Value *build_rotated(Build *b, Value *x, Value *cosine, Value *sine, int64_t turned, bool interleaved);
void decompose_attention(Build *b);
void decompose_rotary(Build *b);
void decompose_causal_conv(Build *b);

/* ---- decompose_norm.c ---- */
void decompose_group_norm(Build *b);
void decompose_mean_variance(Build *b);
void decompose_lp_norm(Build *b);
void decompose_hardmax(Build *b);

/* ---- decompose_loss.c ---- */
void decompose_nll(Build *b);
void decompose_cross_entropy(Build *b);

/* ---- decompose_random.c ---- */
void decompose_uniform(Build *b);
void decompose_normal(Build *b);
void decompose_bernoulli(Build *b);
void decompose_multinomial(Build *b);
void decompose_dropout(Build *b); /* in training */

/* ---- decompose_microsoft.c ---- */
void decompose_fused_matmul(Build *b);
void decompose_positioned_rotary(Build *b);
void decompose_projected(Build *b);
void decompose_multi_head(Build *b);
void decompose_group_query(Build *b);

/* ---- decompose_types.c ---- */
bool types_split(const Node *n);
void split_types(Build *b);

/* ---- decompose_einsum.c ---- */
void decompose_einsum(Build *b);

#endif
