/* One call of a compiled model. Inputs are read-only, workspace and outputs hold a chosen byte, and behind and before
 * each buffer lies a page that cannot be touched: what reads or writes beyond a buffer dies at once. */
#include "driver/call.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static bool buffer_new(Buffer *b, size_t bytes, size_t align, bool high) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (bytes + page - 1) / page * page;
    if (bytes > SIZE_MAX / 2) return false;
    char *map = mmap(NULL, body + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) return false;
    b->map = map;
    b->map_bytes = body + 2 * page;
    b->data = map + page + (high ? (body - bytes) / align * align : 0);
    return !body || !mprotect(map + page, body, PROT_READ | PROT_WRITE);
}

static void buffer_read_only(const Buffer *b) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (b->map_bytes > 2 * page) mprotect(b->map + page, b->map_bytes - 2 * page, PROT_READ);
}

/* The most that a tensor may need. false: more than memory has. */
static bool capacity(const mcc_tensor_info *info, size_t *bytes) {
    int64_t n;
    return product_i64(info->max_dims, info->rank, &n) && dtype_bytes((Dtype)info->dtype, n, bytes);
}

static size_t element_align(int32_t dtype) {
    int bytes = dtype_bits((Dtype)dtype) / 8;
    return bytes < 1 ? 1 : bytes > 8 ? 8 : (size_t)bytes;
}

static bool set_input(mcc_tensor *t, Buffer *b, const Tensor *from, bool high) {
    *t = (mcc_tensor){.bytes = from->bytes, .dtype = (int32_t)from->dtype, .rank = from->rank};
    memcpy(t->dims, from->dims, sizeof t->dims);
    if (!buffer_new(b, from->bytes, element_align(t->dtype), high)) return false;
    t->data = b->data;
    if (from->bytes) memcpy(b->data, from->data, from->bytes);
    buffer_read_only(b);
    return true;
}

static bool set_output(mcc_tensor *t, Buffer *b, const mcc_tensor_info *info, Placement place) {
    *t = (mcc_tensor){.dtype = info->dtype, .rank = info->rank};
    if (!capacity(info, &t->bytes) || !buffer_new(b, t->bytes, element_align(t->dtype), place.high)) return false;
    t->data = b->data;
    memset(b->data, place.outputs, t->bytes);
    return true;
}

bool call_prepare(Call *c, Arena *a, const mcc_model *m, const Tensor *const *in, Placement place) {
    int n = m->n_inputs + m->n_outputs;
    *c = (Call){.model = m, .place = place, .n_buffers = n + 1};
    c->in = ARENA_ARRAY(a, m->n_inputs, mcc_tensor);
    c->out = ARENA_ARRAY(a, m->n_outputs, mcc_tensor);
    c->buffers = ARENA_ARRAY(a, n + 1, Buffer);
    bool good = buffer_new(&c->buffers[n], m->workspace_bytes, m->workspace_align, place.high);
    if (good) memset(c->buffers[n].data, place.workspace, m->workspace_bytes);
    for (int i = 0; i < m->n_inputs && good; i++) good = set_input(&c->in[i], &c->buffers[i], in[i], place.high);
    for (int i = 0; i < m->n_outputs && good; i++)
        good = set_output(&c->out[i], &c->buffers[m->n_inputs + i], &m->outputs[i], place);
    if (!good) say_error("out of memory for the model's buffers");
    return good;
}

void *call_workspace(const Call *c) { return c->buffers[c->n_buffers - 1].data; }

int call_run(Call *c) { return c->model->run(c->in, c->out, call_workspace(c)); }

bool call_output(const Call *c, int i, Tensor *out) {
    const mcc_tensor *t = &c->out[i];
    const mcc_tensor_info *info = &c->model->outputs[i];
    *out = (Tensor){.dtype = (Dtype)t->dtype, .rank = t->rank, .data = t->data};
    int64_t n;
    if (t->rank != info->rank || t->dtype != info->dtype) return false;
    for (int d = 0; d < t->rank; d++) {
        out->dims[d] = t->dims[d];
        if (t->dims[d] < 0 || t->dims[d] > info->max_dims[d] || (info->dims[d] >= 0 && info->dims[d] != t->dims[d]))
            return false;
    }
    return product_i64(out->dims, out->rank, &n) && dtype_bytes(out->dtype, n, &out->bytes) && out->bytes <= t->bytes;
}

void call_free(Call *c) {
    for (int i = 0; i < c->n_buffers; i++)
        if (c->buffers[i].map) munmap(c->buffers[i].map, c->buffers[i].map_bytes);
    c->n_buffers = 0;
}

const char *call_status(int status) {
    static const char *const words[] = {
        "MCC_OK",
        "MCC_E_NULL: a pointer is NULL",
        "MCC_E_DTYPE: an input's dtype is not the model's",
        "MCC_E_SHAPE: an input's rank or dims do not fit the model",
        "MCC_E_BOUND: a dim is above the maximum that the code was compiled for",
        "MCC_E_SPACE: a buffer is too small",
        "MCC_E_ALIGN: a buffer is misaligned",
        "MCC_E_INDEX: a tensor value is out of range as an index or a size",
        "MCC_E_TRIP: a loop ran past its trip bound",
        "MCC_E_DEVICE: the device or its driver failed",
    };
    static char device[512];
    if (status == MCC_E_DEVICE && *mcc_cuda_problem()) {
        snprintf(device, sizeof device, "MCC_E_DEVICE: %s", mcc_cuda_problem());
        return device;
    }
    return status >= 0 && status < (int)(sizeof words / sizeof *words) ? words[status]
                                                                       : "a status that runtime.h does not know";
}
