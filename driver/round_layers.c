/* --rounding=gptq: weights are rounded layer after layer, in the graph's order, each by what its inputs are behind the
 * layers that are rounded already, and towards what the float network makes in its place (compress/round_fit.c).
 *
 * The float and the rounded network run side by side, from cut to cut: of each sample the values are held that are
 * alive before a layer, in both; once it is rounded, the nodes up to the next layer are compiled by themselves, twice,
 * and move all samples on. So each node is computed once. Samples are as many as fit MOST_HELD. Where dims are open, or
 * a sample is too large for that, nothing is cut: both networks are compiled up to each layer, and run from their
 * inputs. */
#include <string.h>
#include "compress/round_fit.h"
#include "driver/quantize.h"
#include "driver/side.h"

enum { MOST_SAMPLES = 128, FEW_SAMPLES = 32, LEAST_CUT = 16 };
static const size_t most_held = (size_t)1 << 30, most_hessian = (size_t)4 << 30;

typedef struct Held { /* a value before the cut, for each sample */
    Value *v;
    Arena *arena;
    Tensor *exact, *rounded; /* the same until a layer before it is rounded */
} Held;

typedef struct Layers {
    QuantPlan *plan;
    const QuantPlan *own; /* of the side network's graph: node by node the same */
    Pipeline p;
    Arena *kept; /* for what is rounded */
    Held *held;
    int n_held, n_samples;
    const Node *cut;                /* the first node that is not computed yet */
    const RoundedWeights **weights; /* by node id */
    int *made, *used;               /* by value id: place of the node that makes it (0: input), and that uses it last */
    bool cuts, any;                 /* any: some layer is rounded */
} Layers;

/* ---- what lives where ---- */

static bool is_open(const Value *v) {
    for (int i = 0; i < v->type.rank; i++)
        if (!v->type.dims[i] || dim_has_data(v->type.dims[i])) return true;
    return v->type.kind != TYPE_TENSOR || v->type.rank < 0 || v->type.dtype == DT_STRING;
}

bool round_layers_possible(const QuantPlan *plan) {
    const Graph *g = plan->graph;
    if (plan->options.rounding != ROUND_GPTQ) return false;
    for (const Node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->n_out; i++)
            if (n->out[i] && is_open(n->out[i])) return false;
    return true;
}

static void number_nodes(Layers *s, Arena *a) {
    const Graph *g = s->p.graph;
    int place = 1;
    s->made = ARENA_ARRAY(a, g->ctx->next_id, int);
    s->used = ARENA_ARRAY(a, g->ctx->next_id, int);
    s->weights = (const RoundedWeights **)ARENA_ARRAY(a, g->ctx->next_id, RoundedWeights *);
    for (const Node *n = g->first; n; n = n->next, place++) {
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i]) s->used[n->in[i]->id] = place;
        for (int i = 0; i < n->n_out; i++)
            if (n->out[i]) s->made[n->out[i]->id] = place;
    }
}

static int place_of(const Layers *s, const Node *n) {
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i]) return s->made[n->out[i]->id];
    return 0;
}

/* Values that are made before n and used by it or behind it */
static int list_alive(const Layers *s, const Node *at, Value **out) {
    const Graph *g = s->p.graph;
    int n = 0, place = place_of(s, at);
    for (int i = 0; i < g->n_inputs; i++)
        if (s->used[g->inputs[i]->id] >= place) out[n++] = g->inputs[i];
    for (const Node *node = g->first; node != at; node = node->next)
        for (int i = 0; i < node->n_out; i++)
            if (node->out[i] && s->used[node->out[i]->id] >= place) out[n++] = node->out[i];
    return n;
}

/* of a sample; SIZE_MAX: not known */
static size_t alive_bytes(Value *const *v, int n) {
    size_t sum = 0, bytes;
    int64_t dims[MCC_MAX_RANK], count;
    for (int i = 0; i < n; i++) {
        if (!value_static_dims(v[i], dims) || !product_i64(dims, v[i]->type.rank, &count)) return SIZE_MAX;
        if (!dtype_bytes(v[i]->type.dtype, count, &bytes) || bytes > SIZE_MAX - sum) return SIZE_MAX;
        sum += bytes;
    }
    return sum;
}

/* ---- a part of the network, compiled ---- */

typedef struct Part {
    Pipeline p;
    Arena *a;
    SampledCall call;
} Part;

static Value *new_constant(Graph *g, const Tensor *like, float **data) {
    Tensor *t = ARENA_NEW(g->arena, Tensor);
    *t = *like;
    t->data = *data = arena_alloc(g->arena, like->bytes + 1);
    return value_of_tensor(g, t);
}

static void take_weights(Node *n, const RoundedWeights *w) {
    const Tensor *like = n->in[1]->constant, *bias = w->bias ? n->in[2]->constant : NULL;
    const RoundWeights *r = &w->form;
    int64_t depth = (int64_t)(like->bytes / 4) / r->channels, blocks = round_blocks(r, depth);
    float *to;
    n->in[1] = new_constant(n->graph, like, &to);
    for (int64_t c = 0; c < r->channels; c++)
        for (int64_t k = 0; k < depth; k++) {
            int64_t at = c * r->by_channel + k * r->by_depth;
            to[at] = (float)code_value(r->scales[c * blocks + k / r->block], r->codes[at]);
        }
    if (!bias) return;
    n->in[2] = new_constant(n->graph, bias, &to);
    memcpy(to, w->bias, bias->bytes);
}

static void part_free(Part *part) {
    if (part->p.loaded) code_unload(part->p.loaded);
    code_free(&part->p.code);
    if (part->a) arena_free(part->a);
}

static int part_compile(const Layers *s, const GraphPart *of, bool rounded, Part *part) {
    Ctx *ctx = s->p.ctx;
    size_t folded = ctx->folded;
    *part = (Part){.a = arena_new(ctx)};
    part->p = (Pipeline){.command = s->p.command, .ctx = ctx, .target = s->p.target, .is_float = true};
    part->p.graph = graph_part(s->p.graph, part->a, of);
    Node *copy = part->p.graph->first;
    for (const Node *n = of->first; n != of->end && rounded; n = n->next, copy = copy->next)
        if (s->weights[n->id]) take_weights(copy, s->weights[n->id]);
    diag_to(ctx, NULL); /* the compile itself warns */
    int result = side_compile(&part->p);
    diag_to(ctx, stderr);
    ctx->folded = folded;
    if (result == DONE && !sampled_prepare(&part->call, loaded_model(part->p.loaded), part->a)) result = BAD_MODEL;
    if (result != DONE) diag_error(ctx, NULL, "--rounding: a part of the network could not be compiled");
    return result;
}

/* of a sample: the inputs are what is held */
static int part_run(const Layers *s, Part *part, int sample, bool rounded, const Tensor **in) {
    for (int i = 0; i < s->n_held; i++) in[i] = rounded ? &s->held[i].rounded[sample] : &s->held[i].exact[sample];
    int returned = sampled_run(&part->call, in);
    if (returned == MCC_OK) return DONE;
    diag_error(s->p.ctx, NULL, "--rounding: the network returned code %d in sample %d", returned, sample);
    return BAD_MODEL;
}

/* ---- from cut to cut ---- */

static const Held *find_held(const Layers *s, const Value *v) {
    for (int i = 0; i < s->n_held; i++)
        if (s->held[i].v == v) return &s->held[i];
    return NULL;
}

static Held new_held(const Layers *s, Value *v) {
    Held h = {.v = v, .arena = arena_new(s->p.ctx)};
    h.exact = h.rounded = ARENA_ARRAY(h.arena, s->n_samples, Tensor);
    if (s->any) h.rounded = ARENA_ARRAY(h.arena, s->n_samples, Tensor);
    return h;
}

/* Both networks on all samples; made: what the part gives */
static int move_samples(const Layers *s, const GraphPart *of, Held *const *made) {
    Arena *a = arena_new(s->p.ctx);
    const Tensor **in = ARENA_ARRAY(a, s->n_held + 1, const Tensor *);
    int result = DONE;
    for (int rounded = 0; rounded <= (s->any ? 1 : 0) && result == DONE; rounded++) {
        Part part;
        result = part_compile(s, of, rounded, &part);
        for (int k = 0; k < s->n_samples && result == DONE; k++) {
            result = part_run(s, &part, k, rounded, in);
            for (int i = 0; i < of->n_out && result == DONE; i++)
                (rounded ? made[i]->rounded : made[i]->exact)[k] = sampled_tensor(&part.call.out[i], made[i]->arena);
        }
        part_free(&part);
    }
    arena_free(a);
    return result;
}

/* What lives before n is held then, and nothing else. */
static int move_cut(Layers *s, const Node *n, Value *const *alive, int n_alive) {
    Arena *a = arena_new(s->p.ctx);
    Value **in = ARENA_ARRAY(a, s->n_held + 1, Value *), **out = ARENA_ARRAY(a, n_alive + 1, Value *);
    Held *held = ARENA_ARRAY(s->p.ctx->arena, n_alive + 1, Held), **made = ARENA_ARRAY(a, n_alive + 1, Held *);
    GraphPart part = {.first = s->cut, .end = n, .in = in, .out = out, .n_in = s->n_held};
    for (int i = 0; i < s->n_held; i++) in[i] = s->held[i].v;
    for (int i = 0; i < n_alive; i++) {
        const Held *known = find_held(s, alive[i]);
        held[i] = known ? *known : new_held(s, alive[i]);
        if (known) continue;
        made[part.n_out] = &held[i];
        out[part.n_out++] = alive[i];
    }
    int result = part.n_out ? move_samples(s, &part, made) : DONE;
    for (int i = 0; i < s->n_held; i++) {
        bool stays = false;
        for (int k = 0; k < n_alive; k++) stays = stays || alive[k] == s->held[i].v;
        if (!stays) arena_free(s->held[i].arena);
    }
    s->held = held;
    s->n_held = n_alive;
    s->cut = n;
    arena_free(a);
    return result;
}

/* ---- a layer ---- */

static int observe(const Layers *s, RoundFit *f, const char *name, int sample, const Tensor *x, const Tensor *exact) {
    if (round_fit_observe(f, sample, x, exact)) return DONE;
    diag_error(s->p.ctx, NULL, "sample %d: the input of node '%s' is NaN or infinite: the float model itself gives it",
               sample, name);
    return BAD_MODEL;
}

static int observe_held(const Layers *s, RoundFit *f, const char *name, const Held *x) {
    int result = DONE;
    for (int i = 0; i < s->n_samples && result == DONE; i++)
        result = observe(s, f, name, i, &x->rounded[i], &x->exact[i]);
    return result;
}

/* What is held moves on to the layer for one sample after the other, and is dropped. */
static int observe_run(const Layers *s, RoundFit *f, const char *name, const Node *n) {
    Arena *a = arena_new(s->p.ctx);
    const Tensor **in = ARENA_ARRAY(a, s->n_held + 1, const Tensor *);
    Value **from = ARENA_ARRAY(a, s->n_held + 1, Value *);
    for (int i = 0; i < s->n_held; i++) from[i] = s->held[i].v;
    GraphPart of = {.first = s->cut, .end = n, .in = from, .out = &n->in[0], .n_in = s->n_held, .n_out = 1};
    Part exact, rounded = {0};
    int result = part_compile(s, &of, false, &exact);
    if (result == DONE && s->any) result = part_compile(s, &of, true, &rounded);
    for (int i = 0; i < s->n_samples && result == DONE; i++) {
        if ((result = part_run(s, &exact, i, false, in)) != DONE) break;
        Tensor x, want = sampled_tensor(&exact.call.out[0], NULL);
        if (s->any && (result = part_run(s, &rounded, i, true, in)) != DONE) break;
        x = s->any ? sampled_tensor(&rounded.call.out[0], NULL) : want;
        result = observe(s, f, name, i, &x, &want);
    }
    part_free(&exact);
    part_free(&rounded);
    arena_free(a);
    return result;
}

static int round_layer(Layers *s, int at, const Contraction *c) {
    const QuantNode *q = &s->plan->nodes[at];
    const Node *n = s->own->nodes[at].node;
    int64_t groups = n->op == OP_Conv ? node_int(n, "group") : 1;
    if (hessian_bytes(c->depth, groups, HESSIAN_PART) > most_hessian / 2) {
        diag_warn(s->plan->graph->ctx, "calibration", q->node,
                  "its inputs are too many for --rounding: its weights go to the nearest code");
        return DONE;
    }
    Arena *a = arena_new(s->p.ctx);
    Value **alive = ARENA_ARRAY(a, s->p.ctx->next_id, Value *);
    int n_alive = list_alive(s, n, alive), result = DONE;
    if (s->cuts && alive_bytes(alive, n_alive) <= most_held / 2 / (size_t)s->n_samples)
        result = move_cut(s, n, alive, n_alive);
    RoundFit *f = round_fit_new(a, n, c, s->n_samples);
    const Held *x = find_held(s, n->in[0]);
    if (result == DONE) result = x ? observe_held(s, f, q->name, x) : observe_run(s, f, q->name, n);
    if (result == DONE) {
        round_fit_solve(f, s->p.ctx);
        RoundedWeights *w = round_ahead(s->plan, q, c, f->target, f->moves, f->set[FITTED], s->kept);
        s->plan->nodes[at].rounded = s->weights[n->id] = w;
        s->any = s->any || w;
    }
    arena_free(a);
    return result;
}

/* ---- all of them ---- */

static mcc_tensor_info info_of(const Layers *s, const Value *v) {
    mcc_tensor_info t = {.name = arena_printf(s->p.ctx->arena, "%.*s", (int)v->name.n, v->name.p),
                         .dtype = (int32_t)v->type.dtype,
                         .rank = v->type.rank};
    for (int i = 0; i < v->type.rank; i++) {
        t.max_dims[i] = v->type.dims[i]->hi;
        if (!dim_is_const(v->type.dims[i], &t.dims[i])) t.dims[i] = -1;
    }
    return t;
}

/* How many samples, and whether values are held between the layers */
static void plan_cuts(Layers *s, Arena *a) {
    size_t most = 1;
    Value **alive = ARENA_ARRAY(a, s->p.ctx->next_id, Value *);
    Contraction c;
    for (int i = 0; i < s->own->n_nodes; i++) {
        if (!is_rounded(s->plan, &s->plan->nodes[i], &c)) continue;
        size_t bytes = alive_bytes(alive, list_alive(s, s->own->nodes[i].node, alive));
        if (bytes != SIZE_MAX && bytes > most) most = bytes;
        s->cuts = s->cuts || bytes != SIZE_MAX;
    }
    size_t fit = most_held / 2 / most;
    if (fit < LEAST_CUT) s->cuts = false;
    s->n_samples = !s->cuts ? FEW_SAMPLES : fit < MOST_SAMPLES ? (int)fit : MOST_SAMPLES;
}

/* The first samples, as what is held before the first node */
static int read_samples(Layers *s, Samples *from) {
    Graph *g = s->p.graph;
    const Tensor **in = ARENA_ARRAY(s->p.ctx->arena, g->n_inputs + 1, const Tensor *);
    SampleStatus status = SAMPLE_GIVEN;
    int n = 0;
    s->held = ARENA_ARRAY(s->p.ctx->arena, g->n_inputs + 1, Held);
    s->n_held = g->n_inputs;
    for (int i = 0; i < g->n_inputs; i++) s->held[i] = new_held(s, g->inputs[i]);
    while (n < s->n_samples && (status = samples_next(from, in)) == SAMPLE_GIVEN) {
        for (int i = 0; i < g->n_inputs; i++) {
            Tensor *t = &s->held[i].exact[n];
            void *data = arena_alloc(s->held[i].arena, in[i]->bytes + 1);
            *t = *in[i];
            if (t->bytes) memcpy(data, t->data, t->bytes);
            t->data = data;
        }
        n++;
    }
    s->n_samples = n;
    return status == SAMPLE_BAD ? BAD_MODEL : DONE;
}

static int round_all(void *arg) {
    Layers *s = arg;
    Arena *a = NULL;
    int result = pipeline_read(&s->p), done = 0, all = 0;
    if (result == DONE) result = pipeline_prepare(&s->p, s->plan);
    if (result != DONE) return result;
    Graph *g = s->p.graph;
    QuantOptions o = s->plan->options;
    s->own = quant_choose(g, &o, s->plan->modes, s->plan->n_modes);
    if (!s->own || s->own->n_nodes != s->plan->n_nodes) return BAD_MODEL;
    a = arena_new(s->p.ctx);
    number_nodes(s, a);
    plan_cuts(s, a);
    s->cut = g->first;
    mcc_tensor_info *info = ARENA_ARRAY(a, g->n_inputs + 1, mcc_tensor_info);
    for (int i = 0; i < g->n_inputs; i++) info[i] = info_of(s, g->inputs[i]);
    const Command *k = s->p.command;
    SampleOptions options = {.norm = k->input_norm, .layout = k->input_layout};
    Samples *samples = samples_open(s->p.ctx, k->calibrate, k->n_calibrate, info, g->n_inputs, &options);
    if (!samples) return BAD_MODEL;
    result = read_samples(s, samples);
    samples_close(samples);
    Contraction c;
    for (int i = 0; i < s->plan->n_nodes; i++) all += is_rounded(s->plan, &s->plan->nodes[i], &c);
    progress_stage("rounding the weights");
    progress_hold(true);
    for (int i = 0; i < s->plan->n_nodes && result == DONE; i++) {
        if (!is_rounded(s->plan, &s->plan->nodes[i], &c) || !weights_finite(c.weights)) continue;
        result = round_layer(s, i, &c);
        progress_part(++done, all);
    }
    progress_hold(false);
    return result;
}

int round_layers(const Pipeline *p, QuantPlan *plan, Arena *a) {
    Layers s = {.plan = plan, .kept = a, .p = {.is_float = true, .pruned = p->pruned}};
    double start = seconds_now();
    int result = side_network(p, &s.p, "--rounding", round_all, &s);
    if (result == DONE && p->command->verbose)
        fprintf(stderr, "mcc: rounded the weights by %d samples in %.2f s\n", s.n_samples, seconds_now() - start);
    side_close(&s.p, NULL);
    return result;
}
