/* How zeros lie in a matrix of weights: whole rows or channels, blocks that are zero or full, at most n nonzeros of
 * every m neighbours, or anyhow. The largest structure that all of the matrix has is named. */
#include "passes/passes.h"

typedef struct Pattern {
    const float *w;
    int64_t rows, columns;
    double density;
} Pattern;

/* Columns `at`, `at` + step, … of it: with the taps of a window for the step, the input channels at one tap. */
typedef struct Part {
    const Pattern *p;
    int64_t at, step, columns;
} Part;

static Part part_of(const Pattern *p, int64_t at, int64_t step) { return (Part){p, at, step, p->columns / step}; }

static bool is_zero(const Part *part, int64_t row, int64_t column) {
    return part->p->w[row * part->p->columns + column * part->step + part->at] == 0;
}

/* Nonzeros of every block that has any: at least these parts of it are asked for. */
static const double full_enough = 0.95, used_enough = 0.9;

typedef struct Rect {
    int64_t row, column, rows, columns;
} Rect;

static int64_t nonzeros_in(const Part *part, Rect r, int64_t *size) {
    int64_t n = 0;
    if (r.row + r.rows > part->p->rows) r.rows = part->p->rows - r.row;
    if (r.column + r.columns > part->columns) r.columns = part->columns - r.column;
    *size = r.rows * r.columns;
    for (int64_t i = 0; i < r.rows; i++)
        for (int64_t k = 0; k < r.columns; k++) n += !is_zero(part, r.row + i, r.column + k);
    return n;
}

typedef struct Blocks {
    int64_t nonzeros, room, zeros; /* room: elements of the blocks with nonzeros; zeros: blocks without */
} Blocks;

static void count_blocks(const Part *part, int64_t rows, int64_t columns, Blocks *b) {
    int64_t size;
    for (int64_t i = 0; i < part->p->rows; i += rows)
        for (int64_t k = 0; k < part->columns; k += columns) {
            int64_t n = nonzeros_in(part, (Rect){i, k, rows, columns}, &size);
            b->nonzeros += n;
            b->room += n ? size : 0;
            b->zeros += n ? 0 : 1;
        }
}

static bool in_blocks(const Pattern *p, int64_t rows, int64_t columns, int64_t step) {
    Blocks b = {0, 0, 0};
    if (rows > p->rows || columns > p->columns / step) return false;
    for (int64_t at = 0; at < step; at++) {
        Part part = part_of(p, at, step);
        count_blocks(&part, rows, columns, &b);
    }
    return b.zeros && (double)b.nonzeros >= full_enough * (double)b.room;
}

/* the most nonzeros of m neighbours of a row, `step` columns apart */
static int64_t most_of(const Pattern *p, int64_t m, int64_t step) {
    int64_t most = 0, size;
    for (int64_t at = 0; at < step; at++) {
        Part part = part_of(p, at, step);
        for (int64_t i = 0; i < p->rows; i++)
            for (int64_t k = 0; k < part.columns; k += m) {
                int64_t n = nonzeros_in(&part, (Rect){i, k, 1, m}, &size);
                if (n > most) most = n;
            }
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
    Part all = part_of(&p, 0, 1);
    int64_t size, n = nonzeros_in(&all, (Rect){0, 0, rows, columns}, &size);
    if (!size || n == size) return "dense";
    if (!n) return "zeros";
    p.density = (double)n / (double)size;
    if (in_blocks(&p, 1, columns, 1)) return "rows";
    if (in_blocks(&p, rows, taps, 1)) return "channels";
    for (int i = 0; i < (int)(sizeof blocks / sizeof *blocks); i++)
        if (in_blocks(&p, blocks[i][0], blocks[i][1], 1) ||
            (taps > 1 && in_blocks(&p, blocks[i][0], blocks[i][1], taps)))
            return arena_printf(a, "%dx%d", blocks[i][0], blocks[i][1]);
    if ((text = of_neighbours(a, &p, 1)) || (taps > 1 && (text = of_neighbours(a, &p, taps)))) return text;
    return "unstructured";
}
