/* ONNX Runtime through its C API, without its header: the numbers are the places of functions in the table that
 * OrtGetApiBase hands out, which only ever grows at its end. */
#include "bench/peer.h"
#include "bench/clock.h"
#include <dlfcn.h>

enum {
    GET_ERROR_MESSAGE = 2,
    CREATE_ENV = 3,
    CREATE_SESSION = 7,
    RUN = 9,
    CREATE_SESSION_OPTIONS = 10,
    SET_INTRA_OP_NUM_THREADS = 24,
    SET_INTER_OP_NUM_THREADS = 25,
    SESSION_GET_INPUT_COUNT = 30,
    SESSION_GET_OUTPUT_COUNT = 31,
    SESSION_GET_INPUT_TYPE_INFO = 33,
    SESSION_GET_INPUT_NAME = 36,
    SESSION_GET_OUTPUT_NAME = 37,
    CREATE_TENSOR_WITH_DATA = 49,
    GET_TENSOR_MUTABLE_DATA = 51,
    CAST_TYPE_INFO_TO_TENSOR_INFO = 55,
    GET_TENSOR_ELEMENT_TYPE = 60,
    GET_DIMENSIONS_COUNT = 61,
    GET_DIMENSIONS = 62,
    GET_TENSOR_TYPE_AND_SHAPE = 65,
    CREATE_CPU_MEMORY_INFO = 69,
    GET_ALLOCATOR = 78,
    RELEASE_TENSOR_TYPE_AND_SHAPE = 99,
    API_VERSION = 18,
    LOG_ERRORS = 3,
};

typedef struct ApiBase {
    const void *(*get_api)(uint32_t version);
    const char *(*get_version)(void);
} ApiBase;

typedef void *Status;
typedef Status MakeFn(void **out);
typedef Status NumberFn(void *of, int value);
typedef Status CountFn(const void *of, size_t *out);
typedef Status PartFn(const void *of, void **out);
typedef Status EnvFn(int level, const char *name, void **out);
typedef Status SessionFn(void *env, const char *path, void *options, void **out);
typedef Status NameFn(void *session, size_t i, void *allocator, char **out);
typedef Status TypeFn(const void *session, size_t i, void **out);
typedef Status ElementFn(const void *info, int *out);
typedef Status DimsFn(const void *info, int64_t *out, size_t n);
typedef Status MemoryFn(int allocator, int type, void **out);
typedef Status TensorFn(void *memory, void *data, size_t bytes, const int64_t *dims, size_t rank, int dtype,
                        void **out);
typedef Status RunFn(void *session, void *options, char *const *in_names, void *const *in, size_t n_in,
                     char *const *out_names, size_t n_out, void **out);
typedef void ReleaseFn(void *thing);
typedef const char *MessageFn(Status status);

#define CALL(peer, Type, place, ...) check(peer, ((Type *)(uintptr_t)(peer)->api[place])(__VA_ARGS__))

static void check(const Peer *peer, Status status) {
    if (status) die("ONNX Runtime", ((MessageFn *)(uintptr_t)peer->api[GET_ERROR_MESSAGE])(status));
}

static void read_names(Peer *peer) {
    void *allocator;
    CALL(peer, MakeFn, GET_ALLOCATOR, &allocator);
    CALL(peer, CountFn, SESSION_GET_INPUT_COUNT, peer->session, &peer->n_inputs);
    CALL(peer, CountFn, SESSION_GET_OUTPUT_COUNT, peer->session, &peer->n_outputs);
    if (peer->n_inputs > PEER_MOST_VALUES || peer->n_outputs > PEER_MOST_VALUES)
        die("the model", "has too many inputs");
    for (size_t i = 0; i < peer->n_inputs; i++)
        CALL(peer, NameFn, SESSION_GET_INPUT_NAME, peer->session, i, allocator, &peer->input_names[i]);
    for (size_t i = 0; i < peer->n_outputs; i++)
        CALL(peer, NameFn, SESSION_GET_OUTPUT_NAME, peer->session, i, allocator, &peer->output_names[i]);
}

void peer_open(Peer *peer, const char *library, const char *model, int threads) {
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL), *env, *options;
    if (!handle) die(library, dlerror());
    const ApiBase *(*get_base)(void) = (const ApiBase *(*)(void))(uintptr_t)dlsym(handle, "OrtGetApiBase");
    if (!get_base) die(library, "is no ONNX Runtime");
    *peer = (Peer){.api = get_base()->get_api(API_VERSION)};
    CALL(peer, EnvFn, CREATE_ENV, LOG_ERRORS, "bench", &env);
    CALL(peer, MakeFn, CREATE_SESSION_OPTIONS, &options);
    CALL(peer, NumberFn, SET_INTRA_OP_NUM_THREADS, options, threads);
    CALL(peer, NumberFn, SET_INTER_OP_NUM_THREADS, options, 1);
    double start = seconds_now();
    CALL(peer, SessionFn, CREATE_SESSION, env, model, options, &peer->session);
    peer->load_seconds = seconds_now() - start;
    CALL(peer, MemoryFn, CREATE_CPU_MEMORY_INFO, 1, 0, &peer->memory);
    read_names(peer);
}

static mcc_tensor read_type(const Peer *peer, const void *info) {
    mcc_tensor t = {0};
    size_t rank;
    CALL(peer, ElementFn, GET_TENSOR_ELEMENT_TYPE, info, &t.dtype);
    CALL(peer, CountFn, GET_DIMENSIONS_COUNT, info, &rank);
    if (rank > MCC_MAX_RANK) die("a tensor", "has a rank above 8");
    t.rank = (int32_t)rank;
    CALL(peer, DimsFn, GET_DIMENSIONS, info, t.dims, rank);
    return t;
}

mcc_tensor peer_input_type(const Peer *peer, size_t i) {
    void *type, *info;
    CALL(peer, TypeFn, SESSION_GET_INPUT_TYPE_INFO, peer->session, i, &type);
    CALL(peer, PartFn, CAST_TYPE_INFO_TO_TENSOR_INFO, type, &info);
    if (!info) die(peer->input_names[i], "is no tensor");
    return read_type(peer, info);
}

void peer_bind(Peer *peer, const mcc_tensor *inputs) {
    for (size_t i = 0; i < peer->n_inputs; i++) {
        const mcc_tensor *t = &inputs[i];
        CALL(peer, TensorFn, CREATE_TENSOR_WITH_DATA, peer->memory, t->data, t->bytes, t->dims, (size_t)t->rank,
             t->dtype, &peer->inputs[i]);
    }
}

void peer_run(Peer *peer) {
    CALL(peer, RunFn, RUN, peer->session, NULL, peer->input_names, peer->inputs, peer->n_inputs, peer->output_names,
         peer->n_outputs, peer->outputs);
}

mcc_tensor peer_output(const Peer *peer, size_t i) {
    void *info;
    CALL(peer, PartFn, GET_TENSOR_TYPE_AND_SHAPE, peer->outputs[i], &info);
    mcc_tensor t = read_type(peer, info);
    ((ReleaseFn *)(uintptr_t)peer->api[RELEASE_TENSOR_TYPE_AND_SHAPE])(info);
    CALL(peer, PartFn, GET_TENSOR_MUTABLE_DATA, peer->outputs[i], &t.data);
    return t;
}
