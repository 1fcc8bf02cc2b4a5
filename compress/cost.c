/* What a node costs as floats and as integers, estimated from the target's tables: targets/row.h and costs.def. Only the
 * difference counts, so that what both have is left out. Sizes that are open count as their bounds. */
#include "compress/quantize.h"
#include "passes/lower.h"
#include <math.h>

/* Bytes a cycle: activations, from a core's own cache, and weights, which do not stay there from call to call. */
enum { CACHE_BYTES = 32, MEMORY_BYTES = 8 };
/* With --small: code of a conversion; multipliers of a channel */
enum { CONVERSION_CODE = 256, CHANNEL_BYTES = 4, CONVERT_SUMS = 2 };
static const double separate = 1.35; /* a multiplication and an addition, where they are no one instruction */

int64_t cost_elements(const Value *v) {
    int64_t n = 1;
    for (int i = 0; i < v->type.rank; i++) {
        Dim d = v->type.dims[i];
        if (__builtin_mul_overflow(n, d->hi, &n)) return INT64_MAX;
    }
    return n;
}

static int lanes_of(const Target *t, int64_t channels) { return channel_block(t, channels); }

static double vectors(const Target *t, int64_t elements) { return (double)elements / lanes_of(t, INT32_MAX); }

static double instructions(const Target *t, double n) { return n * vector_cycles(t, lanes_of(t, INT32_MAX)); }

/* weights from memory while the work is done: what it cannot hide behind */
static double with_weights(double work, double bytes) {
    return fmax(work, bytes / MEMORY_BYTES) + 0.2 * bytes / MEMORY_BYTES;
}

typedef struct Steps { /* of one vector of results: multiply-adds of floats, and products of four bytes */
    double f32, four, one;
} Steps;

/* A vector of columns takes the channels of all groups that meet in it. */
static Steps steps_of(const Node *n, const Contraction *c, int lanes) {
    double depth = (double)c->depth;
    int64_t groups = n->op == OP_Conv ? node_int(n, "group") : 1, cols = c->shape.channels / groups;
    if (n->op != OP_Conv) return (Steps){depth, ceil(depth / 4), 0};
    double channels = (double)c->weights->dims[1], taps = depth / channels;
    if (groups > 1 && channels == 1 && cols == 1) return (Steps){depth, 0, depth};
    double together = cols < lanes ? fmin((double)groups, ceil((double)lanes / (double)cols)) : 1;
    return (Steps){depth * together, taps * ceil(channels * together / 4), 0};
}

static Cost contraction_cycles(Ctx *ctx, const QuantOptions *o, Node *n, const Contraction *c, bool stored) {
    const Target *t = o->target;
    IntegerCost k = integer_cost(t);
    int lanes = lanes_of(t, c->shape.channels);
    int64_t out = cost_elements(n->out[0]);
    double all = (double)out / (double)c->shape.channels * ceil((double)c->shape.channels / lanes);
    double add = vector_cycles(t, lanes) * (t->has_fma ? 1 : separate), weights = (double)c->weights->bytes;
    double moved = (double)cost_elements(n->in[0]) + (stored ? (double)out : 0);
    Steps s = steps_of(n, c, lanes);
    double sums = all * add * s.f32, images = n->op == OP_Conv ? (double)n->out[0]->type.dims[0]->hi : 1;
    if (n->op == OP_Conv && images > 0) {
        PassCtx pass = {.ctx = ctx, .target = t, .winograd = o->winograd};
        sums = images * conv_cycles(&pass, n, sums / images);
    }
    double bytes = all * (add * (s.four * k.four + s.one * k.one) +
                          vector_cycles(t, lanes) * (stored ? k.requantize : CONVERT_SUMS));
    return (Cost){with_weights(sums, weights) + moved * 4 / CACHE_BYTES,
                  with_weights(bytes, weights / 4) + moved / CACHE_BYTES};
}

Cost cost_contraction(Ctx *ctx, const QuantOptions *o, Node *n, bool stored) {
    Contraction c;
    if (!contraction_read(n, &c)) return (Cost){0};
    double bytes = (double)c.weights->bytes;
    if (o->small) return (Cost){bytes, bytes / 4 + CHANNEL_BYTES * (double)c.shape.channels};
    return contraction_cycles(ctx, o, n, &c, stored);
}

Cost cost_passage(const QuantOptions *o, int64_t read, int64_t written, bool rounds) {
    double moved = (double)read + (double)written;
    if (o->small) return (Cost){0};
    IntegerCost k = integer_cost(o->target);
    double converts = rounds ? vectors(o->target, read) * k.dequantize + vectors(o->target, written) * k.requantize : 0;
    return (Cost){moved * 4 / CACHE_BYTES, moved / CACHE_BYTES + instructions(o->target, converts)};
}

Cost cost_lookup(const QuantOptions *o, const Node *n) {
    enum { TOGETHER = 16 };
    double saved = o->small ? 0 : table_saving(o->target, n) / TOGETHER * (double)cost_elements(n->out[0]);
    return (Cost){saved / 4 * vector_cycles(o->target, 4), 0};
}

Cost cost_gate(const QuantOptions *o, const Node *n) {
    enum { FLOATS = 3, BYTES = 3 }; /* instructions for four elements */
    if (o->small) return (Cost){0};
    double elements = (double)cost_elements(n->out[0]), work = elements / 4 * vector_cycles(o->target, 4);
    return (Cost){FLOATS * work + elements * 8 / CACHE_BYTES, BYTES * work + elements * 2 / CACHE_BYTES};
}

double cost_quantize(const QuantOptions *o, int64_t elements, bool fused) {
    if (o->small) return CONVERSION_CODE;
    IntegerCost k = integer_cost(o->target);
    double work = instructions(o->target, vectors(o->target, elements) * (fused ? k.requantize : k.quantize));
    return work + (fused ? 0 : (double)elements * 5 / CACHE_BYTES);
}

double cost_dequantize(const QuantOptions *o, int64_t elements) {
    if (o->small) return CONVERSION_CODE;
    return instructions(o->target, vectors(o->target, elements) * integer_cost(o->target).dequantize) +
           (double)elements * 5 / CACHE_BYTES;
}

double cost_find_range(const QuantOptions *o, int64_t elements) {
    enum { LARGEST_AND_SMALLEST = 2 };
    if (o->small) return CONVERSION_CODE;
    return instructions(o->target, vectors(o->target, elements) * LARGEST_AND_SMALLEST) +
           (double)elements * 4 / CACHE_BYTES + cost_quantize(o, elements, false);
}

const char *cost_text(Ctx *ctx, const QuantOptions *o, Cost c) {
    const char *unit = o->small ? "bytes" : "cycles";
    return arena_printf(ctx->arena, "about %.3g %s as integers, %.3g in float", c.integer, unit, c.f32);
}
