/* A Hessian of inputs that hang together, as those of networks do. */
#ifndef MCC_TESTS_CORRELATED_H
#define MCC_TESTS_CORRELATED_H
#include "compress/rounding.h"
#include <stdlib.h>
#include "tests/unit/draw.h"

/* Rows of 24 hidden numbers, mixed, and a little noise; after inputs that are 0 where `dead` */
static inline void add_correlated(Hessian *h, int64_t group, int rows, bool dead) {
    enum { HIDDEN = 24 };
    double *mix = malloc(sizeof *mix * (size_t)h->depth * HIDDEN);
    for (int64_t i = 0; i < h->depth * HIDDEN; i++) mix[i] = normal();
    for (int r = 0; r < rows; r += HESSIAN_ROWS) {
        for (int i = 0; i < HESSIAN_ROWS; i++) {
            double hidden[HIDDEN];
            for (int k = 0; k < HIDDEN; k++) hidden[k] = normal();
            for (int64_t c = 0; c < h->depth; c++) {
                double x = 0.1 * normal();
                for (int k = 0; k < HIDDEN; k++) x += mix[c * HIDDEN + k] * hidden[k];
                h->buffer[i * h->depth + c] = dead && c % 3 == 0 ? 0 : x;
            }
        }
        hessian_add(h, group, HESSIAN_ROWS);
    }
    free(mix);
}

#endif
