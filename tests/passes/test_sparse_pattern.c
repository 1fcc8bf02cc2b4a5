/* The names of patterns of zeros: every structure made on purpose, with ragged ends, and noise that is none. */
#include <stdlib.h>
#include <string.h>
#include "passes/passes.h"

enum { ROWS = 34, COLUMNS = 72, TAPS = 9 };

static int failures;
static uint64_t state = 12345;

static double noise(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 40) / (double)(1 << 24);
}

/* blocks of `high` × `wide`, each kept or not; those of columns `step` apart */
static void fill_blocks(float *w, int high, int wide, int step, double kept) {
    for (int at = 0; at < step; at++)
        for (int i = 0; i < ROWS; i += high)
            for (int k = 0; k < COLUMNS / step; k += wide) {
                bool keep = noise() < kept;
                for (int r = i; r < i + high && r < ROWS; r++)
                    for (int j = k; j < k + wide && j < COLUMNS / step; j++)
                        w[r * COLUMNS + j * step + at] = keep ? (float)noise() + 0.1f : 0;
            }
}

/* n of every m neighbours, `step` apart */
static void fill_some(float *w, int n, int m, int step) {
    memset(w, 0, sizeof *w * ROWS * COLUMNS);
    for (int i = 0; i < ROWS; i++)
        for (int at = 0; at < step; at++)
            for (int k = 0; k < COLUMNS / step; k += m)
                for (int left = n; left > 0;) {
                    int j = k + (int)(noise() * m);
                    if (j >= COLUMNS / step) break;
                    float *p = &w[i * COLUMNS + j * step + at];
                    left -= *p == 0;
                    *p = 1;
                }
}

static void expect(const float *w, int taps, const char *want) {
    Ctx *ctx = ctx_new("test");
    const char *got = sparse_pattern(ctx->arena, w, ROWS, COLUMNS, taps);
    if (strcmp(got, want)) fprintf(stderr, "want %s, got %s\n", want, got), failures++;
    ctx_free(ctx);
}

int main(void) {
    static const int blocks[][2] = {{16, 1}, {1, 16}, {4, 4}, {8, 1}, {1, 8}, {4, 1}, {1, 4}, {2, 2}, {2, 1}, {1, 2}};
    float *w = calloc(ROWS * COLUMNS, sizeof *w);
    if (!w) return 1;
    expect(w, 1, "zeros");
    for (int i = 0; i < ROWS * COLUMNS; i++) w[i] = 1;
    expect(w, 1, "dense");
    fill_blocks(w, 1, COLUMNS, 1, 0.5);
    expect(w, TAPS, "rows");
    fill_blocks(w, ROWS, TAPS, 1, 0.5);
    expect(w, TAPS, "channels");
    for (int i = 0; i < (int)(sizeof blocks / sizeof *blocks); i++) {
        char name[16];
        fill_blocks(w, blocks[i][0], blocks[i][1], 1, 0.3);
        snprintf(name, sizeof name, "%dx%d", blocks[i][0], blocks[i][1]);
        expect(w, 1, name);
    }
    fill_blocks(w, 2, 2, TAPS, 0.3);
    expect(w, TAPS, "2x2");
    fill_blocks(w, 1, 4, TAPS, 0.3);
    expect(w, TAPS, "1x4");
    expect(w, 1, "unstructured");
    fill_some(w, 2, 4, 1);
    expect(w, 1, "2:4");
    fill_some(w, 4, 8, TAPS);
    expect(w, TAPS, "4:8");
    fill_blocks(w, 1, 1, 1, 0.3);
    expect(w, TAPS, "unstructured");
    free(w);
    return failures != 0;
}
