/* What the files of the example share. Pixels are blue, green, red, as the models were trained. */
#ifndef OCR_H
#define OCR_H

#include <stdbool.h>
#include <stddef.h>

typedef struct Image {
    int w, h;
    unsigned char *px; /* [h][w][3]; free() */
} Image;
typedef struct Point {
    float x, y;
} Point;
typedef struct Box { /* a line of text; its corners run from the top left clockwise, as the text is read */
    Point corner[4];
} Box;
typedef struct Normal { /* a channel becomes (value / 255 - mean) / deviation */
    float mean[3], deviation[3];
} Normal;

/* ---- image.c; false after a message ---- */
bool image_read(const char *path, Image *out);
bool image_write(const char *path, const Image *image);
void image_line(Image *image, Point from, Point to);
/* The rectangle w × h that lies between the corners, straightened. */
bool image_crop(const Image *image, const Box *box, int w, int h, Image *out);
/* Resizes to w × h and writes [3][h][stride], normalised, the columns past w 0. */
void image_to_floats(const Image *image, int w, int h, int stride, const Normal *normal, float *out);

/* ---- boxes.c ---- */
enum { MAX_BOXES = 1000 };
/* Lines of text in a map of probabilities [h][w], in its coordinates; how many, -1 after a message. */
int boxes_find(const float *map, int w, int h, Box *out);

/* ---- dictionary.c ---- */
typedef struct Dictionary {
    char *text;         /* the file, each entry ended by a 0 */
    const char **entry; /* by class: 0 is the blank, the last one a space */
    int n;
} Dictionary;
bool dictionary_read(const char *path, Dictionary *out); /* false after a message */
void dictionary_free(Dictionary *d);
/* Greedy CTC: the best class of each step, repetitions and blanks left out, and spaces at both ends. text: at most
 * `size` bytes, 0 included. The mean probability of what was kept. */
float dictionary_decode(const Dictionary *d, const float *steps, int n_steps, char *text, size_t size);

#endif
