/* The geometry that convolutions and pools share: a window of kernel taps that moves over the spatial axes. Spatial
 * axes fill the last slots of every array; slots before them are one long. The last axis is the inner loop, the slots
 * before it the outer rows. */
#ifndef MCC_KERNELS_WINDOW_H
#define MCC_KERNELS_WINDOW_H
#include "runtime/kernels/common.h"

enum { SPATIAL = MCC_MAX_RANK - 2, ROWS = SPATIAL - 1 /* the slots of outer rows, and the slot of the last axis */ };
enum { PAD_NOTSET, PAD_SAME_UPPER, PAD_SAME_LOWER, PAD_VALID }; /* auto_pad */

typedef struct window {
    idx in[RANK], out[RANK], kernel[RANK]; /* slots from SPATIAL on are unused */
    idx stride[RANK], dilation[RANK], pad[RANK], pad_end[RANK];
} window;

static inline idx ints_or(const mcc_ints *list, int i, idx fallback) { return list->n ? (idx)list->v[i] : fallback; }

/* kernel: the dims of the window, x->rank - 2 of them. Leaves the pads at those of auto_pad NOTSET. */
static inline void window_fill(window *w, const mcc_arg *x, const mcc_arg *y, const int64_t *kernel,
                               const mcc_ints *pads, const mcc_ints *strides, const mcc_ints *dilations) {
    int axes = x->rank - 2;
    UNROLL for (int k = 0; k < RANK; k++) {
        int i = k - (SPATIAL - axes);
        bool used = i >= 0 && k < SPATIAL;
        w->in[k] = used ? dim(x, i + 2) : 1;
        w->out[k] = used ? dim(y, i + 2) : 1;
        w->kernel[k] = used ? (idx)kernel[i] : 1;
        w->stride[k] = used ? ints_or(strides, i, 1) : 1;
        w->dilation[k] = used ? ints_or(dilations, i, 1) : 1;
        w->pad[k] = used ? ints_or(pads, i, 0) : 0;
        w->pad_end[k] = used ? ints_or(pads, i + axes, 0) : 0;
    }
}

/* Splits `total` padding over both ends of slot k; SAME_UPPER puts the odd one at the end. */
static inline void window_split_pad(window *w, int k, idx total, bool upper) {
    w->pad[k] = upper ? total / 2 : total - total / 2;
    w->pad_end[k] = total - w->pad[k];
}

/* The pads of auto_pad, where the window moves over the input (not for ConvTranspose). */
static inline void window_auto_pad(window *w, int64_t auto_pad) {
    if (auto_pad == PAD_NOTSET) return;
    UNROLL for (int k = 0; k < SPATIAL; k++) {
        idx needed = (w->out[k] - 1) * w->stride[k] + (w->kernel[k] - 1) * w->dilation[k] + 1 - w->in[k];
        window_split_pad(w, k, auto_pad == PAD_VALID ? 0 : idx_max(needed, 0), auto_pad == PAD_SAME_UPPER);
    }
}

/* Where row tap k of output row o reads: the offset of that input row in its plane, or -1 in the padding. */
static inline idx window_row(const window *w, const idx *o, const idx *k) {
    idx at = 0;
    bool inside = true;
    UNROLL for (int s = 0; s < ROWS; s++) {
        idx p = o[s] * w->stride[s] + k[s] * w->dilation[s] - w->pad[s];
        inside = inside && p >= 0 && p < w->in[s];
        at = at * w->in[s] + p;
    }
    return inside ? at * w->in[ROWS] : -1;
}

/* Along the last axis, output o reads input o·stride + shift at a tap. The outputs from first + lo to first + hi - 1
 * are those of [first, first + n) that read inside of the input. */
static inline idx window_shift(const window *w, idx tap) { return tap * w->dilation[ROWS] - w->pad[ROWS]; }
static inline idx window_lo(const window *w, idx shift, idx first, idx n) {
    return idx_clamp((shift < 0 ? div_up(-shift, w->stride[ROWS]) : 0) - first, 0, n);
}
static inline idx window_hi(const window *w, idx shift, idx first, idx n) {
    idx last = w->in[ROWS] - 1 - shift;
    return idx_clamp((last < 0 ? 0 : last / w->stride[ROWS] + 1) - first, 0, n);
}

/* Of a transposed convolution: output_shape and auto_pad choose the pads so that the output gets its dims. */
static inline void window_transpose_pads(window *w, const attrs_ConvTranspose *p, int axes) {
    if (p->auto_pad == PAD_NOTSET && !p->output_shape.n) return;
    UNROLL for (int k = 0; k < SPATIAL; k++) {
        int i = k - (SPATIAL - axes);
        idx extra = i >= 0 ? ints_or(&p->output_padding, i, 0) : 0;
        idx full = (w->in[k] - 1) * w->stride[k] + extra + (w->kernel[k] - 1) * w->dilation[k] + 1;
        bool none = p->auto_pad == PAD_VALID && !p->output_shape.n;
        window_split_pad(w, k, none ? 0 : idx_max(full - w->out[k], 0), p->auto_pad == PAD_SAME_UPPER);
    }
}

/* How far along the last axis the window of one output goes. */
static inline idx window_reach(const window *w) { return (w->kernel[ROWS] - 1) * w->dilation[ROWS] + 1; }

/* How many taps of slot s at output o lie inside of the input, or of the input with its padding. */
static inline idx window_taps(const window *w, int s, idx o, bool with_padding) {
    idx start = o * w->stride[s] - w->pad[s], end = w->in[s] + (with_padding ? w->pad_end[s] : 0) - start;
    idx before = with_padding || start >= 0 ? 0 : idx_min(div_up(-start, w->dilation[s]), w->kernel[s]);
    idx until = end <= 0 ? 0 : idx_min(div_up(end, w->dilation[s]), w->kernel[s]);
    return idx_max(until - before, 0);
}
#endif
