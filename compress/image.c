/* A picture to a tensor: scaled with a triangle filter (bilinear where it grows, a mean with falling weights where it
 * shrinks), channels as the input has them, normalised. */
#include "compress/image.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Axis { /* place i of the output has its centre at from + (i + 0.5) · step in the picture */
    int n, most;      /* places of the output, pixels of the picture */
    double from, step;
} Axis;

typedef struct Form { /* which axis of the input is what */
    int channel, height, width;
    bool grey;
} Form;

static bool parse_three(const char **text, float out[3]) {
    int n = 0;
    for (bool more = true; more && n < 3; n++) {
        char *end;
        out[n] = strtof(*text, &end);
        if (end == *text || !isfinite(out[n])) return false;
        more = *end == ',';
        *text = end + more;
    }
    if (n == 1) out[1] = out[2] = out[0];
    return n != 2;
}

bool image_norm_parse(const char *text, ImageNorm *out) {
    if (!parse_three(&text, out->mean) || *text++ != ':' || !parse_three(&text, out->deviation) || *text) return false;
    return out->deviation[0] > 0 && out->deviation[1] > 0 && out->deviation[2] > 0;
}

static bool is_channels(int64_t n) { return n == 1 || n == 3; }

static bool find_form(const mcc_tensor_info *in, const char *layout, Form *out, const char **why) {
    int r = in->rank;
    *why = "the input takes no picture: it has neither 1 nor 3 channels before or behind height and width";
    if (r != 3 && r != 4) return false;
    bool first = is_channels(in->dims[r - 3]), last = is_channels(in->dims[r - 1]);
    if (layout) first = first && !strcmp(layout, "nchw"), last = last && !strcmp(layout, "nhwc");
    if (!first && !last) return false;
    *out = (Form){first ? r - 3 : r - 1, first ? r - 2 : r - 3, first ? r - 1 : r - 2, false};
    out->grey = in->dims[out->channel] == 1;
    if (!first || !last) return true;
    *why = "channels may come first or last: say --input-layout=nchw or nhwc";
    return false;
}

/* Sizes of the output, 0 for an open one: from the picture's, which must not grow past the input's bounds. */
static bool place_axes(const mcc_tensor_info *in, const Form *form, const Picture *p, Axis *x, Axis *y) {
    int64_t w = in->dims[form->width], h = in->dims[form->height];
    double scale = 1;
    if (w > 0 && h > 0) scale = fmin((double)p->w / (double)w, (double)p->h / (double)h);
    else if (w > 0) scale = (double)p->w / (double)w;
    else if (h > 0) scale = (double)p->h / (double)h;
    else
        scale = fmax(1, fmax((double)p->w / (double)in->max_dims[form->width],
                             (double)p->h / (double)in->max_dims[form->height]));
    if (w < 0) w = llround(fmin((double)p->w / scale, (double)in->max_dims[form->width]));
    if (h < 0) h = llround(fmin((double)p->h / scale, (double)in->max_dims[form->height]));
    if (w < 1 || h < 1 || w > 1 << 15 || h > 1 << 15) return false;
    *x = (Axis){(int)w, p->w, ((double)p->w - (double)w * scale) / 2, scale};
    *y = (Axis){(int)h, p->h, ((double)p->h - (double)h * scale) / 2, scale};
    return true;
}

typedef struct Taps { /* pixels [first, first + n) and their weights, which sum to 1 */
    int first, n;
    float *weight;
} Taps;

static int taps_most(const Axis *axis) { return (int)ceil(2 * fmax(1, axis->step)) + 2; }

static void find_taps(const Axis *axis, int i, Taps *t) {
    double reach = fmax(1, axis->step), centre = axis->from + (i + 0.5) * axis->step - 0.5, sum = 0;
    int lo = (int)ceil(centre - reach), hi = (int)floor(centre + reach);
    t->first = lo < 0 ? 0 : lo >= axis->most ? axis->most - 1 : lo;
    t->n = (hi >= axis->most ? axis->most - 1 : hi < t->first ? t->first : hi) - t->first + 1;
    for (int k = 0; k < t->n; k++) {
        double w = fmax(0, 1 - fabs(t->first + k - centre) / reach);
        t->weight[k] = (float)w;
        sum += w;
    }
    for (int k = 0; k < t->n; k++) t->weight[k] = sum > 0 ? (float)(t->weight[k] / sum) : 1 / (float)t->n;
}

/* [h][w][3] pixels to [h][x->n][3] floats */
static float *scale_rows(Arena *a, const Picture *p, const Axis *x) {
    float *out = ARENA_ARRAY(a, (size_t)p->h * (size_t)x->n * 3, float);
    Taps t = {.weight = ARENA_ARRAY(a, taps_most(x), float)};
    for (int i = 0; i < x->n; i++) {
        find_taps(x, i, &t);
        for (int y = 0; y < p->h; y++) {
            const unsigned char *px = p->px + ((size_t)y * (size_t)p->w + (size_t)t.first) * 3;
            float *to = out + ((size_t)y * (size_t)x->n + (size_t)i) * 3;
            for (int k = 0; k < t.n; k++)
                for (int c = 0; c < 3; c++) to[c] += t.weight[k] * (float)px[3 * k + c];
        }
    }
    return out;
}

/* Rows of pixels to the rows of the output: [y->n][w][3] */
static float *scale_columns(Arena *a, const float *rows, int w, const Axis *y) {
    size_t row = (size_t)w * 3;
    float *out = ARENA_ARRAY(a, (size_t)y->n * row, float);
    Taps t = {.weight = ARENA_ARRAY(a, taps_most(y), float)};
    for (int i = 0; i < y->n; i++) {
        find_taps(y, i, &t);
        for (int k = 0; k < t.n; k++)
            for (size_t j = 0; j < row; j++)
                out[(size_t)i * row + j] += t.weight[k] * rows[(size_t)(t.first + k) * row + j];
    }
    return out;
}

static void store(Tensor *t, size_t i, float v, float mean, float deviation) {
    if (t->dtype == DT_F32) ((float *)(uintptr_t)t->data)[i] = (v / 255 - mean) / deviation;
    else ((unsigned char *)(uintptr_t)t->data)[i] = (unsigned char)(v + 0.5f);
}

/* Places of the output as the input lays them out; grey is what the eye sees of red, green and blue (BT.601). */
static void fill(Tensor *t, const Form *form, const float *px, size_t pixels, const ImageNorm *norm) {
    bool planes = form->channel < form->height;
    size_t channels = form->grey ? 1 : 3;
    for (size_t i = 0; i < pixels; i++) {
        float grey = 0.299f * px[3 * i] + 0.587f * px[3 * i + 1] + 0.114f * px[3 * i + 2];
        for (size_t c = 0; c < channels; c++)
            store(t, planes ? c * pixels + i : i * channels + c, form->grey ? grey : px[3 * i + c], norm->mean[c],
                  norm->deviation[c]);
    }
}

static Tensor *new_tensor(Arena *a, const mcc_tensor_info *in, const Form *form, int w, int h) {
    Tensor *t = ARENA_NEW(a, Tensor);
    *t = (Tensor){.dtype = (Dtype)in->dtype, .rank = in->rank, .dims = {1}};
    t->dims[form->channel] = form->grey ? 1 : 3;
    t->dims[form->height] = h;
    t->dims[form->width] = w;
    t->bytes = (size_t)w * (size_t)h * (form->grey ? 1 : 3) * (size_t)dtype_bits(t->dtype) / 8;
    t->data = arena_alloc(a, t->bytes);
    return t;
}

Tensor *image_to_tensor(Arena *a, FILE *f, const mcc_tensor_info *input, const SampleOptions *o, const char **why) {
    Form form;
    Picture p = {0};
    Axis x, y;
    ImageNorm norm = {{0}, {1, 1, 1}};
    *why = NULL;
    if (input->dtype != DT_F32 && input->dtype != DT_U8)
        *why = "pictures become float32 or uint8; the input takes neither";
    else if (o && o->norm && input->dtype == DT_U8) *why = "--input-norm is for inputs of float32";
    else if (o && o->norm && !image_norm_parse(o->norm, &norm)) *why = "--input-norm is MEAN:DEVIATION";
    if (*why || !find_form(input, o ? o->layout : NULL, &form, why)) return NULL;
    bool good = picture_read(f, &p);
    if (good) p.px = arena_alloc(a, (size_t)p.w * (size_t)p.h * 3);
    if (good && !place_axes(input, &form, &p, &x, &y)) return *why = "the input's height or width is 0", NULL;
    if (!good || !picture_read(f, &p)) return *why = arena_printf(a, "%s", p.problem), NULL;
    *why = NULL;
    Tensor *t = new_tensor(a, input, &form, x.n, y.n);
    const float *px = scale_columns(a, scale_rows(a, &p, &x), x.n, &y);
    fill(t, &form, px, (size_t)x.n * (size_t)y.n, &norm);
    return t;
}
