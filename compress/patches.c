/* The rows of x that a contraction multiplies: of MatMul and Gemm the rows of its input, of Conv the patches under its
 * window, padding included. Of many, call_rows a call, evenly spread from a place that moves on with each call. */
#include "compress/rounding.h"
#include <math.h>
#include <string.h>

enum { AXES = MCC_MAX_RANK };
enum { SAME_UPPER = 1, SAME_LOWER, VALID }; /* auto_pad, as ir/ops.def lists it */

typedef struct Patches { /* of one call */
    const Node *n;
    const float *x;
    const int64_t *dims;
    int axes; /* of the window */
    int64_t kernel[AXES], stride[AXES], dilation[AXES], pad[AXES], out[AXES];
    int64_t count, channels; /* patches; input channels of a group */
} Patches;

static int64_t listed(const Node *n, const char *name, int i, int64_t otherwise) {
    const int64_t *list;
    return i < node_ints(n, name, &list) ? list[i] : otherwise;
}

static void fill_axis(Patches *p, int i) {
    int how = node_enum(p->n, "auto_pad");
    int64_t in = p->dims[i + 2], reach, pads[2];
    p->kernel[i] = p->n->in[1]->type.rank == p->axes + 2 ? p->n->in[1]->constant->dims[i + 2] : 1;
    p->stride[i] = listed(p->n, "strides", i, 1);
    p->dilation[i] = listed(p->n, "dilations", i, 1);
    reach = (p->kernel[i] - 1) * p->dilation[i] + 1;
    pads[0] = how ? 0 : listed(p->n, "pads", i, 0);
    pads[1] = how ? 0 : listed(p->n, "pads", i + p->axes, 0);
    if (how == SAME_UPPER || how == SAME_LOWER) {
        int64_t total = ((in + p->stride[i] - 1) / p->stride[i] - 1) * p->stride[i] + reach - in;
        if (total < 0) total = 0;
        pads[0] = how == SAME_UPPER ? total / 2 : total - total / 2;
        pads[1] = total - pads[0];
    }
    int64_t room = in + pads[0] + pads[1] - reach;
    p->pad[i] = pads[0];
    p->out[i] = room < 0 ? 0 : room / p->stride[i] + 1;
}

/* One channel's taps of the patch at `place`; the taps' number is returned. */
static int64_t read_taps(const Patches *p, const float *plane, const int64_t *place, double *to) {
    int64_t tap[AXES] = {0}, n = 0;
    for (int i = 0; i >= 0;) {
        int64_t at = 0;
        bool inside = true;
        for (int k = 0; k < p->axes; k++) {
            int64_t v = place[k] * p->stride[k] + tap[k] * p->dilation[k] - p->pad[k];
            inside = inside && v >= 0 && v < p->dims[k + 2];
            at = at * p->dims[k + 2] + v;
        }
        to[n++] = inside ? (double)plane[at] : 0;
        for (i = p->axes - 1; i >= 0 && ++tap[i] == p->kernel[i]; i--) tap[i] = 0;
    }
    return n;
}

static void read_patch(const Patches *p, int64_t index, int64_t group, double *to) {
    int64_t place[AXES], plane = 1;
    for (int i = p->axes - 1; i >= 0; i--) {
        place[i] = index % p->out[i];
        index /= p->out[i];
        plane *= p->dims[i + 2];
    }
    const float *x = p->x + (index * p->dims[1] + group * p->channels) * plane;
    for (int64_t c = 0; c < p->channels; c++) to += read_taps(p, x + c * plane, place, to);
}

static void fill_patches(Patches *p, const Hessian *h, int rank) {
    p->axes = p->n->op == OP_Conv ? rank - 2 : 0;
    if (p->n->op == OP_Conv) {
        p->count = p->dims[0];
        p->channels = p->dims[1] / h->groups;
        for (int i = 0; i < p->axes; i++) {
            fill_axis(p, i);
            p->count *= p->out[i];
        }
        return;
    }
    p->channels = h->depth;
    p->count = 1;
    for (int i = 0; i < rank - 1; i++) p->count *= p->dims[i];
}

static bool all_finite(const double *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

static void read_row(const Patches *p, int64_t index, int64_t group, double *to) {
    if (p->n->op == OP_Conv) read_patch(p, index, group, to);
    else
        for (int64_t k = 0; k < p->channels; k++) to[k] = (double)p->x[index * p->channels + k];
}

/* Of some patches of a group; exact: x', NULL if nobody asks. false: some hold a NaN or an infinity */
static bool read_rows(const Patches *p, Hessian *h, const float *exact, int64_t group, const int64_t *index, int n) {
    if (exact) { /* through the same buffer */
        Patches other = *p;
        other.x = exact;
        for (int i = 0; i < n; i++) read_row(&other, index[i], group, h->buffer + i * h->depth);
        if (!all_finite(h->buffer, n * h->depth)) return false;
        memcpy(h->exact, h->buffer, sizeof *h->exact * (size_t)(n * h->depth));
    }
    for (int i = 0; i < n; i++) read_row(p, index[i], group, h->buffer + i * h->depth);
    if (!all_finite(h->buffer, n * h->depth)) return false;
    if (exact) hessian_make_targets(h, group, n);
    return true;
}

static bool observe(Hessian *h, const Node *n, const float *x, const int64_t *dims, int rank, const float *exact) {
    Patches p = {.n = n, .x = x, .dims = dims};
    fill_patches(&p, h, rank);
    int64_t rows = p.count < h->call_rows ? p.count : h->call_rows;
    if (rows > h->most_rows - h->rows) rows = h->most_rows - h->rows;
    if (rows <= 0) return true;
    int64_t first = h->calls++ * 0x9E3779B1 % p.count; /* by the golden ratio: evenly spread too */
    for (int64_t group = 0; group < h->groups; group++)
        for (int64_t from = 0; from < rows; from += HESSIAN_ROWS) {
            int some = rows - from < HESSIAN_ROWS ? (int)(rows - from) : HESSIAN_ROWS;
            int64_t index[HESSIAN_ROWS];
            for (int i = 0; i < some; i++)
                index[i] = (first + (int64_t)((double)(from + i) * (double)p.count / (double)rows)) % p.count;
            if (!read_rows(&p, h, exact, group, index, some)) return false;
            hessian_add(h, group, some);
        }
    h->rows += rows;
    return true;
}

bool hessian_observe(Hessian *h, const Node *n, const float *x, const int64_t *dims, int rank) {
    return observe(h, n, x, dims, rank, NULL);
}

bool hessian_observe_exact(Hessian *h, const Node *n, const Tensor *x, const Tensor *exact) {
    return observe(h, n, x->data, x->dims, x->rank, exact->data);
}
