/* Reads handwritten digits from a file, draws each in the terminal, and shows what the network makes of it.
 *     digits FILE [COUNT]        the first COUNT digits, 3 unless told
 *     digits --accuracy FILE     all of them: how many does the network get right?
 */
#include "digits.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 28, CLASSES = 10 };
static _Alignas(DIGITS_WORKSPACE_ALIGN) unsigned char workspace[DIGITS_WORKSPACE_BYTES];

/* The next digit's class, or EOF, and its pixels, 0 to 1. train.py tells the format: black pixels stand as runs. */
static int read_digit(FILE *file, float *image) {
    int label = getc(file);
    for (int i = 0; label != EOF && i < SIDE * SIDE;) {
        int grey = getc(file), run = grey ? 1 : getc(file);
        if (grey == EOF || run == EOF) return EOF;
        while (run-- > 0 && i < SIDE * SIDE) image[i++] = (float)grey / 255;
    }
    return label;
}

/* Two rows of pixels make a line of text; the bars of the ten classes stand beside lines 2 to 11. */
static void draw(const float *image, const float *share) {
    static const char *const block[] = {" ", "▄", "▀", "█"};
    for (int line = 0; line < SIDE / 2; line++) {
        const float *top = image + 2 * line * SIDE, *bottom = top + SIDE;
        for (int x = 0; x < SIDE; x++) fputs(block[2 * (top[x] > 0.4f) + (bottom[x] > 0.4f)], stdout);
        int digit = line - 2;
        if (digit >= 0 && digit < CLASSES) {
            printf("   %d %5.1f %% ", digit, 100 * (double)share[digit]);
            for (int i = 0; i < (int)(30 * share[digit] + 0.5f); i++) fputs("█", stdout);
        }
        putchar('\n');
    }
}

int main(int argc, char **argv) {
    bool whole = argc == 3 && strcmp(argv[1], "--accuracy") == 0;
    int limit = argc == 3 && !whole ? atoi(argv[2]) : 3, right = 0, count = 0;
    FILE *file = argc == 2 || argc == 3 ? fopen(argv[1 + whole], "rb") : NULL;
    if (!file) {
        fprintf(stderr, "usage: digits FILE [COUNT] | digits --accuracy FILE, where FILE can be read\n");
        return 2;
    }
    float image[SIDE * SIDE], share[CLASSES];
    for (int label; (whole || count < limit) && (label = read_digit(file, image)) != EOF; count++) {
        if (digits_run(image, share, workspace) != 0) return 1;
        int best = 0;
        for (int i = 1; i < CLASSES; i++) best = share[i] > share[best] ? i : best;
        right += best == label;
        if (!whole) draw(image, share);
        if (!whole) printf("a %d, taken for a %d\n\n", label, best);
    }
    if (whole) printf("accuracy %.2f %% (%d of %d)\n", count ? 100.0 * right / count : 0, right, count);
    return fclose(file) != 0;
}
