/* ConvInteger with enough zero weights as mcc.SparseBlockConv, MatMulInteger as mcc.SparseMatMul: four channels of a
 * tap are a word, and words that are 0 leave no code behind. Values stay in channel blocks, so that each layer is
 * decided by itself: against the tiles of a dense form, the words that are left, and what bringing x in the order of
 * the code, and the sums back, costs. */
#include <math.h>
#include <string.h>
#include "passes/internal.h"
#include "passes/lower.h"

enum { STEP = 4, BLOCK = 16 };

/* ---- costs, in cycles of a vector ---- */

static double words_of(const SparseWork *w) { return (double)w->rows * (double)w->sources; }

static double blocks_of(const Target *t, const SparseWork *w) { return ceil((double)w->rows / sparse_rows(t, false)); }

/* loads of sources, if the nonzero words lie at random */
static double source_loads(const Target *t, const SparseWork *w) {
    double zeros = words_of(w) > 0 ? 1 - (double)w->nonzeros / words_of(w) : 1, blocks = blocks_of(t, w);
    return blocks * (double)w->sources * (1 - pow(zeros, (double)w->rows / blocks));
}

double sparse_word_bytes(const SparseWork *w) {
    const double word = 11.2, load = 9, row = 20;
    return word * (double)w->nonzeros + load * (double)w->sources * ceil((double)w->rows / 28) + row * (double)w->rows;
}

/* of a Zen 5 */
double sparse_word_cycles(const Target *t, const SparseWork *w) {
    const double overhead = 1.12, row = 7, source = 10, bytes_a_cycle = 20, step = vector_cycles(t, sparse_lanes(t));
    double panel =
        ((double)w->nonzeros + source_loads(t, w)) * overhead + row * (double)w->rows + source * (double)w->sources;
    return panel * step * (double)w->panels + sparse_word_bytes(w) / bytes_a_cycle;
}

/* ---- words of weights ---- */

typedef struct Words { /* of a product of integers */
    Graph *g;
    const PassCtx *pass;
    const Node *n;
    const IntegerWeights *w;
    int64_t quads; /* words of a row at a tap */
    Tensor *words; /* [rows][quads][taps] */
    SparseWork work;
} Words;

static int32_t word_of(const IntegerWeights *w, int64_t row, int64_t quad, int64_t tap) {
    uint32_t word = 0;
    for (int64_t i = 0; i < STEP && quad * STEP + i < w->channels; i++)
        word |= ((uint32_t)integer_weight(w, row, quad * STEP + i, tap) & 255) << 8 * i;
    return (int32_t)word;
}

/* rows beyond the columns: zeros. false: there are too many */
static bool fill_words(Words *s, int64_t rows, int64_t panels) {
    enum { MOST_ROWS = 1 << 16, MOST_SOURCES = 1 << 18 };
    const IntegerWeights *w = s->w;
    s->quads = (w->channels + STEP - 1) / STEP;
    s->work = (SparseWork){.rows = rows, .sources = s->quads * w->taps, .panels = panels};
    if (rows > MOST_ROWS || s->work.sources > MOST_SOURCES) return false;
    s->words = tensor_packed(s->g, DT_I32, 2, (int64_t[]){rows, s->work.sources});
    int32_t *to = (int32_t *)s->words->data;
    for (int64_t row = 0; row < w->cols; row++)
        for (int64_t q = 0; q < s->quads; q++)
            for (int64_t k = 0; k < w->taps; k++) s->work.nonzeros += (*to++ = word_of(w, row, q, k)) != 0;
    return true;
}

/* the weights, and how many of them are not 0 */
static const float *plain_weights(const IntegerWeights *w, Arena *a, int64_t *nonzeros) {
    int64_t rows = w->cols * w->groups, at = 0;
    float *to = ARENA_ARRAY(a, rows * w->channels * w->taps, float);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t c = 0; c < w->channels; c++)
            for (int64_t k = 0; k < w->taps; k++, at++) {
                to[at] = (float)integer_weight(w, row, c, k);
                *nonzeros += to[at] != 0;
            }
    return to;
}

static bool has_zeros(const SparseWork *w) {
    const double least = 0.1;
    return (double)w->nonzeros <= (1 - least) * words_of(w);
}

void integer_sparse_note(const PassCtx *pass, const Node *n, const IntegerWeights *w, SparseNote *note) {
    SparseNotes *notes = pass->sparse_notes;
    if (!notes) return;
    Arena *a = arena_new(pass->ctx);
    note->nonzeros = 0;
    const float *plain = plain_weights(w, a, &note->nonzeros);
    note->layer = n->name;
    note->place = 1 + n->index;
    note->rows = w->cols * w->groups;
    note->columns = w->channels * w->taps;
    note->weight_bytes = 1;
    if (note->nonzeros < note->rows * note->columns) {
        note->pattern = sparse_pattern(notes->arena, plain, note->rows, note->columns, w->taps);
        sparse_note(notes, note);
    }
    arena_free(a);
}

/* more: cycles beside the code. false: dense is better */
static bool is_chosen(const Words *s, double more, double dense) {
    const PassCtx *pass = s->pass;
    SparseNote n = {.bytes = sparse_word_bytes(&s->work), .dense_cycles = dense};
    double weights = (double)(s->w->cols * s->w->channels * s->w->taps);
    n.cycles = sparse_word_cycles(pass->target, &s->work) + more;
    bool small = !pass->optimize_size || n.bytes < weights;
    n.sparse = pass->sparse == SPARSE_ALWAYS || (has_zeros(&s->work) && n.cycles < dense && small);
    integer_sparse_note(pass, s->n, s->w, &n);
    return n.sparse;
}

/* ---- convolutions ---- */

typedef struct SparseInteger {
    IntegerConv *c;
    Value *x; /* in blocks */
    PlaneWindow window;
    Words words;
} SparseInteger;

static bool read_window(const IntegerConv *c, PlaneWindow *w) {
    const Type *x = &c->n->in[0]->type, *y = &c->n->out[0]->type;
    int n = c->window.n;
    *w = (PlaneWindow){{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}};
    if (n > 2) return false;
    for (int i = 0; i < n; i++) {
        int at = 2 - n + i;
        if (!dim_is_const(x->dims[2 + i], &w->in[at]) || !dim_is_const(y->dims[2 + i], &w->out[at])) return false;
        w->kernel[at] = c->window.kernel[i], w->stride[at] = c->window.stride[i];
        w->dilation[at] = c->window.dilation[i];
        w->begin[at] = c->window.begin[i], w->end[at] = c->window.end[i];
    }
    return plane_possible(w);
}

static bool read_sparse(SparseInteger *s) {
    const IntegerConv *c = s->c;
    const Target *t = c->l->target;
    if (!sparse_words(t) || c->l->pass->sparse == SPARSE_OFF || c->w.groups != 1) return false;
    if (channel_block(t, c->w.cols) != BLOCK || block_of(s->x) < STEP || !read_window(c, &s->window)) return false;
    int64_t rows = (c->w.cols + BLOCK - 1) / BLOCK * BLOCK,
            panels = panel_pixels(s->window.out[0] * s->window.out[1]) / PANEL;
    s->words = (Words){.g = c->l->g, .pass = c->l->pass, .n = c->n, .w = &c->w};
    return fill_words(&s->words, rows, panels);
}

/* Enough panels that the code, which is read again for each chunk, is worth its way through the caches, their x within
 * a part of L2; and so many rows that their sums stay near L1. */
static void set_chunks(const SparseInteger *s, Node *made) {
    enum { MOST = 5, LEAST = 4, UNITS = 9, LINE = 64 };
    const Value *x = s->x;
    int64_t quads = x->type.dims[1]->value * (block_of(x) / STEP), panel = quads * s->c->w.taps * LINE;
    int64_t fit = (int64_t)s->c->l->target->l2 / 4 / panel, units = s->words.work.rows / BLOCK;
    if (fit > MOST) fit = MOST;
    if (fit < LEAST) fit = LEAST;
    int64_t chunks = (s->words.work.panels + fit - 1) / fit;
    node_set_int(made, "panels", (s->words.work.panels + chunks - 1) / chunks);
    node_set_int(made, "parts", (units + UNITS - 1) / UNITS);
}

bool lower_sparse_integer(IntegerConv *c, Value *x, double dense) {
    Layout *l = c->l;
    SparseInteger s = {.c = c, .x = x};
    if (!read_sparse(&s) || !is_chosen(&s.words, 0, dense)) return false;
    int32_t zero = integer_zero(l->target, BLOCK, x->type.dtype, c->zero);
    Value *in[3] = {x, value_of_tensor(l->g, s.words.words), integer_bias(l->g, &c->w, s.words.work.rows, zero, false)};
    Node *made = replace_blocked(l, c->n, OP_SparseBlockConv, in, 3, BLOCK);
    node_set_window(made, &s.window);
    node_set_int(made, "zero", zero);
    set_chunks(&s, made);
    return true;
}

/* ---- products ---- */

/* rows of x become columns and sums rows again: squares of lanes, each about so many operations a vector */
static double turning_cycles(const Target *t, const SparseWork *w) {
    const double vector = 7, overhead = 1.2;
    return vector * overhead * (double)(w->sources + w->rows) * (double)w->panels * vector_cycles(t, sparse_lanes(t));
}

Node *lower_sparse_product_integer(Graph *g, const PassCtx *ctx, Node *n, const IntegerRows *p, double dense) {
    enum { OPEN_ROWS = 64, MOST = 8, LEAST = 2, LINE = 64 };
    const Target *t = ctx->target;
    int64_t lanes = sparse_lanes(t), rows = p->rows ? p->rows : OPEN_ROWS;
    if (!sparse_words(t) || ctx->sparse == SPARSE_OFF || rows == 1) return NULL;
    if (p->w->cols < lanes || p->w->channels < STEP * lanes) return NULL; /* whole squares */
    Words s = {.g = g, .pass = ctx, .n = n, .w = p->w};
    int64_t panels = (rows + lanes - 1) / lanes;
    if (!fill_words(&s, p->w->cols, panels) || !is_chosen(&s, turning_cycles(t, &s.work), dense)) return NULL;
    int64_t fit = (int64_t)t->l2 / 2 / ((s.work.sources + s.work.rows) * LINE);
    fit = fit > MOST ? MOST : fit < LEAST ? LEAST : fit;
    Value *in[3] = {p->x, value_of_tensor(g, s.words), integer_bias(g, p->w, p->w->cols, p->zero, false)};
    Node *made = node_new(g, OP_SparseMatMul, n, in, 3, 1);
    node_set_int(made, "lanes", lanes);
    node_set_int(made, "panels", p->rows && panels < fit ? panels : fit);
    return made;
}
