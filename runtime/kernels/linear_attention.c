/* LinearAttention: a state S, [depth of K, depth of V], for each head of K, and for each step t
 *   S = exp(decay) S          gated
 *   v = beta (v - Sᵀ k)       delta
 *   S = S + k vᵀ,   y = scale Sᵀ q
 * for each head of Q that shares it. Inputs: Q, K, V of [batch, steps, heads · depth], a past state, decay of each head
 * or of each of its depth, beta of each head or of all. Scratch: a state and a row. */
#include "runtime/kernels/real.h"

typedef struct linear_shape {
    idx batch, steps, heads, group, depth, wide; /* heads of K; of Q for each of them; depths of K and of V */
    idx decays, betas;                           /* numbers of each a step; 0: none */
    double scale;
} linear_shape;

#define TEMPLATE "runtime/kernels/linear_attention.inc"
#include "runtime/kernels/for_floats.h"

int ref_LinearAttention(const mcc_arg *a, const mcc_attr *at) {
    const attrs_LinearAttention *p = (const attrs_LinearAttention *)at;
    const mcc_arg *q = &a[0], *k = &a[1], *v = &a[2], *past = input(a, at, 3), *decay = input(a, at, 4),
                  *beta = input(a, at, 5), *y = output(a, at, 0), *state = output(a, at, 1);
    linear_shape s = {dim(q, 0), dim(q, 1), (idx)p->kv_num_heads, (idx)(p->q_num_heads / p->kv_num_heads), 0, 0, 0,
                      0,         p->scale};
    s.depth = dim(k, 2) / s.heads;
    s.wide = dim(v, 2) / s.heads;
    s.decays = decay ? dim(decay, 2) : 0;
    s.betas = beta ? dim(beta, 2) : 0;
    if (p->scale == 0) s.scale = 1 / mcc_sqrt_f64((double)s.depth);
    DISPATCH_FLOATS(q->dtype, linear_attention, y->data, q->data, k->data, v->data, past, decay ? decay->data : NULL,
                    beta ? beta->data : NULL, state, a[at->args.n_in + at->args.n_out].data, &s)
}
