/* Reads the text of a page: a PNG file in, lines of UTF-8 out. Three networks that mcc compiled, linked into one
 * program: the detector finds lines, the classifier says which of them stand on their head, the recogniser reads them.
 * Sizes, normalisation and thresholds are PP-OCR's. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cls.h"
#include "det.h"
#include "ocr.h"
#include "rec.h"

enum { DET_SIDE = 960, HEIGHT = 48, CLS_WIDTH = 192, REC_LEAST = 320, REC_WIDTH = 2560, TEXT_SIZE = 4096 };
#define UPSIDE_DOWN 0.9f
#define READABLE 0.5f

static const Normal page_normal = {{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};
static const Normal line_normal = {{0.5f, 0.5f, 0.5f}, {0.5f, 0.5f, 0.5f}};

typedef struct Ocr {
    Dictionary dictionary;
    float *in, *out; /* large enough for any of the three */
    void *workspace;
} Ocr;

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static bool ocr_open(Ocr *o, const char *dictionary) {
    *o = (Ocr){.in = malloc(larger(DET_IN0_BYTES, larger(CLS_IN0_BYTES, REC_IN0_BYTES))),
               .out = malloc(larger(DET_OUT0_BYTES, larger(CLS_OUT0_BYTES, REC_OUT0_BYTES)))};
    size_t bytes = larger(DET_WORKSPACE_BYTES, larger(CLS_WORKSPACE_BYTES, REC_WORKSPACE_BYTES));
    if (!o->in || !o->out || !(o->workspace = aligned_alloc(64, (bytes + 63) / 64 * 64))) {
        fprintf(stderr, "ocr: out of memory\n");
        return false;
    }
    if (!dictionary_read(dictionary, &o->dictionary)) return false;
    if (o->dictionary.n == rec_model.outputs[0].dims[2]) return true;
    fprintf(stderr, "ocr: %s: %d classes, the recogniser has %d\n", dictionary, o->dictionary.n,
            (int)rec_model.outputs[0].dims[2]);
    return false;
}

static void ocr_close(Ocr *o) {
    dictionary_free(&o->dictionary);
    free(o->in), free(o->out), free(o->workspace);
}

static bool ran(const char *what, int status) {
    if (status != MCC_OK) fprintf(stderr, "ocr: the %s failed with code %d\n", what, status);
    return status == MCC_OK;
}

/* A side as the detector takes it: a multiple of 32 */
static int rounded(float side) {
    int n = (int)lroundf(side / 32) * 32;
    return n < 32 ? 32 : n;
}

/* The boxes of a page, in its pixels; how many, -1 after a message. */
static int detect(Ocr *o, const Image *page, Box *box) {
    float side = (float)(page->w > page->h ? page->w : page->h), scale = side > DET_SIDE ? DET_SIDE / side : 1;
    int w = rounded((float)page->w * scale), h = rounded((float)page->h * scale);
    image_to_floats(page, w, h, w, &page_normal, o->in);
    if (!ran("detector", det_run(o->in, o->out, h, w, o->workspace))) return -1;
    int n = boxes_find(o->out, w, h, box);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < 4; k++) {
            Point *p = &box[i].corner[k];
            p->x = fminf(fmaxf(p->x * (float)page->w / (float)w, 0), (float)page->w);
            p->y = fminf(fmaxf(p->y * (float)page->h / (float)h, 0), (float)page->h);
        }
    return n;
}

static float distance(Point a, Point b) { return hypotf(a.x - b.x, a.y - b.y); }

static void box_size(const Box *b, int *w, int *h) {
    *w = (int)fmaxf(distance(b->corner[0], b->corner[1]), distance(b->corner[3], b->corner[2]));
    *h = (int)fmaxf(distance(b->corner[0], b->corner[3]), distance(b->corner[1], b->corner[2]));
}

/* The text's beginning moves on by so many corners. */
static void turn(Box *b, int corners) {
    Box old = *b;
    for (int k = 0; k < 4; k++) b->corner[k] = old.corner[(k + corners) % 4];
}

static bool crop(const Image *page, const Box *b, Image *line) {
    int w, h;
    box_size(b, &w, &h);
    return image_crop(page, b, w, h, line);
}

static int line_width(const Image *line, int most) {
    float w = ceilf((float)HEIGHT * (float)line->w / (float)line->h);
    return w > (float)most ? most : (int)w;
}

static bool classify(Ocr *o, const Image *line, bool *upside_down) {
    image_to_floats(line, line_width(line, CLS_WIDTH), HEIGHT, CLS_WIDTH, &line_normal, o->in);
    if (!ran("classifier", cls_run(o->in, o->out, o->workspace))) return false;
    *upside_down = o->out[1] > o->out[0] && o->out[1] > UPSIDE_DOWN;
    return true;
}

static bool recognise(Ocr *o, const Image *line, char *text, float *score) {
    int w = line_width(line, REC_WIDTH), stride = w > REC_LEAST ? w : REC_LEAST;
    image_to_floats(line, w, HEIGHT, stride, &line_normal, o->in);
    if (!ran("recogniser", rec_run(o->in, o->out, stride, o->workspace))) return false;
    *score = dictionary_decode(&o->dictionary, o->out, (stride + 3) / 8, text, TEXT_SIZE);
    return true;
}

/* false after a message; *score is 0 where there is nothing to read. */
static bool read_box(Ocr *o, const Image *page, Box *box, char *text, float *score) {
    Image line;
    bool upside_down;
    int w, h;
    *score = 0;
    box_size(box, &w, &h);
    if (w <= 3 || h <= 3) return true;
    if (2 * h >= 3 * w) turn(box, 1); /* a line that runs upwards */
    if (!crop(page, box, &line)) return false;
    bool good = classify(o, &line, &upside_down);
    if (good && upside_down) {
        free(line.px);
        turn(box, 2);
        if (!crop(page, box, &line)) return false;
    }
    good = good && recognise(o, &line, text, score);
    free(line.px);
    return good;
}

static void print_corners(const Box *box) {
    for (int k = 0; k < 4; k++) printf("%.1f,%.1f ", (double)box->corner[k].x, (double)box->corner[k].y);
}

static bool read_page(Ocr *o, Image *page, bool list, bool draw) {
    static Box box[MAX_BOXES];
    static char text[TEXT_SIZE];
    static bool kept[MAX_BOXES];
    float score;
    int n = detect(o, page, box);
    for (int i = 0; i < n; i++) {
        if (!read_box(o, page, &box[i], text, &score)) return false;
        kept[i] = score >= READABLE;
        if (kept[i] && list) print_corners(&box[i]);
        if (kept[i]) printf("%s\n", text);
    }
    for (int i = 0; draw && i < n; i++)
        for (int k = 0; kept[i] && k < 4; k++) image_line(page, box[i].corner[k], box[i].corner[(k + 1) % 4]);
    return n >= 0;
}

int main(int argc, char **argv) {
    const char *path = NULL, *boxes = NULL, *dictionary = DICTIONARY;
    bool bad = false, list = false;
    for (int i = 1; i < argc; i++) {
        const char **value = !strcmp(argv[i], "--boxes")        ? &boxes
                             : !strcmp(argv[i], "--dictionary") ? &dictionary
                                                                : NULL;
        if (value && i + 1 < argc) *value = argv[++i];
        else if (!strcmp(argv[i], "--list")) list = true;
        else if (!value && !path && argv[i][0] != '-') path = argv[i];
        else bad = true;
    }
    if (bad || !path) {
        fprintf(stderr, "usage: ocr PAGE.png [--list] [--boxes OUT.png] [--dictionary FILE]\n");
        return 2;
    }
    Ocr o;
    Image page;
    if (!image_read(path, &page)) return 1;
    bool good = ocr_open(&o, dictionary) && read_page(&o, &page, list, boxes != NULL);
    if (good && boxes) good = image_write(boxes, &page);
    ocr_close(&o);
    free(page.px);
    return good && !fflush(stdout) ? 0 : 1;
}
