/* What the weights of one contraction should be before they are rounded, where those of the layers before it have been:
 * least Σ |W x' − T x|² over samples, x' its inputs in the float network, x those in the rounded one. */
#ifndef MCC_ROUND_FIT_H
#define MCC_ROUND_FIT_H

#include "compress/quantize.h"

typedef enum SampleSet { FITTED, JUDGING } SampleSet;
typedef struct RoundFit {
    const Node *node;
    const Contraction *c;
    Hessian *set[2]; /* of x, by SampleSet; and y = W x', without the bias */
    bool has_bias;   /* which takes care of the means: all of it is about these */
    double *target;  /* [channels][depth], by round_fit_solve */
    double *moves;   /* [channels]: what the bias gains by what T makes of the mean of x, by round_fit_solve */
} RoundFit;
/* samples: that will be observed, to spread rows among them */
RoundFit *round_fit_new(Arena *a, const Node *n, const Contraction *c, int64_t samples);
/* false: x or exact has a NaN or an infinity */
bool round_fit_observe(RoundFit *f, int sample, const Tensor *x, const Tensor *exact);
/* The target; and set[FITTED] is of all samples then, about the means where there is a bias. */
void round_fit_solve(RoundFit *f, Ctx *ctx);

#endif
