/* Sparse products whose nonzeros are data (PackedForm in ir/ir.h): the height of blocks and what that costs, and the
 * constant. Where the pattern has such blocks, few weights are zeros of blocks that hold others; else one row is a
 * block, or two. */
#include <math.h>
#include <string.h>
#include "passes/lower.h"

enum { MOST_BLOCK = 16 };

static int lanes_of(const Target *t) {
    int lanes = 1;
    while (lanes * 2 * 32 <= t->vector_bits && lanes < PANEL) lanes *= 2;
    return lanes;
}

/* Vectors of columns whose sums stay in registers with a block's rows: at most so many. */
static int most_vecs(const Target *t, int block, bool masked) {
    enum { SUMS = 32, OTHERS = 2, SCALARS = 32 }; /* float registers of a processor without vectors */
    int registers = t->vector_bits ? t->vector_registers : SCALARS;
    int most = (registers - OTHERS) / (block + 1 + masked);
    return most > SUMS / block ? SUMS / block : most;
}

/* of whole panels, as many in each turn, which are no more than `turns` panels; or of a part of one. 0: too few
 * registers */
static int vecs_of(const Target *t, int most, int64_t panels, int64_t at_once) {
    int panel = PANEL / lanes_of(t);
    if (most < panel * at_once) at_once = most / panel;
    if (at_once > panels) at_once = panels;
    if (at_once) {
        int64_t turns = (panels + at_once - 1) / at_once;
        return (int)((panels + turns - 1) / turns) * panel;
    }
    while (panel > most) panel /= 2;
    return panel;
}

bool packed_possible(const PassCtx *p) {
    bool asked = p->optimize_size || p->sparse == SPARSE_ALWAYS || p->sparse == SPARSE_PACKED;
    return p->sparse != SPARSE_OFF && sparse_panels(p->target, asked);
}

static bool is_used(const PackWork *w, int64_t row, int64_t source, int block) {
    for (int64_t r = row; r < row + block && r < w->rows; r++)
        if (w->weights[r * w->sources + source] != 0) return true;
    return false;
}

static int64_t entries_of(const PackWork *w, int block) {
    int64_t n = 0;
    for (int64_t row = 0; row < w->rows; row += block)
        for (int64_t i = 0; i < w->sources; i++) n += is_used(w, row, i, block);
    return n;
}

/* of an entry: multiply-adds, or loads, or the wait for the sum before; and the loop */
static double entry_cycles(const Target *t, const PackWork *w, int block, int vecs) {
    const double latency = 4, load = 0.5, loop = 0.75, far = 1.6; /* of a vector, from L2: measured on a Zen 5 */
    double multiply = block * vecs * vector_cycles(t, lanes_of(t)), loads = (block + vecs + 1) * load,
           columns = fmax((double)PANEL, vecs * lanes_of(t));
    if (columns * (double)w->sources * sizeof(float) > (double)t->l1) loads = fmax(loads, far * vecs);
    return fmax(fmax(multiply, loads), latency) + loop;
}

static PackChoice choice_of(const Target *t, const PackWork *w, int block, int vecs, double entries) {
    const double row = 3, place = sizeof(uint16_t);
    double turns = (double)(w->panels * PANEL) / (lanes_of(t) * (double)vecs);
    double rows = row * (double)w->rows * (double)vecs * vector_cycles(t, lanes_of(t));
    return (PackChoice){block, vecs, turns * (entries * entry_cycles(t, w, block, vecs) + rows),
                        entries * (block * (double)sizeof(float) + place)};
}

bool packed_choose(const Target *t, const PackWork *w, bool small, PackChoice *best) {
    enum { MOST_PANELS = 8 };
    const double dense = (double)w->rows * (double)w->sources * sizeof(float);
    best->block = 0;
    for (int block = 1; block <= MOST_BLOCK && block < 2 * w->rows; block *= 2) {
        double entries = (double)entries_of(w, block);
        for (int panels = 1; panels <= MOST_PANELS; panels++) {
            int vecs = vecs_of(t, most_vecs(t, block, w->masked), w->at_once, panels);
            if (!vecs) break;
            PackChoice c = choice_of(t, w, block, vecs, entries);
            bool better = !best->block || c.cycles < best->cycles;
            if (better && (!small || c.bytes < dense)) *best = c;
        }
    }
    return best->block > 0;
}

/* ---- the constant ---- */

/* the places' unit, their base, and whether 16 bits are enough */
static void measure_places(const PackWork *w, const PackSource *sources, PackedForm *p) {
    int64_t low = 0, high = 0, unit = 0;
    for (int64_t i = 0; i < w->sources; i++) {
        if (!i || sources[i].offset < low) low = sources[i].offset;
        if (!i || sources[i].offset > high) high = sources[i].offset;
    }
    for (int64_t i = 0; i < w->sources; i++)
        for (int64_t a = sources[i].offset - low, b; a; b = unit % a, unit = a, a = b) {} /* Euclid's */
    p->base = low;
    p->unit = unit ? unit : 1;
    p->wide = (high - low) / p->unit > UINT16_MAX;
}

static void put_entry(const PackWork *w, const PackedForm *p, char *to, int64_t at, int64_t row, int64_t source,
                      int64_t place) {
    float *weights = (float *)(void *)(to + packed_weights_at(p)) + at * p->block;
    char *places = to + packed_places_at(p);
    for (int64_t r = 0; r < p->block && row + r < w->rows; r++)
        weights[r] = w->weights[(row + r) * w->sources + source];
    if (p->wide) ((int32_t *)(void *)places)[at] = (int32_t)place;
    else ((uint16_t *)(void *)places)[at] = (uint16_t)place;
}

Value *packed_value(Graph *g, const PackWork *w, const PackChoice *c, const PackSource *sources, PackedForm *p) {
    *p = (PackedForm){.rows = w->rows, .sources = w->sources, .block = c->block, .vecs = c->vecs, .classes = 1};
    p->entries = entries_of(w, c->block);
    for (int64_t i = 0; i < w->sources; i++)
        if (sources[i].mask >= p->classes) p->classes = sources[i].mask + 1;
    measure_places(w, sources, p);
    int64_t bytes = packed_bytes(p), at = 0;
    Tensor *t = tensor_packed(g, DT_U8, 1, &bytes);
    char *to = (char *)t->data;
    memset(to, 0, (size_t)bytes);
    int32_t *starts = (int32_t *)(void *)to;
    for (int64_t row = 0; row < w->rows; row += c->block)
        for (int class = 0; class < p->classes; class ++) {
            for (int64_t i = 0; i < w->sources; i++)
                if (sources[i].mask == class && is_used(w, row, i, c->block))
                    put_entry(w, p, to, at++, row, i, (sources[i].offset - p->base) / p->unit);
            *++starts = (int32_t)at;
        }
    return value_of_tensor(g, t);
}
