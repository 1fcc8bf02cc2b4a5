/* Initialisation, the device, contexts.  MCC_CUDA_SM=75|80|90 chooses the device (80), MCC_CUDA_DEVICES=0 takes it
 * away, MCC_CUDA_MEMORY its bytes (16 GiB), MCC_CUDA_QUIET=1 keeps messages off the standard error output. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cuda/api.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool initialised;
static Context *contexts, *primary;
enum { STACK = 64 };
static _Thread_local Context *stack[STACK];
static _Thread_local int depth;
char api_message[1024];

const char *api_setting(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

u32 api_device_sm(void) { return (u32)atoi(api_setting("MCC_CUDA_SM", "80")); }
static int device_count(void) { return atoi(api_setting("MCC_CUDA_DEVICES", "1")) > 0; }

void api_say(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(api_message, sizeof api_message, format, args);
    va_end(args);
    if (!atoi(api_setting("MCC_CUDA_QUIET", "0"))) fprintf(stderr, "libcuda (emulated): %s\n", api_message);
}

/* Of the emulator alone: the last message, for tests. */
CUDA_API const char *cuEmulatorMessage(void) { return api_message; }

/* And how many warp instructions, and lanes of them, have run. */
CUDA_API void cuEmulatorCounters(u64 *steps, u64 *lanes) {
    *steps = launch_counters.steps;
    *lanes = launch_counters.lanes;
}

CUresult api_end(CUresult r) {
    pthread_mutex_unlock(&lock);
    return r;
}

CUresult api_begin(Context **c) {
    pthread_mutex_lock(&lock);
    Context *current = depth ? stack[depth - 1] : NULL;
    if (c) *c = current;
    if (!initialised) return CUDA_ERROR_NOT_INITIALIZED;
    if (!c) return CUDA_SUCCESS;
    if (!current) return CUDA_ERROR_INVALID_CONTEXT;
    return current->alive ? current->failed : CUDA_ERROR_CONTEXT_IS_DESTROYED;
}

CUDA_API CUresult cuInit(unsigned flags) {
    pthread_mutex_lock(&lock);
    if (flags) return api_end(CUDA_ERROR_INVALID_VALUE);
    if (!device_count()) return api_end(CUDA_ERROR_NO_DEVICE);
    if (!heap_init(strtoull(api_setting("MCC_CUDA_MEMORY", "17179869184"), NULL, 0)))
        return api_end(CUDA_ERROR_OUT_OF_MEMORY);
    initialised = true;
    return api_end(CUDA_SUCCESS);
}

CUDA_API CUresult cuDriverGetVersion(int *version) {
    if (!version) return CUDA_ERROR_INVALID_VALUE;
    *version = 12040;
    return CUDA_SUCCESS;
}

CUDA_API CUresult cuDeviceGetCount(int *count) {
    CUresult r = api_begin(NULL);
    if (!r) *count = device_count();
    return api_end(r);
}

CUDA_API CUresult cuDeviceGet(CUdevice *device, int ordinal) {
    CUresult r = api_begin(NULL);
    if (!r && ordinal) r = CUDA_ERROR_INVALID_DEVICE;
    if (!r) *device = 0;
    return api_end(r);
}

CUDA_API CUresult cuDeviceGetName(char *name, int length, CUdevice device) {
    CUresult r = api_begin(NULL);
    if (!r && (device || length <= 0)) r = CUDA_ERROR_INVALID_VALUE;
    if (!r) snprintf(name, (size_t)length, "emulated sm_%u", api_device_sm());
    return api_end(r);
}

CUDA_API CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
    CUresult r = api_begin(NULL);
    if (!r && device) r = CUDA_ERROR_INVALID_DEVICE;
    if (!r) *bytes = heap_size();
    return api_end(r);
}

CUDA_API CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice device) {
    CUresult r = api_begin(NULL);
    if (!r && device) r = CUDA_ERROR_INVALID_DEVICE;
    if (!r) memset(uuid, 0x5a, sizeof *uuid);
    return api_end(r);
}

static int optin_shared(u32 sm) {
    return sm >= 90 ? 227 * 1024 : sm >= 86 && sm < 90 ? 99 * 1024 : sm >= 80 ? 163 * 1024 : 64 * 1024;
}

bool api_attribute(int attribute, int *value) {
    u32 sm = api_device_sm();
    const struct {
        int attribute, value;
    } values[] = {
        {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, MAX_THREADS},
        {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, 1024},
        {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y, 1024},
        {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, 64},
        {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 2147483647},
        {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 65535},
        {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, 65535},
        {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, 48 * 1024},
        {CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY, 64 * 1024},
        {CU_DEVICE_ATTRIBUTE_WARP_SIZE, LANES},
        {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK, 65536},
        {CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 1000000},
        {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 4},
        {CU_DEVICE_ATTRIBUTE_INTEGRATED, 0},
        {CU_DEVICE_ATTRIBUTE_COMPUTE_MODE, 0},
        {CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, 1000000},
        {CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH, 256},
        {CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 4 << 20},
        {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, sm >= 80 ? 2048 : 1024},
        {CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT, 1},
        {CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, 1},
        {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, (int)sm / 10},
        {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, (int)sm % 10},
        {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, optin_shared(sm) + (sm >= 80 ? 1024 : 0)},
        {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR, 65536},
        {CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY, 0},
        {CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, 0},
        {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, optin_shared(sm)},
        {CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR, 16},
        {CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, 1},
    };
    for (size_t n = 0; n < sizeof values / sizeof *values; n++)
        if (values[n].attribute == attribute) return *value = values[n].value, true;
    return false;
}

CUDA_API CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device) {
    CUresult r = api_begin(NULL);
    if (!r && device) r = CUDA_ERROR_INVALID_DEVICE;
    if (!r && !api_attribute(attribute, value)) r = CUDA_ERROR_INVALID_VALUE;
    return api_end(r);
}

/* ---- contexts ---- */

static Context *context_new(void) {
    Context *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->alive = true;
    c->legacy = stream_new(c, true);
    c->next = contexts;
    contexts = c; /* kept for ever: a handle that is used too late is known */
    return c;
}

static bool known(const Context *c) {
    for (const Context *k = contexts; k; k = k->next)
        if (k == c) return true;
    return false;
}

static void context_end(Context *c) {
    while (c->streams) stream_drop(c->streams);
    while (c->modules) {
        Module *m = c->modules;
        c->modules = m->next;
        module_drop(m);
    }
    memory_forget(c);
    c->alive = false;
}

CUDA_API CUresult cuDevicePrimaryCtxRetain(CUcontext *out, CUdevice device) {
    CUresult r = api_begin(NULL);
    if (!r && device) r = CUDA_ERROR_INVALID_DEVICE;
    if (r) return api_end(r);
    if (!primary || !primary->alive) primary = context_new();
    primary->primary = true;
    primary->retained++;
    *out = primary;
    return api_end(CUDA_SUCCESS);
}

CUDA_API CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
    CUresult r = api_begin(NULL);
    if (!r && (device || !primary || !primary->retained)) r = CUDA_ERROR_INVALID_CONTEXT;
    if (!r && !--primary->retained) context_end(primary);
    return api_end(r);
}

CUDA_API CUresult cuDevicePrimaryCtxRelease(CUdevice device) { return cuDevicePrimaryCtxRelease_v2(device); }

CUDA_API CUresult cuDevicePrimaryCtxReset_v2(CUdevice device) {
    CUresult r = api_begin(NULL);
    if (!r && device) r = CUDA_ERROR_INVALID_DEVICE;
    if (!r && primary && primary->alive) context_end(primary);
    return api_end(r);
}

CUDA_API CUresult cuCtxCreate_v2(CUcontext *out, unsigned flags, CUdevice device) {
    CUresult r = api_begin(NULL);
    (void)flags;
    if (!r && (device || depth == STACK)) r = CUDA_ERROR_INVALID_DEVICE;
    if (!r) stack[depth++] = *out = context_new();
    return api_end(r);
}

CUDA_API CUresult cuCtxDestroy_v2(CUcontext c) {
    CUresult r = api_begin(NULL);
    if (!r && (!known(c) || !c->alive || c->primary)) r = CUDA_ERROR_INVALID_CONTEXT;
    if (!r) {
        context_end(c);
        if (depth && stack[depth - 1] == c) depth--;
    }
    return api_end(r);
}

CUDA_API CUresult cuCtxSetCurrent(CUcontext c) {
    CUresult r = api_begin(NULL);
    if (!r && c && !known(c)) r = CUDA_ERROR_INVALID_CONTEXT;
    if (!r && !c && depth) depth--;
    if (!r && c) {
        if (!depth) depth = 1;
        stack[depth - 1] = c;
    }
    return api_end(r);
}

CUDA_API CUresult cuCtxGetCurrent(CUcontext *out) {
    CUresult r = api_begin(NULL);
    if (!r) *out = depth ? stack[depth - 1] : NULL;
    return api_end(r);
}

CUDA_API CUresult cuCtxPushCurrent_v2(CUcontext c) {
    CUresult r = api_begin(NULL);
    if (!r && (!known(c) || depth == STACK)) r = CUDA_ERROR_INVALID_CONTEXT;
    if (!r) stack[depth++] = c;
    return api_end(r);
}

CUDA_API CUresult cuCtxPopCurrent_v2(CUcontext *out) {
    CUresult r = api_begin(NULL);
    if (!r && !depth) r = CUDA_ERROR_INVALID_CONTEXT;
    if (!r) {
        depth--;
        if (out) *out = stack[depth];
    }
    return api_end(r);
}

CUDA_API CUresult cuCtxGetDevice(CUdevice *device) {
    Context *c;
    CUresult r = api_begin(&c);
    if (!r) *device = 0;
    return api_end(r);
}

CUDA_API CUresult cuCtxSynchronize(void) {
    Context *c;
    CUresult r = api_begin(&c);
    if (!r && context_captures(c, CU_STREAM_CAPTURE_MODE_RELAXED)) r = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (!r) r = context_run(c);
    return api_end(r);
}
