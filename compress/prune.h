/* Pruning of a float graph: which weights of which contractions become 0, and what those that stay become to make up
 * for it. The graph keeps dense tensors with zeros in them; what zeros are worth is the passes' business. A table of
 * contents; each group stands under the file that defines it. */
#ifndef MCC_PRUNE_H
#define MCC_PRUNE_H

#include "compress/quantize.h"

typedef enum PrunePattern {
    PRUNE_UNSTRUCTURED,
    PRUNE_N_OF_M,
    PRUNE_BLOCKS,
    PRUNE_CHANNELS,
    PRUNE_AUTO /* the one that the target has a form for, layer by layer */
} PrunePattern;
typedef enum PruneBy {
    PRUNE_BY_MAGNITUDE, /* w² */
    PRUNE_BY_INPUTS,    /* w² · Σ x², each channel for itself (M. Sun et al., "A Simple and Effective Pruning Approach
                           for Large Language Models", 2023) */
    PRUNE_BY_UPDATE     /* by the error of the sums, which the weights that stay make up for: update.c */
} PruneBy;
typedef struct PruneOptions {
    double share; /* of the weights that become 0; 0: nothing is pruned */
    PrunePattern pattern;
    int n, of;       /* PRUNE_N_OF_M: n of `of` consecutive weights of a sum stay */
    int rows, cols;  /* of a block: output channels, input channels of one tap */
    bool by_layer;   /* each layer to that share; else all together */
    bool by_network; /* together, and each layer's losses count by what they do to the network's outputs */
    PruneBy by;
    int64_t rounds;
    bool ends; /* the first and the last layer as well */
    const char **skip, **only;
    int n_skip, n_only;
    const Target *target; /* of PRUNE_AUTO */
    bool integers, small; /* of PRUNE_AUTO: weights and activations become int8; bytes count instead of cycles */
} PruneOptions;

enum { PRUNE_POINTS = 7 };
extern const double prune_points[PRUNE_POINTS]; /* shares of zeros, ascending; the last is 1 */

typedef struct PruneLayer {
    QuantNode *q; /* node, name, Hessian */
    Contraction c;
    PruneOptions form;         /* the plan's, with this layer's pattern */
    const char *spared;        /* why it stays dense; NULL: it is pruned */
    bool planned;              /* a plan file says its form and its share */
    double share;              /* of its weights that are to become 0, in the end if planned */
    float *weights, *bias;     /* as pruned so far; NULL: as they were, or there is none */
    double noise;              /* in the network's outputs, at the share of all; 0: not measured */
    double loss[PRUNE_POINTS]; /* of its sums' power, at prune_points[i] of zeros; all 0: not measured */
} PruneLayer;
typedef struct PrunePlan {
    QuantPlan *nodes; /* its names, and what calibration fills */
    PruneOptions options;
    PruneLayer *layers; /* in the graph's order */
    int n;
    bool done; /* no round follows */
} PrunePlan;

typedef struct PruneWeights { /* channel c's weight k: w[c · by_channel + k · by_depth] */
    float *w;
    int64_t channels, by_channel, by_depth;
    int64_t taps; /* of a window: weights of an input channel, neighbours along k */
} PruneWeights;

/* ---- prune.c ---- */
/* file: which says something of zeros, or NULL. NULL after diag_error */
PrunePlan *prune_choose(Graph *g, const PruneOptions *o, const PlanFile *file);
bool prune_needs_samples(const PruneOptions *o);
/* Before the first round: each layer as if it were pruned to the share of all, its losses measured; and dense again. */
void prune_try(PrunePlan *p);
void prune_untry(PrunePlan *p);
/* Another round: shares of layers, then their weights, which go on from the round before. portion: of the zeros that
 * are wanted in the end. */
void prune_round(PrunePlan *p, double portion);
/* The weights into a graph, which was made as the plan's was. false after diag_error */
bool prune_apply(const PrunePlan *p, Graph *g);
bool prune_layer_apply(const PruneLayer *l, Node *n); /* of one layer, which has weights, to its node in a graph */
PruneWeights prune_weights_of(const PruneLayer *l); /* as they are now */
double prune_zeros(const PruneLayer *l);            /* share of zeros in its weights as they are now */

/* ---- plan_prune.c ---- */
bool plan_prune_apply(const PlanFile *f, PrunePlan *p); /* to layers that it names; false after diag_error */
void plan_prune_write(const PrunePlan *p, FILE *out);

/* ---- prune_form.c ---- */
bool prune_pattern_parse(const char *text, PruneOptions *o); /* as --prune-pattern and plan files have it */
PruneOptions prune_form(const PruneOptions *o, const Node *n); /* of a contraction */
const char *prune_form_text(Ctx *ctx, const PruneOptions *form);

/* ---- prune_share.c ---- */
/* Sets the share of each layer that is pruned, from importances[i]: of layer i's weights, in any order. They are sorted
 * in place. NULL: by the layers' losses. */
void prune_shares(PrunePlan *p, float *const *importances, double share, Arena *scratch);

/* ---- prune_select.c ---- */
typedef struct PruneMatrix { /* of one score a weight, at k · channels + c; not negative */
    const float *score;
    int64_t depth, channels, taps; /* taps: as in PruneWeights; depth is a multiple of it */
} PruneMatrix;
/* zero[k · channels + c] = 1 for the share of least score, whole blocks or channels, or all of each N:M group, as the
 * pattern wants. Of equal ones the first. */
void prune_select(const PruneOptions *o, PruneMatrix m, double share, uint8_t *zero, Arena *scratch);

/* ---- prune_refit.c ---- */
/* The weights that stay, fitted to what h has been told that the sums should be, from the inputs that the pruned
 * network has. Where there is a bias, it gives the mean. */
void prune_refit(const PruneLayer *l, Hessian *h, Ctx *ctx);

/* ---- prune_update.c ---- */
/* Zeros by what they do to the sums that the weights are in, and the weights that stay moved so that the sums change
 * least. */
void prune_update(const PruneOptions *o, const Hessian *h, const PruneWeights *w, double share, Ctx *ctx);
/* losses[i]: eᵀHe, over all channels or some that are evenly spread, at shares[i] of zeros; the weights stay as they
 * are */
/* δ of h δ = r, r, which it takes, in some steps of conjugate gradients; h: n × n. work: 3 n */
void prune_solve(const double *h, double *r, double *delta, int64_t n, double *work);
enum { PRUNE_REFINED = 1536 }; /* weights of a sum that stay, at most, to be moved by it */
void prune_losses(const PruneOptions *o, const Hessian *h, const PruneWeights *all, const double *shares, int n,
                  double *losses, Ctx *ctx);

#endif
