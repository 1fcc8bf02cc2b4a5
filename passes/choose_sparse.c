/* Which convolutions become straight-line code of their nonzero weights: those for which the cost models of both forms
 * say so, reorders between planes and other layouts counted. From the best choice of each by itself, single ones change
 * sides as long as that makes the whole cheaper. Only zeros begin it: a dense model stays as it is. */
#include <math.h>
#include <string.h>
#include "passes/planar.h"

enum { ROUNDS = 4, MOST_MASKS = 7 /* that an instruction can name */ };
static const double most_steps = 1e8;     /* of a round */
static const double zeros_to_begin = 0.1; /* the least part of a layer's weights */
static const double doubt = 1.2;          /* of the estimates, where there are fewer */
static const double reorder_cycles = 0.5; /* a pass over an element */

typedef struct Candidate {
    Node *n;
    double dense, sparse;
    SparseWork work;
    double bytes;
    PackChoice packed; /* block 0: as code */
    bool possible;
} Candidate;

typedef struct Choice {
    Planar *p;
    Candidate *list;
    int n;
    bool *planar, *charged[2]; /* by value id: it is planes; it was paid for as planes, as pixels */
    int n_ids;
    bool *is_planes; /* of a node, by input */
} Choice;

static bool is_constant(const Value *v) { return v && v->constant && v->constant->dtype == DT_F32; }

/* Do the distances between planes fit instructions? Zeros around pixels are no more than three times as many. */
static bool is_in_reach(const Tensor *weights, const PlaneWindow *w) {
    enum { MOST_ROWS = 1 << 20, MOST_SOURCES = 1 << 24, MORE = 16 };
    const double most = 1 << 29, bytes = 4 * sizeof(float);
    int64_t phases[MAX_PHASES], rows = weights->dims[0], channels = weights->dims[1], n = plane_phases(w, phases);
    double in = bytes * (double)(plane_rows(w) + MORE) * (double)(w->out[1] + MORE) * (double)channels * (double)n,
           out = bytes * (double)(w->out[0] + MORE) * (double)(w->out[1] + MORE) * (double)rows;
    return in < most && out < most && rows <= MOST_ROWS && channels * w->kernel[0] * w->kernel[1] <= MOST_SOURCES;
}

bool sparse_conv_window(const Node *n, PlaneWindow *w) {
    if (n->op != OP_Conv || node_int(n, "group") != 1 || !is_constant(n->in[1])) return false;
    if (node_in(n, 2) && !is_constant(n->in[2])) return false;
    if (!n->in[1]->constant->bytes || !window_of(n, n->in[1]->constant->dims + 2, w)) return false;
    PlaneTaps taps;
    if (!is_in_reach(n->in[1]->constant, w)) return false;
    plane_taps(w, &(Plane){.w = w->out[1]}, false, &taps);
    return taps.n_masks < MOST_MASKS; /* one more says which pixels there are */
}

static double weights_of(const Candidate *c) { return (double)c->work.rows * (double)c->work.sources; }
static int64_t zeros_of(const Candidate *c) { return c->work.rows * c->work.sources - c->work.nonzeros; }

static bool has_zeros(const Candidate *c) { return (double)zeros_of(c) >= zeros_to_begin * weights_of(c); }

static double dense_bytes(const Candidate *c) { return weights_of(c) * (double)sizeof(float); }

/* the better of code and data, where both are possible; false: neither is */
static bool choose_form(const Planar *p, Candidate *c) {
    const PassCtx *pass = p->pass;
    double bytes = sparse_bytes(p->target, &c->work);
    bool small = pass->optimize_size, code = sparse_lanes(p->target) && pass->sparse != SPARSE_PACKED;
    if (small && pass->sparse != SPARSE_ALWAYS && bytes > dense_bytes(c)) code = false;
    PackWork w = {.weights = c->n->in[1]->constant->data,
                  .rows = c->work.rows,
                  .sources = c->work.sources,
                  .panels = c->work.panels,
                  .at_once = c->work.panels,
                  .masked = c->work.masked};
    bool packed = packed_possible(pass) && (!code || pass->sparse != SPARSE_ALWAYS) &&
                  packed_choose(p->target, &w, small, &c->packed);
    c->sparse = code ? sparse_cycles(p->target, &c->work) : INFINITY, c->bytes = bytes;
    if (packed && (!code || small || c->packed.cycles < c->sparse))
        c->sparse = c->packed.cycles, c->bytes = c->packed.bytes;
    else c->packed.block = 0;
    return code || packed;
}

static Candidate candidate_of(Planar *p, Layout *l, Node *n) {
    PlaneWindow w;
    Candidate c = {.n = n};
    if (n->op != OP_Conv || !sparse_conv_window(n, &w)) return c;
    const Tensor *t = n->in[1]->constant;
    PlaneTaps taps;
    plane_taps(&w, &(Plane){.w = w.out[1]}, false, &taps);
    c.work = (SparseWork){.rows = t->dims[0],
                          .sources = (int64_t)(t->bytes / sizeof(float)) / t->dims[0],
                          .nonzeros = count_nonzeros(t),
                          .panels = panel_pixels(w.out[0] * w.out[1]) / PANEL,
                          .masked = taps.n_masks > 0};
    c.dense = dense_conv_cycles(l, n);
    c.possible = choose_form(p, &c) && c.dense > 0;
    if (!has_zeros(&c)) c.sparse *= doubt; /* what gains a little may as well lose it */
    return c;
}

static bool is_too_large(const PassCtx *pass, const Candidate *c) {
    return pass->optimize_size && c->bytes > dense_bytes(c);
}

static void note(const Planar *p, const Candidate *k) {
    SparseNotes *notes = p->pass->sparse_notes;
    const Tensor *w = k->n->in[1]->constant;
    if (!notes) return;
    SparseNote n = {
        .layer = k->n->name,
        .place = 1 + k->n->index,
        .rows = k->work.rows,
        .columns = k->work.sources,
        .nonzeros = k->work.nonzeros,
        .bytes = k->bytes,
        .packed = k->packed.block > 0,
        .pattern = sparse_pattern(notes->arena, w->data, k->work.rows, k->work.sources, k->work.sources / w->dims[1]),
        .sparse = p->chosen[k->n->id],
        .cycles = k->sparse,
        .dense_cycles = k->dense};
    sparse_note(notes, &n);
}

/* ---- what a choice costs ---- */

static double elements_of(const Value *v) {
    double n = 1;
    for (int i = 1; i < v->type.rank; i++) n *= (double)v->type.dims[i]->hi; /* of one batch element, as layers count */
    return n;
}

/* v as planes or as pixels, where it may be the other; once */
static double reorder(Choice *c, const Value *v, bool planes) {
    if (v->constant || c->planar[v->id] == planes || c->charged[planes][v->id]) return 0;
    c->charged[planes][v->id] = true;
    return reorder_cycles * 2 * elements_of(v); /* mostly through plain order */
}

static double read_as(Choice *c, const Node *n, bool planes) {
    double cycles = 0;
    int64_t h, w;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && map_of(n->in[i], &h, &w) && (c->planar[n->in[i]->id] || h * w > 1))
            cycles += reorder(c, n->in[i], planes);
    return cycles;
}

static double split_cycles(const Node *n) {
    PlaneWindow w;
    const int64_t *kernel = n->op == OP_Conv ? n->in[1]->constant->dims + 2 : NULL;
    if (is_planar_depthwise(n) && window_of(n, kernel, &w) && depthwise_reads_rows(&w)) return 0;
    return window_of(n, kernel, &w) && plane_is_split(&w) ? reorder_cycles * elements_of(n->in[0]) : 0;
}

static bool follows(Choice *c, const Node *n) {
    bool any = false, *is = c->is_planes;
    for (int i = 0; i < n->n_in; i++) {
        is[i] = n->in[i] && c->planar[n->in[i]->id] && follows_planes(n, n->in[i]);
        any = any || is[i];
    }
    return any && (n->op != OP_Concat || joins_mostly_planes(n, is));
}

static double cost(Choice *c) {
    Graph *g = c->p->g;
    double cycles = 0;
    int next = 0;
    memset(c->planar, 0, sizeof *c->planar * (size_t)c->n_ids);
    for (int i = 0; i < 2; i++) memset(c->charged[i], 0, sizeof *c->charged[i] * (size_t)c->n_ids);
    for (const Node *n = g->first; n; n = n->next) {
        const Candidate *k = next < c->n && c->list[next].n == n ? &c->list[next++] : NULL;
        bool chosen = k && c->p->chosen[n->id], planes = chosen || (!(k && k->possible) && follows(c, n));
        if (k && k->possible) cycles += chosen ? k->sparse : k->dense;
        cycles += read_as(c, n, planes);
        if (planes && (n->op == OP_Conv || op_has(n->op, OP_POOL))) cycles += split_cycles(n);
        if (planes && n->out[0]->type.rank > 2)
            c->planar[n->out[0]->id] =
                n->op != OP_GlobalAveragePool && n->op != OP_GlobalMaxPool && !op_has(n->op, OP_REDUCTION);
    }
    for (int i = 0; i < g->n_outputs; i++)
        if (c->planar[g->outputs[i]->id]) cycles += reorder(c, g->outputs[i], false);
    return cycles;
}

static bool improve(Choice *c) {
    double best = cost(c), now;
    bool changed = false;
    for (int i = 0; i < c->n; i++) {
        bool *is = &c->p->chosen[c->list[i].n->id];
        if (!c->list[i].possible || (!*is && is_too_large(c->p->pass, &c->list[i]))) continue;
        *is = !*is;
        if ((now = cost(c)) < best) best = now, changed = true;
        else *is = !*is;
    }
    return changed;
}

/* without looking at its neighbours */
static bool is_wanted(const PassCtx *pass, const Candidate *c) {
    if (pass->sparse == SPARSE_ALWAYS || pass->sparse == SPARSE_PACKED) return c->possible;
    if (!c->possible || !has_zeros(c)) return false;
    return c->sparse < c->dense && !is_too_large(pass, c);
}

static int fill_candidates(Choice *c) {
    Planar *p = c->p;
    Layout l = {.g = p->g, .ctx = p->ctx, .target = p->target, .pass = p->pass};
    int begun = 0;
    for (Node *n = p->g->first; n; n = n->next) c->n += n->op == OP_Conv;
    c->list = ARENA_ARRAY(p->scratch, c->n, Candidate);
    c->n = 0;
    for (Node *n = p->g->first; n; n = n->next) {
        if (n->op != OP_Conv) continue;
        Candidate k = c->list[c->n++] = candidate_of(p, &l, n);
        bool begins = is_wanted(p->pass, &k);
        p->chosen[n->id] = begins;
        p->packed[n->id] = k.packed;
        begun += begins;
    }
    return begun;
}

/* the planes' sizes follow from whatever may read them */
static void fill_maps(const Choice *c) {
    for (const Node *n = c->p->g->first; n; n = n->next) {
        PlaneWindow w;
        if (n->op != OP_Conv || !is_constant(n->in[1])) continue;
        bool reads = c->p->chosen[n->id] ? sparse_conv_window(n, &w) : is_planar_depthwise(n);
        if (reads && window_of(n, n->in[1]->constant->dims + 2, &w)) map_need(c->p, &w);
    }
}

bool choose_sparse(Planar *p) {
    Choice c = {.p = p, .n_ids = p->n_ids};
    int chosen = 0;
    if (!fill_candidates(&c)) return false;
    int most_inputs = 0;
    double nodes = 0;
    for (const Node *n = p->g->first; n; n = n->next, nodes++)
        if (n->n_in > most_inputs) most_inputs = n->n_in;
    c.is_planes = ARENA_ARRAY(p->scratch, most_inputs, bool);
    c.planar = ARENA_ARRAY(p->scratch, c.n_ids, bool);
    for (int i = 0; i < 2; i++) c.charged[i] = ARENA_ARRAY(p->scratch, c.n_ids, bool);
    bool quick = c.n * nodes < most_steps, search = p->pass->sparse == SPARSE_AUTO && quick;
    for (int i = 0; i < ROUNDS && search && improve(&c); i++) {}
    fill_maps(&c);
    for (int i = 0; i < c.n; i++) {
        chosen += p->chosen[c.list[i].n->id];
        if (c.list[i].possible && zeros_of(&c.list[i])) note(p, &c.list[i]);
    }
    return chosen > 0;
}
