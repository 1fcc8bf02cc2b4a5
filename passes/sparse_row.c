/* Products of one row with a constant matrix of many zeros, mcc.SparseGemv. Each weight serves once, so that code would
 * be more bytes than data: the nonzeros are packed behind one another, and either a bit a weight says where they belong
 * (masks, where the target spreads a vector's elements by such bits), or each has the place of what it multiplies
 * (places of 16 bits). The cost models of both, and of the dense product, count the bytes that come from memory: an
 * inference later the caches hold other layers. */
#include <math.h>
#include <string.h>
#include "passes/lower.h"

enum { MOST_VECS = 4, MOST_PLACES = 1 << 16, MASK_BITS = 16 };

static bool has_expand(const Target *t) { return t->vector_bits == 512; }
static int lanes_of(const Target *t) { return tile_for_any(t).lanes; }

static float weight(const RowProduct *p, int64_t k, int64_t col) {
    return col < p->cols ? (float)(p->alpha * (double)p->data[k * p->in + col * p->out]) : 0;
}

/* ---- where each nonzero stands ---- */

/* of the column with the most of them in each group of `lanes` columns: what all its lanes step through */
static int64_t group_steps(const RowProduct *p, int64_t group, int lanes) {
    int64_t most = 0;
    for (int64_t col = group * lanes; col < (group + 1) * lanes && col < p->cols; col++) {
        int64_t n = 0;
        for (int64_t k = 0; k < p->inner; k++) n += weight(p, k, col) != 0;
        if (n > most) most = n;
    }
    return most;
}

static int64_t groups_of(const RowProduct *p, int lanes) { return (p->cols + lanes - 1) / lanes; }

static int64_t all_steps(const RowProduct *p, int lanes) {
    int64_t n = 0;
    for (int64_t g = 0; g < groups_of(p, lanes); g++) n += group_steps(p, g, lanes);
    return n;
}

/* ---- what the forms cost ---- */

typedef struct RowCost {
    double cycles, bytes;
} RowCost;

/* Weights of a layer that takes up much of L2 are elsewhere when their turn comes again. */
static double from_memory(const Target *t, const RowProduct *p, double bytes) {
    const double far = 8, near = 32; /* bytes a cycle */
    double dense = 4 * (double)p->inner * (double)p->cols;
    return bytes / (dense > (double)t->l2 / 4 ? far : near);
}

static RowCost cost(const Target *t, const RowProduct *p, double cycles, double bytes) {
    double memory = from_memory(t, p, bytes);
    return (RowCost){memory > cycles ? memory : cycles, bytes};
}

static RowCost cost_of_masks(const Target *t, const RowProduct *p, int64_t nonzeros) {
    const double each = 3.3; /* of a mask: the bits, their number, spread, multiply */
    double masks = (double)p->inner * (double)groups_of(p, MASK_BITS);
    return cost(t, p, each * masks, 2 * masks + 4 * (double)nonzeros);
}

static RowCost cost_of_places(const Target *t, const RowProduct *p) {
    const double one = 1.25;
    double places = (double)all_steps(p, lanes_of(t)) * lanes_of(t);
    return cost(t, p, one * places, 6 * places);
}

/* ---- the constants ---- */

typedef struct Packed {
    float *values;
    uint16_t *places;
    int64_t *starts;
    Value *in[3];
} Packed;

static void pack_begin(Graph *g, Packed *to, int64_t values, int64_t places, int64_t starts) {
    Tensor *t[3] = {tensor_packed(g, DT_F32, 1, &values), tensor_packed(g, DT_U16, 1, &places),
                    tensor_packed(g, DT_I64, 1, &starts)};
    to->values = (float *)t[0]->data;
    to->places = (uint16_t *)t[1]->data;
    to->starts = (int64_t *)t[2]->data;
    for (int i = 0; i < 3; i++) to->in[i] = value_of_tensor(g, t[i]);
}

/* [panels][inner][vectors of the panel] masks, nonzeros in their order; starts: of each panel's nonzeros */
static void pack_masks(Graph *g, const RowProduct *p, int vecs, int64_t nonzeros, Packed *to) {
    int64_t vectors = groups_of(p, MASK_BITS), panels = (vectors + vecs - 1) / vecs, n = 0;
    pack_begin(g, to, nonzeros + MASK_BITS, vectors * p->inner, panels);
    uint16_t *mask = to->places;
    for (int64_t v = 0; v < vectors; v += vecs) {
        to->starts[v / vecs] = n;
        for (int64_t k = 0; k < p->inner; k++)
            for (int64_t i = v; i < v + vecs && i < vectors; i++, mask++)
                for (int lane = 0; lane < MASK_BITS; lane++) {
                    float w = weight(p, k, i * MASK_BITS + lane);
                    if (w == 0) continue;
                    *mask = (uint16_t)(*mask | 1u << lane);
                    to->values[n++] = w;
                }
    }
}

/* [steps][lanes] of each group of columns; starts: of each group's steps, and their end */
static void pack_places(Graph *g, const RowProduct *p, int lanes, Packed *to) {
    int64_t groups = groups_of(p, lanes), all = all_steps(p, lanes) * lanes;
    pack_begin(g, to, all, all, groups + 1);
    for (int64_t i = 0; i < groups; i++) {
        to->starts[i + 1] = to->starts[i] + group_steps(p, i, lanes);
        for (int lane = 0; lane < lanes; lane++) {
            int64_t at = to->starts[i] * lanes + lane;
            for (int64_t k = 0; k < p->inner; k++) {
                float w = weight(p, k, i * lanes + lane);
                if (w == 0) continue;
                to->values[at] = w;
                to->places[at] = (uint16_t)k;
                at += lanes;
            }
        }
    }
}

/* ---- the choice ---- */

static int64_t nonzeros_of(const RowProduct *p) {
    int64_t n = 0;
    for (int64_t col = 0; col < p->cols; col++)
        for (int64_t k = 0; k < p->inner; k++) n += weight(p, k, col) != 0;
    return n;
}

static bool is_wanted(const PassCtx *ctx, const RowProduct *p, int64_t nonzeros, double dense, RowCost c) {
    double bytes = 4 * (double)p->inner * (double)p->cols;
    SparseNote n = {.layer = p->layer,
                    .rows = p->cols,
                    .columns = p->inner,
                    .nonzeros = nonzeros,
                    .bytes = c.bytes,
                    .cycles = c.cycles,
                    .packed = true};
    n.dense_cycles = cost(ctx->target, p, dense, bytes).cycles;
    n.sparse = ctx->sparse == SPARSE_ALWAYS || (n.cycles < n.dense_cycles && (!ctx->optimize_size || n.bytes < bytes));
    if (ctx->sparse_notes)
        n.pattern = sparse_pattern(ctx->sparse_notes->arena, p->data, p->out > 1 ? p->cols : p->inner,
                                   p->out > 1 ? p->inner : p->cols, 1);
    sparse_note(ctx->sparse_notes, &n);
    return n.sparse;
}

Node *lower_sparse_row(Graph *g, const PassCtx *ctx, const RowProduct *p, Node *before, double dense_cycles) {
    const Target *t = ctx->target;
    int64_t nonzeros = ctx->sparse == SPARSE_OFF ? -1 : nonzeros_of(p), lanes = lanes_of(t);
    bool can_place = p->inner <= MOST_PLACES, can_expand = has_expand(t);
    if (nonzeros < 0 || nonzeros == p->inner * p->cols || (!can_place && !can_expand)) return NULL;
    RowCost masks = can_expand ? cost_of_masks(t, p, nonzeros) : (RowCost){INFINITY, INFINITY},
            places = can_place ? cost_of_places(t, p) : (RowCost){INFINITY, INFINITY};
    bool expand = masks.cycles <= places.cycles;
    if (!is_wanted(ctx, p, nonzeros, dense_cycles, expand ? masks : places)) return NULL;
    Packed packed;
    int vecs = expand ? panel_vecs(p->cols, MASK_BITS, MOST_VECS) : 1;
    if (expand) pack_masks(g, p, vecs, nonzeros, &packed);
    else pack_places(g, p, (int)lanes, &packed);
    Value *in[4] = {p->x, packed.in[0], packed.in[1], packed.in[2]};
    Node *made = node_new(g, OP_SparseGemv, before, in, 4, 1);
    node_set_int(made, "lanes", expand ? MASK_BITS : lanes);
    node_set_int(made, "vecs", vecs);
    node_set_int(made, "masks", expand);
    return made;
}
