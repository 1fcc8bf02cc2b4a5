/* Device memory, copies and fills. */
#include <stdlib.h>
#include <string.h>

#include "tests/cuda/api.h"

static CUresult take(Context *c, CUdeviceptr *out, size_t bytes) {
    if (!out || !bytes) return CUDA_ERROR_INVALID_VALUE;
    *out = heap_take(bytes);
    if (!*out) return CUDA_ERROR_OUT_OF_MEMORY;
    if (c->n_allocations == c->cap_allocations) {
        c->cap_allocations = c->cap_allocations ? 2 * c->cap_allocations : 64;
        c->allocations = realloc(c->allocations, c->cap_allocations * sizeof *c->allocations);
        if (!c->allocations) abort();
    }
    c->allocations[c->n_allocations++] = *out;
    return CUDA_SUCCESS;
}

CUresult memory_give(Context *c, u64 address) {
    for (u32 n = 0; n < c->n_allocations; n++)
        if (c->allocations[n] == address) {
            c->allocations[n] = c->allocations[--c->n_allocations];
            heap_give(address);
            return CUDA_SUCCESS;
        }
    return CUDA_ERROR_INVALID_VALUE;
}

void memory_forget(Context *c) {
    while (c->n_allocations) heap_give(c->allocations[--c->n_allocations]);
    free(c->allocations);
    c->allocations = NULL;
    c->cap_allocations = 0;
}

CUDA_API CUresult cuMemAlloc_v2(CUdeviceptr *out, size_t bytes) {
    Context *c;
    CUresult r = api_begin(&c);
    if (!r && context_captures(c, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)) r = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (!r) r = take(c, out, bytes);
    return api_end(r);
}

CUDA_API CUresult cuMemFree_v2(CUdeviceptr address) {
    Context *c;
    CUresult r = api_begin(&c);
    if (!r && context_captures(c, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)) r = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (!r && address) r = context_run(c);
    if (!r && address) r = memory_give(c, address);
    return api_end(r);
}

CUDA_API CUresult cuMemAllocAsync(CUdeviceptr *out, size_t bytes, CUstream on) {
    Context *c;
    CUresult r = api_begin(&c);
    const Stream *s = r ? NULL : stream_of(c, on);
    if (!r && !s) r = CUDA_ERROR_INVALID_HANDLE;
    if (!r && s->capture) r = CUDA_ERROR_NOT_SUPPORTED;
    if (!r) r = take(c, out, bytes);
    return api_end(r);
}

CUDA_API CUresult cuMemFreeAsync(CUdeviceptr address, CUstream on) {
    Context *c;
    CUresult r = api_begin(&c);
    Stream *s = r ? NULL : stream_of(c, on);
    if (!r && !s) r = CUDA_ERROR_INVALID_HANDLE;
    if (!r && s->capture) r = CUDA_ERROR_NOT_SUPPORTED;
    if (r || !address) return api_end(r);
    Work *w = work_new(WORK_FREE);
    w->to = address;
    return api_end(stream_add(s, w));
}

CUDA_API CUresult cuMemGetInfo_v2(size_t *unused, size_t *total) {
    Context *c;
    CUresult r = api_begin(&c);
    if (!r) *unused = heap_size() - heap_live();
    if (!r) *total = heap_size();
    return api_end(r);
}

/* ---- host memory that the device sees ---- */

typedef struct Pinned {
    u8 *start;
    size_t bytes;
    struct Pinned *next;
} Pinned;
static Pinned *pinned;

bool host_is_pinned(const void *p) {
    for (const Pinned *k = pinned; k; k = k->next)
        if ((const u8 *)p >= k->start && (const u8 *)p < k->start + k->bytes) return true;
    return false;
}

CUDA_API CUresult cuMemHostAlloc(void **out, size_t bytes, unsigned flags) {
    Context *c;
    CUresult r = api_begin(&c);
    (void)flags;
    if (!r && (!out || !bytes)) r = CUDA_ERROR_INVALID_VALUE;
    if (r) return api_end(r);
    Pinned *k = calloc(1, sizeof *k);
    *out = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    if (!k || !*out) abort();
    *k = (Pinned){*out, bytes, pinned};
    pinned = k;
    return api_end(CUDA_SUCCESS);
}

CUDA_API CUresult cuMemAllocHost_v2(void **out, size_t bytes) { return cuMemHostAlloc(out, bytes, 0); }

CUDA_API CUresult cuMemFreeHost(void *p) {
    Context *c;
    CUresult r = api_begin(&c);
    if (!r) r = context_run(c);
    if (r) return api_end(r);
    for (Pinned **at = &pinned; *at; at = &(*at)->next) {
        Pinned *k = *at;
        if (k->start != p) continue;
        *at = k->next;
        free(k->start);
        free(k);
        return api_end(CUDA_SUCCESS);
    }
    return api_end(CUDA_ERROR_INVALID_VALUE);
}

/* ---- copies and fills ---- */

/* One piece of work on memory, when its turn has come. */
CUresult memory_run(const Work *w) {
    void *to = w->kind == WORK_TO_HOST ? w->host : heap_view(w->to, w->bytes);
    const void *from = w->kind == WORK_TO_DEVICE ? (w->copied ? w->copied : w->host)
                       : w->kind == WORK_FILL    ? ""
                                                 : heap_view(w->from, w->bytes);
    if (!w->bytes) return CUDA_SUCCESS;
    if (!to || !from) {
        api_say("a copy or fill of %llu bytes at 0x%llx, which are no longer allocated", (unsigned long long)w->bytes,
                (unsigned long long)(to ? w->from : w->to));
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    }
    if (w->kind != WORK_FILL) memmove(to, from, w->bytes);
    else
        for (u64 n = 0; n < w->bytes; n += w->width) memcpy((u8 *)to + n, &w->value, w->width);
    return CUDA_SUCCESS;
}

/* Queues a copy or a fill, and waits for it where the caller's function does. */
static CUresult queue(WorkKind kind, u64 to, u64 from, void *host, u64 bytes, u32 value, u32 width, CUstream on,
                      bool wait) {
    Context *c;
    CUresult r = api_begin(&c);
    Stream *s = r ? NULL : stream_of(c, on);
    if (!r && !s) r = CUDA_ERROR_INVALID_HANDLE;
    bool writes = kind != WORK_TO_HOST, reads = kind == WORK_COPY || kind == WORK_TO_HOST;
    if (!r && bytes &&
        ((writes && !heap_view(to, bytes)) || (reads && !heap_view(from, bytes)) ||
         (!host && (kind == WORK_TO_HOST || kind == WORK_TO_DEVICE)))) {
        api_say("a copy or fill of %llu bytes: to 0x%llx, from 0x%llx, host %p", (unsigned long long)bytes,
                (unsigned long long)to, (unsigned long long)from, host);
        r = CUDA_ERROR_INVALID_VALUE;
    }
    if (!r && wait && context_captures(c, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL))
        r = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (r) return api_end(r);
    Work *w = work_new(kind);
    w->to = to, w->from = from, w->host = host, w->bytes = bytes, w->value = value, w->width = width;
    bool pageable = (kind == WORK_TO_HOST || kind == WORK_TO_DEVICE) && !s->capture && !host_is_pinned(host);
    if (pageable && kind == WORK_TO_DEVICE && bytes) {
        w->copied = malloc(bytes);
        if (!w->copied) abort();
        memcpy(w->copied, host, bytes);
    }
    r = stream_add(s, w);
    if (!r && (wait || (pageable && kind == WORK_TO_HOST))) r = stream_run(s, s->queued);
    return api_end(r);
}

CUDA_API CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes) {
    return queue(WORK_TO_DEVICE, to, 0, (void *)(uintptr_t)from, bytes, 0, 1, NULL, true);
}
CUDA_API CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes) {
    return queue(WORK_TO_HOST, 0, from, to, bytes, 0, 1, NULL, true);
}
CUDA_API CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
    return queue(WORK_COPY, to, from, NULL, bytes, 0, 1, NULL, false);
}
CUDA_API CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream s) {
    return queue(WORK_TO_DEVICE, to, 0, (void *)(uintptr_t)from, bytes, 0, 1, s, false);
}
CUDA_API CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream s) {
    return queue(WORK_TO_HOST, 0, from, to, bytes, 0, 1, s, false);
}
CUDA_API CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream s) {
    return queue(WORK_COPY, to, from, NULL, bytes, 0, 1, s, false);
}
CUDA_API CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char v, size_t n) {
    return queue(WORK_FILL, to, 0, NULL, n, v, 1, NULL, false);
}
CUDA_API CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char v, size_t n, CUstream s) {
    return queue(WORK_FILL, to, 0, NULL, n, v, 1, s, false);
}

static CUresult fill_words(CUdeviceptr to, u32 v, size_t n, CUstream s) {
    if (to % 4 || n > SIZE_MAX / 4) return CUDA_ERROR_INVALID_VALUE;
    return queue(WORK_FILL, to, 0, NULL, n * 4, v, 4, s, false);
}
CUDA_API CUresult cuMemsetD32_v2(CUdeviceptr to, unsigned v, size_t n) { return fill_words(to, v, n, NULL); }
CUDA_API CUresult cuMemsetD32Async(CUdeviceptr to, unsigned v, size_t n, CUstream s) { return fill_words(to, v, n, s); }
