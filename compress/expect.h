/* What values are expected to hold where there are no samples: normalisations say how the channels of their results are
 * distributed, and what follows from that is carried on from operator to operator. */
#ifndef MCC_EXPECT_H
#define MCC_EXPECT_H

#include "compress/observe.h"
#include "compress/seen.h"

enum { EXPECT_POINTS = 65 };

typedef struct Expected { /* of a value: by channel, where the points of a normal distribution have come to lie */
    int64_t channels;     /* 1: the same everywhere */
    int axis;
    int guesses;   /* contractions since a normalisation, or since the inputs */
    float *points; /* [channels][EXPECT_POINTS] */
} Expected;
typedef struct Expectations {
    Arena *arena;
    Expected **of_value; /* by id; NULL: nothing is known */
    int n_ids;
    int norms; /* normalisations met */
    Range input;
} Expectations;
/* Of all values of g that nothing is known of yet. Once before passes take normalisations apart, and again after: a
 * value that is still there is what it was. */
void expect_values(Expectations *e, Graph *g);
const Expected *expected_of(const Expectations *e, const Value *v);
void expect_scale(Expectations *e, const Value *v, int axis, const float *factors,
                  int64_t n); /* divides v's channels */
Range expected_range(const Expected *x, RangeMethod m, double percentile, bool symmetric, Arena *scratch);
Seen *expected_seen(const Expected *x, const Node *n, Arena *a); /* of a contraction's input; NULL: it does not fit */

#endif
