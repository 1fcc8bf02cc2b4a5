/* Times a compiled model and ONNX Runtime in one process, in turn, block by block.
 *
 *     time [--threads=N] [--seconds=S] [--cpu-time] [--lib=MODEL.so …] [--ort=LIBRARY --onnx=MODEL] [--shape=INPUT=1x3
 * …]
 *
 * A block is a few runs of one of the two, so that each meets the caches as it left them, and both the same weather; the
 * first of them, which finds the caches full of the other's and threads asleep, does not count. A sample is one run, or
 * as many as take 50 µs. With more than one thread a pause between blocks lets the other's threads stop spinning. Several --lib are copies of one model, called in turn: their weights come from beyond the
 * caches that hold one. Inputs are random: normal floats, integers of 0 and 1; open dims are what the object bounds
 * them by, or --shape. Prints one JSON object. */
#include "bench/clock.h"
#include "bench/peer.h"
#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <unistd.h>

enum { MOST = PEER_MOST_VALUES, MOST_SAMPLES = 1 << 16, LEAST_IN_BLOCK = 2, LEAST_BLOCKS = 4, PAUSE_US = 40000 };

static const double SAMPLE_SECONDS = 50e-6, BLOCK_SECONDS = 10e-3;

typedef struct Options {
    int threads;
    double seconds;
    clockid_t clock;
    const char *library, *shapes[MOST], *ort, *onnx;
    int n_shapes;
} Options;

typedef struct Ours {
    const mcc_model *model;
    mcc_tensor outputs[MOST];
    void *workspace;
} Ours;

typedef struct Side {
    void (*run)(void *self);
    void *self;
    int64_t runs_in_sample;
    double *samples;
    int n_samples;
} Side;

/* Bytes of an element, by the number of its dtype in ONNX; 0: no numbers. */
static size_t dtype_bytes(int32_t dtype) {
    static const unsigned char bytes[] = {[1] = 4, [2] = 1,  [3] = 1,  [4] = 2,  [5] = 2,  [6] = 4, [7] = 8,
                                          [9] = 1, [10] = 2, [11] = 8, [12] = 4, [13] = 8, [16] = 2};
    return dtype >= 0 && (size_t)dtype < sizeof bytes ? bytes[dtype] : 0;
}

static size_t count_elements(const mcc_tensor *t) {
    size_t n = 1;
    for (int i = 0; i < t->rank; i++) n *= (size_t)t->dims[i];
    return n;
}

static void allocate(mcc_tensor *t) {
    if (!dtype_bytes(t->dtype)) die("a tensor", "has a dtype that this tool does not know");
    t->bytes = count_elements(t) * dtype_bytes(t->dtype);
    t->data = big_alloc(t->bytes);
}

static uint32_t next_random(void) {
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

/* About normal: the sum of twelve uniform values. */
static double next_normal(void) {
    double sum = -6;
    for (int i = 0; i < 12; i++) sum += next_random() / 4294967296.0;
    return sum;
}

static void fill_random(const mcc_tensor *t) {
    enum { F32 = 1, F16 = 10, F64 = 11, BF16 = 16 };
    size_t n = count_elements(t), size = dtype_bytes(t->dtype);
    for (size_t i = 0; i < n; i++) {
        if (t->dtype == F32) ((float *)t->data)[i] = (float)next_normal();
        else if (t->dtype == F64) ((double *)t->data)[i] = next_normal();
        else if (t->dtype == F16)
            ((uint16_t *)t->data)[i] = (uint16_t)(0x3800 | (next_random() & 0x83ff)); /* ±0.5 … ±1 */
        else if (t->dtype == BF16) ((uint16_t *)t->data)[i] = (uint16_t)(0x3f00 | (next_random() & 0x807f));
        else ((unsigned char *)t->data)[i * size] = next_random() & 1; /* little endian */
    }
}

/* The i-th input as --shape, the object or ONNX Runtime describe it. */
static void set_shape(mcc_tensor *t, const char *name, const Options *options) {
    size_t length = strlen(name);
    for (int i = 0; i < options->n_shapes; i++) {
        const char *text = options->shapes[i];
        if (strncmp(text, name, length) || text[length] != '=') continue;
        char *at = (char *)(uintptr_t)text + length;
        for (t->rank = 0; *at && t->rank < MCC_MAX_RANK; t->rank++) t->dims[t->rank] = strtoll(at + 1, &at, 10);
    }
    for (int i = 0; i < t->rank; i++)
        if (t->dims[i] < 0) t->dims[i] = 1;
}

static mcc_tensor largest(const mcc_tensor_info *info) {
    mcc_tensor t = {.dtype = info->dtype, .rank = info->rank};
    for (int i = 0; i < info->rank; i++) t.dims[i] = info->dims[i] < 0 ? info->max_dims[i] : info->dims[i];
    return t;
}

static const mcc_tensor *call_inputs;

static void ours_run(void *self) {
    Ours *o = self;
    int status = o->model->run(call_inputs, o->outputs, o->workspace);
    if (status) {
        fprintf(stderr, "error: the model returned %d\n", status);
        exit(1);
    }
}

static void theirs_run(void *self) { peer_run(self); }

static void ours_open(Ours *o, const char *path) {
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) die(path, dlerror());
    const mcc_model *m = o->model = dlsym(handle, "model_model");
    if (!m) die(path, "has no model_model: compile with --name=model");
    if (m->n_inputs > MOST || m->n_outputs > MOST) die("the model", "has too many inputs");
    for (int i = 0; i < m->n_outputs; i++) {
        o->outputs[i] = largest(&m->outputs[i]);
        allocate(&o->outputs[i]);
    }
    o->workspace = big_alloc(m->workspace_bytes);
}

static double time_runs(const Side *side, int64_t runs, clockid_t clock) {
    double start = seconds_by(clock);
    for (int64_t i = 0; i < runs; i++) side->run(side->self);
    return seconds_by(clock) - start;
}

static void time_block(Side *side, clockid_t clock) {
    double spent = 0;
    time_runs(side, side->runs_in_sample, clock);
    for (int i = 0; (i < LEAST_IN_BLOCK || spent < BLOCK_SECONDS) && side->n_samples < MOST_SAMPLES; i++) {
        double seconds = time_runs(side, side->runs_in_sample, clock);
        side->samples[side->n_samples++] = seconds / (double)side->runs_in_sample;
        spent += seconds;
    }
}

/* Runs a few times unmeasured; then what takes so long as to be worth a sample is known. */
static void warm_up(Side *side) {
    double best = INFINITY;
    for (int i = 0; i < 3; i++) best = fmin(best, time_runs(side, 1, CLOCK_MONOTONIC));
    side->runs_in_sample = best < SAMPLE_SECONDS ? 1 + (int64_t)(SAMPLE_SECONDS / fmax(best, 1e-9)) : 1;
    side->samples = big_alloc(MOST_SAMPLES * sizeof *side->samples);
}

static void measure(Side *sides, int n, const Options *options) {
    for (int i = 0; i < n; i++) warm_up(&sides[i]);
    double end = seconds_now() + options->seconds;
    for (int block = 0; block < LEAST_BLOCKS || seconds_now() < end; block++)
        for (int i = 0; i < n; i++) {
            if (options->threads > 1) usleep(PAUSE_US);
            time_block(&sides[i], options->clock);
        }
}

/* ‖ours − theirs‖ / ‖theirs‖ over a float output; 0 for what is no float. */
static double relative_distance(const mcc_tensor *ours, const mcc_tensor *theirs) {
    double apart = 0, size = 0;
    size_t n = count_elements(theirs);
    if (theirs->dtype != 1 || n != count_elements(ours)) return n == count_elements(ours) ? 0 : INFINITY;
    const float *x = ours->data, *y = theirs->data;
    for (size_t i = 0; i < n; i++) {
        apart += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
        size += (double)y[i] * y[i];
    }
    return size > 0 ? sqrt(apart / size) : sqrt(apart);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_side(const char *name, Side *side) {
    qsort(side->samples, (size_t)side->n_samples, sizeof *side->samples, by_value);
    printf("\"%s\": {\"min_us\": %.4f, \"median_us\": %.4f, \"samples\": %d}, ", name, 1e6 * side->samples[0],
           1e6 * side->samples[side->n_samples / 2], side->n_samples);
}

static bool option(const char *arg, const char *name, const char **value) {
    size_t n = strlen(name);
    if (strncmp(arg, name, n)) return false;
    *value = arg + n;
    return true;
}

static Options read_options(int argc, char **argv) {
    Options o = {.threads = 1, .seconds = 2, .clock = CLOCK_MONOTONIC};
    for (int i = 1; i < argc; i++) {
        const char *value;
        if (option(argv[i], "--threads=", &value)) o.threads = atoi(value);
        else if (option(argv[i], "--seconds=", &value)) o.seconds = atof(value);
        else if (option(argv[i], "--ort=", &value)) o.ort = value;
        else if (option(argv[i], "--onnx=", &value)) o.onnx = value;
        else if (option(argv[i], "--lib=", &value)) o.library = value;
        else if (option(argv[i], "--shape=", &value) && o.n_shapes < MOST) o.shapes[o.n_shapes++] = value;
        else if (!strcmp(argv[i], "--cpu-time")) o.clock = CLOCK_THREAD_CPUTIME_ID;
        else die(argv[i], "is no option of this tool");
    }
    if (!o.library && !(o.ort && o.onnx)) die("nothing to time", "give --lib, or --ort and --onnx");
    return o;
}

/* Makes up each input, of the type that the object or else ONNX Runtime tells. */
static void make_inputs(mcc_tensor *inputs, const Ours *ours, const Peer *peer, const Options *options) {
    const mcc_model *m = ours->model;
    size_t n = m ? (size_t)m->n_inputs : peer->n_inputs;
    for (size_t i = 0; i < n; i++) {
        inputs[i] = m ? largest(&m->inputs[i]) : peer_input_type(peer, i);
        set_shape(&inputs[i], m ? m->inputs[i].name : peer->input_names[i], options);
        allocate(&inputs[i]);
        fill_random(&inputs[i]);
    }
}

/* The largest distance of an output; 1e30 where one is no number. */
static double largest_distance(const Ours *ours, const Peer *peer) {
    double apart = 0;
    for (size_t i = 0; i < peer->n_outputs; i++) {
        mcc_tensor theirs = peer_output(peer, i);
        double d = relative_distance(&ours->outputs[i], &theirs);
        if (!isfinite(d)) return 1e30;
        apart = fmax(apart, d);
    }
    return apart;
}

int main(int argc, char **argv) {
    static mcc_tensor inputs[MOST];
    static Ours ours;
    static Peer peer;
    Options options = read_options(argc, argv);
    Side sides[2] = {{0}};
    bool has_peer = options.ort && options.onnx;
    int n = 0;
    if (options.library) {
        ours_open(&ours, options.library);
        sides[n++] = (Side){.run = ours_run, .self = &ours};
    }
    if (has_peer) {
        peer_open(&peer, options.ort, options.onnx, options.threads);
        sides[n++] = (Side){.run = theirs_run, .self = &peer};
    }
    make_inputs(inputs, &ours, &peer, &options);
    call_inputs = inputs;
    if (has_peer) peer_bind(&peer, inputs);
    measure(sides, n, &options);

    printf("{");
    if (ours.model) print_side("mcc", &sides[0]);
    if (has_peer) print_side("ort", &sides[n - 1]);
    if (ours.model && has_peer) printf("\"apart\": %.3g, ", largest_distance(&ours, &peer));
    printf("\"workspace\": %zu, \"load_s\": %.3f}\n", ours.model ? ours.model->workspace_bytes : (size_t)0,
           peer.load_seconds);
    return 0;
}
