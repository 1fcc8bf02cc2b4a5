/* Pixels of PNG (libpng), JPEG (libjpeg), PPM and PGM files. Nothing in them is trusted: sizes are bounded before
 * anything is allocated, what is cut off or damaged is an error, and the libraries' messages become ours. No memory of
 * ours is asked for while a library holds some of its own. */
#include "compress/image.h"
#include <png.h>
#include <string.h>
#include <jpeglib.h> /* needs stdio.h and stddef.h before it */

enum { MAX_SIDE = 32768, MAX_PIXELS = 1 << 26 };

static bool fail(Picture *p, const char *why) {
    snprintf(p->problem, sizeof p->problem, "%s", why);
    return false;
}

/* The header's sizes: kept, or, when pixels are wanted, held against what there is room for. */
static bool take_size(Picture *p, uint64_t w, uint64_t h) {
    if (w == 0 || h == 0 || w > MAX_SIDE || h > MAX_SIDE || w > MAX_PIXELS / h)
        return fail(p, "the picture is empty or too large");
    if (p->px && (w != (uint64_t)p->w || h != (uint64_t)p->h)) return fail(p, "the file changed while it was read");
    p->w = (int)w;
    p->h = (int)h;
    return true;
}

/* ---- PNG; what is transparent lies on white ---- */

static bool read_png(FILE *f, Picture *p) {
    static const png_color white = {255, 255, 255};
    png_image png = {.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_stdio(&png, f)) return fail(p, png.message);
    png.format = PNG_FORMAT_RGB;
    bool good = take_size(p, png.width, png.height);
    if (good && p->px && (!png_image_finish_read(&png, &white, p->px, 0, NULL) || PNG_IMAGE_FAILED(png)))
        good = fail(p, png.message);
    png_image_free(&png);
    return good;
}

/* ---- JPEG ---- */

typedef struct Jpeg {
    struct jpeg_decompress_struct d; /* first: libjpeg hands out pointers to it */
    struct jpeg_error_mgr errors;
    jmp_buf back;
    Picture *p;
} Jpeg;

static void on_error(j_common_ptr d) {
    Jpeg *j = (Jpeg *)(void *)d;
    char text[JMSG_LENGTH_MAX];
    j->errors.format_message(d, text);
    fail(j->p, text);
    longjmp(j->back, 1);
}

/* Levels below 0 are warnings: the data are damaged, or end too early. */
static void on_message(j_common_ptr d, int level) {
    if (level < 0) on_error(d);
}

static void on_output(j_common_ptr d) { (void)d; }

static bool decode_jpeg(Jpeg *j, FILE *f) {
    struct jpeg_decompress_struct *d = &j->d;
    if (setjmp(j->back)) return false;
    jpeg_create_decompress(d);
    jpeg_stdio_src(d, f);
    jpeg_read_header(d, TRUE);
    if (!take_size(j->p, d->image_width, d->image_height) || !j->p->px) return !j->p->problem[0];
    d->out_color_space = JCS_RGB;
    jpeg_start_decompress(d);
    while (d->output_scanline < d->output_height) {
        JSAMPROW row = j->p->px + (size_t)d->output_scanline * (size_t)j->p->w * 3;
        jpeg_read_scanlines(d, &row, 1);
    }
    jpeg_finish_decompress(d);
    return true;
}

static bool read_jpeg(FILE *f, Picture *p) {
    Jpeg j = {.p = p};
    j.d.err = jpeg_std_error(&j.errors);
    j.errors.error_exit = on_error;
    j.errors.emit_message = on_message;
    j.errors.output_message = on_output;
    bool good = decode_jpeg(&j, f);
    jpeg_destroy_decompress(&j.d);
    return good;
}

/* ---- PPM (P6) and PGM (P5), of 8 bits ---- */

/* The next number of the header; -1: there is none. */
static int64_t header_number(FILE *f) {
    int64_t n = -1;
    int c = getc(f);
    while (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '#') {
        while (c == '#' && (c = getc(f)) != '\n' && c != EOF) c = '#';
        c = getc(f);
    }
    for (; c >= '0' && c <= '9' && n < MAX_PIXELS; c = getc(f)) n = (n < 0 ? 0 : n * 10) + (c - '0');
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' ? n : -1;
}

static bool read_ppm(FILE *f, Picture *p) {
    getc(f);
    bool grey = getc(f) == '5';
    int64_t w = header_number(f), h = header_number(f), most = header_number(f);
    if (w < 0 || h < 0 || most <= 0 || most > 255) return fail(p, "its header is no PPM's of 8 bits");
    if (!take_size(p, (uint64_t)w, (uint64_t)h)) return false;
    if (!p->px) return true;
    size_t n = (size_t)w * (size_t)h, values = grey ? n : 3 * n;
    if (fread(p->px, 1, values, f) != values) return fail(p, "the file ends too early");
    for (size_t i = 0; i < values; i++) {
        unsigned v = p->px[i] * 255u / (unsigned)most;
        p->px[i] = (unsigned char)(v > 255 ? 255 : v);
    }
    for (size_t i = n; grey && i-- > 0;) memset(p->px + 3 * i, p->px[i], 3); /* from the end: in place */
    return true;
}

bool picture_read(FILE *f, Picture *p) {
    unsigned char start[2] = {0};
    p->problem[0] = 0;
    rewind(f);
    if (fread(start, 1, 2, f) != 2) return fail(p, "the file is empty");
    rewind(f);
    if (start[0] == 0xff && start[1] == 0xd8) return read_jpeg(f, p);
    if (start[0] == 'P' && (start[1] == '5' || start[1] == '6')) return read_ppm(f, p);
    if (start[0] == 0x89) return read_png(f, p);
    return fail(p, "it is no PNG, JPEG, PPM or PGM file");
}
