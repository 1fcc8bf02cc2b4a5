/* Modules, kernels and their attributes, launches.  MCC_CUDA_STEPS: after how many warp instructions a block is stopped
 * (10^10); MCC_CUDA_RACES=1: look for races on shared memory. */
#include <stdlib.h>
#include <string.h>

#include "tests/cuda/api.h"

static bool owns(const Context *c, const Module *m) {
    for (const Module *k = c->modules; k; k = k->next)
        if (k == m) return true;
    return false;
}

static Function *find_kernel(const Context *c, CUfunction f) {
    for (const Module *m = c->modules; m; m = m->next)
        for (u32 n = 0; n < m->n_functions; n++)
            if (m->functions[n] == f) return f;
    return NULL;
}

static void write_log(const char *log, unsigned n, const int *options, void **values) {
    char *buffer = NULL;
    size_t room = 0;
    for (unsigned k = 0; k < n; k++) {
        if (options[k] == CU_JIT_ERROR_LOG_BUFFER) buffer = values[k];
        if (options[k] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES) room = (size_t)(uintptr_t)values[k];
    }
    if (buffer && room) snprintf(buffer, room, "%s", log);
    for (unsigned k = 0; k < n; k++)
        if (options[k] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES)
            values[k] = (void *)(uintptr_t)(buffer && room ? strlen(buffer) : 0);
}

CUDA_API CUresult cuModuleLoadDataEx(CUmodule *out, const void *image, unsigned n, int *options, void **values) {
    Context *c;
    char log[1024] = "";
    CUresult r = api_begin(&c);
    if (!r && (!out || !image)) r = CUDA_ERROR_INVALID_VALUE;
    if (!r && !memcmp(image, "\177ELF", 4)) {
        snprintf(log, sizeof log, "the image is a cubin; only PTX can be emulated");
        r = CUDA_ERROR_NO_BINARY_FOR_GPU;
    }
    Module *m = r ? NULL : module_parse(image, api_device_sm(), log, sizeof log);
    if (!r && !m) r = CUDA_ERROR_INVALID_PTX;
    if (*log) api_say("%s", log);
    write_log(log, n, options, values);
    if (m) {
        m->next = c->modules;
        c->modules = *out = m;
    }
    return api_end(r);
}

CUDA_API CUresult cuModuleLoadData(CUmodule *out, const void *image) {
    return cuModuleLoadDataEx(out, image, 0, NULL, NULL);
}

CUDA_API CUresult cuModuleUnload(CUmodule m) {
    Context *c;
    CUresult r = api_begin(&c);
    if (r == CUDA_SUCCESS && !owns(c, m)) r = CUDA_ERROR_INVALID_HANDLE;
    if (!r) r = context_run(c);
    if (!r) {
        Module **at = &c->modules;
        while (*at != m) at = &(*at)->next;
        *at = m->next;
        module_drop(m);
    }
    return api_end(r);
}

CUDA_API CUresult cuModuleGetFunction(CUfunction *out, CUmodule m, const char *name) {
    Context *c;
    CUresult r = api_begin(&c);
    if (!r && (!out || !name || !owns(c, m))) r = CUDA_ERROR_INVALID_HANDLE;
    if (r) return api_end(r);
    for (u32 n = 0; n < m->n_functions; n++)
        if (m->functions[n]->entry && !strcmp(m->functions[n]->name, name)) {
            *out = m->functions[n];
            return api_end(CUDA_SUCCESS);
        }
    return api_end(CUDA_ERROR_NOT_FOUND);
}

CUDA_API CUresult cuModuleGetGlobal_v2(CUdeviceptr *address, size_t *bytes, CUmodule m, const char *name) {
    Context *c;
    CUresult r = api_begin(&c);
    if (!r && (!name || !owns(c, m))) r = CUDA_ERROR_INVALID_HANDLE;
    if (r) return api_end(r);
    for (u32 n = 0; n < m->n_globals; n++)
        if (!strcmp(m->globals[n].name, name)) {
            if (address) *address = m->globals[n].address;
            if (bytes) *bytes = m->globals[n].bytes;
            return api_end(CUDA_SUCCESS);
        }
    return api_end(CUDA_ERROR_NOT_FOUND);
}

static u32 most_threads(const Function *f) { return f->max_threads ? f->max_threads : MAX_THREADS; }

CUDA_API CUresult cuFuncGetAttribute(int *value, int attribute, CUfunction f) {
    Context *c;
    CUresult r = api_begin(&c);
    if (!r && (!value || !find_kernel(c, f))) r = CUDA_ERROR_INVALID_HANDLE;
    if (r) return api_end(r);
    switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = (int)most_threads(f); break;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES: *value = (int)f->shared_bytes; break;
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES: *value = (int)f->local_stride; break;
    case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES: *value = 0; break;
    case CU_FUNC_ATTRIBUTE_NUM_REGS: *value = 32; break;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION: *value = (int)f->module->sm; break;
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION: *value = (int)api_device_sm(); break;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: *value = (int)f->dynamic_limit; break;
    default: r = CUDA_ERROR_INVALID_VALUE;
    }
    return api_end(r);
}

CUDA_API CUresult cuFuncSetAttribute(CUfunction f, int attribute, int value) {
    Context *c;
    CUresult r = api_begin(&c);
    if (!r && !find_kernel(c, f)) r = CUDA_ERROR_INVALID_HANDLE;
    if (r) return api_end(r);
    if (attribute == CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT) return api_end(CUDA_SUCCESS);
    int most = 0;
    api_attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, &most);
    if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0 ||
        value + (int)f->shared_bytes > most)
        return api_end(CUDA_ERROR_INVALID_VALUE);
    f->dynamic_limit = value;
    return api_end(CUDA_SUCCESS);
}

/* What is wrong with the shape of a launch, or NULL. */
static const char *wrong_shape(const Function *f, const u32 *grid, const u32 *block, u32 dynamic) {
    u64 threads = (u64)block[0] * block[1] * block[2];
    if (!grid[0] || !grid[1] || !grid[2] || grid[0] > 0x7fffffff || grid[1] > 65535 || grid[2] > 65535)
        return "the grid's dims are out of range";
    if (!threads || block[0] > MAX_THREADS || block[1] > MAX_THREADS || block[2] > 64 || threads > most_threads(f))
        return "the block has no thread, or too many";
    if (dynamic > f->dynamic_limit) return "more dynamic shared memory than cuFuncSetAttribute allows";
    if (f->shared_bytes > 48 * 1024) return "more than 48 KiB of static shared memory";
    return NULL;
}

static CUresult take_params(Launch *l, void **params, void **extra) {
    const Function *f = l->f;
    if (extra) {
        const void *buffer = NULL;
        size_t bytes = 0;
        for (; extra[0] != CU_LAUNCH_PARAM_END; extra += 2) {
            if (extra[0] == CU_LAUNCH_PARAM_BUFFER_POINTER) buffer = extra[1];
            if (extra[0] == CU_LAUNCH_PARAM_BUFFER_SIZE) bytes = *(size_t *)extra[1];
        }
        if (params || !buffer || bytes < f->param_bytes) return CUDA_ERROR_INVALID_VALUE;
        memcpy(l->params, buffer, f->param_bytes);
        return CUDA_SUCCESS;
    }
    for (u32 n = 0; n < f->n_params; n++) {
        if (!params || !params[n]) return CUDA_ERROR_INVALID_VALUE;
        memcpy(l->params + f->params[n].offset, params[n], f->params[n].bytes);
    }
    return CUDA_SUCCESS;
}

CUDA_API CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                                 unsigned bz, unsigned shared, CUstream on, void **params, void **extra) {
    Context *c;
    CUresult r = api_begin(&c);
    if (r) return api_end(r);
    Stream *s = stream_of(c, on);
    if (!s || !find_kernel(c, f)) return api_end(CUDA_ERROR_INVALID_HANDLE);
    u32 grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
    const char *wrong = wrong_shape(f, grid, block, shared);
    if (wrong) {
        api_say("kernel '%s': %s (grid %u,%u,%u, block %u,%u,%u, %u bytes shared)", f->name, wrong, gx, gy, gz, bx, by,
                bz, shared);
        return api_end(CUDA_ERROR_INVALID_VALUE);
    }
    Work *w = work_new(WORK_LAUNCH);
    Launch *l = w->launch = calloc(1, sizeof *l);
    if (!l) abort();
    l->f = f;
    memcpy(l->grid, grid, sizeof grid);
    memcpy(l->block, block, sizeof block);
    l->dynamic_bytes = shared;
    l->shared_bytes = f->module->shared_end + shared;
    l->step_limit = strtoull(api_setting("MCC_CUDA_STEPS", "10000000000"), NULL, 0);
    l->races = atoi(api_setting("MCC_CUDA_RACES", "0"));
    r = take_params(l, params, extra);
    if (r) {
        api_say("kernel '%s': its %u parameters are not all given", f->name, f->n_params);
        work_drop(w);
        return api_end(r);
    }
    return api_end(stream_add(s, w));
}
