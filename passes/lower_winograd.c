/* 3 × 3 convolutions of stride 1 as Winograd's F(m × m, 3 × 3): the sums of m × m outputs are (m + 2)² products a
 * channel instead of 9m² (Lavin, Gray: Fast Algorithms for Convolutional Neural Networks, 2015). The polynomial's
 * points for m = 4 are 0, ±√½, ±√2 and infinity, which halve the rounding error of the usual 0, ±1, ±2. Weights are
 * transformed here, in double. */
#include <math.h>
#include "passes/lower.h"

enum { MAX_SIDE = 6, KERNEL = 3 };
/* What moving a weight costs where all weights together are more than the caches hold: bytes a cycle from memory. */
enum { MEMORY_BYTES = 8 };

/* rows of the matrix that transforms a column of the kernel */
static void fill_kernel_matrix(int m, double g[MAX_SIDE][KERNEL]) {
    double points[MAX_SIDE] = {0, sqrt(0.5), -sqrt(0.5), sqrt(2), -sqrt(2), 0};
    int side = m + 2;
    if (m == 2) points[1] = 1, points[2] = -1;
    for (int i = 0; i < side - 1; i++) {
        double scale = 1;
        for (int j = 0; j < side - 1; j++)
            if (j != i) scale *= points[i] - points[j];
        for (int k = 0; k < KERNEL; k++) g[i][k] = (k ? g[i][k - 1] * points[i] : 1 / scale);
    }
    for (int k = 0; k < KERNEL; k++) g[side - 1][k] = k == KERNEL - 1;
    /* for m = 2 the input's transform has its first row, 1 - x², the other way round */
    if (m == 2) g[0][0] = -g[0][0];
}

static void transform_kernel(int side, double g[MAX_SIDE][KERNEL], const float *w, double *u) {
    double t[MAX_SIDE][KERNEL];
    for (int i = 0; i < side; i++)
        for (int j = 0; j < KERNEL; j++) {
            t[i][j] = 0;
            for (int k = 0; k < KERNEL; k++) t[i][j] += g[i][k] * (double)w[k * KERNEL + j];
        }
    for (int i = 0; i < side; i++)
        for (int j = 0; j < side; j++) {
            u[i * side + j] = 0;
            for (int k = 0; k < KERNEL; k++) u[i * side + j] += t[i][k] * g[j][k];
        }
}

/* [panels][side²][channels][columns of the panel]; zeros behind the last column */
static Value *pack_transformed(const Convolution *c, int m, const TileChoice *tile) {
    double g[MAX_SIDE][KERNEL], u[MAX_SIDE * MAX_SIDE];
    int side = m + 2, planes = side * side;
    int64_t vectors = (c->cols + tile->lanes - 1) / tile->lanes, wide = (int64_t)tile->vecs * tile->lanes;
    int64_t dims[3] = {planes, c->channels, vectors * tile->lanes};
    Tensor *t = tensor_packed(c->l->g, DT_F32, 3, dims);
    const float *w = c->n->in[1]->constant->data;
    fill_kernel_matrix(m, g);
    for (int64_t col = 0; col < c->cols; col++) {
        int64_t first = col / wide * wide,
                n = vectors * tile->lanes - first < wide ? vectors * tile->lanes - first : wide;
        float *panel = (float *)t->data + first * planes * c->channels;
        for (int64_t k = 0; k < c->channels; k++) {
            transform_kernel(side, g, w + (col * c->channels + k) * KERNEL * KERNEL, u);
            for (int p = 0; p < planes; p++) panel[(p * c->channels + k) * n + col - first] = (float)u[p];
        }
    }
    return value_of_tensor(c->l->g, t);
}

typedef struct Places { /* how the places of m × m outputs are worked off */
    int m;
    int64_t places, run; /* all of them; those at once */
    TileChoice tile;
    double cycles;
} Places;

/* as few runs as leave the transformed inputs of one in its share of the cache */
static int64_t fewest_runs(const Target *t, int m, int64_t channels, int64_t places) {
    int64_t bytes = (int64_t)(m + 2) * (m + 2) * channels * 4, most = bytes ? (int64_t)t->l2 * 5 / 8 / bytes : 1;
    if (most < 4) most = 4;
    return (places + most - 1) / most;
}

static double memory_cycles(double bytes) { return bytes / MEMORY_BYTES; }

/* what a pass over the weights adds to the work on them: what it cannot hide behind */
static double with_memory(double work, double bytes) {
    double memory = memory_cycles(bytes);
    return (work > memory ? work : memory) + 0.2 * memory;
}

/* Operations on vectors in the transforms of one place: of a block of channels in, of a vector of columns out. */
static double transform_cycles(const Target *t, const Convolution *c, int m, int in_block, int out_block) {
    double in = m == 4 ? 144 + 2 * 36 : 32 + 2 * 16, out = m == 4 ? 120 + 36 + 2 * 16 : 24 + 16 + 2 * 4;
    double blocks = (double)((c->channels + in_block - 1) / in_block),
           vectors = (double)((c->cols + out_block - 1) / out_block);
    return 1.3 * (in * blocks * vector_cycles(t, in_block) + out * vectors * vector_cycles(t, out_block));
}

/* of one plane of a run */
static Work work_of(const Convolution *c, int in_block, int out_block, int64_t run) {
    return (Work){.lanes = out_block,
                  .group = {c->cols, c->channels, 1, in_block},
                  .cols = c->cols,
                  .taps = 1,
                  .row = run,
                  .rows = 1};
}

/* The weights come from memory once, and for each further run from the next cache, which is some four times as fast. */
static Places plan_runs(const Convolution *c, int m, int in_block, int out_block, int64_t places, int64_t runs) {
    const Target *t = c->l->target;
    int side = m + 2;
    Places p = {.m = m, .places = places, .run = (places + runs - 1) / runs};
    Work w = work_of(c, in_block, out_block, p.run);
    p.tile = tile_choose(t, &w);
    runs = (places + p.run - 1) / p.run;
    double one = tile_choice_cycles(t, &w, &p.tile) * side * side,
           bytes = (double)(side * side * c->channels * c->cols) * 4;
    double transforms = (double)(runs * p.run) * transform_cycles(t, c, m, in_block, out_block);
    p.cycles = with_memory((double)runs * one, bytes) + (double)(runs - 1) * 0.25 * memory_cycles(bytes) + transforms;
    return p;
}

static Places plan_winograd(const Convolution *c, int m, int in_block, int out_block) {
    enum { MORE_RUNS = 6 };
    const Type *y = &c->n->out[0]->type;
    int64_t places = 1;
    for (int i = 2; i < 4; i++) places *= (y->dims[i]->value + m - 1) / m;
    int64_t runs = fewest_runs(c->l->target, m, c->channels, places);
    Places best = plan_runs(c, m, in_block, out_block, places, runs);
    for (int i = 1; i <= MORE_RUNS && runs + i <= places; i++) {
        Places p = plan_runs(c, m, in_block, out_block, places, runs + i);
        if (p.cycles < best.cycles) best = p;
    }
    return best;
}

bool winograd_possible(const Convolution *c, int in_block) {
    const FixedWindow *w = &c->window;
    int64_t n;
    if (c->transposed || c->groups != 1 || w->n != 2 || in_block < 4) return false;
    for (int i = 0; i < 2; i++) {
        if (w->kernel[i] != KERNEL || w->stride[i] != 1 || w->dilation[i] != 1) return false;
        if (!dim_is_const(c->n->out[0]->type.dims[2 + i], &n) || n < 1 ||
            !dim_is_const(c->n->in[0]->type.dims[2 + i], &n))
            return false;
    }
    return true;
}

static bool is_allowed(Winograd w, int m) { return w == WINOGRAD_AUTO || w == (m == 2 ? WINOGRAD_F2 : WINOGRAD_F4); }

static Node *make_winograd(const Convolution *c, Value *x, int in_block, int out_block, const Places *p) {
    Layout *l = c->l;
    Value *in[3] = {x, pack_transformed(c, p->m, &p->tile), packed_bias(c, out_block)};
    int64_t pads[4] = {c->window.begin[0], c->window.begin[1], c->window.end[0], c->window.end[1]},
            channels = c->channels;
    TileChoice tile = p->tile;
    tile.run = p->run;
    Node *made = replace_blocked(l, c->n, OP_Winograd, in, 3, out_block);
    node_set_ints(made, "pads", pads, 4);
    node_set_int(made, "m", p->m);
    node_set_int(made, "in_channels", channels);
    node_set_int(made, "in_block", in_block);
    set_tile(made, &tile);
    return made;
}

Node *lower_winograd_as(const Convolution *c, Value *x, int in_block, int out_block, const LayerChoice *choice) {
    int m = choice->form == FORM_WINOGRAD_F2 ? 2 : 4;
    if (!winograd_possible(c, in_block) || !is_allowed(c->l->pass->winograd, m)) return NULL;
    Places p = plan_winograd(c, m, in_block, out_block);
    if (choice->run) p.run = choice->run;
    if (p.run > p.places) return NULL;
    Work w = work_of(c, in_block, out_block, p.run);
    return tile_tuned(c->l->target, &w, choice, &p.tile) ? make_winograd(c, x, in_block, out_block, &p) : NULL;
}

/* the best tiles of each form, for as many places at once as the model takes, half and twice as many */
void winograd_candidates(const Convolution *c, int in_block, int out_block, LayerNote *note) {
    enum { TILES = 3 };
    TileChoice tiles[TILES];
    for (int m = 2; m <= 4 && winograd_possible(c, in_block); m += 2) {
        if (!is_allowed(c->l->pass->winograd, m)) continue;
        Places p = plan_winograd(c, m, in_block, out_block);
        for (int i = 0; i < 3; i++) {
            int64_t run = i == 0 ? p.run : i == 1 ? (p.run + 1) / 2 : p.run * 2;
            if (run > p.places) run = p.places;
            Work w = work_of(c, in_block, out_block, run);
            for (int n = tile_list(c->l->target, &w, tiles, i ? 1 : TILES), k = 0; k < n; k++)
                layer_candidate(note, m == 2 ? FORM_WINOGRAD_F2 : FORM_WINOGRAD_F4, tiles[k].rows, tiles[k].vecs,
                                tiles[k].unroll, run);
        }
    }
}

/* m 0: none is better than `direct` cycles */
static Places best_places(const Convolution *c, int in_block, int out_block, double direct) {
    Winograd wanted = c->l->pass->winograd;
    Places best = {.cycles = with_memory(direct, (double)(KERNEL * KERNEL * c->channels * c->cols) * 4)};
    for (int m = 2; m <= 4; m += 2) {
        if (!is_allowed(wanted, m)) continue;
        Places p = plan_winograd(c, m, in_block, out_block);
        if (p.cycles < best.cycles || wanted != WINOGRAD_AUTO) best = p;
    }
    return best;
}

double winograd_cycles(const Convolution *c, int in_block, int out_block, double direct) {
    if (!winograd_possible(c, in_block)) return direct;
    return best_places(c, in_block, out_block, direct).cycles;
}

Node *lower_winograd(const Convolution *c, Value *x, int in_block, int out_block, double direct) {
    if (!winograd_possible(c, in_block)) return NULL;
    Places best = best_places(c, in_block, out_block, direct);
    return best.m ? make_winograd(c, x, in_block, out_block, &best) : NULL;
}
