/* For the report: the zeros in the float weights of a graph's products, and how they lie. */
#include "compress/quantize.h"
#include "compress/report.h"

/* [channels][depth], whichever way the tensor has it */
static const float *by_channel(const Contraction *c, Arena *a) {
    const float *w = c->weights->data;
    int64_t channels = c->shape.channels;
    if (c->channel_axis == 0) return w;
    float *turned = ARENA_ARRAY(a, channels * c->depth, float);
    for (int64_t k = 0; k < c->depth; k++)
        for (int64_t i = 0; i < channels; i++) turned[i * c->depth + k] = w[k * channels + i];
    return turned;
}

static ReportZeros zeros_of(const Node *n, const Contraction *c, Arena *a) {
    const float *w = c->weights->data;
    int64_t taps = n->op == OP_Conv ? c->depth / c->weights->dims[1] : 1;
    ReportZeros z = {.index = n->index, .weights = c->depth * c->shape.channels};
    for (int64_t i = 0; i < z.weights; i++) z.zeros += w[i] == 0;
    if (!z.zeros) return z;
    Arena *scratch = arena_new(n->graph->ctx);
    const char *pattern = sparse_pattern(scratch, by_channel(c, scratch), c->shape.channels, c->depth, taps);
    z.pattern = arena_printf(a, "%s", pattern);
    arena_free(scratch);
    return z;
}

void report_zeros(ReportRanges *r, const Graph *g, Arena *a) {
    int n = 0;
    for (const Node *node = g->first; node; node = node->next) n++;
    r->zeros = ARENA_ARRAY(a, n + 1, ReportZeros);
    r->n_zeros = 0;
    for (const Node *node = g->first; node; node = node->next) {
        Contraction c;
        if (node->index >= 0 && contraction_read(node, &c)) r->zeros[r->n_zeros++] = zeros_of(node, &c, a);
    }
}
