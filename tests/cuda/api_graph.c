/* Capture of a stream's work as a graph, and its launches. */
#include <stdlib.h>
#include <string.h>

#include "tests/cuda/api.h"

static Graph *graph_new(void) {
    Graph *g = calloc(1, sizeof *g);
    if (!g) abort();
    g->last = &g->first;
    return g;
}

static void graph_drop(Graph *g) {
    for (Work *w = g->first; w;) {
        Work *next = w->next;
        work_drop(w);
        w = next;
    }
    free(g);
}

static Work *work_copy(const Work *w) {
    Work *copy = work_new(w->kind);
    *copy = *w;
    if (w->launch) {
        copy->launch = malloc(sizeof *copy->launch);
        if (!copy->launch) abort();
        *copy->launch = *w->launch;
    }
    copy->next = NULL;
    return copy;
}

CUDA_API CUresult cuStreamBeginCapture_v2(CUstream on, int mode) {
    Context *c;
    CUresult r = api_begin(&c);
    Stream *s = r ? NULL : stream_of(c, on);
    if (!r && !s) r = CUDA_ERROR_INVALID_HANDLE;
    if (!r && s == c->legacy) r = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (!r && s->capture) r = CUDA_ERROR_ILLEGAL_STATE;
    if (r) return api_end(r);
    s->capture = graph_new();
    s->capture_owner = true;
    s->capture_failed = false;
    s->capture_mode = mode;
    return api_end(CUDA_SUCCESS);
}

CUDA_API CUresult cuStreamEndCapture(CUstream on, CUgraph *out) {
    Context *c;
    CUresult r = api_begin(&c);
    Stream *s = r ? NULL : stream_of(c, on);
    if (!r && !s) r = CUDA_ERROR_INVALID_HANDLE;
    if (!r && (!s->capture || !s->capture_owner)) r = CUDA_ERROR_ILLEGAL_STATE;
    if (r) return api_end(r);
    Graph *g = s->capture;
    bool failed = s->capture_failed;
    for (Stream *k = c->streams; k; k = k->next)
        if (k->capture == g) {
            failed |= k->capture_failed;
            k->capture = NULL;
            k->capture_owner = false;
        }
    *out = failed ? NULL : g;
    if (failed) graph_drop(g);
    return api_end(failed ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS);
}

CUDA_API CUresult cuStreamIsCapturing(CUstream on, int *status) {
    Context *c;
    CUresult r = api_begin(&c);
    const Stream *s = r ? NULL : stream_of(c, on);
    if (!r && !s) r = CUDA_ERROR_INVALID_HANDLE;
    if (!r)
        *status = !s->capture         ? CU_STREAM_CAPTURE_STATUS_NONE
                  : s->capture_failed ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                      : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return api_end(r);
}

CUDA_API CUresult cuGraphInstantiateWithFlags(CUgraphExec *out, CUgraph g, unsigned long long flags) {
    Context *c;
    CUresult r = api_begin(&c);
    (void)flags;
    if (!r && (!g || !out)) r = CUDA_ERROR_INVALID_VALUE;
    if (r) return api_end(r);
    Graph *e = graph_new();
    e->executable = true;
    for (const Work *w = g->first; w; w = w->next) {
        *e->last = work_copy(w);
        e->last = &(*e->last)->next;
        e->n++;
    }
    *out = e;
    return api_end(CUDA_SUCCESS);
}

CUDA_API CUresult cuGraphInstantiate_v2(CUgraphExec *out, CUgraph g, void **node, char *log, size_t bytes) {
    if (node) *node = NULL;
    if (log && bytes) *log = 0;
    return cuGraphInstantiateWithFlags(out, g, 0);
}

CUDA_API CUresult cuGraphLaunch(CUgraphExec e, CUstream on) {
    Context *c;
    CUresult r = api_begin(&c);
    Stream *s = r ? NULL : stream_of(c, on);
    if (!r && (!s || !e || !e->executable)) r = CUDA_ERROR_INVALID_HANDLE;
    for (const Work *w = r ? NULL : e->first; w && !r; w = w->next) r = stream_add(s, work_copy(w));
    return api_end(r);
}

/* With NULL nodes: how many there are. */
CUDA_API CUresult cuGraphGetNodes(CUgraph g, void **nodes, size_t *n) {
    Context *c;
    CUresult r = api_begin(&c);
    if (!r && (!g || !n || nodes)) r = CUDA_ERROR_INVALID_VALUE;
    if (!r) *n = g->n;
    return api_end(r);
}

CUDA_API CUresult cuGraphExecDestroy(CUgraphExec e) {
    Context *c;
    CUresult r = api_begin(&c);
    if (!r && (!e || !e->executable)) r = CUDA_ERROR_INVALID_HANDLE;
    if (!r) graph_drop(e);
    return api_end(r);
}

CUDA_API CUresult cuGraphDestroy(CUgraph g) {
    Context *c;
    CUresult r = api_begin(&c);
    if (!r && (!g || g->executable)) r = CUDA_ERROR_INVALID_HANDLE;
    if (!r) graph_drop(g);
    return api_end(r);
}
