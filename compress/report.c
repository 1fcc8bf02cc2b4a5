/* Collects what the report says: of the imported graph, which constants belong to which node; of the lowered one, what
 * became of each. A constant counts once, for the first node that reads it. What became one layer is called after the
 * last of its nodes: a node without a layer of its own is a part of that of the node that reads it. */
#include "compress/report.h"
#include <math.h>
#include <string.h>

typedef struct Origin { /* a node of the model */
    const char *op, *name;
    size_t bytes;
    double work; /* multiplications */
    int user;    /* 1 + the index of the first node that reads what it makes */
    int layer;   /* 1 + the layer that it is a part of; -1: none; 0: not known yet */
} Origin;

enum { MIN_WEIGHTS = 64 }; /* fewer bytes are scalars and lists of dims */

struct ReportModel {
    Arena *arena;
    Origin *origins; /* by the node's index */
    int n_origins;
    size_t bytes, nodes;
};

static int most_index(const Graph *g) {
    int most = -1;
    for (const Node *n = g->first; n; n = n->next)
        if (n->index > most) most = n->index;
    return most;
}

static size_t count_constant(const Value *v, bool *seen) {
    if (!v || !v->constant || v->def || seen[v->id]) return 0;
    seen[v->id] = true;
    return v->constant->bytes;
}

static const char *escaped(Ctx *ctx, Str name) {
    char text[128];
    str_escape(text, sizeof text, name);
    return arena_printf(ctx->arena, "%s", text);
}

static void note_users(ReportModel *m, const Node *n) {
    for (int i = 0; i < n->n_in; i++) {
        const Node *def = n->in[i] ? n->in[i]->def : NULL;
        if (!def || def->index < 0 || n->index < 0 || def->index == n->index) continue;
        if (!m->origins[def->index].user) m->origins[def->index].user = 1 + n->index;
    }
}

static double elements_at_most(const Value *v, int from) {
    double n = 1;
    for (int i = from; v && v->type.kind == TYPE_TENSOR && i < v->type.rank; i++) n *= (double)v->type.dims[i]->hi;
    return n;
}

/* Multiplications of a contraction; 0: it is none */
static double work_of(const Node *n) {
    const Value *x = n->in[0], *y = n->out[0];
    switch (n->op) {
    case OP_Conv:
    case OP_ConvInteger: return elements_at_most(y, 0) * elements_at_most(n->in[1], 1);
    case OP_QLinearConv: return elements_at_most(y, 0) * elements_at_most(n->in[3], 1);
    case OP_ConvTranspose: return elements_at_most(x, 0) * elements_at_most(n->in[1], 1);
    case OP_Gemm: return elements_at_most(x, 0) * elements_at_most(y, 1);
    case OP_MatMul:
    case OP_MatMulInteger:
    case OP_QLinearMatMul: return elements_at_most(y, 0) * elements_at_most(x, x->type.rank > 0 ? x->type.rank - 1 : 0);
    default: return 0;
    }
}

ReportModel *report_begin(Ctx *ctx, const Graph *g) {
    ReportModel *m = ARENA_NEW(ctx->arena, ReportModel);
    bool *seen = ARENA_ARRAY(ctx->arena, ctx->next_id + 1, bool);
    m->arena = ctx->arena;
    m->n_origins = most_index(g) + 1;
    m->origins = ARENA_ARRAY(ctx->arena, m->n_origins + 1, Origin);
    for (const Node *n = g->first; n; n = n->next) {
        size_t bytes = 0;
        for (int i = 0; i < n->n_in; i++) bytes += count_constant(n->in[i], seen);
        m->bytes += bytes;
        if (n->index < 0) continue;
        Origin *o = &m->origins[n->index];
        m->nodes += !o->op;
        o->op = op_info(n->op)->name;
        o->name = escaped(ctx, n->name);
        o->bytes += bytes;
        o->work += work_of(n);
        note_users(m, n);
    }
    for (int i = 0; i < g->n_outputs; i++) m->bytes += count_constant(g->outputs[i], seen);
    return m;
}

static const char *dims_text(Ctx *ctx, const Value *v) {
    const char *text = "";
    for (int i = 0; v && i < v->type.rank; i++)
        text = arena_printf(ctx->arena, "%s%s%s", text, i ? "x" : "", dim_text(ctx, v->type.dims[i]));
    return text;
}

/* The weights of contractions are input 1; of others, the largest constant counts. */
static const char *weights_of(const Node *n) {
    const Tensor *most = NULL;
    for (int i = 0; i < n->n_in; i++) {
        const Tensor *t = n->in[i] ? n->in[i]->constant : NULL;
        if (t && i == 1 && op_has(n->op, OP_CONTRACTION)) return dtype_name(t->dtype);
        if (t && (!most || t->bytes > most->bytes)) most = t;
    }
    return most ? dtype_name(most->dtype) : "";
}

static const Value *first_output(const Node *n) {
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i]) return n->out[i];
    return NULL;
}

static void fill_layer(Ctx *ctx, const ReportModel *m, const Target *t, const Node *n, ReportLayer *l) {
    const Value *y = first_output(n);
    bool known = n->index >= 0 && n->index < m->n_origins && m->origins[n->index].op;
    const char *own =
        arena_printf(ctx->arena, "%s%s", op_info(n->op)->domain == MCC ? "mcc." : "", op_info(n->op)->name);
    *l = (ReportLayer){.name = escaped(ctx, n->name),
                       .op = known ? m->origins[n->index].op : own,
                       .form = codegen_form(t, n),
                       .dtype = y ? dtype_name(y->type.dtype) : "",
                       .dims = dims_text(ctx, y),
                       .weights = weights_of(n),
                       .scheme = y ? dtype_name(y->type.dtype) : "",
                       .why = "",
                       .index = known ? n->index : -1,
                       .made = y ? elements_at_most(y, 0) * dtype_bits(y->type.dtype) / 8 : 0,
                       .pattern = "",
                       .cycles = (double)NAN,
                       .dense_cycles = (double)NAN,
                       .sqnr = (double)NAN,
                       .microseconds = (double)NAN};
}

/* Of several layers that are called after one node, it is a part of the one with the most weights. */
static void find_layers(ReportModel *m, const Report *r) {
    for (int i = 0; i < r->n_layers; i++) {
        if (r->layers[i].index < 0) continue;
        Origin *o = &m->origins[r->layers[i].index];
        if (!o->layer || r->layers[i].after > r->layers[o->layer - 1].after) o->layer = i + 1;
    }
}

/* Every node on the way learns the answer, so that all ways together take linear time. */
static int layer_of(ReportModel *m, int i) {
    int at = i;
    while (!m->origins[at].layer && m->origins[at].user) at = m->origins[at].user - 1;
    int layer = m->origins[at].layer ? m->origins[at].layer : -1;
    for (at = i; !m->origins[at].layer; at = m->origins[at].user - 1) {
        m->origins[at].layer = layer;
        if (!m->origins[at].user) break;
    }
    return layer;
}

/* The layer's node with the most constants is what it is shown as: the convolution, not the activation behind it. */
static void share_origins(ReportModel *m, Report *r) {
    size_t *most = ARENA_ARRAY(m->arena, r->n_layers, size_t);
    for (int i = m->n_origins - 1; i >= 0; i--) {
        Origin *o = &m->origins[i];
        if (!o->op) continue;
        if (layer_of(m, i) < 0) {
            r->elsewhere += o->bytes;
            continue;
        }
        ReportLayer *l = &r->layers[o->layer - 1];
        l->nodes++;
        l->before += o->bytes;
        l->work += o->work;
        if (o->bytes < MIN_WEIGHTS || o->bytes <= most[o->layer - 1]) continue;
        most[o->layer - 1] = o->bytes;
        l->name = o->name;
        l->op = o->op;
    }
}

/* A layer is what the product in it is, or, without one, what its last node is. */
static void share_quantized(ReportModel *m, Report *r) {
    const ReportRanges *q = &r->ranges;
    bool *contracts = ARENA_ARRAY(m->arena, r->n_layers + 1, bool);
    for (int i = 0; i < r->n_layers; i++)
        if (!strcmp(r->layers[i].scheme, "float32")) r->layers[i].scheme = "f32";
    for (int i = 0; i < q->n_nodes; i++) {
        const ReportNode *node = &q->nodes[i];
        int at = node->index >= 0 && node->index < m->n_origins && m->origins[node->index].op
                     ? layer_of(m, node->index) - 1
                     : -1;
        if (at < 0 || (contracts[at] && !node->contracts)) continue;
        contracts[at] = node->contracts;
        r->layers[at].scheme = node->scheme;
        r->layers[at].why = node->why;
    }
    for (int i = 0; i < r->n_layers; i++) /* the plan's wish does not always come true */
        if (contracts[i] && !strcmp(r->layers[i].weights, "float32")) r->layers[i].scheme = "f32";
    for (int i = 0; i < r->n_layers; i++)
        for (int k = 0; k < q->n_noises && r->layers[i].index >= 0; k++)
            if (q->noises[k].index == r->layers[i].index) r->layers[i].sqnr = q->noises[k].sqnr;
}

/* ---- zeros ---- */

static ReportLayer *layer_at(ReportModel *m, Report *r, int index) {
    bool known = index >= 0 && index < m->n_origins && m->origins[index].op;
    int layer = known ? layer_of(m, index) : -1;
    return layer > 0 ? &r->layers[layer - 1] : NULL;
}

static void share_zeros(ReportModel *m, Report *r) {
    const ReportRanges *from = &r->ranges;
    for (int i = 0; i < from->n_zeros; i++) {
        const ReportZeros *z = &from->zeros[i];
        ReportLayer *l = layer_at(m, r, z->index);
        r->values += z->weights;
        r->zeros += z->zeros;
        if (!l) continue;
        l->values += z->weights;
        l->zeros += z->zeros;
        if (z->pattern) l->pattern = *l->pattern && strcmp(l->pattern, z->pattern) ? "several" : z->pattern;
    }
}

static void share_sparse(ReportModel *m, Report *r, const SparseNotes *notes) {
    for (const SparseNote *n = notes ? notes->first : NULL; n; n = n->next) {
        ReportLayer *l = layer_at(m, r, n->place - 1);
        if (!l || !(n->cycles > 0) || !(n->dense_cycles > 0)) continue;
        l->cycles = n->cycles;
        l->dense_cycles = n->dense_cycles;
        if (*l->why) continue;
        if (n->sparse)
            l->why =
                arena_printf(m->arena, "its zeros: about %.2f times as fast as dense", n->dense_cycles / n->cycles);
        else
            l->why = arena_printf(m->arena, "dense: about %.2f times as fast as code of the nonzeros",
                                  n->cycles / n->dense_cycles);
    }
}

static void share_remarks(ReportModel *m, Report *r) {
    for (const ReportRemark *k = r->ranges.remarks; k; k = k->next) {
        ReportLayer *l = layer_at(m, r, k->index);
        if (!l || strstr(l->why, k->text)) continue;
        l->why = *l->why ? arena_printf(m->arena, "%s; %s", k->text, l->why) : k->text;
        if (!strcmp(l->dtype, "float32") && strcmp(l->weights, "int8") != 0)
            l->scheme = "f32"; /* whatever was planned */
    }
}

static void fill_blocks(Ctx *ctx, Report *r, const Graph *g, const Code *code) {
    const char **name = ARENA_ARRAY(ctx->arena, ctx->next_id + 1, const char *);
    for (const Node *n = g->first; n; n = n->next) {
        name[n->id] = escaped(ctx, n->name);
        for (int i = 0; i < n->n_out; i++)
            if (n->out[i]) name[n->out[i]->id] = escaped(ctx, n->out[i]->name.n ? n->out[i]->name : n->name);
    }
    r->blocks = ARENA_ARRAY(ctx->arena, code->n_blocks, ReportBlock);
    for (int i = 0; i < code->n_blocks; i++) {
        const PlanBlock *b = &code->blocks[i];
        int id = b->owner < 0 ? -1 - b->owner : b->owner, end = r->n_layers - 1;
        r->blocks[r->n_blocks++] = (ReportBlock){
            name[id] ? name[id] : "", b->owner<0, b->bytes, b->offset, b->first, b->last> end ? end : b->last};
    }
}

void report_observed(ReportRange *r, const Observer *o) {
    int lo = 0, hi = OBSERVER_BINS;
    r->values = o->values;
    if (!o->values) return;
    r->low = (double)o->low;
    r->high = (double)o->high;
    if (!o->bins) return;
    while (lo < hi && !o->bins[lo]) lo++;
    while (hi > lo && !o->bins[hi - 1]) hi--;
    int together = (hi - lo + REPORT_BINS - 1) / REPORT_BINS;
    for (int i = lo; i < hi; i++) {
        r->n_bins = (i - lo) / together + 1;
        r->bins[r->n_bins - 1] += o->bins[i];
    }
    r->step = ldexp(together, o->step_exponent);
    r->first = ldexp((double)(o->first + lo), o->step_exponent);
}

Report *report_end(Ctx *ctx, const ReportModel *before, const Graph *g, const Code *code, const char *target,
                   const ReportRanges *ranges, const SparseNotes *sparse) {
    ReportModel m = *before;
    Report *r = ARENA_NEW(ctx->arena, Report);
    int *place = ARENA_ARRAY(ctx->arena, ctx->next_id + 1, int), n_nodes = 0;
    const char *slash = strrchr(ctx->file, '/');
    for (const Node *n = g->first; n; n = n->next) n_nodes++;
    *r = (Report){.model = escaped(ctx, str_of(slash ? slash + 1 : ctx->file)),
                  .target = target,
                  .ranges = *ranges,
                  .version = MCC_VERSION,
                  .layers = ARENA_ARRAY(ctx->arena, n_nodes, ReportLayer),
                  .before = m.bytes,
                  .after = code->weights_bytes,
                  .code = code->code.bytes,
                  .model_nodes = m.nodes,
                  .workspace = code->workspace_bytes,
                  .lower_bound = code->workspace_lower_bound};
    for (const Node *n = g->first; n; n = n->next) {
        place[n->id] = r->n_layers;
        fill_layer(ctx, &m, code->target, n, &r->layers[r->n_layers++]);
    }
    for (int i = 0; i < code->n_segments; i++)
        if (code->segments[i].reader) r->layers[place[code->segments[i].reader->id]].after += code->segments[i].bytes;
    for (int i = 0; i < code->code.n; i++)
        r->layers[place[code->code.list[i].reader->id]].code += code->code.list[i].bytes;
    find_layers(&m, r);
    share_origins(&m, r);
    share_quantized(&m, r);
    share_zeros(&m, r);
    share_sparse(&m, r, sparse);
    share_remarks(&m, r);
    fill_blocks(ctx, r, g, code);
    return r;
}

const char *report_noise_inputs(const Report *r) {
    return !r->ranges.noise_samples ? "none" : r->ranges.noise_is_random ? "random" : "samples";
}

bool report_has_zeros(const ReportLayer *l) { return l->values > 0 && (l->zeros > 0 || l->code > 0); }
double report_zeros_percent(const ReportLayer *l) { return 100 * (double)l->zeros / (double)l->values; }
