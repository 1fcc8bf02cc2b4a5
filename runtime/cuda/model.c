/* Runs models on a GPU. NAME_open puts a handle into the workspace: a module, weights and memory on the device, a
 * stream, and the whole run as a graph of launches, captured anew when pointers or open dims change. Every function
 * leaves the calling thread's context as it was. Nothing here ends the process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/cuda/driver.h"
#include "runtime/cuda/program.h"

enum { ALIGN = 256, STATUS_BYTES = 64, MOST_PARAMETERS = 512, MOST_GRID = 0x7fffffff, MOST_STATIC_SHARED = 48 * 1024 };
#define MAGIC 0x6d63632d63756461ull

typedef struct Captured { /* a run as a graph, and what it was made for: pointers and open dims */
    GraphExec exec;
    uint64_t *key;
    bool has_key;
} Captured;

typedef struct State {
    const Driver *d;
    const mcc_cuda_program *p;
    Context context;
    int device;
    bool retained;
    Module module;
    Function *functions;
    DevicePtr memory, weights, staging; /* staging: inputs, outputs and dims of runs on host pointers; 0: not yet */
    Stream stream;
    Captured on_host, on_stream;
    char **pointers; /* device pointers of a run on host pointers: in, out, out_dims */
    size_t dims_at;  /* in staging */
} State;

typedef struct Handle { /* in the app's workspace */
    uint64_t magic, self;
    State *state;
} Handle;

struct mcc_cuda_run {
    State *s;
    Stream stream;
    bool good;
};

static DevicePtr address(const char *p) { return (DevicePtr)(uintptr_t)p; }
static char *pointer(DevicePtr p) { return (char *)(uintptr_t)p; }

/* ---- contexts ---- */

static bool enter(State *s) { return driver_did(s->d, s->d->ctx_push(s->context), "cuCtxPushCurrent"); }

static void leave(State *s) {
    Context ignored;
    s->d->ctx_pop(&ignored);
}

/* the one that is current, else the primary one of the first device */
static bool choose_context(State *s) {
    if (s->d->ctx_current(&s->context) == CU_SUCCESS && s->context) return true;
    if (!driver_did(s->d, s->d->device_get(&s->device, 0), "cuDeviceGet")) return false;
    s->retained = driver_did(s->d, s->d->primary_retain(&s->context, s->device), "cuDevicePrimaryCtxRetain");
    return s->retained;
}

/* ---- open and close ---- */

static bool load_module(State *s) {
    char log[256] = "";
    int options[2] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE};
    void *values[2] = {log, (void *)(uintptr_t)sizeof log};
    int result = s->d->module_load(&s->module, s->p->ptx, 2, options, values);
    if (result == CU_SUCCESS) return true;
    s->module = NULL;
    char what[320];
    snprintf(what, sizeof what, "the driver does not take the code for sm_%u: %.250s", (unsigned)s->p->sm, log);
    return driver_did(s->d, result, what);
}

static bool find_functions(State *s) {
    const mcc_cuda_program *p = s->p;
    s->functions = calloc(p->n_kernels + 1, sizeof *s->functions);
    if (!s->functions) {
        driver_problem("out of memory");
        return false;
    }
    for (uint32_t i = 0; i < p->n_kernels; i++) {
        if (!driver_did(s->d, s->d->module_function(&s->functions[i], s->module, p->kernels[i].name),
                        p->kernels[i].name))
            return false;
        if (p->kernels[i].dynamic == 0) continue;
        int result = s->d->function_set(s->functions[i], CU_FUNCTION_MAX_DYNAMIC_SHARED, (int)p->kernels[i].dynamic);
        if (!driver_did(s->d, result, "shared memory")) return false;
    }
    return true;
}

static bool allocate(State *s, DevicePtr *p, size_t bytes) {
    if (driver_did(s->d, s->d->mem_alloc(p, bytes ? bytes : 1), "device memory")) return true;
    *p = 0;
    return false;
}

static bool set_up(State *s) {
    const mcc_cuda_program *p = s->p;
    return load_module(s) && find_functions(s) && allocate(s, &s->memory, p->memory_bytes) &&
           allocate(s, &s->weights, p->weights_bytes) &&
           driver_did(s->d, s->d->stream_new(&s->stream, CU_STREAM_NON_BLOCKING), "cuStreamCreate") &&
           (!p->weights_bytes ||
            driver_did(s->d, s->d->to_device(s->weights, p->weights, p->weights_bytes, s->stream), "weights")) &&
           driver_did(s->d, s->d->set_bytes(s->memory, 0, STATUS_BYTES, s->stream), "cuMemsetD8Async") &&
           driver_did(s->d, s->d->stream_wait(s->stream), "weights");
}

static void forget(State *s, Captured *c) {
    if (c->exec) s->d->exec_free(c->exec);
    c->exec = NULL;
}

/* entered: its context is current, and no longer when this returns */
static void state_free(State *s, bool entered) {
    if (entered) {
        if (s->stream) s->d->stream_wait(s->stream);
        forget(s, &s->on_host);
        forget(s, &s->on_stream);
        if (s->staging) s->d->mem_free(s->staging);
        if (s->weights) s->d->mem_free(s->weights);
        if (s->memory) s->d->mem_free(s->memory);
        if (s->stream) s->d->stream_free(s->stream);
        if (s->module) s->d->module_unload(s->module);
        leave(s);
    }
    if (s->retained) s->d->primary_release(s->device);
    free(s->functions);
    free(s->on_host.key);
    free(s->on_stream.key);
    free(s->pointers);
    free(s);
}

static State *state_new(const mcc_cuda_program *p) {
    const Driver *d = driver_load();
    if (!d) return NULL;
    if (p->abi != MCC_CUDA_ABI) {
        driver_problem("the object and libmcc_cuda.a are of different versions of mcc");
        return NULL;
    }
    State *s = calloc(1, sizeof *s);
    if (!s) {
        driver_problem("out of memory");
        return NULL;
    }
    *s = (State){.d = d, .p = p};
    bool entered = choose_context(s) && enter(s), good = entered && set_up(s);
    if (good) leave(s);
    if (good) return s;
    state_free(s, entered);
    return NULL;
}

static bool is_open(const mcc_cuda_program *p, const Handle *h) {
    return h->magic == MAGIC && h->self == (uint64_t)(uintptr_t)h && h->state && h->state->p == p;
}

static bool bad_workspace(const void *workspace, int *status) {
    *status = !workspace ? MCC_E_NULL : (uintptr_t)workspace % 64 ? MCC_E_ALIGN : MCC_OK;
    return *status != MCC_OK;
}

int mcc_cuda_open(const mcc_cuda_program *p, void *workspace) {
    int status;
    if (bad_workspace(workspace, &status)) return status;
    Handle *h = workspace;
    if (is_open(p, h)) return MCC_OK;
    *h = (Handle){0};
    State *s = state_new(p);
    if (!s) return MCC_E_DEVICE;
    *h = (Handle){MAGIC, (uint64_t)(uintptr_t)h, s};
    return MCC_OK;
}

int mcc_cuda_close(const mcc_cuda_program *p, void *workspace) {
    int status;
    if (bad_workspace(workspace, &status)) return status;
    Handle *h = workspace;
    if (!is_open(p, h)) return MCC_OK;
    State *s = h->state;
    *h = (Handle){0};
    bool entered = enter(s);
    state_free(s, entered);
    return entered ? MCC_OK : MCC_E_DEVICE;
}

/* ---- a run's launches ---- */

void mcc_cuda_launch(mcc_cuda_run *run, int32_t kernel, const int64_t *grid, uint64_t *slots, int32_t n) {
    void *parameters[MOST_PARAMETERS];
    State *s = run->s;
    const mcc_cuda_kernel *k = &s->p->kernels[kernel];
    for (int i = 0; i < 3; i++)
        if (grid[i] <= 0) return;
    if (!run->good) return;
    if (grid[0] > MOST_GRID || grid[1] > 65535 || grid[2] > 65535 || n > MOST_PARAMETERS) {
        driver_problem("%s: the grid is too large", k->name);
        run->good = false;
        return;
    }
    for (int i = 0; i < n; i++) parameters[i] = &slots[i];
    int result = s->d->launch(s->functions[kernel], (unsigned)grid[0], (unsigned)grid[1], (unsigned)grid[2],
                              k->block[0], k->block[1], k->block[2], k->dynamic, run->stream, parameters, NULL);
    run->good = driver_did(s->d, result, k->name);
}

void mcc_cuda_copy(mcc_cuda_run *run, char *to, const char *from, int64_t bytes) {
    State *s = run->s;
    if (bytes <= 0 || !run->good) return;
    int result = s->d->within_device(address(to), address(from), (size_t)bytes, run->stream);
    run->good = driver_did(s->d, result, "cuMemcpyDtoDAsync");
}

static size_t key_words(const mcc_cuda_program *p) {
    return (size_t)p->model->n_inputs + 2 * (size_t)p->model->n_outputs + p->n_open;
}

/* key: in, out, out_dims, open, one behind the other */
static bool capture(State *s, Captured *c, const uint64_t *key) {
    const mcc_cuda_program *p = s->p;
    size_t in = (size_t)p->model->n_inputs, out = (size_t)p->model->n_outputs;
    char *const *pointers = (char *const *)(const void *)key;
    CallGraph graph = NULL;
    forget(s, c);
    if (!driver_did(s->d, s->d->capture_begin(s->stream, CU_CAPTURE_THREAD_LOCAL), "cuStreamBeginCapture"))
        return false;
    mcc_cuda_run run = {.s = s, .stream = s->stream};
    run.good = driver_did(s->d, s->d->set_bytes(s->memory, 0, STATUS_BYTES, s->stream), "cuMemsetD8Async");
    p->queue(&run, pointers, pointers + in, pointers + in + out, (const int64_t *)(key + in + 2 * out),
             pointer(s->memory), pointer(s->weights));
    int result = s->d->capture_end(s->stream, &graph);
    bool good = run.good && driver_did(s->d, result, "cuStreamEndCapture") &&
                driver_did(s->d, s->d->graph_make(&c->exec, graph, 0), "cuGraphInstantiate");
    if (!good) c->exec = NULL;
    if (graph) s->d->graph_free(graph);
    return good;
}

static bool launch(State *s, Captured *c, const uint64_t *key, Stream stream) {
    size_t bytes = key_words(s->p) * sizeof *key;
    if (!c->exec || memcmp(c->key, key, bytes) != 0) {
        if (!c->key && !(c->key = malloc(bytes + 1))) {
            driver_problem("out of memory");
            return false;
        }
        memcpy(c->key, key, bytes);
        if (!capture(s, c, key)) return false;
    }
    return driver_did(s->d, s->d->graph_launch(c->exec, stream), "cuGraphLaunch");
}

/* ---- on device pointers ---- */

/* false: *status says why the workspace is not an open one */
static bool find_open(const mcc_cuda_program *p, void *workspace, int *status) {
    if (bad_workspace(workspace, status)) return false;
    if (is_open(p, workspace)) return true;
    driver_problem("the workspace is not open");
    *status = MCC_E_DEVICE;
    return false;
}

int mcc_cuda_run_on_stream(const mcc_cuda_program *p, void *workspace, void *stream, char *const *in, char *const *out,
                           char *const *out_dims, const int64_t *open) {
    int status;
    if (!find_open(p, workspace, &status)) return status;
    Handle *h = workspace;
    State *s = h->state;
    size_t n = (size_t)p->model->n_inputs, m = (size_t)p->model->n_outputs;
    uint64_t *key = malloc((key_words(p) + 1) * sizeof *key);
    if (!key || !enter(s)) {
        free(key);
        return MCC_E_DEVICE;
    }
    for (size_t i = 0; i < n; i++) key[i] = address(in[i]);
    for (size_t i = 0; i < m; i++) key[n + i] = address(out[i]), key[n + m + i] = address(out_dims[i]);
    for (size_t i = 0; i < p->n_open; i++) key[n + 2 * m + i] = (uint64_t)open[i];
    bool good = launch(s, &s->on_stream, key, (Stream)stream);
    leave(s);
    free(key);
    return good ? MCC_OK : MCC_E_DEVICE;
}

static int32_t read_status(State *s, Stream stream) {
    int32_t status = MCC_E_DEVICE;
    bool good = driver_did(s->d, s->d->to_host(&status, s->memory, sizeof status, stream), "cuMemcpyDtoHAsync") &&
                driver_did(s->d, s->d->stream_wait(stream), "a kernel");
    return good ? status : MCC_E_DEVICE;
}

int mcc_cuda_wait(const mcc_cuda_program *p, void *workspace, void *stream) {
    int status;
    if (!find_open(p, workspace, &status)) return status;
    Handle *h = workspace;
    if (!enter(h->state)) return MCC_E_DEVICE;
    status = read_status(h->state, (Stream)stream);
    leave(h->state);
    return status;
}

/* ---- on host pointers ---- */

static int bits_of(int32_t dtype) { /* of an element, by ONNX's numbers */
    switch (dtype) {
    case 7:
    case 11:
    case 13: return 64;
    case 1:
    case 6:
    case 12: return 32;
    case 4:
    case 5:
    case 10:
    case 16: return 16;
    case 21:
    case 22:
    case 23: return 4;
    case 25:
    case 26: return 2;
    default: return 8;
    }
}

static uint64_t bytes_of(const mcc_tensor_info *t, const int64_t *dims) {
    uint64_t n = 1;
    for (int i = 0; i < t->rank; i++) n *= (uint64_t)dims[i];
    return (n * (uint64_t)bits_of(t->dtype) + 7) / 8;
}

static size_t place(size_t *at, uint64_t bytes) {
    size_t here = *at;
    *at += ((size_t)bytes + ALIGN - 1) / ALIGN * ALIGN;
    return here;
}

/* device memory for inputs and outputs at their largest, and for dims */
static bool stage(State *s) {
    const mcc_model *m = s->p->model;
    size_t n = (size_t)m->n_inputs + 2 * (size_t)m->n_outputs, at = 0, used = 0;
    if (s->staging) return true;
    size_t *places = calloc(n + 1, sizeof *places);
    if (!s->pointers) s->pointers = calloc(n + 1, sizeof *s->pointers);
    if (!places || !s->pointers) {
        free(places);
        driver_problem("out of memory");
        return false;
    }
    for (int i = 0; i < m->n_inputs; i++) places[used++] = place(&at, bytes_of(&m->inputs[i], m->inputs[i].max_dims));
    for (int i = 0; i < m->n_outputs; i++)
        places[used++] = place(&at, bytes_of(&m->outputs[i], m->outputs[i].max_dims));
    s->dims_at = at;
    for (int i = 0; i < m->n_outputs; i++, at += MCC_MAX_RANK * 8) places[used++] = at;
    bool good = allocate(s, &s->staging, at);
    for (size_t i = 0; good && i < n; i++) s->pointers[i] = pointer(s->staging + places[i]);
    free(places);
    return good;
}

static bool copy_in(State *s, const char *const *in, const uint64_t *bytes) {
    for (int i = 0; i < s->p->model->n_inputs; i++)
        if (bytes[i] &&
            !driver_did(s->d, s->d->to_device(address(s->pointers[i]), in[i], bytes[i], s->stream), "an input"))
            return false;
    return true;
}

static bool copy_out(State *s, char *const *out, const uint64_t *bytes, int64_t *const *out_dims, bool known) {
    char *const *from = s->pointers + s->p->model->n_inputs;
    for (int i = 0; i < s->p->model->n_outputs; i++) {
        const mcc_tensor_info *t = &s->p->model->outputs[i];
        if ((out_dims[i] == NULL) != known) continue;
        uint64_t n = known ? bytes[i] : bytes_of(t, out_dims[i]);
        if (n > bytes[i]) n = bytes[i];
        if (n && !driver_did(s->d, s->d->to_host(out[i], address(from[i]), n, s->stream), "an output")) return false;
    }
    return true;
}

static bool copy_dims(State *s, int64_t *const *out_dims) {
    const mcc_model *m = s->p->model;
    char *const *from = s->pointers + m->n_inputs + m->n_outputs;
    for (int i = 0; i < m->n_outputs; i++) {
        size_t n = (size_t)m->outputs[i].rank * sizeof(int64_t);
        if (out_dims[i] && n && !driver_did(s->d, s->d->to_host(out_dims[i], address(from[i]), n, s->stream), "dims"))
            return false;
    }
    return true;
}

static bool run_staged(State *s, char *const *out, int64_t *const *out_dims, const int64_t *open,
                       const uint64_t *out_bytes, int *status) {
    const mcc_model *m = s->p->model;
    size_t n = (size_t)m->n_inputs + 2 * (size_t)m->n_outputs;
    uint64_t *key = malloc((key_words(s->p) + 1) * sizeof *key);
    if (!key) {
        driver_problem("out of memory");
        return false;
    }
    for (size_t i = 0; i < n; i++) key[i] = address(s->pointers[i]);
    for (size_t i = 0; i < s->p->n_open; i++) key[n + i] = (uint64_t)open[i];
    bool good =
        launch(s, &s->on_host, key, s->stream) && copy_dims(s, out_dims) && copy_out(s, out, out_bytes, out_dims, true);
    free(key);
    if (!good) return false;
    *status = read_status(s, s->stream);
    if (*status != MCC_OK) return *status != MCC_E_DEVICE;
    return copy_out(s, out, out_bytes, out_dims, false) &&
           driver_did(s->d, s->d->stream_wait(s->stream), "cuStreamSynchronize");
}

int mcc_cuda_run_on_host(const mcc_cuda_program *p, void *workspace, const char *const *in, char *const *out,
                         int64_t *const *out_dims, const int64_t *open, const uint64_t *in_bytes,
                         const uint64_t *out_bytes) {
    int status;
    if (bad_workspace(workspace, &status)) return status;
    Handle *h = workspace;
    bool own = !is_open(p, h);
    if (own && (status = mcc_cuda_open(p, workspace)) != MCC_OK) return status;
    State *s = h->state;
    bool good = enter(s);
    if (good) {
        good = stage(s) && copy_in(s, in, in_bytes) && run_staged(s, out, out_dims, open, out_bytes, &status);
        leave(s);
    }
    if (own) mcc_cuda_close(p, workspace);
    return good ? status : MCC_E_DEVICE;
}
