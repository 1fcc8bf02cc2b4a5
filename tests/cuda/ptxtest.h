/* What the emulator's own tests share: a module from text, launches, and rows of "this instruction, these operands,
 * that result", run once with all lanes and once with every other one. */
#ifndef MCC_TESTS_CUDA_PTXTEST_H
#define MCC_TESTS_CUDA_PTXTEST_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cuda/calls.h"

enum { CASE_LANES = 32, SLOT = 64, MAX_TEXT = 1 << 16 };

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s (last message: %s)\n", __FILE__, __LINE__, #condition, cuEmulatorMessage());    \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)
#define OK(call) CHECK((call) == CUDA_SUCCESS)

static inline void test_begin(const char *sm) {
    CUcontext c;
    setenv("MCC_CUDA_SM", sm, 1);
    setenv("MCC_CUDA_QUIET", "1", 1);
    OK(cuInit(0));
    OK(cuDevicePrimaryCtxRetain(&c, 0));
    OK(cuCtxSetCurrent(c));
}

/* After a kernel failed: a context without the failure. */
static inline void test_again(void) {
    CUcontext c;
    OK(cuDevicePrimaryCtxReset_v2(0));
    OK(cuDevicePrimaryCtxRetain(&c, 0));
    OK(cuCtxSetCurrent(c));
}

static inline CUmodule test_module(const char *sm, const char *text) {
    static char whole[2 * MAX_TEXT];
    CUmodule m;
    snprintf(whole, sizeof whole, ".version 8.5\n.target sm_%s\n.address_size 64\n%s", sm, text);
    OK(cuModuleLoadData(&m, whole));
    return m;
}

/* kernel k(.param .u64 k_0, .param .u64 k_1) around a body, with registers declared: %in and %out are this thread's
 * slots of the two buffers. */
static inline CUmodule test_kernel(const char *sm, const char *before, const char *body) {
    static char text[MAX_TEXT];
    snprintf(text, sizeof text,
             "%s\n.visible .entry k(.param .u64 k_0, .param .u64 k_1) {\n"
             ".reg .pred %%p<8>; .reg .b16 %%h<24>; .reg .b32 %%r<40>; .reg .f32 %%f<40>; .reg .b64 %%rd<24>; .reg "
             ".f64 %%fd<8>;\n"
             ".reg .b64 %%in, %%out, %%slot; .reg .b32 %%thread;\n"
             "mov.u32 %%thread, %%tid.x; mul.wide.u32 %%slot, %%thread, 64;\n"
             "ld.param.u64 %%in, [k_0]; ld.param.u64 %%out, [k_1];\n"
             "add.s64 %%in, %%in, %%slot; add.s64 %%out, %%out, %%slot;\n%s\nret;\n}\n",
             before, body);
    return test_module(sm, text);
}

static inline CUresult test_launch(CUmodule m, unsigned blocks, unsigned threads, unsigned shared, const void *in,
                                   void *out, size_t bytes) {
    CUfunction k;
    CUdeviceptr d_in, d_out;
    OK(cuModuleGetFunction(&k, m, "k"));
    OK(cuMemAlloc_v2(&d_in, bytes));
    OK(cuMemAlloc_v2(&d_out, bytes));
    OK(cuMemcpyHtoD_v2(d_in, in, bytes));
    OK(cuMemcpyHtoD_v2(d_out, out, bytes));
    void *params[] = {&d_in, &d_out};
    CUresult r = cuLaunchKernel(k, blocks, 1, 1, threads, 1, 1, shared, NULL, params, NULL);
    if (!r) r = cuCtxSynchronize();
    if (r) return r;
    OK(cuMemcpyDtoH_v2(out, d_out, bytes));
    OK(cuMemFree_v2(d_in));
    OK(cuMemFree_v2(d_out));
    OK(cuModuleUnload(m));
    return r;
}

/* op with operands as `kinds` says (p h w d, the destination first): in[] gives the result want. */
typedef struct Case {
    const char *op, *kinds;
    uint64_t in[4], want;
} Case;

static inline int case_bytes(char kind) { return kind == 'p' ? 1 : kind == 'h' ? 2 : kind == 'w' ? 4 : 8; }

/* A case's instruction with its loads and its store; what it leaves stands in the slot. */
static inline void case_text(const Case *c, bool half, char *text, size_t room) {
    static const char *const bases[] = {"%h", "%r", "%rd", "%p"}, *const types[] = {"b16", "b32", "b64", "u8"};
    size_t used = 0;
    char operands[160] = "";
#define ADD(...) used += (size_t)snprintf(text + used, room - used, __VA_ARGS__)
    if (half) ADD("and.b32 %%r30, %%thread, 1; setp.eq.u32 %%p7, %%r30, 0;\n");
    for (int n = 1; c->kinds[n]; n++) {
        char kind = c->kinds[n];
        int t = kind == 'h' ? 0 : kind == 'w' ? 1 : kind == 'd' ? 2 : 3;
        if (kind == 'p') ADD("ld.global.u8 %%h20, [%%in+%d]; setp.ne.u16 %%p%d, %%h20, 0;\n", 8 * n, n);
        else ADD("ld.global.%s %s%d, [%%in+%d];\n", types[t], bases[t], n, 8 * n);
        snprintf(operands + strlen(operands), sizeof operands - strlen(operands), ", %s%d", bases[t], n);
    }
    char d = c->kinds[0];
    int t = d == 'h' ? 0 : d == 'w' ? 1 : d == 'd' ? 2 : 3;
    if (d == 'p') ADD("setp.ne.u32 %%p0, 0, 0;\n");
    else ADD("mov.b%d %s0, 0;\n", 8 * case_bytes(d), bases[t]);
    ADD("%s%s %s0%s;\n", half ? "@%p7 " : "", c->op, bases[t], operands);
    if (d == 'p') ADD("selp.b16 %%h0, 1, 0, %%p0; st.global.u8 [%%out], %%h0;\n");
    else ADD("st.global.%s [%%out], %s0;\n", types[t], bases[t]);
#undef ADD
}

static inline void cases_run(const char *sm, const Case *cases, int n) {
    for (int first = 0, next; first < n; first = next) {
        for (next = first + 1; next < n && next - first < CASE_LANES && !strcmp(cases[next].op, cases[first].op);)
            next++;
        for (int half = 0; half < 2; half++) {
            char text[4096];
            uint8_t in[CASE_LANES * SLOT] = {0}, out[CASE_LANES * SLOT] = {0};
            for (int lane = 0; lane < CASE_LANES; lane++)
                for (int k = 0; k < 4; k++)
                    memcpy(in + lane * SLOT + 8 * (k + 1), &cases[first + lane % (next - first)].in[k], 8);
            case_text(&cases[first], half, text, sizeof text);
            OK(test_launch(test_kernel(sm, "", text), 1, CASE_LANES, 0, in, out, sizeof in));
            for (int lane = 0; lane < CASE_LANES; lane++) {
                const Case *c = &cases[first + lane % (next - first)];
                uint64_t got = 0, want = half && lane % 2 ? 0 : c->want;
                memcpy(&got, out + lane * SLOT, (size_t)case_bytes(c->kinds[0]));
                if (got == want) continue;
                fprintf(stderr, "%s 0x%llx, 0x%llx, 0x%llx, 0x%llx: got 0x%llx, want 0x%llx (lane %d)\n", c->op,
                        (unsigned long long)c->in[0], (unsigned long long)c->in[1], (unsigned long long)c->in[2],
                        (unsigned long long)c->in[3], (unsigned long long)got, (unsigned long long)want, lane);
                exit(1);
            }
        }
    }
}
#define CASES_RUN(sm, cases) cases_run(sm, cases, (int)(sizeof(cases) / sizeof *(cases)))

#endif
