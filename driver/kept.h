/* What compilations of one model that differ in their options alone find out alike: each asks first whether an earlier
 * one knows it, and leaves what it found. NULL for a Kept means that there is nobody to share with. */
#ifndef MCC_DRIVER_KEPT_H
#define MCC_DRIVER_KEPT_H

#include "compress/prune.h"
#include "driver/driver.h"

typedef struct Kept Kept;
Kept *kept_new(Arena *a); /* which holds all that is kept */
Arena *kept_arena(const Kept *k);

/* Inputs of the dense network: a Hessian that is complete, and so belongs to no other gathering; NULL: not known */
Hessian *kept_hessian(const Kept *k, int node);
void leave_hessian(Kept *k, int node, Hessian *h); /* in kept_arena() */

/* What --prune made of the layers; true: the plan has it. Else the losses that are known of them */
bool kept_zeros(const Kept *k, PrunePlan *plan);
void leave_zeros(Kept *k, const PrunePlan *plan);

/* Of the dense network, the outputs of a layer over so many samples, by channel; NULL: not known */
typedef struct Moments {
    double *sum, *squares;
    double n;
} Moments;
const Moments *kept_moments(const Kept *k, int layer, int runs);
void leave_moments(Kept *k, int layer, int runs, int64_t channels, const Moments *m);

/* Of the network that p quantizes, whose zeros are p->pruned: all ranges that the plan lacks, or all that its nodes
 * want of their channels. true: now it has them */
bool kept_ranges(const Pipeline *p, QuantPlan *plan);
void leave_ranges(const Pipeline *p, const QuantPlan *plan);
bool kept_channels(const Pipeline *p, QuantPlan *plan);
void leave_channels(const Pipeline *p, const QuantPlan *plan);

#endif
