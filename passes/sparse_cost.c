/* What straight-line code for a sparse product costs, measured against the tiles of dense ones. A nonzero is a
 * multiply-add; a source is a load in each block of rows that has a nonzero for it; a row is started, clamped and
 * stored. Where a multiply-add reads its weight from memory itself (AVX-512), loads and multiply-adds share what the
 * target does a cycle: vectors of memory as many as it multiplies, unless some weights come by another way. With AVX2 a
 * weight is broadcast for two vectors and blocks are small: loads are what bounds it, masks need more of them. Else
 * (aarch64) loads and multiply-adds run beside each other, and a source costs what masks and addresses take. Code comes
 * through the caches once a call. */
#include <math.h>
#include "passes/lower.h"

typedef struct Costs {
    double load, masked_load, overhead;          /* of a nonzero; over all */
    double nonzero_bytes, load_bytes, row_bytes; /* with its weight */
} Costs;

static const Costs embedded = {1, 1, 1.12, 11.2, 9, 28}, /* measured on a Zen 5 */
    spread = {0.5, 0.7, 1.05, 11.2, 15, 28},             /* likewise, of sparse_spreads() */
    broadcast = {0.6, 1, 0.95, 20.5, 12, 55},            /* likewise */
    by_element = {0.4, 0.4, 1.05, 13, 10, 50};           /* llvm-mca's of 1x1 and 3x3 convolutions */

int64_t count_nonzeros(const Tensor *t) {
    const float *w = t->data;
    int64_t n = 0;
    for (size_t i = 0; i < t->bytes / sizeof *w; i++) n += w[i] != 0;
    return n;
}

/* loads of sources, if the nonzeros lie at random */
static double source_loads(const Target *t, const SparseWork *w) {
    double blocks = ceil((double)w->rows / sparse_rows(t, w->masked)), all = (double)w->rows * (double)w->sources;
    double zeros = all > 0 ? 1 - (double)w->nonzeros / all : 1;
    return blocks * (double)w->sources * (1 - pow(zeros, (double)w->rows / blocks));
}

static double bytes_with(const Target *t, const Costs *c, const SparseWork *w) {
    return c->nonzero_bytes * (double)w->nonzeros + c->load_bytes * source_loads(t, w) + c->row_bytes * (double)w->rows;
}

static const Costs *costs_of(const Target *t, const SparseWork *w) {
    if (t->lane_multiply || t->sve_bits) return &by_element;
    if (t->vector_bits != 512) return &broadcast;
    double bytes = fmin(bytes_with(t, &embedded, w), 0x1p62);
    return sparse_spreads(t, w->panels, (int64_t)bytes) ? &spread : &embedded;
}

double sparse_bytes(const Target *t, const SparseWork *w) { return bytes_with(t, costs_of(t, w), w); }

double sparse_cycles(const Target *t, const SparseWork *w) {
    const double row = 3, bytes_a_cycle = 12;
    const Costs *c = costs_of(t, w);
    double step = vector_cycles(t, sparse_lanes(t)) * c->overhead;
    double load = w->masked ? c->masked_load : c->load;
    double panel = ((double)w->nonzeros + load * source_loads(t, w) + row * (double)w->rows) * step;
    return panel * (double)w->panels + sparse_bytes(t, w) / bytes_a_cycle;
}
