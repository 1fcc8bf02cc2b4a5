/* How far the quantized model is from the float one, tensor by tensor: both run compiled on the same samples, the
 * former with each Q-DQ pair's result as an output more. Outputs do not change what integer kernels compute. */
#include "driver/calibrate.h"
#include <math.h>
#include <string.h>

enum { MOST_SAMPLES = 32 };

typedef struct Noise {
    Calibration *c;
    Pipeline q; /* the quantized model */
    SampledCall call;
    int *output;            /* of the quantized model, by watch; -1: nothing holds this tensor as integers */
    double *signal, *noise; /* sums of squares, by watch */
} Noise;

/* The dequantized form of a value of the graph that was canonical before; NULL: there is none */
static Value *dequantized(const Graph *g, const Value *v) {
    for (const Node *n = g->first; n; n = n->next) {
        const Node *q = n->op == OP_DequantizeLinear ? n->in[0]->def : NULL;
        if (q && q->op == OP_QuantizeLinear && q->in[0] == v) return n->out[0];
    }
    return NULL;
}

/* The plan's scales on a graph of its own, read anew; its watched tensors become outputs. */
static int quantize_again(Noise *s, Arena *a) {
    const QuantPlan *plan = s->c->plan;
    int result = pipeline_read(&s->q);
    if (result == DONE) result = pipeline_prepare(&s->q, plan);
    if (result != DONE) return result;
    QuantPlan *own = quant_choose(s->q.graph, &plan->options, plan->modes, plan->n_modes);
    if (!own || own->n_tensors != plan->n_tensors) return BAD_MODEL;
    for (int i = 0; i < own->n_tensors; i++) {
        own->tensors[i].scale = plan->tensors[i].scale;
        own->tensors[i].zero = plan->tensors[i].zero;
        own->tensors[i].known = plan->tensors[i].known;
    }
    if (!quant_insert(own)) return BAD_MODEL;
    Graph *g = s->q.graph;
    Value **outputs = ARENA_ARRAY(g->arena, g->n_outputs + s->c->n_watches, Value *);
    memcpy(outputs, g->outputs, sizeof *outputs * (size_t)g->n_outputs);
    s->output = ARENA_ARRAY(a, s->c->n_watches, int);
    for (int i = 0; i < s->c->n_watches; i++) {
        Value *v = dequantized(g, own->tensors[s->c->watches[i].tensor - plan->tensors].value);
        s->output[i] = -1;
        for (int k = 0; v && k < g->n_outputs; k++)
            if (outputs[k] == v) s->output[i] = k;
        if (!v || s->output[i] >= 0) continue;
        s->output[i] = g->n_outputs;
        outputs[g->n_outputs++] = v;
    }
    g->outputs = outputs;
    graph_count_uses(g);
    return DONE;
}

static void compare(const float *x, const float *y, int64_t n, double *signal, double *noise) {
    for (int64_t i = 0; i < n; i++) {
        double d = (double)x[i] - (double)y[i];
        *signal += (double)x[i] * (double)x[i];
        *noise += d * d;
    }
}

static int compare_all(Noise *s) {
    Calibration *c = s->c;
    const Tensor *in[MOST_SAMPLES];
    SampleStatus status = SAMPLE_END;
    if (c->call.model->n_inputs > MOST_SAMPLES) return DONE; /* not measured */
    samples_rewind(c->samples);
    for (int i = 0; i < MOST_SAMPLES && (status = samples_next(c->samples, in)) == SAMPLE_GIVEN; i++) {
        if (sampled_run(&c->call, in) != MCC_OK || sampled_run(&s->call, in) != MCC_OK) return BAD_MODEL;
        for (int k = 0; k < c->n_watches; k++) {
            const mcc_tensor *x = watch_tensor(&c->watches[k], &c->call);
            int64_t n;
            if (s->output[k] < 0 || !product_i64(x->dims, x->rank, &n)) continue;
            compare(x->data, s->call.out[s->output[k]].data, n, &s->signal[k], &s->noise[k]);
        }
    }
    return status == SAMPLE_BAD ? BAD_MODEL : DONE;
}

typedef struct Work {
    Noise *s;
    Arena *arena;
} Work;

static int measure(void *arg) {
    Noise *s = ((Work *)arg)->s;
    Arena *a = ((Work *)arg)->arena;
    int n = s->c->n_watches, result = quantize_again(s, a);
    if (result == DONE) result = pipeline_optimise(&s->q);
    if (result == DONE) result = pipeline_generate(&s->q, "model");
    if (result == DONE) result = pipeline_load(&s->q);
    if (result != DONE) return result;
    s->signal = ARENA_ARRAY(a, n, double);
    s->noise = ARENA_ARRAY(a, n, double);
    if (!sampled_prepare(&s->call, loaded_model(s->q.loaded), a)) return BAD_MODEL;
    progress_stage("measuring the noise");
    result = compare_all(s);
    for (int i = 0; i < n; i++)
        if (s->noise[i] > 0 && s->signal[i] > 0) s->c->watches[i].sqnr = 10 * log10(s->signal[i] / s->noise[i]);
    return result;
}

int measure_noise(Calibration *c, Arena *a) {
    Noise s = {.c = c, .q = {.command = c->p.command, .target = c->p.target, .is_float = true}};
    Work work = {&s, a};
    for (int i = 0; i < c->n_watches; i++) c->watches[i].sqnr = (double)NAN;
    if (!(s.q.ctx = pipeline_ctx(c->p.command, c->p.ctx->file))) return BAD_MODEL;
    s.q.ctx->opt = c->p.ctx->opt;
    diag_to(s.q.ctx, NULL); /* it is the compile itself that tells what could not be quantized */
    int result = with_memory(s.q.ctx, measure, &work);
    if (result != DONE) diag_error(c->plan->graph->ctx, NULL, "the noise of the quantized model could not be measured");
    pipeline_free(&s.q);
    ctx_free(s.q.ctx);
    return result;
}
