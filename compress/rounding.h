/* Rounding of weights by what it does to the sums that they are in, not by each weight's own error: with H = Σ x xᵀ
 * over the inputs x of a sum, seen in calibration, the squared error of the sums is eᵀHe for the errors e of its
 * weights. Where a bias can move as well, it makes up for what the errors do to the mean of the sum, and H is of x − x̄.
 */
#ifndef MCC_ROUNDING_H
#define MCC_ROUNDING_H

#include "ir/ir.h"

typedef enum Rounding { ROUND_NEAREST, ROUND_GPTQ, ROUND_ADAROUND } Rounding;

enum { HESSIAN_PART = 4608, HESSIAN_ROWS = 32 };

/* H of a contraction: a triangle for each group of channels and, where sums are long, for each `part` of their
 * products (what lies between two parts is left out). */
typedef struct Hessian {
    int64_t depth, groups, part, parts;
    int64_t rows, most_rows;         /* of x, added and wanted for each group: twice the depth, and 4096 at least */
    int64_t call_rows;               /* of hessian_observe, at most */
    int64_t calls;                   /* of hessian_observe */
    double **sums;                   /* [groups · parts]: i, k <= i at i(i+1)/2 + k */
    double *buffer;                  /* HESSIAN_ROWS of depth */
    double *totals, *counts;         /* [groups][depth]: Σ x; [groups]: of how many */
    int64_t channels;                /* of what the sums should be, y; 0: nobody says */
    double *cross, *wanted;          /* [channels][depth]: Σ y x, x of the channel's group; [channels]: Σ y */
    double *targets;                 /* y of the buffer's rows: HESSIAN_ROWS of channels */
    const struct Contraction *makes; /* y, of x'; NULL: y comes from elsewhere */
    double *exact, *columns;         /* x', the same rows in another network: HESSIAN_ROWS of depth; and turned */
    bool about_means; /* to be of x − x̄: rounding moves a bias, and what an error does to the mean is no loss */
    bool centred;     /* it is */
} Hessian;
size_t hessian_bytes(int64_t depth, int64_t groups, int64_t part);           /* SIZE_MAX: too many to count */
Hessian *hessian_new(Arena *a, int64_t depth, int64_t groups, int64_t part); /* part: HESSIAN_PART, or for tests less */
Hessian *hessian_means(Arena *a, int64_t depth, int64_t groups); /* of no parts: x̄ alone, for the shifts of biases */
void hessian_want(Hessian *h, Arena *a, int64_t channels);       /* y, too */
/* y = W x', without a bias, x' what another network holds where x is */
void hessian_want_exact(Hessian *h, Arena *a, const struct Contraction *c);
void hessian_make_targets(Hessian *h, int64_t group, int rows); /* of the rows of h->exact */
void hessian_add(Hessian *h, int64_t group, int n); /* the first n rows of the buffer, which it may overwrite */
int64_t hessian_part_size(const Hessian *h, int64_t part);
void hessian_centre(Hessian *h); /* where that is wanted, and not yet done */
/* What to add to the diagonal of a part, sums[…] of n rows, before it is factored. Inputs that are all 0: 1, and each
 * weight goes to the nearest. */
double hessian_damp(const double *t, int64_t n);
double hessian_error(const Hessian *h, int64_t group, const double *e); /* eᵀHe; before weights are rounded with it */

/* ---- patches.c: the rows of x that a contraction's input holds ---- */
/* At most call_rows a call, evenly spread; which ones differs from call to call. false: the input has a NaN or an
 * infinity */
bool hessian_observe(Hessian *h, const Node *n, const float *x, const int64_t *dims, int rank);
bool hessian_observe_exact(Hessian *h, const Node *n, const Tensor *x, const Tensor *exact); /* x' beside x */

/* ---- codes.c ---- */
typedef struct CodeRange { /* low < 0 < high */
    int low, high;
    bool asymmetric; /* with a zero point */
} CodeRange;
typedef struct CodeScale { /* w = (code - zero) · scale */
    float scale;
    int zero;
} CodeScale;
int code_near(CodeRange r, CodeScale s, double w);
double code_value(CodeScale s, int code);
/* matters: of each weight's squared error; NULL: all of them alike */
CodeScale code_scale(CodeRange r, const float *w, const double *matters, int64_t n);

/* ---- rounding.c ---- */
typedef struct RoundWeights {
    const float *w; /* channel c's weight k: w[c · by_channel + k · by_depth]; so are codes */
    int64_t channels, by_channel, by_depth;
    CodeRange range;
    int64_t block; /* weights that share a scale, the last ones perhaps fewer; divides HESSIAN_PART or is the depth */
    bool find_scales;  /* else they are given */
    CodeScale *scales; /* [channels][⌈depth / block⌉] */
    int8_t *codes;
    double *shifts; /* [channels]: what the bias gains, Σ (w − code · scale) x̄; NULL unless H is about means */
} RoundWeights;
void round_nearest(const RoundWeights *r, int64_t depth, Ctx *ctx);
/* All weights and scales are finite, and scales greater than 0. */
int64_t round_blocks(const RoundWeights *r, int64_t depth); /* of a channel */
void round_weights(Rounding how, Hessian *h, const RoundWeights *r, Ctx *ctx);

#endif
