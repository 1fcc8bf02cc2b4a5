/* One input's file, by its extension: .npy and a .npz's member are read a few rows at a time, a TensorProto at once,
 * raw bytes as elements of the input's dtype and dims. */
#include "compress/sample_files.h"
#include "compress/image.h"
#include "frontend/frontend.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Request {
    Ctx *ctx;
    Arena *arena;
    const char *path;
    const mcc_tensor_info *input;
    bool only_input;
    const SampleOptions *options;
} Request;

typedef bool (*Opener)(const Request *r, SampleFile *f, const char **why);

FILE *sample_fopen(const char *path, size_t *size, const char **why) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    FILE *f = NULL;
    *why = NULL;
    if (fd < 0 || fstat(fd, &st)) *why = strerror(errno);
    else if (!S_ISREG(st.st_mode)) *why = "it is not a regular file";
    else if (!(f = fdopen(fd, "rb"))) *why = strerror(errno);
    else *size = (size_t)st.st_size;
    if (!f && fd >= 0) close(fd);
    return f;
}

/* An array from the file's place on. Of a column-major one the rows are scattered: it is read as a whole. */
static bool open_array(const Request *r, SampleFile *f, size_t limit, const char **why) {
    if ((*why = npy_open(r->arena, f->file, limit, &f->array))) return false;
    f->shape = f->array.shape;
    if (!f->array.fortran) return true;
    f->whole = npy_rows(r->arena, &f->array, 0, f->shape.dims[0], why);
    return !*why;
}

static bool open_npy(const Request *r, SampleFile *f, const char **why) {
    size_t size;
    return (f->file = sample_fopen(r->path, &size, why)) && open_array(r, f, size, why);
}

static bool open_npz(const Request *r, SampleFile *f, const char **why) {
    size_t size, at, bytes;
    const char *other;
    if (!(f->file = sample_fopen(r->path, &size, why))) return false;
    if (!npz_find(r->arena, f->file, size, r->input->name, &at, &bytes, why) &&
        (!r->only_input || !npz_find(r->arena, f->file, size, NULL, &at, &bytes, &other)))
        return false;
    if (fseek(f->file, (long)at, SEEK_SET)) return *why = strerror(errno), false;
    return open_array(r, f, bytes, why);
}

/* In a Ctx of its own, which takes the mapped file with it. Its message says what is wrong. */
static bool open_pb(const Request *r, SampleFile *f, const char **why) {
    *why = "it cannot be used";
    Ctx *own = ctx_new(r->path);
    if (!own) return false;
    own->opt = r->ctx->opt;
    mem_limit(own, r->ctx->opt.max_memory);
    MemTry t;
    bool good = false;
    if (mem_enter(own, &t), !setjmp(t.jump)) {
        const Tensor *read = onnx_read_tensor(own, graph_new(own, NULL), r->path, NULL);
        good = read && dtype_bits(read->dtype) >= 8;
        if (good) {
            Tensor *copy = ARENA_NEW(r->arena, Tensor);
            void *data = arena_alloc(r->arena, read->bytes + 1);
            if (read->bytes) memcpy(data, read->data, read->bytes);
            *copy = *read;
            copy->data = data;
            f->whole = copy;
            f->shape = *copy;
        }
        mem_leave(own, &t);
    }
    onnx_unmap(own);
    ctx_free(own);
    return good;
}

/* As many samples as the bytes make. An open dim cannot be told from bytes, but for the first. */
static bool open_raw(const Request *r, SampleFile *f, const char **why) {
    const mcc_tensor_info *in = r->input;
    Tensor *t = &f->array.shape;
    size_t size, row;
    int64_t n = 1;
    *why = NULL;
    if (!(f->file = sample_fopen(r->path, &size, why))) return false;
    *t = (Tensor){.dtype = (Dtype)in->dtype, .rank = in->rank ? in->rank : 1, .dims = {1}, .bytes = size};
    f->array.file = f->file;
    f->array.item = (size_t)dtype_bits(t->dtype) / 8;
    for (int i = 1; i < in->rank; i++) {
        if (in->dims[i] < 0) *why = "raw bytes do not say the input's open dimensions: use .npy";
        t->dims[i] = in->dims[i];
    }
    if (*why) return false;
    if (!product_i64(t->dims + 1, t->rank - 1, &n) || !f->array.item || !dtype_bytes(t->dtype, n, &row) || row == 0 ||
        size % row != 0 || size == 0)
        return *why = "its bytes are no multiple of what the input takes", false;
    t->dims[0] = (int64_t)(size / row);
    f->shape = *t;
    return true;
}

static bool open_image(const Request *r, SampleFile *f, const char **why) {
    size_t size;
    if (!(f->file = sample_fopen(r->path, &size, why))) return false;
    Tensor *t = image_to_tensor(r->arena, f->file, r->input, r->options, why);
    if (!t) return false;
    f->whole = t;
    f->shape = *t;
    return true;
}

static const struct {
    const char *extension;
    Opener open;
} formats[] = {{".npy", open_npy},   {".npz", open_npz},   {".pb", open_pb},     {".raw", open_raw},
               {".bin", open_raw},   {".png", open_image}, {".jpg", open_image}, {".jpeg", open_image},
               {".ppm", open_image}, {".pgm", open_image}};
enum { N_FORMATS = sizeof formats / sizeof *formats };

bool has_extension(const char *path, const char *extension) {
    size_t n = strlen(path), m = strlen(extension);
    return n > m && !strcasecmp(path + n - m, extension);
}

static Opener opener_of(const char *path) {
    for (int i = 0; i < N_FORMATS; i++)
        if (has_extension(path, formats[i].extension)) return formats[i].open;
    return NULL;
}

const char *sample_extension(int i) { return i < N_FORMATS ? formats[i].extension : NULL; }
bool sample_format_known(const char *path) { return opener_of(path) != NULL; }

bool sample_file_open(Ctx *ctx, Arena *a, const char *path, const mcc_tensor_info *input, bool only_input,
                      const SampleOptions *o, SampleFile *f, const char **why) {
    Request r = {ctx, a, path, input, only_input, o};
    Opener open_file = opener_of(path);
    *f = (SampleFile){0};
    *why = "its extension is none of .npy, .npz, .pb, .raw, .bin, .png, .jpg, .ppm";
    return open_file && open_file(&r, f, why);
}

Tensor *sample_file_rows(Arena *a, const SampleFile *f, int64_t first, int64_t count, const char **why) {
    if (!f->whole) return npy_rows(a, &f->array, first, count, why);
    Tensor *t = ARENA_NEW(a, Tensor);
    *t = *f->whole;
    if (t->rank == 0 || t->dims[0] == 0) return t;
    size_t row = t->bytes / (size_t)t->dims[0];
    t->data = (const char *)t->data + row * (size_t)first;
    t->dims[0] = count;
    t->bytes = row * (size_t)count;
    return t;
}

void sample_file_close(SampleFile *f) {
    if (f->file) fclose(f->file);
    *f = (SampleFile){0};
}
