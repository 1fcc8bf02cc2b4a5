/* What compiled code takes: bytes of an object, bytes at work, seconds of a call. And whether that is within a budget.
 */
#ifndef MCC_DRIVER_FOOTPRINT_H
#define MCC_DRIVER_FOOTPRINT_H

#include "compress/report.h"
#include "driver/driver.h"

typedef struct Footprint {
    CodeSizes sizes;
    size_t flash, ram; /* code, constants and variables' first values; workspace and variables */
    double seconds;    /* of the shortest call; NAN: not asked for */
    bool modelled;     /* they are not measured */
} Footprint;

/* ---- footprint.c: of code that is generated. Inputs and outputs are the caller's, and are not counted. ---- */
bool runs_here(const Target *t);
void footprint_sizes(const Pipeline *p, Footprint *f);
/* Where the code runs here, it is loaded and called with random inputs, open sizes at their most; else the time is
 * modelled. DONE, or an exit code after a message */
#define ENOUGH_SECONDS 0.3 /* of calls, of which the shortest counts */
int footprint_time(Pipeline *p, const Report *r, double seconds, Footprint *f);

/* ---- layer_model.c ---- */
/* Seconds that a layer may take, from its multiplications, its bytes, and what the target's data say of a cycle */
double layer_model(const Pipeline *p, const ReportLayer *l);

/* ---- limits.c: --max-flash, --max-ram, --max-latency ---- */
bool limits_any(const Command *c);
int limits_check(Pipeline *p, Report *r); /* DONE, or BAD_MODEL after a message that says whose fault it is */

#endif
