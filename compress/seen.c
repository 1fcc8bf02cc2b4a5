/* Extremes and sums by channel, streamed. */
#include "compress/seen.h"
#include <math.h>
#include "compress/channels.h"

Seen *seen_new(const Node *n, Arena *a) {
    const Type *x = &n->in[0]->type;
    int64_t channels;
    int axis = channel_axis_in(n);
    if (axis < 0 || axis >= x->rank || !dim_is_const(x->dims[axis], &channels) || channels < 1) return NULL;
    Seen *s = ARENA_NEW(a, Seen);
    *s = (Seen){.axis = axis, .channels = channels};
    s->low = ARENA_ARRAY(a, channels, float);
    s->high = ARENA_ARRAY(a, channels, float);
    s->sums = ARENA_ARRAY(a, channels, double);
    s->squares = ARENA_ARRAY(a, channels, double);
    return s;
}

/* n values of one channel. false: one is not finite */
static bool add_run(Seen *s, int64_t channel, const float *x, int64_t n) {
    float low = s->low[channel], high = s->high[channel];
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
    }
    s->low[channel] = low;
    s->high[channel] = high;
    s->sums[channel] += sum;
    s->squares[channel] += squares;
    return isfinite(sum) && isfinite(squares);
}

bool seen_add(Seen *s, const float *x, const int64_t *dims, int rank) {
    int64_t outer, inner;
    if (!product_i64(dims, s->axis, &outer) || !product_i64(dims + s->axis + 1, rank - s->axis - 1, &inner))
        return false;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t c = 0; c < s->channels; c++, x += inner)
            if (!add_run(s, c, x, inner)) return false;
    s->count += (double)outer * (double)inner;
    return true;
}
