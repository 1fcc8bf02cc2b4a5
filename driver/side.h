/* The model once more beside the network that is compiled: read again in a Ctx of its own, compiled for this machine
 * with inner tensors as further outputs, and run on samples. */
#ifndef MCC_DRIVER_SIDE_H
#define MCC_DRIVER_SIDE_H

#include "compress/samples.h"
#include "driver/driver.h"

typedef struct SampledCall { /* buffers of a model; its inputs are a sample's */
    const mcc_model *model;
    mcc_tensor *in, *out;
    void *workspace;
} SampledCall;
bool sampled_prepare(SampledCall *c, const mcc_model *m, Arena *a);
int sampled_run(SampledCall *c, const Tensor *const *in); /* an MCC_… code */

Tensor sampled_tensor(const mcc_tensor *t, Arena *a); /* a copy in `a`; NULL: until the next call */

typedef struct Exposed { /* where a tensor is seen from outside: among the inputs, or the outputs; -1 */
    int input, output;
} Exposed;
#define NOT_EXPOSED ((Exposed){-1, -1})
void expose_room(Graph *g, int more); /* for so many outputs more */
Exposed expose_value(Graph *g, Value *v);
const mcc_tensor *exposed_tensor(const SampledCall *c, Exposed at);

/* p: what remains to be filled in of it is a Ctx like that of `like`, and this machine as the target. who:
 * "calibration", for messages. work(arg) runs under the new Ctx's handler. Its result, or BAD_MODEL; side_close follows
 * in any case */
int side_network(const Pipeline *like, Pipeline *p, const char *who, int (*work)(void *), void *arg);
void side_close(Pipeline *p, Samples *samples);         /* NULL: none were opened */
int side_compile(Pipeline *p);                          /* the graph, as it has become, to code in memory */
Samples *side_samples(const Pipeline *p, int n_inputs); /* of the command. NULL after a message */

#endif
