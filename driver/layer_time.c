/* --report-times: how long each layer takes on this machine, each compiled and called by itself, with zeros for its
 * inputs. Alone, a layer finds its inputs in the caches; their sum is no promise for the whole. */
#include "compress/report.h"
#include "driver/driver.h"
#include <math.h>

enum { LEAST_RUNS = 5 };
#define ENOUGH_SECONDS 3e-3

static bool is_closed(const Value *v) { return v->type.kind == TYPE_TENSOR && value_is_static(v); }

/* A graph of this node alone: constants stay, what else it reads becomes an input. NULL: open dims, or strings. */
static Graph *graph_of(Ctx *ctx, const Node *n) {
    Graph *g = graph_new(ctx, NULL);
    g->inputs = ARENA_ARRAY(ctx->arena, n->n_in, Value *);
    g->outputs = ARENA_ARRAY(ctx->arena, n->n_out, Value *);
    Node *one = node_new(g, n->op, NULL, n->in, n->n_in, n->n_out);
    for (int i = 0; i < n->n_in; i++) {
        const Value *v = n->in[i];
        if (!v || v->constant) continue;
        if (!is_closed(v)) return NULL;
        for (int k = 0; k < i; k++)
            if (n->in[k] == v) one->in[i] = one->in[k];
        if (one->in[i] != v) continue;
        one->in[i] = g->inputs[g->n_inputs++] = value_new(g, (Str){0});
        one->in[i]->type = v->type;
        one->in[i]->content = v->content;
    }
    for (int i = 0; i < n->n_out; i++) {
        if (!n->out[i]) {
            one->out[i] = NULL;
            continue;
        }
        if (!is_closed(n->out[i])) return NULL;
        one->out[i]->type = n->out[i]->type;
        g->outputs[g->n_outputs++] = one->out[i];
    }
    one->attrs = n->attrs;
    one->n_attrs = n->n_attrs;
    one->body = n->body;
    graph_count_uses(g);
    return g;
}

static mcc_tensor buffer_of(Arena *a, const mcc_tensor_info *info) {
    mcc_tensor t = {.dtype = info->dtype, .rank = info->rank};
    int64_t n = 0;
    for (int i = 0; i < info->rank; i++) t.dims[i] = info->dims[i];
    if (product_i64(info->dims, info->rank, &n)) dtype_bytes((Dtype)info->dtype, n, &t.bytes);
    t.data = arena_alloc(a, t.bytes + 1);
    return t;
}

/* Microseconds of the fastest call; NAN where a call fails. */
static double time_calls(Arena *a, const mcc_model *m) {
    mcc_tensor *in = ARENA_ARRAY(a, m->n_inputs, mcc_tensor), *out = ARENA_ARRAY(a, m->n_outputs, mcc_tensor);
    for (int i = 0; i < m->n_inputs; i++) in[i] = buffer_of(a, &m->inputs[i]);
    for (int i = 0; i < m->n_outputs; i++) out[i] = buffer_of(a, &m->outputs[i]);
    char *workspace = arena_alloc(a, m->workspace_bytes + m->workspace_align);
    workspace += -(uintptr_t)workspace & (m->workspace_align - 1);
    double best = INFINITY, begin = seconds_now();
    for (int i = 0; i < LEAST_RUNS || seconds_now() - begin < ENOUGH_SECONDS; i++) {
        double start = seconds_now();
        if (m->run(in, out, workspace) != MCC_OK) return (double)NAN;
        best = fmin(best, seconds_now() - start);
    }
    return best * 1e6;
}

static int time_layer(const Pipeline *p, const Node *n, double *out) {
    Pipeline one = {.command = p->command, .ctx = p->ctx, .target = p->target, .graph = graph_of(p->ctx, n)};
    if (!one.graph) return DONE;
    int result = pipeline_generate(&one, "layer");
    if (result == DONE) result = pipeline_load(&one);
    Arena *a = arena_new(p->ctx);
    if (result == DONE) *out = time_calls(a, loaded_model(one.loaded));
    arena_free(a);
    if (one.loaded) code_unload(one.loaded);
    code_free(&one.code);
    return result;
}

int time_layers(const Pipeline *p, Report *r) {
    int i = 0, result = DONE;
    for (const Node *n = p->graph->first; n && result == DONE; n = n->next, i++)
        result = time_layer(p, n, &r->layers[i].microseconds);
    progress_stage("writing");
    return result;
}
