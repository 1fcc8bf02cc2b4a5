/* PNG files in and out through libpng, and the resampling that PP-OCR does with them: bilinear, between the centres of
 * pixels, with the border repeated. */
#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ocr.h"

enum { MAX_SIDE = 20000, MAX_PIXELS = 100000000 };

static bool fail(const char *path, const char *why) {
    fprintf(stderr, "ocr: %s: %s\n", path, why);
    return false;
}

static bool image_new(int w, int h, Image *out) {
    *out = (Image){w, h, malloc((size_t)w * (size_t)h * 3)};
    return out->px || fail("image", "out of memory");
}

bool image_read(const char *path, Image *out) {
    png_image png = {.version = PNG_IMAGE_VERSION};
    static const png_color paper = {255, 255, 255}; /* behind what is transparent */
    *out = (Image){0};
    if (!png_image_begin_read_from_file(&png, path)) return fail(path, png.message);
    bool small = png.width && png.height && png.width <= MAX_SIDE && png.height <= MAX_SIDE &&
                 png.width <= MAX_PIXELS / png.height;
    png.format = PNG_FORMAT_BGR;
    bool good = small && image_new((int)png.width, (int)png.height, out) &&
                png_image_finish_read(&png, &paper, out->px, 0, NULL) && !PNG_IMAGE_FAILED(png);
    if (!small) fail(path, "the image is too large");
    else if (!good && out->px) fail(path, png.message);
    png_image_free(&png);
    if (good) return true;
    free(out->px);
    *out = (Image){0};
    return false;
}

bool image_write(const char *path, const Image *image) {
    png_image png = {.version = PNG_IMAGE_VERSION,
                     .width = (png_uint_32)image->w,
                     .height = (png_uint_32)image->h,
                     .format = PNG_FORMAT_BGR};
    if (png_image_write_to_file(&png, path, 0, image->px, 0, NULL)) return true;
    return fail(path, png.message);
}

static void dot(Image *image, int x, int y) {
    static const unsigned char red[3] = {0, 0, 255};
    if (x >= 0 && y >= 0 && x < image->w && y < image->h)
        memcpy(image->px + ((size_t)y * (size_t)image->w + (size_t)x) * 3, red, 3);
}

void image_line(Image *image, Point from, Point to) {
    float dx = to.x - from.x, dy = to.y - from.y;
    int steps = (int)ceilf(fmaxf(fabsf(dx), fabsf(dy))) + 1;
    for (int i = 0; i <= steps; i++) {
        int x = (int)lroundf(from.x + dx * (float)i / (float)steps);
        int y = (int)lroundf(from.y + dy * (float)i / (float)steps);
        dot(image, x, y), dot(image, x + 1, y), dot(image, x, y + 1), dot(image, x + 1, y + 1);
    }
}

static float clamp(float v, float most) { return v < 0 ? 0 : v > most ? most : v; }

static void sample(const Image *m, float x, float y, float out[3]) {
    x = clamp(x, (float)(m->w - 1));
    y = clamp(y, (float)(m->h - 1));
    int x0 = (int)x, y0 = (int)y;
    float fx = x - (float)x0, fy = y - (float)y0;
    const unsigned char *p = m->px + ((size_t)y0 * (size_t)m->w + (size_t)x0) * 3;
    size_t right = x0 + 1 < m->w ? 3 : 0, down = y0 + 1 < m->h ? (size_t)m->w * 3 : 0;
    for (int c = 0; c < 3; c++) {
        float top = (float)p[c] + fx * (float)(p[c + right] - p[c]);
        float low = (float)p[c + down] + fx * (float)(p[c + down + right] - p[c + down]);
        out[c] = top + fy * (low - top);
    }
}

bool image_crop(const Image *image, const Box *box, int w, int h, Image *out) {
    const Point *k = box->corner;
    if (!image_new(w, h, out)) return false;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            float u = (float)x / (float)w, v = (float)y / (float)h, at[3];
            sample(image, k[0].x + u * (k[1].x - k[0].x) + v * (k[3].x - k[0].x),
                   k[0].y + u * (k[1].y - k[0].y) + v * (k[3].y - k[0].y), at);
            unsigned char *p = out->px + ((size_t)y * (size_t)w + (size_t)x) * 3;
            for (int c = 0; c < 3; c++) p[c] = (unsigned char)(at[c] + 0.5f);
        }
    return true;
}

void image_to_floats(const Image *image, int w, int h, int stride, const Normal *normal, float *out) {
    float sx = (float)image->w / (float)w, sy = (float)image->h / (float)h;
    size_t plane = (size_t)h * (size_t)stride;
    memset(out, 0, 3 * plane * sizeof *out);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            float at[3];
            sample(image, ((float)x + 0.5f) * sx - 0.5f, ((float)y + 0.5f) * sy - 0.5f, at);
            float *p = out + (size_t)y * (size_t)stride + (size_t)x;
            for (size_t c = 0; c < 3; c++) p[c * plane] = (at[c] / 255 - normal->mean[c]) / normal->deviation[c];
        }
}
