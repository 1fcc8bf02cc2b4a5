/* From cut to cut: of each sample the values are held that are alive before a layer, in both networks; once the layer
 * is what it will be, the nodes up to the next one are compiled by themselves, twice where something has changed, and
 * move all samples on. So each node is computed and compiled once. Samples are as many as fit MOST_HELD. Where dims are
 * open, or a sample is too large for that, nothing is cut: both networks run as a whole, with what all layers read as
 * outputs. LLVM compiles it once, since changed layers differ in their weights (side_compile). */
#include "driver/pair.h"
#include <string.h>

enum { MOST_SAMPLES = 128, FEW_SAMPLES = 32, LEAST_CUT = 16 };
static const size_t most_held = (size_t)1 << 30;

struct Held { /* a value before the cut, for each sample */
    Value *v;
    Arena *arena;
    Tensor *exact, *changed; /* the same until a layer before it has changed */
};

/* ---- what lives where ---- */

static void number_nodes(Pair *s) {
    const Graph *g = s->p.graph;
    Arena *a = s->p.ctx->arena;
    int place = 1;
    s->made = ARENA_ARRAY(a, g->ctx->next_id, int);
    s->used = ARENA_ARRAY(a, g->ctx->next_id, int);
    for (const Node *n = g->first; n; n = n->next, place++) {
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i]) s->used[n->in[i]->id] = place;
        for (int i = 0; i < n->n_out; i++)
            if (n->out[i]) s->made[n->out[i]->id] = place;
    }
}

static int place_of(const Pair *s, const Node *n) {
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i]) return s->made[n->out[i]->id];
    return 0;
}

/* Values that are made before n and used by it or behind it */
static int list_alive(const Pair *s, const Node *at, Value **out) {
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

static const Held *find_held(const Pair *s, const Value *v) {
    for (int i = 0; i < s->n_held; i++)
        if (s->held[i].v == v) return &s->held[i];
    return NULL;
}

static Held new_held(const Pair *s, Value *v) {
    Held h = {.v = v, .arena = arena_new(s->p.ctx)};
    h.exact = h.changed = ARENA_ARRAY(h.arena, s->n_samples, Tensor);
    if (s->any) h.changed = ARENA_ARRAY(h.arena, s->n_samples, Tensor);
    return h;
}

/* ---- a part of the network, compiled ---- */

static void part_free(Part *part) {
    if (part->p.loaded) code_unload(part->p.loaded);
    code_free(&part->p.code);
    if (part->a) arena_free(part->a);
}

static int part_compile(const Pair *s, const GraphPart *of, bool changed, Part *part) {
    Ctx *ctx = s->p.ctx;
    size_t folded = ctx->folded;
    *part = (Part){.a = arena_new(ctx)};
    part->p = (Pipeline){.command = s->p.command, .ctx = ctx, .target = s->p.target, .is_float = true};
    part->p.graph = graph_part(s->p.graph, part->a, of);
    Node *copy = part->p.graph->first;
    for (const Node *n = of->first; n != of->end && changed; n = n->next, copy = copy->next) s->change(s->arg, n, copy);
    diag_to(ctx, NULL); /* the compile itself warns */
    int result = side_compile(&part->p);
    diag_to(ctx, stderr);
    ctx->folded = folded;
    if (result == DONE && !sampled_prepare(&part->call, loaded_model(part->p.loaded), part->a)) result = BAD_MODEL;
    if (result != DONE) diag_error(ctx, NULL, "%s: a part of the network could not be compiled", s->option);
    return result;
}

/* of a sample: the inputs are what is held */
static int part_run(const Pair *s, Part *part, int sample, bool changed, const Tensor **in) {
    for (int i = 0; i < s->n_held; i++) in[i] = changed ? &s->held[i].changed[sample] : &s->held[i].exact[sample];
    int returned = sampled_run(&part->call, in);
    if (returned == MCC_OK) return DONE;
    diag_error(s->p.ctx, NULL, "%s: the network returned code %d in sample %d", s->option, returned, sample);
    return BAD_MODEL;
}

/* What a part reads is what is held. */
static GraphPart part_before(const Pair *s, const Node *end, Arena *a) {
    Value **in = ARENA_ARRAY(a, s->n_held + 1, Value *);
    for (int i = 0; i < s->n_held; i++) in[i] = s->held[i].v;
    return (GraphPart){.first = s->cut, .end = end, .in = in, .n_in = s->n_held};
}

/* ---- from cut to cut ---- */

/* Both networks on all samples; made: what the part gives */
static int move_samples(const Pair *s, const GraphPart *of, Held *const *made) {
    Arena *a = arena_new(s->p.ctx);
    const Tensor **in = ARENA_ARRAY(a, s->n_held + 1, const Tensor *);
    int result = DONE;
    for (int changed = 0; changed <= (s->any ? 1 : 0) && result == DONE; changed++) {
        Part part;
        result = part_compile(s, of, changed, &part);
        for (int k = 0; k < s->n_samples && result == DONE; k++) {
            result = part_run(s, &part, k, changed, in);
            for (int i = 0; i < of->n_out && result == DONE; i++)
                (changed ? made[i]->changed : made[i]->exact)[k] = sampled_tensor(&part.call.out[i], made[i]->arena);
        }
        part_free(&part);
    }
    arena_free(a);
    return result;
}

/* What lives before n is held then, and nothing else. */
static int move_cut(Pair *s, const Node *n, Value *const *alive, int n_alive) {
    Arena *a = arena_new(s->p.ctx);
    Value **out = ARENA_ARRAY(a, n_alive + 1, Value *);
    Held *held = ARENA_ARRAY(s->p.ctx->arena, n_alive + 1, Held), **made = ARENA_ARRAY(a, n_alive + 1, Held *);
    GraphPart part = part_before(s, n, a);
    part.out = out;
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

typedef struct Look { /* at what a layer reads */
    const Node *n;
    const char *name;
    PairSees sees;
    void *arg;
} Look;

static int see(const Pair *s, const Look *l, int sample, const Tensor *x, const Tensor *exact) {
    if (l->sees(l->arg, sample, x, exact)) return DONE;
    diag_error(s->p.ctx, NULL, "sample %d: the input of node '%s' is NaN or infinite: the float model itself gives it",
               sample, l->name);
    return BAD_MODEL;
}

static int see_held(const Pair *s, const Look *l, const Held *x) {
    int result = DONE;
    for (int i = 0; i < s->n_samples && result == DONE; i++) result = see(s, l, i, &x->changed[i], &x->exact[i]);
    return result;
}

static int read_place(const Pair *s, const Value *v) {
    int i = 0;
    while (s->all.out[i] != v) i++;
    return i;
}

/* What is held is the inputs. */
static int see_run(Pair *s, const Look *l) {
    Arena *a = arena_new(s->p.ctx);
    const Tensor **in = ARENA_ARRAY(a, s->n_held + 1, const Tensor *);
    Part part = {0};
    int at = read_place(s, l->n->in[0]), result = s->any ? part_compile(s, &s->all, true, &part) : DONE;
    for (int i = 0; i < s->n_samples && result == DONE; i++) {
        if ((result = part_run(s, &s->exact, i, false, in)) != DONE) break;
        Tensor exact = sampled_tensor(&s->exact.call.out[at], NULL), changed = exact;
        if (s->any && (result = part_run(s, &part, i, true, in)) != DONE) break;
        if (s->any) changed = sampled_tensor(&part.call.out[at], NULL);
        result = see(s, l, i, &changed, &exact);
    }
    part_free(&part);
    arena_free(a);
    return result;
}

int pair_observe(Pair *s, const Node *n, const char *name, PairSees sees, void *arg) {
    Arena *a = arena_new(s->p.ctx);
    const Look look = {n, name, sees, arg};
    Value **alive = ARENA_ARRAY(a, s->p.ctx->next_id, Value *);
    int n_alive = list_alive(s, n, alive), result = DONE;
    for (const Node *k = s->cut; k != n && !s->any; k = k->next) s->any = s->change(s->arg, k, NULL);
    if (s->cuts) result = move_cut(s, n, alive, n_alive);
    const Held *x = find_held(s, n->in[0]);
    if (result == DONE) result = x ? see_held(s, &look, x) : see_run(s, &look);
    arena_free(a);
    return result;
}

/* ---- all of them ---- */

/* How many samples, and whether values are held between the layers */
static void plan_cuts(Pair *s, const Node *const *layers, int n) {
    size_t most = 1;
    Arena *a = arena_new(s->p.ctx);
    Value **alive = ARENA_ARRAY(a, s->p.ctx->next_id, Value *);
    for (int i = 0; i < n && most != SIZE_MAX; i++) {
        size_t bytes = alive_bytes(alive, list_alive(s, layers[i], alive));
        if (bytes > most) most = bytes;
    }
    size_t fit = most_held / 2 / most;
    s->cuts = fit >= LEAST_CUT;
    s->n_samples = !s->cuts ? FEW_SAMPLES : fit < MOST_SAMPLES ? (int)fit : MOST_SAMPLES;
    arena_free(a);
}

/* The first samples, as what is held before the first node */
static int read_samples(Pair *s, Samples *from) {
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

static mcc_tensor_info info_of(const Pair *s, const Value *v) {
    mcc_tensor_info t = {.name = arena_printf(s->p.ctx->arena, "%.*s", (int)v->name.n, v->name.p),
                         .dtype = (int32_t)v->type.dtype,
                         .rank = v->type.rank};
    for (int i = 0; i < v->type.rank; i++) {
        t.max_dims[i] = v->type.dims[i]->hi;
        if (!dim_is_const(v->type.dims[i], &t.dims[i])) t.dims[i] = -1;
    }
    return t;
}

static int open_samples(Pair *s) {
    const Graph *g = s->p.graph;
    const Command *k = s->p.command;
    mcc_tensor_info *info = ARENA_ARRAY(s->p.ctx->arena, g->n_inputs + 1, mcc_tensor_info);
    for (int i = 0; i < g->n_inputs; i++) info[i] = info_of(s, g->inputs[i]);
    SampleOptions options = {.norm = k->input_norm, .layout = k->input_layout};
    Samples *samples = samples_open(s->p.ctx, k->calibrate, k->n_calibrate, info, g->n_inputs, &options);
    if (!samples) return BAD_MODEL;
    int result = read_samples(s, samples);
    samples_close(samples);
    return result;
}

/* With what the layers read as its outputs, inputs of the model apart */
static int compile_whole(Pair *s, const Node *const *layers, int n) {
    Value **out = ARENA_ARRAY(s->p.ctx->arena, n + 1, Value *);
    s->all = part_before(s, NULL, s->p.ctx->arena);
    s->all.out = out;
    for (int i = 0; i < n; i++) {
        Value *x = layers[i]->in[0];
        bool known = find_held(s, x) != NULL;
        for (int k = 0; k < s->all.n_out && !known; k++) known = out[k] == x;
        if (!known) out[s->all.n_out++] = x;
    }
    return s->all.n_out ? part_compile(s, &s->all, false, &s->exact) : DONE;
}

int pair_open(Pair *s, const Node *const *layers, int n) {
    number_nodes(s);
    plan_cuts(s, layers, n);
    s->cut = s->p.graph->first;
    int result = open_samples(s);
    return result == DONE && !s->cuts ? compile_whole(s, layers, n) : result;
}

void pair_close(Pair *s) {
    if (s->p.ctx) part_free(&s->exact);
    side_close(&s->p, NULL);
}
