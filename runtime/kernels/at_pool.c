/* Pools, reductions and ArgMax, one element of the output at a time. */
#include "runtime/kernels/at.h"

enum { AT_L1, AT_L2, AT_LOG_SUM, AT_LOG_SUM_EXP, AT_MAX, AT_MEAN, AT_MIN, AT_PROD, AT_SUM, AT_SUM_SQUARE };

/* a window over one plane, at an output's place */
typedef struct at_window {
    window window;
    idx o[RANK], plane; /* which plane, and where it begins */
} at_window;

static inline void at_window_place(at_window *w, idx e) {
    w->plane = at_index(e, w->window.out, SPATIAL, w->o) * count(w->window.in, SPATIAL);
}

static inline idx at_window_offset(const at_window *w, const idx *k) {
    idx at = 0;
    bool inside = true;
    UNROLL for (int s = 0; s < SPATIAL; s++) {
        const idx i = at_tap(&w->window, s, w->o[s], k[s]);
        inside = inside && i >= 0;
        at = at * w->window.in[s] + i;
    }
    return inside ? at : -1;
}

/* What an output element folds: from `base` on along `folded`. */
typedef struct at_fold {
    walk folded;
    idx base, n;
} at_fold;

static inline bool at_reduce_place(const mcc_arg *a, const mcc_attr *at, idx e, at_fold *f) {
    const attrs_ReduceSum *p = (const attrs_ReduceSum *)at; /* the same for all */
    const mcc_arg *x = &a[0], *axes = input(a, at, 1);
    unsigned set = 0;
    bool valid = true;
    if (axes && axes->dims[0] > 0) valid = axes_set(axes, x->rank, &set);
    else if (!p->noop_with_empty_axes) set = ~0u;
    idx kept[RANK], i[RANK];
    walk_clear(&f->folded);
    UNROLL for (int k = 0; k < RANK; k++) {
        const int axis = k - (RANK - x->rank);
        kept[k] = 1;
        if (axis < 0) continue;
        if (set >> axis & 1) {
            f->folded.n[k] = dim(x, axis);
            f->folded.stride[k] = stride_of(x, axis);
        } else kept[k] = dim(x, axis);
    }
    at_index(e, kept, RANK, i);
    f->base = 0;
    UNROLL for (int k = 0; k < RANK; k++) {
        const int axis = k - (RANK - x->rank);
        if (axis >= 0) f->base += i[k] * stride_of(x, axis);
    }
    walk_merge(&f->folded);
    f->n = count(f->folded.n, RANK);
    return valid;
}

#define TEMPLATE "runtime/kernels/at_pool.inc"
#include "runtime/kernels/for_floats.h"
#include "runtime/kernels/for_ints.h"
#undef TEMPLATE
