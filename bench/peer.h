/* ONNX Runtime, called through its C API: one session, its inputs and its outputs. */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "mcc/runtime.h"

enum { PEER_MOST_VALUES = 64 };

typedef struct Peer {
    const void *const *api; /* the table of functions */
    void *session, *memory;
    size_t n_inputs, n_outputs;
    char *input_names[PEER_MOST_VALUES], *output_names[PEER_MOST_VALUES];
    void *inputs[PEER_MOST_VALUES], *outputs[PEER_MOST_VALUES];
    double load_seconds;
} Peer;

/* Each ends the process with a message where ONNX Runtime says no. */
void peer_open(Peer *peer, const char *library, const char *model, int threads);
mcc_tensor peer_input_type(const Peer *peer, size_t i); /* dims of -1 are open */
void peer_bind(Peer *peer, const mcc_tensor *inputs);
void peer_run(Peer *peer); /* the outputs of the first run are the buffers of all later ones */
mcc_tensor peer_output(const Peer *peer, size_t i);

#endif
