/* Planes that only windows of one pixel read become panels: [N, P, C, 16], 16 pixels of all channels one behind the
 * other. Such windows read one panel after the other, and each of its sources then lies on the next line, not on a page
 * of its own. Sparse convolutions read and write either, each of x, y and the residual by itself; global pools read
 * either. Zeros around pixels, which nobody reads there, are gone. */
#include "passes/passes.h"

typedef struct PanelValues {
    Graph *g;
    bool *no, *yes; /* by value id: somebody needs planes; a sparse convolution makes it */
} PanelValues;

static bool is_one_pixel(const Node *n) {
    PlaneWindow w = node_window(n);
    return w.kernel[0] == 1 && w.kernel[1] == 1 && !plane_is_split(&w);
}

static bool is_residual(const Node *n, int input) { return n->body && n->body->n_inputs > 1 && input == n->n_in - 1; }

/* as attribute `panels` of n: what would say that this input is panels; 0: it cannot be */
static int64_t reads_panels(const Node *n, int input) {
    if (n->op == OP_PlaneGlobalPool) return PANELS_X;
    if (n->op != OP_SparseConv) return 0;
    if (is_residual(n, input)) return PANELS_RESIDUAL;
    return input == 0 && is_one_pixel(n) ? PANELS_X : 0;
}

static void look_at(PanelValues *p, const Node *n) {
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && !reads_panels(n, i)) p->no[n->in[i]->id] = true;
    if (n->op == OP_SparseConv) p->yes[n->out[0]->id] = true;
}

static bool is_chosen(const PanelValues *p, const Value *v) { return p->yes[v->id] && !p->no[v->id]; }

/* the places of packed sources, which count planes */
static void turn_packed(Node *n) {
    PackedForm packed = node_packed(n);
    int64_t plane = node_plane(n, "from").size, line = PANEL;
    packed.unit = packed.unit / plane * line;
    packed.base = packed.base / plane * line;
    node_set_packed(n, &packed);
}

static void set_type(Ctx *ctx, Value *v, const Plane *plane) {
    int64_t panels = panel_pixels(plane->h * plane->w) / PANEL, lines = panel_lines(v->type.dims[1]->value);
    Dim dims[4] = {v->type.dims[0], dim_const(ctx, panels), dim_const(ctx, lines), dim_const(ctx, PANEL)};
    value_set_dims(v, v->type.dtype, 4, dims);
}

static bool turn(const PanelValues *p, Node *n) {
    int64_t panels = 0;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && is_chosen(p, n->in[i])) panels |= reads_panels(n, i);
    if (n->op == OP_SparseConv && is_chosen(p, n->out[0])) {
        Plane to = node_plane(n, "to");
        panels |= PANELS_Y;
        set_type(p->g->ctx, n->out[0], &to);
    }
    if (!panels) return false;
    if (n->op == OP_SparseConv && (panels & PANELS_X) && node_is_packed(n)) turn_packed(n);
    node_set_int(n, "panels", panels);
    return true;
}

bool pass_panel_values(Graph *g, PassCtx *pass) {
    Arena *scratch = arena_new(g->ctx);
    PanelValues p = {g, ARENA_ARRAY(scratch, g->ctx->next_id, bool), ARENA_ARRAY(scratch, g->ctx->next_id, bool)};
    bool changed = false;
    (void)pass;
    for (const Node *n = g->first; n; n = n->next) look_at(&p, n);
    for (int i = 0; i < g->n_outputs; i++) p.no[g->outputs[i]->id] = true;
    for (Node *n = g->first; n; n = n->next) changed |= turn(&p, n);
    arena_free(scratch);
    return changed;
}
