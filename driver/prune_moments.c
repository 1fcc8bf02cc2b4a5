/* After pruning: the outputs of each layer that has a bias get back the mean and the deviation, channel by channel,
 * that they have in the dense network over the samples, as re-estimating BatchNormalization's statistics does in
 * training. What a layer needs depends on those before it, so that they are corrected one after the other; in the
 * network that is compiled for it, a factor and a shift for each channel are inputs, and it is compiled once. */
#include <math.h>
#include <string.h>
#include "driver/kept.h"
#include "driver/prune.h"
#include "driver/side.h"

enum { MOST_SAMPLES = 64, MOST_RUNS = 1024 };

typedef struct Layer { /* one that is corrected */
    PruneLayer *l;
    Moments want, got;               /* of its outputs, before the factor */
    Tensor factor, shift;            /* inputs of the network */
    float *factor_data, *shift_data; /* theirs */
    int output;                      /* of the network: what it makes, before the factor */
} Layer;

typedef struct Network {
    Pipeline p;
    const PrunePlan *plan;
    Layer *layers;
    int n, n_inputs; /* inputs of the model itself */
    int n_runs;      /* on as many samples */
    SampledCall call;
    Samples *samples;
    const Tensor **in;
    bool dense;
} Network;

/* ---- the network ---- */

static Value *new_input(Graph *g, int64_t channels, int planes) {
    Dim dims[MCC_MAX_RANK] = {dim_const(g->ctx, channels)};
    Value *v = value_new(g, (Str){0});
    for (int i = 1; i <= planes; i++) dims[i] = dim_const(g->ctx, 1);
    value_set_dims(v, DT_F32, 1 + planes, dims);
    return g->inputs[g->n_inputs++] = v;
}

static Value *combine(const Node *behind, Op op, Value *x, Value *y) {
    Node *n = node_new(behind->graph, op, behind->next, (Value *[]){x, y}, 2, 1);
    return node_infer(behind->graph->ctx, n) ? n->out[0] : NULL;
}

/* y, which n makes, becomes y · factor + shift to all that use it, and y an output */
static bool open_layer(Graph *g, Node *n, Layer *layer) {
    Value *y = n->out[0], *scaled = NULL, *moved = NULL;
    int planes = n->op == OP_Conv ? y->type.rank - 2 : 0;
    Value *factor = new_input(g, layer->l->c.shape.channels, planes);
    Value *shift = new_input(g, layer->l->c.shape.channels, planes);
    Value *stand_in = value_new(g, (Str){0});
    graph_replace(g, y, stand_in);
    if (!(scaled = combine(n, OP_Mul, y, factor)) || !(moved = combine(scaled->def, OP_Add, scaled, shift)))
        return false;
    graph_replace(g, stand_in, moved);
    layer->output = g->n_outputs;
    g->outputs[g->n_outputs++] = y;
    return true;
}

static bool open_layers(Network *w) {
    Graph *g = w->p.graph;
    const QuantPlan *own = quant_choose(g, &w->plan->nodes->options, NULL, 0);
    if (!own || own->n_nodes != w->plan->nodes->n_nodes) return false;
    Value **inputs = ARENA_ARRAY(g->arena, g->n_inputs + 2 * w->n, Value *);
    memcpy(inputs, g->inputs, sizeof *inputs * (size_t)g->n_inputs);
    g->inputs = inputs;
    expose_room(g, w->n);
    w->n_inputs = g->n_inputs;
    for (int i = 0; i < w->n; i++)
        if (!open_layer(g, own->nodes[w->layers[i].l->q - w->plan->nodes->nodes].node, &w->layers[i])) return false;
    return true;
}

static int compile(Network *w, Arena *a) {
    int result = pipeline_read(&w->p);
    if (result == DONE) result = pipeline_canonicalise(&w->p);
    if (result != DONE) return result;
    if (!open_layers(w)) return BAD_MODEL;
    if ((result = side_compile(&w->p)) != DONE) return result;
    const mcc_model *m = loaded_model(w->p.loaded);
    w->in = ARENA_ARRAY(a, m->n_inputs + 1, const Tensor *);
    for (int i = 0; i < w->n; i++) {
        w->in[w->n_inputs + 2 * i] = &w->layers[i].factor;
        w->in[w->n_inputs + 2 * i + 1] = &w->layers[i].shift;
    }
    w->samples = side_samples(&w->p, w->n_inputs);
    return w->samples && sampled_prepare(&w->call, m, a) ? DONE : BAD_MODEL;
}

/* ---- what it makes ---- */

static void add_moments(const PruneLayer *l, Moments *m, const mcc_tensor *t) {
    const float *y = t->data;
    bool planes = l->q->node->op == OP_Conv;
    int64_t outer = 1, inner = 1;
    for (int i = 0; i < (planes ? 1 : t->rank - 1); i++) outer *= t->dims[i];
    for (int i = 2; i < t->rank && planes; i++) inner *= t->dims[i];
    for (int64_t o = 0; o < outer; o++)
        for (int64_t c = 0; c < l->c.shape.channels; c++)
            for (int64_t i = 0; i < inner; i++, y++) {
                m->sum[c] += (double)*y;
                m->squares[c] += (double)*y * (double)*y;
            }
    m->n += (double)(outer * inner);
}

/* Of layers first … end - 1, over the samples */
static int watch(Network *w, int first, int end) {
    SampleStatus status = SAMPLE_GIVEN;
    samples_rewind(w->samples);
    for (int k = 0; k < w->n_runs && (status = samples_next(w->samples, w->in)) == SAMPLE_GIVEN; k++) {
        int returned = sampled_run(&w->call, w->in);
        if (returned != MCC_OK) {
            diag_error(w->p.ctx, NULL, "%s: the pruned model returned code %d", samples_name(w->samples), returned);
            return BAD_MODEL;
        }
        for (int i = first; i < end; i++) {
            Layer *layer = &w->layers[i];
            add_moments(layer->l, w->dense ? &layer->want : &layer->got, &w->call.out[layer->output]);
        }
    }
    return status == SAMPLE_BAD ? BAD_MODEL : DONE;
}

static double deviation(const Moments *m, int64_t c) {
    double mean = m->sum[c] / m->n;
    return sqrt(fmax(m->squares[c] / m->n - mean * mean, 0));
}

/* y → factor · y + shift, the factor within what a pruned layer plausibly needs */
static void find_factors(const Layer *layer) {
    const Moments *want = &layer->want, *got = &layer->got;
    for (int64_t c = 0; c < layer->l->c.shape.channels; c++) {
        double from = deviation(got, c), to = deviation(want, c);
        double factor = from > 0 && to > 0 ? fmin(fmax(to / from, 0.5), 2) : 1;
        layer->factor_data[c] = (float)factor;
        layer->shift_data[c] = (float)(want->sum[c] / want->n - factor * got->sum[c] / got->n);
    }
}

static void correct(const Layer *layer) {
    PruneWeights w = prune_weights_of(layer->l);
    for (int64_t c = 0; c < w.channels; c++) {
        float factor = layer->factor_data[c];
        for (int64_t k = 0; k < layer->l->c.depth; k++) w.w[c * w.by_channel + k * w.by_depth] *= factor;
        layer->l->bias[c] = factor * layer->l->bias[c] + layer->shift_data[c];
    }
}

typedef struct Work {
    Network *w;
    Arena *a;
} Work;

static int work_guarded(void *arg) {
    const Work *k = arg;
    Network *w = k->w;
    int result = compile(w, k->a);
    if (result == DONE && w->dense) result = watch(w, 0, w->n);
    for (int i = 0; i < w->n && result == DONE && !w->dense; i++) {
        result = watch(w, i, i + 1);
        if (result == DONE) find_factors(&w->layers[i]);
        progress_part(i + 1, w->n);
    }
    return result;
}

static int run_network(const Pipeline *p, Network *w, Arena *a) {
    w->p = (Pipeline){.is_float = true, .pruned = w->dense ? NULL : p->pruned};
    int result = side_network(p, &w->p, "pruning", work_guarded, &(Work){w, a});
    side_close(&w->p, w->samples);
    return result;
}

static int place_of(const Network *w, int layer) { return (int)(w->layers[layer].l - w->plan->layers); }

static void list_layers(Network *w, PrunePlan *plan, Arena *a) {
    w->layers = ARENA_ARRAY(a, plan->n, Layer);
    for (int i = 0; i < plan->n; i++) {
        PruneLayer *l = &plan->layers[i];
        int64_t channels = l->c.shape.channels;
        if (!l->weights || !l->bias) continue;
        Layer *own = &w->layers[w->n++];
        *own = (Layer){.l = l};
        int rank = l->q->node->op == OP_Conv ? l->q->node->out[0]->type.rank - 1 : 1;
        own->factor = (Tensor){.dtype = DT_F32, .rank = rank, .dims = {channels}, .bytes = (size_t)channels * 4};
        for (int d = 1; d < rank; d++) own->factor.dims[d] = 1;
        own->shift = own->factor;
        own->factor.data = own->factor_data = ARENA_ARRAY(a, channels, float);
        own->shift.data = own->shift_data = ARENA_ARRAY(a, channels, float);
        for (int64_t c = 0; c < channels; c++) own->factor_data[c] = 1;
        double *sums = ARENA_ARRAY(a, 4 * channels, double);
        own->want = (Moments){.sum = sums, .squares = sums + channels};
        own->got = (Moments){.sum = sums + 2 * channels, .squares = sums + 3 * channels};
    }
    w->n_runs = w->n && MOST_RUNS / w->n < MOST_SAMPLES ? MOST_RUNS / w->n + 1 : MOST_SAMPLES;
}

/* What the dense network makes: known from before, or found */
static int watch_dense(const Pipeline *p, Network *w, Arena *a) {
    bool known = p->kept != NULL;
    for (int i = 0; i < w->n && known; i++) known = kept_moments(p->kept, place_of(w, i), w->n_runs) != NULL;
    int result = known ? DONE : run_network(p, w, a);
    for (int i = 0; i < w->n && result == DONE; i++) {
        Moments *m = &w->layers[i].want;
        int64_t channels = w->layers[i].l->c.shape.channels;
        if (known) *m = *kept_moments(p->kept, place_of(w, i), w->n_runs);
        else leave_moments(p->kept, place_of(w, i), w->n_runs, channels, m);
    }
    return result;
}

int prune_correct(const Pipeline *p, PrunePlan *plan) {
    Arena *a = arena_new(p->ctx);
    Network w = {.plan = plan, .dense = true};
    progress_stage("correcting means and deviations");
    list_layers(&w, plan, a);
    int result = w.n ? watch_dense(p, &w, a) : DONE;
    Network pruned = {.plan = plan, .layers = w.layers, .n = w.n, .n_runs = w.n_runs};
    if (result == DONE && w.n) result = run_network(p, &pruned, a);
    for (int i = 0; i < w.n && result == DONE; i++) correct(&w.layers[i]);
    arena_free(a);
    return result;
}
