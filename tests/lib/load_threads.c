/* Threads that load a model, call it and unload it, over and over, beside one that stays loaded: its outputs keep their
 * bits. And mcc_main, with files of its own. */
#include <mcc/mcc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 3, TURNS = 3, PIXELS = 28 * 28, CLASSES = 10, ALIGN = 64 };
static const char *path;
static float want[CLASSES];

static int classify(const mcc_model *m, float *out) {
    static _Thread_local float image[PIXELS];
    for (int i = 0; i < PIXELS; i++) image[i] = (float)(i * 37 % 256);
    mcc_tensor in = {image, sizeof image, 1, 4, {1, 1, 28, 28}}, result = {out, CLASSES * sizeof *out, 1, 2, {0}};
    void *workspace = aligned_alloc(ALIGN, (m->workspace_bytes / ALIGN + 1) * ALIGN);
    int status = workspace ? m->run(&in, &result, workspace) : MCC_E_NULL;
    free(workspace);
    return status;
}

static void *turns(void *level) {
    for (int i = 0; i < TURNS; i++) {
        mcc_loaded *l;
        float out[CLASSES] = {0};
        const char *options[] = {level};
        if (mcc_load(path, options, 1, &l) != MCC_DONE) return "not loaded";
        int status = classify(mcc_loaded_model(l), out);
        mcc_unload(l);
        if (status != MCC_OK) return "not called";
        for (int k = 0; k < CLASSES; k++)
            if (!(out[k] > want[k] - 1e-4f && out[k] < want[k] + 1e-4f)) return "another output";
    }
    return NULL;
}

int main(int argc, char **argv) {
    mcc_loaded *first;
    float again[CLASSES];
    pthread_t thread[THREADS];
    char *levels[THREADS] = {"-O2", "-Os", "-O3"}, *compile[] = {"mcc", argv[1], "-o", "threads.o", NULL};
    int failed = argc != 2;
    path = argv[1];
    if (failed || mcc_load(path, NULL, 0, &first) != MCC_DONE || classify(mcc_loaded_model(first), want)) return 1;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, turns, levels[i])) return 1;
    if (mcc_main(4, compile) != MCC_DONE) failed = puts("mcc_main failed");
    for (int i = 0; i < THREADS; i++) {
        void *problem;
        pthread_join(thread[i], &problem);
        if (problem) failed = printf("thread %d: %s\n", i, (char *)problem);
    }
    if (classify(mcc_loaded_model(first), again) || memcmp(again, want, sizeof want)) failed = puts("other bits");
    mcc_unload(first);
    return failed != 0;
}
