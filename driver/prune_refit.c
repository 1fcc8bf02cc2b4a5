/* After pruning by update: the dense and the pruned network side by side on the samples, and in each pruned layer the
 * weights that stay fitted to what the dense one makes (compress/prune_refit.c). What a layer can make up for depends
 * on those before it, so that they are fitted one after the other (two at once would both make up for the same): each
 * compiles the pruned network as it is by then, up to the layer. Of very many layers some are fitted, evenly spread. */
#include "driver/prune.h"
#include "driver/side.h"

enum { MOST_LAYERS = 64, MOST_SAMPLES = 256 };

typedef struct Layer {
    PruneLayer *l;
    Exposed made; /* by the dense network */
} Layer;

typedef struct Refit {
    const Pipeline *compile;
    PrunePlan *plan;
    Pipeline dense, pruned;
    SampledCall dense_call, pruned_call;
    Samples *samples;
    Layer *layers;
    int n;
    const Layer *at;  /* the one that is fitted */
    const Node *node; /* its, in the pruned network */
    Exposed read;     /* what it reads there */
    Hessian *hessian;
} Refit;

static Node *node_of(const Refit *r, const QuantPlan *own, const Layer *l) {
    return own->nodes[l->l->q - r->plan->nodes->nodes].node;
}

/* Read, canonical; and its nodes as the plan has them */
static const QuantPlan *open_network(const Refit *r, Pipeline *p) {
    if (pipeline_read(p) != DONE || pipeline_canonicalise(p) != DONE) return NULL;
    const QuantPlan *own = quant_choose(p->graph, &r->plan->nodes->options, NULL, 0);
    if (!own || own->n_nodes != r->plan->nodes->n_nodes) return NULL;
    expose_room(p->graph, r->n);
    return own;
}

static bool observe(Refit *r) {
    const Layer *l = r->at;
    const mcc_tensor *x = exposed_tensor(&r->pruned_call, r->read), *y = exposed_tensor(&r->dense_call, l->made);
    if (hessian_observe_pair(r->hessian, r->node, x->data, x->dims, x->rank, y->data)) return true;
    diag_error(r->pruned.ctx, NULL, "%s: what node '%s' reads or makes is NaN or infinite", samples_name(r->samples),
               l->l->q->name);
    return false;
}

static int run_samples(Refit *r) {
    const Tensor **in = ARENA_ARRAY(r->pruned.ctx->arena, r->pruned_call.model->n_inputs + 1, const Tensor *);
    SampleStatus status = SAMPLE_GIVEN;
    samples_rewind(r->samples);
    for (int i = 0; i < MOST_SAMPLES && r->hessian->rows < r->hessian->most_rows; i++) {
        if ((status = samples_next(r->samples, in)) != SAMPLE_GIVEN) break;
        if (sampled_run(&r->dense_call, in) != MCC_OK || sampled_run(&r->pruned_call, in) != MCC_OK) {
            diag_error(r->pruned.ctx, NULL, "%s: a run of the network failed", samples_name(r->samples));
            return BAD_MODEL;
        }
        if (!observe(r)) return BAD_MODEL;
    }
    return status == SAMPLE_BAD ? BAD_MODEL : DONE;
}

static int fit_layer(void *arg) {
    Refit *r = arg;
    Arena *a = r->pruned.ctx->arena;
    const PruneLayer *l = r->at->l;
    const QuantPlan *own = open_network(r, &r->pruned);
    if (!own) return BAD_MODEL;
    Graph *g = r->pruned.graph;
    r->node = node_of(r, own, r->at);
    r->read = expose_value(g, r->node->in[0]);
    if (r->read.input < 0) { /* what comes behind is not computed */
        g->outputs[0] = r->node->in[0];
        g->n_outputs = 1;
        r->read.output = 0;
    }
    r->hessian = hessian_new(a, l->c.depth, r->node->op == OP_Conv ? node_int(r->node, "group") : 1, HESSIAN_PART);
    r->hessian->about_means = l->c.bias != NULL;
    hessian_want(r->hessian, a, l->c.shape.channels);
    int result = side_compile(&r->pruned);
    if (result == DONE && !sampled_prepare(&r->pruned_call, loaded_model(r->pruned.loaded), a)) result = BAD_MODEL;
    if (result == DONE) result = run_samples(r);
    if (result == DONE) prune_refit(l, r->hessian, r->pruned.ctx);
    return result;
}

static int fit_all(void *arg) {
    Refit *r = arg;
    const QuantPlan *own = open_network(r, &r->dense);
    if (!own) return BAD_MODEL;
    for (int i = 0; i < r->n; i++)
        r->layers[i].made = expose_value(r->dense.graph, node_of(r, own, &r->layers[i])->out[0]);
    int result = side_compile(&r->dense);
    if (result != DONE) return result;
    const mcc_model *m = loaded_model(r->dense.loaded);
    if (!sampled_prepare(&r->dense_call, m, r->dense.ctx->arena)) return BAD_MODEL;
    if (!(r->samples = side_samples(&r->dense, m->n_inputs))) return BAD_MODEL;
    for (int i = 0; i < r->n && result == DONE; i++) {
        r->at = &r->layers[i];
        r->pruned = (Pipeline){.is_float = true, .pruned = r->plan};
        result = side_network(r->compile, &r->pruned, "pruning", fit_layer, r);
        side_close(&r->pruned, NULL);
        progress_part(i + 1, r->n);
    }
    return result;
}

static bool is_fitted(const PruneLayer *l) { return l->weights && l->c.depth <= HESSIAN_PART; }

int prune_fit(const Pipeline *p, PrunePlan *plan) {
    Arena *a = arena_new(p->ctx);
    Refit r = {.compile = p, .plan = plan, .layers = ARENA_ARRAY(a, plan->n + 1, Layer)};
    int all = 0;
    for (int i = 0; i < plan->n; i++) all += is_fitted(&plan->layers[i]);
    for (int i = 0, k = 0, step = all / MOST_LAYERS + 1; i < plan->n; i++)
        if (is_fitted(&plan->layers[i]) && k++ % step == 0) r.layers[r.n++].l = &plan->layers[i];
    r.dense = (Pipeline){.is_float = true};
    progress_stage("fitting the weights that stay");
    int result = r.n ? side_network(p, &r.dense, "pruning", fit_all, &r) : DONE;
    side_close(&r.dense, r.samples);
    arena_free(a);
    return result;
}
