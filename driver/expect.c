/* --quantize=int8 without samples: ranges from what normalisations say of their results. What nothing is known of stays
 * in float. */
#include <math.h>
#include "compress/image.h"
#include "driver/quantize.h"

/* Of all inputs: as --input-range says, or as --input-norm makes pictures */
static Range input_range(const Command *c) {
    ImageNorm norm;
    Range r = {INFINITY, -INFINITY};
    if (c->has_range || !c->input_norm || !image_norm_parse(c->input_norm, &norm)) return c->input_range;
    for (int i = 0; i < 3; i++) {
        r.low = fmin(r.low, (double)(-norm.mean[i] / norm.deviation[i]));
        r.high = fmax(r.high, (double)((1 - norm.mean[i]) / norm.deviation[i]));
    }
    return r;
}

Expectations *expectations_begin(const Pipeline *p) {
    const Command *c = p->command;
    if (c->n_calibrate || c->plan) return NULL;
    Expectations *e = ARENA_NEW(p->ctx->arena, Expectations);
    *e = (Expectations){.arena = p->ctx->arena, .input = input_range(c)};
    expect_values(e, p->graph);
    return e;
}

bool expectations_end(const Pipeline *p, Expectations *e) {
    expect_values(e, p->graph);
    return e->norms > 0;
}

/* ---- the plan ---- */

typedef struct Modes {
    NodeMode *item;
    int n;
} Modes;

static bool is_known(const Expectations *e, QuantTensor *t) { return expected_of(e, quant_root(t)->value); }

/* Active nodes that read a tensor of which nothing is known stay in float. true: there is one more */
static bool leave_unknown(const Pipeline *p, const Expectations *e, const QuantPlan *plan, Modes *f32) {
    int before = f32->n;
    for (int i = 0; i < plan->n_nodes; i++) {
        const QuantNode *q = &plan->nodes[i];
        Contraction c;
        for (int k = 0; k < q->node->n_in && q->active; k++) {
            const Value *v = q->node->in[k];
            QuantTensor *t = v ? plan->of_value[v->id] : NULL;
            if (!t || is_known(e, t)) continue;
            f32->item[f32->n++] = (NodeMode){q->name, QUANT_NONE};
            if (contraction_read(q->node, &c))
                diag_warn(p->ctx, "quant-fallback", q->node,
                          "stays in float32: without samples nothing is known of its input '%s'", t->name);
            break;
        }
    }
    return f32->n > before;
}

QuantPlan *expected_plan(const Pipeline *p, const Expectations *e, const QuantOptions *o) {
    Modes f32 = {NULL, 0};
    QuantPlan *plan = NULL;
    do {
        plan = quant_choose(p->graph, o, f32.item, f32.n);
        if (plan && !f32.item) f32.item = ARENA_ARRAY(p->ctx->arena, plan->n_nodes + 1, NodeMode);
    } while (plan && leave_unknown(p, e, plan, &f32));
    return plan;
}

void expected_channels(const Expectations *e, QuantPlan *plan, Arena *a) {
    for (int i = 0; i < plan->n_nodes; i++) {
        QuantNode *q = &plan->nodes[i];
        Contraction c;
        const Expected *x = contraction_read(q->node, &c) ? expected_of(e, q->node->in[0]) : NULL;
        q->seen = x ? expected_seen(x, q->node, a) : NULL;
    }
}

void expectations_scale(Expectations *e, const ChannelMap *m, const Equalization *by) {
    for (const Node *n = m->graph->first; n; n = n->next) {
        const Value *v = n->n_out ? n->out[0] : NULL;
        int64_t count = v ? channel_count(m, v) : 0;
        if (!count) continue;
        float *factors = ARENA_ARRAY(e->arena, count, float);
        for (int64_t k = 0; k < count; k++)
            factors[k] = ldexpf(1, by->exponents[channel_root(m, m->first[v->id] + (int)k)]);
        expect_scale(e, v, m->axis[v->id], factors, count);
    }
}

int expected_ranges(const Pipeline *p, const Expectations *e, QuantPlan *plan) {
    const QuantOptions *o = &plan->options;
    Arena *a = arena_new(p->ctx);
    diag_warn(p->ctx, "calibration", NULL,
              "without samples ranges come from %d normalisations, and from inputs of %g to %g: --calibrate=FOLDER "
              "loses less",
              e->norms, e->input.low, e->input.high);
    for (int i = 0; i < plan->n_tensors; i++) {
        QuantTensor *t = &plan->tensors[i];
        const Expected *x = t->shares ? NULL : expected_of(e, t->value);
        if (x) quant_set_range(p->ctx, t, expected_range(x, o->method, o->percentile, o->symmetric, a), o->symmetric);
    }
    arena_free(a);
    return diag_errors(p->ctx) ? BAD_MODEL : DONE;
}
