/* Which channel blocks a panel of a convolution's output channels reads: packing and code generation must agree on it.
 */
#include "ir/ir.h"

BlockRange panel_blocks(const Grouping *g, int64_t col, int64_t n) {
    int64_t end = g->cols * g->groups, last = col + n < end ? col + n - 1 : end - 1;
    int64_t low = col / g->cols * g->channels, high = (last / g->cols + 1) * g->channels;
    return (BlockRange){low / g->block, (high + g->block - 1) / g->block - low / g->block};
}

int64_t range_channels(const Grouping *g, BlockRange r) {
    int64_t low = r.first * g->block, high = (r.first + r.count) * g->block, all = g->channels * g->groups;
    return (high < all ? high : all) - low;
}

int64_t narrow_panel_bytes(const NarrowForm *f, int64_t n, int64_t steps) {
    int64_t numbers = f->groups * n * (f->zeros ? 5 : 4), codes = steps * n * dtype_bits(f->codes) / 8;
    return (numbers + codes + 63) / 64 * 64;
}
