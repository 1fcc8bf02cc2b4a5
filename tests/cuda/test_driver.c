/* Contexts, memory, streams, captured graphs, attributes and errors of the driver; texts that must be refused. */
#include "tests/cuda/ptxtest.h"

static const char *const add_one =
    ".visible .entry add_one(.param .u64 p, .param .u32 n) .maxntid 64, 1, 1 {\n.reg .pred %p; .reg .b32 %r<4>; .reg "
    ".b64 %rd<4>;\n"
    "mov.u32 %r1, %tid.x; ld.param.u32 %r2, [n]; setp.ge.u32 %p, %r1, %r2; @%p ret;\n"
    "ld.param.u64 %rd1, [p]; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd1, %rd1, %rd2;\n"
    "ld.global.u32 %r3, [%rd1]; add.s32 %r3, %r3, 1; st.global.u32 [%rd1], %r3; ret; }\n"
    ".visible .global .align 4 .b32 answer[2] = {42, 43};\n"
    ".extern .shared .align 16 .b8 room[];\n"
    ".visible .entry wide() { .reg .b32 %r; mov.u32 %r, 1; st.shared.u32 [room+60000], %r; ret; }\n";

static CUresult launch(CUfunction f, unsigned threads, CUstream s, CUdeviceptr p, uint32_t n) {
    void *params[] = {&p, &n};
    return cuLaunchKernel(f, 1, 1, 1, threads, 1, 1, 0, s, params, NULL);
}

static void memory(void) {
    CUdeviceptr d, e;
    size_t before, after, total;
    uint32_t host[16];
    OK(cuMemGetInfo_v2(&before, &total));
    OK(cuMemAlloc_v2(&d, 64));
    OK(cuMemAlloc_v2(&e, 64));
    OK(cuMemGetInfo_v2(&after, &total));
    CHECK(before - after == 128 && total >= before);
    OK(cuMemcpyDtoH_v2(host, d, 64));
    CHECK(host[0] == 0xffffffff); /* what is fresh is not 0 */
    OK(cuMemsetD32_v2(d, 7, 16));
    OK(cuMemsetD8_v2(d + 4, 0, 4));
    OK(cuMemcpyDtoD_v2(e, d, 64));
    OK(cuMemcpyDtoH_v2(host, e, 64));
    CHECK(host[0] == 7 && host[1] == 0 && host[15] == 7);
    CHECK(cuMemcpyDtoH_v2(host, d + 4, 64) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemAlloc_v2(&d, (size_t)1 << 50) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(cuMemFree_v2(e + 4) == CUDA_ERROR_INVALID_VALUE);
    OK(cuMemFree_v2(e));
    CHECK(cuMemcpyDtoH_v2(host, e, 64) == CUDA_ERROR_INVALID_VALUE);
}

static void module(void) {
    CUmodule m = test_module("75", add_one);
    CUfunction f, wide;
    CUdeviceptr g;
    size_t bytes;
    uint32_t value[2];
    int n;
    OK(cuModuleGetFunction(&f, m, "add_one"));
    OK(cuModuleGetFunction(&wide, m, "wide"));
    CHECK(cuModuleGetFunction(&f, m, "nothing") == CUDA_ERROR_NOT_FOUND);
    OK(cuModuleGetGlobal_v2(&g, &bytes, m, "answer"));
    OK(cuMemcpyDtoH_v2(value, g, 8));
    CHECK(bytes == 8 && value[0] == 42 && value[1] == 43);
    OK(cuFuncGetAttribute(&n, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, f));
    CHECK(n == 64);
    CHECK(launch(f, 65, NULL, g, 2) == CUDA_ERROR_INVALID_VALUE);
    CHECK(launch(f, 0, NULL, g, 2) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuLaunchKernel(wide, 1, 1, 1, 1, 1, 1, 61440, NULL, NULL, NULL) == CUDA_ERROR_INVALID_VALUE);
    OK(cuFuncSetAttribute(wide, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 61440));
    CHECK(cuFuncSetAttribute(wide, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 1 << 20) ==
          CUDA_ERROR_INVALID_VALUE);
    OK(cuLaunchKernel(wide, 1, 1, 1, 1, 1, 1, 61440, NULL, NULL, NULL));
    OK(cuCtxSynchronize());
    OK(launch(f, 2, NULL, g, 2));
    OK(cuMemcpyDtoH_v2(value, g, 8));
    CHECK(value[0] == 43 && value[1] == 44);
    OK(cuModuleUnload(m));
    CHECK(cuModuleUnload(m) == CUDA_ERROR_INVALID_HANDLE);
}

/* Work waits for whoever waits for it; a graph does it again. */
static void streams(void) {
    CUmodule m = test_module("80", add_one);
    CUfunction f;
    CUstream s, t;
    CUevent e, later;
    CUdeviceptr d;
    uint32_t *host;
    float ms;
    OK(cuModuleGetFunction(&f, m, "add_one"));
    OK(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    OK(cuStreamCreate(&t, CU_STREAM_NON_BLOCKING));
    OK(cuEventCreate(&e, 0));
    OK(cuEventCreate(&later, 0));
    OK(cuMemAlloc_v2(&d, 64));
    OK(cuMemHostAlloc((void **)&host, 64, 0));
    memset(host, 0, 64);
    OK(cuMemsetD32Async(d, 5, 16, s));
    OK(launch(f, 16, s, d, 16));
    OK(cuEventRecord(e, s));
    OK(cuStreamWaitEvent(t, e, 0));
    OK(cuMemcpyDtoHAsync_v2(host, d, 64, t));
    OK(cuEventRecord(later, t));
    CHECK(host[3] == 0); /* nobody has waited */
    CHECK(cuEventElapsedTime(&ms, e, later) == CUDA_ERROR_NOT_READY);
    OK(cuStreamSynchronize(t));
    CHECK(host[3] == 6);
    OK(cuEventElapsedTime(&ms, e, later));
    CHECK(ms >= 0 && cuEventQuery(e) == CUDA_SUCCESS);
    OK(launch(f, 16, s, d, 4));
    CHECK(cuStreamQuery(s) == CUDA_ERROR_NOT_READY && cuStreamQuery(s) == CUDA_SUCCESS);

    CUgraph g;
    CUgraphExec x;
    size_t nodes;
    int status;
    OK(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_GLOBAL));
    OK(cuStreamIsCapturing(s, &status));
    CHECK(status == CU_STREAM_CAPTURE_STATUS_ACTIVE);
    OK(launch(f, 16, s, d, 16));
    OK(cuMemcpyDtoDAsync_v2(d + 32, d, 32, s));
    CUdeviceptr other;
    CHECK(cuMemAlloc_v2(&other, 64) == CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    OK(cuStreamEndCapture(s, &g));
    OK(cuGraphGetNodes(g, NULL, &nodes));
    CHECK(nodes == 2);
    OK(cuGraphInstantiateWithFlags(&x, g, 0));
    OK(cuGraphDestroy(g));
    for (int n = 0; n < 3; n++) OK(cuGraphLaunch(x, s));
    OK(cuMemcpyDtoHAsync_v2(host, d, 64, s));
    OK(cuStreamSynchronize(s));
    CHECK(host[0] == 10 && host[7] == 9 && host[8] == 10 && host[15] == 9);
    OK(cuGraphExecDestroy(x));
    OK(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_GLOBAL));
    CHECK(cuStreamSynchronize(s) == CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    CHECK(cuStreamEndCapture(s, &g) == CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    OK(cuMemAllocAsync(&other, 64, s));
    OK(cuMemFreeAsync(other, s));
    OK(cuEventDestroy_v2(e));
    OK(cuEventDestroy_v2(later));
    OK(cuStreamDestroy_v2(s));
    OK(cuStreamDestroy_v2(t));
    OK(cuMemFreeHost(host));
}

static void device(void) {
    int value;
    const char *text;
    void *function;
    OK(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0));
    CHECK(value == 8);
    CHECK(cuDeviceGetAttribute(&value, 100000, 0) == CUDA_ERROR_INVALID_VALUE);
    OK(cuGetErrorName(CUDA_ERROR_ILLEGAL_ADDRESS, &text));
    CHECK(!strcmp(text, "CUDA_ERROR_ILLEGAL_ADDRESS"));
    OK(cuGetProcAddress_v2("cuMemAlloc", &function, 12000, 0, &value));
    CHECK(function && !value);
    CHECK(cuGetProcAddress_v2("cuNothing", &function, 12000, 0, &value) == CUDA_ERROR_NOT_FOUND);
    CUcontext c, back;
    OK(cuCtxCreate_v2(&c, 0, 0));
    OK(cuCtxGetCurrent(&back));
    CHECK(back == c);
    OK(cuCtxPopCurrent_v2(&back));
    CHECK(back == c);
    OK(cuCtxDestroy_v2(c));
    CHECK(cuCtxPushCurrent_v2((CUcontext)&value) == CUDA_ERROR_INVALID_CONTEXT);
}

static void refused(const char *text, const char *message) {
    CUmodule m;
    char log[512] = "";
    int options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, (void *)sizeof log};
    CHECK(cuModuleLoadDataEx(&m, text, 2, options, values) == CUDA_ERROR_INVALID_PTX);
    if (!strstr(log, message)) fprintf(stderr, "wanted: %s\n", message);
    CHECK(strstr(log, message));
}

#define HEAD ".version 8.5\n.target sm_80\n.address_size 64\n"
#define KERNEL(body)                                                                                                   \
    HEAD ".visible .entry k(.param .u64 p) {\n.reg .b32 %r<4>; .reg .b64 %rd<4>; .reg .pred %p;\n" body "\nret; }\n"
static void refusals(void) {
    refused("", ".version");
    refused(".version 8.5\n.target sm_90\n", "the device sm_80");
    refused(KERNEL("frobnicate.u32 %r1, %r2;"), "ptx line 6, in k, 'frobnicate.u32': the instruction is unknown");
    refused(KERNEL("add.s32 %r1, %rd1, 1;"), "'%rd1' has 64 bits, not 32");
    refused(KERNEL("add.s32 %r1, %r9, 1;"), "'%r9' is not declared");
    refused(KERNEL("add.s32 %r1, 1;"), "has 2 operands");
    refused(KERNEL("ld.global.u32 %r1, [p];"), "in another space");
    refused(KERNEL("ld.global.frob.u32 %r1, [%rd1];"), "modifier .frob");
    refused(KERNEL("bra nowhere;"), "no label 'nowhere'");
    refused(KERNEL("cvt.f16.f32 %r1, %r2;"), "needs a rounding");
    refused(KERNEL("cvt.f32.s32 %r1, %r2;"), "needs a rounding");
    refused(KERNEL("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%r0}, {%r0}, {%r0}, {%r0};"),
            "needs .target sm_89");
    refused(KERNEL(".reg .b32 %r<4>;"), "declared twice");
    refused(HEAD ".visible .entry k() { ret;", "the end of the text");
    refused(HEAD ".extern .func f();\n.visible .entry k() { call f; ret; }", "'f' has no body");
}

int main(void) {
    int count;
    CHECK(cuDeviceGetCount(&count) == CUDA_ERROR_NOT_INITIALIZED);
    setenv("MCC_CUDA_DEVICES", "0", 1);
    CHECK(cuInit(0) == CUDA_ERROR_NO_DEVICE);
    setenv("MCC_CUDA_DEVICES", "1", 1);
    test_begin("80");
    memory();
    module();
    streams();
    device();
    refusals();
    OK(cuDevicePrimaryCtxRelease_v2(0));
    CHECK(cuCtxSynchronize() == CUDA_ERROR_CONTEXT_IS_DESTROYED);
    return 0;
}
