/* Nodes built before one that they replace, for decompositions: each is inferred at once. Where inference refuses one
 * (a size that overflows), it has said so, and everything built after it is NULL. */
#ifndef MCC_PASSES_BUILD_H
#define MCC_PASSES_BUILD_H
#include "passes/internal.h"

typedef struct Build {
    Rewrite *r;
    Node *at; /* the node that goes */
    bool failed;
} Build;

Node *build_node(Build *b, Op op, Value *const *in, int n_in); /* its attributes come next, then build_value */
Value *build_value(Build *b, Node *made);
Value *build_op(Build *b, Op op, Value *x, Value *y); /* y NULL: of one operand */
Value *build_where(Build *b, Value *condition, Value *x, Value *y);
Value *build_along(Build *b, Op op, Value *x, int axis); /* an operator with the attribute `axis` */
Value *build_cast(Build *b, Value *x, Dtype to);
Value *build_view(Build *b, Value *x, int rank, const Dim *dims);
Value *build_unsqueeze(Build *b, Value *x, int axis); /* a 1 before this axis */
Value *build_transpose(Build *b, Value *x, const int64_t *perm);
Value *build_concat(Build *b, Value *x, Value *y, int axis);
Value *build_slice(Build *b, Value *x, int axis, int64_t start, int64_t end,
                   int64_t step); /* end INT64_MAX: to the end */
Value *build_gather(Build *b, Op op, Value *x, Value *indices, int axis);
Value *build_reduce(Build *b, Op op, Value *x, const int64_t *axes, int n, bool keep);
Value *build_scalar(Build *b, Dtype t, double v);
Value *build_size(Build *b, Value *x, int axis);                         /* int64 [1] */
Value *build_indices(Build *b, Value *x, int axis, int rank, int place); /* 0, 1, … along `place` of so many axes */
void build_output(Build *b, int i, Value *v); /* is output i from here on; nothing where nobody wants it */
void build_end(Build *b);                     /* every output is built: the node goes */

static inline bool build_wants(const Build *b, int i) { return i < b->at->n_out && b->at->out[i]; }

#endif
