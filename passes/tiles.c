/* Tile choice: rows × vectors of accumulators that fit the target's registers, by a count of the cycles that a row of
 * the output takes in multiplications, loads and latency. */
#include "passes/lower.h"
#include <assert.h>

enum { LATENCY = 4, MAX_VECS = 8, MAX_ROWS = 28, MAX_UNROLL = 8, OPEN_ROW = 64 };

static int vector_lanes(const Target *t) { return t->vector_bits >= 64 ? t->vector_bits / 32 : 4; }

double vector_cycles(const Target *t, int lanes) {
    double cycles = lanes * 32.0 / t->multiply_bits;
    return cycles < 0.5 ? 0.5 : cycles; /* two instructions a cycle */
}

/* what a pixel costs in blocks of b: vectors to multiply, for some typical number of input channels, and bytes to move
 */
static double block_cycles(const Target *t, int64_t channels, int b) {
    enum { TYPICAL_CHANNELS = 64, BYTES = 8 };
    int64_t vectors = (channels + b - 1) / b;
    double multiply = b * 32.0 / t->multiply_bits;
    if (multiply < 0.5) multiply = 0.5; /* two instructions a cycle */
    return (double)vectors * multiply * TYPICAL_CHANNELS + (double)(vectors * b) * 4 / BYTES;
}

int channel_block(const Target *t, int64_t channels) {
    int best = vector_lanes(t);
    for (int b = best / 2; b >= 4; b /= 2)
        if (block_cycles(t, channels, b) < block_cycles(t, channels, best)) best = b;
    return best;
}

/* registers that a tile needs beside its accumulators */
static int fits(const Target *t, DotForm dot, int rows, int vecs) {
    int registers = t->vector_registers ? t->vector_registers : 8, used = rows * vecs + vecs + 1;
    if (!t->has_fma) used += 3; /* products of their own, and LLVM loads ahead */
    if (t->lane_multiply) used += rows - 1;
    if (dot == DOT_PAIRS) used += vecs + 8; /* bytes in words of 16 bits, of either side */
    if (dot == DOT_SIGNED) used += 2;       /* bytes of the other signedness */
    return used <= registers && rows * vecs <= MAX_ROWS;
}

/* cycles of one step of a tile: multiplications, loads (two a cycle, or one of more than 256 bits where such are
 * halved), or the time until a sum can be added to again */
static double step_cycles(const Target *t, int lanes, int rows, int vecs) {
    double multiply = rows * vecs * vector_cycles(t, lanes), halved = lanes * 32 > t->multiply_bits / 2 ? 1 : 0.5;
    double load = rows * 0.5 + vecs * halved, most = multiply > load ? multiply : load;
    return (most > LATENCY ? most : LATENCY) + 0.05 * load + 0.25;
}

/* What it costs a tile to read a panel of weights that is not in L1 any more, and, once only a few panels fit L2, that
 * fetching the next one ahead does not hide all of its way from memory. Rows of a product lie apart, so that taller
 * tiles would cost more than they spare. */
static double stream_cycles(const Target *t, const Work *w, double bytes) {
    enum { PANELS = 12 };
    if (!w->lanes) return 0;
    return (bytes > (double)t->l1 ? bytes / 256 : 0) + (bytes * PANELS > (double)t->l2 ? bytes / 512 : 0);
}

/* Steps of one element, as bytes have them in short vectors, come from memory for four rows at once, and bytes go there
 * so: what rows beyond a multiple of four take. */
static double ragged_cycles(const Target *t, const Work *w, int rows, int vecs, double steps) {
    enum { TOGETHER = 4 };
    bool bytes = w->dot == DOT_SIGNED || w->dot == DOT_MIXED;
    if (!t->lane_multiply || !bytes || w->group.block != 1) return 0;
    return rows % TOGETHER ? rows % TOGETHER * 2.0 * vecs + steps : 0;
}

static double tile_cycles(const Target *t, const Work *w, int lanes, int rows, int vecs, int64_t col) {
    double channels = (double)range_channels(&w->group, panel_blocks(&w->group, col, (int64_t)vecs * lanes)),
           steps = channels * (double)w->taps;
    return steps * step_cycles(t, lanes, rows, vecs) + stream_cycles(t, w, steps * 4.0 * vecs * lanes) + 12 +
           2.0 * rows * vecs + ragged_cycles(t, w, rows, vecs, steps);
}

/* panels of groups differ in what they read */
static double panels_cycles(const Target *t, const Work *w, int lanes, int rows, int vecs) {
    int64_t vectors = (w->cols + lanes - 1) / lanes, full = vectors / vecs, wide = (int64_t)vecs * lanes;
    double cycles = 0;
    if (w->group.groups == 1) cycles = (double)full * tile_cycles(t, w, lanes, rows, vecs, 0);
    for (int64_t i = 0; w->group.groups > 1 && i < full; i++) cycles += tile_cycles(t, w, lanes, rows, vecs, i * wide);
    if (vectors % vecs) cycles += tile_cycles(t, w, lanes, rows, (int)(vectors % vecs), full * wide);
    return cycles;
}

static double work_cycles(const Target *t, const Work *w, int lanes, int rows, int vecs) {
    int64_t row = w->row ? w->row : OPEN_ROW;
    return panels_cycles(t, w, lanes, rows, vecs) * (w->row ? (double)((row + rows - 1) / rows) : (double)row / rows);
}

double tile_choice_cycles(const Target *t, const Work *w, const TileChoice *c) {
    return work_cycles(t, w, c->lanes, c->rows, c->vecs) * (double)(w->rows ? w->rows : 1);
}

static bool can_unroll(const Work *w, int64_t steps) {
    int64_t block = w->group.block, all = w->group.channels * w->group.groups;
    bool constant = all <= block; /* else the number of channels in a block is known at run time */
    return steps == 1 || constant || (block % steps == 0 && all % block % steps == 0);
}

/* as many steps as make a loop's body worth its overhead */
static int unroll_of(const Target *t, const Work *w, const TileChoice *c) {
    int64_t block = w->group.block, all = w->group.channels * w->group.groups;
    int tile = c->rows * c->vecs;
    /* LLVM loads the next step ahead: a tile that fills the registers has no room for that, and would spill */
    int most = t->lane_multiply ? 4 : tile * 2 > t->vector_registers ? 1 : tile * 4 > t->vector_registers ? 2 : 4;
    if (w->dot == DOT_PAIRS) most = 1;
    for (int u = most; u > 1; u /= 2)
        if (block % u == 0 && can_unroll(w, u)) return u;
    return all <= block && all >= most ? most : 1;
}

/* how many rows, or tiles of the only row, one panel of weights serves before the next: as many as keep their input in
 * cache */
static int64_t run_of(const Target *t, const Work *w, const TileChoice *c) {
    int64_t all = w->group.channels * w->group.groups, weights = w->cols * w->group.channels * w->taps * 4,
            row = w->row ? w->row : OPEN_ROW;
    bool flat = w->rows == 1 && w->taps == 1;
    int64_t unit = flat ? c->rows * all * 4 : row * all * 4, cache = (int64_t)t->l2 / 4;
    if (weights * 2 <= (int64_t)t->l1) return 1;
    if (weights * 8 <= (int64_t)t->l2) return flat ? 12 : 1;
    return unit > 0 && cache / unit > 4 ? cache / unit : 4;
}

static int lanes_of(const Target *t, const Work *w) {
    int lanes = w->lanes;
    if (!lanes)
        for (lanes = vector_lanes(t); lanes > w->cols; lanes /= 2) {}
    return lanes;
}

/* the most vectors side by side; contiguous ones overlap */
static int64_t vectors_of(const Work *w, int lanes) {
    return w->lanes ? (w->cols + lanes - 1) / lanes : w->cols / lanes;
}

bool tile_possible(const Target *t, const Work *w, int64_t rows, int64_t vecs, int64_t unroll) {
    if (rows < 1 || rows > MAX_ROWS || vecs < 1 || vecs > MAX_VECS || unroll < 0 || unroll > MAX_UNROLL) return false;
    if (vecs > vectors_of(w, lanes_of(t, w)) || (w->row && rows > w->row)) return false;
    return fits(t, w->dot, (int)rows, (int)vecs) && (!unroll || can_unroll(w, unroll));
}

TileChoice tile_of(const Target *t, const Work *w, int rows, int vecs) {
    TileChoice c = {.lanes = lanes_of(t, w), .rows = rows, .vecs = vecs};
    c.unroll = unroll_of(t, w, &c);
    c.run = run_of(t, w, &c);
    return c;
}

bool tile_tuned(const Target *t, const Work *w, const LayerChoice *choice, TileChoice *out) {
    TileChoice model = tile_choose(t, w);
    int64_t rows = choice->rows ? choice->rows : model.rows, vecs = choice->vecs ? choice->vecs : model.vecs;
    if (!tile_possible(t, w, rows, vecs, choice->unroll)) return false;
    *out = tile_of(t, w, (int)rows, (int)vecs);
    if (choice->unroll) out->unroll = (int)choice->unroll;
    if (choice->run) out->run = choice->run;
    return true;
}

int tile_list(const Target *t, const Work *w, TileChoice *list, int most) {
    double cost[MAX_TILES];
    int n = 0, lanes = lanes_of(t, w);
    assert(most <= MAX_TILES);
    for (int vecs = 1; vecs <= MAX_VECS; vecs++)
        for (int rows = 1; tile_possible(t, w, rows, vecs, 0); rows++) {
            double cycles = work_cycles(t, w, lanes, rows, vecs);
            int at = n < most ? n++ : most;
            for (; at > 0 && cycles < cost[at - 1]; at--)
                if (at < most) list[at] = list[at - 1], cost[at] = cost[at - 1];
            if (at < most) list[at] = (TileChoice){.rows = rows, .vecs = vecs}, cost[at] = cycles;
        }
    for (int i = 0; i < n; i++) list[i] = tile_of(t, w, list[i].rows, list[i].vecs);
    return n;
}

TileChoice tile_choose(const Target *t, const Work *w) {
    TileChoice best;
    return tile_list(t, w, &best, 1) ? best : tile_of(t, w, 1, 1);
}

TileChoice tile_choose_units(const Target *t, int lanes, int gates, int64_t blocks, int64_t rows) {
    TileChoice best = {.lanes = lanes, .rows = 1, .vecs = gates, .unroll = 1};
    double least = 1e300;
    if (rows < 1) rows = 1;
    for (int b = 1; b <= blocks && b * gates <= MAX_VECS; b++)
        for (int r = 1; r <= rows && fits(t, DOT_WIDEN, r, b * gates); r++) {
            double tiles = (double)((blocks + b - 1) / b) * (double)((rows + r - 1) / r);
            double cycles = tiles * step_cycles(t, lanes, r, b * gates);
            if (cycles < least) least = cycles, best.rows = r, best.vecs = b * gates;
        }
    int tile = best.rows * best.vecs;
    best.unroll = t->lane_multiply ? 4 : tile * 2 > t->vector_registers ? 1 : tile * 4 > t->vector_registers ? 2 : 4;
    return best;
}

int64_t channel_rows_most(const Target *t, int64_t kernel) {
    int registers = t->vector_registers ? t->vector_registers : 8;
    int64_t most = registers - 2 - (kernel < registers / 4 ? kernel : registers / 4);
    return most > registers / 2 ? registers / 2 : most;
}

int channel_rows(const Target *t, int64_t row, int64_t kernel) {
    int64_t most = channel_rows_most(t, kernel), best = 1;
    if (!row) return (int)most;
    for (int64_t r = 1, least = INT64_MAX; r <= most && r <= row; r++) {
        int64_t tiles = (row + r - 1) / r, work = tiles * (r + 2); /* a tile's start costs about two places */
        if (work <= least) least = work, best = r;
    }
    return (int)best;
}

TileChoice tile_for_any(const Target *t) {
    enum { LEAST_ROWS = 2, MOST_ROWS = 8, MOST_VECS = 4 };
    TileChoice best = {.lanes = vector_lanes(t), .rows = 1, .vecs = 1, .unroll = 1};
    double most = 0;
    for (int rows = LEAST_ROWS; rows <= MOST_ROWS; rows++)
        for (int vecs = 1; vecs <= MOST_VECS && fits(t, DOT_WIDEN, rows, vecs); vecs++) {
            double use = rows * vecs / step_cycles(t, best.lanes, rows, vecs);
            if (use >= most) most = use, best.rows = rows, best.vecs = vecs;
        }
    return best;
}

int panel_vecs(int64_t cols, int lanes, int most) {
    int64_t vectors = (cols + lanes - 1) / lanes;
    if (vectors == 0) return most;
    int64_t panels = (vectors + most - 1) / most;
    return (int)((vectors + panels - 1) / panels);
}
