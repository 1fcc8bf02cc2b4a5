/* Pictures to tensors: every format and layout gives the pixels that went in, scaling keeps what is even and finds the
 * middle, and a file that is cut off, damaged or lies about its size is refused. */
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include "compress/image.h"
#include <jpeglib.h> /* after stdio.h */

static int failures;
#define CHECK(...)                                                                                                     \
    ((__VA_ARGS__) ? (void)0 : (void)(failures++, printf("%s:%d: %s\n", __FILE__, __LINE__, #__VA_ARGS__)))

enum { W = 16, H = 12, ROOM = 1 << 16 };
static unsigned char pixels[H][W][3];

static void draw(void) {
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            pixels[y][x][0] = (unsigned char)(16 * x);
            pixels[y][x][1] = (unsigned char)(20 * y);
            pixels[y][x][2] = (unsigned char)(100 + x + y);
        }
}

static FILE *file_of(const void *bytes, size_t n) {
    FILE *f = tmpfile();
    CHECK(f && fwrite(bytes, 1, n, f) == n);
    rewind(f);
    return f;
}

static size_t write_ppm(unsigned char *out, bool grey) {
    size_t n = (size_t)sprintf((char *)out, "P%d\n# a comment\n%d %d\n255\n", grey ? 5 : 6, W, H);
    for (int i = 0; i < W * H; i++)
        for (int c = 0; c < (grey ? 1 : 3); c++) out[n++] = pixels[i / W][i % W][c];
    return n;
}

static size_t write_png(unsigned char *out) {
    png_image png = {.version = PNG_IMAGE_VERSION, .width = W, .height = H, .format = PNG_FORMAT_RGB};
    png_alloc_size_t n = ROOM;
    CHECK(png_image_write_to_memory(&png, out, &n, 0, pixels, 0, NULL));
    return n;
}

static size_t write_jpeg(unsigned char *out) {
    struct jpeg_compress_struct j;
    struct jpeg_error_mgr errors;
    unsigned char *made = NULL;
    unsigned long n = 0;
    j.err = jpeg_std_error(&errors);
    jpeg_create_compress(&j);
    jpeg_mem_dest(&j, &made, &n);
    j.image_width = W;
    j.image_height = H;
    j.input_components = 3;
    j.in_color_space = JCS_RGB;
    jpeg_set_defaults(&j);
    jpeg_set_quality(&j, 100, TRUE);
    j.comp_info[0].h_samp_factor = j.comp_info[0].v_samp_factor = 1;
    jpeg_start_compress(&j, TRUE);
    for (int y = 0; y < H; y++) jpeg_write_scanlines(&j, (JSAMPROW[]){&pixels[y][0][0]}, 1);
    jpeg_finish_compress(&j);
    jpeg_destroy_compress(&j);
    memcpy(out, made, n);
    free(made);
    return n;
}

static mcc_tensor_info input(Dtype t, int rank, int64_t a, int64_t b, int64_t c, int64_t d) {
    mcc_tensor_info in = {.name = "x", .dtype = (int32_t)t, .rank = rank, .dims = {a, b, c, d}};
    for (int i = 0; i < rank; i++) in.max_dims[i] = in.dims[i] < 0 ? 20 : in.dims[i];
    return in;
}

static Tensor *convert(Ctx *ctx, const void *bytes, size_t n, const mcc_tensor_info *in, const char *norm,
                       const char *layout, const char **why) {
    FILE *f = file_of(bytes, n);
    SampleOptions o = {norm, layout};
    Tensor *t = image_to_tensor(ctx->arena, f, in, &o, why);
    CHECK((t == NULL) == (*why != NULL));
    fclose(f);
    return t;
}

/* The pixels themselves, as [1,3,H,W] of float and [1,H,W,3] of bytes; off: how far they may be apart */
static void same_pixels(Ctx *ctx, const unsigned char *bytes, size_t n, int off) {
    mcc_tensor_info planes = input(DT_F32, 4, 1, 3, H, W), rows = input(DT_U8, 4, -1, H, W, 3);
    const char *why;
    Tensor *a = convert(ctx, bytes, n, &planes, "0:0.00392156862745098", NULL, &why);
    Tensor *b = convert(ctx, bytes, n, &rows, NULL, NULL, &why);
    CHECK(a && b && a->rank == 4 && b->dims[0] == 1 && a->bytes == 4 * b->bytes);
    for (int i = 0; a && b && i < 3 * H * W; i++) {
        int c = i % 3, x = i / 3 % W, y = i / 3 / W;
        CHECK(abs(((const unsigned char *)b->data)[i] - pixels[y][x][c]) <= off);
        double v = (double)((const float *)a->data)[(c * H + y) * W + x] - pixels[y][x][c];
        CHECK(v <= off + 1e-3 && v >= -off - 1e-3);
    }
}

static void test_formats(Ctx *ctx) {
    unsigned char bytes[ROOM];
    same_pixels(ctx, bytes, write_ppm(bytes, false), 0);
    same_pixels(ctx, bytes, write_png(bytes), 0);
    same_pixels(ctx, bytes, write_jpeg(bytes), 3);
}

static void test_normalised(Ctx *ctx) {
    unsigned char bytes[ROOM];
    const char *why;
    size_t n = write_ppm(bytes, false);
    mcc_tensor_info in = input(DT_F32, 3, 3, H, W, 0), grey = input(DT_F32, 4, 1, 1, H, W);
    Tensor *t = convert(ctx, bytes, n, &in, "0.1,0.2,0.3:0.5,2,4", "nchw", &why);
    CHECK(t && t->rank == 3 && t->dims[0] == 3);
    double want = (pixels[5][7][2] / 255.0 - 0.3) / 4;
    CHECK(t && tensor_float(t, (2 * H + 5) * W + 7) > want - 1e-6 &&
          tensor_float(t, (2 * H + 5) * W + 7) < want + 1e-6);
    t = convert(ctx, bytes, n, &grey, NULL, NULL, &why);
    want = (0.299 * pixels[5][7][0] + 0.587 * pixels[5][7][1] + 0.114 * pixels[5][7][2]) / 255;
    CHECK(t && tensor_float(t, 5 * W + 7) > want - 1e-5 && tensor_float(t, 5 * W + 7) < want + 1e-5);
    n = write_ppm(bytes, true);
    t = convert(ctx, bytes, n, &grey, NULL, NULL, &why);
    CHECK(t && tensor_float(t, 3) > 48 / 255.0 - 1e-5 && tensor_float(t, 3) < 48 / 255.0 + 1e-5);
}

/* The picture is a slope along x and along y: scaled, it stays one, and the middle stays the middle. */
static void test_scaled(Ctx *ctx) {
    static const int64_t sizes[][2] = {{6, 6}, {24, 32}, {3, 8}, {12, 4}, {-1, -1}, {6, -1}, {-1, 8}};
    static const int64_t want[][2] = {{6, 6}, {24, 32}, {3, 8}, {12, 4}, {12, 16}, {6, 8}, {6, 8}};
    unsigned char bytes[ROOM];
    const char *why;
    size_t n = write_ppm(bytes, false);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        mcc_tensor_info in = input(DT_F32, 4, 1, 3, sizes[i][0], sizes[i][1]);
        Tensor *t = convert(ctx, bytes, n, &in, NULL, NULL, &why);
        CHECK(t && t->dims[2] == want[i][0] && t->dims[3] == want[i][1]);
        if (!t) continue;
        int64_t h = t->dims[2], w = t->dims[3];
        double left = tensor_float(t, h / 2 * w), right = tensor_float(t, h / 2 * w + w - 1);
        CHECK(left < right && left + right > (16 * 15) / 255.0 - 0.02 && left + right < (16 * 15) / 255.0 + 0.02);
        double top = tensor_float(t, (h + 0) * w), low = tensor_float(t, (h + h - 1) * w);
        CHECK(top < low && top + low > (20 * 11) / 255.0 - 0.02 && top + low < (20 * 11) / 255.0 + 0.02);
    }
}

static void refused(Ctx *ctx, const void *bytes, size_t n, const mcc_tensor_info *in, const char *norm,
                    const char *want) {
    const char *why;
    CHECK(!convert(ctx, bytes, n, in, norm, NULL, &why));
    if (!why || !strstr(why, want)) CHECK((printf("%s\n", why ? why : "accepted"), false));
}

static void test_refused(Ctx *ctx) {
    mcc_tensor_info in = input(DT_F32, 4, 1, 3, H, W), both = input(DT_F32, 3, 3, H, 3, 0);
    mcc_tensor_info flat = input(DT_F32, 2, 1, 3, 0, 0), whole = input(DT_I64, 4, 1, 3, H, W);
    unsigned char bytes[ROOM];
    size_t n = write_ppm(bytes, false);
    refused(ctx, bytes, n, &both, NULL, "say --input-layout");
    refused(ctx, bytes, n, &flat, NULL, "takes no picture");
    refused(ctx, bytes, n, &whole, NULL, "float32 or uint8");
    refused(ctx, bytes, n, &in, "0.5", "MEAN:DEVIATION");
    refused(ctx, bytes, n, &in, "0:0", "MEAN:DEVIATION");
    refused(ctx, bytes, n, &in, "1,2:1", "MEAN:DEVIATION");
    refused(ctx, "", 0, &in, NULL, "empty");
    refused(ctx, "GIF89a", 6, &in, NULL, "no PNG, JPEG");
    refused(ctx, "P6 100000 1 255\n", 16, &in, NULL, "empty or too large");
    refused(ctx, "P6 0 1 255\n", 11, &in, NULL, "empty or too large");
    refused(ctx, "P6 99999999999999999999 1 255\n", 30, &in, NULL, "header");
    refused(ctx, "P6 1 1 65535\n123456", 19, &in, NULL, "header");
}

/* Cut at every length; with bytes changed it may be anything but a crash. */
static void test_damaged(Ctx *ctx) {
    mcc_tensor_info in = input(DT_F32, 4, 1, 3, H, W);
    unsigned char bytes[ROOM], copy[ROOM];
    uint32_t seed = 1;
    const char *why;
    for (int format = 0; format < 3; format++) {
        size_t n = format == 0 ? write_ppm(bytes, false) : format == 1 ? write_png(bytes) : write_jpeg(bytes);
        for (size_t cut = 0; cut < n - 12; cut += 1 + n / 200) CHECK(!convert(ctx, bytes, cut, &in, NULL, NULL, &why));
        for (int i = 0; i < 500; i++) {
            memcpy(copy, bytes, n);
            for (int k = 0; k < 3; k++) {
                seed = seed * 1664525 + 1013904223;
                copy[(seed >> 8) % (i % 2 ? n : 64)] = (unsigned char)(seed >> 3);
            }
            convert(ctx, copy, n, &in, NULL, NULL, &why);
        }
    }
}

int main(void) {
    Ctx *ctx = ctx_new("test");
    draw();
    test_formats(ctx);
    test_normalised(ctx);
    test_scaled(ctx);
    test_refused(ctx);
    test_damaged(ctx);
    ctx_free(ctx);
    return failures ? 1 : 0;
}
