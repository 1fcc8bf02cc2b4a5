/* Rows of a depthwise window over bytes, four neighbouring taps at a time: packing and code generation must agree on
 * it. Quads of pixels begin at multiples of `step` from the tile's first one; an output place multiplies each quad that
 * holds some of its pixels by a quad of weights, which says by `shift` at which of the four bytes tap 0 would stand. */
#include "ir/ir.h"
#include <assert.h>

bool tap_quads_possible(int64_t stride, int64_t dilation, int64_t kernel) {
    return (stride == 1 || stride == 2) && dilation == 1 && kernel > 1 && kernel <= TAP_QUAD_KERNEL;
}

int tap_quads_of(const TapQuads *q, int64_t place, int64_t *first) {
    int64_t from = place * q->stride, last = from + q->kernel - 1;
    *first = from / q->step * q->step;
    return (int)((last - *first) / TAP_QUAD) + 1;
}

/* Those of place 0 come first: with shifts 0, -TAP_QUAD, … they hold each tap once, which is what single taps are read
 * from. */
int tap_quads_shifts(const TapQuads *q, int64_t shifts[TAP_QUAD_SHIFTS]) {
    int n = 0;
    for (int64_t place = 0; place < q->step; place++) {
        int64_t first;
        int quads = tap_quads_of(q, place, &first);
        for (int i = 0; i < quads; i++) {
            int at = 0;
            int64_t shift = place * q->stride - first - (int64_t)i * TAP_QUAD;
            while (at < n && shifts[at] != shift) at++;
            if (at == n) shifts[n++] = shift;
        }
    }
    return n;
}

/* Instructions of a tile for each row of the window: a quad takes two to be loaded and turned, a product one; a quad of
 * weights one, and memory. */
static int64_t cost_of(const TapQuads *q, int rows) {
    int64_t shifts[TAP_QUAD_SHIFTS], cost = 2 * tap_quads_shifts(q, shifts);
    uint64_t there = 0;
    for (int r = 0; r < rows; r++) {
        int64_t first;
        int n = tap_quads_of(q, r, &first);
        for (int i = 0; i < n; i++, first += TAP_QUAD) {
            cost += there >> first & 1 ? 1 : 3;
            there |= UINT64_C(1) << first;
        }
    }
    return cost;
}

int tap_quads_step(int64_t stride, int64_t kernel, int rows) {
    int best = 0;
    int64_t least = INT64_MAX;
    assert(((int64_t)rows - 1) * stride + kernel <= 64);
    for (int step = 1; step <= TAP_QUAD; step *= 2) {
        TapQuads q = {stride, kernel, step};
        int64_t cost = cost_of(&q, rows);
        if (cost < least) least = cost, best = step;
    }
    return best;
}
