/* Calls a model for a GPU in every order that its header allows, and in some that it does not: by gpu_calls.sh, which makes
 * add.o: y[n] = a[n] + table[i[n]], n open, and links this with libmcc_cuda.a. The driver is found as the library does. */
#include "add.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum { N = 5, MANY = 12, TABLE = 4 };
static _Alignas(64) unsigned char workspace[ADD_WORKSPACE_BYTES], other[ADD_WORKSPACE_BYTES];
static int failures;

static void check(int good, const char *what) {
    if (good) return;
    printf("FAIL %s (%s)\n", what, mcc_cuda_problem());
    failures = 1;
}

typedef int Retain(void **context, int device);
typedef int Push(void *context);
typedef int Allocate(uint64_t *p, size_t bytes);
typedef int ToDevice(uint64_t to, const void *from, size_t bytes);
typedef int ToHost(void *to, uint64_t from, size_t bytes);
static Allocate *allocate;
static ToDevice *to_device;
static ToHost *to_host;

static void find(const char *name, void *function) {
    void *p = dlsym(dlopen("libcuda.so.1", RTLD_NOW), name);
    memcpy(function, &p, sizeof p);
}

static void *device_copy(const void *data, size_t bytes) {
    uint64_t p = 0;
    check(allocate(&p, bytes) == 0 && (!data || to_device(p, data, bytes) == 0), "device memory");
    return (void *)(uintptr_t)p;
}

static int is_sum(const float *y, const float *a, const int64_t *i, int n) {
    for (int k = 0; k < n; k++)
        if (y[k] != a[k] + (float)(10 * i[k])) return 0;
    return 1;
}

static float a[MANY] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
static int64_t rows[MANY] = {0, 1, 2, 3, 2, 1, 0, 3, 3, 3, 0, 1}, wild[N] = {0, 1, TABLE, 3, 2};

static void on_host(void) {
    float y[MANY] = {0};
    memset(workspace, 0xa5, sizeof workspace);
    check(add_run(a, rows, y, N, workspace) == MCC_OK && is_sum(y, a, rows, N), "run on a workspace that is not open");
    check(add_open(NULL) == MCC_E_NULL && add_open(workspace + 8) == MCC_E_ALIGN, "no workspace");
    check(add_open(workspace) == MCC_OK && add_open(workspace) == MCC_OK, "open, twice");
    for (int n = 1; n <= MANY; n += 11) {
        memset(y, 0, sizeof y);
        check(add_run(a, rows, y, n, workspace) == MCC_OK && is_sum(y, a, rows, n), "run");
    }
    check(add_run(a, wild, y, N, workspace) == MCC_E_INDEX, "an index beyond the table");
    check(add_run(a, rows, y, N, workspace) == MCC_OK && is_sum(y, a, rows, N), "run after an error");
    check(add_run(a, rows, y, MANY + 1, workspace) == MCC_E_BOUND, "more than it was compiled for");
    check(add_run(NULL, rows, y, N, workspace) == MCC_E_NULL, "no input");
    check(add_run(a, rows, y, 0, workspace) == MCC_OK, "no elements");
}

/* as an app that has memory of its own on the device */
static void take_context(void) {
    Retain *retain;
    Push *push;
    void *context = NULL;
    find("cuDevicePrimaryCtxRetain", &retain);
    find("cuCtxPushCurrent_v2", &push);
    check(retain(&context, 0) == 0 && push(context) == 0, "a context");
}

static void on_stream(void) {
    float y[MANY] = {0};
    take_context();
    float *da = device_copy(a, sizeof a), *dy = device_copy(NULL, sizeof a), *dz = device_copy(NULL, sizeof a);
    int64_t *di = device_copy(rows, sizeof rows), *dw = device_copy(wild, sizeof wild);
    check(add_run_on_stream(da, di, dy, N, other, NULL) == MCC_E_DEVICE, "a stream without an open workspace");
    for (int turn = 0; turn < 2; turn++)
        check(add_run_on_stream(da, di, dy, N, workspace, NULL) == MCC_OK, "on a stream");
    check(add_run_on_stream(da, di, dz, MANY, workspace, NULL) == MCC_OK, "with other pointers");
    check(add_wait(workspace, NULL) == MCC_OK, "wait");
    to_host(y, (uint64_t)(uintptr_t)dy, N * sizeof *y);
    check(is_sum(y, a, rows, N), "its result");
    to_host(y, (uint64_t)(uintptr_t)dz, sizeof y);
    check(is_sum(y, a, rows, MANY), "the other result");
    check(add_run_on_stream(da + 1, di, dy, N, workspace, NULL) == MCC_E_ALIGN, "a pointer that is no multiple of 16");
    check(add_run_on_stream(da, dw, dy, N, workspace, NULL) == MCC_OK && add_wait(workspace, NULL) == MCC_E_INDEX, "a bad index");
    check(add_run_on_stream(da, di, dy, N, workspace, NULL) == MCC_OK && add_wait(workspace, NULL) == MCC_OK, "and a good one");
}

int main(void) {
    float y[MANY] = {0};
    find("cuMemAlloc_v2", &allocate);
    find("cuMemcpyHtoD_v2", &to_device);
    find("cuMemcpyDtoH_v2", &to_host);
    on_host();
    on_stream();
    check(add_open(other) == MCC_OK && add_run(a, rows, y, MANY, other) == MCC_OK && is_sum(y, a, rows, MANY), "two at once");
    check(add_close(workspace) == MCC_OK && add_close(workspace) == MCC_OK, "close, twice");
    check(add_run(a, rows, y, N, other) == MCC_OK && is_sum(y, a, rows, N), "the other one goes on");
    check(add_close(other) == MCC_OK && add_wait(other, NULL) == MCC_E_DEVICE, "wait on what is closed");
    puts(failures ? "some calls failed" : "all calls did what the header says");
    return failures;
}
