/* What the channels that a contraction reads held, over all samples. */
#ifndef MCC_SEEN_H
#define MCC_SEEN_H

#include "ir/ir.h"

typedef struct Seen {
    int axis; /* of the contraction's input */
    int64_t channels;
    float *low, *high;      /* of all values, and 0 */
    double *sums, *squares; /* of all values */
    double count;           /* of each channel's values */
} Seen;
Seen *seen_new(const Node *n, Arena *a); /* of a contraction's input; NULL: nobody can tell how many channels it has */
bool seen_add(Seen *s, const float *x, const int64_t *dims, int rank); /* false: a NaN or an infinity */

#endif
