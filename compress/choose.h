/* What choose.c and decide.c share: what part each node may take in a quantized network. */
#ifndef MCC_CHOOSE_H
#define MCC_CHOOSE_H

#include "compress/quantize.h"

typedef enum Role {
    STAYS,       /* in float */
    CONTRACTS,   /* Conv, Gemm, MatMul */
    LOOKS_UP,    /* Gather of a constant table, whose weights alone can be narrow */
    CARRIES,     /* elements pass through unchanged: the result has its input's scale */
    JOINS,       /* Concat */
    COMPUTES,    /* pooling and its like: reads integers, writes integers */
    ELEMENTWISE, /* the same, and fuses with its like */
} Role;

typedef struct Choice {
    QuantPlan *plan;
    Graph *g;
    Arena *scratch;
    Role *role;       /* by node id */
    bool *can, *need; /* by value id: could be, must be integers */
} Choice;

/* ---- choose.c ---- */
bool choice_is_float(const Value *v); /* a tensor of float32 */
/* v, which the elementwise n reads, is never stored: it is computed in one loop with n. Of several products that meet
 * in n, one can be. */
bool choice_is_inside(const Choice *c, const Value *v, const Node *n);

/* ---- decide.c ---- */
void choice_decide(Choice *c); /* contractions that are cheaper in float on plan->options.target stay there */

#endif
