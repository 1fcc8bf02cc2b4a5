/* Sums of bytes whose nonzero weights are data, for processors without vectors (mcc.PixelConv with `unit`): of each
 * column a number of entries, which are a byte that says how far behind the entry before it this one's input is, in
 * units of one byte or four, and the unit's weights. Entries of no weights bridge what a byte cannot. What costs less
 * is taken, with -Os what is smaller. */
#include "passes/lower.h"

enum { UNIT = 4, FARTHEST = UINT8_MAX, MOST_ROWS = 4, MOST_SCRATCH = 4096, MOST_ENTRIES = UINT16_MAX };

typedef struct Column { /* of a group's, by its number among all */
    const IntegerWeights *w;
    int64_t at, unit, depth; /* depth: bytes of its window */
} Column;

static int32_t weight_of(const Column *c, int64_t i) {
    return i < c->depth ? integer_weight(c->w, c->at, i % c->w->channels, i / c->w->channels) : 0;
}

static bool is_used(const Column *c, int64_t place) {
    for (int64_t i = 0; i < c->unit; i++)
        if (weight_of(c, place * c->unit + i)) return true;
    return false;
}

/* its entries; into `to`, unless that is NULL */
static int64_t put_entries(const Column *c, uint8_t *to) {
    int64_t n = 0, last = 0, places = (c->depth + c->unit - 1) / c->unit;
    for (int64_t place = 0; place < places; place++) {
        if (!is_used(c, place)) continue;
        for (bool there = false; !there; n++) {
            int64_t step = place - last > FARTHEST ? FARTHEST : place - last;
            there = (last += step) == place;
            if (!to) continue;
            *to++ = (uint8_t)step;
            for (int64_t i = 0; i < c->unit; i++) *to++ = (uint8_t)(there ? weight_of(c, place * c->unit + i) : 0);
        }
    }
    return n;
}

static int64_t depth_of(const IntegerWeights *w) { return w->channels * w->taps; }
static Column column(const IntegerWeights *w, int64_t at, int64_t unit) { return (Column){w, at, unit, depth_of(w)}; }

/* of all columns; -1: one has too many */
static int64_t count_entries(const IntegerWeights *w, int64_t unit) {
    int64_t all = 0;
    for (int64_t at = 0; at < w->cols * w->groups; at++) {
        Column c = column(w, at, unit);
        int64_t n = put_entries(&c, NULL);
        if (n > MOST_ENTRIES) return -1;
        all += n;
    }
    return all <= INT32_MAX / (unit + 1) ? all : -1;
}

/* pixels at once: a tile's windows lie in scratch memory */
static int64_t rows_of(const IntegerWeights *w, int64_t pixels) {
    int64_t rows = pixels && pixels < MOST_ROWS ? pixels : MOST_ROWS;
    if (!pixels) return 1;
    while (rows > 1 && rows * depth_of(w) > MOST_SCRATCH) rows--;
    return rows;
}

/* Instructions a pixel, as counted in the loops; the same in every column are left out. */
static double dense_cycles(const Target *t, const IntegerWeights *w, int64_t pixels) {
    bool halves = t->dot == DOT_HALVES;
    double one = pixels == 1 ? (halves ? 1.45 : 2.4) : halves ? 1.3 : 2.2;
    return one * (double)(depth_of(w) * w->cols * w->groups);
}

static double sparse_cycles_of(const Target *t, const IntegerWeights *w, const PixelEntries *e, bool copied) {
    const double column = 8, copy = 1.5;
    double each = e->unit == 1 ? 4 : t->dot == DOT_HALVES ? 7 : 8;
    double pixel = e->unit == 1 ? 2 : t->dot == DOT_HALVES ? 5 : 8;
    double gathered = copied ? copy * (double)(depth_of(w) * w->groups) : 0;
    return (double)e->n * (each / (double)e->rows + pixel) + column * (double)(w->cols * w->groups) / (double)e->rows +
           gathered;
}

static double bytes_of(const IntegerWeights *w, const PixelEntries *e) {
    return (double)(w->cols * w->groups) * sizeof(uint16_t) + (double)e->n * (double)(1 + e->unit);
}

bool pixel_entries_choose(const PassCtx *ctx, const Node *n, const IntegerWeights *w, int64_t pixels, bool copied,
                          PixelEntries *best) {
    bool asked = ctx->sparse == SPARSE_ALWAYS || ctx->sparse == SPARSE_PACKED;
    double dense = (double)(depth_of(w) * w->cols * w->groups);
    SparseNote note = {.dense_cycles = dense_cycles(ctx->target, w, pixels), .packed = true};
    *best = (PixelEntries){.n = -1};
    for (int64_t unit = 1; unit <= UNIT && ctx->sparse != SPARSE_OFF; unit *= UNIT) {
        PixelEntries e = {.unit = unit, .n = count_entries(w, unit), .rows = rows_of(w, pixels)};
        if (e.n < 0) continue;
        double cycles = sparse_cycles_of(ctx->target, w, &e, copied), bytes = bytes_of(w, &e);
        bool better = best->n < 0 || (ctx->optimize_size ? bytes < note.bytes : cycles < note.cycles);
        if (better) *best = e, note.cycles = cycles, note.bytes = bytes;
    }
    if (best->n < 0) return false;
    note.sparse = asked || (ctx->optimize_size ? note.bytes < dense : note.cycles < note.dense_cycles);
    integer_sparse_note(ctx, n, w, &note);
    return note.sparse;
}

Value *pixel_entries(Graph *g, const IntegerWeights *w, const PixelEntries *e) {
    int64_t columns = w->cols * w->groups, starts = w->groups * (int64_t)sizeof(int32_t),
            counts = columns * (int64_t)sizeof(uint16_t), bytes = starts + counts + e->n * (1 + e->unit), done = 0;
    Tensor *t = tensor_packed(g, DT_U8, 1, &bytes);
    char *to = (char *)t->data;
    for (int64_t at = 0; at < columns; at++) {
        Column c = column(w, at, e->unit);
        if (at % w->cols == 0) ((int32_t *)(void *)to)[at / w->cols] = (int32_t)(done * (1 + e->unit));
        int64_t n = put_entries(&c, (uint8_t *)to + starts + counts + done * (1 + e->unit));
        ((uint16_t *)(void *)(to + starts))[at] = (uint16_t)n;
        done += n;
    }
    return value_of_tensor(g, t);
}
