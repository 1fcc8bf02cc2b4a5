/* Attention heads, as inference of several operators reads them. */
#ifndef MCC_INFER_HEADS_H
#define MCC_INFER_HEADS_H
#include "ir/ir.h"

typedef struct Heads {
    int64_t count;
    Dim batch, length, depth;
} Heads;
/* How many heads input `in` has: on axis 1 of 4, or `attr` of them side by side on the last axis of 3 */
bool heads_read(Ctx *ctx, const Node *n, int in, const char *attr, Heads *h);

#endif
