/* Convolutions with enough zero weights become mcc.SparseConv on planes, and what lies between them follows; see
 * planar.c for the layout and choose_sparse.c for the choice. */
#include "passes/planar.h"

static Value *pack_conv(const Planar *p, const Node *n, const PlaneWindow *w, const Plane *from, PackedForm *packed) {
    PlaneTaps taps;
    int64_t phases[MAX_PHASES], channels = n->in[1]->constant->dims[1], plane = plane_phases(w, phases) * from->size;
    plane_taps(w, from, false, &taps);
    PackWork work = {.weights = n->in[1]->constant->data, .rows = n->in[1]->constant->dims[0]};
    work.sources = channels * taps.n;
    PackSource *sources = ARENA_ARRAY(p->scratch, work.sources, PackSource);
    for (int64_t i = 0; i < work.sources; i++) {
        int64_t tap = i % taps.n, elements = i / taps.n * plane + taps.offset[tap];
        sources[i] = (PackSource){elements * (int64_t)sizeof(float), taps.mask[tap]};
    }
    return packed_value(p->g, &work, &p->packed[n->id], sources, packed);
}

/* Panels whose input is copied at once where masks would take the pipes that multiply, a piece for each column of the
 * window: about what takes half of L2. 0: nothing is masked, or pieces would be too large. */
static int64_t panels_to_copy(const Target *t, const PlaneWindow *w, const Plane *from, int64_t channels) {
    enum { LEAST = 4, MOST = 16 };
    const double most_bytes = 1 << 26;
    int64_t phases[MAX_PHASES], before = 0, behind = 0;
    int64_t pieces = plane_phases(w, phases) * w->kernel[1] * channels;
    int64_t fit = (int64_t)t->l2 / 2 / (pieces * PANEL * (int64_t)sizeof(float));
    PlaneTaps taps;
    plane_taps(w, from, false, &taps);
    plane_reach(w, &before, &behind);
    double each = (double)(before + behind + (MOST + 2) * PANEL) * sizeof(float);
    if (!t->lane_multiply || !taps.n_masks || (double)pieces * each > most_bytes) return 0;
    return fit < LEAST ? LEAST : fit > MOST ? MOST : fit;
}

static void lower_sparse_conv(Planar *p, Node *n) {
    PlaneWindow w;
    sparse_conv_window(n, &w);
    Plane from, to = map_plane(p, w.out[0], w.out[1]);
    PackedForm packed;
    bool is_packed = p->packed[n->id].block > 0;
    Value *in[3] = {want_window(p, n->in[0], n, &w, &from), n->in[1], node_in(n, 2)};
    if (is_packed) in[1] = pack_conv(p, n, &w, &from, &packed);
    Node *made = replace_by_planes(p, n, OP_SparseConv, in, 3, false);
    node_set_window(made, &w);
    node_set_plane(made, "from", &from);
    node_set_plane(made, "to", &to);
    if (is_packed) node_set_packed(made, &packed);
    else node_set_int(made, "copied", panels_to_copy(p->target, &w, &from, in[1]->constant->dims[1]));
}

static void lower_plain(Planar *p, Node *n) {
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i]) n->in[i] = want_pixels(p, n->in[i], n);
}

bool pass_lower_sparse(Graph *g, PassCtx *pass) {
    if (!pass->target || pass->sparse == SPARSE_OFF) return false;
    if (!sparse_lanes(pass->target) && !packed_possible(pass)) return false;
    Planar p = {.g = g, .ctx = g->ctx, .target = pass->target, .pass = pass, .n_ids = g->ctx->next_id};
    p.scratch = arena_new(g->ctx);
    p.twin = ARENA_ARRAY(p.scratch, p.n_ids, Value *);
    p.chosen = ARENA_ARRAY(p.scratch, p.n_ids, bool);
    p.packed = ARENA_ARRAY(p.scratch, p.n_ids, PackChoice);
    bool changed = choose_sparse(&p);
    for (Node *n = g->first, *next; changed && n; n = next) {
        next = n->next;
        if (p.chosen[n->id]) lower_sparse_conv(&p, n);
        else if (!lower_planar(&p, n)) lower_plain(&p, n);
    }
    for (int i = 0; changed && i < g->n_outputs; i++) want_pixels(&p, g->outputs[i], NULL);
    arena_free(p.scratch);
    return changed;
}
