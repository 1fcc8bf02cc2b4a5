/* What calibrate.c and gather.c share: the float model at work on samples, and the tensors that are watched in it. */
#ifndef MCC_DRIVER_CALIBRATE_H
#define MCC_DRIVER_CALIBRATE_H

#include "compress/samples.h"
#include "driver/quantize.h"
#include "driver/side.h"

typedef struct Watch { /* a tensor of the plan */
    QuantTensor *tensor;
    Observer observer;
    Exposed at; /* by the compiled float model */
} Watch;

typedef struct Gather { /* a node of the plan whose inputs' Hessian, or what their channels hold, is wanted */
    const Node *node;   /* in the float model */
    Hessian *hessian;
    Seen *seen;
    const char *name;
    Exposed at; /* its input */
} Gather;

typedef struct Calibration {
    Pipeline p;      /* the float model */
    QuantPlan *plan; /* of the graph that will be quantized */
    Watch *watches;
    int n_watches;
    Gather *gathers;
    int n_gathers;
    SampledCall call;
    Samples *samples;
    int n_samples;
    bool channels_only; /* of the first samples what channels hold, and nothing else */
} Calibration;

/* ---- gather.c ---- */
void gather_list(Calibration *c, const QuantPlan *own, Arena *a); /* own: the plan of the float model's graph */
bool gather_sample(const Calibration *c);                         /* false after diag_error */

#endif
