/* mcc tune: probes are layers compiled alone, one a choice, which race against each other in this process. */
#ifndef MCC_TUNE_H
#define MCC_TUNE_H

#include "driver/driver.h"
#include "passes/tuning.h"

/* ---- probe.c ---- */
typedef struct Probe { /* a layer in one of its forms, ready to run */
    Ctx *ctx;          /* NULL: there is none */
    Code code;
    LoadedModel *loaded;
    char *workspace;
    LayerChoice choice;
} Probe;
typedef struct Bed { /* what all probes of a layer run on */
    Arena *arena;
    char *x, *y, *cold; /* cold: as much as a model reads between two calls of a layer */
    size_t x_bytes, y_bytes, cold_bytes;
    size_t near_bytes; /* what the nearest large cache holds */
} Bed;
/* DONE; BAD_USAGE: the choice is not possible, silently; BAD_MODEL after a message. */
int probe_compile(Probe *p, const Command *c, const Target *t, const Layer *l, const LayerChoice *choice);
void probe_free(Probe *p);
void bed_prepare(Bed *b, Arena *a, const Probe *p); /* buffers for the layer */
/* The times of both in turn, the least of so many rounds each, in seconds; it gives up on a b that is far behind. */
void probe_race(const Bed *bed, const Probe *a, const Probe *b, int rounds, double *time_a, double *time_b);

/* ---- tune_file.c ---- */
typedef struct LayerResult {
    const LayerNote *note;
    bool measured, faster;
    LayerChoice choice;
    double model_seconds, seconds; /* of the cost model's choice, of this one */
} LayerResult;
bool tuning_write(FILE *out, Arena *a, const Target *t, const char *model, const LayerResult *list, int n);

#endif
