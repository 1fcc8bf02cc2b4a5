/* After pruning by update: the dense and the pruned network side by side on the samples, and in each pruned layer the
 * weights that stay fitted to what the dense one makes (compress/prune_refit.c). What a layer can make up for depends
 * on those before it, so that layers are fitted in their order, in stages of some at once: each stage compiles the
 * pruned network as it is by then. */
#include "driver/prune.h"
#include "driver/side.h"

enum { STAGES = 8, MOST_SAMPLES = 256 };

typedef struct Layer {
    PruneLayer *l;
    const Node *node;   /* in the pruned network */
    Exposed made, read; /* by the dense network; by the pruned one */
    Hessian *hessian;
} Layer;

typedef struct Refit {
    const Pipeline *compile;
    PrunePlan *plan;
    Pipeline dense, pruned;
    SampledCall dense_call, pruned_call;
    Samples *samples;
    Layer *layers;
    int n, first, end; /* of them, those of the stage */
} Refit;

static Node *node_of(const Refit *r, const QuantPlan *own, int layer) {
    return own->nodes[r->layers[layer].l->q - r->plan->nodes->nodes].node;
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
    for (int i = r->first; i < r->end; i++) {
        const Layer *l = &r->layers[i];
        const mcc_tensor *x = exposed_tensor(&r->pruned_call, l->read), *y = exposed_tensor(&r->dense_call, l->made);
        if (hessian_observe_pair(l->hessian, l->node, x->data, x->dims, x->rank, y->data)) continue;
        diag_error(r->pruned.ctx, NULL, "%s: what node '%s' reads or makes is NaN or infinite",
                   samples_name(r->samples), l->l->q->name);
        return false;
    }
    return true;
}

/* Some of the stage's layers have seen less than they take */
static bool wants_more(const Refit *r) {
    for (int i = r->first; i < r->end; i++)
        if (r->layers[i].hessian->rows < r->layers[i].hessian->most_rows) return true;
    return false;
}

static int run_samples(Refit *r) {
    const Tensor **in = ARENA_ARRAY(r->pruned.ctx->arena, r->pruned_call.model->n_inputs + 1, const Tensor *);
    SampleStatus status = SAMPLE_GIVEN;
    samples_rewind(r->samples);
    for (int i = 0; i < MOST_SAMPLES && wants_more(r) && (status = samples_next(r->samples, in)) == SAMPLE_GIVEN; i++) {
        if (sampled_run(&r->dense_call, in) != MCC_OK || sampled_run(&r->pruned_call, in) != MCC_OK) {
            diag_error(r->pruned.ctx, NULL, "%s: a run of the network failed", samples_name(r->samples));
            return BAD_MODEL;
        }
        if (!observe(r)) return BAD_MODEL;
    }
    return status == SAMPLE_BAD ? BAD_MODEL : DONE;
}

static int fit_stage(void *arg) {
    Refit *r = arg;
    Arena *a = r->pruned.ctx->arena;
    const QuantPlan *own = open_network(r, &r->pruned);
    if (!own) return BAD_MODEL;
    for (int i = r->first; i < r->end; i++) {
        Layer *l = &r->layers[i];
        const Contraction *c = &l->l->c;
        l->node = node_of(r, own, i);
        l->read = expose_value(r->pruned.graph, l->node->in[0]);
        l->hessian = hessian_new(a, c->depth, l->node->op == OP_Conv ? node_int(l->node, "group") : 1, HESSIAN_PART);
        l->hessian->about_means = c->bias != NULL;
        hessian_want(l->hessian, a, c->shape.channels);
    }
    int result = side_compile(&r->pruned);
    if (result == DONE && !sampled_prepare(&r->pruned_call, loaded_model(r->pruned.loaded), a)) result = BAD_MODEL;
    if (result == DONE) result = run_samples(r);
    for (int i = r->first; i < r->end && result == DONE; i++)
        prune_refit(r->layers[i].l, r->layers[i].hessian, r->pruned.ctx);
    return result;
}

static int fit_all(void *arg) {
    Refit *r = arg;
    const QuantPlan *own = open_network(r, &r->dense);
    if (!own) return BAD_MODEL;
    for (int i = 0; i < r->n; i++) r->layers[i].made = expose_value(r->dense.graph, node_of(r, own, i)->out[0]);
    int result = side_compile(&r->dense), stages = r->n < STAGES ? r->n : STAGES;
    if (result != DONE) return result;
    const mcc_model *m = loaded_model(r->dense.loaded);
    if (!sampled_prepare(&r->dense_call, m, r->dense.ctx->arena)) return BAD_MODEL;
    if (!(r->samples = side_samples(&r->dense, m->n_inputs))) return BAD_MODEL;
    for (int i = 0; i < stages && result == DONE; i++) {
        r->first = r->n * i / stages;
        r->end = r->n * (i + 1) / stages;
        r->pruned = (Pipeline){.is_float = true, .pruned = r->plan};
        result = side_network(r->compile, &r->pruned, "pruning", fit_stage, r);
        side_close(&r->pruned, NULL);
        progress_part(i + 1, stages);
    }
    return result;
}

int prune_fit(const Pipeline *p, PrunePlan *plan) {
    Arena *a = arena_new(p->ctx);
    Refit r = {.compile = p, .plan = plan, .layers = ARENA_ARRAY(a, plan->n + 1, Layer)};
    for (int i = 0; i < plan->n; i++)
        if (plan->layers[i].weights && plan->layers[i].c.depth <= HESSIAN_PART) r.layers[r.n++].l = &plan->layers[i];
    r.dense = (Pipeline){.is_float = true};
    progress_stage("fitting the weights that stay");
    int result = r.n ? side_network(p, &r.dense, "pruning", fit_all, &r) : DONE;
    side_close(&r.dense, r.samples);
    arena_free(a);
    return result;
}
