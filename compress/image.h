/* Pictures as calibration samples: a file's pixels, and a tensor made of them as a vision model takes it. */
#ifndef MCC_IMAGE_H
#define MCC_IMAGE_H

#include "compress/samples.h"

typedef struct Picture {
    int w, h;
    unsigned char *px; /* [h][w][3]: red, green, blue */
    char problem[200]; /* what is wrong with the file */
} Picture;

/* ---- image_files.c: PNG, JPEG, PPM and PGM, by what the file begins with ---- */
/* Without px: reads w and h. With px: fills it, for these w and h. false: problem says why. */
bool picture_read(FILE *f, Picture *p);

/* ---- image.c ---- */
typedef struct ImageNorm { /* a channel becomes (value / 255 - mean) / deviation */
    float mean[3], deviation[3];
} ImageNorm;
bool image_norm_parse(const char *text, ImageNorm *out); /* "0.5:0.5", "0.485,0.456,0.406:0.229,0.224,0.225" */
/* A sample of the input [n,c,h,w], [n,h,w,c] or without n. The picture is scaled to cover h and w, and cut around its
 * middle; where one of them is open it keeps its proportions. NULL: *why. */
Tensor *image_to_tensor(Arena *a, FILE *f, const mcc_tensor_info *input, const SampleOptions *o, const char **why);

#endif
