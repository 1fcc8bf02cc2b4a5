/* Two networks side by side on samples: the float network, and one whose layers change one after the other, each by
 * what its inputs have become behind those that have changed before it. */
#ifndef MCC_DRIVER_PAIR_H
#define MCC_DRIVER_PAIR_H

#include "driver/side.h"

typedef struct Held Held;
typedef struct Part { /* of the network, compiled by itself */
    Pipeline p;
    Arena *a;
    SampledCall call;
} Part;
typedef struct Pair {
    const char *option; /* that asks for it, for messages */
    Pipeline p;         /* of the float network, whose graph is there before pair_open */
    /* Of the float network's node n: whether it has changed. copy: becomes what it is now; NULL: it is only asked */
    bool (*change)(void *arg, const Node *n, Node *copy);
    void *arg;
    int n_samples; /* that there are, by pair_open */

    Held *held; /* of each sample, in both networks, what is read from the cut on */
    int n_held;
    const Node *cut;  /* the first node that is not computed yet */
    int *made, *used; /* by value id: place of the node that makes it (0: input), and that uses it last */
    bool cuts, any;   /* any: some node before the cut has changed */
    GraphPart all;    /* without cuts: the whole network, which gives what all layers read */
    Part exact;       /* the float one */
} Pair;

/* The layers that will be observed, in the graph's order; reads the command's samples. DONE, or an exit code after a
 * message */
int pair_open(Pair *s, const Node *const *layers, int n);
/* What layer n reads, of each sample in both networks; the layers before it are what they will be. sees: false where it
 * is not finite. DONE, or an exit code after a message */
typedef bool (*PairSees)(void *arg, int sample, const Tensor *changed, const Tensor *exact);
int pair_observe(Pair *s, const Node *n, const char *name, PairSees sees, void *arg);
void pair_close(Pair *s); /* and its pipeline */

#endif
