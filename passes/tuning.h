/* What measuring has found out about layers whose best form a count of cycles tells too roughly: their names, the
 * choices that there are, the file that keeps them, and a graph of one layer alone to measure it. */
#ifndef MCC_PASSES_TUNING_H
#define MCC_PASSES_TUNING_H

#include "passes/passes.h"

typedef enum LayerKind { LAYER_CONV, LAYER_TRANSPOSED, LAYER_DEPTHWISE, LAYER_PRODUCT } LayerKind;
typedef struct Layer { /* all that its code and its data depend on; every number is known */
    LayerKind kind;
    int64_t batch;                 /* of a product: its rows */
    int64_t channels, cols, group; /* channels and columns of one of the groups */
    int spatial;                   /* axes; 0: a product */
    int64_t space[3], kernel[3], stride[3], dilation[3], begin[3], end[3];
    int in_block, out_block; /* channels in a block of what it reads (1: plain) and writes */
} Layer;

typedef enum LayerForm { FORM_DIRECT, FORM_WINOGRAD_F2, FORM_WINOGRAD_F4, FORM_COUNT } LayerForm;
typedef struct LayerChoice {
    LayerForm form;
    int64_t rows, vecs, unroll, run; /* as TileChoice has them; 0: as the cost model says */
} LayerChoice;

/* ---- tuning.c: layers and choices as text ---- */
typedef struct TuningEntry {
    Str layer;
    LayerChoice choice;
    int line;
} TuningEntry;
typedef struct Tuning {
    const char *path;
    Str triple, cpu;      /* what it was measured on */
    TuningEntry *entries; /* in order of their layers */
    int n;
} Tuning;
enum { TUNING_MAX_BYTES = 1 << 20 };
const char *layer_text(Arena *a, const Layer *l);
const char *choice_text(Arena *a, const LayerChoice *c);
const char *tuning_cpu(const Target *t);
/* The whole text of a file. false: *why says what is wrong in *line; both it and `out` live in the arena. */
bool tuning_read(Arena *a, const char *text, size_t n, Tuning *out, int *line, const char **why);
/* What p->tuning has for the layer; NULL: nothing. */
const TuningEntry *tuning_find(const PassCtx *p, const Layer *l);
void tuning_refuse(const PassCtx *p, const Node *at, const TuningEntry *e, const char *why);

/* ---- notes.c: the layers of a model, as passes meet them ---- */
enum { MAX_CANDIDATES = 24 };
typedef struct LayerNote {
    Layer layer;
    const char *text;
    int64_t count; /* how often the model has it */
    double cycles; /* of one, as the cost model guesses */
    LayerChoice chosen, candidates[MAX_CANDIDATES];
    int n_candidates;
    struct LayerNote *next;
} LayerNote;
struct LayerNotes {
    Arena *arena;
    LayerNote *first;
    int n;
};
bool choice_equal(const LayerChoice *a, const LayerChoice *b);
LayerChoice node_choice(const Node *made); /* of a node that a lowering pass has made */
/* NULL: the layer is known already, and counted once more. */
LayerNote *layer_note(struct LayerNotes *notes, const Layer *l, const Node *made, double cycles);
void layer_candidate(LayerNote *n, LayerForm form, int64_t rows, int64_t vecs, int64_t unroll, int64_t run);

/* ---- probe.c ---- */
/* A lowered graph of nothing but the layer, with random weights and that choice. NULL: the choice is impossible. */
Graph *probe_graph(Ctx *ctx, const Target *t, Winograd allowed, const Layer *l, const LayerChoice *c);

#endif
