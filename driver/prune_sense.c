/* --prune-scope=network: what zeros in one layer do to the outputs of the whole network, measured for each layer in one
 * compilation. Beside each layer that is pruned stands a twin with its weights at the share that is asked for, and an
 * input of the network says whose result goes on: y + g · (twin − y), g 0 or 1. The sum of losses that --prune-scope
 * makes least then counts each layer's by what of it reaches the outputs. */
#include "driver/prune.h"
#include "driver/side.h"
#include <string.h>

enum { MOST_SAMPLES = 32, LEAST_SAMPLES = 4, MOST_RUNS = 1024 };

typedef struct Layer {
    PruneLayer *l;
    float gate;
    Tensor input; /* of one element: the gate */
    double noise; /* in the outputs, of their power; the sum over samples and outputs */
} Layer;

typedef struct Sense {
    PrunePlan *plan;
    Pipeline p;
    SampledCall call;
    Samples *samples;
    Layer *layers;
    int n, n_inputs, n_outputs; /* of the model itself */
} Sense;

/* ---- the network ---- */

static Value *result_of(Node *n) { return node_infer(n->graph->ctx, n) ? n->out[0] : NULL; }

static Value *combine(Node *before, Op op, Value *x, Value *y) {
    return result_of(node_new(before->graph, op, before, (Value *[]){x, y}, 2, 1));
}

static Value *add_gate(Graph *g) {
    Value *v = value_new(g, (Str){0});
    Dim one = dim_const(g->ctx, 1);
    value_set_dims(v, DT_F32, 1, &one);
    return g->inputs[g->n_inputs++] = v;
}

static Value *pruned_weights(Graph *g, const PruneLayer *l) {
    Tensor *t = tensor_new(g, DT_F32, l->c.weights->rank, l->c.weights->dims);
    if (!t) return NULL;
    memcpy((void *)(uintptr_t)t->data, l->weights, t->bytes);
    return value_of_tensor(g, t);
}

/* To all that use what n makes, it becomes y + g · (twin − y). */
static bool add_twin(Graph *g, Node *n, const PruneLayer *l) {
    Value *in[3] = {n->in[0], pruned_weights(g, l), node_in(n, 2)}, *y = n->out[0], *stand_in = value_new(g, (Str){0});
    Value *gate = add_gate(g), *twin, *v;
    if (!in[1]) return false;
    graph_replace(g, y, stand_in);
    Node *next = n->next, *other = node_new(g, n->op, next, in, in[2] ? 3 : 2, 1);
    other->attrs = n->attrs;
    other->n_attrs = n->n_attrs;
    if (!(twin = result_of(other)) || !(v = combine(next, OP_Sub, twin, y)) || !(v = combine(next, OP_Mul, v, gate)) ||
        !(v = combine(next, OP_Add, y, v)))
        return false;
    graph_replace(g, stand_in, v);
    return true;
}

static bool add_twins(Sense *s) {
    Graph *g = s->p.graph;
    const QuantPlan *own = quant_choose(g, &s->plan->nodes->options, NULL, 0);
    if (!own || own->n_nodes != s->plan->nodes->n_nodes) return false;
    Value **inputs = ARENA_ARRAY(g->arena, g->n_inputs + s->n + 1, Value *);
    memcpy(inputs, g->inputs, sizeof *inputs * (size_t)g->n_inputs);
    s->n_inputs = g->n_inputs;
    s->n_outputs = g->n_outputs;
    g->inputs = inputs;
    for (int i = 0; i < s->n; i++)
        if (!add_twin(g, own->nodes[s->layers[i].l->q - s->plan->nodes->nodes].node, s->layers[i].l)) return false;
    return true;
}

/* ---- runs ---- */

static bool run(Sense *s, const Tensor *const *in) {
    int returned = sampled_run(&s->call, in);
    if (returned != MCC_OK)
        diag_error(s->p.ctx, NULL, "%s: the model returned code %d", samples_name(s->samples), returned);
    return returned == MCC_OK;
}

static bool measure_sample(Sense *s, const Tensor *const *in) {
    Arena *a = arena_new(s->p.ctx);
    Tensor *want = ARENA_ARRAY(a, s->n_outputs + 1, Tensor);
    bool good = run(s, in);
    for (int k = 0; k < s->n_outputs && good; k++) want[k] = sampled_tensor(&s->call.out[k], a);
    for (int i = 0; i < s->n && good; i++) {
        s->layers[i].gate = 1;
        good = run(s, in);
        s->layers[i].gate = 0;
        for (int k = 0; k < s->n_outputs && good; k++) {
            Loss loss = {0};
            Tensor got = sampled_tensor(&s->call.out[k], NULL);
            loss_add(&loss, METRIC_SQNR, &got, &want[k]);
            double noise = loss_value(&loss, METRIC_SQNR);
            s->layers[i].noise += noise < 1 ? noise : 1;
        }
    }
    arena_free(a);
    return good;
}

static int measure(void *arg) {
    Sense *s = arg;
    int result = pipeline_read(&s->p);
    if (result == DONE) result = pipeline_canonicalise(&s->p);
    if (result == DONE && !add_twins(s)) result = BAD_MODEL;
    if (result == DONE) result = side_compile(&s->p);
    if (result != DONE) return result;
    const mcc_model *m = loaded_model(s->p.loaded);
    const Tensor **in = ARENA_ARRAY(s->p.ctx->arena, m->n_inputs + 1, const Tensor *);
    for (int i = 0; i < s->n; i++) in[s->n_inputs + i] = &s->layers[i].input;
    if (!(s->samples = side_samples(&s->p, s->n_inputs)) || !sampled_prepare(&s->call, m, s->p.ctx->arena))
        return BAD_MODEL;
    int most = MOST_RUNS / (s->n + 1);
    most = most < LEAST_SAMPLES ? LEAST_SAMPLES : most > MOST_SAMPLES ? MOST_SAMPLES : most;
    SampleStatus status = SAMPLE_GIVEN;
    for (int i = 0; i < most && (status = samples_next(s->samples, in)) == SAMPLE_GIVEN; i++) {
        if (!measure_sample(s, in)) return BAD_MODEL;
        progress_part(i + 1, most);
    }
    return status == SAMPLE_BAD ? BAD_MODEL : DONE;
}

int prune_sense(const Pipeline *p, PrunePlan *plan) {
    Arena *a = arena_new(p->ctx);
    Sense s = {.plan = plan, .p = {.is_float = true}, .layers = ARENA_ARRAY(a, plan->n + 1, Layer)};
    for (int i = 0; i < plan->n; i++) {
        if (!plan->layers[i].weights) continue;
        Layer *l = &s.layers[s.n++];
        *l = (Layer){.l = &plan->layers[i]};
        l->input = (Tensor){.dtype = DT_F32, .rank = 1, .dims = {1}, .bytes = 4, .data = &l->gate};
    }
    progress_stage("measuring what layers mean to the network");
    int result = s.n ? side_network(p, &s.p, "pruning", measure, &s) : DONE;
    side_close(&s.p, s.samples);
    for (int i = 0; i < s.n && result == DONE; i++) s.layers[i].l->noise = s.layers[i].noise;
    arena_free(a);
    return result;
}
