/* Calibration samples: every format and arrangement gives the tensors that were written, in order; files that lie, do
 * not fit or hold a NaN are refused with a message. Archives cut short anywhere are refused or read, never overrun. */
#include "compress/samples.h"
#include "frontend/npy.h"
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int failures;
#define CHECK(...)                                                                                                     \
    ((__VA_ARGS__) ? (void)0 : (void)(failures++, printf("%s:%d: %s\n", __FILE__, __LINE__, #__VA_ARGS__)))

static char base[] = "/tmp/mcc-test-samples-XXXXXX";
static Ctx *ctx;

static const char *in_base(const char *name) { return arena_printf(ctx->arena, "%s/%s", base, name); }

static Tensor make(Dtype t, int rank, const int64_t *dims, const void *data) {
    Tensor x = {.dtype = t, .rank = rank, .data = data};
    int64_t n;
    memcpy(x.dims, dims, sizeof *dims * (size_t)rank);
    CHECK(product_i64(dims, rank, &n) && dtype_bytes(t, n, &x.bytes));
    return x;
}

static void write_npy(const char *name, Dtype t, int rank, const int64_t *dims, const void *data) {
    Tensor x = make(t, rank, dims, data);
    FILE *f = fopen(in_base(name), "wb");
    CHECK(f && npy_write(f, &x));
    if (f) fclose(f);
}

static void write_bytes(const char *name, const void *data, size_t n) {
    FILE *f = fopen(in_base(name), "wb");
    CHECK(f && (!n || fwrite(data, 1, n, f) == n));
    if (f) fclose(f);
}

static mcc_tensor_info input(const char *name, Dtype t, int rank, const int64_t *dims) {
    mcc_tensor_info in = {.name = name, .dtype = (int32_t)t, .rank = rank};
    for (int i = 0; i < rank; i++) {
        in.dims[i] = dims[i];
        in.max_dims[i] = dims[i] < 0 ? 16 : dims[i];
    }
    return in;
}

/* All samples of the path, their first elements one after the other in `firsts`. -1: refused */
static int read_all(const char *path, const mcc_tensor_info *in, int n_in, double *firsts, int room) {
    const Tensor *out[4];
    Samples *s = samples_open(ctx, &path, 1, in, n_in, NULL);
    if (!s) return -1;
    int n = 0;
    for (SampleStatus status; (status = samples_next(s, out)) != SAMPLE_END; n++) {
        if (status == SAMPLE_BAD) n = -2;
        if (n < 0) break;
        CHECK(samples_name(s) != NULL);
        for (int i = 0; i < n_in; i++) {
            CHECK((int)out[i]->dtype == in[i].dtype && out[i]->rank == in[i].rank);
            for (int d = 0; d < in[i].rank; d++) CHECK(in[i].dims[d] < 0 || in[i].dims[d] == out[i]->dims[d]);
            if (n * n_in + i < room) firsts[n * n_in + i] = out[i]->bytes ? tensor_float(out[i], 0) : 0;
        }
    }
    samples_close(s);
    return n < 0 ? -1 : n;
}

static const float numbers[24] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,
                                  13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24};

/* They are read long after samples_open has returned. */
static void test_options(void) {
    mcc_tensor_info in = input("x", DT_F32, 4, (int64_t[]){1, 3, 2, 2});
    SampleOptions options = {.norm = "0.5:0.25"};
    const Tensor *out = NULL;
    const char *path = in_base("white.ppm");
    FILE *f = fopen(path, "wb");
    CHECK(f && fputs("P6 2 2 255\n\377\377\377\377\377\377\377\377\377\377\377\377", f) >= 0 && !fclose(f));
    Samples *s = samples_open(ctx, &path, 1, &in, 1, &options);
    options = (SampleOptions){"neither", "nor"};
    CHECK(s && samples_next(s, &out) == SAMPLE_GIVEN && tensor_float(out, 0) == 2);
    samples_close(s);
}

static void test_one_input(void) {
    mcc_tensor_info one = input("x", DT_F32, 2, (int64_t[]){1, 4}), three = input("x", DT_F32, 2, (int64_t[]){3, 4});
    mcc_tensor_info open = input("x", DT_F32, 2, (int64_t[]){-1, 4}), scalar = input("x", DT_F32, 0, NULL);
    double got[24];
    CHECK(!mkdir(in_base("one"), 0777));
    write_npy("one/a.npy", DT_F32, 2, (int64_t[]){1, 4}, numbers);
    write_npy("one/b.npy", DT_F32, 2, (int64_t[]){3, 4}, numbers + 4); /* three of them */
    write_npy("one/c.npy", DT_F32, 1, (int64_t[]){4}, numbers + 16);
    CHECK(read_all(in_base("one"), &one, 1, got, 24) == 5);
    CHECK(got[0] == 1 && got[1] == 5 && got[2] == 9 && got[3] == 13 && got[4] == 17);
    CHECK(read_all(in_base("one/b.npy"), &three, 1, got, 24) == 1 && got[0] == 5);
    CHECK(read_all(in_base("one/b.npy"), &open, 1, got, 24) == 1 && got[0] == 5);
    write_npy("stack.npy", DT_F32, 3, (int64_t[]){2, 3, 4}, numbers);
    CHECK(read_all(in_base("stack.npy"), &three, 1, got, 24) == 2 && got[1] == 13);
    write_npy("scalars.npy", DT_F32, 1, (int64_t[]){5}, numbers);
    CHECK(read_all(in_base("scalars.npy"), &scalar, 1, got, 24) == 5 && got[4] == 5);
    mcc_tensor_info long_axis = input("x", DT_F32, 1, (int64_t[]){-1});
    write_npy("long.npy", DT_F32, 1, (int64_t[]){24}, numbers); /* 16 at once is the bound: 16 and 8 */
    CHECK(read_all(in_base("long.npy"), &long_axis, 1, got, 24) == 2 && got[1] == 17);
    write_bytes("x.raw", numbers, 2 * 4 * sizeof *numbers);
    CHECK(read_all(in_base("x.raw"), &one, 1, got, 24) == 2 && got[1] == 5);
    write_bytes("list.txt", "# a comment\none/c.npy\r\none/a.npy", strlen("# a comment\none/c.npy\r\none/a.npy"));
    CHECK(read_all(in_base("list.txt"), &one, 1, got, 24) == 2 && got[0] == 17 && got[1] == 1);
}

static void test_dtypes(void) {
    static const double doubles[4] = {0.5, 1, 2, 3};
    static const int64_t wide[4] = {7, 8, 9, 10}, too_wide[4] = {(int64_t)1 << 40, 0, 0, 0};
    mcc_tensor_info f32 = input("x", DT_F32, 1, (int64_t[]){4}), i32 = input("x", DT_I32, 1, (int64_t[]){4});
    double got[4];
    write_npy("doubles.npy", DT_F64, 1, (int64_t[]){4}, doubles);
    write_npy("wide.npy", DT_I64, 1, (int64_t[]){4}, wide);
    write_npy("too_wide.npy", DT_I64, 1, (int64_t[]){4}, too_wide);
    CHECK(read_all(in_base("doubles.npy"), &f32, 1, got, 4) == 1 && got[0] == 0.5);
    CHECK(read_all(in_base("wide.npy"), &i32, 1, got, 4) == 1 && got[0] == 7);
    CHECK(read_all(in_base("too_wide.npy"), &i32, 1, got, 4) == -1);
    CHECK(read_all(in_base("wide.npy"), &f32, 1, got, 4) == -1); /* pixels 0…255 for a float input: which scale? */
}

/* ---- archives ---- */

typedef struct Bytes {
    unsigned char p[8192];
    size_t n;
} Bytes;

static void put(Bytes *b, const void *p, size_t n) {
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

static void put_le(Bytes *b, uint32_t v, int bytes) {
    for (int i = 0; i < bytes; i++) b->p[b->n++] = (unsigned char)(v >> 8 * i);
}

/* The fields that a local header and a directory's entry share */
static void put_common(Bytes *b, size_t bytes, size_t name) {
    put_le(b, 0, 2); /* flags */
    put_le(b, 0, 2); /* stored */
    put_le(b, 0, 4); /* time and date */
    put_le(b, 0, 4); /* checksum */
    put_le(b, (uint32_t)bytes, 4);
    put_le(b, (uint32_t)bytes, 4);
    put_le(b, (uint32_t)name, 2);
}

static void make_npz(Bytes *zip, const char *const *names, const float *const *data, int n) {
    Bytes directory = {.n = 0};
    for (int i = 0; i < n; i++) {
        char array[1024], *name = arena_printf(ctx->arena, "%s.npy", names[i]);
        Tensor t = make(DT_F32, 2, (int64_t[]){2, 4}, data[i]);
        FILE *f = fmemopen(array, sizeof array, "wb");
        CHECK(f && npy_write(f, &t));
        size_t bytes = f ? (size_t)ftell(f) : 0, at = zip->n;
        if (f) fclose(f);
        put(zip, "PK\3\4\24\0", 6);
        put_common(zip, bytes, strlen(name));
        put_le(zip, 0, 2);
        put(zip, name, strlen(name));
        put(zip, array, bytes);
        put(&directory, "PK\1\2\24\0\24\0", 8);
        put_common(&directory, bytes, strlen(name));
        put(&directory, "\0\0\0\0\0\0\0\0\0\0\0\0", 12); /* extra, comment, disk, attributes */
        put_le(&directory, (uint32_t)at, 4);
        put(&directory, name, strlen(name));
    }
    size_t at = zip->n;
    put(zip, directory.p, directory.n);
    put(zip, "PK\5\6\0\0\0\0", 8);
    put_le(zip, (uint32_t)n, 2);
    put_le(zip, (uint32_t)n, 2);
    put_le(zip, (uint32_t)directory.n, 4);
    put_le(zip, (uint32_t)at, 4);
    put_le(zip, 0, 2);
}

static void test_archives(void) {
    mcc_tensor_info in[2] = {input("x", DT_F32, 2, (int64_t[]){1, 4}), input("y", DT_F32, 2, (int64_t[]){1, 4})};
    double got[8];
    Bytes zip = {.n = 0};
    make_npz(&zip, (const char *[]){"y", "x"}, (const float *[]){numbers + 8, numbers}, 2);
    write_bytes("two.npz", zip.p, zip.n);
    CHECK(read_all(in_base("two.npz"), in, 2, got, 8) == 2);
    CHECK(got[0] == 1 && got[1] == 9 && got[2] == 5 && got[3] == 13);
    CHECK(read_all(in_base("two.npz"), &in[1], 1, got, 8) == 2 && got[0] == 9);
    mcc_tensor_info other = input("z", DT_F32, 2, (int64_t[]){1, 4});
    CHECK(read_all(in_base("two.npz"), &other, 1, got, 8) == -1);
    for (size_t n = 0; n < zip.n; n += 3) { /* cut short, and with a byte turned */
        Bytes bad = zip;
        write_bytes("bad.npz", bad.p, n);
        CHECK(read_all(in_base("bad.npz"), in, 2, got, 8) == -1);
        bad.p[n] ^= 0xff;
        write_bytes("bad.npz", bad.p, bad.n);
        read_all(in_base("bad.npz"), in, 2, got, 8);
    }
}

static void test_several_inputs(void) {
    mcc_tensor_info in[2] = {input("a/b", DT_F32, 1, (int64_t[]){4}), input("c", DT_F32, 1, (int64_t[]){4})};
    double got[8];
    CHECK(!mkdir(in_base("by_input"), 0777) && !mkdir(in_base("by_input/a_b"), 0777) &&
          !mkdir(in_base("by_input/c"), 0777));
    write_npy("by_input/a_b/1.npy", DT_F32, 1, (int64_t[]){4}, numbers);
    write_npy("by_input/a_b/2.npy", DT_F32, 1, (int64_t[]){4}, numbers + 4);
    write_npy("by_input/c/1.npy", DT_F32, 1, (int64_t[]){4}, numbers + 8);
    CHECK(read_all(in_base("by_input"), in, 2, got, 8) == -1); /* one file is missing */
    write_npy("by_input/c/2.npy", DT_F32, 1, (int64_t[]){4}, numbers + 12);
    CHECK(read_all(in_base("by_input"), in, 2, got, 8) == 2);
    CHECK(got[0] == 1 && got[1] == 9 && got[2] == 5 && got[3] == 13);
    CHECK(!mkdir(in_base("sets"), 0777) && !mkdir(in_base("sets/1"), 0777));
    write_npy("sets/1/a_b.npy", DT_F32, 1, (int64_t[]){4}, numbers + 2);
    write_npy("sets/1/c.npy", DT_F32, 1, (int64_t[]){4}, numbers + 3);
    CHECK(read_all(in_base("sets"), in, 2, got, 8) == 1 && got[0] == 3 && got[1] == 4);
    CHECK(read_all(in_base("one/a.npy"), in, 2, got, 8) == -1);
}

static void test_refused(void) {
    mcc_tensor_info in = input("x", DT_F32, 2, (int64_t[]){1, 4}), bounded = input("x", DT_F32, 1, (int64_t[]){-1});
    float bad[4] = {1, NAN, 2, 3};
    double got[4];
    write_npy("nan.npy", DT_F32, 2, (int64_t[]){1, 4}, bad);
    CHECK(read_all(in_base("nan.npy"), &in, 1, got, 4) == -1);
    bad[1] = INFINITY;
    write_npy("inf.npy", DT_F32, 2, (int64_t[]){1, 4}, bad);
    CHECK(read_all(in_base("inf.npy"), &in, 1, got, 4) == -1);
    write_npy("shape.npy", DT_F32, 2, (int64_t[]){1, 5}, numbers);
    CHECK(read_all(in_base("shape.npy"), &in, 1, got, 4) == -1);
    write_npy("none.npy", DT_F32, 2, (int64_t[]){0, 4}, numbers);
    CHECK(read_all(in_base("none.npy"), &in, 1, got, 4) == -1);
    CHECK(read_all(in_base("stack.npy"), &bounded, 1, got, 4) == -1);
    write_bytes("odd.raw", numbers, 7);
    CHECK(read_all(in_base("odd.raw"), &in, 1, got, 4) == -1);
    write_bytes("x.jpeg2000", numbers, 7);
    CHECK(read_all(in_base("x.jpeg2000"), &in, 1, got, 4) == -1);
    CHECK(read_all(in_base("nothing"), &in, 1, got, 4) == -1);
    CHECK(!mkdir(in_base("empty"), 0777));
    CHECK(read_all(in_base("empty"), &in, 1, got, 4) == -1);
    CHECK(!mkfifo(in_base("fifo.npy"), 0666));
    CHECK(read_all(in_base("fifo.npy"), &in, 1, got, 4) == -1);
    write_bytes("bad.pb", "\xff\xff\xff", 3);
    CHECK(read_all(in_base("bad.pb"), &in, 1, got, 4) == -1);
    CHECK(diag_errors(ctx) > 0);
}

/* A TensorProto: dims 1 and 4, dtype 1, raw_data */
static void test_pb(void) {
    mcc_tensor_info in = input("x", DT_F32, 2, (int64_t[]){1, 4});
    Bytes pb = {.n = 0};
    double got[4];
    put(&pb, "\x08\x01\x08\x04\x10\x01\x4a\x10", 8);
    put(&pb, numbers, 16);
    CHECK(!mkdir(in_base("set"), 0777));
    write_bytes("set/input_0.pb", pb.p, pb.n);
    write_bytes("set/output_0.pb", pb.p, 3);
    CHECK(read_all(in_base("set/input_0.pb"), &in, 1, got, 4) == 1 && got[0] == 1);
    CHECK(read_all(in_base("set"), &in, 1, got, 4) == 1); /* and nothing is made of the output */
}

int main(void) {
    if (!mkdtemp(base) || !(ctx = ctx_new("model.onnx"))) return 1;
    ctx->opt.max_fold = (size_t)1 << 30;
    mem_limit(ctx, (size_t)64 << 20);
    diag_to(ctx, NULL);
    MemTry t;
    if (mem_enter(ctx, &t), setjmp(t.jump)) {
        puts("out of memory");
        return 1;
    }
    test_options();
    test_one_input();
    test_dtypes();
    test_archives();
    test_several_inputs();
    test_pb();
    test_refused();
    mem_leave(ctx, &t);
    char *remove_all = arena_printf(ctx->arena, "rm -rf '%s'", base);
    CHECK(system(remove_all) == 0);
    ctx_free(ctx);
    if (failures) printf("%d failures\n", failures);
    return failures != 0;
}
