/* What calibrate.c and noise.c share: the float model at work on samples, and the tensors that are watched in it. */
#ifndef MCC_DRIVER_CALIBRATE_H
#define MCC_DRIVER_CALIBRATE_H

#include "compress/samples.h"
#include "driver/quantize.h"

typedef struct Watch { /* a tensor of the plan */
    QuantTensor *tensor;
    Observer observer;
    int input, output; /* of the compiled float model, where it is seen; -1 */
} Watch;

typedef struct Gather { /* a node of the plan whose inputs' Hessian, or what their channels hold, is wanted */
    const Node *node;   /* in the float model */
    Hessian *hessian;
    Seen *seen;
    const char *name;
    int input, output; /* where its input is seen, as of a Watch */
} Gather;

typedef struct SampledCall { /* buffers of a model; its inputs are a sample's */
    const mcc_model *model;
    mcc_tensor *in, *out;
    void *workspace;
} SampledCall;

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

/* ---- calibrate.c ---- */
bool sampled_prepare(SampledCall *c, const mcc_model *m, Arena *a);
int sampled_run(SampledCall *c, const Tensor *const *in); /* an MCC_… code */
const mcc_tensor *watch_tensor(const Watch *w, const SampledCall *c);

/* ---- gather.c ---- */
void gather_list(Calibration *c, const QuantPlan *own, Arena *a); /* own: the plan of the float model's graph */
bool gather_sample(const Calibration *c);                         /* false after diag_error */

#endif
