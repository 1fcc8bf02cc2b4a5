/* Arrays survive the way through a file, in every dtype; files that lie are refused with a reason and nothing else. */
#include "frontend/npy.c"
#include <unistd.h>

static int failures;
#define CHECK(...) ((__VA_ARGS__) ? (void)0 : (void)(failures++, printf("%s:%d: %s\n", __FILE__, __LINE__, #__VA_ARGS__)))

static char path[] = "/tmp/mcc-test-npy-XXXXXX";

static void write_file(const void *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(bytes, 1, n, f) == n);
    if (f) fclose(f);
}

/* A file of version 1 with this dictionary and these bytes. */
static void write_array(const char *dictionary, const void *data, size_t bytes) {
    unsigned char file[4096];
    size_t n = strlen(dictionary);
    memcpy(file, "\x93NUMPY\x01\x00", 8);
    file[8] = (unsigned char)(n & 255);
    file[9] = (unsigned char)(n >> 8);
    memcpy(file + 10, dictionary, n);
    if (bytes) memcpy(file + 10 + n, data, bytes);
    write_file(file, 10 + n + bytes);
}

static void test_round_trip(Graph *g) {
    static const Dtype dtypes[] = {DT_F32,    DT_F64,    DT_F16, DT_BF16, DT_I8,     DT_I16, DT_I32,  DT_I64,
                                   DT_U8,     DT_U16,    DT_U32, DT_U64,  DT_BOOL,   DT_C64, DT_C128, DT_F8E4M3FN,
                                   DT_F8E5M2, DT_F8E8M0, DT_I4,  DT_U4,   DT_F4E2M1, DT_I2,  DT_U2};
    static const int64_t shapes[][3] = {{2, 3, 4}, {0, 3, 1}, {5, 1, 1}};
    for (size_t k = 0; k < sizeof dtypes / sizeof *dtypes; k++)
        for (int rank = 0; rank <= 3; rank++)
            for (int s = 0; s < 3; s++) {
                Tensor t = {.dtype = dtypes[k], .rank = rank};
                int64_t n = 1;
                for (int i = 0; i < rank; i++) n *= t.dims[i] = shapes[s][i];
                CHECK(dtype_bytes(t.dtype, n, &t.bytes));
                unsigned char data[512];
                for (size_t i = 0; i < sizeof data; i++)
                    data[i] = t.dtype == DT_BOOL ? i % 3 == 0 : (unsigned char)(37 * i + 11);
                int bits = dtype_bits(t.dtype);
                int64_t tail = bits < 8 ? n * bits % 8 : 0;
                if (tail) data[t.bytes - 1] &= (unsigned char)((1 << tail) - 1);
                t.data = data;
                FILE *f = fopen(path, "wb");
                CHECK(f && npy_write(f, &t));
                if (f) fclose(f);
                const char *why;
                const Tensor *back = npy_read(g, path, &why);
                CHECK(back && !why);
                back = back ? npy_as(g, back, t.dtype) : NULL;
                CHECK(back && back->dtype == t.dtype && back->rank == rank && back->bytes == t.bytes);
                CHECK(back && !memcmp(back->dims, t.dims, sizeof t.dims) &&
                      (!t.bytes || !memcmp(back->data, data, t.bytes)));
            }
}

static void test_foreign_forms(Graph *g) {
    const char *why;
    const uint16_t columns[] = {1, 2, 3, 4, 5, 6}; /* of a 2×3 array: [[1,3,5],[2,4,6]] */
    write_array("{\"shape\": (2, 3L), 'fortran_order': True, 'descr': '<u2'}\n", columns, sizeof columns);
    const Tensor *t = npy_read(g, path, &why);
    CHECK(t && t->dims[0] == 2 && t->dims[1] == 3);
    for (int i = 0; t && i < 6; i++) CHECK(tensor_int(t, i) == (int[]){1, 3, 5, 2, 4, 6}[i]);
    write_array("{'descr': '>i4', 'fortran_order': False, 'shape': (2,), }", "\0\0\1\2\377\377\377\376", 8);
    t = npy_read(g, path, &why);
    CHECK(t && t->dtype == DT_I32 && tensor_int(t, 0) == 258 && tensor_int(t, 1) == -2);
    write_array("{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }", "\0\2\377", 3);
    t = npy_read(g, path, &why);
    CHECK(t && tensor_int(t, 0) == 0 && tensor_int(t, 1) == 1 && tensor_int(t, 2) == 1);
    CHECK(t && !npy_as(g, t, DT_F32) && !npy_as(g, t, DT_I4));
    write_array("{'descr': '<u2', 'fortran_order': False, 'shape': (1,), }", "\x80\x3f", 2);
    t = npy_read(g, path, &why);
    t = t ? npy_as(g, t, DT_BF16) : NULL;
    CHECK(t && tensor_float(t, 0) == 1.0);
}

static void test_hostile(Graph *g) {
    static const char *const dictionaries[] = {
        "",
        "{",
        "{}",
        "[]",
        "{'descr': '<f4'}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,)}",
        "{'descr': '<f3', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '|O8', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<U4', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f-4', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4000000000', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x",
        "{'descr': '<f4 'fortran_order': False, 'shape': (1,)}",
        "{'evil': 1}"};
    const char *why;
    char data[8] = {0};
    for (size_t i = 0; i < sizeof dictionaries / sizeof *dictionaries; i++) {
        write_array(dictionaries[i], data, sizeof data);
        why = NULL;
        CHECK(!npy_read(g, path, &why) && why);
    }
    write_array("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9223372036854775807, 2)}", data, 0);
    why = NULL;
    const Tensor *t = npy_read(g, path, &why);
    CHECK(t ? t->bytes == 0 : why != NULL);
    static const char *const files[] = {
        "", "\x93NUMPY", "\x93NUMPX\1\0\0\0", "\x93NUMPY\7\0\0\0", "\x93NUMPY\2\0\377\377", "\x93NUMPY\1\0\377\377{"};
    static const size_t sizes[] = {0, 6, 10, 10, 10, 11};
    for (int i = 0; i < 6; i++) {
        write_file(files[i], sizes[i]);
        why = NULL;
        CHECK(!npy_read(g, path, &why) && why);
    }
    CHECK(!npy_read(g, "/tmp", &why) && why);
    CHECK(!npy_read(g, "/dev/zero", &why) && why);
    CHECK(!npy_read(g, "/nowhere/x.npy", &why) && why);
}

int main(void) {
    Ctx *ctx = ctx_new("npy");
    int fd = mkstemp(path);
    if (!ctx || fd < 0) return 1;
    close(fd);
    Graph *g = graph_new(ctx, NULL);
    test_round_trip(g);
    test_foreign_forms(g);
    test_hostile(g);
    unlink(path);
    ctx_free(ctx);
    return failures != 0;
}
