/* Streams and events: queues of work, run as late as may be. */
#include <stdlib.h>
#include <time.h>

#include "tests/cuda/api.h"

Work *work_new(WorkKind kind) {
    Work *w = calloc(1, sizeof *w);
    if (!w) abort();
    w->kind = kind;
    return w;
}

void work_drop(Work *w) {
    free(w->launch);
    free(w->copied);
    free(w);
}

Stream *stream_new(Context *c, bool blocking) {
    Stream *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->context = c;
    s->blocking = blocking;
    s->last = &s->first;
    s->next = c->streams;
    c->streams = s;
    return s;
}

void stream_drop(Stream *s) {
    for (Work *w = s->first; w;) {
        Work *next = w->next;
        work_drop(w);
        w = next;
    }
    Stream **at = &s->context->streams;
    while (*at != s) at = &(*at)->next;
    *at = s->next;
    free(s);
}

Stream *stream_of(Context *c, CUstream on) {
    if (!on || on == (CUstream)1) return c->legacy;
    for (Stream *s = c->streams; s; s = s->next)
        if (s == on) return s;
    return NULL;
}

bool context_captures(const Context *c, int least_mode) {
    for (const Stream *s = c->streams; s; s = s->next)
        if (s->capture && s->capture_mode <= least_mode) return true;
    return false;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static CUresult run_launch(Launch *l) {
    l->result = CUDA_SUCCESS;
    launch_run(l);
    if (l->result) api_say("%s", l->message);
    return l->result;
}

static CUresult run_one(Stream *s, Work *w) {
    switch (w->kind) {
    case WORK_LAUNCH: return run_launch(w->launch);
    case WORK_EVENT:
        w->event->done = true;
        w->event->time = now();
        return CUDA_SUCCESS;
    case WORK_WAIT: return stream_of(s->context, w->stream) ? stream_run(w->stream, w->upto) : CUDA_SUCCESS;
    case WORK_FREE:
        if (!memory_give(s->context, w->to)) return CUDA_SUCCESS;
        api_say("0x%llx is freed, but not allocated", (unsigned long long)w->to);
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    default: return memory_run(w);
    }
}

CUresult stream_run(Stream *s, u64 upto) {
    while (s->done < upto && s->first) {
        Work *w = s->first;
        s->first = w->next;
        if (!s->first) s->last = &s->first;
        s->done++;
        CUresult r = s->context->failed ? s->context->failed : run_one(s, w);
        work_drop(w);
        if (r) return s->context->failed = r;
    }
    return s->context->failed;
}

CUresult context_run(Context *c) {
    for (Stream *s = c->streams; s; s = s->next) stream_run(s, s->queued);
    return c->failed;
}

/* The legacy stream and the blocking ones wait for each other. */
static CUresult wait_for_others(Stream *s) {
    Context *c = s->context;
    if (s != c->legacy) return s->blocking ? stream_run(c->legacy, c->legacy->queued) : CUDA_SUCCESS;
    for (Stream *other = c->streams; other; other = other->next) {
        if (other == s || !other->blocking) continue;
        if (other->capture) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
        CUresult r = stream_run(other, other->queued);
        if (r) return r;
    }
    return CUDA_SUCCESS;
}

CUresult stream_add(Stream *s, Work *w) {
    w->next = NULL;
    if (s->capture) {
        *s->capture->last = w;
        s->capture->last = &w->next;
        s->capture->n++;
        return CUDA_SUCCESS;
    }
    CUresult r = wait_for_others(s);
    if (r) {
        work_drop(w);
        return r;
    }
    *s->last = w;
    s->last = &w->next;
    s->queued++;
    return CUDA_SUCCESS;
}

CUDA_API CUresult cuStreamCreate(CUstream *out, unsigned flags) {
    Context *c;
    CUresult r = api_begin(&c);
    if (!r && (!out || flags > CU_STREAM_NON_BLOCKING)) r = CUDA_ERROR_INVALID_VALUE;
    if (!r) *out = stream_new(c, flags != CU_STREAM_NON_BLOCKING);
    return api_end(r);
}

CUDA_API CUresult cuStreamDestroy_v2(CUstream on) {
    Context *c;
    CUresult r = api_begin(&c);
    Stream *s = r || !on ? NULL : stream_of(c, on);
    if (!r && !s) r = CUDA_ERROR_INVALID_HANDLE;
    if (!r) r = stream_run(s, s->queued);
    if (s) stream_drop(s);
    return api_end(r);
}

/* What a function that waits for a stream begins with. */
static CUresult stream_begin(CUstream on, Context **c, Stream **s) {
    CUresult r = api_begin(c);
    *s = r ? NULL : stream_of(*c, on);
    if (!r && !*s) r = CUDA_ERROR_INVALID_HANDLE;
    if (!r && (*s)->capture) {
        (*s)->capture_failed = true;
        r = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    return r;
}

CUDA_API CUresult cuStreamSynchronize(CUstream on) {
    Context *c;
    Stream *s;
    CUresult r = stream_begin(on, &c, &s);
    if (!r && s == c->legacy) r = wait_for_others(s);
    if (!r) r = stream_run(s, s->queued);
    return api_end(r);
}

/* Work that is still there is not ready this time, and done the next. */
CUDA_API CUresult cuStreamQuery(CUstream on) {
    Context *c;
    Stream *s;
    CUresult r = stream_begin(on, &c, &s);
    bool pending = !r && s->first;
    if (pending) r = stream_run(s, s->queued);
    return api_end(r ? r : pending ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS);
}

/* ---- events ---- */

CUDA_API CUresult cuEventCreate(CUevent *out, unsigned flags) {
    Context *c;
    CUresult r = api_begin(&c);
    (void)flags;
    if (r) return api_end(r);
    Event *e = calloc(1, sizeof *e);
    if (!e) abort();
    e->context = c;
    *out = e;
    return api_end(CUDA_SUCCESS);
}

/* Work may still name the event: it runs first. */
CUDA_API CUresult cuEventDestroy_v2(CUevent e) {
    Context *c;
    CUresult r = api_begin(&c);
    if (!r && !e) r = CUDA_ERROR_INVALID_HANDLE;
    if (!r) r = context_run(c);
    if (!r) free(e);
    return api_end(r);
}

CUDA_API CUresult cuEventRecord(CUevent e, CUstream on) {
    Context *c;
    CUresult r = api_begin(&c);
    Stream *s = r ? NULL : stream_of(c, on);
    if (!r && (!s || !e)) r = CUDA_ERROR_INVALID_HANDLE;
    if (r) return api_end(r);
    e->capture = s->capture;
    if (s->capture) return api_end(CUDA_SUCCESS);
    Work *w = work_new(WORK_EVENT);
    w->event = e;
    e->done = false;
    r = stream_add(s, w);
    e->stream = s;
    e->upto = s->queued;
    return api_end(r);
}

CUDA_API CUresult cuStreamWaitEvent(CUstream on, CUevent e, unsigned flags) {
    Context *c;
    CUresult r = api_begin(&c);
    Stream *s = r ? NULL : stream_of(c, on);
    (void)flags;
    if (!r && (!s || !e)) r = CUDA_ERROR_INVALID_HANDLE;
    if (r || (s->capture && s->capture == e->capture)) return api_end(r);
    if (e->capture) { /* the stream joins the capture; its work is in order with the rest */
        s->capture = e->capture;
        return api_end(CUDA_SUCCESS);
    }
    if (!e->stream || e->done) return api_end(CUDA_SUCCESS);
    Work *w = work_new(WORK_WAIT);
    w->stream = e->stream;
    w->upto = e->upto;
    return api_end(stream_add(s, w));
}

CUDA_API CUresult cuEventSynchronize(CUevent e) {
    Context *c;
    CUresult r = api_begin(&c);
    if (!r && !e) r = CUDA_ERROR_INVALID_HANDLE;
    if (!r && e->stream && !e->done) r = stream_run(e->stream, e->upto);
    return api_end(r);
}

CUDA_API CUresult cuEventQuery(CUevent e) {
    Context *c;
    CUresult r = api_begin(&c);
    bool pending = !r && e->stream && !e->done;
    if (pending) r = stream_run(e->stream, e->upto);
    return api_end(r ? r : pending ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS);
}

CUDA_API CUresult cuEventElapsedTime(float *ms, CUevent from, CUevent to) {
    Context *c;
    CUresult r = api_begin(&c);
    if (!r && (!from || !to || !from->stream || !to->stream)) r = CUDA_ERROR_INVALID_HANDLE;
    if (!r && (!from->done || !to->done)) r = CUDA_ERROR_NOT_READY;
    if (!r) *ms = (float)((to->time - from->time) * 1e3);
    return api_end(r);
}
