/* --prune: what the driver adds to compress/. */
#ifndef MCC_DRIVER_PRUNE_H
#define MCC_DRIVER_PRUNE_H

#include "compress/prune.h"
#include "driver/driver.h"

/* The graph that was read becomes a pruned one, before it is quantized and optimised. p->pruned is what other readings
 * of the model get by pipeline_canonicalise. */
int pipeline_prune(Pipeline *p);

/* ---- prune_sense.c ---- */
/* The noise in the network's outputs that each layer of the plan makes by itself, with its weights as they are now in
 * an otherwise dense network. DONE, or an exit code after a message */
int prune_sense(const Pipeline *p, PrunePlan *plan);

/* ---- prune_recover.c ---- */
/* What makes up for the zeros of p->pruned, which is the plan. DONE, or an exit code after a message */
int prune_recover(const Pipeline *p, PrunePlan *plan);

/* ---- prune_refit.c ---- */
/* Weights of p->pruned, which is the plan, move to make up for what layers before theirs have lost. DONE, or an exit
 * code after a message */
int prune_fit(const Pipeline *p, PrunePlan *plan);

/* ---- prune_moments.c ---- */
/* Weights and biases of p->pruned, which is the plan, get the means and deviations of the dense network's outputs.
 * DONE, or an exit code after a message */
int prune_correct(const Pipeline *p, PrunePlan *plan);

#endif
