/* Calls of reference kernels from tests: tensors on the caller's arrays, attributes as structs, and checks that count.
 */
#ifndef KERNEL_CALL_H
#define KERNEL_CALL_H
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "runtime/kernels/ref.h"

#define OP(name, ...)                                                                                                  \
    int ref_##name(const mcc_arg *a, const mcc_attr *at);                                                              \
    int shape_##name(mcc_arg *a, const mcc_attr *at);
#include "ir/ops.def"
int ref_Copy(const mcc_arg *a, const mcc_attr *at);

static int failures;
#define CHECK(condition) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition))
static inline void check_failed(const char *file, int line, const char *what) {
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    failures++;
}

/* data as an integer: a const pointer would make gcc expect an output to be initialised */
static inline mcc_arg tensor(int dtype, uintptr_t data, size_t rank, const int64_t *dims) {
    mcc_arg a = {.word = 0};
    a.data = (void *)data;
    a.dtype = dtype;
    a.rank = (int32_t)rank;
    for (size_t i = 0; i < rank; i++) a.dims[i] = dims[i];
    return a;
}
#define DIMS(...)                                                                                                      \
    sizeof((int64_t[]){__VA_ARGS__}) / 8, (int64_t[]) { __VA_ARGS__ }
#define TENSOR(dtype, data, ...) tensor(dtype, (uintptr_t)(data), DIMS(__VA_ARGS__))
#define F32(data, ...) TENSOR(MCC_F32, data, __VA_ARGS__)
#define I64(data, ...) TENSOR(MCC_I64, data, __VA_ARGS__)
#define SCALAR(dtype, data) tensor(dtype, (uintptr_t)(data), 0, NULL)
#define NONE ((mcc_arg){.dtype = 0})
#define UNKNOWN -1 /* a dim that a shape function is to write */

/* The attributes of a call with so many inputs and outputs; the others follow as initialisers. */
#define ATTRS(op, inputs, outputs, ...) ((const mcc_attr *)&(attrs_##op){.header.args = {inputs, outputs}, __VA_ARGS__})
#define LIST(...)                                                                                                      \
    {                                                                                                                  \
        sizeof((int64_t[]){__VA_ARGS__}) / 8, { __VA_ARGS__ }                                                          \
    }
#define ARGS(...) ((mcc_arg[]){__VA_ARGS__})

static inline int same_floats(const float *got, const float *want, int n) {
    for (int i = 0; i < n; i++) {
        if (isnan(want[i]) ? isnan(got[i]) : got[i] == want[i] || fabsf(got[i] - want[i]) <= 1e-5f * fabsf(want[i]))
            continue;
        fprintf(stderr, "at %d: got %.9g, want %.9g\n", i, (double)got[i], (double)want[i]);
        return 0;
    }
    return 1;
}
#define SAME_F32(got, ...) same_floats(got, (float[]){__VA_ARGS__}, sizeof((float[]){__VA_ARGS__}) / 4)
#define SAME(got, ...) (memcmp(got, (__VA_ARGS__), sizeof(__VA_ARGS__)) == 0)
#define HAS_DIMS(a, ...) (memcmp((a).dims, (int64_t[]){__VA_ARGS__}, sizeof((int64_t[]){__VA_ARGS__})) == 0)
#endif
