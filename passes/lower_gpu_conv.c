/* Conv and ConvInteger with constant weights as mcc.GpuConv. The weights of a group are a matrix of output channels by
 * steps, (tap, channel): for ordinary units a line holds one step of all output channels, for tensor cores one output
 * channel, whose taps are filled up with zeros to whole lines of 16 bytes. Groups of a few channels stay convolutions
 * of the standard in their weights, and take no tile: they would leave most of it empty. */
#include <string.h>
#include "passes/lower_gpu.h"

enum { LINE = 16, LEAST_COLS = 8, LEAST_DEPTH = 8, MOST_TAPS = 128 };

typedef struct Gpu {
    Rewrite *r;
    const PassCtx *p;
    Node *n;
    FixedWindow window;
    GpuMath math;
    const Tensor *weights;       /* [groups · cols][channels][taps] */
    const IntegerWeights *bytes; /* in place of them */
    int64_t groups, cols, channels, taps, padded;
    bool tiled;
} Gpu;

static int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

static int64_t line_elements(const Gpu *c) { return LINE * 8 / (c->bytes ? 8 : dtype_bits(c->weights->dtype)); }

static bool read_window(Gpu *c) {
    const Value *x = c->n->in[0], *w = c->n->in[1];
    int64_t channels;
    if (!w->constant || !dim_is_const(x->type.dims[1], &channels) ||
        !window_fixed(c->n, w->constant->dims + 2, &c->window))
        return false;
    c->weights = w->constant;
    c->groups = node_int(c->n, "group");
    c->channels = channels / c->groups;
    c->cols = w->constant->dims[0] / c->groups;
    c->taps = 1;
    for (int i = 0; i < c->window.n; i++) c->taps *= c->window.kernel[i];
    c->tiled = c->cols >= (c->groups > 1 ? LEAST_COLS : 1) && c->channels * c->taps >= LEAST_DEPTH;
    return c->channels > 0 && (c->tiled || c->taps <= MOST_TAPS);
}

/* ---- weights ---- */

static void put_weight(const Gpu *c, Tensor *to, int64_t at, int64_t col, int64_t channel, int64_t tap) {
    size_t each = (size_t)dtype_bits(to->dtype) / 8;
    char *element = (char *)to->data + (size_t)at * each;
    if (c->bytes) {
        *(int8_t *)element = (int8_t)integer_weight(c->bytes, col, channel, tap);
        return;
    }
    int64_t from = (col * c->channels + channel) * c->taps + tap;
    memcpy(element, (const char *)c->weights->data + (size_t)from * each, each);
}

static Value *packed_weights(const Gpu *c) {
    bool lines_of_cols = c->math == GPU_FMA;
    int64_t wide = lines_of_cols ? round_up(c->cols, line_elements(c)) : c->cols, steps = c->taps * c->padded;
    int64_t dims[3] = {c->groups, lines_of_cols ? steps : wide, lines_of_cols ? wide : steps};
    Tensor *t = tensor_packed(c->r->g, c->bytes ? DT_I8 : c->weights->dtype, 3, dims);
    for (int64_t g = 0; g < c->groups; g++)
        for (int64_t col = 0; col < c->cols; col++)
            for (int64_t tap = 0; tap < c->taps; tap++)
                for (int64_t channel = 0; channel < c->channels; channel++) {
                    int64_t step = tap * c->padded + channel;
                    int64_t at = lines_of_cols ? step * wide + col : col * steps + step;
                    put_weight(c, t, g * wide * steps + at, g * c->cols + col, channel, tap);
                }
    return value_of_tensor(c->r->g, t);
}

/* without a tile: as the standard has them */
static Value *plain_weights(const Gpu *c) {
    int64_t each = c->channels * c->taps, dims[2] = {c->groups * c->cols, each};
    if (!c->bytes) return c->n->in[1];
    Tensor *t = tensor_packed(c->r->g, DT_I8, 2, dims);
    for (int64_t i = 0; i < dims[0] * each; i++) put_weight(c, t, i, i / each, i % each / c->taps, i % c->taps);
    return value_of_tensor(c->r->g, t);
}

/* ---- the node ---- */

static GpuExtent extent_of(const Gpu *c) {
    const Type *y = &c->n->out[0]->type;
    GpuExtent e = {(double)c->cols, (double)y->dims[0]->hi, (double)(c->taps * c->padded), (double)c->groups};
    for (int i = 2; i < y->rank; i++) e.cols *= (double)y->dims[i]->hi;
    return e;
}

static Node *make(Gpu *c, int64_t zero) {
    GpuExtent e = extent_of(c);
    Value *weights = c->tiled ? packed_weights(c) : plain_weights(c);
    Node *made = rewrite_insert(c->r, c->n, OP_GpuConv, (Value *[]){c->n->in[0], weights}, 2);
    made->out[0]->type = c->n->out[0]->type;
    window_set(made, &c->window);
    node_set_int(made, "group", c->groups);
    node_set_int(made, "padded", c->padded);
    node_set_int(made, "zero", zero);
    gpu_set_tile(c->p, made, c->math, &e);
    if (!c->tiled) node_set_int(made, "tile", GPU_NO_TILE);
    if (!c->tiled) node_set_int(made, "split", 1);
    return made;
}

/* a number an output channel, beside [N, channels, spatial…] */
static Value *by_channel(Gpu *c, Value *v) {
    Dim dims[MCC_MAX_RANK];
    int rank = 1 + c->window.n;
    dims[0] = dim_const(c->r->ctx, c->groups * c->cols);
    for (int i = 1; i < rank; i++) dims[i] = dim_const(c->r->ctx, 1);
    return rewrite_view(c->r, c->n, v, rank, dims);
}

static void finish(Gpu *c, Node *made, Value *bias) {
    if (bias) rewrite_become(c->r, c->n, OP_Add, (Value *[]){made->out[0], by_channel(c, bias)}, 2);
    else rewrite_replace(c->r, c->n, made->out[0]);
}

static bool is_small(const Gpu *c) { /* the tiles can be numbered */
    const double most = 2147483647.0;
    GpuExtent e = extent_of(c);
    return (e.rows / 32 + 1) * (e.cols / 32 + 1) * e.batches * 16 < most && e.depth < most && e.cols < most;
}

static void lower_integer(Gpu *c) {
    IntegerConv i;
    if (!integer_conv_read(NULL, c->n, &i)) return;
    c->bytes = &i.w;
    c->math = GPU_BYTES;
    c->padded = round_up(c->channels, line_elements(c));
    if (!is_small(c)) return;
    Node *made = make(c, i.zero & 255);
    Value *bias = i.zero ? integer_bias(c->r->g, &i.w, c->groups * c->cols, i.zero, false) : NULL;
    finish(c, made, bias);
}

void lower_gpu_conv(Rewrite *r, Node *n, const PassCtx *p) {
    Gpu c = {.r = r, .p = p, .n = n};
    const Value *x = n->in[0];
    if (x->constant || !read_window(&c)) return;
    if (n->op == OP_ConvInteger) {
        lower_integer(&c);
        return;
    }
    if (!gpu_math_of(p, x->type.dtype, c.weights->dtype, &c.math) || c.math == GPU_BYTES) return;
    c.padded = c.math == GPU_FMA ? c.channels : round_up(c.channels, LINE / gpu_element_bytes(c.math));
    if (!is_small(&c)) return;
    finish(&c, make(&c, 0), node_in(n, 2));
}
