/* A fused node as a loop nest: axes, an expression tree over loads at affine indices, one store. The text of --emit=loops. */
#ifndef MCC_CODEGEN_LOOPS_H
#define MCC_CODEGEN_LOOPS_H

#include "codegen/contract.h"

enum {
    MAX_AXES = MCC_MAX_RANK,
    REDUCED = -2                 /* as an access's input: the reduction's result */
};

typedef struct Access { /* element offset + Σ stride[axis]·i[axis] of operand `input` of the fused node */
    int input;
    Dim offset, stride[MAX_AXES];
} Access;

typedef struct Expr { /* out = node(args…), or where node is NULL a load, or the reduction's result */
    const Node *node;
    struct Expr **args; /* NULL entries: absent operands */
    int n_args;
    Access access;
    Dtype dtype;
    LLVMValueRef value; /* while code is made: at the point that `point` numbers */
    Interval interval;  /* that it is in */
    int point;
} Expr;

typedef struct Nest {
    Dim extent[MAX_AXES];
    int n_axes;
    int n_reduce;      /* the last n_reduce axes are folded by `reduce` */
    const Node *reduce; /* NULL: elementwise */
    Expr *body;         /* the value at a point; under a reduction, what is folded */
    Expr *after;        /* elementwise work on the reduction's result, or NULL */
    Expr **loads;       /* every distinct one */
    int n_loads;
    Access store;
    Dtype dtype;
} Nest;

bool nest_lower(Ctx *ctx, const Node *fused, Nest *out); /* false: diag_error was called */
void nest_print(Ctx *ctx, const Node *fused, FILE *out);
extern const Emitter fused_emitter;

#endif
