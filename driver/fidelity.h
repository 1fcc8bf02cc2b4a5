/* How near compiled networks are to the float one: its outputs on the first samples are kept, those of others are
 * compared with them. */
#ifndef MCC_DRIVER_FIDELITY_H
#define MCC_DRIVER_FIDELITY_H

#include "compress/samples.h"
#include "compress/search.h"
#include "driver/driver.h"

typedef struct Labels {
    int64_t *item, n;
} Labels;
typedef struct Fidelity {
    const Command *command;
    const char *option; /* that asks for it, in messages */
    Pipeline reference; /* the float network; its Ctx holds all that is kept */
    Samples *samples;
    Tensor *want; /* [sample][output] */
    int n_samples, n_outputs;
    size_t bytes;
    Loss *losses;  /* by output */
    Labels labels; /* of METRIC_ACCURACY, and how many of them the samples so far have had */
    int64_t n_labelled;
    Loss own; /* of the float network itself */
} Fidelity;

/* ---- labels.c ---- */
bool labels_read(Ctx *ctx, const char *path, Labels *out); /* false after diag_error */

/* ---- fidelity.c ---- */
typedef bool (*Visit)(void *arg, int sample, const Tensor *outputs); /* false: no more samples */
/* f->reference has a Ctx and the target. DONE, or an exit code after a message */
int fidelity_read(Fidelity *f);
int fidelity_run(Fidelity *f, const Pipeline *p, int most, Visit visit, void *arg); /* p is loaded */
int fidelity_measure(Fidelity *f, const Pipeline *p, double *drop);
void fidelity_free(Fidelity *f); /* the Ctx, too */

#endif
