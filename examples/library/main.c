/* A model that a program meets while it runs: compiled in this process, loaded, called on zeros.
 *     live MODEL.onnx [OPTION…]        live encoder.onnx --max-dim='*=512' --quantize=w8
 */
#define _POSIX_C_SOURCE 200809L
#include <mcc/mcc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ALIGN = 64, WIDEST = 16 /* bytes of an element of any dtype */, CALLS = 20 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *zeros(size_t bytes) {
    size_t whole = (bytes / ALIGN + 1) * ALIGN;
    void *p = aligned_alloc(ALIGN, whole);
    if (!p) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    return memset(p, 0, whole);
}

/* Room for the largest tensor that the model allows, with dims of that size */
static mcc_tensor tensor(const mcc_tensor_info *info, const char *kind) {
    mcc_tensor t = {.bytes = WIDEST, .dtype = info->dtype, .rank = info->rank};
    printf("%s %s: dtype %d, [", kind, info->name, (int)info->dtype);
    for (int d = 0; d < info->rank; d++) {
        t.dims[d] = info->max_dims[d];
        t.bytes *= (size_t)t.dims[d];
        printf(info->dims[d] < 0 ? "%sup to %lld" : "%s%lld", d ? ", " : "", (long long)t.dims[d]);
    }
    puts("]");
    t.data = zeros(t.bytes);
    return t;
}

static mcc_tensor *tensors(const mcc_tensor_info *info, int n, const char *kind) {
    mcc_tensor *t = zeros(sizeof *t * (size_t)n);
    for (int i = 0; i < n; i++) t[i] = tensor(&info[i], kind);
    return t;
}

static void free_tensors(mcc_tensor *t, int n) {
    for (int i = 0; i < n; i++) free(t[i].data);
    free(t);
}

/* The least time of some calls; the status of the last */
static int call(const mcc_model *m, double *least) {
    mcc_tensor *in = tensors(m->inputs, m->n_inputs, "in"), *out = tensors(m->outputs, m->n_outputs, "out");
    void *workspace = zeros(m->workspace_bytes);
    int status = MCC_OK;
    for (int i = 0; i < CALLS && status == MCC_OK; i++) {
        double start = now();
        status = m->run(in, out, workspace);
        double took = now() - start;
        if (i == 0 || took < *least) *least = took;
    }
    free(workspace);
    free_tensors(in, m->n_inputs);
    free_tensors(out, m->n_outputs);
    return status;
}

int main(int argc, char **argv) {
    mcc_loaded *loaded;
    double start = now(), least = 0;
    if (argc < 2) return fprintf(stderr, "usage: %s MODEL.onnx [OPTION...]\n", argv[0]), 2;
    int result = mcc_load(argv[1], (const char *const *)argv + 2, argc - 2, &loaded);
    if (result != MCC_DONE) return result;
    printf("compiled in %.3f s\n", now() - start);
    int status = call(mcc_loaded_model(loaded), &least);
    if (status == MCC_OK) printf("a call takes %.4f ms\n", 1e3 * least);
    else printf("the model returned %d, see mcc/runtime.h\n", status);
    mcc_unload(loaded);
    return status != MCC_OK;
}
