/* Sparse products: which layers fit, their blocks of rows, and the target's encoder. */
#include <stdlib.h>
#include <string.h>
#include "codegen/sparse_blocks.h"

static bool is_arm64(const Target *t) { return !strncmp(t->triple, "aarch64", strlen("aarch64")); }

int64_t sparse_blocks(const Target *t, int64_t rows, bool masked) {
    int64_t most = sparse_rows(t, masked);
    return (rows + most - 1) / most;
}

float sparse_weight(const SparseLayer *l, const SparseBlock *b, int row, int64_t source) {
    return l->weights[(b->first + row) * l->n_sources + source];
}

uint32_t sparse_word(const SparseLayer *l, const SparseBlock *b, int row, int64_t source) {
    uint32_t bits;
    if (l->words) return (uint32_t)l->words[(b->first + row) * l->n_sources + source];
    float w = sparse_weight(l, b, row, source);
    memcpy(&bits, &w, sizeof bits);
    return w == 0 ? 0 : bits;
}

int64_t sparse_nonzeros(const SparseLayer *l, const SparseBlock *b, int64_t source) {
    int64_t n = 0;
    for (int r = 0; r < b->rows; r++) n += sparse_word(l, b, r, source) != 0;
    return n;
}

typedef struct Place {
    int64_t offset, source;
} Place;

static int compare_places(const void *a, const void *b) {
    const Place *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return x->source < y->source ? -1 : 1;
}

int64_t *sparse_by_place(Arena *a, const SparseLayer *l) {
    Place *places = ARENA_ARRAY(a, l->n_sources, Place);
    int64_t *order = ARENA_ARRAY(a, l->n_sources, int64_t);
    for (int64_t i = 0; i < l->n_sources; i++) places[i] = (Place){l->sources[i].offset, i};
    qsort(places, (size_t)l->n_sources, sizeof *places, compare_places);
    for (int64_t i = 0; i < l->n_sources; i++) order[i] = places[i].source;
    return order;
}

unsigned sparse_masks_used(const SparseLayer *l) {
    unsigned used = l->store == SPARSE_STORE_ALL ? 0 : 1u << l->store_mask;
    for (int64_t i = 0; i < l->n_sources; i++) used |= 1u << l->sources[i].mask;
    return used & ~1u;
}

bool sparse_is_masked(const SparseLayer *l) {
    for (int64_t i = 0; i < l->n_sources; i++)
        if (l->sources[i].mask) return true;
    return false;
}

static void measure(const SparseLayer *l, SparseBlock *b) {
    for (int64_t i = 0; i < l->n_sources; i++) {
        int64_t n = sparse_nonzeros(l, b, i);
        b->nonzeros += n;
        b->loads += n > 0;
    }
}

/* few rows take several sums each, or additions would wait for one another */
static int sets_of(int rows, int most, int busy) {
    enum { MAX_SETS = 4 };
    int sets = 1;
    while (sets < MAX_SETS && rows * (sets + 1) <= most && rows * sets < busy) sets++;
    return sets;
}

/* rows are spread evenly, over the blocks of a part and in units over the parts */
SparseBlocks sparse_cut_rows(Arena *a, const Target *t, const SparseLayer *l, int busy) {
    int64_t parts = l->shares ? l->shares : 1, unit = l->shares ? l->unit : l->rows, units = l->rows / unit;
    bool masked = sparse_is_masked(l);
    int64_t each = sparse_blocks(t, (units + parts - 1) / parts * unit, masked);
    SparseBlocks blocks = {.n = parts * each};
    blocks.all = ARENA_ARRAY(a, blocks.n, SparseBlock);
    for (int64_t i = 0; i < blocks.n; i++) {
        SparseBlock *b = &blocks.all[i];
        int64_t part = i / each, at = i % each, first = units * part / parts * unit,
                rows = units * (part + 1) / parts * unit - first;
        b->in_y = rows * at / each;
        b->first = first + b->in_y;
        b->rows = (int)(rows * (at + 1) / each - b->in_y);
        b->sets = sets_of(b->rows, sparse_rows(t, masked), busy);
        measure(l, b);
        if (b->nonzeros > blocks.most) blocks.most = b->nonzeros;
    }
    return blocks;
}

static bool fits(int64_t v) {
    return v >= -(1 << 29) && v <= 1 << 29;
} /* so do differences, with what bases are ahead */

bool sparse_fits(const Target *t, const SparseLayer *l) {
    const int64_t most_sources = is_arm64(t) ? 1 << 19 : 1 << 24; /* a branch of aarch64 reaches over 128 MiB */
    if (!sparse_lanes(t) || l->rows < 1 || l->n_sources < 1 || l->n_sources > most_sources) return false;
    for (int64_t i = 0; i < l->n_sources; i++)
        if (!fits(l->sources[i].offset) || l->sources[i].offset % (int64_t)sizeof(float)) return false;
    return l->rows <= 1 << 20 && fits(l->x_step) && fits(l->y_step) && fits(l->residual_step) && l->panels <= 1 << 16 &&
           fits(l->panels * l->x_step) && fits(l->y_row) && fits(l->rows * l->y_row) && fits(l->residual_row) &&
           fits(l->rows * l->residual_row);
}

Str sparse_encode(Arena *a, const Target *t, const SparseLayer *l) {
    return is_arm64(t) ? sparse_encode_arm64(a, t, l) : sparse_encode_x86(a, t, l);
}
