/* Times a layer as it runs in its network: before each run as many bytes are read as the model has weights, so that the
 * layer's own are where they would be, and then its input is touched, which the layer before has just written. Time is
 * the thread's own, the least of several runs: other processes take from neither. */
#include <string.h>
#include <time.h>
#include "driver/tune.h"

enum { LINE = 64 };

typedef struct Build {
    Probe *probe;
    const Command *command;
    const Target *target;
    const Layer *layer;
} Build;

static int build(void *arg) {
    const Build *b = arg;
    Probe *p = b->probe;
    const Command *c = b->command;
    CodeOptions o = {
        .name = "probe", .target = b->target, .opt_level = c->opt_level, .optimize_size = c->optimize_size};
    Graph *g = probe_graph(p->ctx, b->target, pipeline_winograd(c, b->target), b->layer, &p->choice);
    if (!g || !codegen_compile(p->ctx, g, &o, &p->code)) return BAD_USAGE;
    if (!(p->loaded = code_load(p->ctx, &p->code))) return BAD_USAGE;
    size_t align = loaded_model(p->loaded)->workspace_align, bytes = loaded_model(p->loaded)->workspace_bytes;
    char *raw = arena_alloc(p->ctx->arena, bytes + align);
    p->workspace = raw + (align - (uintptr_t)raw % align) % align;
    return DONE;
}

int probe_compile(Probe *p, const Command *c, const Target *t, const Layer *l, const LayerChoice *choice) {
    Build b = {p, c, t, l};
    *p = (Probe){.choice = *choice, .ctx = pipeline_ctx(c, c->files[0])};
    if (!p->ctx) return BAD_MODEL;
    diag_to(p->ctx, NULL);
    int result = with_memory(p->ctx, build, &b);
    if (result != DONE) probe_free(p);
    return result;
}

void probe_free(Probe *p) {
    if (p->loaded) code_unload(p->loaded);
    code_free(&p->code);
    ctx_free(p->ctx);
    *p = (Probe){0};
}

/* `skew` keeps buffers from lying at one place of their pages */
static char *buffer(Arena *a, const mcc_tensor_info *info, size_t skew, size_t *bytes) {
    int64_t n = 0;
    *bytes = 0;
    if (product_i64(info->dims, info->rank, &n)) dtype_bytes((Dtype)info->dtype, n, bytes);
    return (char *)arena_alloc(a, *bytes + skew) + skew;
}

void bed_prepare(Bed *b, Arena *a, const Probe *p) {
    const mcc_model *m = loaded_model(p->loaded);
    b->arena = a;
    b->x = buffer(a, &m->inputs[0], 0, &b->x_bytes);
    b->y = buffer(a, &m->outputs[0], 17 * LINE, &b->y_bytes);
    for (size_t i = 0; i < b->x_bytes / 4; i++) ((float *)(void *)b->x)[i] = (float)(i % 251) / 125 - 1;
}

static void touch(char *p, size_t bytes) {
    for (size_t i = 0; i < bytes; i += LINE) ((volatile char *)p)[i] = ((volatile char *)p)[i];
}

static void settle(const Bed *b, const Probe *p) {
    size_t workspace = loaded_model(p->loaded)->workspace_bytes;
    for (size_t i = 0; i < b->cold_bytes; i += LINE) (void)((volatile char *)b->cold)[i];
    touch(p->workspace, workspace < b->near_bytes ? workspace : b->near_bytes);
    touch(b->y, b->y_bytes < b->near_bytes ? b->y_bytes : b->near_bytes);
    touch(b->x, b->x_bytes);
}

static double own_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static mcc_tensor tensor_at(char *data, size_t bytes, const mcc_tensor_info *info) {
    mcc_tensor t = {.data = data, .bytes = bytes, .dtype = info->dtype, .rank = info->rank};
    memcpy(t.dims, info->dims, sizeof t.dims);
    return t;
}

static double sample(const Bed *b, const Probe *p) {
    const mcc_model *m = loaded_model(p->loaded);
    mcc_tensor x = tensor_at(b->x, b->x_bytes, &m->inputs[0]), y = tensor_at(b->y, b->y_bytes, &m->outputs[0]);
    settle(b, p);
    double start = own_seconds();
    m->run(&x, &y, p->workspace);
    return own_seconds() - start;
}

void probe_race(const Bed *bed, const Probe *a, const Probe *b, int rounds, double *time_a, double *time_b) {
    enum { LEAST = 3 };
    *time_a = *time_b = 1e300;
    for (int i = 0; i < rounds && (i < LEAST || *time_b < 1.2 * *time_a); i++) {
        double x = sample(bed, a), y = sample(bed, b);
        if (x < *time_a) *time_a = x;
        if (y < *time_b) *time_b = y;
    }
}
