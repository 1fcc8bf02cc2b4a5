/* Running compiled code the hard way: every buffer of its own, between unreadable pages, filled with what the code must
 * not depend on. And what to run it on. */
#ifndef MCC_CALL_H
#define MCC_CALL_H

#include "driver/driver.h"

/* ---- call.c ---- */
typedef struct Placement {
    bool high;                        /* buffers end at the upper unreadable page; else they begin at the lower one */
    unsigned char workspace, outputs; /* the byte that fills them before the call */
} Placement;
typedef struct Buffer {
    char *map;
    size_t map_bytes;
    void *data;
} Buffer;
typedef struct Call {
    const mcc_model *model;
    mcc_tensor *in, *out;
    Buffer *buffers; /* of the inputs, the outputs, the workspace */
    int n_buffers;
    Placement place;
} Call;
/* in: one for each input of the model, of its dtype. Lives in the arena and in mapped pages. false after a message. */
bool call_prepare(Call *c, Arena *a, const mcc_model *m, const Tensor *const *in, Placement place);
int call_run(Call *c);                               /* MCC_OK or MCC_E_… */
bool call_output(const Call *c, int i, Tensor *out); /* false: the dims written are not within the model's bounds */
void *call_workspace(const Call *c);
void call_free(Call *c);
const char *call_status(int status);

/* ---- profile.c: code compiled with --profile, or for a GPU, whose state outlives a call ---- */
int model_open(const Pipeline *p, void *workspace); /* a status; MCC_OK where there is nothing to open */
void model_close(const Pipeline *p, void *workspace);
bool profile_start(const Pipeline *p, void *workspace); /* sets the counters to 0 */
/* a line a node, or the elements of a JSON array; seconds: all calls since profile_start together */
void profile_print(const Pipeline *p, const void *workspace, double seconds, bool json);

/* ---- inputs.c: a model's inputs, from files or at random ---- */
typedef struct Inputs {
    const Command *command;
    const Tensor **given; /* of --input, in order */
    const Tensor **in;    /* of the model, in order */
    uint64_t state;       /* of the random numbers */
} Inputs;
enum { SIZE_MAXIMAL, SIZE_ANY };                        /* what an open dim becomes that no file tells */
int inputs_read(Inputs *i, Ctx *ctx, const Command *c); /* before the model: open dims take the files' sizes */
int inputs_choose(Inputs *i, const Graph *g, const mcc_model *m, bool random, int size);

/* ---- random.c ---- */
Tensor *random_tensor(Arena *a, Dtype t, int rank, const int64_t *dims, uint64_t *state); /* NULL: too large */
uint64_t random_bits(uint64_t *state);

/* ---- compare.c ---- */
bool compare_drawn(const Tensor *got, const Tensor *want, char *why, size_t size);   /* of random numbers: form and range */
bool compare_tensors(const Tensor *got, const Tensor *want, char *why, size_t size); /* as ONNX's tests ask for */
typedef struct Distance {
    double max_abs, relative_l2; /* infinite where one has a NaN and the other has not */
} Distance;
bool compare_distance(const Tensor *got, const Tensor *want, Distance *d); /* false: dtype or dims differ */
double compare_tolerance(Dtype t);                                         /* of relative_l2 */
void tensor_dims_text(const Tensor *t, char *out, size_t size);            /* float32[1,3] */
void tensor_element_text(const Tensor *t, int64_t i, char *out, size_t size);

#endif
