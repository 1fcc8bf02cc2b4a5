/* What straight-line code for a sparse product costs, measured against the tiles of dense ones. A nonzero is a
 * multiply-add that reads its weight from memory; a source is a load in each block of rows that has a nonzero for it; a
 * row is started, clamped and stored. Loads and multiply-adds share what the target does a cycle: vectors of memory as
 * many as it multiplies. Code comes through the caches once a call. */
#include <math.h>
#include "passes/lower.h"

enum { ROWS = 31 /* of a block */ };

int64_t count_nonzeros(const Tensor *t) {
    const float *w = t->data;
    int64_t n = 0;
    for (size_t i = 0; i < t->bytes / sizeof *w; i++) n += w[i] != 0;
    return n;
}

/* loads of sources, if the nonzeros lie at random */
static double source_loads(const SparseWork *w) {
    double blocks = ceil((double)w->rows / ROWS), all = (double)w->rows * (double)w->sources;
    double zeros = all > 0 ? 1 - (double)w->nonzeros / all : 1;
    return blocks * (double)w->sources * (1 - pow(zeros, (double)w->rows / blocks));
}

double sparse_bytes(const SparseWork *w) {
    const double nonzero = 11.2, load = 9, row = 28;
    return nonzero * (double)w->nonzeros + load * source_loads(w) + row * (double)w->rows;
}

double sparse_cycles(const Target *t, const SparseWork *w) {
    const double overhead = 1.12, row = 3, bytes_a_cycle = 12;
    double step = vector_cycles(t, sparse_lanes(t));
    double panel = ((double)w->nonzeros + source_loads(w) + row * (double)w->rows) * step * overhead;
    return panel * (double)w->panels + sparse_bytes(w) / bytes_a_cycle;
}
