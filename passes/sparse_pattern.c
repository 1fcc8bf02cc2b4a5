/* How zeros lie in a matrix of weights: whole rows or channels, blocks that are zero or full, at most n nonzeros of
 * every m neighbours, or anyhow. The largest structure that all of the matrix has is named. */
#include "passes/passes.h"

typedef struct Pattern {
    const float *w;
    int64_t rows, columns;
    double density;
} Pattern;

static bool is_zero(const Pattern *p, int64_t row, int64_t column) { return p->w[row * p->columns + column] == 0; }

/* Nonzeros of every block that has any: at least these parts of it are asked for. */
static const double full_enough = 0.95, used_enough = 0.75;

typedef struct Rect {
    int64_t row, column, rows, columns;
} Rect;

static int64_t nonzeros_in(const Pattern *p, Rect r, int64_t *size) {
    int64_t n = 0;
    if (r.row + r.rows > p->rows) r.rows = p->rows - r.row;
    if (r.column + r.columns > p->columns) r.columns = p->columns - r.column;
    *size = r.rows * r.columns;
    for (int64_t i = 0; i < r.rows; i++)
        for (int64_t k = 0; k < r.columns; k++) n += !is_zero(p, r.row + i, r.column + k);
    return n;
}

static bool in_blocks(const Pattern *p, int64_t rows, int64_t columns) {
    int64_t nonzeros = 0, room = 0, zeros = 0, size;
    if (rows > p->rows || columns > p->columns) return false;
    for (int64_t i = 0; i < p->rows; i += rows)
        for (int64_t k = 0; k < p->columns; k += columns) {
            int64_t n = nonzeros_in(p, (Rect){i, k, rows, columns}, &size);
            nonzeros += n;
            room += n ? size : 0;
            zeros += n ? 0 : 1;
        }
    return zeros && (double)nonzeros >= full_enough * (double)room;
}

/* the most nonzeros of m neighbours of a row, `step` columns apart */
static int64_t most_of(const Pattern *p, int64_t m, int64_t step) {
    int64_t most = 0, line = p->columns / step;
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t at = 0; at < step; at++)
            for (int64_t k = 0; k < line; k += m) {
                int64_t n = 0;
                for (int64_t j = k; j < k + m && j < line; j++) n += !is_zero(p, i, j * step + at);
                if (n > most) most = n;
            }
    return most;
}

static const char *of_neighbours(Arena *a, const Pattern *p, int64_t step) {
    for (int64_t m = 2; m <= 16; m *= 2) {
        int64_t n = p->columns / step >= m ? most_of(p, m, step) : m;
        if (n > 0 && n < m && p->density >= used_enough * (double)n / (double)m)
            return arena_printf(a, "%d:%d", (int)n, (int)m);
    }
    return NULL;
}

const char *sparse_pattern(Arena *a, const float *w, int64_t rows, int64_t columns, int64_t taps) {
    static const int blocks[][2] = {{16, 1}, {1, 16}, {4, 4}, {8, 1}, {1, 8}, {4, 1}, {1, 4}, {2, 2}, {2, 1}, {1, 2}};
    Pattern p = {w, rows, columns, 0};
    const char *text;
    int64_t size, n = nonzeros_in(&p, (Rect){0, 0, rows, columns}, &size);
    if (!size || n == size) return "dense";
    if (!n) return "zeros";
    p.density = (double)n / (double)size;
    if (in_blocks(&p, 1, columns)) return "rows";
    if (in_blocks(&p, rows, taps)) return "channels";
    for (int i = 0; i < (int)(sizeof blocks / sizeof *blocks); i++)
        if (in_blocks(&p, blocks[i][0], blocks[i][1])) return arena_printf(a, "%dx%d", blocks[i][0], blocks[i][1]);
    if ((text = of_neighbours(a, &p, 1)) || (taps > 1 && (text = of_neighbours(a, &p, taps)))) return text;
    return "unstructured";
}
