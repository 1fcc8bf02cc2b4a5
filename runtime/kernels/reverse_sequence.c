/* ReverseSequence: the first lens[b] elements along the time axis backwards, for each index b of the batch axis; what
 * stands behind them stays. The two axes are 0 and 1, in either order. */
#include "runtime/kernels/common.h"

#define TEMPLATE "runtime/kernels/reverse_sequence.inc"
#include "runtime/kernels/for_sizes.h"

int ref_ReverseSequence(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *x = &a[0], *lens = &a[1], *y = output(a, at, 0);
    const bool time_first = ((const attrs_ReverseSequence *)at)->time_axis == 0;
    const idx rows = dim(x, 0), cols = dim(x, 1), inner = stride_of(x, 1), steps = time_first ? rows : cols;
    bool inside = true;
    for (idx b = 0; b < dim(lens, 0); b++) {
        const int64_t n = read_int(lens, b);
        inside = inside && n >= 0 && n <= steps;
    }
    if (!inside) return MCC_E_INDEX;
    DISPATCH_SIZES(x->dtype, reverse_sequence, y->data, x->data, lens, rows, cols, inner, time_first)
}
