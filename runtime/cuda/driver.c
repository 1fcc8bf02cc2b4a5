/* Finds the driver's functions, and keeps what went wrong as text for the thread that it happened to. */
#include "runtime/cuda/driver.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "mcc/runtime.h"

static _Thread_local char problem[512];
static Driver driver;
static bool loaded;
static char why_not[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

const char *mcc_cuda_problem(void) { return problem; }

void driver_problem(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(problem, sizeof problem, format, args);
    va_end(args);
}

static bool find(void *library, const char *name,
                 void *function) { /* ISO C has no way from an object's address to a function's */
    void *p = dlsym(library, name);
    memcpy(function, &p, sizeof p);
    if (!p) snprintf(why_not, sizeof why_not, "libcuda.so.1 has no %s: the driver is too old", name);
    return p != NULL;
}

static void load(void) {
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *text = dlerror();
        snprintf(why_not, sizeof why_not, "NVIDIA's driver is not there: %s", text ? text : "libcuda.so.1");
        return;
    }
    bool all = true;
#define FUNCTION(field, name, parameters) all = all && find(library, #name, &driver.field);
    DRIVER_FUNCTIONS
#undef FUNCTION
    if (!all) return;
    int result = driver.init(0);
    if (result == CU_SUCCESS) loaded = true;
    else snprintf(why_not, sizeof why_not, "NVIDIA's driver does not start: error %d (is there a GPU?)", result);
}

const Driver *driver_load(void) {
    pthread_once(&once, load);
    if (loaded) return &driver;
    driver_problem("%s", why_not);
    return NULL;
}

bool driver_did(const Driver *d, int result, const char *what) {
    const char *name = NULL;
    if (result == CU_SUCCESS) return true;
    if (d->error_name(result, &name) != CU_SUCCESS || !name) name = "unknown error";
    driver_problem("%s: %s (%d)", what, name, result);
    return false;
}
