/* Reads handwritten digits from a file and has the network on the GPU tell them: gpu FILE [COUNT]
 * Prints how many came out right and how long a digit took; a clear word where there is no GPU. */
#include "digits.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SIDE = 28, CLASSES = 10 };
static _Alignas(DIGITS_WORKSPACE_ALIGN) unsigned char workspace[DIGITS_WORKSPACE_BYTES];

/* The next digit's class, or EOF, and its pixels, 0 to 1; ../digits/train.py tells the format. */
static int read_digit(FILE *file, float *image) {
    int label = getc(file);
    for (int i = 0; label != EOF && i < SIDE * SIDE;) {
        int grey = getc(file), run = grey ? 1 : getc(file);
        if (grey == EOF || run == EOF) return EOF;
        while (run-- > 0 && i < SIDE * SIDE) image[i++] = (float)grey / 255;
    }
    return label;
}

static int complain(int status) {
    if (status == MCC_E_DEVICE) fprintf(stderr, "gpu: %s\n", mcc_cuda_problem());
    else fprintf(stderr, "gpu: the model returned %d\n", status);
    return 1;
}

int main(int argc, char **argv) {
    FILE *file = argc == 2 || argc == 3 ? fopen(argv[1], "rb") : NULL;
    int limit = argc == 3 ? atoi(argv[2]) : 1000000, count = 0, right = 0;
    if (!file) {
        fprintf(stderr, "usage: gpu FILE [COUNT], where FILE can be read\n");
        return 2;
    }
    int status = digits_open(workspace); /* the model goes to the GPU once */
    if (status != MCC_OK) return complain(status);
    float image[SIDE * SIDE], share[CLASSES];
    clock_t start = clock();
    for (int label; count < limit && (label = read_digit(file, image)) != EOF; count++) {
        if ((status = digits_run(image, share, workspace)) != MCC_OK) return complain(status);
        int best = 0;
        for (int i = 1; i < CLASSES; i++) best = share[i] > share[best] ? i : best;
        right += best == label;
    }
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    printf("%d of %d right, %.1f microseconds a digit\n", right, count, count ? 1e6 * seconds / count : 0);
    digits_close(workspace);
    return fclose(file) != 0;
}
