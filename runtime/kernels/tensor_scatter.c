/* TensorScatter: a cache with new elements from a place on along the axis of the sequence, one place for each batch
 * (absent: 0). Linear: all of it must fit; circular: what goes beyond the end stands at the beginning. */
#include "runtime/kernels/common.h"

typedef struct scatter_shape {
    idx batches, outer, most, n, inner; /* cache: [batches, outer, most, inner], update: [batches, outer, n, inner] */
    bool circular;
} scatter_shape;

/* Where batch i is written; false: not all of it fits */
static inline bool place_of(const mcc_arg *places, const scatter_shape *s, idx i, idx *place) {
    int64_t at = places ? read_int(places, i) : 0;
    if (at < 0 || (!s->circular && at > s->most - s->n)) return false;
    *place = s->most ? (idx)(at - mcc_div_i64(at, s->most) * s->most) : 0;
    if (!s->circular) *place = (idx)at;
    return true;
}

#define TEMPLATE "runtime/kernels/tensor_scatter.inc"
#include "runtime/kernels/for_sizes.h"

int ref_TensorScatter(const mcc_arg *a, const mcc_attr *at) {
    const attrs_TensorScatter *p = (const attrs_TensorScatter *)at;
    const mcc_arg *cache = &a[0], *update = &a[1], *places = input(a, at, 2), *y = output(a, at, 0);
    const int axis = (int)(p->axis < 0 ? p->axis + cache->rank : p->axis);
    scatter_shape s = {dim(cache, 0), 1, 1, 1, 1, p->mode == 1};
    UNROLL for (int k = 1; k < RANK; k++) if (k < cache->rank) {
        if (k < axis) s.outer *= dim(cache, k);
        else if (k > axis) s.inner *= dim(cache, k);
        else s.most = dim(cache, k), s.n = dim(update, k);
    }
    for (idx i = 0; i < s.batches; i++) {
        idx place;
        if (!place_of(places, &s, i, &place)) return MCC_E_INDEX;
    }
    DISPATCH_SIZES(y->dtype, tensor_scatter, y->data, cache->data, update->data, places, &s)
}
