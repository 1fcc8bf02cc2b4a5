/* Networks beside the one that is compiled. */
#include "driver/side.h"
#include <string.h>

bool sampled_prepare(SampledCall *c, const mcc_model *m, Arena *a) {
    c->model = m;
    c->in = ARENA_ARRAY(a, m->n_inputs + 1, mcc_tensor);
    c->out = ARENA_ARRAY(a, m->n_outputs + 1, mcc_tensor);
    c->workspace = arena_alloc(a, m->workspace_bytes + m->workspace_align);
    c->workspace = (char *)c->workspace + (-(uintptr_t)c->workspace & (m->workspace_align - 1));
    for (int i = 0; i < m->n_outputs; i++) {
        const mcc_tensor_info *info = &m->outputs[i];
        mcc_tensor *t = &c->out[i];
        int64_t n;
        *t = (mcc_tensor){.dtype = info->dtype, .rank = info->rank};
        if (!product_i64(info->max_dims, info->rank, &n) || !dtype_bytes((Dtype)info->dtype, n, &t->bytes))
            return false;
        t->data = arena_alloc(a, t->bytes + 64);
    }
    return true;
}

int sampled_run(SampledCall *c, const Tensor *const *in) {
    for (int i = 0; i < c->model->n_inputs; i++) {
        c->in[i] = (mcc_tensor){.data = (void *)(uintptr_t)in[i]->data,
                                .bytes = in[i]->bytes,
                                .dtype = (int32_t)in[i]->dtype,
                                .rank = in[i]->rank};
        memcpy(c->in[i].dims, in[i]->dims, sizeof in[i]->dims);
    }
    return c->model->run(c->in, c->out, c->workspace);
}

Tensor sampled_tensor(const mcc_tensor *t, Arena *a) {
    Tensor out = {.dtype = (Dtype)t->dtype, .rank = t->rank, .bytes = t->bytes, .data = t->data};
    int64_t n;
    memcpy(out.dims, t->dims, sizeof out.dims);
    if (product_i64(t->dims, t->rank, &n)) dtype_bytes(out.dtype, n, &out.bytes);
    if (!a) return out;
    void *data = arena_alloc(a, out.bytes + 1);
    if (out.bytes) memcpy(data, t->data, out.bytes);
    out.data = data;
    return out;
}

void expose_room(Graph *g, int more) {
    Value **outputs = ARENA_ARRAY(g->arena, g->n_outputs + more + 1, Value *);
    memcpy(outputs, g->outputs, sizeof *outputs * (size_t)g->n_outputs);
    g->outputs = outputs;
}

Exposed expose_value(Graph *g, Value *v) {
    for (int k = 0; k < g->n_inputs; k++)
        if (g->inputs[k] == v) return (Exposed){k, -1};
    for (int k = 0; k < g->n_outputs; k++)
        if (g->outputs[k] == v) return (Exposed){-1, k};
    g->outputs[g->n_outputs] = v;
    return (Exposed){-1, g->n_outputs++};
}

const mcc_tensor *exposed_tensor(const SampledCall *c, Exposed at) {
    return at.input >= 0 ? &c->in[at.input] : &c->out[at.output];
}

int side_network(const Pipeline *like, Pipeline *p, const char *who, int (*work)(void *), void *arg) {
    const char *why;
    p->command = like->command;
    if (!p->target && !(p->target = target_find(NULL, "native", NULL, &why))) {
        say_error("%s runs the model on this machine: %s", who, why);
        return BAD_MODEL;
    }
    if (!(p->ctx = pipeline_ctx(like->command, like->ctx->file))) return BAD_MODEL;
    p->ctx->opt = like->ctx->opt;
    return with_memory(p->ctx, work, arg);
}

void side_close(Pipeline *p, Samples *samples) {
    if (!p->ctx) return;
    samples_close(samples);
    pipeline_free(p);
    ctx_free(p->ctx);
}

int side_compile(Pipeline *p) {
    static CodeCache *cache; /* as long as the process lives: mcc search comes again and again */
    if (!cache) cache = code_cache_new();
    p->cache = cache;
    graph_count_uses(p->graph);
    int result = pipeline_optimise(p);
    if (result == DONE) result = pipeline_generate(p, "model");
    return result == DONE ? pipeline_load(p) : result;
}

Samples *side_samples(const Pipeline *p, int n_inputs) {
    const Command *c = p->command;
    SampleOptions options = {.norm = c->input_norm, .layout = c->input_layout};
    return samples_open(p->ctx, c->calibrate, c->n_calibrate, loaded_model(p->loaded)->inputs, n_inputs, &options);
}
