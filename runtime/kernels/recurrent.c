/* LSTM, GRU, RNN as the standard writes them, one row of one direction at a time. f, g, h are the activations; clip
 * bounds what goes into them.
 *
 *   LSTM  i, o, f' = f(x·W' + h·R' + b + p ⊙ c);  c' = g(x·W' + h·R' + b);  c = f' ⊙ c + i ⊙ c';  h = o ⊙ h(c)
 *         (o sees the new c; input_forget: f' = 1 - i)
 *   GRU   z, r = f(x·W' + h·R' + b);  h' = g(x·W' + (r ⊙ h)·R' + b);  h = (1 - z) ⊙ h' + z ⊙ h
 *         (linear_before_reset: h' = g(x·W' + b + r ⊙ (h·R' + b')))
 *   RNN   h = f(x·W' + h·R' + b)
 *
 * sequence_lens: a row ends after that many steps; Y is 0 behind, the last states are those of its last step, and
 * reverse begins at its last step; of a row of no steps they are 0, as in ONNX Runtime (the standard is silent). Sums
 * are kept in the type that is computed in, h is rounded at each step. */
#include "runtime/kernels/common.h"

enum { AFFINE, ELU, HARD_SIGMOID, LEAKY_RELU, RELU, SCALED_TANH, SIGMOID, SOFTPLUS, SOFTSIGN, TANH, THRESHOLDED_RELU };

typedef struct activation {
    int64_t kind;
    double alpha, beta;
} activation;

typedef struct recurrent {
    idx directions, steps, batch, inputs, hidden, gates;
    idx x_step, x_row;              /* between elements of X */
    idx y_step, y_direction, y_row; /* of Y */
    idx s_direction, s_row;         /* of initial and last states */
    int64_t direction;              /* of the first */
    double clip;                    /* 0: none */
    bool couple, linear_before_reset;
    activation f[2][3];
    const mcc_arg *x, *w, *r, *b, *lens, *h0, *c0, *p;
    const mcc_arg *y, *y_h, *y_c;
    void *scratch;
} recurrent;

static inline idx length_of(const recurrent *s, idx row) {
    return s->lens ? (idx)((const int32_t *)s->lens->data)[row] : s->steps;
}

#define TEMPLATE "runtime/kernels/recurrent.inc"
#include "runtime/kernels/for_floats.h"

static inline activation standard(int64_t kind) {
    activation a = {.kind = kind};
    if (kind == LEAKY_RELU) a.alpha = 0.01f;
    if (kind == HARD_SIGMOID) a.alpha = 0.2f, a.beta = 0.5;
    if (kind == AFFINE || kind == ELU || kind == SCALED_TANH || kind == THRESHOLDED_RELU) a.alpha = 1;
    if (kind == SCALED_TANH) a.beta = 1;
    return a;
}

static inline bool has_alpha(int64_t kind) {
    return kind == AFFINE || kind == ELU || kind == HARD_SIGMOID || kind == LEAKY_RELU || kind == SCALED_TANH ||
           kind == THRESHOLDED_RELU;
}
static inline bool has_beta(int64_t kind) { return kind == AFFINE || kind == HARD_SIGMOID || kind == SCALED_TANH; }

/* alpha and beta go to the functions that have them, in order, as far as they reach */
static inline void read_activations(recurrent *s, int functions, const mcc_ints *kinds, const mcc_floats *alpha,
                                    const mcc_floats *beta) {
    int alphas = 0, betas = 0;
    UNROLL for (int d = 0; d < 2; d++) UNROLL for (int i = 0; i < 3; i++) {
        if (d >= s->directions || i >= functions) continue;
        int64_t kind = i == 0 && functions > 1 ? SIGMOID : TANH;
        if (kinds->n) kind = kinds->v[d * functions + i];
        activation a = standard(kind);
        if (has_alpha(kind) && alphas < alpha->n) a.alpha = alpha->v[alphas++];
        if (has_beta(kind) && betas < beta->n) a.beta = beta->v[betas++];
        s->f[d][i] = a;
    }
}

static inline void read_sizes(recurrent *s, const mcc_arg *a, const mcc_attr *at, bool batch_first) {
    s->x = &a[0];
    s->w = &a[1];
    s->r = &a[2];
    s->b = input(a, at, 3);
    s->lens = input(a, at, 4);
    s->h0 = input(a, at, 5);
    s->y = output(a, at, 0);
    s->y_h = output(a, at, 1);
    s->scratch = a[at->args.n_in + at->args.n_out].data;
    s->directions = dim(s->w, 0);
    s->steps = dim(s->x, batch_first);
    s->batch = dim(s->x, !batch_first);
    s->inputs = dim(s->x, 2);
    s->hidden = dim(s->r, 2);
    s->x_step = batch_first ? s->inputs : s->batch * s->inputs;
    s->x_row = batch_first ? s->steps * s->inputs : s->inputs;
    s->y_direction = batch_first ? s->hidden : s->batch * s->hidden;
    s->y_step = s->directions * s->y_direction;
    s->y_row = batch_first ? s->steps * s->y_step : s->hidden;
    s->s_direction = s->y_direction;
    s->s_row = batch_first ? s->directions * s->hidden : s->hidden;
}

static inline bool lengths_valid(const recurrent *s) {
    bool valid = true;
    for (idx row = 0; s->lens && row < s->batch; row++)
        valid = valid && length_of(s, row) >= 0 && length_of(s, row) <= s->steps;
    return valid;
}

int ref_LSTM(const mcc_arg *a, const mcc_attr *at) {
    const attrs_LSTM *p = (const attrs_LSTM *)at;
    recurrent s = {.gates = 4, .direction = p->direction, .clip = p->clip, .couple = p->input_forget != 0};
    read_sizes(&s, a, at, p->layout == 1);
    s.c0 = input(a, at, 6);
    s.p = input(a, at, 7);
    s.y_c = output(a, at, 2);
    read_activations(&s, 3, &p->activations, &p->activation_alpha, &p->activation_beta);
    if (!lengths_valid(&s)) return MCC_E_INDEX;
    DISPATCH_FLOATS(s.x->dtype, recurrent, &s)
}

int ref_GRU(const mcc_arg *a, const mcc_attr *at) {
    const attrs_GRU *p = (const attrs_GRU *)at;
    recurrent s = {.gates = 3, .direction = p->direction, .clip = p->clip};
    s.linear_before_reset = p->linear_before_reset != 0;
    read_sizes(&s, a, at, p->layout == 1);
    read_activations(&s, 2, &p->activations, &p->activation_alpha, &p->activation_beta);
    if (!lengths_valid(&s)) return MCC_E_INDEX;
    DISPATCH_FLOATS(s.x->dtype, recurrent, &s)
}

int ref_RNN(const mcc_arg *a, const mcc_attr *at) {
    const attrs_RNN *p = (const attrs_RNN *)at;
    recurrent s = {.gates = 1, .direction = p->direction, .clip = p->clip};
    read_sizes(&s, a, at, p->layout == 1);
    read_activations(&s, 1, &p->activations, &p->activation_alpha, &p->activation_beta);
    if (!lengths_valid(&s)) return MCC_E_INDEX;
    DISPATCH_FLOATS(s.x->dtype, recurrent, &s)
}
