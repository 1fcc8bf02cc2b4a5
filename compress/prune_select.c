/* The least of many scores, as a pattern of zeros. */
#include "compress/prune.h"
#include <string.h>

enum { DIGIT = 1 << 16 };

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

/* The k-th smallest of n scores: their bits are in their order, as none is negative. */
static uint32_t kth(const float *score, int64_t n, int64_t k, int64_t *count) {
    uint32_t high = 0;
    memset(count, 0, sizeof *count * DIGIT);
    for (int64_t i = 0; i < n; i++) count[bits_of(score[i]) >> 16]++;
    for (; k >= count[high]; high++) k -= count[high];
    memset(count, 0, sizeof *count * DIGIT);
    for (int64_t i = 0; i < n; i++)
        if (bits_of(score[i]) >> 16 == high) count[bits_of(score[i]) & 0xFFFF]++;
    uint32_t low = 0;
    for (; k >= count[low]; low++) k -= count[low];
    return high << 16 | low;
}

/* least[i] = 1 for the `wanted` smallest */
static void find_least(const float *score, int64_t n, int64_t wanted, uint8_t *least, int64_t *count) {
    if (n <= 0) return;
    memset(least, wanted == n, (size_t)n);
    if (wanted <= 0 || wanted >= n) return;
    uint32_t limit = kth(score, n, wanted, count);
    for (int64_t i = 0; i < n; i++)
        if (bits_of(score[i]) < limit) least[i] = 1, wanted--;
    for (int64_t i = 0; i < n && wanted; i++)
        if (bits_of(score[i]) == limit) least[i] = 1, wanted--;
}

static int64_t least_of(int64_t a, int64_t b) { return a < b ? a : b; }

/* of each `of` weights of a sum all but n; of a rest that is shorter in proportion */
static void select_n_of_m(const PruneOptions *o, PruneMatrix m, uint8_t *zero) {
    for (int64_t first = 0; first < m.depth; first += o->of)
        for (int64_t c = 0; c < m.channels; c++) {
            int64_t size = least_of(o->of, m.depth - first);
            for (int64_t left = size * (o->of - o->n) / o->of; left > 0; left--) {
                int64_t best = -1;
                for (int64_t k = first; k < first + size; k++)
                    if (!zero[k * m.channels + c] &&
                        (best < 0 || m.score[k * m.channels + c] < m.score[best * m.channels + c]))
                        best = k;
                zero[best * m.channels + c] = 1;
            }
        }
}

typedef struct Block {                         /* of the matrix; at its edges a smaller one */
    int64_t channel, channels, k, depth, step; /* weights k, k + step … */
} Block;

static int64_t count_of(int64_t n, int64_t each) { return (n + each - 1) / each; }

/* blocks along the sums: each of one tap */
static int64_t blocks_along(const PruneOptions *o, PruneMatrix m) {
    return count_of(m.depth / m.taps, o->cols) * m.taps;
}

static Block block_at(const PruneOptions *o, PruneMatrix m, int64_t i) {
    int64_t across = count_of(m.channels, o->rows), inputs = m.depth / m.taps, along = count_of(inputs, o->cols),
            tap = i / across / along, first = i / across % along * o->cols;
    Block b = {.channel = i % across * o->rows, .k = first * m.taps + tap, .step = m.taps};
    b.channels = least_of(o->rows, m.channels - b.channel);
    b.depth = least_of(o->cols, inputs - first);
    return b;
}

static void select_blocks(const PruneOptions *o, PruneMatrix m, double share, uint8_t *zero, Arena *scratch) {
    int64_t n = count_of(m.channels, o->rows) * blocks_along(o, m);
    float *mean = ARENA_ARRAY(scratch, n, float);
    uint8_t *least = ARENA_ARRAY(scratch, n, uint8_t);
    for (int64_t i = 0; i < n; i++) {
        Block b = block_at(o, m, i);
        double sum = 0;
        for (int64_t j = 0, k = b.k; j < b.depth; j++, k += b.step)
            for (int64_t c = b.channel; c < b.channel + b.channels; c++) sum += (double)m.score[k * m.channels + c];
        mean[i] = (float)(sum / (double)(b.channels * b.depth));
    }
    find_least(mean, n, (int64_t)(share * (double)n + 0.5), least, ARENA_ARRAY(scratch, DIGIT, int64_t));
    for (int64_t i = 0; i < n; i++) {
        Block b = block_at(o, m, i);
        for (int64_t j = 0, k = b.k; j < b.depth; j++, k += b.step)
            memset(zero + k * m.channels + b.channel, least[i], (size_t)b.channels);
    }
}

/* Each channel's inputs alone compare, where it is them that the scores are made of. */
static void select_by_channel(PruneMatrix m, double share, uint8_t *zero, Arena *scratch) {
    float *own = ARENA_ARRAY(scratch, m.depth, float);
    uint8_t *least = ARENA_ARRAY(scratch, m.depth, uint8_t);
    int64_t *count = ARENA_ARRAY(scratch, DIGIT, int64_t), wanted = (int64_t)(share * (double)m.depth + 0.5);
    for (int64_t c = 0; c < m.channels; c++) {
        for (int64_t k = 0; k < m.depth; k++) own[k] = m.score[k * m.channels + c];
        find_least(own, m.depth, wanted, least, count);
        for (int64_t k = 0; k < m.depth; k++) zero[k * m.channels + c] = least[k];
    }
}

/* Whole channels, but not the last of them */
static void select_channels(PruneMatrix m, double share, uint8_t *zero, Arena *scratch) {
    float *sum = ARENA_ARRAY(scratch, m.channels, float);
    uint8_t *least = ARENA_ARRAY(scratch, m.channels, uint8_t);
    for (int64_t i = 0; i < m.depth * m.channels; i++) sum[i % m.channels] += m.score[i];
    int64_t wanted = least_of((int64_t)(share * (double)m.channels + 0.5), m.channels - 1);
    find_least(sum, m.channels, wanted, least, ARENA_ARRAY(scratch, DIGIT, int64_t));
    for (int64_t k = 0; k < m.depth; k++) memcpy(zero + k * m.channels, least, (size_t)m.channels);
}

void prune_select(const PruneOptions *o, PruneMatrix m, double share, uint8_t *zero, Arena *scratch) {
    int64_t n = m.depth * m.channels;
    memset(zero, 0, (size_t)n);
    if (o->pattern == PRUNE_N_OF_M) select_n_of_m(o, m, zero);
    else if (o->pattern == PRUNE_BLOCKS) select_blocks(o, m, share, zero, scratch);
    else if (o->pattern == PRUNE_CHANNELS) select_channels(m, share, zero, scratch);
    else if (o->by == PRUNE_BY_INPUTS) select_by_channel(m, share, zero, scratch);
    else find_least(m.score, n, (int64_t)(share * (double)n + 0.5), zero, ARENA_ARRAY(scratch, DIGIT, int64_t));
}
