/* Names of results, and the driver's own table of functions. */
#include <dlfcn.h>
#include <string.h>

#include "tests/cuda/api.h"

static const struct {
    CUresult code;
    const char *name, *text;
} results[] = {
#define RESULT(name, number, text) {number, #name, text},
    CUDA_RESULTS(RESULT)
#undef RESULT
};

CUDA_API CUresult cuGetErrorName(CUresult code, const char **name) {
    for (size_t n = 0; n < sizeof results / sizeof *results; n++)
        if (results[n].code == code) return *name = results[n].name, CUDA_SUCCESS;
    *name = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}

CUDA_API CUresult cuGetErrorString(CUresult code, const char **text) {
    for (size_t n = 0; n < sizeof results / sizeof *results; n++)
        if (results[n].code == code) return *text = results[n].text, CUDA_SUCCESS;
    *text = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}

/* The newest form of a function that is here. status: 0 found, 1 not */
CUDA_API CUresult cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags, int *status) {
    static const char *const suffixes[] = {"_v2", ""};
    Dl_info self;
    (void)version, (void)flags;
    if (!symbol || !function) return CUDA_ERROR_INVALID_VALUE;
    *function = NULL;
    void *library = dladdr(results, &self) ? dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    for (int n = 0; library && n < 2 && !*function; n++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s", symbol, suffixes[n]);
        *function = dlsym(library, name);
    }
    if (library) dlclose(library);
    if (status) *status = !*function;
    return *function ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}
