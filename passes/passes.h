/* Graph to graph. One pass a file, `bool pass_<name>(Graph *, PassCtx *)`, true where it changed something; passes.def
 * is the pipeline in order. The runner owns dumps, timing, bisection and the verifier. */
#ifndef MCC_PASSES_H
#define MCC_PASSES_H

#include "ir/ir.h"
#include "targets/target.h"

/* Which Winograd forms 3 × 3 convolutions may take: they multiply less, and their weights take 1.8 (F2) or 4 times (F4)
 * the bytes. */
typedef enum Winograd { WINOGRAD_AUTO, WINOGRAD_OFF, WINOGRAD_F2, WINOGRAD_F4 } Winograd;

/* Whether weights with zeros become straight-line code that leaves them out, or packed data (AUTO: where either is
 * estimated to be faster; PACKED: data, never code) */
typedef enum SparseUse { SPARSE_AUTO, SPARSE_OFF, SPARSE_ALWAYS, SPARSE_PACKED } SparseUse;

/* What was decided about a layer whose weights have zeros. */
typedef struct SparseNote {
    Str layer;
    int place;                       /* 1 + the index of its node in the model; 0: not known */
    int64_t rows, columns, nonzeros; /* of its matrix of weights */
    const char *pattern;             /* of sparse_pattern */
    bool sparse;                     /* straight-line code of the nonzeros, or packed; else a dense form */
    bool packed;                     /* the nonzeros as data, and not as code */
    double cycles, dense_cycles;     /* of either form, as the cost models guess */
    double bytes;                    /* of that code, about */
    int weight_bytes;                /* of a dense weight; 0: those of a float */
    struct SparseNote *next;
} SparseNote;
typedef struct SparseNotes {
    Arena *arena;
    SparseNote *first, **last;
} SparseNotes;
/* How zeros lie in weights [rows][columns], columns being channels times taps: "rows", "channels", blocks "4x1", "2:4" of neighbours (along the
 * channels, or along all columns), "unstructured"; "dense", "zeros". */
const char *sparse_pattern(Arena *a, const float *w, int64_t rows, int64_t columns, int64_t taps);
void sparse_note(SparseNotes *notes, const SparseNote *n); /* a copy, at the end; notes NULL: nowhere */

typedef struct PassCtx {
    Ctx *ctx;
    const Target *target; /* NULL: nothing is lowered for one */
    const Target *gpu;    /* in place of it: contractions become what its kernels take, or stay the standard's (codegen/gpu.h) */
    bool tf32;            /* of a GPU: products of f32 may round their factors to 11 bits */
    int opt_level;
    Winograd winograd;
    const char *dump_after; /* a pass's name, or "all"; NULL: none */
    FILE *dump;
    bool time;
    bool verify;
    bool canonical_only;         /* end with the last REPEAT: nothing is lowered */
    bool quantizes;              /* what is canonical will be quantized: every ConvTranspose is a Conv, too */
    bool widen;                  /* all constant weights become float32 */
    int stop_after;              /* stop after this many passes have run; -1: never */
    const struct Tuning *tuning; /* choices that stand above the cost model's; NULL: none */
    SparseUse sparse;
    bool optimize_size;          /* no form that is larger than the plain one */
    SparseNotes *sparse_notes;   /* where layers with zero weights are listed; NULL: nowhere */
    struct LayerNotes *notes;    /* where layers that could be tuned are listed; NULL: nowhere */
} PassCtx;

bool passes_run(Graph *g, PassCtx *p); /* false after diag_error */
bool pass_known(const char *name);

#endif
