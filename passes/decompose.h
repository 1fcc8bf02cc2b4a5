/* Decompositions by subject: each builds what b->at computes from other operators and ends it. */
#ifndef MCC_PASSES_DECOMPOSE_H
#define MCC_PASSES_DECOMPOSE_H
#include "passes/build.h"

/* ---- decompose_attention.c ---- */
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

/* ---- decompose_einsum.c ---- */
void decompose_einsum(Build *b);

#endif
