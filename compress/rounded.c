/* Weights that become codes before the plan is inserted, layer after layer (driver/round_layers.c), and the form that
 * codes have. */
#include <math.h>
#include <string.h>
#include "compress/quantize.h"

bool is_rounded(const QuantPlan *p, const QuantNode *q, Contraction *c) {
    bool codes = q->mode == QUANT_W8 || q->mode == QUANT_W4 || p->options.mode == QUANT_NONE;
    bool wanted = q->mode == QUANT_INT8 ? q->active : q->chosen && codes;
    return wanted && contraction_read(q->node, c);
}

int64_t round_block(const Node *n, int64_t depth, int64_t wanted) {
    if (n->op == OP_Conv) return depth >= wanted ? wanted : 0;
    for (int64_t block = wanted; block >= 16; block /= 2)
        if (depth % block == 0) return block;
    return 0;
}

static void lay_out(const Contraction *c, RoundWeights *r, Arena *a) {
    bool rows = c->channel_axis == 0;
    r->w = c->weights->data;
    r->channels = c->shape.channels;
    r->by_channel = rows ? c->depth : 1;
    r->by_depth = rows ? 1 : r->channels;
    r->scales = ARENA_ARRAY(a, r->channels * round_blocks(r, c->depth), CodeScale);
    r->codes = ARENA_ARRAY(a, r->channels * c->depth, int8_t);
}

/* Sums too short for a block keep 8 bits: there is next to nothing to save. */
void round_form(const Node *n, const Contraction *c, const QuantOptions *o, bool halves, RoundWeights *r, Arena *a) {
    int64_t block = halves ? round_block(n, c->depth, o->block) : 0;
    int most = block ? 7 : 127;
    *r = (RoundWeights){.range = {-most - 1, most, o->asymmetric}, .block = block ? block : c->depth};
    r->find_scales = true;
    lay_out(c, r, a);
}

/* Of integer products: scales that the bias fits, too */
static bool round_integers(const QuantPlan *p, const QuantNode *q, const Contraction *c, const float *target,
                           const float *bias, RoundWeights *r, Arena *a) {
    const QuantTensor *x = p->of_value[q->node->in[0]->id];
    float sums = quant_root((QuantTensor *)(uintptr_t)x)->scale, *scales = ARENA_ARRAY(a, c->shape.channels, float);
    *r = (RoundWeights){.range = {-127, 127, false}, .block = c->depth};
    lay_out(c, r, a);
    if (!quant_weights(target, c->shape, bias, sums, r->codes, scales)) return false;
    for (int64_t i = 0; i < c->shape.channels; i++) r->scales[i].scale = scales[i];
    return true;
}

RoundedWeights *round_ahead(const QuantPlan *p, const QuantNode *q, const Contraction *c, const double *target,
                            const double *moves, Hessian *h, Arena *a) {
    RoundedWeights *out = ARENA_NEW(a, RoundedWeights);
    Arena *scratch = arena_new(p->graph->ctx);
    int64_t channels = c->shape.channels;
    float *w = ARENA_ARRAY(scratch, channels * c->depth, float), *bias = NULL;
    bool rows = c->channel_axis == 0, good = true;
    for (int64_t i = 0; i < channels; i++)
        for (int64_t k = 0; k < c->depth; k++)
            w[rows ? i * c->depth + k : k * channels + i] = (float)target[i * c->depth + k];
    if (c->bias) {
        bias = ARENA_ARRAY(a, channels, float);
        for (int64_t i = 0; i < channels; i++) bias[i] = (float)((double)((const float *)c->bias->data)[i] + moves[i]);
    }
    if (q->mode == QUANT_INT8) good = round_integers(p, q, c, w, bias, &out->form, a);
    else round_form(q->node, c, &p->options, q->mode == QUANT_W4, &out->form, a);
    out->form.w = w;
    out->form.shifts = bias ? ARENA_ARRAY(scratch, channels, double) : NULL;
    if (good) round_weights(p->options.rounding, h, &out->form, p->graph->ctx);
    for (int64_t i = 0; i < channels && bias && good; i++) bias[i] = (float)((double)bias[i] + out->form.shifts[i]);
    out->form.w = NULL;
    out->form.shifts = NULL;
    out->bias = bias;
    arena_free(scratch);
    return good ? out : NULL;
}
