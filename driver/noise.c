/* For the report: how far the compressed model is from the float one, layer by layer. Both are read once more, compiled
 * for this machine with the same inner tensors as further outputs, and run on the first samples, or, where there are
 * none, on random inputs. A tensor that is computed in one loop with what reads it is no result of a layer, and not
 * looked at. Outputs do not change what integer kernels compute. Where zeros have cost the compressed model channels,
 * nothing is measured: there is nothing to compare its tensors with. */
#include "compress/report.h"
#include "driver/call.h"
#include "driver/quantize.h"
#include "driver/side.h"
#include <math.h>
#include <string.h>

enum { MOST_SAMPLES = 32, RANDOM_SAMPLES = 4, MOST_BYTES = 512 << 20 };

typedef struct Spot { /* a tensor, in both models */
    int place;        /* of the node that makes it, in the canonical graph; -1 - i: input i */
    const char *name; /* in the plan; NULL: it has none */
    Exposed exact, got;
    double signal, noise;
} Spot;
typedef struct Result { /* of a node of the model */
    int index, spot;
} Result;
typedef struct Noise {
    const QuantPlan *plan;
    ReportRanges *report;
    Pipeline f, q; /* the float model, the compressed one */
    SampledCall exact, got;
    Samples *samples;
    Spot *spots;
    Result *results;
    int n_spots, n_results;
    const QuantPlan *dense; /* of the float model, before it is equalized; NULL: nothing is pruned */
    bool differs;           /* the compressed model has lost channels */
} Noise;

static int ready(Pipeline *p, const QuantPlan *plan) {
    int result = pipeline_read(p);
    return result == DONE ? pipeline_prepare(p, plan) : result;
}

/* ---- which tensors ---- */

static bool is_f32(const Value *v) { return v && v->type.kind == TYPE_TENSOR && v->type.dtype == DT_F32; }

/* by value id: the only node that reads it, NULL where there are several or none */
static const Node **only_readers(const Graph *g, Arena *a) {
    const Node **reader = ARENA_ARRAY(a, g->ctx->next_id, const Node *);
    for (const Node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i] && n->in[i]->n_uses == 1) reader[n->in[i]->id] = n;
    return reader;
}

/* 1 + its place among the spots, or 0 */
static int add_spot(Noise *s, const QuantPlan *own, const Value *v, int place, int64_t *bytes) {
    int64_t n = is_f32(v) && !v->constant ? cost_elements(v) : INT64_MAX;
    if (n > (MOST_BYTES - *bytes) / 4) return 0;
    *bytes += 4 * n;
    const QuantTensor *t = v->id < own->n_ids ? own->of_value[v->id] : NULL;
    s->spots[s->n_spots++] = (Spot){.place = place, .name = t ? t->name : NULL};
    return s->n_spots;
}

/* Of a chain of nodes that is computed in one loop, the end is the result of each. */
static void list_spots(Noise *s, const QuantPlan *own, Arena *a) {
    const Graph *g = own->graph;
    const Node **reader = only_readers(g, a);
    int n = 0, *spot = ARENA_ARRAY(a, g->ctx->next_id, int); /* by node id */
    int64_t bytes = 0;
    for (const Node *node = g->first; node; node = node->next) n++;
    s->spots = ARENA_ARRAY(a, g->n_inputs + n + 1, Spot);
    s->results = ARENA_ARRAY(a, n + 1, Result);
    for (int i = 0; i < g->n_inputs; i++) add_spot(s, own, g->inputs[i], -1 - i, &bytes);
    for (const Node *node = g->last; node; node = node->prev) {
        const Value *v = node->n_out == 1 ? node->out[0] : NULL;
        n--;
        if (!v) continue;
        bool inside = reader[v->id] && op_has(reader[v->id]->op, OP_ELEMENTWISE) && !graph_is_output(g, v),
             planned = v->id < own->n_ids && own->of_value[v->id];
        spot[node->id] = inside && !planned ? spot[reader[v->id]->id] : add_spot(s, own, v, n, &bytes);
        if (spot[node->id] && node->index >= 0) s->results[s->n_results++] = (Result){node->index, spot[node->id] - 1};
    }
}

/* ---- the two models ---- */

/* by place; v[-1 - i]: input i */
static Value **values_of(const Graph *g, Arena *a) {
    int n = g->n_inputs, k = 0;
    for (const Node *node = g->first; node; node = node->next) n++;
    Value **all = ARENA_ARRAY(a, n + 1, Value *), **v = all + g->n_inputs;
    for (int i = 0; i < g->n_inputs; i++) v[-1 - i] = g->inputs[i];
    for (const Node *node = g->first; node; node = node->next) v[k++] = node->n_out ? node->out[0] : NULL;
    return v;
}

/* what stands for v behind Q and DQ, or v */
static Value *dequantized(const Graph *g, Value *v) {
    for (const Node *n = g->first; n; n = n->next) {
        const Node *q = n->op == OP_DequantizeLinear ? n->in[0]->def : NULL;
        if (q && q->op == OP_QuantizeLinear && q->in[0] == v) return n->out[0];
    }
    return v;
}

static QuantPlan *plan_of(const Noise *s, Graph *g) {
    QuantOptions o = s->plan->options;
    return quant_choose(g, &o, s->plan->modes, s->plan->n_modes);
}

static int read_float(Noise *s) {
    int result = pipeline_read(&s->f);
    if (result != DONE || !s->q.pruned) return result;
    if ((result = pipeline_canonicalise(&s->f)) != DONE) return result;
    return (s->dense = plan_of(s, s->f.graph)) ? DONE : BAD_MODEL;
}

static bool same_dims(const Value *a, const Value *b) {
    bool same = a->type.rank == b->type.rank;
    for (int i = 0; i < a->type.rank && same; i++)
        same = a->type.dims[i] && b->type.dims[i] && a->type.dims[i]->hi == b->type.dims[i]->hi;
    return same;
}

static bool same_layers(const QuantPlan *a, const QuantPlan *b) {
    bool same = a->n_nodes == b->n_nodes;
    for (int i = 0; i < a->n_nodes && same; i++) same = same_dims(a->nodes[i].node->out[0], b->nodes[i].node->out[0]);
    return same;
}

static int make_float(Noise *s, Arena *a) {
    int result = pipeline_prepare(&s->f, s->plan);
    if (result != DONE) return result;
    Graph *g = s->f.graph;
    Value **v = values_of(g, a);
    expose_room(g, s->n_spots);
    for (int i = 0; i < s->n_spots; i++) s->spots[i].exact = expose_value(g, v[s->spots[i].place]);
    result = side_compile(&s->f);
    return result == DONE && !sampled_prepare(&s->exact, loaded_model(s->f.loaded), a) ? BAD_MODEL : result;
}

/* The same choice and scales, on a graph of its own */
static int make_compressed(void *arg) {
    Noise *s = arg;
    Arena *a = s->f.ctx->arena;
    int result = ready(&s->q, s->plan);
    if (result != DONE) return result;
    Graph *g = s->q.graph;
    QuantOptions o = s->plan->options;
    QuantPlan *own = plan_of(s, g);
    if (!own) return BAD_MODEL;
    s->differs = s->dense && !same_layers(s->dense, own);
    if (s->differs) return DONE;
    if (own->n_nodes != s->plan->n_nodes) return BAD_MODEL;
    if (o.mode == QUANT_INT8 && !quant_take_ranges(own, s->plan)) return BAD_MODEL;
    for (int i = 0; i < own->n_nodes; i++) {
        own->nodes[i].hessian = s->plan->nodes[i].hessian;
        own->nodes[i].rounded = s->plan->nodes[i].rounded;
    }
    list_spots(s, own, a);
    Value **v = values_of(g, a);
    if (o.mode != QUANT_NONE && !plan_insert(own)) return BAD_MODEL;
    expose_room(g, s->n_spots);
    for (int i = 0; i < s->n_spots; i++) {
        Value *to = v[s->spots[i].place];
        if (o.mode == QUANT_INT8) to = dequantized(g, to);
        s->spots[i].got = expose_value(g, to);
    }
    result = side_compile(&s->q);
    return result == DONE && !sampled_prepare(&s->got, loaded_model(s->q.loaded), a) ? BAD_MODEL : result;
}

/* ---- running ---- */

static void compare(Spot *s, const mcc_tensor *exact, const mcc_tensor *got) {
    const float *x = exact->data, *y = got->data;
    int64_t n;
    if (!product_i64(exact->dims, exact->rank, &n) || exact->dtype != got->dtype) return;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)x[i] - (double)y[i];
        s->signal += (double)x[i] * (double)x[i];
        s->noise += d * d;
    }
}

static bool run_both(Noise *s, const Tensor *const *in) {
    if (sampled_run(&s->exact, in) != MCC_OK || sampled_run(&s->got, in) != MCC_OK) return false;
    for (int i = 0; i < s->n_spots; i++)
        compare(&s->spots[i], exposed_tensor(&s->exact, s->spots[i].exact), exposed_tensor(&s->got, s->spots[i].got));
    s->report->noise_samples++;
    return true;
}

static bool run_samples(Noise *s, Arena *a) {
    const mcc_model *m = loaded_model(s->f.loaded);
    const Tensor **in = ARENA_ARRAY(a, m->n_inputs + 1, const Tensor *);
    s->samples = side_samples(&s->f, m->n_inputs);
    for (int i = 0; s->samples && i < MOST_SAMPLES && samples_next(s->samples, in) == SAMPLE_GIVEN; i++)
        if (!run_both(s, in)) return false;
    return s->report->noise_samples > 0;
}

static bool run_random(Noise *s) {
    Inputs inputs = {.command = s->f.command, .state = 1};
    s->report->noise_is_random = true;
    for (int i = 0; i < RANDOM_SAMPLES; i++)
        if (inputs_choose(&inputs, s->f.graph, loaded_model(s->f.loaded), true, SIZE_MAXIMAL) != DONE ||
            !run_both(s, inputs.in))
            return false;
    return true;
}

static double decibels(const Spot *s) { return s->signal > 0 ? 10 * log10(s->signal / s->noise) : (double)NAN; }

static void keep(const Noise *s) {
    ReportRanges *r = s->report;
    r->noises = ARENA_ARRAY(s->plan->graph->arena, s->n_results + 1, ReportNoise);
    for (int i = 0; i < s->n_results; i++)
        r->noises[r->n_noises++] = (ReportNoise){s->results[i].index, decibels(&s->spots[s->results[i].spot])};
    for (int i = 0; i < s->n_spots; i++)
        for (int k = 0; k < r->n; k++)
            if (s->spots[i].name && !strcmp(s->spots[i].name, r->item[k].tensor))
                r->item[k].sqnr = decibels(&s->spots[i]);
}

static int measure(void *arg) {
    Noise *s = arg;
    Arena *a = s->f.ctx->arena;
    progress_stage("measuring the noise");
    progress_hold(true);
    int result = read_float(s);
    if (result == DONE) result = with_memory(s->q.ctx, make_compressed, s);
    if (result == DONE && !s->differs) result = make_float(s, a);
    if (result == DONE && !s->differs && (s->f.command->n_calibrate ? run_samples(s, a) : run_random(s))) keep(s);
    progress_hold(false);
    samples_close(s->samples);
    return result;
}

int measure_layer_noise(const Pipeline *p, const QuantPlan *plan) {
    const char *why;
    Pipeline one = {.command = p->command, .is_float = true};
    Noise s = {.plan = plan, .report = p->ranges};
    int result = BAD_MODEL;
    if (!(one.target = target_find(NULL, "native", NULL, &why))) return DONE; /* nothing can be run here */
    s.f = s.q = one;
    s.q.pruned = p->pruned;
    s.f.ctx = pipeline_ctx(p->command, p->ctx->file);
    s.q.ctx = s.f.ctx ? pipeline_ctx(p->command, p->ctx->file) : NULL;
    if (s.q.ctx) {
        s.f.ctx->opt = s.q.ctx->opt = p->ctx->opt;
        diag_to(s.f.ctx, NULL); /* it is the compile itself that tells what could not be quantized */
        diag_to(s.q.ctx, NULL);
        result = with_memory(s.f.ctx, measure, &s);
    }
    if (s.q.ctx) pipeline_free(&s.q), ctx_free(s.q.ctx);
    if (s.f.ctx) pipeline_free(&s.f), ctx_free(s.f.ctx);
    if (result != DONE) diag_error(p->ctx, NULL, "the noise of the compressed model could not be measured");
    return result;
}
